/* SPDX-License-Identifier: ISC
 *
 * The side towards qmgr of delivery and of the mailbox agent: sessions, jobs, results until they are acknowledged, the
 * inventory for a qmgr that starts anew, and the stop. It does not deliver: out_conn.c and local/mailbox.c do. Runs as
 * _postern-delivery with sockets only, or as _postern-mail with the folders of the mailbox bases only.
 *
 * When qmgr is lost its sessions become orphans: what runs goes on to its end, and the result is kept; what had not begun
 * is forgotten, because the new qmgr will give it out again. */

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "delivery/agent.h"
#include "delivery/local/mailbox.h"
#include "delivery/out_net.h"

enum { GRACE_MARGIN_MS = 300, ACK_WAIT_MS = 200 };

static struct agent the_agent;

/* ---- the end ---- */

static void
exit_if_done(struct agent *a)
{
	if (!a->is_stopping || !list_is_empty(&a->sessions))
		return;
	/* Without an acknowledgement a mail may come twice: wait for it while qmgr lives and grace lasts. */
	if (a->results.count == 0 || a->qmgr == NULL)
		svc_exit(a->svc);
}

/* First what still runs is broken off; a little later nothing is waited for any more. */
static void
on_grace(void *arg)
{
	struct agent *a = arg;

	if (a->is_grace_over) {
		svc_exit(a->svc);
		return;
	}
	a->is_grace_over = true;
	timer_start(&a->grace, ACK_WAIT_MS);
	LIST_EACH_SAFE(it, tmp, &a->sessions)
		a->backend->abort(LIST_ENTRY(it, struct agent_session, node)->impl, 0,
				  SPAN("The mail server is stopping"));
}

static void
on_stop(struct svc *svc, bool is_reload, uint32_t grace_ms)
{
	struct agent *a = svc->data;

	(void)is_reload;
	a->is_stopping = true;
	timer_start(&a->grace, grace_ms > 2 * GRACE_MARGIN_MS
				       ? grace_ms - GRACE_MARGIN_MS - ACK_WAIT_MS
				       : grace_ms / 2);
	LIST_EACH_SAFE(it, tmp, &a->sessions) {
		struct agent_session *s = LIST_ENTRY(it, struct agent_session, node);
		s->is_closing = true;
		a->backend->close(s->impl);
	}
	exit_if_done(a);
}

/* ---- what backends say ---- */

static bool
is_heard(const struct agent_session *s)
{
	return s->agent->qmgr != NULL && !s->is_orphan;
}

static void
send_state(struct agent_session *s, const struct msg_session_state *m)
{
	if (is_heard(s))
		chan_send(s->agent->qmgr, MSG_SESSION_STATE, m);
}

static void
free_session(struct agent_session *s)
{
	struct agent *a = s->agent;

	if (!s->is_orphan)
		(void)map64_del(&a->by_id, s->id);
	list_remove(&s->node);
	arena_clear(&s->mem);
	mem_free(s);
	exit_if_done(a);
}

void
agent_up(struct agent_session *s, struct span relay, uint32_t connect_ms)
{
	send_state(s, &(struct msg_session_state){ .session = s->id,
						   .state = SESSION_UP,
						   .relay = relay,
						   .connect_ms = connect_ms });
}

void
agent_failed(struct agent_session *s, uint16_t reply, struct span esc, struct span text,
	     struct span relay)
{
	send_state(s, &(struct msg_session_state){ .session = s->id,
						   .state = SESSION_FAILED,
						   .reply = reply,
						   .esc = esc,
						   .text = span_sub(text, 0, 1000),
						   .relay = relay });
	free_session(s);
}

void
agent_closed(struct agent_session *s)
{
	send_state(s, &(struct msg_session_state){ .session = s->id, .state = SESSION_CLOSED });
	free_session(s);
}

static bool
is_untried(const struct job *j)
{
	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		if (!j->is_settled[i] || !(j->outcomes[i].flags & OUTCOME_NOT_TRIED))
			return false;
	}
	return true;
}

static void
free_job(struct agent *a, struct job *j)
{
	(void)map64_del(&a->jobs, j->id);
	job_free(&j);
}

