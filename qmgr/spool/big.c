/* SPDX-License-Identifier: ISC
 *
 * Content that is too long for a record, each in a file <qid>.big of its own: written while it arrives, synced with its
 * folder before the reference record is committed, removed when the message is done. Who waits for what: intake.c. All
 * work with the file is done on the disk thread, in order; the bookkeeping on the loop. Runs in qmgr.
 *
 * Crash: a file that no live message names is removed at start: its message was never answered, or is finished. */

/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/crc.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/spool/spool_int.h"

enum {
	BIG_STEP_BYTES = 8 * 1024 * 1024
}; /* the file grows by so much, so that few writes touch its metadata */

struct big {
	struct spool *sp;
	uint64_t qid;
	char name[32];
	uint64_t length; /* given so far */
	uint32_t crc;
	uint32_t jobs; /* on the disk thread */
	bool is_freed, is_kept;
	bool is_counted; /* its message was stored */
	/* On the disk thread: */
	int fd;
	uint64_t written, allocated;
	int err; /* the first failure; all later work fails with it */
};

enum big_work { BIG_WRITE, BIG_SYNC, BIG_CLOSE };

struct big_job {
	struct worker_job job;
	struct big *b;
	enum big_work work;
	char *p;
	size_t n;
	int err;
	uint64_t removed_bytes; /* BIG_CLOSE: of the file that went */
	void (*wrote)(void *arg, int err, size_t n);
	void (*synced)(void *arg, int err);
	void *arg;
};

void
big_name(uint64_t qid, char out[32])
{
	snprintf(out, 32, "%016llx.big", (unsigned long long)qid);
}

/* --- on the disk thread ---------------------------------------------------------------------- */

