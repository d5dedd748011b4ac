/* SPDX-License-Identifier: ISC
 *
 * The owner of a session in tests: see driver.h. Recipients tell by their local part what becomes of them: "nouser" 550,
 * "temp" 450, "relay" 550 5.7.1 unless the client may relay, "odd" an answer that is none, "stop" 421; all others are
 * accepted. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/arena.h"
#include "base/id.h"
#include "spool/envelope.h"
/* this program */
#include "tests/unit/session/driver.h"

enum { DRIVER_MAX = 64 << 20 };

static struct session_verdict
verdict_for(const struct driver *d, const char *rcpt)
{
	if (strncmp(rcpt, "nouser", 6) == 0)
		return (struct session_verdict){ 550, SPAN("5.1.1"), SPAN("No such user here") };
	if (strncmp(rcpt, "temp", 4) == 0)
		return (struct session_verdict){ 450, SPAN("4.2.0"), SPAN("Not now") };
	if (strncmp(rcpt, "relay", 5) == 0 && !d->client.may_relay)
		return (struct session_verdict){ 550, SPAN("5.7.1"), SPAN("Relaying denied") };
	if (strncmp(rcpt, "odd", 3) == 0)
		return (struct session_verdict){ 77, SPAN("?"), SPAN("\001") };
	if (strncmp(rcpt, "stop", 4) == 0)
		return (struct session_verdict){ 421, SPAN("4.3.2"), SPAN("no") };
	return (struct session_verdict){ 250, SPAN("2.1.5"), SPAN("ok") };
}

static int
on_may_mail(void *arg)
{
	const struct driver *d = arg;

	return d->may_mail;
}

static int
on_check_rcpt(void *arg, const struct smtp_addr *rcpt, struct span sender,
	      struct session_verdict *out)
{
	struct driver *d = arg;

	(void)sender;
	snprintf(d->rcpt, sizeof(d->rcpt), "%.*s", SPAN_ARG(rcpt->full));
	if (!d->is_async) {
		*out = verdict_for(d, d->rcpt);
		return 1;
	}
	d->rcpt_is_open = true;
	return 0;
}

static void
on_new_message(void *arg, uint64_t *qid_out, uint64_t *arrival_us_out)
{
	struct driver *d = arg;

	/* Of a refused one the id is used again: whether a message had one before it failed depends on how it was cut. */
	*qid_out = d->qid = d->stored + 1;
	*arrival_us_out = 1600000000000000ULL;
	buf_reset(&d->streamed);
}

static int
on_stream(void *arg, uint64_t qid, struct span data)
{
	struct driver *d = arg;

	if (qid != d->qid || data.n > d->conf.content_max || d->room_is_open)
		abort();
	if (d->stream_fail < 0)
		return d->stream_fail;
	buf_put_span(&d->streamed, data);
	d->stream_calls++;
	if (d->room_every == 0 || d->stream_calls % d->room_every != 0)
		return 1;
	d->room_is_open = true;
	return 0;
}

static void
on_submit(void *arg, const struct session_message *m)
{
	struct driver *d = arg;

	/* Never in the middle of something else, never twice. */
	if (d->commit_is_open || d->room_is_open || d->rcpt_is_open || m->qid != d->qid)
		abort();
	/* What does not fit into one message to qmgr. */
	if (m->content.n > d->conf.content_max)
		abort();
	d->msg = m;
	d->commit_is_open = true;
}

static void
on_drop(void *arg, uint64_t qid)
{
	struct driver *d = arg;

	if (qid != d->qid)
		abort();
	d->dropped++;
	d->commit_is_open = d->room_is_open = false;
	d->msg = NULL;
}

static void
on_reject(void *arg, const struct session_reject *r)
{
	struct driver *d = arg;

	buf_printf(&d->rejects, "%s %.*s", r->stage, SPAN_ARG(r->reply));
	if (r->said.n > 0)
		buf_printf(&d->rejects, " [%.*s]", SPAN_ARG(r->said));
	buf_putc(&d->rejects, '\n');
}

static void
on_received(void *arg, const struct session_message *m)
{
	struct driver *d = arg;

	if (m->qid != d->qid)
		abort();
	d->received++;
}

static const struct session_ops driver_ops = { on_may_mail, on_check_rcpt, on_new_message,
					       on_stream,   on_submit,	   on_drop,
					       on_reject,   on_received };

void
driver_init(struct driver *d)
{
	*d = (struct driver){ .now_ms = 1000 };
	d->conf = (struct session_conf){ .hostname = "mx.test",
					 .message_size = 1 << 20,
					 .header_size = 65536,
					 .content_max = SESSION_CONTENT_MAX,
					 .recipients = 1000,
					 .bounce_recipients = 100,
					 .errors = 20,
					 .junk_commands = 100,
					 .min_data_rate = 500,
					 .hop_limit = 100,
					 .command_ms = 300000,
					 .line_ms = 60000,
					 .data_ms = 180000,
					 .rcpt_check_ms = 10000,
					 .commit_ms = 60000 };
	d->client = (struct session_client){ .addr = "192.0.2.1",
					     .sid = "0000000000001",
					     .may_relay = true };
	buf_init(&d->in, DRIVER_MAX);
	buf_init(&d->replies, DRIVER_MAX);
	buf_init(&d->rejects, DRIVER_MAX);
	buf_init(&d->streamed, DRIVER_MAX);
	buf_init(&d->mail, DRIVER_MAX);
	buf_init(&d->trace, DRIVER_MAX);
	session_init(&d->s, &d->conf, &d->client, &driver_ops, d);
}

