/* SPDX-License-Identifier: ISC
 *
 * The scan of the log after the cursor, at start: which messages there are, which of their recipients are not yet known
 * to queue.db, what is damaged; and the appending again of what only the page cache may hold. Nothing is parsed but
 * headers. Runs in qmgr on the loop's thread, before anyone is answered.
 *
 * A record counts if its salt is the segment's and its CRCs hold. Of several records of one number that of the latest
 * batch counts. Bytes that are no record are damage only if a record of a later batch follows in the same segment: the
 * last batch may have been torn by the crash, and then no 250 was sent for it.
 *
 * The page cache may show what the disk never got (killed between write and sync; or the sync failed). Only the last
 * batch of a segment can be so: it is appended to a fresh segment under its own numbers and synced. */

/* System */
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/spool/walk.h"

#define FIRST_LOOK_BYTES \
	2621440u /* longer than the longest record: here a segment in use shows one */

/* One record of the log. */
struct found {
	uint64_t number, batch, qid;
	struct place place;
	uint64_t size; /* trace and content */
	uint32_t rcpt_count;
	uint8_t flags; /* enum slot_flag */
	bool is_damaged;
	bool is_last; /* of the last batch of its segment */
};

struct scan {
	struct spool *sp;
	struct segment **segs; /* to be read, in order of batches */
	size_t seg_count;
	struct found *found;
	size_t count, cap;
	uint64_t cursor;
	uint64_t max_number, max_batch;
	uint64_t damaged, finished;
};

/* --- which segments -------------------------------------------------------------------------- */

/* The batch of the first record of a segment whose very first one is not whole; 0: it seems to be empty. */
static int
look_for_first(struct spool *sp, struct segment *seg)
{
	enum record_step step;
	struct walk w;
	int r;

	walk_init(&w, sp, seg, 0);
	w.until = FIRST_LOOK_BYTES;
	r = walk_next(&w, &step);
	if (r == 0 && step != RECORD_NONE)
		seg->first_batch = w.rec.batch;
	walk_clear(&w);
	return r;
}

static int
by_batch(const void *a, const void *b)
{
	const struct segment *const *x = a, *const *y = b;

	return (*x)->first_batch < (*y)->first_batch ? -1 : (*x)->first_batch > (*y)->first_batch;
}

/* Hot segments from the one of the cursor on. A cursor whose segment is not there any more: all of them; what is before
 * the cursor is known by its number. */
static int
choose_segments(struct scan *sc, const struct store_cursor *from)
{
	struct spool *sp = sc->sp;
	struct segment *start = from->segment != 0 ? segments_find(&sp->segs, from->segment) : NULL;
	uint64_t first = from->segment == 0 ? from->next_batch : 0;
	int r;

	if (start != NULL && start->salt == from->salt && start->state == SEGMENT_FULL)
		first = start->first_batch;
	sc->segs = mem_array(sp->segs.count + 1, sizeof(struct segment *));
	LIST_EACH(it, &sp->segs.all) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->state != SEGMENT_FULL)
			continue;
		if (seg->first_batch == 0 && (r = look_for_first(sp, seg)) < 0)
			return r;
		if (seg->first_batch == 0 && seg->live_messages == 0)
			seg->state = SEGMENT_EMPTY;
		else if (seg->kind == SEGMENT_HOT && seg->first_batch >= first)
			sc->segs[sc->seg_count++] = seg;
	}
	qsort(sc->segs, sc->seg_count, sizeof(struct segment *), by_batch);
	return 0;
}

/* --- the records of a segment ---------------------------------------------------------------- */

static struct found *
add_found(struct scan *sc)
{
	if (sc->count == sc->cap) {
		sc->cap = sc->cap > 0 ? sc->cap * 2 : 1024;
		sc->found = mem_grow(sc->found, sc->cap, sizeof(*sc->found));
	}
	return &sc->found[sc->count++];
}

static void
take(struct scan *sc, const struct walk *w, bool is_damaged)
{
	const struct record *rec = &w->rec;
	struct found *f;

	if (rec->flags & RECORD_COPY)
		return;
	if (rec->number >= sc->max_number)
		sc->max_number = rec->number;
	if (rec->number < sc->cursor)
		return;
	f = add_found(sc);
	*f = (struct found){
		.number = rec->number,
		.batch = rec->batch,
		.qid = rec->qid,
		.place = walk_place(w),
		.size = rec->trace_len + rec->content_len,
		.rcpt_count = rec->rcpt_count,
		.flags = rec->flags & RECORD_BIG ? SLOT_BIG : 0,
		.is_damaged = is_damaged,
	};
}

