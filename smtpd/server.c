/* SPDX-License-Identifier: ISC
 *
 * One smtpd worker: its listeners, its channels to router and qmgr, its start and its end. A worker takes its options
 * once: on reload a successor takes the new connections while this one finishes the old. Runs as the smtpd user in an
 * empty folder, with no right but to accept, read and write.
 *
 *	stop: listeners closed, idle sessions told 421, transactions finished, until the grace ends
 *	replaced: listeners closed, sessions go on until they end, or until the grace ends
 */

/* System */
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/listener.h"
/* this program */
#include "smtpd/conn.h"
#include "smtpd/counts.h"
#include "smtpd/server.h"

enum {
	BEAT_MS = 1000,
	OPEN_BEATS = 3, /* at most so long after the start do clients wait for router and qmgr */
	SPARE_FDS = 32, /* descriptors that are no connections */
	LAST_MS = 1000	/* before the grace ends: whoever is left is told 421 */
};

struct port {
	struct list node;
	struct listener listener;
	int fd; /* not watched yet; -1: the listener's */
	char *name;
	bool is_submission;
};

struct server {
	struct svc *svc;
	struct session_conf session_conf;
	struct conn_env env;
	struct clients *clients;
	struct list ports;
	struct timer beat, grace;
	uint64_t memory_bytes;
	unsigned beats;
	int table_fd;
	/* Clients are taken as soon as there is somebody to ask; READY is said then, so that the first ones after the
	 * server's "ready" are not told 451. */
	bool is_open, has_router, has_intake;
	bool is_stopping, is_last_call, is_exiting;
};

static uint32_t
clip32(uint64_t v)
{
	return v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
}

static struct session_conf
session_conf_of(const struct conf *c)
{
	return (struct session_conf){
		.hostname = c->hostname,
		.message_size = c->limits.message_size,
		.header_size = c->limits.header_size,
		.content_max = SESSION_CONTENT_MAX,
		.recipients = clip32(c->limits.recipients),
		.bounce_recipients = clip32(c->limits.bounce_recipients),
		.messages = clip32(c->limits.messages),
		.errors = clip32(c->limits.errors),
		.junk_commands = clip32(c->limits.junk_commands),
		.min_data_rate = clip32(c->limits.min_data_rate),
		.hop_limit = clip32(c->hop_limit),
		.greet_delay_ms = clip32(c->greet_delay),
		.command_ms = clip32(c->timeouts.command),
		.line_ms = clip32(c->timeouts.line),
		.data_ms = clip32(c->timeouts.data),
		.rcpt_check_ms = clip32(c->timeouts.rcpt_check),
		.commit_ms = clip32(c->timeouts.commit),
	};
}

/* Before the sandbox. */
static int
server_prepare(struct svc *svc)
{
	struct server *s = mem_zalloc(sizeof(*s));
	long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
	uint64_t mtime_ns;

	svc->data = s;
	s->svc = svc;
	list_init(&s->ports);
	s->memory_bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
	s->table_fd = svc_file_take(svc, "shm", &mtime_ns);
	s->clients = clients_open(s->table_fd, svc->slot, clock_mono_ms());
	s->session_conf = session_conf_of(svc->conf);
	return 0;
}

static void open_ports(struct server *s);

static void
on_beat(void *arg)
{
	struct server *s = arg;

	clients_beat(s->clients, clock_mono_ms());
	timer_start(&s->beat, BEAT_MS);
	if (s->beats <= OPEN_BEATS && s->beats++ == OPEN_BEATS)
		open_ports(s);
}

static void
server_exit(struct server *s)
{
	if (s->is_exiting)
		return;
	s->is_exiting = true;
	timer_stop(&s->beat);
	timer_stop(&s->grace);
	clients_close(&s->clients);
	svc_exit(s->svc);
}

/* The last connection is gone. */
static void
on_empty(void *arg)
{
	struct server *s = arg;

	if (s->is_stopping)
		server_exit(s);
}

