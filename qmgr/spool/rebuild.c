/* SPDX-License-Identifier: ISC
 *
 * queue.db was lost: it is made again from the records of all segments. What became of the recipients is unknown, so all
 * of messages before the last known cursor are held (ROW_UNKNOWN) and sent only on release; messages after it are found
 * by the scan as after any crash. Runs in qmgr at start, on the loop's thread. */

/* System */
#include <stdlib.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/spool/walk.h"

struct rebuild {
	struct spool *sp;
	uint64_t cursor; /* the last known one */
	uint64_t max_number, max_batch;
	uint64_t held, damaged;
	uint64_t new_copies; /* of records after the cursor */
	bool is_second;	     /* pass: only records that the scan will find are looked at */
};

static int
by_batch(const void *a, const void *b)
{
	const struct segment *const *x = a, *const *y = b;

	return (*x)->first_batch < (*y)->first_batch ? -1 : (*x)->first_batch > (*y)->first_batch;
}

/* A copy counts wherever the cursor is: no scan looks at it. But the record itself may still be there, after the cursor: then
 * the scan finds it, and held as well it would be sent twice. */
static int
take(struct rebuild *rb, const struct walk *w)
{
	const struct record *rec = &w->rec;
	struct place at = walk_place(w);

	if (rec->number > rb->max_number)
		rb->max_number = rec->number;
	if (rec->batch > rb->max_batch)
		rb->max_batch = rec->batch;
	spool_note_qid(rb->sp, rec->qid);
	if (rec->number >= rb->cursor && !(rec->flags & RECORD_COPY))
		return rb->is_second ? store_rebuild_forget(rb->sp->store, rec->number) : 0;
	if (rb->is_second)
		return 0;
	rb->new_copies += rec->number >= rb->cursor;
	rb->held++;
	return store_rebuild_message(rb->sp->store, rec, &at, w->parts[0]);
}

static int
take_segment(struct rebuild *rb, struct segment *seg)
{
	enum record_step step;
	struct walk w;
	int r;

	walk_init(&w, rb->sp, seg, 0);
	while ((r = walk_next(&w, &step)) == 0 && step != RECORD_NONE) {
		if (step == RECORD_DAMAGED)
			rb->damaged += !rb->is_second;
		else if ((r = take(rb, &w)) < 0)
			break;
	}
	walk_clear(&w);
	return r;
}

static int
take_all(struct rebuild *rb)
{
	struct segment **segs = mem_array(rb->sp->segs.count + 1, sizeof(struct segment *));
	size_t n = 0;
	int r = 0;

	LIST_EACH(it, &rb->sp->segs.all) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->state == SEGMENT_FULL)
			segs[n++] = seg;
		else
			log_warn("segments/%u.seg: the header is damaged and queue.db is lost; it "
				 "is left as it is",
				 seg->number);
	}
	qsort(segs, n, sizeof(struct segment *), by_batch);
	for (size_t i = 0; i < n && r == 0; i++)
		r = take_segment(rb, segs[i]);
	rb->is_second = true;
	for (size_t i = 0; i < n && r == 0 && rb->new_copies > 0; i++)
		r = take_segment(rb, segs[i]);
	mem_free(segs);
	return r;
}

int
rebuild_store(struct spool *sp, struct buf *what_out)
{
	struct rebuild rb = { .sp = sp, .cursor = sp->segs.cursor > 0 ? sp->segs.cursor : 1 };
	struct store_cursor c = { .number = rb.cursor };
	int r;

	log_warn("queue.db is lost: it is rebuilt from the segments");
	if ((r = store_rebuild_begin(sp->store)) == 0 && (r = take_all(&rb)) == 0) {
		c.next_number = rb.max_number + 1 > sp->segs.next_number ? rb.max_number + 1
									 : sp->segs.next_number;
		/* 0: the scan reads every hot segment; new numbers are above those of the headers. */
		c.next_batch = 0;
		segments_note(&sp->segs, c.number, c.next_number, rb.max_batch + 1);
		r = store_rebuild_end(sp->store, &c);
	}
	if (r < 0) {
		if (store_start_check(sp->store, what_out) == 0)
			buf_puts(what_out, err_info(r)->text);
		return r;
	}
	log_warn("queue.db was rebuilt: messages whose fate is unknown are held, from %llu records "
		 "(postern queue list state=unknown); "
		 "%llu damaged ones were left out",
		 (unsigned long long)rb.held, (unsigned long long)rb.damaged);
	return 0;
}
