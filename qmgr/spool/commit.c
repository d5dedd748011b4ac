/* SPDX-License-Identifier: ISC
 *
 * The commit: what happens between "the message is complete" and "it is on stable storage". A batch is gathered on the
 * loop (each content is copied once, into it), written at the next block boundary of the open segment and synced by
 * commit_batch() on the commit thread; commit_done() on the loop tells the owners (qmgr/spool/spool.c). It decides nothing
 * about what a message is; see intake.c. Runs in qmgr, which alone has the spool.
 *
 * A failed write or sync refuses the whole batch, seals the segment at its last good byte, and its descriptor is never
 * synced again: the kernel may have dropped the dirty pages, and the next sync would answer 0.
 *
 * Crash: before the write nothing is known of the batch; torn, its whole records are found (no 250 was sent: a duplicate
 * is allowed); after the sync all are found by the scan. */

/* System */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
/* lib */
#include "base/crc.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"
/* this program */
#include "qmgr/spool/commit.h"
#include "qmgr/crashpoint.h"

enum {
	BATCH_FIRST_BYTES = 128 * 1024,
	BATCH_KEEP_BYTES = 1024 * 1024, /* buffers up to this size are used again */
	BATCH_KEEP_COUNT = 3,
	BATCH_MAX_BYTES = 16 * 1024 * 1024, /* COMMIT_BATCH_BYTES and the largest record */
	FILL_BYTES = 1024 * 1024,	    /* zeros ahead of a small batch */
	FILL_BATCH_BYTES = FILL_BYTES /
			   4, /* a larger one pays for its blocks itself: the messages share it */
};

struct commit {
	struct segments *segs;
	struct worker *thread;
	void (*done)(void *arg, struct batch *b);
	void *arg;
	struct timer turn; /* the end of this turn of the loop */
	/* On the loop: */
	struct batch *gathering;	       /* the newest, still growing */
	struct batch *waiting, **waiting_last; /* closed, in order */
	struct batch *running;
	struct batch *spare;
	uint32_t spare_count;
	size_t backlog;
	uint32_t failures;
	uint64_t known_number, known_batch; /* next ones after the last finished batch */
	struct commit_stats stats;
	/* On the commit thread while a batch runs, else on the loop: */
	struct segment *open;
	uint64_t next_number, next_batch;
};

static void submit_next(struct commit *c);

/* --- the commit ------------------------------------------------------------------------------ */

/* Never written, so it costs no memory. */
static char zeros[RECORD_BLOCK_BYTES + FILL_BYTES];

/* How much is written: up to the next block boundary, for a page that is not written whole would have to be read. The
 * first small batch that reaches blocks never written before fills more of them with zeros: a sync after a write into such
 * blocks also commits the file system's journal, which costs one more flush of the disk; the batches that follow need
 * none. What lies behind the batch has no record of this salt. */
static size_t
written_bytes(const struct batch *b, size_t padded)
{
	uint64_t end = b->offset + padded, room = b->segment->size - end;

	if (end <= b->segment->filled || padded > FILL_BATCH_BYTES)
		return padded;
	return padded + (size_t)(room < FILL_BYTES ? room : FILL_BYTES);
}

