/* SPDX-License-Identifier: ISC
 *
 * Tests of router/answer.c without channels: what is sent to whom for a question. */

/* System */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* lib */
#include "base/cur.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "router/answer.h"
#include "tests/unit/router/fake_dns.h"
#include "tests/unit/unit.h"

/* ---- channels that keep what is sent ---- */

enum { SENT_MAX = 64 };

static struct sent {
	struct chan *to;
	enum msg_type type;
	char *payload;
	union msg_any msg;
} sent[SENT_MAX];
static unsigned sent_count;

/* The address of one of these stands for a channel. */
static char smtpd_end, qmgr_end, control_end;
#define SMTPD ((struct chan *)(void *)&smtpd_end)
#define QMGR ((struct chan *)(void *)&qmgr_end)
#define CONTROL ((struct chan *)(void *)&control_end)

enum proc_id __wrap_chan_kind(const struct chan *c);
void __wrap_chan_send(struct chan *c, enum msg_type type, const void *msg);
struct chan *__wrap_svc_peer_next(struct svc *s, enum proc_id kind, size_t *it);

enum proc_id
__wrap_chan_kind(const struct chan *c)
{
	return c == SMTPD ? PROC_SMTPD : c == QMGR ? PROC_QMGR : PROC_CONTROL;
}

void
__wrap_chan_send(struct chan *c, enum msg_type type, const void *msg)
{
	struct buf b;

	ck_assert_uint_lt(sent_count, SENT_MAX);
	ck_assert(msg_is_allowed(type, PROC_ROUTER, __wrap_chan_kind(c)));
	buf_init(&b, 1u << 23);
	msg_encode(&b, type, msg);
	ck_assert_int_eq(buf_check(&b), 0);
	struct sent *s = &sent[sent_count++];
	s->to = c;
	s->type = type;
	s->payload = mem_dup_span(buf_span(&b));
	/* What the receiver would refuse must not be sent. */
	ck_assert_int_eq(msg_decode(span_make(s->payload, b.n), type, &s->msg), 0);
	buf_clear(&b);
}

struct chan *
__wrap_svc_peer_next(struct svc *s, enum proc_id kind, size_t *it)
{
	(void)s;
	if ((*it)++ > 0)
		return NULL;
	return kind == PROC_SMTPD ? SMTPD : kind == PROC_QMGR ? QMGR : CONTROL;
}

/* ---- */

static struct svc svc;
static struct router router;

static void
forget_sent(void)
{
	for (unsigned i = 0; i < sent_count; i++)
		mem_free(sent[i].payload);
	sent_count = 0;
}

/* The table in a file, as it comes from master. */
static void
give_table(const char *path, const char *text)
{
	int fd = memfd_create("table", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_all(fd, text, strlen(text)), 0);
	answer_table(&router, svc.conf, path, fd);
}

