/* SPDX-License-Identifier: ISC */
#ifndef QMGR_LOG_H
#define QMGR_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include "qmgr/spool/spool.h"

/* What is in the log after the cursor: one slot of 40 bytes per message, in order of message numbers, in chunks that go
 * when the cursor passes them. Bounded by the log window (256 MiB of log). On the loop only. */

enum slot_flag {
	SLOT_HAS_ROW = 1, /* queue.db has a message row */
	SLOT_BIG = 2,	  /* its content is a .big file */
	SLOT_REPLAY = 4,  /* found by the scan, not yet given to scheduling */
	SLOT_SUSPECT = 8  /* it crashed qmgr twice: never parsed again */
};

struct slot {
	uint64_t number;
	uint64_t qid;
	uint64_t size; /* trace and content, for the counters; set after log_add() */
	struct place place;
	uint32_t pending : 24; /* recipients that have neither mark nor row, committed */
	uint32_t flags : 8;    /* enum slot_flag */
};

struct log_chunk;
struct log {
	struct log_chunk *first, *last;
	uint64_t first_number; /* the cursor: no slot is below it */
	uint64_t count;	       /* slots */
	uint64_t live;	       /* with pending > 0 */
	uint64_t bytes;	       /* of memory */
};

void log_init_slots(struct log *l, uint64_t cursor);
void log_clear(struct log *l);
/* number is above all before it. */
struct slot *log_add(struct log *l, uint64_t number, uint64_t qid, const struct place *at,
		     uint32_t pending, uint32_t flags);
struct slot *log_find(const struct log *l, uint64_t number); /* NULL: not after the cursor */
/* n recipients got a mark. True: that was the last one. */
bool log_marked(struct log *l, struct slot *s, uint32_t n);
/* The first slot with pending > 0, NULL: none. */
struct slot *log_first_live(const struct log *l);
/* What is not in the sums of queue.db: unfinished messages without a row, their bytes, and recipients with neither mark
 * nor row. */
void log_count_rowless(const struct log *l, uint64_t *messages_out, uint64_t *bytes_out,
		       uint64_t *rcpts_out);
/* All slots below number go. */
void log_drop_before(struct log *l, uint64_t number);

/* Walk in order of numbers: struct log_iter it = { 0 }; while ((s = log_next(l, &it)) != NULL). Slots may be added at
 * the end meanwhile, and dropped. */
struct log_iter {
	uint64_t number; /* the next one is at or above it */
};
struct slot *log_next(const struct log *l, struct log_iter *it);

#endif
