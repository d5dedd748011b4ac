/* SPDX-License-Identifier: ISC
 *
 * `postern doctor`, check domains: does mail for each domain of the configuration come to this host? Its MX records, or
 * without one its addresses, must lead here. All domains are asked at the same time, in portions. Runs as whoever calls.
 * RFC 5321 5.1, RFC 7505 (null MX), RFC 2181 10.3 (no alias behind an MX) */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/mem.h"
#include "smtp/addr.h"
/* this program */
#include "cli/doctor_dns.h"

enum { ANSWER_MS = 3000, PORTION = 100, HOSTS_MAX = 8, LOCAL_MAX = 64 };

/* One domain: its own records, then those of its mail exchangers. */
struct domain {
	const char *title;
	struct doctor_question own[3];		     /* MX, A, AAAA */
	struct doctor_question hosts[2 * HOSTS_MAX]; /* A, AAAA of each */
	size_t host_count;			     /* questions in hosts */
};

/* Addresses that are this host's: those of its interfaces, and the hostname's, which a router may hold for it. */
struct ours {
	struct conf_addr addrs[LOCAL_MAX + DOCTOR_ADDRS_MAX];
	size_t count;
};

static bool
has_ours(const struct doctor_question *q, size_t count, const struct ours *ours)
{
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < q[i].count; j++) {
			for (size_t k = 0; k < ours->count; k++) {
				if (doctor_addr_eq(&q[i].records[j].addr, &ours->addrs[k]))
					return true;
			}
		}
	}
	return false;
}

/* ---- judging ---- */

static void
judge_without_mx(struct doctor *d, const struct domain *m, const struct ours *ours)
{
	const struct doctor_question *a = &m->own[1], *aaaa = &m->own[2];

	if (has_ours(a, 2, ours)) {
		doctor_warn(d, "%s has no MX record; mail comes by its address", m->title);
		doctor_remedy(d, "write one: %s. IN MX 10 %s.", m->title, d->conf->hostname);
	} else if (a->state == DOCTOR_DNS_NOTHING && aaaa->state == DOCTOR_DNS_NOTHING) {
		doctor_fail(d, "%s has no MX record and no address; nobody can send mail to it",
			    m->title);
		doctor_remedy(d,
			      "write an MX record: %s. IN MX 10 %s.; unless the domain is for "
			      "clients of this server only",
			      m->title, d->conf->hostname);
	} else {
		doctor_fail(d, "%s has no MX record, and its address is another host's", m->title);
		doctor_remedy(d, "write an MX record: %s. IN MX 10 %s.", m->title,
			      d->conf->hostname);
	}
}

/* What is wrong with host i of the domain (two questions each). True: a line was said. */
static bool
judge_host(struct doctor *d, const struct domain *m, size_t i)
{
	const struct doctor_question *a = &m->hosts[2 * i], *aaaa = &m->hosts[2 * i + 1];

	if (a->is_alias || aaaa->is_alias) {
		doctor_warn(d, "%s: its MX %s is an alias (CNAME); some servers do not follow it",
			    m->title, a->name);
		doctor_remedy(d, "let the MX record name the host that the alias stands for");
		return true;
	}
	if (a->state == DOCTOR_DNS_NOTHING && aaaa->state == DOCTOR_DNS_NOTHING) {
		doctor_fail(d, "%s: its MX %s has no address", m->title, a->name);
		doctor_remedy(d, "give %s an A record, or take it out of the MX records", a->name);
		return true;
	}
	return false;
}

static void
judge_mx(struct doctor *d, const struct domain *m, const struct ours *ours)
{
	const struct doctor_question *mx = &m->own[0];
	const char *here = NULL;
	bool is_said = false;

	if (mx->count == 1 && mx->records[0].name[0] == '\0') {
		doctor_fail(d, "%s says by a null MX that it takes no mail", m->title);
		doctor_remedy(d, "replace the record: %s. IN MX 10 %s.", m->title,
			      d->conf->hostname);
		return;
	}
	for (size_t i = 0; i < mx->count && here == NULL; i++) {
		bool is_asked = 2 * i < m->host_count;

		if (span_ieq(span_of(mx->records[i].name), span_of(d->conf->hostname)) ||
		    (is_asked && has_ours(&m->hosts[2 * i], 2, ours)))
			here = mx->records[i].name;
	}
	for (size_t i = 0; 2 * i < m->host_count; i++)
		is_said = judge_host(d, m, i) || is_said;
	if (here == NULL) {
		doctor_warn(d, "%s: its mail goes to %s, which is not this host", m->title,
			    mx->records[0].name);
		doctor_remedy(d,
			      "write an MX record: %s. IN MX 10 %s.; or leave it so if that host "
			      "passes it on to this one",
			      m->title, d->conf->hostname);
	} else if (!is_said) {
		doctor_ok(d, "%s: MX %s is this host", m->title, here);
	}
}

