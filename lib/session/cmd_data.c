/* SPDX-License-Identifier: ISC
 *
 * DATA, and what every message comes to, by DATA or by BDAT: its content is taken, checked, given trace and envelope,
 * handed to the owner to be stored, and answered. From the first byte of content on, any failure is only noted: the
 * message is read to its true end and then refused, so that no content is ever taken for commands. It does not store:
 * the owner (smtpd/submit.c) hands the message to qmgr.
 * RFC 5321 4.1.1.4, 4.4, 6.1, 6.3; RFC 1870 6; RFC 3030 */

/* System */
#include <string.h>
/* lib */
#include "base/id.h"
#include "base/mem.h"
#include "session/core.h"

enum {
	SLICE_BYTES =
		16384, /* content is scanned and copied in pieces that stay in the processor's cache */
	FIRST_BYTES = 16384,
	FLOOD_FACTOR = 4,
	FLOOD_BYTES = 64 << 20
};

_Static_assert(DATA_8BIT == CONTENT_8BIT && DATA_NUL == CONTENT_NUL &&
		       DATA_LONG_LINE == CONTENT_LONG_LINE,
	       "content hints are passed on as they are");
_Static_assert((int)SMTP_RET_FULL == (int)ENV_RET_FULL && (int)SMTP_RET_HDRS == (int)ENV_RET_HDRS &&
		       (int)SMTP_BODY_8BITMIME == (int)ENV_BODY_8BITMIME,
	       "parameters are passed on as they are");
_Static_assert(SMTP_NOTIFY_NEVER == ENV_NOTIFY_NEVER && SMTP_NOTIFY_SUCCESS == ENV_NOTIFY_SUCCESS &&
		       SMTP_NOTIFY_FAILURE == ENV_NOTIFY_FAILURE &&
		       SMTP_NOTIFY_DELAY == ENV_NOTIFY_DELAY,
	       "NOTIFY is passed on as it is");

enum step
cmd_data(struct session *s, struct span args)
{
	(void)args;
	content_begin(s, true);
	session_set_phase(s, PHASE_DATA);
	return session_reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
}

void
content_begin(struct session *s, bool is_dotted)
{
	struct session_txn *t = s->txn;
	uint64_t first = FIRST_BYTES;

	data_scan_init(&t->scan, is_dotted);
	received_watch_init(&t->watch);
	if (t->params.has_size && t->params.size_bytes + 1024 > first)
		first = t->params.size_bytes + 1024;
	(void)!buf_room(&t->content,
			(size_t)(first < SESSION_CONTENT_MAX ? first : SESSION_CONTENT_MAX));
	s->content_since_ms = s->now_ms;
	s->content_read = 0;
}

void
content_fail(struct session *s, int err)
{
	struct session_txn *t = s->txn;

	if (t->error < 0)
		return;
	t->error = err;
	buf_clear(&t->content);
	if (t->is_streaming)
		s->ops->drop(s->arg, t->msg.qid);
	t->is_streaming = false;
}

uint64_t
content_flood_bytes(const struct session *s)
{
	return FLOOD_FACTOR * s->conf->message_size + FLOOD_BYTES;
}

/* Send on what is complete of a message that is too long to be kept. */
static enum step
content_flush(struct session *s)
{
	struct session_txn *t = s->txn;

	while (t->content.n > s->conf->content_max || (t->is_ended && t->content.n > 0)) {
		struct span head = span_sub(buf_span(&t->content), 0, s->conf->content_max);
		int r;

		if (!t->is_streaming) {
			t->is_streaming = true;
			s->ops->new_message(s->arg, &t->msg.qid, &t->msg.arrival_us);
		}
		if ((r = s->ops->stream(s->arg, t->msg.qid, head)) < 0) {
			content_fail(s, r);
			break;
		}
		buf_drop(&t->content, head.n);
		if (r == 0)
			return session_set_wait(s, WAIT_ROOM,
						s->conf->commit_ms); /* -> content_room_done */
	}
	return STEP_REPLY;
}

/* A piece of content without dots. */
static void
content_add(struct session *s, struct span piece)
{
	struct session_txn *t = s->txn;

	t->content_len += piece.n;
	received_watch_feed(&t->watch, piece);
	if (t->error < 0)
		return;
	if (t->content_len > s->conf->message_size)
		content_fail(s, E_TOOBIG);
	else if (t->watch.header_bytes > s->conf->header_size)
		content_fail(s, E_HEADER_TOOBIG);
	else if (t->scan.has_bare && !s->client->is_normalizing)
		content_fail(s, E_BARE_NEWLINE);
	else
		buf_put_span(&t->content, piece);
}

/* A CR that was the very last byte of the last chunk. */
static void
content_finish(struct session *s)
{
	struct session_txn *t = s->txn;
	struct span piece;

	if (t->is_ended)
		return;
	t->is_ended = true;
	data_scan_finish(&t->scan, &piece);
	if (piece.n > 0)
		content_add(s, piece);
}

