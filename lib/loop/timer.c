/* SPDX-License-Identifier: ISC
 *
 * Timers in a binary heap behind one uv timer: setting one again costs no system call and no allocation. Monotonic
 * clock. Runs in any process with a loop.
 */
/* Third party */
#include <uv.h>

/* lib */
#include "base/clock.h"
#include "base/mem.h"
#include "loop/timer.h"

struct timer_set {
	uv_timer_t uv;
	struct timer **heap; /* heap[0] is due first */
	size_t count, cap;
	uint64_t armed_ms; /* what uv waits for, 0: nothing */
};

static void on_uv_timer(uv_timer_t *h);

struct timer_set *
timer_set_new(uv_loop_t *loop)
{
	struct timer_set *s = mem_zalloc(sizeof(*s));

	uv_timer_init(loop, &s->uv);
	s->uv.data = s;
	return s;
}

static void
set_closed(uv_handle_t *h)
{
	struct timer_set *s = h->data;

	mem_free(s->heap);
	mem_free(s);
}

void
timer_set_free(struct timer_set **set)
{
	if (*set == NULL)
		return;
	uv_close((uv_handle_t *)&(*set)->uv, set_closed);
	*set = NULL;
}

void
timer_init(struct timer *t, struct timer_set *set, void (*fn)(void *arg), void *arg)
{
	*t = (struct timer){ .fn = fn, .arg = arg, .set = set };
}

static void
place(struct timer_set *s, size_t i, struct timer *t)
{
	s->heap[i] = t;
	t->pos = i + 1;
}

static void
sift_up(struct timer_set *s, size_t i, struct timer *t)
{
	while (i > 0 && s->heap[(i - 1) / 2]->due_ms > t->due_ms) {
		place(s, i, s->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(s, i, t);
}

static void
sift_down(struct timer_set *s, size_t i, struct timer *t)
{
	for (size_t kid; (kid = 2 * i + 1) < s->count; i = kid) {
		if (kid + 1 < s->count && s->heap[kid + 1]->due_ms < s->heap[kid]->due_ms)
			kid++;
		if (s->heap[kid]->due_ms >= t->due_ms)
			break;
		place(s, i, s->heap[kid]);
	}
	place(s, i, t);
}

/* Let uv wake us for the first one. A later wake-up than needed never happens; an earlier one is harmless. */
static void
arm(struct timer_set *s)
{
	if (s->count == 0) {
		uv_timer_stop(&s->uv);
		s->armed_ms = 0;
		return;
	}
	uint64_t due = s->heap[0]->due_ms;
	if (s->armed_ms != 0 && s->armed_ms <= due)
		return;
	uint64_t now = clock_mono_ms();
	uv_update_time(s->uv.loop);
	uv_timer_start(&s->uv, on_uv_timer, due > now ? due - now : 0, 0);
	s->armed_ms = due;
}

static void
on_uv_timer(uv_timer_t *h)
{
	struct timer_set *s = h->data;
	uint64_t now = clock_mono_ms();

	s->armed_ms = 0;
	while (s->count > 0 && s->heap[0]->due_ms <= now) {
		struct timer *t = s->heap[0];

		timer_stop(t);
		t->fn(t->arg);
	}
	arm(s);
}

void
timer_start(struct timer *t, uint64_t delay_ms)
{
	struct timer_set *s = t->set;
	uint64_t due = clock_mono_ms() + delay_ms;

	if (t->pos != 0) {
		bool is_later = due > t->due_ms;
		t->due_ms = due;
		if (is_later)
			sift_down(s, t->pos - 1, t);
		else
			sift_up(s, t->pos - 1, t);
	} else {
		if (s->count == s->cap) {
			s->cap = s->cap ? 2 * s->cap : 64;
			s->heap = mem_grow(s->heap, s->cap, sizeof(struct timer *));
		}
		t->due_ms = due;
		sift_up(s, s->count++, t);
	}
	arm(s);
}

void
timer_stop(struct timer *t)
{
	struct timer_set *s = t->set;

	if (t->pos == 0)
		return;
	size_t i = t->pos - 1;
	struct timer *last = s->heap[--s->count];
	t->pos = 0;
	if (last == t)
		return;
	if (i > 0 && s->heap[(i - 1) / 2]->due_ms > last->due_ms)
		sift_up(s, i, last);
	else
		sift_down(s, i, last);
}

bool
timer_is_set(const struct timer *t)
{
	return t->pos != 0;
}
