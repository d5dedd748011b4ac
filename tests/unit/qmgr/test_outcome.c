/* SPDX-License-Identifier: ISC
 *
 * Tests of qmgr/sched/outcome.c (what an attempt means, who is told) and qmgr/sched/limit.c (which limits, how fast), with the store
 * replaced by a notebook and the clock by a number. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
#include "conf/conf.h"
#include "qmgr/sched/sched_int.h"
/* this program */
#include "tests/unit/unit.h"

enum { NONE, DONE, PUT, BOUNCE };

/* --- the notebook ---------------------------------------------------------------------------- */

static struct {
	int op; /* the last one but BOUNCE_DELAYED */
	struct row row;
	struct bounce bounce;
	bool is_warned, has_report;
	struct event event; /* given before the op */
	void (*done)(void *arg);
	void *arg;
} noted;

bool __wrap_store_wants_events(const struct store *st);
void __wrap_store_event(struct store *st, const struct event *ev);
void __wrap_store_done(struct store *st, uint64_t number, uint32_t index);
void __wrap_store_put(struct store *st, const struct row *row);
void __wrap_store_bounce(struct store *st, const struct bounce *b);
void __wrap_store_when_durable(struct store *st, void (*done)(void *arg), void *arg);
void __wrap_reports_add(struct reports *r, uint64_t number);
void __wrap_reports_changed(struct reports *r, uint64_t number);
void __wrap_finish_check(struct sched *s, uint64_t number, uint64_t qid, bool is_certain);

bool
__wrap_store_wants_events(const struct store *st)
{
	(void)st;
	return true;
}

/* Durable before its cause: it is given first. */
void
__wrap_store_event(struct store *st, const struct event *ev)
{
	(void)st;
	ck_assert_int_eq(noted.op, NONE);
	ck_assert(!noted.is_warned);
	ck_assert(ev->number == 5 && ev->index_plus_1 == 2);
	noted.event = *ev;
}

void
__wrap_store_done(struct store *st, uint64_t number, uint32_t index)
{
	(void)st;
	ck_assert(number == 5 && index == 1);
	noted.op = DONE;
}

void
__wrap_store_put(struct store *st, const struct row *row)
{
	(void)st;
	noted.op = PUT;
	noted.row = *row;
}

void
__wrap_store_bounce(struct store *st, const struct bounce *b)
{
	(void)st;
	if (b->kind == BOUNCE_DELAYED) {
		noted.is_warned = true;
		ck_assert(!b->is_done);
		return;
	}
	ck_assert(b->is_done);
	noted.op = BOUNCE;
	noted.bounce = *b;
}

void
__wrap_store_when_durable(struct store *st, void (*done)(void *arg), void *arg)
{
	(void)st;
	noted.done = done;
	noted.arg = arg;
}

void
__wrap_reports_add(struct reports *r, uint64_t number)
{
	(void)r;
	ck_assert_uint_eq(number, 5);
	noted.has_report = true;
}

void
__wrap_reports_changed(struct reports *r, uint64_t number)
{
	(void)r;
	(void)number;
}

void
__wrap_finish_check(struct sched *s, uint64_t number, uint64_t qid, bool is_certain)
{
	(void)s;
	(void)qid;
	(void)is_certain;
	ck_assert_uint_eq(number, 5);
}

/* main.c's. */
void
qmgr_stopped(struct qmgr *q)
{
	(void)q;
}

/* --- a sched that is only as much as this needs --------------------------------------------------- */

#define NOW_MS 1800000000000ull

static struct svc svc;
static struct qmgr qmgr;
static struct sched sched;
static struct facts facts;
static struct attempt attempt;

static void
setup(void)
{
	memset(&noted, 0, sizeof(noted));
	memset(&sched, 0, sizeof(sched));
	svc.conf = conf_defaults();
	qmgr.svc = &svc;
	sched.q = &qmgr;
	sched.site_conf = limit_defaults();
	map_init(&sched.lanes);
	sched.is_stopped = true; /* no timers here */
	svc.conf->retry.jitter = 0;
	clock_fake_set(NOW_MS * 1000, 1000000000);
	log_init("test", LOG_LEVEL_COUNT);
	facts = (struct facts){ .number = 5,
				.index = 1,
				.qid = 77,
				.arrival_ms = NOW_MS - 1000,
				.address = SPAN("b@x.example"),
				.sender = SPAN("a@y.example") };
	attempt = (struct attempt){
		.begun_ms = NOW_MS, .transport = TRANSPORT_SMTP, .lane = SPAN("x"), .reply = 250
	};
}

