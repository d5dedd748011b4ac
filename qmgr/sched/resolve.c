/* SPDX-License-Identifier: ISC
 *
 * Asks router where recipients go. The answer moves a recipient to the lane of its site, makes others of it (expand.c), or
 * is its outcome. Those that cannot be asked now are waiter.c's. Decides nothing about when a site is tried. Run by qmgr
 * on its loop. */

/* System */
#include <string.h>
/* this program */
#include "qmgr/sched/sched_int.h"

/* --- questions ------------------------------------------------------------------------------- */

static void
ask_send(struct sched *s, struct ask *a)
{
	if (s->router == NULL)
		return;
	a->sent_ms = clock_mono_ms();
	chan_send(s->router, MSG_RESOLVE,
		  &(struct msg_resolve){ .req = a->req,
					 .address = a->facts.address,
					 .sender = a->facts.sender,
					 .skip_aliases = a->skip_aliases });
}

void
ask_new(struct waiter *w, struct entry *e, const struct facts *f, struct lane *from,
	struct waiter *from_waiter, bool skip_aliases)
{
	struct sched *s = w->s;
	struct ask *a = mem_zalloc(sizeof(*a));

	a->req = ++s->last_req;
	a->entry_id = e->id;
	a->waiter = w;
	a->from = from;
	a->from_waiter = from_waiter;
	a->skip_aliases = skip_aliases;
	arena_init(&a->arena, 512);
	facts_copy(&a->arena, f, &a->facts);
	w->asked++;
	if (from != NULL) {
		lane_ref(from);
		from->asked++;
	}
	if (from_waiter != NULL)
		from_waiter->refs++;
	e->state = ENTRY_ASKED;
	e->waiter = w;
	map64_put(&s->asks, a->req, a);
	list_push_back(&s->ask_list, &a->link);
	s->ask_count++;
	s->stats.asks++;
	ask_send(s, a);
}

void
ask_end(struct sched *s, struct ask *a)
{
	struct waiter *w = a->waiter, *from = a->from_waiter;

	map64_del(&s->asks, a->req);
	list_remove(&a->link);
	s->ask_count--;
	w->asked--;
	if (a->from != NULL) {
		a->from->asked--;
		/* Its rows may all belong to other lanes by now: then nothing else asks for the next ones. */
		lane_kick(a->from);
		lane_unref(a->from);
	}
	arena_clear(&a->arena);
	mem_free(a);
	waiter_wake_stalled(s);
	/* Later: our caller may be one of a waiter's own functions. */
	timer_start(&w->timer, 0);
	if (from != NULL) {
		from->refs--;
		timer_start(&from->timer, 0);
	}
}

void
resolve_entry(struct sched *s, struct entry *e, const struct facts *f, struct lane *from,
	      struct waiter *from_waiter, bool skip_aliases)
{
	struct waiter *w = waiter_of(s, f->address);

	if (from != NULL || from_waiter != NULL || (waiter_has_room(w) && w->waiting.count == 0)) {
		ask_new(w, e, f, from, from_waiter, skip_aliases);
		return;
	}
	e->state = ENTRY_WAITING;
	e->waiter = w;
	entry_push_back(&s->entries, &w->waiting, e);
	timer_start(&w->timer, 0);
}

void
resolve_later(struct sched *s, struct entry *e)
{
	struct waiter *w = waiter_get(s, SPAN(WAITER_NAME_ANY));

	e->state = ENTRY_WAITING;
	e->waiter = w;
	entry_push_back(&s->entries, &w->waiting, e);
	timer_start(&w->timer, 0);
}

void
resolve_forget(struct sched *s, const struct entry *e)
{
	LIST_EACH(it, &s->ask_list) {
		struct ask *a = LIST_ENTRY(it, struct ask, link);

		if (a->entry_id == e->id)
			a->entry_id = 0;
	}
}

void
resolve_router_up(struct sched *s, struct chan *c)
{
	s->router = c;
	LIST_EACH(it, &s->ask_list)
		ask_send(s, LIST_ENTRY(it, struct ask, link));
}

void
resolve_router_lost(struct sched *s)
{
	s->router = NULL;
	LIST_EACH(it, &s->ask_list)
		LIST_ENTRY(it, struct ask, link)->sent_ms = 0;
}

/* --- answers --------------------------------------------------------------------------------- */

/* The row stands in the lane that it was loaded from, or under its waiter; now it belongs to this one. */
static void
move_row(struct sched *s, const struct ask *a, const struct entry *e, const struct lane *to)
{
	const struct facts *f = &a->facts;

	if (!(e->flags & ENTRY_HAS_ROW) || a->from == to)
		return;
	store_put(s->store, &(struct row){ .number = e->number,
					   .index = e->index,
					   .state = ROW_READY,
					   .flags = ROW_IN_MEMORY |
						    (e->flags & ENTRY_WARNED ? ROW_WARNED : 0u),
					   .attempts = e->attempts,
					   .due_ms = clock_wall_ms(),
					   .last_ms = f->last_ms,
					   .lane = span_of(to->name),
					   .reply = f->reply,
					   .esc = f->esc,
					   .text = f->text,
					   .relay = f->relay });
}

