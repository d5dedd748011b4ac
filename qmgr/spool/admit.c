/* SPDX-License-Identifier: ISC
 *
 * From "durable" to "known to scheduling": new messages after their commit, messages of the scan a few at a time. A
 * message with a dedupe key is given only after its key is claimed, one whose key names another message is finished
 * unseen; a message that is damaged or crashed qmgr twice is held. Runs in qmgr on the loop. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/cur.h"
#include "base/log.h"
#include "base/mem.h"
#include "spool/envelope.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/spool/spool_int.h"

enum {
	REPLAY_MESSAGES = 200, /* given in one turn of the loop */
	REPLAY_FULL_MS = 100,  /* scheduling has no memory: look again then */
};

/* --- held ------------------------------------------------------------------------------------ */

static uint32_t
index_of(const struct live_set *set, uint32_t i)
{
	return set != NULL ? set->indexes[i] : i;
}

/* A row for every live recipient, without looking into the message. */
static void
put_rows(struct spool *sp, const struct slot *slot, const struct live_set *set,
	 enum row_state state, const char *why)
{
	uint32_t count = set != NULL ? set->count : slot->pending;

	for (uint32_t i = 0; i < count; i++) {
		struct row row = {
			.number = slot->number,
			.index = index_of(set, i),
			.state = state,
			.due_ms = clock_wall_ms(),
			.lane = SPAN(SPOOL_LANE_NEW),
			.text = span_of(why),
		};

		if (state == ROW_CORRUPT)
			store_event(sp->store, &(struct event){ .kind = EVENT_HELD,
								.at_ms = row.due_ms,
								.number = slot->number,
								.qid = slot->qid,
								.index_plus_1 = row.index + 1,
								.text = row.text });
		store_put(sp->store, &row);
	}
}

static void
hold(struct spool *sp, const struct slot *slot, const struct live_set *set, const char *why)
{
	struct log_event ev;

	put_rows(sp, slot, set, ROW_CORRUPT, why);
	log_begin(&ev, LOG_ERR_, "held");
	log_kv_qid(&ev, "qid", slot->qid);
	log_kvs(&ev, "reason", why);
	log_end(&ev);
}

/* --- keys ------------------------------------------------------------------------------------ */

/* The dedupe fields of an envelope, without decoding the rest. */
static bool
find_key(struct span envelope, struct span *name, struct span *key)
{
	struct cur c = cur_of(envelope);

	*name = *key = SPAN_NONE;
	while (cur_left(&c) > 0) {
		uint16_t type = cur_u16(&c);
		struct span value = cur_bytes(&c, UINT32_MAX);

		if (cur_check(&c) < 0)
			return false;
		if (type == ENV_DEDUPE_NAME)
			*name = value;
		else if (type == ENV_DEDUPE_KEY)
			*key = value;
	}
	return key->n > 0;
}

static void
give(struct spool *sp, const struct spool_msg *msg, const uint32_t *live, uint32_t live_count)
{
	progress_enter(msg->qid);
	sp->conf.ops->on_message(sp->conf.ops_arg, msg, live, live_count);
	progress_leave();
}

/* A message whose key is being claimed. */
struct claim {
	struct spool *sp;
	uint64_t number;
	uint32_t count; /* of live; 0: all */
	uint32_t live[];
};

static void
on_claimed_read(void *arg, struct spool_reader *r, int err, const struct spool_msg *msg)
{
	struct claim *c = arg;
	const struct slot *slot = log_find(&c->sp->log, c->number);

	if (err == 0)
		give(c->sp, msg, c->count > 0 ? c->live : NULL, c->count);
	else if (slot != NULL)
		put_rows(c->sp, slot, NULL, ROW_CORRUPT, "its record cannot be read");
	mem_free(c);
	spool_reader_close(&r);
}

static void
on_claimed(void *arg, uint64_t number, bool is_duplicate)
{
	struct claim *c = arg;
	const struct slot *slot = log_find(&c->sp->log, number);

	if (slot == NULL || slot->pending == 0) {
		mem_free(c);
		return;
	}
	if (!is_duplicate) {
		CRASHPOINT("key-committed");
		spool_open(c->sp, number, &slot->place, on_claimed_read, c);
		return;
	}
	c->sp->stats.duplicates++;
	for (uint32_t i = 0, n = c->count > 0 ? c->count : slot->pending; i < n; i++) {
		uint32_t index = c->count > 0 ? c->live[i] : i;

		store_event(c->sp->store,
			    &(struct event){ .kind = EVENT_DISCARDED,
					     .at_ms = clock_wall_ms(),
					     .number = number,
					     .qid = slot->qid,
					     .index_plus_1 = index + 1,
					     .text = SPAN("taken before, under the same key") });
		store_done(c->sp->store, number, index);
	}
	mem_free(c);
}

