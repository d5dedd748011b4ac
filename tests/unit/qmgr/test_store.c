/* SPDX-License-Identifier: ISC
 *
 * Tests of queue.db as scheduling uses it: rows, lanes, reports, expansions, lists; and what a crash leaves of them. */

/* System */
#include <signal.h>
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/mem.h"
/* this program */
#include "qmgr/store/store_int.h"
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

static struct store_counts
counts(struct fix *f)
{
	struct store_counts c;

	fix_flush(f);
	store_get_counts(f->sp->store, &c);
	return c;
}

/* --- rows ------------------------------------------------------------------------------------ */

START_TEST(deferred_row)
{
	struct fix f;
	const struct row *rows;
	uint64_t number;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 2, "m");
	put(&f, number, 1, "lane", 5000);
	rows = fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(rows[0].index, 1);
	ck_assert_int_eq((int)rows[0].state, ROW_READY);
	ck_assert_uint_eq(rows[0].due_ms, 5000);
	ck_assert_uint_eq(rows[0].attempts, 1);
	ck_assert_uint_eq(rows[0].reply, 451);
	ck_assert_uint_eq(rows[0].qid, f.got[0].qid);
	ck_assert_uint_eq(rows[0].size_bytes, strlen("m") + strlen("Received: test\r\n"));
	UNIT_EQ(rows[0].address, "r1@example.org");
	UNIT_EQ(rows[0].text, "no answer");
	ck_assert_uint_eq(counts(&f).deferred, 1);
	/* Put again: no second row, and what is not said stays. */
	put(&f, number, 1, "other", 6000);
	rows = fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 1);
	UNIT_EQ(rows[0].address, "r1@example.org");
	UNIT_EQ(rows[0].lane, "other");
	/* Delivered at last. */
	store_done(f.sp->store, number, 1);
	store_done(f.sp->store, number, 1);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(counts(&f).messages, 1);
	store_done(f.sp->store, number, 0);
	ck_assert_uint_eq(counts(&f).messages, 0);
	ck_assert_uint_eq(counts(&f).deferred, 0);
	ck_assert_uint_eq(counts(&f).bytes, 0);
	fix_clear(&f);
}
END_TEST

/* A result that comes twice changes nothing the second time. */
START_TEST(late_result)
{
	struct fix f;
	uint64_t number;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 2, "m");
	store_done(f.sp->store, number, 0);
	put(&f, number, 0, "lane", 1);
	store_bounce(f.sp->store, &(struct bounce){ .number = number,
						    .index = 0,
						    .is_done = true,
						    .kind = BOUNCE_FAILED });
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(counts(&f).bounces, 0);
	ck_assert_uint_eq(log_find(&f.sp->log, number)->pending, 1);
	/* Behind the cursor, too. */
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	store_done(f.sp->store, number, 1);
	fix_flush(&f);
	put(&f, number, 1, "lane", 1);
	store_bounce(f.sp->store, &(struct bounce){ .number = number,
						    .index = 1,
						    .is_done = true,
						    .kind = BOUNCE_FAILED });
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(counts(&f).messages, 0);
	ck_assert_uint_eq(counts(&f).bounces, 0);
	fix_clear(&f);
}
END_TEST

START_TEST(rows_survive)
{
	struct fix f;
	const struct row *rows;
	uint64_t number;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 2, "m");
	put(&f, number, 0, "lane", 7000);
	fix_flush(&f);
	for (int i = 0; i < 2; i++) {
		fix_close(&f, i == 1);
		fix_open(&f);
		fix_turn(&f, 20);
		if (i == 0) {
			ck_assert_uint_eq(f.count, 1);
			ck_assert_uint_eq(f.got[0].live_count, 1);
			ck_assert_uint_eq(f.got[0].live[0], 1);
		}
		rows = fix_rows(&f, number, &n);
		ck_assert_uint_eq(n, i == 0 ? 1 : 2);
		ck_assert_uint_eq(rows[0].due_ms, 7000);
		ck_assert_uint_eq(rows[0].attempts, 1);
		UNIT_EQ(rows[0].text, "no answer");
	}
	fix_clear(&f);
}
END_TEST

