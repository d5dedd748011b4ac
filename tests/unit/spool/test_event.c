/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/spool/event.c: what is put comes back, what is torn, damaged or of another version is told apart. */

/* System */
#include <fcntl.h>
#include <string.h>
/* lib */
#include "base/crc.h"
#include "base/fd.h"
#include "spool/event.h"
/* this program */
#include "tests/unit/unit.h"

static const struct event sample = {
	.kind = EVENT_DEFERRED,
	.at_ms = 1700000000123,
	.number = 77,
	.attempt = 3,
	.qid = 0x123456789abcdef,
	.index_plus_1 = 5,
	.reply = 450,
	.delay_ms = 9,
	.from = { "a@b.example", 11 },
	.to = { "c@d.example", 11 },
	.esc = { "4.2.1", 5 },
	.text = { "later\r\n\0x", 9 },
};

static struct buf
sealed(const struct event *ev, uint64_t serial)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	ck_assert(event_put(&b, ev));
	ck_assert_uint_eq(event_seal(b.p, serial), b.n);
	return b;
}

START_TEST(what_is_put_comes_back)
{
	struct buf b = sealed(&sample, 42);
	uint64_t serial = 0;
	struct event e;
	size_t need;

	ck_assert_int_eq(event_get(buf_span(&b), &serial, &e, &need), (int)b.n);
	ck_assert_uint_eq(serial, 42);
	ck_assert_int_eq(e.kind, sample.kind);
#define NUMBER(name, type) ck_assert_uint_eq(e.name, sample.name);
#define TEXT(name, type) ck_assert(span_eq(e.name, sample.name));
	EVENT_FIELDS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
	buf_clear(&b);
}
END_TEST

START_TEST(a_torn_record_wants_more_and_a_changed_one_is_none)
{
	struct buf b = sealed(&sample, 42);
	uint64_t serial;
	struct event e;
	size_t need;

	for (size_t n = 0; n < b.n; n++) {
		ck_assert_int_eq(event_get(span_make(b.p, n), &serial, &e, &need), 0);
		ck_assert_uint_eq(need, n < EVENT_RECORD_HEAD ? EVENT_RECORD_HEAD : b.n);
	}
	for (size_t i = 4; i < b.n; i++) {
		b.p[i] ^= 0x40;
		ck_assert_int_eq(event_get(buf_span(&b), &serial, &e, &need), E_CORRUPT);
		b.p[i] ^= 0x40;
	}
	memset(b.p, 0, b.n);
	ck_assert_int_eq(event_get(buf_span(&b), &serial, &e, &need), E_CORRUPT);
	buf_clear(&b);
}
END_TEST

START_TEST(long_texts_are_cut_and_the_record_stays_readable)
{
	char text[5000];
	struct span s = { text, sizeof(text) };
	struct event e, ev = { .kind = EVENT_BOUNCED,
			       .at_ms = 1,
			       .number = 2,
			       .from = s,
			       .to = s,
			       .orig = s,
			       .relay = s,
			       .transport = s,
			       .esc = s,
			       .text = s,
			       .tls = s,
			       .sid = s,
			       .client = s };
	struct buf b;
	uint64_t serial;
	size_t need;

	memset(text, 'x', sizeof(text));
	b = sealed(&ev, 1);
	ck_assert_uint_le(b.n, EVENT_RECORD_HEAD + EVENT_BODY_MAX);
	ck_assert_int_eq(event_get(buf_span(&b), &serial, &e, &need), (int)b.n);
	ck_assert_uint_eq(e.to.n, 1024);
	ck_assert_uint_eq(e.number, 2);
	buf_clear(&b);
}
END_TEST

START_TEST(a_full_buffer_keeps_what_it_has)
{
	struct buf b;

	buf_init(&b, 200);
	ck_assert(event_put(&b, &(struct event){ .kind = EVENT_HELD, .number = 1 }));
	size_t n = b.n;
	while (event_put(&b, &sample))
		n = b.n;
	ck_assert_uint_eq(b.n, n);
	ck_assert_int_eq(buf_check(&b), 0);
	buf_clear(&b);
}
END_TEST

START_TEST(fields_of_a_later_time_are_skipped)
{
	struct buf b;
	uint64_t serial;
	struct event e;
	size_t need;

	buf_init(&b, 1000);
	ck_assert(event_put(&b, &(struct event){ .kind = EVENT_HELD, .number = 9 }));
	buf_put_u16(&b, 999);
	buf_put_bytes(&b, SPAN("of a later time"));
	b.p[0] = (char)(b.n - EVENT_RECORD_HEAD);
	ck_assert_uint_eq(event_seal(b.p, 3), b.n);
	ck_assert_int_eq(event_get(buf_span(&b), &serial, &e, &need), (int)b.n);
	ck_assert_uint_eq(e.number, 9);
	buf_clear(&b);
}
END_TEST

