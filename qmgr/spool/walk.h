/* SPDX-License-Identifier: ISC */
#ifndef QMGR_WALK_H
#define QMGR_WALK_H

#include "qmgr/spool/spool_int.h"

/* Reads the records of one segment from the disk, in order: the codec's walk (spool/record.h) with a window of memory.
 * Blocks that the disk cannot read count as zeros and are reported. For the start only. */
struct walk {
	struct spool *sp;
	struct segment *seg;
	struct record_walk walk;
	char *window; /* bytes of the segment from window_at on */
	size_t window_n, window_cap;
	uint64_t window_at;
	uint64_t until;	     /* stop looking there */
	uint64_t unreadable; /* blocks */
	struct record rec;   /* of the last step */
	struct span parts[3];
};

void walk_init(struct walk *w, struct spool *sp, struct segment *seg, uint64_t from);
/* RECORD_FOUND, RECORD_DAMAGED or RECORD_NONE. E_*: the segment cannot be opened. */
int walk_next(struct walk *w, enum record_step *step_out) MUST_CHECK;
void walk_clear(struct walk *w);
struct place walk_place(const struct walk *w);

#endif
