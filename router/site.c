/* SPDX-License-Identifier: ISC
 *
 * Makes a next hop ready: MX records, addresses of the hosts, the order to try them, and the name of the site, so that all
 * domains of one provider share a lane and its limits. Answers are kept until their TTL; the same question asked twice at
 * a time is asked once. What is made of the answers - order, ourselves, name - is site_hosts.c's. Runs in router.
 *
 *	find -> kept? done : MX asked -> addresses of each host asked -> assembled -> kept, all who wait are told
 */
/* System */
#include <stdio.h>
#include <string.h>

/* lib */
#include "base/clock.h"
#include "base/mem.h"

/* this program */
#include "router/site_int.h"

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

void
lookup_say(const struct lookup *l, const char *line)
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
	lookup_say(l, line);
	finish(l);
}

/* All answers are in. */
static void
assemble(struct lookup *l)
{
	bool is_any_failed = false;

	if (l->kind == HOP_MX && !hosts_drop_own_addrs(l)) {
		fail(l, ROUTE_REJECT, 554, "5.4.6", COMES_BACK);
		return;
	}
	for (uint32_t i = 0; i < l->host_count; i++)
		is_any_failed |= l->hosts[i].is_failed;
	if (hosts_make_site(l) == 0) {
		if (is_any_failed)
			fail(l, ROUTE_TEMPFAIL, 451, "4.4.3",
			     "addresses of the mail exchangers cannot be looked up now");
		else
			fail(l, ROUTE_REJECT, 550, "5.4.4",
			     "no mail exchanger has a usable address");
		return;
	}
	l->site.action = ROUTE_DELIVER;
	l->site.esc = "";
	l->site.text = "";
	if (is_any_failed && l->ttl_s > 60)
		l->ttl_s = 60;
	finish(l);
}

/* ---- asking ---- */

/* Passed to dns_ask for one host's addresses. */
struct host_ask {
	struct lookup *l;
	uint32_t index;
};

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
		hosts_add_addrs(l, h, a->addrs, a->count);
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
		uint32_t n = hosts_parse_literal(l->hosts[i].name, &found[0])
				     ? 1
				     : dns_hosts_find(l->s->dns, span_of(l->hosts[i].name), found,
						      ADDRS_PER_HOST);
		if (n > 0) {
			hosts_add_addrs(l, &l->hosts[i], found, n);
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
	if (a->count == 0) {
		lookup_say(l, "no MX record: the domain itself is the host");
		hosts_set(l, l->name);
	} else {
		hosts_set_mx(l, a->mx, a->count);
	}
	if (l->host_count == 0) {
		fail(l, ROUTE_REJECT, 550, "5.4.4", "no mail exchanger has a usable name");
		return;
	}
	if (!hosts_drop_own_name(l))
		fail(l, ROUTE_REJECT, 554, "5.4.6", COMES_BACK);
	else
		look_up_hosts(l);
}

static void
begin(struct lookup *l)
{
	struct plan_addr literal;

	if (l->kind == HOP_MX && !hosts_parse_literal(l->name, &literal)) {
		dns_ask(l->s->dns, l->name, DNS_MX, on_mx, l);
		return;
	}
	l->kind = HOP_HOST;
	l->ttl_s = TTL_STATIC_S;
	hosts_set(l, l->name);
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
