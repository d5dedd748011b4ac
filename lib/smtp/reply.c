/* SPDX-License-Identifier: ISC
 *
 * Reads the replies of SMTP and LMTP servers byte by byte, whatever their shape, within bounds. It does not know which
 * command a reply answers, and does no I/O. Runs in delivery on the bytes of strangers.
 * RFC 5321 4.2 (replies), RFC 2034 and 3463 (enhanced status codes). */

/* System */
#include <string.h>
/* lib */
#include "smtp/reply.h"

void
reply_parser_init(struct reply_parser *p)
{
	*p = (struct reply_parser){ .code = 0 };
	buf_init(&p->text, REPLY_TEXT_MAX);
}

void
reply_parser_clear(struct reply_parser *p)
{
	buf_clear(&p->text);
	reply_parser_init(p);
}

bool
reply_parser_is_clean(const struct reply_parser *p)
{
	return p->is_done || p->bytes == 0;
}

static void
begin(struct reply_parser *p)
{
	buf_reset(&p->text);
	p->head_len = 0;
	p->is_line_open = p->has_cr = p->is_done = false;
	p->code = 0;
	p->lines = 0;
	p->bytes = 0;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Text behind the code; what is over the limit is forgotten. A CR that ends no line is a blank. */
static void
put_text(struct reply_parser *p, const char *s, size_t n)
{
	size_t room = p->text.max - p->text.n, from = p->text.n;

	buf_put(&p->text, s, n < room ? n : room);
	for (char *cr;
	     from < p->text.n && (cr = memchr(p->text.p + from, '\r', p->text.n - from)) != NULL;)
		*cr = ' ';
}

/* The code and separator in head are complete (or the line ended after the code). */
static int
take_head(struct reply_parser *p)
{
	uint16_t code;

	if (p->head_len < 3 || p->head[0] < '2' || p->head[0] > '5' || !is_digit(p->head[1]) ||
	    !is_digit(p->head[2]))
		return E_PROTOCOL;
	if (p->head_len == 4 && p->head[3] != ' ' && p->head[3] != '-')
		return E_PROTOCOL;
	code = (uint16_t)((p->head[0] - '0') * 100 + (p->head[1] - '0') * 10 + (p->head[2] - '0'));
	/* Half success, half failure: nobody can say what such a server has done. */
	if (p->code != 0 && p->code / 100 != code / 100)
		return E_PROTOCOL;
	p->code = code;
	if (p->lines++ > 0)
		put_text(p, "\n", 1);
	p->is_line_open = true;
	return 0;
}

static bool
is_last_line(const struct reply_parser *p)
{
	return p->head_len < 4 || p->head[3] == ' ';
}

/* Text of one line up to, and without, its end; a CR may be the first half of the end. */
static int
take_part(struct reply_parser *p, const char *s, size_t n)
{
	if (n > 0 && p->has_cr) {
		if (!p->is_line_open)
			return E_PROTOCOL;
		put_text(p, " ", 1);
		p->has_cr = false;
	}
	while (n > 0 && !p->is_line_open && *s != '\r') {
		p->head[p->head_len++] = *s++;
		n--;
		if (p->head_len == sizeof(p->head)) {
			int r = take_head(p);
			if (r < 0)
				return r;
		}
	}
	if (n == 0)
		return 0;
	if (s[n - 1] == '\r') {
		p->has_cr = true;
		n--;
	}
	if (n > 0 && !p->is_line_open)
		return E_PROTOCOL;
	put_text(p, s, n);
	return 0;
}

/* The line ended. 1: and with it the reply. */
static int
take_line_end(struct reply_parser *p)
{
	bool is_last;
	int r;

	if (!p->is_line_open && (r = take_head(p)) < 0)
		return r;
	is_last = is_last_line(p);
	p->head_len = 0;
	p->is_line_open = p->has_cr = false;
	if (!is_last && p->lines >= REPLY_LINES_MAX)
		return E_PROTOCOL;
	return is_last ? 1 : 0;
}

int
reply_parse(struct reply_parser *p, struct span *in, struct reply *out)
{
	int r;

	if (p->is_done)
		begin(p);
	while (in->n > 0) {
		const char *lf = memchr(in->p, '\n', in->n);
		size_t n = lf != NULL ? (size_t)(lf - in->p) : in->n;

		if (n > REPLY_BYTES_MAX - p->bytes)
			return E_PROTOCOL;
		p->bytes += n;
		if ((r = take_part(p, in->p, n)) < 0)
			return r;
		if (lf == NULL) {
			*in = SPAN_NONE;
			return 0;
		}
		*in = span_sub(*in, n + 1, in->n);
		if ((r = take_line_end(p)) < 0)
			return r;
		if (r == 1) {
			p->is_done = true;
			*out = (struct reply){ p->code, buf_span(&p->text) };
			return 1;
		}
	}
	return 0;
}

bool
reply_next_line(struct span *rest, struct span *line_out)
{
	return span_next(rest, '\n', line_out);
}

/* Length of an enhanced status code at the front of a line: class "." subject "." detail, each of at most three
 * digits, then a blank or the end; 0: there is none. */
static size_t
esc_length(struct span line, uint16_t code)
{
	size_t i = 0;

	if (line.n < 5 || line.p[0] != (char)('0' + code / 100) || line.p[0] == '3' ||
	    line.p[1] != '.')
		return 0;
	i = 2;
	for (int part = 0; part < 2; part++) {
		size_t digits = 0;
		while (i < line.n && is_digit(line.p[i]) && digits < 4) {
			i++;
			digits++;
		}
		if (digits < 1 || digits > 3)
			return 0;
		if (part == 0 && (i == line.n || line.p[i++] != '.'))
			return 0;
	}
	return i == line.n || line.p[i] == ' ' || line.p[i] == '\t' ? i : 0;
}

bool
reply_esc(const struct reply *r, char out[REPLY_ESC_LEN])
{
	struct span rest = r->text, line;
	size_t n = reply_next_line(&rest, &line) ? esc_length(line, r->code) : 0;

	memset(out, 0, REPLY_ESC_LEN);
	if (n > 0 && n < REPLY_ESC_LEN) {
		memcpy(out, line.p, n);
		return true;
	}
	if (r->code / 100 != 3) {
		memcpy(out, "0.0.0", 5);
		out[0] = (char)('0' + r->code / 100);
	}
	return false;
}

/* Bytes of the well-formed UTF-8 character at the front of s, 0: there is none.      RFC 3629 4 */
static size_t
utf8_length(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t n = p[0] < 0x80			 ? 1
		   : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		   : (p[0] & 0xf0) == 0xe0	 ? 3
		   : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
						 : 0;

	if (n == 0 || n > s.n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Over-long forms, surrogates, beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] >= 0x90))
		return 0;
	return n;
}

/* Append one line; false: the limit is reached. */
static bool
put_clean(struct span s, size_t end, struct buf *out)
{
	while (s.n > 0) {
		size_t n = utf8_length(s);
		const char *c = n == 0						      ? "?"
				: n == 1 && ((unsigned char)*s.p < 32 || *s.p == 127) ? " "
										      : s.p;

		if (n == 0)
			n = 1;
		if (out->n + n > end)
			return false;
		buf_put(out, c, n);
		s = span_sub(s, n, s.n);
	}
	return true;
}

void
reply_put_text(const struct reply *r, size_t max, struct buf *out)
{
	struct span rest = r->text, line;
	size_t from = out->n, end = max < out->max - from ? from + max : out->max;

	while (reply_next_line(&rest, &line)) {
		line = span_trim(span_sub(line, esc_length(line, r->code), line.n));
		if (line.n == 0)
			continue;
		if (out->n > from && !put_clean(SPAN(" "), end, out))
			return;
		if (!put_clean(line, end, out))
			return;
	}
}
