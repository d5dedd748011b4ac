/* SPDX-License-Identifier: ISC
 *
 * Questions to DNS for `postern doctor`, many at the same time and with an end. By libunbound, as the server asks: the
 * same notation of servers (ADDRESS@PORT, IPv6), no state in the C library, any number of questions under way; glibc's
 * res_query() asks one after the other and waits ten seconds for each. Answers are not validated (DNSSEC): the question
 * is what others see. Runs as whoever calls; what is wrong with an answer is judged by the checks. */

/* System */
#include <arpa/nameser.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* Third party */
#include <unbound.h>
/* lib */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "cli/doctor_dns.h"

enum { CLASS_IN = 1 };

struct doctor_dns {
	struct ub_ctx *ub;
	size_t waiting; /* questions without an answer */
};

/* One question under way. */
struct asked {
	struct doctor_dns *dns;
	struct doctor_question *q;
	int id;
	bool is_answered;
};

static void
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	int r = ub_ctx_set_option(ub, (char *)(uintptr_t)name, (char *)(uintptr_t)value);

	if (r != 0)
		log_warn("libunbound: option %s: %s", name, ub_strerror(r));
}

static struct doctor_dns *
open_dns(const struct conf *conf)
{
	struct doctor_dns *dns = mem_zalloc(sizeof(*dns));

	dns->ub = ub_ctx_create();
	if (dns->ub == NULL)
		die_temp("libunbound cannot start: out of memory");
	ub_ctx_debugout(dns->ub, NULL);
	set_option(dns->ub, "do-not-query-localhost:", "no");
	set_option(dns->ub, "use-syslog:", "no");
	/* The names of private addresses too: a resolver of the place may know them. */
	set_option(dns->ub, "unblock-lan-zones:", "yes");
	set_option(dns->ub, "outgoing-range:", "512");
	set_option(dns->ub, "num-queries-per-thread:", "512");
	for (size_t i = 0; i < conf->resolver.servers.count; i++)
		(void)ub_ctx_set_fwd(dns->ub, conf->resolver.servers.items[i]);
	/* Without a server named there it asks the root servers, as the server does. */
	if (conf->resolver.servers.count == 0)
		(void)ub_ctx_resolvconf(dns->ub, NULL);
	(void)ub_ctx_async(dns->ub, 1);
	return dns;
}

void
doctor_dns_close(struct doctor_dns **dns)
{
	if (*dns != NULL)
		ub_ctx_delete((*dns)->ub);
	mem_free(*dns);
	*dns = NULL;
}

void
doctor_question_init(struct doctor_question *q, const char *name, enum doctor_rr type)
{
	*q = (struct doctor_question){ .type = type, .state = DOCTOR_DNS_SILENT };
	snprintf(q->name, sizeof(q->name), "%s", name);
}

void
doctor_questions_clear(struct doctor_question *q, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		mem_free(q[i].records);
		q[i].records = NULL;
		q[i].count = 0;
	}
}

/* ---- answers ---- */

/* Rdata of libunbound is in wire format, names expanded. False: malformed. */
static bool
read_name(const unsigned char *p, size_t n, char out[256])
{
	size_t at = 0;

	while (at < n && p[at] != 0)
		at += 1U + p[at];
	if (at >= n || ns_name_ntop(p, out, 256) < 0)
		return false;
	if (strcmp(out, ".") == 0)
		out[0] = '\0';
	return true;
}

static bool
read_record(const struct ub_result *res, int i, enum doctor_rr type, struct doctor_record *out)
{
	const unsigned char *p = (const unsigned char *)res->data[i];
	size_t n = (size_t)res->len[i], skip = type == DOCTOR_MX ? 2 : 0;

	*out = (struct doctor_record){ 0 };
	if (type == DOCTOR_A || type == DOCTOR_AAAA) {
		out->addr.family = type == DOCTOR_A ? 4 : 6;
		if (n != (type == DOCTOR_A ? 4 : 16))
			return false;
		memcpy(out->addr.addr, p, n);
		return true;
	}
	if (n <= skip)
		return false;
	if (skip > 0)
		out->preference = (uint16_t)(p[0] << 8 | p[1]);
	return read_name(p + skip, n - skip, out->name);
}