/* --- lanes ----------------------------------------------------------------------------------- */

static struct {
	struct row rows[64];
	char addresses[64][40];
	uint32_t count;
	uint64_t next_due_ms;
	char lanes[16][64];
	struct store_lane lane;
} got;

static void
on_load(void *arg, struct span lane, const struct row *rows, uint32_t count, uint64_t next_due_ms)
{
	(void)arg;
	(void)lane;
	got.count = count;
	got.next_due_ms = next_due_ms;
	for (uint32_t i = 0; i < count && i < 64; i++) {
		got.rows[i] = rows[i];
		snprintf(got.addresses[i], sizeof(got.addresses[i]), "%.*s",
			 SPAN_ARG(rows[i].address));
	}
	answered = true;
}

static void
load(struct fix *f, const char *lane, uint64_t now_ms, uint32_t limit)
{
	answered = false;
	store_load_lane(f->sp->store, span_of(lane), now_ms, limit, on_load, NULL);
	fix_until(f, is_answered);
}

static void
on_lanes(void *arg, const struct store_lane *lanes, uint32_t count, uint64_t next_due_ms)
{
	(void)arg;
	got.count = count;
	got.next_due_ms = next_due_ms;
	for (uint32_t i = 0; i < count && i < 16; i++)
		snprintf(got.lanes[i], sizeof(got.lanes[i]), "%.*s", SPAN_ARG(lanes[i].name));
	if (count > 0)
		got.lane = lanes[0];
	answered = true;
}

static void
due(struct fix *f, uint64_t now_ms, uint32_t limit)
{
	answered = false;
	store_due_lanes(f->sp->store, now_ms, limit, on_lanes, NULL);
	fix_until(f, is_answered);
}

static void
on_open_lane(void *arg, struct span name, const struct store_lane *lane)
{
	(void)arg;
	(void)name;
	got.lane = *lane;
	answered = true;
}

START_TEST(rows_of_a_lane)
{
	struct fix f;
	uint64_t number;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 6, "m");
	put(&f, number, 0, "a", 300);
	put(&f, number, 1, "a", 100);
	put(&f, number, 2, "a", 200);
	put(&f, number, 3, "b", 50);
	put(&f, number, 4, "a", 900);
	load(&f, "a", 500, 2);
	ck_assert_uint_eq(got.count, 2);
	ck_assert_uint_eq(got.rows[0].index, 1);
	ck_assert_uint_eq(got.rows[1].index, 2);
	ck_assert_str_eq(got.addresses[0], "r1@example.org");
	ck_assert_uint_eq(got.next_due_ms, 300);
	/* Those are in memory now; then the next one, then nothing that is due. */
	load(&f, "a", 500, 10);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.rows[0].index, 0);
	ck_assert_uint_eq(got.next_due_ms, 900);
	load(&f, "a", 500, 10);
	ck_assert_uint_eq(got.count, 0);
	/* Given back, deferred again, or done. */
	store_unload(f.sp->store, number, 1);
	put(&f, number, 2, "a", 400);
	store_done(f.sp->store, number, 0);
	load(&f, "a", 500, 10);
	ck_assert_uint_eq(got.count, 2);
	ck_assert_uint_eq(got.rows[0].index, 1);
	ck_assert_uint_eq(got.rows[1].index, 2);
	/* Given a row, but kept in memory. */
	store_put(f.sp->store, &(struct row){ .number = number,
					      .index = 5,
					      .lane = SPAN("a"),
					      .flags = ROW_IN_MEMORY });
	load(&f, "a", 500, 10);
	ck_assert_uint_eq(got.count, 0);
	store_unload(f.sp->store, number, 5);
	load(&f, "a", 500, 10);
	ck_assert_uint_eq(got.count, 1);
	load(&f, "nobody", 500, 10);
	ck_assert_uint_eq(got.count, 0);
	ck_assert(got.next_due_ms == UINT64_MAX);
	fix_clear(&f);
}
END_TEST

