/* SPDX-License-Identifier: ISC
 *
 * A site that does not work: it is suspended with a growing pause and then tried with one connection. Its recipients are
 * rows meanwhile, so a dead site costs disk, not memory, and holds up nobody. A failed connection is an attempt of all
 * of them: a sweep expires those whose time is up. The life of a lane is lane.c's. Run by qmgr on its loop. */

/* System */
#include <string.h>

/* this program */
#include "qmgr/sched/sched_int.h"

enum {
	LOGGED_DEFERRALS = 200, /* messages with a line each when a site fails; beyond: rows only */
	MORE_PAUSE_MS =
		30000, /* no further connection after the site refused one while others stand */
	SWEEP_ROWS = 200
};

bool
lane_is_suspended(const struct lane *l)
{
	uint64_t now = clock_wall_ms();

	/* A clock that was set back does not suspend anything for longer than was meant. */
	return l->not_before_ms > now && l->not_before_ms - now <= 2 * sched_conf(l->s)->retry.max;
}

void
lane_defer_ready(struct lane *l, bool is_attempt, uint64_t due_ms)
{
	struct sched *s = l->s;
	struct entry *e;

	while (lane_ready(l) > 0 && s->reading < LOGGED_DEFERRALS)
		job_defer_first(l, is_attempt, due_ms);
	while ((e = lane_pop(l)) != NULL) {
		lane_ref(l);
		lane_entry_to_row(l, e, true, due_ms);
		lane_unref(l);
	}
}

static uint64_t
expired_before(const struct sched *s, bool is_null_sender, uint64_t now_ms)
{
	const struct conf *conf = sched_conf(s);
	uint64_t life = is_null_sender ? conf->retry.bounce_expire : conf->retry.expire;

	return now_ms > life ? now_ms - life : 0;
}

/* --- the sweep after a failed connection: it was an attempt of all that are due ------------------ */

struct sweep {
	struct lane *lane;
	bool is_null_sender, is_warning;
	uint64_t begun_ms;
	struct row after; /* the last one; zeros: none yet */
};

static void sweep_next(struct sweep *w);

static void
sweep_row(struct sweep *w, struct settle *t, const struct row *row)
{
	struct lane *l = w->lane;
	struct facts f;

	w->after = (struct row){ .arrival_ms = row->arrival_ms,
				 .number = row->number,
				 .index = row->index };
	if (w->is_warning && row->flags & ROW_WARNED) {
		store_unload(l->s->store, row->number, row->index);
		return;
	}
	facts_of_row(row, &f);
	outcome_apply(t, &f,
		      &(struct attempt){ .status = OUTCOME_DEFERRED,
					 .reply = l->reply,
					 .esc = span_of(l->esc),
					 .text = span_of(l->text),
					 .relay = span_of(l->relay),
					 .begun_ms = w->begun_ms,
					 .transport = (int)l->transport,
					 .due_ms = w->is_warning ? row->due_ms : l->not_before_ms,
					 .lane = span_of(l->name) });
}

static void
swept(void *arg, const struct row *rows, uint32_t count)
{
	struct sweep *w = arg;
	struct settle *t = settle_new(w->lane->s);

	for (uint32_t i = 0; i < count; i++)
		sweep_row(w, t, &rows[i]);
	settle_commit(t);
	if (count == SWEEP_ROWS) {
		sweep_next(w);
		return;
	}
	/* Expired ones with and without sender, then those whose sender is to be warned. */
	memset(&w->after, 0, sizeof(w->after));
	if (!w->is_null_sender && !w->is_warning) {
		w->is_null_sender = true;
		sweep_next(w);
	} else if (!w->is_warning && sched_conf(w->lane->s)->retry.warn_after > 0) {
		w->is_null_sender = false;
		w->is_warning = true;
		sweep_next(w);
	} else {
		w->lane->is_sweeping = false;
		lane_check_idle(w->lane);
		mem_free(w);
	}
}

