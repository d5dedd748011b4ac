/* SPDX-License-Identifier: ISC
 *
 * Tests of scheduling as a whole (qmgr/sched) on a real spool, with a router and a delivery process that are functions of this
 * file, and a clock that is a number: dead sites and healthy ones, back-off, expiry, hold, a clock that jumps.
 *
 * The domain of an address says what its site does: dead* refuses the connection, hang* never answers, later* takes the
 * connection and defers, any other delivers. */

/* System */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/cur.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/wire.h"
#include "qmgr/sched/sched_int.h"
/* this program */
#include "tests/unit/qmgr/fixture.h"
#include "tests/unit/unit.h"

#define START_MS 1800000000000ull
#define MINUTE_MS 60000ull
#define HOUR_MS (60 * MINUTE_MS)

static struct fix fix;
static struct svc svc;
static struct qmgr qmgr;
static struct sched *sched;
static uint64_t wall_ms, mono_ms;

/* --- channels: what is sent is noted, and answered later --------------------------------------- */

static char router_end, delivery_end, control_end, master_end;
#define ROUTER ((struct chan *)(void *)&router_end)
#define DELIVERY ((struct chan *)(void *)&delivery_end)
#define CONTROL ((struct chan *)(void *)&control_end)
#define MASTER ((struct chan *)(void *)&master_end)

struct sent {
	struct sent *next;
	struct chan *to;
	enum msg_type type;
	char *payload;
	union msg_any msg;
};
static struct sent *first_sent, **last_sent = &first_sent;
static void *delivery_data;

/* One for each attempt: when, and of which site. */
static struct attempt_note {
	uint64_t at_ms;
	char site[64];
} * attempts;
static size_t attempt_count;

/* Sessions by id: their site; and those that wait for an answer that does not come. */
static struct map64 sites;
static struct msg_queue_done answered;

enum proc_id __wrap_chan_kind(const struct chan *c);
unsigned __wrap_chan_slot(const struct chan *c);
void *__wrap_chan_data(const struct chan *c);
void __wrap_chan_set_data(struct chan *c, void *data);
bool __wrap_chan_is_full(const struct chan *c);
void __wrap_chan_send(struct chan *c, enum msg_type type, const void *msg);
bool __wrap_svc_peer_is_alone(struct svc *s, const struct chan *c);
bool __wrap_svc_peer_silent(struct svc *s, enum proc_id kind, size_t *it, uint16_t *slot_out);
void __wrap_svc_peer_close(struct svc *s, struct chan *c);
int __real_uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t timeout, uint64_t repeat);

enum proc_id
__wrap_chan_kind(const struct chan *c)
{
	return c == ROUTER     ? PROC_ROUTER
	       : c == DELIVERY ? PROC_DELIVERY
	       : c == CONTROL  ? PROC_CONTROL
			       : PROC_MASTER;
}

unsigned
__wrap_chan_slot(const struct chan *c)
{
	(void)c;
	return 3;
}

void *
__wrap_chan_data(const struct chan *c)
{
	return c == DELIVERY ? delivery_data : NULL;
}

void
__wrap_chan_set_data(struct chan *c, void *data)
{
	ck_assert_ptr_eq(c, DELIVERY);
	delivery_data = data;
}

bool
__wrap_chan_is_full(const struct chan *c)
{
	(void)c;
	return false;
}

bool
__wrap_svc_peer_is_alone(struct svc *s, const struct chan *c)
{
	(void)s;
	(void)c;
	return false;
}

bool
__wrap_svc_peer_silent(struct svc *s, enum proc_id kind, size_t *it, uint16_t *slot_out)
{
	(void)s;
	(void)kind;
	(void)it;
	(void)slot_out;
	return false;
}

void
__wrap_svc_peer_close(struct svc *s, struct chan *c)
{
	(void)s;
	(void)c;
}

/* Timers look at the clock of this file often: it does not go on by itself. */
int
__wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t timeout, uint64_t repeat)
{
	return __real_uv_timer_start(t, fn, timeout > 1 ? 1 : timeout, repeat);
}

