/* SPDX-License-Identifier: ISC
 *
 * One SMTP or LMTP connection from the client's side: greeting, EHLO, and what ends a connection; the transaction itself
 * is out_txn.c. No I/O, no clock, no other connection: out_conn.c drives it. Runs in delivery on the bytes of strangers.
 * RFC 5321 3.1 (greeting), 3.2 (EHLO, HELO), 3.8 (closing, 421), 4.5.3.2 (time-outs); RFC 2033 (LMTP).
 *
 * Whatever happens, each recipient of each job gets exactly one outcome, and never "delivered" without a 2xx reply that
 * came after the last byte of the message was written. */

/* System */
#include <string.h>
/* lib */
#include "base/log.h"
/* this program */
#include "delivery/out_session.h"
#include "delivery/out_txn.h"

enum { FAILURE_TEXT_MAX = 512 };

static const char *const await_names[AWAIT_COUNT] = {
	[AWAIT_NOTHING] = "the next message", [AWAIT_GREETING] = "the greeting",
	[AWAIT_HELLO] = "the reply to EHLO",  [AWAIT_HELO] = "the reply to HELO",
	[AWAIT_RSET] = "the reply to RSET",   [AWAIT_MAIL] = "the reply to MAIL",
	[AWAIT_RCPT] = "the reply to RCPT",   [AWAIT_DATA] = "the reply to DATA",
	[AWAIT_CHUNK] = "the reply to BDAT",  [AWAIT_END] = "the reply to the end of the message",
	[AWAIT_QUIT] = "the reply to QUIT",
};

/* ---- the end ---- */

static void
note_failure(struct out_session *s, const struct outcome *o)
{
	s->failure.reply = o->reply;
	memset(s->failure.esc, 0, sizeof(s->failure.esc));
	memcpy(s->failure.esc, o->esc.p, o->esc.n < REPLY_ESC_LEN ? o->esc.n : REPLY_ESC_LEN - 1);
	buf_reset(&s->failure.text);
	buf_put_span(&s->failure.text, span_sub(o->text, 0, FAILURE_TEXT_MAX));
}

/* A connection that served before may have been closed behind our back: its next job is innocent until MAIL was answered
 * and content was sent, and is tried again at once. A first job never is, so a server that always fails is met with the
 * usual waits. */
static bool
is_untried(const struct out_session *s)
{
	return s->txn_count > 1 &&
	       (s->txn.mail == STEP_TODO || s->txn.mail == STEP_SENT || !s->txn.is_body_begun);
}

static void
job_to_done(struct out_session *s, struct job **j)
{
	list_push_back(&s->done, &(*j)->node);
	*j = NULL;
}

static void
give_back_next(struct out_session *s)
{
	struct outcome o = job_error(E_AGAIN, OUTCOME_NOT_TRIED,
				     SPAN("The connection ended before its turn"));

	if (s->next == NULL)
		return;
	job_settle_rest(s->next, &o);
	job_to_done(s, &s->next);
}

void
out_session_die(struct out_session *s, const struct outcome *o)
{
	struct outcome rest = *o;

	if (s->state == OUT_DEAD)
		return;
	note_failure(s, o);
	if (s->job != NULL) {
		/* A reply for one recipient, or for the connection, says nothing final about all the others. */
		rest.status = OUTCOME_DEFERRED;
		if (is_untried(s))
			rest.flags |= OUTCOME_NOT_TRIED;
		job_settle_rest(s->job, &rest);
		job_to_done(s, &s->job);
	}
	give_back_next(s);
	s->state = OUT_DEAD;
	s->progress++;
	out_queue_clear(&s->out);
	reply_parser_clear(&s->in);
}

static void
die_error(struct out_session *s, int err, const char *what, const char *where)
{
	struct outcome o;
	struct buf text;

	buf_init(&text, FAILURE_TEXT_MAX);
	buf_printf(&text, "%s %s", what, where);
	if (s->state == OUT_TXN && out_txn_is_in_doubt(s))
		buf_puts(&text, "; the message may have been delivered, it may come twice");
	o = job_error(err, 0, buf_span(&text));
	out_session_die(s, &o);
	buf_clear(&text);
}

void
out_session_broken(struct out_session *s, const char *reason)
{
	struct buf what;

	/* Whoever closed it: to qmgr all of it is a bad connection, 4.4.2. */
	buf_init(&what, FAILURE_TEXT_MAX);
	buf_printf(&what, "%s while waiting for", reason);
	die_error(s, E_CLOSED, buf_cstr(&what), await_names[out_session_await(s)]);
	buf_clear(&what);
}

