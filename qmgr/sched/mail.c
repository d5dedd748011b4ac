/* SPDX-License-Identifier: ISC
 *
 * What scheduling keeps of a message while something is done with it: reading it from the spool, the envelope of a job,
 * the facts of one recipient. Decides nothing. Run by qmgr on its loop. */

/* this program */
#include "qmgr/sched/sched_int.h"

/* --- reading --------------------------------------------------------------------------------- */

static void
opened(void *arg, struct spool_reader *reader, int err, const struct spool_msg *msg)
{
	struct reading *r = arg;

	r->reader = reader;
	if (r->is_opening) {
		r->is_early = true;
		r->err = err;
		r->msg = msg;
		return;
	}
	r->done(r->arg, err, msg);
}

void
reading_start(struct reading *r, struct spool *sp, uint64_t number, const struct place *at,
	      void (*done)(void *arg, int err, const struct spool_msg *msg), void *arg)
{
	struct spool_reader *reader;

	*r = (struct reading){ .done = done, .arg = arg, .is_opening = true };
	reader = spool_open(sp, number, at, opened, r);
	r->is_opening = false;
	r->reader = reader;
	if (r->is_early)
		done(arg, r->err, r->msg);
}

void
reading_end(struct reading *r)
{
	if (r->reader != NULL)
		spool_reader_close(&r->reader);
}

bool
reading_is_open(const struct reading *r)
{
	return r->reader != NULL;
}

/* --- facts ----------------------------------------------------------------------------------- */

void
facts_copy(struct arena *a, const struct facts *from, struct facts *out)
{
	*out = *from;
	out->address = arena_dup(a, from->address);
	out->orcpt = arena_dup(a, from->orcpt);
	out->orig = arena_dup(a, from->orig);
	out->sender = arena_dup(a, from->sender);
	out->sid = arena_dup(a, from->sid);
	out->esc = arena_dup(a, from->esc);
	out->text = arena_dup(a, from->text);
	out->relay = arena_dup(a, from->relay);
}

void
facts_of_row(const struct row *row, struct facts *out)
{
	*out = (struct facts){
		.number = row->number,
		.qid = row->qid,
		.arrival_ms = row->arrival_ms,
		.index = row->index,
		.attempts = row->attempts,
		.flags = ENTRY_HAS_ROW | ENTRY_IS_RETRY |
			 (row->flags & ROW_WARNED ? ENTRY_WARNED : 0),
		.address = row->address,
		.orcpt = row->orcpt,
		.orig = row->orig,
		.sender = row->has_sender ? row->sender : row->msg_sender,
		.notify = row->notify,
		.is_child = (row->flags & ROW_CHILD) != 0,
		.depth = row->depth,
		.parent = row->parent,
		.place = row->place,
		.last_ms = row->last_ms,
		.reply = row->reply,
		.esc = row->esc,
		.text = row->text,
		.relay = row->relay,
	};
}

void
facts_of_msg(const struct spool_msg *msg, const struct envelope *env, const struct env_rcpt *rcpt,
	     struct facts *out)
{
	*out = (struct facts){
		.number = msg->number,
		.qid = msg->qid,
		.arrival_ms = msg->arrival_us / 1000,
		.index = rcpt->index,
		.address = rcpt->addr,
		.orcpt = rcpt->orcpt,
		.orig = rcpt->orig,
		.sender = env->sender,
		.sid = env->sid,
		.notify = rcpt->notify,
		.place = msg->place,
		.is_single = msg->rcpt_count == 1,
	};
}

/* --- the envelope of a job ------------------------------------------------------------------- */

/* A child's facts stand in its entry; what is nowhere (the entry of a job of our predecessor) stays empty. */
static struct env_rcpt
rcpt_of(struct sched *s, const struct spool_msg *msg, const struct envelope *all, uint32_t index,
	struct envelope *own)
{
	const struct entry *e;

