/* SPDX-License-Identifier: ISC
 *
 * The glue between a client's socket and its session: bytes in, replies out, one timer, and the session's requests to
 * router and qmgr. It knows no SMTP: that is lib/session. Runs in smtpd, whose only rights are its sockets and its
 * channels.
 *
 *	open --session closed, replies sent--> (lingering: what the client still sends is thrown away) --> closed
 *	open --client gone while its message waits for STORED--> kept until the answer: the message stays committed
 */

/* System */
#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "smtpd/conn.h"
#include "smtpd/counts.h"

enum { LINGER_MS = 2000 };

static void conn_update(struct conn *c);

/* ---- the log ---- */

static void
log_client(struct log_event *ev, const struct conn *c)
{
	log_kvs(ev, "sid", c->sid);
}

static void
log_helo(struct log_event *ev, const struct conn *c)
{
	log_kvs(ev, "client", c->addr);
	if (c->session.helo != NULL)
		log_kvs(ev, "helo", c->session.helo);
}

static void
on_reject(void *arg, const struct session_reject *r)
{
	struct conn *c = arg;
	struct log_event ev;

	clients_count(c->env->policy.clients, counts_of_reject(r->stage, r->reply), 1);
	log_begin(&ev, LOG_INFO_, "reject");
	log_client(&ev, c);
	log_helo(&ev, c);
	log_kvs(&ev, "stage", r->stage);
	if (r->sender.n > 0 || r->rcpt.n > 0)
		log_kv(&ev, "from", r->sender);
	if (r->rcpt.n > 0)
		log_kv(&ev, "to", r->rcpt);
	if (r->said.n > 0)
		log_kv(&ev, "said", r->said);
	log_kv(&ev, "reply", r->reply);
	log_end(&ev);
}

static void
on_received(void *arg, const struct session_message *m)
{
	struct conn *c = arg;
	struct clients *clients = c->env->policy.clients;
	struct log_event ev;

	clients_count(clients, COUNT_MESSAGES, 1);
	clients_count(clients, COUNT_RECIPIENTS, m->rcpt_count);
	clients_count(clients, COUNT_BYTES, m->content_len);
	log_begin(&ev, LOG_INFO_, "received");
	log_client(&ev, c);
	log_kv_qid(&ev, "qid", m->qid);
	log_helo(&ev, c);
	log_kv(&ev, "from", m->sender);
	log_kv_u64(&ev, "size", m->content_len);
	log_kv_u64(&ev, "nrcpt", m->rcpt_count);
	log_kvs(&ev, "proto", m->protocol);
	log_end(&ev);
}

static void
log_debug_event(const struct conn *c, const char *event)
{
	struct log_event ev;

	log_begin(&ev, LOG_DEBUG_, event);
	log_client(&ev, c);
	log_kvs(&ev, "client", c->addr);
	log_kv_u64(&ev, "port", c->port);
	log_end(&ev);
}

/* ---- what the session asks ---- */

static int
may_mail(void *arg)
{
	struct conn *c = arg;
	struct conn_env *env = c->env;

	if (env->submit.state < 0)
		return env->submit.state;
	return policy_message(&env->policy, &c->who, c->session.now_ms);
}

static int
check_rcpt(void *arg, const struct smtp_addr *rcpt, struct span sender, struct session_verdict *out)
{
	struct conn *c = arg;
	struct conn_env *env = c->env;
	int r;

	if ((r = policy_recipient(&env->policy, &c->who, c->session.now_ms)) < 0)
		return r;
	return verdicts_ask(&env->verdicts, &c->question, rcpt, sender, c->client.may_relay,
			    c->session.now_ms, out);
}

static void
new_message(void *arg, uint64_t *qid_out, uint64_t *arrival_us_out)
{
	struct conn *c = arg;

	*qid_out = submit_new_id(&c->env->submit);
	*arrival_us_out = clock_wall_us();
}

static int
stream_content(void *arg, uint64_t qid, struct span data)
{
	struct conn *c = arg;

	return submit_stream(&c->env->submit, &c->submission, qid, data);
}

static void
submit_whole(void *arg, const struct session_message *m)
{
	struct conn *c = arg;

	submit_message(&c->env->submit, &c->submission, m);
}

