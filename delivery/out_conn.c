/* SPDX-License-Identifier: ISC
 *
 * The glue between the client core (out_session.c) and the network, and the only code of delivery that knows the loop:
 * connects to the hosts and addresses of a plan in order, reads, writes and keeps the time. It resolves no name, binds
 * nothing and understands no reply. Runs in delivery: _postern-delivery, empty chroot, outgoing TCP only; Unix sockets
 * come connected from master.                                                            RFC 5321 4.5.3.2, 5.1
 *
 *	next address -> CONNECTING (or ASKED master) -> OPENING (greeting, EHLO) -> UP -> jobs ... -> closed
 *	      ^---------------- any failure before UP --------------|
 *
 * may_connect() alone decides whether an address of this machine is connected to: the kernel cannot. */

/* System */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* Third party */
#include <uv.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "delivery/out_conn.h"

enum {
	ATTEMPTS_MAX = 64,     /* addresses tried for one session */
	UNIX_PATH_BYTES = 107, /* of UNIX_CONNECT */
};

/* A socket and its place in the loop; outlives its connection until the loop lets go of it. */
struct out_sock {
	uv_poll_t poll;
	struct out_conn *owner;
	int fd;
	bool waits_write;
};

static void on_poll(uv_poll_t *h, int status, int events);

static struct out_net *
net_of(const struct out_conn *c)
{
	return c->as->agent->data;
}

/* ---- which addresses ---- */

static bool
is_own_v4(const uint8_t a[4])
{
	return a[0] == 127 || a[0] == 0;
}

/* May this address be connected to? Loopback and unspecified addresses, also inside IPv6, are this machine: a name in
 * somebody's DNS must not lead to its services. Other own addresses show after connect(): is_own_socket(). */
static bool
may_connect(const struct plan_addr *a, uint32_t flags)
{
	static const uint8_t zero[12], mapped[12] = { [10] = 0xff, [11] = 0xff },
				       nat64[12] = { 0, 0x64, 0xff, 0x9b };

	if (flags & PLAN_LOOPBACK_OK)
		return true;
	if (a->family == 4)
		return !is_own_v4(a->addr);
	if (memcmp(a->addr, mapped, 12) == 0 || memcmp(a->addr, nat64, 12) == 0)
		return !is_own_v4(a->addr + 12);
	return memcmp(a->addr, zero, 12) != 0;
}

/* Both ends on this machine? Known as soon as the kernel has chosen our end, before a byte is sent or read. */
static bool
is_own_socket(int fd)
{
	struct sockaddr_storage ours = { .ss_family = 0 }, theirs = { .ss_family = 0 };
	socklen_t n = sizeof(ours), m = sizeof(theirs);

	if (getsockname(fd, (struct sockaddr *)&ours, &n) < 0 ||
	    getpeername(fd, (struct sockaddr *)&theirs, &m) < 0 ||
	    ours.ss_family != theirs.ss_family)
		return false;
	if (ours.ss_family == AF_INET)
		return memcmp(&((struct sockaddr_in *)&ours)->sin_addr,
			      &((struct sockaddr_in *)&theirs)->sin_addr, 4) == 0;
	return memcmp(&((struct sockaddr_in6 *)&ours)->sin6_addr,
		      &((struct sockaddr_in6 *)&theirs)->sin6_addr, 16) == 0;
}

/* ---- the socket ---- */

static void
sock_closed(uv_handle_t *h)
{
	mem_free(h->data);
}

static void
sock_free(struct out_conn *c)
{
	struct out_sock *k = c->sock;

	if (k == NULL)
		return;
	c->sock = NULL;
	k->owner = NULL;
	uv_close((uv_handle_t *)&k->poll, sock_closed);
	fd_close(&k->fd);
}

static void
sock_watch(struct out_conn *c, bool wants_write, bool wants_read)
{
	uv_poll_start(&c->sock->poll,
		      (wants_write ? UV_WRITABLE : 0) | (wants_read ? UV_READABLE : 0), on_poll);
	c->sock->waits_write = wants_write;
}