static void
put_crc(char block[EVENT_HEADER_BYTES])
{
	uint32_t crc = crc32c(0, block, EVENT_HEADER_BYTES - 4);

	for (unsigned i = 0; i < 4; i++)
		block[EVENT_HEADER_BYTES - 4 + i] = (char)(crc >> (8 * i));
}

START_TEST(headers)
{
	struct event_header h = { 12, 3456, 789 }, got;
	struct event_cursor c = { 99, (uint64_t)12 << 32 | 64 }, c2;
	char bytes[EVENT_HEADER_BYTES];

	event_put_header(bytes, &h);
	ck_assert_int_eq(event_get_header(bytes, &got), 0);
	ck_assert_mem_eq(&h, &got, sizeof(h));
	ck_assert_int_eq(event_get_cursor(bytes, &c2), E_CORRUPT);
	bytes[8] = EVENT_VERSION + 1;
	ck_assert_int_eq(event_get_header(bytes, &got), E_CORRUPT);
	put_crc(bytes);
	ck_assert_int_eq(event_get_header(bytes, &got), E_CONFIG);
	event_put_cursor(bytes, &c);
	ck_assert_int_eq(event_get_cursor(bytes, &c2), 0);
	ck_assert_mem_eq(&c, &c2, sizeof(c));
	bytes[17] ^= 1;
	ck_assert_int_eq(event_get_cursor(bytes, &c2), E_CORRUPT);
}
END_TEST

/* A file that this version wrote: every later one must read it. */
START_TEST(version_1_stays_readable)
{
	static const enum event_kind kinds[] = { EVENT_RECEIVED, EVENT_DEFERRED, EVENT_DELIVERED,
						 EVENT_BOUNCED, EVENT_RECEIVED };
	int fd = open("tests/golden/events-v1", O_RDONLY | O_CLOEXEC), r;
	struct event_header h;
	uint64_t serial = 0;
	struct event e;
	struct span in;
	struct buf b;
	size_t need;
	unsigned n = 0;

	buf_init(&b, 65536);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_read_file(fd, 65536, &b), 0);
	fd_close(&fd);
	ck_assert_int_eq(event_get_header(b.p, &h), 0);
	ck_assert(h.number == 1 && h.first == 1);
	in = span_sub(buf_span(&b), EVENT_HEADER_BYTES, SIZE_MAX);
	for (; in.n > 0; in = span_sub(in, (size_t)r, SIZE_MAX), n++) {
		ck_assert_int_gt(r = event_get(in, &serial, &e, &need), 0);
		ck_assert_uint_eq(serial, n + 1);
		if (n < UNIT_COUNT(kinds))
			ck_assert_int_eq(e.kind, kinds[n]);
		if (n == 0)
			UNIT_EQ(e.from, "a@client.example");
		if (e.kind == EVENT_BOUNCED) {
			UNIT_EQ(e.to, "x@far.example");
			UNIT_EQ(e.esc, "5.1.1");
			ck_assert(e.reply == 550 && e.attempt == 2 && e.index_plus_1 == 1);
		}
	}
	ck_assert_uint_ge(n, UNIT_COUNT(kinds));
	buf_clear(&b);
}
END_TEST

START_TEST(names)
{
	ck_assert_str_eq(event_kind_name(EVENT_RECEIVED), "received");
	ck_assert_str_eq(event_kind_name(EVENT_LOST), "lost");
	ck_assert_ptr_null(event_kind_name((enum event_kind)0));
	ck_assert_ptr_null(event_kind_name(EVENT_KIND_COUNT));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("event");

	UNIT_TEST(s, what_is_put_comes_back);
	UNIT_TEST(s, a_torn_record_wants_more_and_a_changed_one_is_none);
	UNIT_TEST(s, long_texts_are_cut_and_the_record_stays_readable);
	UNIT_TEST(s, a_full_buffer_keeps_what_it_has);
	UNIT_TEST(s, fields_of_a_later_time_are_skipped);
	UNIT_TEST(s, headers);
	UNIT_TEST(s, version_1_stays_readable);
	UNIT_TEST(s, names);
	return unit_run(s);
}
