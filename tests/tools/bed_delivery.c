/* SPDX-License-Identifier: ISC
 *
 * A bed for delivery and the mailbox agent: plays master, logd and qmgr for one real process, so that its next hops and
 * Maildirs can be tested without a queue. Orders come line by line on standard input, what happens goes to standard output.
 *
 *	bed_delivery PROGRAM CONF delivery|mailbox [BASE...]
 *
 *	open SESSION smtp|lmtp FLAGS HOP...     HOP is NAME=ADDRESS:PORT or unix:PATH; several of one NAME are its addresses
 *	open SESSION maildir BASE PATH
 *	job JOB SESSION SENDER RCPT,RCPT... [content=FILE] [trace=FILE] [flags=N] [body8] [utf8] [notify=N] [ret=N] [envid=X] [orcpt=X]
 *	many FIRST COUNT SESSION SENDER RCPT... as job; COUNT jobs, two at a time, no lines but one at the end
 *	data hold | data release                content over 64 KiB is not sent beyond the first chunk
 *	abort JOB | close SESSION | ack JOB | ack auto | ack none
 *	qmgr lose | qmgr new | stop GRACE_MS | kill
 *
 * "-" is the null sender. */

/* System */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
/* Third party */
#include <uv.h>
/* lib */
#include "base/clock.h"
#include "base/cur.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "ipc/chan.h"
#include "ipc/plan.h"
#include "spool/envelope.h"

enum { WORDS_MAX = 64, FIRST_CHUNK = 65536, SLOT_WORKER = 20, SLOT_QMGR = 21, SLOT_LOGD = 22 };

/* What a job line says; kept for `many` and for streamed content. */
struct order {
	uint64_t job;
	uint32_t session;
	struct buf envelope, trace, content;
	uint32_t content_flags;
	uint64_t sent;	 /* streamed so far */
	uint64_t window; /* bytes without credit */
};

static uv_loop_t loop;
static struct chan_set *sets[PROC_COUNT];
static struct chan *to_master, *to_logd, *to_qmgr;
static enum proc_id kind;
static pid_t pid;
static struct map64 streams; /* job -> struct order */
static bool is_auto_ack = true, holds_data;
static struct {
	struct order o;
	uint64_t left, running, done, good, started_ms;
} many;

static void PRINTF_LIKE(1, 2) say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

static uint64_t
to_number(const char *text)
{
	return strtoull(text, NULL, 10);
}

/* ---- jobs ---- */

static void
stream_on(struct order *o)
{
	while (!holds_data && o->sent < o->content.n && o->window < STREAM_WINDOW_BYTES) {
		struct span part = span_sub(buf_span(&o->content), o->sent, STREAM_CHUNK_BYTES);

		if (part.n > STREAM_WINDOW_BYTES - o->window)
			part.n = (size_t)(STREAM_WINDOW_BYTES - o->window);
		o->sent += part.n;
		o->window += part.n;
		chan_send(to_qmgr, MSG_JOB_DATA,
			  &(struct msg_job_data){ .job = o->job, .data = part });
	}
}

static void
free_order(struct order *o)
{
	buf_clear(&o->envelope);
	buf_clear(&o->trace);
	buf_clear(&o->content);
}

static void
send_job(const struct order *o)
{
	bool is_small = o->content.n <= FIRST_CHUNK;

	chan_send(to_qmgr, MSG_JOB,
		  &(struct msg_job){ .job = o->job,
				     .session = o->session,
				     .qid = o->job << 12,
				     .number = o->job,
				     .content_flags = o->content_flags,
				     .content_len = o->content.n,
				     .envelope = buf_span(&o->envelope),
				     .trace = buf_span(&o->trace),
				     .content = is_small ? buf_span(&o->content) : SPAN_NONE });
}

static void
read_into(struct buf *b, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fd_read_file(fd, b->max, b) < 0)
		die_perm("%s: %s", path, strerror(errno));
	fd_close(&fd);
}

static const char *
value_of(char **words, const char *key)
{
	for (; *words != NULL; words++) {
		if (strncmp(*words, key, strlen(key)) == 0)
			return *words + strlen(key);
	}
	return NULL;
}

static unsigned
number_of(char **words, const char *key)
{
	const char *v = value_of(words, key);

	return v != NULL ? (unsigned)strtoul(v, NULL, 0) : 0;
}