/* Takes fd. */
static void
sock_new(struct out_conn *c, int fd)
{
	int on = 1;

	c->sock = mem_zalloc(sizeof(*c->sock));
	c->sock->owner = c;
	c->sock->fd = fd;
	if (uv_poll_init(c->as->agent->svc->loop, &c->sock->poll, fd) != 0)
		die_temp("cannot watch a connection");
	c->sock->poll.data = c->sock;
	/* Each write is a whole group of commands: nothing is to wait for an acknowledgement. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* ---- the end ---- */

static void
report_done(struct out_conn *c)
{
	struct job *j;

	while (c->has_session && (j = out_session_take_done(&c->s)) != NULL) {
		struct agent_relay r = { span_of(c->relay), c->connect_ms,
					 out_session_is_up(&c->s) && !c->is_closing };

		c->connect_ms = 0;
		agent_result(c->as, j, &r);
	}
}

/* Jobs that never came to the core. */
void
out_conn_give_back(struct out_conn *c)
{
	struct outcome o = job_error(E_AGAIN, OUTCOME_NOT_TRIED,
				     SPAN("The connection ended before its turn"));
	struct agent_relay r = { span_of(c->relay), 0, false };

	while (!list_is_empty(&c->waiting)) {
		struct job *j = LIST_ENTRY(c->waiting.next, struct job, node);
		list_remove(&j->node);
		job_settle_rest(j, &o);
		agent_result(c->as, j, &r);
	}
}

/* Everything but the session of agent.c. */
static struct agent_session *
conn_free(struct out_conn *c)
{
	struct agent_session *as = c->as;

	report_done(c);
	out_conn_give_back(c);
	timer_stop(&c->timer);
	sock_free(c);
	if (c->req != 0)
		(void)map64_del(&net_of(c)->asked, c->req);
	if (c->has_session)
		out_session_clear(&c->s);
	as->impl = NULL;
	mem_free(c);
	return as;
}

void
out_conn_closed(struct out_conn *c)
{
	agent_closed(conn_free(c));
}

void
out_conn_failed(struct out_conn *c)
{
	struct out_reason why = c->reason;
	char relay[OUT_RELAY_MAX + 1];

	memcpy(relay, c->relay, sizeof(relay));
	agent_failed(conn_free(c), why.reply, span_of(why.esc), span_of(why.text), span_of(relay));
}

/* ---- failures before UP ---- */

static void
note_error(struct out_conn *c, int err, const char *text)
{
	const struct err_info *e = err_info(err);

	out_reason_add(&c->reason, c->relay, (uint16_t)e->reply, span_of(e->esc), span_of(text));
}

/* This address is done with: the next one. */
static void
address_failed(struct out_conn *c)
{
	timer_stop(&c->timer);
	sock_free(c);
	if (c->has_session)
		out_session_clear(&c->s);
	c->has_session = false;
	out_conn_try(c);
}

/* ---- connecting ---- */

static int
start_connect(struct out_conn *c, const struct plan_addr *a, uint16_t port)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to = { .sa = { .sa_family = a->family == 4 ? AF_INET : AF_INET6 } };
	socklen_t n = a->family == 4 ? sizeof(to.v4) : sizeof(to.v6);
	int fd = socket(to.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (a->family == 4) {
		to.v4.sin_port = htons(port);
		memcpy(&to.v4.sin_addr, a->addr, 4);
	} else {
		to.v6.sin6_port = htons(port);
		memcpy(&to.v6.sin6_addr, a->addr, 16);
	}
	if (connect(fd, &to.sa, n) < 0 && errno != EINPROGRESS) {
		int r = -errno;
		fd_close(&fd);
		return r;
	}
	sock_new(c, fd);
	return 0;
}

static void
ask_master(struct out_conn *c, const struct plan_host *h)
{
	struct out_net *net = net_of(c);

	if (++net->last_req == 0)
		net->last_req = 1;
	c->req = net->last_req;
	(void)map64_put(&net->asked, c->req, c);
	c->state = CONN_ASKED;
	chan_send(c->as->agent->svc->master, MSG_UNIX_CONNECT,
		  &(struct msg_unix_connect){ .req = c->req, .path = h->name });
	timer_start(&c->timer, c->connect_timeout_ms);
}

/* The next address of the plan; false: there is none. *addr_out is NULL for a Unix socket. */
static bool
next_address(struct out_conn *c, const struct plan_host **host_out,
	     const struct plan_addr **addr_out)
{
	const struct plan *p = &c->as->plan;

	while (c->host < p->host_count && c->attempts < ATTEMPTS_MAX) {
		const struct plan_host *h = &p->hosts[c->host];

		*host_out = h;
		*addr_out = NULL;
		if (h->is_unix) {
			c->host++;
			c->attempts++;
			return true;
		}
		if (c->addr < h->addr_count) {
			*addr_out = &h->addrs[c->addr++];
			c->attempts++;
			return true;
		}
		c->host++;
		c->addr = 0;
	}
	return false;
}

void
out_conn_try(struct out_conn *c)
{
	const struct plan_host *h;
	const struct plan_addr *a;
	int r;

	while (next_address(c, &h, &a)) {
		out_relay_format(c->relay, h, a);
		if (a == NULL && h->name.n > UNIX_PATH_BYTES) {
			note_error(c, E_CONNECT, "path is too long for a socket");
			continue;
		}
		if (a == NULL) {
			ask_master(c, h);
			return;
		}
		if (!may_connect(a, c->as->plan.flags)) {
			note_error(c, E_LOOP, "is an address of this machine");
			continue;
		}
		if ((r = start_connect(c, a, h->port)) < 0) {
			note_error(c, E_CONNECT, strerror(-r));
			continue;
		}
		c->state = CONN_CONNECTING;
		sock_watch(c, true, false);
		timer_start(&c->timer, c->connect_timeout_ms);
		return;
	}
	if (c->attempts == 0)
		note_error(c, E_CONNECT, "next hop has no address");
	out_conn_failed(c);
}

static void
begin_session(struct out_conn *c)
{
	struct out_params p = {
		.is_lmtp = c->as->plan.transport == TRANSPORT_LMTP,
		.ehlo_name = span_of(c->as->agent->svc->conf->hostname),
		.timeouts = &c->timeouts,
	};

	/* The name must live as long as the connection, the options may be replaced. */
	p.ehlo_name = p.ehlo_name.n > 0 ? arena_dup(&c->as->mem, p.ehlo_name) : SPAN("localhost");
	c->state = CONN_OPENING;
	out_session_init(&c->s, &p);
	c->has_session = true;
	c->seen_progress = UINT64_MAX;
	sock_watch(c, false, true);
	out_conn_pump(c);
}

/* The error that the kernel keeps for the socket, 0: none. */
static int
sock_error(const struct out_conn *c)
{
	int err = 0;
	socklen_t n = sizeof(err);

	return getsockopt(c->sock->fd, SOL_SOCKET, SO_ERROR, &err, &n) < 0 ? errno : err;
}

static void
connected(struct out_conn *c)
{
	int err = sock_error(c);

	if (err != 0) {
		note_error(c, E_CONNECT, strerror(err));
		address_failed(c);
	} else if (!(c->as->plan.flags & PLAN_LOOPBACK_OK) && is_own_socket(c->sock->fd)) {
		note_error(c, E_LOOP, "is an address of this machine");
		address_failed(c);
	} else {
		begin_session(c);
	}
}

void
out_conn_on_master(struct agent *a, enum msg_type type, union msg_any *msg)
{
	struct out_net *net = a->data;
	struct out_conn *c;

	if (type == MSG_UNIX_CONNECTED) {
		if ((c = map64_del(&net->asked, msg->unix_connected.req)) == NULL) {
			fd_close(&msg->unix_connected.fd);
			return;
		}
		c->req = 0;
		timer_stop(&c->timer);
		sock_new(c, msg->unix_connected.fd);
		begin_session(c);
	} else if (type == MSG_UNIX_REFUSED &&
		   (c = map64_del(&net->asked, msg->unix_refused.req)) != NULL) {
		const struct err_info *e = err_info(E_CONNECT);

		c->req = 0;
		out_reason_add(&c->reason, c->relay, (uint16_t)e->reply, span_of(e->esc),
			       msg->unix_refused.reason);
		address_failed(c);
	}
}

/* ---- time ---- */

void
out_conn_on_timer(void *arg)
{
	struct out_conn *c = arg;

	if (c->state == CONN_CONNECTING || c->state == CONN_ASKED) {
		if (c->req != 0)
			(void)map64_del(&net_of(c)->asked, c->req);
		c->req = 0;
		note_error(c, E_CONNECT, "connection timed out");
		address_failed(c);
	} else if (c->s.state == OUT_READY) {
		out_session_quit(&c->s);
		out_conn_pump(c);
	} else {
		out_session_timeout(&c->s);
		out_conn_pump(c);
	}
}

static void
set_timer(struct out_conn *c)
{
	uint32_t wait_ms = out_session_wait_ms(&c->s);

	if (c->seen_progress == c->s.progress)
		return;
	c->seen_progress = c->s.progress;
	timer_start(&c->timer, wait_ms > 0 ? wait_ms : c->idle_ms);
}

/* ---- bytes ---- */

/* False: the connection is broken; the reason is for a person. */
static bool
write_out(struct out_conn *c, const char **why_out)
{
	struct iovec iov[OUT_QUEUE_PIECES];
	struct msghdr mh = { .msg_iov = iov };
	ssize_t n;

	while (!out_queue_is_empty(&c->s.out)) {
		mh.msg_iovlen = out_queue_peek(&c->s.out, iov, OUT_QUEUE_PIECES);
		n = sendmsg(c->sock->fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			*why_out = strerror(errno);
			return false;
		}
		out_session_sent(&c->s, (size_t)n);
	}
	return true;
}

/* Read what is there. */
static void
read_in(struct out_conn *c)
{
	char *p = net_of(c)->read_buf;

	while (c->s.state != OUT_DEAD) {
		ssize_t n = recv(c->sock->fd, p, OUT_READ_BYTES, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0)
			out_session_broken(&c->s, strerror(errno));
		else if (n == 0)
			out_session_broken(&c->s, "connection closed by the server");
		else
			out_session_input(&c->s, span_make(p, (size_t)n));
		if (n < OUT_READ_BYTES)
			return;
	}
}

static void
feed(struct out_conn *c)
{
	while (!list_is_empty(&c->waiting) && out_session_has_room(&c->s) &&
	       agent_may_start(c->as->agent))
		out_session_add(&c->s, LIST_ENTRY(c->waiting.next, struct job, node));
	if (c->s.job != NULL && c->s.job->start_ms == 0)
		c->s.job->start_ms = clock_mono_ms();
}

static void
opened(struct out_conn *c)
{
	c->state = CONN_UP;
	c->connect_ms = (uint32_t)(clock_mono_ms() - c->open_ms);
	agent_up(c->as, span_of(c->relay), c->connect_ms);
}

static void
died(struct out_conn *c)
{
	struct out_failure *f = &c->s.failure;

	if (c->state == CONN_UP || c->is_closing) {
		out_conn_closed(c);
		return;
	}
	out_reason_add(&c->reason, c->relay,
		       f->reply != 0 ? f->reply : (uint16_t)err_info(E_CONNECT)->reply,
		       span_of(f->esc), buf_span(&f->text));
	address_failed(c);
}

/* After anything has happened to the core: write, report, feed, set the timer. May free c. */
void
out_conn_pump(struct out_conn *c)
{
	const char *why = NULL;

	if (c->state == CONN_OPENING && (c->s.state == OUT_READY || c->s.state == OUT_TXN))
		opened(c);
	report_done(c);
	feed(c);
	if (c->s.state != OUT_DEAD && !write_out(c, &why)) {
		/* What the server said before it hung up is still to be read. */
		read_in(c);
		if (c->s.state != OUT_DEAD)
			out_session_broken(&c->s, why);
	}
	report_done(c);
	if (c->s.state == OUT_DEAD) {
		died(c);
		return;
	}
	if (c->s.job != NULL)
		agent_credit(c->as, c->s.job);
	if (c->sock->waits_write != !out_queue_is_empty(&c->s.out))
		sock_watch(c, !out_queue_is_empty(&c->s.out), true);
	set_timer(c);
}

/* More replies are to come and nothing goes out that would acknowledge what came: many servers send the replies to a
 * group of commands one by one, each after the acknowledgement of the last (Nagle), which the kernel delays by 40 ms. */
static void
acknowledge(const struct out_conn *c)
{
	int on = 1;

	if (c->s.state == OUT_TXN && out_queue_is_empty(&c->s.out))
		(void)setsockopt(c->sock->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
}

static void
on_poll(uv_poll_t *h, int status, int events)
{
	struct out_sock *k = h->data;
	struct out_conn *c = k->owner;

	(void)events;
	if (c == NULL)
		return;
	if (c->state == CONN_CONNECTING) {
		connected(c);
		return;
	}
	read_in(c);
	acknowledge(c);
	/* The loop says of any error of a socket that the descriptor is bad. */
	if (status < 0 && c->s.state != OUT_DEAD) {
		int err = sock_error(c);

		out_session_broken(&c->s,
				   err != 0 ? strerror(err) : "connection closed by the server");
	}
	out_conn_pump(c);
}
