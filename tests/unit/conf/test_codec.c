/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/conf/codec.c: what one process gets arrives, and nothing else is taken. */

/* System */
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/table.h"
#include "conf/value.h"
/* this program */
#include "tests/unit/unit.h"

static struct conf *all;
static struct buf bytes;

/* Another value than the default for any option. */
static void
change(const struct conf_row *row, void *field)
{
	struct buf why;
	int r = 0;

	buf_init(&why, 256);
	switch (row->type) {
	case CONF_STR:
	case CONF_PATH:
		r = conf_value_parse(row, field, SPAN("/other value"), NULL, &why);
		break;
	case CONF_LIST:
	case CONF_PATHS:
		r = conf_value_parse(row, field, SPAN("one more"), NULL, &why);
		break;
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
		*(uint64_t *)field = *(uint64_t *)field == row->max ? row->min : row->max;
		break;
	case CONF_BOOL:
		*(bool *)field = !*(bool *)field;
		break;
	case CONF_RATE:
		*(struct conf_rate *)field = (struct conf_rate){ 77, 3600000 };
		break;
	case CONF_ENUM:
		*(int *)field = *(int *)field == 0;
		break;
	case CONF_TYPE_COUNT:
		break;
	}
	ck_assert_int_eq(r, 0);
	buf_clear(&why);
}

/* Every option changed, two blocks of each kind. */
static void
setup(void)
{
	size_t groups, rows;
	const struct conf_group *g = conf_groups(&groups);
	const struct conf_row *row = conf_rows(&rows);

	all = conf_defaults();
	for (size_t i = 0; i < groups; i++) {
		if (g[i].kind == CONF_BLOCK) {
			conf_block_add(all, &g[i], SPAN("first"), 7);
			conf_block_add(all, &g[i], SPAN("second"), 8);
		}
	}
	for (size_t i = 0; i < rows; i++) {
		for (size_t b = 0; b < conf_group_count(all, row[i].group); b++)
			change(&row[i], conf_field(&row[i], conf_group_at(all, row[i].group, b)));
	}
	buf_init(&bytes, 1 << 20);
}

static void
teardown(void)
{
	conf_free(&all);
	buf_clear(&bytes);
}

static void
check_group(const struct conf *got, const struct conf *defaults, const struct conf_group *g,
	    enum proc_id who)
{
	size_t rows, n = conf_group_count(got, g);
	const struct conf_row *row = conf_rows(&rows);
	bool gets_blocks = who == PROC_MASTER || (g->procs & (1u << who)) != 0;

	if (g->kind == CONF_BLOCK)
		ck_assert_uint_eq(n, gets_blocks ? 2 : 0);
	for (size_t b = 0; b < n; b++) {
		if (g->kind == CONF_BLOCK) {
			ck_assert_str_eq(*conf_block_title(got, g, b), b == 0 ? "first" : "second");
			ck_assert_uint_eq(*conf_block_line(got, g, b), b == 0 ? 7 : 8);
		}
		for (size_t i = 0; i < rows; i++) {
			bool is_given = who == PROC_MASTER || (row[i].procs & (1u << who)) != 0;
			/* Blocks have no default instance; FOR() of a row cannot be narrower than its block here. */
			const struct conf *want = is_given ? all : defaults;

			if (row[i].group != g || (g->kind == CONF_BLOCK && !is_given))
				continue;
			ck_assert_msg(conf_value_eq(&row[i],
						    conf_field(&row[i], conf_group_at(got, g, b)),
						    conf_field(&row[i], conf_group_at(want, g, b))),
				      "%s.%s in %s", g->name, row[i].name, proc_info(who)->name);
		}
	}
}

/* Each process has its own values and the defaults of all others. */
START_TEST(arrives)
{
	enum proc_id who = (enum proc_id)_i;
	struct conf *got, *defaults = conf_defaults();
	size_t groups;
	const struct conf_group *g = conf_groups(&groups);

	conf_encode(all, who, &bytes);
	ck_assert_int_eq(buf_check(&bytes), 0);
	ck_assert_int_eq(conf_decode(buf_span(&bytes), &got), 0);
	for (size_t i = 0; i < groups; i++)
		check_group(got, defaults, &g[i], who);
	conf_free(&got);
	conf_free(&defaults);
}
END_TEST

