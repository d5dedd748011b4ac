/* SPDX-License-Identifier: ISC
 *
 * What administrators do with recipients: try now, hold, release, delete. One whose fate is being decided at this moment
 * is marked, and the order takes effect when its result is there (sched_obey, outcome.c). Run by qmgr on its loop. */

/* this program */
#include "qmgr/admin/request.h"

/* Before the op. An order for one that is being delivered takes effect, if at all, when its result is there. */
static void
log_order(struct request *q, enum event_kind kind, const struct row *row)
{
	const char *event = event_kind_name(kind);
	struct log_event ev;

	store_event(q->all->s->store, &(struct event){ .kind = kind,
						       .at_ms = clock_wall_ms(),
						       .number = row->number,
						       .qid = row->qid,
						       .index_plus_1 = row->index + 1,
						       .attempt = row->attempts,
						       .to = row->address,
						       .text = SPAN("by an administrator") });
	log_begin(&ev, LOG_INFO_, event);
	log_kv_qid(&ev, "qid", row->qid);
	log_kv(&ev, "to", row->address);
	log_kvs(&ev, "by", "administrator");
	log_end(&ev);
}

/* A row with a new state, no longer in memory. */
static void
put_row(struct request *q, const struct row *row, enum row_state state, uint64_t due_ms)
{
	struct row changed = *row;

	changed.state = state;
	changed.due_ms = due_ms;
	changed.flags &= ~(uint32_t)ROW_IN_MEMORY;
	store_put(q->all->s->store, &changed);
}

/* Is its fate being decided at this moment? */
static bool
is_running(const struct entry *e)
{
	return e != NULL && (e->state == ENTRY_JOB || e->state == ENTRY_EXPANDING);
}

/* The rows of this lane that are due now are looked for. */
static void
wake_lane(struct sched *s, struct span name, uint64_t now)
{
	struct lane *l = lane_find(s, name);
	struct waiter *w = map_get(&s->waiters, name);

	lane_lift(s, name);
	if (l != NULL)
		lane_row_due(l, now);
	else if (w != NULL)
		waiter_load(w);
	else
		sched_due_at(s, now);
}

static bool
order_due_now(struct request *q, const struct row *row, struct entry *e)
{
	uint64_t now = clock_wall_ms();

	if (row->state != ROW_READY)
		return false;
	if (e == NULL && row->due_ms > now)
		put_row(q, row, ROW_READY, now);
	wake_lane(q->all->s, row->lane, now);
	return true;
}

static bool
order_hold(struct request *q, const struct row *row, struct entry *e)
{
	if (row->state != ROW_READY)
		return false;
	log_order(q, EVENT_HELD, row);
	if (is_running(e)) {
		e->flags |= ENTRY_HOLD;
	} else {
		if (e != NULL)
			sched_drop_entry(q->all->s, e);
		put_row(q, row, ROW_HELD, row->due_ms);
	}
	return true;
}

static bool
order_release(struct request *q, const struct row *row, struct entry *e)
{
	bool is_marked = e != NULL && (e->flags & ENTRY_HOLD);
	uint64_t now = clock_wall_ms();

	if (!is_marked && row->state != ROW_HELD && row->state != ROW_UNKNOWN &&
	    row->state != ROW_CORRUPT)
		return false;
	log_order(q, EVENT_RELEASED, row);
	if (is_marked) {
		e->flags &= (uint8_t)~ENTRY_HOLD;
	} else {
		put_row(q, row, ROW_READY, now);
		wake_lane(q->all->s, row->lane, now);
	}
	return true;
}

static bool
order_delete(struct request *q, const struct row *row, struct entry *e)
{
	log_order(q, EVENT_DELETED, row);
	if (is_running(e)) {
		e->flags |= ENTRY_GONE;
	} else {
		if (e != NULL)
			sched_drop_entry(q->all->s, e);
		store_done(q->all->s->store, row->number, row->index);
	}
	return true;
}

void
request_order_row(struct request *q, const struct row *row)
{
	struct entry *e = entry_find(&q->all->s->entries, row->number, row->index);
	bool is_done = false;

	switch (q->verb) {
	case QUEUE_FLUSH:
	case QUEUE_RETRY:
		is_done = order_due_now(q, row, e);
		break;
	case QUEUE_HOLD:
		is_done = order_hold(q, row, e);
		break;
	case QUEUE_RELEASE:
		is_done = order_release(q, row, e);
		break;
	case QUEUE_DELETE:
		is_done = order_delete(q, row, e);
		break;
	case QUEUE_LIST:
	case QUEUE_SHOW:
	case QUEUE_CAT:
	case QUEUE_VERB_COUNT:
		break;
	}
	if (!is_done)
		return;
	q->recipients++;
	if (row->number != q->number)
		q->messages++;
	q->number = row->number;
}
