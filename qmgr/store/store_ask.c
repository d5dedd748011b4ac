/* SPDX-License-Identifier: ISC
 *
 * The questions that the loop may ask the store: each is copied, goes to the store thread behind the ops given before
 * it, and calls back with the answer. How it is found: store_query.c, store_lane.c. Runs in qmgr on the loop. */

/* System */
#include <string.h>
/* this program */
#include "qmgr/store/store_int.h"

static void
finish_due(struct store *st, struct query *q)
{
	void (*done)(void *arg, const struct store_lane *lanes, uint32_t count,
		     uint64_t next_due_ms) = (void (*)(void *, const struct store_lane *, uint32_t,
						       uint64_t))q->done;

	(void)st;
	done(q->arg, q->lanes, q->count, q->next_due_ms);
	query_free(q);
}

void
store_due_lanes(struct store *st, uint64_t now_ms, uint32_t limit,
		void (*done)(void *arg, const struct store_lane *lanes, uint32_t count,
			     uint64_t next_due_ms),
		void *arg)
{
	struct query *q = query_new(query_due_lanes, finish_due, (void (*)(void))done, arg);

	q->now_ms = now_ms;
	q->limit = limit;
	store_ask(st, q);
}

static void
finish_lane(struct store *st, struct query *q)
{
	void (*done)(void *arg, struct span name,
		     const struct store_lane *lane) = (void (*)(void *, struct span,
								const struct store_lane *))q->done;

	(void)st;
	done(q->arg, q->text, &q->lanes[0]);
	query_free(q);
}

void
store_lane_open(struct store *st, struct span name,
		void (*done)(void *arg, struct span name, const struct store_lane *lane), void *arg)
{
	struct query *q = query_new(query_lane_open, finish_lane, (void (*)(void))done, arg);

	q->text = arena_dup(&q->arena, span_sub(name, 0, STORE_LANE_MAX));
	store_ask(st, q);
}

static void
finish_load(struct store *st, struct query *q)
{
	void (*done)(void *arg, struct span lane, const struct row *rows, uint32_t count,
		     uint64_t next_due_ms) = (void (*)(void *, struct span, const struct row *,
						       uint32_t, uint64_t))q->done;

	(void)st;
	done(q->arg, q->text, q->rows, q->count, q->next_due_ms);
	query_free(q);
}

void
store_load_lane(struct store *st, struct span lane, uint64_t now_ms, uint32_t limit,
		void (*done)(void *arg, struct span lane, const struct row *rows, uint32_t count,
			     uint64_t next_due_ms),
		void *arg)
{
	struct query *q = query_new(query_load_lane, finish_load, (void (*)(void))done, arg);

	q->text = arena_dup(&q->arena, span_sub(lane, 0, STORE_LANE_MAX));
	q->now_ms = now_ms;
	q->limit = limit;
	store_ask(st, q);
}

static void
finish_rows(struct store *st, struct query *q)
{
	void (*done)(void *arg, const struct row *rows,
		     uint32_t count) = (void (*)(void *, const struct row *, uint32_t))q->done;

	/* A list goes on from where this step ended. */
	if (q->is_more) {
		store_ask(st, q);
		return;
	}
	done(q->arg, q->rows, q->count);
	query_free(q);
}

void
store_expired_rows(struct store *st, struct span lane, bool is_null_sender, uint64_t now_ms,
		   uint64_t born_ms, const struct row *after, uint32_t limit,
		   void (*done)(void *arg, const struct row *rows, uint32_t count), void *arg)
{
	struct query *q = query_new(query_expired, finish_rows, (void (*)(void))done, arg);

	q->text = arena_dup(&q->arena, span_sub(lane, 0, STORE_LANE_MAX));
	q->is_null_sender = is_null_sender;
	q->now_ms = now_ms;
	q->born_ms = born_ms;
	if (after != NULL) {
		q->after_ms = after->arrival_ms;
		q->number = after->number;
		q->index = after->index;
	}
	q->limit = limit;
	store_ask(st, q);
}

static struct span
keep_text(struct query *q, struct span s)
{
	return s.n > 0 ? arena_dup(&q->arena, s) : SPAN_NONE;
}