static void
report_hole(struct scan *sc, const struct segment *seg, uint64_t from, uint64_t to)
{
	struct place at = { seg->number, (uint32_t)from, (uint32_t)(to - from) };

	log_warn("segments/%u.seg: bytes %llu to %llu are damaged; a copy is in queue/corrupt, "
		 "messages there are lost",
		 seg->number, (unsigned long long)from, (unsigned long long)to);
	spool_quarantine(sc->sp, &at);
	sc->sp->stats.damaged++;
}

static uint64_t
round_up(uint64_t at)
{
	return (at + RECORD_BLOCK_BYTES - 1) / RECORD_BLOCK_BYTES * RECORD_BLOCK_BYTES;
}

/* What is known at the end of a segment: its last batch may be torn, what is broken before it is damage. */
static void
judge(struct scan *sc, struct segment *seg, size_t first_found, uint64_t last_batch)
{
	for (size_t i = first_found; i < sc->count; i++) {
		struct found *f = &sc->found[i];

		f->is_last = f->batch == last_batch;
		if (!f->is_damaged)
			continue;
		if (f->is_last) {
			*f = sc->found[--sc->count];
			i--;
			continue;
		}
		report_hole(sc, seg, f->place.offset, f->place.offset + f->place.length);
	}
	if (last_batch > sc->max_batch)
		sc->max_batch = last_batch;
}

/* Where the walk stands between two records. */
struct gap {
	uint64_t expect;	  /* where the next record should begin */
	uint64_t from, to, batch; /* a hole in this batch, which may be the last one; to 0: none */
};

/* A record was found somewhere else than expected. What lies before its own batch was whole once, for its batch came
 * later; a hole in its own batch may be the tear of the last one. */
static void
note_gap(struct scan *sc, const struct segment *seg, struct gap *g, const struct walk *w)
{
	uint64_t at = w->walk.found_at, begin = at - w->rec.batch_at;

	if (g->to != 0 && g->batch < w->rec.batch) {
		report_hole(sc, seg, g->from, g->to);
		g->to = 0;
	}
	if (begin > g->expect)
		report_hole(sc, seg, g->expect, begin);
	if (begin < g->expect)
		begin = g->expect;
	if (at > begin) {
		g->from = g->to == 0 ? begin : g->from;
		g->to = at;
		g->batch = w->rec.batch;
	}
}

static void
expect_next(struct gap *g, const struct walk *w)
{
	uint64_t end = w->walk.found_at - w->rec.batch_at + w->rec.batch_len;

	g->expect = w->walk.offset < end ? w->walk.offset : round_up(w->walk.offset);
}

static int
scan_segment(struct scan *sc, struct segment *seg, uint64_t from)
{
	struct gap g = { .expect = from > RECORD_BLOCK_BYTES ? from : RECORD_BLOCK_BYTES };
	size_t first_found = sc->count;
	uint64_t batch = 0;
	enum record_step step;
	struct walk w;
	int r;

	walk_init(&w, sc->sp, seg, from);
	while ((r = walk_next(&w, &step)) == 0 && step != RECORD_NONE) {
		note_gap(sc, seg, &g, &w);
		expect_next(&g, &w);
		if (w.rec.batch > batch)
			batch = w.rec.batch;
		take(sc, &w, step == RECORD_DAMAGED);
	}
	if (g.to != 0 && g.batch < batch)
		report_hole(sc, seg, g.from, g.to);
	walk_clear(&w);
	seg->end = round_up(g.expect);
	judge(sc, seg, first_found, batch);
	return r;
}

/* --- what is live ---------------------------------------------------------------------------- */

/* By number; of one number the one that counts last: whole before damaged, then the latest batch. */
static int
by_number(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	if (x->is_damaged != y->is_damaged)
		return x->is_damaged ? -1 : 1;
	return x->batch < y->batch ? -1 : x->batch > y->batch;
}

static void
keep_latest(struct scan *sc)
{
	size_t n = 0;

	if (sc->count == 0)
		return;
	qsort(sc->found, sc->count, sizeof(*sc->found), by_number);
	for (size_t i = 0; i < sc->count; i++)
		if (i + 1 == sc->count || sc->found[i + 1].number != sc->found[i].number)
			sc->found[n++] = sc->found[i];
	sc->count = n;
}

