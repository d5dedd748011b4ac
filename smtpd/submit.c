/* SPDX-License-Identifier: ISC
 *
 * Hands messages to qmgr and waits for STORED. A whole message stays with its session until then, so that a restarted
 * qmgr gets it again under the same queue id, which makes that harmless; a streamed one is gone with its qmgr. It stores
 * nothing and answers no client. Runs in smtpd.
 *
 *	whole     (queue) --MSG_SUBMIT--> sent --STORED, REFUSED--> done      qmgr lost: back to the queue, AGAIN
 *	streamed  STREAM_DATA* --MSG_SUBMIT--> sent --STORED, REFUSED--> done    qmgr lost: done, E_PEERGONE
 */

/* lib */
#include "base/clock.h"
#include "base/log.h"
#include "ipc/plan.h"
#include "smtpd/submit.h"

void
submit_init(struct submit *s, uint16_t slot)
{
	*s = (struct submit){ .state = E_PEERGONE, .ids = { .slot = slot } };
	map64_init(&s->open);
	list_init(&s->queue);
	list_init(&s->waiting);
}

void
submit_clear(struct submit *s)
{
	map64_clear(&s->open);
}

uint64_t
submit_new_id(struct submit *s)
{
	return id_next(&s->ids);
}

void
submission_init(struct submission *m, void (*on_room)(void *arg),
		void (*on_done)(void *arg, int code), void *arg)
{
	*m = (struct submission){ .on_room = on_room, .on_done = on_done, .arg = arg };
	list_init(&m->node);
}

static void
open_submission(struct submit *s, struct submission *m, uint64_t qid)
{
	if (m->qid == qid)
		return;
	if (m->qid != 0)
		bug("a session has two messages under way");
	m->qid = qid;
	m->msg = NULL;
	m->unread_bytes = 0;
	m->is_streamed = m->is_sent = m->wants_room = false;
	map64_put(&s->open, qid, m);
}

static void
close_submission(struct submit *s, struct submission *m)
{
	(void)map64_del(&s->open, m->qid);
	list_remove(&m->node);
	m->qid = 0;
	m->msg = NULL;
}

/* The message is out of our hands, one way or the other. */
static void
finish(struct submit *s, struct submission *m, int code)
{
	close_submission(s, m);
	m->on_done(m->arg, code);
}

/* ---- streams ---- */

static bool
has_room(const struct submit *s, const struct submission *m)
{
	return m->unread_bytes + STREAM_CHUNK_BYTES <= STREAM_WINDOW_BYTES &&
	       !chan_is_full(s->qmgr);
}

int
submit_stream(struct submit *s, struct submission *m, uint64_t qid, struct span data)
{
	open_submission(s, m, qid);
	if (s->qmgr == NULL || (s->state < 0 && !m->is_streamed)) {
		close_submission(s, m);
		return s->qmgr == NULL ? E_PEERGONE : s->state;
	}
	m->is_streamed = true;
	m->unread_bytes += (uint32_t)data.n;
	chan_send(s->qmgr, MSG_STREAM_DATA, &(struct msg_stream_data){ .qid = qid, .data = data });
	m->wants_room = !has_room(s, m);
	if (m->wants_room)
		list_push_back(&s->waiting, &m->node);
	return m->wants_room ? 0 : 1;
}

static void
give_room(struct submit *s, struct submission *m)
{
	if (!m->wants_room || s->qmgr == NULL || !has_room(s, m))
		return;
	m->wants_room = false;
	list_remove(&m->node);
	m->on_room(m->arg);
}

void
submit_credit(struct submit *s, uint64_t qid, uint32_t bytes)
{
	struct submission *m = map64_get(&s->open, qid);

	if (m == NULL)
		return;
	m->unread_bytes = bytes < m->unread_bytes ? m->unread_bytes - bytes : 0;
	give_room(s, m);
}

/* ---- whole messages ---- */

