/* SPDX-License-Identifier: ISC */
#ifndef QMGR_STORE_H
#define QMGR_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/span.h"
#include "qmgr/spool/spool.h"
#include "spool/event.h"

/* queue.db: what became of recipients. Ops are gathered on the loop and committed in one transaction on the store
 * thread, at the latest STORE_FLUSH_MS after the first; queries run on the same thread, after the ops that were given
 * before them, so a query sees every op. Everything passed in is copied; spans given to callbacks are borrowed for the
 * call. Callbacks come on the loop, never before the function returns, in the order of the calls.
 *
 * Storage adds by itself what it knows: place, queue id, arrival, sender, size, and (ROW_FROM_ENVELOPE) the address and
 * its DSN parameters, read from the record when the first row of a message is made. Marks, message rows, live bytes of
 * segments and .big files follow from the ops. An op for a recipient that is already done changes nothing.
 *
 * Any SQLITE_IOERR or SQLITE_CORRUPT ends the process; a full disk makes transactions wait (intake closed, ops kept). */
struct store;

#define STORE_FLUSH_MS 50
#define STORE_LANE_MAX 300  /* longest lane name */
#define STORE_TEXT_MAX 1000 /* longest reply text */

enum row_state {
	ROW_READY,   /* to be tried when due */
	ROW_HELD,    /* by an administrator or hold_incoming: does not expire */
	ROW_CORRUPT, /* record damaged, or it crashed qmgr twice: held and reported */
	ROW_UNKNOWN, /* queue.db was lost: fate unknown, sent only on release */
	ROW_DONE,    /* finished child of an expansion, kept so that no address is expanded twice */
	ROW_STATE_COUNT
};

enum row_flag {
	ROW_IN_MEMORY = 1, /* put: scheduling keeps it, store_load_lane() does not give it again */
	ROW_CHILD = 2,	   /* made by an expansion: address, sender... stand in the row only */
	ROW_WARNED = 4,	   /* the sender was told of the delay */
	ROW_NULL_SENDER = 8, /* its message has the null sender (bounce_expire); set by storage */
	ROW_NO_ALIAS =
		16 /* child whose address stands in its own parent chain: aliases are not asked again */
};

/* A recipient's row. */
struct row {
	uint64_t number;
	uint32_t index;
	enum row_state state;
	uint32_t flags; /* enum row_flag */
	uint32_t attempts;
	uint64_t due_ms;  /* wall clock, since 1970 */
	uint64_t last_ms; /* of the last attempt, 0: none */
	uint16_t reply;	  /* of the last attempt, 0: none */
	uint32_t parent;  /* ROW_CHILD: index of the recipient it comes from */
	uint8_t depth;	  /* ROW_CHILD: 1 for a child of a recipient of the envelope */
	uint8_t notify;	  /* ENV_NOTIFY_* */
	struct span lane; /* opaque name, <= STORE_LANE_MAX: rows of one lane are loaded together */
	struct span address; /* put: empty = from the envelope */
	struct span orcpt, orig;
	struct span sender; /* ROW_CHILD with has_sender: its own reverse-path */
	bool has_sender;
	struct span esc, text, relay; /* of the last attempt; empty: none */
	/* Only in rows that come from the store: */
	uint64_t qid, arrival_ms;
	uint64_t size_bytes; /* trace and content */
	struct place place;
	uint32_t msg_flags; /* enum record_flag */
	uint32_t content_flags;
	uint32_t uid;		/* local submitter, ENV_NO_UID: none */
	struct span msg_sender; /* of the message */
};

/* ---- ops: what became of a recipient; each moves it out of the log (mark) or changes its row ---- */

/* Finished: delivered, discarded, deleted. */
void store_done(struct store *st, uint64_t number, uint32_t index);
/* Deferred, held, released, given a row at a checkpoint: insert or replace. For a row that exists, empty address, orcpt,
 * orig, sender keep what stands there. state ROW_DONE is not allowed (store_done). */