static void
sweep_next(struct sweep *w)
{
	struct sched *s = w->lane->s;
	uint64_t born = expired_before(s, w->is_null_sender, w->begun_ms);

	if (w->is_warning)
		born = w->begun_ms > sched_conf(s)->retry.warn_after
			       ? w->begun_ms - sched_conf(s)->retry.warn_after
			       : 0;
	/* What expired is gone from the selection; what was warned before stays in it. */
	store_expired_rows(s->store, span_of(w->lane->name), w->is_null_sender, clock_wall_ms(),
			   born, w->is_warning ? &w->after : NULL, SWEEP_ROWS, swept, w);
}

static void
sweep_start(struct lane *l, uint64_t begun_ms)
{
	struct sweep *w;

	if (l->is_sweeping)
		return;
	w = mem_zalloc(sizeof(*w));
	w->lane = l;
	w->begun_ms = begun_ms;
	l->is_sweeping = true;
	sweep_next(w);
}

static void
log_suspended(const struct lane *l, uint64_t pause_ms, uint32_t ready)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, "suspended");
	log_kvs(&ev, "site", l->site);
	log_kvs(&ev, "relay", l->relay);
	log_kv_u64(&ev, "reply", l->reply);
	log_kvs(&ev, "esc", l->esc);
	log_kvs(&ev, "text", l->text);
	log_kv_u64(&ev, "failures", l->failures);
	log_kv_u64(&ev, "pause_ms", pause_ms);
	log_kv_u64(&ev, "recipients", ready);
	log_end(&ev);
}

void
lane_failed(struct lane *l, uint16_t reply, struct span esc, struct span text, struct span relay,
	    uint64_t begun_ms)
{
	const struct conf *conf = sched_conf(l->s);
	struct store_lane record;
	uint64_t pause_ms;

	l->s->stats.sessions_failed++;
	if (l->session_count > l->opening_count) {
		/* Others stand: it takes no more than these for a while. */
		l->max_sessions = l->session_count - l->opening_count;
		l->no_more_until_ms = clock_mono_ms() + MORE_PAUSE_MS;
		return;
	}
	l->failures++;
	l->is_proven = false;
	l->reply = reply;
	lane_set_text(&l->esc, esc);
	lane_set_text(&l->text, text);
	lane_set_text(&l->relay, relay);
	pause_ms = sched_jitter(outcome_retry_ms(conf, l->failures), (unsigned)conf->retry.jitter);
	l->not_before_ms = clock_wall_ms() + pause_ms;
	record = lane_record(l);
	store_lane_rest(l->s->store, &record, l->not_before_ms, true);
	l->s->stats.lanes_suspended++;
	log_suspended(l, pause_ms, lane_ready(l));
	lane_ref(l);
	lane_defer_ready(l, true, l->not_before_ms);
	sweep_start(l, begun_ms);
	lane_unref(l);
	lane_kick(l);
}

void
lane_worked(struct lane *l)
{
	struct store_lane record;

	l->is_proven = true;
	if (l->failures > 0 || l->not_before_ms > 0) {
		l->failures = 0;
		l->not_before_ms = 0;
		l->reply = 0;
		lane_set_text(&l->esc, SPAN_NONE);
		lane_set_text(&l->text, SPAN_NONE);
		lane_set_text(&l->relay, SPAN_NONE);
		record = lane_record(l);
		store_lane_rest(l->s->store, &record, 0, true);
	}
	lane_kick(l);
}

void
lane_lift(struct sched *s, struct span name)
{
	struct lane *l;

	if (name.n == 0 || name.p[0] == WAITER_NAME_ANY[0]) {
		sched_due_at(s, clock_wall_ms());
		return;
	}
	l = lane_get(s, name);
	l->not_before_ms = 0;
	l->is_lifted = l->is_opening;
	l->no_more_until_ms = 0;
	l->next_row_ms = 0;
	lane_kick(l);
	lane_check_idle(l);
}
