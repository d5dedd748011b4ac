/* SPDX-License-Identifier: ISC
 *
 * Messages from the intakes: checked, gathered if they are streamed, handed to the commit. Nothing an intake says is
 * believed that could hurt another message: the queue id must be of its own slot, the origin is that of the channel, the
 * envelope is decoded before it is stored. Content is not looked into. Runs in qmgr on the loop.
 *
 * A stream (content over 64 KiB):
 *	STREAM_DATA -> in memory, up to 1 MiB and while there is budget -> SUBMIT -> record
 *	            -> else a .big file, credit when written -> SUBMIT -> file and folder synced -> reference record
 *	STREAM_ABORT, lost channel, or an error: everything is dropped, the file is removed
 *
 * A message that is handed over again (SUBMIT_AGAIN) is looked up by its queue id first. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/plan.h"
#include "spool/envelope.h"
/* this program */
#include "qmgr/spool/intake.h"
#include "qmgr/spool/spool_int.h"

enum {
	STREAM_MEMORY_BYTES = 16 * 1024 * 1024, /* content in memory, of all streams */
	STREAMS_MAX = 100000,			/* of one intake */
	BAD_IDS_REPORTED = 10,
};
#define ID_AHEAD_US 3600000000ull /* a queue id may be so far ahead of clock and floor */

struct intake_peer {
	struct intake *in;
	struct chan *chan;    /* NULL: lost */
	struct map64 streams; /* by queue id */
	uint64_t refs;	      /* streams and questions that will come back */
	bool is_paused;
};

enum stream_state { STREAM_MEMORY, STREAM_BIG, STREAM_SYNCING, STREAM_FAILED };

struct stream {
	struct intake_peer *peer;
	uint64_t qid;
	enum stream_state state;
	struct buf content; /* STREAM_MEMORY */
	struct big *big;    /* STREAM_BIG, STREAM_SYNCING */
	size_t owed;	    /* bytes on their way to the file, without credit so far */
	int err;	    /* STREAM_FAILED */
	/* STREAM_SYNCING: what SUBMIT said */
	struct record rec;
	struct buf envelope, trace;
};

/* A message that was handed over again, while it is looked up. */
struct again {
	struct intake_peer *peer;
	struct record rec;
	struct buf envelope, trace, content;
};

struct intake {
	struct spool *sp;
	struct chan **chans; /* of those that are there */
	size_t count, cap;
	size_t memory; /* of streams */
	uint32_t bad_ids;
	int told_code;	    /* the state that the intakes know */
	struct arena arena; /* of one envelope */
};

/* --- answers --------------------------------------------------------------------------------- */

static void
refuse(struct intake_peer *p, uint64_t qid, int err)
{
	if (p->chan != NULL)
		chan_send(p->chan, MSG_MSG_REFUSED,
			  &(struct msg_msg_refused){ .qid = qid, .code = (uint16_t)-err });
}

static void
release(struct intake_peer *p)
{
	if (--p->refs > 0 || p->chan != NULL)
		return;
	map64_clear(&p->streams);
	mem_free(p);
}

static void
send_state(struct intake *in, struct chan *c)
{
	uint64_t floor = in->sp->floors[chan_slot(c) % SPOOL_SLOTS];

	chan_send(c, MSG_INTAKE_STATE,
		  &(struct msg_intake_state){ .code = (uint16_t)-in->sp->space.code,
					      .id_floor_us = floor });
}

/* --- the streams ----------------------------------------------------------------------------- */

static void
stream_free(struct stream *s)
{
	s->peer->in->memory -= s->content.n;
	buf_clear(&s->content);
	buf_clear(&s->envelope);
	buf_clear(&s->trace);
	map64_del(&s->peer->streams, s->qid);
	release(s->peer);
	mem_free(s);
}

/* Nothing of it is wanted any more. */
static void
stream_drop(struct stream *s)
{
	big_free(&s->big, false);
	stream_free(s);
}

static void
credit(struct stream *s, size_t n)
{
	if (s->peer->chan != NULL && n > 0)
		chan_send(s->peer->chan, MSG_STREAM_CREDIT,
			  &(struct msg_stream_credit){ .qid = s->qid, .bytes = (uint32_t)n });
}

/* The rest is read and thrown away, so that the intake can answer at the true end. */
static void
stream_fail(struct stream *s, int err)
{
	big_free(&s->big, false);
	s->peer->in->memory -= s->content.n;
	buf_clear(&s->content);
	s->state = STREAM_FAILED;
	s->err = err;
	/* No write comes back any more. */
	credit(s, s->owed);
	s->owed = 0;
}

