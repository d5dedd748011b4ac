/* SPDX-License-Identifier: ISC
 *
 * Limits and deadlines of a session. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* this program */
#include "tests/unit/session/dialog.h"
#include "tests/unit/unit.h"

/* ---- limits ---- */

static void
feed_repeated(struct driver *d, const char *text, unsigned times)
{
	while (times-- > 0)
		driver_feed(d, span_of(text), 0);
}

START_TEST(limit_of_recipients)
{
	struct driver d;

	driver_init(&d);
	d.conf.recipients = 3;
	driver_start(&d);
	driver_feed(&d,
		    SPAN(ENVELOPE
			 "RCPT TO:<e@f>\r\nRCPT TO:<g@h>\r\nRCPT TO:<i@j>\r\nDATA\r\n.\r\n"),
		    0);
	ck_assert_str_eq(summary(buf_span(&d.replies)),
			 ENVELOPE_R ", 250 2.1.5, 250 2.1.5, 452 4.5.3, 354, 250 2.0.0");
	UNIT_EQ(buf_span(&d.mail), "from=a@b proto=ESMTP to=c@d to=e@f to=g@h\n");
	driver_clear(&d);
}
END_TEST

START_TEST(limit_of_bounce_recipients_is_for_strangers)
{
	for (int trusted = 0; trusted < 2; trusted++) {
		struct driver d;

		driver_init(&d);
		d.client.may_relay = trusted;
		d.conf.bounce_recipients = 1;
		driver_start(&d);
		driver_feed(&d, SPAN(HI), 0);
		driver_feed(&d, SPAN("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\n"), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)),
				 trusted ? "220, 250, 250 2.1.0, 250 2.1.5, 250 2.1.5"
					 : "220, 250, 250 2.1.0, 250 2.1.5, 452 4.5.3");
		driver_clear(&d);
	}
}
END_TEST

