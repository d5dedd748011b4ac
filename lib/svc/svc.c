/* SPDX-License-Identifier: ISC
 *
 * The frame of every child of master: what is read before the sandbox, the sandbox, the loop, the channels to siblings
 * with their HELLO, reload and the end. What a program does with its messages is its own business.
 *
 *	INIT -> files, sockets, peers -> START -> prepare() -> priv_drop() -> loop -> start() -> READY -> ... -> exit
 *
 * A sibling is lost when its channel has closed and master has said so (PEER_LOST), in whichever order. A channel that
 * closes without that word means that the sibling gave us up: then this process ends and master starts it anew.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Third party */
#include <uv.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"
#include "svc/priv.h"
#include "svc/svc.h"

#define MASTER_FD 3
#define EARLY_LOG_MAX (64 * 1024)
#define LOST_WAIT_MS 3000
#define EXIT_FLUSH_MS 1000

struct file {
	struct list node;
	char *name;
	char *gone_reason;      /* FILE_GONE: there is none */
	int fd;                 /* -1: taken */
	int keep_fd;            /* stays open through priv_drop() */
	uint64_t mtime_ns;
};

struct listener {
	struct list node;
	char *name, *address;
	uint16_t port;
	int fd;
};

struct peer {
	struct list node;
	struct svc *s;
	struct chan *chan;      /* NULL before the loop exists */
	int fd;                 /* until chan takes it */
	enum proc_id kind;
	uint16_t slot;
	uint32_t pid;           /* as it said in HELLO */
	bool is_alone;
	bool is_up;             /* said HELLO */
	bool is_closed;         /* the channel ended */
	bool is_lost;           /* master said so */
	bool is_crash, is_final;
	bool is_waiting;        /* a predecessor of the same slot is not yet gone */
	struct timer lost_timer;
};

struct svc_priv {
	const struct svc_ops *ops;
	struct list files, listeners, peers;
	int keep_fds[64];
	unsigned keep_count;
	int root_fd;
	uint32_t uid, gid;
	struct timer_set *timers;
	struct buf early_log;   /* (bytes record)*, until logd is there */
	uint64_t lost_lines;
	bool is_in_sink;
};

/* ---- the log ---- */

static struct peer *
find_up(struct svc *s, enum proc_id kind, unsigned slot)
{
	LIST_EACH(it, &s->own->peers) {
		struct peer *p = LIST_ENTRY(it, struct peer, node);
		if (p->kind == kind && (slot == 0 || p->slot == slot) && p->is_up && !p->is_closed)
			return p;
	}
	return NULL;
}

static void
log_sink(void *arg, struct span record)
{
	struct svc *s = arg;
	struct svc_priv *o = s->own;
	struct peer *logd = find_up(s, PROC_LOGD, 0);

	if (o->is_in_sink)
		return;
	o->is_in_sink = true;
	if (logd == NULL) {
		if (o->early_log.n + record.n < EARLY_LOG_MAX)
			buf_put_bytes(&o->early_log, record);
		else
			o->lost_lines++;
	} else if (chan_is_full(logd->chan)) {
		o->lost_lines++;
	} else {
		chan_send(logd->chan, MSG_LOG_RECORD, &(struct msg_log_record){ .record = record });
	}
	o->is_in_sink = false;
}

/* logd is there (again), or takes lines again. */
static void
log_catch_up(struct svc *s, struct peer *logd)
{
	struct svc_priv *o = s->own;
	struct cur c = cur_of(buf_span(&o->early_log));

	while (cur_left(&c) > 0) {
		struct span record = cur_bytes(&c, LOG_EVENT_MAX);
		chan_send(logd->chan, MSG_LOG_RECORD, &(struct msg_log_record){ .record = record });
	}
	buf_clear(&o->early_log);
	if (o->lost_lines > 0) {
		uint64_t n = o->lost_lines;
		o->lost_lines = 0;
		log_warn("%llu log lines lost", (unsigned long long)n);
	}
}

/* ---- siblings ---- */

static void peer_on_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg);
static void peer_on_close(void *arg, struct chan *c, int why);
static void peer_on_room(void *arg, struct chan *c);

static const struct chan_ops peer_ops = { peer_on_msg, peer_on_close, peer_on_room };

