/* SPDX-License-Identifier: ISC
 *
 * What follows from an attempt: the ops that make it durable, the line of the log, the rows of a report. The lines are
 * written and RESULT_ACK is sent only when the ops are on stable storage. It sends no mail (report.c) and chooses no
 * session (dispatch.c). Run by qmgr on its loop.                        RFC 3461 4.1 (NOTIFY), 5.2; RFC 5321 4.5.4.1 */

/* System */
#include <string.h>
/* this program */
#include "qmgr/sched_int.h"

struct settle *
settle_new(struct sched *s)
{
	struct settle *t = mem_zalloc(sizeof(*t));

	t->s = s;
	return t;
}

static void
push_number(uint64_t **list, uint32_t *count, uint32_t *cap, uint64_t number)
{
	if (*count == *cap) {
		*cap = *cap > 0 ? 2 * *cap : 4;
		*list = mem_grow(*list, *cap, sizeof(**list));
	}
	(*list)[(*count)++] = number;
}

/* --- when it is durable ---------------------------------------------------------------------- */

static void
log_removed(struct sched *s, uint64_t number, uint64_t qid)
{
	struct log_event ev;

	for (unsigned i = 0; i < sizeof(s->finished_ring) / sizeof(s->finished_ring[0]); i++) {
		if (s->finished_ring[i] == number)
			return;
	}
	s->finished_ring[s->finished_at++ % (sizeof(s->finished_ring) / sizeof(s->finished_ring[0]))] = number;
	log_begin(&ev, LOG_INFO_, "removed");
	log_kv_qid(&ev, "qid", qid);
	log_end(&ev);
}

struct finish_check {
	struct sched *s;
	uint64_t qid;
};

static void
on_rows(void *arg, uint64_t number, const struct row *rows, uint32_t count)
{
	struct finish_check *f = arg;
	bool is_left = false;

	for (uint32_t i = 0; i < count; i++)
		is_left |= rows[i].state != ROW_DONE;
	if (!is_left)
		log_removed(f->s, number, f->qid);
	mem_free(f);
}

/* Is anything left of a message? Those without row are counted in the log, the others are rows. */
static void
check_finished(struct sched *s, uint64_t number, uint64_t qid)
{
	struct finish_check *f;
	struct spool_slot slot;

	if (spool_find_number(s->spool, number, &slot) == 0 && slot.pending > 0)
		return;
	f = mem_zalloc(sizeof(*f));
	*f = (struct finish_check){ s, qid };
	store_get_rows(s->store, number, on_rows, f);
}

static void
acknowledge(const struct settle *t)
{
	struct sched *s = t->s;

	if (t->ack_job == 0)
		return;
	LIST_EACH(it, &s->pools[t->ack_pool].couriers) {
		struct courier *c = LIST_ENTRY(it, struct courier, link);
		if (c->slot == t->ack_slot && c->chan != NULL)
			chan_send(c->chan, MSG_RESULT_ACK, &(struct msg_result_ack){ .job = t->ack_job });
	}
}

static void
on_durable(void *arg)
{
	struct settle *t = arg;
	struct sched *s = t->s;

	for (uint32_t i = 0; i < t->count; i++)
		log_end(&t->events[i]);
	acknowledge(t);
	for (uint32_t i = 0; i < t->report_count; i++)
		reports_add(s->reports, t->reports[i]);
	for (uint32_t i = 0; i + 1 < t->finished_count; i += 2) {
		reports_changed(s->reports, t->finished[i]);
		check_finished(s, t->finished[i], t->finished[i + 1]);
	}
	if (t->adopted != NULL)
		job_free(t->adopted);
	mem_free(t->events);
	mem_free(t->finished);
	mem_free(t->reports);
	mem_free(t);
	s->settling--;
	if (s->is_stopping)
		sched_kick(s);
}

void
settle_commit(struct settle *t)
{
	t->s->settling++;
	store_when_durable(t->s->store, on_durable, t);
}

/* --- the line of an attempt ------------------------------------------------------------------ */

