/* SPDX-License-Identifier: ISC */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

/* Hash maps with open addressing; values are pointers that the map does not own. The hash of byte keys is keyed with
 * random bytes per process, so a stranger cannot make collisions. */
struct map_slot;
struct map { /* byte string -> pointer; keys are copied */
	struct map_slot *slots;
	size_t cap, count, used;
};

void map_init(struct map *m);
void map_clear(struct map *m);			     /* frees the map, not the values */
void *map_get(const struct map *m, struct span key); /* NULL: absent */
void *map_put(struct map *m, struct span key,
	      void *value); /* returns the value replaced, NULL: none; value is not NULL */
void *map_del(struct map *m, struct span key); /* returns the value, NULL: was absent */
/* Iterate: size_t it = 0; while (map_next(m, &it, &key, &value)). map_del of the current key is allowed meanwhile. */
bool map_next(const struct map *m, size_t *it, struct span *key_out, void **value_out);

struct map64_slot;
struct map64 { /* uint64_t -> pointer */
	struct map64_slot *slots;
	size_t cap, count, used;
};

void map64_init(struct map64 *m);
void map64_clear(struct map64 *m);
void *map64_get(const struct map64 *m, uint64_t key);
void *map64_put(struct map64 *m, uint64_t key, void *value);
void *map64_del(struct map64 *m, uint64_t key);
bool map64_next(const struct map64 *m, size_t *it, uint64_t *key_out, void **value_out);

/* Keyed hash of bytes (SipHash-1-3 with the process's random key). */
uint64_t map_hash(struct span key);
/* The same with a key of the caller's: a hash that two processes must agree on. */
uint64_t map_siphash(const uint64_t key[2], struct span s);

#endif
