/* SPDX-License-Identifier: ISC
 *
 * The table that all workers share: connections and rates per client. Every number in it may be wrong at any time: a
 * worker that was broken into can write what it likes, one that crashed leaves its counts. So nothing here is an index or
 * a length that is trusted, every loop is bounded by a constant, and a wrong number costs at most a refused or an
 * allowed connection. Runs in smtpd.
 *
 *	header   key of the hash, lanes (one per worker: who, last sign of life, its connections), counters
 *	entries  sets of 8; a client's key chooses the set. An entry has a count per lane and a time per rate
 *
 * A rate is kept as the time at which the client's account is empty again (generic cell rate algorithm): one number,
 * changed by compare-and-swap, no history.
 */

/* System */
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "smtpd/clients.h"

enum {
	TABLE_BYTES = 1 << 20,
	LANES = 14, /* more workers than that share lanes */
	WAYS = 8,
	SETS = TABLE_BYTES / 64 / WAYS - 1
};

struct lane {
	_Atomic uint32_t id; /* slot of the worker + 1, 0: free */
	_Atomic uint32_t connections;
	_Atomic uint64_t beat_ms;
};

struct header {
	_Atomic uint64_t hash_key[2]; /* 0: not yet made */
	struct lane lanes[LANES];
	_Atomic uint64_t counters[CLIENTS_COUNTERS];
};

struct entry {
	_Atomic uint64_t key; /* 0: free */
	_Atomic uint64_t empty_us[CLIENT_RATE_COUNT];
	_Atomic uint32_t used_s; /* last use, for eviction */
	_Atomic uint16_t counts[LANES];
};

struct table {
	_Alignas(64) struct header header;
	_Alignas(512) struct entry sets[SETS][WAYS];
};

_Static_assert(sizeof(struct entry) == 64, "an entry is one cache line");
_Static_assert(sizeof(struct header) <= 512, "the header takes the place of one set");
_Static_assert(sizeof(struct table) <= TABLE_BYTES, "the table fits what master made");

struct clients {
	struct table *t;
	unsigned lane;
	uint64_t hash_key[2];
};

static bool
is_alive(const struct lane *l, uint64_t now_ms)
{
	uint64_t beat = atomic_load_explicit(&l->beat_ms, memory_order_relaxed);

	return atomic_load_explicit(&l->id, memory_order_relaxed) != 0 &&
	       beat + CLIENTS_SILENT_MS > now_ms && beat <= now_ms + CLIENTS_SILENT_MS;
}

/* The counts of a worker that is no more are void. */
static void
clean_lane(struct clients *c)
{
	atomic_store(&c->t->header.lanes[c->lane].connections, 0);
	for (unsigned s = 0; s < SETS; s++)
		for (unsigned w = 0; w < WAYS; w++)
			atomic_store_explicit(&c->t->sets[s][w].counts[c->lane], 0,
					      memory_order_relaxed);
}

/* Our own lane of before, else a dead one. */
static void
take_lane(struct clients *c, uint32_t id, uint64_t now_ms)
{
	struct lane *lanes = c->t->header.lanes;
	uint32_t was;

	for (c->lane = 0; c->lane < LANES; c->lane++) {
		was = atomic_load(&lanes[c->lane].id);
		if (was == id)
			break;
	}
	for (unsigned i = 0; i < LANES && c->lane == LANES; i++) {
		was = atomic_load(&lanes[i].id);
		if (!is_alive(&lanes[i], now_ms) &&
		    atomic_compare_exchange_strong(&lanes[i].id, &was, id))
			c->lane = i;
	}
	if (c->lane == LANES) {
		/* Shared with another: its counts stay. */
		c->lane = id % LANES;
		return;
	}
	clean_lane(c);
	atomic_store(&lanes[c->lane].beat_ms, now_ms);
}

/* All workers must hash alike; the first one makes the key. */
static void
agree_on_key(struct clients *c)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t fresh, none = 0;

		id_random(&fresh, sizeof(fresh));
		fresh |= 1;
		if (atomic_compare_exchange_strong(&c->t->header.hash_key[i], &none, fresh))
			none = fresh;
		c->hash_key[i] = none;
	}
}

struct clients *
clients_open(int fd, uint16_t id, uint64_t now_ms)
{
	struct clients *c = mem_zalloc(sizeof(*c));
	int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
	void *p = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		die_temp("the table of clients cannot be mapped");
	fd_close(&fd);
	c->t = p;
	agree_on_key(c);
	take_lane(c, (uint32_t)id + 1, now_ms);
	return c;
}

void
clients_close(struct clients **c)
{
	if (*c == NULL)
		return;
	atomic_store(&(*c)->t->header.lanes[(*c)->lane].beat_ms, 0);
	(void)munmap((*c)->t, TABLE_BYTES);
	mem_free(*c);
	*c = NULL;
}

void
clients_beat(struct clients *c, uint64_t now_ms)
{
	atomic_store_explicit(&c->t->header.lanes[c->lane].beat_ms, now_ms, memory_order_relaxed);
}

uint64_t
clients_key(const struct clients *c, uint8_t family, const uint8_t addr[16], unsigned prefix_bits)
{
	char text[17];
	unsigned bytes = family == 4 ? 4 : 16;

	memset(text, 0, sizeof(text));
	text[0] = (char)family;
	for (unsigned i = 0; i < bytes; i++) {
		unsigned bits = prefix_bits > 8 * i ? prefix_bits - 8 * i : 0;
		unsigned mask = bits >= 8 ? 0xff : 0xff & ~(0xffu >> bits);

		text[1 + i] = (char)(addr[i] & mask);
	}
	return map_siphash(c->hash_key, span_make(text, sizeof(text))) | 1;
}

