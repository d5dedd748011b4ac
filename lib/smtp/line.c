/* SPDX-License-Identifier: ISC
 *
 * Cuts command lines: only CRLF ends one. It knows no verbs. No I/O, no state: what is incomplete stays with the caller
 * and is looked at again with more bytes. Used by smtpd, which reads strangers' bytes.       RFC 5321 2.3.8, 4.1.1 */

/* System */
#include <string.h>
/* lib */
#include "smtp/line.h"

enum line_kind
line_cut(struct span in, size_t max, struct span *text_out, size_t *used_out)
{
	size_t n = in.n < max ? in.n : max;
	const char *lf = n > 0 ? memchr(in.p, '\n', n) : NULL;
	struct span text;

	*text_out = SPAN_NONE;
	*used_out = 0;
	if (lf == NULL) {
		if (in.n < max)
			return LINE_PART;
		/* A CR at the very end may be half of the CRLF: it is left for the discarding. */
		*used_out = in.p[max - 1] == '\r' ? max - 1 : max;
		return LINE_TOO_LONG;
	}
	*used_out = (size_t)(lf - in.p) + 1;
	if (lf == in.p || lf[-1] != '\r')
		return LINE_BARE_LF;
	text = span_sub(in, 0, *used_out - 2);
	if (text.n > 0 &&
	    (memchr(text.p, '\r', text.n) != NULL || memchr(text.p, '\0', text.n) != NULL))
		return LINE_BAD_BYTE;
	*text_out = text;
	return LINE_WHOLE;
}

void
line_split(struct span line, struct span *verb_out, struct span *args_out)
{
	ptrdiff_t blank = span_chr(line, ' ');

	if (blank < 0)
		blank = span_chr(line, '\t');
	if (blank < 0)
		blank = (ptrdiff_t)line.n;
	*verb_out = span_sub(line, 0, (size_t)blank);
	*args_out = span_trim(span_sub(line, (size_t)blank, line.n));
}
