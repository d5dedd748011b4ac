/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include "base/arena.h"
#include "base/map.h"
#include "conf/conf.h"
#include "ipc/plan.h"
#include "router/table_text.h"

/* How an address is resolved:
 *
 *	main      questions of siblings, tables from master		(channels)
 *	resolve   aliases, hop (transport table, smarthosts), domain classes: decides	(pure: tables in, decision out)
 *	site      what a decision needs of DNS: hosts, addresses, the name of the lane (site_hosts), looked up and kept (site)
 *	dns       libunbound
 */

/* Tables by path; a path that the configuration names and that cannot be read now has none. */
struct tables {
	struct map by_path; /* path -> struct table */
};
const struct table *tables_get(const struct tables *t, const char *path);

/* ---- resolve.c ---- */

/* Where a next hop is looked up. */
enum hop_kind {
	HOP_NONE,
	HOP_MX,	  /* by the MX records of a domain */
	HOP_HOST, /* this host, named by the administrator or by an address literal */
	HOP_UNIX  /* a Unix socket */
};

struct hop {
	enum hop_kind kind;
	struct span name; /* domain, host, IP address without brackets, or path */
	uint16_t port;
	bool is_named; /* by the administrator: may be this machine */
};

/* Addresses of an expansion as they stand in a message, with their lengths. */
#define EXPANSION_BYTES_MAX 4194304u

/* What the tables say. */
struct decision {
	enum route_action action;
	uint16_t reply; /* REJECT, TEMPFAIL */
	const char *esc;
	struct span text;
	bool is_ours;		  /* we are responsible for it: strangers may send to it */
	bool is_domain_wide;	  /* the same for every plain local part of the domain */
	enum transport transport; /* DELIVER */
	struct hop hop;
	struct span base, path; /* MAILDIR */
	struct span
		final; /* address after aliases of one address; the question's if there were none */
	struct span *expansion; /* EXPAND */
	uint32_t expansion_count;
};

/* One line of explanation. */
struct explain {
	void (*say)(void *arg, struct span line);
	void *arg;
};

struct resolve_question {
	struct span address;
	struct span sender; /* empty: null sender */
	bool skip_aliases;  /* it came out of its own alias */
};

/* Decide what happens to mail for an address. Everything in *out lives as long as the arena, the tables and the options.
 * No DNS, no I/O. explain may be NULL. */
void resolve_decide(const struct conf *conf, const struct tables *tables,
		    const struct resolve_question *question, struct arena *a,
		    const struct explain *explain, struct decision *out);
void explain_say(const struct explain *e, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Domain in lower case and as A-labels. E_ADDR_SYNTAX. */
int resolve_normalize_domain(struct span domain, struct arena *a, struct span *out) MUST_CHECK;

/* ---- dns.c ---- */

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_MX = 15 };
enum dns_status {
	DNS_OK, /* records, or none of this type */
	DNS_NXDOMAIN,
	DNS_FAILED /* timeout, SERVFAIL, bogus, loop: try again later */
};

struct dns_mx {
	uint16_t preference;
	char name
		[256]; /* lower case, without the last dot; "": the null MX; ".": no host can be called so */
};

struct dns_answer {
	enum dns_status status;
	const char *why; /* DNS_FAILED: for a person */
	uint32_t ttl_s;
	uint32_t count; /* of the one that was asked for */
	struct dns_mx *mx;
	struct plan_addr *addrs;
};

struct dns;
struct uv_loop_s;
struct timer_set;
/* Before the sandbox: reads the files, of which it keeps no descriptor. resolv_conf_fd, hosts_fd may be -1. */
struct dns *dns_new(const struct conf *conf, int resolv_conf_fd, int hosts_fd);
/* In the sandbox and the loop. E_IO, E_INTERNAL: libunbound cannot be had. */
int dns_start(struct dns *d, struct uv_loop_s *loop, struct timer_set *timers,
	      const struct conf *conf) MUST_CHECK;
/* New options, or a changed "hosts" or "resolv.conf" (fd stays the caller's). Questions in flight are asked again when
 * the servers changed. Errors as above: then all questions fail until it is called again. */
int dns_configure(struct dns *d, const struct conf *conf) MUST_CHECK;
int dns_file(struct dns *d, const char *name, int fd, const struct conf *conf) MUST_CHECK;
/* One question; done is called once, also after the time is up, possibly before this returns. The answer lives until done returns. */
void dns_ask(struct dns *d, const char *name, enum dns_type type,
	     void (*done)(void *arg, const struct dns_answer *a), void *arg);
/* Addresses of a name in the text of the hosts file. */
uint32_t dns_hosts_find(const struct dns *d, struct span name, struct plan_addr *out, uint32_t max);
unsigned dns_in_flight(const struct dns *d);
uint64_t dns_asked(const struct dns *d);
uint64_t dns_failed(const struct dns *d);

/* ---- site.c, site_hosts.c ---- */

/* A next hop made ready. */
struct site {
	enum route_action action; /* DELIVER, REJECT, TEMPFAIL */
	uint16_t reply;
	const char *esc;
	const char *text;
	const char *name; /* lane */
	struct plan plan; /* hosts only; transport and domain are the caller's */
	uint32_t ttl_s;
};

struct sites;
struct sites *sites_new(struct dns *d, const struct conf *conf);
/* Nothing may be waiting for DNS. */
void sites_free(struct sites **s);
/* Addresses of this machine: a mail exchanger with one of them, where we listen, is ourselves. Copied. */
void sites_set_own(struct sites *s, const struct plan_addr *addrs, uint32_t count);
/* Forget everything (new options). */
void sites_clear(struct sites *s, const struct conf *conf);
/* done is called once, possibly before this returns; the site is borrowed for the call. explain, if not NULL, must live
 * until then. */
void sites_find(struct sites *s, const struct hop *hop, const struct explain *explain,
		void (*done)(void *arg, const struct site *site), void *arg);
uint64_t sites_hits(const struct sites *s);

#endif
