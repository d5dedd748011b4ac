/* SPDX-License-Identifier: ISC
 *
 * Memory of one lifetime, handed out piece by piece and freed as a whole: a session, a transaction. There is no way to
 * give back a single piece. Used by every process. */

/* System */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/arena.h"
#include "base/log.h"
#include "base/mem.h"

enum { ARENA_ALIGN = 16 };

struct arena_chunk {
	_Alignas(16) struct arena_chunk *next;
	size_t cap; /* bytes behind this header */
	size_t n;   /* of which handed out */
};

void
arena_init(struct arena *a, size_t chunk_bytes)
{
	a->chunk = NULL;
	a->chunk_bytes = chunk_bytes;
	a->used_bytes = 0;
}

static struct arena_chunk *
arena_new_chunk(struct arena *a, size_t size_bytes)
{
	struct arena_chunk *c, *newest = a->chunk;
	size_t cap = size_bytes > a->chunk_bytes ? size_bytes : a->chunk_bytes;

	c = mem_zalloc(sizeof(*c) + cap);
	c->cap = cap;
	/* A piece larger than a chunk goes behind the newest one, whose room stays in use. */
	if (newest != NULL && size_bytes > a->chunk_bytes) {
		c->next = newest->next;
		newest->next = c;
	} else {
		c->next = newest;
		a->chunk = c;
	}
	return c;
}

void *
arena_alloc(struct arena *a, size_t size_bytes)
{
	struct arena_chunk *c = a->chunk;
	void *piece;

	if (size_bytes > SIZE_MAX / 2)
		bug("arena_alloc: %zu bytes", size_bytes);
	size_bytes = (size_bytes + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (size_bytes == 0)
		size_bytes = ARENA_ALIGN;
	if (c == NULL || c->cap - c->n < size_bytes)
		c = arena_new_chunk(a, size_bytes);
	piece = (char *)(c + 1) + c->n;
	c->n += size_bytes;
	a->used_bytes += size_bytes;
	return piece;
}

struct span
arena_dup(struct arena *a, struct span s)
{
	char *copy = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	return span_make(copy, s.n);
}

char *
arena_cstr(struct arena *a, struct span s)
{
	char *copy = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	return copy;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		bug("arena_printf: format \"%s\" fails", fmt);
	text = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return text;
}

void
arena_clear(struct arena *a)
{
	struct arena_chunk *c, *next;

	for (c = a->chunk; c != NULL; c = next) {
		next = c->next;
		mem_free(c);
	}
	a->chunk = NULL;
	a->used_bytes = 0;
}
