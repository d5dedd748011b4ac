/* SPDX-License-Identifier: ISC
 *
 * The hosts of a next hop: which of them in which order, which addresses of theirs count, whether one is this server, and
 * what the site that they make up is called. Asks nobody and keeps nothing: lookups are site.c's. Runs in router.
 * RFC 5321 5.1 */

/* System */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* lib */
#include "base/crc.h"
#include "base/id.h"
#include "base/mem.h"

/* this program */
#include "router/site_int.h"

/* ---- which hosts, in which order ---- */

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

void
hosts_set(struct lookup *l, const char *name)
{
	l->hosts = mem_array(1, sizeof(l->hosts[0]));
	add_host(l, name, 0);
}

void
hosts_set_mx(struct lookup *l, const struct dns_mx *mx, uint32_t count)
{
	struct host *all = mem_array(count + 1, sizeof(*all));

	for (uint32_t i = 0; i < count; i++) {
		snprintf(all[i].name, sizeof(all[i].name), "%s", mx[i].name);
		all[i].preference = mx[i].preference;
	}
	sort_hosts(all, count);
	l->hosts = mem_array(count < HOSTS_MAX ? count : HOSTS_MAX, sizeof(l->hosts[0]));
	for (uint32_t i = 0; i < count; i++) {
		if (all[i].name[0] != '\0' && all[i].name[0] != '.')
			add_host(l, all[i].name, all[i].preference);
	}
	mem_free(all);
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

bool
hosts_parse_literal(const char *name, struct plan_addr *out)
{
	memset(out, 0, sizeof(*out));
	out->family = 4;
	if (inet_pton(AF_INET, name, out->addr) == 1)
		return true;
	out->family = 6;
	return inet_pton(AF_INET6, name, out->addr) == 1;
}

void
hosts_add_addrs(const struct lookup *l, struct host *h, const struct plan_addr *addrs,
		uint32_t count)
{
	for (uint32_t i = 0; i < count && h->addr_count < ADDRS_PER_HOST; i++) {
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
	lookup_say(l, line);
}

bool
hosts_drop_own_name(struct lookup *l)
{
	for (uint32_t i = 0; i < l->host_count; i++) {
		if (strcasecmp(l->hosts[i].name, l->s->conf->hostname) == 0) {
			drop_from(l, l->hosts[i].preference);
			break;
		}
	}
	return l->host_count > 0;
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
	if (hosts_parse_literal(name, &bound)) {
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

/* Under another name, but at an address where we listen. */
bool
hosts_drop_own_addrs(struct lookup *l)
{
	for (uint32_t i = 0; i < l->host_count; i++) {
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
	lookup_say(l, line);
}

uint32_t
hosts_make_site(struct lookup *l)
{
	struct plan *p = &l->site.plan;
	char line[400];

	p->hosts = arena_alloc(&l->arena, l->host_count * sizeof(p->hosts[0]) + 1);
	for (uint32_t i = 0; i < l->host_count; i++) {
		if (l->hosts[i].addr_count == 0)
			continue;
		fill_host(l, &l->hosts[i], &p->hosts[p->host_count]);
		explain_host(l, &p->hosts[p->host_count]);
		p->host_count++;
	}
	if (p->host_count == 0)
		return 0;
	p->flags = l->is_named ? PLAN_LOOPBACK_OK : 0;
	l->site.name = site_name(l);
	snprintf(line, sizeof(line), "site %s", l->site.name);
	lookup_say(l, line);
	return p->host_count;
}
