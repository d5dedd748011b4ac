/* SPDX-License-Identifier: ISC
 *
 * EHLO and HELO: who the client says it is, and what this server offers. It believes nothing of it: the name only stands
 * in the log and in Received.                                 RFC 5321 4.1.1.1; extensions: see the lines below */

/* lib */
#include "base/mem.h"
#include "session/core.h"

enum { HELO_MAX = 255 };

/* A name, or something in brackets. Many real clients send names that are none by the letter (underscores, "localhost:"),
 * so anything printable is taken; received_put() leaves out what does not look like a name. */
static bool
is_helo(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0 && s.n <= HELO_MAX;
}

static void
put_extensions(struct session *s)
{
	const struct session_conf *c = s->conf;

	buf_printf(&s->out, "250-%s\r\n", c->hostname);
	session_put(s, "250-PIPELINING"); /* RFC 2920 */
	buf_printf(&s->out, "250-SIZE %llu\r\n",
		   (unsigned long long)c->message_size);	     /* RFC 1870 */
	session_put(s, "250-8BITMIME");				     /* RFC 6152 */
	session_put(s, "250-SMTPUTF8");				     /* RFC 6531 */
	session_put(s, "250-CHUNKING");				     /* RFC 3030 */
	session_put(s, "250-DSN");				     /* RFC 3461 */
	session_put(s, "250-ENHANCEDSTATUSCODES");		     /* RFC 2034 */
	buf_printf(&s->out, "250-LIMITS RCPTMAX=%u", c->recipients); /* RFC 9422 */
	if (c->messages > 0)
		buf_printf(&s->out, " MAILMAX=%u", c->messages);
	session_put(s, "");
	session_put(s, "250 HELP");
}

static enum step
hello(struct session *s, struct span args, bool is_esmtp)
{
	if (!is_helo(args))
		return session_reply(s, 501, "5.5.4", "A domain or address literal is wanted");
	session_end_txn(s);
	mem_free(s->helo);
	s->helo = mem_dup_span(args);
	s->is_esmtp = is_esmtp;
	session_set_phase(s, PHASE_READY);
	if (is_esmtp)
		put_extensions(s);
	else
		session_reply(s, 250, NULL, "%s", s->conf->hostname);
	return STEP_REPLY;
}

enum step
cmd_ehlo(struct session *s, struct span args)
{
	return hello(s, args, true);
}

enum step
cmd_helo(struct session *s, struct span args)
{
	return hello(s, args, false);
}
