/* SPDX-License-Identifier: ISC
 *
 * What an attempt means for one recipient: done, tried again later, or failed; with a report to the sender or without.
 * It becomes ops of the store; when they are durable its line is logged and the courier hears RESULT_ACK. A recipient
 * expires only after an attempt that was made at or after its expiry has failed. Reports themselves are report.c's. Run
 * by qmgr on its loop.                                                              RFC 3461 5.2, spool.md section 3 */

/* this program */
#include "qmgr/sched/sched_int.h"

/* --- back-off -------------------------------------------------------------------------------- */

/* After the n-th failure: first, first x factor, first x factor^2 ... at most max. */
uint64_t
outcome_retry_ms(const struct conf *conf, uint32_t attempts)
{
	uint64_t wait = conf->retry.first;

	for (uint32_t i = 1; i < attempts && wait < conf->retry.max; i++)
		wait *= conf->retry.factor > 1 ? conf->retry.factor : 1;
	return wait < conf->retry.max ? wait : conf->retry.max;
}

static uint64_t
expiry_of(const struct conf *conf, const struct facts *f)
{
	return f->arrival_ms + (f->sender.n > 0 ? conf->retry.expire : conf->retry.bounce_expire);
}

/* The last attempt is made when the time is up, not up to `max` later. */
static uint64_t
due_of(const struct conf *conf, const struct facts *f, const struct attempt *a, uint64_t now)
{
	uint64_t expiry = expiry_of(conf, f), due;

	if (a->due_ms != 0)
		return a->due_ms;
	due = now +
	      sched_jitter(outcome_retry_ms(conf, f->attempts + 1), (unsigned)conf->retry.jitter);
	return expiry > now && due > expiry ? expiry : due;
}

/* --- what waits for the disk ------------------------------------------------------------------- */

struct settle *
settle_new(struct sched *s)
{
	struct settle *t = mem_zalloc(sizeof(*t));

	t->s = s;
	return t;
}

static struct log_event *
settle_event(struct settle *t)
{
	if (t->count == t->cap) {
		t->cap = t->cap > 0 ? t->cap * 2 : 1;
		t->events = mem_grow(t->events, t->cap, sizeof(*t->events));
	}
	return &t->events[t->count++];
}

static void
put_number(uint64_t **list, uint32_t *count, uint32_t *cap, uint64_t number)
{
	if (*count > 0 && (*list)[*count - 1] == number)
		return;
	if (*count == *cap) {
		*cap = *cap > 0 ? *cap * 2 : 1;
		*list = mem_grow(*list, *cap, sizeof(**list));
	}
	(*list)[(*count)++] = number;
}

static struct courier *
courier_at(struct sched *s, enum pool pool, uint16_t slot)
{
	LIST_EACH(it, &s->pools[pool].couriers) {
		struct courier *c = LIST_ENTRY(it, struct courier, link);

		if (c->slot == slot)
			return c;
	}
	return NULL;
}

static void
settled(void *arg)
{
	struct settle *t = arg;
	struct sched *s = t->s;
	struct courier *c = t->ack_job != 0 ? courier_at(s, t->ack_pool, t->ack_slot) : NULL;

	for (uint32_t i = 0; i < t->count; i++)
		log_end(&t->events[i]);
	if (c != NULL)
		chan_send(c->chan, MSG_RESULT_ACK, &(struct msg_result_ack){ .job = t->ack_job });
	for (uint32_t i = 0; i < t->report_count; i++)
		reports_add(s->reports, t->reports[i]);
	for (uint32_t i = 0; i < t->finished_count; i++)
		finish_check(s, t->finished[i].number, t->finished[i].qid,
			     t->finished[i].is_certain);
	if (t->adopted != NULL) {
		for (uint32_t i = 0; i < t->adopted->count; i++)
			map64_del(&s->adopted,
				  sched_key(t->adopted->number, t->adopted->indexes[i]));
		job_free(t->adopted);
	}
	s->settling--;
	mem_free(t->events);
	mem_free(t->reports);
	mem_free(t->finished);
	mem_free(t);
	sched_kick(s);
}

void
settle_commit(struct settle *t)
{
	t->s->settling++;
	store_when_durable(t->s->store, settled, t);
}

/* This recipient is finished; perhaps its message is, too. */
static void
settle_finished(struct settle *t, const struct facts *f, bool has_report)
{
	if (t->finished_count > 0 && t->finished[t->finished_count - 1].number == f->number)
		return;
	if (t->finished_count == t->finished_cap) {
		t->finished_cap = t->finished_cap > 0 ? t->finished_cap * 2 : 1;
		t->finished = mem_grow(t->finished, t->finished_cap, sizeof(*t->finished));
	}
	t->finished[t->finished_count++] = (struct finished){ f->number, f->qid,
							      f->is_single && !has_report };
}

/* --- the event -------------------------------------------------------------------------------- */

static const char transports[TRANSPORT_COUNT][8] = { "smtp", "lmtp", "maildir" };

