/* SPDX-License-Identifier: ISC
 *
 * Makes the reports about one message: reads the original, lets lib/mail/dsn.c write them, stores them like any mail
 * with a dedupe key, so that a crash between this and the end of the bounce rows makes no second one. A message with
 * the null sender never causes a report to anybody but, when it was itself a report of ours, to the postmaster. When a
 * report is due, is report.c's. Run by qmgr on its loop.                         RFC 3461 6, RFC 5321 4.5.5 and 6.1 */

/* System */
#include <string.h>
/* lib */
#include "base/id.h"
#include "mail/date.h"
#include "mail/dsn.h"
/* this program */
#include "qmgr/sched/report.h"

enum {
	RCPTS_PER_REPORT = 1000, /* at most; fewer if their replies are long */
	ORIGINAL_MAX =
		600000, /* what is enclosed, whatever limits.bounce_size allows: a report is one record */
	ORIGINAL_LEAST = 16384
};

/* ENVID of a report about a report: if that fails, too, it ends. */
#define DOUBLE_BOUNCE "double-bounce"

static void dsn_next(struct dsn_job *j);

/* --- to whom --------------------------------------------------------------------------------- */

/* The postmaster's address; empty: there is none. */
static struct span
postmaster(const struct conf *conf, struct arena *a)
{
	if (conf->postmaster[0] != '\0')
		return strchr(conf->postmaster, '@') != NULL ? span_of(conf->postmaster)
							     : SPAN("postmaster");
	if (conf->domain_count == 0)
		return SPAN_NONE;
	return span_of(arena_printf(a, "postmaster@%s", conf->domain[0].title));
}

static bool
has_failure(const struct dsn_job *j)
{
	for (uint32_t i = 0; i < j->count; i++)
		if (j->bounces[i].kind == BOUNCE_FAILED || j->bounces[i].kind == BOUNCE_EXPIRED)
			return true;
	return false;
}

/* Who gets the report; empty: nobody. */
static struct span
report_to(struct dsn_job *j)
{
	if (j->sender.n > 0)
		return j->sender;
	if (j->origin != ORIGIN_REPORT || !has_failure(j) ||
	    span_eq(j->env.envid, SPAN(DOUBLE_BOUNCE)))
		return SPAN_NONE;
	return postmaster(sched_conf(j->s), &j->arena);
}

static void
log_report(const struct dsn_job *j, const char *event, struct span to, uint64_t qid, uint32_t count)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, event);
	log_kv_qid(&ev, "qid", j->qid);
	if (to.n > 0)
		log_kv(&ev, "to", to);
	if (qid != 0)
		log_kv_qid(&ev, "report", qid);
	log_kv_u64(&ev, "recipients", count);
	if (to.n == 0)
		log_kvs(&ev, "text", "null sender: nobody is told");
	log_end(&ev);
}

/* --- what it says ---------------------------------------------------------------------------- */

static void
fill_rcpt(const struct bounce *b, struct dsn_rcpt *out)
{
	static const enum dsn_action actions[BOUNCE_KIND_COUNT] = {
		[BOUNCE_FAILED] = DSN_FAILED,	[BOUNCE_EXPIRED] = DSN_FAILED,
		[BOUNCE_DELAYED] = DSN_DELAYED, [BOUNCE_DELIVERED] = DSN_DELIVERED,
		[BOUNCE_RELAYED] = DSN_RELAYED, [BOUNCE_EXPANDED] = DSN_EXPANDED,
	};

	*out = (struct dsn_rcpt){
		.action = actions[b->kind],
		.addr = b->address,
		.orig = b->orig,
		.orcpt = b->orcpt,
		.esc = b->esc,
		.reply = b->reply,
		.text = b->text,
		.relay = b->relay,
		.is_expired = b->kind == BOUNCE_EXPIRED,
		.attempt_us = b->at_ms * 1000,
		.retry_until_us = b->until_ms * 1000,
	};
}

static uint64_t
original_wanted(const struct dsn_job *j)
{
	uint64_t most = sched_conf(j->s)->limits.bounce_size;

	return most < ORIGINAL_MAX ? most : ORIGINAL_MAX;
}

