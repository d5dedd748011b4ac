/* SPDX-License-Identifier: ISC
 *
 * Reading a byte string with an explicit end: the only way in which bytes of a sibling, of the spool or of a table
 * file are decoded. It never reads past the end, whatever the lengths inside say. Used by every process. */

/* lib */
#include "base/cur.h"

struct cur
cur_of(struct span s)
{
	/* A null pointer is never added to. */
	const unsigned char *p = s.p != NULL ? (const unsigned char *)s.p
					     : (const unsigned char *)"";

	return (struct cur){ .p = p, .end = s.p != NULL ? p + s.n : p };
}

size_t
cur_left(const struct cur *c)
{
	return (size_t)(c->end - c->p);
}

struct span
cur_take(struct cur *c, size_t n)
{
	struct span s;

	if (c->is_failed || n > cur_left(c)) {
		c->is_failed = true;
		return SPAN_NONE;
	}
	s = span_make(c->p, n);
	c->p += n;
	return s;
}

static uint64_t
take_little_endian(struct cur *c, size_t n)
{
	struct span s = cur_take(c, n);
	uint64_t v = 0;

	for (size_t i = s.n; i-- > 0;)
		v = v << 8 | (unsigned char)s.p[i];
	return v;
}

uint8_t
cur_u8(struct cur *c)
{
	return (uint8_t)take_little_endian(c, 1);
}

uint16_t
cur_u16(struct cur *c)
{
	return (uint16_t)take_little_endian(c, 2);
}

uint32_t
cur_u32(struct cur *c)
{
	return (uint32_t)take_little_endian(c, 4);
}

uint64_t
cur_u64(struct cur *c)
{
	return take_little_endian(c, 8);
}

struct span
cur_bytes(struct cur *c, size_t max)
{
	uint32_t n = cur_u32(c);

	if (n > max)
		c->is_failed = true;
	return cur_take(c, n);
}

int
cur_check(const struct cur *c)
{
	return c->is_failed ? E_CORRUPT : 0;
}

int
cur_check_end(const struct cur *c)
{
	return c->is_failed || c->p != c->end ? E_CORRUPT : 0;
}
