/* SPDX-License-Identifier: ISC
 *
 * Plays scripted dialogs with the client core (see dialog.h). */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "tests/unit/delivery/dialog.h"
#include "tests/unit/unit.h"

#define TRACE "Received: here\r\n"
#define BODY "Subject: x\r\n\r\nhi\r\n"

static const struct {
	const char *name, *sender, *rcpts[4], *trace, *content;
	uint64_t stream_len;
	uint32_t content_flags;
	bool is_8bitmime, is_utf8;
	uint8_t notify;
	const char *envid, *orcpt;
	enum env_ret ret;
} jobs[] = {
	{ .name = "one", .sender = "s@a.example", .rcpts = { "r@b.example" } },
	{ .name = "two", .sender = "s@a.example", .rcpts = { "r1@b.example", "r2@b.example" } },
	{ .name = "three",
	  .sender = "s@a.example",
	  .rcpts = { "r1@b.example", "r2@b.example", "r3@b.example" } },
	{ .name = "null", .sender = "", .rcpts = { "r@b.example" } },
	{ .name = "postmaster", .sender = "", .rcpts = { "postmaster" } },
	{ .name = "dots",
	  .sender = "",
	  .rcpts = { "r@b.example" },
	  .content = ".\r\n..\r\n.x\r\ny.\r\n" },
	{ .name = "bare",
	  .sender = "",
	  .rcpts = { "r@b.example" },
	  .content = "a\n.\r\nb\r.\r\rc\r\n.\n\r" },
	{ .name = "returned",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example", "r2@b.example" },
	  .content = "Return-Path: <x@y.example>\r\n"
		     "To: r\r\nRETURN-PATH :\r\n <a>,\r\n\t<b>\r\nReturn-Paths: "
		     "kept\r\n\r\nReturn-Path: <body>\r\n" },
	{ .name = "noeol", .sender = "", .rcpts = { "r@b.example" }, .content = "a\r\nb" },
	{ .name = "empty", .sender = "", .rcpts = { "r@b.example" }, .trace = "", .content = "" },
	{ .name = "8bit",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example" },
	  .content = "\xe4\r\n",
	  .content_flags = CONTENT_8BIT,
	  .is_8bitmime = true },
	{ .name = "said8bit",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example" },
	  .is_8bitmime = true },
	{ .name = "utf8sender",
	  .sender = "s\xc3\xa4@a.example",
	  .rcpts = { "r@b.example" },
	  .is_utf8 = true },
	{ .name = "utf8rcpt",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example", "\xc3\xa4@b.example" },
	  .is_utf8 = true },
	{ .name = "utf8header",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example" },
	  .content_flags = CONTENT_8BIT | CONTENT_HEADER_UTF8,
	  .is_utf8 = true },
	{ .name = "rawheader",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example" },
	  .content_flags = CONTENT_8BIT | CONTENT_HEADER_UTF8 },
	{ .name = "saidutf8",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example" },
	  .is_utf8 = true },
	{ .name = "dsn",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example" },
	  .notify = ENV_NOTIFY_SUCCESS | ENV_NOTIFY_DELAY,
	  .envid = "Q+2B1",
	  .orcpt = "rfc822;o@c.example",
	  .ret = ENV_RET_HDRS },
	{ .name = "never",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example" },
	  .notify = ENV_NOTIFY_NEVER,
	  .ret = ENV_RET_FULL,
	  .envid = "has blank",
	  .orcpt = "rfc822;a b" },
	{ .name = "evil",
	  .sender = "s@a.example",
	  .rcpts = { "r@b.example> NOTIFY=NEVER", "r2@b.example", "x", "a b@c.example" } },
	{ .name = "evilsender", .sender = "s> SIZE=1 BODY=<", .rcpts = { "r@b.example" } },
	{ .name = "big",
	  .sender = "s@a.example",
	  .rcpts = { "r1@b.example", "r2@b.example" },
	  .stream_len = 100000 },
};

static const char *const awaits[AWAIT_COUNT] = { "idle",  "greeting", "hello", "helo",
						 "rset",  "mail",     "rcpt",  "data",
						 "chunk", "end",      "quit" };

static const struct out_timeouts timeouts = { .greeting = 1,
					      .helo = 2,
					      .mail = 3,
					      .rcpt = 4,
					      .data_init = 5,
					      .data_block = 6,
					      .data_end = 7,
					      .quit = 8 };

