/* SPDX-License-Identifier: ISC
 *
 * A bed for smtpd: plays master, logd, router and qmgr for real smtpd processes, so that tests can make the faults that
 * real ones make only by chance. Orders come line by line on standard input, what happens goes to standard output.
 *
 *	bed_smtpd SMTPD CONF PORT WORKERS
 *
 *	qmgr lose | new | hold | release | mute | speak | state E_NAME | credit hold | credit release | refuse E_NAME   (0: none)
 *	router lose | new | hold | release | epoch N
 *	stop GRACE_MS | replace GRACE_MS | kill N | start
 *
 * The router's verdicts go by the local part: "nouser" 550, "temp" 450, "relay" 550 5.7.1 unless the client may relay;
 * all others 250, kept 60 s for domain "cached.example" and for all of "domain.example". */

/* System */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
/* Third party */
#include <uv.h>
/* lib */
#include "base/clock.h"
#include "base/crc.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/chan.h"
#include "ipc/plan.h"
#include "spool/envelope.h"

enum { WORKERS_MAX = 8, TABLE_BYTES = 1 << 20, HELD_MAX = 1 << 16 };

/* One of the processes that we play, towards one worker. */
struct role {
	struct worker *worker;
	struct chan *chan;
	enum proc_id kind;
	uint16_t slot;
};

struct worker {
	struct role master, logd, router, qmgr;
	pid_t pid;
	uint16_t slot;
};

/* An answer that is held back. */
struct held {
	struct role *role;
	uint64_t id;
	uint32_t bytes;
	char address[400];
	bool may_relay;
};

static uv_loop_t loop;
static struct chan_set *sets[PROC_COUNT];
static struct worker workers[WORKERS_MAX];
static unsigned worker_count;
static uint16_t next_slot = 10;
static int listen_fd, table_fd;
static struct conf *conf;
static const char *program;
static struct buf conf_bytes;
static struct map64 streams; /* queue id -> bytes so far + 1 */
static struct held commits[HELD_MAX], checks[HELD_MAX], credits[HELD_MAX];
static size_t commit_count, check_count, credit_count;
static bool holds_commits, holds_checks, holds_credits;
static unsigned intake_code, refuse_code;
static bool is_mute; /* qmgr does not tell whether it takes mail */
static uint64_t epoch = 1;

static const struct chan_ops role_ops;

static void PRINTF_LIKE(1, 2) say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* ---- router ---- */

static void
answer_check(struct role *r, uint64_t txn, const char *address, bool may_relay)
{
	struct msg_rcpt_verdict v = {
		.txn = txn, .reply = 250, .esc = SPAN("2.1.5"), .text = SPAN("ok"), .epoch = epoch
	};

	if (r->chan == NULL)
		return;
	if (strncmp(address, "nouser", 6) == 0) {
		v.reply = 550;
		v.esc = SPAN("5.1.1");
		v.text = SPAN("No such user here");
	} else if (strncmp(address, "temp", 4) == 0) {
		v.reply = 450;
		v.esc = SPAN("4.2.0");
		v.text = SPAN("Not now");
	} else if (strncmp(address, "relay", 5) == 0 && !may_relay) {
		v.reply = 550;
		v.esc = SPAN("5.7.1");
		v.text = SPAN("Relaying denied");
	}
	v.is_domain = strstr(address, "@domain.example") != NULL;
	v.ttl_ms = v.is_domain || strstr(address, "@cached.example") != NULL ? 60000 : 0;
	chan_send(r->chan, MSG_RCPT_VERDICT, &v);
}

static void
on_check(struct role *r, const struct msg_rcpt_check *m)
{
	struct held h = { .role = r, .id = m->txn, .may_relay = m->may_relay != 0 };

	snprintf(h.address, sizeof(h.address), "%.*s", SPAN_ARG(m->address));
	say("check %s relay=%d from=%.*s", h.address, h.may_relay, SPAN_ARG(m->sender));
	if (holds_checks && check_count < HELD_MAX)
		checks[check_count++] = h;
	else
		answer_check(r, h.id, h.address, h.may_relay);
}

/* ---- qmgr ---- */

static void
answer_commit(struct role *r, uint64_t qid)
{
	if (r->chan == NULL)
		return;
	if (refuse_code != 0)
		chan_send(r->chan, MSG_MSG_REFUSED,
			  &(struct msg_msg_refused){ .qid = qid, .code = (uint16_t)refuse_code });
	else
		chan_send(r->chan, MSG_MSG_STORED, &(struct msg_msg_stored){ .qid = qid });
}

