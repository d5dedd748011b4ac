/* SPDX-License-Identifier: ISC */
#ifndef QMGR_QMGR_H
#define QMGR_QMGR_H

#include "base/list.h"
#include "base/map.h"
#include "loop/timer.h"
#include "svc/svc.h"

/* The whole process: storage and scheduling, in folders of their own, each above those before it.
 *
 *	events/	the event log: what became of messages, for a reader	knows files and cursors
 *	spool/	the log: intake commit segment scan received read big checkpoint compact space	knows records and disks
 *	store/	queue.db: rows, places, lanes as they wait on disk			the only one that knows SQLite
 *	sched/	sched lane dispatch job outcome report dsn				knows sites, sessions, retries
 *	admin/	what administrators ask of the queue, and its counters
 *
 * Storage and scheduling meet in spool/spool.h (messages in and out of the log) and store/store.h (rows of queue.db).
 * Everything runs on the loop but four threads of storage: commit (pwrite and fdatasync of a batch), store (SQLite, events), read
 * (cold pages, pages of events) and disk (new segments, .big files, compaction). */
struct spool;
struct store;
struct intake;
struct sched;

struct qmgr {
	struct svc *svc;
	struct timer_set *timers;
	struct spool *spool;
	struct store *store; /* belongs to spool */
	struct intake *intake;
	struct sched *sched;
	bool is_stopping;
};

#endif
