/* SPDX-License-Identifier: ISC
 *
 * Whole sessions: what a client sends, what it gets, and what became of its mail; the same however its bytes are cut into
 * reads and whether answers come at once or later. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* this program */
#include "tests/unit/session/dialog.h"
#include "tests/unit/unit.h"

static const struct {
	const char *in, *replies, *mail;
	bool is_closed;
} dialogs[] = {
	{ "", "220", "", false },
	{ "QUIT\r\n", "220, 221 2.0.0", "", true },
	{ "quit\r\nNOOP\r\n", "220, 221 2.0.0", "", true },
	{ "QUIT now\r\n", "220, 501 5.5.4", "", false },
	{ "HELO\r\nEHLO\r\nHELO \r\n HELO x\r\n", "220, 501 5.5.4, 501 5.5.4, 501 5.5.4, 500 5.5.2",
	  "", false },
	{ "HELO a b\r\nEHLO \303\274\r\n", "220, 501 5.5.4, 501 5.5.4", "", false },
	{ "HELO x\r\nEHLO x\r\nhelo x\r\n", "220, 250, 250, 250", "", false },
	{ "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n", "220, 503 5.5.1, 503 5.5.1, 503 5.5.1",
	  "", false },
	{ "NOOP\r\nNOOP x y\r\nRSET\r\nRSET x\r\nVRFY\r\nVRFY a\r\nEXPN a\r\nHELP\r\nHELP MAIL\r\n",
	  "220, 250 2.0.0, 250 2.0.0, 250 2.0.0, 501 5.5.4, 501 5.5.4, 252 2.1.5, 502 5.5.1, 214 "
	  "2.0.0, 214 2.0.0",
	  "", false },
	{ "STARTTLS\r\nAUTH PLAIN\r\nTURN\r\nETRN x\r\nWHAT\r\n\r\n",
	  "220, 502 5.5.1, 502 5.5.1, 502 5.5.1, 502 5.5.1, 500 5.5.2, 500 5.5.2", "", false },
	{ "GET / HTTP/1.1\r\nHost: x\r\nMAIL FROM:<a@b>\r\n", "220, 502 5.7.0", "", true },
	{ "post / HTTP/1.1\r\n", "220, 502 5.7.0", "", true },
	{ "CONNECT x:1 HTTP/1.1\r\n", "220, 502 5.7.0", "", true },
	{ HI "Host: x\r\n", "220, 250, 502 5.7.0", "", true },
	/* A whole message, and a second one. */
	{ ENVELOPE "DATA\r\nS: x\r\n\r\nhi\r\n.\r\n", ENVELOPE_R ", 354, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nS: x\r\n\r\nhi\r\n", false },
	{ "HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<c@d>\r\nDATA\r\n..\r\n.\r\nMAIL FROM:<e@f>\r\nRCPT "
	  "TO:<g@h>\r\nDATA\r\n.\r\n",
	  "220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0",
	  "from= proto=SMTP to=c@d\n.\r\nfrom=e@f proto=SMTP to=g@h\n", false },
	{ ENVELOPE "DATA\r\nhalf a mess", ENVELOPE_R ", 354", "", false },
	{ ENVELOPE "DATA\r\nx\r\n.\r\nQUIT\r\n", ENVELOPE_R ", 354, 250 2.0.0, 221 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\n", true },
	/* Order of commands. */
	{ HI "RCPT TO:<c@d>\r\nDATA\r\n", "220, 250, 503 5.5.1, 503 5.5.1", "", false },
	{ HI "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\n",
	  "220, 250, 250 2.1.0, 503 5.5.1, 503 5.5.1", "", false },
	{ ENVELOPE "RSET\r\nDATA\r\nRCPT TO:<c@d>\r\n",
	  ENVELOPE_R ", 250 2.0.0, 503 5.5.1, 503 5.5.1", "", false },
	{ ENVELOPE "EHLO c\r\nDATA\r\n", ENVELOPE_R ", 250, 503 5.5.1", "", false },
	{ ENVELOPE "HELO c\r\nDATA\r\n", ENVELOPE_R ", 250, 503 5.5.1", "", false },
	{ ENVELOPE "HELO\r\nDATA\r\n", ENVELOPE_R ", 501 5.5.4, 354", "", false },
	{ ENVELOPE "MAIL FROM:<e@f>\r\nDATA\r\nx\r\n.\r\n",
	  ENVELOPE_R ", 503 5.5.1, 354, 250 2.0.0", "from=a@b proto=ESMTP to=c@d\nx\r\n", false },
	{ ENVELOPE "DATA x\r\n", ENVELOPE_R ", 501 5.5.4", "", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<nouser@d>\r\nDATA\r\n",
	  "220, 250, 250 2.1.0, 550 5.1.1, 503 5.5.1", "", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<nouser@d>\r\nRCPT TO:<c@d>\r\nRCPT "
	     "TO:<temp@d>\r\nDATA\r\nx\r\n.\r\n",
	  "220, 250, 250 2.1.0, 550 5.1.1, 250 2.1.5, 450 4.2.0, 354, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\n", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<odd@d>\r\nRCPT TO:<stop@d>\r\n",
	  "220, 250, 250 2.1.0, 451 4.3.0, 451 4.3.0", "", false },
	/* Recipients given twice get one copy. */
	{ ENVELOPE
	  "RCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nRCPT TO:<e@f>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n",
	  ENVELOPE_R ", 250 2.1.5, 250 2.1.5, 250 2.1.5, 250 2.1.5, 354, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d to=e@f\n", false },
	/* Syntax of MAIL and RCPT. */
	{ HI "MAIL\r\nMAIL FROM\r\nMAIL LALA:<a@b>\r\nMAIL FROM:\r\nMAIL FROM:<a>\r\nMAIL "
	     "FROM:<postmaster>\r\nMAIL FROM:<a@b@c>\r\n",
	  "220, 250, 501 5.5.4, 501 5.5.4, 501 5.5.4, 553 5.1.7, 553 5.1.7, 553 5.1.7, 553 5.1.7",
	  "", false },
	{ HI "MAIL FROM: <a@b>\r\nRCPT TO: c@d\r\n", "220, 250, 250 2.1.0, 250 2.1.5", "", false },
	{ HI "mail from:<@x,@y:a@b>\r\nrcpt to:<@x:c@d>\r\ndata\r\n.\r\n",
	  "220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0", "from=a@b proto=ESMTP to=c@d\n",
	  false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT\r\nRCPT TO:\r\nRCPT TO:<>\r\nRCPT TO:<c>\r\nRCPT "
	     "TO:<c@d@e>\r\nRCPT TO:<Postmaster>\r\n",
	  "220, 250, 250 2.1.0, 501 5.5.4, 553 5.1.3, 553 5.1.3, 553 5.1.3, 553 5.1.3, 250 2.1.5",
	  "", false },
	/* Parameters. */
	{ HI "MAIL FROM:<a@b> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=x+2By AUTH=<>\r\n"
	     "RCPT TO:<c@d> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@y\r\nDATA\r\n.\r\n",
	  "220, 250, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0",
	  "from=a@b proto=ESMTP 8bit hdrs envid=x+2By to=c@d,10,rfc822;x@y\n", false },
	{ HI "MAIL FROM:<a@b> SIZE=1048577\r\n", "220, 250, 552 5.3.4", "", false },
	{ HI "MAIL FROM:<a@b> SIZE=1048576\r\n", "220, 250, 250 2.1.0", "", false },
	{ HI "MAIL FROM:<a@b> SIZE=99999999999999999999\r\n", "220, 250, 552 5.3.4", "", false },
	{ HI "MAIL FROM:<a@b> BODY=BINARYMIME\r\nMAIL FROM:<a@b> OPT\r\nMAIL FROM:<a@b> RET=X\r\n",
	  "220, 250, 504 5.5.4, 555 5.5.4, 501 5.5.4", "", false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d> SIZE=1\r\nRCPT TO:<c@d> NOTIFY=NEVER,DELAY\r\n",
	  "220, 250, 250 2.1.0, 555 5.5.4, 501 5.5.4", "", false },
	/* SMTPUTF8. */
	{ HI "MAIL FROM:<\303\274@b>\r\nMAIL FROM:<\303\274@b> SMTPUTF8\r\nRCPT "
	     "TO:<\303\274@\303\274.x>\r\nDATA\r\n\303\274: x\r\n.\r\n",
	  "220, 250, 553 5.6.7, 250 2.1.0, 250 2.1.5, 354, 250 2.0.0",
	  "from=\303\274@b proto=UTF8SMTP utf8 flags to=\303\274@\303\274.x\n\303\274: x\r\n",
	  false },
	{ HI "MAIL FROM:<a@b>\r\nRCPT TO:<\303\274@d>\r\n", "220, 250, 250 2.1.0, 553 5.6.7", "",
	  false },
	{ HI "MAIL FROM:<\377@b> SMTPUTF8\r\n", "220, 250, 553 5.1.7", "", false },
	/* Only CRLF ends a line; what stands behind a bare LF is no command. */
	{ "NOOP\nQUIT\r\nNOOP\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "NO\rOP\r\nNOOP\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "NOOP\r\r\nNOOP\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "\nNOOP\n\nNOOP\r\nRSET\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	{ "A\nB\rC\r\nRSET\r\n", "220, 500 5.5.2, 250 2.0.0", "", false },
	/* Only CRLF.CRLF ends a message; here bare newlines are normalised. */
	{ ENVELOPE "DATA\r\na\n.\nMAIL FROM:<x@y>\n.\r\nb\r\n.\r\nNOOP\r\n",
	  ENVELOPE_R ", 354, 250 2.0.0, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\na\r\n.\r\nMAIL FROM:<x@y>\r\n.\r\nb\r\n", false },
	/* BDAT. */
	{ ENVELOPE "BDAT 3\r\nx\r\nBDAT 5 LAST\r\n.\r\nyz", ENVELOPE_R ", 250 2.0.0, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\n.\r\nyz", false },
	{ ENVELOPE "bdat 0 last\r\n", ENVELOPE_R ", 250 2.0.0", "from=a@b proto=ESMTP to=c@d\n",
	  false },
	{ ENVELOPE "BDAT 7 LAST\r\nQUIT\r\n\nBDAT 0 LAST\r\n", ENVELOPE_R ", 250 2.0.0, 503 5.5.1",
	  "from=a@b proto=ESMTP to=c@d\nQUIT\r\n\r\n", false },
	{ ENVELOPE
	  "BDAT 2\r\n\r\nDATA\r\nRCPT TO:<e@f>\r\nMAIL FROM:<a@b>\r\nNOOP\r\nBDAT 0 LAST\r\n",
	  ENVELOPE_R ", 250 2.0.0, 503 5.5.1, 503 5.5.1, 503 5.5.1, 250 2.0.0, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\n\r\n", false },
	{ ENVELOPE "BDAT 2\r\n\r\nRSET\r\nBDAT 6 LAST\r\nQUIT\r\n",
	  ENVELOPE_R ", 250 2.0.0, 250 2.0.0, 503 5.5.1", "", false },
	{ "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n", "220, 503 5.5.1, 250 2.0.0", "", false },
	{ HI "MAIL FROM:<a@b>\r\nBDAT 6\r\nQUIT\r\nRCPT TO:<c@d>\r\n",
	  "220, 250, 250 2.1.0, 503 5.5.1, 250 2.1.5", "", false },
	{ ENVELOPE "BDAT\r\nNOOP\r\n", ENVELOPE_R ", 501 5.5.4", "", true },
	{ ENVELOPE "BDAT x\r\nNOOP\r\n", ENVELOPE_R ", 501 5.5.4", "", true },
	{ ENVELOPE "BDAT 1 FIRST\r\nNOOP\r\n", ENVELOPE_R ", 501 5.5.4", "", true },
	{ ENVELOPE "BDAT 99999999999999\r\nNOOP\r\n", ENVELOPE_R ", 552 5.3.4", "", true },
	{ ENVELOPE "BDAT 5 LAST\r\nx\ny\r\n", ENVELOPE_R ", 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\ny\r\n", false },
	{ ENVELOPE "BDAT 2\r\nx\rBDAT 2 LAST\r\n\ny", ENVELOPE_R ", 250 2.0.0, 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\ny", false },
	{ ENVELOPE "BDAT 2 LAST\r\nx\r", ENVELOPE_R ", 250 2.0.0",
	  "from=a@b proto=ESMTP to=c@d\nx\r\n", false },
};

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
	{ ENVELOPE "DATA\r\na\n.\nQUIT\r\n.\r\nNOOP\r\n",
	  ENVELOPE_R ", 354, 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "DATA\r\na\r.\rQUIT\r\n.\r\nNOOP\r\n",
	  ENVELOPE_R ", 354, 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "DATA\r\n.\n.\r\nQUIT\r\n.\r\n", ENVELOPE_R ", 354, 550 5.6.0" },
	{ ENVELOPE "BDAT 2\r\na\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
	  ENVELOPE_R ", 250 2.0.0, 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "BDAT 2 LAST\r\na\rNOOP\r\n", ENVELOPE_R ", 550 5.6.0, 250 2.0.0" },
	{ ENVELOPE "BDAT 2\r\na\rBDAT 1 LAST\r\n\nNOOP\r\n",
	  ENVELOPE_R ", 250 2.0.0, 250 2.0.0, 250 2.0.0" },
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
	UNIT_EQ(buf_span(&d.replies),
		"220 mx.test ESMTP Postern\r\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1048576\r\n"
		"250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-"
		"ENHANCEDSTATUSCODES\r\n"
		"250-LIMITS RCPTMAX=1000 MAILMAX=7\r\n250 HELP\r\n");
	driver_clear(&d);
}
END_TEST

START_TEST(received_field_is_in_the_trace)
{
	struct driver d;

	run(&d, ENVELOPE "DATA\r\n.\r\n", 0, false);
	UNIT_EQ(buf_span(&d.trace),
		"Received: from c ([192.0.2.1])\r\n\tby mx.test with ESMTP id 0000000000001\r\n"
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

	run(&d,
	    "WHAT secret\r\nAUTH PLAIN secret\r\n" HI
	    "MAIL FROM:<a@@b>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<nouser@d>\r\n"
	    "RCPT TO:<no user> X\r\nDATA\r\n",
	    0, false);
	UNIT_EQ(buf_span(&d.rejects),
		"COMMAND 500 5.5.2 Command not recognized\nAUTH 502 5.5.1 Command not offered "
		"here\n"
		"MAIL 553 5.1.7 Sender address is not valid [FROM:<a@@b>]\nRCPT 550 5.1.1 No such "
		"user here\n"
		"RCPT 553 5.1.3 Address is not valid [TO:<no user> X]\n"
		"DATA 503 5.5.1 Sender is given; send RCPT, none was accepted so far\n");
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
	return unit_run(s);
}
