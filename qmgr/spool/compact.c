/* SPDX-License-Identifier: ISC
 *
 * Compaction: the few live records of an old segment are copied to a cold one, so that the segment can be used again.
 * This is the normal case, not an exception: with one message of a thousand deferred, hardly a segment empties by itself.
 * Runs in qmgr; copies are made on the disk thread, page by page.
 *
 *	choose -> page of places (store) -> read, verify, append as COPY, sync (disk) -> rows switch (store) -> next page
 *
 * Crash: before the rows switch the old place counts and the copy is garbage; after it the new one counts. A segment
 * whose last row has gone is retired by space.c like any other. */

/* System */
#include <errno.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/spool/spool_int.h"

enum {
	PAGE_MESSAGES = 200,
	PAGE_BYTES = 2 * 1024 * 1024, /* a page ends when so much was copied */
	SHARE = 4,     /* a page that took a second is followed by so many seconds of rest */
	LIVE_LOW = 25, /* percent: copied when segments run short */
	LIVE_IDLE = 5, /* percent: copied whenever the disk is idle */
	EMPTY_LOW = 2,
	SLACK_SEGMENTS = 2, /* space behind the cursor may exceed twice its live bytes by so many */
};

/* --- which segment --------------------------------------------------------------------------- */

static struct segment *
choose(struct spool *sp)
{
	uint64_t space = 0, live = 0, empty = 0;
	struct segment *best = NULL;

	pthread_mutex_lock(&sp->segs.lock);
	LIST_EACH(it, &sp->segs.all) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		empty += seg->state == SEGMENT_EMPTY;
		if (seg->live_messages == 0 || !checkpoint_is_behind(sp, seg))
			continue;
		space += seg->size;
		live += seg->live_bytes;
		if (!seg->is_damaged && (best == NULL || seg->live_bytes < best->live_bytes))
			best = seg;
	}
	pthread_mutex_unlock(&sp->segs.lock);
	if (best == NULL)
		return NULL;
	if (empty < EMPTY_LOW && best->live_bytes * 100 <= best->size * LIVE_LOW)
		return best;
	if (space_is_idle(sp) && best->live_bytes * 100 <= best->size * LIVE_IDLE)
		return best;
	/* The bound of disk space: whatever the share is. */
	return space > 2 * live + SLACK_SEGMENTS * sp->conf.segment_bytes ? best : NULL;
}

/* --- one page, on the disk thread ------------------------------------------------------------ */

/* Room for n bytes in the open cold segment, or in the next one. */
static int
need_room(struct compact *c, uint64_t n)
{
	if (c->to != NULL && c->to->end + n > c->to->size) {
		segment_seal(&c->sp->segs, c->to, c->to->end);
		c->to = NULL;
	}
	return c->to != NULL ? 0 : segments_take(&c->sp->segs, SEGMENT_COLD, n, &c->to);
}

/* Append one record to the page; its header is made anew for its new segment. */
static void
put_copy(struct compact *c, struct buf *page, const struct store_place *from,
	 const struct record *rec, struct span body)
{
	struct record copy = *rec;
	char header[RECORD_HEADER_BYTES];
	struct store_moved *m = &c->moved[c->moved_count++];

	copy.salt = c->to->salt;
	copy.flags |= RECORD_COPY;
	copy.batch_at = copy.batch_len = 0;
	record_put_header(header, &copy);
	*m = (struct store_moved){
		.number = from->number,
		.from = from->place,
		.to = { c->to->number, (uint32_t)(c->to->end + page->n), from->place.length },
		.to_salt = c->to->salt,
	};
	buf_put(page, header, sizeof(header));
	buf_put_span(page, body);
	while (page->n % RECORD_ALIGN != 0)
		buf_putc(page, '\0');
}

static int
write_page(struct compact *c, struct buf *page)
{
	int fd, r;

	if (page->n == 0)
		return 0;
	while (page->n % RECORD_BLOCK_BYTES != 0)
		buf_putc(page, '\0');
	if ((fd = segment_fd_get(&c->sp->segs, c->to)) < 0)
		return err_from_errno(errno);
	r = fd_pwrite_all(fd, page->p, page->n, (off_t)c->to->end);
	if (r == 0 && fdatasync(fd) < 0)
		r = err_from_errno(errno);
	segment_fd_put(&c->sp->segs, c->to);
	if (r < 0) {
		/* Never synced again; what was copied before is whole. */
		segment_seal(&c->sp->segs, c->to, c->to->end);
		c->to = NULL;
		return r;
	}
	CRASHPOINT("copies-synced");
	c->bytes += page->n;
	segment_appended(&c->sp->segs, c->to, c->to->end + page->n, c->to->end + page->n, 1);
	return 0;
}

/* One record into the page. A damaged one stays where it is. */
static int
copy_one(struct compact *c, const struct store_place *from, struct buf *page, struct buf *buf)
{
	struct record rec;
	struct span parts[3];
	int r = read_record(c->sp, from->number, &from->place, buf, &rec, parts);

	if (r < 0) {
		c->damaged = from->number;
		return r == E_CORRUPT ? 0 : r;
	}
	put_copy(c, page, from, &rec, span_sub(buf_span(buf), RECORD_HEADER_BYTES, SIZE_MAX));
	return 0;
}

