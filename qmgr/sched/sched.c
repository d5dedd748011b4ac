/* SPDX-License-Identifier: ISC
 *
 * Scheduling as a whole: keeps the memory for recipients within limits.queue_memory, looks for lanes that are due, passes
 * messages of siblings on, starts and stops. How recipients come in is take.c's; what happens to them is told at the top
 * of sched_int.h. Run by qmgr on its loop. */

/* lib */
#include "base/id.h"
#include "conf/conf.h"
/* this program */
#include "qmgr/sched/sched_int.h"

enum {
	TICK_MS = 1000,
	DUE_LANES = 64,		/* taken from the store at a time */
	WANTING_MAX = 256,	/* lanes that wait for a session: more are not fetched */
	ASK_AGE_MAX_MS = 150000 /* router has timeouts of its own; this is for one that hangs */
};

/* --- small things ---------------------------------------------------------------------------- */

struct conf *
sched_conf(const struct sched *s)
{
	return s->q->svc->conf;
}

void
sched_kick(struct sched *s)
{
	if (!timer_is_set(&s->run_timer) && !s->is_stopped)
		timer_start(&s->run_timer, 0);
}

uint64_t
sched_jitter(uint64_t ms, unsigned percent)
{
	uint64_t spread = ms * percent / 100, r;

	if (spread == 0)
		return ms;
	id_random(&r, sizeof(r));
	return ms - spread + r % (2 * spread + 1);
}

uint64_t
sched_key(uint64_t number, uint32_t index)
{
	return number << 20 | index;
}

uint64_t
sched_row_wait(const struct sched *s, uint64_t due_ms, uint64_t now_ms)
{
	const struct conf *conf = sched_conf(s);
	uint64_t longest = conf->retry.max + conf->retry.max / 2;

	if (due_ms == NEVER)
		return NEVER;
	return due_ms <= now_ms || due_ms - now_ms > longest ? 0 : due_ms - now_ms;
}

uint64_t
sched_memory(const struct sched *s)
{
	return entry_pool_bytes(&s->entries) + s->lane_bytes;
}

bool
sched_is_full(const struct sched *s)
{
	return sched_memory(s) >= sched_conf(s)->limits.queue_memory / 4 * 3;
}

static bool
is_full(void *arg)
{
	return sched_is_full(arg);
}

/* --- lanes that are due ------------------------------------------------------------------------ */

static void
lanes_due(void *arg, const struct store_lane *lanes, uint32_t count, uint64_t next_due_ms)
{
	struct sched *s = arg;

	s->is_asking_due = false;
	for (uint32_t i = 0; i < count; i++) {
		struct lane *l;

		if (lanes[i].name.n > 0 && lanes[i].name.p[0] == WAITER_NAME_ANY[0]) {
			waiter_load(waiter_get(s, lanes[i].name));
			continue;
		}
		l = lane_get(s, lanes[i].name);
		l->is_opening = false;
		lane_known(l, &lanes[i]);
	}
	sched_due_at(s, next_due_ms);
}

static void
due_over(void *arg)
{
	struct sched *s = arg;
	uint64_t now = clock_wall_ms(), late;
	uint32_t wanting = s->pools[POOL_REMOTE].wanting + s->pools[POOL_MAILBOX].wanting;

	if (s->is_asking_due || s->is_stopping || s->due_ms == NEVER)
		return;
	if (wanting >= WANTING_MAX || sched_is_full(s)) {
		timer_start(&s->due_timer, TICK_MS);
		return;
	}
	late = s->due_ms > now ? s->due_ms : now;
	s->is_asking_due = true;
	s->due_ms = NEVER;
	store_due_lanes(s->store, late, DUE_LANES, lanes_due, s);
}

void
sched_due_at(struct sched *s, uint64_t due_ms)
{
	if (due_ms == NEVER || !s->is_started)
		return;
	if (due_ms < s->due_ms)
		s->due_ms = due_ms;
	timer_start(&s->due_timer, sched_row_wait(s, s->due_ms, clock_wall_ms()));
}

/* --- memory ---------------------------------------------------------------------------------- */

