/* SPDX-License-Identifier: ISC
 *
 * The messages of the log after the cursor: which there are, where they stand, and how many of their recipients are not
 * yet accounted for in queue.db. It is what says how far the cursor may move (invariant I1 of qmgr/spool/spool.c). No I/O; in
 * qmgr, on the loop. */

/* lib */
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/spool/log.h"

enum { CHUNK_SLOTS = 1024 };

struct log_chunk {
	struct log_chunk *next;
	uint32_t count; /* slots used */
	uint32_t live;	/* of them with pending > 0 */
	uint32_t from;	/* slots before this one were dropped */
	struct slot slots[CHUNK_SLOTS];
};

void
log_init_slots(struct log *l, uint64_t cursor)
{
	*l = (struct log){ .first_number = cursor };
}

static void
drop_chunk(struct log *l)
{
	struct log_chunk *c = l->first;

	l->first = c->next;
	if (l->first == NULL)
		l->last = NULL;
	l->count -= c->count - c->from;
	l->live -= c->live;
	l->bytes -= sizeof(*c);
	mem_free(c);
}

void
log_clear(struct log *l)
{
	while (l->first != NULL)
		drop_chunk(l);
}

static void
add_chunk(struct log *l)
{
	struct log_chunk *c = mem_zalloc(sizeof(*c));

	if (l->last != NULL)
		l->last->next = c;
	else
		l->first = c;
	l->last = c;
	l->bytes += sizeof(*c);
}

struct slot *
log_add(struct log *l, uint64_t number, uint64_t qid, const struct place *at, uint32_t pending,
	uint32_t flags)
{
	struct slot *s;

	if (l->last != NULL && l->last->count > 0 &&
	    l->last->slots[l->last->count - 1].number >= number)
		bug("message number %llu is not above the one before", (unsigned long long)number);
	if (l->last == NULL || l->last->count == CHUNK_SLOTS)
		add_chunk(l);
	s = &l->last->slots[l->last->count++];
	*s = (struct slot){ .number = number,
			    .qid = qid,
			    .place = *at,
			    .pending = pending & 0xffffff,
			    .flags = flags & 0xff };
	l->count++;
	if (pending > 0) {
		l->live++;
		l->last->live++;
	}
	return s;
}

/* The first slot at or above a number in a chunk, c->count: none. */
static uint32_t
lower_bound(const struct log_chunk *c, uint64_t number)
{
	uint32_t lo = c->from, hi = c->count;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (c->slots[mid].number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct log_chunk *
chunk_of(const struct log *l, uint64_t number)
{
	struct log_chunk *c = l->first;

	while (c != NULL && c->count > 0 && c->slots[c->count - 1].number < number)
		c = c->next;
	return c;
}

struct slot *
log_find(const struct log *l, uint64_t number)
{
	struct log_chunk *c = chunk_of(l, number);
	uint32_t i;

	if (c == NULL)
		return NULL;
	i = lower_bound(c, number);
	return i < c->count && c->slots[i].number == number ? &c->slots[i] : NULL;
}

bool
log_marked(struct log *l, struct slot *s, uint32_t n)
{
	struct log_chunk *c;

	if (n == 0 || s->pending == 0)
		return false;
	if (n > s->pending)
		bug("message %llu: %u marks for %u recipients", (unsigned long long)s->number, n,
		    s->pending);
	s->pending = (s->pending - n) & 0xffffff;
	if (s->pending > 0)
		return false;
	c = chunk_of(l, s->number);
	c->live--;
	l->live--;
	return true;
}

struct slot *
log_first_live(const struct log *l)
{
	for (struct log_chunk *c = l->first; c != NULL; c = c->next) {
		if (c->live == 0)
			continue;
		for (uint32_t i = c->from; i < c->count; i++)
			if (c->slots[i].pending > 0)
				return &c->slots[i];
	}
	return NULL;
}

void
log_drop_before(struct log *l, uint64_t number)
{
	struct log_chunk *c;

	l->first_number = number;
	while ((c = l->first) != NULL && c->count > 0 && c->slots[c->count - 1].number < number)
		drop_chunk(l);
	for (; c != NULL && c->from < c->count && c->slots[c->from].number < number; c->from++) {
		if (c->slots[c->from].pending > 0) {
			c->live--;
			l->live--;
		}
		l->count--;
	}
}

struct slot *
log_next(const struct log *l, struct log_iter *it)
{
	struct log_chunk *c = chunk_of(l, it->number);
	uint32_t i;

	if (c == NULL)
		return NULL;
	i = lower_bound(c, it->number);
	if (i == c->count)
		return NULL;
	it->number = c->slots[i].number + 1;
	return &c->slots[i];
}

void
log_count_rowless(const struct log *l, uint64_t *messages_out, uint64_t *bytes_out,
		  uint64_t *rcpts_out)
{
	*messages_out = *bytes_out = *rcpts_out = 0;
	for (const struct log_chunk *c = l->first; c != NULL; c = c->next) {
		for (uint32_t i = c->from; c->live > 0 && i < c->count; i++) {
			const struct slot *s = &c->slots[i];

			*rcpts_out += s->pending;
			if (s->pending == 0 || s->flags & SLOT_HAS_ROW)
				continue;
			*messages_out += 1;
			*bytes_out += s->size;
		}
	}
}
