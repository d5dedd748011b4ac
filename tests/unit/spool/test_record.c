/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/spool/record.c: formats, limits, and the walk over torn, damaged and stale bytes. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/buf.h"
#include "base/crc.h"
#include "base/mem.h"
#include "spool/record.h"
/* this program */
#include "tests/unit/unit.h"

enum { SALT = 0x5a17, SIZE = 65536 };

static const struct record sample = {
	.content_flags = 5,
	.salt = SALT,
	.batch = 3,
	.number = 1000,
	.qid = 0x1122334455667788,
	.arrival_us = 1700000000000000,
	.origin = ORIGIN_SMTP,
	.origin_slot = 9,
	.rcpt_count = 2,
};

/* Append a record with these parts. */
static struct record
put_record(struct buf *b, uint64_t salt, uint64_t number, uint64_t batch, struct span content)
{
	struct record r = sample;
	char header[RECORD_HEADER_BYTES];

	r.salt = salt;
	r.number = number;
	r.batch = batch;
	r.envelope_len = 8;
	r.trace_len = 5;
	r.content_len = content.n;
	r.envelope_crc = crc32c(0, "envelope", 8);
	r.trace_crc = crc32c(0, "trace", 5);
	r.content_crc = crc32c(0, content.p, content.n);
	record_put_header(header, &r);
	buf_put(b, header, sizeof(header));
	buf_puts(b, "envelopetrace");
	buf_put_span(b, content);
	while (b->n % RECORD_ALIGN != 0)
		buf_putc(b, '\0');
	return r;
}

static void
pad_block(struct buf *b)
{
	while (b->n % RECORD_BLOCK_BYTES != 0)
		buf_putc(b, '\0');
}

static void
begin(struct buf *b)
{
	buf_init(b, SIZE);
	buf_put(b, (char[RECORD_BLOCK_BYTES]){ 1 }, RECORD_BLOCK_BYTES);
}

/* Walk over everything, given in windows of `step` bytes; the numbers found as text, damaged ones with !. */
static const char *
walk(struct span segment, size_t step)
{
	static struct buf out;
	struct record_walk w;
	struct record r;
	struct span parts[3];
	uint64_t end = RECORD_BLOCK_BYTES, need;

	buf_clear(&out);
	buf_init(&out, 4096);
	record_walk_init(&w, SALT, segment.n);
	for (;;) {
		struct span window = span_sub(segment, w.offset,
					      end > w.offset ? end - w.offset : 0);
		enum record_step s = record_walk_next(&w, window, w.offset, &r, parts, &need);

		if (s == RECORD_NONE)
			break;
		if (s == RECORD_MORE) {
			ck_assert_uint_gt(need, end);
			end = need > end + step ? need : end + step;
			continue;
		}
		buf_printf(&out, "%s%llu", out.n > 0 ? " " : "", (unsigned long long)r.number);
		if (s == RECORD_DAMAGED)
			buf_putc(&out, '!');
		else
			UNIT_EQ(parts[0], "envelope");
	}
	return buf_cstr(&out);
}

