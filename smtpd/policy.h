/* SPDX-License-Identifier: ISC */
#ifndef SMTPD_POLICY_H
#define SMTPD_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "conf/addr.h"
#include "conf/conf.h"
#include "smtpd/clients.h"

/* Who may do how much. */
struct policy {
	const struct conf *conf;
	struct clients *clients;
	struct conf_net *trusted; /* relay_from */
	size_t trusted_count;
	uint32_t connections_max; /* of all workers */
	uint32_t own_max;	  /* of this worker: its descriptors */
	uint32_t own;
};

/* A client as policy sees it. */
struct policy_client {
	uint8_t family; /* 4, 6; 0: not by TCP */
	uint8_t addr[16];
	bool is_trusted;
	bool is_counted; /* policy_connect() said 0 */
	uint64_t key;
};

/* memory_bytes  of the machine, for limits { connections = 0 }
 * own_max       connections that this worker has descriptors for */
void policy_init(struct policy *p, const struct conf *conf, struct clients *clients,
		 uint64_t memory_bytes, uint32_t own_max);
/* New options; connections that stand are counted on. */
void policy_reconfigure(struct policy *p, const struct conf *conf, uint64_t memory_bytes);
void policy_clear(struct policy *p);

/* family and addr are filled in. 0, or why the connection is refused: E_OVERLOAD, E_CLIENT_CONNS, E_CLIENT_RATE. In every
 * case policy_disconnect() follows at its end. */
int policy_connect(struct policy *p, struct policy_client *c, uint64_t now_ms) MUST_CHECK;
void policy_disconnect(struct policy *p, struct policy_client *c);
/* One more message, one more recipient: 0 or E_RATE. */
int policy_message(struct policy *p, const struct policy_client *c, uint64_t now_ms) MUST_CHECK;
int policy_recipient(struct policy *p, const struct policy_client *c, uint64_t now_ms) MUST_CHECK;

/* Connections that this much memory carries. */
uint32_t policy_connections_for(uint64_t memory_bytes);

#endif
