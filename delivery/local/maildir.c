/* SPDX-License-Identifier: ISC
 *
 * Puts files into Maildirs: tmp/, fsync, new/, fsync of the folder. It knows nothing of envelopes, jobs or the loop. Runs
 * in the mailbox agent, on worker threads, as the owner of the mailboxes, with descriptors of the mailbox bases only.
 * Maildir as in maildir(5) of qmail.
 *
 * Crash table:  before the rename    a file in tmp/, removed after 36 h; the job is delivered again
 *               after the rename     the mail is there; delivered again if the result was not reported: a duplicate
 *               before fsync(new/)   the same, or as before the rename */

/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
/* this program */
#include "delivery/local/maildir.h"

enum {
	WRITE_BYTES = 131072,
	STALE_S = 36 * 3600,
	STALE_SCAN_MAX = 1000, /* entries of tmp/ looked at */
	NAME_TRIES = 100,
	PATH_MAX_BYTES = 4096,
	DIR_MODE = 0700,
	FILE_MODE = 0600,
};

static char host[100] = "localhost";
static atomic_uint_least64_t sequence;

void
maildir_set_host(const char *hostname)
{
	struct buf b;

	buf_init(&b, sizeof(host) - 5);
	for (const char *p = hostname; *p != '\0' && b.n < sizeof(host) - 10; p++) {
		if (*p == '/' || *p == ':')
			buf_printf(&b, "\\%03o", (unsigned)*p);
		else if ((unsigned char)*p > 32 && *p != ',')
			buf_putc(&b, *p);
	}
	if (b.n > 0)
		memcpy(host, buf_cstr(&b), b.n + 1);
	buf_clear(&b);
}

/* errno as an error of this step. */
static int
fail(struct maildir_error *err, const char *step)
{
	*err = (struct maildir_error){ err_from_errno(errno), errno, step };
	return err->code;
}

/* ---- folders ---- */

static int
open_dir(int base, const char *path, int flags)
{
	return fd_open_beneath(base, path, flags | O_DIRECTORY, 0);
}

static int
sync_dir(int base, const char *path)
{
	int fd = open_dir(base, path, O_RDONLY), r;

	if (fd < 0)
		return -1;
	r = fsync(fd);
	fd_close(&fd);
	return r;
}

/* Make the folder at path, whose parent is there, and make its entry durable. */
static int
make_dir(int base, const char *path)
{
	char parent[PATH_MAX_BYTES] = ".";
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	int fd, r;

	if (slash != NULL) {
		memcpy(parent, path, (size_t)(slash - path));
		parent[slash - path] = '\0';
	}
	if ((fd = open_dir(base, parent, O_PATH)) < 0)
		return -1;
	r = mkdirat(fd, name, DIR_MODE);
	fd_close(&fd);
	if (r < 0 && errno != EEXIST)
		return -1;
	return r < 0 ? 0 : sync_dir(base, parent);
}

/* Make every folder of path that is missing. */
static int
make_path(int base, const char *path)
{
	char part[PATH_MAX_BYTES];

	for (const char *slash = path; slash != NULL && *slash != '\0';) {
		int fd;

		slash = strchr(slash, '/');
		size_t n = slash != NULL ? (size_t)(slash - path) : strlen(path);
		memcpy(part, path, n);
		part[n] = '\0';
		if (slash != NULL)
			slash++;
		fd = open_dir(base, part, O_PATH);
		if (fd < 0 && errno != ENOENT)
			return -1;
		if (fd < 0 && make_dir(base, part) < 0)
			return -1;
		fd_close(&fd);
	}
	return 0;
}

/* tmp, new or cur of a Maildir. */
static int
open_part(int dir, const char *name)
{
	int fd = open_dir(dir, name, O_RDONLY | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT && make_dir(dir, name) == 0)
		fd = open_dir(dir, name, O_RDONLY | O_NOFOLLOW);
	return fd;
}

