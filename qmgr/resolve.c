/* SPDX-License-Identifier: ISC
 *
 * Asks router where recipients go. Waiting for an answer is a lane, too: recipients of one domain have a waiter, which
 * lets only so many questions be open at a time, so that a domain whose DNS does not answer holds up nobody else. What
 * cannot be asked now waits as a bare entry; its address is read from the spool again. The answer moves a recipient to
 * the lane of its site, or is its outcome. Decides nothing about when a site is tried. Run by qmgr on its loop. */

/* System */
#include <string.h>
/* this program */
#include "qmgr/sched_int.h"

enum {
	ASKS_MAX = 2000,                /* open questions in all */
	ASKS_PER_DOMAIN = 64,
	PAUSE_MS = 1000                 /* after a read error */
};

static void waiter_go_on(void *arg);

/* --- waiters --------------------------------------------------------------------------------- */

void
waiter_name(struct span address, struct buf *out)
{
	ptrdiff_t at = span_rchr(address, '@');
	struct span domain = at >= 0 ? span_sub(address, (size_t)at + 1, LANE_NAME_MAX - 8) : SPAN(".local");

	buf_puts(out, WAITER_NAME_ANY);
	for (size_t i = 0; i < domain.n; i++)
		buf_putc(out, domain.p[i] >= 'A' && domain.p[i] <= 'Z' ? (char)(domain.p[i] | 0x20) : domain.p[i]);
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

static struct waiter *
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

static bool
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

	if (w->asked > 0 || w->refs > 0 || w->waiting.count > 0 || w->is_loading || reading_is_open(&w->reading))
		return;
	if (w->has_more && w->is_active) {
		timer_start(&w->timer, 0);
		return;
	}
	if (w->is_active) {
		store_lane_rest(s->store, &(struct store_lane){ .name = span_of(w->name) }, 0, false);
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

static void
wake_stalled(struct sched *s)
{
	struct waiter *w;

	if (list_is_empty(&s->stalled))
		return;
	w = LIST_ENTRY(s->stalled.next, struct waiter, stalled_link);
	list_remove(&w->stalled_link);
	timer_start(&w->timer, 0);
}

/* --- questions ------------------------------------------------------------------------------- */

static void
ask_send(struct sched *s, struct ask *a)
{
	if (s->router == NULL)
		return;
	a->sent_ms = clock_mono_ms();
	chan_send(s->router, MSG_RESOLVE, &(struct msg_resolve){ .req = a->req, .address = a->facts.address,
		.sender = a->facts.sender, .skip_aliases = a->skip_aliases });
}

static void
ask_new(struct waiter *w, struct entry *e, const struct facts *f, struct lane *from, struct waiter *from_waiter,
	bool skip_aliases)
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
	wake_stalled(s);
	/* Later: our caller may be one of a waiter's own functions. */
	timer_start(&w->timer, 0);
	if (from != NULL) {
		from->refs--;
		timer_start(&from->timer, 0);
	}
}

void
resolve_entry(struct sched *s, struct entry *e, const struct facts *f, struct lane *from, struct waiter *from_waiter,
	      bool skip_aliases)
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

/* --- waiting recipients: their message is read again ------------------------------------------ */

static void
facts_of_extra(const struct waiter *w, const struct spool_msg *msg, const struct envelope *env, const struct entry *e,
	       struct facts *out)
{
	const struct entry_extra *x = e->extra;
	struct env_rcpt rcpt = { .index = e->index, .notify = x->notify, .addr = x->address, .orcpt = x->orcpt, .orig = x->orig };

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
		struct facts f = { .number = number, .index = e->index, .attempts = e->attempts, .flags = e->flags,
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
			bug("recipient %u of message %llu waits, but stands nowhere", e->index, (unsigned long long)e->number);
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
rows_loaded(void *arg, struct span lane, const struct row *rows, uint32_t count, uint64_t next_due_ms)
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

/* --- answers --------------------------------------------------------------------------------- */

/* The row stands in the lane that it was loaded from, or under its waiter; now it belongs to this one. */
static void
move_row(struct sched *s, const struct ask *a, const struct entry *e, const struct lane *to)
{
	const struct facts *f = &a->facts;

	if (!(e->flags & ENTRY_HAS_ROW) || a->from == to)
		return;
	store_put(s->store, &(struct row){ .number = e->number, .index = e->index, .state = ROW_READY,
		.flags = ROW_IN_MEMORY | (e->flags & ENTRY_WARNED ? ROW_WARNED : 0u), .attempts = e->attempts,
		.due_ms = clock_wall_ms(), .last_ms = f->last_ms, .lane = span_of(to->name), .reply = f->reply,
		.esc = f->esc, .text = f->text, .relay = f->relay });
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
		attempt.text = SPAN("The alias leads back to itself, and there is no mailbox of this name");
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
		outcome_of_answer(s, a, e, &(struct attempt){ .status = OUTCOME_DELIVERED, .is_discarded = true,
			.esc = SPAN("2.0.0"), .text = SPAN("discarded, as configured"), .begun_ms = clock_wall_ms(),
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
