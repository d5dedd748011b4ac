/* SPDX-License-Identifier: ISC
 *
 * A lane: the recipients of one receiving site, in memory and as rows. What happens when its site does not work is
 * suspend.c's, connections are dispatch.c's, limits and message_rate limit.c's. Run by qmgr on its loop.
 *
 *	new --store_lane_open--> open --ready or due rows--> sessions --idle--> dropped (store_lane_rest)
 *	open --connection failed--> suspended --time is up--> one row is loaded: a probe --works--> open */

/* System */
#include <string.h>
/* this program */
#include "qmgr/sched/sched_int.h"

enum {
	IDLE_KEEP_MS = 10000, /* an idle structure is kept so long */
	SUSPENDED_KEEP_MS = 60000,
	REFILL_ROWS = 50 /* rows of a healthy lane that are loaded ahead */
};

static void lane_wake(void *arg);

/* --- life ------------------------------------------------------------------------------------ */

static void
lane_opened(void *arg, struct span name, const struct store_lane *known)
{
	struct lane *l = lane_find(arg, name);

	if (l == NULL)
		return;
	l->is_opening = false;
	lane_known(l, known);
	lane_check_idle(l);
}

struct lane *
lane_find(struct sched *s, struct span name)
{
	return map_get(&s->lanes, name);
}

struct lane *
lane_get(struct sched *s, struct span name)
{
	struct lane *l = lane_find(s, name);

	if (l != NULL)
		return l;
	l = mem_zalloc(sizeof(*l));
	l->s = s;
	l->name = mem_dup_span(name);
	l->site = mem_dup_span(SPAN_NONE);
	l->esc = mem_dup_span(SPAN_NONE);
	l->text = mem_dup_span(SPAN_NONE);
	l->relay = mem_dup_span(SPAN_NONE);
	l->next_row_ms = NEVER;
	l->max_sessions = UINT32_MAX;
	l->want = WANT_NOTHING;
	list_init(&l->sessions);
	list_init(&l->want_link);
	list_init(&l->kick_link);
	list_init(&l->idle_link);
	list_init(&l->share_link);
	timer_init(&l->timer, s->q->timers, lane_wake, l);
	map_put(&s->lanes, name, l);
	s->lane_bytes += sizeof(*l) + 2 * name.n + 200;
	l->is_opening = true;
	store_lane_open(s->store, name, lane_opened, s);
	return l;
}

static void
lane_free(struct lane *l)
{
	struct sched *s = l->s;

	timer_stop(&l->timer);
	dispatch_leave(l);
	share_leave(l);
	list_remove(&l->kick_link);
	list_remove(&l->idle_link);
	map_del(&s->lanes, span_of(l->name));
	s->lane_bytes -= sizeof(*l) + 2 * strlen(l->name) + 200 + l->plan_n;
	mem_free(l->name);
	mem_free(l->site);
	mem_free(l->plan);
	mem_free(l->esc);
	mem_free(l->text);
	mem_free(l->relay);
	mem_free(l);
}

static bool
lane_is_idle(const struct lane *l)
{
	return l->refs == 0 && list_is_empty(&l->sessions) && !l->is_opening && !l->is_loading &&
	       !l->is_sweeping;
}

void
lane_check_idle(struct lane *l)
{
	list_remove(&l->idle_link);
	if (!lane_is_idle(l))
		return;
	l->idle_since_ms = clock_mono_ms();
	list_push_back(&l->s->idle_lanes, &l->idle_link);
}

struct store_lane
lane_record(const struct lane *l)
{
	return (struct store_lane){ .name = span_of(l->name),
				    .failures = l->failures,
				    .esc = span_of(l->esc),
				    .text = span_of(l->text),
				    .reply = l->reply };
}

static void
lane_drop(struct lane *l)
{
	struct store_lane record = lane_record(l);

	store_lane_rest(l->s->store, &record, l->not_before_ms, false);
	if (l->next_row_ms != NEVER)
		sched_due_at(l->s,
			     l->next_row_ms > l->not_before_ms ? l->next_row_ms : l->not_before_ms);
	lane_free(l);
}

/* Oldest first; what is due soon or suspended is kept longer, unless memory is short. */
void
lane_tick(struct sched *s)
{
	uint64_t now = clock_mono_ms();
	bool is_short = sched_is_full(s);

	LIST_EACH_SAFE(it, tmp, &s->idle_lanes) {
		struct lane *l = LIST_ENTRY(it, struct lane, idle_link);
		uint64_t age = now - l->idle_since_ms;

		if (age < IDLE_KEEP_MS && !is_short)
			break;
		if (!lane_is_idle(l)) {
			list_remove(&l->idle_link);
			continue;
		}
		if (is_short || !lane_is_suspended(l) || age >= SUSPENDED_KEEP_MS)
			lane_drop(l);
	}
}