/* The next report: as many recipients as fit. The same after a crash, so that its dedupe key means the same. */
static int
build(struct dsn_job *j, struct span to, struct span id, struct buf *out, bool *needs_utf8,
      bool *needs_8bit)
{
	const struct conf *conf = sched_conf(j->s);
	uint32_t left = j->count - j->at, n = left < RCPTS_PER_REPORT ? left : RCPTS_PER_REPORT;
	struct dsn_rcpt *rcpts = mem_array(n, sizeof(*rcpts));
	struct dsn_report r = { .hostname = span_of(conf->hostname),
				.id = id,
				.date_us = clock_wall_us(),
				.to = to,
				.sender = j->sender,
				.envid = j->env.envid,
				.arrival_us = j->arrival_ms * 1000,
				.is_utf8 = j->env.is_smtputf8,
				.rcpts = rcpts,
				.rcpt_count = n,
				.original = buf_span(&j->original),
				.original_len = j->original_len,
				.want_full = has_failure(j) && j->env.ret != ENV_RET_HDRS &&
					     !j->is_unreadable,
				.max_bytes = original_wanted(j) };
	int err;

	if (span_eq(r.envid, SPAN(DOUBLE_BOUNCE)))
		r.envid = SPAN_NONE;
	for (uint32_t i = 0; i < n; i++)
		fill_rcpt(&j->bounces[j->at + i], &rcpts[i]);
	while ((err = dsn_build(&r, out, needs_utf8, needs_8bit)) < 0 && r.rcpt_count > 1) {
		/* Long replies and a long original do not fit together. */
		r.want_full = false;
		r.max_bytes = ORIGINAL_LEAST;
		r.rcpt_count /= 2;
		buf_reset(out);
	}
	j->piece_rcpts = r.rcpt_count;
	mem_free(rcpts);
	return err;
}

/* --- storing --------------------------------------------------------------------------------- */

static void
dsn_stored(void *arg, int err, uint64_t qid)
{
	struct dsn_job *j = arg;
	uint32_t n = j->piece_rcpts;

	if (err < 0) {
		log_warn("a report cannot be stored now (%s); tried again", err_info(err)->text);
		j->done(j->arg, j, err);
		return;
	}
	j->s->stats.reports++;
	j->s->stats.double_bounces += j->sender.n == 0;
	log_report(j, "reported", report_to(j), qid, n);
	j->at += n;
	j->piece++;
	dsn_next(j);
}

static void
submit(struct dsn_job *j, struct span to, const struct buf *content, bool needs_utf8,
       bool needs_8bit)
{
	const struct conf *conf = sched_conf(j->s);
	struct env_rcpt rcpt = { .addr = to };
	struct envelope env;
	struct buf out, trace;
	char date[DATE_TEXT_MAX];

	envelope_init(&env);
	env.rcpts = &rcpt;
	env.rcpt_count = 1;
	env.is_smtputf8 = needs_utf8;
	env.body = needs_8bit ? ENV_BODY_8BITMIME : ENV_BODY_7BIT;
	env.envid = j->sender.n == 0 ? SPAN(DOUBLE_BOUNCE) : SPAN_NONE;
	env.protocol = SPAN("LOCAL");
	env.dedupe_name = SPAN("report");
	env.dedupe_key = span_of(arena_printf(&j->arena, "%llu.%u.%u",
					      (unsigned long long)j->number, j->part, j->piece));
	buf_init(&out, RECORD_ENVELOPE_MAX);
	envelope_encode(&out, &env);
	buf_init(&trace, 1024);
	date_format(clock_wall_us(), date);
	buf_printf(&trace, "Received: by %s (Postern);\r\n\t%s\r\n", conf->hostname, date);
	spool_submit(j->s->spool,
		     &(struct spool_submission){
			     .rcpt_count = 1,
			     .envelope = buf_span(&out),
			     .trace = buf_span(&trace),
			     .content = buf_span(content),
			     .content_flags = (needs_8bit ? CONTENT_8BIT : 0u) |
					      (needs_utf8 ? CONTENT_HEADER_UTF8 : 0u) },
		     dsn_stored, j);
	buf_clear(&trace);
	buf_clear(&out);
}

