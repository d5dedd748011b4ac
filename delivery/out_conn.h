/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_CONN_H
#define DELIVERY_OUT_CONN_H

#include "delivery/agent.h"
#include "delivery/out_reason.h"
#include "delivery/out_session.h"

enum conn_state { CONN_CONNECTING, CONN_ASKED, CONN_OPENING, CONN_UP };

#define OUT_READ_BYTES 65536

/* For all connections. */
struct out_net {
	struct map64 asked; /* number of the question to master -> connection */
	uint32_t last_req;
	char read_buf[OUT_READ_BYTES];
};

struct out_sock;

struct out_conn {
	struct agent_session *as;
	struct out_timeouts timeouts;
	uint32_t connect_timeout_ms, idle_ms;
	enum conn_state state;
	uint32_t host, addr; /* the next to try */
	uint32_t attempts;
	struct out_sock *sock; /* NULL: none */
	uint32_t req;	       /* ASKED */
	bool has_session;
	struct out_session s;
	uint64_t seen_progress;
	struct list waiting; /* jobs that the core has no room for yet */
	struct timer timer;
	uint64_t open_ms;
	uint32_t connect_ms; /* told with the first result */
	bool is_closing;
	struct out_reason reason; /* of the addresses that failed */
	char relay[OUT_RELAY_MAX + 1];
};

/* Try the next address of the plan; without one the session has failed. Frees c then. */
void out_conn_try(struct out_conn *c);
/* After anything has happened to the core: write, report, feed waiting jobs, set the timer. May free c. */
void out_conn_pump(struct out_conn *c);
/* Jobs that never came to the core go back to qmgr, untried. */
void out_conn_give_back(struct out_conn *c);
/* The last word to qmgr; frees c. */
void out_conn_closed(struct out_conn *c);
void out_conn_failed(struct out_conn *c);
/* UNIX_CONNECTED and UNIX_REFUSED. */
void out_conn_on_master(struct agent *a, enum msg_type type, union msg_any *msg);
void out_conn_on_timer(void *arg);

#endif