static void
log_attempt(struct settle *t, const struct facts *f, const struct attempt *a, const char *event, uint32_t attempt)
{
	uint64_t now = clock_wall_ms(), begun = a->begun_ms > 0 ? a->begun_ms : now;
	struct log_event *ev;

	if (t->count == t->cap) {
		t->cap = t->cap > 0 ? 2 * t->cap : 4;
		t->events = mem_grow(t->events, t->cap, sizeof(*t->events));
	}
	ev = &t->events[t->count++];
	log_begin(ev, LOG_INFO_, event);
	if (f->sid.n > 0)
		log_kv(ev, "sid", f->sid);
	log_kv_qid(ev, "qid", f->qid);
	log_kv(ev, "to", f->address);
	if (f->orig.n > 0 && !span_eq(f->orig, f->address))
		log_kv(ev, "orig", f->orig);
	log_kv(ev, "relay", a->relay.n > 0 ? a->relay : SPAN("none"));
	if (a->tls.n > 0)
		log_kv(ev, "tls", a->tls);
	log_kv_u64(ev, "delay_ms", now > f->arrival_ms ? now - f->arrival_ms : 0);
	log_kv_u64(ev, "queued_ms", begun > f->arrival_ms ? begun - f->arrival_ms : 0);
	log_kv_u64(ev, "connect_ms", a->connect_ms);
	log_kv_u64(ev, "transmit_ms", a->transmit_ms);
	log_kv_u64(ev, "attempt", attempt);
	if (a->reply != 0)
		log_kv_u64(ev, "reply", a->reply);
	log_kv(ev, "esc", a->esc);
	log_kv(ev, "text", a->text);
}

/* --- reports --------------------------------------------------------------------------------- */

static bool
wants_report(const struct sched *s, const struct facts *f, uint8_t kind)
{
	if (f->notify & ENV_NOTIFY_NEVER)
		return false;
	/* RFC 3461 4.1: without NOTIFY failures and delays are reported, successes are not. */
	if (f->notify == 0 ? kind == ENV_NOTIFY_SUCCESS : !(f->notify & kind))
		return false;
	return f->sender.n > 0 ||
	       (kind == ENV_NOTIFY_FAILURE && strchr(s->q->svc->conf->postmaster, '@') != NULL);
}

static void
put_bounce(struct settle *t, const struct facts *f, const struct attempt *a, enum bounce_kind kind, uint64_t until_ms)
{
	store_bounce(t->s->store, &(struct bounce){ .number = f->number, .index = f->index, .kind = kind, .reply = a->reply,
		.at_ms = a->begun_ms > 0 ? a->begun_ms : clock_wall_ms(), .until_ms = until_ms, .address = f->address,
		.orcpt = f->orcpt, .orig = f->orig, .esc = a->esc, .text = a->text,
		.relay = a->transport >= 0 ? a->relay : SPAN_NONE, .is_done = kind != BOUNCE_DELAYED });
	if (t->report_count == 0 || t->reports[t->report_count - 1] != f->number)
		push_number(&t->reports, &t->report_count, &t->report_cap, f->number);
}

/* --- fates ----------------------------------------------------------------------------------- */

/* No more to do for this recipient; with a report if kind says so. */
static void
finish(struct settle *t, const struct facts *f, const struct attempt *a, int kind)
{
	if (kind >= 0)
		put_bounce(t, f, a, (enum bounce_kind)kind, 0);
	else
		store_done(t->s->store, f->number, f->index);
	/* Pairs of number and queue id. */
	if (t->finished_count >= 2 && t->finished[t->finished_count - 2] == f->number)
		return;
	push_number(&t->finished, &t->finished_count, &t->finished_cap, f->number);
	push_number(&t->finished, &t->finished_count, &t->finished_cap, f->qid);
}

/* What a success is to the sender: done, handed to a server that will not tell, or to one that will. RFC 3461 5.2 */
static int
success_kind(const struct settle *t, const struct facts *f, const struct attempt *a)
{
	if (!wants_report(t->s, f, ENV_NOTIFY_SUCCESS))
		return -1;
	if (a->transport != TRANSPORT_SMTP)
		return BOUNCE_DELIVERED;
	return a->flags & OUTCOME_NO_DSN_SUPPORT ? BOUNCE_RELAYED : -1;
}

static void
apply_delivered(struct settle *t, const struct facts *f, const struct attempt *a)
{
	log_attempt(t, f, a, a->is_discarded ? "discarded" : "delivered", f->attempts + 1);
	if (a->is_discarded)
		t->s->stats.discarded++;
	else
		t->s->stats.delivered++;
	finish(t, f, a, success_kind(t, f, a));
}

static void
apply_failed(struct settle *t, const struct facts *f, const struct attempt *a, bool is_expired)
{
	bool wants = wants_report(t->s, f, ENV_NOTIFY_FAILURE);

	log_attempt(t, f, a, is_expired ? "expired" : "bounced", f->attempts + 1);
	if (is_expired)
		t->s->stats.expired++;
	else
		t->s->stats.bounced++;
	finish(t, f, a, !wants ? -1 : is_expired ? BOUNCE_EXPIRED : BOUNCE_FAILED);
}

uint64_t
outcome_retry_ms(const struct conf *conf, uint32_t attempts)
{
	uint64_t ms = conf->retry.first;

	for (uint32_t i = 1; i < attempts && ms < conf->retry.max; i++)
		ms *= conf->retry.factor > 1 ? conf->retry.factor : 1;
	return ms < conf->retry.max ? ms : conf->retry.max;
}

