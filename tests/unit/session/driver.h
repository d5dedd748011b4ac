/* SPDX-License-Identifier: ISC */
#ifndef TESTS_SESSION_DRIVER_H
#define TESTS_SESSION_DRIVER_H

#include "base/buf.h"
#include "session/session.h"

/* An owner of one session without a network: it feeds bytes in reads of any size, answers what the session asks, at once
 * or later, and keeps what came of it. Deterministic: its clock stands unless the test moves it. */
struct driver {
	struct session s;
	struct session_conf conf;
	struct session_client client;
	uint64_t now_ms;
	struct buf in;	     /* not taken yet */
	struct buf replies;  /* all that was sent */
	struct buf rejects;  /* "STAGE reply\n" */
	struct buf streamed; /* content of the message under way */
	struct buf
		mail; /* of all stored messages: "from=.. rcpts=.. proto=.. [flags]\n" and content */
	struct buf trace; /* of the last one */
	uint64_t qid;	  /* last one given out */
	unsigned stored, received, dropped;
	/* What it answers. */
	bool is_async;	    /* verdicts and commits come after the call */
	bool holds_answers; /* no answer comes until driver_answer() */
	int may_mail, commit, stream_fail;
	unsigned room_every; /* every n-th stream call asks to wait; 0: none */
	/* What is open. */
	bool rcpt_is_open, commit_is_open, room_is_open;
	char rcpt[512];
	const struct session_message *msg;
	unsigned stream_calls;
};

void driver_init(struct driver *d);
void driver_start(struct driver *d);
/* Feed in reads of `step` bytes (0: at once) and answer what is asked. */
void driver_feed(struct driver *d, struct span in, size_t step);
/* Answer what is open now. False: nothing is. */
bool driver_answer(struct driver *d);
/* Let time pass: to each deadline up to now + ms. */
void driver_wait(struct driver *d, uint64_t ms);
void driver_clear(struct driver *d);

#endif