static void
take_replies(struct driver *d)
{
	buf_put_span(&d->replies, buf_span(&d->s.out));
	buf_reset(&d->s.out);
}

/* What a stored message was. The envelope must decode, and say what the message says. */
static void
keep_message(struct driver *d)
{
	const struct session_message *m = d->msg;
	struct span content = m->is_streamed ? buf_span(&d->streamed) : m->content;
	struct envelope e;
	struct arena a;

	arena_init(&a, 1024);
	if (envelope_decode(m->envelope, &a, &e) < 0 || e.rcpt_count != m->rcpt_count ||
	    !span_eq(e.sender, m->sender) || content.n != m->content_len)
		abort();
	buf_printf(&d->mail, "from=%.*s proto=%s%s%s%s%s%s%s", SPAN_ARG(e.sender), m->protocol,
		   e.is_smtputf8 ? " utf8" : "", e.body == ENV_BODY_8BITMIME ? " 8bit" : "",
		   e.ret == ENV_RET_FULL ? " full" : "", e.ret == ENV_RET_HDRS ? " hdrs" : "",
		   m->is_streamed ? " streamed" : "", m->content_flags != 0 ? " flags" : "");
	if (e.envid.n > 0)
		buf_printf(&d->mail, " envid=%.*s", SPAN_ARG(e.envid));
	for (uint32_t i = 0; i < e.rcpt_count; i++) {
		buf_printf(&d->mail, " to=%.*s", SPAN_ARG(e.rcpts[i].addr));
		if (e.rcpts[i].notify != 0)
			buf_printf(&d->mail, ",%u", e.rcpts[i].notify);
		if (e.rcpts[i].orcpt.n > 0)
			buf_printf(&d->mail, ",%.*s", SPAN_ARG(e.rcpts[i].orcpt));
	}
	buf_putc(&d->mail, '\n');
	buf_put_span(&d->mail, content);
	buf_reset(&d->trace);
	buf_put_span(&d->trace, m->trace);
	arena_clear(&a);
}

bool
driver_answer(struct driver *d)
{
	if (d->rcpt_is_open) {
		struct session_verdict v = verdict_for(d, d->rcpt);

		d->rcpt_is_open = false;
		session_rcpt_verdict(&d->s, &v, d->now_ms);
	} else if (d->room_is_open) {
		d->room_is_open = false;
		session_room(&d->s, d->now_ms);
	} else if (d->commit_is_open) {
		if (d->commit == 0)
			keep_message(d);
		d->stored += d->commit == 0;
		d->commit_is_open = false;
		session_commit_done(&d->s, d->commit, d->now_ms);
	} else {
		return false;
	}
	take_replies(d);
	return true;
}

static void
pump(struct driver *d)
{
	size_t used;

	do {
		take_replies(d);
		used = 0;
		if (!session_is_blocked(&d->s) && d->in.n > 0) {
			used = session_input(&d->s, buf_span(&d->in), d->now_ms);
			buf_drop(&d->in, used);
			take_replies(d);
		}
	} while ((!d->holds_answers && driver_answer(d)) || (used > 0 && d->in.n > 0));
	if (d->in.n > 2 * SESSION_LINE_MAX && !session_is_blocked(&d->s))
		abort();
}

void
driver_start(struct driver *d)
{
	session_start(&d->s, d->now_ms);
	take_replies(d);
}

void
driver_feed(struct driver *d, struct span in, size_t step)
{
	while (in.n > 0) {
		struct span part = span_sub(in, 0, step > 0 ? step : in.n);

		buf_put_span(&d->in, part);
		in = span_sub(in, part.n, in.n);
		pump(d);
	}
}

void
driver_wait(struct driver *d, uint64_t ms)
{
	uint64_t end = d->now_ms + ms;

	while (d->s.deadline_ms != 0 && d->s.deadline_ms <= end) {
		d->now_ms = d->s.deadline_ms > d->now_ms ? d->s.deadline_ms : d->now_ms;
		session_tick(&d->s, d->now_ms);
		pump(d);
		if (d->s.deadline_ms != 0 && d->s.deadline_ms <= d->now_ms)
			abort();
	}
	d->now_ms = end;
}

void
driver_clear(struct driver *d)
{
	session_free(&d->s);
	buf_clear(&d->in);
	buf_clear(&d->replies);
	buf_clear(&d->rejects);
	buf_clear(&d->streamed);
	buf_clear(&d->mail);
	buf_clear(&d->trace);
}