static void
setup(const char *zone, const char *more)
{
	struct conf_problems problems;
	char text[4000];

	snprintf(text, sizeof(text),
		 "hostname = mx.example.org\n"
		 "domain \"local.example\" { class = virtual table = \"/users\" mailbox_base = "
		 "\"/m\" }\n"
		 "domain \"relay.example\" { class = relay next_hop = \"[192.0.2.7]\" }\n"
		 "domain \"known.example\" { class = relay recipients = \"/users\" }\n"
		 "domain \"box.example\" { class = lmtp next_hop = \"unix:/run/lmtp\" }\n"
		 "domain \"void.example\" { class = discard }\n%s",
		 more);
	conf_problems_init(&problems);
	int r = conf_parse("t", NULL, span_of(text), &svc.conf, &problems);
	ck_assert_msg(r == 0, "%s", buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	memset(&router, 0, sizeof(router));
	map_init(&router.tables.by_path);
	router.dns = fake_dns_new(zone);
	router.sites = sites_new(router.dns, svc.conf);
	give_table("/users", "ann@local.example ann/\nann@known.example\n");
	give_table("/aliases", "team@local.example ann@local.example, "
			       "bob@remote.example\nfar@local.example x@remote.example\n");
	router.svc = &svc;
	router.epoch = 7;
	forget_sent();
}

static void
teardown(void)
{
	struct span key;
	void *v;

	while (fake_dns_answer(router.dns))
		;
	sites_free(&router.sites);
	fake_dns_free(router.dns);
	for (size_t it = 0; map_next(&router.tables.by_path, &it, &key, &v);) {
		struct table *t = v;
		table_free(&t);
	}
	map_clear(&router.tables.by_path);
	conf_free(&svc.conf);
	forget_sent();
}

/* ---- may this recipient be accepted ---- */

static const struct {
	const char *address;
	bool may_relay;
	const char *more;
	uint16_t reply;
	const char *esc;
	uint32_t ttl_ms;
	bool is_domain;
} verdicts[] = {
	{ "ann@local.example", false, "", 250, "2.1.5", 60000, false },
	{ "ann@local.example", true, "", 250, "2.1.5", 60000, false },
	{ "nobody@local.example", false, "", 550, "5.1.1", 60000, false },
	{ "nobody@local.example", true, "", 550, "5.1.1", 60000, false },
	{ "any@relay.example", false, "", 250, "2.1.5", 60000, true },
	{ "ann@known.example", false, "", 250, "2.1.5", 60000, false },
	{ "bob@known.example", false, "", 550, "5.1.1", 60000, false },
	{ "any@void.example", false, "", 250, "2.1.5", 60000, true },
	/* remote: only for who may relay, and never cached for others */
	{ "x@remote.example", false, "", 550, "5.7.1", 0, false },
	{ "x@remote.example", true, "", 250, "2.1.5", 60000, true },
	{ "x@[192.0.2.1]", false, "", 550, "5.7.1", 0, false },
	{ "x%remote.example@local.example", false, "", 550, "5.1.1", 60000, false },
	{ "x@remote.example@local.example", false, "", 550, "5.1.1", 60000, false },
	{ "\"x@remote.example\"@local.example", false, "", 550, "5.1.1", 60000, false },
	{ "x@local.example@remote.example", false, "", 550, "5.7.1", 0, false },
	{ "x%local.example@remote.example", false, "", 550, "5.7.1", 0, false },
	/* an alias is ours, wherever it leads */
	{ "far@local.example", false, "aliases { virtual = \"/aliases\" }\n", 250, "2.1.5", 60000,
	  false },
	{ "team@local.example", false, "aliases { virtual = \"/aliases\" }\n", 250, "2.1.5", 60000,
	  false },
	{ "any@relay.example", false, "aliases { virtual = \"/aliases\" }\n", 250, "2.1.5", 60000,
	  false },
	{ "x@remote.example", true, "aliases { virtual = \"/aliases\" }\n", 250, "2.1.5", 0,
	  false },
	/* no address */
	{ "x@", false, "", 553, "5.1.3", 60000, false },
	{ "x", true, "", 553, "5.1.3", 60000, false },
	/* what cannot be told now is not remembered */
	{ "ann@local.example", false, "aliases { virtual = \"/gone\" }\n", 451, "4.3.0", 0, false },
	{ "x@remote.example", false, "aliases { virtual = \"/gone\" }\n", 451, "4.3.0", 0, false },
	{ "x@remote.example", false, "transport = \"/gone\"\n", 550, "5.7.1", 0, false },
	{ "x@remote.example", true, "transport = \"/gone\"\n", 451, "4.3.0", 0, false },
};

START_TEST(verdict)
{
	union msg_any q = { .rcpt_check = { .txn = 99,
					    .may_relay = verdicts[_i].may_relay,
					    .address = span_of(verdicts[_i].address),
					    .sender = SPAN("a@b.example") } };

	setup("", verdicts[_i].more);
	answer_msg(&router, SMTPD, MSG_RCPT_CHECK, &q);
	ck_assert_uint_eq(sent_count, 1);
	ck_assert_ptr_eq(sent[0].to, SMTPD);
	ck_assert_int_eq(sent[0].type, MSG_RCPT_VERDICT);
	const struct msg_rcpt_verdict *v = &sent[0].msg.rcpt_verdict;
	ck_assert_uint_eq(v->txn, 99);
	ck_assert_uint_eq(v->epoch, 7);
	ck_assert_uint_eq(v->reply, verdicts[_i].reply);
	UNIT_EQ(v->esc, verdicts[_i].esc);
	ck_assert_uint_eq(v->ttl_ms, verdicts[_i].ttl_ms);
	ck_assert_uint_eq(v->is_domain, verdicts[_i].is_domain);
	ck_assert_uint_gt(v->text.n, 0);
	ck_assert_uint_eq(dns_asked(router.dns), 0);
	teardown();
}
END_TEST

START_TEST(long_text_is_cut)
{
	union msg_any q = { .rcpt_check = {
				    .txn = 1, .may_relay = 1, .address = SPAN("x@long.example") } };
	char text[1000];

	memset(text, 't', sizeof(text));
	memcpy(text, "long.example error:5.1.1 ", 25);
	text[25 + 500] = '\0';
	setup("", "transport = \"/transport\"\n");
	give_table("/transport", text);
	forget_sent();
	answer_msg(&router, SMTPD, MSG_RCPT_CHECK, &q);
	ck_assert_uint_eq(sent[0].msg.rcpt_verdict.text.n, 400);
	union msg_any r = { .resolve = { .req = 2, .address = SPAN("x@long.example") } };
	answer_msg(&router, QMGR, MSG_RESOLVE, &r);
	ck_assert_uint_eq(sent[1].msg.resolved.text.n, 400);
	teardown();
}
END_TEST

/* ---- where does it go ---- */

static void
ask(struct chan *c, uint64_t req, const char *address, bool skip_aliases)
{
	union msg_any q = { .resolve = { .req = req,
					 .address = span_of(address),
					 .sender = SPAN("a@b.example"),
					 .skip_aliases = skip_aliases } };

	answer_msg(&router, c, MSG_RESOLVE, &q);
}

static const struct msg_resolved *
resolved(unsigned i, uint64_t req)
{
	ck_assert_uint_lt(i, sent_count);
	ck_assert_ptr_eq(sent[i].to, QMGR);
	ck_assert_int_eq(sent[i].type, MSG_RESOLVED);
	ck_assert_uint_eq(sent[i].msg.resolved.req, req);
	return &sent[i].msg.resolved;
}

START_TEST(mailbox)
{
	struct arena a;
	struct plan plan;

	setup("", "");
	ask(QMGR, 5, "Ann@local.example", false);
	const struct msg_resolved *m = resolved(0, 5);
	ck_assert_int_eq(m->action, ROUTE_DELIVER);
	UNIT_EQ(m->site, "/m");
	UNIT_EQ(m->final, "Ann@local.example");
	ck_assert_uint_gt(m->ttl_s, 0);
	arena_init(&a, 512);
	ck_assert_int_eq(plan_decode(m->plan, &a, &plan), 0);
	ck_assert_int_eq(plan.transport, TRANSPORT_MAILDIR);
	UNIT_EQ(plan.base, "/m");
	UNIT_EQ(plan.path, "ann/");
	ck_assert_uint_eq(plan.host_count, 0);
	arena_clear(&a);
	teardown();
}
END_TEST

START_TEST(remote_host)
{
	struct arena a;
	struct plan plan;

	setup("remote.example MX 10 hub.example\nhub.example 77 A 192.0.2.1\nhub.example 99 AAAA "
	      "2001:db8::1\n",
	      "");
	ask(QMGR, 6, "x@Remote.example", false);
	const struct msg_resolved *m = resolved(0, 6);
	ck_assert_int_eq(m->action, ROUTE_DELIVER);
	UNIT_EQ(m->site, "hub.example");
	ck_assert_uint_eq(m->ttl_s, 77);
	arena_init(&a, 512);
	ck_assert_int_eq(plan_decode(m->plan, &a, &plan), 0);
	ck_assert_int_eq(plan.transport, TRANSPORT_SMTP);
	UNIT_EQ(plan.domain, "remote.example");
	ck_assert_uint_eq(plan.flags, 0);
	ck_assert_uint_eq(plan.host_count, 1);
	UNIT_EQ(plan.hosts[0].name, "hub.example");
	ck_assert_uint_eq(plan.hosts[0].port, 25);
	ck_assert_uint_eq(plan.hosts[0].addr_count, 2);
	ck_assert_uint_eq(plan.hosts[0].addrs[0].family, 6);
	arena_clear(&a);
	teardown();
}
END_TEST

START_TEST(unix_socket)
{
	struct arena a;
	struct plan plan;

	setup("", "");
	ask(QMGR, 6, "x@box.example", false);
	const struct msg_resolved *m = resolved(0, 6);
	UNIT_EQ(m->site, "unix:/run/lmtp");
	arena_init(&a, 512);
	ck_assert_int_eq(plan_decode(m->plan, &a, &plan), 0);
	ck_assert_int_eq(plan.transport, TRANSPORT_LMTP);
	ck_assert_uint_eq(plan.host_count, 1);
	ck_assert(plan.hosts[0].is_unix);
	UNIT_EQ(plan.hosts[0].name, "/run/lmtp");
	arena_clear(&a);
	teardown();
}
END_TEST

static const struct {
	const char *address;
	enum route_action action;
	uint16_t reply;
	const char *esc, *text;
} failures[] = {
	{ "nobody@local.example", ROUTE_REJECT, 550, "5.1.1", "No such user here" },
	{ "x@none.example", ROUTE_REJECT, 550, "5.1.2",
	  "none.example: this domain does not exist" },
	{ "x@null.example", ROUTE_REJECT, 556, "5.1.10",
	  "null.example: this domain does not accept mail (null MX)" },
	{ "x@dead.example", ROUTE_TEMPFAIL, 451, "4.4.3",
	  "dead.example: the name servers fail (SERVFAIL)" },
	{ "x@void.example", ROUTE_DISCARD, 0, "", "" },
};

START_TEST(failure)
{
	setup("none.example MX NXDOMAIN\nnull.example MX 0\ndead.example MX SERVFAIL\n", "");
	ask(QMGR, 8, failures[_i].address, false);
	const struct msg_resolved *m = resolved(0, 8);
	ck_assert_int_eq(m->action, failures[_i].action);
	ck_assert_uint_eq(m->reply, failures[_i].reply);
	UNIT_EQ(m->esc, failures[_i].esc);
	UNIT_EQ(m->text, failures[_i].text);
	ck_assert_uint_eq(m->plan.n, 0);
	teardown();
}
END_TEST

START_TEST(expansion)
{
	setup("", "aliases { virtual = \"/aliases\" }\n");
	ask(QMGR, 9, "team@local.example", false);
	const struct msg_resolved *m = resolved(0, 9);
	ck_assert_int_eq(m->action, ROUTE_EXPAND);
	struct cur c = cur_of(m->expansion);
	UNIT_EQ(cur_bytes(&c, 384), "ann@local.example");
	UNIT_EQ(cur_bytes(&c, 384), "bob@remote.example");
	ck_assert_int_eq(cur_check_end(&c), 0);
	ask(QMGR, 10, "team@local.example", true);
	m = resolved(1, 10);
	ck_assert_int_eq(m->action, ROUTE_REJECT);
	teardown();
}
END_TEST

START_TEST(largest_expansion_fits)
{
	struct buf text;
	unsigned count = 0;

	buf_init(&text, 1u << 24);
	buf_puts(&text, "all@local.example");
	for (; count < 50000; count++)
		buf_printf(&text,
			   "%s "
			   "person.number.%06u.with.a.long.name@department.of.a.company.example\n",
			   count > 0 ? "\t," : "", count);
	setup("", "aliases { virtual = \"/aliases\" }\nlimits { expansion = 100000 }\n");
	give_table("/aliases", buf_cstr(&text));
	ask(QMGR, 11, "all@local.example", false);
	ck_assert_int_eq(sent[sent_count - 1].msg.resolved.action, ROUTE_EXPAND);
	/* Some more bytes than a message may have. */
	for (; count < 60000; count++)
		buf_printf(&text,
			   "\t, "
			   "person.number.%06u.with.a.long.name@department.of.a.company.example\n",
			   count);
	give_table("/aliases", buf_cstr(&text));
	ask(QMGR, 12, "all@local.example", false);
	const struct msg_resolved *m = &sent[sent_count - 1].msg.resolved;
	ck_assert_int_eq(m->action, ROUTE_REJECT);
	UNIT_EQ(m->text, "Alias expands to too many addresses");
	buf_clear(&text);
	teardown();
}
END_TEST

START_TEST(asker_that_is_gone_gets_nothing)
{
	setup("remote.example A 192.0.2.1\n", "");
	fake_dns_hold(router.dns);
	ask(QMGR, 1, "x@remote.example", false);
	answer_peer_lost(&router, QMGR);
	ask(QMGR, 2, "y@remote.example", false); /* the next one, by chance at the same place */
	ck_assert_uint_eq(sent_count, 0);
	while (fake_dns_answer(router.dns))
		;
	ck_assert_uint_eq(sent_count, 1);
	resolved(0, 2);
	teardown();
}
END_TEST

/* ---- tables ---- */

START_TEST(new_table_is_used_and_told_of)
{
	setup("", "");
	give_table("/users", "bob@local.example bob/\n");
	ck_assert_uint_eq(sent_count, 2);
	ck_assert_ptr_eq(sent[0].to, SMTPD);
	ck_assert_ptr_eq(sent[1].to, QMGR);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(sent[i].type, MSG_TABLE_EPOCH);
		ck_assert_uint_eq(sent[i].msg.table_epoch.epoch, 8);
	}
	ask(QMGR, 1, "bob@local.example", false);
	ck_assert_int_eq(resolved(2, 1)->action, ROUTE_DELIVER);
	ask(QMGR, 2, "ann@local.example", false);
	ck_assert_int_eq(resolved(3, 2)->action, ROUTE_REJECT);
	teardown();
}
END_TEST

