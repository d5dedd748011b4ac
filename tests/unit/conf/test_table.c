/* SPDX-License-Identifier: ISC
 *
 * Every row of options.def: its default, both sides of its range, its enum; and lib/conf/table.c. */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "conf/conf.h"
#include "conf/table.h"
#include "conf/value.h"
/* this program */
#include "tests/unit/unit.h"

static bool
is_number(const struct conf_row *row)
{
	return row->type == CONF_INT || row->type == CONF_SIZE || row->type == CONF_TIME;
}

/* Parses n in the row's smallest unit. */
static int
parse_number(const struct conf_row *row, uint64_t n)
{
	char text[32];
	uint64_t field = 0;
	struct buf why;
	int r;

	snprintf(text, sizeof(text), "%llu%s", (unsigned long long)n,
		 row->type == CONF_TIME ? "ms" : "");
	buf_init(&why, 1024);
	r = conf_value_parse(row, &field, span_of(text), NULL, &why);
	if (r == 0)
		ck_assert_uint_eq(field, n);
	else
		ck_assert_uint_gt(why.n, 0);
	buf_clear(&why);
	return r;
}

static void
check_default_parses_and_lies_in_range(const struct conf_row *row)
{
	union {
		struct conf_list list;
		uint64_t number;
		void *any;
	} field;
	struct buf why;
	struct span text, item;

	memset(&field, 0, sizeof(field));
	buf_init(&why, 1024);
	text = span_of(row->def);
	if (row->type == CONF_LIST || row->type == CONF_PATHS) {
		while (span_next(&text, ',', &item))
			ck_assert_msg(conf_value_parse(row, &field, span_trim(item), NULL, &why) ==
					      0,
				      "%s: %s", row->name, buf_cstr(&why));
	} else {
		ck_assert_msg(conf_value_parse(row, &field, text, NULL, &why) == 0, "%s: %s",
			      row->name, buf_cstr(&why));
	}
	if (is_number(row))
		ck_assert_msg(conf_in_range(row, field.number), "%s", row->name);
	conf_value_clear(row, &field);
	buf_clear(&why);
}

START_TEST(default_parses_and_lies_in_range)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++)
		check_default_parses_and_lies_in_range(&row[i]);
}
END_TEST

static void
check_range_has_two_sides(const struct conf_row *row)
{
	if (!is_number(row))
		return;
	ck_assert_msg(row->min < row->max, "%s", row->name);
	ck_assert_int_eq(parse_number(row, row->min), 0);
	ck_assert_int_eq(parse_number(row, row->max), 0);
	ck_assert_int_eq(parse_number(row, row->max + 1), E_CONFIG);
	if (row->min > 0) {
		ck_assert_int_eq(parse_number(row, row->min - 1), E_CONFIG);
		ck_assert_int_eq(parse_number(row, 0), E_CONFIG);
	}
}

START_TEST(range_has_two_sides)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++)
		check_range_has_two_sides(&row[i]);
}
END_TEST

static void
check_row_is_documented(const struct conf_row *row)
{
	struct span help;

	help = span_of(row->help);
	ck_assert_msg(help.n > 4 && help.p[help.n - 1] == '.', "help of %s is a sentence",
		      row->name);
	ck_assert_msg(row->procs == 0 || (row->procs & ((1u << PROC_COUNT) - 1)) != 0,
		      "%s: FOR() names processes", row->name);
	/* Backquotes come in pairs: the manual makes them bold. */
	size_t quotes = 0;
	for (size_t i = 0; i < help.n; i++)
		quotes += help.p[i] == '`';
	ck_assert_uint_eq(quotes % 2, 0);
}

START_TEST(row_is_documented)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++)
		check_row_is_documented(&row[i]);
}
END_TEST

START_TEST(names_are_unique)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		ck_assert_ptr_eq(conf_row_find(row[i].group, span_of(row[i].name)), &row[i]);
		/* A top-level option and a section of one name could not be told apart. */
		if (row[i].group->kind == CONF_TOP)
			ck_assert_ptr_null(conf_group_find(span_of(row[i].name)));
	}
}
END_TEST