static void
on_submit(struct role *r, const struct msg_msg_submit *m)
{
	char qid[ID_TEXT_LEN + 1];
	struct envelope e;
	struct arena a;
	uintptr_t streamed = (uintptr_t)map64_del(&streams, m->qid);

	arena_init(&a, 1024);
	id_format(m->qid, qid);
	if (envelope_decode(m->envelope, &a, &e) < 0)
		die_perm("bad envelope");
	if (id_slot(m->qid) != r->worker->slot)
		die_perm("queue id of another slot");
	if (m->content_len != m->content.n + (streamed > 0 ? streamed - 1 : 0))
		die_perm("content_len is %llu, content %zu, streamed %zu",
			 (unsigned long long)m->content_len, m->content.n, (size_t)streamed);
	say("submit %s flags=%u len=%llu crc=%08x rcpts=%u from=%.*s proto=%.*s", qid, m->flags,
	    (unsigned long long)m->content_len, crc32c(0, m->content.p, m->content.n), e.rcpt_count,
	    SPAN_ARG(e.sender), SPAN_ARG(e.protocol));
	arena_clear(&a);
	if (holds_commits && commit_count < HELD_MAX)
		commits[commit_count++] = (struct held){ .role = r, .id = m->qid };
	else
		answer_commit(r, m->qid);
}

static void
answer_credit(struct role *r, uint64_t qid, uint32_t bytes)
{
	if (r->chan != NULL)
		chan_send(r->chan, MSG_STREAM_CREDIT,
			  &(struct msg_stream_credit){ .qid = qid, .bytes = bytes });
}

static void
on_stream(struct role *r, const struct msg_stream_data *m)
{
	uintptr_t before = (uintptr_t)map64_get(&streams, m->qid);

	if (before == 0)
		before = 1;
	map64_put(&streams, m->qid, (void *)(before + m->data.n));
	if (holds_credits && credit_count < HELD_MAX)
		credits[credit_count++] = (struct held){ .role = r,
							 .id = m->qid,
							 .bytes = (uint32_t)m->data.n };
	else
		answer_credit(r, m->qid, (uint32_t)m->data.n);
}

/* ---- channels ---- */

static void
send_intake_state(struct role *r)
{
	if (r->chan != NULL && !is_mute)
		chan_send(r->chan, MSG_INTAKE_STATE,
			  &(struct msg_intake_state){ .code = (uint16_t)intake_code,
						      .id_floor_us = 77 });
}

static void
on_log(struct span record)
{
	struct buf text;

	buf_init(&text, 65536);
	if (log_render_text(record, &text) == 0)
		say("log %s", buf_cstr(&text));
	buf_clear(&text);
}

static void
on_role_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	struct role *r = arg;
	char qid[ID_TEXT_LEN + 1];

	(void)c;
	if (type == MSG_READY)
		say("ready %d", r->worker->pid);
	else if (type == MSG_HELLO && r->kind == PROC_QMGR)
		send_intake_state(r);
	else if (type == MSG_LOG_RECORD)
		on_log(msg->log_record.record);
	else if (type == MSG_RCPT_CHECK)
		on_check(r, &msg->rcpt_check);
	else if (type == MSG_MSG_SUBMIT)
		on_submit(r, &msg->msg_submit);
	else if (type == MSG_STREAM_DATA)
		on_stream(r, &msg->stream_data);
	else if (type == MSG_INVENTORY_END)
		say("inventory_end");
	else if (type == MSG_STREAM_ABORT) {
		id_format(msg->stream_abort.qid, qid);
		map64_del(&streams, msg->stream_abort.qid);
		say("abort %s", qid);
	}
}

static void
on_role_close(void *arg, struct chan *c, int why)
{
	struct role *r = arg;

	(void)c;
	if (why == E_CORRUPT)
		say("corrupt");
	r->chan = NULL;
}

static const struct chan_ops role_ops = { on_role_msg, on_role_close, NULL };

static struct chan *
role_open(struct role *r, struct worker *w, enum proc_id kind, int fd)
{
	r->worker = w;
	r->kind = kind;
	return r->chan = chan_new(sets[kind], fd, PROC_SMTPD, w->slot, &role_ops, r);
}

static void
add_peer(struct worker *w, struct role *r, enum proc_id kind)
{
	int pair[2];

	if (r->slot == 0)
		r->slot = next_slot++;
	if (fd_socketpair(pair) < 0)
		die_perm("socketpair");
	role_open(r, w, kind, pair[0]);
	chan_send(r->chan, MSG_HELLO,
		  &(struct msg_hello){ .contract = msg_contract(),
				       .kind = (uint8_t)kind,
				       .slot = r->slot,
				       .pid = (uint32_t)getpid() });
	chan_send(w->master.chan, MSG_PEER_ADD,
		  &(struct msg_peer_add){ .kind = (uint8_t)kind, .slot = r->slot, .fd = pair[1] });
}

