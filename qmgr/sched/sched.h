/* SPDX-License-Identifier: ISC */
#ifndef QMGR_SCHED_H
#define QMGR_SCHED_H

#include "qmgr/qmgr.h"
#include "qmgr/spool/spool.h"

/* What main.c and storage know of scheduling. */

extern const struct spool_ops sched_spool_ops; /* arg: struct sched */

struct sched *sched_new(struct qmgr *q);
void sched_free(struct sched **s);
/* The spool is open and scanned: messages of the scan follow by on_message(). */
void sched_start(struct sched *s);
/* A router, delivery, mailbox or control process; storage has the smtpds. */
void sched_on_peer(struct sched *s, struct chan *c);
void sched_on_peer_lost(struct sched *s, struct chan *c, bool is_crash, bool is_final);
void sched_on_msg(struct sched *s, struct chan *c, enum msg_type type, union msg_any *msg);
void sched_on_room(struct sched *s, struct chan *c);
void sched_on_conf(struct sched *s, struct conf *old);
/* Start no new job; when the running ones are done or grace_ms is over, call qmgr_stopped(). */
void sched_stop(struct sched *s, uint32_t grace_ms);
void qmgr_stopped(struct qmgr *q);

#endif
