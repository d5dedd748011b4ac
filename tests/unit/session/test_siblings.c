/* SPDX-License-Identifier: ISC
 *
 * A session when router and qmgr are slow, silent, full or gone; long messages; stopping. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* this program */
#include "tests/unit/session/dialog.h"
#include "tests/unit/unit.h"

/* ---- the other processes ---- */

START_TEST(recipient_without_answer_is_deferred)
{
	struct driver d;

	run(&d, HI "MAIL FROM:<a@b>\r\n", 0, true);
	d.holds_answers = true;
	driver_feed(&d, SPAN("RCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n"), 0);
	ck_assert(session_is_blocked(&d.s));
	driver_wait(&d, 10000);
	ck_assert_str_eq(summary(buf_span(&d.replies)), "220, 250, 250 2.1.0, 451 4.4.3");
	/* The second one waits now; the first one's answer is the owner's to ignore. */
	d.holds_answers = false;
	driver_feed(&d, SPAN("NOOP\r\n"), 0);
	ck_assert(span_ends(span_of(summary(buf_span(&d.replies))), SPAN("250 2.1.5, 250 2.0.0")));
	driver_clear(&d);
}
END_TEST

START_TEST(nothing_overtakes_a_message_that_waits)
{
	struct driver d;

	run(&d, ENVELOPE, 0, true);
	d.holds_answers = true;
	driver_feed(&d, SPAN("DATA\r\nx\r\n.\r\nMAIL FROM:<e@f>\r\nNOOP\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354");
	driver_answer(&d);
	driver_feed(&d, SPAN("NOOP\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)),
			 ENVELOPE_R ", 354, 250 2.0.0, 250 2.1.0, 250 2.0.0, 250 2.0.0");
	driver_clear(&d);
}
END_TEST

static const struct {
	int code;
	const char *reply;
} refusals[] = {
	{ E_NOSPACE, "452 4.3.1" },
	{ E_IO, "451 4.3.0" },
	{ E_PEERGONE, "451 4.3.0" },
	{ E_TOOBIG, "552 5.3.4" },
};

START_TEST(message_that_is_not_stored_is_refused)
{
	struct driver d;
	char want[128];

	run(&d, ENVELOPE, 0, true);
	d.commit = refusals[_i].code;
	driver_feed(&d, SPAN("DATA\r\nx\r\n.\r\nNOOP\r\n"), 0);
	snprintf(want, sizeof(want), ENVELOPE_R ", 354, %s, 250 2.0.0", refusals[_i].reply);
	ck_assert_str_eq(summary(buf_span(&d.replies)), want);
	ck_assert_uint_eq(d.received, 0);
	driver_clear(&d);
}
END_TEST

START_TEST(commit_without_answer_is_deferred_and_forgotten)
{
	struct driver d;

	run(&d, ENVELOPE, 0, true);
	d.holds_answers = true;
	driver_feed(&d, SPAN("DATA\r\nx\r\n.\r\n"), 0);
	driver_wait(&d, 60000);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 451 4.4.2");
	ck_assert_uint_eq(d.dropped, 1);
	/* An answer after that changes nothing. */
	session_commit_done(&d.s, 0, d.now_ms);
	ck_assert_uint_eq(d.s.out.n, 0);
	driver_feed(&d, SPAN("NOOP\r\n"), 0);
	ck_assert(span_ends(span_of(summary(buf_span(&d.replies))), SPAN("451 4.4.2, 250 2.0.0")));
	driver_clear(&d);
}
END_TEST

START_TEST(no_mail_is_taken_while_the_queue_is_closed)
{
	struct driver d;

	run(&d, HI, 0, false);
	d.may_mail = E_NOSPACE;
	driver_feed(&d, SPAN("MAIL FROM:<a@b>\r\n"), 0);
	d.may_mail = 0;
	driver_feed(&d, SPAN("MAIL FROM:<a@b>\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), "220, 250, 452 4.3.1, 250 2.1.0");
	driver_clear(&d);
}
END_TEST

/* ---- long messages ---- */

static struct span
big_message(size_t lines)
{
	static char text[1 << 20];
	size_t n = 0;

	for (size_t i = 0; i < lines; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "line %zu of a message that is too long to be kept whole\r\n",
				      i);
	return span_make(text, n);
}

START_TEST(long_message_is_streamed_whole)
{
	static const size_t lines[] = { 900, 1100, 2200, 5000 };
	static const size_t steps[] = { 0, 1000, 65536, 999 };

	for (size_t i = 0; i < 32; i++) {
		struct span text = big_message(lines[i % 4]);
		struct driver d;
		bool is_streamed = text.n > SESSION_CONTENT_MAX;
		char head[64];

		driver_init(&d);
		d.is_async = true;
		d.room_every = (unsigned)(i / 16); /* wait after each piece, or never */
		driver_start(&d);
		driver_feed(&d, SPAN(ENVELOPE), 0);
		if (i / 4 % 2 == 0) {
			driver_feed(&d, SPAN("DATA\r\n"), 0);
			driver_feed(&d, text, steps[i / 2 % 4]);
			driver_feed(&d, SPAN(".\r\n"), 0);
		} else {
			snprintf(head, sizeof(head), "BDAT %zu LAST\r\n", text.n);
			driver_feed(&d, span_of(head), 0);
			driver_feed(&d, text, steps[i / 2 % 4]);
		}
		driver_feed(&d, SPAN("NOOP\r\n"), 0);
		ck_assert(span_ends(span_of(summary(buf_span(&d.replies))),
				    SPAN("250 2.0.0, 250 2.0.0")));
		ck_assert_uint_eq(d.stored, 1);
		snprintf(head, sizeof(head), "from=a@b proto=ESMTP%s to=c@d\n",
			 is_streamed ? " streamed" : "");
		ck_assert(span_starts(buf_span(&d.mail), span_of(head)));
		unit_eq(span_sub(buf_span(&d.mail), strlen(head), d.mail.n), text);
		ck_assert_uint_eq(d.dropped, 0);
		driver_clear(&d);
	}
}
END_TEST

/* Text and dot in one read: the piece that makes it too long to be kept is also its last. */
START_TEST(message_just_too_long_to_be_kept_is_streamed)
{
	static const size_t sizes[] = { 65534, 65535, 65536, 65537, 65538,
					70000, 81919, 81920, 81921, 98304 };

	for (size_t i = 0; i < 4 * UNIT_COUNT(sizes); i++) {
		struct span text = span_sub(big_message(2200), 0, sizes[i / 4] - 2);
		struct driver d;
		struct buf in;
		char head[64];

		buf_init(&in, 1 << 20);
		driver_init(&d);
		d.is_async = true;
		d.room_every = (unsigned)(i / 2 % 2);
		driver_start(&d);
		driver_feed(&d, SPAN(ENVELOPE), 0);
		if (i % 2 == 0)
			driver_feed(&d, SPAN("DATA\r\n"), 0);
		else
			buf_printf(&in, "BDAT %zu LAST\r\n", text.n + 2);
		buf_put_span(&in, text);
		buf_puts(&in, i % 2 == 0 ? "\r\n.\r\n" : "\r\n");
		driver_feed(&d, buf_span(&in), 0);
		ck_assert_uint_eq(d.stored, 1);
		snprintf(head, sizeof(head), "from=a@b proto=ESMTP%s to=c@d\n",
			 sizes[i / 4] > SESSION_CONTENT_MAX ? " streamed" : "");
		ck_assert(span_starts(buf_span(&d.mail), span_of(head)));
		unit_eq(span_sub(buf_span(&d.mail), strlen(head), text.n), text);
		ck_assert_uint_eq(d.mail.n, strlen(head) + sizes[i / 4]);
		driver_clear(&d);
		buf_clear(&in);
	}
}
END_TEST

START_TEST(stream_that_is_lost_is_told_at_the_end)
{
	for (int how = 0; how < 3; how++) {
		struct driver d;

		run(&d, ENVELOPE "DATA\r\n", 0, true);
		d.room_every = 2;
		d.holds_answers = how == 1;
		if (how == 2)
			d.stream_fail = E_PEERGONE;
		driver_feed(&d, big_message(3000), 0);
		/* 0: between two reads; 1: while it waits for room. */
		if (how < 2)
			session_commit_done(&d.s, E_PEERGONE, d.now_ms);
		d.room_is_open = d.holds_answers = false;
		driver_feed(&d, SPAN("QUIT\r\n.\r\nNOOP\r\n"), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)),
				 ENVELOPE_R ", 354, 451 4.3.0, 250 2.0.0");
		ck_assert_uint_eq(d.stored, 0);
		driver_clear(&d);
	}
}
END_TEST

START_TEST(time_of_the_server_is_not_the_clients)
{
	struct driver d;

	run(&d, ENVELOPE "DATA\r\n", 0, true);
	d.conf.data_ms = 1000;
	d.conf.min_data_rate = 1000000;
	d.room_every = 1;
	d.holds_answers = true;
	driver_feed(&d, big_message(1500), 0);
	ck_assert(d.room_is_open);
	driver_wait(&d, 30000);
	d.holds_answers = false;
	driver_feed(&d, SPAN("x\r\n"), 0);
	driver_wait(&d, 500);
	driver_feed(&d, SPAN(".\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 250 2.0.0");
	driver_clear(&d);
}
END_TEST

START_TEST(ehlo_ends_a_transaction_with_all_it_held)
{
	struct driver d;

	run(&d, ENVELOPE "BDAT 200000\r\n", 0, false);
	driver_feed(&d, span_sub(big_message(5000), 0, 200000), 0);
	driver_feed(&d, SPAN("EHLO c\r\n"), 0);
	ck_assert_ptr_null(d.s.txn);
	ck_assert_uint_eq(d.dropped, 1);
	driver_clear(&d);
}
END_TEST

START_TEST(answers_nobody_waits_for_are_ignored)
{
	struct session_verdict v = { 250, SPAN("2.1.5"), SPAN("ok") };
	struct driver d;

	run(&d, HI "MAIL FROM:<a@b>\r\n", 0, false);
	session_rcpt_verdict(&d.s, &v, d.now_ms);
	session_room(&d.s, d.now_ms);
	session_commit_done(&d.s, 0, d.now_ms);
	ck_assert_uint_eq(d.s.out.n, 0);
	driver_feed(&d, SPAN("DATA\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), "220, 250, 250 2.1.0, 503 5.5.1");
	driver_clear(&d);
}
END_TEST

START_TEST(client_that_leaves_drops_its_stream)
{
	struct driver d;

	run(&d, ENVELOPE "DATA\r\n", 0, false);
	driver_feed(&d, big_message(3000), 0);
	session_free(&d.s);
	ck_assert_uint_eq(d.dropped, 1);
	driver_clear(&d);
}
END_TEST

/* ---- stopping ---- */

START_TEST(stop_ends_idle_sessions_and_lets_others_finish)
{
	struct driver d;

	run(&d, HI, 0, false);
	session_stop(&d.s, d.now_ms);
	driver_feed(&d, SPAN("NOOP\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), "220, 250, 421 4.3.2");
	ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
	driver_clear(&d);

	run(&d, ENVELOPE, 0, false);
	session_stop(&d.s, d.now_ms);
	driver_feed(&d, SPAN("DATA\r\nx\r\n.\r\nNOOP\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 250 2.0.0, 421 4.3.2");
	ck_assert_uint_eq(d.stored, 1);
	driver_clear(&d);

	run(&d, ENVELOPE, 0, false);
	session_stop(&d.s, d.now_ms);
	driver_feed(&d, SPAN("RSET\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 250 2.0.0, 421 4.3.2");
	driver_clear(&d);
}
END_TEST

START_TEST(idle_session_holds_little)
{
	struct driver d;

	run(&d, HI, 0, false);
	buf_clear(&d.s.out);
	ck_assert_uint_lt(sizeof(d.s), 400);
	ck_assert_uint_lt(session_memory(&d.s), 300);
	driver_feed(&d, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"), 0);
	buf_clear(&d.s.out);
	ck_assert_uint_lt(session_memory(&d.s), 300);
	driver_clear(&d);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("siblings");

	UNIT_TEST(s, recipient_without_answer_is_deferred);
	UNIT_TEST(s, nothing_overtakes_a_message_that_waits);
	UNIT_TABLE(s, message_that_is_not_stored_is_refused, refusals);
	UNIT_TEST(s, commit_without_answer_is_deferred_and_forgotten);
	UNIT_TEST(s, no_mail_is_taken_while_the_queue_is_closed);
	UNIT_TEST(s, long_message_is_streamed_whole);
	UNIT_TEST(s, message_just_too_long_to_be_kept_is_streamed);
	UNIT_TEST(s, stream_that_is_lost_is_told_at_the_end);
	UNIT_TEST(s, time_of_the_server_is_not_the_clients);
	UNIT_TEST(s, ehlo_ends_a_transaction_with_all_it_held);
	UNIT_TEST(s, answers_nobody_waits_for_are_ignored);
	UNIT_TEST(s, client_that_leaves_drops_its_stream);
	UNIT_TEST(s, stop_ends_idle_sessions_and_lets_others_finish);
	UNIT_TEST(s, idle_session_holds_little);
	return unit_run(s);
}
