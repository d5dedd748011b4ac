/* SPDX-License-Identifier: ISC
 *
 * Sessions: who gets a connection, and which recipient goes over it next. Of all sessions, connections that do not stand
 * yet hold at most a quarter for sites that failed before and a quarter for first contacts; a first contact goes before
 * any retry, the newest and the oldest in turn, so that a healthy newcomer does not wait behind a hundred thousand dead
 * sites. When all sessions are taken, idle ones and then those of the lane that has most make room. Run by qmgr on its
 * loop. */

/* this program */
#include "qmgr/sched/sched_int.h"

enum {
	MAILBOX_SESSIONS = 64, /* of the mailbox process: each may wait for one fsync */
	MAILBOX_SESSIONS_PER_LANE = 2,
	QUICK_MS = 2000,  /* a message that takes longer is a slow one */
	CLOSING_MAX = 16, /* sessions being closed to make room */
	RUN_MAX = 2000	  /* lanes looked at in one turn of the loop */
};

/* --- shares ---------------------------------------------------------------------------------- */

uint32_t
dispatch_pool_limit(const struct sched *s, enum pool pool)
{
	return pool == POOL_MAILBOX ? MAILBOX_SESSIONS : (uint32_t)sched_conf(s)->limits.sessions;
}

static uint32_t
lane_limit(const struct lane *l)
{
	uint32_t limit = l->limits != NULL ? (uint32_t)l->limits->connections : 1;

	if (l->pool == POOL_MAILBOX && limit > MAILBOX_SESSIONS_PER_LANE)
		limit = MAILBOX_SESSIONS_PER_LANE;
	return limit < l->max_sessions ? limit : l->max_sessions;
}

static bool
has_share(const struct sched *s, const struct pool_state *p, enum pool pool, enum want want)
{
	uint32_t quarter = dispatch_pool_limit(s, pool) / 4;

	if (want != WANT_NEW && want != WANT_FAILED)
		return true;
	return p->class_count[want] < (quarter > 0 ? quarter : 1);
}

/* --- sessions -------------------------------------------------------------------------------- */

/* Does it take one more job when it has `jobs`? Behind one that takes long nothing is queued. */
static bool
session_has_room(const struct session *x, uint32_t jobs)
{
	uint64_t most = x->lane->limits != NULL ? x->lane->limits->messages_per_connection : 1;

	if (x->stage != STAGE_UP || x->job_count != jobs || x->messages >= most ||
	    x->courier->is_alone)
		return false;
	return !chan_is_full(x->courier->chan) &&
	       (jobs == 0 || clock_mono_ms() - x->busy_since_ms < QUICK_MS);
}

static void
session_idle_over(void *arg)
{
	session_close(arg);
}

struct session *
session_open(struct lane *l, struct courier *c, enum want counted)
{
	struct sched *s = l->s;
	struct session *x = mem_zalloc(sizeof(*x));
	struct entry *first = entry_at(&s->entries,
				       l->fresh.head != 0 ? l->fresh.head : l->retry.head);
	struct spool_slot slot = { 0 };

	x->id = ++s->last_session;
	x->lane = l;
	x->courier = c;
	x->counted = counted;
	x->opened_ms = clock_wall_ms();
	list_init(&x->jobs);
	list_init(&x->idle_link);
	timer_init(&x->timer, s->q->timers, session_idle_over, x);
	list_push_back(&l->sessions, &x->in_lane);
	list_push_back(&c->sessions, &x->in_courier);
	list_remove(&l->idle_link);
	l->session_count++;
	l->opening_count++;
	c->session_count++;
	if (!c->is_alone) {
		s->pools[l->pool].session_count++;
		s->pools[l->pool].class_count[counted]++;
		x->share = share_take(l);
	}
	map64_put(&s->sessions, x->id, x);
	s->stats.sessions_opened++;
	if (first != NULL && spool_find_number(s->spool, first->number, &slot) < 0)
		slot.qid = 0;
	chan_send(c->chan, MSG_SESSION_OPEN,
		  &(struct msg_session_open){ .session = x->id,
					      .site = span_of(l->site),
					      .plan = span_make(l->plan, l->plan_n),
					      .qid = slot.qid });
	return x;
}