START_TEST(broken_or_lost_table_keeps_the_former)
{
	setup("", "");
	give_table("/users", "ann@local.example ann/\nann@local.example twice/\n");
	answer_table_gone(&router, "/users", "No such file or directory");
	ck_assert_uint_eq(sent_count, 0);
	ask(QMGR, 1, "ann@local.example", false);
	ck_assert_int_eq(resolved(0, 1)->action, ROUTE_DELIVER);
	teardown();
}
END_TEST

/* A value that means nothing makes the whole table a broken one; a socket that no option names yet does not. */
START_TEST(transport_table_is_checked)
{
	setup("", "transport = \"/transport\"\n");
	give_table("/transport", "good.example discard\n");
	give_table("/transport", "good.example error:5.1.1 no\nbad.example uucp:there\n");
	give_table("/users", "ann@local.example uucp:there/\n");
	forget_sent();
	ask(QMGR, 1, "x@good.example", false);
	ck_assert_int_eq(resolved(0, 1)->action, ROUTE_DISCARD);
	give_table("/transport", "good.example lmtp:unix:/run/other\n");
	forget_sent();
	ask(QMGR, 2, "x@good.example", false);
	ck_assert_int_eq(resolved(0, 2)->action, ROUTE_TEMPFAIL);
	teardown();
}
END_TEST

