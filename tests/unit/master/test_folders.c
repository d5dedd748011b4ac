/* SPDX-License-Identifier: ISC
 *
 * Tests of master/folders.c: what does not need a running server. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
/* this program */
#include "master/master.h"
#include "tests/unit/unit.h"

static char dir[128];

static char *
below(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

START_TEST(parents_are_made_open_and_the_folder_as_asked)
{
	struct stat st;
	bool is_new = false;
	int fd;

	umask(077);
	fd = folders_make(below("a/b/c/"), 0700, NULL, &is_new);
	ck_assert_int_ge(fd, 0);
	ck_assert(is_new);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0700);
	fd_close(&fd);
	ck_assert_int_eq(stat(below("a/b"), &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0755);
}
END_TEST

START_TEST(folder_that_exists_is_left_as_it_is)
{
	struct stat st;
	bool is_new = true;
	int fd;

	ck_assert_int_eq(mkdir(below("old"), 0711), 0);
	ck_assert_int_eq(chmod(below("old"), 0711), 0);
	fd = folders_make(below("old"), 0700, NULL, &is_new);
	ck_assert_int_ge(fd, 0);
	ck_assert(!is_new);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0711);
	fd_close(&fd);
}
END_TEST

START_TEST(file_in_the_way_is_an_error)
{
	FILE *f = fopen(below("file"), "w");

	ck_assert_ptr_nonnull(f);
	fclose(f);
	ck_assert_int_lt(folders_make(below("file"), 0700, NULL, NULL), 0);
	ck_assert_int_lt(folders_make(below("file/x"), 0700, NULL, NULL), 0);
}
END_TEST

START_TEST(path_too_long_is_an_error)
{
	static char path[5000];

	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	ck_assert_int_eq(folders_make(path, 0700, NULL, NULL), E_TOOLONG);
}
END_TEST

static void
setup(void)
{
	unit_folder_make(dir, sizeof(dir));
}

static void
teardown(void)
{
	unit_folder_remove(dir);
}

int
main(void)
{
	Suite *s = suite_create("folders");
	TCase *tc = tcase_create("folders");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, parents_are_made_open_and_the_folder_as_asked);
	tcase_add_test(tc, folder_that_exists_is_left_as_it_is);
	tcase_add_test(tc, file_in_the_way_is_an_error);
	tcase_add_test(tc, path_too_long_is_an_error);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