uint32_t
clients_total(const struct clients *c, uint64_t now_ms)
{
	uint32_t n = 0;

	for (unsigned i = 0; i < LANES; i++)
		if (i == c->lane || is_alive(&c->t->header.lanes[i], now_ms))
			n += atomic_load_explicit(&c->t->header.lanes[i].connections,
						  memory_order_relaxed);
	return n;
}

void
clients_total_add(struct clients *c, int delta)
{
	_Atomic uint32_t *total = &c->t->header.lanes[c->lane].connections;
	uint32_t n = atomic_load(total);

	while (!atomic_compare_exchange_weak(total, &n, delta > 0 ? n + 1 : n > 0 ? n - 1 : 0))
		;
}

bool
clients_has_more(const struct clients *c, uint64_t now_ms)
{
	const struct lane *lanes = c->t->header.lanes;
	uint32_t own = atomic_load_explicit(&lanes[c->lane].connections, memory_order_relaxed),
		 workers = 0, share;

	for (unsigned i = 0; i < LANES; i++)
		workers += i == c->lane || is_alive(&lanes[i], now_ms);
	share = clients_total(c, now_ms) / workers;
	return own > share + share / 8 + 1;
}

void
clients_count(struct clients *c, unsigned which, uint64_t n)
{
	atomic_fetch_add_explicit(&c->t->header.counters[which], n, memory_order_relaxed);
}

uint64_t
clients_counted(const struct clients *c, unsigned which)
{
	return atomic_load_explicit(&c->t->header.counters[which], memory_order_relaxed);
}

static struct entry *
find(struct clients *c, uint64_t key)
{
	struct entry *set = c->t->sets[key / 2 % SETS];

	for (unsigned w = 0; w < WAYS; w++)
		if (atomic_load_explicit(&set[w].key, memory_order_relaxed) == key)
			return &set[w];
	return NULL;
}

static bool
has_connections(const struct entry *e)
{
	for (unsigned i = 0; i < LANES; i++)
		if (atomic_load_explicit(&e->counts[i], memory_order_relaxed) != 0)
			return true;
	return false;
}

/* Find the client's entry or make one, in place of the longest unused without connections. NULL: the set is full of
 * connected clients. */
static struct entry *
obtain(struct clients *c, uint64_t key, uint64_t now_ms)
{
	struct entry *set = c->t->sets[key / 2 % SETS], *e = find(c, key), *oldest = NULL;
	uint32_t now_s = (uint32_t)(now_ms / 1000), age = 0;
	uint64_t was;

	for (unsigned w = 0; w < WAYS && e == NULL; w++) {
		uint32_t a = now_s - atomic_load_explicit(&set[w].used_s, memory_order_relaxed);

		if (atomic_load_explicit(&set[w].key, memory_order_relaxed) == 0)
			a = UINT32_MAX;
		if ((oldest == NULL || a > age) && (a == UINT32_MAX || !has_connections(&set[w]))) {
			oldest = &set[w];
			age = a;
		}
	}
	if (e == NULL && oldest != NULL) {
		was = atomic_load(&oldest->key);
		if (!atomic_compare_exchange_strong(&oldest->key, &was, key))
			return NULL;
		for (unsigned i = 0; i < CLIENT_RATE_COUNT; i++)
			atomic_store(&oldest->empty_us[i], 0);
		for (unsigned i = 0; i < LANES; i++)
			atomic_store(&oldest->counts[i], 0);
		e = oldest;
	}
	if (e != NULL)
		atomic_store_explicit(&e->used_s, now_s, memory_order_relaxed);
	return e;
}

uint32_t
clients_connect(struct clients *c, uint64_t key, uint64_t now_ms)
{
	struct entry *e = obtain(c, key, now_ms);
	uint32_t n = 0;

	/* No room to count: limits { connections } still holds. */
	if (e == NULL)
		return 1;
	if (atomic_load_explicit(&e->counts[c->lane], memory_order_relaxed) < UINT16_MAX)
		atomic_fetch_add_explicit(&e->counts[c->lane], 1, memory_order_relaxed);
	for (unsigned i = 0; i < LANES; i++)
		if (i == c->lane || is_alive(&c->t->header.lanes[i], now_ms))
			n += atomic_load_explicit(&e->counts[i], memory_order_relaxed);
	return n;
}

void
clients_disconnect(struct clients *c, uint64_t key)
{
	struct entry *e = find(c, key);
	uint16_t n;

	if (e == NULL)
		return;
	n = atomic_load(&e->counts[c->lane]);
	while (n > 0 && !atomic_compare_exchange_weak(&e->counts[c->lane], &n, (uint16_t)(n - 1)))
		;
}

bool
clients_may(struct clients *c, uint64_t key, enum client_rate which, const struct conf_rate *rate,
	    uint64_t now_ms)
{
	uint64_t now_us = now_ms * 1000, each_us, window_us, empty_us, next;
	struct entry *e;

	if (rate->count == 0 || (e = obtain(c, key, now_ms)) == NULL)
		return true;
	window_us = rate->per_ms * 1000;
	each_us = window_us / rate->count;
	empty_us = atomic_load(&e->empty_us[which]);
	do {
		next = empty_us > now_us ? empty_us : now_us;
		/* What lies further ahead than any honest account is garbage. */
		if (next > now_us + 2 * window_us)
			next = now_us;
		next += each_us;
		if (next > now_us + window_us)
			return false;
	} while (!atomic_compare_exchange_weak(&e->empty_us[which], &empty_us, next));
	return true;
}
