/* SPDX-License-Identifier: ISC
 *
 * The spool as a whole: told what became of batches and rows, closed at the end. The parts have their own files:
 * spool_start, commit, segment, log, scan, read, big, store, checkpoint, space, compact. Runs in qmgr, the one owner of
 * the spool (flock on segments/lock), below the folder queue/ that is its root.
 *
 * I1	A recipient is live if and only if it has a row in queue.db, or its record lies after the cursor and it has no mark.
 * I2	A segment is empty if and only if no record in it carries the segment's salt.
 * I3	While a salt stands, no durable byte of a batch is written again (zeros ahead of the batches are).
 *
 * State at a crash (CRASHPOINT name)		after the restart
 * batch-sealed, batch-written			records that are whole count, others are no damage; no 250 was sent
 * batch-synced					found by the scan; handed over again it is known by its queue id
 * stored					found by the scan
 * transaction-before-commit			the results are reported again by delivery; no RESULT_ACK was sent
 * transaction-committed			the rows count
 * expanded-not-committed			expanded again; no child had been tried
 * key-committed				delivered: the key names this very record
 * big-synced					the file is removed: no record names it, no 250 was sent
 * retiring-committed, segment-header-written	the step is repeated
 * segment-retired				empty by I2; its row is deleted
 * copies-synced				the old place counts; the copy is garbage
 * copies-committed				the new place counts; the old segment is retired
 * cursor-committed				marks behind it are gone, rows know the rest
 * events-written, events-synced			the event log: qmgr/events/events.c */

/* System */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/chan.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/spool/spool_int.h"

#define WINDOW_MAX_BYTES 268435456ull /* log after the cursor */
#define WINDOW_MAX_SEGMENTS 8

/* --- what happened --------------------------------------------------------------------------- */

static void
tell(struct batch *b, const struct commit_msg *m)
{
	if (m->owner.intake != NULL && b->err == 0)
		chan_send(m->owner.intake, MSG_MSG_STORED,
			  &(struct msg_msg_stored){ .qid = m->rec.qid });
	else if (m->owner.intake != NULL)
		chan_send(m->owner.intake, MSG_MSG_REFUSED,
			  &(struct msg_msg_refused){ .qid = m->rec.qid,
						     .code = (uint16_t)-b->err });
	if (m->owner.done != NULL)
		m->owner.done(m->owner.arg, b->err, m->rec.qid);
}

/* Appended again at start: the same message at another place. */
static void
moved(struct spool *sp, const struct batch *b, const struct commit_msg *m)
{
	struct slot *slot = log_find(&sp->log, m->rec.number);

	if (slot != NULL)
		slot->place = (struct place){ b->segment->number, (uint32_t)(b->offset + m->at),
					      (uint32_t)record_length(&m->rec) };
}

static void
take_message(struct spool *sp, const struct batch *b, const struct commit_msg *m)
{
	struct place at = { b->segment->number, (uint32_t)(b->offset + m->at),
			    (uint32_t)record_length(&m->rec) };
	const char *body = b->bytes + m->at + RECORD_HEADER_BYTES;
	const struct record *rec = &m->rec;
	struct span parts[3] = {
		{ body, rec->envelope_len },
		{ body + rec->envelope_len, rec->trace_len },
		{ body + rec->envelope_len + rec->trace_len, (size_t)rec->content_len },
	};
	struct spool_msg msg;

	log_add(&sp->log, rec->number, rec->qid, &at, rec->rcpt_count,
		rec->flags & RECORD_BIG ? SLOT_BIG : 0)
		->size = rec->trace_len + rec->content_len;
	if (rec->flags & RECORD_BIG)
		big_count(sp, 1, rec->content_len);
	read_view(rec, &at, parts, &msg);
	received_put(sp, rec, parts[0]);
	admit(sp, &msg, NULL, 0);
}

