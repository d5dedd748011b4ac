/* SPDX-License-Identifier: ISC
 *
 * Replies: one line of printable ASCII each, whatever the texts hold that it is made of. Every refusal passes here, is
 * told to the owner for the log, and counted. It decides nothing.            RFC 5321 4.2, 4.5.3.1.5; RFC 2034, 3463 */

/* System */
#include <stdarg.h>
#include <stdio.h>
/* lib */
#include "session/core.h"

enum { REPLY_MAX = 512 }; /* RFC 5321 4.5.3.1.5 */

static void
log_reject(struct session *s, struct span line)
{
	struct session_reject r = { .stage = s->stage, .reply = line };

	if (s->txn != NULL) {
		r.sender = s->txn->msg.sender;
		if (s->txn->pending.n > 0)
			r.rcpt = span_sub(buf_span(&s->txn->pending), 0, s->txn->pending_addr_len);
	}
	if (r.rcpt.n == 0)
		r.said = s->said;
	s->ops->on_reject(s->arg, &r);
}

static void
put_reply(struct session *s, int code, const char *line, size_t n)
{
	buf_put(&s->out, line, n);
	buf_put(&s->out, "\r\n", 2);
	if (code >= 400)
		log_reject(s, span_make(line, n));
	if (code >= 500)
		s->errors++;
}

enum step
session_reply(struct session *s, int code, const char *esc, const char *fmt, ...)
{
	char line[REPLY_MAX];
	va_list ap;
	int n, m;

	n = snprintf(line, sizeof(line), "%d %s%s", code, esc != NULL ? esc : "",
		     esc != NULL ? " " : "");
	va_start(ap, fmt);
	m = vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	n = m < 0 || n + m > REPLY_MAX - 3 ? REPLY_MAX - 3 : n + m;
	for (int i = 0; i < n; i++)
		if (line[i] < ' ' || line[i] > '~')
			line[i] = '?';
	put_reply(s, code, line, (size_t)n);
	return STEP_REPLY;
}

enum step
session_reply_error(struct session *s, int err)
{
	const struct err_info *e = err_info(err);

	/* 421 is a promise to close. */
	if (e->reply == 421)
		return session_reply_close(s, e->esc, e->text);
	return session_reply(s, e->reply, e->esc, "%s", e->text);
}

enum step
session_reply_close(struct session *s, const char *esc, const char *text)
{
	session_reply(s, 421, esc, "%s %s", s->conf->hostname, text);
	return STEP_CLOSE;
}

void
session_put(struct session *s, const char *line)
{
	buf_puts(&s->out, line);
	buf_put(&s->out, "\r\n", 2);
}