static void
remove_if_stale(int tmp, const char *name, time_t now)
{
	struct stat st;

	if (fstatat(tmp, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return;
	if (st.st_mtime < now - STALE_S && st.st_ctime < now - STALE_S)
		(void)unlinkat(tmp, name, 0);
}

struct dirent64_head {
	uint64_t ino, off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/* What deliveries left behind that never ended. opendir(3) wants a descriptor of its own, so the kernel is asked. */
static void
clean_tmp(int tmp)
{
	_Alignas(8) char list[8192];
	time_t now = (time_t)(clock_wall_ms() / 1000);
	unsigned seen = 0;
	long n;

	while (seen < STALE_SCAN_MAX &&
	       (n = syscall(SYS_getdents64, tmp, list, sizeof(list))) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent64_head *d = (const void *)(list + at);

			if (d->name[0] != '.')
				remove_if_stale(tmp, d->name, now);
			at += d->reclen;
			seen++;
		}
	}
}

/* One that leads out of the base, or tries to, is refused before the kernel is asked. */
static bool
is_plain_path(const char *path)
{
	struct span rest = span_of(path), part;

	if (rest.n == 0 || rest.n >= PATH_MAX_BYTES - 8 || path[0] == '/')
		return false;
	while (span_next(&rest, '/', &part)) {
		if (span_eq(part, SPAN("..")) || part.n > 255)
			return false;
	}
	return true;
}

int
maildir_open(int base, const char *path, struct maildir *m, struct maildir_error *err)
{
	char dir[PATH_MAX_BYTES];
	size_t n = strlen(path);

	*m = (struct maildir){ -1, -1, -1 };
	errno = EINVAL;
	if (!is_plain_path(path))
		return fail(err, "take this path");
	while (n > 0 && path[n - 1] == '/')
		n--;
	memcpy(dir, path, n);
	dir[n] = '\0';
	m->dir = open_dir(base, dir, O_RDONLY);
	if (m->dir < 0 && errno == ENOENT && make_path(base, dir) == 0)
		m->dir = open_dir(base, dir, O_RDONLY);
	if (m->dir < 0)
		return fail(err, "open or make the Maildir");
	if ((m->tmp = open_part(m->dir, "tmp")) >= 0 &&
	    (m->fresh = open_part(m->dir, "new")) >= 0) {
		int cur = open_part(m->dir, "cur");
		if (cur >= 0) {
			fd_close(&cur);
			clean_tmp(m->tmp);
			return 0;
		}
	}
	(void)fail(err, "open or make tmp, new and cur of the Maildir");
	maildir_close(m);
	return err->code;
}

void
maildir_close(struct maildir *m)
{
	fd_close(&m->dir);
	fd_close(&m->tmp);
	fd_close(&m->fresh);
}

/* ---- files ---- */

static void
make_name(struct maildir_file *f)
{
	uint64_t us = clock_wall_us();

	snprintf(f->name, sizeof(f->name), "%llu.M%lluP%dQ%llu.%s",
		 (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000),
		 (int)getpid(), (unsigned long long)atomic_fetch_add(&sequence, 1), host);
}

int
maildir_begin(struct maildir *m, struct maildir_file *f, struct maildir_error *err)
{
	*f = (struct maildir_file){ .fd = -1 };
	buf_init(&f->out, 2 * WRITE_BYTES);
	for (int i = 0; i < NAME_TRIES && f->fd < 0; i++) {
		make_name(f);
		f->fd = fd_open_beneath(m->tmp, f->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW,
					FILE_MODE);
		if (f->fd < 0 && errno != EEXIST)
			break;
	}
	if (f->fd >= 0)
		return 0;
	f->fd = -1;
	return fail(err, "make a file in tmp");
}

static int
write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -1;
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

static int
write_out(struct maildir_file *f, struct maildir_error *err)
{
	if (write_all(f->fd, f->out.p, f->out.n) < 0)
		return fail(err, "write");
	f->size += f->out.n;
	buf_reset(&f->out);
	return 0;
}

/* One piece, small enough for the buffer. */
static void
put_piece(struct maildir_file *f, struct span in)
{
	if (f->has_cr && in.n > 0 && *in.p != '\n')
		buf_putc(&f->out, '\r');
	while (in.n > 0) {
		const char *cr = memchr(in.p, '\r', in.n);
		size_t n = cr != NULL ? (size_t)(cr - in.p) : in.n;

		buf_put(&f->out, in.p, n);
		f->has_cr = cr != NULL;
		in = span_sub(in, n + f->has_cr, in.n);
		if (f->has_cr && in.n > 0 && *in.p != '\n')
			buf_putc(&f->out, '\r');
	}
}

int
maildir_write(struct maildir_file *f, struct span bytes, struct maildir_error *err)
{
	int r;

	while (bytes.n > 0) {
		struct span piece = span_sub(bytes, 0, WRITE_BYTES / 2);

		put_piece(f, piece);
		bytes = span_sub(bytes, piece.n, bytes.n);
		if (f->out.n >= WRITE_BYTES && (r = write_out(f, err)) < 0)
			return r;
	}
	return 0;
}

int
maildir_flush(struct maildir_file *f, struct maildir_error *err)
{
	if (f->has_cr)
		buf_putc(&f->out, '\r');
	f->has_cr = false;
	return write_out(f, err);
}

int
maildir_copy(struct maildir_file *f, struct maildir_file *from, uint64_t offset,
	     struct maildir_error *err)
{
	int r = maildir_flush(f, err);

	while (r == 0 && offset < from->size) {
		uint64_t left = from->size - offset;
		size_t n = left < WRITE_BYTES ? (size_t)left : WRITE_BYTES;
		char *room = buf_room(&f->out, n);

		if (fd_pread_all(from->fd, room, n, (off_t)offset) < 0)
			return fail(err, "read");
		buf_added(&f->out, n);
		offset += n;
		r = write_out(f, err);
	}
	return r;
}

/* Where renameat2 with a flag is not known (NFS, some FUSE), a hard link does the same in two steps. */
static int
move_to_new(const struct maildir *m, const char *from, const char *to)
{
	if (renameat2(m->tmp, from, m->fresh, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	if (linkat(m->tmp, from, m->fresh, to, 0) < 0)
		return -1;
	(void)unlinkat(m->tmp, from, 0);
	return 0;
}

int
maildir_commit(struct maildir *m, struct maildir_file *f, struct maildir_error *err)
{
	char name[MAILDIR_NAME_MAX + 32];
	int r = maildir_flush(f, err);

	if (r < 0)
		return r;
	if (fsync(f->fd) < 0)
		return fail(err, "fsync");
	/* S= spares quota code a stat of each file (Maildir++). */
	snprintf(name, sizeof(name), "%s,S=%llu", f->name, (unsigned long long)f->size);
	if (move_to_new(m, f->name, name) < 0)
		return fail(err, "move a file from tmp to new");
	memcpy(f->name, name, strlen(name) < sizeof(f->name) ? strlen(name) + 1 : sizeof(f->name));
	f->name[sizeof(f->name) - 1] = '\0';
	return 0;
}

int
maildir_sync(struct maildir *m, struct maildir_error *err)
{
	return fsync(m->fresh) < 0 ? fail(err, "fsync new") : 0;
}

void
maildir_abort(struct maildir *m, struct maildir_file *f)
{
	if (f->fd >= 0)
		(void)unlinkat(m->tmp, f->name, 0);
	maildir_file_clear(f);
}

void
maildir_take_back(struct maildir *m, struct maildir_file *f)
{
	(void)unlinkat(m->fresh, f->name, 0);
	maildir_file_clear(f);
}

void
maildir_file_clear(struct maildir_file *f)
{
	fd_close(&f->fd);
	buf_clear(&f->out);
}
