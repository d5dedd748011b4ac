/* SPDX-License-Identifier: ISC */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "ipc/admin.h"
#include "loop/timer.h"
#include "svc/svc.h"

#define CONTROL_CLIENTS 64	    /* at a time */
#define CONTROL_CLIENTS_PER_USER 16 /* not for administrators */

/* The process: its clients, and the questions that siblings have not answered. */
struct control {
	struct svc *svc;
	struct timer_set *timers;
	struct list clients;
	unsigned client_count;
	struct map64 requests; /* req -> struct client */
	uint32_t last_req;
	uint32_t admin_gid; /* group postern; (uint32_t)-1: there is none */
	struct listener *listeners;
};

/* One connection of a local user: one request, its answers. */
struct client;

/* ---- conn.c: sockets ---- */

void conn_listen(struct control *ctl, int fd);
void conn_close_all(struct control *ctl);
/* Queue an answer. DONE ends the connection once it is written. */
void conn_answer(struct client *cl, const struct admin_answer *a);
/* Everything queued was written. */
bool conn_is_drained(const struct client *cl);

/* ---- requests.c: what is asked ---- */

struct client {
	struct list node;
	struct control *ctl;
	struct conn *conn;
	uint32_t uid;
	bool is_admin;
	uint32_t req; /* 0: nothing asked yet */
	enum admin_kind kind;
	unsigned waiting; /* answers of siblings still to come (STATS) */
	bool is_more_due; /* qmgr waits for QUEUE_MORE */
	unsigned items;	  /* since the last QUEUE_MORE */
};

/* A request came in. */
void request_start(struct client *cl, const struct admin_request *r);
/* The client took everything: let qmgr go on. */
void request_drained(struct client *cl);
/* The client is gone. */
void request_end(struct client *cl);
/* A sibling answered. */
void request_on_msg(struct control *ctl, struct chan *c, enum msg_type type, union msg_any *msg);
void request_on_peer_lost(struct control *ctl, enum proc_id kind);

#endif