void
agent_result(struct agent_session *s, struct job *j, const struct agent_relay *r)
{
	struct agent *a = s->agent;
	struct buf outcomes;

	/* The new qmgr does not know that it was ever given out. */
	if (s->is_orphan && !j->is_told && is_untried(j)) {
		free_job(a, j);
		return;
	}
	buf_init(&outcomes, JOB_OUTCOMES_MAX);
	job_put_outcomes(j, &outcomes);
	if (buf_check(&outcomes) < 0)
		bug("outcomes of %u recipients do not fit into a result", j->env.rcpt_count);
	struct msg_result m = {
		.job = j->id,
		.session = s->is_orphan ? 0 : s->id,
		.qid = j->qid,
		.number = j->number,
		.is_session_up = r->is_session_up && !s->is_orphan,
		.relay = r->relay,
		.connect_ms = r->connect_ms,
		.transmit_ms = j->start_ms == 0 ? 0 : (uint32_t)(clock_mono_ms() - j->start_ms),
		.outcomes = buf_span(&outcomes),
	};
	results_add(&a->results, &m);
	if (a->qmgr != NULL)
		chan_send(a->qmgr, MSG_RESULT, &m);
	buf_clear(&outcomes);
	free_job(a, j);
}

void
agent_credit(struct agent_session *s, struct job *j)
{
	if (j->credit == 0)
		return;
	if (is_heard(s))
		chan_send(s->agent->qmgr, MSG_JOB_CREDIT,
			  &(struct msg_job_credit){ .job = j->id, .bytes = j->credit });
	j->credit = 0;
}

bool
agent_may_start(const struct agent *a)
{
	return a->qmgr == NULL || !chan_is_full(a->qmgr);
}

/* ---- messages of qmgr ---- */

static void
session_open(struct agent *a, const struct msg_session_open *m)
{
	struct agent_session *s;

	if (m->session == 0 || map64_get(&a->by_id, m->session) != NULL)
		die_temp("qmgr opened session %u twice", m->session);
	s = mem_zalloc(sizeof(*s));
	s->agent = a;
	s->id = m->session;
	arena_init(&s->mem, 2048);
	list_push_back(&a->sessions, &s->node);
	(void)map64_put(&a->by_id, s->id, s);
	if (a->is_stopping) {
		agent_closed(s);
	} else if (plan_decode(arena_dup(&s->mem, m->plan), &s->mem, &s->plan) < 0) {
		const struct err_info *e = err_info(E_INTERNAL);
		log_warn("qmgr sent a plan that cannot be read, for %.*s", SPAN_ARG(m->site));
		agent_failed(s, (uint16_t)e->reply, span_of(e->esc),
			     SPAN("Plan of the next hop cannot be read"), SPAN_NONE);
	} else {
		a->backend->open(s);
	}
}

/* A job that cannot begin: back to qmgr at once. */
static void
refuse_job(struct agent *a, struct agent_session *s, struct job *j)
{
	struct outcome o = job_error(E_AGAIN, OUTCOME_NOT_TRIED,
				     SPAN("The connection was closed before its turn"));
	struct agent_session gone = { .agent = a, .id = j->session };

	job_settle_rest(j, &o);
	agent_result(s != NULL ? s : &gone, j,
		     &(struct agent_relay){ .is_session_up = s != NULL && !s->is_closing });
}

static void
job_begin(struct agent *a, const struct msg_job *m)
{
	struct agent_session *s = map64_get(&a->by_id, m->session);
	struct job *j;

	if (map64_get(&a->jobs, m->job) != NULL)
		die_temp("qmgr gave job %llu out twice", (unsigned long long)m->job);
	if (job_new(m, &j) < 0)
		die_temp("qmgr sent a job that cannot be read");
	(void)map64_put(&a->jobs, j->id, j);
	if (s == NULL || s->is_closing || !a->backend->job(s->impl, j))
		refuse_job(a, s, j);
}

/* Parts of a job that ended meanwhile are still on their way: they are dropped. */
static void
job_data(struct agent *a, uint64_t id, const struct span *data)
{
	struct job *j = map64_get(&a->jobs, id);
	struct agent_session *s = j != NULL ? map64_get(&a->by_id, j->session) : NULL;

	if (s == NULL)
		return;
	if (data == NULL)
		j->is_aborted = true;
	else if (job_add_data(j, *data) < 0)
		die_temp("qmgr sent more content than there is credit for");
	a->backend->data(s->impl, j);
}

static void
session_close(struct agent *a, uint32_t id)
{
	struct agent_session *s = map64_get(&a->by_id, id);

	if (s == NULL || s->is_closing)
		return;
	s->is_closing = true;
	a->backend->close(s->impl);
}

