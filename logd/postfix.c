/* SPDX-License-Identifier: ISC
 *
 * Events as Postfix would have logged them, so that pflogsumm, logwatch and fail2ban's postfix filter read them. Values
 * come from strangers: control bytes and bytes that are no ASCII become '?', as Postfix does, and '<' '>' inside an
 * address too, so that no value imitates another part of the line. Runs in logd.
 */
/* lib */
#include "base/span.h"

/* this program */
#include "logd/event.h"

#define LINE_MAX_BYTES (4 * LOG_EVENT_MAX)

struct out {
	void (*put)(void *arg, const char *program, struct span text);
	void *arg;
	struct buf line;
};

static void
emit(struct out *o, const char *program)
{
	if (buf_check(&o->line) == 0)
		o->put(o->arg, program, buf_span(&o->line));
	buf_reset(&o->line);
}

static void
put_clean(struct buf *b, struct span s, const char *forbidden)
{
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		bool is_bad = (unsigned char)ch < ' ' || (unsigned char)ch >= 0x7f;

		for (const char *f = forbidden; !is_bad && *f != '\0'; f++)
			is_bad = ch == *f;
		buf_putc(b, is_bad ? '?' : ch);
	}
}

static void
put_address(struct buf *b, const char *key, struct span address)
{
	buf_printf(b, "%s=<", key);
	put_clean(b, address, "<>");
	buf_putc(b, '>');
}

/* name[address], or unknown[address]. */
static void
put_client(struct buf *b, const struct event *ev)
{
	struct span client = event_get(ev, "client"), host = event_get(ev, "host");

	if (span_istarts(client, SPAN("IPv6:")))
		client = span_sub(client, 5, client.n);
	if (host.n > 0)
		put_clean(b, host, "[]: ");
	else
		buf_puts(b, "unknown");
	buf_putc(b, '[');
	put_clean(b, client, "[] ");
	buf_putc(b, ']');
}

static void
put_qid(struct buf *b, const struct event *ev)
{
	struct span qid = event_get(ev, "qid");

	if (qid.n == 0)
		qid = SPAN("NOQUEUE");
	put_clean(b, qid, ": ");
	buf_puts(b, ": ");
}

/* Seconds as Postfix writes them: two digits that matter. */
static void
put_seconds(struct buf *b, struct span ms_text)
{
	uint64_t ms = 0;

	if (span_to_u64(ms_text, 1ull << 53, &ms) < 0)
		ms = 0;
	if (ms < 10)
		buf_puts(b, ms == 0 ? "0" : "0.01");
	else if (ms < 1000)
		buf_printf(b, "0.%02llu", (unsigned long long)(ms / 10));
	else if (ms < 10000)
		buf_printf(b, "%llu.%llu", (unsigned long long)(ms / 1000),
			   (unsigned long long)(ms / 100 % 10));
	else
		buf_printf(b, "%llu", (unsigned long long)(ms / 1000));
}

/* Code, enhanced code and text of a reply, none of them twice. */
static void
put_reply(struct buf *b, const struct event *ev)
{
	struct span reply = event_get(ev, "reply"), esc = event_get(ev, "esc"),
		    text = event_get(ev, "text");

	if (reply.n > 0 && !span_starts(text, reply)) {
		put_clean(b, reply, "");
		buf_putc(b, ' ');
		if (esc.n > 0 && !span_starts(text, esc)) {
			put_clean(b, esc, "");
			buf_putc(b, ' ');
		}
	}
	put_clean(b, text, "");
}

/* ---- events of smtpd ---- */

static const char *const counted_commands[] = { "ehlo", "helo", "starttls", "auth", "mail",
						"rcpt", "data", "bdat",	    "rset", "noop",
						"vrfy", "quit", "commands" };

static void
put_connect(struct out *o, const struct event *ev)
{
	buf_printf(&o->line, "%.*s from ", SPAN_ARG(ev->name));
	put_client(&o->line, ev);
	for (unsigned i = 0; i < sizeof(counted_commands) / sizeof(counted_commands[0]); i++) {
		uint64_t count;
		if (span_to_u64(event_get(ev, counted_commands[i]), 1ull << 53, &count) == 0)
			buf_printf(&o->line, " %s=%llu", counted_commands[i],
				   (unsigned long long)count);
	}
	emit(o, "smtpd");
}

