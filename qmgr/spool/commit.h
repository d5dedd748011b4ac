/* SPDX-License-Identifier: ISC */
#ifndef QMGR_COMMIT_H
#define QMGR_COMMIT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/span.h"
#include "loop/worker.h"
#include "qmgr/spool/segment.h"
#include "qmgr/spool/spool.h"

/* Group commit: the one way into the log. Messages are gathered on the loop, written and synced as one batch on the
 * commit thread; while one batch syncs the next is gathered. */
struct commit;
struct chan;
struct timer_set;

#define COMMIT_BATCH_BYTES 4194304u   /* a batch is closed at this size */
#define COMMIT_BACKLOG_BYTES 8388608u /* so much waits: the intakes pause */
#define COMMIT_FAILURES_MAX 2	      /* failed batches in a row that close the intake */

/* Who is told what became of a message: an intake over its channel, or a function of ours. */
struct commit_owner {
	struct chan *intake;				/* NULL: ours, or the intake is gone */
	void (*done)(void *arg, int err, uint64_t qid); /* NULL: nobody */
	void *arg;
};

struct commit_msg {
	struct record rec; /* number, batch, salt and CRCs are filled in by the commit */
	size_t at;	   /* of its header in batch->bytes */
	struct commit_owner owner;
};

struct batch {
	struct worker_job job;
	struct batch *next;
	struct commit *commit;
	char *bytes;
	size_t n, cap;
	struct commit_msg *msgs;
	uint32_t count, msgs_cap;
	bool keeps_numbers; /* records are appended again under their own numbers (start) */
	/* the result: */
	int err;
	struct segment *segment;
	uint64_t offset; /* of the batch in the segment */
	uint64_t number; /* of the batch */
};

struct commit_stats {
	uint64_t batches, syncs, bytes, messages, batch_max, failures;
};

/* done: on the loop, for every batch in order, successful (durable) or not (err). */
struct commit *commit_new(struct segments *segs, struct worker *thread, struct timer_set *timers,
			  void (*done)(void *arg, struct batch *b), void *arg);
void commit_free(struct commit **c);
/* The next message and batch number to be given; before the first message. */
void commit_set_numbers(struct commit *c, uint64_t next_number, uint64_t next_batch);
/* Above all that were given in finished batches. */
uint64_t commit_next_number(const struct commit *c);
uint64_t commit_next_batch(const struct commit *c);

/* Append one message to the batch that is gathered. rec: flags, content_flags, qid, arrival, origin, rcpt_count,
 * content_len (of a big one; else that of content), content_crc (of a big one). */
void commit_add(struct commit *c, const struct record *rec, struct span envelope, struct span trace,
		struct span content, const struct commit_owner *owner);
/* Write it all and wait: at start and at the end. Done functions are called. */
void commit_drain(struct commit *c);
/* Append records again (start): as commit_add(), each under its own number; then commit_now(). */
void commit_add_again(struct commit *c, const struct record *rec, struct span body);
/* Write what was gathered, on this thread. E_* of the first batch that failed. */
int commit_now(struct commit *c) MUST_CHECK;

/* Bytes that wait or are being written. */
size_t commit_backlog(const struct commit *c);
/* A message that waits, by queue id; NULL: none. */
struct commit_owner *commit_find(struct commit *c, uint64_t qid);
/* The intake is gone: nobody is told. */
void commit_forget(struct commit *c, const struct chan *intake);
/* Failed batches in a row. */
uint32_t commit_failures(const struct commit *c);
/* Try a write and a sync (a fresh segment); done as for a batch, with count 0. */
void commit_probe(struct commit *c);
void commit_get_stats(const struct commit *c, struct commit_stats *out);

#endif