START_TEST(lanes_that_are_due)
{
	struct fix f;
	uint64_t number;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 6, "m");
	put(&f, number, 0, "later", 900);
	put(&f, number, 1, "second", 200);
	put(&f, number, 2, "first", 100);
	put(&f, number, 3, "third", 300);
	due(&f, 500, 2);
	ck_assert_uint_eq(got.count, 2);
	ck_assert_str_eq(got.lanes[0], "first");
	ck_assert_str_eq(got.lanes[1], "second");
	ck_assert_uint_eq(got.next_due_ms, 300);
	/* They are active and not given again, also after the next transaction. */
	due(&f, 500, 2);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_str_eq(got.lanes[0], "third");
	put(&f, number, 4, "first", 150);
	fix_flush(&f);
	due(&f, 500, 2);
	ck_assert_uint_eq(got.count, 0);
	ck_assert_uint_eq(got.next_due_ms, 900);
	/* At rest: due again, but not before the end of the suspension. */
	store_lane_rest(f.sp->store,
			&(struct store_lane){
				.name = SPAN("first"), .failures = 3, .text = SPAN("refused") },
			400, false);
	store_lane_rest(f.sp->store, &(struct store_lane){ .name = SPAN("second") }, 0, false);
	due(&f, 390, 5);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_str_eq(got.lanes[0], "second");
	ck_assert_uint_eq(got.next_due_ms, 400);
	due(&f, 400, 5);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.lane.failures, 3);
	fix_clear(&f);
}
END_TEST

/* Lanes that were structures at a crash are due again afterwards. */
START_TEST(active_lanes_after_a_crash)
{
	struct fix f;
	uint64_t number;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 2, "m");
	put(&f, number, 0, "a", 100);
	put(&f, number, 1, "a", 200);
	due(&f, 500, 5);
	load(&f, "a", 500, 10);
	ck_assert_uint_eq(got.count, 2);
	store_lane_rest(f.sp->store, &(struct store_lane){ .name = SPAN("a"), .failures = 2 }, 0,
			true);
	fix_flush(&f);
	fix_close(&f, false);
	fix_open(&f);
	due(&f, 500, 5);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.lane.failures, 2);
	load(&f, "a", 500, 10);
	ck_assert_uint_eq(got.count, 2);
	fix_clear(&f);
}
END_TEST

START_TEST(lane_of_new_mail)
{
	struct fix f;
	uint64_t number;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 2, "m");
	answered = false;
	store_lane_open(f.sp->store, SPAN("never seen"), on_open_lane, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.lane.failures, 0);
	ck_assert(got.lane.next_due_ms == UINT64_MAX);
	put(&f, number, 0, "seen", 100);
	store_lane_rest(f.sp->store, &(struct store_lane){ .name = SPAN("seen"), .failures = 7 },
			5000, false);
	fix_flush(&f);
	answered = false;
	store_lane_open(f.sp->store, SPAN("seen"), on_open_lane, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.lane.failures, 7);
	ck_assert_uint_eq(got.lane.next_due_ms, 5000);
	due(&f, 9000, 5);
	ck_assert_uint_eq(got.count, 0);
	fix_clear(&f);
}
END_TEST

static void
on_some(void *arg, const struct row *rows, uint32_t count)
{
	on_load(arg, SPAN_NONE, rows, count, 0);
}

