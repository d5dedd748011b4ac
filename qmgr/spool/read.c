/* SPDX-License-Identifier: ISC
 *
 * Messages out of the log: every byte is checked against salt, number and CRC before anyone sees it. On the loop without
 * waiting (the pages are in memory), else on the read thread. Content is copied, never sent from the file: a segment that
 * is reused must not show a stranger's mail to a slow reader. Runs in qmgr.
 *
 *	open -> (by row: look up the place) -> read header, envelope, trace, short content -> check -> done
 *	a place whose record is another one is looked up once more in the message row; then it is damage
 *	long content: next -> chunk ... -> the last chunk only after the CRC of the whole was right -> end */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
/* lib */
#include "base/crc.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/spool/spool_int.h"

enum {
	READ_FIRST_BYTES = 80 *
			   1024, /* header, usual envelope and trace, content to be given whole */
	READ_CHUNK_BYTES = 65536,
};

struct spool_reader {
	struct worker_job job; /* first: cast back */
	struct spool *sp;
	uint64_t number;
	struct place place;
	bool has_looked_up;
	bool is_running; /* on the read thread */
	bool is_closed;
	bool is_opening; /* inside spool_open(): freed there */
	int err;
	struct record rec;
	struct span parts[3];
	struct buf buf; /* the record, as far as it is given whole */
	struct spool_msg msg;
	void (*done)(void *arg, struct spool_reader *r, int err, const struct spool_msg *msg);
	void *arg;
	/* long content: */
	int big_fd;
	uint64_t content_at; /* in the segment */
	uint64_t content_read;
	uint32_t crc;
	struct buf chunk_buf;
	size_t chunk_want;
	void (*chunk)(void *arg, struct spool_reader *r, int err, struct span data);
	void *chunk_arg;
};

/* --- one record ------------------------------------------------------------------------------ */

void
read_view(const struct record *rec, const struct place *at, const struct span parts[3],
	  struct spool_msg *out)
{
	*out = (struct spool_msg){
		.number = rec->number,
		.qid = rec->qid,
		.arrival_us = rec->arrival_us,
		.place = *at,
		.origin = rec->origin,
		.flags = rec->flags,
		.content_flags = rec->content_flags,
		.rcpt_count = rec->rcpt_count,
		.content_len = rec->content_len,
		.envelope = parts[0],
		.trace = parts[1],
		.content = rec->flags & RECORD_BIG ? SPAN_NONE : parts[2],
	};
}

/* Make buf hold the first n bytes of the record. */
static int
fill(struct spool *sp, const struct place *at, struct buf *buf, size_t n, bool is_nowait,
     uint64_t *salt)
{
	char *room;
	int r;

	if (buf->n >= n)
		return 0;
	if ((room = buf_room(buf, n - buf->n)) == NULL)
		return E_TOOBIG;
	r = segments_read(&sp->segs, at->segment, room, n - buf->n, at->offset + buf->n, is_nowait,
			  salt);
	if (r == 0)
		buf_added(buf, n - buf->n);
	return r;
}

/* Is this the record that we want? Its segment may have been reused: then another one, or none, stands here. */
static int
check_header(const struct buf *buf, uint64_t number, uint64_t salt, struct record *rec)
{
	int r = record_get_header(buf_span(buf), rec);

	if (r < 0)
		return E_CORRUPT;
	return rec->salt == salt && rec->number == number ? 0 : E_CORRUPT;
}

/* Header, envelope and trace, and the content if it is at most content_max. parts[2].p NULL: it is longer. */
static int
read_parts(struct spool *sp, uint64_t number, const struct place *at, struct buf *buf,
	   size_t content_max, bool is_nowait, struct record *rec, struct span parts[3])
{
	size_t first = at->length < READ_FIRST_BYTES ? at->length : READ_FIRST_BYTES, n;
	uint64_t salt = 0;
	bool is_whole;
	int r;

	if (at->length < RECORD_HEADER_BYTES)
		return E_CORRUPT;
	if ((r = fill(sp, at, buf, first, is_nowait, &salt)) < 0)
		return r;
	if ((r = check_header(buf, number, salt, rec)) < 0)
		return r;
	is_whole = !(rec->flags & RECORD_BIG) && rec->content_len <= content_max;
	n = RECORD_HEADER_BYTES + (size_t)rec->envelope_len + rec->trace_len +
	    (is_whole ? (size_t)rec->content_len : 0);
	if ((r = fill(sp, at, buf, n, is_nowait, &salt)) < 0)
		return r;
	parts[0] = span_make(buf->p + RECORD_HEADER_BYTES, rec->envelope_len);
	parts[1] = span_make(parts[0].p + parts[0].n, rec->trace_len);
	parts[2] = is_whole ? span_make(parts[1].p + parts[1].n, (size_t)rec->content_len)
			    : SPAN_NONE;
	if (crc32c(0, parts[0].p, parts[0].n) != rec->envelope_crc ||
	    crc32c(0, parts[1].p, parts[1].n) != rec->trace_crc)
		return E_CORRUPT;
	if (is_whole && crc32c(0, parts[2].p, parts[2].n) != rec->content_crc)
		return E_CORRUPT;
	return 0;
}

