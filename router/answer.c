/* SPDX-License-Identifier: ISC
 *
 * Questions of siblings and their answers. A question that needs DNS waits in struct pending; the channel it came by may
 * be gone when the answer is there, so it is found by kind and slot. Runs in router.
 */
/* System */
#include <stdio.h>
#include <string.h>

/* lib */
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"

/* this program */
#include "router/answer.h"
#include "router/query.h"

#define VERDICT_TTL_MS 60000
#define FINAL_TTL_S 300 /* of answers that only tables gave */

/* A question that waits for DNS. */
struct pending {
	struct router *r;
	struct list node;
	struct chan *chan; /* NULL: the asker is gone */
	uint64_t req;
	bool is_explain;
	struct explain explain;
	struct arena arena;
	struct decision d;
};

static struct list pendings = { &pendings, &pendings };

/* ---- tables ---- */

static void
next_epoch(struct router *r)
{
	static const enum proc_id kinds[] = { PROC_SMTPD, PROC_QMGR };
	struct chan *c;

	r->epoch++;
	if (r->svc == NULL) /* before the loop: nobody listens */
		return;
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		for (size_t it = 0; (c = svc_peer_next(r->svc, kinds[i], &it)) != NULL;)
			chan_send(c, MSG_TABLE_EPOCH,
				  &(struct msg_table_epoch){ .epoch = r->epoch });
	}
}

/* A value of the transport table: what can never mean anything is refused with its table, what other options may allow
 * is only told. */
static const char *
check_transport(const void *arg, unsigned line, struct span value)
{
	const struct conf *conf = arg;
	bool is_final;
	const char *why = hop_transport_problem(conf, value, &is_final);

	if (why != NULL && !is_final)
		log_warn("%s:%u: %s; mail for it waits", conf->transport, line, why);
	return is_final ? why : NULL;
}

void
answer_table(struct router *r, const struct conf *conf, const char *path, int fd)
{
	struct table_check check = { check_transport, conf };
	struct table *t, *old;
	unsigned line;
	const char *why;

	if (table_load(fd, strcmp(path, conf->transport) == 0 ? &check : NULL, &t, &line, &why) <
	    0) {
		log_warn("%s:%u: %s; %s", path, line, why,
			 map_get(&r->tables.by_path, span_of(path)) != NULL
				 ? "the former table stays in use"
				 : "mail that needs it waits");
		fd_close(&fd);
		return;
	}
	fd_close(&fd);
	old = map_put(&r->tables.by_path, span_of(path), t);
	if (old != NULL)
		log_info("table %s: %zu entries", path, table_count(t));
	table_free(&old);
	next_epoch(r);
}

void
answer_table_gone(struct router *r, const char *path, const char *reason)
{
	bool has = map_get(&r->tables.by_path, span_of(path)) != NULL;

	log_warn("table %s: %s; %s", path, reason,
		 has ? "the former table stays in use" : "mail that needs it waits");
}

static bool
is_named(const struct conf *conf, struct span path)
{
	if (span_eq(path, span_of(conf->transport)) ||
	    span_eq(path, span_of(conf->relay_host_by_sender)))
		return true;
	for (size_t i = 0; i < conf->aliases.virtual.count; i++) {
		if (span_eq(path, span_of(conf->aliases.virtual.items[i])))
			return true;
	}
	for (size_t i = 0; i < conf->domain_count; i++) {
		if (span_eq(path, span_of(conf->domain[i].table)) ||
		    span_eq(path, span_of(conf->domain[i].recipients)))
			return true;
	}
	return false;
}

/* What the configuration no longer names takes no memory; named again, it comes again. */
static void
drop_unnamed(struct router *r)
{
	struct span path;
	void *v;

	for (size_t it = 0; map_next(&r->tables.by_path, &it, &path, &v);) {
		struct table *t = v;
		if (is_named(r->svc->conf, path))
			continue;
		map_del(&r->tables.by_path, path);
		table_free(&t);
	}
}

void
answer_conf(struct router *r)
{
	drop_unnamed(r);
	sites_clear(r->sites, r->svc->conf);
	next_epoch(r);
}

