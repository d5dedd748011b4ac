/* SPDX-License-Identifier: ISC
 *
 * Makes a next hop ready: MX records, addresses of the hosts, the order to try them, and the name of the site, so that all
 * domains of one provider share a lane and its limits. Answers are kept until their TTL; the same question asked twice at
 * a time is asked once. Runs in router.
 *
 *	find -> kept? done : MX asked -> addresses of each host asked -> assembled -> kept, all who wait are told
 */
/* System */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* lib */
#include "base/clock.h"
#include "base/crc.h"
#include "base/id.h"
#include "base/list.h"
#include "base/mem.h"

/* this program */
#include "router/router.h"

#define HOSTS_MAX 20 /* mail exchangers looked up, best first */
#define ADDRS_PER_HOST 16
#define KEPT_MAX 20000
#define TTL_STATIC_S 300
#define TTL_FAILED_S 5
#define COMES_BACK "mail for this domain would come back to this server"

struct waiter {
	struct waiter *next;
	const struct explain *explain;
	void (*done)(void *arg, const struct site *site);
	void *arg;
};

struct host {
	char name[256];
	uint16_t preference;
	struct plan_addr addrs[ADDRS_PER_HOST];
	uint32_t addr_count;
	bool is_failed; /* its addresses could not be had now */
	bool is_removed;
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

/* Passed to dns_ask for one host's addresses. */
struct host_ask {
	struct lookup *l;
	uint32_t index;
};

struct sites *
sites_new(struct dns *d, const struct conf *conf)
{
	struct sites *s = mem_zalloc(sizeof(*s));

	s->dns = d;
	s->conf = conf;
	map_init(&s->by_key);
	list_init(&s->order);
	return s;
}

static void
lookup_free(struct lookup *l)
{
	arena_clear(&l->arena);
	mem_free(l->hosts);
	mem_free(l->key);
	mem_free(l);
}

/* Take a lookup out of the map; a running one is freed when it is done. */
static void
forget(struct sites *s, struct lookup *l)
{
	map_del(&s->by_key, span_of(l->key));
	list_remove(&l->node);
	if (l->is_done)
		lookup_free(l);
	else
		l->is_stale = true;
}

void
sites_clear(struct sites *s, const struct conf *conf)
{
	struct span key;
	void *v;

	s->conf = conf;
	for (size_t it = 0; map_next(&s->by_key, &it, &key, &v);)
		forget(s, v);
}

void
sites_free(struct sites **s)
{
	sites_clear(*s, (*s)->conf);
	map_clear(&(*s)->by_key);
	mem_free((*s)->own);
	mem_free(*s);
	*s = NULL;
}

/* ---- the end of a lookup ---- */

static void
say(const struct lookup *l, const char *line)
{
	for (const struct waiter *w = l->waiters; w != NULL; w = w->next)
		explain_say(w->explain, "%s", line);
}

static void
finish(struct lookup *l)
{
	struct waiter *w = l->waiters, *next;

	l->is_done = true;
	l->waiters = NULL;
	mem_free(l->hosts);
	l->hosts = NULL;
	l->site.ttl_s = l->ttl_s;
	l->until_ms = clock_mono_ms() + (uint64_t)l->ttl_s * 1000;
	for (; w != NULL; w = next) {
		next = w->next;
		w->done(w->arg, &l->site);
		mem_free(w);
	}
	if (l->is_stale)
		lookup_free(l);
}

static void
fail(struct lookup *l, enum route_action action, uint16_t reply, const char *esc, const char *text)
{
	char line[600];

	/* What the administrator named is a mistake of ours, which must not cost mail. */
	if (l->is_named && action == ROUTE_REJECT) {
		action = ROUTE_TEMPFAIL;
		reply = 451;
		esc = "4.4.4";
	}
	l->site.action = action;
	l->site.reply = reply;
	l->site.esc = esc;
	l->site.text = arena_printf(&l->arena, "%s: %s", l->name, text);
	if (action == ROUTE_TEMPFAIL)
		l->ttl_s = TTL_FAILED_S;
	snprintf(line, sizeof(line), "%s %u %s %s",
		 action == ROUTE_REJECT ? "refused:" : "not now:", reply, esc, l->site.text);
	say(l, line);
	finish(l);
}

/* ---- addresses ---- */

/* An address that DNS may name for a stranger's domain: this machine is none of them. */
static bool
is_foreign(const struct plan_addr *a)
{
	static const unsigned char zero[16],
		mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
	const unsigned char *p = a->addr;

	if (a->family == 6 && memcmp(p, mapped, 12) == 0)
		p += 12;
	else if (a->family == 6)
		return memcmp(p, zero, 15) != 0 && p[0] != 0xff &&
		       !(p[0] == 0xfe && (p[1] & 0xc0) == 0x80);
	return p[0] != 127 && p[0] != 0 && p[0] < 224 && !(p[0] == 169 && p[1] == 254);
}

static bool
parse_literal(const char *name, struct plan_addr *out)
{
	memset(out, 0, sizeof(*out));
	out->family = 4;
	if (inet_pton(AF_INET, name, out->addr) == 1)
		return true;
	out->family = 6;
	return inet_pton(AF_INET6, name, out->addr) == 1;
}

static void
add_addrs(struct lookup *l, struct host *h, const struct plan_addr *addrs, uint32_t n)
{
	for (uint32_t i = 0; i < n && h->addr_count < ADDRS_PER_HOST; i++) {
		if (l->is_named || is_foreign(&addrs[i]))
			h->addrs[h->addr_count++] = addrs[i];
	}
}

/* ---- ourselves ---- */

/* Our own place among the hosts: it and all that are not better would bring the mail back.      RFC 5321 5.1 */
static void
drop_from(struct lookup *l, uint16_t own)
{
	char line[400];

	while (l->host_count > 0 && l->hosts[l->host_count - 1].preference >= own)
		l->host_count--;
	snprintf(line, sizeof(line),
		 "this server is a mail exchanger with preference %u: only better ones are tried",
		 own);
	say(l, line);
}

static void
drop_own_name(struct lookup *l)
{
	for (uint32_t i = 0; i < l->host_count; i++) {
		if (strcasecmp(l->hosts[i].name, l->s->conf->hostname) == 0) {
			drop_from(l, l->hosts[i].preference);
			return;
		}
	}
}

static bool
is_same_addr(const struct plan_addr *a, const struct plan_addr *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, a->family == 4 ? 4 : 16) == 0;
}

