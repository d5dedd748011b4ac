/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/loop/timer.c: the heap against a plain list, with a faked clock. */

/* System */
#include <stdlib.h>

/* Third party */
#include <uv.h>

/* lib */
#include "base/clock.h"
#include "loop/timer.h"
/* this program */
#include "tests/unit/unit.h"

#define COUNT 200
static struct timer timers[COUNT];
static uint64_t due[COUNT]; /* 0: not set */
static uint64_t now_ms, last_ms;
static unsigned fired;

static void
on_timer(void *arg)
{
	struct timer *t = arg;
	size_t i = (size_t)(t - timers);

	ck_assert(!timer_is_set(t));
	ck_assert_uint_ne(due[i], 0);
	ck_assert_uint_le(due[i], now_ms);
	ck_assert_uint_ge(due[i], last_ms);
	last_ms = due[i];
	due[i] = 0;
	fired++;
}

START_TEST(fires_in_order_what_is_set)
{
	uv_loop_t loop;
	unsigned want = 0;

	uv_loop_init(&loop);
	srand(7);
	now_ms = 1000;
	clock_fake_set(1, now_ms * 1000);
	struct timer_set *set = timer_set_new(&loop);
	for (unsigned i = 0; i < COUNT; i++)
		timer_init(&timers[i], set, on_timer, &timers[i]);
	for (unsigned step = 0; step < 20000; step++) {
		unsigned i = (unsigned)rand() % COUNT;
		if (rand() % 3 == 0) {
			timer_stop(&timers[i]);
			due[i] = 0;
		} else {
			uint64_t delay = (uint64_t)rand() % 5000;
			timer_start(&timers[i], delay);
			due[i] = now_ms + delay;
		}
		ck_assert_int_eq(timer_is_set(&timers[i]), due[i] != 0);
	}
	for (unsigned i = 0; i < COUNT; i++)
		want += due[i] != 0;
	ck_assert_uint_gt(want, 50);
	/* uv's own clock is real: wake it at once by a timer that is due now. */
	now_ms += 6000;
	clock_fake_set(1, now_ms * 1000);
	timer_start(&timers[0], 0);
	want += due[0] == 0;
	due[0] = now_ms;
	uv_run(&loop, UV_RUN_ONCE);
	ck_assert_uint_eq(fired, want);
	for (unsigned i = 0; i < COUNT; i++)
		ck_assert_uint_eq(due[i], 0);
	timer_set_free(&set);
	uv_run(&loop, UV_RUN_DEFAULT);
	ck_assert_int_eq(uv_loop_close(&loop), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("timer");

	UNIT_TEST(s, fires_in_order_what_is_set);
	return unit_run(s);
}
