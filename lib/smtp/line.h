/* SPDX-License-Identifier: ISC */
#ifndef SMTP_LINE_H
#define SMTP_LINE_H

#include <stddef.h>
#include "base/span.h"

/* What stands at the front of a client's bytes.                                           RFC 5321 2.3.8 */
enum line_kind {
	LINE_PART,     /* no end yet: wait for more */
	LINE_WHOLE,    /* a line; its text has neither CR, LF nor NUL */
	LINE_BARE_LF,  /* an LF without CR: refuse it, then discard up to the next CRLF */
	LINE_BAD_BYTE, /* a whole line with a CR alone or a NUL in it */
	LINE_TOO_LONG  /* no CRLF within max bytes: discard up to the next CRLF */
};

/* Look for one line of at most max bytes with its CRLF.
 * text_out   WHOLE: the line without CRLF
 * used_out   bytes that are dealt with; BARE_LF: with the LF; TOO_LONG: max; PART: 0 */
enum line_kind line_cut(struct span in, size_t max, struct span *text_out, size_t *used_out);

/* "VERB args": blanks around args are cut off. A line that begins with a blank has an empty verb. */
void line_split(struct span line, struct span *verb_out, struct span *args_out);

#endif
