/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/loop/worker.c: order, results on the loop's thread, draining, ending. */

/* System */
#include <pthread.h>
#include <unistd.h>
/* Third party */
#include <uv.h>
/* lib */
#include "base/clock.h"
#include "base/mem.h"
#include "loop/worker.h"
/* this program */
#include "tests/unit/unit.h"

struct counting {
	struct worker_job job;
	int number;
	int pause_us;
	pthread_t ran_on;
};

static int ran[1000], ran_n, done[1000], done_n;
static pthread_t done_on;
static struct worker *worker;
static int more;

static void
run(struct worker_job *job)
{
	struct counting *c = (struct counting *)(void *)job;

	if (c->pause_us > 0)
		usleep((useconds_t)c->pause_us);
	c->ran_on = pthread_self();
	ran[ran_n++] = c->number;
}

static void
finish(struct worker_job *job)
{
	struct counting *c = (struct counting *)(void *)job;

	done_on = pthread_self();
	ck_assert(!pthread_equal(c->ran_on, done_on));
	done[done_n++] = c->number;
	/* A job may be given again by its own done(). */
	if (more > 0) {
		more--;
		worker_submit(worker, job);
		return;
	}
	mem_free(c);
}

static void
submit(int number, int pause_us)
{
	struct counting *c = mem_zalloc(sizeof(*c));

	c->job.run = run;
	c->job.done = finish;
	c->number = number;
	c->pause_us = pause_us;
	worker_submit(worker, &c->job);
}

static void
end(uv_loop_t *loop)
{
	worker_free(&worker);
	ck_assert_ptr_null(worker);
	while (uv_run(loop, UV_RUN_DEFAULT) != 0)
		;
	ck_assert_int_eq(uv_loop_close(loop), 0);
}

START_TEST(in_order)
{
	uv_loop_t loop;
	uint64_t until_ms = clock_mono_ms() + 5000;

	uv_loop_init(&loop);
	worker = worker_new(&loop, "test");
	for (int i = 0; i < 1000; i++)
		submit(i, i % 100 == 0 ? 200 : 0);
	while (done_n < 1000 && clock_mono_ms() < until_ms)
		uv_run(&loop, UV_RUN_ONCE);
	ck_assert_int_eq(done_n, 1000);
	for (int i = 0; i < 1000; i++) {
		ck_assert_int_eq(ran[i], i);
		ck_assert_int_eq(done[i], i);
	}
	ck_assert(pthread_equal(done_on, pthread_self()));
	ck_assert_uint_eq(worker_pending(worker), 0);
	end(&loop);
}
END_TEST

START_TEST(drain_waits_for_all)
{
	uv_loop_t loop;

	uv_loop_init(&loop);
	worker = worker_new(&loop, "test");
	more = 5;
	submit(1, 2000);
	submit(2, 2000);
	ck_assert_uint_eq(worker_pending(worker), 2);
	worker_drain(worker);
	/* Those that were given during the drain, too. */
	ck_assert_int_eq(done_n, 7);
	ck_assert_uint_eq(worker_pending(worker), 0);
	end(&loop);
}
END_TEST

START_TEST(free_drains)
{
	uv_loop_t loop;

	uv_loop_init(&loop);
	worker = worker_new(&loop, "test");
	submit(1, 5000);
	submit(2, 0);
	end(&loop);
	ck_assert_int_eq(done_n, 2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("worker");

	UNIT_TEST(s, in_order);
	UNIT_TEST(s, drain_waits_for_all);
	UNIT_TEST(s, free_drains);
	return unit_run(s);
}