void
lane_clear_all(struct sched *s)
{
	struct span name;
	void *value;

	for (size_t it = 0; map_next(&s->lanes, &it, &name, &value);)
		lane_free(value);
	map_clear(&s->lanes);
	map_clear(&s->shares);
}

void
lane_ref(struct lane *l)
{
	l->refs++;
	list_remove(&l->idle_link);
}

void
lane_unref(struct lane *l)
{
	if (l->refs-- == 0)
		bug("lane %s: released once too often", l->name);
	if (l->refs == 0)
		lane_check_idle(l);
}

void
lane_set_text(char **field, struct span value)
{
	mem_free(*field);
	*field = mem_dup_span(value);
}

void
lane_set_plan(struct lane *l, struct span site, struct span plan, const struct plan *decoded)
{
	if (l->plan != NULL && span_eq(span_make(l->plan, l->plan_n), plan))
		return;
	l->s->lane_bytes += plan.n - l->plan_n;
	mem_free(l->plan);
	l->plan = mem_dup_span(plan);
	l->plan_n = plan.n;
	l->transport = decoded->transport;
	dispatch_leave(l);
	l->pool = decoded->transport == TRANSPORT_MAILDIR ? POOL_MAILBOX : POOL_REMOTE;
	lane_set_text(&l->site, site);
	lane_set_limits(l, decoded);
}

/* --- recipients ------------------------------------------------------------------------------- */

static struct entry_list *
list_of(struct lane *l, const struct entry *e)
{
	return e->flags & ENTRY_IS_RETRY ? &l->retry : &l->fresh;
}

void
lane_add(struct lane *l, struct entry *e)
{
	e->state = ENTRY_READY;
	entry_push_back(&l->s->entries, list_of(l, e), e);
	lane_kick(l);
}

void
lane_put_back(struct lane *l, struct entry *e)
{
	e->state = ENTRY_READY;
	entry_push_front(&l->s->entries, list_of(l, e), e);
	lane_kick(l);
}

void
lane_take(struct lane *l, struct entry *e)
{
	entry_remove(&l->s->entries, list_of(l, e), e);
}

uint32_t
lane_ready(const struct lane *l)
{
	return l->fresh.count + l->retry.count;
}

/* New mail and rows take turns, so neither starves. */
struct entry *
lane_pop(struct lane *l)
{
	struct entry_list *list = l->is_retry_turn ? &l->retry : &l->fresh;

	if (list->count == 0)
		list = l->is_retry_turn ? &l->fresh : &l->retry;
	l->is_retry_turn = list == &l->fresh;
	return entry_pop(&l->s->entries, list);
}

/* The failed connection was an attempt of this one, too. Its address stands on the disk; other events name it. */
static void
put_event(const struct lane *l, const struct entry *e)
{
	struct spool_slot slot;

	store_event(l->s->store,
		    &(struct event){ .kind = EVENT_DEFERRED,
				     .at_ms = clock_wall_ms(),
				     .number = e->number,
				     .qid = spool_find_number(l->s->spool, e->number, &slot) == 0
						    ? slot.qid
						    : 0,
				     .index_plus_1 = e->index + 1,
				     .attempt = e->attempts + 1u,
				     .reply = l->reply,
				     .esc = span_of(l->esc),
				     .text = span_of(l->text),
				     .relay = span_of(l->relay) });
}

void
lane_entry_to_row(struct lane *l, struct entry *e, bool is_attempt, uint64_t due_ms)
{
	struct sched *s = l->s;

	if (e->flags & ENTRY_HAS_ROW && !is_attempt) {
		store_unload(s->store, e->number, e->index);
		due_ms = clock_wall_ms();
	} else {
		if (is_attempt && store_wants_events(s->store))
			put_event(l, e);
		store_put(s->store,
			  &(struct row){ .number = e->number,
					 .index = e->index,
					 .state = ROW_READY,
					 .flags = e->flags & ENTRY_WARNED ? ROW_WARNED : 0u,
					 .attempts = e->attempts + is_attempt,
					 .due_ms = due_ms,
					 .last_ms = is_attempt ? clock_wall_ms() : 0,
					 .lane = span_of(l->name),
					 .reply = is_attempt ? l->reply : 0,
					 .esc = is_attempt ? span_of(l->esc) : SPAN_NONE,
					 .text = is_attempt ? span_of(l->text) : SPAN_NONE,
					 .relay = is_attempt ? span_of(l->relay) : SPAN_NONE });
	}
	lane_row_due(l, due_ms);
	entry_free(&s->entries, e);
	lane_unref(l);
}