/* Given before the op that it tells of, so it is durable first (spool.md section 3, 8). */
static void
put_event(struct settle *t, enum event_kind kind, const struct facts *f, const struct attempt *a)
{
	uint64_t now = clock_wall_ms();

	if (!store_wants_events(t->s->store))
		return;
	store_event(t->s->store,
		    &(struct event){
			    .kind = kind,
			    .at_ms = now,
			    .number = f->number,
			    .qid = f->qid,
			    .index_plus_1 = f->index + 1,
			    .attempt = f->attempts + !a->is_uncounted,
			    .reply = a->reply,
			    .delay_ms = now > f->arrival_ms ? now - f->arrival_ms : 0,
			    .from = f->sender,
			    .to = f->address,
			    .orig = f->orig.n > 0 && !span_eq(f->orig, f->address) ? f->orig
										   : SPAN_NONE,
			    .relay = a->relay,
			    .transport = a->transport >= 0 ? span_of(transports[a->transport])
							   : SPAN_NONE,
			    .esc = a->esc,
			    .text = a->text,
			    .tls = a->tls,
			    .sid = f->sid });
}

/* --- the line of the log ----------------------------------------------------------------------- */

static void
put_line(struct settle *t, const char *name, const struct facts *f, const struct attempt *a)
{
	struct log_event *ev = settle_event(t);
	uint64_t now = clock_wall_ms(), delay = now > f->arrival_ms ? now - f->arrival_ms : 0;
	uint64_t busy = (uint64_t)a->connect_ms + a->transmit_ms;

	log_begin(ev, LOG_INFO_, name);
	if (f->sid.n > 0)
		log_kv(ev, "sid", f->sid);
	log_kv_qid(ev, "qid", f->qid);
	log_kv(ev, "to", f->address);
	if (f->orig.n > 0 && !span_eq(f->orig, f->address))
		log_kv(ev, "orig", f->orig);
	if (a->relay.n > 0)
		log_kv(ev, "relay", a->relay);
	if (a->transport >= 0)
		log_kvs(ev, "transport", transports[a->transport]);
	if (a->reply != 0)
		log_kv_u64(ev, "reply", a->reply);
	log_kv(ev, "esc", a->esc);
	log_kv(ev, "text", a->text);
	log_kv_u64(ev, "delay_ms", delay);
	log_kv_u64(ev, "queued_ms", delay > busy ? delay - busy : 0);
	log_kv_u64(ev, "connect_ms", a->connect_ms);
	log_kv_u64(ev, "transmit_ms", a->transmit_ms);
	log_kv_u64(ev, "attempt", f->attempts + !a->is_uncounted);
	if (a->tls.n > 0)
		log_kv(ev, "tls", a->tls);
}

/* --- reports: who is told what                                            RFC 3461 5.2 ---------- */

static void
put_bounce(struct settle *t, const struct facts *f, const struct attempt *a, enum bounce_kind kind,
	   uint64_t until_ms)
{
	struct sched *s = t->s;

	store_bounce(s->store, &(struct bounce){ .number = f->number,
						 .index = f->index,
						 .kind = kind,
						 .reply = a->reply,
						 .at_ms = a->begun_ms,
						 .until_ms = until_ms,
						 .address = f->address,
						 .orcpt = f->orcpt,
						 .orig = f->orig,
						 .esc = a->esc,
						 .text = span_sub(a->text, 0, STORE_TEXT_MAX),
						 .relay = a->relay,
						 .is_done = kind != BOUNCE_DELAYED });
	put_number(&t->reports, &t->report_count, &t->report_cap, f->number);
}

static bool
wants_failure(const struct facts *f)
{
	return f->notify == 0 || f->notify & ENV_NOTIFY_FAILURE;
}

static bool
wants_delay(const struct facts *f)
{
	return f->sender.n > 0 && (f->notify == 0 || f->notify & ENV_NOTIFY_DELAY);
}

/* What is to be told about a success; BOUNCE_KIND_COUNT: nothing. A next hop that knows DSN was told NOTIFY and reports
 * itself; the final mailbox is ours to report. */
static enum bounce_kind
success_kind(const struct facts *f, const struct attempt *a)
{
	if (!(f->notify & ENV_NOTIFY_SUCCESS) || f->sender.n == 0)
		return BOUNCE_KIND_COUNT;
	if (a->is_discarded || a->transport == TRANSPORT_MAILDIR)
		return BOUNCE_DELIVERED;
	if (!(a->flags & OUTCOME_NO_DSN_SUPPORT))
		return BOUNCE_KIND_COUNT;
	return a->transport == TRANSPORT_LMTP ? BOUNCE_DELIVERED : BOUNCE_RELAYED;
}

/* --- outcomes -------------------------------------------------------------------------------- */