static void
keep_live_set(struct scan *sc, const struct found *f, const uint8_t *marks, uint32_t pending)
{
	struct live_set *set = mem_alloc(sizeof(*set) + pending * sizeof(set->indexes[0]));

	set->count = 0;
	for (uint32_t i = 0; i < f->rcpt_count && set->count < pending; i++)
		if (!(marks[i / 8] & 1u << i % 8))
			set->indexes[set->count++] = i;
	map64_put(&sc->sp->live_sets, f->number, set);
}

static void
add_slot(struct scan *sc, const struct found *f, uint8_t *marks)
{
	struct spool *sp = sc->sp;
	uint32_t marked = store_get_marks(sp->store, f->number, f->rcpt_count, marks);
	uint32_t pending = f->rcpt_count - marked, flags = f->flags;

	if (store_has_message(sp->store, f->number))
		flags |= SLOT_HAS_ROW;
	if (f->is_damaged)
		flags |= SLOT_SUSPECT;
	if (pending > 0)
		flags |= SLOT_REPLAY;
	else
		sc->finished++;
	if (pending > 0 && marked > 0)
		keep_live_set(sc, f, marks, pending);
	log_add(&sp->log, f->number, f->qid, &f->place, pending, flags)->size = f->size;
	map64_put(&sp->known, f->qid, sp);
	spool_note_qid(sp, f->qid);
	sp->log_bytes += f->place.length;
}

static void
add_slots(struct scan *sc)
{
	uint8_t *marks = mem_alloc(RECORD_RCPT_MAX / 8 + 1);

	for (size_t i = 0; i < sc->count; i++)
		add_slot(sc, &sc->found[i], marks);
	mem_free(marks);
	sc->sp->has_known = true;
}

/* --- appending again ------------------------------------------------------------------------- */

static int
append_again(struct scan *sc, struct buf *what_out)
{
	struct spool *sp = sc->sp;
	struct record rec;
	struct span parts[3];
	struct buf buf;
	int r = 0;

	buf_init(&buf,
		 RECORD_HEADER_BYTES + RECORD_ENVELOPE_MAX + RECORD_TRACE_MAX + RECORD_CONTENT_MAX);
	for (size_t i = 0; i < sc->count && r == 0; i++) {
		const struct found *f = &sc->found[i];
		const struct slot *slot = log_find(&sp->log, f->number);

		if (!f->is_last || f->is_damaged || slot->pending == 0)
			continue;
		if ((r = read_record(sp, f->number, &f->place, &buf, &rec, parts)) == 0)
			commit_add_again(sp->commit, &rec,
					 span_sub(buf_span(&buf), RECORD_HEADER_BYTES, SIZE_MAX));
	}
	buf_clear(&buf);
	if (r == 0)
		r = commit_now(sp->commit);
	if (r < 0)
		buf_printf(what_out,
			   "the last batch of the log cannot be made durable: %s; free space or "
			   "mend the disk",
			   err_info(r)->text);
	return r;
}

static void
report(const struct scan *sc)
{
	const struct spool *sp = sc->sp;

	if (sc->count > 0)
		log_info("scan of the log: %zu messages in %zu segments, %llu of them unfinished",
			 sc->count, sc->seg_count, (unsigned long long)sp->log.live);
}

int
scan_log(struct spool *sp, const struct store_cursor *from, struct buf *what_out)
{
	struct scan sc = { .sp = sp, .cursor = from->number };
	struct segment *start = from->segment != 0 ? segments_find(&sp->segs, from->segment) : NULL;
	int r = choose_segments(&sc, from);

	for (size_t i = 0; i < sc.seg_count && r == 0; i++) {
		bool is_start = start != NULL && sc.segs[i] == start && start->salt == from->salt;

		r = scan_segment(&sc, sc.segs[i], is_start ? from->offset : 0);
	}
	if (r < 0)
		buf_printf(what_out, "the log cannot be read: %s", err_info(r)->text);
	if (r == 0) {
		keep_latest(&sc);
		add_slots(&sc);
		r = store_start_check(sp->store, what_out);
	}
	if (r == 0) {
		/* Numbers that may have been given without a trace are skipped. */
		segments_note(&sp->segs, from->number, sc.max_number + 1, sc.max_batch + 1);
		spool_set_numbers(sp, from);
		r = append_again(&sc, what_out);
	}
	if (r == 0)
		report(&sc);
	mem_free(sc.segs);
	mem_free(sc.found);
	return r;
}
