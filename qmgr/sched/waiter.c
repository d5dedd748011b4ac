/* SPDX-License-Identifier: ISC
 *
 * Waiting for router is a lane, too: recipients of one domain have a waiter, which lets only so many questions be open at
 * a time, so that a domain whose DNS does not answer holds up nobody else. What cannot be asked now waits as a bare
 * entry; its address is read from the spool again. Rows that router could not resolve stand under the waiter's name.
 * Questions and answers are resolve.c's. Run by qmgr on its loop. */

/* System */
#include <string.h>
/* this program */
#include "qmgr/sched/sched_int.h"

enum {
	ASKS_MAX = 2000, /* open questions in all */
	ASKS_PER_DOMAIN = 64,
	PAUSE_MS = 1000 /* after a read error */
};

static void waiter_go_on(void *arg);

/* --- waiters --------------------------------------------------------------------------------- */

void
waiter_name(struct span address, struct buf *out)
{
	ptrdiff_t at = span_rchr(address, '@');
	struct span domain = at >= 0 ? span_sub(address, (size_t)at + 1, LANE_NAME_MAX - 8)
				     : SPAN(".local");

	buf_puts(out, WAITER_NAME_ANY);
	for (size_t i = 0; i < domain.n; i++)
		buf_putc(out, domain.p[i] >= 'A' && domain.p[i] <= 'Z' ? (char)(domain.p[i] | 0x20)
								       : domain.p[i]);
}

struct waiter *
waiter_get(struct sched *s, struct span name)
{
	struct waiter *w = map_get(&s->waiters, name);

	if (w != NULL)
		return w;
	w = mem_zalloc(sizeof(*w));
	w->s = s;
	w->name = mem_dup_span(name);
	w->next_row_ms = NEVER;
	list_init(&w->stalled_link);
	timer_init(&w->timer, s->q->timers, waiter_go_on, w);
	map_put(&s->waiters, name, w);
	return w;
}

struct waiter *
waiter_of(struct sched *s, struct span address)
{
	struct waiter *w;
	struct buf name;

	buf_init(&name, LANE_NAME_MAX);
	waiter_name(address, &name);
	w = waiter_get(s, buf_span(&name));
	buf_clear(&name);
	return w;
}

bool
waiter_has_room(const struct waiter *w)
{
	return w->s->ask_count < ASKS_MAX && w->asked < ASKS_PER_DOMAIN;
}

bool
resolve_has_room(const struct sched *s, struct span address)
{
	const struct waiter *w;
	struct buf name;

	buf_init(&name, LANE_NAME_MAX);
	waiter_name(address, &name);
	w = map_get(&s->waiters, buf_span(&name));
	buf_clear(&name);
	return w != NULL ? waiter_has_room(w) : s->ask_count < ASKS_MAX;
}

void
waiter_end_if_idle(struct waiter *w)
{
	struct sched *s = w->s;

	if (w->asked > 0 || w->refs > 0 || w->waiting.count > 0 || w->is_loading ||
	    reading_is_open(&w->reading))
		return;
	if (w->has_more && w->is_active) {
		timer_start(&w->timer, 0);
		return;
	}
	if (w->is_active) {
		store_lane_rest(s->store, &(struct store_lane){ .name = span_of(w->name) }, 0,
				false);
		sched_due_at(s, w->next_row_ms);
	}
	timer_stop(&w->timer);
	list_remove(&w->stalled_link);
	map_del(&s->waiters, span_of(w->name));
	mem_free(w->name);
	mem_free(w);
}

/* There is no room for further questions: go on when one is answered. */
static void
waiter_stall(struct waiter *w)
{
	list_remove(&w->stalled_link);
	list_push_back(&w->s->stalled, &w->stalled_link);
}

void
waiter_wake_stalled(struct sched *s)
{
	struct waiter *w;

	if (list_is_empty(&s->stalled))
		return;
	w = LIST_ENTRY(s->stalled.next, struct waiter, stalled_link);
	list_remove(&w->stalled_link);
	timer_start(&w->timer, 0);
}

/* --- waiting recipients: their message is read again ------------------------------------------ */

static void
facts_of_extra(const struct waiter *w, const struct spool_msg *msg, const struct envelope *env,
	       const struct entry *e, struct facts *out)
{
	const struct entry_extra *x = e->extra;
	struct env_rcpt rcpt = { .index = e->index,
				 .notify = x->notify,
				 .addr = x->address,
				 .orcpt = x->orcpt,
				 .orig = x->orig };

	(void)w;
	facts_of_msg(msg, env, &rcpt, out);
	if (x->has_sender)
		out->sender = x->sender;
	out->is_child = true;
	out->is_single = false;
	out->depth = x->depth;
	out->parent = x->parent;
}