/* Does this listener take connections to the address? "*" and the address of zeros stand for all of this machine. */
static bool
is_listening(const struct sites *s, const struct conf_listen *listener, const struct plan_addr *a)
{
	struct span text = span_of(listener->address);
	struct plan_addr bound, none = { 0 };
	char name[64];

	if (text.n > 1 && text.p[0] == '[')
		text = span_sub(text, 1, text.n - 2);
	snprintf(name, sizeof(name), "%.*s", SPAN_ARG(text));
	if (parse_literal(name, &bound)) {
		none.family = bound.family;
		if (!is_same_addr(&bound, &none))
			return is_same_addr(&bound, a);
		if (bound.family != a->family)
			return false;
	}
	for (uint32_t i = 0; i < s->own_count; i++) {
		if (is_same_addr(&s->own[i], a))
			return true;
	}
	return false;
}

static bool
is_ourselves(const struct lookup *l, const struct host *h)
{
	const struct conf *conf = l->s->conf;

	for (size_t i = 0; i < conf->listen_count; i++) {
		if (conf->listen[i].port != l->port)
			continue;
		for (uint32_t k = 0; k < h->addr_count; k++) {
			if (is_listening(l->s, &conf->listen[i], &h->addrs[k]))
				return true;
		}
	}
	return false;
}

/* Under another name, but at an address where we listen. False: nobody is left. */
static bool
drop_own_addresses(struct lookup *l)
{
	for (uint32_t i = 0; i < l->host_count && l->kind == HOP_MX; i++) {
		if (is_ourselves(l, &l->hosts[i])) {
			drop_from(l, l->hosts[i].preference);
			break;
		}
	}
	return l->host_count > 0;
}

/* ---- the site ---- */

static bool
matches(const char *pattern, const char *name)
{
	struct span p = span_of(pattern), n = span_of(name);

	if (p.n > 0 && p.p[0] == '*')
		return span_iends(n, span_sub(p, 1, SIZE_MAX));
	return span_ieq(p, n);
}

/* Does a site block name this host? */
static bool
is_of_site(const struct conf_site *site, const char *name)
{
	for (size_t j = 0; j < site->mx.count; j++) {
		if (matches(site->mx.items[j], name))
			return true;
	}
	return false;
}

