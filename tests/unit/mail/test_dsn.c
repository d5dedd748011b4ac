/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/mail/dsn*.c: what a report says, and that nothing enclosed can break it. That other programs read it as
 * meant is shown by tests/integration/test_dsn_format.py. */

/* System */
#include <string.h>
/* lib */
#include "base/mem.h"
#include "mail/dsn_put.h"
/* this program */
#include "tests/unit/unit.h"

static struct dsn_rcpt
a_rcpt(void)
{
	return (struct dsn_rcpt){
		.action = DSN_FAILED,
		.addr = SPAN("bob@example.com"),
		.esc = SPAN("5.1.1"),
		.reply = 550,
		.text = SPAN("No such user"),
		.relay = SPAN("mx.example.com[192.0.2.1]:25"),
		.attempt_us = 1795208701000000,
	};
}

static struct dsn_report
a_report(const struct dsn_rcpt *rcpts, uint32_t count, const char *original)
{
	return (struct dsn_report){
		.hostname = SPAN("mx1.example.org"),
		.id = SPAN("0ABC"),
		.date_us = 1795208701000000,
		.to = SPAN("alice@example.org"),
		.sender = SPAN("alice@example.org"),
		.arrival_us = 1795208000000000,
		.rcpts = rcpts,
		.rcpt_count = count,
		.original = span_of(original),
		.original_len = strlen(original),
		.want_full = true,
		.max_bytes = 50000,
	};
}

static struct buf out;
static bool needs_utf8, needs_8bit;

static void
build(const struct dsn_report *r)
{
	size_t line = 0;

	buf_clear(&out);
	buf_init(&out, 10000000);
	ck_assert_int_eq(dsn_build(r, &out, &needs_utf8, &needs_8bit), 0);
	for (size_t i = 0; i < out.n; i++) {
		ck_assert(out.p[i] != '\0');
		if (out.p[i] == '\r') {
			ck_assert(i + 1 < out.n && out.p[i + 1] == '\n');
		} else if (out.p[i] == '\n') {
			ck_assert(i > 0 && out.p[i - 1] == '\r');
			line = 0;
		} else {
			ck_assert_uint_le(++line, 998);
		}
	}
}

static bool
says(const char *text)
{
	return span_find(buf_span(&out), span_of(text)) >= 0;
}

START_TEST(failed)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1,
				       "Subject: hi\r\nMessage-ID: <x@y>\r\n\r\nthe text\r\n");

	build(&r);
	ck_assert(!needs_utf8 && !needs_8bit);
	ck_assert(says("From: \"Mail Delivery System\" <MAILER-DAEMON@mx1.example.org>\r\nTo: "
		       "<alice@example.org>\r\n"));
	ck_assert(says("Auto-Submitted: auto-replied\r\n"));
	ck_assert(says("References: <x@y>\r\n"));
	ck_assert(says("Message-ID: <0ABC@mx1.example.org>\r\n"));
	ck_assert(says("<bob@example.com>\r\n"));
	ck_assert(says("550 5.1.1 No such user\r\n"));
	ck_assert(says(
		"Reporting-MTA: dns; mx1.example.org\r\nArrival-Date: Fri, 20 Nov 2026 20:53:20 "
		"+0000\r\n\r\n"
		"Final-Recipient: rfc822; bob@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		"Remote-MTA: dns; mx.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1 No such "
		"user\r\n"
		"Last-Attempt-Date: Fri, 20 Nov 2026 21:05:01 +0000\r\n"));
	ck_assert(says("Content-Type: message/rfc822\r\n"));
	ck_assert(says("\r\n\r\nSubject: hi\r\nMessage-ID: <x@y>\r\n\r\nthe text\r\n"));
	ck_assert(!says("Content-Transfer-Encoding"));
}
END_TEST

static const struct {
	enum dsn_action action;
	bool is_expired;
	const char *esc, *status;
} status_cases[] = {
	{ DSN_FAILED, false, "5.7.1", "5.7.1" },  { DSN_FAILED, false, "", "5.0.0" },
	{ DSN_FAILED, false, "4.7.1", "5.0.0" },  { DSN_FAILED, true, "4.4.1", "4.4.1" },
	{ DSN_FAILED, true, "", "4.4.7" },	  { DSN_DELAYED, false, "4.4.1", "4.4.1" },
	{ DSN_DELAYED, false, "", "4.0.0" },	  { DSN_DELIVERED, false, "2.1.5", "2.1.5" },
	{ DSN_RELAYED, false, "5.1.1", "2.0.0" }, { DSN_EXPANDED, false, "2.", "2.0.0" },
};

START_TEST(status)
{
	struct dsn_rcpt r = a_rcpt();

	r.action = status_cases[_i].action;
	r.is_expired = status_cases[_i].is_expired;
	r.esc = span_of(status_cases[_i].esc);
	UNIT_EQ(dsn_status(&r), status_cases[_i].status);
}
END_TEST