void
out_session_timeout(struct out_session *s)
{
	if (!out_queue_is_empty(&s->out))
		die_error(s, E_TIMEOUT, "timed out while", "sending");
	else if (out_session_await(s) == AWAIT_END && !s->txn.is_body_done)
		die_error(s, E_TIMEOUT, "timed out while", "the message was read from the queue");
	else
		die_error(s, E_TIMEOUT, "timed out while waiting for",
			  await_names[out_session_await(s)]);
}

void
out_session_give_up(struct out_session *s, uint8_t flags, struct span why)
{
	struct outcome o = job_error(E_STOPPING, flags, why);

	out_session_die(s, &o);
}

/* ---- replies ---- */

struct outcome
out_session_outcome(const struct reply *r, const char *esc, struct buf *text)
{
	reply_put_text(r, JOB_TEXT_MAX, text);
	return (struct outcome){
		.status = r->code / 100 == 2   ? OUTCOME_DELIVERED
			  : r->code / 100 == 5 ? OUTCOME_BOUNCED
					       : OUTCOME_DEFERRED,
		.reply = r->code,
		.esc = span_of(esc),
		.text = buf_span(text),
	};
}

static void
die_reply(struct out_session *s, const struct reply *r)
{
	char esc[REPLY_ESC_LEN];
	struct outcome o;
	struct buf text;

	buf_init(&text, JOB_TEXT_MAX);
	(void)reply_esc(r, esc);
	o = out_session_outcome(r, esc, &text);
	out_session_die(s, &o);
	buf_clear(&text);
}

static void
put_line(struct out_session *s, const char *verb, struct span arg)
{
	struct buf *b = out_queue_text(&s->out);

	buf_puts(b, verb);
	if (arg.n > 0) {
		buf_putc(b, ' ');
		buf_put_span(b, arg);
	}
	buf_put(b, "\r\n", 2);
	out_queue_commit(&s->out);
}

static void
become_ready(struct out_session *s)
{
	s->state = OUT_READY;
	if (s->is_quitting) {
		give_back_next(s);
		put_line(s, "QUIT", SPAN_NONE);
		s->state = OUT_QUIT;
	} else if (s->next != NULL) {
		s->job = s->next;
		s->next = NULL;
		s->state = OUT_TXN;
		s->txn_count++;
		out_txn_begin(s);
	}
}

static void
on_greeting(struct out_session *s, const struct reply *r)
{
	if (r->code / 100 != 2) {
		die_reply(s, r);
		return;
	}
	put_line(s, s->params.is_lmtp ? "LHLO" : "EHLO", s->params.ehlo_name);
	s->state = OUT_HELLO;
}

static void
on_hello(struct out_session *s, const struct reply *r)
{
	if (r->code / 100 == 2) {
		if (s->state == OUT_HELLO)
			out_caps_parse(&s->caps, r->text);
		become_ready(s);
	} else if (r->code / 100 == 5 && s->state == OUT_HELLO && !s->params.is_lmtp) {
		put_line(s, "HELO", s->params.ehlo_name);
		s->state = OUT_HELO;
	} else {
		die_reply(s, r);
	}
}

enum out_await
out_session_await(const struct out_session *s)
{
	static const enum out_await of_state[] = {
		[OUT_GREETING] = AWAIT_GREETING, [OUT_HELLO] = AWAIT_HELLO, [OUT_HELO] = AWAIT_HELO,
		[OUT_READY] = AWAIT_NOTHING,	 [OUT_TXN] = AWAIT_NOTHING, [OUT_QUIT] = AWAIT_QUIT,
		[OUT_DEAD] = AWAIT_NOTHING,
	};

	return s->state == OUT_TXN ? out_txn_await(s) : of_state[s->state];
}

/* A reply that nothing asked for, or that came before the question was out: no later reply can be trusted. */
static bool
is_out_of_step(const struct out_session *s, enum out_await what, const struct reply *r)
{
	if (what == AWAIT_NOTHING || (r->code / 100 == 3 && what != AWAIT_DATA))
		return true;
	return (s->state == OUT_HELLO || s->state == OUT_HELO) && !out_queue_is_empty(&s->out);
}

static void
on_reply(struct out_session *s, const struct reply *r)
{
	enum out_await what = out_session_await(s);

	s->progress++;
	if (r->code == 421 || what == AWAIT_QUIT || (what == AWAIT_NOTHING && r->code / 100 != 2)) {
		die_reply(s, r);
	} else if (is_out_of_step(s, what, r)) {
		die_error(s, E_PROTOCOL, "unexpected reply while waiting for", await_names[what]);
	} else if (what == AWAIT_GREETING) {
		on_greeting(s, r);
	} else if (what == AWAIT_HELLO || what == AWAIT_HELO) {
		on_hello(s, r);
	} else {
		out_txn_reply(s, what, r);
	}
}