/* SENDER RCPT,RCPT... [options] */
static void
parse_job(struct order *o, char **words)
{
	struct env_rcpt rcpts[1000];
	struct envelope e;
	struct span list = span_of(words[1]), addr;

	memset(rcpts, 0, sizeof(rcpts));
	envelope_init(&e);
	e.sender = span_of(strcmp(words[0], "-") == 0 ? "" : words[0]);
	e.rcpts = rcpts;
	e.body = value_of(words, "body8") != NULL ? ENV_BODY_8BITMIME : ENV_BODY_7BIT;
	e.is_smtputf8 = value_of(words, "utf8") != NULL;
	e.ret = (enum env_ret)number_of(words, "ret=");
	e.envid = span_of(value_of(words, "envid="));
	while (span_next(&list, ',', &addr) && e.rcpt_count < 1000) {
		rcpts[e.rcpt_count] = (struct env_rcpt){
			.index = e.rcpt_count,
			.notify = (uint8_t)number_of(words, "notify="),
			.addr = addr,
			.orcpt = span_of(value_of(words, "orcpt=")),
			.orig = span_of(value_of(words, "orig="))
		};
		e.rcpt_count++;
	}
	buf_init(&o->envelope, 1 << 20);
	buf_init(&o->trace, 65536);
	buf_init(&o->content, 1 << 30);
	envelope_encode(&o->envelope, &e);
	if (value_of(words, "trace=") != NULL)
		read_into(&o->trace, value_of(words, "trace="));
	else
		buf_puts(&o->trace, "Received: by bed\r\n");
	if (value_of(words, "content=") != NULL)
		read_into(&o->content, value_of(words, "content="));
	else
		buf_puts(&o->content, "Subject: test\r\n\r\nhello\r\n");
	o->content_flags = number_of(words, "flags=");
}

static void
order_job(char **words)
{
	struct order *o = mem_zalloc(sizeof(*o));

	o->job = to_number(words[0]);
	o->session = (uint32_t)to_number(words[1]);
	parse_job(o, words + 2);
	send_job(o);
	if (o->content.n <= FIRST_CHUNK) {
		free_order(o);
		mem_free(o);
		return;
	}
	(void)map64_put(&streams, o->job, o);
	stream_on(o);
}

static void
send_many(void)
{
	while (many.left > 0 && many.running < 2) {
		many.left--;
		many.running++;
		many.o.job++;
		send_job(&many.o);
	}
	if (many.left == 0 && many.running == 0 && many.done > 0) {
		say("many done=%llu good=%llu ms=%llu", (unsigned long long)many.done,
		    (unsigned long long)many.good,
		    (unsigned long long)(clock_mono_ms() - many.started_ms));
		many.done = 0;
		many.o.session = 0;
		free_order(&many.o);
	}
}

static void
order_many(char **words)
{
	many.o.job = to_number(words[0]) - 1;
	many.left = to_number(words[1]);
	many.o.session = (uint32_t)to_number(words[2]);
	many.done = many.good = many.running = 0;
	many.started_ms = clock_mono_ms();
	parse_job(&many.o, words + 3);
	send_many();
}

/* ---- results ---- */

static void
say_outcomes(const struct msg_result *m)
{
	static const char *const names[] = { "delivered", "deferred", "bounced" };
	struct cur c = cur_of(m->outcomes);
	struct outcome o;

	while (cur_left(&c) > 0) {
		if (outcome_get(&c, &o) < 0)
			die_perm("bad outcome");
		say("outcome %llu %u %s%s%s %u %.*s %.*s", (unsigned long long)m->job, o.index,
		    names[o.status], o.flags & OUTCOME_NOT_TRIED ? " untried" : "",
		    o.flags & OUTCOME_NO_DSN_SUPPORT ? " nodsn" : "", o.reply, SPAN_ARG(o.esc),
		    SPAN_ARG(o.text));
	}
}

static bool
is_delivered(const struct msg_result *m)
{
	struct cur c = cur_of(m->outcomes);
	struct outcome o;

	return outcome_get(&c, &o) == 0 && o.status == OUTCOME_DELIVERED;
}

static void
on_result(const struct msg_result *m)
{
	struct order *o = map64_del(&streams, m->job);

	if (o != NULL) {
		free_order(o);
		mem_free(o);
	}
	if (is_auto_ack)
		chan_send(to_qmgr, MSG_RESULT_ACK, &(struct msg_result_ack){ .job = m->job });
	if (many.o.session != 0 && m->session == many.o.session) {
		many.done++;
		many.good += is_delivered(m);
		many.running--;
		send_many();
		return;
	}
	say_outcomes(m);
	say("result %llu session=%u up=%u relay=%.*s connect=%u transmit=%u",
	    (unsigned long long)m->job, m->session, m->is_session_up, SPAN_ARG(m->relay),
	    m->connect_ms, m->transmit_ms);
}

