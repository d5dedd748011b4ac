/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/span.c. */

/* lib */
#include "base/err.h"
#include "base/span.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	const char *a, *b;
	bool is_eq, is_ieq;
	int cmp;
} compare_cases[] = {
	{ "", "", true, true, 0 },	    { NULL, "", true, true, 0 },
	{ "a", "", false, false, 1 },	    { "", "a", false, false, -1 },
	{ "abc", "abc", true, true, 0 },    { "abc", "aBC", false, true, 1 },
	{ "abc", "abd", false, false, -1 }, { "ab", "abc", false, false, -1 },
	{ "\xff", "a", false, false, 1 },   { "[", "{", false, false, -1 },
	{ "@", "`", false, false, -1 },	    { "\xc4", "\xe4", false, false, -1 },
};

START_TEST(compare)
{
	struct span a = span_of(compare_cases[_i].a), b = span_of(compare_cases[_i].b);

	ck_assert_int_eq(span_eq(a, b), compare_cases[_i].is_eq);
	ck_assert_int_eq(span_ieq(a, b), compare_cases[_i].is_ieq);
	ck_assert_int_eq(span_cmp(a, b), compare_cases[_i].cmp);
	ck_assert_int_eq(span_cmp(b, a), -compare_cases[_i].cmp);
}
END_TEST

static const struct {
	const char *s, *part;
	bool starts, istarts, ends, iends;
	int at;
} part_cases[] = {
	{ "MAIL FROM:", "MAIL", true, true, false, false, 0 },
	{ "mail from:", "MAIL", false, true, false, false, -1 },
	{ "a.Example", ".Example", false, false, true, true, 1 },
	{ "a.example", ".EXAMPLE", false, false, false, true, -1 },
	{ "ab", "abc", false, false, false, false, -1 },
	{ "abc", "", true, true, true, true, 0 },
	{ "", "", true, true, true, true, 0 },
	{ NULL, "x", false, false, false, false, -1 },
	{ "xxabxabc", "abc", false, false, true, true, 5 },
};

START_TEST(parts)
{
	struct span s = span_of(part_cases[_i].s), part = span_of(part_cases[_i].part);

	ck_assert_int_eq(span_starts(s, part), part_cases[_i].starts);
	ck_assert_int_eq(span_istarts(s, part), part_cases[_i].istarts);
	ck_assert_int_eq(span_ends(s, part), part_cases[_i].ends);
	ck_assert_int_eq(span_iends(s, part), part_cases[_i].iends);
	ck_assert_int_eq(span_find(s, part), part_cases[_i].at);
}
END_TEST

static const struct {
	const char *in, *out;
} trim_cases[] = {
	{ "", "" }, { " \t ", "" }, { " a b\t", "a b" }, { "a", "a" }, { "\r\na\n", "\r\na\n" },
};

START_TEST(trim)
{
	UNIT_EQ(span_trim(span_of(trim_cases[_i].in)), trim_cases[_i].out);
}
END_TEST

static const struct {
	size_t from, n;
	const char *out;
} sub_cases[] = {
	{ 0, 5, "hello" },	    { 0, 99, "hello" }, { 1, 3, "ell" },
	{ 4, SIZE_MAX, "o" },	    { 5, 1, "" },	{ 99, 1, "" },
	{ SIZE_MAX, SIZE_MAX, "" },
};

START_TEST(sub)
{
	UNIT_EQ(span_sub(SPAN("hello"), sub_cases[_i].from, sub_cases[_i].n), sub_cases[_i].out);
	ck_assert_uint_eq(span_sub(SPAN_NONE, sub_cases[_i].from, sub_cases[_i].n).n, 0);
}
END_TEST

START_TEST(chars)
{
	struct span s = SPAN("a@b@c");

	ck_assert_int_eq(span_chr(s, '@'), 1);
	ck_assert_int_eq(span_rchr(s, '@'), 3);
	ck_assert_int_eq(span_chr(s, 'x'), -1);
	ck_assert_int_eq(span_rchr(s, 'x'), -1);
	ck_assert_int_eq(span_chr(SPAN_NONE, 'x'), -1);
	ck_assert_int_eq(span_rchr(SPAN_NONE, 'x'), -1);
	/* NUL is a byte like any other. */
	ck_assert_int_eq(span_chr(span_make("a\0b", 3), '\0'), 1);
}
END_TEST

static const struct {
	const char *in;
	const char *words[4];
	size_t count;
} next_cases[] = {
	{ "", { NULL }, 0 },
	{ "a", { "a" }, 1 },
	{ "a b", { "a", "b" }, 2 },
	{ " a", { "", "a" }, 2 },
	{ "a  b", { "a", "", "b" }, 3 },
	{ "a ", { "a" }, 1 },
};

START_TEST(next)
{
	struct span s = span_of(next_cases[_i].in), word;
	size_t i = 0;

	while (span_next(&s, ' ', &word)) {
		ck_assert_uint_lt(i, next_cases[_i].count);
		UNIT_EQ(word, next_cases[_i].words[i++]);
	}
	ck_assert_uint_eq(i, next_cases[_i].count);
}
END_TEST

static const struct {
	const char *in;
	uint64_t max, out;
	int r;
} number_cases[] = {
	{ "0", 10, 0, 0 },
	{ "10", 10, 10, 0 },
	{ "0010", 10, 10, 0 },
	{ "11", 10, 0, E_TOOBIG },
	{ "18446744073709551615", UINT64_MAX, UINT64_MAX, 0 },
	{ "18446744073709551616", UINT64_MAX, 0, E_TOOBIG },
	{ "99999999999999999999999999", UINT64_MAX, 0, E_TOOBIG },
	{ "99999999999999999999999999x", UINT64_MAX, 0, E_SYNTAX },
	{ "", 10, 0, E_SYNTAX },
	{ "+1", 10, 0, E_SYNTAX },
	{ "-1", 10, 0, E_SYNTAX },
	{ " 1", 10, 0, E_SYNTAX },
	{ "1 ", 10, 0, E_SYNTAX },
	{ "0x1", 10, 0, E_SYNTAX },
	{ "/", 10, 0, E_SYNTAX },
	{ ":", 10, 0, E_SYNTAX },
};

START_TEST(number)
{
	uint64_t v = 77;

	ck_assert_int_eq(span_to_u64(span_of(number_cases[_i].in), number_cases[_i].max, &v),
			 number_cases[_i].r);
	ck_assert_uint_eq(v, number_cases[_i].r == 0 ? number_cases[_i].out : 77);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("span");

	UNIT_TABLE(s, compare, compare_cases);
	UNIT_TABLE(s, parts, part_cases);
	UNIT_TABLE(s, trim, trim_cases);
	UNIT_TABLE(s, sub, sub_cases);
	UNIT_TEST(s, chars);
	UNIT_TABLE(s, next, next_cases);
	UNIT_TABLE(s, number, number_cases);
	return unit_run(s);
}
