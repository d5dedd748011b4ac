/* SPDX-License-Identifier: ISC
 *
 * A failure report about whatever a stranger sent and whatever a server replied: the report keeps its form. The input is
 * the reply up to the first NUL, ORCPT up to the second, then the original; the first byte chooses what is asked for. */

/* System */
#include <string.h>
/* lib */
#include "mail/dsn.h"
#include "mail/dsn_put.h"
#include "mail/header.h"
/* this program */
#include "tests/fuzz/fuzz.h"

static struct span
cut(struct span *rest)
{
	ptrdiff_t nul = span_chr(*rest, '\0');
	struct span head = span_sub(*rest, 0, nul >= 0 ? (size_t)nul : rest->n);

	*rest = span_sub(*rest, head.n + 1, rest->n);
	return head;
}

/* CRLF lines of at most 998 bytes, no NUL; 8-bit bytes only where it was said. */
static void
check_form(const struct buf *out, bool is_8bit)
{
	size_t line = 0;

	for (size_t i = 0; i < out->n; i++) {
		FUZZ_ASSERT(out->p[i] != '\0' && (is_8bit || (unsigned char)out->p[i] < 0x80));
		if (out->p[i] == '\r') {
			FUZZ_ASSERT(i + 1 < out->n && out->p[i + 1] == '\n');
		} else if (out->p[i] == '\n') {
			FUZZ_ASSERT(i > 0 && out->p[i - 1] == '\r');
			line = 0;
		} else {
			FUZZ_ASSERT(++line <= 998);
		}
	}
}

/* The boundary stands exactly four times at the begin of a line: nothing enclosed ends a part. */
static void
check_parts(const struct buf *out)
{
	struct span all = buf_span(out), rest = all, boundary;
	ptrdiff_t at = span_find(all, SPAN("\r\n    boundary=\""));
	char mark[256];
	size_t n;
	int count = 0;

	FUZZ_ASSERT(at > 0);
	boundary = span_sub(all, (size_t)at + 16, 200);
	boundary.n = (size_t)span_chr(boundary, '"');
	memcpy(mark, "\r\n--", 4);
	memcpy(mark + 4, boundary.p, boundary.n);
	n = boundary.n + 4;
	while ((at = span_find(rest, span_make(mark, n))) >= 0) {
		rest = span_sub(rest, (size_t)at + n, SIZE_MAX);
		count++;
	}
	FUZZ_ASSERT(count == 4);
	FUZZ_ASSERT(span_eq(rest, SPAN("--\r\n")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest, reply, orcpt;
	struct dsn_rcpt rcpt = { .addr = SPAN("b@x.example"),
				 .esc = SPAN("5.1.1"),
				 .relay = SPAN("mx[192.0.2.1]:25"),
				 .reply = 550 };
	struct dsn_report r = { .hostname = SPAN("mx.example"),
				.id = SPAN("ID"),
				.date_us = 1800000000000000,
				.to = SPAN("a@y.example"),
				.sender = SPAN("a@y.example"),
				.rcpts = &rcpt,
				.rcpt_count = 1,
				.max_bytes = 5000 };
	bool needs_utf8, needs_8bit;
	struct buf out;

	if (size < 1 || size > 65536)
		return 0;
	rest = span_make(data + 1, size - 1);
	reply = cut(&rest);
	orcpt = cut(&rest);
	rcpt.text = span_sub(reply, 0, 1000);
	rcpt.orcpt = span_sub(orcpt, 0, 500);
	rcpt.action = (enum dsn_action)(data[0] % DSN_ACTION_COUNT);
	rcpt.is_expired = data[0] & 8;
	r.want_full = data[0] & 16;
	r.is_utf8 = data[0] & 32;
	r.envid = rcpt.orcpt;
	if (data[0] & 64)
		rcpt.addr = SPAN("\xc3\xbc@x.example");
	r.original = rest;
	r.original_len = rest.n;
	FUZZ_ASSERT(header_length(rest) <= rest.n);
	buf_init(&out, 1000000);
	FUZZ_ASSERT(dsn_build(&r, &out, &needs_utf8, &needs_8bit) == 0);
	check_form(&out, needs_8bit);
	check_parts(&out);
	buf_clear(&out);
	return 0;
}
