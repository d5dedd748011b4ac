/* SPDX-License-Identifier: ISC
 *
 * Results of jobs: for each recipient its outcome, together in one transaction, acknowledged when that is durable. Also
 * the inventory of couriers that outlived a former qmgr: jobs that they still run and results that nobody acknowledged,
 * so that nothing is delivered twice. Run by qmgr on its loop. */

/* System */
#include <string.h>
/* this program */
#include "qmgr/sched/sched_int.h"

static void
ack(struct courier *c, uint64_t job)
{
	chan_send(c->chan, MSG_RESULT_ACK, &(struct msg_result_ack){ .job = job });
}

/* --- outcomes -------------------------------------------------------------------------------- */

static struct attempt
attempt_of(const struct job *j, const struct msg_result *m, const struct outcome *o)
{
	return (struct attempt){
		.status = o->status,
		.flags = o->flags,
		.reply = o->reply,
		.esc = o->esc,
		.text = o->text,
		.relay = m->relay,
		.tls = m->tls,
		.connect_ms = m->connect_ms,
		.transmit_ms = m->transmit_ms,
		.begun_ms = j->begun_ms,
		.transport = j->lane != NULL			? (int)j->lane->transport
			     : j->courier->pool == POOL_MAILBOX ? TRANSPORT_MAILDIR
								: TRANSPORT_SMTP,
		.lane = j->lane != NULL ? span_of(j->lane->name) : SPAN(WAITER_NAME_ANY),
	};
}

static void
end_entry(struct sched *s, struct entry *e)
{
	struct lane *l = e->lane;

	entry_free(&s->entries, e);
	if (l != NULL)
		lane_unref(l);
}

/* The connection broke before its fate was asked for. */
static void
not_tried(struct sched *s, struct entry *e)
{
	if (e == NULL)
		return;
	if (e->flags & (ENTRY_GONE | ENTRY_HOLD))
		sched_obey(s, e);
	else if (e->lane != NULL)
		lane_put_back(e->lane, e);
	else
		resolve_later(s, e);
}

static void
take_outcome(struct job *j, const struct msg_result *m, const struct outcome *o, uint32_t i,
	     struct settle *t)
{
	struct sched *s = j->s;
	struct entry *e = entry_find(&s->entries, j->number, j->indexes[i]);
	struct attempt a = attempt_of(j, m, o);
	struct facts f;

	if (e != NULL && e->state != ENTRY_JOB)
		return;
	if (o->flags & OUTCOME_NOT_TRIED && !j->is_corrupt && !j->is_loop) {
		not_tried(s, e);
		return;
	}
	mail_facts(j->mail, i, e, &f);
	if (j->session != NULL)
		j->session->has_outcome = true;
	if (j->is_corrupt && o->status != OUTCOME_DELIVERED) {
		outcome_hold(t, &f, ROW_CORRUPT, a.lane, "its stored record is damaged");
	} else {
		if (j->is_loop && o->status != OUTCOME_DELIVERED) {
			a.status = OUTCOME_BOUNCED;
			a.reply = (uint16_t)err_info(E_LOOP)->reply;
			a.esc = span_of(err_info(E_LOOP)->esc);
			a.text = span_of(err_info(E_LOOP)->text);
		}
		outcome_apply(t, &f, &a);
	}
	alone_cleared(s, j->number);
	if (e != NULL)
		end_entry(s, e);
}

static uint32_t
position_of(const struct job *j, uint32_t index)
{
	uint32_t i = 0;

	while (i < j->count && j->indexes[i] != index)
		i++;
	return i;
}

/* Each outcome once; a recipient without one was not tried. */
static int
take_outcomes(struct job *j, const struct msg_result *m, struct settle *t)
{
	struct cur c = cur_of(m->outcomes);
	bool *is_seen = mem_array(j->count + 1, sizeof(*is_seen));
	struct outcome o;
	uint32_t i;
	int r = 0;

	while (r == 0 && cur_left(&c) > 0) {
		if ((r = outcome_get(&c, &o)) < 0)
			break;
		i = position_of(j, o.index);
		if (i == j->count || is_seen[i]) {
			r = E_CORRUPT;
			break;
		}
		is_seen[i] = true;
		take_outcome(j, m, &o, i, t);
	}
	o = (struct outcome){ .status = OUTCOME_DEFERRED, .flags = OUTCOME_NOT_TRIED };
	for (i = j->count; i-- > 0;)
		if (!is_seen[i])
			take_outcome(j, m, &o, i, t);
	mem_free(is_seen);
	return r;
}

static void
job_settle(struct job *j, struct courier *c, const struct msg_result *m)
{
	struct session *x = j->session;
	struct settle *t = settle_new(j->s);

	t->ack_job = m->job;
	t->ack_slot = c->slot;
	t->ack_pool = c->pool;
	if (take_outcomes(j, m, t) < 0)
		log_warn("%s gave a result that cannot be read",
			 c->pool == POOL_MAILBOX ? "mailbox" : "delivery");
	if (x == NULL) {
		/* Its recipients stay known as adopted until the result is durable. */
		t->adopted = j;
		j->is_settled = true;
		settle_commit(t);
		return;
	}
	settle_commit(t);
	job_free(j);
	session_job_ended(x, m->is_session_up != 0);
}

