/* SPDX-License-Identifier: ISC
 *
 * Whole sessions: what a client sends, what it gets, and what became of its mail; the same however its bytes are cut into
 * reads and whether answers come at once or later. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* this program */
#include "tests/unit/session/driver.h"
#include "tests/unit/unit.h"

/* "250 2.1.0" of each reply, the last line of those with several; joined by ", ". */
static const char *
summary(struct span replies)
{
	static char out[65536];
	size_t n = 0;
	struct span line;

	out[0] = '\0';
	while (span_next(&replies, '\n', &line)) {
		struct span word, rest = line;
		const char *sep = n > 0 ? ", " : "";

		ck_assert_msg(line.n > 4 && line.p[line.n - 1] == '\r', "a reply line: \"%.*s\"", SPAN_ARG(line));
		if (line.p[3] != ' ')
			continue;
		span_next(&rest, ' ', &word);
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s", sep, SPAN_ARG(word));
		span_next(&rest, ' ', &word);
		if (word.n > 4 && word.p[1] == '.' && strchr("245", word.p[0]) != NULL)
			n += (size_t)snprintf(out + n, sizeof(out) - n, " %.*s", SPAN_ARG(word));
		ck_assert_uint_lt(n, sizeof(out) - 100);
	}
	return out;
}

#define HI "EHLO c\r\n"
#define ENVELOPE HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define ENVELOPE_R "220, 250, 250 2.1.0, 250 2.1.5"

