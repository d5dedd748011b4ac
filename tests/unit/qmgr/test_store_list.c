/* SPDX-License-Identifier: ISC
 *
 * Tests of lists of rows: filters, pages, steps. */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "tests/unit/qmgr/fixture.h"

static bool answered;

static bool
is_answered(struct fix *f)
{
	(void)f;
	return answered;
}

/* A message with n recipients; its number. */
static uint64_t
message(struct fix *f, uint32_t n, const char *content)
{
	ck_assert_int_eq(fix_submit(f, n, content, NULL), 0);
	fix_turn(f, 5);
	return fix_find(f, content)->number;
}

static void
put(struct fix *f, uint64_t number, uint32_t index, const char *lane, uint64_t due_ms)
{
	struct row row = { .number = number,
			   .index = index,
			   .lane = span_of(lane),
			   .due_ms = due_ms,
			   .attempts = 1,
			   .reply = 451,
			   .esc = SPAN("4.4.1"),
			   .text = SPAN("no answer"),
			   .relay = SPAN("mx.example") };

	store_put(f->sp->store, &row);
}

static struct {
	struct row rows[64];
	uint32_t count;
} got;

static void
on_some(void *arg, const struct row *rows, uint32_t count)
{
	(void)arg;
	got.count = count;
	for (uint32_t i = 0; i < count && i < 64; i++)
		got.rows[i] = rows[i];
	answered = true;
}

static const struct {
	struct store_filter f;
	uint32_t want;
} list_cases[] = {
	{ { .state = -1 }, 5 },
	{ { .state = ROW_HELD }, 1 },
	{ { .state = ROW_READY }, 4 },
	{ { .state = -1, .is_deferred = true }, 4 },
	{ { .state = -1, .sender = SPAN("SENDER@example.com") }, 5 },
	{ { .state = -1, .sender = SPAN("sender@*") }, 5 },
	{ { .state = -1, .sender = SPAN("other@*") }, 0 },
	{ { .state = -1, .sender = SPAN("") }, 0 },
	{ { .state = -1, .rcpt = SPAN("r1@example.org") }, 1 },
	{ { .state = -1, .rcpt = SPAN("r_@example.org") }, 0 },
	{ { .state = -1, .rcpt = SPAN("*@example.%") }, 0 },
	{ { .state = -1, .rcpt = SPAN("r*") }, 5 },
	{ { .state = -1, .domain = SPAN("example.org") }, 5 },
	{ { .state = -1, .domain = SPAN("xample.org") }, 0 },
	{ { .state = -1, .lane = SPAN("lane1") }, 1 },
	{ { .state = -1, .lane = SPAN("lane*") }, 5 },
	{ { .state = -1, .error = SPAN("no ANSWER") }, 5 },
	{ { .state = -1, .error = SPAN("451 4.4.1") }, 5 },
	{ { .state = -1, .error = SPAN("yes") }, 0 },
	{ { .state = -1, .born_before_ms = 1 }, 0 },
	{ { .state = -1, .has_uid = true, .uid = 0 }, 0 },
	{ { .state = -1, .has_uid = true, .uid = UINT32_MAX }, 5 },
};

START_TEST(lists)
{
	struct fix f;
	uint64_t number;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 5, "m");
	for (uint32_t i = 0; i < 5; i++) {
		char lane[8];
		struct row row = { .number = number,
				   .index = i,
				   .attempts = 1,
				   .reply = 451,
				   .esc = SPAN("4.4.1"),
				   .text = SPAN("no answer"),
				   .state = i == 4 ? ROW_HELD : ROW_READY };

		snprintf(lane, sizeof(lane), "lane%u", i);
		row.lane = span_of(lane);
		store_put(f.sp->store, &row);
	}
	answered = false;
	store_list(f.sp->store, &list_cases[_i].f, 0, 0, 60, on_some, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.count, list_cases[_i].want);
	fix_clear(&f);
}
END_TEST

START_TEST(list_in_pages)
{
	struct fix f;
	uint64_t number = 0, seen = 0, qid;
	uint32_t index = 0, pages = 0;
	struct store_filter all = { .state = -1 };

	fix_init(&f);
	fix_open(&f);
	for (int i = 0; i < 7; i++) {
		ck_assert_int_eq(fix_submit(&f, 3, "m", &qid), 0);
		for (uint32_t k = 0; k < 3; k++)
			put(&f, f.got[f.count - 1].number, k, "l", 1);
	}
	do {
		answered = false;
		store_list(f.sp->store, &all, number, index, 4, on_some, NULL);
		fix_until(&f, is_answered);
		for (uint32_t i = 0; i < got.count; i++) {
			ck_assert(got.rows[i].number > number ||
				  (got.rows[i].number == number && got.rows[i].index > index));
			number = got.rows[i].number;
			index = got.rows[i].index;
			seen++;
		}
		pages++;
	} while (got.count == 4);
	ck_assert_uint_eq(seen, 21);
	ck_assert_uint_eq(pages, 6);
	all.qids = &qid;
	all.qid_count = 1;
	answered = false;
	store_list(f.sp->store, &all, 0, 0, 60, on_some, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.count, 3);
	ck_assert_uint_eq(got.rows[0].qid, qid);
	fix_clear(&f);
}
END_TEST

/* A filter that matches only what comes late is found over many steps. */
START_TEST(list_in_steps)
{
	struct fix f;
	struct store_filter one = { .state = -1, .rcpt = SPAN("needle@x") };
	uint64_t number;
	struct row *children;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 1, "m");
	children = mem_array(25000, sizeof(*children));
	char(*names)[24] = mem_array(25000, sizeof(*names));
	for (uint32_t i = 0; i < 25000; i++) {
		snprintf(names[i], sizeof(names[i]), i == 24900 ? "needle@x" : "c%u@x", i);
		children[i].address = span_of(names[i]);
		children[i].lane = SPAN("l");
	}
	answered = false;
	store_expand(f.sp->store, number, 0, children, 25000, true, on_some, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.count, 25000);
	answered = false;
	store_list(f.sp->store, &one, 0, 0, 10, on_some, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.rows[0].index, 24901);
	mem_free(children);
	mem_free(names);
	fix_clear(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store_list");

	UNIT_TABLE(s, lists, list_cases);
	UNIT_TEST(s, list_in_pages);
	UNIT_TEST(s, list_in_steps);
	return unit_run(s);
}
