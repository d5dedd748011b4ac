/* SPDX-License-Identifier: ISC */
#ifndef BASE_CUR_H
#define BASE_CUR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/span.h"

/* Reads a byte string from front to end with an explicit end. Sticky: reading past the end sets is_failed and gives
 * zeros and empty spans. Numbers are little-endian. */
struct cur {
	const unsigned char *p;
	const unsigned char *end;
	bool is_failed;
};

struct cur cur_of(struct span s);
size_t cur_left(const struct cur *c);
uint8_t cur_u8(struct cur *c);
uint16_t cur_u16(struct cur *c);
uint32_t cur_u32(struct cur *c);
uint64_t cur_u64(struct cur *c);
struct span cur_take(struct cur *c, size_t n);	  /* exactly n bytes */
struct span cur_bytes(struct cur *c, size_t max); /* u32 length <= max, then the bytes */
int cur_check(const struct cur *c) MUST_CHECK;	  /* 0, or E_CORRUPT after a failure */
int
cur_check_end(const struct cur *c) MUST_CHECK; /* as cur_check, and E_CORRUPT if bytes are left */

#endif
