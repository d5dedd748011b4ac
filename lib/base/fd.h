/* SPDX-License-Identifier: ISC */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stdbool.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/span.h"

void fd_close(int *fd); /* closes if >= 0 and sets -1; keeps errno */
int fd_set_nonblock(int fd) MUST_CHECK;
int fd_set_cloexec(int fd, bool is_on) MUST_CHECK;
int fd_write_all(int fd, const void *p,
		 size_t n) MUST_CHECK; /* loops over short writes and EINTR; E_* of errno */
int fd_pwrite_all(int fd, const void *p, size_t n, off_t off) MUST_CHECK;
int fd_pread_all(int fd, void *p, size_t n,
		 off_t off) MUST_CHECK; /* E_CORRUPT at a premature end */
struct buf;
int fd_read_file(int fd, size_t max_bytes,
		 struct buf *out) MUST_CHECK; /* whole file from offset 0; E_TOOBIG */
/* openat2 with RESOLVE_BENEATH|RESOLVE_NO_MAGICLINKS and O_CLOEXEC: no component leads out of dir. fd or E_*. */
int fd_open_beneath(int dir, const char *path, int flags, mode_t mode) MUST_CHECK;
int fd_socketpair(int out[2]) MUST_CHECK; /* AF_UNIX SOCK_STREAM, CLOEXEC, non-blocking */

#endif
