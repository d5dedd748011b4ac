/* SPDX-License-Identifier: ISC
 *
 * When a report is due: one for each message, when no other of its recipients is about to get its fate, or after a
 * while. What is to be reported stands in queue.db, so nothing is lost by a crash: here are only the numbers of the
 * messages. What a report says is dsn.c's. Run by qmgr on its loop. */

/* this program */
#include "qmgr/sched/report.h"

enum {
	REPORTS_MAX =
		20000, /* messages known here; the others stay in queue.db until there is room */
	AT_A_TIME = 8,
	PAGE = 500,
	POLL_MS = 60000,
	WAIT_MS = 60000, /* for recipients in flight, doubled with each report of the message */
	ROWS_MAX = 1000, /* more are not looked at one by one */
	AGAIN_MS = 5000
};

struct report {
	struct reports *r;
	uint64_t number, qid;
	bool is_asking, is_changed, is_due;
	struct dsn_job *job;
	struct store_report found; /* numbers only: what the store said last */
	struct list due_link;
	struct timer timer;
};

struct reports {
	struct sched *s;
	struct map64 all; /* number -> struct report */
	struct list due;
	uint32_t building;
	uint64_t polled_number;
	struct timer poll_timer;
};

static void report_look(struct report *p);
static void run_due(struct reports *r);

/* --- life ------------------------------------------------------------------------------------ */

static void
report_wake(void *arg)
{
	report_look(arg);
}

static void
report_free(struct report *p)
{
	timer_stop(&p->timer);
	list_remove(&p->due_link);
	map64_del(&p->r->all, p->number);
	mem_free(p);
}

void
reports_add(struct reports *r, uint64_t number)
{
	struct report *p = map64_get(&r->all, number);

	if (p == NULL && r->all.count >= REPORTS_MAX)
		return;
	if (p == NULL) {
		p = mem_zalloc(sizeof(*p));
		p->r = r;
		p->number = number;
		list_init(&p->due_link);
		timer_init(&p->timer, r->s->q->timers, report_wake, p);
		map64_put(&r->all, number, p);
	}
	report_look(p);
}

bool
reports_has(const struct reports *r, uint64_t number)
{
	return map64_get(&r->all, number) != NULL;
}

void
reports_changed(struct reports *r, uint64_t number)
{
	struct report *p = r->all.count > 0 ? map64_get(&r->all, number) : NULL;

	if (p != NULL)
		report_look(p);
}

/* --- is it due? ------------------------------------------------------------------------------ */

static void
report_is_due(struct report *p)
{
	timer_stop(&p->timer);
	p->is_due = true;
	list_remove(&p->due_link);
	list_push_back(&p->r->due, &p->due_link);
	run_due(p->r);
}

static void
report_waits(struct report *p)
{
	uint64_t now = clock_wall_ms(),
		 due = p->found.first_ms +
		       ((uint64_t)WAIT_MS << (p->found.part < 6 ? p->found.part : 6));

	/* A clock that was set back makes nobody wait for longer than was meant. */
	if (due <= now || due - now > (uint64_t)WAIT_MS << 6)
		report_is_due(p);
	else
		timer_start(&p->timer, due - now);
}

/* All others were tried and wait for their next attempt, or are held: nothing more is to be known soon. */
static void
rows_known(void *arg, uint64_t number, const struct row *rows, uint32_t count)
{
	struct report *p = arg;
	bool is_quiet = true;

	(void)number;
	p->is_asking = false;
	for (uint32_t i = 0; i < count; i++)
		is_quiet &= rows[i].state != ROW_READY || rows[i].attempts > 0;
	if (p->is_changed)
		report_look(p);
	else if (is_quiet)
		report_is_due(p);
	else
		report_waits(p);
}

/* The message may be finished with its last report. */
static void
report_ends(struct report *p)
{
	struct sched *s = p->r->s;
	uint64_t number = p->number, qid = p->qid;

	report_free(p);
	finish_check(s, number, qid, false);
}

