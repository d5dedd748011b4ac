/* SPDX-License-Identifier: ISC
 *
 * When a message is finished: no recipient without its fate, nothing to report. Then the log says `removed`, once. The
 * store removes it by itself. Run by qmgr on its loop. */

/* this program */
#include "qmgr/sched/sched_int.h"

struct check {
	struct sched *s;
	uint64_t qid;
};

static void
removed(struct sched *s, uint64_t number, uint64_t qid)
{
	struct log_event ev;

	for (unsigned i = 0; i < FINISHED_RING; i++)
		if (s->finished_ring[i] == number)
			return;
	s->finished_ring[s->finished_at++ % FINISHED_RING] = number;
	log_begin(&ev, LOG_INFO_, "removed");
	log_kv_qid(&ev, "qid", qid);
	log_end(&ev);
}

static void
rows_known(void *arg, uint64_t number, const struct row *rows, uint32_t count)
{
	struct check *c = arg;
	struct spool_slot slot;
	bool is_live = reports_has(c->s->reports, number);

	for (uint32_t i = 0; i < count; i++)
		is_live |= rows[i].state != ROW_DONE;
	if (spool_find_number(c->s->spool, number, &slot) == 0 && slot.pending > 0)
		is_live = true;
	if (!is_live)
		removed(c->s, number, c->qid);
	mem_free(c);
}

void
finish_check(struct sched *s, uint64_t number, uint64_t qid, bool is_certain)
{
	struct spool_slot slot;
	struct check *c;

	if (is_certain) {
		removed(s, number, qid);
		return;
	}
	if (spool_find_number(s->spool, number, &slot) == 0 && slot.pending > 0)
		return;
	if (reports_has(s->reports, number))
		return;
	c = mem_zalloc(sizeof(*c));
	c->s = s;
	c->qid = qid;
	store_get_rows(s->store, number, rows_known, c);
}
