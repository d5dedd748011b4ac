/* SPDX-License-Identifier: ISC */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>
#include "base/err.h"
#include "base/span.h"

/* Memory of one lifetime (session, transaction), freed whole. No allocation until the first arena_alloc. */
struct arena_chunk;
struct arena {
	struct arena_chunk *chunk; /* newest first */
	size_t chunk_bytes;	   /* size of the next chunk */
	size_t used_bytes;	   /* handed out in all */
};

void arena_init(struct arena *a, size_t chunk_bytes);
void *arena_alloc(struct arena *a, size_t size_bytes); /* aligned to 16, zeroed, never NULL */
struct span arena_dup(struct arena *a, struct span s); /* NUL appended, not counted */
char *arena_cstr(struct arena *a, struct span s);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
void arena_clear(struct arena *a); /* frees everything; the arena can be used again */

#endif