static struct peer *
find_same(struct svc *s, const struct peer *than)
{
	LIST_EACH(it, &s->own->peers) {
		struct peer *p = LIST_ENTRY(it, struct peer, node);
		if (p != than && p->kind == than->kind && p->slot == than->slot && !p->is_waiting)
			return p;
	}
	return NULL;
}

static void
lost_timeout(void *arg)
{
	struct peer *p = arg;

	die_temp("channel to %s %u was closed by the other side; starting over", proc_info(p->kind)->name, p->slot);
}

static void
peer_connect(struct peer *p)
{
	struct svc *s = p->s;

	p->chan = chan_new(s->chans, p->fd, p->kind, p->slot, &peer_ops, p);
	p->fd = -1;
	chan_send(p->chan, MSG_HELLO,
		  &(struct msg_hello){ .contract = msg_contract(), .kind = (uint8_t)s->kind, .slot = s->slot,
				       .pid = (uint32_t)getpid() });
}

static void
peer_start(struct peer *p)
{
	timer_init(&p->lost_timer, p->s->own->timers, lost_timeout, p);
	p->is_waiting = find_same(p->s, p) != NULL;
	if (!p->is_waiting)
		peer_connect(p);
}

/* Closed and reported lost: tell the program, then let the successor in. */
static void
peer_end(struct peer *p)
{
	struct svc *s = p->s;

	timer_stop(&p->lost_timer);
	if (p->is_up && s->own->ops->on_peer_lost != NULL)
		s->own->ops->on_peer_lost(s, p->chan, p->is_crash, p->is_final);
	list_remove(&p->node);
	chan_free(&p->chan);
	LIST_EACH(it, &s->own->peers) {
		struct peer *next = LIST_ENTRY(it, struct peer, node);
		if (next->kind == p->kind && next->slot == p->slot && next->is_waiting) {
			next->is_waiting = false;
			peer_connect(next);
			break;
		}
	}
	mem_free(p);
}

static void
peer_on_close(void *arg, struct chan *c, int why)
{
	struct peer *p = arg;

	(void)c;
	if (why == E_CORRUPT)
		log_warn("%s %u sent a malformed message: channel closed", proc_info(p->kind)->name, p->slot);
	p->is_closed = true;
	if (p->is_lost) {
		peer_end(p);
		return;
	}
	if (p->s->is_stopping)
		return;
	timer_start(&p->lost_timer, LOST_WAIT_MS);
}

static void
take_hello(struct peer *p, const struct msg_hello *h)
{
	struct svc *s = p->s;

	if (h->contract != msg_contract())
		die_temp("%s %u speaks another version of the protocol: update not finished?",
			 proc_info(p->kind)->name, p->slot);
	if (h->kind != p->kind || h->slot != p->slot)
		die_temp("%s %u introduced itself as another process", proc_info(p->kind)->name, p->slot);
	p->is_up = true;
	p->pid = h->pid;
	if (p->kind == PROC_LOGD)
		log_catch_up(s, p);
	if (s->own->ops->on_peer != NULL)
		s->own->ops->on_peer(s, p->chan);
}

static void
peer_on_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	struct peer *p = arg;

	if (type == MSG_HELLO && !p->is_up) {
		take_hello(p, &msg->hello);
		return;
	}
	if (type == MSG_HELLO || !p->is_up)
		die_temp("%s %u broke the order of HELLO", proc_info(p->kind)->name, p->slot);
	p->s->own->ops->on_msg(p->s, c, type, msg);
}

static void
peer_on_room(void *arg, struct chan *c)
{
	struct peer *p = arg;

	if (p->kind == PROC_LOGD && p->is_up)
		log_catch_up(p->s, p);
	if (p->s->own->ops->on_room != NULL)
		p->s->own->ops->on_room(p->s, c);
}

static struct peer *
peer_add(struct svc *s, const struct msg_peer_add *m)
{
	struct peer *p = mem_zalloc(sizeof(*p));

	if (m->kind >= PROC_COUNT || !proc_has_channel(s->kind, (enum proc_id)m->kind))
		die_temp("master gave a channel that the process graph does not have");
	p->s = s;
	p->kind = (enum proc_id)m->kind;
	p->slot = m->slot;
	p->is_alone = m->is_alone != 0;
	p->fd = m->fd;
	list_push_back(&s->own->peers, &p->node);
	return p;
}