/* ---- may this recipient be accepted ---- */

static void
rcpt_check(struct router *r, struct chan *c, const struct msg_rcpt_check *m)
{
	struct msg_rcpt_verdict v = { .txn = m->txn,
				      .reply = 250,
				      .esc = SPAN("2.1.5"),
				      .text = SPAN("Recipient ok"),
				      .ttl_ms = VERDICT_TTL_MS,
				      .epoch = r->epoch };
	struct decision d;
	struct arena a;

	r->checks++;
	arena_init(&a, 2048);
	resolve_decide(r->svc->conf, &r->tables,
		       &(struct resolve_question){ m->address, m->sender, false }, &a, NULL, &d);
	v.is_domain = d.is_domain_wide;
	if (!d.is_ours && !m->may_relay && d.reply != 553) {
		v.reply = 550;
		v.esc = SPAN("5.7.1");
		v.text = SPAN("Relaying denied");
		v.is_domain = 0;
		v.ttl_ms = 0;
	} else if (d.action == ROUTE_REJECT || d.action == ROUTE_TEMPFAIL) {
		v.reply = d.reply;
		v.esc = span_of(d.esc);
		v.text = span_sub(d.text, 0, 400);
		v.is_domain = 0;
		v.ttl_ms = d.action == ROUTE_REJECT ? VERDICT_TTL_MS : 0;
	}
	/* A client that may relay and one that may not get different answers for what is not ours. */
	if (!d.is_ours && m->may_relay && d.action != ROUTE_REJECT)
		v.ttl_ms = v.is_domain ? VERDICT_TTL_MS : 0;
	chan_send(c, MSG_RCPT_VERDICT, &v);
	arena_clear(&a);
}

/* ---- where does it go ---- */

static void
send_resolved(struct pending *p, const struct site *site)
{
	struct decision *d = &p->d;
	struct msg_resolved m = { .req = p->req,
				  .action = (uint8_t)d->action,
				  .reply = d->reply,
				  .esc = span_of(d->esc),
				  .text = span_sub(d->text, 0, 400),
				  .final = d->final,
				  .ttl_s = FINAL_TTL_S };
	struct plan plan = {
		.transport = d->transport, .domain = d->hop.name, .base = d->base, .path = d->path
	};
	struct buf encoded, list;

	buf_init(&encoded, 32768);
	buf_init(&list, EXPANSION_BYTES_MAX);
	if (site != NULL && site->action != ROUTE_DELIVER) {
		m.action = (uint8_t)site->action;
		m.reply = site->reply;
		m.esc = span_of(site->esc);
		m.text = span_sub(span_of(site->text), 0, 400);
	} else if (site != NULL) {
		plan.hosts = site->plan.hosts;
		plan.host_count = site->plan.host_count;
		plan.flags = site->plan.flags;
		m.site = span_sub(span_of(site->name), 0, 256);
		m.ttl_s = site->ttl_s;
	} else if (d->action == ROUTE_DELIVER) {
		m.site = span_sub(d->base, 0, 256);
	}
	if (m.action == ROUTE_DELIVER)
		plan_encode(&encoded, &plan);
	for (uint32_t i = 0; i < d->expansion_count; i++)
		buf_put_bytes(&list, d->expansion[i]);
	if (buf_check(&encoded) < 0 || buf_check(&list) < 0)
		bug("a plan or an expansion is longer than its parts allow");
	m.plan = buf_span(&encoded);
	m.expansion = buf_span(&list);
	chan_send(p->chan, MSG_RESOLVED, &m);
	buf_clear(&encoded);
	buf_clear(&list);
}

static void
pending_done(void *arg, const struct site *site)
{
	struct pending *p = arg;

	if (p->chan != NULL && p->is_explain) {
		uint8_t action = (uint8_t)(site != NULL ? site->action : p->d.action);
		if (site == NULL && p->d.action == ROUTE_DISCARD)
			explain_say(&p->explain, "accepted, made durable and dropped");
		chan_send(p->chan, MSG_ROUTE_DONE,
			  &(struct msg_route_done){ .req = (uint32_t)p->req, .action = action });
	} else if (p->chan != NULL) {
		send_resolved(p, site);
	}
	list_remove(&p->node);
	arena_clear(&p->arena);
	mem_free(p);
}

