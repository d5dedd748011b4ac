/* SPDX-License-Identifier: ISC
 *
 * A job: one message over one session, for one or more of its recipients. Read from the spool when the session takes it,
 * copied to the courier (content over 64 KiB piece by piece, as far as the courier gives credit), and answered by one
 * result. What a result means for a recipient is outcome.c's; when a job is started is dispatch.c's. Also jobs that
 * couriers still ran, or had results of, when this process started. Run by qmgr on its loop.
 *
 *	started --message read--> sent --RESULT--> settled --durable--> RESULT_ACK
 *	started, sent --courier or session lost--> its recipients are tried again */

/* System */
#include <string.h>
/* lib */
#include "mail/header.h"
/* this program */
#include "qmgr/sched/sched_int.h"

enum {
	LOOK_AHEAD = 64, /* recipients looked through for others of the same message */
	DEFER_RCPTS_MAX = 1000
};

static void job_stream(struct job *j);

/* --- life ------------------------------------------------------------------------------------ */

static struct job *
job_new(struct sched *s, struct lane *l, uint64_t number, uint32_t cap)
{
	struct job *j = mem_zalloc(sizeof(*j));

	j->s = s;
	j->lane = l;
	j->number = number;
	j->indexes = mem_array(cap, sizeof(*j->indexes));
	j->begun_ms = clock_wall_ms();
	list_init(&j->link);
	if (l != NULL)
		lane_ref(l);
	return j;
}

void
job_free(struct job *j)
{
	struct sched *s = j->s;

	reading_end(&j->reading);
	mail_free(&j->mail);
	if (j->id != 0)
		map64_del(&s->jobs, j->id);
	if (!list_is_empty(&j->link)) {
		list_remove(&j->link);
		if (j->session != NULL)
			j->session->job_count--;
	}
	if (j->lane != NULL)
		lane_unref(j->lane);
	if (j->result != NULL)
		mem_free((void *)(uintptr_t)j->result->outcomes.p);
	mem_free(j->result);
	mem_free(j->indexes);
	mem_free(j);
}

static void
job_take_entry(struct job *j, struct entry *e)
{
	e->state = ENTRY_JOB;
	j->indexes[j->count++] = e->index;
}

/* One that stands in no envelope with a sender of its own goes alone. */
static bool
goes_alone(const struct entry *e)
{
	return e->extra != NULL && e->extra->has_sender;
}

/* Further recipients of the same message that are ready in this lane. */
static void
job_gather(struct job *j, struct entry_list *from, uint32_t most)
{
	struct entry_pool *pool = &j->s->entries;
	uint32_t id = from->head;

	for (unsigned missed = 0; id != 0 && missed < LOOK_AHEAD && j->count < most;) {
		struct entry *e = entry_at(pool, id);

		id = e->next;
		if (e->number != j->number || goes_alone(e)) {
			missed++;
			continue;
		}
		entry_remove(pool, from, e);
		job_take_entry(j, e);
	}
}

/* The entry of the i-th recipient, NULL: an administrator took it away. */
static struct entry *
job_entry(const struct job *j, uint32_t i)
{
	return entry_find(&j->s->entries, j->number, j->indexes[i]);
}

/* An entry that leaves memory. */
static void
entry_end(struct sched *s, struct entry *e)
{
	struct lane *l = e->lane;

	entry_free(&s->entries, e);
	if (l != NULL)
		lane_unref(l);
}

/* --- tried again ------------------------------------------------------------------------------ */

static void
entry_again(struct job *j, struct entry *e, bool is_suspect)
{
	if (e->flags & (ENTRY_GONE | ENTRY_HOLD)) {
		sched_obey(j->s, e);
	} else if (e->lane == NULL) {
		resolve_later(j->s, e);
	} else if (is_suspect || alone_is_suspect(j->s, e->number)) {
		alone_add(j->s, e);
	} else {
		lane_put_back(e->lane, e);
	}
}

