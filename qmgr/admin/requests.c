/* SPDX-License-Identifier: ISC
 *
 * What administrators ask of the queue: list, show, cat, and the orders flush, hold, release, delete, retry. Before each
 * one every recipient in memory gets a row, so the rows of queue.db, read page by page, are the whole queue, and nothing
 * here holds up a delivery or a commit. A recipient that is being delivered at this moment is marked, and the order takes
 * effect when its result is there. control has checked who the caller is; the user id limits what others see.
 *
 *	query -> rows given -> page -> items, orders -> (64 items: wait for MORE) -> page ... -> durable -> DONE
 */

/* System */
#include <string.h>
/* this program */
#include "qmgr/admin/request.h"

enum {
	LIST_ROWS = 64, /* of a page: at most so many items come without MORE */
	ORDER_ROWS = 500,
	ITEMS_PER_MORE = 64,
	ITEM_BYTES = 2 * 1024 * 1024 - 1024,
	REQUESTS_MAX = 64
};

static void next_page(struct request *q);

struct requests *
requests_new(struct sched *s)
{
	struct requests *r = mem_zalloc(sizeof(*r));

	r->s = s;
	list_init(&r->open);
	return r;
}

static void
request_free(struct request *q)
{
	reading_end(&q->reading);
	list_remove(&q->link);
	q->all->count--;
	arena_clear(&q->arena);
	buf_clear(&q->item);
	mem_free(q);
}

void
requests_free(struct requests **r)
{
	if (*r == NULL)
		return;
	LIST_EACH_SAFE(it, tmp, &(*r)->open)
		request_free(LIST_ENTRY(it, struct request, link));
	mem_free(*r);
	*r = NULL;
}

static void
send_done(struct request *q, int code, const char *text)
{
	if (q->chan != NULL)
		chan_send(q->chan, MSG_QUEUE_DONE,
			  &(struct msg_queue_done){ .req = q->req,
						    .code = (uint16_t)-code,
						    .text = span_of(text),
						    .messages = q->messages,
						    .recipients = q->recipients });
	request_free(q);
}

void
request_send_item(struct request *q, struct span item)
{
	if (q->chan == NULL || item.n == 0)
		return;
	chan_send(q->chan, MSG_QUEUE_ITEM, &(struct msg_queue_item){ .req = q->req, .item = item });
	q->items++;
}

/* --- cat ------------------------------------------------------------------------------------- */

static void cat_next(struct request *q);

static void
cat_chunk(void *arg, struct spool_reader *r, int err, struct span data)
{
	struct request *q = arg;

	(void)r;
	q->is_busy = false;
	if (q->chan == NULL || err < 0) {
		send_done(q, err < 0 ? err : 0,
			  err < 0 ? "the content cannot be read; see the log" : "");
		return;
	}
	if (data.n == 0) {
		send_done(q, 0, "");
		return;
	}
	request_send_item(q, data);
	cat_next(q);
}

static void
cat_next(struct request *q)
{
	if (q->items >= ITEMS_PER_MORE) {
		q->is_waiting = true;
		return;
	}
	q->is_busy = true;
	spool_reader_next(q->reading.reader, SPOOL_INLINE_BYTES, cat_chunk, q);
}

static void
cat_opened(void *arg, int err, const struct spool_msg *msg)
{
	struct request *q = arg;

	q->is_busy = false;
	if (err < 0) {
		send_done(q, err, "the message cannot be read; see the log");
		return;
	}
	request_send_item(q, msg->trace);
	if (msg->content.p != NULL || msg->content_len == 0) {
		request_send_item(q, msg->content);
		send_done(q, 0, "");
		return;
	}
	cat_next(q);
}

static void
cat_row(struct request *q, const struct row *row)
{
	q->messages = 1;
	q->is_busy = true;
	reading_start(&q->reading, q->all->s->spool, row->number, &row->place, cat_opened, q);
}

/* --- pages ----------------------------------------------------------------------------------- */

static void
orders_durable(void *arg)
{
	struct request *q = arg;

	q->is_busy = false;
	sched_kick(q->all->s);
	send_done(q, 0, "");
}

static void
finish(struct request *q)
{
	bool is_order = q->verb != QUEUE_LIST && q->verb != QUEUE_SHOW && q->verb != QUEUE_CAT;

	if (!is_order)
		request_list_end(q);
	if (q->filter.qid_count > 0 && q->messages == 0) {
		send_done(q, E_NOTFOUND,
			  is_order ? "no such message in the queue, or nothing to do for it"
				   : "no such message in the queue; it may be delivered: `postern "
				     "trace ID`");
		return;
	}
	if (!is_order || q->recipients == 0) {
		send_done(q, 0, "");
		return;
	}
	q->is_busy = true;
	store_when_durable(q->all->s->store, orders_durable, q);
	store_flush(q->all->s->store);
}

