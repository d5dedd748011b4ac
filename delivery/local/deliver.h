/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_LOCAL_DELIVER_H
#define DELIVERY_LOCAL_DELIVER_H

#include <stdbool.h>
#include "base/buf.h"
#include "delivery/job.h"
#include "delivery/local/maildir.h"

/* The delivery of one job into one Maildir, step by step as its content comes, for a worker thread. The job is only read
 * (its envelope and trace); nobody else may touch the delivery while a step runs.
 *
 *	deliver_begin -> deliver_part* -> deliver_end -> deliver_settle (on the loop)    or deliver_drop at any time */
struct deliver {
	const struct job *job;
	struct maildir *md; /* opened by deliver_begin if it is not open */
	int base;
	const char *path;
	struct maildir_file first;  /* the first recipient's; the others' are copied from it */
	uint32_t first_at;	    /* whose */
	uint64_t head_bytes;	    /* of its own header lines */
	struct maildir_error error; /* of the whole delivery */
	struct maildir_error
		*of_rcpt; /* one for each recipient; code E_LOOP: has the message already */
};

void deliver_init(struct deliver *d, const struct job *j, struct maildir *md, int base,
		  const char *path);
/* part is the beginning of the content, with its whole header section if that is not overlong. */
void deliver_begin(struct deliver *d, struct span part);
void deliver_part(struct deliver *d, struct span part);
void deliver_end(struct deliver *d);
/* Settle every recipient of the job. */
void deliver_settle(const struct deliver *d, struct job *j);
/* Give up what was begun and free. */
void deliver_drop(struct deliver *d);

#endif
