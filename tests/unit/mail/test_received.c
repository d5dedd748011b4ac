/* SPDX-License-Identifier: ISC
 *
 * The Received: field, and the count of those that are there. */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/id.h"
#include "mail/header.h"
#include "mail/received.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	struct received r;
	const char *out;
} fields[] = {
	{ { SPAN("mx.example.org"), SPAN("192.0.2.1"), SPAN("here.example"), "ESMTP", 4096,
	    SPAN("a@b"), ID_EPOCH_US / 1000 * 1000 },
	  "Received: from mx.example.org ([192.0.2.1])\r\n\tby here.example with ESMTP id "
	  "0000000000400\r\n"
	  "\tfor <a@b>;\r\n\tWed, 1 Jan 2020 00:00:00 +0000\r\n" },
	{ { SPAN("[192.0.2.1]"), SPAN("2001:db8::1"), SPAN("h"), "SMTP", 1, SPAN(""), 0 },
	  "Received: from [192.0.2.1] ([IPv6:2001:db8::1])\r\n\tby h with SMTP id "
	  "0000000000001;\r\n"
	  "\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	{ { SPAN("evil (x) for <c@d>; y"), SPAN("192.0.2.1"), SPAN("h"), "SMTP", 1, SPAN(""), 0 },
	  "Received: from [192.0.2.1] ([192.0.2.1])\r\n\tby h with SMTP id 0000000000001;\r\n"
	  "\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	{ { SPAN(""), SPAN(""), SPAN("h"), "SMTP", 1, SPAN(""), 0 },
	  "Received: from unknown\r\n\tby h with SMTP id 0000000000001;\r\n\tThu, 1 Jan 1970 "
	  "00:00:00 +0000\r\n" },
};

START_TEST(put)
{
	struct header_field f;
	struct buf b;

	buf_init(&b, 2000);
	received_put(&b, &fields[_i].r);
	UNIT_EQ(buf_span(&b), fields[_i].out);
	/* One field, nothing else. */
	ck_assert_uint_eq(header_count(buf_span(&b), "Received"), 1);
	ck_assert(header_find(buf_span(&b), "Received", &f));
	ck_assert_uint_eq(f.raw.n, b.n);
	buf_clear(&b);
}
END_TEST

static const struct {
	const char *in;
	uint32_t hops;
	bool is_over, has_8bit;
} watched[] = {
	{ "Received: a\r\nReceived: b\r\n\r\nReceived: c\r\n", 2, true, false },
	{ "RECEIVED : a\r\n\tReceived: b\r\nreceived:c\r\n", 2, false, false },
	{ "X-Received: a\r\nReceived-SPF: b\r\nReceive: c\r\nReceivedx: d\r\n", 0, false, false },
	{ "Subject: x\r\nnot a field\r\nReceived: c\r\n", 0, true, false },
	{ " folded first\r\nReceived: c\r\n", 0, true, false },
	{ "\r\nReceived: c\r\n", 0, true, false },
	{ "From someone\r\nReceived: c\r\n", 0, true, false },
	{ "A: \303\274\r\n", 0, false, true },
	{ "A: b\r\n\r\n\303\274\r\n", 0, true, false },
	{ ": b\r\nReceived: c\r\n", 0, true, false },
	{ "Received: a\r\nReceived: b", 2, false, false },
	{ "Received", 0, false, false },
	{ "", 0, false, false },
};

START_TEST(watch)
{
	struct span in = span_of(watched[_i].in);

	for (size_t step = 1; step <= in.n + 1; step++) {
		struct received_watch w;

		received_watch_init(&w);
		for (size_t at = 0; at < in.n; at += step)
			received_watch_feed(&w, span_sub(in, at, step));
		ck_assert_uint_eq(w.hops, watched[_i].hops);
		ck_assert_uint_eq(w.hops, header_count(in, "Received"));
		ck_assert_int_eq(w.is_over, watched[_i].is_over);
		ck_assert_int_eq(w.has_8bit, watched[_i].has_8bit);
		ck_assert_uint_le(w.header_bytes, in.n);
		ck_assert_uint_ge(w.header_bytes, header_length(in));
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("received");

	UNIT_TABLE(s, put, fields);
	UNIT_TABLE(s, watch, watched);
	return unit_run(s);
}