/* The block whose patterns name all hosts. */
static const char *
configured_site(const struct lookup *l)
{
	for (size_t i = 0; i < l->s->conf->site_count; i++) {
		uint32_t n = 0;
		while (n < l->host_count && is_of_site(&l->s->conf->site[i], l->hosts[n].name))
			n++;
		if (l->s->conf->site[i].mx.count > 0 && n == l->host_count)
			return l->s->conf->site[i].title;
	}
	return NULL;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One host: its name. Several: the first in the alphabet of the best ones, and a digest of all names, so that the order in
 * which DNS gives them does not matter. */
static const char *
site_name(struct lookup *l)
{
	const char *names[HOSTS_MAX], *configured = configured_site(l);
	uint32_t crc = 0;

	if (configured != NULL)
		return arena_printf(&l->arena, "%s", configured);
	if (l->kind == HOP_HOST)
		return arena_printf(&l->arena, "[%s]:%u", l->name, l->port);
	const char *best = l->hosts[0].name;
	for (uint32_t i = 0; i < l->host_count; i++) {
		names[i] = l->hosts[i].name;
		if (l->hosts[i].preference == l->hosts[0].preference && strcmp(names[i], best) < 0)
			best = names[i];
	}
	qsort(names, l->host_count, sizeof(names[0]), by_name);
	for (uint32_t i = 0; i < l->host_count; i++)
		crc = crc32c(crc, names[i], strlen(names[i]) + 1);
	const char *port = l->port == 25 ? "" : arena_printf(&l->arena, ":%u", l->port);
	if (l->host_count == 1)
		return arena_printf(&l->arena, "%s%s", best, port);
	/* The digest must survive the limit of 256 bytes. */
	return arena_printf(&l->arena, "%.200s%s+%08x", best, port, crc);
}

static int
family_first(int prefer)
{
	return prefer == CONF_RESOLVER_PREFER_IPV6   ? 6
	       : prefer == CONF_RESOLVER_PREFER_IPV4 ? 4
						     : 0;
}

static void
fill_host(struct lookup *l, const struct host *h, struct plan_host *out)
{
	int first = family_first(l->s->conf->resolver.prefer);

	out->name = arena_dup(&l->arena, span_of(h->name));
	out->port = l->port;
	out->preference = h->preference;
	out->addrs = arena_alloc(&l->arena, h->addr_count * sizeof(struct plan_addr));
	for (uint32_t i = 0; i < h->addr_count; i++) {
		if (first == 0 || h->addrs[i].family == first)
			out->addrs[out->addr_count++] = h->addrs[i];
	}
	for (uint32_t i = 0; i < h->addr_count; i++) {
		if (first != 0 && h->addrs[i].family != first)
			out->addrs[out->addr_count++] = h->addrs[i];
	}
}

static void
explain_host(struct lookup *l, const struct plan_host *h)
{
	char line[900], ip[INET6_ADDRSTRLEN];
	int n = snprintf(line, sizeof(line), "host %s (preference %u), port %u:", h->name.p,
			 h->preference, h->port);

	for (uint32_t i = 0; i < h->addr_count && n > 0 && n < (int)sizeof(line) - 60; i++) {
		inet_ntop(h->addrs[i].family == 4 ? AF_INET : AF_INET6, h->addrs[i].addr, ip,
			  sizeof(ip));
		n += snprintf(line + n, sizeof(line) - (size_t)n, " %s", ip);
	}
	say(l, line);
}

/* All answers are in. */
static void
assemble(struct lookup *l)
{
	struct plan *p = &l->site.plan;
	bool is_any_failed = false;
	char line[400];

	if (!drop_own_addresses(l)) {
		fail(l, ROUTE_REJECT, 554, "5.4.6", COMES_BACK);
		return;
	}
	p->hosts = arena_alloc(&l->arena, l->host_count * sizeof(p->hosts[0]) + 1);
	for (uint32_t i = 0; i < l->host_count; i++) {
		is_any_failed |= l->hosts[i].is_failed;
		if (l->hosts[i].addr_count == 0)
			continue;
		fill_host(l, &l->hosts[i], &p->hosts[p->host_count]);
		explain_host(l, &p->hosts[p->host_count]);
		p->host_count++;
	}
	if (p->host_count == 0 && is_any_failed) {
		fail(l, ROUTE_TEMPFAIL, 451, "4.4.3",
		     "addresses of the mail exchangers cannot be looked up now");
		return;
	}
	if (p->host_count == 0) {
		fail(l, ROUTE_REJECT, 550, "5.4.4", "no mail exchanger has a usable address");
		return;
	}
	p->flags = l->is_named ? PLAN_LOOPBACK_OK : 0;
	l->site.action = ROUTE_DELIVER;
	l->site.esc = "";
	l->site.text = "";
	l->site.name = site_name(l);
	if (is_any_failed && l->ttl_s > 60)
		l->ttl_s = 60;
	snprintf(line, sizeof(line), "site %s", l->site.name);
	say(l, line);
	finish(l);
}

/* ---- asking ---- */

static void
on_addrs(void *arg, const struct dns_answer *a)
{
	struct host_ask *ask = arg;
	struct lookup *l = ask->l;
	struct host *h = &l->hosts[ask->index];

	mem_free(ask);
	if (a->status == DNS_FAILED)
		h->is_failed = true;
	else
		add_addrs(l, h, a->addrs, a->count);
	if (a->status != DNS_FAILED && a->ttl_s < l->ttl_s)
		l->ttl_s = a->ttl_s;
	if (--l->waiting == 0)
		assemble(l);
}

static void
ask_addrs(struct lookup *l, uint32_t index, enum dns_type type)
{
	struct host_ask *ask = mem_zalloc(sizeof(*ask));

	ask->l = l;
	ask->index = index;
	dns_ask(l->s->dns, l->hosts[index].name, type, on_addrs, ask);
}

/* Addresses of all hosts; one answer more is awaited than asked, so that it does not end on the way. */
static void
look_up_hosts(struct lookup *l)
{
	l->waiting = 1;
	for (uint32_t i = 0; i < l->host_count; i++) {
		struct plan_addr found[ADDRS_PER_HOST];
		uint32_t n = parse_literal(l->hosts[i].name, &found[0])
				     ? 1
				     : dns_hosts_find(l->s->dns, span_of(l->hosts[i].name), found,
						      ADDRS_PER_HOST);
		if (n > 0) {
			add_addrs(l, &l->hosts[i], found, n);
			continue;
		}
		l->waiting += 2;
		ask_addrs(l, i, DNS_AAAA);
		ask_addrs(l, i, DNS_A);
	}
	if (--l->waiting == 0)
		assemble(l);
}

static void
add_host(struct lookup *l, const char *name, uint16_t preference)
{
	if (l->host_count == HOSTS_MAX)
		return;
	struct host *h = &l->hosts[l->host_count++];
	snprintf(h->name, sizeof(h->name), "%s", name);
	h->preference = preference;
}

static int
by_preference(const void *a, const void *b)
{
	return ((const struct host *)a)->preference - ((const struct host *)b)->preference;
}

/* Best first; equal ones in random order.                                       RFC 5321 5.1 */
static void
sort_hosts(struct host *hosts, uint32_t n)
{
	for (uint32_t i = n; i > 1; i--) {
		uint32_t r;
		id_random(&r, sizeof(r));
		struct host tmp = hosts[r % i];
		hosts[r % i] = hosts[i - 1];
		hosts[i - 1] = tmp;
	}
	/* Stable enough: few hosts, insertion by preference. */
	for (uint32_t i = 1; i < n; i++) {
		struct host h = hosts[i];
		uint32_t j = i;
		for (; j > 0 && by_preference(&hosts[j - 1], &h) > 0; j--)
			hosts[j] = hosts[j - 1];
		hosts[j] = h;
	}
}

static void
on_mx(void *arg, const struct dns_answer *a)
{
	struct lookup *l = arg;

	l->ttl_s = a->ttl_s;
	if (a->status == DNS_FAILED) {
		fail(l, ROUTE_TEMPFAIL, 451, "4.4.3", a->why);
		return;
	}
	if (a->status == DNS_NXDOMAIN) {
		fail(l, ROUTE_REJECT, 550, "5.1.2", "this domain does not exist");
		return;
	}
	if (a->count == 1 && a->mx[0].name[0] == '\0') { /* RFC 7505 */
		fail(l, ROUTE_REJECT, 556, "5.1.10", "this domain does not accept mail (null MX)");
		return;
	}
	l->hosts = mem_array(a->count == 0	    ? 1
			     : a->count < HOSTS_MAX ? a->count
						    : HOSTS_MAX,
			     sizeof(l->hosts[0]));
	if (a->count == 0) {
		say(l, "no MX record: the domain itself is the host");
		add_host(l, l->name, 0);
	}
	struct host *all = mem_array(a->count + 1, sizeof(*all));
	for (uint32_t i = 0; i < a->count; i++) {
		snprintf(all[i].name, sizeof(all[i].name), "%s", a->mx[i].name);
		all[i].preference = a->mx[i].preference;
	}
	sort_hosts(all, a->count);
	for (uint32_t i = 0; i < a->count; i++) {
		if (all[i].name[0] != '\0' && all[i].name[0] != '.')
			add_host(l, all[i].name, all[i].preference);
	}
	mem_free(all);
	if (l->host_count == 0) {
		fail(l, ROUTE_REJECT, 550, "5.4.4", "no mail exchanger has a usable name");
		return;
	}
	drop_own_name(l);
	if (l->host_count == 0)
		fail(l, ROUTE_REJECT, 554, "5.4.6", COMES_BACK);
	else
		look_up_hosts(l);
}

static void
begin(struct lookup *l)
{
	struct plan_addr literal;

	if (l->kind == HOP_MX && !parse_literal(l->name, &literal)) {
		dns_ask(l->s->dns, l->name, DNS_MX, on_mx, l);
		return;
	}
	l->kind = HOP_HOST;
	l->ttl_s = TTL_STATIC_S;
	l->hosts = mem_array(1, sizeof(l->hosts[0]));
	add_host(l, l->name, 0);
	look_up_hosts(l);
}

/* A Unix socket needs no lookup. */
static void
find_unix(const struct hop *hop, const struct explain *explain,
	  void (*done)(void *arg, const struct site *site), void *arg)
{
	struct plan_host host = { .name = hop->name, .is_unix = true };
	char name[256];
	struct site site = {
		.action = ROUTE_DELIVER, .esc = "", .text = "", .name = name, .ttl_s = TTL_STATIC_S
	};

	snprintf(name, sizeof(name), "unix:%.*s", SPAN_ARG(hop->name));
	site.plan.hosts = &host;
	site.plan.host_count = 1;
	site.plan.flags = PLAN_LOOPBACK_OK;
	explain_say(explain, "site %s", name);
	done(arg, &site);
}

void
sites_find(struct sites *s, const struct hop *hop, const struct explain *explain,
	   void (*done)(void *arg, const struct site *site), void *arg)
{
	char key[340];
	struct lookup *l;

	if (hop->kind == HOP_UNIX) {
		find_unix(hop, explain, done, arg);
		return;
	}
	snprintf(key, sizeof(key), "%d %d %u %.*s", (int)hop->kind, hop->is_named, hop->port,
		 SPAN_ARG(hop->name));
	l = map_get(&s->by_key, span_of(key));
	/* Who wants an explanation sees the lookup itself. */
	if (l != NULL && l->is_done && (explain != NULL || l->until_ms <= clock_mono_ms())) {
		forget(s, l);
		l = NULL;
	}
	if (l != NULL && l->is_done) {
		s->hits++;
		done(arg, &l->site);
		return;
	}
	struct waiter *w = mem_zalloc(sizeof(*w));
	*w = (struct waiter){ .explain = explain, .done = done, .arg = arg };
	if (l != NULL) {
		w->next = l->waiters;
		l->waiters = w;
		return;
	}
	if (s->by_key.count >= KEPT_MAX)
		forget(s, LIST_ENTRY(s->order.next, struct lookup, node));
	l = mem_zalloc(sizeof(*l));
	arena_init(&l->arena, 512);
	l->s = s;
	l->key = mem_strdup(key);
	l->kind = hop->kind;
	l->port = hop->port;
	l->is_named = hop->is_named;
	l->waiters = w;
	l->name = arena_cstr(&l->arena,
			     span_sub(hop->name, 0, sizeof(((struct host *)0)->name) - 1));
	map_put(&s->by_key, span_of(key), l);
	list_push_back(&s->order, &l->node);
	begin(l);
}

void
sites_set_own(struct sites *s, const struct plan_addr *addrs, uint32_t count)
{
	mem_free(s->own);
	s->own = mem_array(count, sizeof(*s->own));
	s->own_count = count;
	for (uint32_t i = 0; i < count; i++)
		s->own[i] = addrs[i];
}

uint64_t
sites_hits(const struct sites *s)
{
	return s->hits;
}