START_TEST(tables_no_longer_named_are_dropped)
{
	struct conf *first, *second;

	setup("", "aliases { virtual = \"/aliases\" }\ntransport = "
		  "\"/transport\"\nrelay_host_by_sender = \"/senders\"\n");
	give_table("/transport", "good.example discard\n");
	give_table("/senders", "@b.example [192.0.2.1]\n");
	answer_conf(&router);
	ck_assert_uint_eq(router.tables.by_path.count, 4);
	first = svc.conf;
	second = conf_defaults();
	svc.conf = second;
	answer_conf(&router);
	ck_assert_uint_eq(router.tables.by_path.count, 0);
	conf_free(&second);
	svc.conf = first;
	teardown();
}
END_TEST

START_TEST(new_options_void_what_is_cached)
{
	setup("remote.example A 192.0.2.1\n", "");
	ask(QMGR, 1, "x@remote.example", false);
	answer_conf(&router);
	ck_assert_int_eq(sent[1].type, MSG_TABLE_EPOCH);
	uint64_t before = dns_asked(router.dns);
	ask(QMGR, 2, "x@remote.example", false);
	ck_assert_uint_gt(dns_asked(router.dns), before);
	teardown();
}
END_TEST

START_TEST(new_sibling_learns_the_epoch)
{
	setup("", "");
	answer_peer(&router, SMTPD);
	answer_peer(&router, QMGR);
	answer_peer(&router, CONTROL);
	ck_assert_uint_eq(sent_count, 2);
	ck_assert_ptr_eq(sent[0].to, SMTPD);
	ck_assert_uint_eq(sent[0].msg.table_epoch.epoch, 7);
	ck_assert_ptr_eq(sent[1].to, QMGR);
	teardown();
}
END_TEST

