/* SPDX-License-Identifier: ISC
 *
 * Questions to the router and what is kept of its answers. The channel is replaced: what is sent is counted. */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "smtpd/verdicts.h"
/* this program */
#include "tests/unit/unit.h"

static unsigned sent;
static uint64_t sent_number;
static char sent_address[400];

void __wrap_chan_send(struct chan *c, enum msg_type type, const void *msg);

void
__wrap_chan_send(struct chan *c, enum msg_type type, const void *msg)
{
	const struct msg_rcpt_check *m = msg;

	ck_assert_ptr_nonnull(c);
	ck_assert_int_eq(type, MSG_RCPT_CHECK);
	sent++;
	sent_number = m->txn;
	snprintf(sent_address, sizeof(sent_address), "%.*s", SPAN_ARG(m->address));
}

static struct chan *const router = (struct chan *)0x1000;
static unsigned answered;
static uint16_t answer;

static void
on_verdict(void *arg, const struct session_verdict *v)
{
	(void)arg;
	answered++;
	answer = v->reply;
}

static int
ask(struct verdicts *v, struct question *q, const char *address, uint64_t now_ms)
{
	struct session_verdict out;
	struct smtp_addr a;
	int r;

	ck_assert_int_eq(addr_parse_mailbox(span_of(address), &a), 0);
	r = verdicts_ask(v, q, &a, SPAN("s@x"), false, now_ms, &out);
	if (r == 1)
		answer = out.reply;
	return r;
}

static void
tell(struct verdicts *v, uint64_t number, uint16_t reply, uint32_t ttl_ms, uint64_t epoch)
{
	verdicts_answer(v,
			&(struct msg_rcpt_verdict){ .txn = number,
						    .reply = reply,
						    .ttl_ms = ttl_ms,
						    .epoch = epoch,
						    .text = SPAN("text") },
			1000);
}

START_TEST(cache_is_bounded_and_oldest_goes)
{
	struct verdicts v;
	struct question q;
	char address[64];

	verdicts_init(&v);
	verdicts_router_up(&v, router);
	question_init(&q, on_verdict, NULL);
	for (unsigned i = 0; i < VERDICTS_CACHED_MAX + 10; i++) {
		snprintf(address, sizeof(address), "u%u@x", i);
		ck_assert_int_eq(ask(&v, &q, address, 1000), 0);
		tell(&v, sent_number, 250, 5000, 1);
	}
	ck_assert_uint_eq(v.cached, VERDICTS_CACHED_MAX);
	ck_assert_int_eq(ask(&v, &q, "u20@x", 1000), 1);
	ck_assert_int_eq(ask(&v, &q, "u5@x", 1000), 0);
	verdicts_cancel(&v, &q);
	/* And their time runs out. */
	ck_assert_int_eq(ask(&v, &q, "u20@x", 5999), 1);
	ck_assert_int_eq(ask(&v, &q, "u20@x", 6000), 0);
	verdicts_cancel(&v, &q);
	verdicts_clear(&v);
}
END_TEST

START_TEST(answers_find_who_asked_or_nobody)
{
	struct verdicts v;
	struct question q;
	uint64_t first;

	answered = 0;
	verdicts_init(&v);
	question_init(&q, on_verdict, NULL);
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), E_PEERGONE);
	verdicts_router_up(&v, router);
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), 0);
	first = sent_number;
	/* Asked again before the answer: only the new one counts. */
	ck_assert_int_eq(ask(&v, &q, "c@d", 1000), 0);
	tell(&v, first, 550, 0, 1);
	tell(&v, 12345, 550, 0, 1);
	ck_assert_uint_eq(answered, 0);
	tell(&v, sent_number, 250, 0, 1);
	ck_assert_uint_eq(answered, 1);
	ck_assert_uint_eq(answer, 250);
	tell(&v, sent_number, 250, 0, 1);
	ck_assert_uint_eq(answered, 1);
	/* Cancelled: nobody is called. */
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), 0);
	verdicts_cancel(&v, &q);
	tell(&v, sent_number, 250, 0, 1);
	ck_assert_uint_eq(answered, 1);
	verdicts_clear(&v);
}
END_TEST

START_TEST(lost_router_is_asked_again_under_the_same_number)
{
	struct verdicts v;
	struct question q;
	uint64_t number;
	unsigned before;

	verdicts_init(&v);
	verdicts_router_up(&v, router);
	question_init(&q, on_verdict, NULL);
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), 0);
	number = sent_number;
	before = sent;
	verdicts_router_lost(&v);
	verdicts_router_up(&v, router);
	ck_assert_uint_eq(sent, before + 1);
	ck_assert_uint_eq(sent_number, number);
	ck_assert_str_eq(sent_address, "a@b");
	verdicts_cancel(&v, &q);
	verdicts_clear(&v);
}
END_TEST

START_TEST(older_tables_are_not_believed)
{
	struct verdicts v;
	struct question q;

	verdicts_init(&v);
	verdicts_router_up(&v, router);
	question_init(&q, on_verdict, NULL);
	verdicts_epoch(&v, 7);
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), 0);
	tell(&v, sent_number, 250, 5000, 6);
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), 0);
	tell(&v, sent_number, 550, 5000, 8);
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), 1);
	ck_assert_uint_eq(answer, 550);
	verdicts_epoch(&v, 9);
	ck_assert_int_eq(ask(&v, &q, "a@b", 1000), 0);
	verdicts_cancel(&v, &q);
	verdicts_clear(&v);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("verdicts");

	UNIT_TEST(s, cache_is_bounded_and_oldest_goes);
	UNIT_TEST(s, answers_find_who_asked_or_nobody);
	UNIT_TEST(s, lost_router_is_asked_again_under_the_same_number);
	UNIT_TEST(s, older_tables_are_not_believed);
	return unit_run(s);
}
