/* SPDX-License-Identifier: ISC */
#ifndef QMGR_QMGR_H
#define QMGR_QMGR_H

#include "base/list.h"
#include "base/map.h"
#include "loop/timer.h"
#include "svc/svc.h"

/* The whole process, two halves:
 *
 *	storage     intake commit segment scan log read big store checkpoint compact space	knows records, rows, disks
 *	scheduling  sched lane dispatch outcome dsn requests					knows sites, sessions, retries
 *
 * They meet in qmgr/spool.h (messages in and out of the log) and qmgr/store.h (rows of queue.db). Everything runs on
 * the loop but four threads of storage: commit (pwrite and fdatasync of a batch), store (SQLite), read (cold pages) and
 * disk (new segments, .big files, compaction). */
struct spool;
struct store;
struct intake;
struct sched;

struct qmgr {
	struct svc *svc;
	struct timer_set *timers;
	struct spool *spool;
	struct store *store;    /* belongs to spool */
	struct intake *intake;
	struct sched *sched;
	bool is_stopping;
};

#endif