static const struct {
	const char *in, *replies, *mail;
	bool is_closed;
} dialogs[] = {
	{ "", "220", "", false },
	{ "QUIT\r\n", "220, 221 2.0.0", "", true },
	{ "quit\r\nNOOP\r\n", "220, 221 2.0.0", "", true },
	{ "QUIT now\r\n", "220, 501 5.5.4", "", false },
	{ "HELO\r\nEHLO\r\nHELO \r\n HELO x\r\n", "220, 501 5.5.4, 501 5.5.4, 501 5.5.4, 500 5.5.2", "", false },
	{ "HELO a b\r\nEHLO \303\274\r\n", "220, 501 5.5.4, 501 5.5.4", "", false },
	{ "HELO x\r\nEHLO x\r\nhelo x\r\n", "220, 250, 250, 250", "", false },
	{ "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n", "220, 503 5.5.1, 503 5.5.1, 503 5.5.1", "", false },
	{ "NOOP\r\nNOOP x y\r\nRSET\r\nRSET x\r\nVRFY\r\nVRFY a\r\nEXPN a\r\nHELP\r\nHELP MAIL\r\n",
	  "220, 250 2.0.0, 250 2.0.0, 250 2.0.0, 501 5.5.4, 501 5.5.4, 252 2.1.5, 502 5.5.1, 214 2.0.0, 214 2.0.0", "", false },
	{ "STARTTLS\r\nAUTH PLAIN\r\nTURN\r\nETRN x\r\nWHAT\r\n\r\n",
	  "220, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 500 5.5.2, 500 5.5.2", "", false },
	{ "GET / HTTP/1.1\r\nHost: x\r\nMAIL FROM:<a@b>\r\n", "220, 502 5.7.0", "", true },
	{ "post / HTTP/1.1\r\n", "220, 502 5.7.0", "", true },
	{ "CONNECT x:1 HTTP/1.1\r\n", "220, 502 5.7.0", "", true },
	{ HI "Host: x\r\n", "220, 250, 502 5.7.0", "", true },
	/* A whole message, and a second one. */
	{ ENVELOPE "DATA\r\nS: x\r\n\r\nhi\r\n.\r\n", ENVELOPE_R ", 354, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nS: x\r\n\r\nhi\r\n", false },
	{ "HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\n..\r\n.\r\nMAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\nDATA\r\n.\r\n",
	  "220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0",
	  "from= proto=SMTP to=c@d\n.\r\nfrom=e@f proto=SMTP to=g@h\n", false },
	{ ENVELOPE "DATA\r\nhalf a mess", ENVELOPE_R ", 354", "", false },
	{ ENVELOPE "DATA\r\nx\r\n.\r\nQUIT\r\n", ENVELOPE_R ", 354, 250 2.0.0, 221 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\n", true },
	/* Order of commands. */
	{ HI "RCPT TO:<c@d>\r\nDATA\r\n", "220, 250, 503 5.5.1, 503 5.5.1", "", false },
	{ HI "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\n", "220, 250, 250 2.1.0, 503 5.5.1, 503 5.5.1", "", false },
	{ ENVELOPE "RSET\r\nDATA\r\nRCPT TO:<c@d>\r\n", ENVELOPE_R ", 250 2.0.0, 503 5.5.1, 503 5.5.1", "", false },
	{ ENVELOPE "EHLO c\r\nDATA\r\n", ENVELOPE_R ", 250, 503 5.5.1", "", false },
	{ ENVELOPE "HELO c\r\nDATA\r\n", ENVELOPE_R ", 250, 503 5.5.1", "", false },
	{ ENVELOPE "HELO\r\nDATA\r\n", ENVELOPE_R ", 501 5.5.4, 354", "", false },
	{ ENVELOPE "MAIL FROM:<e@f>\r\nDATA\r\nx\r\n.\r\n", ENVELOPE_R ", 503 5.5.1, 354, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\n", false },
	{ ENVELOPE "DATA x\r\n", ENVELOPE_R ", 501 5.5.4", "", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<nouser@d>\r\nDATA\r\n", "220, 250, 250 2.1.0, 550 5.1.1, 503 5.5.1", "", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<nouser@d>\r\nRCPT TO:<c@d>\r\nRCPT TO:<temp@d>\r\nDATA\r\nx\r\n.\r\n",
	  "220, 250, 250 2.1.0, 550 5.1.1, 250 2.1.5, 450 4.2.0, 354, 250 2.0.0", "from=a@b proto=ESMTP to=c@d\nx\r\n", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<odd@d>\r\nRCPT TO:<stop@d>\r\n", "220, 250, 250 2.1.0, 451 4.3.0, 451 4.3.0", "", false },
	/* Recipients given twice get one copy. */
	{ ENVELOPE "RCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nRCPT TO:<e@f>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n",
	  ENVELOPE_R ", 250 2.1.5, 250 2.1.5, 250 2.1.5, 250 2.1.5, 354, 250 2.0.0", "from=a@b proto=ESMTP to=c@d to=e@f\n", false },
	/* Syntax of MAIL and RCPT. */
	{ HI "MAIL\r\nMAIL FROM\r\nMAIL LALA:<a@b>\r\nMAIL FROM:\r\nMAIL FROM:<a>\r\nMAIL FROM:<postmaster>\r\nMAIL FROM:<a@b@c>\r\n",
	  "220, 250, 501 5.5.4, 501 5.5.4, 501 5.5.4, 553 5.1.7, 553 5.1.7, 553 5.1.7, 553 5.1.7", "", false },
	{ HI "MAIL FROM: <a@b>\r\nRCPT TO: c@d\r\n", "220, 250, 250 2.1.0, 250 2.1.5", "", false },
	{ HI "mail from:<@x,@y:a@b>\r\nrcpt to:<@x:c@d>\r\ndata\r\n.\r\n", "220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\n", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT\r\nRCPT TO:\r\nRCPT TO:<>\r\nRCPT TO:<c>\r\nRCPT TO:<c@d@e>\r\nRCPT TO:<Postmaster>\r\n",
	  "220, 250, 250 2.1.0, 501 5.5.4, 553 5.1.3, 553 5.1.3, 553 5.1.3, 553 5.1.3, 250 2.1.5", "", false },
	/* Parameters. */
	{ HI "MAIL FROM:<a@b> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=x+2By AUTH=<>\r\n"
	  "RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y\r\nDATA\r\n.\r\n",
	  "220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0", "from=a@b proto=ESMTP 8bit hdrs envid=x+2By to=c@d,10,rfc822;x@y\n", false },
	{ HI "MAIL FROM:<a@b> SIZE=1048577\r\n", "220, 250, 552 5.3.4", "", false },
	{ HI "MAIL FROM:<a@b> SIZE=1048576\r\n", "220, 250, 250 2.1.0", "", false },
	{ HI "MAIL FROM:<a@b> SIZE=99999999999999999999\r\n", "220, 250, 552 5.3.4", "", false },
	{ HI "MAIL FROM:<a@b> BODY=BINARYMIME\r\nMAIL FROM:<a@b> OPT\r\nMAIL FROM:<a@b> RET=X\r\n",
	  "220, 250, 504 5.5.4, 555 5.5.4, 501 5.5.4", "", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d> SIZE=1\r\nRCPT TO:<c@d> NOTIFY=NEVER,DELAY\r\n",
	  "220, 250, 250 2.1.0, 555 5.5.4, 501 5.5.4", "", false },
	/* SMTPUTF8. */
	{ HI "MAIL FROM:<\303\274@b>\r\nMAIL FROM:<\303\274@b> SMTPUTF8\r\nRCPT TO:<\303\274@\303\274.x>\r\nDATA\r\n\303\274: x\r\n.\r\n",
	  "220, 250, 553 5.6.7, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0",
	  "from=\303\274@b proto=UTF8SMTP utf8 flags to=\303\274@\303\274.x\n\303\274: x\r\n", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<\303\274@d>\r\n", "220, 250, 250 2.1.0, 553 5.6.7", "", false },
	{ HI "MAIL FROM:<\377@b> SMTPUTF8\r\n", "220, 250, 553 5.1.7", "", false },
	/* Only CRLF ends a line; what stands behind a bare LF is no command. */
	{ "NOOP\nQUIT\r\nNOOP\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "NO\rOP\r\nNOOP\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "NOOP\r\r\nNOOP\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "\nNOOP\n\nNOOP\r\nRSET\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "A\nB\rC\r\nRSET\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	/* Only CRLF.CRLF ends a message; here bare newlines are normalised. */
	{ ENVELOPE "DATA\r\na\n.\nMAIL FROM:<x@y>\n.\r\nb\r\n.\r\nNOOP\r\n", ENVELOPE_R ", 354, 250 2.0.0, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\na\r\n.\r\nMAIL FROM:<x@y>\r\n.\r\nb\r\n", false },
	/* BDAT. */
	{ ENVELOPE "BDAT 3\r\nx\r\nBDAT 5 LAST\r\n.\r\nyz", ENVELOPE_R ", 250 2.0.0, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\n.\r\nyz", false },
	{ ENVELOPE "bdat 0 last\r\n", ENVELOPE_R ", 250 2.0.0", "from=a@b proto=ESMTP to=c@d\n", false },
	{ ENVELOPE "BDAT 7 LAST\r\nQUIT\r\n\nBDAT 0 LAST\r\n", ENVELOPE_R ", 250 2.0.0, 503 5.5.1",
	  "from=a@b proto=ESMTP to=c@d\nQUIT\r\n\r\n", false },
	{ ENVELOPE "BDAT 2\r\n\r\nDATA\r\nRCPT TO:<e@f>\r\nMAIL FROM:<a@b>\r\nNOOP\r\nBDAT 0 LAST\r\n",
	  ENVELOPE_R ", 250 2.0.0, 503 5.5.1, 503 5.5.1, 503 5.5.1, 250 2.0.0, 250 2.0.0", "from=a@b proto=ESMTP to=c@d\n\r\n", false },
	{ ENVELOPE "BDAT 2\r\n\r\nRSET\r\nBDAT 6 LAST\r\nQUIT\r\n", ENVELOPE_R ", 250 2.0.0, 250 2.0.0, 503 5.5.1", "", false },
	{ "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "220, 503 5.5.1, 250 2.0.0", "", false },
	{ HI "MAIL FROM:<a@b>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<c@d>\r\n", "220, 250, 250 2.1.0, 503 5.5.1, 250 2.1.5", "", false },
	{ ENVELOPE "BDAT\r\nNOOP\r\n", ENVELOPE_R ", 501 5.5.4", "", true },
	{ ENVELOPE "BDAT x\r\nNOOP\r\n", ENVELOPE_R ", 501 5.5.4", "", true },
	{ ENVELOPE "BDAT 1 FIRST\r\nNOOP\r\n", ENVELOPE_R ", 501 5.5.4", "", true },
	{ ENVELOPE "BDAT 99999999999999\r\nNOOP\r\n", ENVELOPE_R ", 552 5.3.4", "", true },
	{ ENVELOPE "BDAT 5 LAST\r\nx\ny\r\n", ENVELOPE_R ", 250 2.0.0", "from=a@b proto=ESMTP to=c@d\nx\r\ny\r\n", false },
	{ ENVELOPE "BDAT 2\r\nx\rBDAT 2 LAST\r\n\ny", ENVELOPE_R ", 250 2.0.0, 250 2.0.0", "from=a@b proto=ESMTP to=c@d\nx\r\ny", false },
	{ ENVELOPE "BDAT 2 LAST\r\nx\r", ENVELOPE_R ", 250 2.0.0", "from=a@b proto=ESMTP to=c@d\nx\r\n", false },
};

static void
run(struct driver *d, const char *in, size_t step, bool is_async)
{
	driver_init(d);
	d->is_async = is_async;
	d->client.is_normalizing = true;
	driver_start(d);
	driver_feed(d, span_of(in), step);
}

START_TEST(dialog)
{
	static const size_t steps[] = { 0, 1, 2, 3, 7, 11 };

	for (size_t i = 0; i < 2 * UNIT_COUNT(steps); i++) {
		struct driver d;

		run(&d, dialogs[_i].in, steps[i / 2], i % 2 == 1);
		ck_assert_str_eq(summary(buf_span(&d.replies)), dialogs[_i].replies);
		UNIT_EQ(buf_span(&d.mail), dialogs[_i].mail);
		ck_assert_int_eq(d.s.phase == PHASE_CLOSED, dialogs[_i].is_closed);
		ck_assert_uint_eq(d.stored, d.received);
		driver_clear(&d);
	}
}
END_TEST

/* ---- bare newlines of strangers ---- */

static const struct {
	const char *in, *replies;
} bare[] = {
	{ ENVELOPE "DATA\r\na\n.\nQUIT\r\n.\r\nNOOP\r\n", ENVELOPE_R ", 354, 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "DATA\r\na\r.\rQUIT\r\n.\r\nNOOP\r\n", ENVELOPE_R ", 354, 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "DATA\r\n.\n.\r\nQUIT\r\n.\r\n", ENVELOPE_R ", 354, 550 5.6.0" },
	{ ENVELOPE "BDAT 2\r\na\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", ENVELOPE_R ", 250 2.0.0, 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "BDAT 2 LAST\r\na\rNOOP\r\n", ENVELOPE_R ", 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "BDAT 2\r\na\rBDAT 1 LAST\r\n\nNOOP\r\n", ENVELOPE_R ", 250 2.0.0, 250 2.0.0, 250 2.0.0" },
};

START_TEST(bare_newline_is_refused_at_the_true_end)
{
	for (size_t step = 0; step < 6; step++) {
		struct driver d;

		driver_init(&d);
		driver_start(&d);
		driver_feed(&d, span_of(bare[_i].in), step);
		ck_assert_str_eq(summary(buf_span(&d.replies)), bare[_i].replies);
		driver_clear(&d);
	}
}
END_TEST

/* ---- replies word by word ---- */

START_TEST(ehlo_names_what_is_offered)
{
	struct driver d;

	driver_init(&d);
	d.conf.messages = 7;
	driver_start(&d);
	driver_feed(&d, SPAN("EHLO c\r\n"), 0);
	UNIT_EQ(buf_span(&d.replies), "220 mx.test ESMTP Postern\r\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1048576\r\n"
		"250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n"
		"250-LIMITS RCPTMAX=1000 MAILMAX=7\r\n250 HELP\r\n");
	driver_clear(&d);
}
END_TEST

START_TEST(received_field_is_in_the_trace)
{
	struct driver d;

	run(&d, ENVELOPE "DATA\r\n.\r\n", 0, false);
	UNIT_EQ(buf_span(&d.trace), "Received: from c ([192.0.2.1])\r\n\tby mx.test with ESMTP id 0000000000001\r\n"
		"\tfor <c@d>;\r\n\tSun, 13 Sep 2020 12:26:40 +0000\r\n");
	ck_assert(span_ends(buf_span(&d.replies), SPAN("250 2.0.0 Queued as 0000000000001\r\n")));
	driver_feed(&d, SPAN("MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n"), 0);
	ck_assert_int_lt((int)span_find(buf_span(&d.trace), SPAN("for <")), 0);
	driver_clear(&d);
}
END_TEST

START_TEST(refusals_are_logged_once)
{
	struct driver d;

	run(&d, "WHAT\r\n" HI "MAIL FROM:<a@b>\r\nRCPT TO:<nouser@d>\r\nDATA\r\n", 0, false);
	UNIT_EQ(buf_span(&d.rejects), "COMMAND 500 5.5.2 Command not recognized\nRCPT 550 5.1.1 No such user here\n"
		"DATA 503 5.5.1 Sender is given; send RCPT, none was accepted so far\n");
	driver_clear(&d);
}
END_TEST

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
	driver_feed(&d, SPAN(ENVELOPE "RCPT TO:<e@f>\r\nRCPT TO:<g@h>\r\nRCPT TO:<i@j>\r\nDATA\r\n.\r\n"), 0);
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 250 2.1.5, 250 2.1.5, 452 4.5.3, 354, 250 2.0.0");
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
				 trusted ? "220, 250, 250 2.1.0, 250 2.1.5, 250 2.1.5" : "220, 250, 250 2.1.0, 250 2.1.5, 452 4.5.3");
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
	ck_assert(span_ends(span_of(summary(buf_span(&d.replies))), SPAN("250 2.0.0, 500 5.5.2, 500 5.5.2, 500 5.5.2, 421 4.7.0")));
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
		driver_feed(&d, chunked ? SPAN("BDAT 102002 LAST\r\n\r\n") : SPAN("DATA\r\n\r\n"), 0);
		feed_content(&d, 1000);
		driver_feed(&d, chunked ? SPAN_NONE : SPAN(".\r\n"), 0);
		driver_feed(&d, SPAN("NOOP\r\n"), 0);
		ck_assert_str_eq(summary(buf_span(&d.replies)),
				 chunked ? ENVELOPE_R ", 250 2.0.0, 250 2.1.0, 250 2.1.5, 552 5.3.4, 250 2.0.0" :
					   ENVELOPE_R ", 354, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354, 552 5.3.4, 250 2.0.0");
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
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 552 5.3.4, 503 5.5.1, 503 5.5.1");
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
				 hops == 100 ? ENVELOPE_R ", 354, 250 2.0.0" : ENVELOPE_R ", 354, 554 5.4.6");
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
	static const char *const early[] = { "EHLO c\r\nMAIL FROM:<a@b>\r\n", "HELO c\r\nNOOP\r\n", "DATA\r\nx\r\n" };

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
		ck_assert_str_eq(summary(buf_span(&d.replies)), trusted ? "220, 250, 250 2.1.0" : "220, 250, 530 5.7.0");
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
	uint64_t quiet_ms;      /* nothing happens so long */
	const char *replies;
} slow[] = {
	{ "no command", "", 300000, "220, 421 4.4.2" },
	{ "no command after EHLO", HI, 300000, "220, 250, 421 4.4.2" },
	{ "half a command", HI "NOO", 60000, "220, 250, 421 4.4.2" },
	{ "after a bare LF", "NOOP\n", 60000, "220, 500 5.5.2, 421 4.4.2" },
	{ "no content", ENVELOPE "DATA\r\n", 180000, ENVELOPE_R ", 354, 421 4.4.2" },
	{ "half a message", ENVELOPE "DATA\r\nabc\r\n", 180000, ENVELOPE_R ", 354, 421 4.4.2" },
	{ "half a chunk", ENVELOPE "BDAT 100\r\nabc\r\n", 180000, ENVELOPE_R ", 421 4.4.2" },
	{ "no further chunk", ENVELOPE "BDAT 2\r\nab", 300000, ENVELOPE_R ", 250 2.0.0, 421 4.4.2" },
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
		driver_feed(&d, SPAN("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
				     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 0);
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
		driver_feed(&d, SPAN("yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"), 0);
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
	ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 250 2.0.0, 250 2.1.0, 250 2.0.0, 250 2.0.0");
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
		n += (size_t)snprintf(text + n, sizeof(text) - n, "line %zu of a message that is too long to be kept whole\r\n", i);
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
		ck_assert(span_ends(span_of(summary(buf_span(&d.replies))), SPAN("250 2.0.0, 250 2.0.0")));
		ck_assert_uint_eq(d.stored, 1);
		snprintf(head, sizeof(head), "from=a@b proto=ESMTP%s to=c@d\n", is_streamed ? " streamed" : "");
		ck_assert(span_starts(buf_span(&d.mail), span_of(head)));
		unit_eq(span_sub(buf_span(&d.mail), strlen(head), d.mail.n), text);
		ck_assert_uint_eq(d.dropped, 0);
		driver_clear(&d);
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
		ck_assert_str_eq(summary(buf_span(&d.replies)), ENVELOPE_R ", 354, 451 4.3.0, 250 2.0.0");
		ck_assert_uint_eq(d.stored, 0);
		driver_clear(&d);
	}
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
	Suite *s = suite_create("session");

	UNIT_TABLE(s, dialog, dialogs);
	UNIT_TABLE(s, bare_newline_is_refused_at_the_true_end, bare);
	UNIT_TEST(s, ehlo_names_what_is_offered);
	UNIT_TEST(s, received_field_is_in_the_trace);
	UNIT_TEST(s, refusals_are_logged_once);
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
	UNIT_TEST(s, endless_header_is_refused);
	UNIT_TEST(s, strangers_wait_where_they_must);
	UNIT_TEST(s, submission_wants_authentication);
	UNIT_TEST(s, banner_may_come_late);
	UNIT_TABLE(s, silence_ends_the_session, slow);
	UNIT_TEST(s, drops_of_a_command_have_one_deadline);
	UNIT_TEST(s, drops_of_a_message_are_too_slow);
	UNIT_TEST(s, recipient_without_answer_is_deferred);
	UNIT_TEST(s, nothing_overtakes_a_message_that_waits);
	UNIT_TABLE(s, message_that_is_not_stored_is_refused, refusals);
	UNIT_TEST(s, commit_without_answer_is_deferred_and_forgotten);
	UNIT_TEST(s, no_mail_is_taken_while_the_queue_is_closed);
	UNIT_TEST(s, long_message_is_streamed_whole);
	UNIT_TEST(s, stream_that_is_lost_is_told_at_the_end);
	UNIT_TEST(s, client_that_leaves_drops_its_stream);
	UNIT_TEST(s, stop_ends_idle_sessions_and_lets_others_finish);
	UNIT_TEST(s, idle_session_holds_little);
	return unit_run(s);
}
