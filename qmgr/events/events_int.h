/* SPDX-License-Identifier: ISC */
#ifndef QMGR_EVENTS_INT_H
#define QMGR_EVENTS_INT_H

#include <pthread.h>
#include "qmgr/events/events.h"

/* Between events.c (state), events_open.c (what is there at start), events_write.c (appending, dropping) and
 * events_read.c (pages, cursor). */

#define EVENTS_NAME_BYTES 32

/* One file, <number>.events. */
struct events_file {
	uint32_t number;
	uint64_t first; /* serial of its first record */
	uint64_t next;	/* serial behind its last one */
	uint64_t end;	/* bytes that count: whole records, synced */
};

struct events {
	int dir_fd;	      /* queue/ */
	pthread_mutex_t lock; /* guards what follows; never held over a write or a sync */
	uint64_t max_bytes;
	bool is_open; /* folder_fd, files, cursor and next are set */
	int folder_fd;
	struct events_file *files; /* oldest first; the last one is written to if fd >= 0 */
	size_t count, cap;
	uint64_t bytes;	      /* of all files */
	uint64_t next;	      /* serial of the next event */
	uint32_t last_number; /* of a file */
	struct event_cursor cursor;
	uint64_t written, lost, dropped;
	/* For the log. */
	int err; /* writing fails, 0: it works */
	bool is_err_told, is_drop_told, is_refusal_told;
	uint64_t lost_told, dropped_told;
	char refusal[300]; /* why it cannot be opened */
	/* Of opening, once at a time. */
	pthread_mutex_t open_lock;
	/* Of the writing thread. */
	int fd;		   /* of the last file, -1: the next event begins a new one */
	uint64_t again_ms; /* not before */
	/* Of acknowledging, once at a time. */
	pthread_mutex_t ack_lock;
};

/* events.c */
void events_name(uint32_t number, char out[EVENTS_NAME_BYTES]);
/* With the lock. */
struct events_file *events_add_file(struct events *ev, const struct events_file *f);
/* With the lock: remove the oldest file, from the disk as well. */
void events_drop_first(struct events *ev);
/* E_NOTFOUND: off; opens it if that was not done. */
int events_need(struct events *ev) MUST_CHECK;

/* events_open.c: with open_lock. */
int events_look(struct events *ev, struct buf *what_out) MUST_CHECK;

#endif
