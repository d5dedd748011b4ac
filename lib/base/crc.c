/* SPDX-License-Identifier: ISC
 *
 * CRC-32C (Castagnoli) for spool records and drop files: by the processor's instruction where it has one, else eight
 * bytes at a time by table. It finds damage, not malice. RFC 3720 appendix B.4. Used by qmgr, control and tools. */

/* System */
#include <pthread.h>
#include <string.h>
/* lib */
#include "base/crc.h"

#define CRC_POLY 0x82f63b78U /* 0x1edc6f41, bits reversed */

static uint32_t crc_table[8][256];
static pthread_once_t crc_table_once = PTHREAD_ONCE_INIT;

static void
crc_table_fill(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t v = i;

		for (int bit = 0; bit < 8; bit++)
			v = v & 1 ? v >> 1 ^ CRC_POLY : v >> 1;
		crc_table[0][i] = v;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (size_t k = 1; k < 8; k++)
			crc_table[k][i] = crc_table[k - 1][i] >> 8 ^
					  crc_table[0][crc_table[k - 1][i] & 0xff];
}

uint32_t
crc32c_table(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *in = p;
	uint32_t c = ~crc;

	pthread_once(&crc_table_once, crc_table_fill);
	for (; n >= 8; n -= 8, in += 8) {
		c ^= (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 |
		     (uint32_t)in[3] << 24;
		c = crc_table[7][c & 0xff] ^ crc_table[6][c >> 8 & 0xff] ^
		    crc_table[5][c >> 16 & 0xff] ^ crc_table[4][c >> 24] ^ crc_table[3][in[4]] ^
		    crc_table[2][in[5]] ^ crc_table[1][in[6]] ^ crc_table[0][in[7]];
	}
	for (; n > 0; n--, in++)
		c = c >> 8 ^ crc_table[0][(c ^ *in) & 0xff];
	return ~c;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t
crc32c_sse42(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *in = p;
	uint64_t c = ~crc, word;

	for (; n >= 8; n -= 8, in += 8) {
		memcpy(&word, in, 8);
		c = __builtin_ia32_crc32di(c, word);
	}
	for (; n > 0; n--, in++)
		c = __builtin_ia32_crc32qi((uint32_t)c, *in);
	return ~(uint32_t)c;
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, p, n);
	return crc32c_table(crc, p, n);
}

#else

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc32c_table(crc, p, n);
}

#endif
