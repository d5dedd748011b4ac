/* SPDX-License-Identifier: ISC
 *
 * The envelope of a job as MAIL and RCPT commands, and what of it a server cannot take. The envelope comes from a
 * sibling, so each address is parsed again: none can break out of its brackets. It does no I/O. Runs in delivery.
 * RFC 5321 4.1.1.2, 4.1.1.3; RFC 1870 (SIZE), 6152 (8BITMIME), 6531 (SMTPUTF8), 3461 (DSN), 9422 (LIMITS). */

/* lib */
#include "smtp/addr.h"
#include "smtp/param.h"
/* this program */
#include "delivery/out_envelope.h"

static bool
is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] > 127)
			return false;
	}
	return true;
}

/* Printable and without blanks: stays inside its parameter. */
static bool
is_word(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] <= 32 || s.p[i] == 127)
			return false;
	}
	return s.n > 0;
}

static bool
is_path(struct span addr)
{
	struct smtp_addr parsed;

	return span_ieq(addr, SPAN("postmaster")) || addr_parse_mailbox(addr, &parsed) == 0;
}

/* Does the whole message need SMTPUTF8, whoever gets it?                                        RFC 6531 3.2 */
static bool
needs_utf8(const struct job *j)
{
	return !is_ascii(j->env.sender) ||
	       (j->env.is_smtputf8 && (j->content_flags & CONTENT_HEADER_UTF8));
}

static bool
needs_8bit(const struct job *j)
{
	return (j->content_flags & (CONTENT_8BIT | CONTENT_HEADER_UTF8)) != 0;
}

static uint64_t
wire_bytes(const struct job *j)
{
	return j->trace.n + j->content_len;
}

static void
settle_all(struct job *j, int err, struct span text)
{
	struct outcome o = job_error(err, 0, text);

	job_settle_rest(j, &o);
}

static void
check_message(struct job *j, const struct out_caps *caps)
{
	if (j->env.sender.n > 0 && !is_path(j->env.sender))
		settle_all(j, E_SENDER_SYNTAX, SPAN_NONE);
	else if (caps->size_max > 0 && wire_bytes(j) > caps->size_max)
		settle_all(j, E_TOOBIG, SPAN("Message is larger than the next hop takes"));
	else if (needs_utf8(j) && !caps->has_smtputf8)
		settle_all(j, E_NEEDUTF8, SPAN_NONE);
	else if (needs_8bit(j) && !caps->has_8bitmime)
		settle_all(j, E_NEED8BIT, SPAN_NONE);
}

void
out_envelope_check(struct job *j, const struct out_caps *caps)
{
	uint32_t good = 0, max = caps->rcpt_max > 0 ? caps->rcpt_max : UINT32_MAX;

	check_message(j, caps);
	for (uint32_t i = 0; i < j->env.rcpt_count && j->unsettled > 0; i++) {
		struct span addr = j->env.rcpts[i].addr;
		struct outcome o;

		if (j->is_settled[i])
			continue;
		if (!is_path(addr))
			o = job_error(E_ADDR_SYNTAX, 0, SPAN_NONE);
		else if (!is_ascii(addr) && !caps->has_smtputf8)
			o = job_error(E_NEEDUTF8, 0, SPAN_NONE);
		else if (good == max)
			o = job_error(E_TOOMANY_RCPTS, OUTCOME_NOT_TRIED,
				      SPAN("More recipients than the next hop takes at once"));
		else {
			good++;
			continue;
		}
		job_settle(j, i, &o);
	}
}

static bool
uses_utf8(const struct job *j, const struct out_caps *caps)
{
	if (!caps->has_smtputf8)
		return false;
	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		if (!is_ascii(j->env.rcpts[i].addr))
			return true;
	}
	return needs_utf8(j);
}

void
out_envelope_put_mail(struct buf *b, const struct job *j, const struct out_caps *caps)
{
	const struct envelope *e = &j->env;

	buf_puts(b, "MAIL FROM:<");
	buf_put_span(b, e->sender);
	buf_putc(b, '>');
	if (caps->has_size)
		buf_printf(b, " SIZE=%llu", (unsigned long long)wire_bytes(j));
	if (caps->has_8bitmime && (e->body == ENV_BODY_8BITMIME || needs_8bit(j)))
		buf_puts(b, " BODY=8BITMIME");
	if (uses_utf8(j, caps))
		buf_puts(b, " SMTPUTF8");
	if (caps->has_dsn && e->ret != ENV_RET_NONE)
		buf_puts(b, e->ret == ENV_RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (caps->has_dsn && e->envid.n > 0 && param_is_xtext(e->envid)) {
		buf_puts(b, " ENVID=");
		buf_put_span(b, e->envid);
	}
	buf_put(b, "\r\n", 2);
}

static void
put_notify(struct buf *b, uint8_t notify)
{
	static const struct {
		uint8_t bit;
		const char *name;
	} names[] = { { ENV_NOTIFY_SUCCESS, "SUCCESS" },
		      { ENV_NOTIFY_FAILURE, "FAILURE" },
		      { ENV_NOTIFY_DELAY, "DELAY" } };
	char sep = '=';

	if (notify == 0)
		return;
	buf_puts(b, " NOTIFY");
	if (notify & ENV_NOTIFY_NEVER)
		buf_puts(b, "=NEVER");
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]) && !(notify & ENV_NOTIFY_NEVER);
	     i++) {
		if (!(notify & names[i].bit))
			continue;
		buf_putc(b, sep);
		buf_puts(b, names[i].name);
		sep = ',';
	}
}

void
out_envelope_put_rcpt(struct buf *b, const struct job *j, uint32_t i, const struct out_caps *caps)
{
	const struct env_rcpt *r = &j->env.rcpts[i];

	buf_puts(b, "RCPT TO:<");
	buf_put_span(b, r->addr);
	buf_putc(b, '>');
	if (caps->has_dsn) {
		put_notify(b, r->notify);
		/* RFC 6533: an ORCPT in UTF-8 only in a transaction with SMTPUTF8. */
		if (is_word(r->orcpt) && (is_ascii(r->orcpt) || uses_utf8(j, caps))) {
			buf_puts(b, " ORCPT=");
			buf_put_span(b, r->orcpt);
		}
	}
	buf_put(b, "\r\n", 2);
}