/* What is enclosed must not end its part, and what cannot be enclosed as it is must not be. */
static const struct {
	const char *original;
	const char *type; /* of the last part */
	bool is_8bit;
} enclosed_cases[] = {
	{ "A: b\r\n\r\n--=_0ABC_0--\r\n--=_0ABC_1\r\n", "Content-Type: message/rfc822\r\n", false },
	{ "A: \xe4\r\n\r\ntext\r\n", "Content-Type: message/rfc822\r\n", true },
	{ "A: b\r\n\r\nt\xe4xt\r\n", "Content-Type: message/rfc822\r\n", true },
	{ "A: b\r\n\r\nbare\nnewline\r\n", "Content-Type: text/rfc822-headers\r\n", false },
	{ "A: b\r\n\r\nbare\rreturn\r\n", "Content-Type: text/rfc822-headers\r\n", false },
	{ "A: b\nC: d\n\n8-bit content stays away: \xe4\n", "Content-Type: text/rfc822-headers\r\n",
	  false },
	{ "A: \xe4\n\ntext\n", "Content-Type: text/rfc822-headers\r\n", true },
};

START_TEST(enclosed)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1, enclosed_cases[_i].original);

	build(&r);
	ck_assert(says(enclosed_cases[_i].type));
	ck_assert_int_eq(needs_8bit, enclosed_cases[_i].is_8bit);
	ck_assert_int_eq(says("Content-Transfer-Encoding: 8bit\r\n"), enclosed_cases[_i].is_8bit);
	if (_i == 0)
		ck_assert(says("boundary=\"=_0ABC_2\"") && says("\r\n--=_0ABC_2--\r\n"));
}
END_TEST

START_TEST(nul_and_long_lines)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1, "");
	struct buf original;

	buf_init(&original, 100000);
	buf_puts(&original, "Subject: ");
	for (int i = 0; i < 3000; i++)
		buf_puts(&original, "\xc3\xa4");
	buf_puts(&original, "\r\nX: a");
	buf_putc(&original, '\0');
	buf_puts(&original, "b\r\n\r\nbody\r\n");
	r.original = buf_span(&original);
	r.original_len = original.n;
	build(&r);
	ck_assert(says("Content-Type: text/rfc822-headers\r\n"));
	ck_assert(says("X: a?b\r\n"));
	ck_assert(!says("body\r\n"));
	/* The line is cut between two characters. */
	ck_assert(says("\xc3\xa4\r\nX: ") && !says("\xc3\r\n"));
	buf_clear(&original);
}
END_TEST

START_TEST(bounded)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1, "A: 1\r\nB: 2\r\n 3\r\nC: 4\r\n\r\nbody body\r\n");

	r.max_bytes = 20;
	build(&r);
	ck_assert(says("text/rfc822-headers\r\n"));
	ck_assert(says("A: 1\r\nB: 2\r\n 3\r\n\r\n--="));
	ck_assert(!says("C: 4"));
	/* Only the front of a larger message is at hand. */
	r.max_bytes = 1000;
	r.original_len = 5000;
	build(&r);
	ck_assert(says("text/rfc822-headers\r\n") && says("C: 4") && !says("body body"));
	r.original_len = r.original.n;
	r.want_full = false;
	build(&r);
	ck_assert(says("text/rfc822-headers\r\n") && !says("body body"));
}
END_TEST

START_TEST(utf8)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1, "Subject: \xc3\xa4\r\n\r\ntext\r\n");

	rcpt.addr = SPAN("j\xc3\xbcrgen@example.com");
	rcpt.orcpt = SPAN("utf-8;j\\x{FC}rgen@example.com");
	r.is_utf8 = true;
	build(&r);
	/* The sender's address is ASCII: its servers may not know SMTPUTF8, so no message/global. */
	ck_assert(!needs_utf8 && needs_8bit);
	ck_assert(says("Content-Type: message/global-delivery-status\r\n"));
	ck_assert(says("Content-Type: message/global-headers\r\n"));
	ck_assert(says("Original-Recipient: utf-8; j\xc3\xbcrgen@example.com\r\nFinal-Recipient: "
		       "utf-8; j\xc3\xbcrgen@example.com\r\n"));
	ck_assert(says("text/plain; charset=utf-8"));
	r.to = r.sender = SPAN("\xc3\xa4lice@example.org");
	build(&r);
	ck_assert(needs_utf8 && needs_8bit);
	ck_assert(says("Content-Type: message/global\r\n"));
	ck_assert(says("To: <\xc3\xa4lice@example.org>\r\n"));
}
END_TEST

START_TEST(strangers_text)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1, "A: b\r\n\r\n");
	char long_text[1001];

	memset(long_text, 'w', 1000);
	long_text[1000] = '\0';
	memcpy(long_text, "x\r\n\r\n--=_0ABC_0--\r\nBcc: eve@example.net \xff\xc3\x28 \x1b[2J ",
	       49);
	rcpt.text = span_of(long_text);
	r.envid = SPAN("QQ+2B+0D+0AInjected:+20yes");
	rcpt.orcpt = SPAN("rfc822;bob+2Btag@example.com+0D+0AX:+20y");
	build(&r);
	ck_assert(!says("\r\n--=_0ABC_0--\r\nBcc"));
	ck_assert(!says("\r\nBcc:") && !says("\r\nInjected") && !says("\x1b") && !says("\r\nX: y"));
	ck_assert(says("Original-Envelope-Id: QQ+??Injected: yes\r\n"));
	ck_assert(says("Original-Recipient: rfc822; bob+tag@example.com??X: y\r\n"));
	ck_assert(!needs_8bit);
}
END_TEST

