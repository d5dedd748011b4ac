/* SPDX-License-Identifier: ISC
 *
 * One mail transaction from the client's side: MAIL, RCPT for each recipient, DATA or BDAT, the content, and which reply
 * settles whom. It does not know what came before or comes after on the connection (out_session.c). No I/O. Runs in
 * delivery on the bytes of strangers.
 * RFC 5321 3.3, 4.5.3.1.10; RFC 2920 (PIPELINING), 3030 (CHUNKING), 2033 (LMTP).
 *
 *	[RSET] MAIL RCPT* then   DATA -> 354 -> content and dot -> reply (LMTP: one for each accepted recipient)
 *	                   or    BDAT n LAST and content -> reply;  streamed content: BDAT n and a part, each with a reply
 *
 * With PIPELINING all commands go out at once, as far as the window lets them; a BDAT with its content goes along if it
 * is small. Without, one command at a time. */

/* lib */
#include "base/log.h"
/* this program */
#include "delivery/out_envelope.h"
#include "delivery/out_txn.h"

/* So much may wait to be written before more commands or content are made. */
enum { WINDOW_BYTES = 32768, CHUNK_BYTES = 65536 };

/* ---- who is still to be settled ---- */

/* Settle recipient i, or all that are left (i < 0), by a reply. */
static void
settle_reply(struct out_session *s, const struct reply *r, int64_t i)
{
	char esc[REPLY_ESC_LEN];
	struct outcome o;
	struct buf text;

	buf_init(&text, JOB_TEXT_MAX);
	(void)reply_esc(r, esc);
	o = out_session_outcome(r, esc, &text);
	if (o.status == OUTCOME_DELIVERED && !s->caps.has_dsn)
		o.flags |= OUTCOME_NO_DSN_SUPPORT;
	if (i < 0)
		job_settle_rest(s->job, &o);
	else
		job_settle(s->job, (uint32_t)i, &o);
	buf_clear(&text);
}

static void
make_order(struct out_session *s)
{
	struct out_txn *t = &s->txn;

	t->order = arena_alloc(&s->job->mem, s->job->unsettled * sizeof(*t->order));
	for (uint32_t i = 0; i < s->job->env.rcpt_count; i++) {
		if (!s->job->is_settled[i])
			t->order[t->count++] = i;
	}
}

/* ---- what may be sent ---- */

static bool
has_open_reply(const struct out_txn *t)
{
	return t->is_rset_open || t->mail == STEP_SENT || t->rcpt_answered < t->rcpt_sent ||
	       t->data == STEP_SENT || t->chunks_open > 0;
}

static bool
may_send(const struct out_session *s)
{
	if (s->caps.has_pipelining)
		return s->out.left < WINDOW_BYTES;
	return !has_open_reply(&s->txn);
}

/* Nothing more is to come of this transaction but replies to what was sent. */
static bool
is_lost(const struct out_txn *t)
{
	return t->mail == STEP_FAILED || t->data == STEP_FAILED ||
	       (t->rcpt_answered == t->count && t->rcpt_ok == 0);
}

/* The content is at hand, small, and goes with the command: no reply is needed before it. An LMTP server's replies are
 * counted by the accepted recipients, so there they come first. */
static bool
may_send_blind(const struct out_session *s)
{
	return s->caps.has_pipelining && !s->job->is_streamed && !s->params.is_lmtp;
}

static bool
may_send_data(const struct out_session *s)
{
	const struct out_txn *t = &s->txn;

	if (t->data != STEP_TODO || t->is_body_begun || t->rcpt_sent < t->count || is_lost(t) ||
	    !may_send(s))
		return false;
	if (t->is_bdat && !may_send_blind(s))
		return t->rcpt_answered == t->count;
	return s->caps.has_pipelining || t->rcpt_answered == t->count;
}

/* ---- commands ---- */

static void
send_mail(struct out_session *s)
{
	if (s->needs_rset) {
		buf_puts(out_queue_text(&s->out), "RSET\r\n");
		s->txn.is_rset_open = true;
		s->needs_rset = false;
		if (!s->caps.has_pipelining) {
			out_queue_commit(&s->out);
			return;
		}
	}
	out_envelope_put_mail(out_queue_text(&s->out), s->job, &s->caps);
	out_queue_commit(&s->out);
	s->txn.mail = STEP_SENT;
}