static void
report_known(void *arg, const struct store_report *found)
{
	struct report *p = arg;
	struct spool_slot slot;
	uint32_t pending = 0;

	p->is_asking = false;
	if (found == NULL || found->count == 0) {
		report_ends(p);
		return;
	}
	p->qid = found->qid;
	p->found = *found;
	p->found.bounces = NULL;
	p->found.sender = SPAN_NONE;
	if (spool_find_number(p->r->s->spool, p->number, &slot) == 0)
		pending = slot.pending;
	if (p->is_changed) {
		report_look(p);
	} else if (found->left == 0 && pending == 0) {
		report_is_due(p);
	} else if (pending > 0 || found->left > ROWS_MAX) {
		report_waits(p);
	} else {
		p->is_asking = true;
		store_get_rows(p->r->s->store, p->number, rows_known, p);
	}
}

static void
report_look(struct report *p)
{
	/* A report that is being made ends with another look. */
	if (p->is_due)
		return;
	p->is_changed = p->is_asking;
	if (p->is_asking)
		return;
	p->is_asking = true;
	store_get_report(p->r->s->store, p->number, report_known, p);
}

/* --- making it ------------------------------------------------------------------------------- */

static void
reported(void *arg)
{
	struct report *p = arg;

	p->is_due = false;
	report_look(p);
}

static void
report_made(void *arg, struct dsn_job *j, int err)
{
	struct report *p = arg;
	struct reports *r = p->r;
	uint64_t last_id = j->last_id;

	dsn_free(&p->job);
	r->building--;
	if (err < 0) {
		p->is_due = false;
		timer_start(&p->timer, AGAIN_MS);
	} else {
		store_reported(r->s->store, p->number, last_id);
		store_when_durable(r->s->store, reported, p);
	}
	run_due(r);
}

static void
report_take(void *arg, const struct store_report *found)
{
	struct report *p = arg;
	struct reports *r = p->r;

	if (found == NULL || found->count == 0) {
		r->building--;
		report_ends(p);
		run_due(r);
		return;
	}
	dsn_start(r->s, found, report_made, p, &p->job);
}

static void
run_due(struct reports *r)
{
	while (r->building < AT_A_TIME && !list_is_empty(&r->due) && !r->s->is_stopping) {
		struct report *p = LIST_ENTRY(r->due.next, struct report, due_link);

		list_remove(&p->due_link);
		r->building++;
		store_get_report(r->s->store, p->number, report_take, p);
	}
}

/* --- start and end --------------------------------------------------------------------------- */

static void
numbers_known(void *arg, const uint64_t *numbers, uint32_t count)
{
	struct reports *r = arg;

	for (uint32_t i = 0; i < count; i++) {
		if (!reports_has(r, numbers[i]))
			reports_add(r, numbers[i]);
		r->polled_number = numbers[i];
	}
	if (count == PAGE && r->all.count < REPORTS_MAX)
		store_bounce_messages(r->s->store, r->polled_number, PAGE, numbers_known, r);
	else
		timer_start(&r->poll_timer, POLL_MS);
}

static void
poll_numbers(void *arg)
{
	struct reports *r = arg;

	r->polled_number = 0;
	store_bounce_messages(r->s->store, 0, PAGE, numbers_known, r);
}

struct reports *
reports_new(struct sched *s)
{
	struct reports *r = mem_zalloc(sizeof(*r));

	r->s = s;
	map64_init(&r->all);
	list_init(&r->due);
	timer_init(&r->poll_timer, s->q->timers, poll_numbers, r);
	return r;
}

void
reports_start(struct reports *r)
{
	poll_numbers(r);
}

void
reports_free(struct reports **rp)
{
	struct reports *r = *rp;
	uint64_t number;
	void *value;

	*rp = NULL;
	if (r == NULL)
		return;
	timer_stop(&r->poll_timer);
	for (size_t it = 0; map64_next(&r->all, &it, &number, &value);) {
		struct report *p = value;

		timer_stop(&p->timer);
		dsn_free(&p->job);
		mem_free(p);
	}
	map64_clear(&r->all);
	mem_free(r);
}
