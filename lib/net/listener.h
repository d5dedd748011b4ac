/* SPDX-License-Identifier: ISC */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>
#include "base/err.h"
#include "loop/timer.h"

/* A listening socket, shared with the other workers of this kind. A wake-up takes a few connections, not all, so that
 * the others get some. */
struct listener {
	uv_poll_t poll;
	/* A new connection; takes fd, which is non-blocking. */
	void (*on_accept)(void *arg, struct listener *l, int fd,
			  const struct sockaddr_storage *peer);
	void (*on_closed)(void *arg,
			  struct listener *l); /* listener_close() is complete; may be NULL */
	/* Shall others have a moment to take what waits, before we do? May be NULL. */
	bool (*yields)(void *arg);
	void *arg;
	struct timer pause; /* no descriptors left, or the others' moment */
	bool is_our_turn;   /* they had it */
	int fd;
	bool is_closing;
};

/* Takes fd. E_IO: fd is closed. */
int listener_open(struct listener *l, uv_loop_t *loop, struct timer_set *timers, int fd, void *arg,
		  void (*on_accept)(void *arg, struct listener *l, int fd,
				    const struct sockaddr_storage *peer)) MUST_CHECK;
void listener_close(struct listener *l);

#endif
