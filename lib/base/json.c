/* SPDX-License-Identifier: ISC
 *
 * JSON strings for those who write an object by hand: log lines, answers about the queue. No rights, no I/O.
 */
/* lib */
#include "base/json.h"

/* Length of the well-formed UTF-8 sequence at the front, 0: none. RFC 3629 4 */
static size_t
utf8_len(struct span s)
{
	const unsigned char *u = (const unsigned char *)s.p;
	size_t n = u[0] < 0x80			  ? 1
		   : u[0] >= 0xc2 && u[0] <= 0xdf ? 2
		   : (u[0] & 0xf0) == 0xe0	  ? 3
		   : u[0] >= 0xf0 && u[0] <= 0xf4 ? 4
						  : 0;

	if (n == 0 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return n;
}

void
json_put_string(struct buf *out, struct span s)
{
	buf_putc(out, '"');
	for (size_t i = 0, n; i < s.n; i += n) {
		unsigned char u = (unsigned char)s.p[i];

		n = utf8_len(span_sub(s, i, s.n));
		if (n == 0) {
			buf_puts(out, "\\ufffd");
			n = 1;
		} else if (u == '"' || u == '\\') {
			buf_printf(out, "\\%c", u);
		} else if (u < ' ' || u == 0x7f) {
			buf_printf(out, "\\u%04x", u);
		} else {
			buf_put(out, s.p + i, n);
		}
	}
	buf_putc(out, '"');
}
