/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_QUERY_H
#define ROUTER_QUERY_H

#include "router/router.h"

/* A question on its way to a decision; between resolve.c, aliases.c and hop.c. */
struct query {
	const struct conf *conf;
	const struct tables *tables;
	struct arena *a;
	const struct explain *explain;
	struct span sender;
	struct span address, local, domain; /* current; domain normalised */
	bool is_postmaster;		    /* asked for postmaster, whatever it became since */
	bool is_redirected;		    /* the option `postmaster` was used */
	bool skip_aliases;
	struct decision *out;
};

/* ---- query.c ---- */

/* The decision is: refused for good. esc and text are static or in the arena. */
void query_reject(struct query *q, uint16_t reply, const char *esc, const char *text);
/* The decision is: 451, what the administrator must mend. */
void query_defer(struct query *q, const char *esc, const char *text);
/* A table that the configuration names, NULL: "". has_failed: it could not be read so far, and the decision is made. */
const struct table *query_table(struct query *q, const char *path, bool *has_failed);
/* The current address from now on, split at its last @ (a quoted local part may hold some; a domain holds none). False: it
 * is none, and the decision is made. */
bool query_set_address(struct query *q, struct span address);
/* "local@domain" in the arena. */
struct span query_join(struct query *q, struct span local, struct span domain);
/* Local part in front of the first delimiter; all of it if there is none. */
struct span query_plain_local(const struct query *q);
/* The value for the current address: under the address, the address without its detail, or "@domain". how_out, in words,
 * says which. */
bool query_look_up(struct query *q, const struct table *t, struct span *value_out,
		   const char **how_out);

/* ---- hop.c: where an SMTP or LMTP server is found ---- */

/* The decision is: to "[host]:port", "domain:port", "domain" or "unix:/path"; 451 if text is none of these. where: who
 * said so. */
void hop_deliver_to(struct query *q, enum transport transport, struct span text, const char *where);
/* The decision is: to the mail exchangers of the current domain, or to its address literal. */
void hop_deliver_by_mx(struct query *q);
/* True: the transport table made the decision. */
bool hop_by_transport_table(struct query *q);
/* What is wrong with a value of the transport table, and what to write instead; NULL: nothing. *is_final_out: no other options
 * could make it good. */
const char *hop_transport_problem(const struct conf *conf, struct span value, bool *is_final_out);
/* The smarthost for this sender. False: there is none, or (has_failed) it cannot be told now and the decision is made. */
bool hop_find_relay_host(struct query *q, struct span *out, bool *has_failed);

/* ---- aliases.c ---- */

/* Follow aliases of one address. True: the current address stands and is to be delivered. False: the decision is made. */
bool aliases_follow(struct query *q);
/* Is there any alias? */
bool aliases_exist(const struct query *q);

#endif
