/* SPDX-License-Identifier: ISC
 *
 * A log record as one line of text. Values come from strangers: whatever could end the line, imitate another field or
 * steer a terminal is escaped, so that a line has exactly the fields of its record. Used by logd, and by every process
 * that has no logd (yet). */

/* lib */
#include "base/cur.h"
#include "base/log.h"

/* The length of the well-formed UTF-8 sequence at the front, 0: none. RFC 3629 4; C1 control characters count as
 * none. */
static size_t
utf8_len(struct span s)
{
	const unsigned char *u = (const unsigned char *)s.p;
	size_t n;

	if (u[0] < 0x80)
		return 1;
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		n = 2;
	else if (u[0] >= 0xe0 && u[0] <= 0xef)
		n = 3;
	else if (u[0] >= 0xf0 && u[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF, C1. */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f) ||
	    (u[0] == 0xc2 && u[1] < 0xa0))
		return 0;
	return n;
}

static bool
needs_quotes(struct span value)
{
	for (size_t i = 0, n; i < value.n; i += n) {
		unsigned char u = (unsigned char)value.p[i];

		n = utf8_len(span_sub(value, i, value.n));
		if (n == 0 || u <= ' ' || u == '"' || u == '\\' || u == 0x7f)
			return true;
	}
	return value.n == 0;
}

static void
put_quoted(struct buf *out, struct span value)
{
	buf_putc(out, '"');
	for (size_t i = 0, n; i < value.n; i += n) {
		unsigned char u = (unsigned char)value.p[i];

		n = utf8_len(span_sub(value, i, value.n));
		if (u == '"' || u == '\\')
			buf_printf(out, "\\%c", u);
		else if (u == '\n')
			buf_puts(out, "\\n");
		else if (u == '\r')
			buf_puts(out, "\\r");
		else if (u == '\t')
			buf_puts(out, "\\t");
		else if (n == 0 || u < ' ' || u == 0x7f)
			buf_printf(out, "\\x%02x", u);
		else
			buf_put(out, value.p + i, n);
		if (n == 0)
			n = 1;
	}
	buf_putc(out, '"');
}

/* Names are our own words; from a sibling that was taken over they may be anything. */
static void
put_name(struct buf *out, struct span name)
{
	if (name.n == 0)
		buf_putc(out, '_');
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		buf_putc(out, c > ' ' && c < 0x7f && c != '=' && c != '"' && c != '\\' ? c : '_');
	}
}

int
log_render_text(struct span record, struct buf *out)
{
	struct cur c = cur_of(record);
	struct span key, value;

	cur_u8(&c);
	cur_u64(&c);
	put_name(out, cur_bytes(&c, LOG_EVENT_MAX));
	while (!c.is_failed && cur_left(&c) > 0) {
		key = cur_bytes(&c, LOG_EVENT_MAX);
		value = cur_bytes(&c, LOG_EVENT_MAX);
		if (c.is_failed)
			break;
		buf_putc(out, ' ');
		put_name(out, key);
		buf_putc(out, '=');
		if (needs_quotes(value))
			put_quoted(out, value);
		else
			buf_put_span(out, value);
	}
	return cur_check(&c) < 0 ? E_CORRUPT : buf_check(out);
}