void
__wrap_chan_send(struct chan *c, enum msg_type type, const void *msg)
{
	struct sent *s = mem_zalloc(sizeof(*s));
	struct buf b;

	ck_assert_ptr_ne(c, MASTER);
	buf_init(&b, 1u << 23);
	msg_encode(&b, type, msg);
	ck_assert_int_eq(buf_check(&b), 0);
	s->to = c;
	s->type = type;
	s->payload = mem_dup_span(buf_span(&b));
	ck_assert_int_eq(msg_decode(span_make(s->payload, b.n), type, &s->msg), 0);
	buf_clear(&b);
	*last_sent = s;
	last_sent = &s->next;
}

static void
say(struct chan *from, enum msg_type type, union msg_any msg)
{
	sched_on_msg(sched, from, type, &msg);
}

/* --- the router: each domain is a site --------------------------------------------------------- */

static void
route(const struct msg_resolve *m)
{
	ptrdiff_t at = span_rchr(m->address, '@');
	struct span domain = span_sub(m->address, (size_t)at + 1, SIZE_MAX);
	struct plan_addr addr = { 4, { 192, 0, 2, 1 } };
	struct plan_host host = { .name = domain, .port = 25, .addrs = &addr, .addr_count = 1 };
	struct plan plan = {
		.transport = TRANSPORT_SMTP, .domain = domain, .hosts = &host, .host_count = 1
	};
	struct buf b;

	buf_init(&b, 4096);
	plan_encode(&b, &plan);
	say(ROUTER, MSG_RESOLVED,
	    (union msg_any){ .resolved = { .req = m->req,
					   .action = ROUTE_DELIVER,
					   .site = domain,
					   .plan = buf_span(&b),
					   .final = m->address,
					   .ttl_s = 300 } });
	buf_clear(&b);
}

/* --- the delivery process ---------------------------------------------------------------------- */

static void
note_attempt(const char *site)
{
	attempts = mem_grow(attempts, attempt_count + 1, sizeof(*attempts));
	attempts[attempt_count].at_ms = mono_ms;
	snprintf(attempts[attempt_count++].site, sizeof(attempts[0].site), "%s", site);
}

static void
fail_session(uint32_t session)
{
	say(DELIVERY, MSG_SESSION_STATE,
	    (union msg_any){ .session_state = { .session = session,
						.state = SESSION_FAILED,
						.reply = 451,
						.esc = SPAN("4.4.1"),
						.text = SPAN("Connection refused"),
						.relay = SPAN("relay") } });
}

static void
open_session(const struct msg_session_open *m)
{
	char *site = mem_dup_span(m->site);

	mem_free(map64_put(&sites, m->session, site));
	if (strncmp(site, "dead", 4) == 0) {
		note_attempt(site);
		fail_session(m->session);
	} else if (strncmp(site, "hang", 4) == 0) {
		note_attempt(site);
	} else {
		say(DELIVERY, MSG_SESSION_STATE,
		    (union msg_any){ .session_state = { .session = m->session,
							.state = SESSION_UP,
							.relay = SPAN("relay") } });
	}
}

static void
run_job(const struct msg_job *m)
{
	const char *site = map64_get(&sites, m->session);
	bool is_later = strncmp(site, "later", 5) == 0;
	struct envelope e;
	struct arena a;
	struct buf b;

	note_attempt(site);
	arena_init(&a, 1024);
	ck_assert_int_eq(envelope_decode(m->envelope, &a, &e), 0);
	buf_init(&b, 4096);
	for (uint32_t i = 0; i < e.rcpt_count; i++)
		outcome_put(&b, &(struct outcome){ .index = e.rcpts[i].index,
						   .status = is_later ? OUTCOME_DEFERRED
								      : OUTCOME_DELIVERED,
						   .reply = is_later ? 450 : 250,
						   .esc = is_later ? SPAN("4.2.1") : SPAN("2.0.0"),
						   .text = SPAN("text") });
	say(DELIVERY, MSG_RESULT,
	    (union msg_any){ .result = { .job = m->job,
					 .session = m->session,
					 .qid = m->qid,
					 .number = m->number,
					 .is_session_up = 1,
					 .relay = SPAN("relay"),
					 .outcomes = buf_span(&b) } });
	buf_clear(&b);
	arena_clear(&a);
}

