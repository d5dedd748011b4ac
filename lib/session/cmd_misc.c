/* SPDX-License-Identifier: ISC
 *
 * The commands that move no mail, and those that are refused by name.
 * RFC 5321 4.1.1.5 - 4.1.1.10, 3.5.3 (VRFY answers 252: whether a user exists is told at RCPT only) */

/* lib */
#include "session/core.h"

enum step
cmd_rset(struct session *s, struct span args)
{
	(void)args;
	session_end_txn(s);
	return session_reply(s, 250, "2.0.0", "Ok");
}

enum step
cmd_noop(struct session *s, struct span args)
{
	(void)args;
	return session_reply(s, 250, "2.0.0", "Ok");
}

enum step
cmd_vrfy(struct session *s, struct span args)
{
	if (args.n == 0)
		return session_reply_error(s, E_SYNTAX);
	return session_reply(s, 252, "2.1.5", "Send some mail, I will try my best");
}

enum step
cmd_help(struct session *s, struct span args)
{
	(void)args;
	session_put(s, "214-2.0.0 This is Postern. Commands:");
	session_put(s, "214-2.0.0  EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
	return session_reply(s, 214, "2.0.0", "Lines end with CR LF; see RFC 5321");
}

enum step
cmd_quit(struct session *s, struct span args)
{
	(void)args;
	session_reply(s, 221, "2.0.0", "%s Bye", s->conf->hostname);
	return STEP_CLOSE;
}

enum step
cmd_not_offered(struct session *s, struct span args)
{
	(void)args;
	return session_reply_error(s, E_NOTIMPL);
}

enum step
cmd_foreign(struct session *s, struct span args)
{
	(void)args;
	session_reply(s, 502, "5.7.0", "This is a mail server");
	return STEP_CLOSE;
}
