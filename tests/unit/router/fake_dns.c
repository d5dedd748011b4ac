/* SPDX-License-Identifier: ISC
 *
 * A DNS for the tests of router that answers from a text. */

/* System */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* lib */
#include "base/mem.h"
/* this program */
#include "tests/unit/router/fake_dns.h"
#include "tests/unit/unit.h"

enum { WAITING_MAX = 128, RECORDS = 128 };

struct waiting {
	char name[256];
	enum dns_type type;
	void (*done)(void *arg, const struct dns_answer *a);
	void *arg;
};

struct dns {
	const char *zone;
	bool is_held;
	struct waiting waiting[WAITING_MAX];
	unsigned waiting_count;
	uint64_t asked, failed;
};

void __wrap_dns_ask(struct dns *d, const char *name, enum dns_type type,
		    void (*done)(void *arg, const struct dns_answer *a), void *arg);
uint32_t __wrap_dns_hosts_find(const struct dns *d, struct span name, struct plan_addr *out,
			       uint32_t max);
unsigned __wrap_dns_in_flight(const struct dns *d);
uint64_t __wrap_dns_asked(const struct dns *d);
uint64_t __wrap_dns_failed(const struct dns *d);

struct dns *
fake_dns_new(const char *zone)
{
	struct dns *d = mem_zalloc(sizeof(*d));

	d->zone = zone;
	return d;
}

void
fake_dns_free(struct dns *d)
{
	mem_free(d);
}

void
fake_dns_hold(struct dns *d)
{
	d->is_held = true;
}

void
fake_dns_zone(struct dns *d, const char *zone)
{
	d->zone = zone;
}

static bool
parse_addr(const char *text, struct plan_addr *out)
{
	memset(out, 0, sizeof(*out));
	out->family = strchr(text, ':') != NULL ? 6 : 4;
	return inet_pton(out->family == 6 ? AF_INET6 : AF_INET, text, out->addr) == 1;
}

/* "[TTL] TYPE DATA" of one line; false: it is of another type. */
static bool
take(const char *line, enum dns_type type, struct dns_answer *a)
{
	static const struct {
		const char *name;
		enum dns_type type;
	} types[] = { { "MX", DNS_MX }, { "A", DNS_A }, { "AAAA", DNS_AAAA } };
	char word[16], data[300];
	unsigned ttl = 300, preference;
	bool is_type = false;

	if (sscanf(line, "%u", &ttl) == 1)
		line += strcspn(line, " ") + 1;
	ck_assert_int_eq(sscanf(line, "%15s %299[^\n]", word, data), 2);
	for (unsigned i = 0; i < UNIT_COUNT(types); i++)
		is_type |= types[i].type == type && strcmp(types[i].name, word) == 0;
	if (!is_type)
		return false;
	a->ttl_s = ttl;
	if (strcmp(data, "SERVFAIL") == 0) {
		a->status = DNS_FAILED;
		a->why = "the name servers fail (SERVFAIL)";
	} else if (strcmp(data, "NXDOMAIN") == 0) {
		a->status = DNS_NXDOMAIN;
	} else if (type == DNS_MX) {
		struct dns_mx *mx = &a->mx[a->count++];
		int n = 0;
		ck_assert_int_eq(sscanf(data, "%u%n", &preference, &n), 1);
		mx->preference = (uint16_t)preference;
		snprintf(mx->name, sizeof(mx->name), "%s", data[n] != '\0' ? data + n + 1 : "");
	} else {
		ck_assert(parse_addr(data, &a->addrs[a->count++]));
	}
	return true;
}

static void
answer(struct dns *d, const char *name, enum dns_type type,
       void (*done)(void *arg, const struct dns_answer *a), void *arg)
{
	struct dns_answer a = { .status = DNS_OK, .ttl_s = 300 };
	struct span zone = span_of(d->zone), line, word;

	a.mx = mem_array(RECORDS, sizeof(a.mx[0]));
	a.addrs = mem_array(RECORDS, sizeof(a.addrs[0]));
	while (span_next(&zone, '\n', &line)) {
		char rest[600];
		if (!span_next(&line, ' ', &word) || !span_eq(word, span_of(name)))
			continue;
		snprintf(rest, sizeof(rest), "%.*s", SPAN_ARG(line));
		take(rest, type, &a);
	}
	if (a.status == DNS_FAILED)
		d->failed++;
	done(arg, &a);
	mem_free(a.mx);
	mem_free(a.addrs);
}

void
__wrap_dns_ask(struct dns *d, const char *name, enum dns_type type,
	       void (*done)(void *arg, const struct dns_answer *a), void *arg)
{
	d->asked++;
	if (!d->is_held) {
		answer(d, name, type, done, arg);
		return;
	}
	ck_assert_uint_lt(d->waiting_count, WAITING_MAX);
	struct waiting *w = &d->waiting[d->waiting_count++];
	snprintf(w->name, sizeof(w->name), "%s", name);
	w->type = type;
	w->done = done;
	w->arg = arg;
}

bool
fake_dns_answer(struct dns *d)
{
	struct waiting w = d->waiting[0];

	if (d->waiting_count == 0)
		return false;
	d->waiting_count--;
	memmove(&d->waiting[0], &d->waiting[1], d->waiting_count * sizeof(w));
	answer(d, w.name, w.type, w.done, w.arg);
	return true;
}

uint32_t
__wrap_dns_hosts_find(const struct dns *d, struct span name, struct plan_addr *out, uint32_t max)
{
	struct span zone = span_of(d->zone), line, word;
	char ip[64];
	uint32_t n = 0;

	while (n < max && span_next(&zone, '\n', &line)) {
		if (!span_next(&line, ' ', &word) || !span_eq(word, SPAN("hosts")) ||
		    !span_next(&line, ' ', &word) || !span_ieq(word, name))
			continue;
		snprintf(ip, sizeof(ip), "%.*s", SPAN_ARG(line));
		ck_assert(parse_addr(ip, &out[n]));
		n++;
	}
	return n;
}

unsigned
__wrap_dns_in_flight(const struct dns *d)
{
	return d->waiting_count;
}

uint64_t
__wrap_dns_asked(const struct dns *d)
{
	return d->asked;
}

uint64_t
__wrap_dns_failed(const struct dns *d)
{
	return d->failed;
}
