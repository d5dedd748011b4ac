/* SPDX-License-Identifier: ISC
 *
 * The SMTP server core: cuts the client's bytes into commands, content and chunks, calls the handler that commands.def
 * names, and ends transactions and sessions. What the commands mean stands in cmd_*.c. It does no I/O and knows no
 * clock. Runs in smtpd, which has only its sockets; every byte that it sees is a stranger's.      RFC 5321, 2920
 *
 *	CONNECT --banner--> HELLO --EHLO, HELO--> READY --MAIL--> MAIL --RCPT--> RCPT --DATA--> DATA --dot--> READY
 *	                                            ^                             +--BDAT--> BDAT --LAST--> READY
 *	                                            +---- RSET, EHLO, refusal ----+
 *	any --QUIT, 421--> CLOSED
 */

/* System */
#include <string.h>
/* lib */
#include "base/mem.h"
#include "session/core.h"
#include "smtp/line.h"

enum { OUT_LIMIT = 1 << 20 }; /* SESSION_OUT_MAX and the longest answer to one read are far below */

#define IN(p) (1u << PHASE_##p)
#define ALWAYS (IN(HELLO) | IN(READY) | IN(MAIL) | IN(RCPT) | IN(BDAT))
#define SYNC COMMAND_SYNC
#define JUNK COMMAND_JUNK
#define ALONE COMMAND_ALONE
#define SAID COMMAND_SAID
static const struct command commands[] = {
#define CMD(verb, handler, legal, line, flags, rfc) \
	{ { (verb), sizeof(verb) - 1 }, (verb), handler, legal, line, flags },
#include "session/commands.def"
#undef CMD
};
#undef IN
#undef ALWAYS
#undef SYNC
#undef JUNK
#undef ALONE
#undef SAID

/* ---- state ---- */

void
session_set_phase(struct session *s, enum session_phase phase)
{
	s->phase = phase;
}

enum step
session_set_wait(struct session *s, enum session_wait wait, uint32_t timeout_ms)
{
	s->wait = wait;
	s->wait_since_ms = s->now_ms;
	s->deadline_ms = s->now_ms + timeout_ms;
	return STEP_WAIT;
}

void
session_end_txn(struct session *s)
{
	struct session_txn *t = s->txn;

	if (t == NULL)
		return;
	if (t->is_streaming || t->is_submitted)
		s->ops->drop(s->arg, t->msg.qid);
	mem_free(t->rcpts);
	map_clear(&t->seen);
	buf_clear(&t->pending);
	buf_clear(&t->content);
	buf_clear(&t->envelope);
	buf_clear(&t->trace);
	arena_clear(&t->arena);
	mem_free(t);
	s->txn = NULL;
	if (s->phase != PHASE_CLOSED)
		session_set_phase(s, PHASE_READY);
}

static void
session_close(struct session *s)
{
	session_set_phase(s, PHASE_CLOSED);
	session_end_txn(s);
	s->wait = WAIT_NONE;
	s->is_chunk = s->is_discarding = false;
	s->deadline_ms = 0;
}

/* Is the client between two transactions, with nothing of it half read? */
static bool
is_idle(const struct session *s)
{
	return s->wait == WAIT_NONE && s->txn == NULL && !s->is_chunk;
}

void
session_step_done(struct session *s, enum step step)
{
	if (step == STEP_WAIT || step == STEP_READ)
		return;
	if (step == STEP_REPLY && s->errors >= s->conf->errors) {
		s->stage = "SESSION";
		session_reply_error(s, E_TOOMANY_ERRORS);
		step = STEP_CLOSE;
	} else if (step == STEP_REPLY && s->is_stopping && is_idle(s)) {
		s->stage = "SESSION";
		session_reply_error(s, E_STOPPING);
		step = STEP_CLOSE;
	}
	if (step == STEP_CLOSE)
		session_close(s);
}

/* ---- deadlines ---- */

/* Content must keep coming, and on average at min_data_rate: each byte adds its time to the first allowance. */
static uint64_t
content_deadline(const struct session *s)
{
	uint64_t next = s->now_ms + s->conf->data_ms, average;

	if (s->conf->min_data_rate == 0)
		return next;
	average = s->content_since_ms + s->conf->data_ms +
		  s->content_read * 1000 / s->conf->min_data_rate;
	return average < next ? average : next;
}

static void
set_deadline(struct session *s, size_t unread)
{
	bool is_partial = s->is_discarding || unread > 0;

	if (s->phase == PHASE_CLOSED || s->wait != WAIT_NONE)
		return;
	if (s->phase == PHASE_DATA || s->is_chunk)
		s->deadline_ms = content_deadline(s);
	else if (!is_partial)
		s->deadline_ms = s->now_ms + s->conf->command_ms;
	else if (!s->is_partial)
		s->deadline_ms = s->now_ms + s->conf->line_ms;
	s->is_partial = is_partial;
}

static void
send_banner(struct session *s)
{
	session_reply(s, 220, NULL, "%s ESMTP Postern", s->conf->hostname);
	session_set_phase(s, PHASE_HELLO);
	set_deadline(s, 0);
}

