/* SPDX-License-Identifier: ISC
 *
 * Scheduling as a whole: takes messages from the log and rows from queue.db, keeps the memory for recipients within
 * limits.queue_memory, gives rows at checkpoints, looks for lanes that are due, starts and stops. What happens to a
 * recipient then is told at the top of sched_int.h. Run by qmgr on its loop. */

/* lib */
#include "base/id.h"
#include "conf/conf.h"
/* this program */
#include "qmgr/sched_int.h"

enum {
	TICK_MS = 1000,
	DUE_LANES = 64,                 /* taken from the store at a time */
	WANTING_MAX = 256,              /* lanes that wait for a session: more are not fetched */
	ASK_AGE_MAX_MS = 150000         /* router has timeouts of its own; this is for one that hangs */
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

static uint64_t
memory_used(const struct sched *s)
{
	return entry_pool_bytes(&s->entries) + s->lane_bytes;
}

bool
sched_is_full(const struct sched *s)
{
	return memory_used(s) >= sched_conf(s)->limits.queue_memory / 4 * 3;
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

/* --- from the log ------------------------------------------------------------------------------ */

/* A recipient that our couriers already have: its result is still to come, or on its way to the disk. */
static bool
is_adopted(struct sched *s, uint64_t number, uint32_t index, const struct place *place)
{
	struct job *j = s->adopted.count > 0 ? map64_get(&s->adopted, sched_key(number, index)) : NULL;
	struct entry *e;

	if (j == NULL)
		return false;
	if (!j->is_settled && entry_find(&s->entries, number, index) == NULL) {
		e = entry_new(&s->entries, number, index);
		e->place = *place;
		e->state = ENTRY_JOB;
	}
	return true;
}

static void
put_fresh_row(struct sched *s, const struct spool_msg *msg, const struct env_rcpt *rcpt, enum row_state state)
{
	uint64_t now = clock_wall_ms();
	struct buf lane;

	buf_init(&lane, LANE_NAME_MAX);
	waiter_name(rcpt->addr, &lane);
	store_put(s->store, &(struct row){ .number = msg->number, .index = rcpt->index, .state = state, .due_ms = now,
		.lane = buf_span(&lane), .address = rcpt->addr, .orcpt = rcpt->orcpt, .orig = rcpt->orig, .notify = rcpt->notify });
	buf_clear(&lane);
	if (state == ROW_READY)
		sched_due_at(s, now);
}

static void
log_held(const struct spool_msg *msg)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, "held");
	log_kv_qid(&ev, "qid", msg->qid);
	log_kvs(&ev, "text", "hold_incoming is on");
	log_end(&ev);
}

static void
take_rcpt(struct sched *s, const struct spool_msg *msg, const struct envelope *env, const struct env_rcpt *rcpt)
{
	struct entry *e;
	struct facts f;

	if (is_adopted(s, msg->number, rcpt->index, &msg->place))
		return;
	if (memory_used(s) >= sched_conf(s)->limits.queue_memory) {
		put_fresh_row(s, msg, rcpt, ROW_READY);
		return;
	}
	e = entry_new(&s->entries, msg->number, rcpt->index);
	e->place = msg->place;
	facts_of_msg(msg, env, rcpt, &f);
	f.is_single = f.is_single && sched_conf(s)->bcc_always[0] == '\0';
	resolve_entry(s, e, &f, NULL, NULL, false);
}

/* The record was checked when it was committed or scanned; one that is damaged now is held. */
static void
hold_damaged(struct sched *s, const struct spool_msg *msg, const uint32_t *live, uint32_t count)
{
	struct settle *t = settle_new(s);

	for (uint32_t i = 0; i < count; i++) {
		struct facts f = { .number = msg->number, .qid = msg->qid, .arrival_ms = msg->arrival_us / 1000,
				   .index = live != NULL ? live[i] : i };

		outcome_hold(t, &f, ROW_CORRUPT, SPAN(WAITER_NAME_ANY), "its envelope cannot be read");
	}
	settle_commit(t);
}

static void
on_message(void *arg, const struct spool_msg *msg, const uint32_t *live, uint32_t live_count)
{
	struct sched *s = arg;
	const struct conf *conf = sched_conf(s);
	uint32_t count = live != NULL ? live_count : msg->rcpt_count;
	struct envelope env;
	struct arena a;

	arena_init(&a, 4096);
	if (envelope_decode(msg->envelope, &a, &env) < 0 || env.rcpt_count < msg->rcpt_count) {
		hold_damaged(s, msg, live, count);
		arena_clear(&a);
		return;
	}
	if (conf->bcc_always[0] != '\0' && live == NULL)
		expand_bcc(s, msg, &env);
	if (conf->hold_incoming)
		log_held(msg);
	for (uint32_t i = 0; i < count; i++) {
		const struct env_rcpt *rcpt = &env.rcpts[live != NULL ? live[i] : i];

		if (conf->hold_incoming)
			put_fresh_row(s, msg, rcpt, ROW_HELD);
		else
			take_rcpt(s, msg, &env, rcpt);
	}
	arena_clear(&a);
}

/* --- from queue.db ----------------------------------------------------------------------------- */

static void
set_child(struct sched *s, struct entry *e, const struct row *row)
{
	if (row->flags & ROW_CHILD)
		entry_set_extra(&s->entries, e, &(struct entry_extra){ .is_child = true, .has_sender = row->has_sender,
			.no_alias = (row->flags & ROW_NO_ALIAS) != 0, .notify = row->notify, .depth = row->depth,
			.parent = row->parent, .address = row->address, .orcpt = row->orcpt, .orig = row->orig,
			.sender = row->sender });
}

