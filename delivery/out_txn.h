/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_TXN_H
#define DELIVERY_OUT_TXN_H

#include "delivery/out_session.h"

/* Begin the transaction of s->job (state is TXN): checks what the server can take and queues the first commands. It may
 * end at once: then out_session_job_done() was called. */
void out_txn_begin(struct out_session *s);
/* What the next reply of this transaction answers. */
enum out_await out_txn_await(const struct out_session *s);
/* A reply to it; never 421. */
void out_txn_reply(struct out_session *s, enum out_await what, const struct reply *r);
/* Queue all that may be sent now: bytes were written, content came, a reply was taken. */
void out_txn_advance(struct out_session *s);
/* Was the end of the message queued and written? Then nobody knows whether it was delivered. */
bool out_txn_is_in_doubt(const struct out_session *s);

#endif
