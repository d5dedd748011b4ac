/* SPDX-License-Identifier: ISC */
#ifndef QMGR_REPORT_H
#define QMGR_REPORT_H

#include "qmgr/sched/sched_int.h"

/* Between report.c (when a report is due) and dsn.c (what it says). */

/* One report being made: everything of the message that it needs. */
struct dsn_job {
	struct sched *s;
	struct arena arena;
	uint64_t number, qid, arrival_ms, last_id;
	struct place place;
	uint32_t part;
	struct span sender;	/* reverse-path of the message */
	struct bounce *bounces; /* copies */
	uint32_t count, at;	/* at: the first one that is in no report yet */
	uint32_t piece;		/* reports made of this part so far */
	uint32_t piece_rcpts;	/* recipients in the one being stored */
	struct reading reading;
	struct buf original; /* trace and as much of the content as is returned */
	uint64_t original_len;
	bool is_unreadable;
	enum record_origin origin;
	struct envelope env; /* of the message: ret, envid, smtputf8; into the arena */
	/* 0: all is stored, or no report is wanted; else try again. It frees the job. */
	void (*done)(void *arg, struct dsn_job *j, int err);
	void *arg;
};

/* Copies what the store told, reads the message, stores the reports. done() may be called before it returns. */
void dsn_start(struct sched *s, const struct store_report *report,
	       void (*done)(void *arg, struct dsn_job *j, int err), void *arg,
	       struct dsn_job **out);
void dsn_free(struct dsn_job **j);

#endif