START_TEST(limit_of_messages)
{
	struct driver d;

	driver_init(&d);
	d.conf.messages = 1;
	driver_start(&d);
	driver_feed(&d, SPAN(ENVELOPE "DATA\r\n.\r\nMAIL FROM:<a@b>\r\nNOOP\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 250 2.0.0, 421 4.7.0");
	ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
	driver_clear(&d);
}
END_TEST

START_TEST(limit_of_errors)
{
	struct driver d;

	driver_init(&d);
	d.conf.errors = 3;
	driver_start(&d);
	/* A message in between clears the account. */
	driver_feed(&d, SPAN("A\r\nB\r\n" ENVELOPE "DATA\r\n.\r\nA\r\nB\r\nC\r\nNOOP\r\n"), 0);
	ck_assert(span_ends(span_of(summary(buf_span(&d.replies))),
			    SPAN("250 2.0.0, 500 5.5.2, 500 5.5.2, 500 5.5.2, 421 4.7.0")));
	ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
	driver_clear(&d);
}
END_TEST

START_TEST(dead_addresses_count_for_strangers_only)
{
	for (int trusted = 0; trusted < 2; trusted++) {
		struct driver d;

		driver_init(&d);
		d.client.may_relay = trusted;
		d.conf.errors = 3;
		driver_start(&d);
		driver_feed(&d, SPAN(HI), 0);
		driver_feed(&d, SPAN("MAIL FROM:<a@b>\r\n"), 0);
		feed_repeated(&d, "RCPT TO:<nouser@d>\r\n", 4);
		ck_assert_int_eq(d.s.phase == PHASE_CLOSED, !trusted);
		driver_clear(&d);
	}
}
END_TEST

START_TEST(limit_of_junk_commands)
{
	struct driver d;

	driver_init(&d);
	d.conf.junk_commands = 5;
	driver_start(&d);
	feed_repeated(&d, "NOOP\r\n", 4);
	driver_feed(&d, SPAN(ENVELOPE "DATA\r\n.\r\n"), 0);
	feed_repeated(&d, "RSET\r\n", 5);
	ck_assert_int_ne(d.s.phase, PHASE_CLOSED);
	driver_feed(&d, SPAN("HELP\r\n"), 0);
	ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
	ck_assert(span_ends(span_of(summary(buf_span(&d.replies))), SPAN("250 2.0.0, 421 4.7.0")));
	driver_clear(&d);
}
END_TEST

/* A line of n bytes with its CRLF: head, then x. */
static void
feed_long(struct driver *d, const char *head, size_t n, size_t step)
{
	char line[20000];

	memset(line, 'x', sizeof(line));
	memcpy(line, head, strlen(head));
	memcpy(line + n - 2, "\r\n", 2);
	driver_feed(d, span_make(line, n), step);
}

static const struct {
	const char *head;
	size_t n;
	const char *reply;
} long_lines[] = {
	{ "NOOP ", 512, "220, 250 2.0.0" },
	{ "NOOP ", 513, "220, 500 5.5.2" },
	{ "HELO ", 300, "220, 501 5.5.4" },
	{ "HELO ", 513, "220, 500 5.5.2" },
	{ "MAIL FROM:<a@b> ", 1189, "220, 503 5.5.1" },
	{ "MAIL FROM:<a@b> ", 1190, "220, 500 5.5.2" },
	{ "RCPT TO:<a@b> ", 1070, "220, 503 5.5.1" },
	{ "RCPT TO:<a@b> ", 1071, "220, 500 5.5.2" },
	{ "EHLO ", 522, "220, 501 5.5.4" },
	{ "EHLO ", 523, "220, 500 5.5.2" },
	{ "VRFY ", 522, "220, 252 2.1.5" },
	{ "VRFY ", 523, "220, 500 5.5.2" },
	{ "RSET ", 512, "220, 501 5.5.4" },
	{ "RSET ", 513, "220, 500 5.5.2" },
	{ "x", 4096, "220, 500 5.5.2" },
	{ "x", 4097, "220, 500 5.5.2" },
	{ "x", 4098, "220, 500 5.5.2" },
	{ "NOOP ", 20000, "220, 500 5.5.2" },
};

START_TEST(long_line_is_refused_once_and_skipped)
{
	static const size_t steps[] = { 0, 1, 4095, 4096, 4097 };

	for (size_t i = 0; i < UNIT_COUNT(steps); i++) {
		struct driver d;
		char want[64];

		driver_init(&d);
		driver_start(&d);
		feed_long(&d, long_lines[_i].head, long_lines[_i].n, steps[i]);
		ck_assert_str_eq(summary(buf_span(&d.replies)), long_lines[_i].reply);
		driver_feed(&d, SPAN("RSET\r\n"), 0);
		snprintf(want, sizeof(want), "%s, 250 2.0.0", long_lines[_i].reply);
		ck_assert_str_eq(summary(buf_span(&d.replies)), want);
		driver_clear(&d);
	}
}
END_TEST

static void
feed_content(struct driver *d, size_t lines)
{
	char line[102];

	memset(line, 'y', 100);
	memcpy(line + 100, "\r\n", 2);
	while (lines-- > 0)
		driver_feed(d, span_make(line, sizeof(line)), 0);
}

START_TEST(size_limit_is_kept_and_told_at_the_end)
{
	for (int chunked = 0; chunked < 2; chunked++) {
		struct driver d;

		driver_init(&d);
		d.conf.message_size = 102000;
		driver_start(&d);
		driver_feed(&d, SPAN(ENVELOPE), 0);
		driver_feed(&d, chunked ? SPAN("BDAT 102000 LAST\r\n") : SPAN("DATA\r\n"), 0);
		feed_content(&d, 1000);
		driver_feed(&d, chunked ? SPAN_NONE : SPAN(".\r\n"), 0);
		driver_feed(&d, SPAN("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"), 0);
		/* One byte more. */
		driver_feed(&d, chunked ? SPAN("BDAT 102001 LAST\r\ny") : SPAN("DATA\r\ny"), 0);
		feed_content(&d, 1000);
		driver_feed(&d, chunked ? SPAN_NONE : SPAN(".\r\n"), 0);
		driver_feed(&d, SPAN("NOOP\r\n"), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)),
				 chunked ? ENVELOPE_R
					 ", 250 2.0.0, 250 2.1.0, 250 2.1.5, 552 5.3.4, 250 2.0.0"
					 : ENVELOPE_R ", 354, 250 2.0.0, 250 2.1.0, 250 2.1.5, "
						      "354, 552 5.3.4, 250 2.0.0");
		ck_assert_uint_eq(d.stored, 1);
		/* The second one was streamed before it was too long. */
		ck_assert_uint_eq(d.dropped, 1);
		driver_clear(&d);
	}
}
END_TEST

START_TEST(endless_message_is_cut)
{
	struct driver d;
	char *block = calloc(1, 1 << 20);

	driver_init(&d);
	driver_start(&d);
	driver_feed(&d, SPAN(ENVELOPE "DATA\r\n"), 0);
	memset(block, 'x', 1 << 20);
	for (unsigned i = 0; i < 70 && d.s.phase != PHASE_CLOSED; i++)
		driver_feed(&d, span_make(block, 1 << 20), 0);
	ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 421 4.7.0");
	free(block);
	driver_clear(&d);
}
END_TEST

