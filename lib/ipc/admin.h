/* SPDX-License-Identifier: ISC */
#ifndef IPC_ADMIN_H
#define IPC_ADMIN_H

#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* What the `postern` command and control say to each other over control.sock: one request, then answers until DONE.
 * Every frame is u32 length, then the payload; numbers little-endian. */
#define ADMIN_REQUEST_MAX 65536u
#define ADMIN_ANSWER_MAX 2200000u
#define ADMIN_HEAD_BYTES 4u

enum admin_kind {
	ADMIN_QUEUE, /* verb, args: filters and queue ids */
	ADMIN_ROUTE, /* args: address, then sender */
	ADMIN_STATS,
	ADMIN_TABLES, /* look at all table files now */
	ADMIN_EVENTS, /* one page of the event log: offset: serial, limit: place of the page before (0: from the cursor) */
	ADMIN_EVENTS_ACK, /* offset, limit: as the DONE of a page gave them */
	ADMIN_KIND_COUNT
};

struct admin_request {
	enum admin_kind kind;
	uint8_t verb;		/* enum queue_verb of ipc/plan.h */
	uint64_t limit, offset; /* 0: none */
	struct span args;	/* (u32 length, bytes)* */
};

enum admin_answer_kind {
	ADMIN_ITEM, /* bytes: one JSON object, a part of a message, a step of a route, records of events */
	ADMIN_STATS_OF, /* bytes: a JSON object; origin names its process */
	ADMIN_DONE,	/* the last one */
	ADMIN_ANSWER_KIND_COUNT
};

struct admin_answer {
	enum admin_answer_kind kind;
	uint8_t origin; /* ADMIN_STATS_OF: enum proc_id */
	uint16_t code;	/* DONE: 0 or -E_* */
	uint64_t messages,
		recipients; /* DONE: matched or changed; EVENTS: serial and place behind the page */
	struct span bytes;  /* ITEM, STATS_OF; DONE: error for a person */
};

/* Append a whole frame. */
void admin_put_request(struct buf *b, const struct admin_request *r);
void admin_put_answer(struct buf *b, const struct admin_answer *a);
/* Payload of a frame, without its length. Spans point into it. E_CORRUPT. */
int admin_get_request(struct span payload, struct admin_request *out) MUST_CHECK;
int admin_get_answer(struct span payload, struct admin_answer *out) MUST_CHECK;
/* Length of the payload whose head begins at `head` (ADMIN_HEAD_BYTES). */
uint32_t admin_frame_len(const char *head);

#endif