static void
on_msg(struct svc *svc, struct chan *c, enum msg_type type, union msg_any *msg)
{
	struct agent *a = svc->data;

	if (c == svc->master) {
		if (a->backend->on_master != NULL)
			a->backend->on_master(a, type, msg);
	} else if (type == MSG_SESSION_OPEN) {
		session_open(a, &msg->session_open);
	} else if (type == MSG_JOB) {
		job_begin(a, &msg->job);
	} else if (type == MSG_JOB_DATA) {
		job_data(a, msg->job_data.job, &msg->job_data.data);
	} else if (type == MSG_JOB_ABORT) {
		job_data(a, msg->job_abort.job, NULL);
	} else if (type == MSG_SESSION_CLOSE) {
		session_close(a, msg->session_close.session);
	} else if (type == MSG_RESULT_ACK) {
		(void)results_ack(&a->results, msg->result_ack.job);
		exit_if_done(a);
	}
}

/* ---- qmgr comes and goes ---- */

static void
send_running(struct agent *a, struct job *j)
{
	struct buf indexes;

	buf_init(&indexes, 262144);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		buf_put_u32(&indexes, j->env.rcpts[i].index);
	chan_send(a->qmgr, MSG_JOB_RUNNING,
		  &(struct msg_job_running){ .job = j->id,
					     .qid = j->qid,
					     .number = j->number,
					     .indexes = buf_span(&indexes) });
	j->is_told = true;
	buf_clear(&indexes);
}

static void
on_peer(struct svc *svc, struct chan *c)
{
	struct agent *a = svc->data;
	size_t it = 0;
	uint64_t id;
	void *j;

	if (chan_kind(c) != PROC_QMGR)
		return;
	a->qmgr = c;
	results_send_again(&a->results, c);
	while (map64_next(&a->jobs, &it, &id, &j))
		send_running(a, j);
	chan_send(c, MSG_INVENTORY_END, &(struct msg_inventory_end){ 0 });
}

static void
on_peer_lost(struct svc *svc, struct chan *c, bool is_crash, bool is_final)
{
	struct agent *a = svc->data;

	(void)is_crash;
	(void)is_final;
	if (c != a->qmgr)
		return;
	a->qmgr = NULL;
	map64_clear(&a->by_id);
	map64_init(&a->by_id);
	LIST_EACH_SAFE(it, tmp, &a->sessions) {
		struct agent_session *s = LIST_ENTRY(it, struct agent_session, node);
		s->is_orphan = s->is_closing = true;
		a->backend->close(s->impl);
	}
	exit_if_done(a);
}

static void
on_room(struct svc *svc, struct chan *c)
{
	struct agent *a = svc->data;

	if (c != a->qmgr)
		return;
	LIST_EACH_SAFE(it, tmp, &a->sessions)
		a->backend->resume(LIST_ENTRY(it, struct agent_session, node)->impl);
}

/* ---- start ---- */

static void
on_file(struct svc *svc, const char *name, uint64_t mtime_ns, int fd)
{
	struct agent *a = svc->data;

	(void)mtime_ns;
	if (a->backend->on_file != NULL)
		a->backend->on_file(a, name, fd);
	else
		fd_close(&fd);
}

static int
prepare(struct svc *svc)
{
	struct agent *a = &the_agent;

	svc->data = a;
	a->svc = svc;
	a->backend = svc->kind == PROC_MAILBOX ? &mailbox_backend : &out_net_backend;
	list_init(&a->sessions);
	map64_init(&a->by_id);
	map64_init(&a->jobs);
	results_init(&a->results);
	return a->backend->prepare != NULL ? a->backend->prepare(a) : 0;
}

static int
start(struct svc *svc)
{
	struct agent *a = svc->data;

	a->timers = timer_set_new(svc->loop);
	timer_init(&a->grace, a->timers, on_grace, a);
	return a->backend->start != NULL ? a->backend->start(a) : 0;
}

const struct svc_ops agent_ops = {
	.kinds = P(DELIVERY) | P(MAILBOX),
	.prepare = prepare,
	.start = start,
	.on_peer = on_peer,
	.on_peer_lost = on_peer_lost,
	.on_msg = on_msg,
	.on_room = on_room,
	.on_file = on_file,
	.on_stop = on_stop,
};