	if (index < all->rcpt_count && all->rcpts[index].index == index)
		return all->rcpts[index];
	e = entry_find(&s->entries, msg->number, index);
	if (e == NULL || e->extra == NULL || !e->extra->is_child)
		return (struct env_rcpt){ .index = index };
	if (e->extra->has_sender)
		own->sender = e->extra->sender;
	return (struct env_rcpt){ .index = index,
				  .notify = e->extra->notify,
				  .addr = e->extra->address,
				  .orcpt = e->extra->orcpt,
				  .orig = e->extra->orig };
}

static struct env_rcpt
rcpt_copy(struct arena *a, const struct env_rcpt *r)
{
	return (struct env_rcpt){ .index = r->index,
				  .notify = r->notify,
				  .addr = arena_dup(a, r->addr),
				  .orcpt = arena_dup(a, r->orcpt),
				  .orig = arena_dup(a, r->orig) };
}

static void
env_copy(struct arena *a, const struct envelope *from, struct envelope *out)
{
	*out = *from;
	out->sender = arena_dup(a, from->sender);
	out->envid = arena_dup(a, from->envid);
	out->client_addr = arena_dup(a, from->client_addr);
	out->client_helo = arena_dup(a, from->client_helo);
	out->auth_user = arena_dup(a, from->auth_user);
	out->protocol = arena_dup(a, from->protocol);
	out->sid = arena_dup(a, from->sid);
	out->dedupe_name = arena_dup(a, from->dedupe_name);
	out->dedupe_key = arena_dup(a, from->dedupe_key);
}

static int
take_envelope(struct mail *m, struct sched *s, const struct spool_msg *msg, const uint32_t *indexes,
	      uint32_t count)
{
	struct envelope all, own;
	struct arena a;
	int r;

	arena_init(&a, 4096);
	if ((r = envelope_decode(msg->envelope, &a, &all)) == 0) {
		own = all;
		own.rcpt_count = count;
		own.rcpts = arena_alloc(&m->arena, (count + 1) * sizeof(*own.rcpts));
		for (uint32_t i = 0; i < count; i++) {
			struct env_rcpt rcpt = rcpt_of(s, msg, &all, indexes[i], &own);

			own.rcpts[i] = rcpt_copy(&m->arena, &rcpt);
		}
		env_copy(&m->arena, &own, &m->env);
	}
	arena_clear(&a);
	return r;
}

int
mail_new(struct sched *s, const struct spool_msg *msg, const uint32_t *indexes, uint32_t count,
	 struct mail **out)
{
	struct mail *m = mem_zalloc(sizeof(*m));
	int r;

	m->number = msg->number;
	m->qid = msg->qid;
	m->arrival_ms = msg->arrival_us / 1000;
	m->rcpt_count = msg->rcpt_count;
	arena_init(&m->arena, 1024);
	if ((r = take_envelope(m, s, msg, indexes, count)) < 0)
		mail_free(&m);
	*out = m;
	return r;
}

void
mail_free(struct mail **mp)
{
	struct mail *m = *mp;

	*mp = NULL;
	if (m == NULL)
		return;
	arena_clear(&m->arena);
	mem_free(m);
}

void
mail_facts(const struct mail *m, uint32_t i, const struct entry *e, struct facts *out)
{
	const struct env_rcpt *rcpt = &m->env.rcpts[i];

	*out = (struct facts){
		.number = m->number,
		.qid = m->qid,
		.arrival_ms = m->arrival_ms,
		.index = rcpt->index,
		.address = rcpt->addr,
		.orcpt = rcpt->orcpt,
		.orig = rcpt->orig,
		.sender = m->env.sender,
		.sid = m->env.sid,
		.notify = rcpt->notify,
		.is_single = m->rcpt_count == 1,
	};
	if (e == NULL)
		return;
	out->attempts = e->attempts;
	out->flags = e->flags;
	out->place = e->place;
	out->is_single = out->is_single && !(e->flags & ENTRY_HAS_ROW);
	if (e->extra != NULL && e->extra->is_child) {
		out->is_child = true;
		out->depth = e->extra->depth;
		out->parent = e->extra->parent;
	}
}
