/* SPDX-License-Identifier: ISC
 *
 * Sessions over the network as agent.c knows them: which jobs a connection takes, and when it ends. What happens on the
 * wire is out_conn.c's and out_session.c's. Runs in delivery. */

/* lib */
#include "base/clock.h"
#include "base/mem.h"
/* this program */
#include "delivery/out_conn.h"
#include "delivery/out_net.h"

enum {
	JOBS_MAX = 2,		/* one runs, one waits */
	IDLE_MARGIN_MS = 10000, /* qmgr closes idle connections; this is for one that forgot */
};

static uint32_t
ms(uint64_t value)
{
	return value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

static void
copy_timeouts(struct out_conn *c, const struct conf *conf)
{
	c->timeouts = (struct out_timeouts){
		.greeting = ms(conf->timeouts.greeting),
		.helo = ms(conf->timeouts.helo),
		.mail = ms(conf->timeouts.mail),
		.rcpt = ms(conf->timeouts.rcpt),
		.data_init = ms(conf->timeouts.data_init),
		.data_block = ms(conf->timeouts.data_block),
		.data_end = ms(conf->timeouts.data_end),
		.quit = ms(conf->timeouts.quit),
	};
	c->connect_timeout_ms = ms(conf->timeouts.connect);
	c->idle_ms = ms(conf->timeouts.idle + IDLE_MARGIN_MS);
}

static void
net_open(struct agent_session *as)
{
	struct out_conn *c = mem_zalloc(sizeof(*c));

	as->impl = c;
	c->as = as;
	list_init(&c->waiting);
	timer_init(&c->timer, as->agent->timers, out_conn_on_timer, c);
	copy_timeouts(c, as->agent->svc->conf);
	c->open_ms = clock_mono_ms();
	if (as->plan.transport == TRANSPORT_MAILDIR) {
		out_reason_add(&c->reason, "mailbox", 451, SPAN("4.3.0"),
			       SPAN("is not reached by the network"));
		out_conn_failed(c);
	} else if (as->plan.tls >= PLAN_TLS_ENCRYPT) {
		out_reason_add(&c->reason, "next hop", 451, SPAN("4.7.4"),
			       SPAN("TLS is required, and this version does not offer it"));
		out_conn_failed(c);
	} else {
		out_conn_try(c);
	}
}

static unsigned
jobs_held(const struct out_conn *c)
{
	unsigned n = 0;

	LIST_EACH(it, &c->waiting)
		n++;
	return n + (c->has_session && c->s.job != NULL) + (c->has_session && c->s.next != NULL);
}

static bool
net_job(void *impl, struct job *j)
{
	struct out_conn *c = impl;

	if (jobs_held(c) >= JOBS_MAX || (c->state == CONN_UP && !out_session_is_up(&c->s)))
		return false;
	list_push_back(&c->waiting, &j->node);
	if (c->state == CONN_UP)
		out_conn_pump(c);
	return true;
}

static void
net_data(void *impl, struct job *j)
{
	struct out_conn *c = impl;

	/* A job that still waits for its turn is looked at then. */
	if (c->has_session && (j == c->s.job || j == c->s.next)) {
		out_session_data(&c->s, j);
		out_conn_pump(c);
	} else if (j->is_aborted) {
		struct outcome o = job_error(E_IO, 0, SPAN("The stored message cannot be read"));

		list_remove(&j->node);
		job_settle_rest(j, &o);
		agent_result(c->as, j, &(struct agent_relay){ span_of(c->relay), 0, true });
	}
}

static void
net_abort(void *impl, uint8_t flags, struct span why)
{
	struct out_conn *c = impl;

	c->is_closing = true;
	if (c->has_session)
		out_session_give_up(&c->s, flags, why);
	out_conn_closed(c);
}

static void
net_close(void *impl)
{
	struct out_conn *c = impl;

	c->is_closing = true;
	out_conn_give_back(c);
	if (c->state != CONN_UP) {
		out_conn_closed(c);
		return;
	}
	out_session_quit(&c->s);
	if (c->as->is_orphan && c->s.job != NULL && !job_has_all(c->s.job))
		out_session_give_up(&c->s, OUTCOME_NOT_TRIED,
				    SPAN("The queue manager was restarted"));
	out_conn_pump(c);
}

static void
net_resume(void *impl)
{
	struct out_conn *c = impl;

	if (c->state == CONN_UP)
		out_conn_pump(c);
}

static int
net_start(struct agent *a)
{
	struct out_net *net = mem_zalloc(sizeof(*net));

	map64_init(&net->asked);
	a->data = net;
	return 0;
}

const struct agent_backend out_net_backend = {
	.start = net_start,
	.open = net_open,
	.job = net_job,
	.data = net_data,
	.close = net_close,
	.abort = net_abort,
	.resume = net_resume,
	.on_master = out_conn_on_master,
};