void
store_list(struct store *st, const struct store_filter *f, uint64_t after_number,
	   uint32_t after_index, uint32_t limit,
	   void (*done)(void *arg, const struct row *rows, uint32_t count), void *arg)
{
	struct query *q = query_new(query_list, finish_rows, (void (*)(void))done, arg);
	uint64_t *qids = arena_alloc(&q->arena, (f->qid_count + 1) * sizeof(*qids));

	q->filter = *f;
	/* An empty sender is the null sender; the other texts are not asked for when empty. */
	q->filter.sender = f->sender.p != NULL ? arena_dup(&q->arena, f->sender) : SPAN_NONE;
	q->filter.rcpt = keep_text(q, f->rcpt);
	q->filter.domain = keep_text(q, f->domain);
	q->filter.lane = keep_text(q, f->lane);
	q->filter.error = keep_text(q, f->error);
	if (f->qid_count > 0)
		memcpy(qids, f->qids, f->qid_count * sizeof(*qids));
	q->filter.qids = qids;
	q->number = after_number;
	q->index = after_index;
	q->limit = limit > 0 ? limit : 1;
	store_ask(st, q);
}

static void
finish_message_rows(struct store *st, struct query *q)
{
	void (*done)(void *arg, uint64_t number, const struct row *rows,
		     uint32_t count) = (void (*)(void *, uint64_t, const struct row *,
						 uint32_t))q->done;

	(void)st;
	done(q->arg, q->number, q->rows, q->count);
	query_free(q);
}

void
store_get_rows(struct store *st, uint64_t number,
	       void (*done)(void *arg, uint64_t number, const struct row *rows, uint32_t count),
	       void *arg)
{
	struct query *q = query_new(query_rows, finish_message_rows, (void (*)(void))done, arg);

	q->number = number;
	store_ask(st, q);
}

static void
finish_qid(struct store *st, struct query *q)
{
	void (*done)(void *arg, uint64_t qid,
		     uint64_t number) = (void (*)(void *, uint64_t, uint64_t))q->done;

	(void)st;
	done(q->arg, q->number, q->count > 0 ? q->numbers[0] : 0);
	query_free(q);
}

void
store_find_qid(struct store *st, uint64_t qid,
	       void (*done)(void *arg, uint64_t qid, uint64_t number), void *arg)
{
	struct query *q = query_new(query_qid, finish_qid, (void (*)(void))done, arg);

	q->number = qid;
	store_ask(st, q);
}

static void
finish_numbers(struct store *st, struct query *q)
{
	void (*done)(void *arg, const uint64_t *numbers,
		     uint32_t count) = (void (*)(void *, const uint64_t *, uint32_t))q->done;

	(void)st;
	done(q->arg, q->numbers, q->count);
	query_free(q);
}

void
store_bounce_messages(struct store *st, uint64_t after_number, uint32_t limit,
		      void (*done)(void *arg, const uint64_t *numbers, uint32_t count), void *arg)
{
	struct query *q = query_new(query_bounce_messages, finish_numbers, (void (*)(void))done,
				    arg);

	q->number = after_number;
	q->limit = limit;
	store_ask(st, q);
}

static void
finish_report(struct store *st, struct query *q)
{
	void (*done)(void *arg, const struct store_report *report) =
		(void (*)(void *, const struct store_report *))q->done;

	(void)st;
	done(q->arg, q->report);
	query_free(q);
}

void
store_get_report(struct store *st, uint64_t number,
		 void (*done)(void *arg, const struct store_report *report), void *arg)
{
	struct query *q = query_new(query_report, finish_report, (void (*)(void))done, arg);

	q->number = number;
	store_ask(st, q);
}

static void
finish_places(struct store *st, struct query *q)
{
	void (*done)(void *arg, const struct store_place *places,
		     uint32_t count) = (void (*)(void *, const struct store_place *,
						 uint32_t))q->done;

	(void)st;
	done(q->arg, q->places, q->count);
	query_free(q);
}

void
store_segment_messages(struct store *st, uint32_t segment, uint64_t after_number, uint32_t limit,
		       void (*done)(void *arg, const struct store_place *places, uint32_t count),
		       void *arg)
{
	struct query *q = query_new(query_segment_messages, finish_places, (void (*)(void))done,
				    arg);

	q->index = segment;
	q->number = after_number;
	q->limit = limit;
	store_ask(st, q);
}

static void
finish_place(struct store *st, struct query *q)
{
	void (*done)(void *arg, const struct store_place *place) =
		(void (*)(void *, const struct store_place *))q->done;

	(void)st;
	done(q->arg, q->count > 0 ? &q->places[0] : NULL);
	query_free(q);
}

void
store_find_place(struct store *st, uint64_t number,
		 void (*done)(void *arg, const struct store_place *place), void *arg)
{
	struct query *q = query_new(query_place, finish_place, (void (*)(void))done, arg);

	q->number = number;
	store_ask(st, q);
}
