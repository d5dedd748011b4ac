/* SPDX-License-Identifier: ISC
 *
 * The frame of every child of master, from its first to its last line: start, loop, what master says while it runs, end.
 * What comes before the sandbox is start.c's, siblings are peer.c's, the log is sink.c's; what a program does with its
 * messages is its own business.
 *
 *	INIT -> files, sockets, peers -> START -> prepare() -> priv_drop() -> loop -> start() -> READY -> ... -> exit
 */
/* System */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Third party */
#include <uv.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/core.h"

#define EXIT_FLUSH_MS 1000

/* ---- master ---- */

static void
conf_update(struct svc *s, struct span encoded)
{
	struct conf *old = s->conf, *fresh;

	if (conf_decode(encoded, &fresh) < 0)
		die_temp("options from master cannot be read");
	s->conf = fresh;
	log_init(proc_info(s->kind)->name, (enum log_level)fresh->log.level);
	if (s->own->ops->on_conf != NULL)
		s->own->ops->on_conf(s, old);
	conf_free(&old);
}

static void
listen_add(struct svc *s, const struct msg_listen_add *m)
{
	char *name = mem_dup_span(m->name), *address = mem_dup_span(m->address);

	if (s->own->ops->on_listen == NULL)
		die_temp("%s was given a listening socket", proc_info(s->kind)->name);
	s->own->ops->on_listen(s, name, address, m->port, m->fd);
	mem_free(name);
	mem_free(address);
}

static void
file_add(struct svc *s, struct msg_file_add *m)
{
	char *name = mem_dup_span(m->name);

	if (s->own->ops->on_file != NULL)
		s->own->ops->on_file(s, name, m->mtime_ns, m->fd);
	else
		fd_close(&m->fd);
	mem_free(name);
}

static void
file_gone(struct svc *s, const struct msg_file_gone *m)
{
	char *name = mem_dup_span(m->name), *reason = mem_dup_span(m->reason);

	if (s->own->ops->on_file_gone != NULL)
		s->own->ops->on_file_gone(s, name, reason);
	mem_free(name);
	mem_free(reason);
}

static void
stop(struct svc *s, const struct msg_stop *m)
{
	if (s->is_stopping && m->is_reload)
		return;
	s->is_stopping = true;
	if (s->own->ops->on_stop != NULL)
		s->own->ops->on_stop(s, m->is_reload != 0, m->grace_ms);
	else
		svc_exit(s);
}

static void
master_on_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	struct svc *s = arg;

	if (type == MSG_PEER_ADD)
		peer_start(peer_add(s, &msg->peer_add));
	else if (type == MSG_PEER_LOST)
		peer_lost(s, &msg->peer_lost);
	else if (type == MSG_CONF_UPDATE)
		conf_update(s, msg->conf_update.conf);
	else if (type == MSG_LISTEN_ADD)
		listen_add(s, &msg->listen_add);
	else if (type == MSG_FILE_ADD)
		file_add(s, &msg->file_add);
	else if (type == MSG_FILE_GONE)
		file_gone(s, &msg->file_gone);
	else if (type == MSG_STOP)
		stop(s, &msg->stop);
	else
		s->own->ops->on_msg(s, c, type, msg);
}

static void
master_on_close(void *arg, struct chan *c, int why)
{
	(void)arg;
	(void)c;
	/* Nobody supervises us: no work may go on that a successor will also do. */
	_exit(why == E_CLOSED ? 0 : EXIT_FAILURE);
}

static void
master_on_room(void *arg, struct chan *c)
{
	struct svc *s = arg;

	if (s->own->ops->on_room != NULL)
		s->own->ops->on_room(s, c);
}

static const struct chan_ops master_ops = { master_on_msg, master_on_close, master_on_room };

/* ---- life ---- */

static void
ignore_signals(void)
{
	static const int list[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };

	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		signal(list[i], SIG_IGN);
}

static void
start_loop(struct svc *s)
{
	static uv_loop_t loop;
	int r;

	if ((r = uv_loop_init(&loop)) != 0)
		die_temp("no event loop: %s", uv_strerror(r));
	s->loop = &loop;
	s->own->timers = timer_set_new(&loop);
	s->chans = chan_set_new(&loop, s->kind);
	s->master = chan_new(s->chans, MASTER_FD, PROC_MASTER, 0, &master_ops, s);
}