START_TEST(header_round_trip)
{
	char p[RECORD_HEADER_BYTES];
	struct record r = sample, got;

	r.flags = RECORD_BIG | RECORD_COPY;
	r.envelope_len = 1;
	r.trace_len = 2;
	r.content_len = 1ull << 33;
	r.envelope_crc = 11;
	r.trace_crc = 12;
	r.content_crc = 13;
	r.batch_at = 14;
	r.batch_len = 15;
	memset(&got, 0, sizeof(got));
	record_put_header(p, &r);
	ck_assert_int_eq(record_get_header(span_make(p, sizeof(p)), &got), 0);
	ck_assert_uint_eq(got.flags, r.flags);
	ck_assert_uint_eq(got.content_flags, 5);
	ck_assert_uint_eq(got.salt, SALT);
	ck_assert_uint_eq(got.batch, 3);
	ck_assert_uint_eq(got.number, 1000);
	ck_assert_uint_eq(got.qid, r.qid);
	ck_assert_uint_eq(got.arrival_us, r.arrival_us);
	ck_assert_int_eq((int)got.origin, ORIGIN_SMTP);
	ck_assert_uint_eq(got.origin_slot, 9);
	ck_assert_uint_eq(got.rcpt_count, 2);
	ck_assert_uint_eq(got.envelope_len, 1);
	ck_assert_uint_eq(got.trace_len, 2);
	ck_assert_uint_eq(got.content_len, 1ull << 33);
	ck_assert_uint_eq(got.envelope_crc, 11);
	ck_assert_uint_eq(got.trace_crc, 12);
	ck_assert_uint_eq(got.content_crc, 13);
	ck_assert_uint_eq(got.batch_at, 14);
	ck_assert_uint_eq(got.batch_len, 15);
	ck_assert_uint_eq(record_length(&got), RECORD_HEADER_BYTES + 3);
	ck_assert_uint_eq(record_length_padded(&got), RECORD_HEADER_BYTES + 8);
}
END_TEST

/* Any changed bit of a header is found. */
START_TEST(header_bits)
{
	char p[RECORD_HEADER_BYTES];
	struct record got;

	for (size_t bit = 0; bit < sizeof(p) * 8; bit++) {
		record_put_header(p, &sample);
		p[bit / 8] = (char)(p[bit / 8] ^ 1 << bit % 8);
		ck_assert_int_eq(record_get_header(span_make(p, sizeof(p)), &got), E_CORRUPT);
	}
}
END_TEST

/* A right CRC does not make a value over its limit right. */
static const struct {
	size_t at;
	uint64_t value;
	size_t n;
	int want;
} limit_cases[] = {
	{ 4, 2, 2, E_CONFIG }, /* version */
	{ 6, ORIGIN_COUNT, 2, E_CORRUPT },
	{ 8, 4, 4, E_CORRUPT },	 /* flags */
	{ 32, 0, 8, E_CORRUPT }, /* number */
	{ 60, RECORD_RCPT_MAX + 1, 4, E_CORRUPT },
	{ 64, RECORD_ENVELOPE_MAX + 1, 4, E_CORRUPT },
	{ 64, RECORD_ENVELOPE_MAX, 4, 0 },
	{ 68, RECORD_TRACE_MAX + 1, 4, E_CORRUPT },
	{ 72, RECORD_CONTENT_MAX + 1, 8, E_CORRUPT },
	{ 72, UINT64_MAX, 8, E_CORRUPT },
	{ 72, RECORD_CONTENT_MAX, 8, 0 },
};

START_TEST(header_limits)
{
	char p[RECORD_HEADER_BYTES];
	struct record got;
	uint32_t crc;

	record_put_header(p, &sample);
	for (size_t i = 0; i < limit_cases[_i].n; i++)
		p[limit_cases[_i].at + i] = (char)(limit_cases[_i].value >> 8 * i);
	crc = crc32c(0, p, sizeof(p) - 4);
	for (size_t i = 0; i < 4; i++)
		p[sizeof(p) - 4 + i] = (char)(crc >> 8 * i);
	ck_assert_int_eq(record_get_header(span_make(p, sizeof(p)), &got), limit_cases[_i].want);
}
END_TEST

START_TEST(body_checked)
{
	struct buf b;
	struct record r;
	struct span parts[3], body;

	buf_init(&b, SIZE);
	r = put_record(&b, SALT, 1, 1, SPAN("content"));
	body = span_sub(buf_span(&b), RECORD_HEADER_BYTES, SIZE_MAX);
	ck_assert_int_eq(record_check_body(&r, body, &parts[0], &parts[1], &parts[2]), 0);
	UNIT_EQ(parts[0], "envelope");
	UNIT_EQ(parts[1], "trace");
	UNIT_EQ(parts[2], "content");
	ck_assert_int_eq(record_check_body(&r, span_sub(body, 0, 19), &parts[0], &parts[1],
					   &parts[2]),
			 E_CORRUPT);
	for (size_t i = 0; i < 20; i++) {
		b.p[RECORD_HEADER_BYTES + i] ^= 1;
		ck_assert_int_eq(record_check_body(&r, body, &parts[0], &parts[1], &parts[2]),
				 E_CORRUPT);
		b.p[RECORD_HEADER_BYTES + i] ^= 1;
	}
	buf_clear(&b);
}
END_TEST

