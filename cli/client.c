/* SPDX-License-Identifier: ISC
 *
 * The asking side of control.sock, for the subcommands of `postern`. Blocking: the program has nothing else to do. Runs
 * as whoever calls it.
 */
/* System */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"

/* this program */
#include "cli/client.h"

static int
connect_to(const char *path)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		int e = errno;
		close(fd);
		errno = e;
		return -1;
	}
	return fd;
}

static int
open_socket(const char *run_dir, int *fd_out)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/control.sock", run_dir);
	*fd_out = connect_to(path);
	if (*fd_out >= 0)
		return 0;
	if (errno == ENOENT || errno == ECONNREFUSED)
		fprintf(stderr,
			"postern: no server answers at %s; start it with `postern start`, or name "
			"its "
			"configuration with -c FILE\n",
			path);
	else
		fprintf(stderr, "postern: %s: %s\n", path, strerror(errno));
	return errno == EACCES ? EX_NOPERM : EX_UNAVAILABLE;
}

static int
exit_code(int code)
{
	switch (code) {
	case 0:
		return EX_OK;
	case E_ACCESS:
		return EX_NOPERM;
	case E_PEERGONE:
	case E_AGAIN:
	case E_TIMEOUT:
		return EX_TEMPFAIL;
	case E_SYNTAX:
	case E_ADDR_SYNTAX:
		return EX_USAGE;
	case E_NOTFOUND:
		return EX_DATAERR;
	case E_CONFIG:
		return EX_CONFIG;
	default:
		return EX_SOFTWARE;
	}
}

/* Read more bytes. 0: some came. */
static int
read_more(int fd, struct buf *in)
{
	char *room = buf_room(in, 65536);
	ssize_t r;

	if (room == NULL) {
		fprintf(stderr, "postern: the server's answer is too long\n");
		return EX_PROTOCOL;
	}
	do
		r = read(fd, room, 65536);
	while (r < 0 && errno == EINTR);
	if (r <= 0) {
		fprintf(stderr, "postern: the server ended the connection; see its log\n");
		return EX_TEMPFAIL;
	}
	buf_added(in, (size_t)r);
	return 0;
}

/* DONE: its error, if any, for the person. */
static int
finish(const struct admin_answer *a, struct admin_answer *done)
{
	if (done != NULL) {
		*done = *a;
		done->bytes = SPAN_NONE;
	}
	if (a->code != 0)
		fprintf(stderr, "postern: %.*s\n",
			SPAN_ARG(a->bytes.n > 0 ? a->bytes : span_of(err_info(-a->code)->text)));
	return exit_code(-a->code);
}

static int
read_answers(int fd, int (*fn)(void *arg, const struct admin_answer *a), void *arg,
	     struct admin_answer *done)
{
	struct buf in;
	struct admin_answer a;
	size_t at = 0;
	int r = 0;

	buf_init(&in, 4 * ADMIN_ANSWER_MAX);
	for (;;) {
		uint32_t n = in.n - at >= ADMIN_HEAD_BYTES ? admin_frame_len(in.p + at)
							   : UINT32_MAX;
		if (n != UINT32_MAX && in.n - at - ADMIN_HEAD_BYTES >= n) {
			if (admin_get_answer(span_make(in.p + at + ADMIN_HEAD_BYTES, n), &a) < 0) {
				fprintf(stderr,
					"postern: the server is of another version; restart it\n");
				r = EX_PROTOCOL;
				break;
			}
			at += ADMIN_HEAD_BYTES + n;
			if (a.kind == ADMIN_DONE) {
				r = finish(&a, done);
				break;
			}
			if ((r = fn(arg, &a)) != 0)
				break;
			continue;
		}
		buf_drop(&in, at);
		at = 0;
		if ((r = read_more(fd, &in)) != 0)
			break;
	}
	buf_clear(&in);
	return r;
}

int
client_ask(const char *run_dir, const struct admin_request *r,
	   int (*fn)(void *arg, const struct admin_answer *a), void *arg, struct admin_answer *done)
{
	struct buf out;
	int fd, x;

	buf_init(&out, ADMIN_REQUEST_MAX + 64);
	admin_put_request(&out, r);
	if (buf_check(&out) < 0) {
		fprintf(stderr,
			"postern: too many arguments; give a filter instead of single ids\n");
		buf_clear(&out);
		return EX_USAGE;
	}
	if ((x = open_socket(run_dir, &fd)) == 0) {
		if (fd_write_all(fd, out.p, out.n) < 0) {
			fprintf(stderr, "postern: the server ended the connection; see its log\n");
			x = EX_TEMPFAIL;
		} else {
			x = read_answers(fd, fn, arg, done);
		}
		fd_close(&fd);
	}
	buf_clear(&out);
	return x;
}

void
client_put_arg(struct buf *args, const char *text)
{
	buf_put_bytes(args, span_of(text));
}
