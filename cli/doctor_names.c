/* SPDX-License-Identifier: ISC
 *
 * `postern doctor`: what DNS says about this host. Checks dns (does anybody answer), hostname (its addresses, and whether
 * they are ours) and ptr (the names of these addresses: many servers refuse mail from an address whose name does not lead
 * back to it). Runs as whoever calls. RFC 5321 4.1.1.1, RFC 1912 2.1 */

/* System */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "cli/doctor_dns.h"

enum { ANSWER_MS = 3000, LOCAL_MAX = 64 };

/* ---- addresses ---- */

const char *
doctor_addr_text(const struct conf_addr *a, char out[DOCTOR_ADDR_TEXT])
{
	if (inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->addr, out, DOCTOR_ADDR_TEXT) == NULL)
		out[0] = '\0';
	return out;
}

bool
doctor_addr_eq(const struct conf_addr *a, const struct conf_addr *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, a->family == 4 ? 4 : 16) == 0;
}

static bool
is_in(const struct conf_addr *a, const char *const *nets, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct conf_net net;

		if (conf_net_parse(span_of(nets[i]), &net) == 0 &&
		    conf_net_has(&net, a->family, a->addr))
			return true;
	}
	return false;
}

/* RFC 1918, 6598, 4193 */
bool
doctor_is_private(const struct conf_addr *a)
{
	static const char *const nets[] = { "10.0.0.0/8",    "172.16.0.0/12",  "192.168.0.0/16",
					    "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
					    "::1/128",	     "fc00::/7",       "fe80::/10" };

	return is_in(a, nets, sizeof(nets) / sizeof(nets[0]));
}

static bool
take_addr(const struct sockaddr *sa, struct conf_addr *out)
{
	static const char *const nobodys[] = { "127.0.0.0/8", "::1/128", "169.254.0.0/16",
					       "fe80::/10" };

	*out = (struct conf_addr){ 0 };
	if (sa != NULL && sa->sa_family == AF_INET) {
		out->family = 4;
		memcpy(out->addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	} else if (sa != NULL && sa->sa_family == AF_INET6) {
		out->family = 6;
		memcpy(out->addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	}
	return out->family != 0 && !is_in(out, nobodys, sizeof(nobodys) / sizeof(nobodys[0]));
}

size_t
doctor_local_addrs(struct conf_addr *out, size_t max)
{
	struct ifaddrs *all = NULL;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return 0;
	for (struct ifaddrs *i = all; i != NULL && n < max; i = i->ifa_next)
		n += take_addr(i->ifa_addr, &out[n]);
	freeifaddrs(all);
	return n;
}

static void
put_addrs(struct buf *out, const struct conf_addr *a, size_t count)
{
	char text[DOCTOR_ADDR_TEXT];

	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s%s", i > 0 ? ", " : "", doctor_addr_text(&a[i], text));
}

/* ---- the hostname's addresses ---- */

const struct doctor_self *
doctor_self(struct doctor *d)
{
	struct doctor_question q[2];

	if (d->self != NULL)
		return d->self;
	d->self = mem_zalloc(sizeof(*d->self));
	doctor_question_init(&q[0], d->conf->hostname, DOCTOR_A);
	doctor_question_init(&q[1], d->conf->hostname, DOCTOR_AAAA);
	doctor_dns_ask(d, q, 2, doctor_until(d, ANSWER_MS));
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < q[i].count && d->self->count < DOCTOR_ADDRS_MAX; j++)
			d->self->addrs[d->self->count++] = q[i].records[j].addr;
	}
	d->self->is_unknown = d->self->count == 0 && (q[0].state != DOCTOR_DNS_NOTHING ||
						      q[1].state != DOCTOR_DNS_NOTHING);
	doctor_questions_clear(q, 2);
	return d->self;
}

/* Any answer will do, also that there is no such name. */
void
doctor_check_dns(struct doctor *d)
{
	const struct conf_list *servers = &d->conf->resolver.servers;
	struct doctor_question q[2];

	doctor_question_init(&q[0], d->conf->hostname, DOCTOR_A);
	doctor_question_init(&q[1], "", DOCTOR_NS);
	snprintf(q[1].name, sizeof(q[1].name), ".");
	doctor_dns_ask(d, q, 2, doctor_until(d, ANSWER_MS));
	d->is_dns_down = true;
	for (size_t i = 0; i < 2; i++)
		d->is_dns_down = d->is_dns_down && q[i].state != DOCTOR_DNS_FOUND &&
				 q[i].state != DOCTOR_DNS_NOTHING;
	if (d->is_dns_down && servers->count > 0) {
		doctor_fail(d, "no server of resolver { servers } answers (%s%s)",
			    servers->items[0], servers->count > 1 ? ", ..." : "");
		doctor_remedy(d, "name servers there that answer, or none to use those of "
				 "/etc/resolv.conf; UDP and TCP port 53 must be open");
	} else if (d->is_dns_down) {
		doctor_fail(d, "no DNS server of /etc/resolv.conf answers");
		doctor_remedy(d, "name servers that answer there, or with resolver { servers = { "
				 "\"ADDRESS\" } }; UDP and TCP port 53 must be open");
	} else {
		doctor_ok(d, "%s",
			  servers->count > 0 ? "the servers of resolver { servers } answer"
					     : "the servers of /etc/resolv.conf answer");
	}
	doctor_questions_clear(q, 2);
}