void
job_requeue(struct job *j, bool is_suspect)
{
	bool is_hold = is_suspect && j->mail != NULL &&
		       alone_crashed(j->s, j->number, j->courier != NULL && j->courier->is_alone);
	struct settle *t = is_hold ? settle_new(j->s) : NULL;

	if (is_suspect && !is_hold && j->mail == NULL)
		(void)alone_crashed(j->s, j->number, false);
	for (uint32_t i = j->count; i-- > 0;) {
		struct entry *e = job_entry(j, i);
		struct facts f;

		if (j->session == NULL)
			map64_del(&j->s->adopted, sched_key(j->number, j->indexes[i]));
		if (e == NULL || e->state != ENTRY_JOB)
			continue;
		if (!is_hold) {
			entry_again(j, e, is_suspect);
			continue;
		}
		mail_facts(j->mail, i, e, &f);
		outcome_hold(t, &f, ROW_HELD,
			     j->lane != NULL ? span_of(j->lane->name) : SPAN(WAITER_NAME_ANY),
			     "delivery crashed three times with this message alone");
		entry_end(j->s, e);
	}
	if (t != NULL)
		settle_commit(t);
	job_free(j);
}

/* Its record is damaged: held for the administrator. */
static void
job_hold(struct job *j, const char *why)
{
	struct settle *t = settle_new(j->s);

	for (uint32_t i = 0; i < j->count; i++) {
		struct entry *e = job_entry(j, i);
		struct facts f = { .number = j->number, .index = j->indexes[i] };

		if (e == NULL)
			continue;
		if (j->mail != NULL)
			mail_facts(j->mail, i, e, &f);
		else
			f.attempts = e->attempts;
		outcome_hold(t, &f, ROW_CORRUPT,
			     j->lane != NULL ? span_of(j->lane->name) : SPAN(WAITER_NAME_ANY), why);
		entry_end(j->s, e);
	}
	settle_commit(t);
	job_free(j);
}

/* --- sending --------------------------------------------------------------------------------- */

/* A mailbox of ours that the message was in before, or too many servers.                 RFC 5321 6.3 */
static bool
is_looping(const struct job *j, struct span head)
{
	if (header_count(head, "Received") > sched_conf(j->s)->hop_limit)
		return true;
	for (uint32_t i = 0; i < j->count; i++) {
		const struct entry *e = job_entry(j, i);

		if (header_has_delivered_to(head, j->mail->env.rcpts[i].addr) ||
		    (e != NULL && e->extra != NULL && e->extra->final.n > 0 &&
		     header_has_delivered_to(head, e->extra->final)))
			return true;
	}
	return false;
}

/* The recipients as they are handed over. */
static void
put_envelope(const struct job *j, struct buf *out)
{
	struct envelope env = j->mail->env;
	struct arena a;

	arena_init(&a, 1024);
	env.rcpts = arena_alloc(&a, (j->count + 1) * sizeof(*env.rcpts));
	for (uint32_t i = 0; i < j->count; i++) {
		const struct entry *e = job_entry(j, i);

		env.rcpts[i] = j->mail->env.rcpts[i];
		if (e == NULL || e->extra == NULL || e->extra->final.n == 0)
			continue;
		if (env.rcpts[i].orig.n == 0)
			env.rcpts[i].orig = env.rcpts[i].addr;
		env.rcpts[i].addr = e->extra->final;
	}
	env.rcpt_count = j->count;
	envelope_encode(out, &env);
	arena_clear(&a);
}

static void
job_send(struct job *j, const struct spool_msg *msg)
{
	struct sched *s = j->s;
	bool is_inline = msg->content.p != NULL && msg->content_len <= STREAM_CHUNK_BYTES;
	struct buf env;

	buf_init(&env, RECORD_ENVELOPE_MAX);
	put_envelope(j, &env);
	j->state = JOB_SENT;
	j->begun_ms = clock_wall_ms();
	s->stats.jobs++;
	chan_send(j->courier->chan, MSG_JOB,
		  &(struct msg_job){ .job = j->id,
				     .session = j->session->id,
				     .qid = msg->qid,
				     .number = msg->number,
				     .content_flags = msg->content_flags,
				     .content_len = msg->content_len,
				     .envelope = buf_span(&env),
				     .trace = msg->trace,
				     .content = is_inline ? msg->content : SPAN_NONE });
	buf_clear(&env);
	if (is_inline || msg->content_len == 0) {
		reading_end(&j->reading);
		return;
	}
	j->is_streamed = true;
	j->credit = STREAM_WINDOW_BYTES;
	job_stream(j);
}

