/* SPDX-License-Identifier: ISC
 *
 * Couriers: the delivery and mailbox processes as qmgr sees them. Nothing is scheduled before each has told what it
 * still runs (a former qmgr may have given it jobs); one that does not within 5 s is killed. When one is lost, its jobs
 * are tried again; when it crashed, they run alone, one at a time, in a process of their own, and a message that crashed
 * it three times there is held. What a job is, is job.c's. Run by qmgr on its loop. */

/* this program */
#include "qmgr/sched/sched_int.h"

enum { BARRIER_MS = 5000, ALONE_CRASHES_MAX = 3, ALONE_ASK_AGAIN_MS = 30000 };

struct suspect {
	unsigned crashes; /* alone */
};

static enum proc_id
kind_of(enum pool pool)
{
	return pool == POOL_MAILBOX ? PROC_MAILBOX : PROC_DELIVERY;
}

/* --- life ------------------------------------------------------------------------------------ */

static void
barrier_over(void *arg)
{
	struct courier *c = arg;

	log_warn("%s %u does not say what it still runs; it is killed",
		 proc_info(kind_of(c->pool))->name, c->slot);
	chan_send(c->s->q->svc->master, MSG_WORKER_KILL,
		  &(struct msg_worker_kill){ .kind = (uint8_t)kind_of(c->pool), .slot = c->slot });
	timer_start(&c->barrier, BARRIER_MS);
}

void
courier_up(struct sched *s, struct chan *chan, enum pool pool)
{
	struct courier *c = mem_zalloc(sizeof(*c));

	c->s = s;
	c->chan = chan;
	c->pool = pool;
	c->slot = (uint16_t)chan_slot(chan);
	c->is_alone = svc_peer_is_alone(s->q->svc, chan);
	list_init(&c->sessions);
	list_init(&c->adopted);
	timer_init(&c->barrier, s->q->timers, barrier_over, c);
	timer_start(&c->barrier, BARRIER_MS);
	list_push_back(&s->pools[pool].couriers, &c->link);
	chan_set_data(chan, c);
}

struct courier *
courier_of(struct sched *s, const struct chan *chan)
{
	(void)s;
	return chan_data(chan);
}

static void
courier_free(struct courier *c)
{
	timer_stop(&c->barrier);
	list_remove(&c->link);
	mem_free(c);
}

void
courier_inventory_end(struct sched *s, struct courier *c)
{
	c->is_ready = true;
	timer_stop(&c->barrier);
	if (c->is_alone) {
		s->pools[c->pool].alone.courier = c;
		s->pools[c->pool].alone.is_wanted = false;
	}
	sched_kick(s);
}

static void
session_lost(struct session *x, bool is_crash)
{
	struct lane *l = x->lane;

	while (!list_is_empty(&x->jobs)) {
		struct job *j = LIST_ENTRY(x->jobs.prev, struct job, link);

		job_requeue(j, is_crash && j->state == JOB_SENT);
	}
	lane_ref(l);
	if (x->courier->is_alone)
		alone_session_ended(x);
	session_free(x);
	lane_unref(l);
}

void
courier_lost(struct sched *s, struct chan *chan, bool is_crash)
{
	struct courier *c = courier_of(s, chan);
	struct alone *alone;

	if (c == NULL)
		return;
	alone = &s->pools[c->pool].alone;
	s->stats.crashes += is_crash;
	while (!list_is_empty(&c->sessions))
		session_lost(LIST_ENTRY(c->sessions.next, struct session, in_courier), is_crash);
	while (!list_is_empty(&c->adopted)) {
		struct job *j = LIST_ENTRY(c->adopted.next, struct job, link);

		list_remove(&j->link);
		/* A result that waits for the disk stands; one being read is lost with its courier. */
		if (!j->is_settled)
			job_requeue(j, is_crash);
		else
			j->courier = NULL;
	}
	if (alone->courier == c)
		alone->courier = NULL;
	if (c->is_alone)
		alone->is_wanted = false;
	courier_free(c);
	sched_kick(s);
}

void
courier_clear_all(struct sched *s)
{
	for (enum pool pool = POOL_REMOTE; pool < POOL_COUNT; pool++)
		LIST_EACH_SAFE(it, tmp, &s->pools[pool].couriers)
			courier_free(LIST_ENTRY(it, struct courier, link));
}

/* --- the barrier ----------------------------------------------------------------------------- */

/* Siblings that were given to us but have not said HELLO: asked to be killed when the time is over. */
static bool
has_silent(struct sched *s, enum pool pool)
{
	uint16_t slot;
	size_t it = 0;
	bool is_any = false;

	while (svc_peer_silent(s->q->svc, kind_of(pool), &it, &slot)) {
		is_any = true;
		if (clock_mono_ms() < s->barrier_until_ms)
			continue;
		log_warn("%s %u does not say HELLO; it is killed", proc_info(kind_of(pool))->name,
			 slot);
		chan_send(s->q->svc->master, MSG_WORKER_KILL,
			  &(struct msg_worker_kill){ .kind = (uint8_t)kind_of(pool),
						     .slot = slot });
	}
	return is_any;
}

