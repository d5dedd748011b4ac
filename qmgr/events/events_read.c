/* SPDX-License-Identifier: ISC
 *
 * What a reader gets of the event log: pages from a place on, with the number of those that are gone, and its cursor. Only
 * what is synced is read. Where a record is damaged the rest of its file is lost, and said to be. Runs in qmgr on threads
 * of storage. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/events/events_int.h"

enum { WINDOW_BYTES = EVENTS_PAGE_BYTES + EVENT_RECORD_HEAD + EVENT_BODY_MAX };

/* --- the cursor ------------------------------------------------------------------------------ */

static int
write_cursor(struct events *ev, const struct event_cursor *to)
{
	char bytes[EVENT_HEADER_BYTES];
	int fd = openat(ev->folder_fd, "cursor.new",
			O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600),
	    r;

	if (fd < 0)
		return err_from_errno(errno);
	event_put_cursor(bytes, to);
	r = fd_pwrite_all(fd, bytes, sizeof(bytes), 0);
	if (r == 0 && fdatasync(fd) < 0)
		r = err_from_errno(errno);
	fd_close(&fd);
	if (r < 0)
		return r;
	CRASHPOINT("event-cursor-written");
	if (renameat(ev->folder_fd, "cursor.new", ev->folder_fd, "cursor") < 0 ||
	    fsync(ev->folder_fd) < 0)
		return err_from_errno(errno);
	CRASHPOINT("event-cursor-moved");
	return 0;
}

/* Files that the reader has done with go; the newest stays, it knows the serials. */
static void
took(struct events *ev, const struct event_cursor *to)
{
	pthread_mutex_lock(&ev->lock);
	ev->cursor = *to;
	ev->is_drop_told = false;
	while (ev->count > 1 && ev->files[0].next <= to->serial && ev->files[1].first <= to->serial)
		events_drop_first(ev);
	pthread_mutex_unlock(&ev->lock);
}

int
events_ack(struct events *ev, const struct event_cursor *to)
{
	bool is_new;
	int r;

	if ((r = events_need(ev)) < 0)
		return r;
	pthread_mutex_lock(&ev->ack_lock);
	pthread_mutex_lock(&ev->lock);
	is_new = to->serial > ev->cursor.serial;
	r = to->serial > ev->next ? E_SYNTAX : 0;
	pthread_mutex_unlock(&ev->lock);
	if (r == 0 && is_new && (r = write_cursor(ev, to)) == 0)
		took(ev, to);
	pthread_mutex_unlock(&ev->ack_lock);
	return r;
}

/* --- pages ----------------------------------------------------------------------------------- */

static void
put_lost(struct events_page *page, uint64_t until)
{
	struct event lost = { .kind = EVENT_LOST,
			      .count = until - page->at.serial,
			      .at_ms = clock_wall_ms() };
	size_t at = page->records.n;

	if (until > page->at.serial && event_put(&page->records, &lost))
		event_seal(page->records.p + at, page->at.serial);
	page->at.serial = until;
}

/* The file that holds the event, or the next one after it. False: there is none. end_out: behind all events. */
static bool
choose_file(struct events *ev, uint64_t serial, uint32_t after, struct events_file *out,
	    uint64_t *end_out)
{
	bool is_found = false;

	pthread_mutex_lock(&ev->lock);
	*end_out = ev->next;
	for (size_t i = 0; i < ev->count && !is_found; i++) {
		*out = ev->files[i];
		is_found = out->number > after && out->next > serial;
	}
	pthread_mutex_unlock(&ev->lock);
	return is_found;
}

