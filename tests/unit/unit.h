/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <check.h>
#include <stddef.h>
#include "base/span.h"

/* A unit test is one Check program:
 *
 *	static const struct { const char *in; int r; } cases[] = { ... };
 *	START_TEST(parse) { ck_assert_int_eq(f(cases[_i].in), cases[_i].r); } END_TEST
 *
 *	int
 *	main(void)
 *	{
 *		Suite *s = suite_create("addr");
 *		UNIT_TABLE(s, parse, cases);
 *		UNIT_TEST(s, limits);
 *		return unit_run(s);
 *	}
 */
#define UNIT_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define UNIT_TEST(s, fn) unit_add((s), #fn, (fn), 1)
/* Runs fn once for each row of the table, which fn indexes with _i. */
#define UNIT_TABLE(s, fn, table) unit_add((s), #fn, (fn), UNIT_COUNT(table))

void unit_add(Suite *s, const char *name, const TTest *test, size_t rows);
/* Runs the suite (CK_RUN_CASE=name: one case) and prints Check's summary. 0, or 1 if anything failed. */
int unit_run(Suite *s);
/* Ends the program as skipped, with the reason; before unit_run. */
_Noreturn void unit_skip(const char *reason);
/* A file of the test data beside the project ("vectors/psl.tsv"): $POSTERN_SHARED/NAME, else ../shared/NAME. NULL when
 * there is none, then the caller skips. Static storage. */
const char *unit_shared_file(const char *name);
/* A new, empty folder of this test's own, below $TMPDIR or /tmp; fails the test if there is none to be had. */
void unit_folder_make(char *path_out, size_t size);
/* Removes it with all that is in it. */
void unit_folder_remove(const char *path);
/* Fails with both texts when they differ; bytes, not C strings. */
void unit_eq(struct span got, struct span want);
#define UNIT_EQ(got, cstr) unit_eq((got), span_of(cstr))

#endif
