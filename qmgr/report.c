/* SPDX-License-Identifier: ISC
 *
 * When a report goes to the sender: one for each message, as soon as every recipient has its final fate, or REPORT_WAIT_MS
 * after the first that has. What it says is lib/mail/dsn.c's. The report is a message like any other (null sender, dedupe
 * key of message number and part); its bounce rows go after it is stored, so a crash between the two makes no second one.
 * A message with the null sender causes no report: what failed goes to the postmaster if one is configured, else it is
 * one line of the log.                                                        RFC 3461 6, RFC 5321 6.1
 *
 *	bounce rows durable -> waiting (due) -> rows read -> original read -> stored -> rows gone
 */

/* System */
#include <stdio.h>
#include <string.h>
/* lib */
#include "base/id.h"
#include "mail/dsn.h"
/* this program */
#include "qmgr/sched_int.h"

enum {
	REPORT_WAIT_MS = 30000,         /* for the fate of the other recipients */
	RUNNING_MAX = 16,
	START_PAGE = 500,
	ORIGINAL_MAX = 65536,           /* of a message that is not at hand whole: enough for its header */
	REPORT_MAX = 1024 * 1024
};

/* A message with something to report. */
struct report {
	struct reports *all;
	struct list link;               /* in waiting, by due time only roughly; or running */
	uint64_t number;
	uint64_t due_ms;                /* monotonic */
	bool is_running;
	bool is_changed;                /* while it ran: look again */
	struct reading reading;
	/* While it runs: */
	struct arena arena;
	struct store_report data;       /* copies */
	struct span to;
	struct buf original;
	uint64_t original_len;
	struct envelope env;
};

struct reports {
	struct sched *s;
	struct map64 by_number;
	struct list waiting;
	uint32_t running;
	uint64_t start_after;
	struct timer timer;
};

static void run_due(void *arg);

struct reports *
reports_new(struct sched *s)
{
	struct reports *r = mem_zalloc(sizeof(*r));

	r->s = s;
	map64_init(&r->by_number);
	list_init(&r->waiting);
	timer_init(&r->timer, s->q->timers, run_due, r);
	return r;
}

static void
report_free(struct report *p)
{
	reading_end(&p->reading);
	list_remove(&p->link);
	(void)map64_del(&p->all->by_number, p->number);
	arena_clear(&p->arena);
	buf_clear(&p->original);
	mem_free(p);
}

void
reports_free(struct reports **r)
{
	uint64_t number;
	void *v;

	if (*r == NULL)
		return;
	timer_stop(&(*r)->timer);
	for (size_t it = 0; map64_next(&(*r)->by_number, &it, &number, &v);)
		report_free(v);
	map64_clear(&(*r)->by_number);
	mem_free(*r);
	*r = NULL;
}

/* --- when ------------------------------------------------------------------------------------ */

static void
wait_until(struct report *p, uint64_t delay_ms)
{
	struct reports *r = p->all;

	p->due_ms = clock_mono_ms() + delay_ms;
	list_remove(&p->link);
	list_push_back(&r->waiting, &p->link);
	/* An earlier wake-up finds nothing due and looks when to come again. */
	timer_start(&r->timer, 0);
}

void
reports_add(struct reports *r, uint64_t number)
{
	struct report *p = map64_get(&r->by_number, number);

	if (p != NULL) {
		reports_changed(r, number);
		return;
	}
	p = mem_zalloc(sizeof(*p));
	p->all = r;
	p->number = number;
	list_init(&p->link);
	arena_init(&p->arena, 4096);
	buf_init(&p->original, REPORT_MAX);
	map64_put(&r->by_number, number, p);
	wait_until(p, 0);
}

bool
reports_has(const struct reports *r, uint64_t number)
{
	return map64_get(&r->by_number, number) != NULL;
}

void
reports_changed(struct reports *r, uint64_t number)
{
	struct report *p = map64_get(&r->by_number, number);

	if (p == NULL)
		return;
	if (p->is_running)
		p->is_changed = true;
	else
		wait_until(p, 0);
}

