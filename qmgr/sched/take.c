/* SPDX-License-Identifier: ISC
 *
 * How recipients come into memory and leave it: messages from the log, rows from queue.db, rows given at a checkpoint,
 * orders of an administrator. The other half of the seam with storage (spool.h, store.h). Run by qmgr on its loop. */

/* lib */
#include "conf/conf.h"
/* this program */
#include "qmgr/sched/sched_int.h"

/* --- from the log ------------------------------------------------------------------------------ */

/* A recipient that our couriers already have: its result is still to come, or on its way to the disk. */
static bool
is_adopted(struct sched *s, uint64_t number, uint32_t index, const struct place *place)
{
	struct job *j = s->adopted.count > 0 ? map64_get(&s->adopted, sched_key(number, index))
					     : NULL;
	struct entry *e;

	if (j == NULL)
		return false;
	if (!j->is_settled && entry_find(&s->entries, number, index) == NULL) {
		e = entry_new(&s->entries, number, index);
		e->place = *place;
		e->state = ENTRY_JOB;
	}
	return true;
}

static void
put_fresh_row(struct sched *s, const struct spool_msg *msg, const struct env_rcpt *rcpt,
	      enum row_state state)
{
	uint64_t now = clock_wall_ms();
	struct buf lane;

	if (state == ROW_HELD)
		store_event(s->store, &(struct event){ .kind = EVENT_HELD,
						       .at_ms = now,
						       .number = msg->number,
						       .qid = msg->qid,
						       .index_plus_1 = rcpt->index + 1,
						       .to = rcpt->addr,
						       .text = SPAN("hold_incoming is on") });
	buf_init(&lane, LANE_NAME_MAX);
	waiter_name(rcpt->addr, &lane);
	store_put(s->store, &(struct row){ .number = msg->number,
					   .index = rcpt->index,
					   .state = state,
					   .due_ms = now,
					   .lane = buf_span(&lane),
					   .address = rcpt->addr,
					   .orcpt = rcpt->orcpt,
					   .orig = rcpt->orig,
					   .notify = rcpt->notify });
	buf_clear(&lane);
	if (state == ROW_READY)
		sched_due_at(s, now);
}

static void
log_held(const struct spool_msg *msg)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, "held");
	log_kv_qid(&ev, "qid", msg->qid);
	log_kvs(&ev, "text", "hold_incoming is on");
	log_end(&ev);
}

static void
take_rcpt(struct sched *s, const struct spool_msg *msg, const struct envelope *env,
	  const struct env_rcpt *rcpt)
{
	struct entry *e;
	struct facts f;

	if (is_adopted(s, msg->number, rcpt->index, &msg->place))
		return;
	if (sched_memory(s) >= sched_conf(s)->limits.queue_memory) {
		put_fresh_row(s, msg, rcpt, ROW_READY);
		return;
	}
	e = entry_new(&s->entries, msg->number, rcpt->index);
	e->place = msg->place;
	facts_of_msg(msg, env, rcpt, &f);
	f.is_single = f.is_single && sched_conf(s)->bcc_always[0] == '\0';
	resolve_entry(s, e, &f, NULL, NULL, false);
}

/* The record was checked when it was committed or scanned; one that is damaged now is held. */
static void
hold_damaged(struct sched *s, const struct spool_msg *msg, const uint32_t *live, uint32_t count)
{
	struct settle *t = settle_new(s);

	for (uint32_t i = 0; i < count; i++) {
		struct facts f = { .number = msg->number,
				   .qid = msg->qid,
				   .arrival_ms = msg->arrival_us / 1000,
				   .index = live != NULL ? live[i] : i };

		outcome_hold(t, &f, ROW_CORRUPT, SPAN(WAITER_NAME_ANY),
			     "its envelope cannot be read");
	}
	settle_commit(t);
}

void
sched_on_message(void *arg, const struct spool_msg *msg, const uint32_t *live, uint32_t live_count)
{
	struct sched *s = arg;
	const struct conf *conf = sched_conf(s);
	uint32_t count = live != NULL ? live_count : msg->rcpt_count;
	struct envelope env;
	struct arena a;

	arena_init(&a, 4096);
	if (envelope_decode(msg->envelope, &a, &env) < 0 || env.rcpt_count < msg->rcpt_count) {
		hold_damaged(s, msg, live, count);
		arena_clear(&a);
		return;
	}
	if (conf->bcc_always[0] != '\0' && live == NULL)
		expand_bcc(s, msg, &env);
	if (conf->hold_incoming)
		log_held(msg);
	for (uint32_t i = 0; i < count; i++) {
		const struct env_rcpt *rcpt = &env.rcpts[live != NULL ? live[i] : i];

		if (conf->hold_incoming)
			put_fresh_row(s, msg, rcpt, ROW_HELD);
		else
			take_rcpt(s, msg, &env, rcpt);
	}
	arena_clear(&a);
}

/* --- from queue.db ----------------------------------------------------------------------------- */

