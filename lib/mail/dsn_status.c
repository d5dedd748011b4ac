/* SPDX-License-Identifier: ISC
 *
 * The part of a report that programs read: message/delivery-status, or message/global-delivery-status where an address
 * is not ASCII. Says what it is told; decides nothing about delivery. No I/O; run by qmgr.
 * RFC 3464 2, 6533 3 and 4 */

/* System */
#include <stdio.h>
/* lib */
#include "mail/date.h"
#include "mail/dsn_put.h"

enum { FIELD_TEXT_MAX = 4096 };

struct span
dsn_status(const struct dsn_rcpt *r)
{
	char class = r->action == DSN_DELAYED || (r->action == DSN_FAILED && r->is_expired) ? '4'
		     : r->action == DSN_FAILED						    ? '5'
											    : '2';

	if (r->esc.n >= 5 && r->esc.p[0] == class)
		return r->esc;
	if (r->action == DSN_FAILED)
		return r->is_expired ? SPAN("4.4.7") : SPAN("5.0.0");
	return r->action == DSN_DELAYED ? SPAN("4.0.0") : SPAN("2.0.0");
}

static const char *
action_name(enum dsn_action a)
{
	static const char names[DSN_ACTION_COUNT][12] = { "failed", "delayed", "delivered",
							  "relayed", "expanded" };

	return names[a];
}

static void
put_date(struct buf *b, const char *name, uint64_t wall_us)
{
	char date[DATE_TEXT_MAX];

	if (wall_us == 0)
		return;
	date_format(wall_us, date);
	buf_printf(b, "%s: %s\r\n", name, date);
}

/* "Name: type; value" with lines folded. */
static void
put_typed(struct buf *b, const char *name, const char *type, struct span value, bool is_utf8)
{
	char head[64];
	int n = snprintf(head, sizeof(head), "%s: %s; ", name, type);

	buf_puts(b, head);
	dsn_put_wrapped(b, value, "    ", n > 0 ? (size_t)n : 0, 76, is_utf8);
	buf_puts(b, "\r\n");
}