START_TEST(rows_past_their_lifetime)
{
	struct fix f;
	uint64_t old, young, now_ms = clock_wall_ms();

	fix_init(&f);
	fix_open(&f);
	old = message(&f, 3, "old");
	fix_turn(&f, 30);
	uint64_t between = clock_wall_ms();
	fix_turn(&f, 30);
	young = message(&f, 1, "young");
	put(&f, old, 0, "a", now_ms);
	put(&f, old, 1, "a", now_ms + 1000000);
	put(&f, old, 2, "b", now_ms);
	put(&f, young, 0, "a", now_ms);
	answered = false;
	store_expired_rows(f.sp->store, SPAN("a"), false, now_ms, between, NULL, 10, on_some, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.rows[0].number, old);
	ck_assert_uint_eq(got.rows[0].index, 0);
	/* In memory now. */
	answered = false;
	store_expired_rows(f.sp->store, SPAN("a"), false, now_ms, between, NULL, 10, on_some, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.count, 0);
	answered = false;
	store_expired_rows(f.sp->store, SPAN("a"), true, now_ms, UINT32_MAX, NULL, 10, on_some,
			   NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(got.count, 0);
	fix_clear(&f);
}
END_TEST

/* --- expansion ------------------------------------------------------------------------------- */

static void
on_made(void *arg, const struct row *rows, uint32_t count)
{
	on_load(arg, SPAN_NONE, rows, count, 0);
}

static void
expand(struct fix *f, uint64_t number, uint32_t parent, const char *const *addresses, uint32_t n,
       bool is_parent_done)
{
	struct row children[8];

	memset(children, 0, sizeof(children));
	for (uint32_t i = 0; i < n; i++) {
		children[i].address = span_of(addresses[i]);
		children[i].lane = SPAN("x");
		children[i].depth = 1;
	}
	answered = false;
	store_expand(f->sp->store, number, parent, children, n, is_parent_done, on_made, NULL);
	fix_until(f, is_answered);
}

START_TEST(children_of_an_alias)
{
	static const char *const first[] = { "x@y", "z@y", "x@y" }, *const second[] = { "z@y",
											"new@y" };
	struct fix f;
	const struct row *rows;
	uint64_t number;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 2, "m");
	expand(&f, number, 0, first, 3, true);
	ck_assert_uint_eq(got.count, 2);
	ck_assert_uint_eq(got.rows[0].index, 2);
	ck_assert_uint_eq(got.rows[1].index, 3);
	ck_assert_uint_eq(got.rows[0].parent, 0);
	ck_assert_uint_eq(got.rows[0].flags & ROW_CHILD, ROW_CHILD);
	ck_assert_uint_eq(got.rows[0].qid, f.got[0].qid);
	ck_assert_uint_eq(log_find(&f.sp->log, number)->pending, 1);
	/* The result again makes nothing, whatever it says now. */
	expand(&f, number, 0, first, 3, true);
	ck_assert_uint_eq(got.count, 0);
	expand(&f, number, 0, (const char *const[]){ "late@y" }, 1, true);
	ck_assert_uint_eq(got.count, 0);
	/* A finished child keeps its row while the message lives: it is not made again by another parent. */
	store_done(f.sp->store, number, 3);
	expand(&f, number, 1, second, 2, true);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.rows[0].index, 4);
	rows = fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 3);
	ck_assert_int_eq((int)rows[1].state, ROW_DONE);
	ck_assert_uint_eq(counts(&f).rows[ROW_DONE], 1);
	ck_assert_uint_eq(counts(&f).rows[ROW_READY], 2);
	store_done(f.sp->store, number, 2);
	store_done(f.sp->store, number, 4);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(counts(&f).rows[ROW_DONE], 0);
	ck_assert_uint_eq(counts(&f).messages, 0);
	fix_clear(&f);
}
END_TEST

