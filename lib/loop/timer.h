/* SPDX-License-Identifier: ISC */
#ifndef LOOP_TIMER_H
#define LOOP_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Timers cheap enough to have one per connection and to be set again at every byte: a heap in one uv timer. Embedded in
 * the owner; needs no free, but timer_stop() before its memory goes. */
struct uv_loop_s;
struct timer_set;

struct timer {
	uint64_t due_ms; /* clock_mono_ms() */
	size_t pos;	 /* place in the heap + 1; 0: not set */
	void (*fn)(void *arg);
	void *arg;
	struct timer_set *set;
};

struct timer_set *timer_set_new(struct uv_loop_s *loop);
void timer_set_free(struct timer_set **set);
void timer_init(struct timer *t, struct timer_set *set, void (*fn)(void *arg), void *arg);
/* Fire once after delay_ms; set again: replaces. */
void timer_start(struct timer *t, uint64_t delay_ms);
void timer_stop(struct timer *t);
bool timer_is_set(const struct timer *t);

#endif