static void
answer(const struct sent *s)
{
	if (s->type == MSG_RESOLVE)
		route(&s->msg.resolve);
	else if (s->type == MSG_SESSION_OPEN)
		open_session(&s->msg.session_open);
	else if (s->type == MSG_SESSION_CLOSE)
		say(DELIVERY, MSG_SESSION_STATE,
		    (union msg_any){ .session_state = { .session = s->msg.session_close.session,
							.state = SESSION_CLOSED } });
	else if (s->type == MSG_JOB)
		run_job(&s->msg.job);
	else if (s->type == MSG_QUEUE_DONE)
		answered = s->msg.queue_done;
}

/* --- time ---------------------------------------------------------------------------------------- */

/* All that follows from what happened until now: answers, and everything that waits for the disk. */
static void
settle(void)
{
	unsigned rounds = 0;
	uint32_t count;

	for (unsigned quiet = 0; quiet < 2; quiet++) {
		ck_assert_msg(++rounds < 1000, "it goes round in circles: %zu attempts",
			      attempt_count);
		fix_flush(&fix);
		fix_rows(&fix, 1, &count); /* what the store was asked before is answered */
		if (sched->reading > 0)
			quiet = 0;
		for (int i = 0; i < 3; i++)
			uv_run(&fix.loop, UV_RUN_NOWAIT);
		usleep(1100); /* timers that are due */
		uv_run(&fix.loop, UV_RUN_NOWAIT);
		while (first_sent != NULL) {
			struct sent *s = first_sent;
			if ((first_sent = s->next) == NULL)
				last_sent = &first_sent;
			answer(s);
			mem_free(s->payload);
			mem_free(s);
			quiet = 0;
		}
	}
}

static void
set_clock(uint64_t wall, uint64_t mono)
{
	wall_ms = wall;
	mono_ms = mono;
	clock_fake_set(wall_ms * 1000, mono_ms * 1000);
}

static void
pass(uint64_t ms, uint64_t step_ms)
{
	for (uint64_t gone = 0; gone < ms; gone += step_ms) {
		set_clock(wall_ms + step_ms, mono_ms + step_ms);
		settle();
	}
}

/* So many attempts for this site; the time of the last. */
static size_t
tried(const char *site, uint64_t *last_out)
{
	size_t n = 0;

	for (size_t i = 0; i < attempt_count; i++) {
		if (strcmp(attempts[i].site, site) != 0)
			continue;
		n++;
		if (last_out != NULL)
			*last_out = attempts[i].at_ms;
	}
	return n;
}

static void
mail(const char *sender, const char *addresses)
{
	ck_assert_int_eq(fix_submit_to(&fix, sender, addresses, NULL), 0);
}

static uint64_t
queued(void)
{
	struct spool_stats sp;
	struct store_counts c;

	spool_get_stats(fix.sp, &sp);
	store_get_counts(fix.sp->store, &c);
	return c.messages + sp.rowless_messages;
}

/* --- life ---------------------------------------------------------------------------------------- */

