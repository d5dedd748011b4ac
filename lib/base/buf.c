/* SPDX-License-Identifier: ISC
 *
 * A growing byte string with a hard limit, for encoders and texts. What does not fit is refused whole, never cut; the
 * caller asks once, at the end. It does no I/O. Used by every process. */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

enum { BUF_FIRST_BYTES = 64 };

void
buf_init(struct buf *b, size_t max_bytes)
{
	/* One byte above max is kept for the NUL of buf_cstr. */
	*b = (struct buf){ .max = max_bytes < SIZE_MAX ? max_bytes : SIZE_MAX - 1 };
}

void
buf_clear(struct buf *b)
{
	size_t max = b->max;

	mem_free(b->p);
	*b = (struct buf){ .max = max };
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->is_failed = false;
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n > b->n)
		bug("buf_drop: %zu of %zu bytes", n, b->n);
	b->n -= n;
	if (b->n > 0 && n > 0)
		memmove(b->p, b->p + n, b->n);
}

void
buf_truncate(struct buf *b, size_t n)
{
	if (n < b->n)
		b->n = n;
}

char *
buf_room(struct buf *b, size_t n)
{
	size_t cap = b->cap, need;

	if (b->is_failed || n > b->max - b->n)
		return NULL;
	need = b->n + n + 1;
	if (need > cap) {
		cap = cap > 0 ? cap : BUF_FIRST_BYTES;
		while (cap < need)
			cap = cap > SIZE_MAX / 2 ? need : cap * 2;
		if (cap > b->max + 1)
			cap = b->max + 1;
		b->p = mem_grow(b->p, cap, 1);
		b->cap = cap;
	}
	return b->p + b->n;
}

void
buf_added(struct buf *b, size_t n)
{
	if (n > 0 && (b->cap == 0 || n > b->cap - 1 - b->n))
		bug("buf_added: %zu bytes in a room of %zu", n, b->cap - b->n);
	b->n += n;
}

void
buf_put(struct buf *b, const void *p, size_t n)
{
	char *room;

	if (n == 0)
		return;
	if ((room = buf_room(b, n)) == NULL) {
		b->is_failed = true;
		return;
	}
	memcpy(room, p, n);
	b->n += n;
}

void
buf_put_span(struct buf *b, struct span s)
{
	buf_put(b, s.p, s.n);
}

void
buf_puts(struct buf *b, const char *cstr)
{
	buf_put(b, cstr, strlen(cstr));
}

void
buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	char *room;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || (room = buf_room(b, (size_t)n)) == NULL) {
		b->is_failed = true;
		return;
	}
	/* buf_room keeps one more byte for the NUL that vsnprintf writes. */
	vsnprintf(room, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
}

static void
put_little_endian(struct buf *b, uint64_t v, size_t n)
{
	unsigned char bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(v >> (8 * i));
	buf_put(b, bytes, n);
}

void
buf_put_u8(struct buf *b, uint8_t v)
{
	put_little_endian(b, v, 1);
}

void
buf_put_u16(struct buf *b, uint16_t v)
{
	put_little_endian(b, v, 2);
}

void
buf_put_u32(struct buf *b, uint32_t v)
{
	put_little_endian(b, v, 4);
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
	put_little_endian(b, v, 8);
}

void
buf_put_bytes(struct buf *b, struct span s)
{
	/* Both parts or nothing, so that what was put before stays readable. */
	if (s.n > UINT32_MAX || buf_room(b, 4 + s.n) == NULL) {
		b->is_failed = true;
		return;
	}
	buf_put_u32(b, (uint32_t)s.n);
	buf_put_span(b, s);
}

int
buf_check(const struct buf *b)
{
	return b->is_failed ? E_TOOBIG : 0;
}

struct span
buf_span(const struct buf *b)
{
	return span_make(b->p, b->n);
}

const char *
buf_cstr(struct buf *b)
{
	if (b->is_failed || b->n == 0)
		return "";
	b->p[b->n] = '\0';
	return b->p;
}