/* Reply of a server: "550 5.1.1 No such user", or its parts in fields of their own. */
struct reply {
	struct span code, esc, text;
};

static bool
is_esc(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '.' && (s.p[i] < '0' || s.p[i] > '9'))
			return false;
	}
	return s.n >= 5 && s.p[1] == '.';
}

static struct reply
reply_of(const struct event *ev)
{
	struct reply r = { event_get(ev, "reply"), event_get(ev, "esc"), event_get(ev, "text") };
	struct span rest = span_sub(r.code, 4, r.code.n), word;

	r.code = span_sub(r.code, 0, 3);
	if (r.text.n > 0 || rest.n == 0)
		return r;
	r.text = rest;
	span_next(&rest, ' ', &word);
	if (is_esc(word)) {
		r.esc = word;
		r.text = rest;
	}
	return r;
}

/* Words that log watchers of Postfix know for a refusal; "" : none. Behind them stands our own text. */
static const struct {
	const char *esc, *words;
} known_words[] = {
	{ "5.1.1", "Recipient address rejected: User unknown" },
	{ "5.1.2", "Recipient address rejected: Domain not found" },
	{ "5.1.10", "Recipient address rejected: Domain not found" },
	{ "5.7.1", "Relay access denied" },
	{ "4.7.1", "Client host rejected" },
	{ "4.7.0", "Client host rejected" },
	{ "5.5.0", "Command rejected" },
};

static void
put_known_words(struct buf *b, struct span esc, bool has_rcpt)
{
	for (unsigned i = 0; i < sizeof(known_words) / sizeof(known_words[0]); i++) {
		if (span_eq(esc, span_of(known_words[i].esc)) &&
		    (has_rcpt || known_words[i].esc[0] == '4')) {
			buf_printf(b, " %s:", known_words[i].words);
			return;
		}
	}
}

static void
put_reject(struct out *o, const struct event *ev)
{
	struct span stage = event_get(ev, "stage"), to = event_get(ev, "to"),
		    proto = event_get(ev, "proto");
	struct reply r = reply_of(ev);

	put_qid(&o->line, ev);
	buf_puts(&o->line, "reject: ");
	put_clean(&o->line, stage.n > 0 ? stage : SPAN("RCPT"), ": ");
	buf_puts(&o->line, " from ");
	put_client(&o->line, ev);
	buf_puts(&o->line, ": ");
	put_clean(&o->line, r.code, " ");
	buf_putc(&o->line, ' ');
	put_clean(&o->line, r.esc, " ");
	if (to.n > 0) {
		buf_puts(&o->line, " <");
		put_clean(&o->line, to, "<>");
		buf_puts(&o->line, ">:");
	}
	put_known_words(&o->line, r.esc, to.n > 0);
	buf_putc(&o->line, ' ');
	put_clean(&o->line, r.text, ";");
	put_address(&o->line, "; from", event_get(ev, "from"));
	if (to.n > 0)
		put_address(&o->line, " to", to);
	buf_puts(&o->line, " proto=");
	put_clean(&o->line, proto.n > 0 ? proto : SPAN("ESMTP"), " ");
	put_address(&o->line, " helo", event_get(ev, "helo"));
	emit(o, "smtpd");
}

static void
put_queued(struct out *o, const struct event *ev)
{
	put_qid(&o->line, ev);
	put_address(&o->line, "from", event_get(ev, "from"));
	buf_puts(&o->line, ", size=");
	put_clean(&o->line, event_get(ev, "size"), ", ");
	buf_puts(&o->line, ", nrcpt=");
	put_clean(&o->line, event_get(ev, "nrcpt"), ", ");
	buf_puts(&o->line, " (queue active)");
	emit(o, "qmgr");
}

static void
put_received(struct out *o, const struct event *ev)
{
	struct span id = event_get(ev, "msgid");

	put_qid(&o->line, ev);
	buf_puts(&o->line, "client=");
	put_client(&o->line, ev);
	emit(o, "smtpd");
	if (id.n > 0) {
		put_qid(&o->line, ev);
		buf_puts(&o->line, "message-id=");
		put_clean(&o->line, id, " ");
		emit(o, "cleanup");
	}
	put_queued(o, ev);
}

