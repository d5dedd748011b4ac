/* SPDX-License-Identifier: ISC
 *
 * Connections of control.sock: accept, who is it (SO_PEERCRED, SO_PEERGROUPS), one request frame in, answers out. Knows
 * nothing of what is asked. Bytes come from any local user: a bad frame ends that connection only.
 *
 *	accepted -> request read -> answers written -> closed
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
#include "base/log.h"
#include "base/mem.h"

/* this program */
#include "control/control.h"

#define REQUEST_WAIT_MS 10000 /* from connect to the whole request */
#define ANSWER_WAIT_MS 60000  /* a client that takes nothing */
#define OUT_MAX (16u * 1024 * 1024)

struct conn {
	struct client client;
	uv_poll_t poll;
	int fd;
	struct buf in, out;
	size_t out_head;
	bool is_done; /* DONE is queued: close when written */
	bool is_closed;
	struct timer timer;
};

struct listener {
	uv_poll_t poll;
	int fd;
	struct control *ctl;
	struct listener *next;
};

static void on_client(uv_poll_t *h, int status, int events);

static void
conn_freed(uv_handle_t *h)
{
	mem_free(h->data);
}

static void
conn_close(struct conn *c)
{
	if (c->is_closed)
		return;
	c->is_closed = true;
	request_end(&c->client);
	timer_stop(&c->timer);
	list_remove(&c->client.node);
	c->client.ctl->client_count--;
	buf_clear(&c->in);
	buf_clear(&c->out);
	uv_close((uv_handle_t *)&c->poll, conn_freed);
	fd_close(&c->fd);
}

static void
on_timeout(void *arg)
{
	conn_close(arg);
}

/* ---- who is it ---- */

static bool
has_group(int fd, uint32_t gid)
{
	gid_t groups[256];
	socklen_t n = sizeof(groups);

	if (gid == UINT32_MAX || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) != 0)
		return false;
	for (size_t i = 0; i < n / sizeof(groups[0]); i++) {
		if (groups[i] == gid)
			return true;
	}
	return false;
}

/* Root, group postern, and without root whoever runs the server. */
static bool
identify(struct conn *c)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	struct control *ctl = c->client.ctl;

	if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0)
		return false;
	c->client.uid = cred.uid;
	c->client.is_admin = cred.uid == 0 || cred.uid == geteuid() || cred.gid == ctl->admin_gid ||
			     has_group(c->fd, ctl->admin_gid);
	return true;
}

static bool
is_too_many(const struct control *ctl, const struct client *cl)
{
	unsigned same = 0;

	if (ctl->client_count >= CONTROL_CLIENTS)
		return true;
	LIST_EACH(it, &ctl->clients)
		same += LIST_ENTRY(it, struct client, node)->uid == cl->uid;
	return !cl->is_admin && same >= CONTROL_CLIENTS_PER_USER;
}

static void
client_new(struct control *ctl, int fd)
{
	struct conn *c = mem_zalloc(sizeof(*c));

	c->fd = fd;
	c->client.ctl = ctl;
	c->client.conn = c;
	list_init(&c->client.node);
	if (!identify(c) || is_too_many(ctl, &c->client) ||
	    uv_poll_init(ctl->svc->loop, &c->poll, fd) != 0) {
		fd_close(&c->fd);
		mem_free(c);
		return;
	}
	buf_init(&c->in, ADMIN_HEAD_BYTES + ADMIN_REQUEST_MAX + 64);
	buf_init(&c->out, OUT_MAX);
	list_push_back(&ctl->clients, &c->client.node);
	ctl->client_count++;
	timer_init(&c->timer, ctl->timers, on_timeout, c);
	timer_start(&c->timer, REQUEST_WAIT_MS);
	c->poll.data = c;
	uv_poll_start(&c->poll, UV_READABLE, on_client);
}

static void
on_accept(uv_poll_t *h, int status, int events)
{
	struct listener *l = h->data;

	(void)events;
	if (status < 0)
		return;
	for (unsigned i = 0; i < 16; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		client_new(l->ctl, fd);
	}
}

void
conn_listen(struct control *ctl, int fd)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	l->fd = fd;
	l->ctl = ctl;
	l->next = ctl->listeners;
	ctl->listeners = l;
	l->poll.data = l;
	if (uv_poll_init(ctl->svc->loop, &l->poll, fd) != 0)
		die_temp("cannot watch the control socket");
	uv_poll_start(&l->poll, UV_READABLE, on_accept);
}

void
conn_close_all(struct control *ctl)
{
	for (struct listener *l = ctl->listeners; l != NULL; l = l->next)
		uv_poll_stop(&l->poll);
	LIST_EACH_SAFE(it, tmp, &ctl->clients)
		conn_close(LIST_ENTRY(it, struct client, node)->conn);
}

/* ---- bytes ---- */

static void
write_out(struct conn *c)
{
	while (c->out_head < c->out.n) {
		ssize_t r = send(c->fd, c->out.p + c->out_head, c->out.n - c->out_head,
				 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, on_client);
			return;
		}
		if (r < 0) {
			conn_close(c);
			return;
		}
		c->out_head += (size_t)r;
		timer_start(&c->timer, ANSWER_WAIT_MS);
	}
	buf_reset(&c->out);
	c->out_head = 0;
	if (c->is_done) {
		conn_close(c);
		return;
	}
	uv_poll_start(&c->poll, UV_READABLE, on_client);
	request_drained(&c->client);
}

void
conn_answer(struct client *cl, const struct admin_answer *a)
{
	struct conn *c = cl->conn;

	if (c->is_closed || c->is_done)
		return;
	admin_put_answer(&c->out, a);
	if (c->out.is_failed) {
		conn_close(c);
		return;
	}
	c->is_done = a->kind == ADMIN_DONE;
	/* Written by the loop: a request must not end inside the handler that answers it. */
	uv_poll_start(&c->poll, UV_READABLE | UV_WRITABLE, on_client);
}

bool
conn_is_drained(const struct client *cl)
{
	return cl->conn->out.n == 0;
}

static void
take_request(struct conn *c)
{
	struct admin_request r;

	if (c->in.n < ADMIN_HEAD_BYTES)
		return;
	uint32_t n = admin_frame_len(c->in.p);
	if (n > ADMIN_REQUEST_MAX + 32) {
		conn_close(c);
		return;
	}
	if (c->in.n < ADMIN_HEAD_BYTES + n)
		return;
	if (admin_get_request(span_make(c->in.p + ADMIN_HEAD_BYTES, n), &r) < 0) {
		conn_close(c);
		return;
	}
	timer_start(&c->timer, ANSWER_WAIT_MS);
	request_start(&c->client, &r);
	buf_clear(&c->in);
}

static void
read_in(struct conn *c)
{
	char space[4096];
	ssize_t r = recv(c->fd, space, sizeof(space), MSG_DONTWAIT);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0 || c->client.req != 0) { /* gone, or talks again: one request each */
		conn_close(c);
		return;
	}
	buf_put(&c->in, space, (size_t)r);
	if (c->in.is_failed)
		conn_close(c);
	else
		take_request(c);
}

static void
on_client(uv_poll_t *h, int status, int events)
{
	struct conn *c = h->data;

	if (status < 0) {
		conn_close(c);
		return;
	}
	if (events & UV_WRITABLE)
		write_out(c);
	if (!c->is_closed && (events & UV_READABLE))
		read_in(c);
}
