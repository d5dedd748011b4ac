/* SPDX-License-Identifier: ISC
 *
 * Accepts connections. It does not judge them and does not bind: master did. Runs in smtpd. */

/* System */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
/* Third party */
#include <uv.h>
/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "net/listener.h"

enum { ACCEPT_BURST = 16, PAUSE_MS = 200, YIELD_MS = 2 };

static void on_poll(uv_poll_t *poll, int status, int events);

static void
pause_over(void *arg)
{
	struct listener *l = arg;

	uv_poll_start(&l->poll, UV_READABLE, on_poll);
}

/* Without descriptors or memory the socket would stay readable and the loop would spin. */
static void
take_a_break(struct listener *l, int errnum)
{
	log_warn("accept: %s; no new connections for %d ms", strerror(errnum), PAUSE_MS);
	uv_poll_stop(&l->poll);
	timer_start(&l->pause, PAUSE_MS);
}

static void
on_poll(uv_poll_t *poll, int status, int events)
{
	struct listener *l = poll->data;
	int burst = ACCEPT_BURST;

	(void)status;
	(void)events;
	if (!l->is_our_turn && l->yields != NULL && l->yields(l->arg)) {
		uv_poll_stop(&l->poll);
		l->is_our_turn = true;
		timer_start(&l->pause, YIELD_MS);
		return;
	}
	if (l->is_our_turn)
		burst = 1;
	l->is_our_turn = false;
	for (int i = 0; i < burst && !l->is_closing; i++) {
		struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(peer);
		int fd = accept4(l->fd, (struct sockaddr *)&peer, &len,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			l->on_accept(l->arg, l, fd, &peer);
			if (l->yields != NULL && l->yields(l->arg))
				break;
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			take_a_break(l, errno);
		/* Anything else: nothing waits, or it is gone already. */
		break;
	}
}

int
listener_open(struct listener *l, uv_loop_t *loop, struct timer_set *timers, int fd, void *arg,
	      void (*on_accept)(void *arg, struct listener *l, int fd,
				const struct sockaddr_storage *peer))
{
	*l = (struct listener){ .fd = fd, .arg = arg, .on_accept = on_accept };
	if (uv_poll_init(loop, &l->poll, fd) != 0) {
		fd_close(&l->fd);
		return E_IO;
	}
	l->poll.data = l;
	timer_init(&l->pause, timers, pause_over, l);
	uv_poll_start(&l->poll, UV_READABLE, on_poll);
	return 0;
}

static void
closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;

	if (l->on_closed != NULL)
		l->on_closed(l->arg, l);
}

void
listener_close(struct listener *l)
{
	if (l->is_closing)
		return;
	l->is_closing = true;
	timer_stop(&l->pause);
	uv_close((uv_handle_t *)&l->poll, closed);
	fd_close(&l->fd);
}
