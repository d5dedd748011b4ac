/* SPDX-License-Identifier: ISC
 *
 * HUP: a new configuration in a running server. It is read, checked and everything it names is opened first; any
 * problem, and the old one stays as if nothing had been asked. Then qmgr, router, control, logd and mailbox take their
 * new options in place, and new smtpd and delivery workers are started; only when all of them are READY do the old ones
 * finish what they have (at most timeouts { drain }). The listening sockets stay open all the time. Runs in master.
 */
/* System */
#include <string.h>

/* lib */
#include "base/clock.h"
#include "base/log.h"

/* this program */
#include "master/child.h"

#define CONF_MAX (4u * 1024 * 1024)
#define TEXT_MAX 65536
#define LEAVING_MAX 64 /* old workers of one kind that may drain at a time */

struct fresh {
	struct conf *conf;
	struct list listeners;
	struct bases bases;
};

static void
log_result(const char *result, unsigned errors, uint64_t ms)
{
	struct log_event ev;

	log_begin(&ev, errors > 0 ? LOG_WARN_ : LOG_INFO_, "reload");
	log_kvs(&ev, "result", result);
	if (errors > 0)
		log_kv_u64(&ev, "errors", errors);
	log_kv_u64(&ev, "reload_ms", ms);
	log_end(&ev);
}

/* ---- read, check, open ---- */

static void
log_lines(struct span text)
{
	struct span line;

	while (span_next(&text, '\n', &line)) {
		if (line.n > 0)
			log_warn("%.*s", SPAN_ARG(line));
	}
}

static int
open_named(struct master *m, struct fresh *f, struct buf *why)
{
	int r;

	if ((r = logfile_check(f->conf, why)) < 0)
		return r;
	if ((r = bases_open(f->conf, &m->ids[PROC_MAILBOX], &f->bases, why)) < 0)
		return r;
	if ((r = listen_open(f->conf, &m->listeners, &f->listeners, why)) < 0)
		bases_close(&f->bases);
	return r;
}

/* Problems found; 0: `f` is whole. */
static unsigned
prepare(struct master *m, struct fresh *f)
{
	struct conf_problems problems;
	unsigned errors;
	struct buf why, text;

	list_init(&f->listeners);
	if (conf_load(m->opts.conf_path, m->is_root, &f->conf, &problems) < 0) {
		errors = problems.errors > 0 ? problems.errors : 1;
		log_lines(buf_span(&problems.text));
		conf_problems_clear(&problems);
		return errors;
	}
	log_lines(buf_span(&problems.text));
	conf_problems_clear(&problems);
	buf_init(&why, TEXT_MAX);
	errors = open_named(m, f, &why) < 0;
	if (errors > 0) {
		buf_init(&text, TEXT_MAX);
		master_put_place(m, buf_span(&why), &text);
		log_warn("%s%s", buf_cstr(&text), buf_cstr(&why));
		buf_clear(&text);
		conf_free(&f->conf);
	}
	buf_clear(&why);
	return errors;
}

static void
warn_about_fixed(const struct conf *old, const struct conf *now)
{
	if (strcmp(old->directories.spool, now->directories.spool) != 0 ||
	    strcmp(old->directories.run, now->directories.run) != 0 ||
	    strcmp(old->directories.state, now->directories.state) != 0)
		log_warn("directories { } has changed: it takes effect at the next restart");
	if (strcmp(old->users.smtpd, now->users.smtpd) != 0 ||
	    strcmp(old->users.router, now->users.router) != 0 ||
	    strcmp(old->users.qmgr, now->users.qmgr) != 0 ||
	    strcmp(old->users.delivery, now->users.delivery) != 0 ||
	    strcmp(old->users.control, now->users.control) != 0 ||
	    strcmp(old->users.log, now->users.log) != 0 ||
	    strcmp(old->users.mailbox, now->users.mailbox) != 0)
		log_warn("users { } has changed: it takes effect at the next restart");
}

/* ---- take it ---- */

static void
give_options(const struct child *c)
{
	struct buf conf;

	buf_init(&conf, CONF_MAX);
	conf_encode(c->m->conf, c->kind, &conf);
	if (buf_check(&conf) == 0)
		chan_send(c->chan, MSG_CONF_UPDATE,
			  &(struct msg_conf_update){ .conf = buf_span(&conf) });
	else
		log_warn("configuration is over %u bytes for %s: it keeps its old options",
			 CONF_MAX, proc_info(c->kind)->name);
	buf_clear(&conf);
}

