/* SPDX-License-Identifier: ISC
 *
 * Lines and content from the wire: the first byte says how the rest is cut into reads; what comes out is the same as at
 * once, and has no CR or LF alone. */

/* System */
#include <string.h>
/* lib */
#include "base/buf.h"
#include "mail/header.h"
#include "mail/received.h"
#include "smtp/data.h"
#include "smtp/line.h"
/* this program */
#include "tests/fuzz/fuzz.h"

static size_t
scan(bool is_dotted, struct span in, size_t step, struct data_scan *d, struct received_watch *w,
     struct buf *out)
{
	size_t used = 0;

	data_scan_init(d, is_dotted);
	received_watch_init(w);
	while (used < in.n && !d->is_end) {
		struct span part = span_sub(in, used, step), piece;
		size_t turns = 0;

		while (part.n > 0 && !d->is_end) {
			size_t n = data_scan(d, part, &piece);

			buf_put_span(out, piece);
			received_watch_feed(w, piece);
			part = span_sub(part, n, part.n);
			used += n;
			FUZZ_ASSERT(turns++ < 4 * in.n + 4);
		}
	}
	return used;
}

static void
check_content(bool is_dotted, struct span in, size_t step)
{
	struct received_watch w1, w2;
	struct data_scan d1, d2;
	struct buf at_once, in_parts;
	size_t used;

	buf_init(&at_once, 2 * in.n + 16);
	buf_init(&in_parts, 2 * in.n + 16);
	used = scan(is_dotted, in, in.n > 0 ? in.n : 1, &d1, &w1, &at_once);
	FUZZ_ASSERT(used == scan(is_dotted, in, step, &d2, &w2, &in_parts));
	FUZZ_ASSERT(span_eq(buf_span(&at_once), buf_span(&in_parts)));
	FUZZ_ASSERT(d1.is_end == d2.is_end && d1.has_bare == d2.has_bare && d1.flags == d2.flags);
	FUZZ_ASSERT(w1.hops == w2.hops && w1.is_over == w2.is_over &&
		    w1.header_bytes == w2.header_bytes);
	if (d1.is_end)
		FUZZ_ASSERT(used >= 3 && memcmp(in.p + used - 3, ".\r\n", 3) == 0 &&
			    (used == 3 || (used >= 5 && memcmp(in.p + used - 5, "\r\n", 2) == 0)));
	for (size_t i = 0; i < at_once.n; i++) {
		if (at_once.p[i] == '\n')
			FUZZ_ASSERT(i > 0 && at_once.p[i - 1] == '\r');
		if (at_once.p[i] == '\r')
			FUZZ_ASSERT(i + 1 < at_once.n && at_once.p[i + 1] == '\n');
	}
	/* What is counted on the way is what is there. */
	if (w1.is_over || d1.is_end)
		FUZZ_ASSERT(w1.hops == header_count(buf_span(&at_once), "Received"));
	buf_clear(&at_once);
	buf_clear(&in_parts);
}

static void
check_line(struct span in, size_t max)
{
	struct span text, verb, args;
	size_t used;

	switch (line_cut(in, max, &text, &used)) {
	case LINE_PART:
		FUZZ_ASSERT(used == 0 && in.n < max);
		break;
	case LINE_WHOLE:
		FUZZ_ASSERT(used == text.n + 2 && used <= max && span_chr(text, '\n') < 0 &&
			    span_chr(text, '\r') < 0);
		line_split(text, &verb, &args);
		FUZZ_ASSERT(span_chr(verb, ' ') < 0 && verb.n + args.n <= text.n);
		break;
	case LINE_BARE_LF:
	case LINE_BAD_BYTE:
		FUZZ_ASSERT(used > 0 && in.p[used - 1] == '\n');
		break;
	case LINE_TOO_LONG:
		FUZZ_ASSERT(used >= max - 1);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in;
	size_t step;

	if (size == 0 || size > 20000)
		return 0;
	step = data[0] % 16 + 1u;
	in = span_make(data + 1, size - 1);
	check_content(true, in, step);
	check_content(false, in, step);
	check_line(in, 16 + step);
	return 0;
}