/* --- inventory ------------------------------------------------------------------------------- */

/* From now on this recipient is the courier's, whatever was to be done with it. */
static void
adopt_rcpt(struct job *j, uint32_t index)
{
	struct sched *s = j->s;
	struct entry *e = entry_find(&s->entries, j->number, index), old;

	j->indexes[j->count++] = index;
	map64_put(&s->adopted, sched_key(j->number, index), j);
	if (e == NULL || e->state == ENTRY_JOB || e->state == ENTRY_EXPANDING)
		return;
	old = *e;
	old.extra = NULL;
	if (e->extra != NULL) {
		struct entry_extra x = *e->extra;
		struct arena a;

		arena_init(&a, 512);
		x.address = arena_dup(&a, x.address);
		x.orcpt = arena_dup(&a, x.orcpt);
		x.orig = arena_dup(&a, x.orig);
		x.sender = arena_dup(&a, x.sender);
		x.final = SPAN_NONE;
		sched_drop_entry(s, e);
		e = entry_new(&s->entries, j->number, index);
		entry_set_extra(&s->entries, e, &x);
		arena_clear(&a);
	} else {
		sched_drop_entry(s, e);
		e = entry_new(&s->entries, j->number, index);
	}
	e->place = old.place;
	e->attempts = old.attempts & ENTRY_ATTEMPTS_MAX;
	e->flags = old.flags;
	e->state = ENTRY_JOB;
	e->lane = NULL;
}

static struct job *
adopt(struct sched *s, struct courier *c, uint64_t id, uint64_t number, uint64_t qid, uint32_t cap)
{
	struct job *j = mem_zalloc(sizeof(*j));

	j->s = s;
	j->id = id;
	j->number = number;
	j->qid = qid;
	j->courier = c;
	j->state = JOB_SENT;
	j->begun_ms = clock_wall_ms();
	j->indexes = mem_array(cap + 1, sizeof(*j->indexes));
	map64_put(&s->jobs, id, j);
	list_init(&j->link);
	list_push_back(&c->adopted, &j->link);
	return j;
}

void
job_adopt(struct sched *s, struct courier *c, const struct msg_job_running *m)
{
	struct cur cur = cur_of(m->indexes);
	uint32_t n = (uint32_t)(m->indexes.n / 4);
	struct job *j;

	if (map64_get(&s->jobs, m->job) != NULL)
		return;
	j = adopt(s, c, m->job, m->number, m->qid, n);
	while (j->count < n)
		adopt_rcpt(j, cur_u32(&cur));
}

static struct job *
adopt_result(struct sched *s, struct courier *c, const struct msg_result *m)
{
	struct cur cur = cur_of(m->outcomes);
	uint32_t n = 0;
	struct outcome o;
	struct job *j;

	while (cur_left(&cur) > 0 && outcome_get(&cur, &o) == 0)
		n++;
	j = adopt(s, c, m->job, m->number, m->qid, n);
	cur = cur_of(m->outcomes);
	while (j->count < n && outcome_get(&cur, &o) == 0)
		adopt_rcpt(j, o.index);
	return j;
}

static void
adopted_read(void *arg, int err, const struct spool_msg *msg)
{
	struct job *j = arg;
	struct courier *c = j->courier;
	struct msg_result *m = j->result;

	if (err == 0)
		err = mail_new(j->s, msg, j->indexes, j->count, &j->mail);
	reading_end(&j->reading);
	if (err == 0) {
		job_settle(j, c, m);
		return;
	}
	/* The message is finished: its result was committed, only the acknowledgement was lost. */
	if (err == E_NOTFOUND)
		ack(c, j->id);
	else
		log_warn("message %llu cannot be read; its result is taken at the next start",
			 (unsigned long long)j->number);
	job_requeue(j, false);
}

/* The sender, the addresses and so on are read again before the result is taken. */
static void
take_adopted(struct job *j, struct courier *c, const struct msg_result *m)
{
	char *outcomes = mem_dup_span(m->outcomes);

	if (m->is_session_up)
		chan_send(c->chan, MSG_SESSION_CLOSE,
			  &(struct msg_session_close){ .session = m->session });
	j->result = mem_zalloc(sizeof(*j->result));
	*j->result = *m;
	j->result->outcomes = span_make(outcomes, m->outcomes.n);
	j->result->relay = j->result->tls = SPAN_NONE;
	reading_start(&j->reading, j->s->spool, j->number, NULL, adopted_read, j);
}

void
job_result(struct sched *s, struct courier *c, const struct msg_result *m)
{
	struct job *j = map64_get(&s->jobs, m->job);

	if (j == NULL)
		j = adopt_result(s, c, m);
	if (j->courier != c || j->is_settled || j->result != NULL ||
	    (j->session != NULL && j->mail == NULL)) {
		log_warn("a result for a job that has one, or that was not given: ignored");
		return;
	}
	if (j->session == NULL)
		take_adopted(j, c, m);
	else
		job_settle(j, c, m);
}