int
read_record(struct spool *sp, uint64_t number, const struct place *at, struct buf *buf,
	    struct record *rec_out, struct span parts_out[3])
{
	buf_reset(buf);
	return read_parts(sp, number, at, buf, RECORD_CONTENT_MAX, false, rec_out, parts_out);
}

int
read_head(struct spool *sp, uint64_t number, const struct place *at, struct buf *buf,
	  struct record *rec_out, struct span *env_out)
{
	uint64_t salt = 0;
	int r;

	buf_reset(buf);
	if ((r = fill(sp, at, buf, RECORD_HEADER_BYTES, false, &salt)) < 0)
		return r;
	if ((r = check_header(buf, number, salt, rec_out)) < 0)
		return r;
	if ((r = fill(sp, at, buf, RECORD_HEADER_BYTES + (size_t)rec_out->envelope_len, false,
		      &salt)) < 0)
		return r;
	*env_out = span_make(buf->p + RECORD_HEADER_BYTES, rec_out->envelope_len);
	return crc32c(0, env_out->p, env_out->n) == rec_out->envelope_crc ? 0 : E_CORRUPT;
}

/* --- opening --------------------------------------------------------------------------------- */

static void reader_read(struct spool_reader *r);

static void
reader_free(struct spool_reader *r)
{
	fd_close(&r->big_fd);
	buf_clear(&r->buf);
	buf_clear(&r->chunk_buf);
	mem_free(r);
}

static void
reader_done(struct spool_reader *r, int err)
{
	if (r->is_closed) {
		reader_free(r);
		return;
	}
	r->err = err;
	if (err == E_CORRUPT)
		spool_quarantine(r->sp, &r->place);
	if (err == 0) {
		read_view(&r->rec, &r->place, r->parts, &r->msg);
		r->content_at = r->place.offset + RECORD_HEADER_BYTES +
				(uint64_t)r->rec.envelope_len + r->rec.trace_len;
	}
	/* Whoever looks into it: a crash counts against this message. */
	progress_enter(err == 0 ? r->rec.qid : 0);
	r->done(r->arg, r, err, err == 0 ? &r->msg : NULL);
	progress_leave();
}

static void
on_place(void *arg, const struct store_place *found)
{
	struct spool_reader *r = arg;
	struct place there = { 0 };
	struct spool_slot slot;

	r->is_running = false;
	if (r->is_closed) {
		reader_free(r);
		return;
	}
	/* By its row; after the cursor one without row stands in the log. */
	if (found == NULL && spool_find_number(r->sp, r->number, &slot) == 0)
		there = slot.place;
	else if (found != NULL)
		there = found->place;
	if (there.length > 0 && memcmp(&there, &r->place, sizeof(there)) != 0) {
		r->place = there;
		reader_read(r);
		return;
	}
	reader_done(r, found == NULL && r->place.length == 0 ? E_NOTFOUND : E_CORRUPT);
}

/* What was read is not the record: it may have moved. */
static void
reader_look_up(struct spool_reader *r)
{
	r->has_looked_up = true;
	r->is_running = true;
	buf_reset(&r->buf);
	store_find_place(r->sp->store, r->number, on_place, r);
}

static void
reader_after(struct spool_reader *r, int err)
{
	/* A segment that is gone was empty: the record had moved before. */
	if ((err == E_CORRUPT || err == E_NOTFOUND) && !r->has_looked_up && !r->is_closed)
		reader_look_up(r);
	else
		reader_done(r, err == E_NOTFOUND ? E_CORRUPT : err);
}

static void
read_run(struct worker_job *job)
{
	struct spool_reader *r = (struct spool_reader *)(void *)job;

	r->err = read_parts(r->sp, r->number, &r->place, &r->buf, SPOOL_INLINE_BYTES, false,
			    &r->rec, r->parts);
}

static void
read_done(struct worker_job *job)
{
	struct spool_reader *r = (struct spool_reader *)(void *)job;

	r->is_running = false;
	reader_after(r, r->err);
}