static void
on_state(const struct msg_session_state *m)
{
	if (m->state == SESSION_UP)
		say("session %u up %.*s", m->session, SPAN_ARG(m->relay));
	else if (m->state == SESSION_CLOSED)
		say("session %u closed", m->session);
	else
		say("session %u failed %u %.*s %.*s | %.*s", m->session, m->reply, SPAN_ARG(m->esc),
		    SPAN_ARG(m->relay), SPAN_ARG(m->text));
}

static void
on_running(const struct msg_job_running *m)
{
	struct cur c = cur_of(m->indexes);
	struct buf b;

	buf_init(&b, 65536);
	while (cur_left(&c) > 0)
		buf_printf(&b, " %u", cur_u32(&c));
	say("running %llu%s", (unsigned long long)m->job, buf_cstr(&b));
	buf_clear(&b);
}

static void
on_credit(const struct msg_job_credit *m)
{
	struct order *o = map64_get(&streams, m->job);

	if (o == NULL)
		return;
	if (m->bytes > o->window)
		die_perm("credit for %u of %llu bytes", m->bytes, (unsigned long long)o->window);
	o->window -= m->bytes;
	stream_on(o);
}

/* ---- master ---- */

static void
on_unix_connect(const struct msg_unix_connect *m)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	say("unix %.*s", SPAN_ARG(m->path));
	memcpy(sun.sun_path, m->path.p, m->path.n);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0 &&
	    fd_set_nonblock(fd) == 0) {
		chan_send(to_master, MSG_UNIX_CONNECTED,
			  &(struct msg_unix_connected){ .req = m->req, .fd = fd });
		return;
	}
	chan_send(to_master, MSG_UNIX_REFUSED,
		  &(struct msg_unix_refused){ .req = m->req, .reason = span_of(strerror(errno)) });
	fd_close(&fd);
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
on_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)arg;
	(void)c;
	if (type == MSG_READY)
		say("ready %d", pid);
	else if (type == MSG_LOG_RECORD)
		on_log(msg->log_record.record);
	else if (type == MSG_UNIX_CONNECT)
		on_unix_connect(&msg->unix_connect);
	else if (type == MSG_SESSION_STATE)
		on_state(&msg->session_state);
	else if (type == MSG_RESULT)
		on_result(&msg->result);
	else if (type == MSG_JOB_RUNNING)
		on_running(&msg->job_running);
	else if (type == MSG_JOB_CREDIT)
		on_credit(&msg->job_credit);
	else if (type == MSG_INVENTORY_END)
		say("inventory_end");
}

static void
on_close(void *arg, struct chan *c, int why)
{
	(void)arg;
	if (why == E_CORRUPT)
		say("corrupt");
	if (c == to_qmgr)
		to_qmgr = NULL;
	else if (c == to_logd)
		to_logd = NULL;
	else
		to_master = NULL;
}

static const struct chan_ops ops = { on_msg, on_close, NULL };

static void
add_peer(struct chan **to, enum proc_id as, uint16_t slot)
{
	int pair[2];

	if (fd_socketpair(pair) < 0)
		die_perm("socketpair");
	*to = chan_new(sets[as], pair[0], kind, SLOT_WORKER, &ops, NULL);
	chan_send(*to, MSG_HELLO,
		  &(struct msg_hello){ .contract = msg_contract(),
				       .kind = (uint8_t)as,
				       .slot = slot,
				       .pid = (uint32_t)getpid() });
	chan_send(to_master, MSG_PEER_ADD,
		  &(struct msg_peer_add){ .kind = (uint8_t)as, .slot = slot, .fd = pair[1] });
}

