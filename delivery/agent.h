/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_AGENT_H
#define DELIVERY_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "delivery/job.h"
#include "delivery/results.h"
#include "ipc/plan.h"
#include "loop/timer.h"
#include "svc/svc.h"

/* What delivery and the mailbox agent share: sessions and jobs as qmgr gives them, results until they are acknowledged,
 * the inventory for a new qmgr, the stop. How a job is delivered is its backend's business. */
struct agent;
struct agent_session;

struct agent_backend {
	/* Before the sandbox; in the sandbox. 0 or E_*. */
	int (*prepare)(struct agent *a);
	int (*start)(struct agent *a);
	/* A new session: s->plan is there. Sets s->impl, or has called agent_failed() before it returns. */
	void (*open)(struct agent_session *s);
	/* A job for it (takes it). False: it has no room (two jobs at most), or takes no more. */
	bool (*job)(void *impl, struct job *j);
	/* Content was added to j, or j was marked is_aborted. */
	void (*data)(void *impl, struct job *j);
	/* End after the running job; what waits is given back at once, untried. Of an orphan also the running job, if
	 * not all of its content is there. agent_closed() follows, perhaps before this returns. */
	void (*close)(void *impl);
	/* End now. flags are those of the outcomes that this settles. */
	void (*abort)(void *impl, uint8_t flags, struct span why);
	/* Results may flow again: go on with what waits. */
	void (*resume)(void *impl);
	/* Any other message of master, and files at run time; may be NULL. */
	void (*on_master)(struct agent *a, enum msg_type type, union msg_any *msg);
	void (*on_file)(struct agent *a, const char *name, int fd);
};

struct agent {
	struct svc *svc;
	const struct agent_backend *backend;
	struct timer_set *timers;
	struct chan *qmgr;    /* NULL: none now */
	struct map64 by_id;   /* sessions of the present qmgr */
	struct list sessions; /* all */
	struct map64 jobs;    /* running or waiting */
	struct results results;
	struct timer grace;
	bool is_stopping, is_grace_over;
	void *data; /* the backend's own */
};

struct agent_session {
	struct list node;
	struct agent *agent;
	uint32_t id;
	bool is_orphan;	  /* of a qmgr that is gone: nothing is said about the session any more */
	bool is_closing;  /* takes no more jobs */
	struct arena mem; /* of the plan */
	struct plan plan;
	void *impl;
};

extern const struct svc_ops agent_ops;

/* ---- for the backends ---- */

/* The session takes jobs. */
void agent_up(struct agent_session *s, struct span relay, uint32_t connect_ms);
/* It never will: the last word about it. Frees the session. */
void agent_failed(struct agent_session *s, uint16_t reply, struct span esc, struct span text,
		  struct span relay);
/* It has ended; every job of it was reported. Frees the session. */
void agent_closed(struct agent_session *s);
/* All recipients of a job are settled: report it, and free it. */
struct agent_relay {
	struct span relay;
	uint32_t connect_ms;
	bool is_session_up;
};
void agent_result(struct agent_session *s, struct job *j, const struct agent_relay *r);
/* Tell qmgr of the content that was taken. */
void agent_credit(struct agent_session *s, struct job *j);
/* False: results pile up; begin no job until resume() is called. */
bool agent_may_start(const struct agent *a);

#endif
