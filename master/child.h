/* SPDX-License-Identifier: ISC */
#ifndef MASTER_CHILD_H
#define MASTER_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/list.h"
#include "loop/timer.h"
#include "master/master.h"

/*	IDLE --start--> STARTING --READY--> UP --STOP--> LEAVING --exit--> (freed)
 *	  ^                 |               |
 *	  +----- exit ------+---------------+        with a timer: back-off; without: exit status 78, until the next reload
 */
enum child_state { CHILD_IDLE, CHILD_STARTING, CHILD_UP, CHILD_LEAVING, CHILD_STATE_COUNT };

struct child {
	struct list node; /* in master.children */
	struct master *m;
	enum proc_id kind;
	uint16_t slot; /* kept over restarts */
	bool is_alone; /* a worker of its own for jobs that crashed others; does not come back */
	unsigned generation;
	enum child_state state;
	pid_t pid; /* 0: not running */
	struct chan *chan;
	struct timer
		timer; /* IDLE: back-off; LEAVING: its grace is over; else: closed its channel and does not end */
	uint64_t started_ms;
	uint64_t backoff_ms;	 /* of the next restart */
	const char *kill_reason; /* why we killed it, NULL: we did not */
};

/* ---- child.c ---- */

/* A new child in the list, with a free slot; not started. */
struct child *child_new(struct master *m, enum proc_id kind, bool is_alone);
void child_free(struct child **c);
bool child_is_running(const struct child *c);
struct child *child_find_pid(struct master *m, pid_t pid);
/* Running one of a kind and slot (0: any), NULL: none. */
struct child *child_find(struct master *m, enum proc_id kind, unsigned slot);
/* How many of a kind the configuration wants. */
unsigned child_wanted(const struct master *m, enum proc_id kind);
/* Children that are neither leaving nor alone, of one kind. */
unsigned child_count(struct master *m, enum proc_id kind);
/* Make and start what is wanted and missing. */
void child_start_missing(struct master *m);
/* All that should be READY are. */
bool child_all_up(struct master *m);

/* ---- spawn.c ---- */

/* Start an IDLE child, with channels to all siblings of the process graph. */
void child_start(struct child *c);

/* ---- reap.c ---- */

/* Take the exit status of every process that has ended (as PID 1 also of strangers). */
void reap_children(struct master *m);
/* kill -9; the log will say why. */
void child_kill(struct child *c, const char *reason);
/* Ask it to finish; killed after grace_ms. It does not come back. */
void child_stop(struct child *c, bool is_reload, uint64_t grace_ms);

#endif
