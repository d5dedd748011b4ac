/* SPDX-License-Identifier: ISC */
#ifndef QMGR_ENTRY_H
#define QMGR_ENTRY_H

#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"
#include "qmgr/spool/spool.h"

/* A recipient in memory: 64 bytes, without its address. All of them lie in one pool; they are found by (message number,
 * index) and stand in at most one list, by 32-bit ids. */
struct lane;
struct waiter;

enum entry_state {
	ENTRY_FREE,
	ENTRY_WAITING,	/* in its waiter's list: to be asked of router */
	ENTRY_ASKED,	/* router was asked */
	ENTRY_READY,	/* in a list of its lane */
	ENTRY_JOB,	/* in a job */
	ENTRY_ALONE,	/* in the list of those that crashed a worker */
	ENTRY_EXPANDING /* its children are being committed */
};

enum entry_flag {
	ENTRY_HAS_ROW = 1,  /* queue.db has a row of it */
	ENTRY_IS_RETRY = 2, /* came from a row: the lane's other list */
	ENTRY_HOLD = 4,	    /* an administrator held it while it runs */
	ENTRY_GONE = 8,	    /* an administrator deleted it while it runs */
	ENTRY_WARNED = 16   /* the sender was told of the delay */
};

/* What does not fit into an entry; few have one. */
struct entry_extra {
	struct span final; /* address to hand over instead of its own */
	bool is_child;	   /* of an expansion: the rest stands in no envelope */
	bool has_sender;
	bool no_alias; /* ROW_NO_ALIAS */
	uint8_t notify, depth;
	uint32_t parent;
	struct span address, orcpt, orig, sender;
	size_t bytes; /* of all this in one allocation */
};

struct entry {
	uint64_t number; /* of the message */
	union {
		struct lane *lane;     /* READY, JOB, ALONE */
		struct waiter *waiter; /* WAITING, ASKED, EXPANDING */
	};
	struct entry_extra *extra;
	struct place place;
	uint32_t index : 20; /* of the recipient */
	uint32_t attempts : 12;
	uint32_t id;	     /* of this entry in the pool */
	uint32_t prev, next; /* in its list, 0: none */
	uint32_t chain;	     /* next with the same hash */
	uint8_t state;	     /* enum entry_state */
	uint8_t flags;	     /* enum entry_flag */
};
#define ENTRY_BYTES_MAX 64
_Static_assert(sizeof(struct entry) <= ENTRY_BYTES_MAX, "the promise of spool.md, section 4");
#define ENTRY_ATTEMPTS_MAX 4095u

struct entry_pool {
	struct entry **chunks;
	uint32_t chunk_count;
	uint32_t free_id; /* list of free ones by next, 0: none */
	uint32_t count;	  /* in use */
	uint32_t *buckets;
	uint32_t bucket_count; /* power of two */
	size_t extra_bytes;
};

void entry_pool_init(struct entry_pool *p);
void entry_pool_clear(struct entry_pool *p);
/* Bytes that the entries in use stand for. */
size_t entry_pool_bytes(const struct entry_pool *p);
/* A new one in no list; (number, index) is not in the pool. */
struct entry *entry_new(struct entry_pool *p, uint64_t number, uint32_t index);
/* It must be in no list. */
void entry_free(struct entry_pool *p, struct entry *e);
struct entry *entry_find(const struct entry_pool *p, uint64_t number,
			 uint32_t index);			 /* NULL: absent */
struct entry *entry_at(const struct entry_pool *p, uint32_t id); /* 0: NULL */
/* All in use: uint32_t it = 0; while ((e = entry_next(p, &it)) != NULL). Freeing the current one is allowed. */
struct entry *entry_next(const struct entry_pool *p, uint32_t *it);

/* Set or replace the extra; `from` is copied with what its spans point to. NULL: remove. */
void entry_set_extra(struct entry_pool *p, struct entry *e, const struct entry_extra *from);
void entry_set_final(struct entry_pool *p, struct entry *e, struct span final);

struct entry_list {
	uint32_t head, tail, count;
};

void entry_push_back(struct entry_pool *p, struct entry_list *l, struct entry *e);
void entry_push_front(struct entry_pool *p, struct entry_list *l, struct entry *e);
void entry_remove(struct entry_pool *p, struct entry_list *l, struct entry *e);
struct entry *entry_pop(struct entry_pool *p, struct entry_list *l); /* NULL: empty */

#endif
