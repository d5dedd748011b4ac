/* SPDX-License-Identifier: ISC
 *
 * Writes strangers' text into a report so that it stays text: no control byte, no line that is too long, nothing that
 * could begin a header field or a boundary. Not the layout of a report. No I/O; run by qmgr.      RFC 3461 4, 6533 3 */

/* System */
#include <string.h>
/* lib */
#include "mail/dsn_put.h"

enum { LINE_HARD_MAX = 900 };

size_t
dsn_utf8_char(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	uint32_t code, least;
	size_t n;

	if (s.n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc2 ? 2 : 0;
	if (n == 0 || p[0] > 0xf4 || s.n < n)
		return 0;
	code = p[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	least = n == 2 ? 0x80 : n == 3 ? 0x800 : 0x10000;
	return code < least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : n;
}

bool
dsn_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

bool
dsn_is_utf8(struct span s)
{
	size_t n;

	for (; s.n > 0; s = span_sub(s, n, SIZE_MAX))
		if ((n = dsn_utf8_char(s)) == 0)
			return false;
	return true;
}

void
dsn_put_clean(struct buf *b, struct span s, bool is_utf8)
{
	size_t n;

	for (; s.n > 0; s = span_sub(s, n, SIZE_MAX)) {
		n = dsn_utf8_char(s);
		if (n == 0 || (n > 1 && !is_utf8) ||
		    (n == 1 && ((unsigned char)s.p[0] < ' ' || s.p[0] == 127)) ||
		    (n == 2 && s.p[0] == '\xc2' && (unsigned char)s.p[1] < 0xa0)) {
			n = n > 1 ? n : 1;
			buf_putc(b, '?');
		} else {
			buf_put(b, s.p, n);
		}
	}
}

/* Length of the front of a word that may stand on one line, not cutting a UTF-8 character. */
static size_t
word_front(struct span word)
{
	size_t n = word.n;

	if (n <= LINE_HARD_MAX)
		return n;
	n = LINE_HARD_MAX;
	while (n > LINE_HARD_MAX - 4 && ((unsigned char)word.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void
dsn_put_wrapped(struct buf *b, struct span text, const char *indent, size_t column, size_t width,
		bool is_utf8)
{
	const size_t indent_n = strlen(indent);
	bool is_first = true;
	struct span word;
	size_t n;

	while (span_next(&text, ' ', &word)) {
		for (; word.n > 0; word = span_sub(word, n, SIZE_MAX)) {
			n = word_front(word);
			if (!is_first && column + 1 + n > width) {
				buf_puts(b, "\r\n");
				buf_puts(b, indent);
				column = indent_n;
			} else if (!is_first) {
				buf_putc(b, ' ');
				column++;
			}
			dsn_put_clean(b, span_sub(word, 0, n), is_utf8);
			column += n;
			is_first = false;
		}
	}
}

void
dsn_put_reply(struct buf *b, const struct dsn_rcpt *r)
{
	if (r->reply != 0)
		buf_printf(b, "%u ", r->reply);
	if (r->esc.n > 0 && !span_starts(r->text, r->esc)) {
		buf_put_span(b, r->esc);
		buf_putc(b, ' ');
	}
	buf_put_span(b, r->text);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void
dsn_put_xtext_decoded(struct buf *b, struct span xtext)
{
	for (size_t i = 0; i < xtext.n; i++) {
		if (xtext.p[i] == '+' && i + 2 < xtext.n && hex_value(xtext.p[i + 1]) >= 0 &&
		    hex_value(xtext.p[i + 2]) >= 0) {
			buf_putc(b, (char)(hex_value(xtext.p[i + 1]) << 4 |
					   hex_value(xtext.p[i + 2])));
			i += 2;
		} else {
			buf_putc(b, xtext.p[i]);
		}
	}
}