/* Three quarters are used: lanes without a session give up theirs, then those with far more than their sessions need. */
static void
relieve(struct sched *s)
{
	struct span name;
	void *value;

	for (unsigned round = 0; round < 2 && sched_is_full(s); round++) {
		for (size_t it = 0; map_next(&s->lanes, &it, &name, &value) && sched_is_full(s);) {
			struct lane *l = value;

			if (round == 0 && l->session_count == 0)
				lane_spill(l, 0);
			else if (round == 1)
				lane_spill(l, 2 * l->session_count);
		}
	}
}

/* --- time ------------------------------------------------------------------------------------ */

static void
drop_old_asks(struct sched *s)
{
	uint64_t now = clock_mono_ms();

	while (!list_is_empty(&s->ask_list)) {
		struct ask *a = LIST_ENTRY(s->ask_list.next, struct ask, link);

		if (a->sent_ms == 0 || now - a->sent_ms < ASK_AGE_MAX_MS)
			break;
		log_warn("router does not answer about %.*s", SPAN_ARG(a->facts.address));
		resolve_answer(s, &(struct msg_resolved){ .req = a->req,
							  .action = ROUTE_TEMPFAIL,
							  .reply = 451,
							  .esc = SPAN("4.3.0"),
							  .text = SPAN("router did not answer") });
		if (!list_is_empty(&s->ask_list) &&
		    LIST_ENTRY(s->ask_list.next, struct ask, link) == a)
			break;
	}
}

static void
tick(void *arg)
{
	struct sched *s = arg;

	relieve(s);
	lane_tick(s);
	drop_old_asks(s);
	sched_kick(s);
	timer_start(&s->tick_timer, TICK_MS);
}

static void
check_stopped(struct sched *s)
{
	if (!s->is_stopping || s->is_stopped || s->jobs.count > 0 || s->settling > 0)
		return;
	s->is_stopped = true;
	timer_stop(&s->stop_timer);
	qmgr_stopped(s->q);
}

static void
run(void *arg)
{
	struct sched *s = arg;

	dispatch_run(s);
	check_stopped(s);
}

static void
stop_over(void *arg)
{
	struct sched *s = arg;

	if (s->is_stopped)
		return;
	s->is_stopped = true;
	log_warn("%zu jobs still ran when the time to stop was over; their recipients are tried "
		 "again after the start",
		 s->jobs.count);
	qmgr_stopped(s->q);
}

/* --- start and end --------------------------------------------------------------------------- */

const struct spool_ops sched_spool_ops = { .on_message = sched_on_message,
					   .is_full = is_full,
					   .give_rows = sched_give_rows };

struct sched *
sched_new(struct qmgr *q)
{
	struct sched *s = mem_zalloc(sizeof(*s));

	s->q = q;
	entry_pool_init(&s->entries);
	resolve_init(s);
	dispatch_init(s);
	map_init(&s->lanes);
	map_init(&s->shares);
	map64_init(&s->sessions);
	map64_init(&s->jobs);
	map64_init(&s->adopted);
	map64_init(&s->suspects);
	s->site_conf = limit_defaults();
	s->last_job = clock_wall_us();
	s->last_session = (uint32_t)clock_wall_ms();
	s->due_ms = NEVER;
	s->is_barrier = true;
	timer_init(&s->run_timer, q->timers, run, s);
	timer_init(&s->due_timer, q->timers, due_over, s);
	timer_init(&s->tick_timer, q->timers, tick, s);
	timer_init(&s->stop_timer, q->timers, stop_over, s);
	s->reports = reports_new(s);
	s->requests = requests_new(s);
	s->pages = pages_new(s);
	return s;
}

void
sched_start(struct sched *s)
{
	s->spool = s->q->spool;
	s->store = s->q->store;
	s->is_started = true;
	sched_due_at(s, clock_wall_ms());
	reports_start(s->reports);
	timer_start(&s->tick_timer, TICK_MS);
	sched_kick(s);
}

void
sched_stop(struct sched *s, uint32_t grace_ms)
{
	uint32_t most = (uint32_t)sched_conf(s)->timeouts.stop;

	if (s->is_stopping)
		return;
	s->is_stopping = true;
	grace_ms = grace_ms < most ? grace_ms : most;
	timer_start(&s->stop_timer, grace_ms > TICK_MS ? grace_ms - TICK_MS : grace_ms / 2);
	if (s->store != NULL)
		store_flush(s->store);
	for (enum pool pool = POOL_REMOTE; pool < POOL_COUNT; pool++) {
		LIST_EACH_SAFE(it, tmp, &s->pools[pool].idle)
			session_close(LIST_ENTRY(it, struct session, idle_link));
	}
	sched_kick(s);
}

