/* SPDX-License-Identifier: ISC
 *
 * Content as it goes over the wire: line ends and dots. It does no I/O and keeps no content. Runs in delivery.
 * RFC 5321 2.3.8 (lines), 4.5.2 (transparency), RFC 3030 (BDAT has no dots). */

/* System */
#include <string.h>
/* this program */
#include "delivery/out_body.h"

void
out_body_init(struct out_body *b, bool is_dotted)
{
	*b = (struct out_body){ .is_dotted = is_dotted };
}

bool
out_body_is_clean(struct span s, bool is_dotted)
{
	const char *p = s.p, *end = s.p + s.n;

	while (p < end) {
		size_t left = (size_t)(end - p);
		const char *cr = memchr(p, '\r', left);

		if ((is_dotted && *p == '.') || cr == NULL || cr + 1 == end || cr[1] != '\n')
			return false;
		if (memchr(p, '\n', (size_t)(cr - p)) != NULL)
			return false;
		p = cr + 2;
	}
	return true;
}

/* Bytes up to the next CR or LF. */
static size_t
run_length(const char *p, size_t n)
{
	const char *lf = memchr(p, '\n', n);
	const char *cr = memchr(p, '\r', lf != NULL ? (size_t)(lf - p) : n);

	return cr != NULL ? (size_t)(cr - p) : lf != NULL ? (size_t)(lf - p) : n;
}

static void
end_line(struct out_body *b, struct buf *out)
{
	buf_put(out, "\r\n", 2);
	b->is_mid_line = b->has_cr = false;
}

void
out_body_put(struct out_body *b, struct span in, struct buf *out)
{
	while (in.n > 0) {
		char c = *in.p;
		size_t n = 1;

		if (c == '\n') {
			end_line(b, out);
		} else if (b->has_cr) {
			end_line(b, out);
			continue;
		} else if (c == '\r') {
			b->has_cr = true;
		} else {
			if (c == '.' && !b->is_mid_line && b->is_dotted)
				buf_putc(out, '.');
			n = run_length(in.p, in.n);
			buf_put(out, in.p, n);
			b->is_mid_line = true;
		}
		in = span_sub(in, n, in.n);
	}
}

void
out_body_end(struct out_body *b, struct buf *out)
{
	if (b->has_cr || (b->is_mid_line && b->is_dotted))
		end_line(b, out);
	if (b->is_dotted)
		buf_put(out, ".\r\n", 3);
}