START_TEST(chunk_that_fails_ends_the_transaction)
{
	struct driver d;

	driver_init(&d);
	d.conf.message_size = 1000;
	driver_start(&d);
	driver_feed(&d, SPAN(ENVELOPE "BDAT 1020\r\n"), 0);
	feed_content(&d, 10);
	driver_feed(&d, SPAN("BDAT 6 LAST\r\nQUIT\r\nDATA\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)),
			 ENVELOPE_R ", 552 5.3.4, 503 5.5.1, 503 5.5.1");
	driver_clear(&d);
}
END_TEST

START_TEST(loop_is_found_by_counting)
{
	struct driver d;

	for (unsigned hops = 100; hops < 102; hops++) {
		driver_init(&d);
		driver_start(&d);
		driver_feed(&d, SPAN(ENVELOPE "DATA\r\n"), 0);
		feed_repeated(&d, "Received: x\r\n", hops);
		driver_feed(&d, SPAN("\r\nReceived: body\r\n.\r\n"), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)),
				 hops == 100 ? ENVELOPE_R ", 354, 250 2.0.0"
					     : ENVELOPE_R ", 354, 554 5.4.6");
		driver_clear(&d);
	}
}
END_TEST

START_TEST(header_limit_has_two_sides)
{
	for (unsigned more = 0; more < 2; more++) {
		struct driver d;

		driver_init(&d);
		d.conf.header_size = 7 * 200;
		driver_start(&d);
		driver_feed(&d, SPAN(ENVELOPE "DATA\r\n"), 0);
		/* One byte more. */
		driver_feed(&d, more ? SPAN("X") : SPAN_NONE, 0);
		feed_repeated(&d, "X: yz\r\n", 200);
		driver_feed(&d, SPAN("\r\nbody\r\n.\r\n"), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)), more ? ENVELOPE_R ", 354, 552 5.3.4"
								     : ENVELOPE_R
									", 354, 250 2.0.0");
		driver_clear(&d);
	}
}
END_TEST

START_TEST(endless_header_is_refused)
{
	struct driver d;

	driver_init(&d);
	driver_start(&d);
	driver_feed(&d, SPAN(ENVELOPE "DATA\r\nSubject: x\r\n"), 0);
	feed_repeated(&d, " folded and folded\r\n", 4000);
	driver_feed(&d, SPAN(".\r\nNOOP\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 552 5.3.4, 250 2.0.0");
	driver_clear(&d);
}
END_TEST

START_TEST(strangers_wait_where_they_must)
{
	static const char *const early[] = { "EHLO c\r\nMAIL FROM:<a@b>\r\n", "HELO c\r\nNOOP\r\n",
					     "DATA\r\nx\r\n" };

	for (size_t i = 0; i < UNIT_COUNT(early); i++) {
		struct driver d;

		driver_init(&d);
		d.client.may_relay = false;
		driver_start(&d);
		driver_feed(&d, span_of(early[i]), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)), "220, 554 5.5.0");
		ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
		driver_clear(&d);
	}
}
END_TEST

START_TEST(submission_wants_authentication)
{
	for (int trusted = 0; trusted < 2; trusted++) {
		struct driver d;

		driver_init(&d);
		d.client.needs_auth = true;
		d.client.may_relay = trusted;
		driver_start(&d);
		driver_feed(&d, SPAN(HI), 0);
		driver_feed(&d, SPAN("MAIL FROM:<a@b>\r\n"), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)),
				 trusted ? "220, 250, 250 2.1.0" : "220, 250, 530 5.7.0");
		driver_clear(&d);
	}
}
END_TEST

/* ---- time ---- */

START_TEST(banner_may_come_late)
{
	struct driver d;

	driver_init(&d);
	d.conf.greet_delay_ms = 2000;
	driver_start(&d);
	driver_wait(&d, 1999);
	ck_assert_uint_eq(d.replies.n, 0);
	driver_wait(&d, 1);
	ck_assert_str_eq(summary(buf_span(&d.replies)), "220");
	driver_clear(&d);
	/* Who talks before it is refused. */
	driver_init(&d);
	d.conf.greet_delay_ms = 2000;
	driver_start(&d);
	driver_feed(&d, SPAN("EHLO c\r\n"), 3);
	ck_assert_str_eq(summary(buf_span(&d.replies)), "554 5.7.1");
	ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
	driver_clear(&d);
}
END_TEST