/* Kinds that take new options while they run. A sandbox stays closed: a mailbox agent cannot be given another folder. */
static bool
is_in_place(enum proc_id kind, bool is_base_changed)
{
	return kind != PROC_SMTPD && kind != PROC_DELIVERY &&
	       (kind != PROC_MAILBOX || !is_base_changed);
}

static void
update_children(struct master *m, bool is_base_changed, bool is_log_changed)
{
	LIST_EACH(it, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (c->is_alone || c->state == CHILD_LEAVING ||
		    !is_in_place(c->kind, is_base_changed))
			continue;
		c->generation = m->generation;
		if (child_is_running(c)) {
			give_options(c);
			if (c->kind == PROC_LOGD && is_log_changed)
				logfile_give(m, c->chan);
		} else if (!timer_is_set(&c->timer)) {
			child_start(c); /* it had refused the old ones */
		}
	}
}

static void
apply(struct master *m, struct fresh *f)
{
	struct conf *old = m->conf;
	bool is_base_changed = !bases_equal(&m->bases, &f->bases);
	bool is_log_changed = strcmp(old->log.to, f->conf->log.to) != 0;

	m->conf = f->conf;
	m->generation++;
	log_init("master", (enum log_level)m->conf->log.level);
	listen_close(&m->listeners);
	LIST_EACH_SAFE(it, tmp, &f->listeners) {
		list_remove(it);
		list_push_back(&m->listeners, it);
	}
	bases_close(&m->bases);
	m->bases = f->bases;
	warn_about_fixed(old, m->conf);
	conf_free(&old);
	update_children(m, is_base_changed, is_log_changed);
	tables_set(m->tables, m->conf);
	child_start_missing(m);
}

void
reload_begin(struct master *m)
{
	struct fresh f = { 0 };
	uint64_t now = clock_mono_ms();
	unsigned errors;

	if (m->stop_phase != STOP_NOT)
		return;
	if ((errors = prepare(m, &f)) > 0) {
		log_result("kept", errors, clock_mono_ms() - now);
		return;
	}
	apply(m, &f);
	m->reload_ms = now;
	m->is_reloading = true;
	reload_step(m);
}

/* ---- old workers go ---- */

static unsigned
count_up(struct master *m, enum proc_id kind)
{
	unsigned n = 0;

	LIST_EACH(it, &m->children) {
		const struct child *c = LIST_ENTRY(it, struct child, node);
		n += c->kind == kind && c->state == CHILD_UP && !c->is_alone &&
		     c->generation == m->generation;
	}
	return n;
}

/* Many reloads in a short time: the longest-serving old workers get no more time than a stop gives. */
static void
limit_leaving(struct master *m, enum proc_id kind)
{
	unsigned n = 0;

	LIST_EACH(it, &m->children) {
		const struct child *c = LIST_ENTRY(it, struct child, node);
		n += c->kind == kind && c->state == CHILD_LEAVING;
	}
	LIST_EACH_SAFE(it, tmp, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (n <= LEAVING_MAX)
			return;
		if (c->kind == kind && c->state == CHILD_LEAVING) {
			child_stop(c, false, m->conf->timeouts.stop);
			n--;
		}
	}
}

static void
retire(struct master *m, enum proc_id kind)
{
	LIST_EACH_SAFE(it, tmp, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (c->kind == kind && c->state != CHILD_LEAVING && !c->is_alone &&
		    c->generation != m->generation)
			child_stop(c, true, m->conf->timeouts.drain);
	}
	limit_leaving(m, kind);
}

void
reload_step(struct master *m)
{
	bool is_done = true;

	if (!m->is_reloading || m->stop_phase != STOP_NOT)
		return;
	for (unsigned kind = 0; kind < PROC_COUNT; kind++) {
		if (kind == PROC_MASTER)
			continue;
		if (count_up(m, (enum proc_id)kind) >= child_wanted(m, (enum proc_id)kind))
			retire(m, (enum proc_id)kind);
		else
			is_done = false;
	}
	if (!is_done)
		return;
	m->is_reloading = false;
	log_result("done", 0, clock_mono_ms() - m->reload_ms);
}