static void
send_rcpt(struct out_session *s)
{
	struct out_txn *t = &s->txn;

	out_envelope_put_rcpt(out_queue_text(&s->out), s->job, t->order[t->rcpt_sent], &s->caps);
	out_queue_commit(&s->out);
	t->rcpt_sent++;
}

/* ---- content ---- */

static void
expect_end(struct out_session *s)
{
	struct out_txn *t = &s->txn;

	t->is_body_done = true;
	t->end_count = s->params.is_lmtp ? t->rcpt_ok : 1;
}

static void
put_part(struct out_session *s, struct span part, struct buf *to)
{
	if (part.n > 0)
		s->txn.is_body_begun = true;
	out_body_put(&s->txn.body, part, to);
}

/* Content that lies in memory as a whole: by reference if it is clean, else encoded. The last part of what goes out ends
 * with CRLF, or the dot stands behind a CRLF of its own. */
static void
put_whole(struct out_session *s)
{
	struct job *j = s->job;
	bool is_dotted = s->txn.body.is_dotted;

	s->txn.is_body_begun = true;
	if (out_body_is_clean(j->trace, is_dotted) && out_body_is_clean(j->content, is_dotted)) {
		out_queue_commit(&s->out);
		out_queue_borrow(&s->out, j->trace);
		out_queue_borrow(&s->out, j->content);
	} else {
		put_part(s, j->trace, out_queue_text(&s->out));
		put_part(s, j->content, out_queue_text(&s->out));
	}
	out_body_end(&s->txn.body, out_queue_text(&s->out));
	out_queue_commit(&s->out);
	expect_end(s);
}

/* Bytes of the pending content for one step. */
static struct span
next_part(const struct job *j)
{
	return span_sub(buf_span(&j->pending), 0, CHUNK_BYTES / 2);
}

/* Streamed content after 354. */
static void
advance_data(struct out_session *s)
{
	struct job *j = s->job;

	if (!s->txn.is_body_begun)
		put_part(s, j->trace, out_queue_text(&s->out));
	s->txn.is_body_begun = true;
	while (s->out.left < WINDOW_BYTES && j->pending.n > 0) {
		struct span part = next_part(j);

		put_part(s, part, out_queue_text(&s->out));
		out_queue_commit(&s->out);
		job_take_data(j, part.n);
	}
	if (job_has_all(j) && j->pending.n == 0) {
		out_body_end(&s->txn.body, out_queue_text(&s->out));
		expect_end(s);
	}
	out_queue_commit(&s->out);
}

/* One chunk: as much as there is, within bounds. */
static void
put_chunk(struct out_session *s)
{
	struct job *j = s->job;
	struct span part = next_part(j);
	bool is_last = job_has_all(j) && part.n == j->pending.n;
	struct buf chunk;

	buf_init(&chunk, 4u * CHUNK_BYTES + 2 * j->trace.n);
	if (!s->txn.is_body_begun)
		put_part(s, j->trace, &chunk);
	put_part(s, part, &chunk);
	job_take_data(j, part.n);
	if (is_last)
		out_body_end(&s->txn.body, &chunk);
	s->txn.is_body_begun = true;
	buf_printf(out_queue_text(&s->out), "BDAT %zu%s\r\n", chunk.n, is_last ? " LAST" : "");
	buf_put_span(out_queue_text(&s->out), buf_span(&chunk));
	out_queue_commit(&s->out);
	buf_clear(&chunk);
	if (is_last) {
		s->txn.data = STEP_OK;
		expect_end(s);
	} else {
		s->txn.chunks_open++;
	}
}

static void
advance_bdat(struct out_session *s)
{
	const struct job *j = s->job;

	while (!s->txn.is_body_done && may_send(s) &&
	       (j->pending.n >= CHUNK_BYTES / 2 || job_has_all(j)))
		put_chunk(s);
}

/* BDAT with all of the message: the length must be known first. */
static void
send_whole_bdat(struct out_session *s)
{
	struct job *j = s->job;
	struct out_body probe = s->txn.body;
	size_t n = j->trace.n + j->content.n;

	if (!out_body_is_clean(j->trace, false) || !out_body_is_clean(j->content, false)) {
		struct buf encoded;

		buf_init(&encoded, 2 * n + 2);
		out_body_put(&probe, j->trace, &encoded);
		out_body_put(&probe, j->content, &encoded);
		out_body_end(&probe, &encoded);
		n = encoded.n;
		buf_clear(&encoded);
	}
	buf_printf(out_queue_text(&s->out), "BDAT %zu LAST\r\n", n);
	s->txn.data = STEP_OK;
	put_whole(s);
}

