/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_SUBMIT_H
#define SMTPD_SUBMIT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/id.h"
#include "base/list.h"
#include "base/map.h"
#include "ipc/chan.h"
#include "session/session.h"

/* Messages on their way to qmgr: kept until STORED, handed over again to a restarted qmgr. */
struct submit {
	struct chan *qmgr; /* NULL: none now */
	int state;	   /* 0: mail is taken; else E_* */
	struct id_gen ids;
	struct map64 open;   /* queue id -> struct submission */
	struct list queue;   /* complete messages to be sent, those sent before first */
	struct list waiting; /* streams that want room */
	bool owes_inventory; /* INVENTORY_END is not sent yet */
};

/* A message, embedded in who hands it over. */
struct submission {
	struct list node;		   /* in queue or waiting */
	uint64_t qid;			   /* 0: nothing is open */
	const struct session_message *msg; /* NULL: still streaming */
	uint32_t unread_bytes;		   /* streamed and without credit */
	bool is_streamed, is_sent;
	bool wants_room;
	void (*on_room)(void *arg);
	void (*on_done)(
		void *arg,
		int code); /* 0: on stable storage; E_*; may be called while still streaming */
	void *arg;
};

void submit_init(struct submit *s, uint16_t slot);
void submit_clear(struct submit *s);
/* A queue id, also for session ids: one sequence. */
uint64_t submit_new_id(struct submit *s);

void submission_init(struct submission *m, void (*on_room)(void *arg),
		     void (*on_done)(void *arg, int code), void *arg);
/* Next bytes of a stream that goes under qid. 1: go on; 0: on_room comes; E_PEERGONE. */
int submit_stream(struct submit *s, struct submission *m, uint64_t qid,
		  struct span data) MUST_CHECK;
/* Store it. The message is borrowed until on_done or submit_drop(). */
void submit_message(struct submit *s, struct submission *m, const struct session_message *msg);
/* Forget it; what was streamed is thrown away by qmgr, what was handed over whole may still be stored. */
void submit_drop(struct submit *s, struct submission *m);

void submit_qmgr_up(struct submit *s, struct chan *c);
void submit_qmgr_lost(struct submit *s);
void submit_qmgr_room(struct submit *s); /* the channel takes more */
void submit_intake_state(struct submit *s, const struct msg_intake_state *m);
void submit_stored(struct submit *s, uint64_t qid);
void submit_refused(struct submit *s, uint64_t qid, unsigned code);
void submit_credit(struct submit *s, uint64_t qid, uint32_t bytes);

#endif
