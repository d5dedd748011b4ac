/* SPDX-License-Identifier: ISC
 *
 * The pool of recipients in memory. 64 bytes each, because there may be half a million of them in 32 MiB: linked by
 * 32-bit ids instead of pointers, and without what can be read again (address, envelope). Knows nothing of lanes or
 * sessions. Run by qmgr on its loop. */

/* System */
#include <string.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/sched/entry.h"

enum { CHUNK_BITS = 10, CHUNK_ENTRIES = 1 << CHUNK_BITS, FIRST_BUCKETS = 1024 };

void
entry_pool_init(struct entry_pool *p)
{
	*p = (struct entry_pool){ 0 };
}

void
entry_pool_clear(struct entry_pool *p)
{
	struct entry *e;
	uint32_t it = 0;

	while ((e = entry_next(p, &it)) != NULL)
		mem_free(e->extra);
	for (uint32_t i = 0; i < p->chunk_count; i++)
		mem_free(p->chunks[i]);
	mem_free(p->chunks);
	mem_free(p->buckets);
	entry_pool_init(p);
}

size_t
entry_pool_bytes(const struct entry_pool *p)
{
	return p->count * (sizeof(struct entry) + sizeof(uint32_t) * 2) + p->extra_bytes;
}

struct entry *
entry_at(const struct entry_pool *p, uint32_t id)
{
	return id != 0 ? &p->chunks[(id - 1) >> CHUNK_BITS][(id - 1) & (CHUNK_ENTRIES - 1)] : NULL;
}

static void
pool_grow(struct entry_pool *p)
{
	struct entry *chunk = mem_array(CHUNK_ENTRIES, sizeof(*chunk));

	p->chunks = mem_grow(p->chunks, p->chunk_count + 1u, sizeof(struct entry *));
	p->chunks[p->chunk_count++] = chunk;
	for (uint32_t i = CHUNK_ENTRIES; i-- > 0;) {
		chunk[i].id = (p->chunk_count - 1) * CHUNK_ENTRIES + i + 1;
		chunk[i].next = p->free_id;
		p->free_id = chunk[i].id;
	}
}

/* Numbers are given in order, not by strangers: a multiplicative hash does. */
static uint32_t
bucket_of(const struct entry_pool *p, uint64_t number, uint32_t index)
{
	uint64_t h = (number << 20 ^ index) * 0x9e3779b97f4a7c15u;

	return (uint32_t)(h >> 32) & (p->bucket_count - 1);
}

static void
buckets_grow(struct entry_pool *p)
{
	struct entry *e;
	uint32_t it = 0, b;

	mem_free(p->buckets);
	p->bucket_count = p->bucket_count > 0 ? p->bucket_count * 2 : FIRST_BUCKETS;
	p->buckets = mem_array(p->bucket_count, sizeof(uint32_t));
	while ((e = entry_next(p, &it)) != NULL) {
		b = bucket_of(p, e->number, e->index);
		e->chain = p->buckets[b];
		p->buckets[b] = e->id;
	}
}

struct entry *
entry_new(struct entry_pool *p, uint64_t number, uint32_t index)
{
	struct entry *e;
	uint32_t b, id;

	if (p->free_id == 0)
		pool_grow(p);
	if (p->count >= p->bucket_count)
		buckets_grow(p);
	e = entry_at(p, p->free_id);
	p->free_id = e->next;
	p->count++;
	id = e->id;
	*e = (struct entry){ .number = number, .id = id, .state = ENTRY_WAITING };
	e->index = index & 0xfffffu;
	b = bucket_of(p, number, index);
	e->chain = p->buckets[b];
	p->buckets[b] = id;
	return e;
}

void
entry_free(struct entry_pool *p, struct entry *e)
{
	uint32_t *at = &p->buckets[bucket_of(p, e->number, e->index)];

	if (e->state == ENTRY_FREE || e->prev != 0 || e->next != 0)
		bug("entry_free: it is free, or stands in a list");
	while (*at != e->id)
		at = &entry_at(p, *at)->chain;
	*at = e->chain;
	entry_set_extra(p, e, NULL);
	e->state = ENTRY_FREE;
	e->next = p->free_id;
	p->free_id = e->id;
	p->count--;
}

struct entry *
entry_find(const struct entry_pool *p, uint64_t number, uint32_t index)
{
	struct entry *e;

	if (p->bucket_count == 0)
		return NULL;
	e = entry_at(p, p->buckets[bucket_of(p, number, index)]);
	while (e != NULL && (e->number != number || e->index != index))
		e = entry_at(p, e->chain);
	return e;
}

struct entry *
entry_next(const struct entry_pool *p, uint32_t *it)
{
	while (*it < p->chunk_count * CHUNK_ENTRIES) {
		struct entry *e = entry_at(p, ++*it);

		if (e->state != ENTRY_FREE)
			return e;
	}
	return NULL;
}

/* --- extras ---------------------------------------------------------------------------------- */

static struct span
put_behind(char **at, struct span s)
{
	struct span copy = span_make(*at, s.n);

	if (s.n > 0)
		memcpy(*at, s.p, s.n);
	*at += s.n;
	return copy;
}

void
entry_set_extra(struct entry_pool *p, struct entry *e, const struct entry_extra *from)
{
	struct entry_extra *old = e->extra, *x = NULL;
	size_t bytes;
	char *at;

	if (from != NULL) {
		bytes = sizeof(*x) + from->final.n + from->address.n + from->orcpt.n +
			from->orig.n + from->sender.n;
		x = mem_alloc(bytes);
		*x = *from;
		x->bytes = bytes;
		at = (char *)(x + 1);
		x->final = put_behind(&at, from->final);
		x->address = put_behind(&at, from->address);
		x->orcpt = put_behind(&at, from->orcpt);
		x->orig = put_behind(&at, from->orig);
		x->sender = put_behind(&at, from->sender);
		p->extra_bytes += bytes;
	}
	if (old != NULL)
		p->extra_bytes -= old->bytes;
	mem_free(old);
	e->extra = x;
}

void
entry_set_final(struct entry_pool *p, struct entry *e, struct span final)
{
	struct entry_extra x = { 0 };

	if (e->extra != NULL)
		x = *e->extra;
	if (final.n == 0 && x.final.n == 0)
		return;
	x.final = final;
	entry_set_extra(p, e, final.n > 0 || x.is_child ? &x : NULL);
}

/* --- lists ----------------------------------------------------------------------------------- */

void
entry_push_back(struct entry_pool *p, struct entry_list *l, struct entry *e)
{
	e->prev = l->tail;
	e->next = 0;
	if (l->tail != 0)
		entry_at(p, l->tail)->next = e->id;
	else
		l->head = e->id;
	l->tail = e->id;
	l->count++;
}

void
entry_push_front(struct entry_pool *p, struct entry_list *l, struct entry *e)
{
	e->prev = 0;
	e->next = l->head;
	if (l->head != 0)
		entry_at(p, l->head)->prev = e->id;
	else
		l->tail = e->id;
	l->head = e->id;
	l->count++;
}

void
entry_remove(struct entry_pool *p, struct entry_list *l, struct entry *e)
{
	if (e->prev != 0)
		entry_at(p, e->prev)->next = e->next;
	else
		l->head = e->next;
	if (e->next != 0)
		entry_at(p, e->next)->prev = e->prev;
	else
		l->tail = e->prev;
	e->prev = e->next = 0;
	l->count--;
}

struct entry *
entry_pop(struct entry_pool *p, struct entry_list *l)
{
	struct entry *e = entry_at(p, l->head);

	if (e != NULL)
		entry_remove(p, l, e);
	return e;
}