static void
peer_lost(struct svc *s, const struct msg_peer_lost *m)
{
	LIST_EACH_SAFE(it, tmp, &s->own->peers) {
		struct peer *p = LIST_ENTRY(it, struct peer, node);
		if (p->kind != m->kind || p->slot != m->slot || p->is_lost)
			continue;
		p->is_lost = true;
		p->is_crash = m->is_crash != 0;
		p->is_final = m->is_final != 0;
		if (p->is_waiting) {    /* it died before we ever spoke */
			list_remove(&p->node);
			fd_close(&p->fd);
			mem_free(p);
		} else if (p->is_closed) {
			peer_end(p);
		}
		return;
	}
}

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

/* ---- start-up, before the sandbox ---- */

static void
early_file(struct svc *s, const struct msg_file_add *m)
{
	struct file *f = mem_zalloc(sizeof(*f));

	f->name = mem_dup_span(m->name);
	f->fd = f->keep_fd = m->fd;
	f->mtime_ns = m->mtime_ns;
	list_push_back(&s->own->files, &f->node);
}

static void
early_file_gone(struct svc *s, const struct msg_file_gone *m)
{
	struct file *f = mem_zalloc(sizeof(*f));

	f->name = mem_dup_span(m->name);
	f->gone_reason = mem_dup_span(m->reason);
	f->fd = f->keep_fd = -1;
	list_push_back(&s->own->files, &f->node);
}

static void
early_listen(struct svc *s, const struct msg_listen_add *m)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	l->name = mem_dup_span(m->name);
	l->address = mem_dup_span(m->address);
	l->port = m->port;
	l->fd = m->fd;
	list_push_back(&s->own->listeners, &l->node);
}

static void
take_init(struct svc *s, const struct msg_init *m)
{
	if (m->kind >= PROC_COUNT || !(s->own->ops->kinds >> m->kind & 1))
		die_perm("started as a process that this program is not");
	s->kind = (enum proc_id)m->kind;
	s->slot = m->slot;
	s->is_alone = m->is_alone != 0;
	s->is_foreground = m->is_foreground != 0;
	s->own->uid = m->uid;
	s->own->gid = m->gid;
	if (conf_decode(m->conf, &s->conf) < 0)
		die_temp("options from master cannot be read");
	log_init(proc_info(s->kind)->name, (enum log_level)s->conf->log.level);
	/* master starts programs by descriptor: without this ps would show its number. */
	(void)prctl(PR_SET_NAME, proc_info(s->kind)->name, 0, 0, 0);
}

/* INIT comes before anyone knows which kind we are; its permission holds for every child. */
static void
read_until_start(struct svc *s)
{
	struct buf buf;
	enum msg_type type;
	union msg_any msg;
	int r;

	s->kind = PROC_LOGD;
	for (unsigned kind = 0; kind < PROC_COUNT; kind++) {
		if (s->own->ops->kinds >> kind & 1)
			s->kind = (enum proc_id)kind;
	}
	buf_init(&buf, 8u * 1024 * 1024);
	do {
		if ((r = chan_read_blocking(MASTER_FD, PROC_MASTER, s->kind, &buf, &type, &msg)) < 0) {
			if (r == E_CLOSED)
				_exit(EXIT_FAILURE);
			die_perm("started by hand, or by another version of master; run `postern run`");
		}
		if (type == MSG_INIT)
			take_init(s, &msg.init);
		else if (type == MSG_ROOT_DIR)
			s->own->root_fd = msg.root_dir.fd;
		else if (type == MSG_FILE_ADD)
			early_file(s, &msg.file_add);
		else if (type == MSG_LISTEN_ADD)
			early_listen(s, &msg.listen_add);
		else if (type == MSG_PEER_ADD)
			peer_add(s, &msg.peer_add);
		else if (type == MSG_FILE_GONE)
			early_file_gone(s, &msg.file_gone);
		else if (type != MSG_START)
			die_perm("unexpected message from master before START");
	} while (type != MSG_START);
	buf_clear(&buf);
	if (s->conf == NULL)
		die_perm("no INIT from master");
}