size_t
content_take(struct session *s, struct span in)
{
	struct session_txn *t = s->txn;
	size_t used = 0;

	in = span_sub(in, 0, SLICE_BYTES);
	while (used < in.n && !t->scan.is_end) {
		struct span piece;

		used += data_scan(&t->scan, span_sub(in, used, in.n), &piece);
		if (piece.n > 0)
			content_add(s, piece);
	}
	s->content_read += used;
	if (s->content_read > content_flood_bytes(s)) {
		s->stage = "MESSAGE";
		session_step_done(s, session_reply_close(s, "4.7.0", "Endless message"));
		return used;
	}
	if (t->scan.is_end)
		session_step_done(s, message_end(s));
	else if (t->content.n > s->conf->content_max)
		(void)content_flush(s);
	return used;
}

/* Room for more, or the stream failed. */
enum step
content_room_done(struct session *s)
{
	struct session_txn *t = s->txn;

	if (t->is_ended)
		return message_end(s);
	if (content_flush(s) == STEP_WAIT)
		return STEP_WAIT;
	if (s->is_chunk && s->chunk_left == 0)
		return chunk_end(s);
	return STEP_READ;
}

/* Envelope and trace of a message whose content is complete. */
static int
message_build(struct session *s)
{
	struct session_txn *t = s->txn;
	struct session_message *m = &t->msg;
	struct envelope e;

	m->protocol = t->params.is_smtputf8 ? "UTF8SMTP" : s->is_esmtp ? "ESMTP" : "SMTP";
	received_put(&t->trace,
		     &(struct received){ .helo = span_of(s->helo),
					 .client_addr = span_of(s->client->addr),
					 .hostname = span_of(s->conf->hostname),
					 .protocol = m->protocol,
					 .qid = m->qid,
					 .rcpt = t->rcpt_count == 1 ? t->rcpts[0].addr : SPAN_NONE,
					 .wall_us = m->arrival_us });
	envelope_init(&e);
	e.sender = m->sender;
	e.envid = t->params.envid;
	e.ret = (enum env_ret)t->params.ret;
	e.body = (enum env_body)t->params.body;
	e.is_smtputf8 = t->params.is_smtputf8;
	e.client_addr = span_of(s->client->addr);
	e.client_helo = span_of(s->helo);
	e.protocol = span_of(m->protocol);
	e.sid = span_of(s->client->sid);
	e.rcpts = t->rcpts;
	e.rcpt_count = t->rcpt_count;
	envelope_encode(&t->envelope, &e);
	if (buf_check(&t->envelope) < 0 || buf_check(&t->trace) < 0)
		return E_TOOMANY_RCPTS;
	m->envelope = buf_span(&t->envelope);
	m->trace = buf_span(&t->trace);
	m->content = buf_span(&t->content);
	m->content_len = t->content_len;
	m->content_flags = t->scan.flags | (t->watch.has_8bit ? CONTENT_HEADER_UTF8 : 0);
	m->rcpt_count = t->rcpt_count;
	m->is_streamed = t->is_streaming;
	return 0;
}

static enum step
message_refuse(struct session *s, int err)
{
	enum step step = session_reply_error(s, err);

	session_end_txn(s);
	return step;
}

/* All content is read. Called again when a stream has room. */
enum step
message_end(struct session *s)
{
	struct session_txn *t = s->txn;
	int r;

	s->stage = "MESSAGE";
	content_finish(s);
	r = t->error;
	if (r == 0 && t->watch.hops > s->conf->hop_limit)
		r = E_LOOP;
	/* The last piece may be what makes it too long to be kept. */
	if (r == 0 && (t->is_streaming || t->content.n > s->conf->content_max)) {
		if (content_flush(s) == STEP_WAIT)
			return STEP_WAIT;
		r = t->error;
	}
	if (r == 0 && !t->is_streaming)
		s->ops->new_message(s->arg, &t->msg.qid, &t->msg.arrival_us);
	if (r == 0)
		r = message_build(s);
	if (r < 0)
		return message_refuse(s, r);
	t->is_submitted = true;
	s->ops->submit(s->arg, &t->msg);
	return session_set_wait(s, WAIT_COMMIT, s->conf->commit_ms); /* -> message_end_done */
}

/* code 0: it is on stable storage. */
enum step
message_end_done(struct session *s, int code)
{
	struct session_txn *t = s->txn;
	char qid[ID_TEXT_LEN + 1];

	s->stage = "MESSAGE";
	if (code < 0) {
		/* Too late is not refused: the message may still be stored, and the client will send it again. */
		t->is_submitted = t->is_streaming = code == E_TIMEOUT;
		return message_refuse(s, code);
	}
	id_format(t->msg.qid, qid);
	session_reply(s, 250, "2.0.0", "Queued as %s", qid);
	s->ops->on_received(s->arg, &t->msg);
	s->messages++;
	s->junk = s->errors = 0;
	t->is_submitted = t->is_streaming = false;
	session_end_txn(s);
	return STEP_REPLY;
}
