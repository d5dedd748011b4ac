/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/id.c and clock.c. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/err.h"
#include "base/id.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	uint64_t id;
	const char *text;
} text_cases[] = {
	{ 0, "0000000000000" },
	{ 1, "0000000000001" },
	{ 31, "000000000000Z" },
	{ 32, "0000000000010" },
	{ UINT64_MAX, "FZZZZZZZZZZZZ" },
	{ 0x8000000000000000, "8000000000000" },
	{ 0x0123456789abcdef, "028T5CY4TQKFF" },
};

START_TEST(text)
{
	char out[ID_TEXT_LEN + 1];
	uint64_t back = 77;

	id_format(text_cases[_i].id, out);
	ck_assert_str_eq(out, text_cases[_i].text);
	ck_assert_int_eq(id_parse(span_of(out), &back), 0);
	ck_assert_uint_eq(back, text_cases[_i].id);
}
END_TEST

static const struct {
	struct span in;
	int r;
	uint64_t id;
} parse_cases[] = {
	{ { "028t5cy4tqkff", 13 }, 0, 0x0123456789abcdef },
	{ { "oOoOoOoOoOo1l", 13 }, 0, 33 },
	{ { "00000000000iI", 13 }, 0, 33 },
	{ { "", 0 }, E_SYNTAX, 0 },
	{ { "000000000000", 12 }, E_SYNTAX, 0 },
	{ { "00000000000000", 14 }, E_SYNTAX, 0 },
	{ { "G000000000000", 13 }, E_SYNTAX, 0 },
	{ { "ZZZZZZZZZZZZZ", 13 }, E_SYNTAX, 0 },
	{ { "000000000000U", 13 }, E_SYNTAX, 0 },
	{ { "000000 000000", 13 }, E_SYNTAX, 0 },
	{ { "00000000000\0000", 13 }, E_SYNTAX, 0 },
	{ { "-000000000000", 13 }, E_SYNTAX, 0 },
	{ { "00000000000\xc3\xa9", 13 }, E_SYNTAX, 0 },
};

START_TEST(parse)
{
	uint64_t id = 77;

	ck_assert_int_eq(id_parse(parse_cases[_i].in, &id), parse_cases[_i].r);
	ck_assert_uint_eq(id, parse_cases[_i].r == 0 ? parse_cases[_i].id : 77);
}
END_TEST

START_TEST(ascend_whatever_the_clock_does)
{
	struct id_gen g = { .slot = 5, .floor_us = 0 };
	char before[ID_TEXT_LEN + 1], after[ID_TEXT_LEN + 1];
	uint64_t first, next;

	clock_fake_set(ID_EPOCH_US + 1000, 1);
	first = id_next(&g);
	ck_assert_uint_eq(id_us(first), 1000);
	ck_assert_uint_eq(id_slot(first), 5);
	/* The same microsecond; set back by a year; before 2020. */
	ck_assert_uint_eq(id_us(id_next(&g)), 1001);
	clock_fake_set(ID_EPOCH_US + 7, 1);
	ck_assert_uint_eq(id_us(id_next(&g)), 1002);
	clock_fake_set(1, 1);
	ck_assert_uint_eq(id_us(next = id_next(&g)), 1003);
	id_format(first, before);
	id_format(next, after);
	ck_assert_int_lt(strcmp(before, after), 0);
	/* A floor from elsewhere wins over the clock; the clock wins over an old floor. */
	g.floor_us = 5000000;
	ck_assert_uint_eq(id_us(id_next(&g)), 5000001);
	clock_fake_set(ID_EPOCH_US + 9000000, 1);
	ck_assert_uint_eq(id_us(id_next(&g)), 9000000);
	clock_fake_set(0, 0);
}
END_TEST

START_TEST(slot_has_12_bits)
{
	struct id_gen g = { .slot = 4095, .floor_us = 0 };

	ck_assert_uint_eq(id_slot(id_next(&g)), 4095);
	ck_assert_uint_gt(id_us(id_next(&g)), 0);
}
END_TEST

START_TEST(random_bytes)
{
	unsigned char a[1000], b[1000];
	unsigned seen[256] = { 0 }, kinds = 0;

	id_random(a, sizeof(a));
	id_random(b, sizeof(b));
	ck_assert_mem_ne(a, b, sizeof(a));
	for (size_t i = 0; i < sizeof(a); i++)
		kinds += seen[a[i]]++ == 0;
	ck_assert_uint_gt(kinds, 200);
	id_random(a, 0);
}
END_TEST

START_TEST(clocks)
{
	uint64_t mono = clock_mono_us();

	/* They show parts of a second: the next microsecond comes soon. */
	while (clock_mono_us() == mono)
		;
	ck_assert_uint_lt(clock_mono_us() - mono, 500000);

	ck_assert_uint_gt(clock_wall_us(), ID_EPOCH_US);
	ck_assert_uint_ge(clock_mono_us(), mono);
	ck_assert_uint_ge(clock_mono_ms(), mono / 1000);
	clock_fake_set(1234567, 7654321);
	ck_assert_uint_eq(clock_wall_us(), 1234567);
	ck_assert_uint_eq(clock_wall_ms(), 1234);
	ck_assert_uint_eq(clock_mono_us(), 7654321);
	ck_assert_uint_eq(clock_mono_ms(), 7654);
	clock_fake_set(0, 0);
	ck_assert_uint_gt(clock_wall_ms(), ID_EPOCH_US / 1000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("id");

	UNIT_TABLE(s, text, text_cases);
	UNIT_TABLE(s, parse, parse_cases);
	UNIT_TEST(s, ascend_whatever_the_clock_does);
	UNIT_TEST(s, slot_has_12_bits);
	UNIT_TEST(s, random_bytes);
	UNIT_TEST(s, clocks);
	return unit_run(s);
}
