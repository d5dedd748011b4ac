/* SPDX-License-Identifier: ISC */
#ifndef QMGR_STORE_OWN_H
#define QMGR_STORE_OWN_H

#include "base/buf.h"
#include "qmgr/store/store.h"

/* queue.db as storage itself uses it; scheduling needs qmgr/store/store.h only. */

struct uv_loop_s;
struct timer_set;

struct store_cursor {
	uint64_t number;
	uint32_t segment;
	uint64_t salt;
	uint64_t offset;
	uint64_t next_number, next_batch;
};

/* What a transaction did to one message. */
struct store_change {
	uint64_t number;
	uint32_t marked;			   /* recipients that got their mark */
	enum { ROW_SAME, ROW_MADE, ROW_GONE } row; /* of the message */
	uint64_t qid;				   /* with ROW_*: */
	uint32_t segment, length, flags;
};

struct store_hooks {
	/* On the store thread: header and envelope of the record at a place. *env_out points into buf. E_*. */
	int (*read_head)(void *arg, uint64_t number, const struct place *at, struct buf *buf,
			 struct record *rec_out, struct span *env_out);
	/* On the store thread: what read_head() gave is no longer looked at. */
	void (*read_end)(void *arg);
	/* On the store thread: salt of a segment now, 0: there is none. */
	uint64_t (*salt_of)(void *arg, uint32_t segment);
	/* On the loop: place of a message after the cursor. False: it is behind the cursor, or unknown. */
	bool (*place_of)(void *arg, uint64_t number, struct place *at_out, bool *is_suspect_out);
	/* On the loop, after the commit. */
	void (*on_change)(void *arg, const struct store_change *c);
	/* On the loop: a transaction waits because the disk is full; it went through. */
	void (*on_full)(void *arg, bool is_full);
	/* On the store thread, before the transaction that commits what these events tell: count records of event_put().
	 * E_*: they are not durable; the transaction goes on. */
	int (*write_events)(void *arg, char *records, size_t n, uint32_t count);
	/* On the loop: a job that had events is done; so many of them are lost. */
	void (*on_events)(void *arg, uint64_t lost);
	/* On the loop: the database failed; does not return. is_corrupt: its content is damaged. */
	void (*on_fatal)(void *arg, bool is_corrupt, const char *what);
};

/* ---- start: everything on the calling thread, before store_run() ---- */

/* Open the file `name` of the current folder; is_new: make it. what_out: reason, for a person. E_CONFIG: of an unknown
 * version; E_NOTFOUND; E_CORRUPT; E_NOSPACE; E_IO. is_suspicious: check the whole of it first (slow). */
int store_open(const char *name, bool is_new, bool is_suspicious, const struct store_hooks *hooks,
	       void *arg, struct buf *what_out, struct store **out) MUST_CHECK;
void store_run(struct store *st, struct uv_loop_s *loop, struct timer_set *timers);
/* Start: write the events that were given so far now, on this thread. */
void store_events_now(struct store *st);
void store_free(struct store **st);

/* 0 if all questions so far could be answered. */
int store_start_check(struct store *st, struct buf *what_out) MUST_CHECK;
void store_get_cursor(struct store *st, struct store_cursor *out);
uint64_t store_max_number(struct store *st);
/* Which recipients of a message have a mark; bitmap of rcpt_count bits, cleared first. How many. */
uint32_t store_get_marks(struct store *st, uint64_t number, uint32_t rcpt_count, uint8_t *bitmap);
bool store_has_message(struct store *st, uint64_t number);
bool store_has_qid(struct store *st, uint64_t qid);
void store_each_floor(struct store *st, void (*fn)(void *arg, uint16_t slot, uint64_t floor_us),
		      void *arg);
struct store_segment {
	uint32_t number;
	uint64_t salt;
	enum segment_kind kind;
	bool is_retiring;
	uint64_t live_messages, live_bytes;
};
void store_each_segment(struct store *st, void (*fn)(void *arg, const struct store_segment *s),
			void *arg);
/* Rebuild: a message row with rows for all its recipients, held in ROW_UNKNOWN; of several records of one number the
 * one of the latest batch is to be given last. Between store_rebuild_begin() and _end(). */
int store_rebuild_begin(struct store *st) MUST_CHECK;
int store_rebuild_message(struct store *st, const struct record *rec, const struct place *at,
			  struct span envelope) MUST_CHECK;
/* The message was given, but is none to be held. */
int store_rebuild_forget(struct store *st, uint64_t number) MUST_CHECK;
int store_rebuild_end(struct store *st, const struct store_cursor *c) MUST_CHECK;

/* ---- ops ---- */

/* Every place in the log before c->number is known by rows; marks behind it go. done: after the commit. */
void store_set_cursor(struct store *st, const struct store_cursor *c, void (*done)(void *arg),
		      void *arg);
/* A segment is in use; nothing in it is live (is_retiring); its header is new (the row goes). */
void store_segment_used(struct store *st, uint32_t number, uint64_t salt, enum segment_kind kind);
void store_segment_retiring(struct store *st, uint32_t number, void (*done)(void *arg), void *arg);
void store_segment_empty(struct store *st, uint32_t number);
void store_set_floor(struct store *st, uint16_t slot, uint64_t floor_us);
/* Take a key for a message. done after the commit: whether an older message has it. */
void store_claim_key(struct store *st, enum record_origin origin, struct span name, struct span key,
		     uint64_t number, void (*done)(void *arg, uint64_t number, bool is_duplicate),
		     void *arg);
/* Compaction: these messages stand in another place now. done: after the commit. */
struct store_moved {
	uint64_t number;
	struct place from, to;
	uint64_t to_salt;
};
void store_move(struct store *st, const struct store_moved *moved, uint32_t count,
		void (*done)(void *arg), void *arg);

/* ---- queries ---- */

struct store_place {
	uint64_t number;
	struct place place;
	uint64_t salt;
	uint32_t flags;
};
/* Message rows that lead to a segment, after a number. */
void
store_segment_messages(struct store *st, uint32_t segment, uint64_t after_number, uint32_t limit,
		       void (*done)(void *arg, const struct store_place *places, uint32_t count),
		       void *arg);
/* The place in the message row; NULL: there is none. */
void store_find_place(struct store *st, uint64_t number,
		      void (*done)(void *arg, const struct store_place *place), void *arg);

struct store_stats {
	uint64_t transactions, ops;
};
void store_get_stats(const struct store *st, struct store_stats *out);

#endif
