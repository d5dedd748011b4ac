/* SPDX-License-Identifier: ISC
 *
 * The loop's side of the store: ops and queries are gathered, handed to the store thread as one job, and answered. One
 * job runs at a time: its ops in one transaction, then its queries, so a query sees every op given before it, committed.
 * Questions:
 * store_ask.c; what is in the tables: store_txn.c, store_lane.c, store_query.c. Runs in qmgr on the loop.
 *
 * Ops wait at most STORE_FLUSH_MS for others; a query hastens them to STORE_HASTE_MS after the job before. While the
 * disk is full the same ops are tried again every second: nothing is dropped, nothing is answered. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"
#include "loop/worker.h"
/* this program */
#include "qmgr/store/store_int.h"

enum {
	STORE_HASTE_MS = 10,
	STORE_FULL_MS = 1000,
	STORE_JOB_OPS = 20000,	      /* of one transaction */
	STORE_EVENTS_BYTES = 1 << 20, /* so many bytes of events are not kept waiting */
	STORE_EVENTS_MAX =
		64 << 20, /* no more are gathered: the disk does not keep up, they are lost */
};

/* Ops and queries on their way through the store thread. */
struct store_job {
	struct worker_job job;
	struct store *st;
	struct op *ops, **ops_last;
	uint32_t op_count;
	struct query *queries, **queries_last;
	struct buf events; /* records for the event log */
	uint32_t event_count;
	uint64_t events_lost;
	bool has_events, is_events_durable;
	int err;
};

struct store {
	struct db db; /* of the thread, while a job runs */
	struct store_hooks hooks;
	void *arg;
	struct worker *thread; /* NULL: not yet running */
	struct timer timer;
	struct store_job *next;	   /* gathers */
	struct store_job *running; /* or waits for room on the disk */
	uint64_t next_due_ms;	   /* when the gathered ops must go, 0: none */
	uint64_t last_ms;	   /* end of the last job */
	size_t backlog;
	bool is_full;
	bool wants_events;
	struct store_counts counts;
	struct store_stats stats;
};

static void submit(struct store *st);

/* --- jobs ------------------------------------------------------------------------------------ */

static struct store_job *
job_new(struct store *st)
{
	struct store_job *j = mem_zalloc(sizeof(*j));

	j->st = st;
	j->ops_last = &j->ops;
	j->queries_last = &j->queries;
	buf_init(&j->events, STORE_EVENTS_MAX);
	return j;
}

/* What is about to be committed is told first. A disk that takes no events holds up no mail: they are lost once the
 * transaction, which may be repeated, is through. */
static void
write_events(struct store_job *j)
{
	struct store *st = j->st;

	if (j->event_count > 0 && !j->is_events_durable)
		j->is_events_durable = st->hooks.write_events(st->arg, j->events.p, j->events.n,
							      j->event_count) == 0;
}

static void
job_run(struct worker_job *job)
{
	struct store_job *j = (struct store_job *)(void *)job;
	struct db *db = &j->st->db;

	write_events(j);
	j->err = j->ops != NULL ? db_transaction(db, j->ops) : 0;
	for (struct query *q = j->queries; q != NULL && j->err == 0; q = q->next) {
		db->err = 0;
		q->run(db, q);
		j->err = db->err;
	}
}

static void
op_free(struct op *op)
{
	arena_clear(&op->arena);
	mem_free(op);
}

void
query_free(struct query *q)
{
	arena_clear(&q->arena);
	mem_free(q);
}

/* Ops first: a callback of a query may act on what they changed. */
static void
job_answer(struct store *st, struct store_job *j)
{
	for (struct op *op = j->ops, *next; op != NULL; op = next) {
		next = op->next;
		st->backlog -= op->bytes;
		if (op->finish != NULL)
			op->finish(st, op);
		op_free(op);
	}
	for (struct query *q = j->queries, *next; q != NULL; q = next) {
		next = q->next;
		q->finish(st, q);
	}
	mem_free(j);
}

