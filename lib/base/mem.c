/* SPDX-License-Identifier: ISC
 *
 * Allocation that cannot fail: out of memory ends the process (exit 75, so that master starts it again). It knows
 * nothing of lifetimes; see arena.c for memory that is freed as a whole. Used by every process. */

/* System */
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"

static void *
mem_check(void *p, size_t size_bytes)
{
	if (p == NULL)
		die_temp("out of memory: no %zu more bytes; give the host memory or lower limits { "
			 "queue_memory connections }",
			 size_bytes);
	return p;
}

static size_t
mem_product(size_t count, size_t size_bytes)
{
	size_t total;

	if (__builtin_mul_overflow(count, size_bytes, &total))
		bug("allocation of %zu x %zu bytes overflows", count, size_bytes);
	return total > 0 ? total : 1;
}

void *
mem_alloc(size_t size_bytes)
{
	return mem_check(malloc(size_bytes > 0 ? size_bytes : 1), size_bytes);
}

void *
mem_zalloc(size_t size_bytes)
{
	return mem_check(calloc(1, size_bytes > 0 ? size_bytes : 1), size_bytes);
}

void *
mem_array(size_t count, size_t size_bytes)
{
	size_t total = mem_product(count, size_bytes);

	return mem_check(calloc(1, total), total);
}

void *
mem_grow(void *p, size_t count, size_t size_bytes)
{
	size_t total = mem_product(count, size_bytes);

	return mem_check(realloc(p, total), total);
}

char *
mem_strdup(const char *cstr)
{
	return mem_dup_span(span_of(cstr));
}

char *
mem_dup_span(struct span s)
{
	char *copy;

	if (s.n == SIZE_MAX)
		bug("mem_dup_span: length out of range");
	copy = mem_alloc(s.n + 1);
	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	copy[s.n] = '\0';
	return copy;
}

void
mem_free(void *p)
{
	free(p);
}