void
sched_free(struct sched **sp)
{
	struct sched *s = *sp;
	uint64_t id;
	void *value;

	*sp = NULL;
	if (s == NULL)
		return;
	reports_free(&s->reports);
	requests_free(&s->requests);
	pages_free(&s->pages);
	resolve_clear(s);
	for (size_t it = 0; map64_next(&s->jobs, &it, &id, &value);)
		job_free(value);
	for (size_t it = 0; map64_next(&s->sessions, &it, &id, &value);)
		session_free(value);
	courier_clear_all(s);
	lane_clear_all(s);
	entry_pool_clear(&s->entries);
	for (size_t it = 0; map64_next(&s->suspects, &it, &id, &value);)
		mem_free(value);
	map64_clear(&s->suspects);
	map64_clear(&s->adopted);
	map64_clear(&s->jobs);
	map64_clear(&s->sessions);
	timer_stop(&s->run_timer);
	timer_stop(&s->due_timer);
	timer_stop(&s->tick_timer);
	timer_stop(&s->stop_timer);
	conf_free(&s->site_conf);
	mem_free(s);
}

void
sched_on_conf(struct sched *s, struct conf *old)
{
	(void)old;
	lane_conf(s);
	sched_kick(s);
}

/* --- siblings -------------------------------------------------------------------------------- */

void
sched_on_peer(struct sched *s, struct chan *c)
{
	if (chan_kind(c) == PROC_ROUTER)
		resolve_router_up(s, c);
	else if (chan_kind(c) == PROC_DELIVERY)
		courier_up(s, c, POOL_REMOTE);
	else if (chan_kind(c) == PROC_MAILBOX)
		courier_up(s, c, POOL_MAILBOX);
}

static void
control_lost(struct sched *s, struct chan *c)
{
	requests_on_lost(s->requests, c);
	pages_on_lost(s->pages, c);
}

void
sched_on_peer_lost(struct sched *s, struct chan *c, bool is_crash, bool is_final)
{
	(void)is_final;
	if (chan_kind(c) == PROC_ROUTER)
		resolve_router_lost(s);
	else if (chan_kind(c) == PROC_CONTROL)
		control_lost(s, c);
	else
		courier_lost(s, c, is_crash);
}

static void
on_courier_msg(struct sched *s, struct courier *c, enum msg_type type, union msg_any *msg)
{
	if (c == NULL)
		return;
	if (type == MSG_INVENTORY_END)
		courier_inventory_end(s, c);
	else if (type == MSG_SESSION_STATE)
		dispatch_session_state(s, c, &msg->session_state);
	else if (type == MSG_JOB_CREDIT)
		job_credit(s, &msg->job_credit);
	else if (type == MSG_RESULT)
		job_result(s, c, &msg->result);
	else if (type == MSG_JOB_RUNNING)
		job_adopt(s, c, &msg->job_running);
}

void
sched_on_msg(struct sched *s, struct chan *c, enum msg_type type, union msg_any *msg)
{
	if (type == MSG_RESOLVED)
		resolve_answer(s, &msg->resolved);
	else if (type == MSG_QUEUE_QUERY)
		requests_on_query(s->requests, c, &msg->queue_query);
	else if (type == MSG_QUEUE_MORE)
		requests_on_more(s->requests, c, &msg->queue_more);
	else if (type == MSG_EVENTS_READ || type == MSG_EVENTS_ACK)
		pages_on_question(s->pages, c, type, msg);
	else if (type == MSG_STATS_QUERY)
		stats_answer(s, c, msg->stats_query.req);
	else if (chan_kind(c) == PROC_DELIVERY || chan_kind(c) == PROC_MAILBOX)
		on_courier_msg(s, courier_of(s, c), type, msg);
}

void
sched_on_room(struct sched *s, struct chan *c)
{
	struct courier *co;

	if (chan_kind(c) != PROC_DELIVERY && chan_kind(c) != PROC_MAILBOX)
		return;
	if ((co = courier_of(s, c)) != NULL)
		job_room(s, co);
}