void store_put(struct store *st, const struct row *row);
/* Scheduling forgets a loaded or ROW_IN_MEMORY row without changing it: it may be loaded again. */
void store_unload(struct store *st, uint64_t number, uint32_t index);

/* Something to report to the sender: becomes part of the one DSN of this message. */
enum bounce_kind {
	BOUNCE_FAILED,
	BOUNCE_EXPIRED,
	BOUNCE_DELAYED,
	BOUNCE_DELIVERED,
	BOUNCE_RELAYED,
	BOUNCE_EXPANDED,
	BOUNCE_KIND_COUNT
};
struct bounce {
	uint64_t number;
	uint32_t index;
	enum bounce_kind kind;
	uint16_t reply;
	uint64_t at_ms;			  /* wall clock of the last attempt */
	uint64_t until_ms;		  /* BOUNCE_DELAYED: tried until then */
	struct span address, orcpt, orig; /* empty address: from row or envelope */
	struct span esc, text, relay;
	bool is_done; /* the recipient is finished (mark) as store_done(); false for BOUNCE_DELAYED */
};
void store_bounce(struct store *st, const struct bounce *b);

/* Aliases: the children become rows and the parent is finished, in one transaction. Children whose address the message
 * already has as row (any state) are left out; the caller leaves out addresses of the envelope. The indexes of children
 * are given by the store. done: those made, as they stand (flags ROW_IN_MEMORY if asked for), after the commit.
 * is_parent_done false: more children of the same parent follow (more than fit one call). */
void store_expand(struct store *st, uint64_t number, uint32_t parent, const struct row *children,
		  uint32_t count, bool is_parent_done,
		  void (*done)(void *arg, const struct row *made, uint32_t count), void *arg);

/* An event for the event log (qmgr/events/events.h); nothing, if that is off. Given before the op that it tells of, it is
 * durable before that op is; else within STORE_FLUSH_MS. */
void store_event(struct store *st, const struct event *ev);
/* Is it of use to give some? */
bool store_wants_events(const struct store *st);
void store_set_events(struct store *st, bool is_on);

/* Called when all ops given so far are on stable storage: RESULT_ACK. */
void store_when_durable(struct store *st, void (*done)(void *arg), void *arg);
/* Do not wait for the 50 ms. */
void store_flush(struct store *st);
/* Bytes of ops that wait; scheduling slows down above STORE_BACKLOG_BYTES. */
size_t store_backlog(const struct store *st);
#define STORE_BACKLOG_BYTES 16777216u

/* ---- lanes ---- */

/* A lane that has rows and is no structure in memory. */
struct store_lane {
	struct span name;
	uint64_t next_due_ms;	/* earliest row or end of suspension, whichever is later */
	uint64_t not_before_ms; /* from store_lane_open(): suspended until then; 0: not */
	uint32_t failures;	/* in a row */
	uint64_t rows;		/* ready rows, an upper bound within the call; 0: unknown */
	struct span esc, text;	/* of the last failure */
	uint16_t reply;
};
/* Up to limit lanes due at now_ms, earliest first; they become active: not given again until store_lane_rest(). */
void store_due_lanes(struct store *st, uint64_t now_ms, uint32_t limit,
		     void (*done)(void *arg, const struct store_lane *lanes, uint32_t count,
				  uint64_t next_due_ms),
		     void *arg);
/* next_due_ms of done: when the next lane that is not active is due; UINT64_MAX: none. */

/* New mail made a structure for this lane: mark it active and tell what is known (failures, suspension). */
void store_lane_open(struct store *st, struct span name,
		     void (*done)(void *arg, struct span name, const struct store_lane *lane),
		     void *arg);
/* The structure is dropped, or its failure state changed: failures, suspension until not_before_ms (0: none). Rows of
 * the lane that are still in memory must have been unloaded. is_active: the structure stays. */
