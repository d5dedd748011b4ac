/* SPDX-License-Identifier: ISC
 *
 * The files segments/<n>.seg: made, taken into use, sealed, retired under a new salt. It knows states and headers, not
 * what is live in a segment nor when one is needed (space.c, compact.c). Runs in qmgr, on the loop and on its threads.
 *
 *	(make) -> EMPTY -> OPEN -> FULL -> RETIRING -> EMPTY -> (remove)
 *
 * A crash while a header is written leaves a segment that nothing live stands in: EMPTY to be made (all zero, or short),
 * or RETIRING by its row in queue.db; the step is repeated. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/spool/segment.h"

enum {
	FDS_MAX = 96, /* descriptors kept open */
	ZERO_STEP_BYTES = 1 << 20,
	FILE_MODE = 0600,
};

static void
file_name(uint32_t number, char out[32])
{
	snprintf(out, 32, "%u.seg", number);
}

static int
write_all(int fd, const char *p, size_t n, uint64_t offset)
{
	while (n > 0) {
		struct iovec iov = { (void *)(uintptr_t)p, n };
		ssize_t done = pwritev(fd, &iov, 1, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_from_errno(errno);
		p += done;
		n -= (size_t)done;
		offset += (uint64_t)done;
	}
	return 0;
}

/* --- the list -------------------------------------------------------------------------------- */

struct segment *
segments_add(struct segments *s, uint32_t number)
{
	struct segment *seg = mem_zalloc(sizeof(*seg));

	seg->number = number;
	seg->fd = -1;
	pthread_mutex_lock(&s->lock);
	list_push_back(&s->all, &seg->node);
	map64_put(&s->by_number, number, seg);
	if (number > s->last_number)
		s->last_number = number;
	s->count++;
	pthread_mutex_unlock(&s->lock);
	return seg;
}

/* The struct stays until the end: a reader may be about to use it. */
void
segments_forget(struct segments *s, struct segment *seg)
{
	pthread_mutex_lock(&s->lock);
	list_remove(&seg->node);
	list_push_back(&s->gone, &seg->node);
	map64_del(&s->by_number, seg->number);
	s->count--;
	pthread_mutex_unlock(&s->lock);
}

static void
free_list(struct segments *s, struct list *l)
{
	LIST_EACH_SAFE(it, tmp, l) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		list_remove(it);
		fd_close(&seg->fd);
		mem_free(seg);
	}
	s->fds_open = 0;
}

struct segment *
segments_find(struct segments *s, uint32_t number)
{
	struct segment *seg;

	pthread_mutex_lock(&s->lock);
	seg = map64_get(&s->by_number, number);
	pthread_mutex_unlock(&s->lock);
	return seg;
}

uint32_t
segments_count(struct segments *s, enum segment_state state, enum segment_kind kind)
{
	uint32_t n = 0;

	pthread_mutex_lock(&s->lock);
	LIST_EACH(it, &s->all) {
		const struct segment *seg = LIST_ENTRY(it, struct segment, node);

		n += seg->state == state && (kind == SEGMENT_KIND_COUNT || seg->kind == kind);
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

void
segments_note(struct segments *s, uint64_t cursor, uint64_t next_number, uint64_t next_batch)
{
	pthread_mutex_lock(&s->lock);
	s->cursor = cursor > s->cursor ? cursor : s->cursor;
	s->next_number = next_number > s->next_number ? next_number : s->next_number;
	s->next_batch = next_batch > s->next_batch ? next_batch : s->next_batch;
	pthread_mutex_unlock(&s->lock);
}

/* --- descriptors ----------------------------------------------------------------------------- */

/* With the lock held: close the one that was not used for longest. */
static void
close_oldest(struct segments *s)
{
	struct segment *oldest = NULL;

	LIST_EACH(it, &s->all) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->fd >= 0 && seg->fd_users == 0 &&
		    (oldest == NULL || seg->fd_tick < oldest->fd_tick))
			oldest = seg;
	}
	if (oldest == NULL)
		return;
	fd_close(&oldest->fd);
	s->fds_open--;
}

int
segment_fd_get(struct segments *s, struct segment *seg)
{
	char name[32];
	int fd;

	pthread_mutex_lock(&s->lock);
	if (seg->fd < 0) {
		if (s->fds_open >= FDS_MAX)
			close_oldest(s);
		file_name(seg->number, name);
		seg->fd = openat(s->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		s->fds_open += seg->fd >= 0;
	}
	if (seg->fd >= 0)
		seg->fd_users++;
	seg->fd_tick = ++s->fd_tick;
	fd = seg->fd;
	pthread_mutex_unlock(&s->lock);
	return fd;
}

void
segment_fd_put(struct segments *s, struct segment *seg)
{
	pthread_mutex_lock(&s->lock);
	seg->fd_users--;
	pthread_mutex_unlock(&s->lock);
}

static ssize_t
read_some(int fd, char *p, size_t n, uint64_t offset, bool is_nowait)
{
	struct iovec iov = { p, n };

	if (!is_nowait)
		return pread(fd, p, n, (off_t)offset);
	return preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT);
}

