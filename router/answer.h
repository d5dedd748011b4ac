/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_ANSWER_H
#define ROUTER_ANSWER_H

#include "router/router.h"
#include "svc/svc.h"

/* The process. */
struct router {
	struct svc *svc;
	struct timer_set *timers;
	struct tables tables;
	struct dns *dns;
	struct sites *sites;
	uint64_t epoch; /* of tables and options, rising */
	uint64_t checks, resolves;
};

void answer_peer(struct router *r, struct chan *c);
void answer_peer_lost(struct router *r, struct chan *c);
void answer_msg(struct router *r, struct chan *c, enum msg_type type, union msg_any *msg);
/* A table came or changed; takes fd. One that does not parse keeps the old one and warns, as does a transport table with a
 * value that means nothing. */
void answer_table(struct router *r, const struct conf *conf, const char *path, int fd);
void answer_table_gone(struct router *r, const char *path, const char *reason);
/* Other options: tables that they do not name are dropped. */
void answer_conf(struct router *r);

#endif