void
admit(struct spool *sp, const struct spool_msg *msg, const uint32_t *live, uint32_t live_count)
{
	struct span name, key;
	struct claim *c;

	if (!find_key(msg->envelope, &name, &key)) {
		give(sp, msg, live, live_count);
		return;
	}
	c = mem_alloc(sizeof(*c) + (live != NULL ? live_count : 0) * sizeof(c->live[0]));
	c->sp = sp;
	c->number = msg->number;
	c->count = live != NULL ? live_count : 0;
	if (live != NULL)
		memcpy(c->live, live, live_count * sizeof(c->live[0]));
	store_claim_key(sp->store, msg->origin, name, key, msg->number, on_claimed, c);
}

/* --- the messages of the scan ---------------------------------------------------------------- */

static struct live_set *
take_set(struct spool *sp, uint64_t number)
{
	return map64_del(&sp->live_sets, number);
}

/* Rows of a message of the scan at once: it is held, or scheduling was not yet given it when the cursor wants to pass. */
static void
settle(struct spool *sp, struct slot *slot, struct live_set *set)
{
	const char *why = slot->flags & SLOT_SUSPECT ? "its record is damaged" : NULL;

	if (progress_is_suspect(sp->progress, slot->qid))
		why = "it crashed qmgr twice";
	if (why != NULL) {
		slot->flags |= SLOT_SUSPECT;
		hold(sp, slot, set, why);
	} else {
		put_rows(sp, slot, set, ROW_READY, "");
	}
}

struct replay_read {
	struct spool *sp;
	uint64_t number;
	struct live_set *set;
};

static void
on_replay_read(void *arg, struct spool_reader *r, int err, const struct spool_msg *msg)
{
	struct replay_read *rr = arg;
	const struct slot *slot = log_find(&rr->sp->log, rr->number);

	if (err == 0)
		admit(rr->sp, msg, rr->set != NULL ? rr->set->indexes : NULL,
		      rr->set != NULL ? rr->set->count : 0);
	else if (slot != NULL)
		hold(rr->sp, slot, rr->set, "its record cannot be read");
	mem_free(rr->set);
	mem_free(rr);
	spool_reader_close(&r);
}

static void
replay_one(struct spool *sp, struct slot *slot)
{
	struct live_set *set = take_set(sp, slot->number);
	struct replay_read *rr;

	slot->flags &= 0xff & ~(uint32_t)SLOT_REPLAY;
	sp->replay_left--;
	if (slot->flags & SLOT_SUSPECT || progress_is_suspect(sp->progress, slot->qid)) {
		settle(sp, slot, set);
		mem_free(set);
		return;
	}
	rr = mem_alloc(sizeof(*rr));
	*rr = (struct replay_read){ sp, slot->number, set };
	spool_open(sp, slot->number, &slot->place, on_replay_read, rr);
}

static void
on_replay(void *arg)
{
	struct spool *sp = arg;
	struct slot *slot;
	int n = 0;

	while (n < REPLAY_MESSAGES && sp->replay_left > 0) {
		if (sp->conf.ops->is_full(sp->conf.ops_arg)) {
			timer_start(&sp->replay_timer, REPLAY_FULL_MS);
			return;
		}
		if ((slot = log_next(&sp->log, &sp->replay)) == NULL) {
			sp->replay_left = 0;
			break;
		}
		if (slot->flags & SLOT_REPLAY) {
			replay_one(sp, slot);
			n++;
		}
	}
	if (sp->replay_left > 0)
		timer_start(&sp->replay_timer, 0);
}

void
admit_replay_start(struct spool *sp)
{
	sp->replay_left = sp->log.live;
	timer_init(&sp->replay_timer, sp->conf.timers, on_replay, sp);
	if (sp->replay_left > 0)
		timer_start(&sp->replay_timer, 0);
}

void
admit_give_rows(struct spool *sp, uint64_t before_number)
{
	struct log_iter it = { 0 };
	struct slot *slot;

	if (sp->replay_left == 0)
		return;
	while ((slot = log_next(&sp->log, &it)) != NULL && slot->number < before_number) {
		struct live_set *set;

		if (!(slot->flags & SLOT_REPLAY))
			continue;
		set = take_set(sp, slot->number);
		slot->flags &= 0xff & ~(uint32_t)SLOT_REPLAY;
		sp->replay_left--;
		settle(sp, slot, set);
		mem_free(set);
	}
}