static void
on_start_page(void *arg, const uint64_t *numbers, uint32_t count)
{
	struct reports *r = arg;

	for (uint32_t i = 0; i < count; i++) {
		r->start_after = numbers[i];
		if (!reports_has(r, numbers[i]))
			reports_add(r, numbers[i]);
	}
	if (count == START_PAGE)
		store_bounce_messages(r->s->store, r->start_after, START_PAGE, on_start_page, r);
}

void
reports_start(struct reports *r)
{
	store_bounce_messages(r->s->store, 0, START_PAGE, on_start_page, r);
}

/* --- the end --------------------------------------------------------------------------------- */

static void
run_end(struct report *p, bool is_reported)
{
	struct reports *r = p->all;

	r->running--;
	p->is_running = false;
	reading_end(&p->reading);
	arena_clear(&p->arena);
	buf_clear(&p->original);
	if (is_reported && !p->is_changed)
		report_free(p);
	else
		wait_until(p, is_reported ? 0 : REPORT_WAIT_MS);
	timer_start(&r->timer, 0);
}

static void
on_stored(void *arg, int err, uint64_t qid)
{
	struct report *p = arg;
	struct log_event ev;

	if (err < 0) {
		log_warn("a report cannot be stored: %s; tried again", err_info(err)->text);
		run_end(p, false);
		return;
	}
	log_begin(&ev, LOG_INFO_, "report");
	log_kv_qid(&ev, "qid", p->data.qid);
	log_kv_qid(&ev, "report", qid);
	log_kv(&ev, "to", p->to);
	log_end(&ev);
	p->all->s->stats.reports++;
	store_reported(p->all->s->store, p->number, p->data.last_id);
	run_end(p, true);
}

/* --- building -------------------------------------------------------------------------------- */

static enum dsn_action
action_of(enum bounce_kind kind)
{
	switch (kind) {
	case BOUNCE_FAILED:
	case BOUNCE_EXPIRED:
	case BOUNCE_KIND_COUNT:
		break;
	case BOUNCE_DELAYED:
		return DSN_DELAYED;
	case BOUNCE_DELIVERED:
		return DSN_DELIVERED;
	case BOUNCE_RELAYED:
		return DSN_RELAYED;
	case BOUNCE_EXPANDED:
		return DSN_EXPANDED;
	}
	return DSN_FAILED;
}

static struct dsn_rcpt *
dsn_rcpts(struct report *p, bool *has_failure_out)
{
	struct dsn_rcpt *all = arena_alloc(&p->arena, p->data.count * sizeof(*all));

	*has_failure_out = false;
	for (uint32_t i = 0; i < p->data.count; i++) {
		const struct bounce *b = &p->data.bounces[i];
		all[i] = (struct dsn_rcpt){ .action = action_of(b->kind), .addr = b->address, .orig = b->orig,
			.orcpt = b->orcpt, .esc = b->esc, .reply = b->reply, .text = b->text, .relay = b->relay,
			.is_expired = b->kind == BOUNCE_EXPIRED, .attempt_us = b->at_ms * 1000,
			.retry_until_us = b->until_ms * 1000 };
		*has_failure_out |= all[i].action == DSN_FAILED;
	}
	return all;
}

/* The report's own envelope. The dedupe key makes storing it again after a crash harmless. */
static void
put_envelope(struct report *p, bool needs_utf8, bool needs_8bit, struct buf *out)
{
	struct env_rcpt rcpt = { .index = 0, .notify = ENV_NOTIFY_NEVER, .addr = p->to };
	struct envelope e;

	envelope_init(&e);
	e.is_smtputf8 = needs_utf8;
	e.body = needs_8bit ? ENV_BODY_8BITMIME : ENV_BODY_7BIT;
	e.dedupe_name = SPAN("report");
	e.dedupe_key = span_of(arena_printf(&p->arena, "%llu.%u", (unsigned long long)p->number, p->data.part));
	e.rcpts = &rcpt;
	e.rcpt_count = 1;
	envelope_encode(out, &e);
}