START_TEST(segment_round_trip)
{
	static char p[RECORD_BLOCK_BYTES];
	struct segment_header h = { .number = 7,
				    .kind = SEGMENT_COLD,
				    .salt = 1,
				    .cursor = 2,
				    .next_number = 3,
				    .next_batch = 4,
				    .bytes = 5,
				    .made_us = 6 },
			      got;

	ck_assert_int_eq(segment_get_header(p, &got), E_NOTFOUND);
	segment_put_header(p, &h);
	ck_assert_int_eq(segment_get_header(p, &got), 0);
	ck_assert_uint_eq(got.number, 7);
	ck_assert_int_eq((int)got.kind, SEGMENT_COLD);
	ck_assert_uint_eq(got.salt, 1);
	ck_assert_uint_eq(got.cursor, 2);
	ck_assert_uint_eq(got.next_number, 3);
	ck_assert_uint_eq(got.next_batch, 4);
	ck_assert_uint_eq(got.bytes, 5);
	ck_assert_uint_eq(got.made_us, 6);
	for (size_t bit = 0; bit < (size_t)512 * 8; bit++) {
		p[bit / 8] = (char)(p[bit / 8] ^ 1 << bit % 8);
		ck_assert_int_eq(segment_get_header(p, &got), E_CORRUPT);
		p[bit / 8] = (char)(p[bit / 8] ^ 1 << bit % 8);
	}
	p[8] = 2; /* version */
	ck_assert_int_eq(segment_get_header(p, &got), E_CORRUPT);
	for (uint32_t i = 0, crc = crc32c(0, p, 508); i < 4; i++)
		p[508 + i] = (char)(crc >> 8 * i);
	ck_assert_int_eq(segment_get_header(p, &got), E_CONFIG);
}
END_TEST

static const size_t steps[] = { 0, 1, 512, 4096, SIZE };

/* Two batches, the second one record; the rest of the segment is zero. */
START_TEST(walk_plain)
{
	struct buf b;

	begin(&b);
	put_record(&b, SALT, 1, 1, SPAN("one"));
	put_record(&b, SALT, 2, 1, SPAN(""));
	pad_block(&b);
	put_record(&b, SALT, 3, 2, SPAN("three"));
	while (b.n < SIZE)
		pad_block(&b), buf_put(&b, (char[8]){ 0 }, b.n < SIZE ? 8 : 0);
	ck_assert_str_eq(walk(buf_span(&b), steps[_i]), "1 2 3");
	buf_clear(&b);
}
END_TEST

START_TEST(walk_damaged_parts)
{
	struct buf b;
	size_t second, third;

	begin(&b);
	put_record(&b, SALT, 1, 1, SPAN("one"));
	second = b.n;
	put_record(&b, SALT, 2, 1, SPAN("two"));
	third = b.n;
	put_record(&b, SALT, 3, 1, SPAN("three"));
	pad_block(&b);
	put_record(&b, SALT, 4, 2, SPAN("four"));
	b.p[second + RECORD_HEADER_BYTES] ^= 1;
	ck_assert_str_eq(walk(buf_span(&b), steps[_i]), "1 2! 3 4");
	/* Header gone: what follows it in the batch is found all the same. */
	b.p[second + 1] ^= 1;
	ck_assert_str_eq(walk(buf_span(&b), steps[_i]), "1 3 4");
	memset(b.p + third, 0, 64);
	ck_assert_str_eq(walk(buf_span(&b), steps[_i]), "1 4");
	buf_clear(&b);
}
END_TEST

