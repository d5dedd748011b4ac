/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_SITE_INT_H
#define ROUTER_SITE_INT_H

#include "base/list.h"
#include "router/router.h"

/* What site.c (lookups, and what is kept) and site_hosts.c (which hosts in which order, whether one is ourselves, what the site
 * is called) share. Nobody else includes it. */

#define HOSTS_MAX 20 /* mail exchangers looked up, best first */
#define ADDRS_PER_HOST 16

struct host {
	char name[256];
	uint16_t preference;
	struct plan_addr addrs[ADDRS_PER_HOST];
	uint32_t addr_count;
	bool is_failed; /* its addresses could not be had now */
};

struct lookup {
	struct sites *s;
	struct list node;   /* of sites.order */
	struct arena arena; /* of the finished site */
	char *key;
	enum hop_kind kind;
	const char *name; /* in the arena */
	uint16_t port;
	bool is_named;
	bool is_done;
	struct waiter *waiters;
	struct host *hosts;
	uint32_t host_count;
	unsigned waiting; /* answers to come */
	uint32_t ttl_s;
	uint64_t until_ms; /* kept until, monotonic */
	bool is_stale;	   /* not in the map any more: freed when done */
	struct site site;
};

struct sites {
	struct dns *dns;
	const struct conf *conf;
	struct map by_key;
	struct list order; /* all in by_key, oldest first */
	uint64_t hits;
	struct plan_addr *own; /* addresses of this machine */
	uint32_t own_count;
};

/* ---- site.c ---- */

/* A line for all who want an explanation. */
void lookup_say(const struct lookup *l, const char *line);

/* ---- site_hosts.c ---- */

/* Hosts of a lookup, of which there are none yet: one, or the best of these mail exchangers whose names a host can have, best
 * first, equal ones in random order. RFC 5321 5.1 */
void hosts_set(struct lookup *l, const char *name);
void hosts_set_mx(struct lookup *l, const struct dns_mx *mx, uint32_t count);
/* An IP address as text, without brackets. */
bool hosts_parse_literal(const char *name, struct plan_addr *out);
/* As many addresses as it may have; for a stranger's domain none that is this machine's or nobody's. */
void hosts_add_addrs(const struct lookup *l, struct host *h, const struct plan_addr *addrs,
		     uint32_t count);
/* Drop our own place among the hosts and all that are not better, known by our name or, once the addresses are there, by an
 * address where we listen. False: nobody is left. RFC 5321 5.1 */
bool hosts_drop_own_name(struct lookup *l);
bool hosts_drop_own_addrs(struct lookup *l);
/* Fill the plan and the name of the site with the hosts that have addresses. Returns how many hosts that are; 0: no name. */
uint32_t hosts_make_site(struct lookup *l);

#endif
