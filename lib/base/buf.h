/* SPDX-License-Identifier: ISC */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/span.h"

/* A growing byte string with a hard limit. Encoders are sticky: what does not fit sets is_failed, puts nothing, and
 * all later puts do nothing; buf_check() is asked once at the end. Numbers are little-endian. */
struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max;
	bool is_failed;
};

void buf_init(struct buf *b, size_t max_bytes); /* allocates nothing */
void buf_clear(struct buf *b);			/* frees; may be used again with the same max */
void buf_reset(struct buf *b);			/* n = 0, failure forgotten, memory kept */
void buf_drop(struct buf *b, size_t n);		/* remove the first n bytes */
void buf_truncate(struct buf *b, size_t n);	/* keep the first n bytes */
char *buf_room(struct buf *b,
	       size_t n); /* at least n writable bytes at the end, NULL: would exceed max */
void buf_added(struct buf *b, size_t n); /* n bytes were written into that room */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_span(struct buf *b, struct span s);
void buf_puts(struct buf *b, const char *cstr);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v);
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_bytes(struct buf *b,
		   struct span s); /* u32 length, then the bytes: cur_bytes() reads it */
int buf_check(const struct buf *b) MUST_CHECK; /* 0 or E_TOOBIG */
struct span buf_span(const struct buf *b);
const char *
buf_cstr(struct buf *b); /* NUL-terminated in place, NUL not counted; "" after failure */

#endif