static bool
is_listing(const struct request *q)
{
	return q->verb == QUEUE_LIST || q->verb == QUEUE_SHOW;
}

static uint32_t
page_rows(const struct request *q)
{
	return is_listing(q) || q->verb == QUEUE_CAT ? LIST_ROWS : ORDER_ROWS;
}

static bool
is_active(const struct request *q, const struct row *row)
{
	return strcmp(request_row_state(row,
					entry_find(&q->all->s->entries, row->number, row->index)),
		      "active") == 0;
}

static void
on_page(void *arg, const struct row *rows, uint32_t count)
{
	struct request *q = arg;
	bool is_more = true;

	q->is_busy = false;
	if (q->chan == NULL) {
		request_free(q);
		return;
	}
	if (q->verb == QUEUE_CAT && count > 0) {
		cat_row(q, &rows[0]);
		return;
	}
	for (uint32_t i = 0; i < count && is_more; i++) {
		q->after_number = rows[i].number;
		q->after_index = rows[i].index;
		if (q->only_active && !is_active(q, &rows[i]))
			continue;
		if (is_listing(q))
			is_more = request_list_row(q, &rows[i]);
		else
			request_order_row(q, &rows[i]);
	}
	q->is_last_page = !is_more || count < page_rows(q);
	if (q->is_last_page)
		finish(q);
	else if (q->items >= ITEMS_PER_MORE)
		q->is_waiting = true;
	else
		next_page(q);
}

static void
next_page(struct request *q)
{
	q->is_busy = true;
	store_list(q->all->s->store, &q->filter, q->after_number, q->after_index, page_rows(q),
		   on_page, q);
}

/* What is wrong with a request, NULL: nothing. */
static const char *
take_query(struct request *q, const struct msg_queue_query *m)
{
	if (m->verb >= QUEUE_VERB_COUNT)
		return "unknown order";
	if (!m->is_admin && m->verb != QUEUE_LIST && m->verb != QUEUE_SHOW)
		return "only root and members of group postern may do this";
	return request_take_filters(q, m->filters);
}

void
requests_on_query(struct requests *r, struct chan *c, const struct msg_queue_query *m)
{
	struct request *q = mem_zalloc(sizeof(*q));
	const char *why;

	q->all = r;
	q->chan = c;
	q->req = m->req;
	q->verb = (enum queue_verb)m->verb;
	q->limit = m->limit;
	q->offset = m->offset;
	arena_init(&q->arena, 4096);
	buf_init(&q->item, ITEM_BYTES);
	list_push_back(&r->open, &q->link);
	r->count++;
	if (r->count > REQUESTS_MAX) {
		send_done(q, E_AGAIN, "too many requests at a time; try again");
		return;
	}
	if ((why = take_query(q, m)) != NULL) {
		send_done(q, E_SYNTAX, why);
		return;
	}
	q->filter.has_uid = !m->is_admin;
	q->filter.uid = m->uid;
	sched_give_rows(r->s, UINT64_MAX);
	next_page(q);
}

static struct request *
find_request(struct requests *r, const struct chan *c, uint32_t req)
{
	LIST_EACH(it, &r->open) {
		struct request *q = LIST_ENTRY(it, struct request, link);
		if (q->chan == c && q->req == req)
			return q;
	}
	return NULL;
}

static void
cancel(struct request *q)
{
	q->chan = NULL;
	if (!q->is_busy)
		request_free(q);
}

void
requests_on_more(struct requests *r, struct chan *c, const struct msg_queue_more *m)
{
	struct request *q = find_request(r, c, m->req);

	if (q == NULL)
		return;
	if (m->is_cancelled) {
		cancel(q);
		return;
	}
	q->items = 0;
	if (!q->is_waiting)
		return;
	q->is_waiting = false;
	if (q->verb == QUEUE_CAT)
		cat_next(q);
	else
		next_page(q);
}

void
requests_on_lost(struct requests *r, struct chan *c)
{
	LIST_EACH_SAFE(it, tmp, &r->open) {
		struct request *q = LIST_ENTRY(it, struct request, link);
		if (q->chan == c)
			cancel(q);
	}
}