static void
store_it(struct report *p)
{
	struct sched *s = p->all->s;
	struct buf content, envelope;
	bool needs_utf8, needs_8bit, has_failure;
	struct dsn_rcpt *rcpts = dsn_rcpts(p, &has_failure);
	char id[64], qid[ID_TEXT_LEN + 1];
	int r;

	id_format(p->data.qid, qid);
	snprintf(id, sizeof(id), "%s.%u", qid, p->data.part);
	struct dsn_report report = { .hostname = span_of(s->q->svc->conf->hostname), .id = span_of(id),
		.date_us = clock_wall_us(), .to = p->to, .sender = p->data.sender, .envid = p->env.envid,
		.arrival_us = p->data.arrival_ms * 1000, .is_utf8 = p->env.is_smtputf8, .rcpts = rcpts,
		.rcpt_count = p->data.count, .original = buf_span(&p->original), .original_len = p->original_len,
		.want_full = has_failure && p->env.ret != ENV_RET_HDRS, .max_bytes = s->q->svc->conf->limits.bounce_size };

	buf_init(&content, REPORT_MAX);
	buf_init(&envelope, 8192);
	if ((r = dsn_build(&report, &content, &needs_utf8, &needs_8bit)) < 0) {
		/* Too many recipients to go with the original: without it. */
		buf_clear(&content);
		report.original = SPAN_NONE;
		report.original_len = 0;
		r = dsn_build(&report, &content, &needs_utf8, &needs_8bit);
	}
	if (r == 0) {
		put_envelope(p, needs_utf8, needs_8bit, &envelope);
		spool_submit(s->spool, &(struct spool_submission){ .rcpt_count = 1, .envelope = buf_span(&envelope),
			.content = buf_span(&content), .content_flags = needs_8bit ? CONTENT_8BIT : 0 }, on_stored, p);
	} else {
		log_warn("a report to %.*s is too long: dropped", SPAN_ARG(p->to));
		store_reported(s->store, p->number, p->data.last_id);
		run_end(p, true);
	}
	buf_clear(&content);
	buf_clear(&envelope);
}

/* --- the original ---------------------------------------------------------------------------- */

static void
on_front(void *arg, struct spool_reader *r, int err, struct span data)
{
	struct report *p = arg;

	(void)r;
	if (err == 0)
		buf_put_span(&p->original, data);
	store_it(p);
}

static void
on_original(void *arg, int err, const struct spool_msg *msg)
{
	struct report *p = arg;

	envelope_init(&p->env);
	if (err < 0) {          /* damaged: the report tells what is known */
		store_it(p);
		return;
	}
	struct envelope env;
	if (envelope_decode(msg->envelope, &p->arena, &env) == 0) {
		p->env.ret = env.ret;
		p->env.is_smtputf8 = env.is_smtputf8;
		p->env.envid = arena_dup(&p->arena, env.envid);
	}
	p->original_len = msg->trace.n + msg->content_len;
	buf_put_span(&p->original, msg->trace);
	if (msg->content.p != NULL || msg->content_len == 0) {
		buf_put_span(&p->original, msg->content);
		store_it(p);
		return;
	}
	spool_reader_next(p->reading.reader, ORIGINAL_MAX, on_front, p);
}

/* --- who gets it ----------------------------------------------------------------------------- */

static void
log_double_bounce(struct report *p)
{
	char qid[ID_TEXT_LEN + 1];

	id_format(p->data.qid, qid);
	for (uint32_t i = 0; i < p->data.count; i++)
		log_info("qid=%s: no report to the null sender for %.*s: %.*s", qid, SPAN_ARG(p->data.bounces[i].address),
			 SPAN_ARG(p->data.bounces[i].text));
}

