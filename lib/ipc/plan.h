/* SPDX-License-Identifier: ISC */
#ifndef IPC_PLAN_H
#define IPC_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* Values that stand inside messages of messages.def: what router, qmgr, delivery and control tell each other. */

enum route_action {
	ROUTE_REJECT,	/* permanent: reply, esc, text */
	ROUTE_TEMPFAIL, /* not now: reply, esc, text */
	ROUTE_DISCARD,	/* done, nothing is sent */
	ROUTE_EXPAND,	/* becomes other addresses */
	ROUTE_DELIVER,	/* plan and site */
	ROUTE_ACTION_COUNT
};

enum transport { TRANSPORT_SMTP, TRANSPORT_LMTP, TRANSPORT_MAILDIR, TRANSPORT_COUNT };

enum plan_tls { PLAN_TLS_NONE, PLAN_TLS_MAY, PLAN_TLS_ENCRYPT, PLAN_TLS_VERIFY, PLAN_TLS_COUNT };

/* One address of a next hop. */
struct plan_addr {
	uint8_t family;	  /* 4, 6 */
	uint8_t addr[16]; /* network order; IPv4 in the first 4 */
};

struct plan_host {
	struct span name; /* host name, or path of a Unix socket */
	bool is_unix;
	uint16_t port;
	uint16_t preference; /* of the MX record */
	struct plan_addr *addrs;
	uint32_t addr_count;
};

/* How to reach a next hop. PLAN_LOOPBACK_OK: the administrator named the host, so it may be this machine. */
#define PLAN_LOOPBACK_OK 1u
struct plan {
	enum transport transport;
	enum plan_tls tls;
	uint32_t flags;
	struct span domain;	 /* next-hop domain, for the log and later for TLS names */
	struct plan_host *hosts; /* in the order to try */
	uint32_t host_count;
	struct span base; /* MAILDIR: mailbox_base as configured, names FILE_ADD "dir:..." */
	struct span path; /* MAILDIR: below base, ends in / */
};

#define PLAN_MAX_HOSTS 64
#define PLAN_MAX_ADDRS 64

void plan_encode(struct buf *b, const struct plan *p);
/* Spans point into `in`, arrays into the arena. E_CORRUPT. */
int plan_decode(struct span in, struct arena *a, struct plan *out) MUST_CHECK;

enum session_state { SESSION_UP, SESSION_FAILED, SESSION_CLOSED, SESSION_STATE_COUNT };

enum outcome_status { OUTCOME_DELIVERED, OUTCOME_DEFERRED, OUTCOME_BOUNCED, OUTCOME_STATUS_COUNT };

/* OUTCOME_NOT_TRIED: the connection broke before this recipient's fate was asked for; does not count as an attempt.
 * OUTCOME_NO_DSN_SUPPORT: delivered to a next hop without DSN, so a success report "relayed" is ours (RFC 3461 5.2.2). */
#define OUTCOME_NOT_TRIED 1u
#define OUTCOME_NO_DSN_SUPPORT 2u
struct outcome {
	uint32_t index; /* of the recipient in the message */
	enum outcome_status status;
	uint8_t flags;
	uint16_t reply;	  /* SMTP reply code, 0: none */
	struct span esc;  /* "2.0.0" */
	struct span text; /* reply text, lines joined with a blank, <= 1000 bytes, no CR LF NUL */
};

void outcome_put(struct buf *b, const struct outcome *o);
struct cur;
int outcome_get(struct cur *c, struct outcome *out) MUST_CHECK;

enum queue_verb {
	QUEUE_LIST,
	QUEUE_SHOW,
	QUEUE_CAT,
	QUEUE_FLUSH,
	QUEUE_HOLD,
	QUEUE_RELEASE,
	QUEUE_DELETE,
	QUEUE_RETRY,
	QUEUE_VERB_COUNT
};

#define SUBMIT_AGAIN 1u
#define SUBMIT_STREAMED 2u
#define STREAM_WINDOW_BYTES 262144u
#define STREAM_CHUNK_BYTES 65536u

#endif
