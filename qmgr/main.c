/* SPDX-License-Identifier: ISC
 *
 * qmgr: owns the spool. Puts the two halves together, storage and scheduling (qmgr.h), and passes channels on to them.
 * User _postern-qmgr, chroot in the spool's queue/; no sockets, no content interpreted.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* lib */
#include "base/log.h"

/* this program */
#include "qmgr/spool/intake.h"
#include "qmgr/qmgr.h"
#include "qmgr/sched/sched.h"
#include "qmgr/spool/spool_int.h"

static struct qmgr qmgr;

static void
on_intake(void *arg)
{
	(void)arg;
	if (qmgr.intake != NULL)
		intake_update(qmgr.intake);
}

static void
on_fatal(void *arg, const char *what)
{
	(void)arg;
	die_temp("%s", what);
}

static void
open_spool(struct svc *s)
{
	struct spool_config conf = { .loop = s->loop,
				     .timers = qmgr.timers,
				     .slot = s->slot,
				     .segment_bytes = s->conf->limits.segment_size,
				     .min_free_bytes = s->conf->limits.min_free,
				     .message_bytes = s->conf->limits.message_size,
				     .events_bytes = s->conf->events.max,
				     .ops = &sched_spool_ops,
				     .ops_arg = qmgr.sched,
				     .on_intake = on_intake,
				     .on_fatal = on_fatal };
	struct buf why;
	int r;

	buf_init(&why, 2000);
	if ((conf.dir_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		die_temp("queue/ below the spool: %s", strerror(errno));
	if ((r = spool_new(&conf, &qmgr.spool, &why)) < 0) {
		if (r == E_CONFIG)
			die_perm("%s", buf_cstr(&why));
		die_temp("%s", buf_cstr(&why));
	}
	buf_clear(&why);
	qmgr.store = qmgr.spool->store;
}

static int
start(struct svc *s)
{
	qmgr.svc = s;
	qmgr.timers = timer_set_new(s->loop);
	qmgr.sched = sched_new(&qmgr);
	open_spool(s);
	qmgr.intake = intake_new(qmgr.spool);
	sched_start(qmgr.sched);
	spool_run(qmgr.spool);
	return 0;
}

static void
on_peer(struct svc *s, struct chan *c)
{
	(void)s;
	if (chan_kind(c) == PROC_SMTPD)
		intake_on_peer(qmgr.intake, c);
	else
		sched_on_peer(qmgr.sched, c);
}

static void
on_peer_lost(struct svc *s, struct chan *c, bool is_crash, bool is_final)
{
	(void)s;
	if (chan_kind(c) == PROC_SMTPD)
		intake_on_peer_lost(qmgr.intake, c);
	else
		sched_on_peer_lost(qmgr.sched, c, is_crash, is_final);
}

static void
on_msg(struct svc *s, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)s;
	if (!intake_on_msg(qmgr.intake, c, type, msg))
		sched_on_msg(qmgr.sched, c, type, msg);
}

static void
on_room(struct svc *s, struct chan *c)
{
	(void)s;
	if (chan_kind(c) != PROC_SMTPD)
		sched_on_room(qmgr.sched, c);
}

static void
on_conf(struct svc *s, struct conf *old)
{
	spool_set_conf(qmgr.spool, s->conf->limits.min_free, s->conf->limits.message_size);
	spool_set_events(qmgr.spool, s->conf->events.max);
	sched_on_conf(qmgr.sched, old);
}

/* ---- the end: jobs, then the spool, then we ---- */

static void
spool_stopped(void *arg)
{
	struct svc *s = arg;

	svc_exit(s);
}

void
qmgr_stopped(struct qmgr *q)
{
	spool_stop(q->spool, spool_stopped, q->svc);
}

static void
on_stop(struct svc *s, bool is_reload, uint32_t grace_ms)
{
	(void)s;
	(void)is_reload;
	qmgr.is_stopping = true;
	sched_stop(qmgr.sched, grace_ms);
}

int
main(void)
{
	static const struct svc_ops ops = {
		.kinds = P(QMGR),
		.start = start,
		.on_peer = on_peer,
		.on_peer_lost = on_peer_lost,
		.on_msg = on_msg,
		.on_room = on_room,
		.on_conf = on_conf,
		.on_stop = on_stop,
	};

	return svc_main(&ops);
}
