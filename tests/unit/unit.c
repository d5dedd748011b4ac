/* SPDX-License-Identifier: ISC
 *
 * What every unit test shares: running a Check suite, skipping with a reason, test data beside the project. */

/* System */
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* this program */
#include "tests/unit/unit.h"

enum { UNIT_TIMEOUT_S = 60, UNIT_SKIPPED = 77 };

void
unit_add(Suite *s, const char *name, const TTest *test, size_t rows)
{
	TCase *tc = tcase_create(name);

	tcase_set_timeout(tc, UNIT_TIMEOUT_S);
	tcase_add_loop_test(tc, test, 0, (int)rows);
	suite_add_tcase(s, tc);
}

int
unit_run(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	/* One line that tests/run adds up. */
	printf("unit: %d run, %d failed\n", srunner_ntests_run(sr), failed);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void
unit_skip(const char *reason)
{
	printf("unit: skipped: %s\n", reason);
	exit(UNIT_SKIPPED);
}

const char *
unit_shared_file(const char *name)
{
	static char path[4096];
	const char *dir = getenv("POSTERN_SHARED");

	snprintf(path, sizeof(path), "%s/%s", dir != NULL && *dir != '\0' ? dir : "../shared",
		 name);
	return access(path, R_OK) == 0 ? path : NULL;
}

void
unit_folder_make(char *path_out, size_t size)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(path_out, size, "%s/postern-unit-XXXXXX",
			 tmp != NULL && *tmp != '\0' ? tmp : "/tmp");

	ck_assert_msg(n > 0 && (size_t)n < size, "the path of TMPDIR is too long: %s", tmp);
	ck_assert_msg(mkdtemp(path_out) != NULL, "%s: %s", path_out, strerror(errno));
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st, (void)kind, (void)where;
	return remove(path);
}

void
unit_folder_remove(const char *path)
{
	ck_assert_msg(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, "%s: %s", path,
		      strerror(errno));
}

void
unit_eq(struct span got, struct span want)
{
	ck_assert_msg(span_eq(got, want), "got \"%.*s\" (%zu bytes), want \"%.*s\" (%zu bytes)",
		      SPAN_ARG(got), got.n, SPAN_ARG(want), want.n);
}