/* ---- explanations ---- */

static void
explain(const char *address)
{
	union msg_any q = { .route_explain = {
				    .req = 3, .address = span_of(address), .sender = SPAN_NONE } };

	answer_msg(&router, CONTROL, MSG_ROUTE_EXPLAIN, &q);
}

static const struct {
	const char *address;
	enum route_action action;
	const char *last; /* step */
} routes[] = {
	{ "ann@local.example", ROUTE_DELIVER, "Maildir ann/ below /m" },
	{ "x@remote.example", ROUTE_DELIVER, "site remote.example" },
	{ "x@box.example", ROUTE_DELIVER, "site unix:/run/lmtp" },
	{ "x@void.example", ROUTE_DISCARD, "accepted, made durable and dropped" },
	{ "x@none.example", ROUTE_REJECT,
	  "refused: 550 5.1.2 none.example: this domain does not exist" },
	{ "x@dead.example", ROUTE_TEMPFAIL,
	  "not now: 451 4.4.3 dead.example: the name servers fail (SERVFAIL)" },
	{ "nobody@local.example", ROUTE_REJECT, "refused: 550 5.1.1 No such user here" },
	{ "team@local.example", ROUTE_EXPAND,
	  "becomes 2 addresses, each of which is resolved in turn" },
	{ "no address", ROUTE_REJECT, "refused: 553 5.1.3 Address is not valid" },
};