static void
reader_read(struct spool_reader *r)
{
	int err;

	buf_reset(&r->buf);
	err = read_parts(r->sp, r->number, &r->place, &r->buf, SPOOL_INLINE_BYTES, true, &r->rec,
			 r->parts);
	if (err != E_AGAIN) {
		reader_after(r, err);
		return;
	}
	buf_reset(&r->buf);
	r->job = (struct worker_job){ .run = read_run, .done = read_done };
	r->is_running = true;
	worker_submit(r->sp->read_thread, &r->job);
}

struct spool_reader *
spool_open(struct spool *sp, uint64_t number, const struct place *at,
	   void (*done)(void *arg, struct spool_reader *r, int err, const struct spool_msg *msg),
	   void *arg)
{
	struct spool_reader *r = mem_zalloc(sizeof(*r));

	r->sp = sp;
	r->number = number;
	r->done = done;
	r->arg = arg;
	r->big_fd = -1;
	buf_init(&r->buf,
		 RECORD_HEADER_BYTES + RECORD_ENVELOPE_MAX + RECORD_TRACE_MAX + SPOOL_INLINE_BYTES);
	buf_init(&r->chunk_buf, READ_CHUNK_BYTES);
	r->is_opening = true;
	if (at != NULL) {
		r->place = *at;
		reader_read(r);
	} else {
		reader_look_up(r);
	}
	r->is_opening = false;
	if (r->is_closed && !r->is_running) {
		reader_free(r);
		return NULL;
	}
	return r;
}

void
spool_reader_close(struct spool_reader **rp)
{
	struct spool_reader *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	r->is_closed = true;
	if (!r->is_running && !r->is_opening)
		reader_free(r);
}

/* --- long content ---------------------------------------------------------------------------- */

static int
open_big(struct spool_reader *r)
{
	char name[32];

	if (r->big_fd >= 0)
		return 0;
	big_name(r->rec.qid, name);
	r->big_fd = openat(r->sp->segments_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return r->big_fd < 0 ? err_from_errno(errno) : 0;
}

static int
read_big(struct spool_reader *r, char *p, size_t n, bool is_nowait)
{
	int err;

	if ((err = open_big(r)) < 0)
		return err == E_NOTFOUND ? E_CORRUPT : err;
	if (is_nowait)
		return E_AGAIN;
	return fd_pread_all(r->big_fd, p, n, (off_t)r->content_read);
}

static int
read_chunk(struct spool_reader *r, bool is_nowait)
{
	char *p = buf_room(&r->chunk_buf, r->chunk_want);
	uint64_t salt = 0;
	int err;

	if (r->rec.flags & RECORD_BIG)
		err = read_big(r, p, r->chunk_want, is_nowait);
	else
		err = segments_read(&r->sp->segs, r->place.segment, p, r->chunk_want,
				    r->content_at + r->content_read, is_nowait, &salt);
	if (err == 0)
		buf_added(&r->chunk_buf, r->chunk_want);
	return err;
}

/* The CRC grows with what was read; the last bytes are given only if it is right. */
static void
give_chunk(struct spool_reader *r, int err)
{
	struct span data = buf_span(&r->chunk_buf);

	if (r->is_closed) {
		reader_free(r);
		return;
	}
	if (err == 0) {
		r->crc = crc32c(r->crc, data.p, data.n);
		r->content_read += data.n;
		if (r->content_read == r->rec.content_len && r->crc != r->rec.content_crc)
			err = E_CORRUPT;
	}
	if (err == E_CORRUPT)
		spool_quarantine(r->sp, &r->place);
	r->chunk(r->chunk_arg, r, err, err == 0 ? data : SPAN_NONE);
}

static void
chunk_run(struct worker_job *job)
{
	struct spool_reader *r = (struct spool_reader *)(void *)job;

	r->err = read_chunk(r, false);
}

static void
chunk_done(struct worker_job *job)
{
	struct spool_reader *r = (struct spool_reader *)(void *)job;

	r->is_running = false;
	give_chunk(r, r->err);
}

void
spool_reader_next(struct spool_reader *r, size_t max,
		  void (*chunk)(void *arg, struct spool_reader *r, int err, struct span data),
		  void *arg)
{
	uint64_t left = r->rec.content_len - r->content_read;
	int err;

	r->chunk = chunk;
	r->chunk_arg = arg;
	buf_reset(&r->chunk_buf);
	if (max > READ_CHUNK_BYTES)
		max = READ_CHUNK_BYTES;
	r->chunk_want = left < max ? (size_t)left : max;
	if (r->chunk_want == 0) {
		chunk(arg, r, 0, SPAN_NONE);
		return;
	}
	if ((err = read_chunk(r, true)) != E_AGAIN) {
		give_chunk(r, err);
		return;
	}
	r->job = (struct worker_job){ .run = chunk_run, .done = chunk_done };
	r->is_running = true;
	worker_submit(r->sp->read_thread, &r->job);
}