/* The next report of this message, or the end. */
static void
dsn_next(struct dsn_job *j)
{
	struct span to = report_to(j), id;
	bool needs_utf8, needs_8bit;
	char qid[ID_TEXT_LEN + 1];
	struct buf content;
	int err;

	if (j->at == j->count || to.n == 0) {
		if (to.n == 0)
			log_report(j, "unreported", to, 0, j->count);
		j->done(j->arg, j, 0);
		return;
	}
	id_format(j->qid, qid);
	id = span_of(arena_printf(&j->arena, "%s.%u.%u", qid, j->part, j->piece));
	buf_init(&content, RECORD_CONTENT_MAX);
	if ((err = build(j, to, id, &content, &needs_utf8, &needs_8bit)) == 0)
		submit(j, to, &content, needs_utf8, needs_8bit);
	buf_clear(&content);
	if (err < 0)
		bug("a report of %u recipients does not fit into a record", j->piece_rcpts);
}

/* --- the original ---------------------------------------------------------------------------- */

static void
original_read(struct dsn_job *j)
{
	reading_end(&j->reading);
	dsn_next(j);
}

static void
chunk_read(void *arg, struct spool_reader *r, int err, struct span data)
{
	struct dsn_job *j = arg;

	if (err < 0)
		j->is_unreadable = true;
	else
		buf_put_span(&j->original, span_sub(data, 0, original_wanted(j) - j->original.n));
	/* A piece that comes at once makes this a recursion of a few steps: ORIGINAL_MAX / 64 KiB. */
	if (err < 0 || data.n == 0 || j->original.n >= original_wanted(j))
		original_read(j);
	else
		spool_reader_next(r, STREAM_CHUNK_BYTES, chunk_read, j);
}

static void
message_read(void *arg, int err, const struct spool_msg *msg)
{
	struct dsn_job *j = arg;

	if (err < 0 ||
	    envelope_decode(arena_dup(&j->arena, msg->envelope), &j->arena, &j->env) < 0) {
		/* Reported all the same, without the original. */
		envelope_init(&j->env);
		j->is_unreadable = true;
		original_read(j);
		return;
	}
	j->origin = msg->origin;
	j->original_len = msg->trace.n + msg->content_len;
	buf_put_span(&j->original, span_sub(msg->trace, 0, original_wanted(j)));
	if (msg->content.p == NULL && msg->content_len > 0 && j->original.n < original_wanted(j)) {
		spool_reader_next(j->reading.reader, STREAM_CHUNK_BYTES, chunk_read, j);
		return;
	}
	buf_put_span(&j->original, span_sub(msg->content, 0, original_wanted(j) - j->original.n));
	original_read(j);
}

/* --- start and end --------------------------------------------------------------------------- */

void
dsn_start(struct sched *s, const struct store_report *report,
	  void (*done)(void *arg, struct dsn_job *j, int err), void *arg, struct dsn_job **out)
{
	struct dsn_job *j = mem_zalloc(sizeof(*j));

	j->s = s;
	arena_init(&j->arena, 4096);
	j->number = report->number;
	j->qid = report->qid;
	j->arrival_ms = report->arrival_ms;
	j->last_id = report->last_id;
	j->place = report->place;
	j->part = report->part;
	j->sender = arena_dup(&j->arena, report->sender);
	j->count = report->count;
	j->bounces = arena_alloc(&j->arena, report->count * sizeof(*j->bounces));
	for (uint32_t i = 0; i < report->count; i++) {
		struct bounce *b = &j->bounces[i];

		*b = report->bounces[i];
		b->address = arena_dup(&j->arena, b->address);
		b->orcpt = arena_dup(&j->arena, b->orcpt);
		b->orig = arena_dup(&j->arena, b->orig);
		b->esc = arena_dup(&j->arena, b->esc);
		b->text = arena_dup(&j->arena, b->text);
		b->relay = arena_dup(&j->arena, b->relay);
	}
	j->done = done;
	j->arg = arg;
	buf_init(&j->original, ORIGINAL_MAX);
	*out = j;
	reading_start(&j->reading, s->spool, j->number, &j->place, message_read, j);
}

void
dsn_free(struct dsn_job **jp)
{
	struct dsn_job *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	reading_end(&j->reading);
	buf_clear(&j->original);
	arena_clear(&j->arena);
	mem_free(j);
}
