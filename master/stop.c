/* SPDX-License-Identifier: ISC
 *
 * TERM: the end in order. First those that take mail in, then those that carry it out, then qmgr, router, and logd, which
 * writes the last line. Each gets timeouts { stop } to finish what is in flight, then kill -9 (nothing is lost by that:
 * what was acknowledged is in the spool). A second signal shortens it to a second each. Runs in master.
 */
/* lib */
#include "base/log.h"

/* this program */
#include "master/child.h"

#define FAST_GRACE_MS 1000

static const uint32_t phase_kinds[] = {
	[STOP_NOT] = 0,
	[STOP_INTAKE] = P(SMTPD) | P(CONTROL),
	[STOP_DELIVERY] = P(DELIVERY) | P(MAILBOX),
	[STOP_QMGR] = P(QMGR),
	[STOP_ROUTER] = P(ROUTER),
	[STOP_LOGD] = P(LOGD),
	[STOP_DONE] = 0,
};

static bool
is_in_phase(const struct master *m, const struct child *c)
{
	return phase_kinds[m->stop_phase] >> c->kind & 1;
}

static bool
is_phase_over(struct master *m)
{
	LIST_EACH(it, &m->children) {
		if (is_in_phase(m, LIST_ENTRY(it, struct child, node)))
			return false;
	}
	return true;
}

static void
stop_phase(struct master *m)
{
	uint64_t grace = m->is_stop_fast ? FAST_GRACE_MS : m->conf->timeouts.stop;

	LIST_EACH_SAFE(it, tmp, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (is_in_phase(m, c))
			child_stop(c, false, grace);
	}
}

static void
log_stop(const char *event)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, event);
	log_end(&ev);
}

void
stop_step(struct master *m)
{
	if (m->stop_phase == STOP_NOT)
		return;
	while (m->stop_phase != STOP_DONE && is_phase_over(m)) {
		m->stop_phase++;
		if (m->stop_phase == STOP_LOGD)
			log_stop("stopped");
		stop_phase(m);
	}
	if (m->stop_phase == STOP_DONE)
		loop_end(m);
}

void
stop_begin(struct master *m)
{
	if (m->stop_phase == STOP_NOT) {
		log_stop("stop");
		m->stop_phase = STOP_INTAKE;
	} else {
		m->is_stop_fast = true;
	}
	stop_phase(m);
	stop_step(m);
}