/* The whole batch and zeros behind it, n bytes. */
static int
write_batch(int fd, const struct batch *b, size_t n)
{
	size_t done = 0;

	while (done < n) {
		size_t from_bytes = done < b->n ? b->n - done : 0;
		struct iovec iov[2] = {
			{ b->bytes + (done < b->n ? done : b->n), from_bytes },
			{ zeros, n - done - from_bytes },
		};
		ssize_t got = pwritev(fd, iov, 2, (off_t)(b->offset + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_from_errno(errno);
		done += (size_t)got;
	}
	return 0;
}

/* Number, salt and CRCs of every record: from here on the bytes are those of the disk. */
static void
seal_records(struct commit *c, struct batch *b)
{
	b->number = c->next_batch++;
	for (uint32_t i = 0; i < b->count; i++) {
		struct record *rec = &b->msgs[i].rec;
		const char *body = b->bytes + b->msgs[i].at + RECORD_HEADER_BYTES;

		rec->batch = b->number;
		rec->batch_at = (uint32_t)b->msgs[i].at;
		rec->batch_len = (uint32_t)b->n;
		rec->salt = b->segment->salt;
		if (!b->keeps_numbers)
			rec->number = c->next_number++;
		rec->envelope_crc = crc32c(0, body, rec->envelope_len);
		rec->trace_crc = crc32c(0, body + rec->envelope_len, rec->trace_len);
		if (!(rec->flags & RECORD_BIG))
			rec->content_crc = crc32c(0, body + rec->envelope_len + rec->trace_len,
						  (size_t)rec->content_len);
		record_put_header(b->bytes + b->msgs[i].at, rec);
	}
}

/* Commit thread, one batch in flight. After it the batch is durable (0) or refused as a whole (E_*). */
static int
commit_batch(struct commit *c, struct batch *b)
{
	size_t padded = (b->n + RECORD_BLOCK_BYTES - 1) / RECORD_BLOCK_BYTES * RECORD_BLOCK_BYTES,
	       written;
	int fd, r;

	/* Where: the open segment if the batch fits, else the next one. */
	if (c->open != NULL && c->open->end + padded > c->open->size) {
		segment_seal(c->segs, c->open, c->open->end);
		c->open = NULL;
	}
	if (c->open == NULL && (r = segments_take(c->segs, SEGMENT_HOT, padded, &c->open)) < 0)
		return r;
	b->segment = c->open;
	b->offset = c->open->end;
	if ((fd = segment_fd_get(c->segs, b->segment)) < 0)
		return err_from_errno(errno);

	/* Write and sync. */
	seal_records(c, b);
	CRASHPOINT("batch-sealed");
	written = written_bytes(b, padded);
	if ((r = write_batch(fd, b, written)) == 0) {
		CRASHPOINT("batch-written");
		if (fdatasync(fd) < 0)
			r = err_from_errno(errno);
	}
	segment_fd_put(c->segs, b->segment);
	if (r < 0) {
		segment_seal(c->segs, c->open, b->offset);
		c->open = NULL;
		return r;
	}
	CRASHPOINT("batch-synced");
	segment_appended(c->segs, c->open, b->offset + padded, b->offset + written, b->number);
	segments_note(c->segs, 0, c->next_number, c->next_batch);
	return 0;
}

static void
commit_run(struct worker_job *job)
{
	struct batch *b = (struct batch *)(void *)job;

	b->err = commit_batch(b->commit, b);
}

/* --- gathering, on the loop ------------------------------------------------------------------ */

static struct batch *
batch_new(struct commit *c)
{
	struct batch *b = c->spare;

	if (b != NULL) {
		c->spare = b->next;
		c->spare_count--;
		b->n = b->count = 0;
		b->number = 0;
		b->err = 0;
		b->keeps_numbers = false;
		b->next = NULL;
		return b;
	}
	b = mem_zalloc(sizeof(*b));
	b->commit = c;
	return b;
}

static void
batch_free(struct commit *c, struct batch *b)
{
	if (c->spare_count < BATCH_KEEP_COUNT && b->cap <= BATCH_KEEP_BYTES) {
		b->next = c->spare;
		c->spare = b;
		c->spare_count++;
		return;
	}
	mem_free(b->bytes);
	mem_free(b->msgs);
	mem_free(b);
}

static char *
batch_room(struct batch *b, size_t n)
{
	size_t cap = b->cap > 0 ? b->cap : BATCH_FIRST_BYTES;

	if (n > BATCH_MAX_BYTES - b->n)
		bug("a batch of more than %d bytes", BATCH_MAX_BYTES);
	while (cap < b->n + n)
		cap *= 2;
	if (cap > b->cap) {
		b->bytes = mem_grow(b->bytes, cap, 1);
		b->cap = cap;
	}
	return b->bytes + b->n;
}

static struct commit_msg *
batch_add_msg(struct batch *b)
{
	if (b->count == b->msgs_cap) {
		b->msgs_cap = b->msgs_cap > 0 ? b->msgs_cap * 2 : 16;
		b->msgs = mem_grow(b->msgs, b->msgs_cap, sizeof(*b->msgs));
	}
	return &b->msgs[b->count++];
}

/* No more goes into the batch that is gathered. */
static void
close_gathering(struct commit *c)
{
	struct batch *b = c->gathering;

	if (b == NULL || b->count == 0)
		return;
	c->gathering = NULL;
	if (c->waiting == NULL)
		c->waiting_last = &c->waiting;
	b->next = NULL;
	*c->waiting_last = b;
	c->waiting_last = &b->next;
}

/* The largest batch that a segment of the usual size takes. */
static size_t
batch_limit(const struct commit *c)
{
	uint64_t room = c->segs->segment_bytes - RECORD_BLOCK_BYTES;

	return room < COMMIT_BATCH_BYTES ? (size_t)room : COMMIT_BATCH_BYTES;
}

/* Room for a record of n bytes in the batch that is gathered. */
static struct commit_msg *
begin_record(struct commit *c, const struct record *rec, size_t n, bool keeps_numbers)
{
	size_t padded = (n + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
	struct commit_msg *m;
	char *p;

	if (c->gathering != NULL && c->gathering->n > 0 &&
	    c->gathering->n + padded > batch_limit(c))
		close_gathering(c);
	if (c->gathering == NULL) {
		c->gathering = batch_new(c);
		c->gathering->keeps_numbers = keeps_numbers;
	}
	p = batch_room(c->gathering, padded);
	memset(p + padded - RECORD_ALIGN, 0, RECORD_ALIGN);
	m = batch_add_msg(c->gathering);
	m->rec = *rec;
	m->at = c->gathering->n;
	c->gathering->n += padded;
	c->backlog += padded;
	return m;
}

static char *
put(char *p, struct span s)
{
	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

void
commit_add(struct commit *c, const struct record *rec, struct span envelope, struct span trace,
	   struct span content, const struct commit_owner *owner)
{
	size_t n = RECORD_HEADER_BYTES + envelope.n + trace.n + content.n;
	struct commit_msg *m = begin_record(c, rec, n, false);
	char *p = c->gathering->bytes + m->at + RECORD_HEADER_BYTES;

	m->owner = *owner;
	m->rec.envelope_len = (uint32_t)envelope.n;
	m->rec.trace_len = (uint32_t)trace.n;
	if (!(rec->flags & RECORD_BIG))
		m->rec.content_len = content.n;
	put(put(put(p, envelope), trace), content);
	if (!timer_is_set(&c->turn))
		timer_start(&c->turn, 0);
}

void
commit_add_again(struct commit *c, const struct record *rec, struct span body)
{
	struct commit_msg *m = begin_record(c, rec, RECORD_HEADER_BYTES + body.n, true);

	m->owner = (struct commit_owner){ 0 };
	put(c->gathering->bytes + m->at + RECORD_HEADER_BYTES, body);
}

/* --- one after the other --------------------------------------------------------------------- */

static void
count(struct commit *c, const struct batch *b)
{
	c->stats.syncs++;
	if (b->err < 0) {
		c->stats.failures++;
		c->failures++;
		return;
	}
	c->failures = 0;
	c->stats.batches++;
	c->stats.bytes += b->n;
	c->stats.messages += b->count;
	if (b->count > c->stats.batch_max)
		c->stats.batch_max = b->count;
}

/* Numbers of a refused batch are not used again: its records may be found after a crash. */
static void
note_numbers(struct commit *c, const struct batch *b)
{
	if (b->number >= c->known_batch)
		c->known_batch = b->number + 1;
	if (!b->keeps_numbers && b->count > 0 &&
	    b->msgs[b->count - 1].rec.number >= c->known_number)
		c->known_number = b->msgs[b->count - 1].rec.number + 1;
}

static void
finish(struct commit *c, struct batch *b)
{
	count(c, b);
	note_numbers(c, b);
	c->backlog -= b->n;
	c->done(c->arg, b);
	batch_free(c, b);
}

static void
commit_done(struct worker_job *job)
{
	struct batch *b = (struct batch *)(void *)job;
	struct commit *c = b->commit;

	c->running = NULL;
	/* The disk goes on while the owners are told. */
	submit_next(c);
	finish(c, b);
}

static void
submit_next(struct commit *c)
{
	struct batch *b;

	if (c->running != NULL)
		return;
	if (c->waiting == NULL)
		close_gathering(c);
	if ((b = c->waiting) == NULL)
		return;
	c->waiting = b->next;
	b->next = NULL;
	b->job = (struct worker_job){ .run = commit_run, .done = commit_done };
	c->running = b;
	worker_submit(c->thread, &b->job);
}

static void
on_turn(void *arg)
{
	submit_next(arg);
}

void
commit_drain(struct commit *c)
{
	submit_next(c);
	while (c->running != NULL)
		worker_drain(c->thread);
}

int
commit_now(struct commit *c)
{
	struct batch *b;
	int r = 0;

	close_gathering(c);
	while ((b = c->waiting) != NULL) {
		c->waiting = b->next;
		b->err = commit_batch(c, b);
		if (b->err < 0 && r == 0)
			r = b->err;
		finish(c, b);
	}
	return r;
}

static void
probe_run(struct worker_job *job)
{
	struct batch *b = (struct batch *)(void *)job;
	struct commit *c = b->commit;

	b->err = segments_probe(c->segs);
}

static void
probe_done(struct worker_job *job)
{
	struct batch *b = (struct batch *)(void *)job;
	struct commit *c = b->commit;

	c->running = NULL;
	if (b->err == 0)
		c->failures = 0;
	c->done(c->arg, b);
	batch_free(c, b);
	submit_next(c);
}

void
commit_probe(struct commit *c)
{
	struct batch *b;

	if (c->running != NULL)
		return;
	b = batch_new(c);
	b->job = (struct worker_job){ .run = probe_run, .done = probe_done };
	c->running = b;
	worker_submit(c->thread, &b->job);
}

/* --- looking --------------------------------------------------------------------------------- */

static struct commit_owner *
find_in(struct batch *b, uint64_t qid)
{
	for (uint32_t i = 0; b != NULL && i < b->count; i++)
		if (b->msgs[i].rec.qid == qid)
			return &b->msgs[i].owner;
	return NULL;
}

struct commit_owner *
commit_find(struct commit *c, uint64_t qid)
{
	struct commit_owner *found = find_in(c->gathering, qid);

	if (found == NULL)
		found = find_in(c->running, qid);
	for (struct batch *b = c->waiting; b != NULL && found == NULL; b = b->next)
		found = find_in(b, qid);
	return found;
}

static void
forget_in(struct batch *b, const struct chan *intake)
{
	for (uint32_t i = 0; b != NULL && i < b->count; i++)
		if (b->msgs[i].owner.intake == intake)
			b->msgs[i].owner.intake = NULL;
}

void
commit_forget(struct commit *c, const struct chan *intake)
{
	forget_in(c->gathering, intake);
	forget_in(c->running, intake);
	for (struct batch *b = c->waiting; b != NULL; b = b->next)
		forget_in(b, intake);
}

size_t
commit_backlog(const struct commit *c)
{
	return c->backlog;
}

uint32_t
commit_failures(const struct commit *c)
{
	return c->failures;
}

uint64_t
commit_next_number(const struct commit *c)
{
	return c->known_number;
}

uint64_t
commit_next_batch(const struct commit *c)
{
	return c->known_batch;
}

void
commit_set_numbers(struct commit *c, uint64_t next_number, uint64_t next_batch)
{
	c->next_number = c->known_number = next_number;
	c->next_batch = c->known_batch = next_batch;
}

void
commit_get_stats(const struct commit *c, struct commit_stats *out)
{
	*out = c->stats;
}

/* --- life ------------------------------------------------------------------------------------ */

struct commit *
commit_new(struct segments *segs, struct worker *thread, struct timer_set *timers,
	   void (*done)(void *arg, struct batch *b), void *arg)
{
	struct commit *c = mem_zalloc(sizeof(*c));

	c->segs = segs;
	c->thread = thread;
	c->done = done;
	c->arg = arg;
	commit_set_numbers(c, 1, 1);
	timer_init(&c->turn, timers, on_turn, c);
	return c;
}

void
commit_free(struct commit **cp)
{
	struct commit *c = *cp;

	if (c == NULL)
		return;
	timer_stop(&c->turn);
	if (c->gathering != NULL)
		batch_free(c, c->gathering);
	for (struct batch *b = c->waiting, *next; b != NULL; b = next) {
		next = b->next;
		batch_free(c, b);
	}
	for (struct batch *b = c->spare, *next; b != NULL; b = next) {
		next = b->next;
		mem_free(b->bytes);
		mem_free(b->msgs);
		mem_free(b);
	}
	mem_free(c);
	*cp = NULL;
}