START_TEST(explains_in_steps)
{
	setup("remote.example A 192.0.2.1\nnone.example MX NXDOMAIN\ndead.example MX SERVFAIL\n",
	      "aliases { virtual = \"/aliases\" }\n");
	explain(routes[_i].address);
	ck_assert_uint_ge(sent_count, 2);
	for (unsigned i = 0; i < sent_count; i++) {
		ck_assert_ptr_eq(sent[i].to, CONTROL);
		ck_assert_int_eq(sent[i].type,
				 i + 1 < sent_count ? MSG_ROUTE_STEP : MSG_ROUTE_DONE);
	}
	UNIT_EQ(sent[sent_count - 2].msg.route_step.text, routes[_i].last);
	ck_assert_uint_eq(sent[sent_count - 1].msg.route_done.req, 3);
	ck_assert_int_eq(sent[sent_count - 1].msg.route_done.action, routes[_i].action);
	teardown();
}
END_TEST

START_TEST(counts)
{
	union msg_any q = { .stats_query = { .req = 12 } };

	setup("dead.example MX SERVFAIL\n", "");
	ask(QMGR, 1, "x@dead.example", false);
	ask(QMGR, 2, "x@dead.example", false);
	answer_msg(&router, CONTROL, MSG_STATS_QUERY, &q);
	ck_assert_int_eq(sent[2].type, MSG_STATS);
	ck_assert_uint_eq(sent[2].msg.stats.req, 12);
	UNIT_EQ(sent[2].msg.stats.json, "{\"checks\":0,\"resolves\":2,\"site_hits\":1,\"dns_"
					"questions\":1,\"dns_failed\":1,\"dns_in_flight\":0}");
	teardown();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("answer");

	log_init("test_answer", LOG_LEVEL_COUNT);
	UNIT_TABLE(s, verdict, verdicts);
	UNIT_TEST(s, long_text_is_cut);
	UNIT_TEST(s, mailbox);
	UNIT_TEST(s, remote_host);
	UNIT_TEST(s, unix_socket);
	UNIT_TABLE(s, failure, failures);
	UNIT_TEST(s, expansion);
	UNIT_TEST(s, largest_expansion_fits);
	UNIT_TEST(s, asker_that_is_gone_gets_nothing);
	UNIT_TEST(s, new_table_is_used_and_told_of);
	UNIT_TEST(s, broken_or_lost_table_keeps_the_former);
	UNIT_TEST(s, transport_table_is_checked);
	UNIT_TEST(s, tables_no_longer_named_are_dropped);
	UNIT_TEST(s, new_options_void_what_is_cached);
	UNIT_TEST(s, new_sibling_learns_the_epoch);
	UNIT_TABLE(s, explains_in_steps, routes);
	UNIT_TEST(s, counts);
	return unit_run(s);
}