static void
events_done(struct store *st, struct store_job *j)
{
	if (!j->has_events)
		return;
	st->backlog -= j->events.n;
	if (j->event_count > 0 && !j->is_events_durable)
		j->events_lost += j->event_count;
	st->hooks.on_events(st->arg, j->events_lost);
	buf_clear(&j->events);
}

static void
wait_for_room(struct store *st)
{
	if (!st->is_full) {
		st->is_full = true;
		st->hooks.on_full(st->arg, true);
	}
	timer_start(&st->timer, STORE_FULL_MS);
}

static void
job_done(struct worker_job *job)
{
	struct store_job *j = (struct store_job *)(void *)job;
	struct store *st = j->st;

	if (j->err == E_NOSPACE) {
		wait_for_room(st);
		return;
	}
	if (j->err != 0) {
		st->hooks.on_fatal(st->arg, j->err == E_CORRUPT, st->db.what);
		return;
	}
	st->running = NULL;
	st->last_ms = clock_mono_ms();
	st->stats.transactions += j->ops != NULL;
	st->stats.ops += j->op_count;
	st->counts = st->db.counts;
	if (st->is_full) {
		st->is_full = false;
		st->hooks.on_full(st->arg, false);
	}
	for (size_t i = 0; j->ops != NULL && i < st->db.change_count; i++)
		st->hooks.on_change(st->arg, &st->db.changes[i]);
	st->db.change_count = 0;
	events_done(st, j);
	job_answer(st, j);
	submit(st);
}

static void
start(struct store *st, struct store_job *j)
{
	j->job = (struct worker_job){ .run = job_run, .done = job_done };
	st->running = j;
	worker_submit(st->thread, &j->job);
}

/* Hand over what was gathered, if it is time. */
static void
submit(struct store *st)
{
	struct store_job *j = st->next;
	uint64_t now_ms = clock_mono_ms(), due_ms = st->next_due_ms;

	if (st->thread == NULL || st->running != NULL ||
	    (j->ops == NULL && j->queries == NULL && !j->has_events))
		return;
	if ((j->ops == NULL && !j->has_events) || j->op_count >= STORE_JOB_OPS ||
	    j->events.n >= STORE_EVENTS_BYTES)
		due_ms = 0;
	else if (j->queries != NULL && st->last_ms + STORE_HASTE_MS < due_ms)
		due_ms = st->last_ms + STORE_HASTE_MS;
	if (due_ms > now_ms) {
		timer_start(&st->timer, due_ms - now_ms);
		return;
	}
	timer_stop(&st->timer);
	st->next = job_new(st);
	st->next_due_ms = 0;
	start(st, j);
}

static void
on_timer(void *arg)
{
	struct store *st = arg;

	if (st->is_full && st->running != NULL)
		start(st, st->running);
	else
		submit(st);
}

/* --- ops ------------------------------------------------------------------------------------- */

static struct op *
op_new(enum op_kind kind, uint64_t number, uint32_t index)
{
	struct op *op = mem_zalloc(sizeof(*op));

	op->kind = kind;
	op->number = number;
	op->index = index;
	arena_init(&op->arena, 512);
	return op;
}

static struct span
keep(struct op *op, struct span s, size_t max)
{
	return s.p != NULL ? arena_dup(&op->arena, span_sub(s, 0, max)) : s;
}

static void
give(struct store *st, struct op *op)
{
	struct store_job *j = st->next;

	if (op->number != 0)
		op->has_place = st->hooks.place_of(st->arg, op->number, &op->place,
						   &op->is_suspect);
	op->bytes = sizeof(*op) + op->arena.used_bytes;
	st->backlog += op->bytes;
	*j->ops_last = op;
	j->ops_last = &op->next;
	j->op_count++;
	if (st->next_due_ms == 0)
		st->next_due_ms = clock_mono_ms() + STORE_FLUSH_MS;
	submit(st);
}

