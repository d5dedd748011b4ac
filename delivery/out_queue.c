/* SPDX-License-Identifier: ISC
 *
 * The bytes that a session wants to send, as a short list of pieces. It does no I/O. Runs in delivery. */

/* lib */
#include "base/log.h"
/* this program */
#include "delivery/out_queue.h"

enum { TEXT_KEEP_BYTES = 65536 };

void
out_queue_init(struct out_queue *q)
{
	*q = (struct out_queue){ .first = 0 };
	buf_init(&q->text, OUT_QUEUE_TEXT_MAX);
}

void
out_queue_clear(struct out_queue *q)
{
	buf_clear(&q->text);
	q->first = q->count = 0;
	q->committed = q->left = 0;
}

bool
out_queue_is_empty(const struct out_queue *q)
{
	return q->left == 0;
}

struct buf *
out_queue_text(struct out_queue *q)
{
	return &q->text;
}

static void
add_piece(struct out_queue *q, const char *borrowed, size_t at, size_t n)
{
	if (q->count == OUT_QUEUE_PIECES && q->first > 0) {
		for (unsigned i = q->first; i < q->count; i++)
			q->pieces[i - q->first] = q->pieces[i];
		q->count -= q->first;
		q->first = 0;
	}
	if (q->count == OUT_QUEUE_PIECES)
		bug("out_queue: more than %d pieces", OUT_QUEUE_PIECES);
	q->pieces[q->count].borrowed = borrowed;
	q->pieces[q->count].at = at;
	q->pieces[q->count++].n = n;
	q->left += n;
}

void
out_queue_commit(struct out_queue *q)
{
	size_t from = q->committed, n = q->text.n - from;

	if (q->text.is_failed)
		bug("out_queue: more than %d bytes", OUT_QUEUE_TEXT_MAX);
	if (n == 0)
		return;
	q->committed = q->text.n;
	if (q->count > q->first && q->pieces[q->count - 1].borrowed == NULL) {
		q->pieces[q->count - 1].n += n;
		q->left += n;
	} else {
		add_piece(q, NULL, from, n);
	}
}

void
out_queue_borrow(struct out_queue *q, struct span s)
{
	if (s.n > 0)
		add_piece(q, s.p, 0, s.n);
}

size_t
out_queue_peek(const struct out_queue *q, struct iovec *iov, size_t max)
{
	size_t n = 0;

	for (unsigned i = q->first; i < q->count && n < max; i++) {
		const char *p = q->pieces[i].borrowed != NULL ? q->pieces[i].borrowed : q->text.p;
		iov[n++] = (struct iovec){ (char *)(uintptr_t)p + q->pieces[i].at, q->pieces[i].n };
	}
	return n;
}

/* The front of text was sent: let it go when that is cheap. */
static void
shrink(struct out_queue *q)
{
	size_t gone = 0;

	if (q->first == q->count) {
		q->first = q->count = 0;
		q->committed = 0;
		if (q->text.cap > TEXT_KEEP_BYTES)
			buf_clear(&q->text);
		else
			buf_reset(&q->text);
		return;
	}
	for (unsigned i = q->first; i < q->count; i++) {
		if (q->pieces[i].borrowed == NULL) {
			gone = q->pieces[i].at;
			break;
		}
	}
	if (gone < TEXT_KEEP_BYTES / 2 || gone < q->text.n / 2)
		return;
	buf_drop(&q->text, gone);
	q->committed -= gone;
	for (unsigned i = q->first; i < q->count; i++) {
		if (q->pieces[i].borrowed == NULL)
			q->pieces[i].at -= gone;
	}
}

void
out_queue_sent(struct out_queue *q, size_t n)
{
	if (n > q->left)
		bug("out_queue: %zu of %zu bytes sent", n, q->left);
	q->left -= n;
	while (n > 0) {
		size_t part = n < q->pieces[q->first].n ? n : q->pieces[q->first].n;

		q->pieces[q->first].at += part;
		q->pieces[q->first].n -= part;
		n -= part;
		if (q->pieces[q->first].n == 0)
			q->first++;
	}
	shrink(q);
}