START_TEST(child_of_a_child)
{
	static const char *const first[] = { "list@y" }, *const second[] = { "list@y", "end@y" };
	struct fix f;
	uint64_t number;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 1, "m");
	expand(&f, number, 0, first, 1, true);
	/* In two calls: the parent ends with the second. */
	expand(&f, number, 1, second, 1, false);
	ck_assert_uint_eq(got.count, 0);
	expand(&f, number, 1, second + 1, 1, true);
	ck_assert_uint_eq(got.count, 1);
	ck_assert_uint_eq(got.rows[0].parent, 1);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 2);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	fix_close(&f, false);
	fix_open(&f);
	store_done(f.sp->store, number, 2);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 0);
	fix_clear(&f);
}
END_TEST

/* Expanded, but the children were not committed: expanded again, none had been tried. */
static void
expand_and_die(struct fix *f)
{
	static const char *const addresses[] = { "x@y", "z@y" };

	fix_open(f);
	fix_submit(f, 1, "alias", NULL);
	fix_turn(f, 20);
	expand(f, f->got[0].number, 0, addresses, 2, true);
}

START_TEST(expansion_not_committed)
{
	struct fix f;
	uint32_t n;

	fix_init(&f);
	ck_assert_int_eq(fix_crash(&f, "expanded-not-committed", expand_and_die), SIGKILL);
	fix_open(&f);
	fix_turn(&f, 50);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_uint_eq(f.got[0].live_count, 1);
	fix_rows(&f, f.got[0].number, &n);
	ck_assert_uint_eq(n, 0);
	fix_clear(&f);
}
END_TEST

/* --- reports --------------------------------------------------------------------------------- */

static struct {
	bool has;
	struct store_report r;
	struct bounce bounces[8];
	char address[40], sender[40];
	uint64_t numbers[8];
	uint32_t count;
} rep;

static void
on_report(void *arg, const struct store_report *r)
{
	(void)arg;
	rep.has = r != NULL;
	if (r != NULL) {
		rep.r = *r;
		for (uint32_t i = 0; i < r->count && i < 8; i++)
			rep.bounces[i] = r->bounces[i];
		snprintf(rep.sender, sizeof(rep.sender), "%.*s", SPAN_ARG(r->sender));
		if (r->count > 0)
			snprintf(rep.address, sizeof(rep.address), "%.*s",
				 SPAN_ARG(r->bounces[0].address));
	}
	answered = true;
}

static void
report(struct fix *f, uint64_t number)
{
	answered = false;
	store_get_report(f->sp->store, number, on_report, NULL);
	fix_until(f, is_answered);
}

static void
on_numbers(void *arg, const uint64_t *numbers, uint32_t count)
{
	(void)arg;
	rep.count = count;
	memcpy(rep.numbers, numbers, (count < 8 ? count : 8) * sizeof(*numbers));
	answered = true;
}

START_TEST(bounce_keeps_the_message)
{
	struct fix f;
	uint64_t number;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 2, "m");
	store_bounce(f.sp->store, &(struct bounce){ .number = number,
						    .index = 1,
						    .kind = BOUNCE_FAILED,
						    .reply = 550,
						    .esc = SPAN("5.1.1"),
						    .text = SPAN("no such user"),
						    .is_done = true });
	report(&f, number);
	ck_assert(rep.has);
	ck_assert_uint_eq(rep.r.count, 1);
	ck_assert_uint_eq(rep.r.part, 0);
	ck_assert_str_eq(rep.address, "r1@example.org");
	ck_assert_str_eq(rep.sender, "sender@example.com");
	ck_assert_int_eq((int)rep.bounces[0].kind, BOUNCE_FAILED);
	ck_assert_uint_eq(rep.bounces[0].reply, 550);
	store_done(f.sp->store, number, 0);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	ck_assert_uint_eq(f.sp->log.count, 0);
	fix_close(&f, false);
	fix_open(&f);
	answered = false;
	store_bounce_messages(f.sp->store, 0, 8, on_numbers, NULL);
	fix_until(&f, is_answered);
	ck_assert_uint_eq(rep.count, 1);
	ck_assert_uint_eq(rep.numbers[0], number);
	report(&f, number);
	ck_assert_uint_eq(rep.r.left, 0);
	ck_assert_uint_eq(counts(&f).bounces, 1);
	store_reported(f.sp->store, number, rep.r.last_id);
	ck_assert_uint_eq(counts(&f).bounces, 0);
	ck_assert_uint_eq(counts(&f).messages, 0);
	report(&f, number);
	ck_assert(!rep.has);
	fix_clear(&f);
}
END_TEST

