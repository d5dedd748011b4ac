/* SPDX-License-Identifier: ISC
 *
 * The event loop of master: signals, one descriptor, start and end. Channels and timers bring their own handles. Runs in
 * master.
 */
/* System */
#include <signal.h>

/* Third party */
#include <uv.h>

/* lib */
#include "base/log.h"

/* this program */
#include "master/master.h"

static void (*watch_fn)(struct master *m);

static void
on_signal(uv_signal_t *h, int sig)
{
	master_on_signal(h->data, sig);
}

void
loop_open(struct master *m)
{
	static const int list[] = { SIGCHLD, SIGHUP, SIGUSR1, SIGTERM, SIGINT };
	static uv_signal_t handles[sizeof(list) / sizeof(list[0])];
	static uv_loop_t loop;
	int r;

	if ((r = uv_loop_init(&loop)) != 0)
		die_temp("no event loop: %s", uv_strerror(r));
	m->loop = &loop;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		handles[i].data = m;
		if ((r = uv_signal_init(&loop, &handles[i])) != 0 ||
		    (r = uv_signal_start(&handles[i], on_signal, list[i])) != 0)
			die_temp("signals cannot be watched: %s", uv_strerror(r));
	}
}

static void
on_readable(uv_poll_t *h, int status, int events)
{
	(void)status;
	(void)events;
	watch_fn(h->data);
}

void
loop_watch(struct master *m, int fd, void (*fn)(struct master *m))
{
	static uv_poll_t poll;
	int r;

	watch_fn = fn;
	poll.data = m;
	if ((r = uv_poll_init(m->loop, &poll, fd)) != 0 ||
	    (r = uv_poll_start(&poll, UV_READABLE, on_readable)) != 0)
		die_temp("no descriptor can be watched: %s", uv_strerror(r));
}

void
loop_run(struct master *m)
{
	uv_run(m->loop, UV_RUN_DEFAULT);
}

void
loop_end(struct master *m)
{
	uv_stop(m->loop);
}
