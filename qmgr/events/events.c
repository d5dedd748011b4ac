/* SPDX-License-Identifier: ISC
 *
 * The event log as a whole: on or off, its list of files, its counters, what the log says of it. Opening, writing and
 * reading have files of their own. It knows nothing of messages: an event is bytes of lib/spool/event.h. Runs in qmgr, on
 * the loop and the threads of storage.
 *
 * State at a crash (CRASHPOINT name)		after the restart
 * events-written				their transaction was not begun: it is made again, and so are they
 * events-synced				the same: they come twice, with the same id
 * events-file-made				a file without events is passed over
 * events-dropped				what is gone is told to the reader, from the serial of the oldest that is left
 * event-cursor-written				the old cursor counts: the reader gets the page again
 * event-cursor-moved				the new cursor counts; files before it are removed by the next acknowledgement */

/* System */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/events/events_int.h"

void
events_name(uint32_t number, char out[EVENTS_NAME_BYTES])
{
	snprintf(out, EVENTS_NAME_BYTES, "%u.events", number);
}

struct events_file *
events_add_file(struct events *ev, const struct events_file *f)
{
	if (ev->count == ev->cap) {
		ev->cap = ev->cap > 0 ? ev->cap * 2 : 16;
		ev->files = mem_grow(ev->files, ev->cap, sizeof(*ev->files));
	}
	ev->files[ev->count] = *f;
	ev->bytes += f->end;
	return &ev->files[ev->count++];
}

void
events_drop_first(struct events *ev)
{
	struct events_file f = ev->files[0];
	char name[EVENTS_NAME_BYTES];

	events_name(f.number, name);
	unlinkat(ev->folder_fd, name, 0);
	ev->bytes -= f.end;
	memmove(ev->files, ev->files + 1, --ev->count * sizeof(*ev->files));
}

int
events_open(struct events *ev, struct buf *what_out)
{
	int r = 0;

	pthread_mutex_lock(&ev->open_lock);
	if (!ev->is_open)
		r = events_look(ev, what_out);
	pthread_mutex_unlock(&ev->open_lock);
	return r;
}

int
events_need(struct events *ev)
{
	struct buf why;
	bool is_open;
	int r;

	pthread_mutex_lock(&ev->lock);
	is_open = ev->is_open;
	r = ev->max_bytes == 0 ? E_NOTFOUND : 0;
	pthread_mutex_unlock(&ev->lock);
	if (r < 0 || is_open)
		return r;
	buf_init(&why, sizeof(ev->refusal));
	if ((r = events_open(ev, &why)) < 0) {
		pthread_mutex_lock(&ev->lock);
		snprintf(ev->refusal, sizeof(ev->refusal), "%s", buf_cstr(&why));
		pthread_mutex_unlock(&ev->lock);
	}
	buf_clear(&why);
	return r;
}

bool
events_is_on(struct events *ev)
{
	bool is_on;

	pthread_mutex_lock(&ev->lock);
	is_on = ev->max_bytes > 0;
	pthread_mutex_unlock(&ev->lock);
	return is_on;
}

void
events_set_max(struct events *ev, uint64_t max_bytes)
{
	pthread_mutex_lock(&ev->lock);
	ev->max_bytes = max_bytes;
	ev->is_refusal_told = false;
	pthread_mutex_unlock(&ev->lock);
}

void
events_lost(struct events *ev, uint64_t count)
{
	pthread_mutex_lock(&ev->lock);
	ev->next += count;
	ev->lost += count;
	pthread_mutex_unlock(&ev->lock);
}

void
events_get_stats(struct events *ev, struct events_stats *out)
{
	pthread_mutex_lock(&ev->lock);
	*out = (struct events_stats){ .written = ev->written,
				      .lost = ev->lost,
				      .dropped = ev->dropped,
				      .unread = ev->next > ev->cursor.serial
							? ev->next - ev->cursor.serial
							: 0,
				      .bytes = ev->bytes,
				      .files = ev->count };
	pthread_mutex_unlock(&ev->lock);
}

/* --- the log --------------------------------------------------------------------------------- */

void
events_report(struct events *ev)
{
	pthread_mutex_lock(&ev->lock);
	if (ev->refusal[0] != '\0' && !ev->is_refusal_told) {
		log_warn("no events are written: %s", ev->refusal);
		ev->is_refusal_told = true;
	}
	if (ev->err != 0 && ev->lost > ev->lost_told && !ev->is_err_told && ev->is_open) {
		log_warn("the event log cannot be written (%s): events are lost until it can; free "
			 "space or mend the disk",
			 err_info(ev->err)->text);
		ev->is_err_told = true;
	}
	if (ev->err == 0 && ev->is_err_told) {
		log_warn("the event log is written again; %llu events were lost, its reader is "
			 "told so",
			 (unsigned long long)(ev->lost - ev->lost_told));
		ev->is_err_told = false;
		ev->lost_told = ev->lost;
	}
	if (ev->dropped > ev->dropped_told && !ev->is_drop_told) {
		log_warn("the event log is full: the oldest events go unread; let its reader run "
			 "(postern events --ack), or make "
			 "events.max larger");
		ev->is_drop_told = true;
	}
	ev->dropped_told = ev->dropped;
	pthread_mutex_unlock(&ev->lock);
}

/* --- life ------------------------------------------------------------------------------------ */

struct events *
events_new(int dir_fd, uint64_t max_bytes)
{
	struct events *ev = mem_zalloc(sizeof(*ev));

	ev->dir_fd = dir_fd;
	ev->max_bytes = max_bytes;
	ev->folder_fd = ev->fd = -1;
	ev->next = ev->cursor.serial = 1;
	pthread_mutex_init(&ev->lock, NULL);
	pthread_mutex_init(&ev->open_lock, NULL);
	pthread_mutex_init(&ev->ack_lock, NULL);
	return ev;
}

void
events_free(struct events **evp)
{
	struct events *ev = *evp;

	if (ev == NULL)
		return;
	fd_close(&ev->fd);
	fd_close(&ev->folder_fd);
	pthread_mutex_destroy(&ev->lock);
	pthread_mutex_destroy(&ev->open_lock);
	pthread_mutex_destroy(&ev->ack_lock);
	mem_free(ev->files);
	mem_free(ev);
	*evp = NULL;
}