static void
lose_peer(struct worker *w, struct role *r)
{
	if (r->chan == NULL)
		return;
	chan_free(&r->chan);
	chan_send(w->master.chan, MSG_PEER_LOST,
		  &(struct msg_peer_lost){
			  .kind = (uint8_t)r->kind, .slot = r->slot, .is_crash = 1 });
}

static void
start_worker(void)
{
	struct worker *w = &workers[worker_count++];
	int pair[2];

	if (fd_socketpair(pair) < 0)
		die_perm("socketpair");
	*w = (struct worker){ .slot = next_slot++ };
	w->pid = fork();
	if (w->pid == 0) {
		if (dup2(pair[1], 3) < 0 || fd_set_cloexec(3, false) < 0 ||
		    fcntl(3, F_SETFL, 0) < 0)
			_exit(126);
		execl(program, "smtpd", (char *)NULL);
		_exit(127);
	}
	fd_close(&pair[1]);
	role_open(&w->master, w, PROC_MASTER, pair[0]);
	chan_send(w->master.chan, MSG_INIT,
		  &(struct msg_init){ .kind = PROC_SMTPD,
				      .slot = w->slot,
				      .uid = UINT32_MAX,
				      .gid = UINT32_MAX,
				      .conf = buf_span(&conf_bytes) });
	chan_send(w->master.chan, MSG_FILE_ADD,
		  &(struct msg_file_add){ .name = SPAN("shm"), .fd = dup(table_fd) });
	chan_send(w->master.chan, MSG_LISTEN_ADD,
		  &(struct msg_listen_add){ .name = SPAN("smtp"),
					    .address = SPAN("127.0.0.1"),
					    .port = 25,
					    .fd = dup(listen_fd) });
	add_peer(w, &w->logd, PROC_LOGD);
	add_peer(w, &w->router, PROC_ROUTER);
	add_peer(w, &w->qmgr, PROC_QMGR);
	chan_send(w->master.chan, MSG_START, &(struct msg_start){ .end_ = 0 });
}

/* ---- orders ---- */

static void
release(struct held *list, size_t *count, void (*answer)(struct held *h))
{
	size_t n = *count;

	*count = 0;
	for (size_t i = 0; i < n; i++)
		answer(&list[i]);
}

static void
release_commit(struct held *h)
{
	answer_commit(h->role, h->id);
}
static void
release_check(struct held *h)
{
	answer_check(h->role, h->id, h->address, h->may_relay);
}
static void
release_credit(struct held *h)
{
	answer_credit(h->role, h->id, h->bytes);
}

static void
order_peer(const char *what, bool is_qmgr, unsigned number)
{
	for (unsigned i = 0; i < worker_count; i++) {
		struct worker *w = &workers[i];
		struct role *r = is_qmgr ? &w->qmgr : &w->router;

		if (w->master.chan == NULL)
			continue;
		if (strcmp(what, "lose") == 0)
			lose_peer(w, r);
		else if (strcmp(what, "new") == 0)
			add_peer(w, r, is_qmgr ? PROC_QMGR : PROC_ROUTER);
		else if (strcmp(what, "epoch") == 0 && r->chan != NULL)
			chan_send(r->chan, MSG_TABLE_EPOCH,
				  &(struct msg_table_epoch){ .epoch = number });
		else if (strcmp(what, "state") == 0 || strcmp(what, "speak") == 0)
			send_intake_state(r);
	}
}

static void
order_qmgr(const char *what, const char *arg, unsigned number)
{
	if (strcmp(what, "hold") == 0)
		holds_commits = true;
	if (strcmp(what, "lose") == 0)
		commit_count = credit_count = 0;
	if (strcmp(what, "release") == 0) {
		holds_commits = false;
		release(commits, &commit_count, release_commit);
	}
	if (strcmp(what, "mute") == 0 || strcmp(what, "speak") == 0)
		is_mute = strcmp(what, "mute") == 0;
	if (strcmp(what, "refuse") == 0)
		refuse_code = number;
	if (strcmp(what, "state") == 0)
		intake_code = number;
	if (strcmp(what, "credit") == 0) {
		holds_credits = strcmp(arg, "hold") == 0;
		if (!holds_credits)
			release(credits, &credit_count, release_credit);
	}
	order_peer(what, true, number);
}

