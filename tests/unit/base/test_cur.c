/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/cur.c. */

/* lib */
#include "base/cur.h"
/* this program */
#include "tests/unit/unit.h"

START_TEST(numbers)
{
	struct cur c = cur_of(
		SPAN("\x01\x03\x02\x07\x06\x05\x84\x0f\x0e\x0d\x0c\x0b\x0a\x09\x88rest"));

	ck_assert_uint_eq(cur_u8(&c), 1);
	ck_assert_uint_eq(cur_u16(&c), 0x0203);
	ck_assert_uint_eq(cur_u32(&c), 0x84050607);
	ck_assert_uint_eq(cur_u64(&c), 0x88090a0b0c0d0e0f);
	ck_assert_uint_eq(cur_left(&c), 4);
	ck_assert_int_eq(cur_check(&c), 0);
	ck_assert_int_eq(cur_check_end(&c), E_CORRUPT);
	UNIT_EQ(cur_take(&c, 4), "rest");
	ck_assert_int_eq(cur_check_end(&c), 0);
}
END_TEST

static const struct {
	size_t bytes, want;
} short_cases[] = { { 0, 1 }, { 1, 2 }, { 3, 4 }, { 7, 8 } };

START_TEST(too_short)
{
	struct cur c = cur_of(span_make("\xff\xff\xff\xff\xff\xff\xff\xff", short_cases[_i].bytes));
	uint64_t v = 0;

	switch (short_cases[_i].want) {
	case 1:
		v = cur_u8(&c);
		break;
	case 2:
		v = cur_u16(&c);
		break;
	case 4:
		v = cur_u32(&c);
		break;
	default:
		v = cur_u64(&c);
		break;
	}
	ck_assert_uint_eq(v, 0);
	ck_assert_int_eq(cur_check(&c), E_CORRUPT);
	/* Sticky: what is left is not read any more. */
	ck_assert_uint_eq(cur_u8(&c), 0);
	ck_assert_uint_eq(cur_take(&c, 0).n, 0);
	ck_assert_int_eq(cur_check_end(&c), E_CORRUPT);
}
END_TEST

static const struct {
	struct span in;
	size_t max;
	int r;
	const char *out;
} bytes_cases[] = {
	{ { "\0\0\0\0", 4 }, 0, 0, "" },
	{ { "\3\0\0\0abc", 7 }, 3, 0, "abc" },
	{ { "\3\0\0\0abc", 7 }, 2, E_CORRUPT, "" },
	{ { "\4\0\0\0abc", 7 }, 9, E_CORRUPT, "" },
	{ { "\xff\xff\xff\xff"
	    "abc",
	    7 },
	  SIZE_MAX,
	  E_CORRUPT,
	  "" },
	{ { "\3\0\0", 3 }, 9, E_CORRUPT, "" },
	{ { NULL, 0 }, 9, E_CORRUPT, "" },
};

START_TEST(bytes)
{
	struct cur c = cur_of(bytes_cases[_i].in);

	UNIT_EQ(cur_bytes(&c, bytes_cases[_i].max), bytes_cases[_i].out);
	ck_assert_int_eq(cur_check_end(&c), bytes_cases[_i].r);
}
END_TEST

START_TEST(empty)
{
	struct cur c = cur_of(SPAN_NONE);

	ck_assert_uint_eq(cur_left(&c), 0);
	ck_assert_int_eq(cur_check_end(&c), 0);
	ck_assert_uint_eq(cur_take(&c, 0).n, 0);
	ck_assert_int_eq(cur_check(&c), 0);
	ck_assert_uint_eq(cur_take(&c, SIZE_MAX).n, 0);
	ck_assert_int_eq(cur_check(&c), E_CORRUPT);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("cur");

	UNIT_TEST(s, numbers);
	UNIT_TABLE(s, too_short, short_cases);
	UNIT_TABLE(s, bytes, bytes_cases);
	UNIT_TEST(s, empty);
	return unit_run(s);
}