static void
fill_envelope(struct envelope *e, size_t k, struct env_rcpt *rcpts)
{
	envelope_init(e);
	e->sender = span_of(jobs[k].sender);
	e->body = jobs[k].is_8bitmime ? ENV_BODY_8BITMIME : ENV_BODY_7BIT;
	e->is_smtputf8 = jobs[k].is_utf8;
	e->ret = jobs[k].ret;
	e->envid = span_of(jobs[k].envid);
	e->rcpts = rcpts;
	for (unsigned i = 0; i < 4 && jobs[k].rcpts[i] != NULL; i++) {
		rcpts[i] = (struct env_rcpt){ .index = 10 * i + 5,
					      .notify = jobs[k].notify,
					      .addr = span_of(jobs[k].rcpts[i]),
					      .orcpt = span_of(jobs[k].orcpt) };
		e->rcpt_count++;
	}
}

struct job *
dialog_job(const char *name)
{
	static uint64_t ids = 100;
	struct env_rcpt rcpts[4];
	struct envelope e;
	struct job *j = NULL;
	struct buf b;
	size_t k = 0;

	while (k < UNIT_COUNT(jobs) && strcmp(jobs[k].name, name) != 0)
		k++;
	ck_assert_msg(k < UNIT_COUNT(jobs), "no job %s", name);
	fill_envelope(&e, k, rcpts);
	buf_init(&b, 65536);
	envelope_encode(&b, &e);
	struct msg_job m = {
		.job = ids++,
		.content_flags = jobs[k].content_flags,
		.envelope = buf_span(&b),
		.trace = span_of(jobs[k].trace != NULL ? jobs[k].trace : TRACE),
		.content = span_of(jobs[k].content != NULL ? jobs[k].content : BODY),
	};
	if (jobs[k].stream_len > 0)
		m.content = SPAN_NONE;
	m.content_len = jobs[k].stream_len > 0 ? jobs[k].stream_len : m.content.n;
	ck_assert_int_eq(job_new(&m, &j), 0);
	buf_clear(&b);
	return j;
}

/* ---- steps ---- */

static void
take_output(struct out_session *s, struct buf *out)
{
	struct iovec iov[OUT_QUEUE_PIECES];

	while (!out_queue_is_empty(&s->out)) {
		size_t n = out_queue_peek(&s->out, iov, 1 + (size_t)(out->n % 3)), sum = 0;
		for (size_t i = 0; i < n; i++) {
			buf_put(out, iov[i].iov_base, iov[i].iov_len);
			sum += iov[i].iov_len;
		}
		out_session_sent(s, sum);
	}
	ck_assert_int_eq(buf_check(out), 0);
}

/* Nobody waits for what was just said: the peer's reply arrives before more is written only if the script says so. */
static void
expect_output(struct out_session *s, const char *want, const char *where)
{
	struct span rest = span_of(want), line;
	struct buf got, all;

	buf_init(&got, 1 << 20);
	buf_init(&all, 1 << 20);
	take_output(s, &got);
	while (span_next(&rest, '\n', &line)) {
		buf_put_span(&all, line);
		buf_puts(&all, "\r\n");
	}
	ck_assert_msg(span_eq(buf_span(&got), buf_span(&all)), "%s: sent \"%s\", want \"%s\"",
		      where, buf_cstr(&got), buf_cstr(&all));
	buf_clear(&got);
	buf_clear(&all);
}

static void
put_outcome(struct buf *b, const struct job *j, uint32_t i)
{
	static const char *const names[] = { "delivered", "deferred", "bounced" };
	const struct outcome *o = &j->outcomes[i];

	ck_assert(j->is_settled[i]);
	ck_assert_uint_eq(o->index, j->env.rcpts[i].index);
	buf_printf(b, "%s%s ", i > 0 ? "; " : "", names[o->status]);
	if (o->flags & OUTCOME_NOT_TRIED)
		buf_puts(b, "(untried) ");
	if (o->flags & OUTCOME_NO_DSN_SUPPORT)
		buf_puts(b, "(nodsn) ");
	if (o->reply != 0)
		buf_printf(b, "%u ", o->reply);
	buf_put_span(b, o->esc);
	buf_putc(b, ' ');
	buf_put_span(b, o->text);
}