/* It no longer counts as one that does not stand. */
static void
session_settled(struct session *x)
{
	if (x->stage != STAGE_OPENING)
		return;
	x->lane->opening_count--;
	if (!x->courier->is_alone)
		x->lane->s->pools[x->lane->pool].class_count[x->counted]--;
}

static void
session_idle_end(struct session *x)
{
	list_remove(&x->idle_link);
	timer_stop(&x->timer);
}

void
session_close(struct session *x)
{
	if (x->stage == STAGE_CLOSING)
		return;
	session_idle_end(x);
	session_settled(x);
	x->stage = STAGE_CLOSING;
	if (!x->courier->is_alone)
		x->lane->s->pools[x->lane->pool].closing_count++;
	chan_send(x->courier->chan, MSG_SESSION_CLOSE,
		  &(struct msg_session_close){ .session = x->id });
}

void
session_free(struct session *x)
{
	struct lane *l = x->lane;
	struct sched *s = l->s;
	struct pool_state *p = &s->pools[l->pool];

	session_idle_end(x);
	session_settled(x);
	list_remove(&x->in_lane);
	list_remove(&x->in_courier);
	l->session_count--;
	x->courier->session_count--;
	if (!x->courier->is_alone) {
		p->session_count--;
		p->closing_count -= x->stage == STAGE_CLOSING;
	}
	share_give(x->share);
	map64_del(&s->sessions, x->id);
	mem_free(x);
	/* Looks whether the lane is idle now, too. */
	lane_ref(l);
	lane_unref(l);
	lane_kick(l);
}

/* Nothing to do for now: kept for timeouts.idle, or until another lane needs the room. */
static void
session_rest(struct session *x)
{
	struct sched *s = x->lane->s;
	const struct conf_site *limits = x->lane->limits;

	if (x->stage != STAGE_UP || x->job_count > 0 || x->courier->is_alone ||
	    !list_is_empty(&x->idle_link))
		return;
	if (s->is_stopping || limits == NULL || x->messages >= limits->messages_per_connection) {
		session_close(x);
		return;
	}
	/* Nothing is gained by keeping an open mailbox when others may want the room. */
	if (x->lane->pool == POOL_MAILBOX &&
	    (share_is_wanted(x->share) ||
	     s->pools[POOL_MAILBOX].session_count > MAILBOX_SESSIONS / 2)) {
		session_close(x);
		return;
	}
	list_push_back(&s->pools[x->lane->pool].idle, &x->idle_link);
	timer_start(&x->timer, sched_conf(s)->timeouts.idle);
}

void
session_job_ended(struct session *x, bool is_up)
{
	if (!is_up && x->stage == STAGE_UP) {
		/* The courier closes it by itself and says so. */
		session_idle_end(x);
		x->stage = STAGE_CLOSING;
		if (!x->courier->is_alone)
			x->lane->s->pools[x->lane->pool].closing_count++;
	}
	x->busy_since_ms = clock_mono_ms();
	lane_kick(x->lane);
	if (x->courier->is_alone)
		session_close(x);
	else
		session_rest(x);
}

static void
session_failed(struct session *x, const struct msg_session_state *m)
{
	struct lane *l = x->lane;
	uint64_t begun_ms = x->opened_ms;

	lane_ref(l);
	if (x->courier->is_alone)
		alone_session_ended(x);
	session_free(x);
	lane_failed(l, m->reply, m->esc, m->text, m->relay, begun_ms);
	lane_unref(l);
}

static void
session_closed(struct session *x)
{
	struct lane *l = x->lane;
	bool was_used = x->has_outcome || x->messages == 0;
	uint64_t begun_ms = x->opened_ms;
	struct job *j;

	/* Jobs without a result: the courier must have answered each; their fate is unknown, so they go again. */
	while (!list_is_empty(&x->jobs)) {
		j = LIST_ENTRY(x->jobs.prev, struct job, link);
		job_requeue(j, false);
	}
	lane_ref(l);
	if (x->courier->is_alone)
		alone_session_ended(x);
	session_free(x);
	/* It stood, but took nothing: trying again at once would go round in a circle. */
	if (!was_used)
		lane_failed(l, 0, SPAN("4.4.2"),
			    SPAN("The connection was closed before the message was taken"),
			    SPAN_NONE, begun_ms);
	lane_unref(l);
}

