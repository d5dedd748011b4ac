/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/map.c. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/map.h"
/* this program */
#include "tests/unit/unit.h"

enum { MANY = 5000 };

static char values[MANY];

static struct span
key_of(int i)
{
	static char text[32];

	return span_make(text, (size_t)snprintf(text, sizeof(text), "key%d@example.org", i));
}

START_TEST(put_get_del)
{
	struct map m;
	char a, b;

	map_init(&m);
	ck_assert_ptr_null(map_get(&m, SPAN("x")));
	ck_assert_ptr_null(map_del(&m, SPAN("x")));
	ck_assert_ptr_null(map_put(&m, SPAN("x"), &a));
	ck_assert_ptr_eq(map_get(&m, SPAN("x")), &a);
	ck_assert_ptr_eq(map_put(&m, SPAN("x"), &b), &a);
	ck_assert_uint_eq(m.count, 1);
	/* Keys are bytes: length counts, NUL too, and the empty one is one. */
	ck_assert_ptr_null(map_get(&m, span_make("x\0", 2)));
	ck_assert_ptr_null(map_get(&m, SPAN_NONE));
	map_put(&m, SPAN_NONE, &a);
	ck_assert_ptr_eq(map_get(&m, SPAN("")), &a);
	ck_assert_ptr_eq(map_del(&m, SPAN("x")), &b);
	ck_assert_ptr_null(map_get(&m, SPAN("x")));
	ck_assert_uint_eq(m.count, 1);
	map_clear(&m);
	ck_assert_uint_eq(m.count, 0);
}
END_TEST

START_TEST(many)
{
	struct map m;

	map_init(&m);
	for (int i = 0; i < MANY; i++)
		ck_assert_ptr_null(map_put(&m, key_of(i), &values[i]));
	for (int i = 0; i < MANY; i += 2)
		ck_assert_ptr_eq(map_del(&m, key_of(i)), &values[i]);
	ck_assert_uint_eq(m.count, MANY / 2);
	for (int i = 0; i < MANY; i++)
		ck_assert_ptr_eq(map_get(&m, key_of(i)), i % 2 == 0 ? NULL : &values[i]);
	map_clear(&m);
}
END_TEST

START_TEST(removed_places_are_used_again)
{
	struct map m;
	struct map64 n;

	map_init(&m);
	map64_init(&n);
	for (int i = 0; i < 100 * MANY; i++) {
		map_put(&m, key_of(i), values);
		map64_put(&n, (uint64_t)i, values);
		if (i >= 10) {
			ck_assert_ptr_eq(map_del(&m, key_of(i - 10)), values);
			ck_assert_ptr_eq(map64_del(&n, (uint64_t)i - 10), values);
		}
	}
	ck_assert_uint_eq(m.count, 10);
	ck_assert_uint_le(m.cap, 64);
	ck_assert_uint_eq(n.count, 10);
	ck_assert_uint_le(n.cap, 64);
	map_clear(&m);
	map64_clear(&n);
}
END_TEST

START_TEST(iterate_and_remove)
{
	struct map m;
	struct span key;
	void *value;
	size_t it = 0, seen = 0;

	map_init(&m);
	ck_assert(!map_next(&m, &it, &key, &value));
	for (int i = 0; i < MANY; i++)
		map_put(&m, key_of(i), &values[i]);
	memset(values, 0, sizeof(values));
	for (it = 0; map_next(&m, &it, &key, &value); seen++) {
		ck_assert_int_eq((*(char *)value)++, 0);
		if (seen % 3 == 0)
			ck_assert_ptr_eq(map_del(&m, key), value);
	}
	ck_assert_uint_eq(seen, MANY);
	ck_assert_uint_eq(m.count, MANY - (MANY + 2) / 3);
	map_clear(&m);
}
END_TEST

START_TEST(numbers)
{
	struct map64 m;
	size_t it = 0, seen = 0;
	uint64_t key;
	void *value;

	map64_init(&m);
	ck_assert_ptr_null(map64_get(&m, 0));
	ck_assert_ptr_null(map64_del(&m, 0));
	for (uint64_t i = 0; i < MANY; i++)
		ck_assert_ptr_null(map64_put(&m, i << 40, &values[i]));
	ck_assert_ptr_null(map64_put(&m, UINT64_MAX, values));
	ck_assert_ptr_eq(map64_put(&m, UINT64_MAX, &values[1]), values);
	for (uint64_t i = 0; i < MANY; i++)
		ck_assert_ptr_eq(map64_get(&m, i << 40), &values[i]);
	ck_assert_ptr_null(map64_get(&m, 1));
	while (map64_next(&m, &it, &key, &value)) {
		seen++;
		ck_assert_ptr_eq(map64_get(&m, key), value);
		ck_assert_ptr_eq(map64_del(&m, key), value);
		ck_assert_ptr_null(map64_get(&m, key));
		ck_assert_ptr_null(map64_del(&m, key));
	}
	ck_assert_uint_eq(seen, MANY + 1);
	ck_assert_uint_eq(m.count, 0);
	map64_clear(&m);
}
END_TEST

#define X8 "\xff\xff\xff\xff\xff\xff\xff\xff"
static const char all_ones[] = X8 X8 X8 X8 X8 X8 X8 X8;

/* Made with a second implementation, which gives the vector of the SipHash paper for SipHash-2-4. */
static const struct {
	uint64_t key[2];
	struct span in;
	uint64_t out;
} sip_cases[] = {
	{ { 0x0000000000000000, 0x0000000000000000 }, { "", 0 }, 0xd1fba762150c532c },
	{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 }, { "", 0 }, 0xabac0158050fc4dc },
	{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 }, { "\x00", 1 }, 0xc9f49bf37d57ca93 },
	{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 },
	  { "\x00\x01\x02\x03\x04\x05\x06", 7 },
	  0xd3927d989bb11140 },
	{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 },
	  { "\x00\x01\x02\x03\x04\x05\x06\x07", 8 },
	  0x369095118d299a8e },
	{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 }, { all_ones, 64 }, 0x53bdc5f4291bcfa8 },
	{ { 0x0706050403020100, 0x0f0e0d0c0b0a0908 },
	  { "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e", 15 },
	  0xd320d86d2a519956 },
};

START_TEST(siphash)
{
	ck_assert_uint_eq(map_siphash(sip_cases[_i].key, sip_cases[_i].in), sip_cases[_i].out);
}
END_TEST

START_TEST(hash_is_keyed)
{
	static const uint64_t zero[2];

	ck_assert_uint_eq(map_hash(SPAN("x")), map_hash(SPAN("x")));
	ck_assert_uint_ne(map_hash(SPAN("x")), map_siphash(zero, SPAN("x")));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("map");

	UNIT_TEST(s, put_get_del);
	UNIT_TEST(s, many);
	UNIT_TEST(s, removed_places_are_used_again);
	UNIT_TEST(s, iterate_and_remove);
	UNIT_TEST(s, numbers);
	UNIT_TABLE(s, siphash, sip_cases);
	UNIT_TEST(s, hash_is_keyed);
	return unit_run(s);
}
