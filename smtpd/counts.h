/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_COUNTS_H
#define SMTPD_COUNTS_H

#include "base/span.h"
#include "ipc/wire.h"
#include "smtpd/clients.h"

/* What is counted of all sessions, for `postern stats`. */
enum count {
	COUNT_CONNECTIONS,
	COUNT_MESSAGES,	  /* answered 250 */
	COUNT_RECIPIENTS, /* of these */
	COUNT_BYTES,	  /* of these, content */
	COUNT_REFUSED,	  /* connections that got no session */
	COUNT_RELAY,	  /* from here on: replies 4xx and 5xx, by reason */
	COUNT_UNKNOWN,
	COUNT_ADDRESS,
	COUNT_SIZE,
	COUNT_CONTENT,
	COUNT_RATE,
	COUNT_SYNTAX,
	COUNT_POLICY,
	COUNT_LATER,
	COUNT_ENDED,
	COUNT_COUNT
};

_Static_assert((int)COUNT_COUNT <= (int)CLIENTS_COUNTERS, "they fit the shared table");

/* Which count a refusal belongs to.
 * stage  as in the log, "CONNECT" before there is a session
 * reply  the line: code, enhanced status, text */
enum count counts_of_reject(const char *stage, struct span reply);
/* All of them, of all workers. */
void counts_read(const struct clients *c, uint64_t now_ms, struct msg_smtpd_stats *out);

#endif
