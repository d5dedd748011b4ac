/* SPDX-License-Identifier: ISC
 *
 * What the event log finds when it is opened: its files in order, where the last one ends, the reader's cursor. A file
 * that was written before is never appended to: its end may be torn. Files of another version are left as they are, and
 * so is the rest. Runs in qmgr, at start or on a thread of storage. */

/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
#include "base/mem.h"
/* this program */
#include "qmgr/events/events_int.h"

enum { WINDOW_BYTES = 65536 };

static int
open_folder(struct events *ev)
{
	if (mkdirat(ev->dir_fd, "events", 0700) == 0 && fsync(ev->dir_fd) < 0)
		return err_from_errno(errno);
	ev->folder_fd = openat(ev->dir_fd, "events",
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return ev->folder_fd < 0 ? err_from_errno(errno) : 0;
}

/* "12.events" */
static bool
parse_name(const char *name, uint32_t *number_out)
{
	struct span s = span_of(name);
	uint64_t n;

	if (!span_ends(s, SPAN(".events")) ||
	    span_to_u64(span_sub(s, 0, s.n - 7), UINT32_MAX, &n) < 0 || n == 0)
		return false;
	*number_out = (uint32_t)n;
	return true;
}

/* The header is not whole: the file was just being made; or it is damaged, then it is kept for the administrator. What it
 * held is told to the reader as lost. */
static int
put_aside(struct events *ev, const char *name, uint64_t size)
{
	char to[EVENTS_NAME_BYTES + 8];

	snprintf(to, sizeof(to), "%s.damaged", name);
	if (size <= EVENT_HEADER_BYTES ? unlinkat(ev->folder_fd, name, 0) < 0
				       : renameat(ev->folder_fd, name, ev->folder_fd, to) < 0)
		return err_from_errno(errno);
	return 0;
}

/* Its header and size. */
static int
look_at_file(struct events *ev, const char *name, uint32_t number)
{
	char bytes[EVENT_HEADER_BYTES];
	struct events_file f = { .number = number };
	struct event_header h = { 0 };
	struct stat st;
	int fd = openat(ev->folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;

	if (fd < 0)
		return err_from_errno(errno);
	r = fstat(fd, &st) < 0 ? err_from_errno(errno) : fd_pread_all(fd, bytes, sizeof(bytes), 0);
	fd_close(&fd);
	if (r == 0)
		r = event_get_header(bytes, &h);
	if (r == E_CORRUPT)
		return put_aside(ev, name, (uint64_t)st.st_size);
	if (r < 0)
		return r;
	f.first = f.next = h.first;
	f.end = (uint64_t)st.st_size;
	events_add_file(ev, &f);
	return 0;
}

static int
list_files(struct events *ev, struct buf *what_out)
{
	int fd = openat(ev->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	uint32_t number;

	if (dir == NULL) {
		r = err_from_errno(errno);
		fd_close(&fd);
		return r;
	}
	while (r == 0 && (e = readdir(dir)) != NULL) {
		if (!parse_name(e->d_name, &number))
			continue;
		r = look_at_file(ev, e->d_name, number);
		if (r == E_CONFIG)
			buf_printf(what_out,
				   "events/%s was written by another version; use that version, or "
				   "move queue/events away",
				   e->d_name);
	}
	closedir(dir);
	return r;
}

static int
by_number(const void *a, const void *b)
{
	const struct events_file *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Where the records of the newest file end, and that they are on the disk: the page cache may show what it never got. */
static int
find_end(struct events *ev, struct events_file *f)
{
	char name[EVENTS_NAME_BYTES], *window = mem_alloc(WINDOW_BYTES);
	uint64_t at = EVENT_HEADER_BYTES, serial;
	struct event e;
	size_t need;
	int fd, r;

	events_name(f->number, name);
	if ((fd = openat(ev->folder_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW)) < 0) {
		r = err_from_errno(errno);
		mem_free(window);
		return r;
	}
	for (r = 1; r > 0;) {
		ssize_t n = pread(fd, window, WINDOW_BYTES, (off_t)at);
		struct span in = span_make(window, n > 0 ? (size_t)n : 0);
		uint64_t before = at;

		while ((r = event_get(in, &serial, &e, &need)) > 0 && serial >= f->next) {
			at += (uint64_t)r;
			f->next = serial + 1;
			in = span_sub(in, (size_t)r, SIZE_MAX);
		}
		r = n < 0 ? err_from_errno(errno) : at > before;
	}
	if (r == 0 && fdatasync(fd) < 0)
		r = err_from_errno(errno);
	fd_close(&fd);
	mem_free(window);
	ev->bytes -= f->end - at;
	f->end = at;
	return r;
}

static int
read_cursor(struct events *ev, struct buf *what_out)
{
	char bytes[EVENT_HEADER_BYTES];
	int fd = openat(ev->folder_fd, "cursor", O_RDONLY | O_CLOEXEC | O_NOFOLLOW), r;

	ev->cursor = (struct event_cursor){ .serial = 1 };
	if (fd < 0)
		return errno == ENOENT ? 0 : err_from_errno(errno);
	r = fd_pread_all(fd, bytes, sizeof(bytes), 0);
	fd_close(&fd);
	if (r == 0)
		r = event_get_cursor(bytes, &ev->cursor);
	if (r == E_CONFIG)
		buf_puts(what_out, "events/cursor was written by another version; use that "
				   "version, or move queue/events away");
	/* A damaged one: all that is there is given again. */
	if (r == E_CORRUPT)
		ev->cursor = (struct event_cursor){ 0 };
	return r == E_CORRUPT ? 0 : r;
}

static int
look(struct events *ev, struct buf *what_out)
{
	int r;

	if ((r = open_folder(ev)) < 0 || (r = list_files(ev, what_out)) < 0 ||
	    (r = read_cursor(ev, what_out)) < 0)
		return r;
	if (ev->count > 0)
		qsort(ev->files, ev->count, sizeof(*ev->files), by_number);
	for (size_t i = 0; i + 1 < ev->count; i++)
		ev->files[i].next = ev->files[i + 1].first;
	if (ev->count > 0 && (r = find_end(ev, &ev->files[ev->count - 1])) < 0)
		return r;
	ev->next = ev->count > 0 ? ev->files[ev->count - 1].next : 1;
	ev->last_number = (uint32_t)(ev->cursor.place >> 32);
	if (ev->count > 0 && ev->files[ev->count - 1].number > ev->last_number)
		ev->last_number = ev->files[ev->count - 1].number;
	if (ev->next < ev->cursor.serial)
		ev->next = ev->cursor.serial;
	if (ev->cursor.serial == 0)
		ev->cursor.serial = ev->count > 0 ? ev->files[0].first : ev->next;
	return 0;
}

int
events_look(struct events *ev, struct buf *what_out)
{
	int r;

	pthread_mutex_lock(&ev->lock);
	r = look(ev, what_out);
	if (r == 0) {
		ev->is_open = true;
		ev->refusal[0] = '\0';
	} else {
		if (what_out->n == 0)
			buf_printf(what_out, "queue/events: %s", err_info(r)->text);
		fd_close(&ev->folder_fd);
		ev->count = 0;
		ev->bytes = 0;
	}
	pthread_mutex_unlock(&ev->lock);
	return r;
}