static int
read_all(int fd, char *p, size_t n, uint64_t offset, bool is_nowait)
{
	while (n > 0) {
		ssize_t got = read_some(fd, p, n, offset, is_nowait);

		if (got < 0 && errno == EINTR)
			continue;
		/* A file system without RWF_NOWAIT: as if nothing were in memory. */
		if (got < 0)
			return errno == EOPNOTSUPP ? E_AGAIN : err_from_errno(errno);
		if (got == 0)
			return E_CORRUPT;
		p += got;
		n -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

int
segments_read(struct segments *s, uint32_t number, void *p, size_t n, uint64_t offset,
	      bool is_nowait, uint64_t *salt_out)
{
	struct segment *seg = segments_find(s, number);
	int fd, r;

	if (seg == NULL)
		return E_NOTFOUND;
	if ((fd = segment_fd_get(s, seg)) < 0)
		return err_from_errno(errno);
	r = read_all(fd, p, n, offset, is_nowait);
	segment_fd_put(s, seg);
	pthread_mutex_lock(&s->lock);
	*salt_out = seg->salt;
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* --- making, taking, sealing, retiring ------------------------------------------------------- */

/* A header with a new salt, synced. The salt in memory changes first: a reader that still has the old place sees
 * that it is no longer good. */
static int
put_header(struct segments *s, struct segment *seg, int fd, enum segment_kind kind)
{
	char block[RECORD_BLOCK_BYTES];
	struct segment_header h = {
		.number = seg->number, .kind = kind, .bytes = seg->size, .made_us = clock_wall_us()
	};
	int r;

	id_random(&h.salt, sizeof(h.salt));
	pthread_mutex_lock(&s->lock);
	h.cursor = s->cursor;
	h.next_number = s->next_number;
	h.next_batch = s->next_batch;
	seg->salt = h.salt;
	seg->kind = kind;
	seg->is_fresh = true;
	seg->end = RECORD_BLOCK_BYTES;
	seg->first_batch = 0;
	pthread_mutex_unlock(&s->lock);
	segment_put_header(block, &h);
	if ((r = write_all(fd, block, sizeof(block), 0)) < 0)
		return r;
	CRASHPOINT("segment-header-written");
	return fdatasync(fd) < 0 ? err_from_errno(errno) : 0;
}

/* Write the file full of zeros, in steps. */
static int
fill_zero(int fd, uint64_t size, bool (*stop)(void *arg), void *arg)
{
	char *zero = mem_zalloc(ZERO_STEP_BYTES);
	int r = 0;

	for (uint64_t at = 0; at < size && r == 0; at += ZERO_STEP_BYTES) {
		uint64_t n = size - at < ZERO_STEP_BYTES ? size - at : ZERO_STEP_BYTES;

		r = stop != NULL && stop(arg) ? E_AGAIN : write_all(fd, zero, (size_t)n, at);
		/* In steps to the disk as well: one large sync at the end would hold up the commits. */
		if (r == 0 && fdatasync(fd) < 0)
			r = err_from_errno(errno);
	}
	mem_free(zero);
	return r;
}

static int
allocate(int fd, uint64_t size)
{
	if (fallocate(fd, 0, 0, (off_t)size) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		return err_from_errno(errno);
	return ftruncate(fd, (off_t)size) < 0 ? err_from_errno(errno) : 0;
}

/* A new file with header; its directory entry is synced. The segment is in no list before all that is done. */
static int
make_file(struct segments *s, enum segment_kind kind, uint64_t size, bool is_zeroed,
	  bool (*stop)(void *arg), void *arg, struct segment **out)
{
	struct segment *seg;
	char name[32];
	uint32_t number;
	int fd, r;

	pthread_mutex_lock(&s->lock);
	number = ++s->last_number;
	pthread_mutex_unlock(&s->lock);
	file_name(number, name);
	fd = openat(s->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
	if (fd < 0)
		return err_from_errno(errno);
	struct segment fresh = { .number = number, .size = size };
	if ((r = allocate(fd, size)) == 0 && is_zeroed)
		r = fill_zero(fd, size, stop, arg);
	if (r == 0)
		r = put_header(s, &fresh, fd, kind);
	if (r == 0 && fsync(fd) < 0)
		r = err_from_errno(errno);
	if (r == 0 && fsync(s->dir_fd) < 0)
		r = err_from_errno(errno);
	fd_close(&fd);
	if (r < 0) {
		unlinkat(s->dir_fd, name, 0);
		return r;
	}
	seg = segments_add(s, number);
	pthread_mutex_lock(&s->lock);
	seg->kind = fresh.kind;
	seg->salt = fresh.salt;
	seg->size = size;
	seg->end = RECORD_BLOCK_BYTES;
	seg->is_fresh = true;
	seg->filled = is_zeroed ? size : RECORD_BLOCK_BYTES;
	seg->state =
		SEGMENT_RETIRING; /* nobody else takes it before its maker says what it is for */
	pthread_mutex_unlock(&s->lock);
	*out = seg;
	return 0;
}

static void
set_state(struct segments *s, struct segment *seg, enum segment_state state)
{
	pthread_mutex_lock(&s->lock);
	seg->state = state;
	pthread_mutex_unlock(&s->lock);
}

int
segments_make(struct segments *s, bool is_zeroed, bool (*stop)(void *arg), void *arg)
{
	struct segment *seg;
	int r;

	if ((r = make_file(s, SEGMENT_HOT, s->segment_bytes, is_zeroed, stop, arg, &seg)) < 0)
		return r;
	set_state(s, seg, SEGMENT_EMPTY);
	return 0;
}

/* The oldest empty one that is large enough, rather one whose blocks are all written. It is OPEN afterwards. */
static struct segment *
take_empty(struct segments *s, uint64_t min_bytes)
{
	struct segment *best = NULL;

	pthread_mutex_lock(&s->lock);
	LIST_EACH(it, &s->all) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->state != SEGMENT_EMPTY || seg->size < min_bytes + RECORD_BLOCK_BYTES)
			continue;
		if (best == NULL || (best->filled < best->size && seg->filled >= seg->size))
			best = seg;
	}
	if (best != NULL) {
		best->state = SEGMENT_OPEN;
		list_remove(&best->node);
		list_push_back(&s->all, &best->node);
	}
	pthread_mutex_unlock(&s->lock);
	return best;
}

/* Its kind stands in the header; and a segment that was found empty at start gets a new salt, in case that records of
 * its last use stand behind damage. */
static int
renew(struct segments *s, struct segment *seg, enum segment_kind kind)
{
	int fd, r;

	if (seg->kind == kind && seg->is_fresh)
		return 0;
	if ((fd = segment_fd_get(s, seg)) < 0)
		return err_from_errno(errno);
	r = put_header(s, seg, fd, kind);
	segment_fd_put(s, seg);
	return r;
}

int
segments_take(struct segments *s, enum segment_kind kind, uint64_t min_bytes, struct segment **out)
{
	struct segment *seg = take_empty(s, min_bytes);
	uint64_t size = s->segment_bytes;
	int r;

	if (seg != NULL) {
		/* A header that could not be written: repeated like any other retirement. */
		if ((r = renew(s, seg, kind)) < 0) {
			set_state(s, seg, SEGMENT_FULL);
			return r;
		}
		*out = seg;
		return 0;
	}
	if (size < min_bytes + RECORD_BLOCK_BYTES)
		size = (min_bytes / RECORD_BLOCK_BYTES + 2) * RECORD_BLOCK_BYTES;
	if ((r = make_file(s, kind, size, false, NULL, NULL, &seg)) < 0)
		return r;
	set_state(s, seg, SEGMENT_OPEN);
	*out = seg;
	return 0;
}

void
segment_appended(struct segments *s, struct segment *seg, uint64_t end, uint64_t filled,
		 uint64_t batch)
{
	pthread_mutex_lock(&s->lock);
	seg->end = end;
	if (filled > seg->filled)
		seg->filled = filled;
	seg->is_fresh = false;
	if (seg->first_batch == 0)
		seg->first_batch = batch;
	pthread_mutex_unlock(&s->lock);
}

int
segments_probe(struct segments *s)
{
	struct segment *seg = take_empty(s, 0);
	int r;

	if (seg == NULL)
		return segments_make(s, false, NULL, NULL);
	if ((r = segments_retire(s, seg)) < 0)
		set_state(s, seg, SEGMENT_FULL);
	return r;
}

void
segment_seal(struct segments *s, struct segment *seg, uint64_t end)
{
	pthread_mutex_lock(&s->lock);
	seg->state = SEGMENT_FULL;
	seg->is_fresh = false;
	seg->end = end;
	pthread_mutex_unlock(&s->lock);
}

int
segments_retire(struct segments *s, struct segment *seg)
{
	int fd, r;

	if ((fd = segment_fd_get(s, seg)) < 0)
		return err_from_errno(errno);
	r = put_header(s, seg, fd, SEGMENT_HOT);
	segment_fd_put(s, seg);
	if (r < 0)
		return r;
	pthread_mutex_lock(&s->lock);
	seg->live_messages = seg->live_bytes = 0;
	seg->state = SEGMENT_EMPTY;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

bool
segments_withdraw(struct segments *s, struct segment *seg)
{
	bool is_ours;

	pthread_mutex_lock(&s->lock);
	is_ours = seg->state == SEGMENT_EMPTY;
	if (is_ours)
		seg->state = SEGMENT_RETIRING;
	pthread_mutex_unlock(&s->lock);
	return is_ours;
}

int
segments_remove(struct segments *s, struct segment *seg)
{
	char name[32];

	file_name(seg->number, name);
	if (unlinkat(s->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	segments_forget(s, seg);
	return 0;
}

/* --- the end --------------------------------------------------------------------------------- */

void
segments_close(struct segments *s)
{
	free_list(s, &s->all);
	free_list(s, &s->gone);
	map64_clear(&s->by_number);
	pthread_mutex_destroy(&s->lock);
}