static enum step
client_is_slow(struct session *s)
{
	bool is_content = s->phase == PHASE_DATA || s->is_chunk;

	s->stage = is_content ? "MESSAGE" : "SESSION";
	if (is_content && s->content_read > 0)
		return session_reply_error(s, E_SLOW);
	return session_reply_close(s, "4.4.2",
				   s->is_partial ? "Timed out; a line ends with CR LF"
						 : "Timed out");
}

void
session_tick(struct session *s, uint64_t now_ms)
{
	enum session_wait wait = s->wait;
	enum step step = STEP_WAIT;

	s->now_ms = now_ms;
	if (s->deadline_ms == 0 || now_ms < s->deadline_ms || s->phase == PHASE_CLOSED)
		return;
	if (s->phase == PHASE_CONNECT) {
		send_banner(s);
		return;
	}
	s->wait = WAIT_NONE;
	switch (wait) {
	case WAIT_NONE:
		step = client_is_slow(s);
		break;
	case WAIT_RCPT:
		step = cmd_rcpt_done(s, NULL);
		break;
	case WAIT_ROOM:
		content_fail(s, E_TIMEOUT);
		step = content_room_done(s);
		break;
	case WAIT_COMMIT:
		step = message_end_done(s, E_TIMEOUT);
		break;
	}
	session_step_done(s, step);
	set_deadline(s, 0);
}

/* ---- input ---- */

static const struct command *
find_command(struct span verb)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (span_ieq(verb, commands[i].verb))
			return &commands[i];
	return NULL;
}

/* follows_mail: nothing but such commands came since a MAIL in vain. */
static enum step
out_of_order(struct session *s, bool follows_mail)
{
	static const char *const texts[PHASE_COUNT] = {
		[PHASE_HELLO] = "Send EHLO or HELO first",
		[PHASE_READY] = "Send MAIL first",
		[PHASE_MAIL] = "Sender is given; send RCPT, none was accepted so far",
		[PHASE_RCPT] = "Sender is given; send RCPT, DATA or RSET",
		[PHASE_BDAT] = "Send BDAT or RSET",
	};
	const char *text = texts[s->phase];

	/* Only sent along with a MAIL that was refused: no event and no error of their own, but not without end. */
	if (follows_mail) {
		s->is_mail_refused = true;
		if (++s->junk > s->conf->junk_commands)
			return session_reply_close(s, "4.7.0", "Too many commands without mail");
		session_put(s, "503 5.5.1 Send MAIL first");
		return STEP_REPLY;
	}
	return session_reply(s, 503, "5.5.1", "%s",
			     text != NULL ? text : "Bad sequence of commands");
}

/* One whole line. is_last: nothing follows it in what was read. */
static enum step
run_command(struct session *s, struct span line, bool is_last)
{
	const struct command *c;
	struct span verb, args;
	bool follows_mail = s->is_mail_refused;
	enum step step;

	s->is_mail_refused = false;
	line_split(line, &verb, &args);
	c = find_command(verb);
	s->stage = c != NULL ? c->name : "COMMAND";
	s->said = c != NULL && (c->flags & COMMAND_SAID) != 0 ? args : SPAN_NONE;
	if (line.n + 2 > (c != NULL ? c->line_max : 512))
		return session_reply_error(s, E_TOOLONG);
	if (c == NULL)
		return session_reply_error(s, E_BADCMD);
	if ((c->flags & COMMAND_SYNC) != 0 && !is_last && !s->client->may_relay) {
		session_reply(s, 554, "5.5.0", "Wait for the reply to %s", c->name);
		return STEP_CLOSE;
	}
	if ((c->flags & COMMAND_JUNK) != 0 && ++s->junk > s->conf->junk_commands)
		return session_reply_close(s, "4.7.0", "Too many commands without mail");
	if ((c->legal & 1u << s->phase) == 0)
		return out_of_order(s, follows_mail);
	if ((c->flags & COMMAND_ALONE) != 0 && args.n > 0)
		return session_reply_error(s, E_SYNTAX);
	step = c->handler(s, args);
	s->is_mail_refused = c->handler == cmd_mail && s->phase == PHASE_READY;
	return step;
}

/* The rest of a line that was refused, or is too long: up to its CRLF, wherever the reads cut it. */
static size_t
discard_line(struct session *s, struct span in)
{
	size_t used = 0;

	while (used < in.n) {
		const char *lf = memchr(in.p + used, '\n', in.n - used);
		size_t n = lf != NULL ? (size_t)(lf - in.p) + 1 - used : in.n - used;
		bool is_crlf = lf != NULL && (n > 1 ? lf[-1] == '\r' : s->is_discard_cr);

		s->is_discard_cr = in.p[used + n - 1] == '\r';
		used += n;
		if (!is_crlf)
			continue;
		s->is_discarding = false;
		s->stage = "COMMAND";
		if (!s->is_discard_silent)
			session_step_done(s, session_reply_error(s, E_TOOLONG));
		break;
	}
	return used;
}