static void
on_wrote(void *arg, int err, size_t n)
{
	struct stream *s = arg;

	s->owed -= n;
	credit(s, n);
	if (err < 0)
		stream_fail(s, err);
}

/* What is in memory goes to the file first; it had its credit. */
static void
on_moved(void *arg, int err, size_t n)
{
	struct stream *s = arg;

	(void)n;
	if (err < 0)
		stream_fail(s, err);
}

static void
stream_to_file(struct stream *s)
{
	s->big = big_new(s->peer->in->sp, s->qid);
	s->state = STREAM_BIG;
	if (s->content.n > 0)
		big_write(s->big, buf_span(&s->content), on_moved, s);
	s->peer->in->memory -= s->content.n;
	buf_clear(&s->content);
}

/* Longest content inside a record: a segment of the usual size takes several. */
static uint64_t
content_max(const struct spool *sp)
{
	uint64_t quarter = sp->conf.segment_bytes / 4;

	return quarter < RECORD_CONTENT_MAX ? quarter : RECORD_CONTENT_MAX;
}

static uint64_t
stream_length(const struct stream *s)
{
	return s->big != NULL ? big_length(s->big) : s->content.n;
}

static void
stream_put(struct stream *s, struct span data)
{
	struct intake *in = s->peer->in;

	if (s->state != STREAM_FAILED && stream_length(s) + data.n > in->sp->conf.message_bytes)
		stream_fail(s, E_TOOBIG);
	if (s->state == STREAM_MEMORY && (s->content.n + data.n > content_max(in->sp) ||
					  in->memory + data.n > STREAM_MEMORY_BYTES))
		stream_to_file(s);
	if (s->state == STREAM_BIG) {
		s->owed += data.n;
		big_write(s->big, data, on_wrote, s);
		return;
	}
	if (s->state == STREAM_MEMORY) {
		buf_put_span(&s->content, data);
		in->memory += data.n;
	}
	credit(s, data.n);
}

static struct stream *
stream_new(struct intake_peer *p, uint64_t qid)
{
	struct stream *s = mem_zalloc(sizeof(*s));

	s->peer = p;
	s->qid = qid;
	buf_init(&s->content, RECORD_CONTENT_MAX);
	buf_init(&s->envelope, RECORD_ENVELOPE_MAX);
	buf_init(&s->trace, RECORD_TRACE_MAX);
	map64_put(&p->streams, qid, s);
	p->refs++;
	return s;
}

/* --- checks ---------------------------------------------------------------------------------- */

/* The id stands in file names and answers: it must be of the channel's slot, and not from the far future, or one bad
 * clock would block the slot for as long. */
static bool
is_good_qid(struct intake_peer *p, uint64_t qid)
{
	struct intake *in = p->in;
	uint64_t now_us = clock_wall_us() - ID_EPOCH_US,
		 floor = in->sp->floors[chan_slot(p->chan) % SPOOL_SLOTS];
	uint64_t limit = (now_us > floor ? now_us : floor) + ID_AHEAD_US;

	if (id_slot(qid) == chan_slot(p->chan) && id_us(qid) <= limit)
		return true;
	if (in->bad_ids++ < BAD_IDS_REPORTED)
		log_warn("smtpd %u gave a queue id that cannot be its own: message refused",
			 chan_slot(p->chan));
	return false;
}

/* A whole and well-formed envelope whose recipients are numbered from 0. */
static int
check_envelope(struct intake *in, struct span bytes, uint32_t *rcpt_count)
{
	struct envelope e;
	int r = envelope_decode(bytes, &in->arena, &e);

	if (r == 0 && e.rcpt_count == 0)
		r = E_SYNTAX;
	for (uint32_t i = 0; r == 0 && i < e.rcpt_count; i++)
		if (e.rcpts[i].index != i)
			r = E_SYNTAX;
	*rcpt_count = e.rcpt_count;
	arena_clear(&in->arena);
	return r;
}

/* Why it cannot be taken now, 0: it can. Below min_free a message that has arrived is still stored if there is room. */
static int
closed(const struct intake *in)
{
	if (in->sp->is_stopping)
		return E_STOPPING;
	return commit_failures(in->sp->commit) >= COMMIT_FAILURES_MAX ? in->sp->space.code : 0;
}