static void
drop_message(void *arg, uint64_t qid)
{
	struct conn *c = arg;

	(void)qid;
	submit_drop(&c->env->submit, &c->submission);
}

static const struct session_ops session_ops = { may_mail,	check_rcpt,   new_message,
						stream_content, submit_whole, drop_message,
						on_reject,	on_received };

/* ---- answers ---- */

static void
on_verdict(void *arg, const struct session_verdict *v)
{
	struct conn *c = arg;

	session_rcpt_verdict(&c->session, v, clock_mono_ms());
	conn_update(c);
}

static void
on_room(void *arg)
{
	struct conn *c = arg;

	session_room(&c->session, clock_mono_ms());
	conn_update(c);
}

static void
on_stored(void *arg, int code)
{
	struct conn *c = arg;

	session_commit_done(&c->session, code, clock_mono_ms());
	conn_update(c);
}

/* ---- life ---- */

static void
conn_closed(void *arg)
{
	mem_free(arg);
}

static void
conn_close(struct conn *c)
{
	struct conn_env *env = c->env;

	if (c->is_closing)
		return;
	c->is_closing = true;
	log_debug_event(c, "disconnect");
	timer_stop(&c->timer);
	verdicts_cancel(&env->verdicts, &c->question);
	session_free(&c->session);
	policy_disconnect(&env->policy, &c->who);
	list_remove(&c->node);
	stream_close(&c->stream);
	if (--env->count == 0 && env->on_empty != NULL)
		env->on_empty(env->arg);
}

/* All is said. Who was only told 221 has nothing to say any more; who still talks must be able to read our last words. */
static void
conn_finish(struct conn *c)
{
	if (c->close_deadline_ms != 0)
		return;
	if (c->is_eof || !stream_has_unread(&c->stream)) {
		conn_close(c);
		return;
	}
	c->close_deadline_ms = clock_mono_ms() + LINGER_MS;
	stream_linger(&c->stream);
}

static void
send_replies(struct conn *c)
{
	struct buf *out = &c->session.out;
	size_t n;

	if (out->n == 0)
		return;
	n = stream_send(&c->stream, buf_span(out));
	buf_drop(out, n);
	if (n > 0 || c->write_deadline_ms == 0)
		c->write_deadline_ms = out->n > 0 ? clock_mono_ms() + c->env->conf->timeouts.write
						  : 0;
	/* An idle connection keeps no memory. */
	if (out->n == 0 && c->session.txn == NULL)
		buf_clear(out);
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The timer may ring too early, never too late: it is set back only when it rings. */
static void
set_timer(struct conn *c)
{
	uint64_t due = earlier(earlier(c->session.deadline_ms, c->write_deadline_ms),
			       c->close_deadline_ms),
		 now;

	if (due == 0 || (timer_is_set(&c->timer) && c->timer.due_ms <= due))
		return;
	now = clock_mono_ms();
	timer_start(&c->timer, due > now ? due - now : 0);
}

/* After anything that changed the session: send, go on with input that waited, close, set the timer. */
static void
conn_update(struct conn *c)
{
	size_t before;

	if (c->is_updating || c->is_closing)
		return;
	c->is_updating = true;
	do {
		send_replies(c);
		before = stream_rest(&c->stream).n;
		if (before > 0 && !session_is_blocked(&c->session) &&
		    c->session.phase != PHASE_CLOSED)
			stream_again(&c->stream);
	} while (!c->is_closing && stream_rest(&c->stream).n < before);
	c->is_updating = false;
	if (c->is_closing)
		return;
	if (c->session.phase == PHASE_CLOSED && c->session.out.n == 0)
		conn_finish(c);
	else if (c->is_eof && !session_is_blocked(&c->session))
		conn_close(c);
	if (!c->is_closing)
		set_timer(c);
}

static size_t
on_input(void *arg, struct span in)
{
	struct conn *c = arg;
	uint64_t now_ms = clock_mono_ms();
	size_t used = 0, n;

	do {
		n = session_input(&c->session, span_sub(in, used, in.n), now_ms);
		used += n;
		send_replies(c);
	} while (n > 0 && used < in.n && !session_is_blocked(&c->session));
	/* Closing and the timer; what is left is not yet where conn_update() looks for it, and would not be taken. */
	conn_update(c);
	return used;
}

static void
on_end(void *arg, int why)
{
	struct conn *c = arg;

	(void)why;
	c->is_eof = true;
	if (c->close_deadline_ms != 0)
		conn_close(c);
	else
		conn_update(c);
}

static void
on_writable(void *arg)
{
	conn_update(arg);
}

static const struct stream_ops stream_ops = { on_input, on_end, on_writable, conn_closed };

static void
on_timer(void *arg)
{
	struct conn *c = arg;
	uint64_t now_ms = clock_mono_ms();

	if ((c->write_deadline_ms != 0 && now_ms >= c->write_deadline_ms) ||
	    (c->close_deadline_ms != 0 && now_ms >= c->close_deadline_ms)) {
		conn_close(c);
		return;
	}
	session_tick(&c->session, now_ms);
	conn_update(c);
}

/* Address of the peer; an IPv4 client of an IPv6 socket is an IPv4 client. */
static void
read_peer(struct conn *c, const struct sockaddr_storage *peer)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)peer;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)peer;

	if (peer->ss_family == AF_INET) {
		c->who.family = 4;
		memcpy(c->who.addr, &v4->sin_addr, 4);
		c->port = ntohs(v4->sin_port);
	} else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		c->who.family = 4;
		memcpy(c->who.addr, v6->sin6_addr.s6_addr + 12, 4);
		c->port = ntohs(v6->sin6_port);
	} else if (peer->ss_family == AF_INET6) {
		c->who.family = 6;
		memcpy(c->who.addr, &v6->sin6_addr, 16);
		c->port = ntohs(v6->sin6_port);
	}
	if (c->who.family != 0)
		(void)inet_ntop(c->who.family == 4 ? AF_INET : AF_INET6, c->who.addr, c->addr,
				sizeof(c->addr));
}

