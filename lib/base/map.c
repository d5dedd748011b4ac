/* SPDX-License-Identifier: ISC
 *
 * Hash maps from byte strings and from numbers to pointers: open addressing, linear probing, at most three quarters
 * full. They own copies of their keys and no value. Not for use by two threads at once. Used by every process. */

/* System */
#include <pthread.h>
#include <string.h>
/* lib */
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

enum { MAP_FIRST_SLOTS = 8 };

/* --- SipHash-1-3 ----------------------------------------------------------------------------- */

static uint64_t map_key[2];
static pthread_once_t map_key_once = PTHREAD_ONCE_INIT;

static void
map_key_make(void)
{
	id_random(map_key, sizeof(map_key));
}

static inline uint64_t
rotl(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

uint64_t
map_siphash(const uint64_t key[2], struct span s)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
			  key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573 };
	uint64_t word;
	size_t i = 0;

	for (; s.n - i >= 8; i += 8) {
		word = 0;
		for (size_t k = 0; k < 8; k++)
			word |= (uint64_t)(unsigned char)s.p[i + k] << (8 * k);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = (uint64_t)s.n << 56;
	for (size_t k = 0; i + k < s.n; k++)
		word |= (uint64_t)(unsigned char)s.p[i + k] << (8 * k);
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	for (int k = 0; k < 3; k++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
map_hash(struct span key)
{
	pthread_once(&map_key_once, map_key_make);
	return map_siphash(map_key, key);
}

static uint64_t
map64_hash(uint64_t key)
{
	return map_hash(span_make(&key, sizeof(key)));
}

/* The number of slots for `count` elements: at most half full after a rebuild, so that rebuilds stay rare. */
static size_t
slots_for(size_t count)
{
	size_t cap = MAP_FIRST_SLOTS;

	while (cap / 2 < count)
		cap *= 2;
	return cap;
}

/* The value of a slot whose element was removed: a probe goes on behind it. */
static char map_gone;
#define GONE ((void *)&map_gone)

/* --- byte strings ---------------------------------------------------------------------------- */

struct map_slot {
	uint64_t hash;
	char *key;
	size_t key_n;
	void *value; /* NULL: never used, GONE: removed */
};

void
map_init(struct map *m)
{
	*m = (struct map){ 0 };
}

void
map_clear(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		mem_free(m->slots[i].key);
	mem_free(m->slots);
	map_init(m);
}

/* The slot of a key; when it is absent, NULL. */
static struct map_slot *
map_find(const struct map *m, struct span key, uint64_t hash)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map_slot *s = &m->slots[i];

		if (s->value == NULL)
			return NULL;
		if (s->value != GONE && s->hash == hash &&
		    span_eq(span_make(s->key, s->key_n), key))
			return s;
	}
}

/* The first slot free for a key that is absent. */
static struct map_slot *
map_free_slot(const struct map *m, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	while (m->slots[i].value != NULL && m->slots[i].value != GONE)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void
map_rebuild(struct map *m, size_t cap)
{
	struct map old = *m;

	m->slots = mem_array(cap, sizeof(*m->slots));
	m->cap = cap;
	m->used = m->count;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value != NULL && old.slots[i].value != GONE)
			*map_free_slot(m, old.slots[i].hash) = old.slots[i];
	mem_free(old.slots);
}

void *
map_get(const struct map *m, struct span key)
{
	struct map_slot *s = m->count > 0 ? map_find(m, key, map_hash(key)) : NULL;

	return s != NULL ? s->value : NULL;
}

void *
map_put(struct map *m, struct span key, void *value)
{
	uint64_t hash = map_hash(key);
	struct map_slot *s = map_find(m, key, hash);
	void *old;

	if (value == NULL)
		bug("map_put: NULL is no value");
	if (s != NULL) {
		old = s->value;
		s->value = value;
		return old;
	}
	if (m->cap == 0 || m->used + 1 > m->cap / 4 * 3)
		map_rebuild(m, slots_for(m->count + 1));
	s = map_free_slot(m, hash);
	m->used += s->value == NULL;
	m->count++;
	*s = (struct map_slot){ hash, mem_dup_span(key), key.n, value };
	return NULL;
}