void
dispatch_session_state(struct sched *s, struct courier *c, const struct msg_session_state *m)
{
	struct session *x = map64_get(&s->sessions, m->session);

	if (x == NULL || x->courier != c)
		return;
	switch ((enum session_state)m->state) {
	case SESSION_UP:
		if (x->stage != STAGE_OPENING)
			return;
		session_settled(x);
		x->stage = STAGE_UP;
		lane_worked(x->lane);
		if (c->is_alone)
			alone_run(s, c->pool);
		break;
	case SESSION_FAILED:
		session_failed(x, m);
		break;
	case SESSION_CLOSED:
		session_closed(x);
		break;
	case SESSION_STATE_COUNT:
		die_temp("delivery gave a session state that is not known here");
	}
	sched_kick(s);
}

/* --- feeding --------------------------------------------------------------------------------- */

static void
feed_sessions(struct lane *l, uint32_t jobs)
{
	LIST_EACH_SAFE(it, tmp, &l->sessions) {
		struct session *x = LIST_ENTRY(it, struct session, in_lane);

		if (lane_ready(l) == 0 || lane_rate_wait_us(l) > 0)
			return;
		if (!session_has_room(x, jobs))
			continue;
		session_idle_end(x);
		if (x->job_count == 0)
			x->busy_since_ms = clock_mono_ms();
		lane_rate_take(l);
		x->messages++;
		job_start(x, lane_pop(l));
	}
}

/* Give the lane's sessions what they take: one message each; one more that waits, so that the connection never idles,
 * only when there can be no further connection: behind a slow message it would wait for nothing. */
static void
lane_feed(struct lane *l)
{
	struct pool_state *p = &l->s->pools[l->pool];

	feed_sessions(l, 0);
	if (l->session_count >= lane_limit(l) ||
	    p->session_count >= dispatch_pool_limit(l->s, l->pool))
		feed_sessions(l, 1);
	LIST_EACH_SAFE(it, tmp, &l->sessions)
		session_rest(LIST_ENTRY(it, struct session, in_lane));
}

/* Does the lane want one more session, and as what? */
static enum want
lane_wants(const struct lane *l)
{
	if (lane_ready(l) == 0 || !l->is_open || l->plan == NULL || lane_is_suspended(l) ||
	    l->no_more_until_ms > clock_mono_ms() || l->session_count >= lane_limit(l) ||
	    lane_rate_wait_us(l) > 0)
		return WANT_NOTHING;
	if (!l->is_proven && l->session_count > 0)
		return WANT_NOTHING;
	if (l->failures > 0)
		return WANT_FAILED;
	if (!l->is_proven)
		return WANT_NEW;
	if (l->session_count == 0)
		return WANT_FIRST;
	/* Not more at a time than stand already: a burst that one connection does quickly opens no twenty. */
	if (l->opening_count >= lane_ready(l) ||
	    l->opening_count >= l->session_count - l->opening_count)
		return WANT_NOTHING;
	return WANT_MORE;
}

void
dispatch_want(struct lane *l)
{
	enum want want = lane_wants(l);
	struct pool_state *p = &l->s->pools[l->pool];

	if (want != WANT_NOTHING && !share_has_room(l)) {
		share_wait(l);
		want = WANT_NOTHING;
	} else {
		share_leave(l);
	}
	if (want == l->want)
		return;
	p->wanting -= l->want != WANT_NOTHING;
	list_remove(&l->want_link);
	l->want = want;
	if (want == WANT_NOTHING)
		return;
	list_push_back(&p->want[want], &l->want_link);
	p->wanting++;
}

void
dispatch_leave(struct lane *l)
{
	if (l->want == WANT_NOTHING)
		return;
	list_remove(&l->want_link);
	l->want = WANT_NOTHING;
	l->s->pools[l->pool].wanting--;
}