/* Apply and let it become durable. */
static void
apply(void)
{
	struct settle *t = settle_new(&sched);

	noted.op = NONE;
	outcome_apply(t, &facts, &attempt);
	ck_assert(!noted.has_report);
	settle_commit(t);
	noted.done(noted.arg);
	ck_assert_uint_eq(sched.settling, 0);
}

static void
teardown(void)
{
	conf_free(&svc.conf);
	conf_free(&sched.site_conf);
	clock_fake_set(0, 0);
}

/* --- who is told what --------------------------------------------------------------- RFC 3461 4.1, 5.2 */

#define N ENV_NOTIFY_NEVER
#define S ENV_NOTIFY_SUCCESS
#define F ENV_NOTIFY_FAILURE
#define D ENV_NOTIFY_DELAY

static const struct {
	enum outcome_status status;
	uint8_t notify;
	int transport;
	uint8_t flags;
	bool is_discarded;
	const char *sender;
	int op;
	enum bounce_kind kind;
} told_cases[] = {
	/* failures */
	{ OUTCOME_BOUNCED, 0, TRANSPORT_SMTP, 0, false, "a@y", BOUNCE, BOUNCE_FAILED },
	{ OUTCOME_BOUNCED, N, TRANSPORT_SMTP, 0, false, "a@y", DONE, 0 },
	{ OUTCOME_BOUNCED, S, TRANSPORT_SMTP, 0, false, "a@y", DONE, 0 },
	{ OUTCOME_BOUNCED, D, TRANSPORT_SMTP, 0, false, "a@y", DONE, 0 },
	{ OUTCOME_BOUNCED, F, TRANSPORT_SMTP, 0, false, "a@y", BOUNCE, BOUNCE_FAILED },
	{ OUTCOME_BOUNCED, S | F, -1, 0, false, "a@y", BOUNCE, BOUNCE_FAILED },
	/* The null sender: report.c decides between the postmaster and the log. */
	{ OUTCOME_BOUNCED, 0, TRANSPORT_SMTP, 0, false, "", BOUNCE, BOUNCE_FAILED },
	/* successes */
	{ OUTCOME_DELIVERED, 0, TRANSPORT_MAILDIR, 0, false, "a@y", DONE, 0 },
	{ OUTCOME_DELIVERED, S, TRANSPORT_MAILDIR, 0, false, "a@y", BOUNCE, BOUNCE_DELIVERED },
	{ OUTCOME_DELIVERED, S, TRANSPORT_MAILDIR, 0, false, "", DONE, 0 },
	{ OUTCOME_DELIVERED, F | D, TRANSPORT_MAILDIR, 0, false, "a@y", DONE, 0 },
	{ OUTCOME_DELIVERED, S, TRANSPORT_SMTP, 0, false, "a@y", DONE, 0 },
	{ OUTCOME_DELIVERED, S, TRANSPORT_SMTP, OUTCOME_NO_DSN_SUPPORT, false, "a@y", BOUNCE,
	  BOUNCE_RELAYED },
	{ OUTCOME_DELIVERED, N, TRANSPORT_SMTP, OUTCOME_NO_DSN_SUPPORT, false, "a@y", DONE, 0 },
	{ OUTCOME_DELIVERED, S, TRANSPORT_LMTP, OUTCOME_NO_DSN_SUPPORT, false, "a@y", BOUNCE,
	  BOUNCE_DELIVERED },
	{ OUTCOME_DELIVERED, S, TRANSPORT_LMTP, 0, false, "a@y", DONE, 0 },
	{ OUTCOME_DELIVERED, S, -1, 0, true, "a@y", BOUNCE, BOUNCE_DELIVERED },
	{ OUTCOME_DELIVERED, 0, -1, 0, true, "a@y", DONE, 0 },
};

START_TEST(told)
{
	setup();
	attempt.status = told_cases[_i].status;
	attempt.flags = told_cases[_i].flags;
	attempt.transport = told_cases[_i].transport;
	attempt.is_discarded = told_cases[_i].is_discarded;
	facts.notify = told_cases[_i].notify;
	facts.sender = span_of(told_cases[_i].sender);
	apply();
	ck_assert_int_eq(noted.op, told_cases[_i].op);
	ck_assert_int_eq(noted.has_report, told_cases[_i].op == BOUNCE);
	ck_assert_int_eq(noted.event.kind, told_cases[_i].is_discarded ? EVENT_DISCARDED
					   : told_cases[_i].status == OUTCOME_BOUNCED
						   ? EVENT_BOUNCED
						   : EVENT_DELIVERED);
	ck_assert_uint_eq(noted.event.attempt, 1);
	if (noted.op == BOUNCE)
		ck_assert_int_eq(noted.bounce.kind, told_cases[_i].kind);
	teardown();
}
END_TEST