void
sched_take_row(struct sched *s, const struct row *row, struct lane *from, struct waiter *from_waiter)
{
	struct entry *e;
	struct facts f;

	if (entry_find(&s->entries, row->number, row->index) != NULL)
		return;
	if (is_adopted(s, row->number, row->index, &row->place)) {
		e = entry_find(&s->entries, row->number, row->index);
		if (e == NULL)
			return;
		e->flags = ENTRY_HAS_ROW | ENTRY_IS_RETRY;
		e->attempts = row->attempts < ENTRY_ATTEMPTS_MAX ? row->attempts & ENTRY_ATTEMPTS_MAX : ENTRY_ATTEMPTS_MAX;
		set_child(s, e, row);
		return;
	}
	if (from == NULL && from_waiter == NULL && !resolve_has_room(s, row->address)) {
		store_unload(s->store, row->number, row->index);
		sched_due_at(s, clock_wall_ms());
		return;
	}
	e = entry_new(&s->entries, row->number, row->index);
	e->place = row->place;
	e->attempts = row->attempts < ENTRY_ATTEMPTS_MAX ? row->attempts & ENTRY_ATTEMPTS_MAX : ENTRY_ATTEMPTS_MAX;
	facts_of_row(row, &f);
	e->flags = (uint8_t)f.flags;
	set_child(s, e, row);
	resolve_entry(s, e, &f, from, from_waiter, (row->flags & ROW_NO_ALIAS) != 0);
}

void
sched_drop_entry(struct sched *s, struct entry *e)
{
	struct lane *l = NULL;

	switch ((enum entry_state)e->state) {
	case ENTRY_WAITING:
		entry_remove(&s->entries, &e->waiter->waiting, e);
		break;
	case ENTRY_ASKED:
		resolve_forget(s, e);
		break;
	case ENTRY_READY:
		l = e->lane;
		lane_take(l, e);
		break;
	case ENTRY_ALONE:
		l = e->lane;
		entry_remove(&s->entries, &s->pools[l->pool].alone.waiting, e);
		break;
	case ENTRY_JOB:
	case ENTRY_EXPANDING:
	case ENTRY_FREE:
		bug("a recipient in state %u is not to be dropped", e->state);
	}
	entry_free(&s->entries, e);
	if (l != NULL)
		lane_unref(l);
}

/* The lane under which an entry's row is found again. */
static void
put_lane_name(const struct entry *e, struct buf *out)
{
	switch ((enum entry_state)e->state) {
	case ENTRY_WAITING:
	case ENTRY_ASKED:
	case ENTRY_EXPANDING:
		buf_puts(out, e->waiter->name);
		break;
	case ENTRY_READY:
	case ENTRY_JOB:
	case ENTRY_ALONE:
		buf_puts(out, e->lane != NULL ? e->lane->name : WAITER_NAME_ANY);
		break;
	case ENTRY_FREE:
		break;
	}
}

void
sched_obey(struct sched *s, struct entry *e)
{
	struct lane *l = e->state == ENTRY_JOB ? e->lane : NULL;
	struct buf lane;

	buf_init(&lane, LANE_NAME_MAX);
	put_lane_name(e, &lane);
	if (e->flags & ENTRY_GONE)
		store_done(s->store, e->number, e->index);
	else
		store_put(s->store, &(struct row){ .number = e->number, .index = e->index, .state = ROW_HELD,
			.attempts = e->attempts, .due_ms = clock_wall_ms(), .lane = buf_span(&lane) });
	buf_clear(&lane);
	entry_free(&s->entries, e);
	if (l != NULL)
		lane_unref(l);
}

/* --- memory and checkpoints -------------------------------------------------------------------- */

void
sched_give_rows(void *arg, uint64_t before_number)
{
	struct sched *s = arg;
	struct entry *e;
	uint32_t it = 0;
	struct buf lane;

	buf_init(&lane, LANE_NAME_MAX);
	while ((e = entry_next(&s->entries, &it)) != NULL) {
		if (e->number >= before_number || e->flags & ENTRY_HAS_ROW)
			continue;
		buf_reset(&lane);
		put_lane_name(e, &lane);
		store_put(s->store, &(struct row){ .number = e->number, .index = e->index, .state = ROW_READY,
			.flags = ROW_IN_MEMORY, .attempts = e->attempts, .due_ms = clock_wall_ms(), .lane = buf_span(&lane) });
		e->flags |= ENTRY_HAS_ROW;
	}
	buf_clear(&lane);
}

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
		resolve_answer(s, &(struct msg_resolved){ .req = a->req, .action = ROUTE_TEMPFAIL, .reply = 451,
			.esc = SPAN("4.3.0"), .text = SPAN("router did not answer") });
		if (!list_is_empty(&s->ask_list) && LIST_ENTRY(s->ask_list.next, struct ask, link) == a)
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
	log_warn("%zu jobs still ran when the time to stop was over; their recipients are tried again after the start", s->jobs.count);
	qmgr_stopped(s->q);
}

/* --- start and end --------------------------------------------------------------------------- */

const struct spool_ops sched_spool_ops = { .on_message = on_message, .is_full = is_full, .give_rows = sched_give_rows };

struct sched *
sched_new(struct qmgr *q)
{
	struct sched *s = mem_zalloc(sizeof(*s));

	s->q = q;
	entry_pool_init(&s->entries);
	resolve_init(s);
	dispatch_init(s);
	map_init(&s->lanes);
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

void
sched_on_peer_lost(struct sched *s, struct chan *c, bool is_crash, bool is_final)
{
	(void)is_final;
	if (chan_kind(c) == PROC_ROUTER)
		resolve_router_lost(s);
	else if (chan_kind(c) == PROC_CONTROL)
		requests_on_lost(s->requests, c);
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
