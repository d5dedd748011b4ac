/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/conf/value.c: text to value and back. */

/* System */
#include <string.h>
/* lib */
#include "conf/conf.h"
#include "conf/value.h"
/* this program */
#include "tests/unit/unit.h"

static const struct conf_group group = { "g", CONF_SECTION, 0, "", NULL, 0, 0, 0 };

/* A row of its own for each type, so that the cases do not depend on options.def. */
static const struct conf_row rows[CONF_TYPE_COUNT] = {
	[CONF_STR] = { &group, "o", CONF_STR, 0, "", 0, 0, NULL, "", 0 },
	[CONF_PATH] = { &group, "o", CONF_PATH, 0, "", 0, 0, NULL, "", 0 },
	[CONF_LIST] = { &group, "o", CONF_LIST, 0, "", 0, 0, NULL, "", 0 },
	[CONF_PATHS] = { &group, "o", CONF_PATHS, 0, "", 0, 0, NULL, "", 0 },
	[CONF_INT] = { &group, "o", CONF_INT, 0, "10", 5, 100, NULL, "", 0 },
	[CONF_SIZE] = { &group, "o", CONF_SIZE, 0, "1M", 1024, UINT64_C(1) << 40, NULL, "", 0 },
	[CONF_TIME] = { &group, "o", CONF_TIME, 0, "never", 0, 864000000, NULL, "", 0 },
	[CONF_BOOL] = { &group, "o", CONF_BOOL, 0, "no", 0, 0, NULL, "", 0 },
	[CONF_RATE] = { &group, "o", CONF_RATE, 0, "0", 0, 0, NULL, "", 0 },
	[CONF_ENUM] = { &group, "o", CONF_ENUM, 0, "b", 0, 0, "a|b|cc", "", 0 },
};

union field {
	char *str;
	struct conf_list list;
	struct conf_rate rate;
	uint64_t number;
	bool is;
	int index;
};

static const struct {
	enum conf_type type;
	const char *text;
	const char *shown; /* as it is written back; NULL: refused */
	const char *why;   /* of a refusal: begins with this */
} cases[] = {
	{ CONF_STR, "abc", "\"abc\"", NULL },
	{ CONF_STR, "", "\"\"", NULL },
	{ CONF_STR, "a \"b\" \\c", "\"a \\\"b\\\" \\\\c\"", NULL },
	{ CONF_STR, "%{rcpt.local}", "\"%{rcpt.local}\"", NULL },
	{ CONF_STR, "${x} $y", "\"\\${x} $y\"", NULL },
	{ CONF_STR, "\xc3\xa9", "\"\xc3\xa9\"", NULL },
	{ CONF_STR, "a\tb", NULL, "holds the control character 0x09; remove it" },
	{ CONF_STR, "a\x7f", NULL, "holds the control character 0x7f; remove it" },
	{ CONF_PATH, "", "\"\"", NULL },
	{ CONF_PATH, "/a/../b", "\"/a/../b\"", NULL },
	{ CONF_PATH, "x/y", "\"/base/etc/x/y\"", NULL },
	{ CONF_PATH, "./x", "\"/base/etc/x\"", NULL },
	{ CONF_PATH, "../x", "\"/base/x\"", NULL },
	{ CONF_PATH, "../../x", "\"/x\"", NULL },
	{ CONF_PATH, "../../../../x", "\"/x\"", NULL },
	{ CONF_PATH, "..//./x", "\"/base/x\"", NULL },
	{ CONF_PATH, "..x", "\"/base/etc/..x\"", NULL },
	{ CONF_LIST, "x", "{ \"x\" }", NULL },
	{ CONF_LIST, "", NULL, "empty item" },
	{ CONF_PATHS, "x", "{ \"/base/etc/x\" }", NULL },
	{ CONF_INT, "5", "5", NULL },
	{ CONF_INT, "100", "100", NULL },
	{ CONF_INT, " 7 ", "7", NULL },
	{ CONF_INT, "4", NULL, "out of range; write a value from 5 to 100" },
	{ CONF_INT, "101", NULL, "out of range; write a value from 5 to 100" },
	{ CONF_INT, "99999999999999999999999", NULL, "out of range" },
	{ CONF_INT, "", NULL, "not a number; write a number from 5 to 100" },
	{ CONF_INT, "-7", NULL, "not a number" },
	{ CONF_INT, "7k", NULL, "not a number" },
	{ CONF_INT, "0x7", NULL, "not a number" },
	{ CONF_INT, "7.0", NULL, "not a number" },
	{ CONF_SIZE, "1024", "\"1K\"", NULL },
	{ CONF_SIZE, "1025", "\"1025\"", NULL },
	{ CONF_SIZE, "35M", "\"35M\"", NULL },
	{ CONF_SIZE, "35m", "\"35M\"", NULL },
	{ CONF_SIZE, "2048k", "\"2M\"", NULL },
	{ CONF_SIZE, "3 G", "\"3G\"", NULL },
	{ CONF_SIZE, "1", NULL, "out of range; write a value from 1K to 1024G" },
	{ CONF_SIZE, "17179869184G", NULL, "out of range" }, /* 2^64 and more */
	{ CONF_SIZE, "17179869185G", NULL, "out of range" },
	{ CONF_SIZE, "35MB", NULL, "not a size; write a number with k, M or G from 1K to 1024G" },
	{ CONF_SIZE, "M", NULL, "not a size" },
	{ CONF_SIZE, "1.5M", NULL, "not a size" },
	{ CONF_TIME, "0", "\"never\"", NULL },
	{ CONF_TIME, "never", "\"never\"", NULL },
	{ CONF_TIME, "Never", "\"never\"", NULL },
	{ CONF_TIME, "1500ms", "\"1500ms\"", NULL },
	{ CONF_TIME, "90s", "\"90s\"", NULL },
	{ CONF_TIME, "60s", "\"1m\"", NULL },
	{ CONF_TIME, "48h", "\"2d\"", NULL },
	{ CONF_TIME, "5", NULL,
	  "not a time; write a number with ms, s, m, h or d from never to 10d" },
	{ CONF_TIME, "5x", NULL, "not a time" },
	{ CONF_TIME, "11d", NULL, "out of range" },
	{ CONF_TIME, "1h30m", NULL, "not a time" },
	{ CONF_BOOL, "yes", "yes", NULL },
	{ CONF_BOOL, "on", "yes", NULL },
	{ CONF_BOOL, "TRUE", "yes", NULL },
	{ CONF_BOOL, "no", "no", NULL },
	{ CONF_BOOL, "off", "no", NULL },
	{ CONF_BOOL, "false", "no", NULL },
	{ CONF_BOOL, "1", NULL, "neither yes nor no" },
	{ CONF_BOOL, "", NULL, "neither yes nor no" },
	{ CONF_RATE, "0", "0", NULL },
	{ CONF_RATE, "600/min", "\"600/min\"", NULL },
	{ CONF_RATE, "5/s", "\"5/s\"", NULL },
	{ CONF_RATE, "5 / h", "\"5/h\"", NULL },
	{ CONF_RATE, "5/d", "\"5/d\"", NULL },
	{ CONF_RATE, "0/s", "0", NULL },
	{ CONF_RATE, "600", NULL, "not a rate; write" },
	{ CONF_RATE, "600/", NULL, "not a rate" },
	{ CONF_RATE, "600/m", NULL, "not a rate" },
	{ CONF_RATE, "/s", NULL, "not a rate" },
	{ CONF_RATE, "4294967296/s", NULL, "not a rate" },
	{ CONF_ENUM, "a", "a", NULL },
	{ CONF_ENUM, "CC", "cc", NULL },
	{ CONF_ENUM, "c", NULL, "not known; write a, b or cc" },
	{ CONF_ENUM, "", NULL, "not known" },
};

