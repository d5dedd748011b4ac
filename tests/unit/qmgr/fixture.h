/* SPDX-License-Identifier: ISC */
#ifndef TESTS_QMGR_FIXTURE_H
#define TESTS_QMGR_FIXTURE_H

#include <uv.h>
#include "qmgr/spool/intake.h"
#include "qmgr/spool/spool_int.h"
#include "tests/unit/unit.h"

/* A spool in a folder of its own, with scheduling replaced by what a test wants done with each message. */

enum fix_policy {
	FIX_KEEP, /* nothing: recipients stay in memory, rows are given when asked for */
	FIX_DONE, /* delivered at once */
	FIX_LOSE  /* nothing, and no rows either: a scheduling that breaks its promise */
};

struct fix_msg {
	uint64_t number, qid;
	struct place place;
	uint32_t rcpt_count, live_count;
	uint32_t live[64];
	char content[128];
	bool has_rows;
};

struct fix {
	char dir[128];
	uv_loop_t loop;
	struct timer_set *timers;
	struct spool *sp;
	enum fix_policy policy;
	bool is_full;
	const struct spool_ops *ops; /* NULL: those of the policy */
	void *ops_arg;
	struct fix_msg *got;
	size_t count;
	int intake_calls;
	uint64_t segment_bytes, min_free_bytes, events_bytes;
	char why[512]; /* why fix_try_open() failed */
};

void fix_init(struct fix *f);
/* Removes the folder. */
void fix_clear(struct fix *f);
/* Opens or fails the test. */
void fix_open(struct fix *f);
int fix_try_open(struct fix *f);
/* As at a stop: all that was begun is over. fix_close() or fix_clear() comes next. */
void fix_stop(struct fix *f);
/* As a crash when all that was under way has happened; clean: with the last checkpoint. */
void fix_close(struct fix *f, bool is_clean);
/* Turn the loop until cond is true; fails the test after 10 s. */
void fix_until(struct fix *f, bool (*cond)(struct fix *f));
/* So many milliseconds. */
void fix_turn(struct fix *f, uint64_t ms);
/* Store a message with this many recipients and content; returns the error, *qid_out may be NULL. */
int fix_submit(struct fix *f, uint32_t rcpts, const char *content, uint64_t *qid_out);
/* To these addresses, a blank between them. */
int fix_submit_to(struct fix *f, const char *sender, const char *addresses, uint64_t *qid_out);
/* The same with a dedupe key. */
int fix_submit_key(struct fix *f, const char *key, const char *content);
/* The message with this content that was given to scheduling since the last open; NULL: none. */
struct fix_msg *fix_find(struct fix *f, const char *content);
/* All ops so far are committed. */
void fix_flush(struct fix *f);
/* One checkpoint from begin to end; two of them move the cursor over all that there is. */
void fix_checkpoint(struct fix *f);
/* Rows of a message. Borrowed until the next call. */
const struct row *fix_rows(struct fix *f, uint64_t number, uint32_t *count_out);
/* Content of a message as spool_open() gives it; its error. */
int fix_read(struct fix *f, uint64_t number, const struct place *at, struct buf *content_out);
/* Run fn in a child, which ends by the crash point (or by itself); the signal, 0: it exited. */
int fix_crash(struct fix *f, const char *crashpoint, void (*fn)(struct fix *f));
/* Path of a file of the spool. Static storage. */
const char *fix_path(const struct fix *f, const char *name);
/* Overwrite bytes of a file. */
void fix_poke(const struct fix *f, const char *name, uint64_t at, const void *p, size_t n);
size_t fix_count_files(const struct fix *f, const char *folder, const char *ending);

#endif
