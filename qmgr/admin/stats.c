/* SPDX-License-Identifier: ISC
 *
 * Counters and gauges of qmgr as one JSON object, for control. Decides nothing. Run on the loop. */

/* this program */
#include "qmgr/sched/sched_int.h"

static void
put_number(struct buf *b, const char *key, uint64_t v)
{
	if (b->p[b->n - 1] != '{')
		buf_putc(b, ',');
	buf_printf(b, "\"%s\":%llu", key, (unsigned long long)v);
}

static void
put_object(struct buf *b, const char *key)
{
	if (b->p[b->n - 1] != '{')
		buf_putc(b, ',');
	buf_printf(b, "\"%s\":{", key);
}

/* Messages after the cursor without a row, and those with one, are the whole queue. */
static void
put_queue(struct buf *b, const struct sched *s, const struct spool_stats *sp)
{
	struct store_counts c;
	uint64_t rows;

	store_get_counts(s->store, &c);
	rows = c.rows[ROW_READY] + c.rows[ROW_HELD] + c.rows[ROW_CORRUPT] + c.rows[ROW_UNKNOWN];
	put_object(b, "queue");
	put_number(b, "messages", c.messages + sp->rowless_messages);
	put_number(b, "recipients", rows + sp->pending_rcpts);
	put_number(b, "deferred", c.deferred);
	put_number(b, "held", c.rows[ROW_HELD]);
	put_number(b, "corrupt", c.rows[ROW_CORRUPT]);
	put_number(b, "unknown", c.rows[ROW_UNKNOWN]);
	put_number(b, "bytes", c.bytes + sp->rowless_bytes);
	put_number(b, "reports", c.bounces);
	buf_putc(b, '}');
}

static void
put_spool(struct buf *b, const struct spool_stats *sp)
{
	put_object(b, "spool");
	put_number(b, "messages", sp->messages);
	put_number(b, "bytes", sp->bytes);
	put_number(b, "batches", sp->batches);
	put_number(b, "syncs", sp->syncs);
	put_number(b, "batch_max", sp->batch_max);
	put_number(b, "refused", sp->refused);
	put_number(b, "segments", sp->segments);
	put_number(b, "segments_empty", sp->segments_empty);
	put_number(b, "log_bytes", sp->log_bytes);
	put_number(b, "cold_bytes", sp->cold_bytes);
	put_number(b, "live_bytes", sp->live_bytes);
	put_number(b, "big_files", sp->big_files);
	put_number(b, "big_bytes", sp->big_bytes);
	put_number(b, "checkpoints", sp->checkpoints);
	put_number(b, "compacted_bytes", sp->compacted_bytes);
	put_number(b, "retired", sp->retired);
	put_number(b, "damaged", sp->damaged);
	put_number(b, "duplicates", sp->duplicates);
	put_number(b, "transactions", sp->transactions);
	put_number(b, "ops", sp->ops);
	put_number(b, "free_bytes", sp->free_bytes);
	put_number(b, "intake_open", sp->intake_code == 0);
	buf_putc(b, '}');
}

static void
put_events(struct buf *b, const struct events_stats *e)
{
	put_object(b, "events");
	put_number(b, "written", e->written);
	put_number(b, "lost", e->lost);
	put_number(b, "dropped", e->dropped);
	put_number(b, "unread", e->unread);
	put_number(b, "bytes", e->bytes);
	put_number(b, "files", e->files);
	buf_putc(b, '}');
}

static void
put_delivery(struct buf *b, const struct sched *s)
{
	put_object(b, "delivery");
	put_number(b, "delivered", s->stats.delivered);
	put_number(b, "deferred", s->stats.deferred);
	put_number(b, "bounced", s->stats.bounced);
	put_number(b, "expired", s->stats.expired);
	put_number(b, "discarded", s->stats.discarded);
	put_number(b, "expanded", s->stats.expanded);
	put_number(b, "jobs", s->stats.jobs);
	put_number(b, "sessions_opened", s->stats.sessions_opened);
	put_number(b, "sessions_failed", s->stats.sessions_failed);
	put_number(b, "suspensions", s->stats.lanes_suspended);
	put_number(b, "reports", s->stats.reports);
	put_number(b, "double_bounces", s->stats.double_bounces);
	put_number(b, "crashes", s->stats.crashes);
	put_number(b, "sessions",
		   s->pools[POOL_REMOTE].session_count + s->pools[POOL_MAILBOX].session_count);
	put_number(b, "lanes", s->lanes.count);
	put_number(b, "in_memory", s->entries.count);
	put_number(b, "asked", s->ask_count);
	buf_putc(b, '}');
}

void
stats_answer(struct sched *s, struct chan *c, uint32_t req)
{
	struct spool_stats sp;
	struct buf b;

	spool_get_stats(s->spool, &sp);
	buf_init(&b, 65536);
	buf_putc(&b, '{');
	put_queue(&b, s, &sp);
	put_spool(&b, &sp);
	if (store_wants_events(s->store))
		put_events(&b, &sp.events);
	put_delivery(&b, s);
	buf_putc(&b, '}');
	chan_send(c, MSG_STATS, &(struct msg_stats){ .req = req, .json = buf_span(&b) });
	buf_clear(&b);
}
