/* SPDX-License-Identifier: ISC */
#ifndef QMGR_REQUEST_H
#define QMGR_REQUEST_H

#include "qmgr/sched/sched_int.h"

/* Between requests.c (life of a request), request_filter.c (what it selects), request_list.c (what is shown) and
 * request_order.c (what is done). */

struct request {
	struct list link;
	struct requests *all;
	struct chan *chan; /* NULL: the caller is gone */
	uint32_t req;
	enum queue_verb verb;
	struct store_filter filter;
	struct arena arena;	/* texts of the filter */
	uint64_t limit, offset; /* in messages */
	uint64_t after_number;
	uint32_t after_index;
	uint64_t messages, recipients; /* matched or changed */
	uint32_t items;		       /* since the last MORE */
	bool is_busy;		       /* the store or a reader will call back */
	bool is_waiting;	       /* for MORE */
	bool is_last_page;
	bool only_active; /* state=active: what is not deferred */
	/* The message whose rows are being collected. */
	uint64_t number; /* 0: none */
	bool is_skipped;
	uint32_t item_rcpts;
	struct buf item;
	struct reading reading; /* CAT */
};

struct requests {
	struct sched *s;
	struct list open;
	uint32_t count;
};

/* requests.c */
void request_send_item(struct request *q, struct span item);

/* request_filter.c */
/* (u32 length, key=value or queue id)*. NULL: taken; else what is wrong, for a person. */
const char *request_take_filters(struct request *q, struct span words);

/* request_list.c */
/* "deferred", "held", "active" ...; e: its entry, NULL: not in memory. */
const char *request_row_state(const struct row *row, const struct entry *e);
/* One row of a list, in order of messages. False: the limit is reached. */
bool request_list_row(struct request *q, const struct row *row);
/* Send what was collected of the last message. */
void request_list_end(struct request *q);

/* request_order.c */
/* Do what was ordered for one recipient, and count it. */
void request_order_row(struct request *q, const struct row *row);

#endif
