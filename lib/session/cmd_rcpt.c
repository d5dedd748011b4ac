/* SPDX-License-Identifier: ISC
 *
 * RCPT: adds a recipient, if the router says so. It does not know which domains are ours; relaying is refused by the
 * router, which gets told whether this client may relay.                              RFC 5321 4.1.1.3; RFC 3461 */

/* System */
#include <stdio.h>
/* lib */
#include "base/mem.h"
#include "session/core.h"

enum {
	RCPT_FIELD_BYTES = 64, /* of the envelope, besides the texts */
	ENVELOPE_ROOM = (1 << 20) - 8192
};

static enum step
rcpt_limit(struct session *s, const struct rcpt_params *params, struct span addr)
{
	struct session_txn *t = s->txn;

	if (t->rcpt_accepted >= s->conf->recipients ||
	    t->envelope_bytes + addr.n + params->orcpt.n + RCPT_FIELD_BYTES > ENVELOPE_ROOM)
		return session_reply_error(s, E_TOOMANY_RCPTS);
	if (t->msg.sender.n == 0 && t->rcpt_accepted >= s->conf->bounce_recipients &&
	    !s->client->may_relay)
		return session_reply_error(s, E_TOOMANY_RCPTS);
	return STEP_WAIT;
}

enum step
cmd_rcpt(struct session *s, struct span args)
{
	struct session_txn *t = s->txn;
	struct session_verdict verdict;
	struct rcpt_params params;
	struct smtp_addr to;
	int r;

	if (!span_istarts(args, SPAN("TO:")))
		return session_reply(s, 501, "5.5.4", "Syntax: RCPT TO:<address>");
	args = span_sub(args, 3, args.n);
	if ((r = addr_parse_path(&args, &to)) < 0)
		return session_reply_error(s, r);
	if ((r = param_parse_rcpt(args, &params)) < 0)
		return session_reply_error(s, r);
	if (to.full.n == 0)
		return session_reply_error(s, E_ADDR_SYNTAX);
	if (to.is_utf8 && !t->params.is_smtputf8)
		return session_reply_error(s, E_ADDR_UTF8);
	if (rcpt_limit(s, &params, to.full) != STEP_WAIT)
		return STEP_REPLY;
	buf_reset(&t->pending);
	buf_put_span(&t->pending, to.full);
	buf_put_span(&t->pending, params.orcpt);
	t->pending_addr_len = to.full.n;
	t->pending_notify = params.notify;
	if ((r = s->ops->check_rcpt(s->arg, &to, t->msg.sender, &verdict)) < 0) {
		session_reply_error(s, r);
		buf_reset(&t->pending);
		return STEP_REPLY;
	}
	if (r > 0)
		return cmd_rcpt_done(s, &verdict);
	return session_set_wait(s, WAIT_RCPT, s->conf->rcpt_check_ms); /* -> cmd_rcpt_done */
}

/* Has this address been given before in this transaction? It will get one copy. */
static bool
is_repeated(struct session_txn *t, struct span addr)
{
	if (t->rcpt_count == 0)
		return false;
	if (t->rcpt_count == 1)
		map_put(&t->seen, t->rcpts[0].addr, t);
	return map_put(&t->seen, addr, t) != NULL;
}

static void
add_rcpt(struct session_txn *t)
{
	struct span addr = span_sub(buf_span(&t->pending), 0, t->pending_addr_len);
	struct span orcpt = span_sub(buf_span(&t->pending), t->pending_addr_len, t->pending.n);

	t->rcpt_accepted++;
	if (is_repeated(t, addr))
		return;
	if (t->rcpt_count == t->rcpt_cap) {
		t->rcpt_cap = t->rcpt_cap > 0 ? 2 * t->rcpt_cap : 1;
		t->rcpts = mem_grow(t->rcpts, t->rcpt_cap, sizeof(*t->rcpts));
	}
	t->rcpts[t->rcpt_count] = (struct env_rcpt){ .index = t->rcpt_count,
						     .notify = t->pending_notify,
						     .addr = arena_dup(&t->arena, addr),
						     .orcpt = arena_dup(&t->arena, orcpt) };
	t->rcpt_count++;
	t->envelope_bytes += (uint32_t)(addr.n + orcpt.n) + RCPT_FIELD_BYTES;
}

/* v NULL: no answer in time. */
enum step
cmd_rcpt_done(struct session *s, const struct session_verdict *v)
{
	struct session_txn *t = s->txn;
	uint32_t errors = s->errors;

	s->stage = "RCPT";
	if (v == NULL) {
		session_reply(s, 451, "4.4.3",
			      "The address could not be looked up in time, try again");
	} else if (v->reply >= 200 && v->reply < 300) {
		add_rcpt(t);
		session_set_phase(s, PHASE_RCPT);
		session_reply(s, v->reply, "2.1.5", "%s", "Ok");
	} else if (v->reply >= 400 && v->reply < 600 && v->reply != 421) {
		char esc[16];

		snprintf(esc, sizeof(esc), "%.*s", SPAN_ARG(v->esc));
		session_reply(s, v->reply, v->esc.n > 0 ? esc : NULL, "%.*s", SPAN_ARG(v->text));
	} else {
		session_reply_error(s, E_AGAIN);
	}
	buf_reset(&t->pending);
	/* Lists have dead addresses; only strangers guess them. */
	if (s->client->may_relay)
		s->errors = errors;
	return STEP_REPLY;
}