static int
by_preference(const void *a, const void *b)
{
	const struct doctor_record *x = a, *y = b;

	return (x->preference > y->preference) - (x->preference < y->preference);
}

static void
read_answer(const struct ub_result *res, struct doctor_question *q)
{
	if (res->rcode != (int)ns_r_noerror && res->rcode != (int)ns_r_nxdomain) {
		q->state = DOCTOR_DNS_FAILED;
		return;
	}
	q->is_alias = res->canonname != NULL &&
		      !span_ieq(span_of(res->canonname), span_of(q->name));
	q->records = mem_array(DOCTOR_RECORDS_MAX, sizeof(*q->records));
	for (int i = 0; res->data[i] != NULL && q->count < DOCTOR_RECORDS_MAX; i++)
		q->count += read_record(res, i, q->type, &q->records[q->count]);
	qsort(q->records, q->count, sizeof(*q->records), by_preference);
	q->state = q->count > 0 ? DOCTOR_DNS_FOUND : DOCTOR_DNS_NOTHING;
}

static void
on_answer(void *arg, int error, struct ub_result *res)
{
	struct asked *a = arg;

	a->is_answered = true;
	a->dns->waiting--;
	a->q->state = DOCTOR_DNS_FAILED;
	if (error == 0)
		read_answer(res, a->q);
	ub_resolve_free(res);
}

static void
wait_for_answers(struct doctor_dns *dns, uint64_t until_mono_ms)
{
	struct pollfd p = { .fd = ub_fd(dns->ub), .events = POLLIN };
	uint64_t now;

	while (dns->waiting > 0 && (now = clock_mono_ms()) < until_mono_ms) {
		if (poll(&p, 1, (int)(until_mono_ms - now)) > 0 && ub_process(dns->ub) != 0)
			return;
	}
}

void
doctor_dns_ask(struct doctor *d, struct doctor_question *q, size_t count, uint64_t until_mono_ms)
{
	struct asked *asked;

	if (d->is_dns_down)
		return;
	asked = mem_array(count + 1, sizeof(*asked));
	if (d->dns == NULL)
		d->dns = open_dns(d->conf);
	for (size_t i = 0; i < count; i++) {
		asked[i] = (struct asked){ .dns = d->dns, .q = &q[i] };
		d->dns->waiting++;
		if (ub_resolve_async(d->dns->ub, q[i].name, (int)q[i].type, CLASS_IN, &asked[i],
				     on_answer, &asked[i].id) == 0)
			continue;
		/* A name that is none. */
		d->dns->waiting--;
		asked[i].is_answered = true;
		q[i].state = DOCTOR_DNS_NOTHING;
	}
	wait_for_answers(d->dns, until_mono_ms);
	for (size_t i = 0; i < count; i++) {
		if (!asked[i].is_answered)
			(void)ub_cancel(d->dns->ub, asked[i].id);
	}
	d->dns->waiting = 0;
	mem_free(asked);
}

const char *
doctor_dns_why(const struct doctor_question *q)
{
	switch (q->state) {
	case DOCTOR_DNS_SILENT:
		return "DNS does not answer in time";
	case DOCTOR_DNS_FAILED:
		return "the DNS servers fail (SERVFAIL)";
	case DOCTOR_DNS_FOUND:
	case DOCTOR_DNS_NOTHING:
		break;
	}
	return "DNS knows none";
}

void
doctor_dns_reverse(const struct conf_addr *a, char out[256])
{
	size_t n = 0;

	if (a->family == 4) {
		snprintf(out, 256, "%u.%u.%u.%u.in-addr.arpa", a->addr[3], a->addr[2], a->addr[1],
			 a->addr[0]);
		return;
	}
	for (int i = 15; i >= 0; i--)
		n += (size_t)snprintf(out + n, 256 - n, "%x.%x.", a->addr[i] & 15U,
				      a->addr[i] >> 4U);
	snprintf(out + n, 256 - n, "ip6.arpa");
}
