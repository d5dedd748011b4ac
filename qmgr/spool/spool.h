/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SPOOL_H
#define QMGR_SPOOL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "qmgr/events/events.h"
#include "spool/record.h"

/* The log of messages as scheduling sees it: messages come by spool_ops, content is read by spool_open(), our own
 * messages (DSN) go in by spool_submit(). What becomes of each recipient is told to qmgr/store/store.h.
 *
 * A recipient is named by (message number, index): indexes 0..rcpt_count-1 stand in the envelope, higher ones are
 * children of an expansion and stand only in rows.
 *
 * The rule of the seam: scheduling owes storage exactly one first op of store.h (done, put, bounce, expand) for each
 * recipient that on_message() gave it; give_rows() is the moment at which storage asks for those that are late. */
struct spool;
struct qmgr;
struct svc;
struct conf;

/* Where a record stands. It is a hint that may grow old (compaction): reading verifies number and salt and falls back
 * on the message row. 12 bytes, kept in memory per recipient. */
struct place {
	uint32_t segment; /* number of the segment */
	uint32_t offset;  /* bytes from its start */
	uint32_t length;  /* header to end of content in the segment, without padding */
};

/* One message, for the length of a call or while a reader is open. */
struct spool_msg {
	uint64_t number;
	uint64_t qid;
	uint64_t arrival_us; /* wall clock, since 1970 */
	struct place place;
	enum record_origin origin;
	uint32_t flags;		/* enum record_flag */
	uint32_t content_flags; /* enum record_content */
	uint32_t rcpt_count;
	uint64_t content_len;
	struct span envelope; /* envelope_decode() */
	struct span trace;
	struct span
		content; /* whole, if content_len <= SPOOL_INLINE_BYTES or it is at hand; else p == NULL */
};
#define SPOOL_INLINE_BYTES 65536u

struct spool_ops {
	/* A message is durable and its intake has been told (or: the scan found it). live: indexes that have neither mark
	 * nor row, ascending; NULL: all, 0..rcpt_count-1. Borrowed for the call. */
	void (*on_message)(void *arg, const struct spool_msg *msg, const uint32_t *live,
			   uint32_t live_count);
	/* True: the memory for recipients is full; storage waits with messages that the scan found (new mail is still
	 * given; on_message() may put rows at once). */
	bool (*is_full)(void *arg);
	/* Checkpoint: put a row (store_put, flag ROW_IN_MEMORY if it stays in memory) for every recipient of a message
	 * before this number that has none yet, whatever it is doing. May be called at any time from the loop. */
	void (*give_rows)(void *arg, uint64_t before_number);
};

/* ---- reading ---- */

struct spool_reader;

/* Read a message. done is called once, perhaps before spool_open() returns (the pages were in memory), unless the reader
 * is closed first; if done closed it before spool_open() returned, NULL is returned. *msg and its spans live until
 * spool_reader_close(). at: NULL: by the message row.
 * err: E_CORRUPT (damaged: hold it as ROW_CORRUPT; the bytes are kept in corrupt/), E_NOTFOUND (no such message),
 * E_IO. Content over SPOOL_INLINE_BYTES comes by spool_reader_next(). */
struct spool_reader *spool_open(struct spool *sp, uint64_t number, const struct place *at,
				void (*done)(void *arg, struct spool_reader *r, int err,
					     const struct spool_msg *msg),
				void *arg);
/* The next bytes of content, at most max, at most 64 KiB; perhaps before it returns. err 0 and data.n 0: the end, and
 * the CRC of the whole was right. E_CORRUPT comes before the last bytes are given, so the receiver never has a damaged
 * message whole. One call at a time. */
void spool_reader_next(struct spool_reader *r, size_t max,
		       void (*chunk)(void *arg, struct spool_reader *r, int err, struct span data),
		       void *arg);
void spool_reader_close(struct spool_reader **r);

/* ---- our own messages ---- */

struct spool_submission {
	uint32_t rcpt_count; /* in the envelope, indexes 0... */
	struct span
		envelope; /* envelope_encode(); its dedupe fields make it idempotent over crashes */
	struct span trace;   /* Received: is not added */
	struct span content; /* <= RECORD_CONTENT_MAX */
	uint32_t content_flags;
};
/* Store a message of qmgr itself (origin ORIGIN_REPORT). done comes later, on the loop, after the sync (at once with
 * E_STOPPING while the process stops): err 0, and qid;
 * then on_message() follows as for any other, except when the dedupe key names an older message (E_DUPLICATE is not an
 * error to the caller: done says 0). Everything is copied. */
void spool_submit(struct spool *sp, const struct spool_submission *s,
		  void (*done)(void *arg, int err, uint64_t qid), void *arg);

/* ---- looking at the log ---- */

/* Place, qid and so on of a message that has no row: among those since the cursor. E_NOTFOUND. */
struct spool_slot {
	uint64_t number, qid;
	struct place place;
	uint32_t pending; /* recipients without mark or row */
};
int spool_find_number(const struct spool *sp, uint64_t number, struct spool_slot *out) MUST_CHECK;
int spool_find_qid(const struct spool *sp, uint64_t qid, struct spool_slot *out) MUST_CHECK;

/* Counters and gauges since start, for STATS. */
struct spool_stats {
	uint64_t messages, bytes; /* committed */
	uint64_t batches, syncs, batch_max, refused;
	uint64_t segments, segments_empty, log_bytes, cold_bytes, live_bytes, big_files, big_bytes;
	uint64_t checkpoints, compacted_bytes, retired, damaged, duplicates, again_known;
	uint64_t transactions, ops; /* of queue.db */
	uint64_t free_bytes;
	uint64_t cursor, next_number;
	uint64_t
		rowless_messages; /* after the cursor, unfinished, without a message row: not in store_counts */
	uint64_t rowless_bytes; /* their trace and content */
	uint64_t pending_rcpts; /* after the cursor, with neither mark nor row */
	int intake_code;	/* 0: open */
	struct events_stats events;
};
void spool_get_stats(const struct spool *sp, struct spool_stats *out);

#endif