void *
map_del(struct map *m, struct span key)
{
	struct map_slot *s = m->count > 0 ? map_find(m, key, map_hash(key)) : NULL;
	void *old;

	if (s == NULL)
		return NULL;
	old = s->value;
	mem_free(s->key);
	*s = (struct map_slot){ .value = GONE };
	m->count--;
	return old;
}

bool
map_next(const struct map *m, size_t *it, struct span *key_out, void **value_out)
{
	for (; *it < m->cap; (*it)++) {
		const struct map_slot *s = &m->slots[*it];

		if (s->value == NULL || s->value == GONE)
			continue;
		*key_out = span_make(s->key, s->key_n);
		*value_out = s->value;
		(*it)++;
		return true;
	}
	return false;
}

/* --- numbers --------------------------------------------------------------------------------- */

struct map64_slot {
	uint64_t key;
	void *value; /* NULL: never used, GONE: removed */
};

void
map64_init(struct map64 *m)
{
	*m = (struct map64){ 0 };
}

void
map64_clear(struct map64 *m)
{
	mem_free(m->slots);
	map64_init(m);
}

static struct map64_slot *
map64_find(const struct map64 *m, uint64_t key)
{
	if (m->cap == 0)
		return NULL;
	for (size_t i = map64_hash(key) & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct map64_slot *s = &m->slots[i];

		if (s->value == NULL)
			return NULL;
		if (s->value != GONE && s->key == key)
			return s;
	}
}

static struct map64_slot *
map64_free_slot(const struct map64 *m, uint64_t key)
{
	size_t i = map64_hash(key) & (m->cap - 1);

	while (m->slots[i].value != NULL && m->slots[i].value != GONE)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static void
map64_rebuild(struct map64 *m, size_t cap)
{
	struct map64 old = *m;

	m->slots = mem_array(cap, sizeof(*m->slots));
	m->cap = cap;
	m->used = m->count;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i].value != NULL && old.slots[i].value != GONE)
			*map64_free_slot(m, old.slots[i].key) = old.slots[i];
	mem_free(old.slots);
}

void *
map64_get(const struct map64 *m, uint64_t key)
{
	struct map64_slot *s = m->count > 0 ? map64_find(m, key) : NULL;

	return s != NULL ? s->value : NULL;
}

void *
map64_put(struct map64 *m, uint64_t key, void *value)
{
	struct map64_slot *s = map64_find(m, key);
	void *old;

	if (value == NULL)
		bug("map64_put: NULL is no value");
	if (s != NULL) {
		old = s->value;
		s->value = value;
		return old;
	}
	if (m->cap == 0 || m->used + 1 > m->cap / 4 * 3)
		map64_rebuild(m, slots_for(m->count + 1));
	s = map64_free_slot(m, key);
	m->used += s->value == NULL;
	m->count++;
	*s = (struct map64_slot){ key, value };
	return NULL;
}

void *
map64_del(struct map64 *m, uint64_t key)
{
	struct map64_slot *s = m->count > 0 ? map64_find(m, key) : NULL;
	void *old;

	if (s == NULL)
		return NULL;
	old = s->value;
	s->value = GONE;
	m->count--;
	return old;
}

bool
map64_next(const struct map64 *m, size_t *it, uint64_t *key_out, void **value_out)
{
	for (; *it < m->cap; (*it)++) {
		const struct map64_slot *s = &m->slots[*it];

		if (s->value == NULL || s->value == GONE)
			continue;
		*key_out = s->key;
		*value_out = s->value;
		(*it)++;
		return true;
	}
	return false;
}
