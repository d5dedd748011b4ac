/* SPDX-License-Identifier: ISC */
#ifndef SMTP_DATA_H
#define SMTP_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

/* Hints about content; the bits are those of the envelope's content flags. */
#define DATA_8BIT 1u
#define DATA_NUL 2u
#define DATA_LONG_LINE 4u

/* Reads the content of DATA (with dots) or of BDAT chunks (without) and gives it out in pieces, without dot-stuffing.
 * Only CRLF.CRLF ends DATA. A CR or LF that stands alone sets has_bare and is given out as CRLF, so that with
 * is_dotted a normalised message is complete; a caller that refuses such messages throws the pieces away.
 *
 *	data_scan_init(&d, true);
 *	while (in.n > 0 && !d.is_end) {
 *		size_t n = data_scan(&d, in, &piece);
 *		... piece ...
 *		in = span_sub(in, n, in.n);
 *	}
 */
struct data_scan {
	uint8_t state;
	bool is_dotted;
	bool is_end; /* CRLF.CRLF was read */
	bool has_bare;
	uint32_t line_bytes; /* of the line so far */
	uint32_t flags;	     /* DATA_* */
};

void data_scan_init(struct data_scan *d, bool is_dotted);
/* Reads from the front of `in` (not empty) until there is a piece to give out, or the end, or no more bytes.
 * piece_out   into `in` or static, may be empty
 * returns     bytes of `in` that are dealt with; 0 only with a piece or a change of state, so a loop ends */
size_t data_scan(struct data_scan *d, struct span in, struct span *piece_out);
/* After the last chunk of BDAT: a CR that was the last byte stands alone. */
void data_scan_finish(struct data_scan *d, struct span *piece_out);

#endif