/* Records of a window: those from the page's place on are appended. E_CORRUPT; else bytes that were walked over. */
static int
take_window(struct events_page *page, struct span in, uint64_t next)
{
	size_t done = 0, need;
	uint64_t serial;
	struct event e;
	int r;

	while ((r = event_get(span_sub(in, done, SIZE_MAX), &serial, &e, &need)) > 0) {
		if (serial >= next ||
		    (page->records.n > 0 && page->records.n + (size_t)r > EVENTS_PAGE_BYTES))
			break;
		if (serial > page->at.serial)
			return E_CORRUPT;
		if (serial == page->at.serial) {
			buf_put(&page->records, in.p + done, (size_t)r);
			page->at.serial++;
		}
		done += (size_t)r;
	}
	return r < 0 ? r : (int)done;
}

static int
walk_file(int fd, const struct events_file *f, uint64_t at, char *window, struct events_page *page)
{
	while (page->at.serial < f->next && page->records.n < EVENTS_PAGE_BYTES) {
		uint64_t left = at < f->end ? f->end - at : 0;
		size_t n = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
		int r;

		if (n == 0)
			return E_CORRUPT;
		if ((r = fd_pread_all(fd, window, n, (off_t)at)) < 0)
			return r;
		r = take_window(page, span_make(window, n), f->next);
		if (r < 0)
			return r;
		at += (uint64_t)r;
		page->at.place = (uint64_t)f->number << 32 | at;
		if (r == 0)
			return page->records.n > 0 ? 0 : E_CORRUPT;
	}
	return 0;
}

/* Is the event that is wanted at the place of the hint? */
static bool
is_at(int fd, const struct event_cursor *c, uint64_t at, char *window)
{
	ssize_t n = pread(fd, window, EVENT_RECORD_HEAD + EVENT_BODY_MAX, (off_t)at);
	uint64_t serial = 0;
	struct event e;
	size_t need;

	return n > 0 && event_get(span_make(window, (size_t)n), &serial, &e, &need) > 0 &&
	       serial == c->serial;
}

/* Events of one file. E_NOTFOUND: it was dropped meanwhile; E_CORRUPT: there is no more to be had from it. */
static int
read_file(struct events *ev, const struct events_file *f, char *window, struct events_page *page)
{
	char name[EVENTS_NAME_BYTES];
	uint64_t at = page->at.place & UINT32_MAX;
	int fd, r;

	events_name(f->number, name);
	if ((fd = openat(ev->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		return err_from_errno(errno);
	if (page->at.place >> 32 != f->number || at < EVENT_HEADER_BYTES || at >= f->end ||
	    !is_at(fd, &page->at, at, window))
		at = EVENT_HEADER_BYTES;
	r = walk_file(fd, f, at, window, page);
	fd_close(&fd);
	return r;
}

/* A reader that knows of events that we do not (their number was lost in a crash) begins anew. */
static void
begin_page(struct events *ev, struct events_page *page)
{
	pthread_mutex_lock(&ev->lock);
	if (page->at.serial == 0 || page->at.serial > ev->next)
		page->at = ev->cursor;
	pthread_mutex_unlock(&ev->lock);
}

int
events_read(struct events *ev, struct events_page *page)
{
	struct events_file f;
	char *window;
	uint64_t end = 0;
	uint32_t after = 0;
	int r;

	if ((r = events_need(ev)) < 0)
		return r;
	buf_init(&page->records, EVENTS_PAGE_BYTES + WINDOW_BYTES);
	begin_page(ev, page);
	window = mem_alloc(WINDOW_BYTES);
	while (r == 0 && page->records.n == 0 &&
	       choose_file(ev, page->at.serial, after, &f, &end)) {
		if (f.first > page->at.serial)
			put_lost(page, f.first);
		r = read_file(ev, &f, window, page);
		if (r == E_CORRUPT)
			put_lost(page, f.next);
		after = r == E_CORRUPT || r == E_NOTFOUND ? f.number : after;
		r = r == E_CORRUPT || r == E_NOTFOUND ? 0 : r;
	}
	if (r == 0 && page->records.n == 0 && end > page->at.serial)
		put_lost(page, end);
	mem_free(window);
	return page->records.n > 0 ? 0 : r;
}