static void
send_data(struct out_session *s)
{
	struct out_txn *t = &s->txn;

	out_body_init(&t->body, !t->is_bdat);
	if (t->is_bdat && !s->job->is_streamed) {
		send_whole_bdat(s);
	} else if (t->is_bdat) {
		advance_bdat(s);
	} else {
		buf_puts(out_queue_text(&s->out), "DATA\r\n");
		out_queue_commit(&s->out);
		t->data = STEP_SENT;
	}
}

/* ---- the machine ---- */

/* All that was asked is answered and nothing more is to be asked. */
static bool
is_over(const struct out_txn *t)
{
	if (has_open_reply(t) || t->mail == STEP_TODO)
		return false;
	if (t->is_body_done)
		return t->end_answered == t->end_count;
	return is_lost(t);
}

static void
finish(struct out_session *s)
{
	struct out_txn *t = &s->txn;
	struct outcome o = job_error(E_PROTOCOL, 0,
				     SPAN("The server gave no reply for this recipient"));

	/* MAIL was taken, and no success ended it: what the server keeps must not mix with the next message. */
	s->needs_rset = t->mail == STEP_OK && !t->is_end_ok;
	job_settle_rest(s->job, &o);
	out_session_job_done(s);
}

void
out_txn_advance(struct out_session *s)
{
	struct out_txn *t = &s->txn;

	if (t->mail == STEP_TODO && may_send(s))
		send_mail(s);
	while (t->mail != STEP_TODO && !is_lost(t) && t->rcpt_sent < t->count && may_send(s))
		send_rcpt(s);
	if (may_send_data(s))
		send_data(s);
	if (t->data == STEP_OK && !t->is_body_done && !t->is_bdat && s->job->is_streamed)
		advance_data(s);
	else if (t->data == STEP_TODO && t->is_bdat && t->is_body_begun)
		advance_bdat(s);
	if (is_over(t))
		finish(s);
}

void
out_txn_begin(struct out_session *s)
{
	s->txn = (struct out_txn){ .is_bdat = s->caps.has_chunking };
	out_envelope_check(s->job, &s->caps);
	if (s->job->unsettled == 0) {
		out_session_job_done(s);
		return;
	}
	make_order(s);
	out_txn_advance(s);
}

enum out_await
out_txn_await(const struct out_session *s)
{
	const struct out_txn *t = &s->txn;

	if (t->is_rset_open)
		return AWAIT_RSET;
	if (t->mail == STEP_SENT)
		return AWAIT_MAIL;
	if (t->rcpt_answered < t->rcpt_sent)
		return AWAIT_RCPT;
	if (t->data == STEP_SENT)
		return AWAIT_DATA;
	if (t->chunks_open > 0)
		return AWAIT_CHUNK;
	if (t->is_body_begun || t->is_body_done)
		return AWAIT_END;
	return AWAIT_NOTHING;
}

/* ---- replies ---- */

static void
on_mail(struct out_session *s, const struct reply *r)
{
	s->txn.mail = r->code / 100 == 2 ? STEP_OK : STEP_FAILED;
	if (s->txn.mail == STEP_OK)
		return;
	/* A connection that is used again and out of order on the server's side says nothing about this message. */
	if (r->code == 503 && s->txn_count > 1) {
		struct outcome o = job_error(E_PROTOCOL, OUTCOME_NOT_TRIED,
					     SPAN("The server lost track of the connection"));
		out_session_die(s, &o);
		return;
	}
	settle_reply(s, r, -1);
}

/* "Too many recipients": the others go in a transaction of their own, at once.                 RFC 5321 4.5.3.1.10 */
static bool
is_too_many(const struct out_session *s, const struct reply *r)
{
	char esc[REPLY_ESC_LEN];
	bool has_esc = reply_esc(r, esc);
	struct span detail = span_of(esc);

	if (s->txn.rcpt_ok == 0 || (r->code != 452 && r->code != 552))
		return false;
	if (has_esc)
		return span_ends(detail, SPAN(".5.3"));
	return r->code == 452;
}