START_TEST(parses_and_shows)
{
	const struct conf_row *row = &rows[cases[_i].type];
	union field f;
	struct buf why, shown;
	int r;

	memset(&f, 0, sizeof(f));
	buf_init(&why, 1024);
	buf_init(&shown, 1024);
	r = conf_value_parse(row, &f, span_of(cases[_i].text), "/base/etc", &why);
	if (cases[_i].shown == NULL) {
		ck_assert_int_eq(r, E_CONFIG);
		ck_assert_msg(span_starts(buf_span(&why), span_of(cases[_i].why)), "%s",
			      buf_cstr(&why));
	} else {
		ck_assert_msg(r == 0, "%s", buf_cstr(&why));
		conf_value_format(row, &f, &shown);
		UNIT_EQ(buf_span(&shown), cases[_i].shown);
	}
	conf_value_clear(row, &f);
	buf_clear(&why);
	buf_clear(&shown);
}
END_TEST

/* A refused value leaves what was there. */
START_TEST(refusal_changes_nothing)
{
	union field f = { .number = 50 };
	struct buf why;

	buf_init(&why, 1024);
	ck_assert_int_eq(conf_value_parse(&rows[CONF_INT], &f, SPAN("1000"), NULL, &why), E_CONFIG);
	ck_assert_uint_eq(f.number, 50);
	buf_clear(&why);
}
END_TEST

START_TEST(compares)
{
	union field a, b;
	struct buf why;

	buf_init(&why, 1024);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	ck_assert_int_eq(conf_value_parse(&rows[CONF_LIST], &a, SPAN("x"), NULL, &why), 0);
	ck_assert_int_eq(conf_value_parse(&rows[CONF_LIST], &b, SPAN("x"), NULL, &why), 0);
	ck_assert(conf_value_eq(&rows[CONF_LIST], &a, &b));
	ck_assert_int_eq(conf_value_parse(&rows[CONF_LIST], &b, SPAN("y"), NULL, &why), 0);
	ck_assert(!conf_value_eq(&rows[CONF_LIST], &a, &b));
	conf_value_clear(&rows[CONF_LIST], &a);
	conf_value_clear(&rows[CONF_LIST], &b);
	ck_assert(conf_value_eq(&rows[CONF_LIST], &a, &b));
	/* No limit is no limit, per whatever time. */
	a.rate = (struct conf_rate){ 0, 1000 };
	b.rate = (struct conf_rate){ 0, 60000 };
	ck_assert(conf_value_eq(&rows[CONF_RATE], &a, &b));
	a.rate.count = b.rate.count = 1;
	ck_assert(!conf_value_eq(&rows[CONF_RATE], &a, &b));
	buf_clear(&why);
}
END_TEST

START_TEST(long_string)
{
	char text[CONF_STRING_MAX + 1];
	union field f = { .str = NULL };
	struct buf why;

	memset(text, 'x', sizeof(text));
	buf_init(&why, 1024);
	ck_assert_int_eq(conf_value_parse(&rows[CONF_STR], &f, span_make(text, CONF_STRING_MAX),
					  NULL, &why),
			 0);
	ck_assert_int_eq(conf_value_parse(&rows[CONF_STR], &f, span_make(text, CONF_STRING_MAX + 1),
					  NULL, &why),
			 E_CONFIG);
	ck_assert_uint_eq(strlen(f.str), CONF_STRING_MAX);
	conf_value_clear(&rows[CONF_STR], &f);
	buf_clear(&why);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("value");

	UNIT_TABLE(s, parses_and_shows, cases);
	UNIT_TEST(s, refusal_changes_nothing);
	UNIT_TEST(s, compares);
	UNIT_TEST(s, long_string);
	return unit_run(s);
}
