/* SPDX-License-Identifier: ISC
 *
 * MAIL: begins a transaction.                            RFC 5321 4.1.1.2; RFC 1870, 6152, 6531, 3461 (parameters) */

/* lib */
#include "base/mem.h"
#include "session/core.h"

enum { TXN_CHUNK_BYTES = 1024, PENDING_MAX = 2048, ENVELOPE_MAX = 1 << 20, TRACE_MAX = 8192 };

static void
begin_txn(struct session *s, const struct smtp_addr *sender, const struct mail_params *params)
{
	struct session_txn *t = mem_zalloc(sizeof(*t));

	arena_init(&t->arena, TXN_CHUNK_BYTES);
	t->params = *params;
	t->params.envid = arena_dup(&t->arena, params->envid);
	t->msg.sender = arena_dup(&t->arena, sender->full);
	map_init(&t->seen);
	buf_init(&t->pending, PENDING_MAX);
	buf_init(&t->envelope, ENVELOPE_MAX);
	buf_init(&t->trace, TRACE_MAX);
	buf_init(&t->content, 2 * SESSION_CONTENT_MAX);
	s->txn = t;
	session_set_phase(s, PHASE_MAIL);
}

/* The same causes have another code for a sender. */
static int
sender_error(int err)
{
	return err == E_ADDR_SYNTAX || err == E_ADDR_LONG ? E_SENDER_SYNTAX : err;
}

enum step
cmd_mail(struct session *s, struct span args)
{
	struct mail_params params;
	struct smtp_addr sender;
	int r;

	if (s->client->needs_auth && !s->client->may_relay)
		return session_reply(s, 530, "5.7.0", "Authentication required");
	if (!span_istarts(args, SPAN("FROM:")))
		return session_reply(s, 501, "5.5.4", "Syntax: MAIL FROM:<address>");
	args = span_sub(args, 5, args.n);
	if ((r = addr_parse_path(&args, &sender)) < 0)
		return session_reply_error(s, sender_error(r));
	if ((r = param_parse_mail(args, &params)) < 0)
		return session_reply_error(s, r);
	if (sender.full.n > 0 && sender.domain.n == 0)
		return session_reply_error(s, E_SENDER_SYNTAX);
	if (sender.is_utf8 && !params.is_smtputf8)
		return session_reply_error(s, E_ADDR_UTF8);
	if (params.has_size && params.size_bytes > s->conf->message_size)
		return session_reply_error(s, E_TOOBIG);
	if (s->conf->messages > 0 && s->messages >= s->conf->messages)
		return session_reply_close(s, "4.7.0", "Too many messages on this connection");
	if ((r = s->ops->may_mail(s->arg)) < 0)
		return session_reply_error(s, r);
	begin_txn(s, &sender, &params);
	return session_reply(s, 250, "2.1.0", "Ok");
}