START_TEST(cut_or_longer_is_refused)
{
	struct conf *got;

	for (unsigned who = 0; who < PROC_COUNT; who++) {
		buf_reset(&bytes);
		conf_encode(all, (enum proc_id)who, &bytes);
		for (size_t n = 0; n < bytes.n; n++) {
			ck_assert_int_eq(conf_decode(span_make(bytes.p, n), &got), E_CORRUPT);
			ck_assert_ptr_null(got);
		}
		buf_putc(&bytes, '\0');
		ck_assert_int_eq(conf_decode(buf_span(&bytes), &got), E_CORRUPT);
	}
}
END_TEST

START_TEST(unknown_process_is_refused)
{
	struct conf *got;

	conf_encode(all, PROC_MASTER, &bytes);
	bytes.p[4] = PROC_COUNT;
	ck_assert_int_eq(conf_decode(buf_span(&bytes), &got), E_CORRUPT);
	bytes.p[4] = PROC_MASTER;
	ck_assert_int_eq(conf_decode(buf_span(&bytes), &got), 0);
	conf_free(&got);
	bytes.p[0] ^= 1; /* built from another table */
	ck_assert_int_eq(conf_decode(buf_span(&bytes), &got), E_CORRUPT);
}
END_TEST

/* Any damage is refused or gives values that the parser could have given: encoding them again gives the same bytes. */
START_TEST(damage)
{
	struct buf again;
	struct conf *got;

	buf_init(&again, 1 << 20);
	conf_encode(all, PROC_MASTER, &bytes);
	for (size_t i = 0; i < bytes.n * 8; i++) {
		bytes.p[i / 8] ^= (char)(1 << i % 8);
		if (conf_decode(buf_span(&bytes), &got) == 0) {
			buf_reset(&again);
			conf_encode(got, PROC_MASTER, &again);
			unit_eq(buf_span(&again), buf_span(&bytes));
			conf_free(&got);
		}
		bytes.p[i / 8] ^= (char)(1 << i % 8);
	}
	buf_clear(&again);
}
END_TEST

/* Values that no file could give. */
START_TEST(strict)
{
	const struct {
		uint64_t recipients;
		int role;
		uint64_t per_ms;
		const char *hostname;
		int r;
	} cases[] = {
		{ 1000, 0, 1000, "x", 0 },
		{ 99, 0, 1000, "x", E_CORRUPT },
		{ 100001, 0, 1000, "x", E_CORRUPT },
		{ 1000, CONF_BARE_NEWLINE_COUNT, 1000, "x", E_CORRUPT },
		{ 1000, 255, 1000, "x", E_CORRUPT },
		{ 1000, 0, 0, "x", E_CORRUPT },
		{ 1000, 0, 1001, "x", E_CORRUPT },
		{ 1000, 0, 1000, "x\n", E_CORRUPT },
	};
	char *item = all->relay_from.items[0];
	struct conf *empty = NULL;

	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct conf *got = NULL;

		all->limits.recipients = cases[i].recipients;
		all->bare_newline = cases[i].role;
		all->limits.message_rate = (struct conf_rate){ 5, cases[i].per_ms };
		mem_free(all->hostname);
		all->hostname = mem_strdup(cases[i].hostname);
		buf_reset(&bytes);
		conf_encode(all, PROC_SMTPD, &bytes);
		ck_assert_int_eq(conf_decode(buf_span(&bytes), &got), cases[i].r);
		conf_free(&got);
	}
	mem_free(all->hostname);
	all->hostname = mem_strdup("x");
	item[0] = '\0';
	buf_reset(&bytes);
	conf_encode(all, PROC_SMTPD, &bytes);
	ck_assert_int_eq(conf_decode(buf_span(&bytes), &empty), E_CORRUPT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("codec");
	TCase *tc = tcase_create("codec");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, arrives, 0, PROC_COUNT);
	tcase_add_test(tc, cut_or_longer_is_refused);
	tcase_add_test(tc, unknown_process_is_refused);
	tcase_add_test(tc, damage);
	tcase_add_test(tc, strict);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
