/* SPDX-License-Identifier: ISC
 *
 * Appending events: serials, files of a bounded size, one sync for all of a call, the oldest file dropped when there is
 * no room. Runs in qmgr on the store thread, before the transaction that commits their cause (at start on the loop's
 * thread); failures are explained in events.h. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/events/events_int.h"

enum {
	FILES_MAX = 4096, /* many restarts make many small files */
	FILE_LEAST = 65536,
	FILE_MOST = 64 * 1024 * 1024,
	SHARE = 16, /* a file is this part of max */
};

static uint64_t
file_bytes(uint64_t max_bytes)
{
	uint64_t n = max_bytes / SHARE;

	return n < FILE_LEAST ? FILE_LEAST : n > FILE_MOST ? FILE_MOST : n;
}

/* Room for one more file; the newest stays, it knows the serials. What the reader had not yet is counted; it is told when
 * it comes to the gap. */
static void
make_room(struct events *ev)
{
	pthread_mutex_lock(&ev->lock);
	while (ev->count > 1 &&
	       (ev->count >= FILES_MAX || ev->bytes + file_bytes(ev->max_bytes) > ev->max_bytes)) {
		const struct events_file *f = &ev->files[0];
		uint64_t from = f->first > ev->cursor.serial ? f->first : ev->cursor.serial;

		ev->dropped += f->next > from ? f->next - from : 0;
		events_drop_first(ev);
		CRASHPOINT("events-dropped");
	}
	pthread_mutex_unlock(&ev->lock);
}

/* A new file that begins with this serial: header written, folder synced. */
static int
begin_file(struct events *ev, uint64_t first)
{
	struct events_file f = { .first = first, .next = first, .end = EVENT_HEADER_BYTES };
	struct event_header h = { .first = first, .made_ms = clock_wall_ms() };
	char bytes[EVENT_HEADER_BYTES], name[EVENTS_NAME_BYTES];
	int r;

	make_room(ev);
	pthread_mutex_lock(&ev->lock);
	f.number = ++ev->last_number;
	pthread_mutex_unlock(&ev->lock);
	h.number = f.number;
	event_put_header(bytes, &h);
	events_name(f.number, name);
	ev->fd = openat(ev->folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
			0600);
	if (ev->fd < 0)
		return err_from_errno(errno);
	r = fd_pwrite_all(ev->fd, bytes, sizeof(bytes), 0);
	CRASHPOINT("events-file-made");
	if (r == 0 && fsync(ev->folder_fd) < 0)
		r = err_from_errno(errno);
	if (r < 0) {
		fd_close(&ev->fd);
		unlinkat(ev->folder_fd, name, 0);
		return r;
	}
	pthread_mutex_lock(&ev->lock);
	events_add_file(ev, &f);
	pthread_mutex_unlock(&ev->lock);
	return 0;
}

/* What of this call stands in the file that is open. */
struct pending {
	uint64_t end, next;
};

/* All that was written to it is on the disk: it counts. */
static int
sync_file(struct events *ev, const struct pending *p)
{
	struct events_file *f;

	CRASHPOINT("events-written");
	if (fdatasync(ev->fd) < 0)
		return err_from_errno(errno);
	pthread_mutex_lock(&ev->lock);
	f = &ev->files[ev->count - 1];
	ev->bytes += p->end - f->end;
	f->end = p->end;
	f->next = p->next;
	ev->next = p->next;
	pthread_mutex_unlock(&ev->lock);
	return 0;
}

/* The records at the front that fit into n bytes, at least one; they get their serials. Bytes. */
static size_t
seal_some(char *records, size_t n, uint64_t room, uint64_t *serial)
{
	size_t done = 0;

	do
		done += event_seal(records + done, (*serial)++);
	while (done < n && done + EVENT_RECORD_HEAD + EVENT_BODY_MAX <= room);
	return done;
}

static int
append(struct events *ev, char *records, size_t n, struct pending p, uint64_t most)
{
	uint64_t serial = p.next;
	int r;

	while (n > 0) {
		size_t part;

		if (ev->fd >= 0 && p.end + EVENT_RECORD_HEAD + EVENT_BODY_MAX > most) {
			if ((r = sync_file(ev, &p)) < 0)
				return r;
			fd_close(&ev->fd);
		}
		if (ev->fd < 0) {
			if ((r = begin_file(ev, serial)) < 0)
				return r;
			p.end = EVENT_HEADER_BYTES;
		}
		part = seal_some(records, n, most - p.end, &serial);
		if ((r = fd_pwrite_all(ev->fd, records, part, (off_t)p.end)) < 0)
			return r;
		p.end += part;
		p.next = serial;
		records += part;
		n -= part;
	}
	return sync_file(ev, &p);
}

/* The file is left as it is: it ends at its last event that was synced, and goes if it has none. */
static void
give_up_file(struct events *ev)
{
	struct events_file *f;

	fd_close(&ev->fd);
	pthread_mutex_lock(&ev->lock);
	f = ev->count > 1 ? &ev->files[ev->count - 1] : NULL;
	if (f != NULL && f->next == f->first) {
		char name[EVENTS_NAME_BYTES];

		events_name(f->number, name);
		unlinkat(ev->folder_fd, name, 0);
		ev->bytes -= f->end;
		ev->count--;
	}
	pthread_mutex_unlock(&ev->lock);
}

int
events_write(struct events *ev, char *records, size_t n, uint32_t count)
{
	struct pending p = { 0 };
	uint64_t most;
	int r;

	if (n == 0)
		return 0;
	if (clock_mono_ms() < ev->again_ms)
		return ev->err;
	if ((r = events_need(ev)) == 0) {
		pthread_mutex_lock(&ev->lock);
		most = file_bytes(ev->max_bytes);
		p.next = ev->next;
		/* Some were lost since: a file has no gaps. */
		if (ev->fd >= 0 && ev->files[ev->count - 1].next != p.next)
			fd_close(&ev->fd);
		if (ev->fd >= 0)
			p.end = ev->files[ev->count - 1].end;
		pthread_mutex_unlock(&ev->lock);
		if ((r = append(ev, records, n, p, most)) < 0)
			give_up_file(ev);
	}
	/* Switched off while these were on their way. */
	if (r == E_NOTFOUND && !events_is_on(ev))
		return 0;
	pthread_mutex_lock(&ev->lock);
	ev->err = r;
	ev->again_ms = r < 0 ? clock_mono_ms() + EVENTS_AGAIN_MS : 0;
	ev->written += r == 0 ? count : 0;
	pthread_mutex_unlock(&ev->lock);
	if (r == 0)
		CRASHPOINT("events-synced");
	return r;
}
