/* SPDX-License-Identifier: ISC
 *
 * Content from the wire: its end, its dots, its bare newlines; the same however it is cut into reads. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/buf.h"
#include "smtp/data.h"
/* this program */
#include "tests/unit/unit.h"

/* What is read of `in` in pieces of `step` bytes (0: at once). Returns the bytes used. */
static size_t
scan(struct data_scan *d, bool is_dotted, struct span in, size_t step, struct buf *out)
{
	size_t used = 0;

	data_scan_init(d, is_dotted);
	while (used < in.n && !d->is_end) {
		struct span part = span_sub(in, used, step > 0 ? step : in.n);
		size_t turns = 0;

		while (part.n > 0 && !d->is_end) {
			struct span piece;
			size_t n = data_scan(d, part, &piece);

			buf_put_span(out, piece);
			part = span_sub(part, n, part.n);
			used += n;
			ck_assert_uint_lt(turns++, 3 * in.n + 3);
		}
	}
	return used;
}

static const struct {
	struct span in;
	const char *out;
	bool is_end, has_bare;
	size_t rest; /* bytes after the end */
} cases[] = {
	{ SPAN(".\r\n"), "", true, false, 0 },
	{ SPAN("a\r\n.\r\n"), "a\r\n", true, false, 0 },
	{ SPAN("a\r\n.\r\nQUIT\r\n"), "a\r\n", true, false, 6 },
	{ SPAN("..\r\n.\r\n"), ".\r\n", true, false, 0 },
	{ SPAN(".a\r\n..b\r\n...\r\n.\r\n"), "a\r\n.b\r\n..\r\n", true, false, 0 },
	{ SPAN("a.\r\n.\r\n"), "a.\r\n", true, false, 0 },
	{ SPAN("\r\n\r\n.\r\n"), "\r\n\r\n", true, false, 0 },
	{ SPAN("a"), "a", false, false, 0 },
	{ SPAN("a\r\n."), "a\r\n", false, false, 0 },
	{ SPAN("a\r\n.\r"), "a\r\n", false, false, 0 },
	/* The ten wrong ends, and more: none ends the message. */
	{ SPAN("a\n.\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\n.\rb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\n.\r\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\r\n.\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\r\n.\rb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\r.\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\r.\rb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\r.\r\nb\r\n.\r\n"), "a\r\n.\r\nb\r\n", true, true, 0 },
	{ SPAN("a\r\n.\r\r\nb\r\n.\r\n"), "a\r\n.\r\n\r\nb\r\n", true, true, 0 },
	{ SPAN("a\r\r\n.\r\n"), "a\r\n\r\n", true, true, 0 },
	{ SPAN("a\n\r\n.\r\n"), "a\r\n\r\n", true, true, 0 },
	{ SPAN("a\n..b\r\n.\r\n"), "a\r\n.b\r\n", true, true, 0 },
	{ SPAN("a\n.\n.\r\n\r\n.\r\n"), "a\r\n.\r\n.\r\n\r\n", true, true, 0 },
	{ SPAN(".\n.\r\n.\r\n"), ".\r\n.\r\n", true, true, 0 },
	{ SPAN("\n.\r\n.\r\n"), "\r\n.\r\n", true, true, 0 },
};

START_TEST(dotted)
{
	for (size_t step = 0; step <= cases[_i].in.n; step++) {
		struct data_scan d;
		struct buf out;
		size_t used;

		buf_init(&out, 1000);
		used = scan(&d, true, cases[_i].in, step, &out);
		UNIT_EQ(buf_span(&out), cases[_i].out);
		ck_assert_int_eq(d.is_end, cases[_i].is_end);
		ck_assert_int_eq(d.has_bare, cases[_i].has_bare);
		ck_assert_uint_eq(cases[_i].in.n - used, cases[_i].rest);
		buf_clear(&out);
	}
}
END_TEST

static const struct {
	struct span in;
	struct span out;
	bool has_bare;
} chunks[] = {
	{ SPAN(".\r\n.\r\n..\r\n"), SPAN(".\r\n.\r\n..\r\n"), false },
	{ SPAN("a\r\n"), SPAN("a\r\n"), false },
	{ SPAN("a"), SPAN("a"), false },
	{ SPAN("a\r"), SPAN("a\r\n"), true },
	{ SPAN("a\nb\rc\r\n"), SPAN("a\r\nb\r\nc\r\n"), true },
	{ SPAN("a\0b\r\n"), SPAN("a\0b\r\n"), false },
};