static void
put_addr(struct buf *b, const char *name, struct span addr, bool is_utf8)
{
	buf_printf(b, "%s: %s; ", name, dsn_is_ascii(addr) ? "rfc822" : "utf-8");
	dsn_put_clean(b, addr, is_utf8);
	buf_puts(b, "\r\n");
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void
put_code_point(struct buf *b, uint32_t code)
{
	if (code < 0x80) {
		buf_putc(b, (char)code);
		return;
	}
	if (code < 0x800) {
		buf_putc(b, (char)(0xc0 | code >> 6));
	} else if (code < 0x10000) {
		buf_putc(b, (char)(0xe0 | code >> 12));
		buf_putc(b, (char)(0x80 | (code >> 6 & 0x3f)));
	} else {
		buf_putc(b, (char)(0xf0 | code >> 18));
		buf_putc(b, (char)(0x80 | (code >> 12 & 0x3f)));
		buf_putc(b, (char)(0x80 | (code >> 6 & 0x3f)));
	}
	buf_putc(b, (char)(0x80 | (code & 0x3f)));
}

/* \x{HEX} of utf-8-addr-xtext at the front: its length, 0: there is none.                 RFC 6533 3 */
static size_t
unitext_char(struct span s, uint32_t *code_out)
{
	uint32_t code = 0;
	size_t i = 3;

	if (!span_starts(s, SPAN("\\x{")))
		return 0;
	for (; i < s.n && i < 9 && hex_digit(s.p[i]) >= 0; i++)
		code = code << 4 | (uint32_t)hex_digit(s.p[i]);
	if (i == 3 || i >= s.n || s.p[i] != '}' || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	*code_out = code;
	return i + 1;
}

/* ORCPT "type;xtext" as the client gave it. An address of type utf-8 is written as it is (unitext) where the part is
 * global, and stays escaped where it is not. */
static void
put_orcpt(struct buf *b, struct span orcpt, bool is_utf8)
{
	struct span type = orcpt, value;
	ptrdiff_t semi = span_chr(orcpt, ';');
	struct buf text;
	uint32_t code = 0;
	size_t n;

	if (semi <= 0)
		return;
	type.n = (size_t)semi;
	value = span_sub(orcpt, type.n + 1, SIZE_MAX);
	buf_init(&text, FIELD_TEXT_MAX);
	if (!span_ieq(type, SPAN("utf-8"))) {
		dsn_put_xtext_decoded(&text, value);
	} else {
		for (; value.n > 0; value = span_sub(value, n, SIZE_MAX)) {
			n = is_utf8 ? unitext_char(value, &code) : 0;
			if (n > 0)
				put_code_point(&text, code);
			else
				buf_put(&text, value.p, n = 1);
		}
	}
	buf_puts(b, "Original-Recipient: ");
	dsn_put_clean(b, type, false);
	buf_puts(b, "; ");
	dsn_put_clean(b, buf_span(&text), is_utf8);
	buf_puts(b, "\r\n");
	buf_clear(&text);
}

/* Name of the server in "host[address]:port"; its address literal if it has no name. Empty: the reply is not a server's. */
static struct span
relay_host(struct span relay)
{
	ptrdiff_t open = span_chr(relay, '['), close = span_rchr(relay, ']');
	struct span name, literal;

	if (open < 0 || close < open)
		return SPAN_NONE;
	name = span_sub(relay, 0, (size_t)open);
	literal = span_sub(relay, (size_t)open, (size_t)(close + 1 - open));
	return name.n == 0 || span_eq(name, span_sub(literal, 1, literal.n - 2)) ? literal : name;
}

static void
put_rcpt(struct buf *b, const struct dsn_rcpt *r, bool is_utf8)
{
	struct span status = dsn_status(r), host = relay_host(r->relay);
	struct buf reply;

	buf_puts(b, "\r\n");
	if (r->orcpt.n > 0)
		put_orcpt(b, r->orcpt, is_utf8);
	else if (r->orig.n > 0 && !span_eq(r->orig, r->addr))
		put_addr(b, "Original-Recipient", r->orig, is_utf8);
	put_addr(b, "Final-Recipient", r->addr, is_utf8);
	buf_printf(b, "Action: %s\r\nStatus: ", action_name(r->action));
	dsn_put_clean(b, status, false);
	buf_puts(b, "\r\n");
	if (host.n > 0)
		put_typed(b, "Remote-MTA", "dns", host, is_utf8);
	if (r->text.n > 0 || r->reply != 0) {
		buf_init(&reply, FIELD_TEXT_MAX);
		dsn_put_reply(&reply, r);
		put_typed(b, "Diagnostic-Code",
			  r->reply != 0 && r->relay.n > 0 ? "smtp" : "x-postern", buf_span(&reply),
			  is_utf8);
		buf_clear(&reply);
	}
	put_date(b, "Last-Attempt-Date", r->attempt_us);
	if (r->action == DSN_DELAYED)
		put_date(b, "Will-Retry-Until", r->retry_until_us);
}

void
dsn_put_status(struct buf *b, const struct dsn_report *r, bool is_utf8)
{
	struct buf envid;

	if (r->envid.n > 0) {
		buf_init(&envid, FIELD_TEXT_MAX);
		dsn_put_xtext_decoded(&envid, r->envid);
		buf_puts(b, "Original-Envelope-Id: ");
		dsn_put_clean(b, buf_span(&envid), false);
		buf_puts(b, "\r\n");
		buf_clear(&envid);
	}
	put_typed(b, "Reporting-MTA", "dns", r->hostname, is_utf8);
	put_date(b, "Arrival-Date", r->arrival_us);
	for (uint32_t i = 0; i < r->rcpt_count; i++)
		put_rcpt(b, &r->rcpts[i], is_utf8);
}