void
out_session_input(struct out_session *s, struct span bytes)
{
	struct reply r;
	int got;

	while (s->state != OUT_DEAD && bytes.n > 0) {
		got = reply_parse(&s->in, &bytes, &r);
		if (got == 0)
			return;
		if (got == 1)
			on_reply(s, &r);
		else
			die_error(s, E_PROTOCOL, "no SMTP reply while waiting for",
				  await_names[out_session_await(s)]);
	}
}

void
out_session_sent(struct out_session *s, size_t n)
{
	if (n == 0)
		return;
	out_queue_sent(&s->out, n);
	s->progress++;
	if (s->state == OUT_TXN)
		out_txn_advance(s);
}

/* ---- jobs ---- */

bool
out_session_has_room(const struct out_session *s)
{
	return (s->state == OUT_READY || s->state == OUT_TXN) && s->next == NULL && !s->is_quitting;
}

void
out_session_add(struct out_session *s, struct job *j)
{
	if (!out_session_has_room(s))
		bug("out_session: no room for a job");
	list_remove(&j->node);
	s->next = j;
	if (s->state == OUT_READY) {
		s->progress++;
		become_ready(s);
	}
}

void
out_session_data(struct out_session *s, struct job *j)
{
	struct outcome o = job_error(E_IO, 0, SPAN("The stored message cannot be read"));

	if (j->is_aborted && j == s->job) {
		out_session_die(s, &o);
	} else if (j->is_aborted) {
		job_settle_rest(j, &o);
		job_to_done(s, &s->next);
	} else if (j == s->job) {
		s->progress++;
		out_txn_advance(s);
	}
}

void
out_session_job_done(struct out_session *s)
{
	/* Something of this transaction is not yet written although all replies are in: they answered something else. */
	bool is_out_of_step = !out_queue_is_empty(&s->out);

	job_to_done(s, &s->job);
	if (is_out_of_step) {
		die_error(s, E_PROTOCOL, "reply before the end of", "the message");
		return;
	}
	if (s->caps.mail_max > 0 && s->txn_count >= s->caps.mail_max)
		s->is_quitting = true;
	become_ready(s);
}

void
out_session_quit(struct out_session *s)
{
	if (s->is_quitting || s->state == OUT_DEAD)
		return;
	s->is_quitting = true;
	give_back_next(s);
	if (s->state == OUT_READY)
		become_ready(s);
	else if (s->state != OUT_TXN)
		die_error(s, E_STOPPING, "not needed any more", "");
	s->progress++;
}

struct job *
out_session_take_done(struct out_session *s)
{
	struct job *j;

	if (list_is_empty(&s->done))
		return NULL;
	j = LIST_ENTRY(s->done.next, struct job, node);
	list_remove(&j->node);
	return j;
}

bool
out_session_is_up(const struct out_session *s)
{
	return s->state != OUT_DEAD && s->state != OUT_QUIT && !s->is_quitting;
}

/* ---- life ---- */

uint32_t
out_session_wait_ms(const struct out_session *s)
{
	const struct out_timeouts *t = s->params.timeouts;

	switch (out_session_await(s)) {
	case AWAIT_GREETING:
		return t->greeting;
	case AWAIT_HELLO:
	case AWAIT_HELO:
		return t->helo;
	case AWAIT_MAIL:
		return t->mail;
	case AWAIT_RCPT:
		return t->rcpt;
	case AWAIT_DATA:
		return t->data_init;
	case AWAIT_CHUNK:
		return t->data_block;
	case AWAIT_END:
		return s->txn.is_body_done && out_queue_is_empty(&s->out) ? t->data_end
									  : t->data_block;
	case AWAIT_RSET:
	case AWAIT_QUIT:
		return t->quit;
	case AWAIT_NOTHING:
	case AWAIT_COUNT:
		break;
	}
	/* Within a transaction: content that the server does not take, or that qmgr does not give. */
	return s->state == OUT_TXN ? t->data_block : 0;
}

void
out_session_init(struct out_session *s, const struct out_params *p)
{
	*s = (struct out_session){ .params = *p, .state = OUT_GREETING };
	out_queue_init(&s->out);
	reply_parser_init(&s->in);
	list_init(&s->done);
	buf_init(&s->failure.text, FAILURE_TEXT_MAX);
}

void
out_session_clear(struct out_session *s)
{
	struct job *j;

	while ((j = out_session_take_done(s)) != NULL)
		job_free(&j);
	job_free(&s->job);
	job_free(&s->next);
	out_queue_clear(&s->out);
	reply_parser_clear(&s->in);
	buf_clear(&s->failure.text);
}
