/* SPDX-License-Identifier: ISC
 *
 * Command lines: only CRLF ends one. */

/* lib */
#include "smtp/line.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	struct span in;
	size_t max;
	enum line_kind kind;
	const char *text;
	size_t used;
} lines[] = {
	{ SPAN("NOOP\r\n"), 10, LINE_WHOLE, "NOOP", 6 },
	{ SPAN("NOOP\r\nQUIT\r\n"), 10, LINE_WHOLE, "NOOP", 6 },
	{ SPAN("\r\n"), 10, LINE_WHOLE, "", 2 },
	{ SPAN(""), 10, LINE_PART, "", 0 },
	{ SPAN("NOOP"), 10, LINE_PART, "", 0 },
	{ SPAN("NOOP\r"), 10, LINE_PART, "", 0 },
	{ SPAN("NOOP\n"), 10, LINE_BARE_LF, "", 5 },
	{ SPAN("\n"), 10, LINE_BARE_LF, "", 1 },
	{ SPAN("A\nMAIL\r\n"), 10, LINE_BARE_LF, "", 2 },
	{ SPAN("A\rB\r\n"), 10, LINE_BAD_BYTE, "", 5 },
	{ SPAN("A\r\r\n"), 10, LINE_BAD_BYTE, "", 4 },
	{ SPAN("A\0B\r\n"), 10, LINE_BAD_BYTE, "", 5 },
	{ SPAN("A\rB\n"), 10, LINE_BARE_LF, "", 4 },
	{ SPAN("01234567\r\n"), 10, LINE_WHOLE, "01234567", 10 },
	{ SPAN("0123456789"), 10, LINE_TOO_LONG, "", 10 },
	{ SPAN("012345678\r\n"), 10, LINE_TOO_LONG, "", 9 },
	{ SPAN("0123456789abc\r\n"), 10, LINE_TOO_LONG, "", 10 },
	{ SPAN("012345678\n"), 10, LINE_BARE_LF, "", 10 },
};

START_TEST(cut)
{
	struct span text;
	size_t used;

	ck_assert_int_eq(line_cut(lines[_i].in, lines[_i].max, &text, &used), lines[_i].kind);
	UNIT_EQ(text, lines[_i].text);
	ck_assert_uint_eq(used, lines[_i].used);
}
END_TEST

static const struct {
	const char *in, *verb, *args;
} splits[] = {
	{ "NOOP", "NOOP", "" },
	{ "MAIL FROM:<a@b>", "MAIL", "FROM:<a@b>" },
	{ "HELO   x  ", "HELO", "x" },
	{ "HELO\tx", "HELO", "x" },
	{ " HELO x", "", "HELO x" },
	{ "", "", "" },
	{ " ", "", "" },
};

START_TEST(split)
{
	struct span verb, args;

	line_split(span_of(splits[_i].in), &verb, &args);
	UNIT_EQ(verb, splits[_i].verb);
	UNIT_EQ(args, splits[_i].args);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("line");

	UNIT_TABLE(s, cut, lines);
	UNIT_TABLE(s, split, splits);
	return unit_run(s);
}