static void
report_gone_files(struct svc *s)
{
	LIST_EACH(it, &s->own->files) {
		struct file *f = LIST_ENTRY(it, struct file, node);
		if (f->gone_reason != NULL && s->own->ops->on_file_gone != NULL)
			s->own->ops->on_file_gone(s, f->name, f->gone_reason);
	}
}

static void
start_peers(struct svc *s)
{
	LIST_EACH(it, &s->own->peers)
		peer_start(LIST_ENTRY(it, struct peer, node));
	LIST_EACH_SAFE(it, tmp, &s->own->listeners) {
		struct listener *l = LIST_ENTRY(it, struct listener, node);
		if (s->own->ops->on_listen == NULL)
			die_perm("%s was given a listening socket", proc_info(s->kind)->name);
		s->own->ops->on_listen(s, l->name, l->address, l->port, l->fd);
		list_remove(&l->node);
		mem_free(l->name);
		mem_free(l->address);
		mem_free(l);
	}
}

/* What is still queued goes out before the end, within bounds. */
static void
flush_all(struct svc *s)
{
	uint64_t until = clock_mono_ms() + EXIT_FLUSH_MS;
	bool is_done;

	do {
		is_done = chan_flush(s->master);
		LIST_EACH(it, &s->own->peers) {
			struct peer *p = LIST_ENTRY(it, struct peer, node);
			if (p->chan != NULL && !p->is_closed && !chan_flush(p->chan))
				is_done = false;
		}
		if (!is_done)
			poll(NULL, 0, 5);
	} while (!is_done && clock_mono_ms() < until);
}

int
svc_main(const struct svc_ops *ops)
{
	static struct svc svc;
	struct svc *s = &svc;
	int r;

	log_init("child", LOG_INFO_);
	ignore_signals();
	s->own = mem_zalloc(sizeof(*s->own));
	s->own->ops = ops;
	s->own->root_fd = -1;
	list_init(&s->own->files);
	list_init(&s->own->listeners);
	list_init(&s->own->peers);
	buf_init(&s->own->early_log, EARLY_LOG_MAX + LOG_EVENT_MAX);
	start_read(s);
	if (s->kind != PROC_LOGD)
		sink_open(s);
	if (ops->prepare != NULL && (r = ops->prepare(s)) < 0)
		die_temp("cannot start: %s", err_info(r)->text);
	start_drop(s);
	start_loop(s);
	if ((r = ops->start(s)) < 0)
		die_temp("cannot start: %s", err_info(r)->text);
	report_gone_files(s);
	start_peers(s);
	if (!ops->says_ready)
		svc_ready(s);
	uv_run(s->loop, UV_RUN_DEFAULT);
	flush_all(s);
	return 0;
}

void
svc_ready(struct svc *s)
{
	if (s->own->is_ready)
		return;
	s->own->is_ready = true;
	chan_send(s->master, MSG_READY, &(struct msg_ready){ 0 });
}

void
svc_exit(struct svc *s)
{
	s->is_stopping = true;
	uv_stop(s->loop);
}

void
svc_keep_fd(struct svc *s, int fd)
{
	if (s->own->keep_count == sizeof(s->own->keep_fds) / sizeof(s->own->keep_fds[0]))
		bug("too many descriptors to keep");
	s->own->keep_fds[s->own->keep_count++] = fd;
}

int
svc_file_take(struct svc *s, const char *name, uint64_t *mtime_ns_out)
{
	LIST_EACH(it, &s->own->files) {
		struct file *f = LIST_ENTRY(it, struct file, node);
		if (strcmp(f->name, name) != 0 || f->fd < 0)
			continue;
		int fd = f->fd;
		f->fd = -1;
		if (mtime_ns_out != NULL)
			*mtime_ns_out = f->mtime_ns;
		return fd;
	}
	return -1;
}

const char *
svc_file_next(struct svc *s, const char *prefix, size_t *it)
{
	size_t n = 0;

	LIST_EACH(node, &s->own->files) {
		struct file *f = LIST_ENTRY(node, struct file, node);
		if (n++ < *it || strncmp(f->name, prefix, strlen(prefix)) != 0)
			continue;
		*it = n;
		return f->name;
	}
	return NULL;
}
