/* SPDX-License-Identifier: ISC */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

/* Reading the header section of a message as it stands: nothing is unfolded, decoded or repaired.   RFC 5322 2.2 */
struct header_field {
	struct span name; /* before the colon, without blanks */
	struct span
		value; /* after the colon, blanks and the last CRLF cut off; folds are still in it */
	struct span raw; /* the whole field with its CRLF */
};

/* Bytes of the header section: up to the empty line, which is not counted; all of it if there is none. A line that
 * can be no header field ends the section too (such a message begins with its body). */
size_t header_length(struct span msg);

/* Cut the next field off the front of *rest. False: the header section ends here. */
bool header_next(struct span *rest, struct header_field *out);

/* The first field of that name (any case). False: there is none. */
bool header_find(struct span msg, const char *name, struct header_field *out);

/* How many fields of that name there are. */
unsigned header_count(struct span msg, const char *name);

/* Is there a Delivered-To field with this address (domain in any case)? A mailbox's own means a loop. */
bool header_has_delivered_to(struct span msg, struct span addr);

#endif
