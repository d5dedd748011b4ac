/* SPDX-License-Identifier: ISC
 *
 * Channels between processes: frames over a Unix stream socket, driven by uv_poll_t with our own sendmsg/recvmsg queue
 * (libuv's pipes take no descriptors for us and would break the order). What a frame looks like is frame.c's, what a
 * message means its receiver's business. Runs in every process.
 */
/* System */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Third party */
#include <uv.h>

/* lib */
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/chan.h"
#include "ipc/frame.h"

#define READ_BYTES (256 * 1024)
#define HIGH_WATER (1024 * 1024)
#define LOW_WATER (256 * 1024)
#define EAGER_BYTES (128 * 1024) /* so much is written at once, not at the end of the turn */
#define QUEUE_MAX (256u * 1024 * 1024)
#define FDS_MAX 64 /* descriptors received and not yet claimed by a frame */

struct out_fd {
	uint64_t at; /* absolute position of its frame's first byte */
	int fd;
};

struct chan {
	struct chan_set *set;
	struct list dirty; /* in set->dirty while something waits for the end of the turn */
	uv_poll_t poll;
	int fd;
	enum proc_id kind;
	unsigned slot;
	const struct chan_ops *ops;
	void *arg;
	void *data;

	struct buf out;	   /* bytes from sent_abs on */
	size_t out_head;   /* of which so many are sent */
	uint64_t sent_abs; /* absolute position of out.p[out_head] */
	struct out_fd *out_fds;
	size_t out_fd_count, out_fd_cap;

	struct buf in; /* an unfinished frame */
	int in_fds[FDS_MAX];
	unsigned in_fd_count;

	int why;      /* E_* once dead */
	bool is_told; /* on_close was called */
	bool is_freed;
	bool is_paused;
	bool was_full;
	bool is_blocked; /* the socket takes no more: waiting for writable */
	bool is_reading; /* inside read_ready: free later */
};

struct chan_set {
	uv_loop_t *loop;
	uv_prepare_t prepare;
	enum proc_id self;
	struct list dirty;
	char *read_buf; /* shared: an unfinished rest moves to its channel */
};

static void on_prepare(uv_prepare_t *h);
static void on_poll(uv_poll_t *h, int status, int events);

/* The hook keeps the loop alive: a channel that just died still has to tell its owner. */
struct chan_set *
chan_set_new(uv_loop_t *loop, enum proc_id self)
{
	struct chan_set *s = mem_zalloc(sizeof(*s));

	s->loop = loop;
	s->self = self;
	list_init(&s->dirty);
	s->read_buf = mem_alloc(READ_BYTES);
	uv_prepare_init(loop, &s->prepare);
	s->prepare.data = s;
	uv_prepare_start(&s->prepare, on_prepare);
	return s;
}

static void
set_closed(uv_handle_t *h)
{
	struct chan_set *s = h->data;

	mem_free(s->read_buf);
	mem_free(s);
}

void
chan_set_free(struct chan_set **set)
{
	if (*set == NULL)
		return;
	uv_close((uv_handle_t *)&(*set)->prepare, set_closed);
	*set = NULL;
}

static void
mark_dirty(struct chan *c)
{
	if (list_is_empty(&c->dirty))
		list_push_back(&c->set->dirty, &c->dirty);
}

/* What the loop waits for. */
static void
set_poll(struct chan *c)
{
	int events = (c->is_paused ? 0 : UV_READABLE) | (c->is_blocked ? UV_WRITABLE : 0);

	if (c->why != 0 || c->is_freed)
		return;
	if (events == 0)
		uv_poll_stop(&c->poll);
	else
		uv_poll_start(&c->poll, events, on_poll);
}

struct chan *
chan_new(struct chan_set *set, int fd, enum proc_id kind, unsigned slot, const struct chan_ops *ops,
	 void *arg)
{
	struct chan *c = mem_zalloc(sizeof(*c));

	c->set = set;
	c->fd = fd;
	c->kind = kind;
	c->slot = slot;
	c->ops = ops;
	c->arg = arg;
	list_init(&c->dirty);
	buf_init(&c->out, QUEUE_MAX);
	buf_init(&c->in, QUEUE_MAX);
	if (fd_set_nonblock(fd) < 0 || uv_poll_init(set->loop, &c->poll, fd) != 0)
		die_temp("cannot watch the channel to %s: %s", proc_info(kind)->name,
			 strerror(errno));
	c->poll.data = c;
	set_poll(c);
	return c;
}

/* Give back everything but the struct itself. */
static void
release(struct chan *c)
{
	for (size_t i = 0; i < c->out_fd_count; i++)
		fd_close(&c->out_fds[i].fd);
	for (unsigned i = 0; i < c->in_fd_count; i++)
		fd_close(&c->in_fds[i]);
	c->out_fd_count = c->in_fd_count = 0;
	mem_free(c->out_fds);
	c->out_fds = NULL;
	c->out_fd_cap = 0;
	buf_clear(&c->out);
	buf_clear(&c->in);
	c->out_head = 0;
}

static void
poll_closed(uv_handle_t *h)
{
	mem_free(h->data);
}