/* Each mailbox is a lane of its own, whatever router calls its site: its plan holds the path. */
static void
lane_name_of(const struct msg_resolved *m, const struct plan *plan, struct buf *out)
{
	static const uint64_t key[2] = { 0x706f737465726e31, 0x6c616e656e616d65 };

	buf_put_span(out, m->site);
	if (plan->transport == TRANSPORT_MAILDIR)
		buf_printf(out, "#%016llx", (unsigned long long)map_siphash(key, m->plan));
}

static void
outcome_of_answer(struct sched *s, struct ask *a, struct entry *e, const struct attempt *attempt)
{
	struct settle *t = settle_new(s);

	outcome_apply(t, &a->facts, attempt);
	settle_commit(t);
	entry_free(&s->entries, e);
	ask_end(s, a);
}

static void
answer_negative(struct sched *s, struct ask *a, struct entry *e, const struct msg_resolved *m)
{
	struct attempt attempt = {
		.status = m->action == ROUTE_REJECT ? OUTCOME_BOUNCED : OUTCOME_DEFERRED,
		.reply = m->reply,
		.esc = m->esc,
		.text = m->text,
		.begun_ms = clock_wall_ms(),
		.transport = -1,
		.lane = span_of(a->waiter->name),
	};

	if (m->action == ROUTE_REJECT && a->skip_aliases) {
		attempt.reply = (uint16_t)err_info(E_LOOP)->reply;
		attempt.esc = span_of(err_info(E_LOOP)->esc);
		attempt.text = SPAN(
			"The alias leads back to itself, and there is no mailbox of this name");
	}
	outcome_of_answer(s, a, e, &attempt);
}

static void
answer_deliver(struct sched *s, struct ask *a, struct entry *e, const struct msg_resolved *m)
{
	struct lane *l;
	struct plan plan;
	struct arena arena;
	struct buf name;

	arena_init(&arena, 2048);
	buf_init(&name, LANE_NAME_MAX);
	if (plan_decode(m->plan, &arena, &plan) < 0)
		die_temp("router gave a plan that cannot be read");
	lane_name_of(m, &plan, &name);
	l = lane_get(s, buf_span(&name));
	lane_set_plan(l, m->site, m->plan, &plan);
	buf_clear(&name);
	arena_clear(&arena);
	entry_set_final(&s->entries, e, span_eq(m->final, a->facts.address) ? SPAN_NONE : m->final);
	move_row(s, a, e, l);
	e->lane = l;
	lane_ref(l);
	if (alone_is_suspect(s, e->number))
		alone_add(s, e);
	else
		lane_add(l, e);
	ask_end(s, a);
}

static void
answer_take(struct sched *s, struct ask *a, struct entry *e, const struct msg_resolved *m)
{
	switch ((enum route_action)m->action) {
	case ROUTE_DELIVER:
		answer_deliver(s, a, e, m);
		break;
	case ROUTE_EXPAND:
		expand_start(s, a, m->expansion);
		break;
	case ROUTE_DISCARD:
		outcome_of_answer(s, a, e,
				  &(struct attempt){ .status = OUTCOME_DELIVERED,
						     .is_discarded = true,
						     .esc = SPAN("2.0.0"),
						     .text = SPAN("discarded, as configured"),
						     .begun_ms = clock_wall_ms(),
						     .transport = -1 });
		break;
	case ROUTE_REJECT:
	case ROUTE_TEMPFAIL:
		answer_negative(s, a, e, m);
		break;
	case ROUTE_ACTION_COUNT:
		die_temp("router gave an answer that is not known here");
	}
}

void
resolve_answer(struct sched *s, const struct msg_resolved *m)
{
	struct ask *a = map64_get(&s->asks, m->req);
	struct entry *e;

	/* Asked by our predecessor, or answered twice after router had restarted. */
	if (a == NULL)
		return;
	e = entry_at(&s->entries, a->entry_id);
	if (e == NULL) {
		ask_end(s, a);
		return;
	}
	/* A second answer finds an expansion under way. */
	if (e->state == ENTRY_ASKED)
		answer_take(s, a, e, m);
}

/* --- start and end --------------------------------------------------------------------------- */

void
resolve_init(struct sched *s)
{
	map_init(&s->waiters);
	map64_init(&s->asks);
	list_init(&s->ask_list);
	list_init(&s->stalled);
	/* Not those of our predecessor, whose answers may still be on their way. */
	s->last_req = clock_wall_us();
}

void
resolve_clear(struct sched *s)
{
	struct span name;
	void *value;

	LIST_EACH_SAFE(it, tmp, &s->ask_list) {
		struct ask *a = LIST_ENTRY(it, struct ask, link);

		arena_clear(&a->arena);
		mem_free(a);
	}
	for (size_t it = 0; map_next(&s->waiters, &it, &name, &value);) {
		struct waiter *w = value;

		timer_stop(&w->timer);
		reading_end(&w->reading);
		mem_free(w->name);
		mem_free(w);
	}
	map_clear(&s->waiters);
	map64_clear(&s->asks);
}