/* Nobody: false. */
static bool
choose_recipient(struct report *p)
{
	struct sched *s = p->all->s;
	struct span postmaster = span_of(s->q->svc->conf->postmaster);
	bool has_failure = false;

	p->to = p->data.sender;
	if (p->to.n > 0)
		return true;
	for (uint32_t i = 0; i < p->data.count; i++)
		has_failure |= action_of(p->data.bounces[i].kind) == DSN_FAILED;
	if (!has_failure)
		return false;
	s->stats.double_bounces++;
	/* A report that the postmaster cannot get either ends here. */
	if (span_chr(postmaster, '@') < 0 || (p->data.count == 1 && span_ieq(p->data.bounces[0].address, postmaster))) {
		log_double_bounce(p);
		return false;
	}
	p->to = arena_dup(&p->arena, postmaster);
	return true;
}

static void
copy_report(struct report *p, const struct store_report *d)
{
	struct bounce *all = arena_alloc(&p->arena, (d->count + 1) * sizeof(*all));

	p->data = *d;
	p->data.sender = arena_dup(&p->arena, d->sender);
	p->data.bounces = all;
	for (uint32_t i = 0; i < d->count; i++) {
		all[i] = d->bounces[i];
		all[i].address = arena_dup(&p->arena, d->bounces[i].address);
		all[i].orcpt = arena_dup(&p->arena, d->bounces[i].orcpt);
		all[i].orig = arena_dup(&p->arena, d->bounces[i].orig);
		all[i].esc = arena_dup(&p->arena, d->bounces[i].esc);
		all[i].text = arena_dup(&p->arena, d->bounces[i].text);
		all[i].relay = arena_dup(&p->arena, d->bounces[i].relay);
	}
}

/* How long the other recipients are waited for; 0: not at all. */
static uint64_t
time_left(struct report *p, const struct store_report *d)
{
	struct spool_slot slot;
	uint64_t now = clock_wall_ms();
	bool is_delay = false;

	for (uint32_t i = 0; i < d->count; i++)
		is_delay |= d->bounces[i].kind == BOUNCE_DELAYED;
	if (spool_find_number(p->all->s->spool, p->number, &slot) < 0)
		slot.pending = 0;
	/* Who gets a warning is still being tried: there is nothing to wait for. */
	if ((d->left == 0 && slot.pending == 0) || is_delay || now >= d->first_ms + REPORT_WAIT_MS)
		return 0;
	uint64_t left = d->first_ms + REPORT_WAIT_MS - now;
	return left < REPORT_WAIT_MS ? left : REPORT_WAIT_MS;
}

static void
on_rows(void *arg, const struct store_report *d)
{
	struct report *p = arg;
	uint64_t wait_ms;

	if (d == NULL || d->count == 0) {
		run_end(p, true);
		return;
	}
	if ((wait_ms = time_left(p, d)) > 0) {
		p->all->running--;
		p->is_running = false;
		wait_until(p, p->is_changed ? 0 : wait_ms);
		return;
	}
	copy_report(p, d);
	if (!choose_recipient(p)) {
		store_reported(p->all->s->store, p->number, p->data.last_id);
		run_end(p, true);
		return;
	}
	reading_start(&p->reading, p->all->s->spool, p->number, &p->data.place, on_original, p);
}

static void
run_due(void *arg)
{
	struct reports *r = arg;
	uint64_t now = clock_mono_ms(), next = NEVER;

	LIST_EACH_SAFE(it, tmp, &r->waiting) {
		struct report *p = LIST_ENTRY(it, struct report, link);

		if (p->due_ms > now) {
			next = p->due_ms < next ? p->due_ms : next;
			continue;
		}
		if (r->running == RUNNING_MAX)
			return;         /* the next that ends looks again */
		list_remove(&p->link);
		p->is_running = true;
		p->is_changed = false;
		r->running++;
		store_get_report(r->s->store, p->number, on_rows, p);
	}
	if (next != NEVER)
		timer_start(&r->timer, next - now);
}