static const struct {
	uint64_t warn_after_ms, age_ms;
	uint8_t notify;
	uint32_t flags;
	const char *sender;
	bool is_warned;
} warn_cases[] = {
	{ 0, 9000000, 0, 0, "a@y", false },
	{ 10000, 9999, 0, 0, "a@y", false },
	{ 10000, 10000, 0, 0, "a@y", true },
	{ 10000, 10000, D, 0, "a@y", true },
	{ 10000, 10000, F, 0, "a@y", false },
	{ 10000, 10000, N, 0, "a@y", false },
	{ 10000, 10000, 0, ENTRY_WARNED, "a@y", false },
	{ 10000, 10000, 0, 0, "", false },
};

START_TEST(warned)
{
	setup();
	svc.conf->retry.warn_after = warn_cases[_i].warn_after_ms;
	attempt.status = OUTCOME_DEFERRED;
	facts.arrival_ms = NOW_MS - warn_cases[_i].age_ms;
	facts.notify = warn_cases[_i].notify;
	facts.flags = warn_cases[_i].flags;
	facts.sender = span_of(warn_cases[_i].sender);
	apply();
	ck_assert_int_eq(noted.is_warned, warn_cases[_i].is_warned);
	ck_assert_int_eq(noted.event.kind, EVENT_DEFERRED);
	ck_assert_int_eq(noted.op, PUT);
	ck_assert_int_eq((noted.row.flags & ROW_WARNED) != 0,
			 warn_cases[_i].is_warned || warn_cases[_i].flags);
	teardown();
}
END_TEST

/* --- when it is tried again, when it is given up --------------------------------------------------- */

static const struct {
	uint32_t attempts;
	uint64_t ms;
} wait_cases[] = {
	{ 0, 300000 },	{ 1, 300000 },	 { 2, 600000 },	  { 3, 1200000 },     { 5, 4800000 },
	{ 6, 9600000 }, { 7, 14400000 }, { 8, 14400000 }, { 4095, 14400000 },
};

START_TEST(waits)
{
	setup();
	ck_assert_uint_eq(outcome_retry_ms(svc.conf, wait_cases[_i].attempts), wait_cases[_i].ms);
	teardown();
}
END_TEST

START_TEST(jitter)
{
	uint64_t low = UINT64_MAX, high = 0;

	for (int i = 0; i < 2000; i++) {
		uint64_t ms = sched_jitter(1000, 20);

		low = ms < low ? ms : low;
		high = ms > high ? ms : high;
	}
	ck_assert(low >= 800 && low < 830 && high <= 1200 && high > 1170);
	ck_assert_uint_eq(sched_jitter(1000, 0), 1000);
}
END_TEST

static const struct {
	int64_t begun_after_expiry_ms; /* when the attempt began */
	bool is_null_sender, is_put_off;
	enum outcome_status status;
	int op;
	enum bounce_kind kind;
} expiry_cases[] = {
	{ -1, false, false, OUTCOME_DEFERRED, PUT, 0 },
	{ 0, false, false, OUTCOME_DEFERRED, BOUNCE, BOUNCE_EXPIRED },
	{ 0, true, false, OUTCOME_DEFERRED, BOUNCE, BOUNCE_EXPIRED },
	{ -1, true, false, OUTCOME_DEFERRED, PUT, 0 },
	/* Nothing was tried: that expires nobody. */
	{ 100000, false, true, OUTCOME_DEFERRED, PUT, 0 },
	/* What is refused for good is not called expired. */
	{ 100000, false, false, OUTCOME_BOUNCED, BOUNCE, BOUNCE_FAILED },
	{ 100000, false, false, OUTCOME_DELIVERED, DONE, 0 },
};

START_TEST(expires)
{
	uint64_t life;

	setup();
	life = expiry_cases[_i].is_null_sender ? svc.conf->retry.bounce_expire
					       : svc.conf->retry.expire;
	facts.sender = expiry_cases[_i].is_null_sender ? SPAN_NONE : facts.sender;
	facts.arrival_ms = NOW_MS - life;
	attempt.begun_ms = (uint64_t)((int64_t)NOW_MS + expiry_cases[_i].begun_after_expiry_ms);
	attempt.is_put_off = expiry_cases[_i].is_put_off;
	attempt.status = expiry_cases[_i].status;
	apply();
	ck_assert_int_eq(noted.op, expiry_cases[_i].op);
	if (noted.op == BOUNCE)
		ck_assert_int_eq(noted.bounce.kind, expiry_cases[_i].kind);
	teardown();
}
END_TEST

