/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SEGMENT_H
#define QMGR_SEGMENT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "spool/record.h"

/* The files segments/<n>.seg: which there are, in which state, and how one becomes another. All functions may be called
 * from any thread, also with the lock held (it is recursive); a struct segment lives until segments_close(). */

enum segment_state {
	SEGMENT_EMPTY,	  /* ready for use */
	SEGMENT_OPEN,	  /* batches are appended */
	SEGMENT_FULL,	  /* sealed: full, failed, or open at a crash */
	SEGMENT_RETIRING, /* nothing in it is live: gets a new header, becomes EMPTY */
	SEGMENT_BAD,	  /* its header is damaged: kept and counted until nothing in it is live */
	SEGMENT_STATE_COUNT
};

struct segment {
	struct list node; /* by age, in segments.all */
	uint32_t number;
	enum segment_kind kind;
	enum segment_state state;
	uint64_t salt;
	uint64_t size; /* of the file */
	uint64_t
		end; /* where the next batch goes; SEGMENT_FULL: end of the last good one, 0: unknown */
	uint64_t first_batch; /* of its first record, 0: none */
	bool is_damaged; /* has a live record that cannot be read: compaction leaves it alone */
	uint64_t live_messages; /* message rows that lead here */
	uint64_t live_bytes;
	bool is_fresh; /* its salt was made in this run and no record has it */
	uint64_t
		filled; /* known since the start: up to here its blocks were written once, and a sync of what is
				 * written there again leaves the file system's journal alone */
	int fd; /* -1: closed */
	uint32_t fd_users;
	uint64_t fd_tick;
};

struct segments {
	pthread_mutex_t lock;
	int dir_fd;		/* segments/ */
	uint64_t segment_bytes; /* of new ones */
	struct list all;
	struct list gone; /* their files are removed; a reader may still hold a pointer */
	struct map64 by_number;
	uint32_t last_number;
	uint32_t count;
	uint32_t fds_open;
	uint64_t fd_tick;
	/* What each header repeats, for the case that queue.db is lost. */
	uint64_t cursor, next_number, next_batch;
};

/* Reads the folder and every header. On an error name_out is the file ("12.seg"). E_CONFIG: it has another format
 * version, and nothing was touched. E_IO... */
int segments_open(struct segments *s, int dir_fd, uint64_t segment_bytes,
		  char name_out[32]) MUST_CHECK;
void segments_close(struct segments *s);
/* A file that was made or found; state and salt are the caller's to set. */
struct segment *segments_add(struct segments *s, uint32_t number);
struct segment *segments_find(struct segments *s, uint32_t number);
/* What later headers repeat. */
void segments_note(struct segments *s, uint64_t cursor, uint64_t next_number, uint64_t next_batch);

/* An empty one of at least min_bytes, opened for appending as kind; made now (allocated only) if there is none. */
int segments_take(struct segments *s, enum segment_kind kind, uint64_t min_bytes,
		  struct segment **out) MUST_CHECK;
/* Make one more empty one. is_zeroed: write it full of zeros first; stop is asked between two steps and true ends it
 * with E_AGAIN, the file removed. */
int segments_make(struct segments *s, bool is_zeroed, bool (*stop)(void *arg),
		  void *arg) MUST_CHECK;
/* Nothing in it is live (committed): new salt, synced, empty. */
int segments_retire(struct segments *s, struct segment *seg) MUST_CHECK;
/* Nobody may take this empty one any more: it is going to be removed. False: it is taken. */
bool segments_withdraw(struct segments *s, struct segment *seg);
/* Its file is not there any more. */
void segments_forget(struct segments *s, struct segment *seg);
/* Remove the file of a segment that was withdrawn. */
int segments_remove(struct segments *s, struct segment *seg) MUST_CHECK;
/* Try a write and a sync: the header of an empty segment, or a new file. */
int segments_probe(struct segments *s) MUST_CHECK;
/* A batch is durable, and zeros behind it up to filled (at least end): the next one goes to end. */
void segment_appended(struct segments *s, struct segment *seg, uint64_t end, uint64_t filled,
		      uint64_t batch);
void segment_seal(struct segments *s, struct segment *seg, uint64_t end);

/* Read n bytes; *salt_out = the segment's salt now. is_nowait: E_AGAIN if the pages are not in memory.
 * E_NOTFOUND: no such segment; E_CORRUPT: beyond its end; E_IO. */
int segments_read(struct segments *s, uint32_t number, void *p, size_t n, uint64_t offset,
		  bool is_nowait, uint64_t *salt_out) MUST_CHECK;
/* The descriptor, kept open until it is put back. -1 and errno. */
int segment_fd_get(struct segments *s, struct segment *seg);
void segment_fd_put(struct segments *s, struct segment *seg);

/* How many there are in a state; kind SEGMENT_KIND_COUNT: of both kinds. */
uint32_t segments_count(struct segments *s, enum segment_state state, enum segment_kind kind);

#endif