static int
check(struct intake_peer *p, const struct msg_msg_submit *m, struct record *rec)
{
	uint64_t now_us = clock_wall_us();
	int r;

	if (!is_good_qid(p, m->qid))
		return E_PROTOCOL;
	if (m->content_len > p->in->sp->conf.message_bytes)
		return E_TOOBIG;
	/* It crashed us twice while it was taken: not a third time. */
	if (m->flags & SUBMIT_AGAIN && progress_is_suspect(p->in->sp->progress, m->qid))
		return E_INTERNAL;
	*rec = (struct record){
		.content_flags = m->content_flags,
		.qid = m->qid,
		.arrival_us = m->arrival_us < now_us ? m->arrival_us : now_us,
		.origin = ORIGIN_SMTP,
		.origin_slot = (uint16_t)chan_slot(p->chan),
		.content_len = m->content_len,
	};
	progress_enter(m->qid);
	r = check_envelope(p->in, m->envelope, &rec->rcpt_count);
	progress_leave();
	return r < 0 ? r : closed(p->in);
}

/* --- into the log ---------------------------------------------------------------------------- */

static void
store(struct intake_peer *p, const struct record *rec, struct span envelope, struct span trace,
      struct span content)
{
	struct commit_owner owner = { .intake = p->chan };

	spool_note_qid(p->in->sp, rec->qid);
	commit_add(p->in->sp->commit, rec, envelope, trace, content, &owner);
	if (space_is_congested(p->in->sp))
		intake_update(p->in);
}

static void
on_synced(void *arg, int err)
{
	struct stream *s = arg;

	if (err < 0 || s->peer->chan == NULL) {
		refuse(s->peer, s->qid, err);
		stream_drop(s);
		return;
	}
	s->rec.content_crc = big_crc(s->big);
	store(s->peer, &s->rec, buf_span(&s->envelope), buf_span(&s->trace), SPAN_NONE);
	big_free(&s->big, true);
	stream_free(s);
}

static void
submit_big(struct stream *s, const struct record *rec, const struct msg_msg_submit *m)
{
	s->rec = *rec;
	s->rec.flags |= RECORD_BIG;
	buf_put_span(&s->envelope, m->envelope);
	buf_put_span(&s->trace, m->trace);
	s->state = STREAM_SYNCING;
	big_sync(s->big, on_synced, s);
}

static void
submit_stream(struct intake_peer *p, const struct msg_msg_submit *m)
{
	struct stream *s = map64_get(&p->streams, m->qid);
	struct record rec;
	int r = check(p, m, &rec);

	if (s == NULL) {
		refuse(p, m->qid, r < 0 ? r : E_PROTOCOL);
		return;
	}
	if (r == 0 && s->state == STREAM_FAILED)
		r = s->err;
	if (r == 0 && (s->state == STREAM_SYNCING || stream_length(s) != m->content_len))
		r = E_PROTOCOL;
	if (r < 0) {
		refuse(p, m->qid, r);
		stream_drop(s);
		return;
	}
	if (s->state == STREAM_BIG) {
		submit_big(s, &rec, m);
		return;
	}
	store(p, &rec, m->envelope, m->trace, buf_span(&s->content));
	stream_free(s);
}

static void
on_known(void *arg, bool is_known)
{
	struct again *a = arg;
	struct intake_peer *p = a->peer;

	if (p->chan != NULL && is_known)
		chan_send(p->chan, MSG_MSG_STORED, &(struct msg_msg_stored){ .qid = a->rec.qid });
	else if (p->chan != NULL)
		store(p, &a->rec, buf_span(&a->envelope), buf_span(&a->trace),
		      buf_span(&a->content));
	buf_clear(&a->envelope);
	buf_clear(&a->trace);
	buf_clear(&a->content);
	mem_free(a);
	release(p);
}

/* Is it the one that we have? If it is still on its way to the disk, the new channel is told. */
static void
submit_again(struct intake_peer *p, const struct record *rec, const struct msg_msg_submit *m)
{
	struct commit_owner *owner = commit_find(p->in->sp->commit, rec->qid);
	struct again *a;

	if (owner != NULL) {
		owner->intake = p->chan;
		return;
	}
	a = mem_zalloc(sizeof(*a));
	a->peer = p;
	a->rec = *rec;
	buf_init(&a->envelope, RECORD_ENVELOPE_MAX);
	buf_init(&a->trace, RECORD_TRACE_MAX);
	buf_init(&a->content, RECORD_CONTENT_MAX);
	buf_put_span(&a->envelope, m->envelope);
	buf_put_span(&a->trace, m->trace);
	buf_put_span(&a->content, m->content);
	p->refs++;
	spool_is_known(p->in->sp, rec->qid, on_known, a);
}

