/* SPDX-License-Identifier: ISC
 *
 * Finds the running server by its pid file, and the master program by the place of this one. Starts and signals nothing
 * (run.c). */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sysexits.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
/* this program */
#include "cli/server.h"

/* The pid of the file, 0: none. */
static pid_t
read_pid(int fd)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	uint64_t pid;
	struct span s = span_make(text, n > 0 ? (size_t)n : 0);

	while (s.n > 0 && (s.p[s.n - 1] == '\n' || s.p[s.n - 1] == ' '))
		s.n--;
	return span_to_u64(s, INT_MAX, &pid) == 0 ? (pid_t)pid : 0;
}

/* Does somebody hold the lock? Trying takes it for a moment, which could stop a server that starts now; so it is tried
 * only where the process of the file lives. */
static bool
is_held(int fd, pid_t pid)
{
	if (pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH))
		return false;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0)
		return errno == EWOULDBLOCK;
	flock(fd, LOCK_UN);
	return false;
}

void
server_find(const struct conf *c, struct server *out)
{
	int fd;

	*out = (struct server){ .state = SERVER_STOPPED, .pidfd = -1 };
	snprintf(out->pid_file, sizeof(out->pid_file), "%s/postern.pid", c->directories.run);
	fd = open(out->pid_file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			out->state = SERVER_UNKNOWN;
		return;
	}
	out->pid = read_pid(fd);
	/* First the handle, then the question: what is held after it is the process of the handle. */
	out->pidfd = out->pid > 0 ? pidfd_open(out->pid, 0) : -1;
	out->state = is_held(fd, out->pid) && out->pidfd >= 0 ? SERVER_RUNNING : SERVER_DEAD;
	if (out->state == SERVER_DEAD)
		fd_close(&out->pidfd);
	fd_close(&fd);
}

void
server_clear(struct server *s)
{
	fd_close(&s->pidfd);
}

int
server_master_path(char *out, size_t n)
{
	char self[PATH_MAX], *slash;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0) {
		fprintf(stderr, "postern: /proc/self/exe: %s; mount /proc\n", strerror(errno));
		return EX_OSERR;
	}
	self[len] = '\0';
	for (int up = 0; up < 2; up++) { /* bin/postern -> its parent */
		if ((slash = strrchr(self, '/')) != NULL)
			*slash = '\0';
	}
	if (snprintf(out, n, "%s/libexec/postern/master", self) >= (int)n ||
	    access(out, X_OK) < 0) {
		fprintf(stderr, "postern: %s: %s; build or install the whole of Postern\n", out,
			strerror(errno));
		return EX_OSERR;
	}
	return 0;
}