static void
start(const char *program, struct span conf_bytes, char **bases)
{
	int pair[2];

	if (fd_socketpair(pair) < 0)
		die_perm("socketpair");
	pid = fork();
	if (pid == 0) {
		if (dup2(pair[1], 3) < 0 || fd_set_cloexec(3, false) < 0 ||
		    fcntl(3, F_SETFL, 0) < 0)
			_exit(126);
		execl(program, "delivery", (char *)NULL);
		_exit(127);
	}
	fd_close(&pair[1]);
	to_master = chan_new(sets[PROC_MASTER], pair[0], kind, SLOT_WORKER, &ops, NULL);
	chan_send(to_master, MSG_INIT,
		  &(struct msg_init){ .kind = (uint8_t)kind,
				      .slot = SLOT_WORKER,
				      .uid = UINT32_MAX,
				      .gid = UINT32_MAX,
				      .conf = conf_bytes });
	for (; *bases != NULL; bases++) {
		char name[4200];
		int fd = open(*bases, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			die_perm("%s: %s", *bases, strerror(errno));
		snprintf(name, sizeof(name), "dir:%s", *bases);
		chan_send(to_master, MSG_FILE_ADD,
			  &(struct msg_file_add){ .name = span_of(name), .fd = fd });
	}
	add_peer(&to_logd, PROC_LOGD, SLOT_LOGD);
	add_peer(&to_qmgr, PROC_QMGR, SLOT_QMGR);
	chan_send(to_master, MSG_START, &(struct msg_start){ .end_ = 0 });
}

/* ---- orders ---- */

/* The host of this name and port, the last one added if it is the same. */
static struct plan_host *
hop_host(struct plan *p, struct arena *a, struct span name, uint16_t port)
{
	struct plan_host *h = p->host_count > 0 ? &p->hosts[p->host_count - 1] : NULL;

	if (h != NULL && h->addrs != NULL && span_eq(h->name, name) && h->port == port)
		return h;
	h = &p->hosts[p->host_count++];
	*h = (struct plan_host){ .name = name,
				 .port = port,
				 .addrs = arena_alloc(a,
						      PLAN_MAX_ADDRS * sizeof(struct plan_addr)) };
	return h;
}

/* NAME=ADDRESS:PORT, IPv6 addresses without brackets: the last colon counts. */
static void
add_hop(struct plan *p, struct arena *a, const char *text)
{
	struct span all = span_of(text), name;
	ptrdiff_t colon = span_rchr(all, ':');
	struct plan_host *h;
	struct plan_addr *addr;
	char *address;

	if (span_starts(all, SPAN("unix:"))) {
		p->hosts[p->host_count++] = (struct plan_host){ .name = span_of(text + 5),
								.is_unix = true };
		return;
	}
	if (colon < 0 || span_chr(all, '=') < 0)
		die_perm("bad hop %s", text);
	all.n = (size_t)colon;
	(void)span_next(&all, '=', &name);
	h = hop_host(p, a, name, (uint16_t)to_number(text + colon + 1));
	if (span_eq(all, SPAN("none")))
		return;
	address = arena_cstr(a, all);
	addr = &h->addrs[h->addr_count++];
	addr->family = span_chr(all, ':') >= 0 ? 6 : 4;
	if (inet_pton(addr->family == 4 ? AF_INET : AF_INET6, address, addr->addr) != 1)
		die_perm("bad address %s", address);
}

static void
order_open(char **words)
{
	struct plan p = { .domain = SPAN("next.example") };
	struct arena a;
	struct buf b;

	arena_init(&a, 4096);
	p.hosts = arena_alloc(&a, PLAN_MAX_HOSTS * sizeof(*p.hosts));
	if (strcmp(words[1], "maildir") == 0) {
		p.transport = TRANSPORT_MAILDIR;
		p.base = span_of(words[2]);
		p.path = span_of(words[3]);
	} else {
		p.transport = strcmp(words[1], "lmtp") == 0 ? TRANSPORT_LMTP : TRANSPORT_SMTP;
		p.flags = strstr(words[2], "local") != NULL ? PLAN_LOOPBACK_OK : 0;
		p.tls = strstr(words[2], "tls") != NULL ? PLAN_TLS_ENCRYPT : PLAN_TLS_NONE;
		for (unsigned i = 3; words[i] != NULL; i++)
			add_hop(&p, &a, words[i]);
	}
	buf_init(&b, 1 << 16);
	plan_encode(&b, &p);
	chan_send(to_qmgr, MSG_SESSION_OPEN,
		  &(struct msg_session_open){ .session = (uint32_t)to_number(words[0]),
					      .site = SPAN("site.example"),
					      .plan = buf_span(&b) });
	buf_clear(&b);
	arena_clear(&a);
}

static void
order_qmgr(char **words)
{
	if (strcmp(words[0], "new") == 0) {
		add_peer(&to_qmgr, PROC_QMGR, SLOT_QMGR);
	} else {
		chan_free(&to_qmgr);
		chan_send(to_master, MSG_PEER_LOST,
			  &(struct msg_peer_lost){
				  .kind = PROC_QMGR, .slot = SLOT_QMGR, .is_crash = 1 });
	}
}

static void
order_data(char **words)
{
	size_t it = 0;
	uint64_t job;
	void *o;

	holds_data = strcmp(words[0], "hold") == 0;
	while (map64_next(&streams, &it, &job, &o))
		stream_on(o);
}

static void
order_ack(char **words)
{
	uint64_t job = to_number(words[0]);

	if (job != 0)
		chan_send(to_qmgr, MSG_RESULT_ACK, &(struct msg_result_ack){ .job = job });
	else
		is_auto_ack = strcmp(words[0], "auto") == 0;
}

static void
order_abort(char **words)
{
	chan_send(to_qmgr, MSG_JOB_ABORT, &(struct msg_job_abort){ .job = to_number(words[0]) });
}

static void
order_close(char **words)
{
	chan_send(to_qmgr, MSG_SESSION_CLOSE,
		  &(struct msg_session_close){ .session = (uint32_t)to_number(words[0]) });
}

static void
order_stop(char **words)
{
	chan_send(to_master, MSG_STOP,
		  &(struct msg_stop){ .grace_ms = (uint32_t)to_number(words[0]) });
}

static void
order_kill(char **words)
{
	(void)words;
	kill(pid, SIGKILL);
}

static const struct {
	const char *verb;
	unsigned words; /* at least so many follow */
	void (*fn)(char **words);
} orders[] = {
	{ "open", 3, order_open }, { "job", 4, order_job },	{ "many", 5, order_many },
	{ "data", 1, order_data }, { "abort", 1, order_abort }, { "close", 1, order_close },
	{ "ack", 1, order_ack },   { "qmgr", 1, order_qmgr },	{ "stop", 1, order_stop },
	{ "kill", 0, order_kill },
};

static void
order(char *line)
{
	char *words[WORDS_MAX + 1] = { NULL }, *save = NULL, *copy = mem_strdup(line);
	unsigned n = 0;

	for (char *w = strtok_r(line, " ", &save); w != NULL && n < WORDS_MAX;
	     w = strtok_r(NULL, " ", &save))
		words[n++] = w;
	for (size_t i = 0; n > 0 && i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(words[0], orders[i].verb) == 0 && n > orders[i].words)
			orders[i].fn(words + 1);
	}
	say("done %s", copy);
	mem_free(copy);
}