bool
courier_is_barrier(struct sched *s)
{
	if (!s->is_barrier)
		return false;
	if (s->barrier_until_ms == 0)
		s->barrier_until_ms = clock_mono_ms() + BARRIER_MS;
	for (enum pool pool = POOL_REMOTE; pool < POOL_COUNT; pool++) {
		if (has_silent(s, pool)) {
			if (clock_mono_ms() >= s->barrier_until_ms)
				s->barrier_until_ms = clock_mono_ms() + BARRIER_MS;
			return true;
		}
		LIST_EACH(it, &s->pools[pool].couriers)
			if (!LIST_ENTRY(it, struct courier, link)->is_ready)
				return true;
	}
	s->is_barrier = false;
	return false;
}

struct courier *
courier_choose(struct sched *s, enum pool pool)
{
	struct courier *best = NULL;

	LIST_EACH(it, &s->pools[pool].couriers) {
		struct courier *c = LIST_ENTRY(it, struct courier, link);

		if (!c->is_ready || c->is_alone || chan_is_full(c->chan))
			continue;
		if (best == NULL || c->session_count < best->session_count)
			best = c;
	}
	return best;
}

/* --- alone ----------------------------------------------------------------------------------- */

bool
alone_is_suspect(const struct sched *s, uint64_t number)
{
	return s->suspects.count > 0 && map64_get(&s->suspects, number) != NULL;
}

bool
alone_crashed(struct sched *s, uint64_t number, bool was_alone)
{
	struct suspect *p = map64_get(&s->suspects, number);

	if (p == NULL) {
		p = mem_zalloc(sizeof(*p));
		map64_put(&s->suspects, number, p);
	}
	p->crashes += was_alone;
	if (p->crashes < ALONE_CRASHES_MAX)
		return false;
	log_warn("message %llu crashed a delivery process %u times alone: it is held; `postern "
		 "queue list state=held` shows it",
		 (unsigned long long)number, p->crashes);
	mem_free(map64_del(&s->suspects, number));
	return true;
}

void
alone_cleared(struct sched *s, uint64_t number)
{
	if (s->suspects.count > 0)
		mem_free(map64_del(&s->suspects, number));
}

void
alone_add(struct sched *s, struct entry *e)
{
	e->state = ENTRY_ALONE;
	entry_push_back(&s->entries, &s->pools[e->lane->pool].alone.waiting, e);
	sched_kick(s);
}

void
alone_gather(struct job *j, uint32_t most)
{
	struct alone *alone = &j->s->pools[j->lane->pool].alone;
	uint32_t id = alone->waiting.head;

	while (id != 0 && j->count < most) {
		struct entry *e = entry_at(&j->s->entries, id);

		id = e->next;
		if (e->number != j->number || e->lane != j->lane ||
		    (e->extra != NULL && e->extra->has_sender))
			continue;
		entry_remove(&j->s->entries, &alone->waiting, e);
		e->state = ENTRY_JOB;
		j->indexes[j->count++] = e->index;
	}
}

void
alone_session_ended(struct session *x)
{
	struct alone *alone = &x->lane->s->pools[x->lane->pool].alone;

	if (alone->session == x)
		alone->session = NULL;
}

static void
alone_want(struct sched *s, enum pool pool)
{
	struct alone *alone = &s->pools[pool].alone;

	if (alone->is_wanted && clock_mono_ms() - alone->wanted_ms < ALONE_ASK_AGAIN_MS)
		return;
	alone->is_wanted = true;
	alone->wanted_ms = clock_mono_ms();
	chan_send(s->q->svc->master, MSG_WORKER_WANT,
		  &(struct msg_worker_want){ .kind = (uint8_t)kind_of(pool) });
}

void
alone_run(struct sched *s, enum pool pool)
{
	struct alone *alone = &s->pools[pool].alone;
	struct entry *e = entry_at(&s->entries, alone->waiting.head);
	struct courier *c = alone->courier;

	if (alone->session != NULL) {
		/* It stands: the one message that it was opened for. */
		if (alone->session->stage != STAGE_UP || alone->session->messages > 0)
			return;
		if (e == NULL || e->lane != alone->session->lane) {
			session_close(alone->session);
			return;
		}
		entry_remove(&s->entries, &alone->waiting, e);
		alone->session->messages++;
		job_start(alone->session, e);
		return;
	}
	if (e == NULL) {
		if (c != NULL) {
			alone->courier = NULL;
			chan_set_data(c->chan, NULL);
			svc_peer_close(s->q->svc, c->chan);
			courier_free(c);
		}
		return;
	}
	if (c == NULL)
		alone_want(s, pool);
	else
		alone->session = session_open(e->lane, c, WANT_MORE);
}