/* All its recipients end with this, without having been sent. */
static void
job_outcome(struct job *j, const struct attempt *a)
{
	struct settle *t = settle_new(j->s);
	struct session *x = j->session;

	for (uint32_t i = 0; i < j->count; i++) {
		struct entry *e = job_entry(j, i);
		struct facts f;

		if (e == NULL)
			continue;
		mail_facts(j->mail, i, e, &f);
		outcome_apply(t, &f, a);
		entry_end(j->s, e);
	}
	settle_commit(t);
	if (x != NULL)
		x->has_outcome = true;
	job_free(j);
	if (x != NULL)
		session_job_ended(x, true);
}

static void
job_loops(struct job *j)
{
	const struct err_info *loop = err_info(E_LOOP);

	job_outcome(j, &(struct attempt){ .status = OUTCOME_BOUNCED,
					  .reply = (uint16_t)loop->reply,
					  .esc = span_of(loop->esc),
					  .text = span_of(loop->text),
					  .begun_ms = clock_wall_ms(),
					  .transport = (int)j->lane->transport });
}

/* The message cannot be read now: its recipients are rows again and tried in a while. */
static void
job_read_failed(struct job *j, int err)
{
	struct session *x = j->session;
	uint64_t due_ms = clock_wall_ms() + sched_conf(j->s)->retry.first;

	if (err == E_IO) {
		for (uint32_t i = 0; i < j->count; i++) {
			struct entry *e = job_entry(j, i);

			if (e == NULL)
				continue;
			store_put(j->s->store,
				  &(struct row){
					  .number = j->number,
					  .index = j->indexes[i],
					  .state = ROW_READY,
					  .attempts = e->attempts,
					  .due_ms = due_ms,
					  .lane = span_of(j->lane->name),
					  .text = SPAN("The stored message could not be read") });
			lane_row_due(j->lane, due_ms);
			entry_end(j->s, e);
		}
		log_warn("message %llu cannot be read from the spool; tried again later",
			 (unsigned long long)j->number);
		job_free(j);
	} else {
		job_hold(j, "its stored record is damaged");
	}
	if (x != NULL)
		session_job_ended(x, true);
}

static void
job_read(void *arg, int err, const struct spool_msg *msg)
{
	struct job *j = arg;

	if (err == 0)
		err = mail_new(j->s, msg, j->indexes, j->count, &j->mail);
	if (err < 0) {
		job_read_failed(j, err);
		return;
	}
	j->qid = msg->qid;
	if (j->lane->transport == TRANSPORT_MAILDIR &&
	    (is_looping(j, msg->trace) ||
	     (msg->content.p != NULL && is_looping(j, msg->content)))) {
		job_loops(j);
		return;
	}
	job_send(j, msg);
}

void
job_start(struct session *x, struct entry *first)
{
	struct lane *l = x->lane;
	struct sched *s = l->s;
	uint32_t most = l->limits != NULL ? (uint32_t)l->limits->recipients_per_message : 1;
	struct job *j = job_new(s, l, first->number, most);

	j->id = ++s->last_job;
	j->session = x;
	j->courier = x->courier;
	map64_put(&s->jobs, j->id, j);
	list_push_back(&x->jobs, &j->link);
	x->job_count++;
	job_take_entry(j, first);
	if (x->courier->is_alone) {
		alone_gather(j, most);
	} else if (!goes_alone(first)) {
		job_gather(j, &l->fresh, most);
		job_gather(j, &l->retry, most);
	}
	reading_start(&j->reading, s->spool, j->number, &first->place, job_read, j);
}

/* --- content over 64 KiB ---------------------------------------------------------------------- */

static void
job_abort(struct job *j)
{
	j->is_streamed = false;
	reading_end(&j->reading);
	chan_send(j->courier->chan, MSG_JOB_ABORT, &(struct msg_job_abort){ .job = j->id });
}

