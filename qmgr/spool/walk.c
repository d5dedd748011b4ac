/* SPDX-License-Identifier: ISC
 *
 * The records of one segment, from the disk, for the scan and for rebuilding. It reads; what counts as a record is said
 * by lib/spool/record.c, what becomes of it by the caller. Runs in qmgr at start, on the loop's thread. */

/* System */
#include <string.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/spool/walk.h"

enum { WALK_STEP_BYTES = 1024 * 1024 };

void
walk_init(struct walk *w, struct spool *sp, struct segment *seg, uint64_t from)
{
	*w = (struct walk){ .sp = sp, .seg = seg };
	record_walk_init(&w->walk, seg->salt, seg->size);
	if (from > w->walk.offset)
		w->walk.offset = from;
	w->window_at = w->walk.offset;
	w->until = seg->size;
}

void
walk_clear(struct walk *w)
{
	if (w->unreadable > 0)
		log_warn("segments/%u.seg: %llu blocks of 4 KiB cannot be read; the disk is "
			 "failing",
			 w->seg->number, (unsigned long long)w->unreadable);
	mem_free(w->window);
	w->window = NULL;
}

/* Block by block, what cannot be read as zeros. */
static void
read_around(struct walk *w, char *p, size_t n, uint64_t at)
{
	uint64_t salt;

	for (size_t done = 0; done < n; done += RECORD_BLOCK_BYTES) {
		size_t left = n - done < RECORD_BLOCK_BYTES ? n - done : RECORD_BLOCK_BYTES;

		if (segments_read(&w->sp->segs, w->seg->number, p + done, left, at + done, false,
				  &salt) == 0)
			continue;
		memset(p + done, 0, left);
		w->unreadable++;
	}
}

/* Make the window reach from the walk's place to at least `end`. */
static int
extend(struct walk *w, uint64_t end)
{
	size_t skip = (size_t)(w->walk.offset - w->window_at), n;
	uint64_t salt, to;
	int r;

	if (skip > w->window_n)
		skip = w->window_n;
	if (skip > 0) {
		memmove(w->window, w->window + skip, w->window_n - skip);
		w->window_n -= skip;
		w->window_at += skip;
	}
	if (w->window_n == 0)
		w->window_at = w->walk.offset;
	to = w->window_at + w->window_n + WALK_STEP_BYTES;
	if (to < end)
		to = end;
	if (to > w->seg->size)
		to = w->seg->size;
	n = (size_t)(to - w->window_at);
	if (n > w->window_cap) {
		w->window = mem_grow(w->window, n, 1);
		w->window_cap = n;
	}
	r = segments_read(&w->sp->segs, w->seg->number, w->window + w->window_n, n - w->window_n,
			  w->window_at + w->window_n, false, &salt);
	if (r == E_IO || r == E_CORRUPT) {
		read_around(w, w->window + w->window_n, n - w->window_n,
			    w->window_at + w->window_n);
		r = 0;
	}
	w->window_n = n;
	return r;
}

int
walk_next(struct walk *w, enum record_step *step_out)
{
	uint64_t need = 0;
	int r;

	for (;;) {
		*step_out = RECORD_NONE;
		if (w->walk.offset >= w->until)
			return 0;
		*step_out = record_walk_next(&w->walk, span_make(w->window, w->window_n),
					     w->window_at, &w->rec, w->parts, &need);
		if (*step_out != RECORD_MORE)
			return 0;
		if ((r = extend(w, need)) < 0)
			return r;
	}
}

struct place
walk_place(const struct walk *w)
{
	return (struct place){ w->seg->number, (uint32_t)w->walk.found_at,
			       (uint32_t)record_length(&w->rec) };
}