static void
order_router(const char *what, unsigned number)
{
	if (strcmp(what, "hold") == 0)
		holds_checks = true;
	if (strcmp(what, "lose") == 0)
		check_count = 0;
	if (strcmp(what, "epoch") == 0)
		epoch = number;
	if (strcmp(what, "release") == 0) {
		holds_checks = false;
		release(checks, &check_count, release_check);
	}
	order_peer(what, false, number);
}

/* A number, or the name of a row of errors.def as it stands in messages. */
static unsigned
number_of(const char *arg)
{
	for (int err = E_FIRST + 1; err < E_END; err++)
		if (strcmp(err_info(err)->name, arg) == 0)
			return (unsigned)-err;
	return (unsigned)strtoul(arg, NULL, 10);
}

static void
order(const char *line)
{
	char who[16] = "", what[16] = "", arg[32] = "";
	unsigned number;

	if (sscanf(line, "%15s %15s %31s", who, what, arg) < 1)
		return;
	number = number_of(arg);
	if (strcmp(who, "qmgr") == 0)
		order_qmgr(what, arg, number);
	else if (strcmp(who, "router") == 0)
		order_router(what, number);
	else if (strcmp(who, "start") == 0)
		start_worker();
	else if (strcmp(who, "kill") == 0)
		kill(workers[strtoul(what, NULL, 10)].pid, SIGKILL);
	for (unsigned i = 0; i < worker_count; i++)
		if ((strcmp(who, "stop") == 0 || strcmp(who, "replace") == 0) &&
		    workers[i].master.chan != NULL)
			chan_send(workers[i].master.chan, MSG_STOP,
				  &(struct msg_stop){ .grace_ms = (uint32_t)strtoul(what, NULL, 10),
						      .is_reload = strcmp(who, "replace") == 0 });
	say("done %s", line);
}

static void
end_all(void)
{
	for (unsigned i = 0; i < worker_count; i++)
		if (workers[i].pid > 0)
			kill(workers[i].pid, SIGKILL);
	exit(EXIT_SUCCESS);
}

static void
on_stdin(uv_poll_t *h, int status, int events)
{
	static char text[4096];
	static size_t n;
	ssize_t got = read(STDIN_FILENO, text + n, sizeof(text) - 1 - n);
	char *lf;

	(void)h;
	(void)status;
	(void)events;
	if (got <= 0)
		end_all();
	n += (size_t)got;
	text[n] = '\0';
	while ((lf = strchr(text, '\n')) != NULL) {
		*lf = '\0';
		order(text);
		n -= (size_t)(lf + 1 - text);
		memmove(text, lf + 1, n + 1);
	}
}

static void
on_child(uv_signal_t *h, int signum)
{
	int status;
	pid_t pid;

	(void)h;
	(void)signum;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (unsigned i = 0; i < worker_count; i++)
			if (workers[i].pid == pid)
				workers[i].pid = 0;
		say("exit %d %d", pid, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	}
}

static int
listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons(port),
				 .sin_addr.s_addr = htonl(INADDR_ANY) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 1024) != 0)
		die_perm("port %u: %s", port, strerror(errno));
	return fd;
}

int
main(int argc, char **argv)
{
	static const enum proc_id kinds[] = { PROC_MASTER, PROC_LOGD, PROC_ROUTER, PROC_QMGR };
	struct conf_problems problems;
	static uv_signal_t child;
	static uv_poll_t input;

	if (argc != 5)
		die_perm("usage: bed_smtpd SMTPD CONF PORT WORKERS");
	memset(&problems, 0, sizeof(problems));
	if (conf_load(argv[2], false, &conf, &problems) < 0)
		die_perm("%s", buf_cstr(&problems.text));
	buf_init(&conf_bytes, 1 << 22);
	conf_encode(conf, PROC_SMTPD, &conf_bytes);
	signal(SIGPIPE, SIG_IGN);
	program = argv[1];
	listen_fd = listen_on((uint16_t)strtoul(argv[3], NULL, 10));
	table_fd = memfd_create("clients", MFD_CLOEXEC);
	if (table_fd < 0 || ftruncate(table_fd, TABLE_BYTES) != 0)
		die_perm("memfd: %s", strerror(errno));
	map64_init(&streams);
	uv_loop_init(&loop);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		sets[kinds[i]] = chan_set_new(&loop, kinds[i]);
	uv_signal_init(&loop, &child);
	uv_signal_start(&child, on_child, SIGCHLD);
	uv_poll_init(&loop, &input, STDIN_FILENO);
	uv_poll_start(&input, UV_READABLE, on_stdin);
	for (unsigned i = 0; i < strtoul(argv[4], NULL, 10) && i < WORKERS_MAX; i++)
		start_worker();
	return uv_run(&loop, UV_RUN_DEFAULT);
}
