/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SPOOL_INT_H
#define QMGR_SPOOL_INT_H

#include <stdatomic.h>
#include <stddef.h>
#include "base/map.h"
#include "loop/timer.h"
#include "loop/worker.h"
#include "qmgr/events/events.h"
#include "qmgr/spool/commit.h"
#include "qmgr/spool/log.h"
#include "qmgr/spool/segment.h"
#include "qmgr/spool/spool.h"
#include "qmgr/store/store_own.h"

/* Storage from inside: one struct for spool.c, admit.c, received.c, scan.c, read.c, big.c, checkpoint.c, space.c, compact.c,
 * rebuild.c and intake.c. On the loop unless said otherwise. */

struct progress;

struct spool_config {
	struct uv_loop_s *loop;
	struct timer_set *timers;
	int dir_fd;    /* queue/, the current folder; the spool takes it */
	uint16_t slot; /* our process slot, stands in queue ids */
	uint64_t segment_bytes;
	uint64_t min_free_bytes;
	uint64_t message_bytes; /* longest content */
	uint64_t events_bytes;	/* bound of the event log, 0: there is none */
	const struct spool_ops *ops;
	void *ops_arg;
	/* Mail is taken (0) or not (E_*), or may go on after a pause: tell the intakes. */
	void (*on_intake)(void *arg);
	void *intake_arg;
	/* The process cannot go on; does not return. */
	void (*on_fatal)(void *arg, const char *what);
};

/* Recipients of a scanned message that have neither mark nor row, when they are not all of them. */
struct live_set {
	uint32_t count;
	uint32_t indexes[];
};

struct checkpoint {
	struct timer timer;
	uint64_t last_ms;    /* begin of the last one */
	uint64_t mark;	     /* next message number at that time: what is below it gets rows now */
	uint64_t target;     /* of the one that runs, 0: none runs */
	uint64_t bytes_then; /* commit bytes at that time */
	uint32_t segments;   /* hot ones after the cursor, at the last look */
	struct store_cursor cursor; /* as committed, or on its way */
	bool is_final;		    /* at the end: everything */
	void (*done)(void *arg);
	void *done_arg;
};

struct space {
	struct timer timer;
	struct worker_job stat_job;
	bool is_stat_running;
	uint64_t stat_bytes, stat_files; /* of the disk thread: what it saw */
	uint64_t free_bytes;		 /* of the file system, as of the last look */
	int code;			 /* why no mail is taken, 0: it is */
	int fail_code;			 /* of the last failed batch */
	bool is_store_full;
	bool is_low;	     /* below min_free */
	bool is_making;	     /* a segment is being made or retired on the disk thread */
	uint64_t make_ms;    /* not before that time */
	atomic_bool is_busy; /* commits happen: writing zeros gives way */
	uint64_t probe_ms;   /* next probe */
	uint32_t used_max;   /* most segments in use lately */
	uint64_t used_max_ms;
	uint64_t known_until_ms; /* sp->known is dropped then */
	uint64_t reserve_ms;	 /* the reserve may be made again then */
	bool has_reserve, is_reserve_running;
};

struct compact {
	struct worker_job job; /* first: cast back */
	struct spool *sp;
	struct segment *from; /* being emptied, NULL: nothing runs */
	struct segment *to;   /* the cold segment that is open, NULL: none */
	struct segment *told; /* the one that queue.db was told of */
	struct timer timer;
	uint64_t not_before_ms; /* compaction takes its share of the disk's time, no more */
	/* One page, on the disk thread: */
	struct store_place *places;
	uint32_t count;
	struct store_moved *moved;
	uint32_t moved_count;
	uint64_t damaged; /* number of a record that cannot be read, 0: none */
	uint64_t bytes, began_ms;
	int err;
};

struct spool {
	struct spool_config conf;
	int dir_fd, segments_fd, corrupt_fd, lock_fd;
	struct segments segs;
	struct log log;
	struct commit *commit;
	struct store *store;
	struct events *events;
	struct worker *commit_thread, *read_thread, *disk_thread;
	struct progress *progress;
	struct checkpoint checkpoint;
	struct space space;
	struct compact compact;
	struct timer replay_timer;
	struct log_iter replay;
	uint64_t replay_left;
	struct map64
		live_sets; /* number -> struct live_set, of partly finished messages of the scan */
	struct map64
		known; /* queue ids found by the scan, until the intakes have told what they still hold */
	bool has_known;
	uint64_t *floors;   /* highest microsecond of the ids of each slot */
	uint64_t log_bytes; /* after the cursor */
	struct {	    /* behind the last batch that we know of; segment 0: none in this run */
		uint32_t segment;
		uint64_t salt, offset;
	} tail;
	uint64_t window_bytes;	/* most of it */
	uint64_t bytes_written; /* committed since start */
	uint64_t last_commit_ms;
	uint64_t own_us; /* last of our own queue ids */
	bool is_started;
	bool is_stopping; /* nothing more is taken */
	struct spool_stats stats;
};

#define SPOOL_SLOTS 4096

/* ---- spool.c ---- */

/* Lock, open, scan, append again what the page cache may only pretend to hold. Nothing is answered to anyone before it
 * returns. E_CONFIG (another format version, a second instance: exit 78), else E_* (exit 75); what_out: why, in words. */
