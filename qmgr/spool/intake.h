/* SPDX-License-Identifier: ISC */
#ifndef QMGR_INTAKE_H
#define QMGR_INTAKE_H

#include "ipc/chan.h"
#include "qmgr/spool/spool.h"

/* The intakes (smtpd) and their channels: whole messages and streams into the log, STORED or REFUSED back. */
struct intake;

struct intake *intake_new(struct spool *sp);
void intake_free(struct intake **in);
void intake_on_peer(struct intake *in, struct chan *c);
void intake_on_peer_lost(struct intake *in, struct chan *c);
/* True: it was one of ours. */
bool intake_on_msg(struct intake *in, struct chan *c, enum msg_type type, union msg_any *msg);
/* The state of the spool changed (spool_config.on_intake): tell the intakes, pause or go on. */
void intake_update(struct intake *in);
/* Nothing is being streamed or committed. */
bool intake_is_idle(const struct intake *in);

#endif
