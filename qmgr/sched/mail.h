/* SPDX-License-Identifier: ISC */
#ifndef QMGR_MAIL_H
#define QMGR_MAIL_H

#include "base/arena.h"
#include "ipc/plan.h"
#include "qmgr/sched/entry.h"
#include "qmgr/store/store.h"
#include "spool/envelope.h"

/* What scheduling keeps of a message or of one recipient while something is done with it. */
struct sched;

/* ---- reading a message ---- */

/* spool_open() calls back perhaps before it returns; this one never does, so the owner may free itself in done(). */
struct reading {
	struct spool_reader *reader; /* NULL: none is open */
	bool is_opening, is_early;
	int err;
	const struct spool_msg *msg;
	void (*done)(void *arg, int err, const struct spool_msg *msg);
	void *arg;
};
void reading_start(struct reading *r, struct spool *sp, uint64_t number, const struct place *at,
		   void (*done)(void *arg, int err, const struct spool_msg *msg), void *arg);
/* Closes the reader; done() is not called any more. */
void reading_end(struct reading *r);
bool reading_is_open(const struct reading *r);

/* ---- facts of one recipient: all that its outcome needs ---- */

struct facts {
	uint64_t number, qid, arrival_ms;
	uint32_t index;
	uint32_t attempts;		  /* made before */
	uint32_t flags;			  /* enum entry_flag */
	struct span address, orcpt, orig; /* orig empty: address */
	struct span sender;		  /* who gets a report; empty: nobody */
	struct span sid;		  /* session of the intake, for the log; may be empty */
	uint8_t notify;			  /* ENV_NOTIFY_* */
	bool is_child;
	bool is_single; /* the message has no other recipient and no row */
	uint8_t depth;
	uint32_t parent;
	struct place place;
	/* Of the last attempt, for a row that moves to another lane without one. */
	uint64_t last_ms;
	uint16_t reply;
	struct span esc, text, relay;
};

/* What was tried, and how it went. */
struct attempt {
	enum outcome_status status;
	uint8_t flags; /* OUTCOME_* */
	uint16_t reply;
	struct span esc, text, relay, tls;
	uint32_t connect_ms, transmit_ms;
	uint64_t begun_ms; /* wall clock, when it began */
	int transport;	   /* enum transport, -1: none (router's answer, expiry) */
	bool is_discarded; /* DELIVERED to nowhere, as configured */
	bool is_put_off; /* nothing was tried: the site is suspended, its last answer holds; this expires nobody */
	bool is_uncounted; /* nothing was tried at all */
	uint64_t due_ms;   /* when to try again; 0: by the back-off of this recipient */
	struct span lane;  /* of the row, if it is deferred */
};

/* What is kept of a message while its job runs: the envelope with the recipients of the job only, in its order. */
struct mail {
	uint64_t number, qid, arrival_ms;
	uint32_t rcpt_count; /* of the whole message */
	struct arena arena;
	struct envelope env; /* into the arena */
};

/* E_CORRUPT: the envelope cannot be read. Recipients that are neither in the envelope nor in memory have no address. */
int mail_new(struct sched *s, const struct spool_msg *msg, const uint32_t *indexes, uint32_t count,
	     struct mail **out) MUST_CHECK;
void mail_free(struct mail **m);
/* Of the i-th of its recipients; e: its entry, NULL: none in memory. */
void mail_facts(const struct mail *m, uint32_t i, const struct entry *e, struct facts *out);
void facts_of_row(const struct row *row, struct facts *out);
/* Of a message at hand and one recipient of its envelope. */
void facts_of_msg(const struct spool_msg *msg, const struct envelope *env,
		  const struct env_rcpt *rcpt, struct facts *out);
/* Copy everything that spans point to into the arena. */
void facts_copy(struct arena *a, const struct facts *from, struct facts *out);

#endif