/* ---- events of qmgr ---- */

static const char *
delivery_program(const struct event *ev)
{
	struct span transport = event_get(ev, "transport");

	if (event_is(ev, "discarded"))
		return "discard";
	if (span_eq(transport, SPAN("lmtp")))
		return "lmtp";
	if (span_eq(transport, SPAN("maildir")))
		return "virtual";
	return "smtp";
}

static void
put_attempt(struct out *o, const struct event *ev)
{
	struct span orig = event_get(ev, "orig"), relay = event_get(ev, "relay"),
		    esc = event_get(ev, "esc");
	bool is_sent = event_is(ev, "delivered") || event_is(ev, "discarded");
	const char *status = is_sent ? "sent" : event_is(ev, "deferred") ? "deferred" : "bounced";

	put_qid(&o->line, ev);
	put_address(&o->line, "to", event_get(ev, "to"));
	if (orig.n > 0 && !span_eq(orig, event_get(ev, "to")))
		put_address(&o->line, ", orig_to", orig);
	buf_puts(&o->line, ", relay=");
	put_clean(&o->line, relay.n > 0 ? relay : SPAN("none"), ", ");
	buf_puts(&o->line, ", delay=");
	put_seconds(&o->line, event_get(ev, "delay_ms"));
	buf_puts(&o->line, ", delays=0/");
	put_seconds(&o->line, event_get(ev, "queued_ms"));
	buf_putc(&o->line, '/');
	put_seconds(&o->line, event_get(ev, "connect_ms"));
	buf_putc(&o->line, '/');
	put_seconds(&o->line, event_get(ev, "transmit_ms"));
	buf_puts(&o->line, ", dsn=");
	put_clean(&o->line, esc.n > 0 ? esc : is_sent ? SPAN("2.0.0") : SPAN("4.0.0"), ", ");
	buf_printf(&o->line, ", status=%s (", status);
	put_reply(&o->line, ev);
	buf_putc(&o->line, ')');
	emit(o, delivery_program(ev));
}

static void
put_removed(struct out *o, const struct event *ev)
{
	put_qid(&o->line, ev);
	buf_puts(&o->line, event_is(ev, "held")	      ? "placed on hold"
			   : event_is(ev, "released") ? "released from hold"
						      : "removed");
	emit(o, event_is(ev, "removed") ? "qmgr" : "postsuper");
}

/* ---- everything else ---- */

static void
put_message(struct out *o, const struct event *ev)
{
	if (event_is(ev, "warn"))
		buf_puts(&o->line, "warning: ");
	else if (event_is(ev, "fatal"))
		buf_puts(&o->line, "fatal: ");
	else if (event_is(ev, "bug"))
		buf_puts(&o->line, "panic: ");
	put_clean(&o->line, event_get(ev, "msg"), "");
	emit(o, ev->process);
}

static const struct {
	const char *name;
	void (*fn)(struct out *o, const struct event *ev);
} renderers[] = {
	{ "connect", put_connect },   { "disconnect", put_connect }, { "reject", put_reject },
	{ "received", put_received }, { "queued", put_queued },	     { "delivered", put_attempt },
	{ "deferred", put_attempt },  { "bounced", put_attempt },    { "expired", put_attempt },
	{ "discarded", put_attempt }, { "removed", put_removed },    { "held", put_removed },
	{ "released", put_removed },  { "deleted", put_removed },    { "warn", put_message },
	{ "info", put_message },      { "debug", put_message },	     { "fatal", put_message },
	{ "bug", put_message },
};

void
event_put_postfix(const struct event *ev,
		  void (*put)(void *arg, const char *program, struct span text), void *arg)
{
	struct out o = { .put = put, .arg = arg };
	bool is_known = false;

	buf_init(&o.line, LINE_MAX_BYTES);
	for (unsigned i = 0; !is_known && i < sizeof(renderers) / sizeof(renderers[0]); i++) {
		is_known = event_is(ev, renderers[i].name);
		if (is_known)
			renderers[i].fn(&o, ev);
	}
	if (!is_known) {
		event_put_text(&o.line, ev);
		emit(&o, ev->process);
	}
	buf_clear(&o.line);
}