static uint64_t
lifetime_ms(const struct conf *conf, const struct facts *f)
{
	return f->sender.n > 0 ? conf->retry.expire : conf->retry.bounce_expire;
}

/* An administrator held it while it was tried. */
static enum row_state
row_state(const struct facts *f)
{
	return f->flags & ENTRY_HOLD ? ROW_HELD : ROW_READY;
}

static uint32_t
row_flags(const struct facts *f, bool is_warned)
{
	return (is_warned || (f->flags & ENTRY_WARNED) ? (uint32_t)ROW_WARNED : 0) | (f->is_child ? (uint32_t)ROW_CHILD : 0);
}

/* Somebody has to come back for the row. */
static void
remember_due(struct sched *s, struct span name, uint64_t due_ms)
{
	struct lane *l = lane_find(s, name);

	if (l != NULL)
		lane_row_due(l, due_ms);
	else
		sched_due_at(s, due_ms);
}

static bool
needs_warning(const struct settle *t, const struct facts *f, uint64_t now)
{
	const struct conf *conf = t->s->q->svc->conf;

	return conf->retry.warn_after > 0 && now >= f->arrival_ms + conf->retry.warn_after && !(f->flags & ENTRY_WARNED) &&
	       f->sender.n > 0 && wants_report(t->s, f, ENV_NOTIFY_DELAY);
}

static void
apply_deferred(struct settle *t, const struct facts *f, const struct attempt *a)
{
	struct sched *s = t->s;
	const struct conf *conf = s->q->svc->conf;
	uint64_t now = clock_wall_ms(), begun = a->begun_ms > 0 ? a->begun_ms : now;
	uint64_t expiry = f->arrival_ms + lifetime_ms(conf, f);
	bool is_attempt = !a->is_uncounted && !(a->flags & OUTCOME_NOT_TRIED), is_warned;
	uint32_t attempts = f->attempts + (is_attempt && f->attempts < ENTRY_ATTEMPTS_MAX ? 1 : 0);
	uint64_t due = a->due_ms;

	if (is_attempt && begun >= expiry) {
		apply_failed(t, f, a, true);
		return;
	}
	if (due == 0)
		due = is_attempt ? now + sched_jitter(outcome_retry_ms(conf, attempts), (unsigned)conf->retry.jitter) : now + 1000;
	if ((is_warned = is_attempt && needs_warning(t, f, now)))
		put_bounce(t, f, a, BOUNCE_DELAYED, expiry);
	store_put(s->store, &(struct row){ .number = f->number, .index = f->index, .state = row_state(f),
		.flags = row_flags(f, is_warned), .attempts = attempts, .due_ms = due, .last_ms = begun, .reply = a->reply,
		.parent = f->parent, .depth = f->depth, .notify = f->notify, .lane = a->lane, .esc = a->esc, .text = a->text,
		.relay = a->relay });
	remember_due(s, a->lane, due);
	s->stats.deferred++;
	log_attempt(t, f, a, "deferred", attempts);
}

void
outcome_apply(struct settle *t, const struct facts *f, const struct attempt *a)
{
	struct attempt soft;

	if ((f->flags & ENTRY_GONE) && a->status != OUTCOME_DELIVERED) {
		finish(t, f, a, -1);
		return;
	}
	if (a->status == OUTCOME_BOUNCED && t->s->q->svc->conf->soft_bounce) {
		soft = *a;
		soft.status = OUTCOME_DEFERRED;
		a = &soft;
	}
	switch (a->status) {
	case OUTCOME_DELIVERED:
		apply_delivered(t, f, a);
		break;
	case OUTCOME_BOUNCED:
		apply_failed(t, f, a, false);
		break;
	case OUTCOME_DEFERRED:
	case OUTCOME_STATUS_COUNT:
		apply_deferred(t, f, a);
		break;
	}
}

void
outcome_hold(struct settle *t, const struct facts *f, enum row_state state, struct span lane, const char *why)
{
	struct log_event ev;

	store_put(t->s->store, &(struct row){ .number = f->number, .index = f->index, .state = state,
		.flags = row_flags(f, false), .attempts = f->attempts, .due_ms = clock_wall_ms(), .last_ms = f->last_ms,
		.reply = f->reply, .parent = f->parent, .depth = f->depth, .notify = f->notify, .lane = lane, .esc = f->esc,
		.text = why[0] != '\0' ? span_of(why) : f->text, .relay = f->relay });
	if (state == ROW_CORRUPT)
		t->s->stats.corrupt++;
	log_begin(&ev, state == ROW_CORRUPT ? LOG_WARN_ : LOG_INFO_, "held");
	log_kv_qid(&ev, "qid", f->qid);
	log_kv(&ev, "to", f->address);
	log_kvs(&ev, "text", why);
	log_end(&ev);
}
