/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/crc.c. */

/* System */
#include <string.h>
/* lib */
#include "base/crc.h"
#include "base/id.h"
/* this program */
#include "tests/unit/unit.h"

static unsigned char zeros[32], ones[32], up[32], down[32];

/* RFC 3720 B.4, and the check value of the CRC catalogues. */
static const struct {
	const void *in;
	size_t n;
	uint32_t crc;
} cases[] = {
	{ "", 0, 0 },		{ zeros, 32, 0x8a9136aa }, { ones, 32, 0x62a8ab43 },
	{ up, 32, 0x46dd794e }, { down, 32, 0x113fdb5c },  { "123456789", 9, 0xe3069283 },
};

START_TEST(vectors)
{
	memset(ones, 0xff, sizeof(ones));
	for (unsigned i = 0; i < 32; i++) {
		up[i] = (unsigned char)i;
		down[i] = (unsigned char)(31 - i);
	}
	ck_assert_uint_eq(crc32c(0, cases[_i].in, cases[_i].n), cases[_i].crc);
	ck_assert_uint_eq(crc32c_table(0, cases[_i].in, cases[_i].n), cases[_i].crc);
}
END_TEST

START_TEST(goes_on_and_agrees_at_any_place_and_length)
{
	unsigned char bytes[300];

	id_random(bytes, sizeof(bytes));
	for (size_t from = 0; from < 9; from++)
		for (size_t n = 0; n < 260; n++) {
			uint32_t whole = crc32c(0, bytes + from, n);

			ck_assert_uint_eq(crc32c_table(0, bytes + from, n), whole);
			ck_assert_uint_eq(crc32c(crc32c(0, bytes + from, n / 3),
						 bytes + from + n / 3, n - n / 3),
					  whole);
		}
}
END_TEST

START_TEST(sees_each_flipped_bit)
{
	unsigned char bytes[64] = { 1, 2, 3 };
	uint32_t whole = crc32c(0, bytes, sizeof(bytes));

	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
		ck_assert_uint_ne(crc32c(0, bytes, sizeof(bytes)), whole);
		bytes[bit / 8] ^= (unsigned char)(1U << bit % 8);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("crc");

	UNIT_TABLE(s, vectors, cases);
	UNIT_TEST(s, goes_on_and_agrees_at_any_place_and_length);
	UNIT_TEST(s, sees_each_flipped_bit);
	return unit_run(s);
}
