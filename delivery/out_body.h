/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_BODY_H
#define DELIVERY_OUT_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/span.h"

/* Content on its way out. Whatever was stored, only CRLF ends a line on the wire: a CR or LF that stands alone becomes
 * CRLF (our intake lets none in; a next hop that took one for the end of a line could be made to see another message).
 * For DATA, lines that begin with a dot get a second one.                                  RFC 5321 2.3.8, 4.5.2 */
struct out_body {
	bool is_dotted; /* DATA; false: BDAT */
	bool is_mid_line;
	bool has_cr; /* a CR waits for its LF */
};

void out_body_init(struct out_body *b, bool is_dotted);
/* Do these bytes go out as they are? They begin at the start of a line. True only if they also end with CRLF (or are
 * empty), so that pieces can be put together. */
bool out_body_is_clean(struct span s, bool is_dotted);
/* Append `in` as it goes out. At most 2 bytes for each byte of `in`, and 2 more. */
void out_body_put(struct out_body *b, struct span in, struct buf *out);
/* The end: a last line without CRLF gets one (for BDAT only if a CR stood alone); for DATA the final dot. */
void out_body_end(struct out_body *b, struct buf *out);

#endif
