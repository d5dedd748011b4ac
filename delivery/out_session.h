/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_SESSION_H
#define DELIVERY_OUT_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include "base/list.h"
#include "base/span.h"
#include "delivery/job.h"
#include "delivery/out_body.h"
#include "delivery/out_caps.h"
#include "delivery/out_queue.h"
#include "smtp/reply.h"

/* The client side of one SMTP or LMTP connection as a pure state machine: the server's bytes in, our bytes out, jobs in,
 * jobs with an outcome for each recipient out. No I/O, no clock.
 *
 *	GREETING -> HELLO -> [HELO ->] READY <-> TXN      READY -> QUIT -> DEAD      any -> DEAD
 *
 * After each call the owner writes what is in s->out (out_session_sent), takes finished jobs (out_session_take_done),
 * restarts its timer with out_session_wait_ms() if s->progress has changed, and closes the connection when the state is
 * OUT_DEAD. A job may run while one more waits: its MAIL follows the last reply of the former at once. */
enum out_state { OUT_GREETING, OUT_HELLO, OUT_HELO, OUT_READY, OUT_TXN, OUT_QUIT, OUT_DEAD };

/* Milliseconds; options timeouts { } */
struct out_timeouts {
	uint32_t greeting, helo, mail, rcpt, data_init, data_block, data_end, quit;
};

struct out_params {
	bool is_lmtp;			     /* RFC 2033 */
	struct span ehlo_name;		     /* borrowed */
	const struct out_timeouts *timeouts; /* borrowed */
};

/* Why the connection ended, or why it never began. */
struct out_failure {
	uint16_t reply; /* of the server, 0: none */
	char esc[REPLY_ESC_LEN];
	struct buf text;
};

/* What the next reply answers. */
enum out_await {
	AWAIT_NOTHING,
	AWAIT_GREETING,
	AWAIT_HELLO,
	AWAIT_HELO,
	AWAIT_RSET,
	AWAIT_MAIL,
	AWAIT_RCPT,
	AWAIT_DATA,
	AWAIT_CHUNK,
	AWAIT_END,
	AWAIT_QUIT,
	AWAIT_COUNT
};

enum out_step { STEP_TODO, STEP_SENT, STEP_OK, STEP_FAILED };

/* The transaction that is under way. */
struct out_txn {
	enum out_step mail, data; /* data: DATA, or the BDAT that ends the message */
	bool is_bdat;
	bool is_rset_open;  /* RSET was sent, its reply has not come */
	bool is_body_begun; /* a byte of content was queued */
	bool is_body_done;  /* all of the message was queued */
	bool is_hollow; /* 354 although no recipient was accepted: a lone dot follows, RFC 2920 3.1 */
	uint32_t *order; /* recipients to ask for, indexes of env.rcpts */
	uint32_t count;
	uint32_t rcpt_sent, rcpt_answered, rcpt_ok;
	uint32_t chunks_open; /* BDAT without LAST whose reply has not come */
	uint32_t end_count,
		end_answered; /* replies to the end of the message: one, LMTP one for each accepted */
	bool is_end_ok;	      /* one of them was 2xx */
	uint32_t end_at;      /* place in order to look for the next accepted recipient (LMTP) */
	struct out_body body;
};

struct out_session {
	struct out_params params;
	enum out_state state;
	struct out_caps caps;
	struct out_queue out; /* what is to be written */
	struct reply_parser in;
	struct job *job;  /* running */
	struct job *next; /* waiting for its turn */
	struct list done; /* settled, not yet taken by the owner */
	struct out_txn txn;
	uint32_t txn_count;	    /* transactions that were begun on this connection */
	bool needs_rset;	    /* the server may hold the rest of a failed transaction */
	bool is_quitting;	    /* QUIT after the running job */
	uint64_t progress;	    /* changes whenever the timer is to be restarted */
	struct out_failure failure; /* once DEAD */
};

void out_session_init(struct out_session *s, const struct out_params *p);
/* Frees everything, jobs too. */
void out_session_clear(struct out_session *s);

/* Bytes of the server. */
void out_session_input(struct out_session *s, struct span bytes);
/* n bytes of s->out were written. */
void out_session_sent(struct out_session *s, size_t n);
/* Nothing came for out_session_wait_ms(). */
void out_session_timeout(struct out_session *s);
/* The connection broke; reason: "connection closed by the server", or of errno. */
void out_session_broken(struct out_session *s, const char *reason);
/* The owner gives the connection up at once: what is not settled is deferred, with these flags. */
void out_session_give_up(struct out_session *s, uint8_t flags, struct span why);

/* Take a job (ownership). Only if out_session_has_room(): READY, or one is running and none waits. */
void out_session_add(struct out_session *s, struct job *j);
bool out_session_has_room(const struct out_session *s);
/* Content of the running or waiting job was added, or the job was marked is_aborted. */
void out_session_data(struct out_session *s, struct job *j);
/* QUIT when the running job is done; before READY: the connection is closed. Waiting jobs are given back untried. */
void out_session_quit(struct out_session *s);

/* A settled job (ownership), NULL: none. */
struct job *out_session_take_done(struct out_session *s);
/* Will the connection take another job? */
bool out_session_is_up(const struct out_session *s);
/* How long to wait for what is next; 0: for nothing (READY). */
uint32_t out_session_wait_ms(const struct out_session *s);
enum out_await out_session_await(const struct out_session *s);

/* ---- between out_session.c and out_txn.c ---- */

/* End the connection: settle what is not settled, both jobs done, state DEAD. `o` says why. */
void out_session_die(struct out_session *s, const struct outcome *o);
/* The running job is settled: READY, and the next one begins, or QUIT goes out. */
void out_session_job_done(struct out_session *s);
/* "421 4.3.2 text" as an outcome; esc must live as long as the outcome. */
struct outcome out_session_outcome(const struct reply *r, const char *esc, struct buf *text);

#endif
