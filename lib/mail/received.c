/* SPDX-License-Identifier: ISC
 *
 * The trace field that this server puts in front of a message, and the count of those that others put there. It decides
 * nothing about loops: the session has the limit. No I/O; strangers' bytes. Used by smtpd.
 * RFC 5321 4.4, 6.3; RFC 3848 */

/* System */
#include <string.h>
/* lib */
#include "base/id.h"
#include "mail/date.h"
#include "mail/received.h"

enum watch_state { WATCH_START, WATCH_NAME, WATCH_BLANK, WATCH_VALUE };

static const struct span watch_name = { "received", 8 };

/* Nothing that could close a comment or begin another part of the field. */
static bool
is_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr(".-_[]:", c) == NULL))
			return false;
	}
	return s.n > 0;
}

static void
put_client_literal(struct buf *b, struct span addr)
{
	buf_puts(b, span_chr(addr, ':') >= 0 ? "[IPv6:" : "[");
	buf_put_span(b, addr);
	buf_putc(b, ']');
}

void
received_put(struct buf *b, const struct received *r)
{
	char date[DATE_TEXT_MAX], qid[ID_TEXT_LEN + 1];

	id_format(r->qid, qid);
	date_format(r->wall_us, date);
	buf_puts(b, "Received: from ");
	if (is_name(r->helo))
		buf_put_span(b, r->helo);
	else if (r->client_addr.n > 0)
		put_client_literal(b, r->client_addr);
	else
		buf_puts(b, "unknown");
	if (r->client_addr.n > 0) {
		buf_puts(b, " (");
		put_client_literal(b, r->client_addr);
		buf_putc(b, ')');
	}
	buf_puts(b, "\r\n\tby ");
	buf_put_span(b, r->hostname);
	buf_puts(b, " with ");
	buf_puts(b, r->protocol);
	buf_puts(b, " id ");
	buf_puts(b, qid);
	if (r->rcpt.n > 0) {
		buf_puts(b, "\r\n\tfor <");
		buf_put_span(b, r->rcpt);
		buf_putc(b, '>');
	}
	buf_puts(b, ";\r\n\t");
	buf_puts(b, date);
	buf_puts(b, "\r\n");
}

void
received_watch_init(struct received_watch *w)
{
	*w = (struct received_watch){ .state = WATCH_START, .is_first = true };
}

/* One byte of a field's name or of the start of a line. */
static void
watch_byte(struct received_watch *w, unsigned char c)
{
	switch ((enum watch_state)w->state) {
	case WATCH_START:
		w->match = 0;
		if ((c == ' ' || c == '\t') && !w->is_first)
			w->state = WATCH_VALUE;
		else if (c <= ' ' || c >= 127 || c == ':')
			w->is_over = true;
		else
			w->state = WATCH_NAME;
		if (w->state != WATCH_NAME)
			return;
		break;
	case WATCH_NAME:
	case WATCH_BLANK:
		if (c == ':') {
			w->hops += w->match == watch_name.n;
			w->state = WATCH_VALUE;
			w->is_first = false;
			return;
		}
		if (c == ' ' || c == '\t')
			w->state = WATCH_BLANK;
		else if (w->state == WATCH_BLANK || c < ' ' || c >= 127)
			w->is_over = true;
		if (w->state != WATCH_NAME)
			return;
		break;
	case WATCH_VALUE:
		return;
	}
	/* watch_name.n + 1: something else. */
	if (w->match < watch_name.n && (c | 0x20) == (unsigned char)watch_name.p[w->match])
		w->match++;
	else
		w->match = (uint8_t)(watch_name.n + 1);
}

void
received_watch_feed(struct received_watch *w, struct span piece)
{
	const char *p = piece.p, *end;

	if (piece.n == 0)
		return;
	end = p + piece.n;
	while (p < end && !w->is_over) {
		const char *lf;

		if (w->state != WATCH_VALUE) {
			watch_byte(w, (unsigned char)*p);
			w->header_bytes += !w->is_over;
			p++;
			continue;
		}
		lf = memchr(p, '\n', (size_t)(end - p));
		lf = lf != NULL ? lf + 1 : end;
		w->header_bytes += (uint64_t)(lf - p);
		for (const char *q = p; q < lf && !w->has_8bit; q++)
			w->has_8bit = (unsigned char)*q >= 128;
		if (lf[-1] == '\n')
			w->state = WATCH_START;
		p = lf;
	}
}
