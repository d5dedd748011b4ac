/* SPDX-License-Identifier: ISC
 *
 * What children ask of master. Each of them may have been taken over by a stranger: a request is one of the few below,
 * of a fixed size, looked at in full, and answered with what the configuration already allows or not at all. Who sends
 * anything else is killed and started anew. Runs in master, as root.
 */
/* System */
#include <errno.h>
#include <string.h>
#include <sys/un.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "conf/addr.h"

/* this program */
#include "master/child.h"

#define END_WAIT_MS 5000    /* a child that closed its channel is about to end */
#define ALONE_PAUSE_MS 1000 /* at most one worker of its own in this time */

/* ---- READY ---- */

static void
on_ready(struct child *c)
{
	struct master *m = c->m;

	if (c->state == CHILD_LEAVING)
		return;
	if (c->state != CHILD_STARTING) {
		child_kill(c, "said READY twice");
		return;
	}
	c->state = CHILD_UP;
	if (c->kind == PROC_LOGD)
		logfile_logd_up(m);
	if (!m->is_ready && child_all_up(m))
		ready_now(m);
	reload_step(m);
}

/* ---- workers, for qmgr ---- */

static bool
is_worker_kind(unsigned kind)
{
	return kind == PROC_DELIVERY || kind == PROC_MAILBOX;
}

static void
on_worker_kill(struct child *c, const struct msg_worker_kill *q)
{
	struct child *w;

	if (!is_worker_kind(q->kind) || q->slot == 0) {
		child_kill(c, "asked to kill what is no worker");
		return;
	}
	w = child_find(c->m, (enum proc_id)q->kind, q->slot);
	if (w != NULL)
		child_kill(w, "did not answer qmgr");
}

/* One for each kind at a time. It ends when qmgr closes its channel, and does not come back. */
static void
on_worker_want(struct child *c, const struct msg_worker_want *q)
{
	struct master *m = c->m;
	static uint64_t last_ms;
	uint64_t now = clock_mono_ms();

	if (!is_worker_kind(q->kind)) {
		child_kill(c, "asked for what is no worker");
		return;
	}
	if (m->stop_phase != STOP_NOT || child_wanted(m, (enum proc_id)q->kind) == 0)
		return;
	LIST_EACH(it, &m->children) {
		const struct child *w = LIST_ENTRY(it, struct child, node);
		if (w->is_alone && w->kind == (enum proc_id)q->kind)
			return;
	}
	struct child *w = child_new(m, (enum proc_id)q->kind, true);
	if (last_ms != 0 && now - last_ms < ALONE_PAUSE_MS)
		timer_start(&w->timer, ALONE_PAUSE_MS);
	else
		child_start(w);
	last_ms = now;
}

/* ---- Unix sockets, for delivery ---- */

/* A connected socket, or -errno. Connecting to a Unix socket never waits: a full queue says EAGAIN. */
static int
connect_unix(struct span path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd, errnum;

	if (path.n >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path.p, path.n);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	errnum = errno;
	fd_close(&fd);
	return -errnum;
}

static void
refuse_unix(const struct child *c, uint32_t req, const char *reason)
{
	chan_send(c->chan, MSG_UNIX_REFUSED,
		  &(struct msg_unix_refused){ .req = req, .reason = span_of(reason) });
}

static void
on_unix_connect(struct child *c, const struct msg_unix_connect *q)
{
	int fd;

	if (!conf_has_socket(c->m->conf, q->path)) {
		refuse_unix(c, q->req, "not named by next_hop or lmtp_sockets");
		return;
	}
	fd = connect_unix(q->path);
	if (fd < 0)
		refuse_unix(c, q->req,
			    fd == -EAGAIN ? "its queue of connections is full" : strerror(-fd));
	else
		chan_send(c->chan, MSG_UNIX_CONNECTED,
			  &(struct msg_unix_connected){ .req = q->req, .fd = fd });
}

/* ---- dispatch ---- */

static void
on_msg(void *arg, struct chan *chan, enum msg_type type, union msg_any *msg)
{
	struct child *c = arg;

	(void)chan;
	if (type == MSG_LOG_WANT)
		logfile_reopen(c->m);
	else if (c->state == CHILD_STARTING && type != MSG_READY)
		child_kill(c, "asked for something before it was READY");
	else if (type == MSG_READY)
		on_ready(c);
	else if (type == MSG_WORKER_KILL)
		on_worker_kill(c, &msg->worker_kill);
	else if (type == MSG_WORKER_WANT)
		on_worker_want(c, &msg->worker_want);
	else if (type == MSG_UNIX_CONNECT)
		on_unix_connect(c, &msg->unix_connect);
	else if (type == MSG_TABLES_CHECK)
		tables_check(c->m->tables);
	else
		child_kill(c, "sent a message that master does not know");
}

static void
on_close(void *arg, struct chan *chan, int why)
{
	struct child *c = arg;

	(void)chan;
	if (why == E_CLOSED) {
		/* It is ending; its status comes with SIGCHLD. */
		if (c->state != CHILD_LEAVING)
			timer_start(&c->timer, END_WAIT_MS);
		return;
	}
	child_kill(c, "sent what is no message");
}

const struct chan_ops request_ops = { on_msg, on_close, NULL };
