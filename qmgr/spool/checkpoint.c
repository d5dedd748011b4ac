/* SPDX-License-Identifier: ISC
 *
 * The cursor: how far back a start has to read. Every 30 s, or when half the log window is written, recipients of
 * messages before the checkpoint before get rows, the cursor moves up to the first message that is not wholly accounted
 * for, and marks behind it go. Runs in qmgr on the loop.
 *
 *	idle -> rows wanted (give_rows) -> rows durable -> cursor in a transaction -> slots behind it dropped -> idle
 *
 * The cursor never depends on scheduling having kept its promise: it stops at the first slot with pending recipients. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/spool/spool_int.h"

enum {
	CHECKPOINT_MS = 30000,
	CHECKPOINT_TICK_MS = 1000,
	WINDOW_SEGMENTS = 6, /* hot ones after the cursor */
};

/* --- the new cursor -------------------------------------------------------------------------- */

/* Where a scan must begin so that it meets every slot that is left, and what is written from now on: messages that were
 * appended again stand in later segments than their numbers say. A batch that is on its way goes behind the last one
 * that we know of. *bytes_out: of the records that are left. */
static void
find_position(struct spool *sp, uint64_t number, struct store_cursor *c, uint64_t *bytes_out)
{
	struct log_iter it = { .number = number };
	const struct segment *first = segments_find(&sp->segs, sp->tail.segment), *seg = NULL;
	const struct slot *s;

	*bytes_out = 0;
	c->segment = sp->tail.segment;
	c->salt = sp->tail.salt;
	c->offset = sp->tail.offset;
	while ((s = log_next(&sp->log, &it)) != NULL) {
		*bytes_out += s->place.length;
		if (seg == NULL || seg->number != s->place.segment)
			seg = segments_find(&sp->segs, s->place.segment);
		if (seg == NULL)
			continue;
		if (first != NULL && (seg->first_batch > first->first_batch ||
				      (seg == first && s->place.offset >= c->offset)))
			continue;
		first = seg;
		c->segment = seg->number;
		c->salt = seg->salt;
		c->offset = s->place.offset;
	}
}

static void
on_cursor(void *arg)
{
	struct spool *sp = arg;
	struct checkpoint *cp = &sp->checkpoint;
	bool is_final = cp->is_final;

	CRASHPOINT("cursor-committed");
	log_drop_before(&sp->log, cp->cursor.number);
	segments_note(&sp->segs, cp->cursor.number, cp->cursor.next_number, cp->cursor.next_batch);
	cp->target = 0;
	sp->stats.checkpoints++;
	sp->conf.on_intake(sp->conf.intake_arg);
	if (is_final && cp->done != NULL) {
		cp->is_final = false;
		cp->done(cp->done_arg);
	}
}

/* The rows are durable: the cursor may go to the first message with recipients that have none. */
static void
on_rows(void *arg)
{
	struct spool *sp = arg;
	struct checkpoint *cp = &sp->checkpoint;
	const struct slot *live = log_first_live(&sp->log);
	uint64_t number = cp->target;

	if (live != NULL && live->number < number)
		number = live->number;
	if (number <= cp->cursor.number && !cp->is_final) {
		cp->target = 0;
		return;
	}
	if (number > cp->cursor.number)
		cp->cursor.number = number;
	find_position(sp, cp->cursor.number, &cp->cursor, &sp->log_bytes);
	/* Nothing is written any more: the next start need not even look at the rest of the last segment. */
	if (cp->is_final && live == NULL)
		cp->cursor.segment = 0;
	cp->cursor.next_number = commit_next_number(sp->commit);
	cp->cursor.next_batch = commit_next_batch(sp->commit);
	for (uint32_t i = 0; i < SPOOL_SLOTS; i++)
		if (sp->floors[i] != 0)
			store_set_floor(sp->store, (uint16_t)i, sp->floors[i]);
	store_set_cursor(sp->store, &cp->cursor, on_cursor, sp);
	store_flush(sp->store);
}

