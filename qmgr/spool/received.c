/* SPDX-License-Identifier: ISC
 *
 * The first event of a message in the event log: it is on stable storage. Given before anything else that becomes of it,
 * so an op of one of its recipients is never durable before; what a crash took with it is given again from the scan, for
 * all messages of which queue.db knows nothing. Runs in qmgr on the loop. */

/* lib */
#include "base/cur.h"
#include "spool/envelope.h"
/* this program */
#include "qmgr/spool/spool_int.h"

/* The few fields of an envelope that an event has, without decoding the rest. */
static void
take_envelope(struct span envelope, struct event *ev)
{
	struct cur c = cur_of(envelope);

	while (cur_left(&c) > 0) {
		uint16_t type = cur_u16(&c);
		struct span value = cur_bytes(&c, UINT32_MAX);

		if (cur_check(&c) < 0)
			return;
		if (type == ENV_SENDER)
			ev->from = value;
		else if (type == ENV_CLIENT_ADDR)
			ev->client = value;
		else if (type == ENV_SID)
			ev->sid = value;
	}
}

void
received_put(struct spool *sp, const struct record *rec, struct span envelope)
{
	struct event ev = { .kind = EVENT_RECEIVED,
			    .at_ms = rec->arrival_us / 1000,
			    .number = rec->number,
			    .qid = rec->qid,
			    .size = rec->trace_len + rec->content_len,
			    .nrcpt = rec->rcpt_count };

	if (!store_wants_events(sp->store))
		return;
	take_envelope(envelope, &ev);
	store_event(sp->store, &ev);
}

/* One that crashed us is told of without a look inside. */
static void
put_again(struct spool *sp, const struct slot *slot, struct buf *buf)
{
	struct record rec = { .number = slot->number,
			      .qid = slot->qid,
			      .content_len = slot->size,
			      .rcpt_count = slot->pending };
	struct span envelope = SPAN_NONE;

	if (!(slot->flags & SLOT_SUSPECT) && !progress_is_suspect(sp->progress, slot->qid) &&
	    read_head(sp, slot->number, &slot->place, buf, &rec, &envelope) < 0)
		envelope = SPAN_NONE;
	progress_enter(slot->qid);
	received_put(sp, &rec, envelope);
	progress_leave();
}

void
received_scan(struct spool *sp)
{
	enum { SYNC_EVERY = 4096 };
	struct log_iter it = { 0 };
	struct slot *slot;
	struct buf buf;
	uint32_t n = 0;

	if (!store_wants_events(sp->store))
		return;
	buf_init(&buf, RECORD_HEADER_BYTES + RECORD_ENVELOPE_MAX);
	while ((slot = log_next(&sp->log, &it)) != NULL) {
		/* A mark or a row was committed after its event. */
		if (!(slot->flags & SLOT_REPLAY) || slot->flags & SLOT_HAS_ROW ||
		    map64_get(&sp->live_sets, slot->number) != NULL)
			continue;
		put_again(sp, slot, &buf);
		if (++n % SYNC_EVERY == 0)
			store_events_now(sp->store);
	}
	store_events_now(sp->store);
	buf_clear(&buf);
}
