/* SPDX-License-Identifier: ISC
 *
 * What is counted of all sessions of all workers, and under which name a refusal goes. The numbers lie in the table that
 * the workers share (clients.c), so they outlive a worker that is replaced or crashes. Runs in smtpd. */

/* System */
#include <string.h>
/* this program */
#include "smtpd/counts.h"

/* The first that fits. */
static const struct {
	const char *start;
	enum count which;
} reasons[] = {
	{ "550 5.7.1 ", COUNT_RELAY },	 { "550 5.1.1 ", COUNT_UNKNOWN },
	{ "550 5.1.", COUNT_ADDRESS },	 { "553 ", COUNT_ADDRESS },
	{ "556 ", COUNT_ADDRESS },	 { "552 ", COUNT_SIZE },
	{ "550 5.6.0 ", COUNT_CONTENT }, { "554 5.4.6 ", COUNT_CONTENT },
	{ "450 4.7.1 ", COUNT_RATE },	 { "452 4.5.3 ", COUNT_RATE },
	{ "421 ", COUNT_ENDED },	 { "4", COUNT_LATER },
	{ "50", COUNT_SYNTAX },		 { "555 ", COUNT_SYNTAX },
};

enum count
counts_of_reject(const char *stage, struct span reply)
{
	if (strcmp(stage, "CONNECT") == 0)
		return COUNT_REFUSED;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (span_starts(reply, span_of(reasons[i].start)))
			return reasons[i].which;
	return COUNT_POLICY;
}

void
counts_read(const struct clients *c, uint64_t now_ms, struct msg_smtpd_stats *out)
{
	out->sessions = clients_total(c, now_ms);
	out->connections = clients_counted(c, COUNT_CONNECTIONS);
	out->messages = clients_counted(c, COUNT_MESSAGES);
	out->recipients = clients_counted(c, COUNT_RECIPIENTS);
	out->bytes = clients_counted(c, COUNT_BYTES);
	out->refused = clients_counted(c, COUNT_REFUSED);
	out->relay = clients_counted(c, COUNT_RELAY);
	out->unknown = clients_counted(c, COUNT_UNKNOWN);
	out->address = clients_counted(c, COUNT_ADDRESS);
	out->size = clients_counted(c, COUNT_SIZE);
	out->content = clients_counted(c, COUNT_CONTENT);
	out->rate = clients_counted(c, COUNT_RATE);
	out->syntax = clients_counted(c, COUNT_SYNTAX);
	out->policy = clients_counted(c, COUNT_POLICY);
	out->later = clients_counted(c, COUNT_LATER);
	out->ended = clients_counted(c, COUNT_ENDED);
}