int spool_new(const struct spool_config *conf, struct spool **out, struct buf *what_out) MUST_CHECK;
/* Threads and timers; messages of the scan are handed to scheduling from now on. */
void spool_run(struct spool *sp);
/* Everything in memory gets rows, the cursor goes to the end; done is called when that is durable. */
void spool_stop(struct spool *sp, void (*done)(void *arg), void *arg);
void spool_free(struct spool **sp);
void spool_set_conf(struct spool *sp, uint64_t min_free_bytes, uint64_t message_bytes);
/* Another bound of the event log; 0: off. */
void spool_set_events(struct spool *sp, uint64_t bytes);
/* The intakes have told what they still hold: queue ids of the scan are no longer asked for. */
void spool_forget_known(struct spool *sp);
/* spool_start.c: all of spool_new() that may fail. */
int spool_start(struct spool *sp, const struct store_hooks *hooks, struct buf *what_out) MUST_CHECK;
/* A batch is durable or refused (commit). */
void spool_on_batch(void *arg, struct batch *b);
/* Is this queue id stored, or on its way? Looks at the log and in queue.db. done: later, or before it returns. */
void spool_is_known(struct spool *sp, uint64_t qid, void (*done)(void *arg, bool is_known),
		    void *arg);
/* The floors of message and batch numbers, above all that may ever have been given. */
void spool_set_numbers(struct spool *sp, const struct store_cursor *c);
/* Note that an id was used. */
void spool_note_qid(struct spool *sp, uint64_t qid);
/* Copy a range of a segment to corrupt/, for the administrator (disk thread). */
void spool_quarantine(struct spool *sp, const struct place *at);

/* ---- admit.c ---- */

/* A durable message on its way to scheduling: suspects are held, keys are claimed first. live: as in on_message(). */
void admit(struct spool *sp, const struct spool_msg *msg, const uint32_t *live,
	   uint32_t live_count);
void admit_replay_start(struct spool *sp);
/* Checkpoint: messages of the scan that scheduling was not yet given, before a number, get rows from us. */
void admit_give_rows(struct spool *sp, uint64_t before_number);
/* Rows of storage's own have this lane: scheduling has not resolved them. */
#define SPOOL_LANE_NEW ""

/* ---- received.c ---- */

/* A message is durable: its event. Before admit(). */
void received_put(struct spool *sp, const struct record *rec, struct span envelope);
/* Start, after the scan: those of messages of which queue.db knows nothing, as a crash may have taken theirs. */
void received_scan(struct spool *sp);

/* ---- scan.c ---- */

int scan_log(struct spool *sp, const struct store_cursor *from, struct buf *what_out) MUST_CHECK;

/* ---- rebuild.c ---- */

/* queue.db was lost: make it from the records of all segments. */
int rebuild_store(struct spool *sp, struct buf *what_out) MUST_CHECK;

/* ---- big.c ---- */

struct big;
/* Content that is longer than a record may hold, or that memory is too short for. Its file is <qid>.big. */
struct big *big_new(struct spool *sp, uint64_t qid);
/* Bytes are copied. wrote: on the loop, when they are written (n < 0: E_*); then more may be sent. */
void big_write(struct big *b, struct span data, void (*wrote)(void *arg, int err, size_t n),
	       void *arg);
/* File and folder are synced, then done. It is kept until big_free(); with is_kept the file stays. */
void big_sync(struct big *b, void (*done)(void *arg, int err), void *arg);
uint64_t big_length(const struct big *b);
uint32_t big_crc(const struct big *b);
void big_free(struct big **b, bool is_kept);
/* The message is done: remove its file (disk thread). */
void big_remove(struct spool *sp, uint64_t qid);
/* Remove every .big that no live message names. Start. */
int big_clean(struct spool *sp) MUST_CHECK;
/* Files of stored messages, for the counters. */
void big_count(struct spool *sp, int delta, uint64_t bytes);
void big_name(uint64_t qid, char out[32]);

/* ---- checkpoint.c ---- */

void checkpoint_init(struct spool *sp, const struct store_cursor *c);
/* The log is scanned. */
void checkpoint_start(struct spool *sp);
/* Something was committed: is it time? */
void checkpoint_poke(struct spool *sp);
/* The last one; done when it is durable. */
void checkpoint_final(struct spool *sp, void (*done)(void *arg), void *arg);
/* Is everything in it before the cursor? */
bool checkpoint_is_behind(struct spool *sp, const struct segment *seg);

/* ---- space.c ---- */

void space_init(struct spool *sp);
void space_start(struct spool *sp);
/* A batch failed (err < 0) or went through; a probe ended (0). */
void space_on_batch(struct spool *sp, int err);
void space_on_store_full(struct spool *sp, bool is_full);
/* Is the intake to pause: too much waits, or the log is too far ahead of the cursor? */
bool space_is_congested(const struct spool *sp);
/* The disk was not written to lately. */
bool space_is_idle(const struct spool *sp);

/* ---- compact.c ---- */

void compact_init(struct spool *sp);
/* Start to move the live records out of a segment, if one is worth it now. */
void compact_poke(struct spool *sp);

/* ---- progress.c ---- */

/* Which message a thread works on; the handler of a crash notes it in the page segments/progress. */
struct progress *progress_open(int segments_fd);
void progress_close(struct progress **p);
/* Between these two a crash of this thread counts against the message. */
void progress_enter(uint64_t qid);
void progress_leave(void);
/* It crashed us twice. */
bool progress_is_suspect(const struct progress *p, uint64_t qid);

/* ---- read.c ---- */

/* Store thread: see store_hooks.read_head. */
int read_head(struct spool *sp, uint64_t number, const struct place *at, struct buf *buf,
	      struct record *rec_out, struct span *env_out) MUST_CHECK;
/* The whole record at a place, header included, checked; on any thread, waiting for the disk. *rec_out, parts_out:
 * envelope, trace, content (empty for RECORD_BIG) in buf. */
int read_record(struct spool *sp, uint64_t number, const struct place *at, struct buf *buf,
		struct record *rec_out, struct span parts_out[3]) MUST_CHECK;
/* Views of a record for scheduling. */
void read_view(const struct record *rec, const struct place *at, const struct span parts[3],
	       struct spool_msg *out);

#endif