static const struct {
	const char *relay, *field;
} remote_cases[] = {
	{ "mx.example.com[192.0.2.1]:25", "Remote-MTA: dns; mx.example.com\r\n" },
	{ "192.0.2.1[192.0.2.1]:25", "Remote-MTA: dns; [192.0.2.1]\r\n" },
	{ "[192.0.2.1]:25", "Remote-MTA: dns; [192.0.2.1]\r\n" },
	{ "[]", "Remote-MTA: dns; []\r\n" },
};

START_TEST(remote_mta)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1, "A: b\r\n\r\n");

	rcpt.relay = span_of(remote_cases[_i].relay);
	build(&r);
	ck_assert(says(remote_cases[_i].field));
}
END_TEST

START_TEST(kinds)
{
	struct dsn_rcpt rcpts[3] = { a_rcpt(), a_rcpt(), a_rcpt() };
	struct dsn_report r = a_report(rcpts, 1, "A: b\r\n\r\n");

	rcpts[0].action = DSN_DELAYED;
	rcpts[0].esc = SPAN("4.4.1");
	rcpts[0].relay = SPAN_NONE;
	rcpts[0].reply = 0;
	rcpts[0].retry_until_us = r.date_us + 86400000000;
	build(&r);
	ck_assert(says("Action: delayed\r\nStatus: 4.4.1\r\nDiagnostic-Code: x-postern; 4.4.1 No "
		       "such user\r\n"));
	ck_assert(says("Will-Retry-Until: Sat, 21 Nov 2026 21:05:01 +0000\r\n"));
	ck_assert(says("still being tried") && says("The reason:") && !says("Remote-MTA"));
	rcpts[0].action = DSN_DELIVERED;
	rcpts[1].action = DSN_RELAYED;
	rcpts[2].action = DSN_EXPANDED;
	r.rcpt_count = 3;
	build(&r);
	ck_assert(says("Action: delivered\r\n") && says("Action: relayed\r\n") &&
		  says("Action: expanded\r\n"));
	ck_assert(says("Subject: Your message was delivered\r\n"));
	rcpts[1].action = DSN_FAILED;
	rcpts[1].is_expired = true;
	rcpts[1].orig = SPAN("sales@example.org");
	build(&r);
	ck_assert(says("Subject: Your message could not be delivered\r\n") &&
		  says("for 11 minutes"));
	ck_assert(says("(you wrote to <sales@example.org>, which leads there)"));
	ck_assert(says("Original-Recipient: rfc822; sales@example.org\r\n"));
}
END_TEST

START_TEST(full)
{
	struct dsn_rcpt rcpt = a_rcpt();
	struct dsn_report r = a_report(&rcpt, 1, "A: b\r\n\r\n");

	buf_clear(&out);
	buf_init(&out, 1000);
	ck_assert_int_eq(dsn_build(&r, &out, &needs_utf8, &needs_8bit), E_TOOBIG);
}
END_TEST

static const struct {
	const char *in;
	size_t n;
} utf8_cases[] = {
	{ "", 0 },
	{ "a", 1 },
	{ "\x7f", 1 },
	{ "\xc3\xa4", 2 },
	{ "\xc0\x80", 0 },
	{ "\xc1\xbf", 0 },
	{ "\xe2\x82\xac", 3 },
	{ "\xe0\x80\x80", 0 },
	{ "\xed\xa0\x80", 0 },
	{ "\xf0\x9f\x93\xa7", 4 },
	{ "\xf0\x80\x80\x80", 0 },
	{ "\xf4\x90\x80\x80", 0 },
	{ "\xf5\x80\x80\x80", 0 },
	{ "\xe2\x82", 0 },
	{ "\x80", 0 },
	{ "\xff", 0 },
};

START_TEST(utf8_chars)
{
	ck_assert_uint_eq(dsn_utf8_char(span_of(utf8_cases[_i].in)), utf8_cases[_i].n);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dsn");

	UNIT_TEST(s, failed);
	UNIT_TABLE(s, status, status_cases);
	UNIT_TABLE(s, enclosed, enclosed_cases);
	UNIT_TEST(s, nul_and_long_lines);
	UNIT_TEST(s, bounded);
	UNIT_TEST(s, utf8);
	UNIT_TEST(s, strangers_text);
	UNIT_TABLE(s, remote_mta, remote_cases);
	UNIT_TEST(s, kinds);
	UNIT_TEST(s, full);
	UNIT_TABLE(s, utf8_chars, utf8_cases);
	return unit_run(s);
}
