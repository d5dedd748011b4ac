/* SPDX-License-Identifier: ISC
 *
 * Prints a failure report as lib/mail/dsn.c builds it: dsn_sample CASE < original message. For
 * tests/integration/test_dsn_format.py, which reads it with a parser that is not ours.
 * CASE: failed, hdrs, delayed, success, utf8, utf8-sender. */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "mail/dsn.h"

enum { ORIGINAL_MAX = 1 << 20 };

int
main(int argc, char **argv)
{
	static char original[ORIGINAL_MAX];
	const char *name = argc > 1 ? argv[1] : "failed";
	bool is_utf8 = strncmp(name, "utf8", 4) == 0, needs_utf8, needs_8bit;
	struct dsn_rcpt rcpts[] = {
		{ .action = DSN_FAILED,
		  .addr = SPAN("bob@example.com"),
		  .orig = SPAN("sales@example.org"),
		  .esc = SPAN("5.1.1"),
		  .reply = 550,
		  .text = SPAN("No such user, \xff and a text that is so long that it does not fit "
			       "on one line of a report"),
		  .relay = SPAN("mx.example.com[192.0.2.1]:25"),
		  .attempt_us = 1795208701000000 },
		{ .action = DSN_FAILED,
		  .addr = SPAN("\"odd one\"@example.net"),
		  .orcpt = SPAN("rfc822;+22odd+20one+22@example.net"),
		  .esc = SPAN("4.4.1"),
		  .text = SPAN("No answer from host"),
		  .is_expired = true,
		  .attempt_us = 1795208701000000 },
	};
	struct dsn_report r = { .hostname = SPAN("mx1.example.org"),
				.id = SPAN("0ABC.1"),
				.date_us = 1795208701000000,
				.to = SPAN("alice@example.org"),
				.envid = SPAN("QQ+2B1"),
				.arrival_us = 1795208000000000,
				.is_utf8 = is_utf8,
				.rcpts = rcpts,
				.rcpt_count = 2,
				.want_full = strcmp(name, "hdrs") != 0,
				.max_bytes = 50000 };
	struct buf out;

	if (is_utf8)
		rcpts[0].addr = SPAN("j\xc3\xbcrgen@example.com");
	if (strcmp(name, "utf8-sender") == 0)
		r.to = SPAN("\xc3\xa4lice@example.org");
	r.sender = r.to;
	if (strcmp(name, "delayed") == 0)
		for (int i = 0; i < 2; i++) {
			rcpts[i].action = DSN_DELAYED;
			rcpts[i].retry_until_us = 1795308701000000;
		}
	if (strcmp(name, "success") == 0) {
		rcpts[0].action = DSN_DELIVERED;
		rcpts[1].action = DSN_RELAYED;
	}
	r.original = span_make(original, fread(original, 1, sizeof(original), stdin));
	r.original_len = r.original.n;
	buf_init(&out, 2 * ORIGINAL_MAX);
	if (dsn_build(&r, &out, &needs_utf8, &needs_8bit) < 0)
		return 1;
	fwrite(out.p, 1, out.n, stdout);
	buf_clear(&out);
	return 0;
}