void store_lane_rest(struct store *st, const struct store_lane *lane, uint64_t not_before_ms,
		     bool is_active);
/* Up to limit ready rows of a lane with due <= now_ms that are not in memory, by due; they count as in memory until one
 * of their ops or store_unload(). next_due_ms: of the first row left, UINT64_MAX: none. */
void store_load_lane(struct store *st, struct span lane, uint64_t now_ms, uint32_t limit,
		     void (*done)(void *arg, struct span lane, const struct row *rows,
				  uint32_t count, uint64_t next_due_ms),
		     void *arg);
/* Rows of a lane that are not in memory, due at now_ms, of messages that arrived at or before born_ms, oldest first, beginning
 * behind the row `after` (NULL: with the oldest): for the sweep after a failed connection. They count as in memory afterwards. */
void store_expired_rows(struct store *st, struct span lane, bool is_null_sender, uint64_t now_ms,
			uint64_t born_ms, const struct row *after, uint32_t limit,
			void (*done)(void *arg, const struct row *rows, uint32_t count), void *arg);

/* ---- looking ---- */

/* What `queue list` and the orders select. Texts: exact without regard to case, or with * as wildcard. */
struct store_filter {
	struct span sender, rcpt, domain, lane;
	struct span error; /* part of the last reply */
	int state;	   /* enum row_state, -1: any but ROW_DONE */
	bool is_deferred;  /* only ROW_READY with attempts > 0 */
	bool has_uid;
	uint32_t uid;
	uint64_t born_before_ms; /* 0: any */
	const uint64_t *qids;	 /* any of them; count 0: all */
	size_t qid_count;
};
/* One page of rows in (number, index) order after the key; count < limit: it was the last. */
void store_list(struct store *st, const struct store_filter *f, uint64_t after_number,
		uint32_t after_index, uint32_t limit,
		void (*done)(void *arg, const struct row *rows, uint32_t count), void *arg);
/* All rows of one message, children and ROW_DONE included. */
void store_get_rows(struct store *st, uint64_t number,
		    void (*done)(void *arg, uint64_t number, const struct row *rows,
				 uint32_t count),
		    void *arg);
/* Number of a queue id among message rows; 0: none. */
void store_find_qid(struct store *st, uint64_t qid,
		    void (*done)(void *arg, uint64_t qid, uint64_t number), void *arg);

struct store_counts {
	uint64_t messages; /* that have a row */
	uint64_t bytes;	   /* of these */
	uint64_t rows[ROW_STATE_COUNT];
	uint64_t deferred; /* ROW_READY with attempts > 0 */
	uint64_t bounces;
};
/* Of the last committed transaction. */
void store_get_counts(const struct store *st, struct store_counts *out);

/* ---- reports ---- */

/* Numbers of messages that have bounce rows, after a number, ascending: at start, and to be polled. */
void store_bounce_messages(struct store *st, uint64_t after_number, uint32_t limit,
			   void (*done)(void *arg, const uint64_t *numbers, uint32_t count),
			   void *arg);
/* The bounce rows of one message, and how it stands: left = recipients without final fate (rows; the caller adds those
 * without row). part: number of DSNs made for it so far, part of the dedupe key. */
struct store_report {
	uint64_t number, qid, arrival_ms;
	struct place place;
	uint32_t msg_flags;
	struct span sender;
	uint32_t part;
	uint32_t left;
	const struct bounce *bounces;
	uint32_t count;
	uint64_t first_ms; /* when the oldest bounce row was made */
	uint64_t last_id;  /* for store_reported() */
};
void store_get_report(struct store *st, uint64_t number,
		      void (*done)(void *arg, const struct store_report *report), void *arg);
/* The DSN is stored (or none is wanted): bounce rows up to last_id go, part counts up. */
void store_reported(struct store *st, uint64_t number, uint64_t last_id);

#endif