static void
on_rcpt(struct out_session *s, const struct reply *r)
{
	struct out_txn *t = &s->txn;
	uint32_t i = t->order[t->rcpt_answered++];

	if (r->code / 100 != 2) {
		if (is_too_many(s, r)) {
			struct outcome o = job_error(E_TOOMANY_RCPTS, OUTCOME_NOT_TRIED, SPAN_NONE);
			job_settle(s->job, i, &o);
		} else {
			settle_reply(s, r, i);
		}
		return;
	}
	/* After a refused MAIL all are settled; such a server is out of its mind, but does no harm. */
	if (!s->job->is_settled[i])
		t->rcpt_ok++;
}

/* 354 although nobody is to get the message: a lone dot ends that.                               RFC 2920 3.1 */
static void
end_hollow(struct out_session *s)
{
	struct outcome o = job_error(E_PROTOCOL, 0,
				     SPAN("The server takes a message without recipients"));

	/* How many replies would an LMTP server give? */
	if (s->params.is_lmtp) {
		out_session_die(s, &o);
		return;
	}
	s->txn.is_hollow = true;
	buf_puts(out_queue_text(&s->out), ".\r\n");
	out_queue_commit(&s->out);
	expect_end(s);
}

static void
on_data(struct out_session *s, const struct reply *r)
{
	struct outcome o =
		job_error(E_PROTOCOL, 0,
			  SPAN("The server answered DATA with neither 354 nor an error"));
	struct out_txn *t = &s->txn;

	t->data = r->code == 354 ? STEP_OK : STEP_FAILED;
	if (r->code == 354) {
		if (t->mail == STEP_FAILED || t->rcpt_ok == 0)
			end_hollow(s);
		else if (!s->job->is_streamed)
			put_whole(s);
	} else if (r->code / 100 < 4) {
		out_session_die(s, &o);
	} else if (t->rcpt_ok > 0) {
		settle_reply(s, r, -1);
	}
}

static void
on_chunk(struct out_session *s, const struct reply *r)
{
	struct out_txn *t = &s->txn;
	struct outcome o = job_error(E_PROTOCOL, 0,
				     SPAN("The server refused a part of the message"));

	t->chunks_open--;
	if (r->code / 100 == 2)
		return;
	/* More chunks may be on their way, and servers differ in what they answer to those. */
	settle_reply(s, r, -1);
	out_session_die(s, &o);
}

/* A reply to the end of the message. */
static void
on_end(struct out_session *s, const struct reply *r)
{
	struct out_txn *t = &s->txn;
	bool is_sent = t->is_body_done && out_queue_is_empty(&s->out);

	/* Too early: a yes is a lie, a no is final, and the connection is of no more use. */
	if (!is_sent) {
		struct outcome o =
			job_error(E_PROTOCOL, 0,
				  SPAN("The server answered before the end of the message"));
		if (r->code / 100 != 2)
			settle_reply(s, r, -1);
		out_session_die(s, &o);
		return;
	}
	t->end_answered++;
	t->is_end_ok |= r->code / 100 == 2;
	if (t->rcpt_ok == 0 || t->is_hollow)
		return;
	if (!s->params.is_lmtp) {
		settle_reply(s, r, -1);
		return;
	}
	while (t->end_at < t->count && s->job->is_settled[t->order[t->end_at]])
		t->end_at++;
	if (t->end_at < t->count)
		settle_reply(s, r, t->order[t->end_at]);
}

void
out_txn_reply(struct out_session *s, enum out_await what, const struct reply *r)
{
	if (what == AWAIT_RSET && r->code / 100 == 2) {
		s->txn.is_rset_open = false;
	} else if (what == AWAIT_RSET) {
		struct outcome o = job_error(E_PROTOCOL, OUTCOME_NOT_TRIED,
					     SPAN("The server refused RSET"));
		out_session_die(s, &o);
	} else if (what == AWAIT_MAIL) {
		on_mail(s, r);
	} else if (what == AWAIT_RCPT) {
		on_rcpt(s, r);
	} else if (what == AWAIT_DATA) {
		on_data(s, r);
	} else if (what == AWAIT_CHUNK) {
		on_chunk(s, r);
	} else {
		on_end(s, r);
	}
	if (s->state == OUT_TXN && s->job != NULL)
		out_txn_advance(s);
}

bool
out_txn_is_in_doubt(const struct out_session *s)
{
	return s->txn.is_body_done && !s->txn.is_hollow && out_queue_is_empty(&s->out) &&
	       s->job != NULL && s->job->unsettled > 0;
}