/* Every way to lose one 512-byte sector of a batch: what is found is what was not touched. */
START_TEST(walk_torn)
{
	struct buf b;
	char want[64];
	size_t from[6], to[6];

	begin(&b);
	for (uint64_t i = 0; i < 6; i++) {
		char content[900];

		memset(content, (int)('a' + i), sizeof(content));
		from[i] = b.n;
		put_record(&b, SALT, i + 1, 1,
			   span_make(content, sizeof(content) - (size_t)i * 100));
		to[i] = b.n;
	}
	pad_block(&b);
	for (size_t sector = RECORD_BLOCK_BYTES; sector < b.n; sector += 512) {
		char saved[512];
		size_t n = 0;

		want[0] = '\0';
		for (size_t i = 0; i < 6; i++) {
			bool is_hit = from[i] < sector + 512 && to[i] > sector;
			bool is_header_whole = from[i] >= sector + 512 ||
					       from[i] + RECORD_HEADER_BYTES <= sector;

			/* A lost sector that only holds padding or zeros hurts nothing; here content is never zero. */
			if (!is_hit || to[i] - sector < 8)
				n += (size_t)snprintf(want + n, sizeof(want) - n, "%s%zu",
						      n > 0 ? " " : "", i + 1);
			else if (is_header_whole)
				n += (size_t)snprintf(want + n, sizeof(want) - n, "%s%zu!",
						      n > 0 ? " " : "", i + 1);
		}
		memcpy(saved, b.p + sector, 512);
		memset(b.p + sector, 0, 512);
		ck_assert_str_eq(walk(buf_span(&b), 4096), want);
		memcpy(b.p + sector, saved, 512);
	}
	buf_clear(&b);
}
END_TEST

/* Stale bytes and content that imitate records: only the salt counts. */
START_TEST(walk_imitation)
{
	struct buf b, fake;

	buf_init(&fake, SIZE);
	put_record(&fake, SALT + 1, 66, 9, SPAN("evil"));
	begin(&b);
	put_record(&b, SALT, 1, 1, buf_span(&fake));
	buf_put_span(&b, buf_span(&fake));
	pad_block(&b);
	buf_put_span(&b, buf_span(&fake));
	pad_block(&b);
	put_record(&b, SALT, 2, 2, SPAN("good"));
	ck_assert_str_eq(walk(buf_span(&b), steps[_i]), "1 2");
	/* A message that knew the salt would be believed only outside of another record. */
	buf_reset(&fake);
	put_record(&fake, SALT, 66, 9, SPAN("evil"));
	buf_reset(&b);
	buf_put(&b, (char[RECORD_BLOCK_BYTES]){ 1 }, RECORD_BLOCK_BYTES);
	put_record(&b, SALT, 1, 1, buf_span(&fake));
	ck_assert_str_eq(walk(buf_span(&b), steps[_i]), "1");
	buf_clear(&b);
	buf_clear(&fake);
}
END_TEST

/* A record that claims to go beyond the end of the segment is none. */
START_TEST(walk_end)
{
	struct buf b;

	begin(&b);
	put_record(&b, SALT, 1, 1, SPAN("one"));
	put_record(&b, SALT, 2, 1, SPAN("two, somewhat longer than one alignment"));
	ck_assert_str_eq(walk(buf_span(&b), 4096), "1 2");
	ck_assert_str_eq(walk(span_sub(buf_span(&b), 0, b.n - 8), 4096), "1");
	ck_assert_str_eq(walk(span_sub(buf_span(&b), 0, RECORD_BLOCK_BYTES), 4096), "");
	buf_clear(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("record");

	UNIT_TEST(s, header_round_trip);
	UNIT_TEST(s, header_bits);
	UNIT_TABLE(s, header_limits, limit_cases);
	UNIT_TEST(s, body_checked);
	UNIT_TEST(s, segment_round_trip);
	UNIT_TABLE(s, walk_plain, steps);
	UNIT_TABLE(s, walk_damaged_parts, steps);
	UNIT_TEST(s, walk_torn);
	UNIT_TABLE(s, walk_imitation, steps);
	UNIT_TEST(s, walk_end);
	return unit_run(s);
}
