/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_RESULTS_H
#define DELIVERY_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/list.h"
#include "base/map.h"
#include "ipc/chan.h"

/* Results that qmgr has not acknowledged, in the order in which they came. */
struct results {
	struct map64 by_job;
	struct list order;
	size_t count;
};

void results_init(struct results *r);
void results_clear(struct results *r);
/* Keep a copy. */
void results_add(struct results *r, const struct msg_result *m);
/* False: no such result is kept. */
bool results_ack(struct results *r, uint64_t job);
/* Tell a new qmgr all of them; it knows none of the sessions. */
void results_send_again(struct results *r, struct chan *qmgr);

#endif