static void
on_stdin(uv_poll_t *h, int status, int events)
{
	static char text[65536];
	static size_t n;
	ssize_t got = read(STDIN_FILENO, text + n, sizeof(text) - 1 - n);
	char *lf;

	(void)h;
	(void)status;
	(void)events;
	if (got <= 0) {
		if (pid > 0)
			kill(pid, SIGKILL);
		exit(EXIT_SUCCESS);
	}
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

	(void)h;
	(void)signum;
	if (pid > 0 && waitpid(pid, &status, WNOHANG) == pid) {
		pid = 0;
		say("exit %d", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	}
}

int
main(int argc, char **argv)
{
	static const enum proc_id kinds[] = { PROC_MASTER, PROC_LOGD, PROC_QMGR };
	static uv_signal_t child;
	static uv_poll_t input;
	struct conf_problems problems;
	struct conf *conf;
	struct buf conf_bytes;

	if (argc < 4)
		die_perm("usage: bed_delivery PROGRAM CONF delivery|mailbox [BASE...]");
	memset(&problems, 0, sizeof(problems));
	if (conf_load(argv[2], false, &conf, &problems) < 0)
		die_perm("%s", buf_cstr(&problems.text));
	kind = strcmp(argv[3], "mailbox") == 0 ? PROC_MAILBOX : PROC_DELIVERY;
	buf_init(&conf_bytes, 1 << 22);
	conf_encode(conf, kind, &conf_bytes);
	signal(SIGPIPE, SIG_IGN);
	map64_init(&streams);
	uv_loop_init(&loop);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		sets[kinds[i]] = chan_set_new(&loop, kinds[i]);
	uv_signal_init(&loop, &child);
	uv_signal_start(&child, on_child, SIGCHLD);
	uv_poll_init(&loop, &input, STDIN_FILENO);
	uv_poll_start(&input, UV_READABLE, on_stdin);
	start(argv[1], buf_span(&conf_bytes), argv + 4);
	return uv_run(&loop, UV_RUN_DEFAULT);
}