void
spool_on_batch(void *arg, struct batch *b)
{
	struct spool *sp = arg;
	size_t padded;

	space_on_batch(sp, b->count > 0 ? b->err : 0);
	for (uint32_t i = 0; i < b->count; i++)
		tell(b, &b->msgs[i]);
	/* The clients go on while we look at what they sent. */
	for (uint32_t i = 0; i < b->count; i++)
		if (b->msgs[i].owner.intake != NULL && chan_queued(b->msgs[i].owner.intake) > 0)
			chan_flush(b->msgs[i].owner.intake);
	if (b->err < 0)
		sp->stats.refused += b->count;
	/* Less waits now: a paused intake may go on. */
	sp->conf.on_intake(sp->conf.intake_arg);
	if (b->err < 0 || b->count == 0)
		return;
	CRASHPOINT("stored");
	sp->last_commit_ms = clock_mono_ms();
	padded = (b->n + RECORD_BLOCK_BYTES - 1) / RECORD_BLOCK_BYTES * RECORD_BLOCK_BYTES;
	sp->bytes_written += padded;
	sp->log_bytes += padded;
	sp->tail.segment = b->segment->number;
	sp->tail.salt = b->segment->salt;
	sp->tail.offset = b->offset + padded;
	/* First batch of a segment: its salt is kept, in case that the header is damaged later. */
	if (b->segment->first_batch == b->number)
		store_segment_used(sp->store, b->segment->number, b->segment->salt, SEGMENT_HOT);
	for (uint32_t i = 0; i < b->count; i++) {
		if (b->keeps_numbers)
			moved(sp, b, &b->msgs[i]);
		else
			take_message(sp, b, &b->msgs[i]);
	}
	checkpoint_poke(sp);
}

/* --- hooks of the store ---------------------------------------------------------------------- */

static int
hook_read_head(void *arg, uint64_t number, const struct place *at, struct buf *buf,
	       struct record *rec_out, struct span *env_out)
{
	int r = read_head(arg, number, at, buf, rec_out, env_out);

	if (r == 0)
		progress_enter(rec_out->qid);
	return r;
}

static void
hook_read_end(void *arg)
{
	(void)arg;
	progress_leave();
}

static uint64_t
hook_salt_of(void *arg, uint32_t number)
{
	struct spool *sp = arg;
	struct segment *seg = segments_find(&sp->segs, number);

	return seg != NULL ? seg->salt : 0;
}

static bool
hook_place_of(void *arg, uint64_t number, struct place *at_out, bool *is_suspect_out)
{
	struct spool *sp = arg;
	const struct slot *slot = log_find(&sp->log, number);

	if (slot == NULL)
		return false;
	*at_out = slot->place;
	*is_suspect_out = (slot->flags & SLOT_SUSPECT) != 0;
	return true;
}

static void
count_live(struct spool *sp, const struct store_change *c)
{
	struct segment *seg = segments_find(&sp->segs, c->segment);

	if (seg == NULL)
		return;
	if (c->row == ROW_MADE) {
		seg->live_messages++;
		seg->live_bytes += c->length;
	} else if (seg->live_messages > 0) {
		seg->live_messages--;
		seg->live_bytes -= c->length < seg->live_bytes ? c->length : seg->live_bytes;
	}
}

static void
hook_on_change(void *arg, const struct store_change *c)
{
	struct spool *sp = arg;
	struct slot *slot = log_find(&sp->log, c->number);
	bool is_finished = false;

	if (c->row != ROW_SAME)
		count_live(sp, c);
	if (slot != NULL && c->row == ROW_MADE)
		slot->flags |= SLOT_HAS_ROW;
	if (slot != NULL && c->row == ROW_GONE && !(c->flags & RECORD_COPY)) {
		slot->flags &= 0xff & ~(uint32_t)SLOT_HAS_ROW;
		is_finished = slot->pending == 0;
	}
	if (slot != NULL && c->marked > 0 && log_marked(&sp->log, slot, c->marked))
		is_finished = !(slot->flags & SLOT_HAS_ROW);
	if (is_finished && slot->flags & SLOT_BIG)
		big_remove(sp, slot->qid);
	if (slot == NULL && c->row == ROW_GONE && c->flags & RECORD_BIG)
		big_remove(sp, c->qid);
}