static void
drop(struct svc *s)
{
	struct svc_priv *o = s->own;
	unsigned n = 0, cap = 16 + o->keep_count;
	int *keep;

	LIST_EACH(it, &o->files)
		cap++;
	LIST_EACH(it, &o->listeners)
		cap++;
	LIST_EACH(it, &o->peers)
		cap++;
	keep = mem_array(cap, sizeof(int));
	keep[n++] = MASTER_FD;
	for (unsigned i = 0; i < o->keep_count; i++)
		keep[n++] = o->keep_fds[i];
	LIST_EACH(it, &o->files) {
		if (LIST_ENTRY(it, struct file, node)->keep_fd >= 0)
			keep[n++] = LIST_ENTRY(it, struct file, node)->keep_fd;
	}
	LIST_EACH(it, &o->listeners)
		keep[n++] = LIST_ENTRY(it, struct listener, node)->fd;
	LIST_EACH(it, &o->peers)
		keep[n++] = LIST_ENTRY(it, struct peer, node)->fd;
	priv_drop(&(struct priv_plan){ .kind = s->kind, .uid = o->uid, .gid = o->gid, .root_fd = o->root_fd,
				       .keep_fds = keep, .keep_count = n, .max_files = 0 });
	o->root_fd = -1;
	mem_free(keep);
}

static void
ignore_signals(void)
{
	static const int list[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE };

	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		signal(list[i], SIG_IGN);
}

/* ---- in the sandbox ---- */

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

/* die_temp() and die_perm() end here: their line still reaches the log. */
static struct svc *dying;

static void
flush_last_words(void)
{
	struct peer *logd = find_up(dying, PROC_LOGD, 0);

	if (logd != NULL) {
		chan_flush(logd->chan);
		return;
	}
	struct cur c = cur_of(buf_span(&dying->own->early_log));
	while (cur_left(&c) > 0)
		log_stderr(cur_bytes(&c, LOG_EVENT_MAX));
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
	read_until_start(s);
	if (ops->prepare != NULL && (r = ops->prepare(s)) < 0)
		die_temp("cannot start: %s", err_info(r)->text);
	drop(s);
	start_loop(s);
	if (s->kind != PROC_LOGD)
		log_set_sink(log_sink, s);
	dying = s;
	atexit(flush_last_words);
	if ((r = ops->start(s)) < 0)
		die_temp("cannot start: %s", err_info(r)->text);
	report_gone_files(s);
	start_peers(s);
	chan_send(s->master, MSG_READY, &(struct msg_ready){ 0 });
	uv_run(s->loop, UV_RUN_DEFAULT);
	flush_all(s);
	return 0;
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

struct chan *
svc_peer(struct svc *s, enum proc_id kind, unsigned slot)
{
	struct peer *p = find_up(s, kind, slot);

	return p != NULL ? p->chan : NULL;
}

struct chan *
svc_peer_next(struct svc *s, enum proc_id kind, size_t *it)
{
	size_t n = 0;

	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (n++ < *it || p->kind != kind || !p->is_up || p->is_closed)
			continue;
		*it = n;
		return p->chan;
	}
	return NULL;
}

uint32_t
svc_peer_pid(struct svc *s, const struct chan *c)
{
	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (p->chan == c)
			return p->pid;
	}
	return 0;
}

bool
svc_peer_is_alone(struct svc *s, const struct chan *c)
{
	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (p->chan == c)
			return p->is_alone;
	}
	return false;
}

bool
svc_peer_silent(struct svc *s, enum proc_id kind, size_t *it, uint16_t *slot_out)
{
	size_t n = 0;

	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (n++ < *it || p->kind != kind || p->is_up || p->is_closed)
			continue;
		*it = n;
		*slot_out = p->slot;
		return true;
	}
	return false;
}

void
svc_peer_close(struct svc *s, struct chan *c)
{
	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (p->chan != c)
			continue;
		chan_free(&p->chan);
		p->is_up = false;       /* nobody waits for its end but peer_end() */
		p->is_closed = true;
		if (p->is_lost)
			peer_end(p);
		return;
	}
}