static void
begin_discard(struct session *s, bool is_silent)
{
	s->is_discarding = true;
	s->is_discard_silent = is_silent;
	s->is_discard_cr = false;
}

static size_t
take_line(struct session *s, struct span in)
{
	struct span line;
	size_t used;

	s->stage = "COMMAND";
	switch (line_cut(in, SESSION_LINE_MAX, &line, &used)) {
	case LINE_PART:
		break;
	case LINE_WHOLE:
		session_step_done(s, run_command(s, line, used == in.n));
		s->said = SPAN_NONE;
		break;
	case LINE_BAD_BYTE:
		session_step_done(s, session_reply(s, 500, "5.5.2", "CR or NUL in a command"));
		break;
	case LINE_BARE_LF:
		/* What follows the LF must not become a command. */
		begin_discard(s, true);
		session_step_done(s, session_reply(s, 500, "5.5.2",
						   "LF without CR; a line ends with CR LF"));
		break;
	case LINE_TOO_LONG:
		begin_discard(s, false);
		break;
	}
	return used;
}

/* Who talks before the banner is no mail server.                                               RFC 5321 4.3.1 */
static size_t
talks_early(struct session *s, struct span in)
{
	s->stage = "CONNECT";
	session_reply(s, 554, "5.7.1", "%s You talk before the greeting", s->conf->hostname);
	session_step_done(s, STEP_CLOSE);
	return in.n;
}

static size_t
take_input(struct session *s, struct span in)
{
	if (s->phase == PHASE_CLOSED)
		return in.n;
	if (s->phase == PHASE_CONNECT)
		return talks_early(s, in);
	if (s->is_discarding)
		return discard_line(s, in);
	if (s->is_chunk)
		return chunk_take(s, in);
	return s->phase == PHASE_DATA ? content_take(s, in) : take_line(s, in);
}

size_t
session_input(struct session *s, struct span in, uint64_t now_ms)
{
	size_t used = 0;

	s->now_ms = now_ms;
	while (used < in.n && !session_is_blocked(s)) {
		size_t n = take_input(s, span_sub(in, used, in.n));

		if (n == 0)
			break;
		used += n;
		/* An endless line has one deadline, from its first byte. */
		if (!s->is_discarding)
			s->is_partial = false;
	}
	set_deadline(s, in.n - used);
	return used;
}

bool
session_is_blocked(const struct session *s)
{
	return s->wait != WAIT_NONE || (s->out.n > SESSION_OUT_MAX && s->phase != PHASE_CLOSED);
}

/* ---- life, and answers ---- */

void
session_init(struct session *s, const struct session_conf *conf,
	     const struct session_client *client, const struct session_ops *ops, void *arg)
{
	*s = (struct session){
		.conf = conf, .client = client, .ops = ops, .arg = arg, .stage = "CONNECT"
	};
	buf_init(&s->out, OUT_LIMIT);
}

void
session_start(struct session *s, uint64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->conf->greet_delay_ms > 0)
		s->deadline_ms = now_ms + s->conf->greet_delay_ms;
	else
		send_banner(s);
}

void
session_rcpt_verdict(struct session *s, const struct session_verdict *v, uint64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->wait != WAIT_RCPT)
		return;
	s->wait = WAIT_NONE;
	session_step_done(s, cmd_rcpt_done(s, v));
	set_deadline(s, 0);
}

void
session_room(struct session *s, uint64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->wait != WAIT_ROOM)
		return;
	s->wait = WAIT_NONE;
	/* The client is not to blame for this time. */
	s->content_since_ms += now_ms - s->wait_since_ms;
	session_step_done(s, content_room_done(s));
	set_deadline(s, 0);
}

void
session_commit_done(struct session *s, int code, uint64_t now_ms)
{
	s->now_ms = now_ms;
	if (s->txn == NULL)
		return;
	if (s->wait == WAIT_COMMIT) {
		s->wait = WAIT_NONE;
		session_step_done(s, message_end_done(s, code));
		set_deadline(s, 0);
		return;
	}
	if (!s->txn->is_streaming)
		return;
	/* A streamed message was lost on the way; its client learns it at the end. */
	content_fail(s, code < 0 ? code : E_INTERNAL);
	session_room(s, now_ms);
}

void
session_stop(struct session *s, uint64_t now_ms)
{
	s->now_ms = now_ms;
	s->is_stopping = true;
	if (s->phase != PHASE_CLOSED && is_idle(s)) {
		s->stage = "SESSION";
		session_step_done(s, session_reply_error(s, E_STOPPING));
	}
}

void
session_free(struct session *s)
{
	session_close(s);
	mem_free(s->helo);
	s->helo = NULL;
	buf_clear(&s->out);
}

size_t
session_memory(const struct session *s)
{
	const struct session_txn *t = s->txn;
	size_t n = s->out.cap + (s->helo != NULL ? strlen(s->helo) + 1 : 0);

	if (t == NULL)
		return n;
	return n + sizeof(*t) + t->arena.used_bytes + t->rcpt_cap * sizeof(*t->rcpts) +
	       t->pending.cap + t->content.cap + t->envelope.cap + t->trace.cap;
}