/* --- whose turn it is ----------------------------------------------------------------------- */

static struct lane *
next_wanting(struct sched *s, enum pool pool)
{
	struct pool_state *p = &s->pools[pool];

	for (enum want want = WANT_NEW; want < WANT_COUNT; want++) {
		struct list *head = &p->want[want], *link = head->next;

		if (list_is_empty(head) || !has_share(s, p, pool, want))
			continue;
		if (want == WANT_NEW) {
			p->is_newest_turn = !p->is_newest_turn;
			link = p->is_newest_turn ? head->prev : head->next;
		}
		return LIST_ENTRY(link, struct lane, want_link);
	}
	return NULL;
}

/* The session of the lane that has most; NULL: none has two. */
static struct session *
richest(struct sched *s, enum pool pool)
{
	struct lane *most = NULL;
	struct span name;
	void *value;

	for (size_t it = 0; map_next(&s->lanes, &it, &name, &value);) {
		struct lane *l = value;

		if (l->pool == pool && l->session_count >= 2 &&
		    (most == NULL || l->session_count > most->session_count))
			most = l;
	}
	if (most == NULL)
		return NULL;
	LIST_EACH(it, &most->sessions) {
		struct session *x = LIST_ENTRY(it, struct session, in_lane);

		if (x->stage == STAGE_UP)
			return x;
	}
	return NULL;
}

/* All sessions are taken and this lane has none: an idle one goes, or one of the lane that has most after its jobs. */
static void
make_room(struct sched *s, enum pool pool, const struct lane *for_lane)
{
	struct pool_state *p = &s->pools[pool];
	struct session *x = NULL;

	if (p->closing_count >= (p->wanting < CLOSING_MAX ? p->wanting : CLOSING_MAX))
		return;
	if (!list_is_empty(&p->idle))
		x = LIST_ENTRY(p->idle.next, struct session, idle_link);
	else if (for_lane->session_count == 0)
		x = richest(s, pool);
	if (x != NULL)
		session_close(x);
}

static void
open_sessions(struct sched *s, enum pool pool)
{
	struct pool_state *p = &s->pools[pool];
	struct lane *l;
	struct courier *c;

	while ((l = next_wanting(s, pool)) != NULL && (c = courier_choose(s, pool)) != NULL) {
		enum want want = l->want;

		if (!share_has_room(l)) {
			dispatch_want(l);
			continue;
		}
		if (p->session_count >= dispatch_pool_limit(s, pool)) {
			make_room(s, pool, l);
			return;
		}
		(void)session_open(l, c, want);
		/* Once more behind the others, if it still wants one. */
		dispatch_leave(l);
		dispatch_want(l);
	}
}

/* --- the round ------------------------------------------------------------------------------- */

static void
run_lane(struct lane *l)
{
	lane_ref(l);
	lane_settle(l);
	lane_feed(l);
	dispatch_want(l);
	lane_arm(l);
	lane_unref(l);
}

void
dispatch_run(struct sched *s)
{
	unsigned n = 0;

	if (s->is_stopping || !s->is_started || courier_is_barrier(s))
		return;
	if (store_backlog(s->store) > STORE_BACKLOG_BYTES)
		return;
	while (!list_is_empty(&s->kicked) && n++ < RUN_MAX) {
		struct lane *l = LIST_ENTRY(s->kicked.next, struct lane, kick_link);

		list_remove(&l->kick_link);
		l->is_kicked = false;
		run_lane(l);
	}
	for (enum pool pool = POOL_REMOTE; pool < POOL_COUNT; pool++) {
		open_sessions(s, pool);
		alone_run(s, pool);
	}
	if (!list_is_empty(&s->kicked))
		sched_kick(s);
}

void
dispatch_init(struct sched *s)
{
	list_init(&s->kicked);
	list_init(&s->idle_lanes);
	for (enum pool pool = POOL_REMOTE; pool < POOL_COUNT; pool++) {
		struct pool_state *p = &s->pools[pool];

		list_init(&p->couriers);
		list_init(&p->idle);
		for (unsigned i = 0; i < WANT_COUNT; i++)
			list_init(&p->want[i]);
	}
}