void
store_done(struct store *st, uint64_t number, uint32_t index)
{
	give(st, op_new(OP_DONE, number, index));
}

void
store_unload(struct store *st, uint64_t number, uint32_t index)
{
	give(st, op_new(OP_UNLOAD, number, index));
}

static void
keep_row(struct op *op, struct row *to, const struct row *from)
{
	*to = *from;
	to->lane = keep(op, from->lane, STORE_LANE_MAX);
	to->address = keep(op, from->address, SIZE_MAX);
	to->orcpt = keep(op, from->orcpt, SIZE_MAX);
	to->orig = keep(op, from->orig, SIZE_MAX);
	to->sender = keep(op, from->sender, SIZE_MAX);
	to->esc = keep(op, from->esc, STORE_TEXT_MAX);
	to->text = keep(op, from->text, STORE_TEXT_MAX);
	to->relay = keep(op, from->relay, STORE_TEXT_MAX);
	to->msg_sender = SPAN_NONE;
}

void
store_put(struct store *st, const struct row *row)
{
	struct op *op = op_new(OP_PUT, row->number, row->index);

	if (row->state >= ROW_DONE)
		bug("store_put: %d is no state of a live row", (int)row->state);
	keep_row(op, &op->row, row);
	give(st, op);
}

void
store_bounce(struct store *st, const struct bounce *b)
{
	struct op *op = op_new(OP_BOUNCE, b->number, b->index);

	op->bounce = *b;
	op->bounce.address = keep(op, b->address, SIZE_MAX);
	op->bounce.orcpt = keep(op, b->orcpt, SIZE_MAX);
	op->bounce.orig = keep(op, b->orig, SIZE_MAX);
	op->bounce.esc = keep(op, b->esc, STORE_TEXT_MAX);
	op->bounce.text = keep(op, b->text, STORE_TEXT_MAX);
	op->bounce.relay = keep(op, b->relay, STORE_TEXT_MAX);
	give(st, op);
}

static void
finish_expand(struct store *st, struct op *op)
{
	void (*done)(void *arg, const struct row *made,
		     uint32_t count) = (void (*)(void *, const struct row *, uint32_t))op->done;

	(void)st;
	done(op->arg, op->expand.made, op->expand.made_count);
}

void
store_expand(struct store *st, uint64_t number, uint32_t parent, const struct row *children,
	     uint32_t count, bool is_parent_done,
	     void (*done)(void *arg, const struct row *made, uint32_t count), void *arg)
{
	struct op *op = op_new(OP_EXPAND, number, parent);

	op->expand.count = count;
	op->expand.is_parent_done = is_parent_done;
	op->expand.children = arena_alloc(&op->arena, (count + 1) * sizeof(*children));
	op->expand.made = arena_alloc(&op->arena, (count + 1) * sizeof(*children));
	for (uint32_t i = 0; i < count; i++)
		keep_row(op, &op->expand.children[i], &children[i]);
	if (done != NULL) {
		op->finish = finish_expand;
		op->done = (void (*)(void))done;
		op->arg = arg;
	}
	give(st, op);
}

void
store_reported(struct store *st, uint64_t number, uint64_t last_id)
{
	struct op *op = op_new(OP_REPORTED, number, 0);

	op->last_id = last_id;
	give(st, op);
}

void
store_lane_rest(struct store *st, const struct store_lane *lane, uint64_t not_before_ms,
		bool is_active)
{
	struct op *op = op_new(OP_LANE, 0, 0);

	op->lane.lane = *lane;
	op->lane.lane.name = keep(op, lane->name, STORE_LANE_MAX);
	op->lane.lane.esc = keep(op, lane->esc, STORE_TEXT_MAX);
	op->lane.lane.text = keep(op, lane->text, STORE_TEXT_MAX);
	op->lane.not_before_ms = not_before_ms;
	op->lane.is_active = is_active;
	give(st, op);
}

