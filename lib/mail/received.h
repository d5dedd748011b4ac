/* SPDX-License-Identifier: ISC */
#ifndef MAIL_RECEIVED_H
#define MAIL_RECEIVED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/span.h"

/* What a Received: field says.                                                       RFC 5321 4.4 */
struct received {
	struct span helo;	 /* as the client gave it; what is no name is left out */
	struct span client_addr; /* "192.0.2.1", "2001:db8::1"; empty: not by TCP */
	struct span hostname;	 /* of this server */
	const char *protocol;	 /* "ESMTP", RFC 3848 */
	uint64_t qid;
	struct span rcpt; /* the one recipient; empty: several, so that none learns of the others */
	uint64_t wall_us;
};

/* Append the field, folded, with CRLF. */
void received_put(struct buf *b, const struct received *r);

/* Watches content go by, in pieces of any size, and counts what is in its header section. Where that ends is decided as
 * by header_length(). Lines end with CRLF. */
struct received_watch {
	uint8_t state;
	uint8_t match; /* bytes of the field name that fit "Received" */
	bool is_first; /* no field was seen yet */
	bool is_over;  /* the header section has ended */
	bool has_8bit; /* bytes over 127 in the header section */
	uint32_t hops; /* Received fields */
	uint64_t header_bytes;
};

void received_watch_init(struct received_watch *w);
void received_watch_feed(struct received_watch *w, struct span piece);

#endif