START_TEST(reports_in_parts)
{
	struct fix f;
	uint64_t number;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 3, "m");
	put(&f, number, 0, "l", 1);
	store_bounce(f.sp->store,
		     &(struct bounce){
			     .number = number, .index = 0, .kind = BOUNCE_DELAYED, .until_ms = 9 });
	report(&f, number);
	ck_assert_uint_eq(rep.r.left, 1);
	/* What comes after the report was made is for the next one. */
	store_bounce(f.sp->store, &(struct bounce){ .number = number,
						    .index = 0,
						    .kind = BOUNCE_EXPIRED,
						    .is_done = true });
	store_reported(f.sp->store, number, rep.r.last_id);
	report(&f, number);
	ck_assert_uint_eq(rep.r.part, 1);
	ck_assert_uint_eq(rep.r.count, 1);
	ck_assert_uint_eq(rep.r.left, 0);
	ck_assert_int_eq((int)rep.bounces[0].kind, BOUNCE_EXPIRED);
	store_reported(f.sp->store, number, rep.r.last_id);
	/* Two recipients are still in the log: the message goes with the last of them. */
	ck_assert_uint_eq(counts(&f).messages, 1);
	store_done(f.sp->store, number, 1);
	store_done(f.sp->store, number, 2);
	ck_assert_uint_eq(counts(&f).messages, 0);
	fix_clear(&f);
}
END_TEST

/* --- order and durability -------------------------------------------------------------------- */

static int order[8], order_n;

static void
on_order(void *arg)
{
	order[order_n++] = (int)(intptr_t)arg;
	answered = true;
}

static bool
has_three(struct fix *f)
{
	(void)f;
	return order_n == 3;
}

START_TEST(callbacks_in_order)
{
	struct fix f;
	uint64_t number, begin_ms;

	fix_init(&f);
	fix_open(&f);
	number = message(&f, 3, "m");
	fix_flush(&f);
	order_n = 0;
	begin_ms = clock_mono_ms();
	store_done(f.sp->store, number, 0);
	store_when_durable(f.sp->store, on_order, (void *)1);
	ck_assert_int_eq(order_n, 0);
	store_done(f.sp->store, number, 1);
	store_when_durable(f.sp->store, on_order, (void *)2);
	store_when_durable(f.sp->store, on_order, (void *)3);
	fix_until(&f, has_three);
	ck_assert_int_eq(order[0], 1);
	ck_assert_int_eq(order[2], 3);
	ck_assert_uint_lt(clock_mono_ms() - begin_ms, 1000);
	ck_assert_uint_eq(log_find(&f.sp->log, number)->pending, 1);
	fix_clear(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("store");

	UNIT_TEST(s, deferred_row);
	UNIT_TEST(s, late_result);
	UNIT_TEST(s, rows_survive);
	UNIT_TEST(s, rows_of_a_lane);
	UNIT_TEST(s, lanes_that_are_due);
	UNIT_TEST(s, active_lanes_after_a_crash);
	UNIT_TEST(s, lane_of_new_mail);
	UNIT_TEST(s, rows_past_their_lifetime);
	UNIT_TEST(s, children_of_an_alias);
	UNIT_TEST(s, child_of_a_child);
	UNIT_TEST(s, expansion_not_committed);
	UNIT_TEST(s, bounce_keeps_the_message);
	UNIT_TEST(s, reports_in_parts);
	UNIT_TEST(s, callbacks_in_order);
	return unit_run(s);
}