static void
send_step(void *arg, struct span line)
{
	struct pending *p = arg;
	char clean[1000];
	size_t n = line.n < sizeof(clean) ? line.n : sizeof(clean);

	if (p->chan == NULL)
		return;
	for (size_t i = 0; i < n; i++)
		clean[i] = line.p[i] == '\r' || line.p[i] == '\n' || line.p[i] == '\0' ? ' '
										       : line.p[i];
	chan_send(p->chan, MSG_ROUTE_STEP,
		  &(struct msg_route_step){ .req = (uint32_t)p->req, .text = span_make(clean, n) });
}

/* is_explain: the steps are wanted, nothing is sent. */
static void
resolve(struct router *r, struct chan *c, uint64_t req, const struct resolve_question *question,
	bool is_explain)
{
	struct pending *p = mem_zalloc(sizeof(*p));
	struct resolve_question q = *question;

	p->r = r;
	p->chan = c;
	p->req = req;
	p->is_explain = is_explain;
	p->explain = (struct explain){ send_step, p };
	arena_init(&p->arena, 2048);
	list_push_back(&pendings, &p->node);
	r->resolves++;
	q.address = arena_dup(&p->arena, q.address);
	q.sender = arena_dup(&p->arena, q.sender);
	resolve_decide(r->svc->conf, &r->tables, &q, &p->arena, is_explain ? &p->explain : NULL,
		       &p->d);
	if (p->d.action == ROUTE_DELIVER && p->d.transport != TRANSPORT_MAILDIR)
		sites_find(r->sites, &p->d.hop, is_explain ? &p->explain : NULL, pending_done, p);
	else
		pending_done(p, NULL);
}

/* ---- channels ---- */

static void
stats(struct router *r, struct chan *c, uint32_t req)
{
	char json[400];
	int n = snprintf(json, sizeof(json),
			 "{\"checks\":%llu,\"resolves\":%llu,\"site_hits\":%llu,\"dns_questions\":%"
			 "llu,\"dns_failed\":%llu,"
			 "\"dns_in_flight\":%u}",
			 (unsigned long long)r->checks, (unsigned long long)r->resolves,
			 (unsigned long long)sites_hits(r->sites),
			 (unsigned long long)dns_asked(r->dns),
			 (unsigned long long)dns_failed(r->dns), dns_in_flight(r->dns));

	chan_send(c, MSG_STATS,
		  &(struct msg_stats){ .req = req, .json = span_make(json, (size_t)n) });
}

void
answer_peer(struct router *r, struct chan *c)
{
	if (chan_kind(c) == PROC_SMTPD || chan_kind(c) == PROC_QMGR)
		chan_send(c, MSG_TABLE_EPOCH, &(struct msg_table_epoch){ .epoch = r->epoch });
}

void
answer_peer_lost(struct router *r, struct chan *c)
{
	(void)r;
	LIST_EACH(it, &pendings) {
		struct pending *p = LIST_ENTRY(it, struct pending, node);
		if (p->chan == c)
			p->chan = NULL;
	}
}

void
answer_msg(struct router *r, struct chan *c, enum msg_type type, union msg_any *msg)
{
	if (type == MSG_RCPT_CHECK)
		rcpt_check(r, c, &msg->rcpt_check);
	else if (type == MSG_RESOLVE)
		resolve(r, c, msg->resolve.req,
			&(struct resolve_question){ msg->resolve.address, msg->resolve.sender,
						    msg->resolve.skip_aliases != 0 },
			false);
	else if (type == MSG_ROUTE_EXPLAIN)
		resolve(r, c, msg->route_explain.req,
			&(struct resolve_question){ msg->route_explain.address,
						    msg->route_explain.sender, false },
			true);
	else if (type == MSG_STATS_QUERY)
		stats(r, c, msg->stats_query.req);
}
