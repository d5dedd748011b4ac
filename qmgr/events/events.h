/* SPDX-License-Identifier: ISC */
#ifndef QMGR_EVENTS_H
#define QMGR_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "spool/event.h"

/* The event log, queue/events/: what became of messages, for a reader that must miss nothing (lib/spool/event.h is the
 * format). The store writes the events of a transaction before the transaction, on its own thread (qmgr/store/store.h,
 * store_event()); readers take pages from their cursor on and move it when they have them.
 *
 * Bounded: what all files hold stays below max; the oldest file goes first, read or not. Files that the reader has wholly
 * acknowledged go, too, all but the newest. What a reader has missed is told to it as one event LOST with the count.
 *
 * A disk that is full or fails: the transaction goes on without its events, they are counted and reported as LOST, one
 * line of the log says so, and the next events try a fresh file (at most every EVENTS_AGAIN_MS). So neither mail nor the
 * server ever waits for the event log. A descriptor whose write or sync failed is never used again: its file ends at the
 * last event that was synced. The count is kept in memory until the next event is written: only if qmgr ends before that,
 * the reader is not told.
 *
 * All functions may be called on any thread; those that say so block on the disk and belong on a thread of storage. */
struct events;

#define EVENTS_MAX_LEAST 1048576u /* smallest max */
#define EVENTS_PAGE_BYTES 65536u  /* of records in a page; a single one may be longer */
#define EVENTS_AGAIN_MS 500

/* dir_fd: queue/, borrowed as long as it lives. max_bytes 0: off, nothing below queue/ is looked at. */
struct events *events_new(int dir_fd, uint64_t max_bytes);
void events_free(struct events **ev);
/* On, off (0), or another bound. */
void events_set_max(struct events *ev, uint64_t max_bytes);
bool events_is_on(struct events *ev);

/* Blocks. Make or open queue/events/ and look at what is there; the others do it by themselves when it was not done.
 * what_out: what is wrong and what to do. E_CONFIG: files of another version, left as they are; E_*. */
int events_open(struct events *ev, struct buf *what_out) MUST_CHECK;
/* Blocks. Records of event_put(), count of them, get their serials, are appended and synced. E_*: none counts; give them
 * again or say events_lost(). */
int events_write(struct events *ev, char *records, size_t n, uint32_t count) MUST_CHECK;
/* So many events could not be written. */
void events_lost(struct events *ev, uint64_t count);

struct events_page {
	struct event_cursor at; /* serial 0: from the reader's cursor; out: behind the page */
	struct buf records;	/* out: as on the disk, LOST among them; none: the end */
};
/* Blocks. The next events. E_NOTFOUND: the log is off; E_*. */
int events_read(struct events *ev, struct events_page *page) MUST_CHECK;
/* Blocks. The reader has all before `to`: its cursor moves there, durably. An older place changes nothing. E_NOTFOUND: the
 * log is off; E_SYNTAX: there is no such event yet; E_*. */
int events_ack(struct events *ev, const struct event_cursor *to) MUST_CHECK;

struct events_stats {
	uint64_t written, lost; /* since start; lost: by failures of the disk */
	uint64_t dropped;	/* since start: unread, beyond max */
	uint64_t unread;	/* behind the cursor */
	uint64_t bytes, files;
};
void events_get_stats(struct events *ev, struct events_stats *out);
/* On the loop: lines of the log about what happened on the threads. */
void events_report(struct events *ev);

#endif
