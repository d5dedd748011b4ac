/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_QUEUE_H
#define DELIVERY_OUT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>
#include "base/buf.h"
#include "base/span.h"

/* Bytes on their way to the server, in order: text that the queue keeps, and spans of a job that it only points to, so
 * that commands and a whole message go out with one writev and no copy. */
#define OUT_QUEUE_PIECES 12
#define OUT_QUEUE_TEXT_MAX (1024 * 1024)

struct out_queue {
	struct buf text;
	struct {
		const char *borrowed; /* NULL: in text, at offset `at` */
		size_t at, n;
	} pieces[OUT_QUEUE_PIECES];
	unsigned first, count; /* pieces in use: first .. count-1 */
	size_t committed;      /* bytes of text that are, or were, in a piece */
	size_t left;	       /* bytes in all */
};

void out_queue_init(struct out_queue *q);
void out_queue_clear(struct out_queue *q);
bool out_queue_is_empty(const struct out_queue *q);
/* A buffer to append text to; out_queue_commit() makes it part of the queue. */
struct buf *out_queue_text(struct out_queue *q);
void out_queue_commit(struct out_queue *q);
/* Bytes that must live until they are sent or the queue is cleared. */
void out_queue_borrow(struct out_queue *q, struct span s);
/* What is to be written next; returns the number of vectors, at most max. */
size_t out_queue_peek(const struct out_queue *q, struct iovec *iov, size_t max);
/* n bytes were written. */
void out_queue_sent(struct out_queue *q, size_t n);

#endif