static void
hook_on_full(void *arg, bool is_full)
{
	space_on_store_full(arg, is_full);
}

static int
hook_write_events(void *arg, char *records, size_t n, uint32_t count)
{
	struct spool *sp = arg;

	return events_write(sp->events, records, n, count);
}

static void
hook_on_events(void *arg, uint64_t lost)
{
	struct spool *sp = arg;

	if (lost > 0)
		events_lost(sp->events, lost);
	events_report(sp->events);
}

/* A database that is damaged is looked at closely by the next start: it finds the file segments/suspicious. */
static void
hook_on_fatal(void *arg, bool is_corrupt, const char *what)
{
	struct spool *sp = arg;
	char text[500];
	int fd = -1;

	if (is_corrupt)
		fd = openat(sp->segments_fd, "suspicious",
			    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	fd_close(&fd);
	snprintf(text, sizeof(text), "queue.db: %s", what);
	sp->conf.on_fatal(sp->conf.intake_arg, text);
}

static const struct store_hooks spool_hooks = {
	.read_head = hook_read_head,
	.read_end = hook_read_end,
	.salt_of = hook_salt_of,
	.place_of = hook_place_of,
	.on_change = hook_on_change,
	.on_full = hook_on_full,
	.write_events = hook_write_events,
	.on_events = hook_on_events,
	.on_fatal = hook_on_fatal,
};

/* --- looking --------------------------------------------------------------------------------- */

static void
fill_slot(const struct slot *s, struct spool_slot *out)
{
	*out = (struct spool_slot){
		.number = s->number, .qid = s->qid, .place = s->place, .pending = s->pending
	};
}

int
spool_find_number(const struct spool *sp, uint64_t number, struct spool_slot *out)
{
	const struct slot *s = log_find(&sp->log, number);

	if (s == NULL)
		return E_NOTFOUND;
	fill_slot(s, out);
	return 0;
}

int
spool_find_qid(const struct spool *sp, uint64_t qid, struct spool_slot *out)
{
	struct log_iter it = { 0 };
	const struct slot *s;

	while ((s = log_next(&sp->log, &it)) != NULL) {
		if (s->qid != qid)
			continue;
		fill_slot(s, out);
		return 0;
	}
	return E_NOTFOUND;
}

struct known_question {
	void (*done)(void *arg, bool is_known);
	void *arg;
};

static void
on_known(void *arg, uint64_t qid, uint64_t number)
{
	struct known_question k = *(struct known_question *)arg;

	(void)qid;
	mem_free(arg);
	k.done(k.arg, number != 0);
}

void
spool_is_known(struct spool *sp, uint64_t qid, void (*done)(void *arg, bool is_known), void *arg)
{
	struct known_question *k;
	struct spool_slot slot;

	/* The log holds the messages of this run, too: a channel may be lost without a crash. */
	if (map64_get(&sp->known, qid) != NULL || spool_find_qid(sp, qid, &slot) == 0) {
		sp->stats.again_known++;
		done(arg, true);
		return;
	}
	k = mem_alloc(sizeof(*k));
	*k = (struct known_question){ done, arg };
	store_find_qid(sp->store, qid, on_known, k);
}

void
spool_forget_known(struct spool *sp)
{
	sp->has_known = false;
	map64_clear(&sp->known);
}

void
spool_note_qid(struct spool *sp, uint64_t qid)
{
	uint64_t *floor = &sp->floors[id_slot(qid)];

	if (id_us(qid) > *floor)
		*floor = id_us(qid);
}

static void
count_segments(struct spool *sp, struct spool_stats *out)
{
	pthread_mutex_lock(&sp->segs.lock);
	LIST_EACH(it, &sp->segs.all) {
		const struct segment *seg = LIST_ENTRY(it, struct segment, node);

		out->segments++;
		out->segments_empty += seg->state == SEGMENT_EMPTY;
		if (seg->kind == SEGMENT_COLD && seg->state != SEGMENT_EMPTY)
			out->cold_bytes += seg->size;
		out->live_bytes += seg->live_bytes;
	}
	pthread_mutex_unlock(&sp->segs.lock);
}

void
spool_get_stats(const struct spool *csp, struct spool_stats *out)
{
	struct spool *sp = (struct spool *)(uintptr_t)csp;
	struct commit_stats cs;
	struct store_stats ss;

	commit_get_stats(sp->commit, &cs);
	store_get_stats(sp->store, &ss);
	*out = sp->stats;
	out->messages = cs.messages;
	out->bytes = cs.bytes;
	out->batches = cs.batches;
	out->syncs = cs.syncs;
	out->batch_max = cs.batch_max;
	out->transactions = ss.transactions;
	out->ops = ss.ops;
	out->log_bytes = sp->log_bytes;
	out->free_bytes = sp->space.free_bytes;
	out->cursor = sp->checkpoint.cursor.number;
	out->next_number = commit_next_number(sp->commit);
	out->intake_code = sp->space.code;
	events_get_stats(sp->events, &out->events);
	count_segments(sp, out);
	log_count_rowless(&sp->log, &out->rowless_messages, &out->rowless_bytes,
			  &out->pending_rcpts);
}

/* --- our own messages ------------------------------------------------------------------------ */

static uint64_t
own_qid(struct spool *sp)
{
	struct id_gen gen = { .slot = sp->conf.slot,
			      .floor_us = sp->floors[sp->conf.slot % SPOOL_SLOTS] };
	uint64_t qid = id_next(&gen);

	spool_note_qid(sp, qid);
	return qid;
}

void
spool_submit(struct spool *sp, const struct spool_submission *s,
	     void (*done)(void *arg, int err, uint64_t qid), void *arg)
{
	struct commit_owner owner = { .done = done, .arg = arg };
	struct record rec = {
		.content_flags = s->content_flags,
		.qid = own_qid(sp),
		.arrival_us = clock_wall_us(),
		.origin = ORIGIN_REPORT,
		.origin_slot = sp->conf.slot,
		.rcpt_count = s->rcpt_count,
	};

	if (s->content.n > RECORD_CONTENT_MAX || s->envelope.n > RECORD_ENVELOPE_MAX ||
	    s->trace.n > RECORD_TRACE_MAX)
		bug("a message of our own is too long");
	if (sp->is_stopping) {
		if (done != NULL)
			done(arg, E_STOPPING, rec.qid);
		return;
	}
	commit_add(sp->commit, &rec, s->envelope, s->trace, s->content, &owner);
}

/* --- quarantine ------------------------------------------------------------------------------ */

struct quarantine {
	struct worker_job job;
	struct spool *sp;
	struct place at;
};

static void
quarantine_run(struct worker_job *job)
{
	struct quarantine *q = (struct quarantine *)(void *)job;
	char name[64], chunk[4096];
	uint64_t salt;
	int fd;

	snprintf(name, sizeof(name), "%u-%u-%u", q->at.segment, q->at.offset, q->at.length);
	fd = openat(q->sp->corrupt_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		return;
	for (uint32_t done = 0; done < q->at.length;) {
		uint32_t n = q->at.length - done < sizeof(chunk) ? q->at.length - done
								 : (uint32_t)sizeof(chunk);

		if (segments_read(&q->sp->segs, q->at.segment, chunk, n,
				  (uint64_t)q->at.offset + done, false, &salt) < 0)
			memset(chunk, 0, n);
		if (fd_write_all(fd, chunk, n) < 0)
			break;
		done += n;
	}
	fd_close(&fd);
}

static void
quarantine_done(struct worker_job *job)
{
	mem_free(job);
}

void
spool_quarantine(struct spool *sp, const struct place *at)
{
	struct quarantine *q = mem_zalloc(sizeof(*q));

	q->job = (struct worker_job){ .run = quarantine_run, .done = quarantine_done };
	q->sp = sp;
	q->at = *at;
	sp->stats.damaged += sp->is_started;
	if (sp->is_started) {
		worker_submit(sp->disk_thread, &q->job);
		return;
	}
	quarantine_run(&q->job);
	mem_free(q);
}

/* --- life ------------------------------------------------------------------------------------ */

static uint64_t
window_of(uint64_t segment_bytes)
{
	uint64_t n = segment_bytes * WINDOW_MAX_SEGMENTS;

	return n < WINDOW_MAX_BYTES ? n : WINDOW_MAX_BYTES;
}

int
spool_new(const struct spool_config *conf, struct spool **out, struct buf *what_out)
{
	struct spool *sp = mem_zalloc(sizeof(*sp));
	int r;

	sp->conf = *conf;
	sp->dir_fd = conf->dir_fd;
	sp->segments_fd = sp->corrupt_fd = sp->lock_fd = -1;
	sp->window_bytes = window_of(conf->segment_bytes);
	sp->floors = mem_array(SPOOL_SLOTS, sizeof(*sp->floors));
	map64_init(&sp->live_sets);
	map64_init(&sp->known);
	crashpoint_read(sp->dir_fd);
	if ((r = spool_start(sp, &spool_hooks, what_out)) < 0) {
		spool_free(&sp);
		return r;
	}
	*out = sp;
	return 0;
}

void
spool_run(struct spool *sp)
{
	sp->is_started = true;
	sp->read_thread = worker_new(sp->conf.loop, "read");
	sp->disk_thread = worker_new(sp->conf.loop, "disk");
	store_run(sp->store, sp->conf.loop, sp->conf.timers);
	space_start(sp);
	admit_replay_start(sp);
	checkpoint_start(sp);
}

void
spool_set_conf(struct spool *sp, uint64_t min_free_bytes, uint64_t message_bytes)
{
	sp->conf.min_free_bytes = min_free_bytes;
	sp->conf.message_bytes = message_bytes;
}

void
spool_set_events(struct spool *sp, uint64_t bytes)
{
	events_set_max(sp->events, bytes);
	store_set_events(sp->store, bytes > 0);
}

/* --- the end --------------------------------------------------------------------------------- */

void
spool_stop(struct spool *sp, void (*done)(void *arg), void *arg)
{
	sp->is_stopping = true;
	commit_drain(sp->commit);
	checkpoint_final(sp, done, arg);
}

void
spool_free(struct spool **spp)
{
	struct spool *sp = *spp;
	uint64_t number;
	void *set;

	if (sp == NULL)
		return;
	if (sp->is_started) {
		timer_stop(&sp->replay_timer);
		timer_stop(&sp->checkpoint.timer);
		timer_stop(&sp->space.timer);
		timer_stop(&sp->compact.timer);
	}
	worker_free(&sp->commit_thread);
	worker_free(&sp->read_thread);
	worker_free(&sp->disk_thread);
	store_free(&sp->store);
	events_free(&sp->events);
	commit_free(&sp->commit);
	progress_close(&sp->progress);
	if (sp->segs.dir_fd > 0)
		segments_close(&sp->segs);
	log_clear(&sp->log);
	for (size_t it = 0; map64_next(&sp->live_sets, &it, &number, &set);)
		mem_free(set);
	map64_clear(&sp->live_sets);
	map64_clear(&sp->known);
	fd_close(&sp->lock_fd);
	fd_close(&sp->segments_fd);
	fd_close(&sp->corrupt_fd);
	fd_close(&sp->dir_fd);
	mem_free(sp->floors);
	mem_free(sp);
	*spp = NULL;
}