/* The message cannot be read: what waits of it is held. */
static void
hold_waiting(struct waiter *w, uint64_t number, const char *why)
{
	struct settle *t = settle_new(w->s);
	struct entry *e;

	while ((e = entry_at(&w->s->entries, w->waiting.head)) != NULL && e->number == number) {
		struct facts f = { .number = number,
				   .index = e->index,
				   .attempts = e->attempts,
				   .flags = e->flags,
				   .place = e->place };

		entry_remove(&w->s->entries, &w->waiting, e);
		outcome_hold(t, &f, ROW_CORRUPT, span_of(w->name), why);
		entry_free(&w->s->entries, e);
	}
	settle_commit(t);
}

/* Ask for the recipients of this message at the front of the list, as far as there is room. */
static void
ask_waiting(struct waiter *w, const struct spool_msg *msg, const struct envelope *env)
{
	bool is_any = strcmp(w->name, WAITER_NAME_ANY) == 0;
	struct sched *s = w->s;
	struct entry *e;
	struct facts f;

	while ((e = entry_at(&s->entries, w->waiting.head)) != NULL && e->number == msg->number) {
		if (!is_any && !waiter_has_room(w))
			break;
		if (e->extra != NULL && e->extra->is_child)
			facts_of_extra(w, msg, env, e, &f);
		else if (e->index < env->rcpt_count)
			facts_of_msg(msg, env, &env->rcpts[e->index], &f);
		else
			bug("recipient %u of message %llu waits, but stands nowhere", e->index,
			    (unsigned long long)e->number);
		f.attempts = e->attempts;
		f.flags = e->flags;
		f.is_single = f.is_single && !(e->flags & ENTRY_HAS_ROW);
		entry_remove(&s->entries, &w->waiting, e);
		if (is_any)
			resolve_entry(s, e, &f, NULL, NULL, e->extra != NULL && e->extra->no_alias);
		else
			ask_new(w, e, &f, NULL, NULL, e->extra != NULL && e->extra->no_alias);
	}
}

static void
waiting_read(void *arg, int err, const struct spool_msg *msg)
{
	struct waiter *w = arg;
	struct envelope env;
	struct arena a;

	arena_init(&a, 4096);
	if (err == 0)
		err = envelope_decode(msg->envelope, &a, &env);
	if (err == 0)
		ask_waiting(w, msg, &env);
	else if (err != E_IO)
		hold_waiting(w, w->reading_number, "its stored record is damaged");
	arena_clear(&a);
	reading_end(&w->reading);
	timer_start(&w->timer, err == E_IO ? PAUSE_MS : 0);
}

/* --- rows of a waiter ------------------------------------------------------------------------- */

static void
rows_loaded(void *arg, struct span lane, const struct row *rows, uint32_t count,
	    uint64_t next_due_ms)
{
	struct waiter *w = arg;

	(void)lane;
	w->is_loading = false;
	w->next_row_ms = next_due_ms;
	w->has_more = next_due_ms <= clock_wall_ms();
	for (uint32_t i = 0; i < count; i++)
		sched_take_row(w->s, &rows[i], NULL, w);
	timer_start(&w->timer, 0);
}

void
waiter_load(struct waiter *w)
{
	uint32_t room = ASKS_PER_DOMAIN;

	w->is_active = true;
	w->has_more = true;
	if (w->is_loading || w->s->is_stopping)
		return;
	if (!waiter_has_room(w)) {
		waiter_stall(w);
		return;
	}
	if (sched_is_full(w->s)) {
		timer_start(&w->timer, PAUSE_MS);
		return;
	}
	room = room < ASKS_MAX - w->s->ask_count ? room : ASKS_MAX - w->s->ask_count;
	if (room > ASKS_PER_DOMAIN - w->asked)
		room = ASKS_PER_DOMAIN - w->asked;
	w->is_loading = true;
	w->has_more = false;
	store_load_lane(w->s->store, span_of(w->name), clock_wall_ms(), room, rows_loaded, w);
}

/* The next step of a waiter: ask for those who wait, load rows, or end. */
static void
waiter_go_on(void *arg)
{
	struct waiter *w = arg;
	struct sched *s = w->s;
	bool is_any = strcmp(w->name, WAITER_NAME_ANY) == 0;
	struct entry *first = entry_at(&s->entries, w->waiting.head);

	if (reading_is_open(&w->reading))
		return;
	if (first != NULL) {
		/* An answer of its own wakes it, too. */
		if (!is_any && !waiter_has_room(w)) {
			waiter_stall(w);
			return;
		}
		w->reading_number = first->number;
		reading_start(&w->reading, s->spool, first->number, &first->place, waiting_read, w);
		return;
	}
	if (w->has_more && w->is_active) {
		waiter_load(w);
		return;
	}
	waiter_end_if_idle(w);
}