static void
expect_outcome(struct out_session *s, const char *want, const char *where)
{
	struct job *j = out_session_take_done(s);
	struct buf b;

	ck_assert_msg(j != NULL, "%s: no job is done, want %s", where, want);
	ck_assert_uint_eq(j->unsettled, 0);
	buf_init(&b, 65536);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		put_outcome(&b, j, i);
	ck_assert_msg(strcmp(buf_cstr(&b), want) == 0, "%s: outcome \"%s\", want \"%s\"", where,
		      buf_cstr(&b), want);
	buf_clear(&b);
	job_free(&j);
}

static void
expect_failure(struct out_session *s, const char *want, const char *where)
{
	struct buf b;

	ck_assert_msg(s->state == OUT_DEAD, "%s: not dead", where);
	buf_init(&b, 4096);
	buf_printf(&b, "%u %s ", s->failure.reply, s->failure.esc);
	buf_put_span(&b, buf_span(&s->failure.text));
	ck_assert_msg(strcmp(buf_cstr(&b), want) == 0, "%s: failure \"%s\", want \"%s\"", where,
		      buf_cstr(&b), want);
	buf_clear(&b);
}

static void
give_data(struct out_session *s, size_t n)
{
	char *p = mem_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = "line\r\n"[(s->job->received + i) % 6];
	ck_assert_int_eq(job_add_data(s->job, span_make(p, n)), 0);
	mem_free(p);
	out_session_data(s, s->job);
}

static void
happen(struct out_session *s, const char *what)
{
	if (strcmp(what, "timeout") == 0)
		out_session_timeout(s);
	else if (strcmp(what, "close") == 0)
		out_session_broken(s, "connection closed by the server");
	else if (strcmp(what, "quit") == 0)
		out_session_quit(s);
	else if (strcmp(what, "stop") == 0)
		out_session_give_up(s, 0, SPAN("stopping"));
	else
		ck_abort_msg("no event %s", what);
}

static void
step(struct out_session *s, const char *line, const char *where)
{
	const char *arg = line[0] != '\0' && line[1] == ' ' ? line + 2 : "";
	struct buf b;

	buf_init(&b, 1 << 20);
	if (line[0] == 'J') {
		ck_assert_msg(out_session_has_room(s), "%s: no room", where);
		out_session_add(s, dialog_job(arg));
	} else if (line[0] == 'S') {
		buf_printf(&b, "%s\r\n", arg);
		out_session_input(s, buf_span(&b));
	} else if (line[0] == 'R') {
		out_session_input(s, span_of(arg));
	} else if (line[0] == 'C') {
		expect_output(s, arg, where);
	} else if (line[0] == '*') {
		take_output(s, &b);
	} else if (line[0] == 'D') {
		give_data(s, strtoul(arg, NULL, 10));
	} else if (line[0] == 'A') {
		s->job->is_aborted = true;
		out_session_data(s, s->job);
	} else if (line[0] == 'X') {
		happen(s, arg);
	} else if (line[0] == '=') {
		expect_outcome(s, arg, where);
	} else if (line[0] == 'W') {
		ck_assert_msg(strcmp(awaits[out_session_await(s)], arg) == 0, "%s: waits for %s",
			      where, awaits[out_session_await(s)]);
	} else if (line[0] == 'T') {
		ck_assert_msg(out_session_wait_ms(s) == strtoul(arg, NULL, 10), "%s: waits %u",
			      where, out_session_wait_ms(s));
	} else if (line[0] == 'U') {
		ck_assert_msg(out_session_is_up(s) == (arg[0] == 'y'), "%s", where);
	} else if (line[0] == 'F') {
		expect_failure(s, arg, where);
	} else {
		ck_assert_msg(line[0] == '-', "bad step %s", line);
	}
	buf_clear(&b);
}

void
dialog_run(const struct dialog *d)
{
	struct out_params p = { .is_lmtp = d->is_lmtp,
				.ehlo_name = SPAN("me.example"),
				.timeouts = &timeouts };
	struct out_session s;

	out_session_init(&s, &p);
	for (unsigned i = 0; i < DIALOG_STEPS && d->steps[i] != NULL; i++) {
		char where[300];
		snprintf(where, sizeof(where), "%s, step %u \"%.200s\"", d->name, i + 1,
			 d->steps[i]);
		step(&s, d->steps[i], where);
	}
	ck_assert_msg(out_session_take_done(&s) == NULL, "%s: a job is done that nobody asked for",
		      d->name);
	ck_assert_msg(s.job == NULL && s.next == NULL, "%s: a job is left", d->name);
	out_session_clear(&s);
}