static void
set_child(struct sched *s, struct entry *e, const struct row *row)
{
	if (row->flags & ROW_CHILD)
		entry_set_extra(&s->entries, e,
				&(struct entry_extra){ .is_child = true,
						       .has_sender = row->has_sender,
						       .no_alias = (row->flags & ROW_NO_ALIAS) != 0,
						       .notify = row->notify,
						       .depth = row->depth,
						       .parent = row->parent,
						       .address = row->address,
						       .orcpt = row->orcpt,
						       .orig = row->orig,
						       .sender = row->sender });
}

void
sched_take_row(struct sched *s, const struct row *row, struct lane *from,
	       struct waiter *from_waiter)
{
	struct entry *e;
	struct facts f;

	if (entry_find(&s->entries, row->number, row->index) != NULL)
		return;
	if (is_adopted(s, row->number, row->index, &row->place)) {
		e = entry_find(&s->entries, row->number, row->index);
		if (e == NULL)
			return;
		e->flags = ENTRY_HAS_ROW | ENTRY_IS_RETRY;
		e->attempts = row->attempts < ENTRY_ATTEMPTS_MAX
				      ? row->attempts & ENTRY_ATTEMPTS_MAX
				      : ENTRY_ATTEMPTS_MAX;
		set_child(s, e, row);
		return;
	}
	if (from == NULL && from_waiter == NULL && !resolve_has_room(s, row->address)) {
		store_unload(s->store, row->number, row->index);
		sched_due_at(s, clock_wall_ms());
		return;
	}
	e = entry_new(&s->entries, row->number, row->index);
	e->place = row->place;
	e->attempts = row->attempts < ENTRY_ATTEMPTS_MAX ? row->attempts & ENTRY_ATTEMPTS_MAX
							 : ENTRY_ATTEMPTS_MAX;
	facts_of_row(row, &f);
	e->flags = (uint8_t)f.flags;
	set_child(s, e, row);
	resolve_entry(s, e, &f, from, from_waiter, (row->flags & ROW_NO_ALIAS) != 0);
}

void
sched_drop_entry(struct sched *s, struct entry *e)
{
	struct lane *l = NULL;

	switch ((enum entry_state)e->state) {
	case ENTRY_WAITING:
		entry_remove(&s->entries, &e->waiter->waiting, e);
		break;
	case ENTRY_ASKED:
		resolve_forget(s, e);
		break;
	case ENTRY_READY:
		l = e->lane;
		lane_take(l, e);
		break;
	case ENTRY_ALONE:
		l = e->lane;
		entry_remove(&s->entries, &s->pools[l->pool].alone.waiting, e);
		break;
	case ENTRY_JOB:
	case ENTRY_EXPANDING:
	case ENTRY_FREE:
		bug("a recipient in state %u is not to be dropped", e->state);
	}
	entry_free(&s->entries, e);
	if (l != NULL)
		lane_unref(l);
}

/* --- to queue.db ------------------------------------------------------------------------------- */

/* The lane under which an entry's row is found again. */
static void
put_lane_name(const struct entry *e, struct buf *out)
{
	switch ((enum entry_state)e->state) {
	case ENTRY_WAITING:
	case ENTRY_ASKED:
	case ENTRY_EXPANDING:
		buf_puts(out, e->waiter->name);
		break;
	case ENTRY_READY:
	case ENTRY_JOB:
	case ENTRY_ALONE:
		buf_puts(out, e->lane != NULL ? e->lane->name : WAITER_NAME_ANY);
		break;
	case ENTRY_FREE:
		break;
	}
}

void
sched_obey(struct sched *s, struct entry *e)
{
	struct lane *l = e->state == ENTRY_JOB ? e->lane : NULL;
	struct buf lane;

	buf_init(&lane, LANE_NAME_MAX);
	put_lane_name(e, &lane);
	if (e->flags & ENTRY_GONE)
		store_done(s->store, e->number, e->index);
	else
		store_put(s->store, &(struct row){ .number = e->number,
						   .index = e->index,
						   .state = ROW_HELD,
						   .attempts = e->attempts,
						   .due_ms = clock_wall_ms(),
						   .lane = buf_span(&lane) });
	buf_clear(&lane);
	entry_free(&s->entries, e);
	if (l != NULL)
		lane_unref(l);
}

void
sched_give_rows(void *arg, uint64_t before_number)
{
	struct sched *s = arg;
	struct entry *e;
	uint32_t it = 0;
	struct buf lane;

	buf_init(&lane, LANE_NAME_MAX);
	while ((e = entry_next(&s->entries, &it)) != NULL) {
		if (e->number >= before_number || e->flags & ENTRY_HAS_ROW)
			continue;
		buf_reset(&lane);
		put_lane_name(e, &lane);
		store_put(s->store, &(struct row){ .number = e->number,
						   .index = e->index,
						   .state = ROW_READY,
						   .flags = ROW_IN_MEMORY,
						   .attempts = e->attempts,
						   .due_ms = clock_wall_ms(),
						   .lane = buf_span(&lane) });
		e->flags |= ENTRY_HAS_ROW;
	}
	buf_clear(&lane);
}