/* The last ones go first: they would wait longest. */
void
lane_spill(struct lane *l, uint32_t keep)
{
	struct sched *s = l->s;

	while (lane_ready(l) > keep) {
		struct entry_list *list = l->fresh.count > 0 ? &l->fresh : &l->retry;
		struct entry *e = entry_at(&s->entries, list->tail);

		entry_remove(&s->entries, list, e);
		lane_ref(l);
		lane_entry_to_row(l, e, false, clock_wall_ms());
		lane_unref(l);
	}
}

/* --- rows ------------------------------------------------------------------------------------ */

void
lane_known(struct lane *l, const struct store_lane *known)
{
	l->is_open = true;
	l->failures = known->failures;
	l->reply = known->reply;
	lane_set_text(&l->esc, known->esc);
	lane_set_text(&l->text, known->text);
	l->not_before_ms = l->is_lifted ? 0 : known->not_before_ms;
	if (l->is_lifted)
		l->next_row_ms = 0;
	else if (known->next_due_ms < l->next_row_ms)
		l->next_row_ms = known->next_due_ms;
	l->is_lifted = false;
	lane_kick(l);
}

void
lane_row_due(struct lane *l, uint64_t due_ms)
{
	if (due_ms < l->next_row_ms)
		l->next_row_ms = due_ms;
	lane_kick(l);
}

static void
rows_loaded(void *arg, struct span name, const struct row *rows, uint32_t count,
	    uint64_t next_due_ms)
{
	struct lane *l = arg;

	(void)name;
	l->is_loading = false;
	l->next_row_ms = next_due_ms;
	lane_ref(l);
	for (uint32_t i = 0; i < count; i++)
		sched_take_row(l->s, &rows[i], l, NULL);
	lane_unref(l);
	lane_check_idle(l);
	lane_kick(l);
}

/* How many rows the lane can use now. */
static uint32_t
rows_wanted(const struct lane *l)
{
	uint32_t have = l->retry.count + l->asked;

	/* One recipient finds out whether the site works. */
	if (!l->is_proven)
		return lane_ready(l) + l->asked == 0 && l->session_count == 0;
	if (sched_is_full(l->s))
		return have == 0;
	return have < REFILL_ROWS / 2 ? REFILL_ROWS - have : 0;
}

void
lane_refill(struct lane *l)
{
	struct sched *s = l->s;
	uint64_t now = clock_wall_ms();
	uint32_t wanted;

	if (!l->is_open || l->is_loading || lane_is_suspended(l) || s->is_stopping ||
	    sched_row_wait(s, l->next_row_ms, now) > 0)
		return;
	if ((wanted = rows_wanted(l)) == 0)
		return;
	l->is_loading = true;
	list_remove(&l->idle_link);
	store_load_lane(s->store, span_of(l->name), l->next_row_ms > now ? l->next_row_ms : now,
			wanted, rows_loaded, l);
}

/* --- time ------------------------------------------------------------------------------------ */

static void
sooner(uint64_t *wait_ms, uint64_t other_ms)
{
	if (other_ms < *wait_ms)
		*wait_ms = other_ms;
}

/* When something changes by itself: the suspension ends, a row is due, the rate or the site allows more. */
void
lane_arm(struct lane *l)
{
	uint64_t wall = clock_wall_ms(), mono = clock_mono_ms(), wait = NEVER;

	if (lane_is_suspended(l)) {
		wait = l->not_before_ms - wall;
	} else {
		if (l->is_open && !l->is_loading && rows_wanted(l) > 0)
			sooner(&wait, sched_row_wait(l->s, l->next_row_ms, wall));
		if (lane_ready(l) > 0 && lane_rate_wait_us(l) > 0)
			sooner(&wait, lane_rate_wait_us(l) / 1000 + 1);
		if (lane_ready(l) > 0 && l->no_more_until_ms > mono)
			sooner(&wait, l->no_more_until_ms - mono);
	}
	if (wait == NEVER)
		timer_stop(&l->timer);
	else
		timer_start(&l->timer, wait);
}

static void
lane_wake(void *arg)
{
	lane_kick(arg);
}

void
lane_kick(struct lane *l)
{
	if (!l->is_kicked) {
		l->is_kicked = true;
		list_push_back(&l->s->kicked, &l->kick_link);
	}
	sched_kick(l->s);
}

/* What came in while the lane was suspended is put away; then rows are fetched. Called by the dispatcher. */
void
lane_settle(struct lane *l)
{
	if (l->is_open && lane_is_suspended(l) && lane_ready(l) > 0) {
		lane_ref(l);
		lane_defer_ready(l, false, l->not_before_ms);
		lane_unref(l);
	}
	if (l->no_more_until_ms != 0 && clock_mono_ms() >= l->no_more_until_ms) {
		l->no_more_until_ms = 0;
		l->max_sessions = UINT32_MAX;
	}
	lane_refill(l);
}