START_TEST(rows)
{
	setup();
	attempt.status = OUTCOME_DEFERRED;
	attempt.text = SPAN("later");
	facts.attempts = 2;
	apply();
	ck_assert(noted.op == PUT && noted.row.state == ROW_READY && noted.row.attempts == 3);
	ck_assert_uint_eq(noted.row.due_ms, NOW_MS + 1200000);
	UNIT_EQ(noted.row.lane, "x");
	UNIT_EQ(noted.row.text, "later");
	/* The last attempt is made when the time is up. */
	facts.arrival_ms = NOW_MS - svc.conf->retry.expire + 5000;
	apply();
	ck_assert_uint_eq(noted.row.due_ms, NOW_MS + 5000);
	attempt.due_ms = NOW_MS + 99;
	apply();
	ck_assert_uint_eq(noted.row.due_ms, NOW_MS + 99);
	/* Held by an administrator while it was tried. */
	facts.flags = ENTRY_HOLD;
	apply();
	ck_assert_int_eq(noted.row.state, ROW_HELD);
	facts.flags = ENTRY_GONE;
	apply();
	ck_assert_int_eq(noted.op, DONE);
	teardown();
}
END_TEST

START_TEST(soft_bounce)
{
	setup();
	svc.conf->soft_bounce = true;
	attempt.status = OUTCOME_BOUNCED;
	apply();
	ck_assert_int_eq(noted.op, PUT);
	teardown();
}
END_TEST

/* --- limits ---------------------------------------------------------------------------------- */

static const struct {
	const char *site, *host;
	uint64_t connections;
} site_cases[] = {
	{ "google", "whatever.example", 10 },	{ "GOOGLE", "", 10 },
	{ "x", "alt1.aspmx.l.google.com", 10 }, { "x", "alt1.aspmx.l.GOOGLE.com", 10 },
	{ "x", "google.com.example", 7 },	{ "x", "mx.exact.example", 3 },
	{ "x", "sub.mx.exact.example", 7 },	{ "default", "x.example", 7 },
};

START_TEST(sites)
{
	char *google[] = { (char[]){ "*.google.com" } },
	     *exact[] = { (char[]){ "mx.exact.example" } };
	struct conf_site blocks[3];

	setup();
	blocks[0] = (struct conf_site){ .title = (char[]){ "google" },
					.mx = { google, 1 },
					.connections = 10 };
	blocks[1] = (struct conf_site){ .title = (char[]){ "default" }, .connections = 7 };
	blocks[2] = (struct conf_site){ .title = (char[]){ "other" },
					.mx = { exact, 1 },
					.connections = 3 };
	ck_assert_uint_eq(limit_find(&sched, SPAN("x"), SPAN("y"))->connections, 20);
	svc.conf->site = blocks;
	svc.conf->site_count = 3;
	ck_assert_uint_eq(limit_find(&sched, span_of(site_cases[_i].site),
				     span_of(site_cases[_i].host))
				  ->connections,
			  site_cases[_i].connections);
	svc.conf->site = NULL;
	svc.conf->site_count = 0;
	teardown();
}
END_TEST

/* So many go in a time, whatever the rate: a burst of a second's worth at first, then evenly. */
static const struct {
	uint64_t count, per_ms, seconds, most;
} rate_cases[] = { { 10, 1000, 10, 110 },
		   { 600, 60000, 10, 110 },
		   { 60, 60000, 60, 61 },
		   { 1, 60000, 180, 4 },
		   { 0, 1000, 1, 1000 } };

START_TEST(rate)
{
	struct conf_site limits = { .message_rate = { rate_cases[_i].count,
						      rate_cases[_i].per_ms } };
	struct lane l = { .limits = &limits };
	uint64_t taken = 0, start = 5000000;

	for (uint64_t us = start; us < start + rate_cases[_i].seconds * 1000000; us += 1000) {
		clock_fake_set(1, us);
		if (lane_rate_wait_us(&l) > 0)
			continue;
		lane_rate_take(&l);
		taken++;
	}
	ck_assert_uint_le(taken, rate_cases[_i].most);
	ck_assert_uint_ge(taken + taken / 20 + 2, rate_cases[_i].most);
	clock_fake_set(0, 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("outcome");

	UNIT_TABLE(s, told, told_cases);
	UNIT_TABLE(s, warned, warn_cases);
	UNIT_TABLE(s, waits, wait_cases);
	UNIT_TEST(s, jitter);
	UNIT_TABLE(s, expires, expiry_cases);
	UNIT_TEST(s, rows);
	UNIT_TEST(s, soft_bounce);
	UNIT_TABLE(s, sites, site_cases);
	UNIT_TABLE(s, rate, rate_cases);
	return unit_run(s);
}