/* The hostname's addresses against those of the interfaces. */
static void
compare_with_ours(struct doctor *d, const struct doctor_self *self)
{
	struct conf_addr ours[LOCAL_MAX];
	size_t count = doctor_local_addrs(ours, LOCAL_MAX), public = 0, reachable = 0, matches = 0;
	struct buf theirs, here;

	for (size_t i = 0; i < count; i++) {
		public += !doctor_is_private(&ours[i]);
		for (size_t j = 0; j < self->count; j++)
			matches += doctor_addr_eq(&ours[i], &self->addrs[j]);
	}
	for (size_t j = 0; j < self->count; j++)
		reachable += !doctor_is_private(&self->addrs[j]);
	buf_init(&theirs, 4096);
	buf_init(&here, 8192);
	put_addrs(&theirs, self->addrs, self->count);
	put_addrs(&here, ours, count);
	if (reachable == 0) {
		doctor_warn(d, "%s has %s in DNS, which cannot be reached from the Internet",
			    d->conf->hostname, buf_cstr(&theirs));
		doctor_remedy(d,
			      "let its A and AAAA records hold the public address, unless all mail "
			      "stays inside");
	} else if (matches > 0) {
		doctor_ok(d, "%s has %s in DNS", d->conf->hostname, buf_cstr(&theirs));
	} else if (public > 0) {
		doctor_fail(d, "%s has %s in DNS, which is no address of this host (%s)",
			    d->conf->hostname, buf_cstr(&theirs), buf_cstr(&here));
		doctor_remedy(d, "let its A and AAAA records hold an address of this host, or set "
				 "hostname to the name that does");
	} else {
		doctor_warn(d,
			    "%s has %s in DNS, and this host no address that others can reach (%s)",
			    d->conf->hostname, buf_cstr(&theirs),
			    count > 0 ? buf_cstr(&here) : "none");
		doctor_remedy(d, "fine behind a router that passes port 25 on and sends with that "
				 "address: make sure that it does");
	}
	buf_clear(&theirs);
	buf_clear(&here);
}

void
doctor_check_hostname(struct doctor *d)
{
	const char *name = d->conf->hostname;
	const struct doctor_self *self;

	if (strchr(name, '.') == NULL) {
		doctor_fail(d, "hostname %s is not fully qualified; others refuse mail from it",
			    name);
		doctor_remedy(d, "write hostname = \"NAME.DOMAIN\" with a name that DNS knows");
		return;
	}
	self = doctor_self(d);
	if (self->is_unknown) {
		doctor_warn(d, "addresses of %s: DNS does not answer", name);
		doctor_remedy(d, "mend DNS first and look again");
	} else if (self->count == 0) {
		doctor_fail(d, "%s has no address in DNS; others refuse mail from it", name);
		doctor_remedy(d, "give it an A record (and AAAA) with the public address of this "
				 "host");
	} else {
		compare_with_ours(d, self);
	}
}

/* ---- names of addresses ---- */

static void
judge_ptr(struct doctor *d, const struct conf_addr *addr, const struct doctor_question *q)
{
	char text[DOCTOR_ADDR_TEXT];
	const char *name = d->conf->hostname;

	doctor_addr_text(addr, text);
	for (size_t i = 0; i < q->count; i++) {
		if (span_ieq(span_of(q->records[i].name), span_of(name))) {
			doctor_ok(d, "%s has the name %s", text, name);
			return;
		}
	}
	if (q->count > 0) {
		doctor_warn(d, "%s has the name %s (PTR), not %s", text, q->records[0].name, name);
		doctor_remedy(d, "let whoever gives you the address set its PTR record to %s",
			      name);
	} else if (q->state != DOCTOR_DNS_NOTHING || doctor_is_private(addr)) {
		doctor_warn(d, "%s has no name (PTR): %s", text, doctor_dns_why(q));
		doctor_remedy(d, doctor_is_private(addr)
					 ? "none is needed for an address of a private "
					   "network, but the public one needs it"
					 : "mend DNS first and look again");
	} else {
		doctor_fail(d, "%s has no name (no PTR record); others refuse mail from it", text);
		doctor_remedy(d,
			      "let whoever gives you the address (the provider's reverse DNS) set "
			      "its "
			      "PTR record to %s",
			      name);
	}
}

void
doctor_check_ptr(struct doctor *d)
{
	const struct doctor_self *self = doctor_self(d);
	struct doctor_question q[DOCTOR_ADDRS_MAX];

	if (self->count == 0) {
		doctor_warn(d, "%s has no address whose name could be looked at",
			    d->conf->hostname);
		doctor_remedy(d, "see what is said about dns and hostname");
		return;
	}
	for (size_t i = 0; i < self->count; i++) {
		char name[256];

		doctor_dns_reverse(&self->addrs[i], name);
		doctor_question_init(&q[i], name, DOCTOR_PTR);
	}
	doctor_dns_ask(d, q, self->count, doctor_until(d, ANSWER_MS));
	for (size_t i = 0; i < self->count; i++)
		judge_ptr(d, &self->addrs[i], &q[i]);
	doctor_questions_clear(q, self->count);
}