START_TEST(chunked)
{
	for (size_t step = 0; step <= chunks[_i].in.n; step++) {
		struct data_scan d;
		struct span last;
		struct buf out;

		buf_init(&out, 1000);
		ck_assert_uint_eq(scan(&d, false, chunks[_i].in, step, &out), chunks[_i].in.n);
		data_scan_finish(&d, &last);
		buf_put_span(&out, last);
		unit_eq(buf_span(&out), chunks[_i].out);
		ck_assert_int_eq(d.has_bare, chunks[_i].has_bare);
		buf_clear(&out);
	}
}
END_TEST

START_TEST(hints)
{
	char line[1200];
	struct data_scan d;
	struct buf out;

	buf_init(&out, 10000);
	scan(&d, true, SPAN("abc\r\n.\r\n"), 0, &out);
	ck_assert_uint_eq(d.flags, 0);
	scan(&d, true, SPAN("a\303\274c\r\n.\r\n"), 1, &out);
	ck_assert_uint_eq(d.flags, DATA_8BIT);
	scan(&d, true, SPAN("a\0c\r\n.\r\n"), 0, &out);
	ck_assert_uint_eq(d.flags, DATA_NUL);
	memset(line, 'x', sizeof(line));
	memcpy(line + 998, "\r\n.\r\n", 5);
	scan(&d, true, span_make(line, 1003), 0, &out);
	ck_assert(d.is_end);
	ck_assert_uint_eq(d.flags, 0);
	memset(line, 'x', sizeof(line));
	memcpy(line + 999, "\r\n.\r\n", 5);
	scan(&d, true, span_make(line, 1004), 7, &out);
	ck_assert(d.is_end);
	ck_assert_uint_eq(d.flags, DATA_LONG_LINE);
	buf_clear(&out);
}
END_TEST

/* Any bytes, any cuts: the same as at once. The slow reference below is RFC 5321 4.5.2 one byte at a time. */
static size_t
reference(struct span in, struct buf *out, bool *is_end, bool *has_bare)
{
	bool is_start = true, is_after_crlf = true;

	*is_end = *has_bare = false;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (is_start && c == '.') {
			bool is_crlf = i + 2 < in.n && in.p[i + 1] == '\r' && in.p[i + 2] == '\n';
			bool is_newline = i + 1 < in.n &&
					  (in.p[i + 1] == '\r' || in.p[i + 1] == '\n');

			if (is_after_crlf && is_crlf) {
				*is_end = true;
				return i + 3;
			}
			if (is_newline)
				buf_putc(out, '.');
			is_start = false;
			continue;
		}
		is_start = c == '\r' || c == '\n';
		is_after_crlf = false;
		if (c == '\r' && i + 1 < in.n && in.p[i + 1] == '\n') {
			buf_puts(out, "\r\n");
			is_after_crlf = true;
			i++;
		} else if (is_start) {
			buf_puts(out, "\r\n");
			*has_bare = true;
		} else {
			buf_putc(out, c);
		}
	}
	return in.n;
}

START_TEST(random_cuts)
{
	static const char alphabet[] = "\r\n.\r\n.a";
	char text[24];

	srandom(7);
	for (unsigned round = 0; round < 60000; round++) {
		size_t n = (size_t)random() % 18, used, want_used;
		bool is_end, has_bare;
		struct buf want, got;
		struct data_scan d;

		for (size_t i = 0; i < n; i++)
			text[i] = alphabet[(size_t)random() % (sizeof(alphabet) - 1)];
		/* A complete end, so that nothing is pending. */
		memcpy(text + n, "\r\n.\r\n", 5);
		buf_init(&want, 200);
		buf_init(&got, 200);
		want_used = reference(span_make(text, n + 5), &want, &is_end, &has_bare);
		used = scan(&d, true, span_make(text, n + 5), (size_t)random() % 4, &got);
		ck_assert(is_end && d.is_end);
		ck_assert_uint_eq(used, want_used);
		unit_eq(buf_span(&got), buf_span(&want));
		ck_assert_int_eq(d.has_bare, has_bare);
		buf_clear(&want);
		buf_clear(&got);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("data");

	UNIT_TABLE(s, dotted, cases);
	UNIT_TABLE(s, chunked, chunks);
	UNIT_TEST(s, hints);
	UNIT_TEST(s, random_cuts);
	return unit_run(s);
}