static void
free_now(struct chan *c)
{
	release(c);
	uv_close((uv_handle_t *)&c->poll, poll_closed);
	fd_close(&c->fd);
}

void
chan_free(struct chan **cp)
{
	struct chan *c = *cp;

	*cp = NULL;
	if (c == NULL || c->is_freed)
		return;
	c->is_freed = true;
	list_remove(&c->dirty);
	if (!c->is_reading)
		free_now(c);
}

/* The channel ends; on_close comes from the loop. */
static void
die(struct chan *c, int why)
{
	if (c->why != 0 || c->is_freed)
		return;
	c->why = why;
	uv_poll_stop(&c->poll);
	release(c);
	mark_dirty(c);
}

/* ---- writing ---- */

/* Bytes that the next sendmsg may carry: up to the next frame with a descriptor. fd_out: the one to go along, or -1. */
static size_t
next_run(const struct chan *c, int *fd_out)
{
	size_t n = c->out.n - c->out_head, i = 0;

	*fd_out = -1;
	if (c->out_fd_count > 0 && c->out_fds[0].at == c->sent_abs) {
		*fd_out = c->out_fds[0].fd;
		i = 1;
	}
	if (i < c->out_fd_count && c->out_fds[i].at - c->sent_abs < n)
		n = (size_t)(c->out_fds[i].at - c->sent_abs);
	return n;
}