/* Refused before there is a session. */
static void
refuse(struct conn *c, int err)
{
	const struct err_info *e = err_info(err);
	struct buf *out = &c->session.out;

	buf_printf(out, "%d %s %s %s", e->reply, e->esc, c->env->conf->hostname, e->text);
	on_reject(c, &(struct session_reject){ .stage = "CONNECT", .reply = buf_span(out) });
	buf_puts(out, "\r\n");
	c->session.phase = PHASE_CLOSED;
}

void
conn_accept(struct conn_env *env, int fd, const struct sockaddr_storage *peer, bool is_submission)
{
	struct conn *c = mem_zalloc(sizeof(*c));
	uint64_t now_ms = clock_mono_ms();
	int r;

	c->env = env;
	list_init(&c->node);
	read_peer(c, peer);
	if (stream_open(&c->stream, &env->streams, fd, &stream_ops, c) < 0) {
		mem_free(c);
		return;
	}
	id_format(submit_new_id(&env->submit), c->sid);
	timer_init(&c->timer, env->timers, on_timer, c);
	question_init(&c->question, on_verdict, c);
	submission_init(&c->submission, on_room, on_stored, c);
	list_push_back(&env->conns, &c->node);
	env->count++;
	clients_count(env->policy.clients, COUNT_CONNECTIONS, 1);
	r = policy_connect(&env->policy, &c->who, now_ms);
	c->client = (struct session_client){
		.addr = c->addr,
		.sid = c->sid,
		.may_relay = c->who.is_trusted,
		.is_normalizing = (c->who.is_trusted ? env->conf->bare_newline_trusted
						     : env->conf->bare_newline) ==
				  CONF_BARE_NEWLINE_NORMALIZE,
		.needs_auth = is_submission
	};
	session_init(&c->session, env->session_conf, &c->client, &session_ops, c);
	log_debug_event(c, "connect");
	if (r < 0)
		refuse(c, r);
	else
		session_start(&c->session, now_ms);
	conn_update(c);
}

void
conn_stop_all(struct conn_env *env)
{
	uint64_t now_ms = clock_mono_ms();

	LIST_EACH_SAFE(it, tmp, &env->conns) {
		struct conn *c = LIST_ENTRY(it, struct conn, node);

		session_stop(&c->session, now_ms);
		conn_update(c);
	}
}

void
conn_close_all(struct conn_env *env)
{
	while (!list_is_empty(&env->conns))
		conn_close(LIST_ENTRY(env->conns.next, struct conn, node));
}
