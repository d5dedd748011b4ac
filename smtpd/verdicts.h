/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_VERDICTS_H
#define SMTPD_VERDICTS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "ipc/chan.h"
#include "session/session.h"

/* Questions to the router about recipients, and the answers that may be used again. */
#define VERDICTS_CACHED_MAX 4096

struct verdicts {
	struct chan *router; /* NULL: none now */
	struct map64 open;   /* number of the question -> struct question */
	uint64_t last_number;
	uint64_t epoch;	    /* of the tables */
	struct map cache;   /* key -> struct cached */
	struct list oldest; /* of the cached, oldest first */
	size_t cached;
};

/* One question at a time, embedded in who asks. */
struct question {
	uint64_t number; /* 0: nothing is asked */
	bool may_relay;
	struct buf address, sender; /* kept to be asked again of a restarted router */
	void (*on_verdict)(void *arg, const struct session_verdict *v);
	void *arg;
};

void verdicts_init(struct verdicts *v);
void verdicts_clear(struct verdicts *v);

void question_init(struct question *q,
		   void (*on_verdict)(void *arg, const struct session_verdict *v), void *arg);
/* 1: *out is the answer, from the cache, valid for the call; 0: on_verdict comes; E_PEERGONE: no router. Asking replaces
 * a question that is still open. */
int verdicts_ask(struct verdicts *v, struct question *q, const struct smtp_addr *rcpt,
		 struct span sender, bool may_relay, uint64_t now_ms,
		 struct session_verdict *out) MUST_CHECK;
/* The answer is not wanted any more. */
void verdicts_cancel(struct verdicts *v, struct question *q);

/* A router is there: cached verdicts of its predecessor are void, open questions are asked again. */
void verdicts_router_up(struct verdicts *v, struct chan *c);
void verdicts_router_lost(struct verdicts *v);
void verdicts_answer(struct verdicts *v, const struct msg_rcpt_verdict *m, uint64_t now_ms);
void verdicts_epoch(struct verdicts *v, uint64_t epoch);

#endif