static void
delivered(struct settle *t, const struct facts *f, const struct attempt *a)
{
	enum bounce_kind kind = success_kind(f, a);

	put_event(t, a->is_discarded ? EVENT_DISCARDED : EVENT_DELIVERED, f, a);
	if (kind == BOUNCE_KIND_COUNT)
		store_done(t->s->store, f->number, f->index);
	else
		put_bounce(t, f, a, kind, 0);
	if (a->is_discarded)
		t->s->stats.discarded++;
	else
		t->s->stats.delivered++;
	put_line(t, a->is_discarded ? "discarded" : "delivered", f, a);
	settle_finished(t, f, kind != BOUNCE_KIND_COUNT);
}

/* A report about a message with the null sender is never a DSN; report.c tells the postmaster or the log. */
static void
failed(struct settle *t, const struct facts *f, const struct attempt *a, bool is_expired)
{
	bool is_reported = wants_failure(f);

	put_event(t, is_expired ? EVENT_EXPIRED : EVENT_BOUNCED, f, a);
	if (is_reported)
		put_bounce(t, f, a, is_expired ? BOUNCE_EXPIRED : BOUNCE_FAILED, 0);
	else
		store_done(t->s->store, f->number, f->index);
	if (is_expired)
		t->s->stats.expired++;
	else
		t->s->stats.bounced++;
	put_line(t, is_expired ? "expired" : "bounced", f, a);
	settle_finished(t, f, is_reported);
}

static void
row_is_due(struct sched *s, struct span lane, uint64_t due_ms)
{
	struct lane *l = lane_find(s, lane);

	if (l != NULL)
		lane_row_due(l, due_ms);
	else
		sched_due_at(s, due_ms);
}

static void
put_row(struct settle *t, const struct facts *f, const struct attempt *a, enum row_state state,
	uint32_t flags, uint64_t due_ms)
{
	store_put(t->s->store,
		  &(struct row){ .number = f->number,
				 .index = f->index,
				 .state = state,
				 .flags = flags,
				 .attempts = f->attempts + !a->is_uncounted,
				 .due_ms = due_ms,
				 .last_ms = a->is_uncounted ? f->last_ms : a->begun_ms,
				 .reply = a->reply,
				 .lane = a->lane.n > 0 ? a->lane : SPAN(WAITER_NAME_ANY),
				 .esc = a->esc,
				 .text = span_sub(a->text, 0, STORE_TEXT_MAX),
				 .relay = a->relay });
	if (state == ROW_READY)
		row_is_due(t->s, a->lane.n > 0 ? a->lane : SPAN(WAITER_NAME_ANY), due_ms);
}

static void
deferred(struct settle *t, const struct facts *f, const struct attempt *a)
{
	const struct conf *conf = sched_conf(t->s);
	uint64_t now = clock_wall_ms(), due = due_of(conf, f, a, now);
	uint32_t flags = f->flags & ENTRY_WARNED ? ROW_WARNED : 0;

	put_event(t, EVENT_DEFERRED, f, a);
	if (conf->retry.warn_after > 0 && flags == 0 &&
	    now >= f->arrival_ms + conf->retry.warn_after && wants_delay(f)) {
		put_bounce(t, f, a, BOUNCE_DELAYED, expiry_of(conf, f));
		flags = ROW_WARNED;
	}
	put_row(t, f, a, f->flags & ENTRY_HOLD ? ROW_HELD : ROW_READY, flags, due);
	t->s->stats.deferred++;
	put_line(t, "deferred", f, a);
	/* The others of this message may have had their fate before: now nothing is in flight. */
	reports_changed(t->s->reports, f->number);
}

void
outcome_apply(struct settle *t, const struct facts *f, const struct attempt *a)
{
	enum outcome_status status = a->status;
	const struct conf *conf = sched_conf(t->s);

	/* An administrator deleted it while it was tried. */
	if (f->flags & ENTRY_GONE && status != OUTCOME_DELIVERED) {
		store_done(t->s->store, f->number, f->index);
		settle_finished(t, f, false);
		return;
	}
	if (status == OUTCOME_BOUNCED && conf->soft_bounce)
		status = OUTCOME_DEFERRED;
	if (status == OUTCOME_DELIVERED)
		delivered(t, f, a);
	else if (status == OUTCOME_BOUNCED)
		failed(t, f, a, false);
	else if (a->begun_ms >= expiry_of(conf, f) && !a->is_put_off)
		failed(t, f, a, true);
	else
		deferred(t, f, a);
	if (status != OUTCOME_DEFERRED)
		reports_changed(t->s->reports, f->number);
}

void
outcome_hold(struct settle *t, const struct facts *f, enum row_state state, struct span lane,
	     const char *why)
{
	struct attempt a = { .status = OUTCOME_DEFERRED,
			     .text = span_of(why),
			     .begun_ms = clock_wall_ms(),
			     .transport = -1,
			     .is_uncounted = true,
			     .lane = lane };

	put_event(t, EVENT_HELD, f, &a);
	put_row(t, f, &a, state, f->flags & ENTRY_WARNED ? ROW_WARNED : 0, a.begun_ms);
	t->s->stats.corrupt += state == ROW_CORRUPT;
	put_line(t, "held", f, &a);
}
