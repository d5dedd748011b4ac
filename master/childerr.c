/* SPDX-License-Identifier: ISC
 *
 * The stderr of children while the server is a daemon: one pipe to master, so that no child holds the terminal of whoever
 * started the server, and what a library or a dying process writes there is not lost. Until the start is over the lines
 * go to master's own stderr, then to the log. In the foreground children write to stderr themselves. Runs in master.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"

/* this program */
#include "master/master.h"

#define LINE_MAX_BYTES 1000

static struct buf partial; /* a line that is not whole yet */
static int read_fd = -1;

static void
put_line(struct master *m, struct span line)
{
	if (line.n == 0)
		return;
	if (m->is_ready) {
		log_warn("%.*s", SPAN_ARG(line));
		return;
	}
	(void)!fd_write_all(STDERR_FILENO, line.p, line.n);
	(void)!fd_write_all(STDERR_FILENO, "\n", 1);
}

static void
take(struct master *m, struct span bytes)
{
	while (bytes.n > 0) {
		ptrdiff_t end = span_chr(bytes, '\n');
		size_t n = end >= 0 ? (size_t)end : bytes.n;
		size_t room = LINE_MAX_BYTES - partial.n;

		buf_put_span(&partial, span_sub(bytes, 0, n < room ? n : room));
		if (end >= 0 || n >= room) {
			put_line(m, buf_span(&partial));
			buf_reset(&partial);
		}
		bytes = end >= 0 ? span_sub(bytes, n + 1, bytes.n)
				 : span_sub(bytes, n < room ? n : room, bytes.n);
	}
}

void
childerr_drain(struct master *m)
{
	char bytes[4096];
	ssize_t n;

	while (read_fd >= 0 && (n = read(read_fd, bytes, sizeof(bytes))) > 0)
		take(m, span_make(bytes, (size_t)n));
}

void
childerr_open(struct master *m)
{
	int fds[2];

	m->child_stderr = -1;
	buf_init(&partial, LINE_MAX_BYTES);
	if (!m->opts.is_daemon)
		return;
	if (pipe2(fds, O_CLOEXEC) < 0 || fd_set_nonblock(fds[0]) < 0)
		die_temp("no pipe for the stderr of children: %s", strerror(errno));
	read_fd = fds[0];
	m->child_stderr = fds[1];
	loop_watch(m, read_fd, childerr_drain);
}