/* done(arg), after the commit. */
static void
finish_plain(struct store *st, struct op *op)
{
	void (*done)(void *arg) = (void (*)(void *))op->done;

	(void)st;
	done(op->arg);
}

static void
give_with(struct store *st, struct op *op, void (*done)(void *arg), void *arg)
{
	if (done != NULL) {
		op->finish = finish_plain;
		op->done = (void (*)(void))done;
		op->arg = arg;
	}
	give(st, op);
}

void
store_set_cursor(struct store *st, const struct store_cursor *c, void (*done)(void *arg), void *arg)
{
	struct op *op = op_new(OP_CURSOR, 0, 0);

	op->cursor = *c;
	give_with(st, op, done, arg);
}

static void
give_segment(struct store *st, enum segment_op what, uint32_t number, uint64_t salt,
	     enum segment_kind kind, void (*done)(void *arg), void *arg)
{
	struct op *op = op_new(OP_SEGMENT, 0, 0);

	op->segment.what = what;
	op->segment.number = number;
	op->segment.salt = salt;
	op->segment.kind = kind;
	give_with(st, op, done, arg);
}

void
store_segment_used(struct store *st, uint32_t number, uint64_t salt, enum segment_kind kind)
{
	give_segment(st, SEGMENT_OP_USED, number, salt, kind, NULL, NULL);
}

void
store_segment_retiring(struct store *st, uint32_t number, void (*done)(void *arg), void *arg)
{
	give_segment(st, SEGMENT_OP_RETIRING, number, 0, SEGMENT_HOT, done, arg);
}

void
store_segment_empty(struct store *st, uint32_t number)
{
	give_segment(st, SEGMENT_OP_EMPTY, number, 0, SEGMENT_HOT, NULL, NULL);
}

void
store_set_floor(struct store *st, uint16_t slot, uint64_t floor_us)
{
	struct op *op = op_new(OP_FLOOR, 0, 0);

	op->floor.slot = slot;
	op->floor.floor_us = floor_us;
	give(st, op);
}

static void
finish_key(struct store *st, struct op *op)
{
	void (*done)(void *arg, uint64_t number,
		     bool is_duplicate) = (void (*)(void *, uint64_t, bool))op->done;

	(void)st;
	done(op->arg, op->number, op->key.is_duplicate);
}

void
store_claim_key(struct store *st, enum record_origin origin, struct span name, struct span key,
		uint64_t number, void (*done)(void *arg, uint64_t number, bool is_duplicate),
		void *arg)
{
	struct op *op = op_new(OP_KEY, number, 0);

	op->key.origin = origin;
	op->key.name = keep(op, name, SIZE_MAX);
	op->key.key = keep(op, key, SIZE_MAX);
	op->finish = finish_key;
	op->done = (void (*)(void))done;
	op->arg = arg;
	give(st, op);
}

void
store_move(struct store *st, const struct store_moved *moved, uint32_t count,
	   void (*done)(void *arg), void *arg)
{
	struct op *op = op_new(OP_MOVE, 0, 0);

	op->move.moved = arena_alloc(&op->arena, (count + 1) * sizeof(*moved));
	memcpy(op->move.moved, moved, count * sizeof(*moved));
	op->move.count = count;
	give_with(st, op, done, arg);
}

/* --- events ---------------------------------------------------------------------------------- */

void
store_event(struct store *st, const struct event *ev)
{
	struct store_job *j = st->next;
	size_t before = j->events.n;

	if (!st->wants_events)
		return;
	if (event_put(&j->events, ev))
		j->event_count++;
	else
		j->events_lost++;
	j->has_events = true;
	st->backlog += j->events.n - before;
	if (st->next_due_ms == 0)
		st->next_due_ms = clock_mono_ms() + STORE_FLUSH_MS;
	submit(st);
}

bool
store_wants_events(const struct store *st)
{
	return st->wants_events;
}

void
store_set_events(struct store *st, bool is_on)
{
	st->wants_events = is_on;
}

