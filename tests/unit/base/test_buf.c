/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/buf.c. */

/* System */
#include <string.h>
/* lib */
#include "base/buf.h"
#include "base/cur.h"
/* this program */
#include "tests/unit/unit.h"

static struct buf b;

START_TEST(puts_and_prints)
{
	buf_init(&b, 1000);
	ck_assert_str_eq(buf_cstr(&b), "");
	buf_puts(&b, "250");
	buf_putc(&b, '-');
	buf_put_span(&b, SPAN("SIZE"));
	buf_put_span(&b, SPAN_NONE);
	buf_printf(&b, " %d%s", 42, "\r\n");
	ck_assert_int_eq(buf_check(&b), 0);
	UNIT_EQ(buf_span(&b), "250-SIZE 42\r\n");
	ck_assert_str_eq(buf_cstr(&b), "250-SIZE 42\r\n");
	ck_assert_uint_eq(b.n, 13);
	buf_clear(&b);
	ck_assert_ptr_null(b.p);
	ck_assert_uint_eq(b.max, 1000);
}
END_TEST

/* Each row fills a buffer of 8 bytes with `fill` bytes and then puts `more`. */
static const struct {
	size_t fill, more;
	bool is_failed;
} limit_cases[] = {
	{ 0, 8, false }, { 0, 9, true },	{ 8, 0, false },	   { 8, 1, true },
	{ 7, 1, false }, { 1, SIZE_MAX, true }, { 8, SIZE_MAX - 4, true },
};

START_TEST(limit)
{
	static const char bytes[16] = "0123456789abcdef";
	size_t fill = limit_cases[_i].fill, more = limit_cases[_i].more;

	buf_init(&b, 8);
	buf_put(&b, bytes, fill);
	ck_assert_int_eq(buf_check(&b), 0);
	buf_put(&b, bytes, more);
	ck_assert_int_eq(buf_check(&b), limit_cases[_i].is_failed ? E_TOOBIG : 0);
	ck_assert_uint_eq(b.n, limit_cases[_i].is_failed ? fill : fill + more);
	if (limit_cases[_i].is_failed) {
		/* Sticky: what would fit is not taken any more. */
		buf_drop(&b, b.n);
		buf_putc(&b, 'x');
		buf_printf(&b, "%d", 1);
		buf_put_bytes(&b, SPAN("y"));
		ck_assert_uint_eq(b.n, 0);
		ck_assert_ptr_null(buf_room(&b, 1));
		ck_assert_str_eq(buf_cstr(&b), "");
		buf_reset(&b);
		buf_putc(&b, 'x');
		ck_assert_int_eq(buf_check(&b), 0);
		UNIT_EQ(buf_span(&b), "x");
	}
	buf_clear(&b);
}
END_TEST

START_TEST(printf_fills_to_the_last_byte)
{
	buf_init(&b, 4);
	buf_printf(&b, "%s", "1234");
	ck_assert_int_eq(buf_check(&b), 0);
	ck_assert_str_eq(buf_cstr(&b), "1234");
	buf_reset(&b);
	buf_printf(&b, "%s", "12345");
	ck_assert_int_eq(buf_check(&b), E_TOOBIG);
	ck_assert_uint_eq(b.n, 0);
	buf_clear(&b);
}
END_TEST

START_TEST(bytes_go_whole_or_not)
{
	buf_init(&b, 10);
	buf_put_bytes(&b, SPAN("123456"));
	ck_assert_int_eq(buf_check(&b), 0);
	buf_reset(&b);
	buf_put_bytes(&b, SPAN("1234567"));
	ck_assert_int_eq(buf_check(&b), E_TOOBIG);
	ck_assert_uint_eq(b.n, 0);
	buf_clear(&b);
}
END_TEST

START_TEST(room)
{
	char *p;

	buf_init(&b, 100);
	ck_assert_ptr_nonnull(p = buf_room(&b, 100));
	memset(p, 'a', 100);
	buf_added(&b, 99);
	ck_assert_ptr_null(buf_room(&b, 2));
	/* Asking in vain is no failure: a reader asks how much it may take. */
	ck_assert_int_eq(buf_check(&b), 0);
	ck_assert_ptr_nonnull(buf_room(&b, 1));
	buf_added(&b, 1);
	ck_assert_uint_eq(b.n, 100);
	buf_clear(&b);
}
END_TEST

START_TEST(more_than_the_room)
{
	buf_init(&b, 100);
	buf_room(&b, 10);
	buf_added(&b, 101);
}
END_TEST

START_TEST(drop_and_truncate)
{
	buf_init(&b, 100);
	buf_puts(&b, "hello world");
	buf_drop(&b, 6);
	UNIT_EQ(buf_span(&b), "world");
	buf_drop(&b, 0);
	buf_truncate(&b, 10);
	UNIT_EQ(buf_span(&b), "world");
	buf_truncate(&b, 2);
	UNIT_EQ(buf_span(&b), "wo");
	buf_drop(&b, 2);
	ck_assert_uint_eq(b.n, 0);
	buf_clear(&b);
}
END_TEST

START_TEST(grows_to_any_size)
{
	buf_init(&b, 1 << 20);
	for (uint32_t i = 0; i < 1 << 18; i++)
		buf_put_u32(&b, i);
	ck_assert_int_eq(buf_check(&b), 0);
	ck_assert_uint_eq(b.n, 1 << 20);
	ck_assert_uint_le(b.cap, b.max + 1);
	for (uint32_t i = 0; i < 1 << 18; i++) {
		struct cur c = cur_of(span_sub(buf_span(&b), i * 4, 4));

		ck_assert_uint_eq(cur_u32(&c), i);
	}
	buf_putc(&b, 'x');
	ck_assert_int_eq(buf_check(&b), E_TOOBIG);
	buf_clear(&b);
}
END_TEST

START_TEST(numbers_are_little_endian)
{
	buf_init(&b, 100);
	buf_put_u8(&b, 0x01);
	buf_put_u16(&b, 0x0203);
	buf_put_u32(&b, 0x04050607);
	buf_put_u64(&b, 0x08090a0b0c0d0e0f);
	buf_put_bytes(&b, SPAN("x"));
	unit_eq(buf_span(&b),
		SPAN("\x01\x03\x02\x07\x06\x05\x04\x0f\x0e\x0d\x0c\x0b\x0a\x09\x08\x01\0\0\0x"));
	buf_clear(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("buf");
	TCase *aborts = tcase_create("aborts");

	UNIT_TEST(s, puts_and_prints);
	UNIT_TABLE(s, limit, limit_cases);
	UNIT_TEST(s, printf_fills_to_the_last_byte);
	UNIT_TEST(s, bytes_go_whole_or_not);
	UNIT_TEST(s, room);
	UNIT_TEST(s, drop_and_truncate);
	UNIT_TEST(s, grows_to_any_size);
	UNIT_TEST(s, numbers_are_little_endian);
	tcase_add_test_raise_signal(aborts, more_than_the_room, 6);
	suite_add_tcase(s, aborts);
	return unit_run(s);
}