/* The grace is nearly over, then over. */
static void
on_grace(void *arg)
{
	struct server *s = arg;

	if (s->is_last_call) {
		conn_close_all(&s->env);
		return;
	}
	s->is_last_call = true;
	timer_start(&s->grace, LAST_MS / 2);
	conn_stop_all(&s->env);
}

static int
server_start(struct svc *svc)
{
	struct server *s = svc->data;
	struct rlimit files = { .rlim_cur = 1024 };

	(void)getrlimit(RLIMIT_NOFILE, &files);
	s->env = (struct conn_env){
		.conf = svc->conf, .session_conf = &s->session_conf, .on_empty = on_empty, .arg = s
	};
	list_init(&s->env.conns);
	stream_set_init(&s->env.streams, svc->loop);
	s->env.timers = timer_set_new(svc->loop);
	policy_init(&s->env.policy, svc->conf, s->clients, s->memory_bytes,
		    clip32(files.rlim_cur > 2 * SPARE_FDS ? files.rlim_cur - SPARE_FDS
							  : SPARE_FDS));
	verdicts_init(&s->env.verdicts);
	submit_init(&s->env.submit, svc->slot);
	timer_init(&s->beat, s->env.timers, on_beat, s);
	timer_init(&s->grace, s->env.timers, on_grace, s);
	on_beat(s);
	return 0;
}

/* Sessions read their options where they lie; the old ones go after this. */
static void
server_on_conf(struct svc *svc, struct conf *old)
{
	struct server *s = svc->data;

	(void)old;
	s->session_conf = session_conf_of(svc->conf);
	s->env.conf = svc->conf;
	policy_reconfigure(&s->env.policy, svc->conf, s->memory_bytes);
}

/* ---- siblings ---- */

static void
open_when_connected(struct server *s)
{
	if (!s->has_router || !s->has_intake)
		return;
	open_ports(s);
	svc_ready(s->svc);
}

static void
server_on_peer(struct svc *svc, struct chan *c)
{
	struct server *s = svc->data;

	if (chan_kind(c) == PROC_ROUTER) {
		verdicts_router_up(&s->env.verdicts, c);
		s->has_router = true;
		open_when_connected(s);
	} else if (chan_kind(c) == PROC_QMGR) {
		submit_qmgr_up(&s->env.submit, c);
	}
}

static void
server_on_peer_lost(struct svc *svc, struct chan *c, bool is_crash, bool is_final)
{
	struct server *s = svc->data;

	(void)is_crash;
	(void)is_final;
	if (chan_kind(c) == PROC_ROUTER && s->env.verdicts.router == c)
		verdicts_router_lost(&s->env.verdicts);
	else if (chan_kind(c) == PROC_QMGR && s->env.submit.qmgr == c)
		submit_qmgr_lost(&s->env.submit);
}

static void
server_on_room(struct svc *svc, struct chan *c)
{
	struct server *s = svc->data;

	if (c == s->env.submit.qmgr)
		submit_qmgr_room(&s->env.submit);
}

static void
from_router(struct server *s, enum msg_type type, const union msg_any *msg)
{
	if (type == MSG_RCPT_VERDICT)
		verdicts_answer(&s->env.verdicts, &msg->rcpt_verdict, clock_mono_ms());
	else if (type == MSG_TABLE_EPOCH)
		verdicts_epoch(&s->env.verdicts, msg->table_epoch.epoch);
}

static void
from_qmgr(struct server *s, enum msg_type type, const union msg_any *msg)
{
	if (type == MSG_MSG_STORED) {
		submit_stored(&s->env.submit, msg->msg_stored.qid);
	} else if (type == MSG_MSG_REFUSED) {
		submit_refused(&s->env.submit, msg->msg_refused.qid, msg->msg_refused.code);
	} else if (type == MSG_STREAM_CREDIT) {
		submit_credit(&s->env.submit, msg->stream_credit.qid, msg->stream_credit.bytes);
	} else if (type == MSG_INTAKE_STATE) {
		submit_intake_state(&s->env.submit, &msg->intake_state);
		s->has_intake = true;
		open_when_connected(s);
	}
}