static const struct {
	const char *name, *in;
	uint64_t quiet_ms; /* nothing happens so long */
	const char *replies;
} slow[] = {
	{ "no command", "", 300000, "220, 421 4.4.2" },
	{ "no command after EHLO", HI, 300000, "220, 250, 421 4.4.2" },
	{ "half a command", HI "NOO", 60000, "220, 250, 421 4.4.2" },
	{ "after a bare LF", "NOOP\n", 60000, "220, 500 5.5.2, 421 4.4.2" },
	{ "no content", ENVELOPE "DATA\r\n", 180000, ENVELOPE_R ", 354, 421 4.4.2" },
	{ "half a message", ENVELOPE "DATA\r\nabc\r\n", 180000, ENVELOPE_R ", 354, 421 4.4.2" },
	{ "half a chunk", ENVELOPE "BDAT 100\r\nabc\r\n", 180000, ENVELOPE_R ", 421 4.4.2" },
	{ "no further chunk", ENVELOPE "BDAT 2\r\nab", 300000,
	  ENVELOPE_R ", 250 2.0.0, 421 4.4.2" },
};

START_TEST(silence_ends_the_session)
{
	struct driver d;
	size_t n;

	run(&d, slow[_i].in, 0, false);
	n = d.replies.n;
	driver_wait(&d, slow[_i].quiet_ms - 1);
	ck_assert_uint_eq(d.replies.n, n);
	driver_wait(&d, 1);
	ck_assert_str_eq(summary(buf_span(&d.replies)), slow[_i].replies);
	ck_assert_int_eq(d.s.phase, PHASE_CLOSED);
	driver_clear(&d);
}
END_TEST

START_TEST(drops_of_a_command_have_one_deadline)
{
	struct driver d;
	unsigned i;

	run(&d, "NOOP ", 0, false);
	for (i = 0; i < 20000 && d.s.phase != PHASE_CLOSED; i++) {
		driver_wait(&d, 1000);
		driver_feed(&d, SPAN("x"), 0);
	}
	ck_assert_uint_eq(i, 60);
	driver_clear(&d);
	/* The same for one that is too long and thrown away as it comes. */
	run(&d, "", 0, false);
	for (i = 0; i < 20000 && d.s.phase != PHASE_CLOSED; i++) {
		driver_feed(&d,
			    SPAN("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				 "xxxxxxxxxxxxxxxxxxxxxxxxxxx"),
			    0);
		driver_wait(&d, 1000);
	}
	ck_assert_uint_eq(i, 60);
	driver_clear(&d);
}
END_TEST

START_TEST(drops_of_a_message_are_too_slow)
{
	struct driver d;
	unsigned i;

	run(&d, ENVELOPE "DATA\r\n", 0, false);
	/* 100 bytes a second, 500 are wanted: each second is worth a fifth of itself. */
	for (i = 0; i < 1000 && d.s.phase != PHASE_CLOSED; i++) {
		driver_wait(&d, 1000);
		driver_feed(&d,
			    SPAN("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
				 "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"),
			    0);
	}
	ck_assert_uint_ge(i, 215);
	ck_assert_uint_le(i, 235);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 421 4.4.2");
	driver_clear(&d);
	/* At 600 bytes a second it may go on. */
	run(&d, ENVELOPE "DATA\r\n", 0, false);
	for (i = 0; i < 1000; i++) {
		driver_wait(&d, 1000);
		feed_content(&d, 6);
	}
	ck_assert_int_ne(d.s.phase, PHASE_CLOSED);
	driver_clear(&d);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("limits");

	UNIT_TEST(s, limit_of_recipients);
	UNIT_TEST(s, limit_of_bounce_recipients_is_for_strangers);
	UNIT_TEST(s, limit_of_messages);
	UNIT_TEST(s, limit_of_errors);
	UNIT_TEST(s, dead_addresses_count_for_strangers_only);
	UNIT_TEST(s, limit_of_junk_commands);
	UNIT_TABLE(s, long_line_is_refused_once_and_skipped, long_lines);
	UNIT_TEST(s, size_limit_is_kept_and_told_at_the_end);
	UNIT_TEST(s, endless_message_is_cut);
	UNIT_TEST(s, chunk_that_fails_ends_the_transaction);
	UNIT_TEST(s, loop_is_found_by_counting);
	UNIT_TEST(s, header_limit_has_two_sides);
	UNIT_TEST(s, endless_header_is_refused);
	UNIT_TEST(s, strangers_wait_where_they_must);
	UNIT_TEST(s, submission_wants_authentication);
	UNIT_TEST(s, banner_may_come_late);
	UNIT_TABLE(s, silence_ends_the_session, slow);
	UNIT_TEST(s, drops_of_a_command_have_one_deadline);
	UNIT_TEST(s, drops_of_a_message_are_too_slow);
	return unit_run(s);
}