static void
on_submit(struct intake_peer *p, const struct msg_msg_submit *m)
{
	struct record rec;
	int r;

	if (m->flags & SUBMIT_STREAMED) {
		submit_stream(p, m);
		return;
	}
	r = check(p, m, &rec);
	if (r == 0 && m->content.n != m->content_len)
		r = E_PROTOCOL;
	if (r < 0)
		refuse(p, m->qid, r);
	else if (m->flags & SUBMIT_AGAIN)
		submit_again(p, &rec, m);
	else
		store(p, &rec, m->envelope, m->trace, m->content);
}

static void
on_stream_data(struct intake_peer *p, const struct msg_stream_data *m)
{
	struct stream *s = map64_get(&p->streams, m->qid);

	if (s == NULL && (p->streams.count >= STREAMS_MAX || !is_good_qid(p, m->qid))) {
		refuse(p, m->qid, E_PROTOCOL);
		return;
	}
	if (s == NULL)
		s = stream_new(p, m->qid);
	/* Behind its own end: no message of ours does that. */
	if (s->state != STREAM_SYNCING)
		stream_put(s, m->data);
}

static void
on_stream_abort(struct intake_peer *p, uint64_t qid)
{
	struct stream *s = map64_get(&p->streams, qid);

	if (s != NULL && s->state != STREAM_SYNCING)
		stream_drop(s);
}

/* --- the intakes ----------------------------------------------------------------------------- */

static void
set_paused(struct intake_peer *p, bool is_paused)
{
	if (p->is_paused == is_paused)
		return;
	p->is_paused = is_paused;
	if (is_paused)
		chan_pause(p->chan);
	else
		chan_resume(p->chan);
}

void
intake_update(struct intake *in)
{
	bool is_congested = space_is_congested(in->sp);

	for (size_t i = 0; i < in->count; i++) {
		set_paused(chan_data(in->chans[i]), is_congested);
		if (in->told_code != in->sp->space.code)
			send_state(in, in->chans[i]);
	}
	in->told_code = in->sp->space.code;
}

bool
intake_on_msg(struct intake *in, struct chan *c, enum msg_type type, union msg_any *msg)
{
	struct intake_peer *p = chan_data(c);

	(void)in;
	if (chan_kind(c) != PROC_SMTPD || p == NULL)
		return false;
	if (type == MSG_MSG_SUBMIT)
		on_submit(p, &msg->msg_submit);
	else if (type == MSG_STREAM_DATA)
		on_stream_data(p, &msg->stream_data);
	else if (type == MSG_STREAM_ABORT)
		on_stream_abort(p, msg->stream_abort.qid);
	/* Of an inventory only the messages themselves matter. */
	else if (type != MSG_INVENTORY_END)
		return false;
	return true;
}

void
intake_on_peer(struct intake *in, struct chan *c)
{
	struct intake_peer *p = mem_zalloc(sizeof(*p));

	p->in = in;
	p->chan = c;
	map64_init(&p->streams);
	chan_set_data(c, p);
	if (in->count == in->cap) {
		in->cap = in->cap > 0 ? in->cap * 2 : 8;
		in->chans = mem_grow(in->chans, in->cap, sizeof(struct chan *));
	}
	in->chans[in->count++] = c;
	send_state(in, c);
	set_paused(p, space_is_congested(in->sp));
}

void
intake_on_peer_lost(struct intake *in, struct chan *c)
{
	struct intake_peer *p = chan_data(c);
	uint64_t qid;
	void *stream;

	if (p == NULL)
		return;
	for (size_t i = 0; i < in->count; i++) {
		if (in->chans[i] != c)
			continue;
		in->chans[i] = in->chans[--in->count];
		break;
	}
	commit_forget(in->sp->commit, c);
	chan_set_data(c, NULL);
	p->refs++;
	p->chan = NULL;
	/* One that is being synced ends by itself, as refused to nobody. */
	for (size_t it = 0; map64_next(&p->streams, &it, &qid, &stream);)
		if (((struct stream *)stream)->state != STREAM_SYNCING)
			stream_drop(stream);
	release(p);
}

bool
intake_is_idle(const struct intake *in)
{
	for (size_t i = 0; i < in->count; i++) {
		const struct intake_peer *p = chan_data(in->chans[i]);

		if (p->refs > 0)
			return false;
	}
	return commit_backlog(in->sp->commit) == 0;
}

struct intake *
intake_new(struct spool *sp)
{
	struct intake *in = mem_zalloc(sizeof(*in));

	in->sp = sp;
	arena_init(&in->arena, 4096);
	return in;
}

void
intake_free(struct intake **inp)
{
	struct intake *in = *inp;

	if (in == NULL)
		return;
	while (in->count > 0)
		intake_on_peer_lost(in, in->chans[in->count - 1]);
	arena_clear(&in->arena);
	mem_free(in->chans);
	mem_free(in);
	*inp = NULL;
}