static void
answer_stats(const struct server *s, struct chan *c, uint32_t req)
{
	struct msg_smtpd_stats m = { .req = req };

	counts_read(s->clients, clock_mono_ms(), &m);
	chan_send(c, MSG_SMTPD_STATS, &m);
}

static void
server_on_msg(struct svc *svc, struct chan *c, enum msg_type type, union msg_any *msg)
{
	if (chan_kind(c) == PROC_ROUTER)
		from_router(svc->data, type, msg);
	else if (chan_kind(c) == PROC_QMGR)
		from_qmgr(svc->data, type, msg);
	else if (type == MSG_STATS_QUERY)
		answer_stats(svc->data, c, msg->stats_query.req);
}

/* ---- listeners ---- */

static void
on_accept(void *arg, struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	struct server *s = arg;
	const struct port *p = LIST_ENTRY(l, struct port, listener);

	conn_accept(&s->env, fd, peer, p->is_submission);
}

static bool
yields(void *arg)
{
	struct server *s = arg;

	return clients_has_more(s->clients, clock_mono_ms());
}

static void
port_closed(void *arg, struct listener *l)
{
	struct port *p = LIST_ENTRY(l, struct port, listener);

	(void)arg;
	mem_free(p->name);
	mem_free(p);
}

static bool
is_submission(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->listen_count; i++)
		if (strcmp(conf->listen[i].title, name) == 0)
			return conf->listen[i].role == CONF_LISTEN_ROLE_SUBMISSION;
	return false;
}

static void
watch_port(struct server *s, struct port *p)
{
	int fd = p->fd;

	p->fd = -1;
	if (listener_open(&p->listener, s->svc->loop, s->env.timers, fd, s, on_accept) < 0)
		die_temp("listen \"%s\" cannot be watched", p->name);
	p->listener.on_closed = port_closed;
	p->listener.yields = yields;
}

static void
open_ports(struct server *s)
{
	if (s->is_open)
		return;
	s->is_open = true;
	LIST_EACH(it, &s->ports)
		watch_port(s, LIST_ENTRY(it, struct port, node));
}

static void
server_on_listen(struct svc *svc, const char *name, const char *address, uint16_t port, int fd)
{
	struct server *s = svc->data;
	struct port *p;
	int on = 1;

	(void)address;
	(void)port;
	if (s->is_stopping) {
		fd_close(&fd);
		return;
	}
	/* Inherited by what it accepts: a reply never waits for the client's acknowledgement of the one before. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	p = mem_zalloc(sizeof(*p));
	p->name = mem_strdup(name);
	p->is_submission = is_submission(svc->conf, name);
	p->fd = fd;
	list_push_back(&s->ports, &p->node);
	if (s->is_open)
		watch_port(s, p);
}

static void
close_ports(struct server *s)
{
	while (!list_is_empty(&s->ports)) {
		struct port *p = LIST_ENTRY(s->ports.next, struct port, node);

		list_remove(&p->node);
		if (p->fd < 0) {
			listener_close(&p->listener);
			continue;
		}
		fd_close(&p->fd);
		port_closed(s, &p->listener);
	}
}

static void
server_on_stop(struct svc *svc, bool is_reload, uint32_t grace_ms)
{
	struct server *s = svc->data;

	s->is_stopping = true;
	close_ports(s);
	if (!is_reload)
		conn_stop_all(&s->env);
	if (s->env.count == 0) {
		server_exit(s);
		return;
	}
	s->is_last_call = false;
	timer_start(&s->grace, grace_ms > 2 * LAST_MS ? grace_ms - LAST_MS : grace_ms / 2);
}

const struct svc_ops server_ops = {
	.kinds = P(SMTPD),
	.says_ready = true,
	.prepare = server_prepare,
	.start = server_start,
	.on_peer = server_on_peer,
	.on_peer_lost = server_on_peer_lost,
	.on_msg = server_on_msg,
	.on_room = server_on_room,
	.on_listen = server_on_listen,
	.on_conf = server_on_conf,
	.on_stop = server_on_stop,
};
