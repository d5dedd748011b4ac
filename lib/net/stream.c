/* SPDX-License-Identifier: ISC
 *
 * Connections driven by the loop: reading into one buffer of the process, keeping what the owner does not take, sending
 * what the socket takes. It understands none of the bytes and has no timers. Runs in smtpd, with no rights but its
 * sockets. */

/* System */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* Third party */
#include <uv.h>
/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/stream.h"

enum {
	READ_BYTES = 65536,
	KEEP_BYTES = 16384 /* no more is read while so much is kept */
};

void
stream_set_init(struct stream_set *set, uv_loop_t *loop)
{
	set->loop = loop;
	set->buf = mem_alloc(READ_BYTES + KEEP_BYTES);
}

void
stream_set_clear(struct stream_set *set)
{
	mem_free(set->buf);
	set->buf = NULL;
}

static void on_poll(uv_poll_t *poll, int status, int events);

/* Poll for what is wanted; a system call only when that changes. */
static void
update_poll(struct stream *st)
{
	bool wants_read = !st->is_ended && (st->is_lingering || st->rest.n < KEEP_BYTES);
	int events = (wants_read ? UV_READABLE : 0) | (st->wants_write ? UV_WRITABLE : 0);

	if (st->is_closing || events == st->events)
		return;
	st->events = events;
	if (events == 0)
		uv_poll_stop(&st->poll);
	else
		uv_poll_start(&st->poll, events, on_poll);
}

int
stream_open(struct stream *st, struct stream_set *set, int fd, const struct stream_ops *ops,
	    void *arg)
{
	*st = (struct stream){ .set = set, .fd = fd, .ops = ops, .arg = arg };
	if (uv_poll_init(set->loop, &st->poll, fd) != 0) {
		fd_close(&st->fd);
		return E_IO;
	}
	st->poll.data = st;
	buf_init(&st->rest, READ_BYTES + KEEP_BYTES);
	update_poll(st);
	return 0;
}

static void
end(struct stream *st, int why)
{
	st->is_ended = true;
	update_poll(st);
	st->ops->on_end(st->arg, why);
}

/* Give `in` to the owner and keep what it leaves. `in` is the set's buffer, or rest itself. */
static void
give(struct stream *st, struct span in)
{
	size_t used = st->ops->on_input(st->arg, in);

	if (st->is_closing || st->is_lingering)
		return;
	if (in.p == st->rest.p) {
		buf_drop(&st->rest, used);
	} else {
		buf_put(&st->rest, in.p + used, in.n - used);
	}
	if (st->rest.n == 0 && st->rest.p != NULL)
		buf_clear(&st->rest);
}

static void
readable(struct stream *st)
{
	size_t kept = st->is_lingering ? 0 : st->rest.n;
	ssize_t n;

	n = recv(st->fd, st->set->buf + kept, READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end(st, n == 0 ? E_CLOSED : err_from_errno(errno));
		return;
	}
	if (st->is_lingering)
		return;
	/* While the owner looks at them, these bytes are nowhere else. */
	if (kept > 0)
		memcpy(st->set->buf, st->rest.p, kept);
	buf_reset(&st->rest);
	give(st, span_make(st->set->buf, kept + (size_t)n));
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct stream *st = poll->data;

	/* An error of the socket shows in recv(2). */
	if (status < 0)
		events = UV_READABLE;
	if ((events & UV_WRITABLE) != 0 && st->wants_write) {
		st->wants_write = false;
		st->ops->on_writable(st->arg);
	}
	if ((events & UV_READABLE) != 0 && !st->is_closing && !st->is_ended)
		readable(st);
	update_poll(st);
}

struct span
stream_rest(const struct stream *st)
{
	return buf_span(&st->rest);
}

void
stream_again(struct stream *st)
{
	if (st->rest.n > 0)
		give(st, buf_span(&st->rest));
	update_poll(st);
}

size_t
stream_send(struct stream *st, struct span out)
{
	size_t sent = 0;

	while (sent < out.n) {
		ssize_t n = send(st->fd, out.p + sent, out.n - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			sent += (size_t)n;
		} else if (errno == EAGAIN) {
			st->wants_write = true;
			update_poll(st);
			return sent;
		} else if (errno != EINTR) {
			return out.n;
		}
	}
	return sent;
}

void
stream_linger(struct stream *st)
{
	(void)shutdown(st->fd, SHUT_WR);
	st->is_lingering = true;
	st->wants_write = false;
	buf_reset(&st->rest);
	update_poll(st);
}

bool
stream_has_unread(const struct stream *st)
{
	char byte;

	return st->rest.n > 0 ||
	       (!st->is_ended && recv(st->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0);
}

static void
closed(uv_handle_t *handle)
{
	struct stream *st = handle->data;

	buf_clear(&st->rest);
	st->ops->on_closed(st->arg);
}

void
stream_close(struct stream *st)
{
	if (st->is_closing)
		return;
	st->is_closing = true;
	uv_close((uv_handle_t *)&st->poll, closed);
	fd_close(&st->fd);
}
