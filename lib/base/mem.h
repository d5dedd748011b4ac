/* SPDX-License-Identifier: ISC */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include "base/span.h"

/* Memory of process lifetime or of one owner. None of these returns NULL: out of memory ends the process (bug-free
 * callers compare a size from outside with its limit first). */
void *mem_alloc(size_t size_bytes);
void *mem_zalloc(size_t size_bytes);
void *mem_array(size_t count, size_t size_bytes);	  /* zeroed, overflow checked */
void *mem_grow(void *p, size_t count, size_t size_bytes); /* realloc, overflow checked */
char *mem_strdup(const char *cstr);
char *mem_dup_span(struct span s); /* NUL appended */
void mem_free(void *p);

#endif