/* enum_of_row[]: every OPT_ENUM and what conf_enum.h says of it. */
static const struct {
	const char *group, *name;
	int count;
	const char *values[4]; /* by the number of the enum */
} enums[] = {
	{ "listen",
	  "role",
	  CONF_LISTEN_ROLE_COUNT,
	  { [CONF_LISTEN_ROLE_MX] = "mx", [CONF_LISTEN_ROLE_SUBMISSION] = "submission" } },
	{ "domain",
	  "class",
	  CONF_DOMAIN_CLASS_COUNT,
	  { [CONF_DOMAIN_CLASS_VIRTUAL] = "virtual",
	    [CONF_DOMAIN_CLASS_RELAY] = "relay",
	    [CONF_DOMAIN_CLASS_LMTP] = "lmtp",
	    [CONF_DOMAIN_CLASS_DISCARD] = "discard" } },
	{ "",
	  "bare_newline",
	  CONF_BARE_NEWLINE_COUNT,
	  { [CONF_BARE_NEWLINE_REJECT] = "reject", [CONF_BARE_NEWLINE_NORMALIZE] = "normalize" } },
	{ "",
	  "bare_newline_trusted",
	  CONF_BARE_NEWLINE_COUNT,
	  { [CONF_BARE_NEWLINE_REJECT] = "reject", [CONF_BARE_NEWLINE_NORMALIZE] = "normalize" } },
	{ "resolver",
	  "prefer",
	  CONF_RESOLVER_PREFER_COUNT,
	  { [CONF_RESOLVER_PREFER_IPV6] = "ipv6",
	    [CONF_RESOLVER_PREFER_IPV4] = "ipv4",
	    [CONF_RESOLVER_PREFER_NONE] = "none" } },
	{ "log",
	  "format",
	  CONF_LOG_FORMAT_COUNT,
	  { [CONF_LOG_FORMAT_TEXT] = "text",
	    [CONF_LOG_FORMAT_JSON] = "json",
	    [CONF_LOG_FORMAT_POSTFIX] = "postfix" } },
	{ "log",
	  "level",
	  CONF_LOG_LEVEL_COUNT,
	  { [CONF_LOG_LEVEL_DEBUG] = "debug",
	    [CONF_LOG_LEVEL_INFO] = "info",
	    [CONF_LOG_LEVEL_WARN] = "warn",
	    [CONF_LOG_LEVEL_ERROR] = "error" } },
};

START_TEST(enum_has_the_numbers_of_its_row)
{
	const struct conf_row *row = conf_row_find(conf_group_find(span_of(enums[_i].group)),
						   span_of(enums[_i].name));

	ck_assert_ptr_nonnull(row);
	ck_assert_int_eq(row->type, CONF_ENUM);
	for (int v = 0; v < enums[_i].count; v++)
		UNIT_EQ(conf_enum_value(row, (unsigned)v), enums[_i].values[v]);
	ck_assert_uint_eq(conf_enum_value(row, (unsigned)enums[_i].count).n, 0);
}
END_TEST

START_TEST(every_enum_is_compared)
{
	size_t count, found = 0;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++)
		found += row[i].type == CONF_ENUM;
	ck_assert_uint_eq(found, UNIT_COUNT(enums));
}
END_TEST

START_TEST(every_process_has_a_user)
{
	const struct conf_group *users = conf_group_find(SPAN("users"));

	for (unsigned id = 0; id < PROC_COUNT; id++) {
		if (id != PROC_MASTER)
			ck_assert_ptr_nonnull(
				conf_row_find(users, span_of(proc_info((enum proc_id)id)->user)));
	}
}
END_TEST

static const struct {
	const char *section, *misspelt, *want;
} suggestions[] = {
	{ "", "hostnme", "hostname" },
	{ "", "hop_limits", "hop_limit" },
	{ "", "lisen", "listen" },
	{ "", "limit", "limits" },
	{ "", "soft_bonuce", "soft_bounce" }, /* neighbours swapped */
	{ "limits", "mesage_size", "message_size" },
	{ "limits", "conections_per_clinet", "connections_per_client" },
	{ "domain", "nexthop", "next_hop" },
	{ "", "xyzzy", NULL },
	{ "", "", NULL },
	{ "log", "t", NULL }, /* anything is near to one letter */
	{ "nothing", "hostname", NULL },
	{ "", "a_name_that_is_much_longer_than_any_option_can_be_and_more_than_64", NULL },
};

START_TEST(suggests)
{
	const char *got = conf_suggest(suggestions[_i].section, suggestions[_i].misspelt);

	if (suggestions[_i].want == NULL)
		ck_assert_ptr_null(got);
	else
		ck_assert_str_eq(got != NULL ? got : "(none)", suggestions[_i].want);
}
END_TEST

static const struct {
	const char *a, *b;
	size_t distance;
} distances[] = {
	{ "", "", 0 },	      { "abc", "abc", 0 },   { "", "abc", 3 },
	{ "abc", "", 3 },     { "abc", "abd", 1 },   { "abc", "ab", 1 },
	{ "abc", "xabc", 1 }, { "abcd", "abdc", 1 }, { "kitten", "sitting", 3 },
	{ "ab", "ba", 1 },    { "abc", "xyz", 3 },
};

START_TEST(edit_distance)
{
	struct span a = span_of(distances[_i].a), b = span_of(distances[_i].b);

	ck_assert_uint_eq(conf_edit_distance(a, b), distances[_i].distance);
	ck_assert_uint_eq(conf_edit_distance(b, a), distances[_i].distance);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("table");

	UNIT_TEST(s, default_parses_and_lies_in_range);
	UNIT_TEST(s, range_has_two_sides);
	UNIT_TEST(s, row_is_documented);
	UNIT_TEST(s, names_are_unique);
	UNIT_TABLE(s, enum_has_the_numbers_of_its_row, enums);
	UNIT_TEST(s, every_enum_is_compared);
	UNIT_TEST(s, every_process_has_a_user);
	UNIT_TABLE(s, suggests, suggestions);
	UNIT_TABLE(s, edit_distance, distances);
	return unit_run(s);
}