static void
judge(struct doctor *d, const struct domain *m, const struct ours *ours)
{
	const struct doctor_question *mx = &m->own[0];

	if (mx->state == DOCTOR_DNS_FOUND) {
		judge_mx(d, m, ours);
	} else if (mx->state == DOCTOR_DNS_NOTHING) {
		judge_without_mx(d, m, ours);
	} else {
		doctor_warn(d, "%s: MX unknown: %s", m->title, doctor_dns_why(mx));
		doctor_remedy(d, "if other names are answered, mend the domain's own name servers; "
				 "else "
				 "mend DNS first");
	}
}

/* ---- asking ---- */

static void
ask_own(struct doctor *d, struct domain *m, size_t count)
{
	static const enum doctor_rr types[3] = { DOCTOR_MX, DOCTOR_A, DOCTOR_AAAA };
	struct doctor_question *all = mem_array(3 * count, sizeof(*all));
	char name[ADDR_DOMAIN_MAX + 1];

	for (size_t i = 0; i < 3 * count; i++) {
		if (addr_domain_to_ascii(span_of(m[i / 3].title), name) < 0)
			snprintf(name, sizeof(name), "%s", m[i / 3].title);
		doctor_question_init(&all[i], name, types[i % 3]);
	}
	doctor_dns_ask(d, all, 3 * count, doctor_until(d, ANSWER_MS));
	for (size_t i = 0; i < 3 * count; i++)
		m[i / 3].own[i % 3] = all[i];
	mem_free(all);
}

static void
ask_hosts(struct doctor *d, struct domain *m, size_t count)
{
	struct doctor_question *all = mem_array(count * 2 * HOSTS_MAX, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < count; i++) {
		const struct doctor_question *mx = &m[i].own[0];

		for (size_t j = 0; j < mx->count && j < HOSTS_MAX && mx->records[j].name[0] != '\0';
		     j++) {
			doctor_question_init(&all[n++], mx->records[j].name, DOCTOR_A);
			doctor_question_init(&all[n++], mx->records[j].name, DOCTOR_AAAA);
			m[i].host_count += 2;
		}
	}
	doctor_dns_ask(d, all, n, doctor_until(d, ANSWER_MS));
	for (size_t i = 0, at = 0; i < count; at += m[i++].host_count)
		memcpy(m[i].hosts, &all[at], m[i].host_count * sizeof(*all));
	mem_free(all);
}

static void
look_at(struct doctor *d, size_t first, size_t count, const struct ours *ours)
{
	struct domain *m = mem_array(count, sizeof(*m));

	for (size_t i = 0; i < count; i++)
		m[i].title = d->conf->domain[first + i].title;
	ask_own(d, m, count);
	ask_hosts(d, m, count);
	for (size_t i = 0; i < count; i++) {
		judge(d, &m[i], ours);
		doctor_questions_clear(m[i].own, 3);
		doctor_questions_clear(m[i].hosts, m[i].host_count);
	}
	mem_free(m);
}

void
doctor_check_domains(struct doctor *d)
{
	const struct doctor_self *self = doctor_self(d);
	size_t all = d->conf->domain_count, done = 0;
	struct ours ours;

	if (all == 0) {
		doctor_warn(d, "no domain block, so no mail is taken for anybody");
		doctor_remedy(d, "write domain \"example.org\" { ... }, unless this server only "
				 "sends");
		return;
	}
	if (d->is_dns_down) {
		doctor_warn(d, "MX records are not looked at: no DNS server answers");
		doctor_remedy(d, "mend DNS first and look again");
		return;
	}
	ours.count = doctor_local_addrs(ours.addrs, LOCAL_MAX);
	memcpy(&ours.addrs[ours.count], self->addrs, self->count * sizeof(self->addrs[0]));
	ours.count += self->count;
	while (done < all && clock_mono_ms() < d->deadline_mono_ms) {
		size_t n = all - done < PORTION ? all - done : PORTION;

		look_at(d, done, n, &ours);
		done += n;
	}
	if (done < all) {
		doctor_warn(d, "%zu of %zu domains are not looked at: DNS is too slow", all - done,
			    all);
		doctor_remedy(d, "run `postern doctor domains`, which has more time for them");
	}
}