static ssize_t
send_run(const struct chan *c, size_t n, int fd)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { c->out.p + c->out_head, n };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		memset(&control, 0, sizeof(control));
		mh.msg_control = control.space;
		mh.msg_controllen = sizeof(control.space);
		struct cmsghdr *cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cm), &fd, sizeof(int));
	}
	return sendmsg(c->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
pop_out_fd(struct chan *c)
{
	fd_close(&c->out_fds[0].fd);
	c->out_fd_count--;
	memmove(c->out_fds, c->out_fds + 1, c->out_fd_count * sizeof(c->out_fds[0]));
}

/* Write what the socket takes. */
static void
write_out(struct chan *c)
{
	ssize_t r = 0;
	int fd = -1;

	while (c->why == 0 && c->out_head < c->out.n) {
		size_t n = next_run(c, &fd);
		r = send_run(c, n, fd);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			break;
		if (fd >= 0)
			pop_out_fd(c);
		c->out_head += (size_t)r;
		c->sent_abs += (uint64_t)r;
	}
	if (r < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS) {
		/* What the peer sent before it died is still to be read: the end comes by the read side. */
		while (c->out_fd_count > 0)
			pop_out_fd(c);
		buf_reset(&c->out);
		c->out_head = 0;
		if (c->is_paused)
			die(c, E_CLOSED);
		return;
	}
	if (c->out_head == c->out.n) {
		c->out_head = 0;
		if (c->out.cap > HIGH_WATER)
			buf_clear(&c->out);
		else
			buf_reset(&c->out);
	} else if (c->out_head > c->out.n / 2) {
		buf_drop(&c->out, c->out_head);
		c->out_head = 0;
	}
	bool is_blocked = c->why == 0 && c->out.n > 0;
	if (is_blocked != c->is_blocked) {
		c->is_blocked = is_blocked;
		set_poll(c);
	}
}

void
chan_send(struct chan *c, enum msg_type type, const void *msg)
{
	/* The descriptor's place is found by the same visitor as on the other side; the struct is not changed. */
	int *fdp = msg_info(type)->has_fd ? msg_fd(type, (void *)(uintptr_t)msg) : NULL;
	int fd = fdp != NULL ? *fdp : -1;

	if (!msg_is_allowed(type, c->set->self, c->kind))
		bug("%s may not send %s to %s", proc_info(c->set->self)->name, msg_info(type)->name,
		    proc_info(c->kind)->name);
	if (c->why != 0 || c->is_freed) {
		fd_close(&fd);
		return;
	}
	if (fdp != NULL) {
		if (fd < 0)
			bug("%s without a descriptor", msg_info(type)->name);
		if (c->out_fd_count == c->out_fd_cap) {
			c->out_fd_cap = c->out_fd_cap ? 2 * c->out_fd_cap : 4;
			c->out_fds = mem_grow(c->out_fds, c->out_fd_cap, sizeof(c->out_fds[0]));
		}
		c->out_fds[c->out_fd_count++] = (struct out_fd){
			c->sent_abs + (c->out.n - c->out_head), fd
		};
	}
	frame_put(&c->out, type, msg);
	if (c->out.is_failed) {
		log_warn("queue to %s is over %u bytes: channel closed", proc_info(c->kind)->name,
			 QUEUE_MAX);
		die(c, E_NOMEM);
		return;
	}
	if (chan_queued(c) > HIGH_WATER)
		c->was_full = true;
	if (chan_queued(c) > EAGER_BYTES && !c->is_blocked)
		write_out(c);
	mark_dirty(c);
}

size_t
chan_queued(const struct chan *c)
{
	return c->out.n - c->out_head;
}

bool
chan_is_full(const struct chan *c)
{
	return chan_queued(c) > HIGH_WATER;
}

bool
chan_flush(struct chan *c)
{
	if (c->why == 0 && !c->is_freed)
		write_out(c);
	return chan_queued(c) == 0;
}

/* After a write: tell the owner what changed. May free the channel. */
static void
tell_owner(struct chan *c)
{
	if (c->why != 0) {
		if (!c->is_told) {
			c->is_told = true;
			c->ops->on_close(c->arg, c, c->why);
		}
		return;
	}
	if (c->was_full && chan_queued(c) < LOW_WATER) {
		c->was_full = false;
		if (c->ops->on_room != NULL)
			c->ops->on_room(c->arg, c);
	}
}

static void
on_prepare(uv_prepare_t *h)
{
	struct chan_set *s = h->data;

	while (!list_is_empty(&s->dirty)) {
		struct chan *c = LIST_ENTRY(s->dirty.next, struct chan, dirty);

		list_remove(&c->dirty);
		if (c->why == 0 && !c->is_blocked)
			write_out(c);
		tell_owner(c);
	}
}

/* ---- reading ---- */

/* One whole frame. */
static int
dispatch(struct chan *c, enum msg_type type, struct span payload)
{
	union msg_any msg;
	int r;

	if ((r = msg_decode(payload, type, &msg)) < 0)
		return r;
	if (msg_info(type)->has_fd) {
		if (c->in_fd_count == 0)
			return E_CORRUPT;
		*msg_fd(type, &msg) = c->in_fds[0];
		c->in_fd_count--;
		memmove(c->in_fds, c->in_fds + 1, c->in_fd_count * sizeof(c->in_fds[0]));
	}
	c->ops->on_msg(c->arg, c, type, &msg);
	return 0;
}

/* Handle all whole frames of `bytes`; how many bytes were used, or E_CORRUPT. */
static ssize_t
dispatch_all(struct chan *c, struct span bytes)
{
	size_t used = 0;
	enum msg_type type;
	int n, r;

	while (bytes.n - used >= FRAME_HEAD) {
		if ((n = frame_check_head(bytes.p + used, c->kind, c->set->self, &type)) < 0)
			return n;
		if (bytes.n - used - FRAME_HEAD < (size_t)n)
			break;
		r = dispatch(c, type, span_make(bytes.p + used + FRAME_HEAD, (size_t)n));
		if (r < 0)
			return r;
		used += FRAME_HEAD + (size_t)n;
		if (c->is_freed || c->why != 0)
			break;
		if (c->is_paused)
			break;
	}
	return (ssize_t)used;
}

/* Handle what was read into the shared buffer, or appended to the channel's own; keep the unfinished rest. */
static void
take_bytes(struct chan *c, struct span bytes)
{
	bool is_own = c->in.n > 0;
	ssize_t used;

	if (is_own) {
		if (bytes.n > 0)
			buf_put_span(&c->in, bytes);
		bytes = buf_span(&c->in);
	}
	used = dispatch_all(c, bytes);
	if (c->is_freed)
		return;
	if (used < 0) {
		die(c, (int)used);
		return;
	}
	if (c->why != 0)
		return;
	if (is_own)
		buf_drop(&c->in, (size_t)used);
	else if ((size_t)used < bytes.n)
		buf_put(&c->in, bytes.p + used, bytes.n - (size_t)used);
	if (c->in.n == 0)
		buf_clear(&c->in);
}

static void
read_ready(struct chan *c)
{
	ssize_t r = frame_receive(c->fd, c->set->read_buf, READ_BYTES, MSG_DONTWAIT, c->in_fds,
				  &c->in_fd_count, FDS_MAX);

	if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (r <= 0) {
		die(c, E_CLOSED);
		return;
	}
	c->is_reading = true;
	take_bytes(c, span_make(c->set->read_buf, (size_t)r));
	c->is_reading = false;
	if (c->is_freed)
		free_now(c);
}

static void
on_poll(uv_poll_t *h, int status, int events)
{
	struct chan *c = h->data;

	if (status < 0) {
		die(c, E_CLOSED);
		return;
	}
	if (events & UV_WRITABLE) {
		write_out(c);
		mark_dirty(c);
	}
	if ((events & UV_READABLE) && !c->is_paused && c->why == 0)
		read_ready(c);
}

void
chan_pause(struct chan *c)
{
	c->is_paused = true;
	set_poll(c);
}

void
chan_resume(struct chan *c)
{
	if (!c->is_paused)
		return;
	c->is_paused = false;
	/* Frames that were read before the pause come first. */
	if (c->in.n > 0 && c->why == 0 && !c->is_freed && !c->is_reading) {
		c->is_reading = true;
		take_bytes(c, SPAN_NONE);
		c->is_reading = false;
		if (c->is_freed) {
			free_now(c);
			return;
		}
	}
	set_poll(c);
}

enum proc_id
chan_kind(const struct chan *c)
{
	return c->kind;
}

unsigned
chan_slot(const struct chan *c)
{
	return c->slot;
}

void *
chan_data(const struct chan *c)
{
	return c->data;
}

void
chan_set_data(struct chan *c, void *data)
{
	c->data = data;
}
