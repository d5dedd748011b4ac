/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_JOB_H
#define DELIVERY_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/span.h"
#include "ipc/plan.h"
#include "ipc/wire.h"
#include "spool/envelope.h"

#define JOB_TEXT_MAX 1000	 /* reply text of one recipient */
#define JOB_OUTCOMES_MAX 1048576 /* RESULT.outcomes */

/* One message for some of its recipients, as qmgr gave it, and what became of each. It owns copies of everything. */
struct job {
	struct list node; /* of its holder; a ring of its own otherwise */
	uint64_t id, qid, number;
	uint32_t session;
	uint32_t content_flags; /* enum record_content: hints */
	uint64_t content_len;
	struct arena mem;
	struct envelope env;
	struct span trace;   /* sent in front of the content, CRLF lines */
	struct span content; /* all of it; empty if it is streamed */
	bool is_streamed;
	bool is_aborted;	  /* the content will never be complete */
	bool is_told;		  /* a new qmgr knows that it runs here */
	struct buf pending;	  /* streamed content that was not yet taken */
	uint64_t received;	  /* bytes that ever came into pending */
	uint32_t credit;	  /* bytes taken from pending that qmgr was not told of */
	struct outcome *outcomes; /* one for each recipient of env */
	bool *is_settled;
	uint32_t unsettled;
	size_t text_max;	   /* longest text, so that all outcomes fit into one RESULT */
	uint64_t start_ms, end_ms; /* monotonic; 0: not yet */
};

/* A job from a JOB message. E_CORRUPT: the envelope cannot be read, or has no recipient. */
int job_new(const struct msg_job *m, struct job **out) MUST_CHECK;
void job_free(struct job **j);
/* The next part of streamed content. E_CORRUPT: more than announced, or than credit was given for. */
int job_add_data(struct job *j, struct span data) MUST_CHECK;
/* The first n bytes of pending were used. */
void job_take_data(struct job *j, size_t n);
/* Streamed: every byte has come. */
bool job_has_all(const struct job *j);

/* Settle recipient i of env for good; esc and text of o are copied (and text cut), its index is set. What is settled
 * already stays as it is. */
void job_settle(struct job *j, uint32_t i, const struct outcome *o);
/* Settle all that are not settled. */
void job_settle_rest(struct job *j, const struct outcome *o);
/* Encoded outcomes, for RESULT. */
void job_put_outcomes(const struct job *j, struct buf *out);
/* An outcome of our own making: no reply code, esc and text of the error unless text is given. NOT_TRIED by flags. */
struct outcome job_error(int err, uint8_t flags, struct span text);

#endif