static void
begin(struct spool *sp)
{
	struct checkpoint *cp = &sp->checkpoint;
	uint64_t next = commit_next_number(sp->commit);

	cp->target = cp->is_final ? next : cp->mark;
	cp->mark = next;
	cp->last_ms = clock_mono_ms();
	cp->bytes_then = sp->bytes_written;
	sp->conf.ops->give_rows(sp->conf.ops_arg, cp->target);
	admit_give_rows(sp, cp->target);
	store_when_durable(sp->store, on_rows, sp);
}

/* --- when ------------------------------------------------------------------------------------ */

static bool
is_due(const struct spool *sp)
{
	const struct checkpoint *cp = &sp->checkpoint;

	if (cp->target != 0 || sp->log.count == 0)
		return false;
	if (sp->bytes_written - cp->bytes_then >= sp->window_bytes / 2)
		return true;
	/* A start with much log, or with many segments after many crashes; messages that stay pending. */
	if (clock_mono_ms() < cp->last_ms + CHECKPOINT_TICK_MS)
		return false;
	if (sp->log_bytes >= sp->window_bytes / 2 || cp->segments > WINDOW_SEGMENTS)
		return true;
	return clock_mono_ms() >= cp->last_ms + CHECKPOINT_MS;
}

void
checkpoint_poke(struct spool *sp)
{
	if (sp->is_started && is_due(sp))
		begin(sp);
}

static uint32_t
count_segments(struct spool *sp)
{
	uint32_t n = 0;

	pthread_mutex_lock(&sp->segs.lock);
	LIST_EACH(it, &sp->segs.all) {
		const struct segment *seg = LIST_ENTRY(it, struct segment, node);

		n += seg->kind == SEGMENT_HOT &&
		     (seg->state == SEGMENT_OPEN || seg->state == SEGMENT_FULL) &&
		     !checkpoint_is_behind(sp, seg);
	}
	pthread_mutex_unlock(&sp->segs.lock);
	return n;
}

static void
on_timer(void *arg)
{
	struct spool *sp = arg;

	sp->checkpoint.segments = count_segments(sp);
	checkpoint_poke(sp);
	timer_start(&sp->checkpoint.timer, CHECKPOINT_TICK_MS);
}

void
checkpoint_init(struct spool *sp, const struct store_cursor *c)
{
	struct checkpoint *cp = &sp->checkpoint;

	*cp = (struct checkpoint){ .cursor = *c, .last_ms = clock_mono_ms() };
	timer_init(&cp->timer, sp->conf.timers, on_timer, sp);
}

void
checkpoint_start(struct spool *sp)
{
	sp->checkpoint.mark = commit_next_number(sp->commit);
	timer_start(&sp->checkpoint.timer, CHECKPOINT_TICK_MS);
}

static void
on_final_wait(void *arg)
{
	struct spool *sp = arg;

	checkpoint_final(sp, sp->checkpoint.done, sp->checkpoint.done_arg);
}

void
checkpoint_final(struct spool *sp, void (*done)(void *arg), void *arg)
{
	struct checkpoint *cp = &sp->checkpoint;

	cp->done = done;
	cp->done_arg = arg;
	/* One that runs is waited for. */
	if (cp->target != 0) {
		store_when_durable(sp->store, on_final_wait, sp);
		store_flush(sp->store);
		return;
	}
	cp->is_final = true;
	begin(sp);
	store_flush(sp->store);
}

/* --- looking --------------------------------------------------------------------------------- */

bool
checkpoint_is_behind(struct spool *sp, const struct segment *seg)
{
	const struct store_cursor *c = &sp->checkpoint.cursor;
	const struct segment *at;

	if (seg->state != SEGMENT_FULL && seg->state != SEGMENT_BAD)
		return false;
	if (seg->kind == SEGMENT_COLD)
		return true;
	/* While the cursor moves, its new place is not yet the one that a start would use. */
	if (sp->checkpoint.target != 0)
		return false;
	if (c->segment == 0)
		return seg->first_batch < c->next_batch;
	at = segments_find(&sp->segs, c->segment);
	return at != NULL && seg->first_batch < at->first_batch;
}