static void
setup(const char *options)
{
	struct conf_problems problems;
	char text[1000];

	snprintf(text, sizeof(text), "hostname = mx.example.org\n%s", options);
	conf_problems_init(&problems);
	int r = conf_parse("t", NULL, span_of(text), &svc.conf, &problems);
	ck_assert_msg(r == 0, "%s", buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	log_init("test", LOG_LEVEL_COUNT);
	set_clock(START_MS, 1000000);
	map64_init(&sites);
	fix_init(&fix);
	svc.master = MASTER;
	qmgr.svc = &svc;
	qmgr.timers = fix.timers;
	sched = sched_new(&qmgr);
	fix.ops = &sched_spool_ops;
	fix.ops_arg = sched;
	fix_open(&fix);
	qmgr.spool = fix.sp;
	qmgr.store = fix.sp->store;
	sched_start(sched);
	sched_on_peer(sched, ROUTER);
	sched_on_peer(sched, DELIVERY);
	say(DELIVERY, MSG_INVENTORY_END, (union msg_any){ .inventory_end = { 0 } });
	settle();
}

/* main.c's. */
void
qmgr_stopped(struct qmgr *q)
{
	(void)q;
}

static void
teardown(void)
{
	uint64_t id;
	void *site;

	settle();
	fix_stop(&fix); /* calls of its threads must find scheduling */
	sched_free(&sched);
	clock_fake_set(0, 0);
	fix_clear(&fix);
	for (size_t it = 0; map64_next(&sites, &it, &id, &site);)
		mem_free(site);
	map64_clear(&sites);
	mem_free(attempts);
	attempts = NULL;
	attempt_count = 0;
	conf_free(&svc.conf);
}

/* --- sites ----------------------------------------------------------------------------------------- */

START_TEST(dead_sites_do_not_delay_a_healthy_one)
{
	char address[64];

	setup("limits { sessions = 8 }\n");
	mail("a@ok.example", "u@ok.example");
	settle();
	ck_assert_uint_eq(tried("ok.example", NULL), 1);
	for (int i = 0; i < 60; i++) {
		snprintf(address, sizeof(address), "u@%s%d.example", i % 2 ? "hang" : "dead", i);
		mail("a@ok.example", address);
	}
	settle();
	/* A site that is known to work is served at once, whatever else hangs. */
	mail("a@ok.example", "u@ok.example");
	settle();
	ck_assert_uint_eq(tried("ok.example", NULL), 2);
	/* A new one waits until one of the connections that hang, at most a quarter of all, is given up. */
	mail("a@ok.example", "u@new.example");
	settle();
	ck_assert_uint_eq(tried("new.example", NULL), 0);
	size_t hanging = 0;
	for (size_t i = 0; i < attempt_count; i++)
		hanging += strncmp(attempts[i].site, "hang", 4) == 0;
	ck_assert_uint_eq(hanging, 2);
	uint64_t id;
	void *site;
	for (size_t it = 0; map64_next(&sites, &it, &id, &site);) {
		if (strncmp(site, "hang", 4) == 0)
			fail_session((uint32_t)id);
	}
	settle();
	ck_assert_uint_eq(tried("new.example", NULL), 1);
	teardown();
}
END_TEST

/* --- back-off --------------------------------------------------------------------------------------- */

static const char *const failing[] = { "dead", "later" };

/* Waits of 10, 20, 40, 80, 80 minutes, each varied by at most 20 %, and not all by the same. */
START_TEST(waits_grow_and_vary)
{
	enum { SITES = 12, TRIES = 5, STEP_MS = 30000 };
	static const uint64_t minutes[TRIES] = { 10, 20, 40, 80, 80 };
	char address[64], site[64];
	unsigned shorter = 0, longer = 0;

	setup("retry { first = \"10m\" factor = 2 max = \"80m\" jitter = 20 }\n");
	for (int i = 0; i < SITES; i++) {
		snprintf(address, sizeof(address), "u@%s%d.example", failing[_i], i);
		mail("a@ok.example", address);
	}
	pass(330 * MINUTE_MS, STEP_MS);
	for (int i = 0; i < SITES; i++) {
		uint64_t before = 0;
		unsigned n = 0;
		snprintf(site, sizeof(site), "%s%d.example", failing[_i], i);
		for (size_t k = 0; k < attempt_count && n <= TRIES; k++) {
			if (strcmp(attempts[k].site, site) != 0)
				continue;
			if (n > 0) {
				uint64_t wait = attempts[k].at_ms - before,
					 base = minutes[n - 1] * MINUTE_MS;
				ck_assert_msg(wait >= base * 8 / 10 &&
						      wait <= base * 12 / 10 + 2 * STEP_MS,
					      "%s: wait %u of %llu s", site, n,
					      (unsigned long long)wait / 1000);
				shorter += wait < base * 95 / 100;
				longer += wait > base * 105 / 100;
			}
			before = attempts[k].at_ms;
			n++;
		}
		ck_assert_uint_ge(n, TRIES);
	}
	ck_assert_uint_gt(shorter, 3);
	ck_assert_uint_gt(longer, 3);
	teardown();
}
END_TEST

/* --- the end of patience ------------------------------------------------------------------------------ */

/* A sender who gets a report, and none: a lifetime each. */
static const struct {
	const char *site, *sender;
	uint64_t life_ms;
} lives[] = {
	{ "dead.example", "a@ok.example", 3 * HOUR_MS },
	{ "later.example", "a@ok.example", 3 * HOUR_MS },
	{ "dead.example", "", HOUR_MS },
	{ "later.example", "", HOUR_MS },
};
#define LIFE                                                                           \
	"postmaster = pm@ok.example\n"                                                 \
	"retry { first = \"10m\" factor = 1 max = \"10m\" jitter = 0 expire = \"3h\" " \
	"bounce_expire = \"1h\" }\n"

START_TEST(expires_after_an_attempt_behind_its_time)
{
	char address[64];
	uint64_t last = 0, begin;

	setup(LIFE);
	begin = mono_ms;
	snprintf(address, sizeof(address), "u@%s", lives[_i].site);
	mail(lives[_i].sender, address);
	settle();
	pass(lives[_i].life_ms - MINUTE_MS, MINUTE_MS);
	ck_assert_uint_eq(queued(), 1);
	ck_assert_uint_eq(sched->stats.expired, 0);
	pass(12 * MINUTE_MS, MINUTE_MS);
	ck_assert_uint_eq(sched->stats.expired, 1);
	ck_assert_uint_eq(queued(), 0);
	size_t n = tried(lives[_i].site, &last);
	ck_assert_uint_ge(n, lives[_i].life_ms / (10 * MINUTE_MS));
	ck_assert_uint_ge(last - begin, lives[_i].life_ms);
	/* The report went to the sender; that of a bounce to the postmaster. */
	ck_assert_uint_eq(tried("ok.example", NULL), 1);
	ck_assert_uint_eq(sched->stats.double_bounces, lives[_i].sender[0] == '\0');
	pass(HOUR_MS, 5 * MINUTE_MS);
	ck_assert_uint_eq(tried(lives[_i].site, NULL), n);
	teardown();
}
END_TEST

/* Until no more than these messages are left: many reports take their time to be stored and sent. */
static void
settle_to(uint64_t messages)
{
	for (int i = 0; i < 1000 && queued() > messages; i++)
		settle();
	ck_assert_uint_eq(queued(), messages);
}

/* More recipients of a dead site than one step of its sweep takes: the first failed connection behind their time ends those of
 * null senders, and leaves the others until theirs. */
START_TEST(all_at_a_dead_site_expire_by_one_attempt)
{
	enum { BOUNCES = 70, EACH = 3, LETTERS = 2 };

	setup(LIFE);
	for (int i = 0; i < LETTERS; i++)
		mail("a@ok.example", "u@dead.example v@dead.example");
	for (int i = 0; i < BOUNCES; i++)
		mail("", "u@dead.example v@dead.example w@dead.example");
	settle();
	pass(HOUR_MS - MINUTE_MS, MINUTE_MS);
	ck_assert_uint_eq(sched->stats.expired, 0);
	ck_assert_uint_eq(queued(), BOUNCES + LETTERS);
	size_t n = tried("dead.example", NULL);
	while (sched->stats.expired == 0)
		pass(MINUTE_MS, MINUTE_MS);
	settle_to(LETTERS);
	ck_assert_uint_eq(tried("dead.example", NULL), n + 1);
	ck_assert_uint_eq(sched->stats.expired, BOUNCES * EACH);
	ck_assert_uint_eq(sched->stats.double_bounces, BOUNCES);
	pass(2 * HOUR_MS + 20 * MINUTE_MS, MINUTE_MS);
	settle_to(0);
	ck_assert_uint_eq(sched->stats.expired, BOUNCES * EACH + LETTERS * 2);
	teardown();
}
END_TEST

/* A site that is dead while the sender of more recipients than one step of a sweep takes is to be told of the delay: all of them are
 * named, and nobody who asked not to. */
START_TEST(delay_of_all_at_a_dead_site_is_told)
{
	enum { RCPTS = 450 };
	struct buf all;
	uint32_t count, warned = 0;

	setup("postmaster = pm@ok.example\nretry { first = \"10m\" factor = 1 max = \"10m\" jitter "
	      "= 0 "
	      "warn_after = \"1h\" }\n");
	buf_init(&all, 65536);
	for (int i = 0; i < RCPTS; i++)
		buf_printf(&all, "u%d@dead.example ", i);
	ck_assert_int_eq(fix_submit_to(&fix, "a@ok.example", buf_cstr(&all), NULL), 0);
	settle();
	pass(50 * MINUTE_MS, MINUTE_MS);
	ck_assert_uint_eq(sched->stats.reports, 0);
	pass(40 * MINUTE_MS, MINUTE_MS);
	const struct row *rows = fix_rows(&fix, 1, &count);
	ck_assert_uint_eq(count, RCPTS);
	for (uint32_t i = 0; i < count; i++)
		warned += (rows[i].flags & ROW_WARNED) != 0;
	ck_assert_uint_eq(warned, RCPTS);
	buf_clear(&all);
	teardown();
}
END_TEST

/* A clock that jumps ahead makes an attempt due, and expires nothing that was not tried. Back: what is due in a year is due now. */
START_TEST(a_clock_that_jumps)
{
	setup(LIFE);
	mail("a@ok.example", "u@ok2.example");
	mail("a@ok.example", "u@later.example");
	settle();
	ck_assert_uint_eq(tried("later.example", NULL), 1);
	set_clock(wall_ms - 365 * 24 * HOUR_MS, mono_ms + 1000);
	pass(3000, 1000);
	ck_assert_uint_eq(tried("later.example", NULL), 2);
	ck_assert_uint_eq(sched->stats.expired, 0);
	ck_assert_uint_eq(queued(), 1);
	pass(9 * MINUTE_MS, 30000);
	ck_assert_uint_eq(tried("later.example", NULL), 2);
	set_clock(wall_ms + 2 * 365 * 24 * HOUR_MS, mono_ms + 1000);
	pass(2 * MINUTE_MS, 30000);
	ck_assert_uint_eq(tried("later.example", NULL), 3);
	ck_assert_uint_eq(sched->stats.expired, 1);
	teardown();
}
END_TEST

/* --- an administrator -------------------------------------------------------------------------------- */

static void
order(enum queue_verb verb, const char *filter)
{
	struct buf b;

	buf_init(&b, 1000);
	if (filter != NULL)
		buf_put_bytes(&b, span_of(filter));
	memset(&answered, 0, sizeof(answered));
	say(CONTROL, MSG_QUEUE_QUERY,
	    (union msg_any){ .queue_query = { .req = 9,
					      .verb = (uint8_t)verb,
					      .is_admin = 1,
					      .filters = buf_span(&b) } });
	buf_clear(&b);
	settle();
	ck_assert_uint_eq(answered.req, 9);
	ck_assert_uint_eq(answered.code, 0);
	ck_assert_uint_eq(answered.recipients, 1);
}

/* What is held is neither tried nor expired, however long; released it is tried at once. */
START_TEST(held_until_released)
{
	setup(LIFE);
	mail("a@ok.example", failing[_i][0] == 'd' ? "u@dead.example" : "u@later.example");
	settle();
	size_t n = attempt_count;
	ck_assert_uint_eq(n, 1);
	order(QUEUE_HOLD, "sender=a@ok.example");
	pass(5 * HOUR_MS, 5 * MINUTE_MS);
	ck_assert_uint_eq(attempt_count, n);
	ck_assert_uint_eq(queued(), 1);
	order(QUEUE_RELEASE, NULL);
	pass(2000, 1000);
	ck_assert_uint_ge(attempt_count, n + 1);
	/* Its time is over: this was the last attempt, and the report goes to the sender. */
	ck_assert_uint_eq(sched->stats.expired, 1);
	teardown();
}
END_TEST

START_TEST(retry_now)
{
	setup(LIFE);
	mail("a@ok.example", "u@dead.example");
	pass(MINUTE_MS, 10000);
	ck_assert_uint_eq(tried("dead.example", NULL), 1);
	order(QUEUE_RETRY, "domain=dead.example");
	ck_assert_uint_eq(tried("dead.example", NULL), 2);
	teardown();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sched");

	UNIT_TEST(s, dead_sites_do_not_delay_a_healthy_one);
	UNIT_TABLE(s, waits_grow_and_vary, failing);
	UNIT_TABLE(s, expires_after_an_attempt_behind_its_time, lives);
	UNIT_TEST(s, all_at_a_dead_site_expire_by_one_attempt);
	UNIT_TEST(s, delay_of_all_at_a_dead_site_is_told);
	UNIT_TEST(s, a_clock_that_jumps);
	UNIT_TABLE(s, held_until_released, failing);
	UNIT_TEST(s, retry_now);
	return unit_run(s);
}