static int
write_more(struct big *b, const char *p, size_t n)
{
	if (b->fd < 0) {
		b->fd = openat(b->sp->segments_fd, b->name,
			       O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (b->fd < 0)
			return err_from_errno(errno);
	}
	if (b->written + n > b->allocated) {
		/* Only saves metadata; a full disk shows at the write. */
		if (fallocate(b->fd, FALLOC_FL_KEEP_SIZE, (off_t)b->allocated, BIG_STEP_BYTES) <
			    0 &&
		    errno == ENOSPC)
			return E_NOSPACE;
		b->allocated += BIG_STEP_BYTES;
	}
	return fd_pwrite_all(b->fd, p, n, (off_t)b->written);
}

static int
sync_all(struct big *b)
{
	if (b->fd < 0)
		return E_IO;
	if (ftruncate(b->fd, (off_t)b->written) < 0)
		return err_from_errno(errno);
	if (fsync(b->fd) < 0 || fsync(b->sp->segments_fd) < 0)
		return err_from_errno(errno);
	CRASHPOINT("big-synced");
	return 0;
}

static int
remove_file(struct big *b, uint64_t *bytes_out)
{
	struct stat st;

	if (fstatat(b->sp->segments_fd, b->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		*bytes_out = (uint64_t)st.st_size;
	if (unlinkat(b->sp->segments_fd, b->name, 0) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	return 0;
}

static void
big_run(struct worker_job *job)
{
	struct big_job *j = (struct big_job *)(void *)job;
	struct big *b = j->b;

	if (j->work == BIG_CLOSE) {
		fd_close(&b->fd);
		if (!b->is_kept)
			j->err = remove_file(b, &j->removed_bytes);
		return;
	}
	if (b->err == 0 && j->work == BIG_WRITE) {
		b->err = write_more(b, j->p, j->n);
		b->written += b->err == 0 ? j->n : 0;
	}
	if (b->err == 0 && j->work == BIG_SYNC)
		b->err = sync_all(b);
	j->err = b->err;
}

/* --- on the loop ----------------------------------------------------------------------------- */

void
big_count(struct spool *sp, int delta, uint64_t bytes)
{
	sp->stats.big_files += (uint64_t)(int64_t)delta;
	sp->stats.big_bytes += (uint64_t)((int64_t)delta * (int64_t)bytes);
}

static void
big_done(struct worker_job *job)
{
	struct big_job *j = (struct big_job *)(void *)job;
	struct big *b = j->b;

	b->jobs--;
	if (j->work == BIG_CLOSE) {
		if (j->err < 0)
			log_warn("segments/%s cannot be removed: %s", b->name,
				 err_info(j->err)->text);
		if (b->is_counted && j->removed_bytes > 0)
			big_count(b->sp, -1, j->removed_bytes);
		mem_free(b);
	} else if (!b->is_freed && j->work == BIG_WRITE) {
		j->wrote(j->arg, j->err, j->n);
	} else if (!b->is_freed && j->work == BIG_SYNC) {
		j->synced(j->arg, j->err);
	}
	mem_free(j->p);
	mem_free(j);
}

static struct big_job *
submit(struct big *b, enum big_work work, struct span data)
{
	struct big_job *j = mem_zalloc(sizeof(*j));

	j->job = (struct worker_job){ .run = big_run, .done = big_done };
	j->b = b;
	j->work = work;
	if (data.n > 0) {
		j->p = mem_dup_span(data);
		j->n = data.n;
	}
	b->jobs++;
	/* Writing zeros into a new segment gives way. */
	atomic_store(&b->sp->space.is_busy, true);
	return j;
}

struct big *
big_new(struct spool *sp, uint64_t qid)
{
	struct big *b = mem_zalloc(sizeof(*b));

	b->sp = sp;
	b->qid = qid;
	b->fd = -1;
	big_name(qid, b->name);
	return b;
}

void
big_write(struct big *b, struct span data, void (*wrote)(void *arg, int err, size_t n), void *arg)
{
	struct big_job *j = submit(b, BIG_WRITE, data);

	b->crc = crc32c(b->crc, data.p, data.n);
	b->length += data.n;
	j->wrote = wrote;
	j->arg = arg;
	worker_submit(b->sp->disk_thread, &j->job);
}

void
big_sync(struct big *b, void (*done)(void *arg, int err), void *arg)
{
	struct big_job *j = submit(b, BIG_SYNC, SPAN_NONE);

	j->synced = done;
	j->arg = arg;
	worker_submit(b->sp->disk_thread, &j->job);
}

uint64_t
big_length(const struct big *b)
{
	return b->length;
}

uint32_t
big_crc(const struct big *b)
{
	return b->crc;
}

void
big_free(struct big **bp, bool is_kept)
{
	struct big *b = *bp;
	struct big_job *j;

	*bp = NULL;
	if (b == NULL)
		return;
	b->is_freed = true;
	b->is_kept = is_kept;
	j = submit(b, BIG_CLOSE, SPAN_NONE);
	worker_submit(b->sp->disk_thread, &j->job);
}

void
big_remove(struct spool *sp, uint64_t qid)
{
	struct big *b = big_new(sp, qid);

	b->is_counted = true;
	big_free(&b, false);
}

/* --- start ----------------------------------------------------------------------------------- */

/* "<16 hexadecimal digits>.big" */
static bool
parse_name(const char *name, uint64_t *qid)
{
	char back[32];
	unsigned long long value = 0;
	int end = 0;

	if (sscanf(name, "%16llx.big%n", &value, &end) != 1 || end == 0)
		return false;
	*qid = value;
	big_name(value, back);
	return strcmp(back, name) == 0;
}

/* Is it the content of a message that has a row, or that the scan found unfinished? */
static bool
is_live(struct spool *sp, uint64_t qid)
{
	struct spool_slot slot;

	if (store_has_qid(sp->store, qid))
		return true;
	return spool_find_qid(sp, qid, &slot) == 0 && slot.pending > 0;
}

int
big_clean(struct spool *sp)
{
	int fd = openat(sp->segments_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	struct dirent *entry;
	uint64_t qid;
	DIR *dir;

	if (fd < 0 || (dir = fdopendir(fd)) == NULL) {
		r = err_from_errno(errno);
		fd_close(&fd);
		return r;
	}
	while ((entry = readdir(dir)) != NULL) {
		struct stat st = { 0 };

		if (!parse_name(entry->d_name, &qid))
			continue;
		if (is_live(sp, qid)) {
			fstatat(sp->segments_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW);
			big_count(sp, 1, (uint64_t)st.st_size);
			continue;
		}
		if (unlinkat(sp->segments_fd, entry->d_name, 0) < 0)
			log_warn("segments/%s belongs to no message and cannot be removed: %s",
				 entry->d_name, strerror(errno));
	}
	closedir(dir);
	return 0;
}