static void
chunk_read(void *arg, struct spool_reader *r, int err, struct span data)
{
	struct job *j = arg;

	(void)r;
	j->is_chunk_due = false;
	if (err < 0) {
		j->is_corrupt = err == E_CORRUPT;
		job_abort(j);
		return;
	}
	if (data.n == 0) {
		j->is_streamed = false;
		reading_end(&j->reading);
		return;
	}
	if (!j->is_head_seen && j->lane->transport == TRANSPORT_MAILDIR && is_looping(j, data)) {
		j->is_loop = true;
		job_abort(j);
		return;
	}
	j->is_head_seen = true;
	j->credit -= data.n < j->credit ? data.n : j->credit;
	chan_send(j->courier->chan, MSG_JOB_DATA,
		  &(struct msg_job_data){ .job = j->id, .data = data });
	if (!j->is_in_stream)
		job_stream(j);
}

/* A chunk may come before spool_reader_next() returns: a loop, not a recursion. */
static void
job_stream(struct job *j)
{
	if (j->is_in_stream)
		return;
	j->is_in_stream = true;
	while (j->is_streamed && !j->is_chunk_due && j->credit > 0 &&
	       !chan_is_full(j->courier->chan)) {
		size_t most = j->credit < STREAM_CHUNK_BYTES ? (size_t)j->credit
							     : STREAM_CHUNK_BYTES;

		j->is_chunk_due = true;
		spool_reader_next(j->reading.reader, most, chunk_read, j);
	}
	j->is_in_stream = false;
}

void
job_credit(struct sched *s, const struct msg_job_credit *m)
{
	struct job *j = map64_get(&s->jobs, m->job);

	if (j == NULL || !j->is_streamed)
		return;
	j->credit += m->bytes;
	if (j->credit > STREAM_WINDOW_BYTES)
		j->credit = STREAM_WINDOW_BYTES;
	job_stream(j);
}

void
job_room(struct sched *s, struct courier *c)
{
	LIST_EACH(it, &c->sessions) {
		struct session *x = LIST_ENTRY(it, struct session, in_courier);

		LIST_EACH(jt, &x->jobs)
			job_stream(LIST_ENTRY(jt, struct job, link));
		lane_kick(x->lane);
	}
	sched_kick(s);
}

/* --- waiting recipients of a site that failed --------------------------------------------------- */

struct deferral {
	struct job *job;
	bool is_attempt;
	uint64_t due_ms;
};

static void
deferral_read(void *arg, int err, const struct spool_msg *msg)
{
	struct deferral *d = arg;
	struct job *j = d->job;
	struct lane *l = j->lane;

	j->s->reading--;
	if (err == 0)
		err = mail_new(j->s, msg, j->indexes, j->count, &j->mail);
	if (err < 0)
		job_read_failed(j, err);
	else
		job_outcome(j, &(struct attempt){ .status = OUTCOME_DEFERRED,
						  .reply = l->reply,
						  .esc = span_of(l->esc),
						  .text = span_of(l->text),
						  .relay = span_of(l->relay),
						  .begun_ms = j->begun_ms,
						  .transport = (int)l->transport,
						  .is_put_off = !d->is_attempt,
						  .due_ms = d->due_ms,
						  .lane = span_of(l->name) });
	mem_free(d);
}

void
job_defer_first(struct lane *l, bool is_attempt, uint64_t due_ms)
{
	struct entry *first = lane_pop(l);
	struct job *j = job_new(l->s, l, first->number, DEFER_RCPTS_MAX);
	struct deferral *d = mem_zalloc(sizeof(*d));

	d->job = j;
	d->is_attempt = is_attempt;
	d->due_ms = due_ms;
	job_take_entry(j, first);
	if (!goes_alone(first)) {
		job_gather(j, &l->fresh, DEFER_RCPTS_MAX);
		job_gather(j, &l->retry, DEFER_RCPTS_MAX);
	}
	l->s->reading++;
	reading_start(&j->reading, l->s->spool, j->number, &first->place, deferral_read, d);
}