void
store_events_now(struct store *st)
{
	struct store_job *j = st->next;

	if (!j->has_events)
		return;
	write_events(j);
	events_done(st, j);
	j->event_count = 0;
	j->events_lost = 0;
	j->has_events = j->is_events_durable = false;
}

/* --- waiting --------------------------------------------------------------------------------- */

struct query *
query_new(void (*run)(struct db *db, struct query *q),
	  void (*finish)(struct store *st, struct query *q), void (*done)(void), void *arg)
{
	struct query *q = mem_zalloc(sizeof(*q));

	q->run = run;
	q->finish = finish;
	q->done = done;
	q->arg = arg;
	arena_init(&q->arena, 4096);
	return q;
}

void
store_ask(struct store *st, struct query *q)
{
	struct store_job *j = st->next;

	q->next = NULL;
	*j->queries_last = q;
	j->queries_last = &q->next;
	submit(st);
}

static void
finish_durable(struct store *st, struct query *q)
{
	void (*done)(void *arg) = (void (*)(void *))q->done;
	void *arg = q->arg;

	(void)st;
	query_free(q);
	done(arg);
}

static void
query_nothing(struct db *db, struct query *q)
{
	(void)db;
	(void)q;
}

/* Without hurrying the ops: RESULT_ACK may wait as long as they do. */
void
store_when_durable(struct store *st, void (*done)(void *arg), void *arg)
{
	struct op *op;

	/* Nothing gathers: what was given is in the job that runs, or done. */
	if (st->next->ops == NULL) {
		store_ask(st, query_new(query_nothing, finish_durable, (void (*)(void))done, arg));
		return;
	}
	op = op_new(OP_UNLOAD, 0, 0);
	give_with(st, op, done, arg);
}

void
store_flush(struct store *st)
{
	if (st->next->ops != NULL || st->next->has_events)
		st->next_due_ms = clock_mono_ms();
	submit(st);
}

size_t
store_backlog(const struct store *st)
{
	return st->backlog;
}

/* --- looking --------------------------------------------------------------------------------- */

void
store_get_counts(const struct store *st, struct store_counts *out)
{
	*out = st->counts;
}

void
store_get_stats(const struct store *st, struct store_stats *out)
{
	*out = st->stats;
}

/* --- life ------------------------------------------------------------------------------------ */

int
store_open(const char *name, bool is_new, bool is_suspicious, const struct store_hooks *hooks,
	   void *arg, struct buf *what_out, struct store **out)
{
	struct store *st = mem_zalloc(sizeof(*st));
	int r;

	st->hooks = *hooks;
	st->arg = arg;
	st->db.hooks = &st->hooks;
	st->db.arg = arg;
	st->next = job_new(st);
	r = db_open(&st->db, name, is_new, is_suspicious, what_out);
	if (r < 0) {
		store_free(&st);
		return r;
	}
	st->counts = st->db.counts;
	*out = st;
	return 0;
}

void
store_run(struct store *st, struct uv_loop_s *loop, struct timer_set *timers)
{
	timer_init(&st->timer, timers, on_timer, st);
	st->thread = worker_new(loop, "store");
	submit(st);
}

static void
job_drop(struct store_job *j)
{
	if (j == NULL)
		return;
	for (struct op *op = j->ops, *next; op != NULL; op = next) {
		next = op->next;
		op_free(op);
	}
	for (struct query *q = j->queries, *next; q != NULL; q = next) {
		next = q->next;
		query_free(q);
	}
	buf_clear(&j->events);
	mem_free(j);
}

void
store_free(struct store **stp)
{
	struct store *st = *stp;

	if (st == NULL)
		return;
	if (st->thread != NULL) {
		/* The last jobs may start it. */
		worker_free(&st->thread);
		timer_stop(&st->timer);
	}
	job_drop(st->next);
	job_drop(st->running);
	db_close(&st->db);
	mem_free(st);
	*stp = NULL;
}
