/* SPDX-License-Identifier: ISC
 *
 * Stands in for any child of master in the tests of master: it runs in the real frame and the real sandbox of the kind it
 * is started as, and does next to nothing. As smtpd it greets each connection with "220 SLOT PID" and holds it; as router
 * it logs the files it gets. POSTERN_TEST_* tell it to misbehave:
 *
 *	POSTERN_TEST_EXIT=KIND:STATUS   ends before it is ready      POSTERN_TEST_GARBAGE=KIND  sends master what is no message
 *	POSTERN_TEST_TWICE=KIND         says READY twice             POSTERN_TEST_DEAF=KIND     does not stop
 *	POSTERN_TEST_UNIX=PATH          delivery asks for a socket   POSTERN_TEST_WANT=1        qmgr asks for a worker of its own
 */
/* System */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Third party */
#include <uv.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/svc.h"

static struct svc *self;
static uv_poll_t *listeners[64];
static int listener_fds[64];
static unsigned listener_count;
static bool is_closed;

static bool
is_told(const char *name)
{
	const char *v = getenv(name), *kind = proc_info(self->kind)->name;

	return v != NULL && strncmp(v, kind, strlen(kind)) == 0 &&
	       (v[strlen(kind)] == '\0' || v[strlen(kind)] == ':');
}

static void
log_file(const char *name, int fd)
{
	struct log_event ev;
	struct stat st = { 0 };

	(void)!fstat(fd, &st);
	log_begin(&ev, LOG_INFO_, "file");
	log_kvs(&ev, "name", name);
	log_kv_u64(&ev, "size", (uint64_t)st.st_size);
	log_end(&ev);
}

static int
on_prepare(struct svc *s)
{
	self = s;
	if (is_told("POSTERN_TEST_EXIT"))
		_exit((int)strtol(strchr(getenv("POSTERN_TEST_EXIT"), ':') + 1, NULL, 10));
	return 0;
}

static int
on_start(struct svc *s)
{
	const char *name;
	size_t it = 0;

	while ((name = svc_file_next(s, "", &it)) != NULL) {
		int fd = svc_file_take(s, name, NULL);
		log_file(name, fd);
	}
	if (is_told("POSTERN_TEST_GARBAGE"))
		(void)!write(3, "garbage, garbage, garbage", 25);
	if (is_told("POSTERN_TEST_TWICE"))
		chan_send(s->master, MSG_READY, &(struct msg_ready){ 0 });
	return 0;
}

static void
on_connection(uv_poll_t *h, int status, int events)
{
	int fd = accept4((int)(intptr_t)h->data, NULL, NULL, SOCK_CLOEXEC);
	char text[64];

	(void)status;
	(void)events;
	if (fd < 0 || is_closed)
		return;
	int n = snprintf(text, sizeof(text), "220 %u %d\r\n", self->slot, (int)getpid());
	(void)!send(fd, text, (size_t)n, MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	fd_close(&fd);
}

static void
on_listen(struct svc *s, const char *name, const char *address, uint16_t port, int fd)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, "listening");
	log_kvs(&ev, "name", name);
	log_kvs(&ev, "address", address);
	log_kv_u64(&ev, "port", port);
	log_end(&ev);
	listener_fds[listener_count] = fd;
	uv_poll_t *h = listeners[listener_count++] = mem_zalloc(sizeof(*h));
	uv_poll_init(s->loop, h, fd);
	h->data = (void *)(intptr_t)fd;
	uv_poll_start(h, UV_READABLE, on_connection);
}

static void
log_peer(const char *event, struct chan *c, bool is_crash, bool is_final)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, event);
	log_kvs(&ev, "kind", proc_info(chan_kind(c))->name);
	log_kv_u64(&ev, "slot", chan_slot(c));
	log_kv_u64(&ev, "is_crash", is_crash);
	log_kv_u64(&ev, "is_final", is_final);
	log_end(&ev);
}

static void
on_peer(struct svc *s, struct chan *c)
{
	const char *path = getenv("POSTERN_TEST_UNIX");

	log_peer("peer", c, false, false);
	if (s->kind == PROC_DELIVERY && chan_kind(c) == PROC_QMGR && path != NULL)
		chan_send(s->master, MSG_UNIX_CONNECT,
			  &(struct msg_unix_connect){ .req = 7, .path = span_of(path) });
	if (s->kind == PROC_QMGR && chan_kind(c) == PROC_ROUTER &&
	    getenv("POSTERN_TEST_WANT") != NULL)
		chan_send(s->master, MSG_WORKER_WANT,
			  &(struct msg_worker_want){ .kind = PROC_DELIVERY });
}

static void
on_peer_lost(struct svc *s, struct chan *c, bool is_crash, bool is_final)
{
	(void)s;
	log_peer("peer_lost", c, is_crash, is_final);
}

static void
on_msg(struct svc *s, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)s;
	(void)c;
	if (type == MSG_UNIX_CONNECTED) {
		(void)!send(msg->unix_connected.fd, "hello", 5, MSG_NOSIGNAL);
		fd_close(&msg->unix_connected.fd);
		log_info("unix connected %u", msg->unix_connected.req);
	} else if (type == MSG_UNIX_REFUSED) {
		log_info("unix refused: %.*s", SPAN_ARG(msg->unix_refused.reason));
	}
}

static void
on_file(struct svc *s, const char *name, uint64_t mtime_ns, int fd)
{
	(void)s;
	(void)mtime_ns;
	log_file(name, fd);
	fd_close(&fd);
}

static void
on_file_gone(struct svc *s, const char *name, const char *reason)
{
	(void)s;
	log_info("file gone %s: %s", name, reason);
}

static void
on_conf(struct svc *s, struct conf *old)
{
	(void)old;
	log_info("new options, hop_limit %llu", (unsigned long long)s->conf->hop_limit);
}

static void
on_stop(struct svc *s, bool is_reload, uint32_t grace_ms)
{
	log_info("stop is_reload=%d grace_ms=%u", is_reload, grace_ms);
	is_closed = true;
	for (unsigned i = 0; i < listener_count; i++) {
		uv_poll_stop(listeners[i]);
		fd_close(&listener_fds[i]);
	}
	listener_count = 0;
	if (!is_told("POSTERN_TEST_DEAF"))
		svc_exit(s);
}

static const struct svc_ops ops = {
	.kinds = P(LOGD) | P(QMGR) | P(ROUTER) | P(SMTPD) | P(DELIVERY) | P(MAILBOX) | P(CONTROL),
	.prepare = on_prepare,
	.start = on_start,
	.on_peer = on_peer,
	.on_peer_lost = on_peer_lost,
	.on_msg = on_msg,
	.on_listen = on_listen,
	.on_file = on_file,
	.on_file_gone = on_file_gone,
	.on_conf = on_conf,
	.on_stop = on_stop,
};

int
main(void)
{
	return svc_main(&ops);
}
