/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/mail/header.c and lib/mail/date.c. */

/* lib */
#include "mail/date.h"
#include "mail/header.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	const char *msg;
	size_t length;
	unsigned received;
} length_cases[] = {
	{ "", 0, 0 },
	{ "A: b\r\n\r\nbody\r\n", 6, 0 },
	{ "A: b\r\n c\r\n\td\r\n\r\nReceived: not a field\r\n", 14, 0 },
	{ "Received: x\r\nRECEIVED: y\r\nreceived : z\r\nX-Received: n\r\n\r\n", 55, 3 },
	{ "No header at all\r\nA: b\r\n", 0, 0 },
	{ "A: b\r\nbroken line\r\nReceived: c\r\n", 6, 0 },
	{ ": no name\r\n", 0, 0 },
	{ " fold without a field\r\nA: b\r\n", 0, 0 },
	{ "A: without end", 14, 0 },
	{ "A:\r\nB: c\r\n\r\n", 10, 0 },
	{ "A b: blank in the name\r\n", 0, 0 },
	{ "\xc3\xa4: not ASCII\r\n", 0, 0 },
};

START_TEST(lengths)
{
	struct span msg = span_of(length_cases[_i].msg);

	ck_assert_uint_eq(header_length(msg), length_cases[_i].length);
	ck_assert_uint_eq(header_count(msg, "Received"), length_cases[_i].received);
}
END_TEST

START_TEST(fields)
{
	struct span rest = SPAN("Subject: one\r\n two \r\nTo:x\r\n\r\nSubject: body\r\n");
	struct header_field f;

	ck_assert(header_find(rest, "TO", &f));
	UNIT_EQ(f.value, "x");
	ck_assert(!header_find(rest, "Cc", &f));
	ck_assert(header_next(&rest, &f));
	UNIT_EQ(f.name, "Subject");
	UNIT_EQ(f.value, "one\r\n two");
	UNIT_EQ(f.raw, "Subject: one\r\n two \r\n");
	ck_assert(header_next(&rest, &f));
	ck_assert(!header_next(&rest, &f));
	UNIT_EQ(rest, "\r\nSubject: body\r\n");
}
END_TEST

START_TEST(delivered_to)
{
	struct span msg = SPAN("Delivered-To: Bob@Example.ORG\r\nDelivered-To: "
			       "postmaster\r\n\r\nDelivered-To: eve@example.org\r\n");

	ck_assert(header_has_delivered_to(msg, SPAN("Bob@example.org")));
	ck_assert(!header_has_delivered_to(msg, SPAN("bob@example.org")));
	ck_assert(header_has_delivered_to(msg, SPAN("postmaster")));
	ck_assert(!header_has_delivered_to(msg, SPAN("eve@example.org")));
}
END_TEST

static const struct {
	uint64_t s;
	const char *text;
} date_cases[] = {
	{ 0, "Thu, 1 Jan 1970 00:00:00 +0000" },
	{ 951782399, "Mon, 28 Feb 2000 23:59:59 +0000" },
	{ 951782400, "Tue, 29 Feb 2000 00:00:00 +0000" },
	{ 1795208701, "Fri, 20 Nov 2026 21:05:01 +0000" },
	{ 1798761599, "Thu, 31 Dec 2026 23:59:59 +0000" },
	{ 4107542400, "Mon, 1 Mar 2100 00:00:00 +0000" },
	{ 253402300799, "Fri, 31 Dec 9999 23:59:59 +0000" },
	{ 253402300800, "Fri, 31 Dec 9999 23:59:59 +0000" },
};

START_TEST(dates)
{
	char text[DATE_TEXT_MAX];

	date_format(date_cases[_i].s * 1000000 + 999999, text);
	ck_assert_str_eq(text, date_cases[_i].text);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("header");

	UNIT_TABLE(s, lengths, length_cases);
	UNIT_TEST(s, fields);
	UNIT_TEST(s, delivered_to);
	UNIT_TABLE(s, dates, date_cases);
	return unit_run(s);
}
