/* SPDX-License-Identifier: ISC
 *
 * File descriptors: closed once, written and read whole, opened without leaving a folder. It decides nothing about
 * durability: fsync is the caller's. Used by every process; the calls work under the rights that the process has. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
/* lib */
#include "base/buf.h"
#include "base/fd.h"

void
fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

int
fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_from_errno(errno);
	return 0;
}

int
fd_set_cloexec(int fd, bool is_on)
{
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0)
		return err_from_errno(errno);
	flags = is_on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC;
	return fcntl(fd, F_SETFD, flags) < 0 ? err_from_errno(errno) : 0;
}

int
fd_write_all(int fd, const void *p, size_t n)
{
	const char *from = p;

	while (n > 0) {
		ssize_t done = write(fd, from, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_from_errno(errno);
		from += done;
		n -= (size_t)done;
	}
	return 0;
}

int
fd_pwrite_all(int fd, const void *p, size_t n, off_t off)
{
	const char *from = p;

	while (n > 0) {
		ssize_t done = pwrite(fd, from, n, off);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_from_errno(errno);
		from += done;
		off += done;
		n -= (size_t)done;
	}
	return 0;
}

int
fd_pread_all(int fd, void *p, size_t n, off_t off)
{
	char *to = p;

	while (n > 0) {
		ssize_t done = pread(fd, to, n, off);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_from_errno(errno);
		if (done == 0)
			return E_CORRUPT;
		to += done;
		off += done;
		n -= (size_t)done;
	}
	return 0;
}

int
fd_read_file(int fd, size_t max_bytes, struct buf *out)
{
	off_t off = 0;

	for (;;) {
		char chunk[16384];
		ssize_t got = pread(fd, chunk, sizeof(chunk), off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_from_errno(errno);
		if (got == 0)
			return buf_check(out);
		off += got;
		/* By what was read, not by st_size: the file may grow meanwhile, and one in /proc has no size. */
		if ((uint64_t)off > max_bytes)
			return E_TOOBIG;
		buf_put(out, chunk, (size_t)got);
	}
}

int
fd_open_beneath(int dir, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		/* The kernel refuses a mode where nothing can be created. */
		.mode = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	/* EAGAIN: something was renamed while the path was walked. */
	for (int tries = 0;; tries++) {
		long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		if (errno == EINTR || (errno == EAGAIN && tries < 100))
			continue;
		/* The path leads out of dir, or through a link that may not be followed. */
		if (errno == EXDEV || errno == ELOOP)
			return E_ACCESS;
		return err_from_errno(errno);
	}
}

int
fd_socketpair(int out[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, out) < 0)
		return err_from_errno(errno);
	return 0;
}