/* One page: as many of its places as fit. */
static int
copy_page(struct compact *c)
{
	uint64_t n = 0;
	struct buf page, buf;
	uint32_t i;
	int r;

	for (i = 0; i < c->count && (i == 0 || n + c->places[i].place.length < PAGE_BYTES); i++)
		n += c->places[i].place.length + RECORD_ALIGN;
	c->count = i;
	if ((r = need_room(c, n + RECORD_BLOCK_BYTES)) < 0)
		return r;
	buf_init(&page, (size_t)n + RECORD_BLOCK_BYTES);
	buf_init(&buf,
		 RECORD_HEADER_BYTES + RECORD_ENVELOPE_MAX + RECORD_TRACE_MAX + RECORD_CONTENT_MAX);
	for (i = 0; i < c->count && r == 0; i++)
		r = copy_one(c, &c->places[i], &page, &buf);
	if (r == 0 && (r = buf_check(&page)) == 0)
		r = write_page(c, &page);
	buf_clear(&page);
	buf_clear(&buf);
	return r;
}

static void
page_run(struct worker_job *job)
{
	struct compact *c = (struct compact *)(void *)job;

	c->err = copy_page(c);
}

/* --- on the loop ----------------------------------------------------------------------------- */

/* A page that took a while is followed by a rest that is longer. */
static void
finish(struct compact *c)
{
	uint64_t rest_ms = SHARE * (clock_mono_ms() - c->began_ms) + 1;

	c->not_before_ms = clock_mono_ms() + rest_ms;
	c->from = NULL;
	if (c->moved_count > 0)
		timer_start(&c->timer, rest_ms);
}

static void
on_moved(void *arg)
{
	struct compact *c = arg;

	CRASHPOINT("copies-committed");
	c->sp->stats.compacted_bytes += c->bytes;
	finish(c);
}

static void
on_damaged_rows(void *arg, uint64_t number, const struct row *rows, uint32_t count)
{
	struct spool *sp = arg;

	(void)number;
	for (uint32_t i = 0; i < count; i++) {
		struct row row = rows[i];

		if (row.state == ROW_DONE)
			continue;
		row.state = ROW_CORRUPT;
		row.text = SPAN("its record is damaged");
		store_event(sp->store, &(struct event){ .kind = EVENT_HELD,
							.at_ms = clock_wall_ms(),
							.number = row.number,
							.qid = row.qid,
							.index_plus_1 = row.index + 1,
							.attempt = row.attempts,
							.to = row.address,
							.text = row.text });
		store_put(sp->store, &row);
	}
}

static void
page_done(struct worker_job *job)
{
	struct compact *c = (struct compact *)(void *)job;
	struct spool *sp = c->sp;

	if (c->to != NULL && c->told != c->to) {
		store_segment_used(sp->store, c->to->number, c->to->salt, SEGMENT_COLD);
		c->told = c->to;
	}
	if (c->damaged != 0) {
		log_warn("message %llu in segments/%u.seg is damaged: held",
			 (unsigned long long)c->damaged, c->from->number);
		c->from->is_damaged = true;
		store_get_rows(sp->store, c->damaged, on_damaged_rows, sp);
	}
	if (c->err < 0) {
		log_warn("segments/%u.seg cannot be compacted: %s", c->from->number,
			 err_info(c->err)->text);
		finish(c);
	} else if (c->moved_count > 0) {
		store_move(sp->store, c->moved, c->moved_count, on_moved, c);
	} else {
		finish(c);
	}
	mem_free(c->places);
	mem_free(c->moved);
	c->places = NULL;
	c->moved = NULL;
}

static void
on_places(void *arg, const struct store_place *places, uint32_t count)
{
	struct compact *c = arg;

	if (count == 0) {
		finish(c);
		return;
	}
	c->places = mem_array(count, sizeof(*c->places));
	c->moved = mem_array(count, sizeof(*c->moved));
	memcpy(c->places, places, count * sizeof(*places));
	c->count = count;
	c->job = (struct worker_job){ .run = page_run, .done = page_done };
	worker_submit(c->sp->disk_thread, &c->job);
}

void
compact_poke(struct spool *sp)
{
	struct compact *c = &sp->compact;

	if (c->from != NULL || clock_mono_ms() < c->not_before_ms)
		return;
	if ((c->from = choose(sp)) == NULL)
		return;
	c->moved_count = 0;
	c->damaged = 0;
	c->bytes = 0;
	c->began_ms = clock_mono_ms();
	/* What was moved before has no row there any more. */
	store_segment_messages(sp->store, c->from->number, 0, PAGE_MESSAGES, on_places, c);
}

static void
on_timer(void *arg)
{
	compact_poke(arg);
}

void
compact_init(struct spool *sp)
{
	sp->compact.sp = sp;
	timer_init(&sp->compact.timer, sp->conf.timers, on_timer, sp);
}