static void
send_submit(struct submit *s, struct submission *m, bool is_again)
{
	const struct session_message *msg = m->msg;

	chan_send(s->qmgr, MSG_MSG_SUBMIT,
		  &(struct msg_msg_submit){
			  .qid = m->qid,
			  .flags = (uint8_t)((is_again ? SUBMIT_AGAIN : 0) |
					     (m->is_streamed ? SUBMIT_STREAMED : 0)),
			  .arrival_us = msg->arrival_us,
			  .content_flags = msg->content_flags,
			  .content_len = msg->content_len,
			  .envelope = msg->envelope,
			  .trace = msg->trace,
			  .content = msg->content });
	m->is_sent = true;
}

/* Send what waits, as far as the channel takes it. */
static void
pump(struct submit *s)
{
	while (s->qmgr != NULL && !chan_is_full(s->qmgr) && !list_is_empty(&s->queue)) {
		struct submission *m = LIST_ENTRY(s->queue.next, struct submission, node);

		/* Those that it might know come first, and are complete before anything new. */
		if (!m->is_sent && s->owes_inventory)
			break;
		list_remove(&m->node);
		send_submit(s, m, m->is_sent);
	}
	if (s->qmgr == NULL || !s->owes_inventory)
		return;
	if (!list_is_empty(&s->queue) &&
	    LIST_ENTRY(s->queue.next, struct submission, node)->is_sent)
		return;
	s->owes_inventory = false;
	chan_send(s->qmgr, MSG_INVENTORY_END, &(struct msg_inventory_end){ .end_ = 0 });
	pump(s);
}

void
submit_message(struct submit *s, struct submission *m, const struct session_message *msg)
{
	open_submission(s, m, msg->qid);
	m->msg = msg;
	m->wants_room = false;
	list_remove(&m->node);
	list_push_back(&s->queue, &m->node);
	pump(s);
}

void
submit_drop(struct submit *s, struct submission *m)
{
	if (m->qid == 0)
		return;
	if (m->is_streamed && !m->is_sent && s->qmgr != NULL)
		chan_send(s->qmgr, MSG_STREAM_ABORT, &(struct msg_stream_abort){ .qid = m->qid });
	close_submission(s, m);
}

void
submit_stored(struct submit *s, uint64_t qid)
{
	struct submission *m = map64_get(&s->open, qid);

	/* One whose client was told 451 already is stored nevertheless. */
	if (m != NULL && m->is_sent)
		finish(s, m, 0);
}

void
submit_refused(struct submit *s, uint64_t qid, unsigned code)
{
	struct submission *m = map64_get(&s->open, qid);
	int err = -(int)code;

	if (m != NULL)
		finish(s, m, err < 0 && err >= E_FIRST && err < E_END ? err : E_INTERNAL);
}

/* ---- qmgr comes and goes ---- */

void
submit_intake_state(struct submit *s, const struct msg_intake_state *m)
{
	int err = -(int)m->code;

	s->state = m->code == 0 ? 0 : err >= E_FIRST && err < E_END ? err : E_INTERNAL;
	if (m->id_floor_us > s->ids.floor_us)
		s->ids.floor_us = m->id_floor_us;
}

void
submit_qmgr_up(struct submit *s, struct chan *c)
{
	uint64_t qid;
	size_t it = 0;
	void *p;

	s->qmgr = c;
	s->owes_inventory = true;
	while (map64_next(&s->open, &it, &qid, &p)) {
		struct submission *m = p;

		if (m->is_sent && !m->is_streamed) {
			list_remove(&m->node);
			list_push_front(&s->queue, &m->node);
		}
	}
	pump(s);
}

/* Streams end; each call may take others out of the map, so it is begun anew after each. */
static struct submission *
next_stream(struct submit *s)
{
	uint64_t qid;
	size_t it = 0;
	void *p;

	while (map64_next(&s->open, &it, &qid, &p))
		if (((struct submission *)p)->is_streamed)
			return p;
	return NULL;
}

void
submit_qmgr_lost(struct submit *s)
{
	struct submission *m;

	s->qmgr = NULL;
	s->state = E_PEERGONE;
	while ((m = next_stream(s)) != NULL)
		finish(s, m, E_PEERGONE);
}

void
submit_qmgr_room(struct submit *s)
{
	pump(s);
	LIST_EACH_SAFE(it, tmp, &s->waiting)
		give_room(s, LIST_ENTRY(it, struct submission, node));
}
