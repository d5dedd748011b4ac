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
/* lib */
#include "base/id.h"
#include "base/json.h"
/* this program */
#include "qmgr/sched_int.h"

enum {
	LIST_ROWS = 64,                 /* of a page: at most so many items come without MORE */
	ORDER_ROWS = 500,
	ITEM_RCPTS = 1000,              /* a message with more comes as several objects */
	ITEMS_PER_MORE = 64,
	ITEM_BYTES = 2 * 1024 * 1024 - 1024,
	REQUESTS_MAX = 64,
	IDS_MAX = 4096
};

struct request {
	struct list link;
	struct requests *all;
	struct chan *chan;              /* NULL: the caller is gone */
	uint32_t req;
	enum queue_verb verb;
	struct store_filter filter;
	struct arena arena;             /* texts of the filter */
	uint64_t limit, offset;         /* in messages */
	uint64_t after_number;
	uint32_t after_index;
	uint64_t messages, recipients;  /* matched or changed */
	uint32_t items;                 /* since the last MORE */
	bool is_busy;                   /* the store or a reader will call back */
	bool is_waiting;                /* for MORE */
	bool is_last_page;
	bool only_active;               /* state=active: what is not deferred */
	/* The message whose rows are being collected. */
	uint64_t number;                /* 0: none */
	bool is_skipped;
	uint32_t item_rcpts;
	struct buf item;
	struct reading reading;         /* CAT */
};

struct requests {
	struct sched *s;
	struct list open;
	uint32_t count;
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
		chan_send(q->chan, MSG_QUEUE_DONE, &(struct msg_queue_done){ .req = q->req, .code = (uint16_t)-code,
			.text = span_of(text), .messages = q->messages, .recipients = q->recipients });
	request_free(q);
}

static void
send_item(struct request *q, struct span item)
{
	if (q->chan == NULL || item.n == 0)
		return;
	chan_send(q->chan, MSG_QUEUE_ITEM, &(struct msg_queue_item){ .req = q->req, .item = item });
	q->items++;
}

/* --- filters --------------------------------------------------------------------------------- */

static bool
parse_state(struct request *q, struct span v)
{
	struct store_filter *f = &q->filter;
	static const struct {
		const char *name;
		int state;
		bool is_deferred;
	} states[] = {
		{ "deferred", ROW_READY, true }, { "active", ROW_READY, false }, { "ready", ROW_READY, false },
		{ "held", ROW_HELD, false },	 { "hold", ROW_HELD, false },	 { "corrupt", ROW_CORRUPT, false },
		{ "unknown", ROW_UNKNOWN, false },
	};

	for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (span_ieq(v, span_of(states[i].name))) {
			f->state = states[i].state;
			f->is_deferred = states[i].is_deferred;
			q->only_active = states[i].state == ROW_READY && !states[i].is_deferred;
			return true;
		}
	}
	return false;
}

/* "90", "90s", "5m", "2h", "3d" */
static bool
parse_age(struct span v, uint64_t *ms_out)
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	uint64_t n, ms = 1000;

	for (unsigned i = 0; v.n > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (v.p[v.n - 1] == units[i].unit) {
			ms = units[i].ms;
			v.n--;
			break;
		}
	}
	if (span_to_u64(v, 100000000, &n) < 0)
		return false;
	*ms_out = n * ms;
	return true;
}

/* NULL: taken. Else what is wrong with it. */
static const char *
take_filter(struct request *q, struct span word)
{
	struct store_filter *f = &q->filter;
	struct span key, v = word;
	uint64_t age;

	span_next(&v, '=', &key);
	if (span_eq(key, SPAN("state")))
		return parse_state(q, v) ? NULL : "state= is one of deferred, active, held, corrupt, unknown";
	if (span_eq(key, SPAN("older"))) {
		if (!parse_age(v, &age))
			return "older= takes a time like 90s, 30m, 2h, 5d";
		uint64_t now = clock_wall_ms();
		f->born_before_ms = now > age ? now - age : 1;
		return NULL;
	}
	v = arena_dup(&q->arena, v);
	if (span_eq(key, SPAN("sender")))
		f->sender = v;
	else if (span_eq(key, SPAN("rcpt")))
		f->rcpt = v;
	else if (span_eq(key, SPAN("domain")))
		f->domain = v;
	else if (span_eq(key, SPAN("site")))
		f->lane = v;
	else if (span_eq(key, SPAN("error")))
		f->error = v;
	else
		return "unknown filter; there are sender= rcpt= domain= site= state= older= error=";
	return NULL;
}

static const char *
take_filters(struct request *q, struct span words)
{
	struct cur c = cur_of(words);
	uint64_t *ids = arena_alloc(&q->arena, IDS_MAX * sizeof(uint64_t));
	size_t count = 0;
	const char *why = NULL;

	q->filter.state = -1;
	while (cur_left(&c) > 0 && !c.is_failed && why == NULL) {
		struct span word = cur_bytes(&c, words.n);

		if (span_chr(word, '=') >= 0)
			why = take_filter(q, word);
		else if (count == IDS_MAX)
			why = "too many queue ids";
		else if (id_parse(word, &ids[count]) < 0)
			why = "not a queue id";
		else
			count++;
	}
	q->filter.qids = ids;
	q->filter.qid_count = count;
	return c.is_failed ? "malformed request" : why;
}

/* --- list and show --------------------------------------------------------------------------- */

static const char *
row_state_name(const struct row *row, const struct entry *e)
{
	switch (row->state) {
	case ROW_HELD:
		return "held";
	case ROW_CORRUPT:
		return "corrupt";
	case ROW_UNKNOWN:
		return "unknown";
	case ROW_READY:
	case ROW_DONE:
	case ROW_STATE_COUNT:
		break;
	}
	if (e != NULL && (e->flags & ENTRY_HOLD))
		return "held";
	return row->attempts > 0 && (e == NULL || e->state != ENTRY_JOB) ? "deferred" : "active";
}

static void
put_text(struct buf *b, const char *key, struct span v)
{
	buf_printf(b, "\"%s\":", key);
	json_put_string(b, v);
}

static void
put_rcpt(struct request *q, const struct row *row)
{
	struct buf *b = &q->item, reason;
	const struct entry *e = entry_find(&q->all->s->entries, row->number, row->index);

	buf_putc(b, '{');
	put_text(b, "address", row->address);
	if (row->orig.n > 0 && !span_eq(row->orig, row->address)) {
		buf_putc(b, ',');
		put_text(b, "original_address", row->orig);
	}
	buf_printf(b, ",\"state\":\"%s\",\"attempts\":%u,\"next_due\":%llu,", row_state_name(row, e), row->attempts,
		   (unsigned long long)(row->state == ROW_READY && row->attempts > 0 ? row->due_ms / 1000 : 0));
	put_text(b, "site", row->lane.n > 0 && row->lane.p[0] == WAITER_NAME_ANY[0] ? SPAN_NONE : row->lane);
	if (row->esc.n > 0 || row->text.n > 0) {
		buf_init(&reason, 2048);
		if (row->reply != 0)
			buf_printf(&reason, "%u ", row->reply);
		buf_printf(&reason, "%.*s%s%.*s", SPAN_ARG(row->esc), row->esc.n > 0 ? " " : "", SPAN_ARG(row->text));
		buf_putc(b, ',');
		put_text(b, "delay_reason", buf_span(&reason));
		buf_clear(&reason);
	}
	if (row->relay.n > 0) {
		buf_putc(b, ',');
		put_text(b, "relay", row->relay);
	}
	buf_putc(b, '}');
}

static void
begin_item(struct request *q, const struct row *row)
{
	struct buf *b = &q->item;
	char qid[ID_TEXT_LEN + 1];
	const char *state = row_state_name(row, entry_find(&q->all->s->entries, row->number, row->index));

	id_format(row->qid, qid);
	buf_printf(b, "{\"queue_name\":\"%s\",\"queue_id\":\"%s\",\"arrival_time\":%llu,\"message_size\":%llu,"
		   "\"forced_expire\":false,\"state\":\"%s\",", strcmp(state, "held") == 0 ? "hold" : state, qid,
		   (unsigned long long)(row->arrival_ms / 1000), (unsigned long long)row->size_bytes, state);
	put_text(b, "sender", row->msg_sender);
	if (row->uid != ENV_NO_UID)
		buf_printf(b, ",\"uid\":%u", row->uid);
	buf_puts(b, ",\"recipients\":[");
}

/* The rows of one message are together: its object is complete. */
static void
end_item(struct request *q)
{
	if (q->number == 0)
		return;
	q->number = 0;
	q->item_rcpts = 0;
	if (!q->is_skipped) {
		buf_puts(&q->item, "]}");
		if (buf_check(&q->item) == 0)
			send_item(q, buf_span(&q->item));
	}
	buf_clear(&q->item);
}

/* False: the limit is reached. */
static bool
list_row(struct request *q, const struct row *row)
{
	if (row->number != q->number) {
		end_item(q);
		if (q->limit > 0 && q->messages == q->limit)
			return false;
		q->number = row->number;
		q->is_skipped = q->offset > 0;
		if (q->is_skipped) {
			q->offset--;
		} else {
			q->messages++;
			begin_item(q, row);
		}
	} else if (!q->is_skipped && q->item_rcpts == ITEM_RCPTS) {
		end_item(q);
		q->number = row->number;
		begin_item(q, row);
	} else if (!q->is_skipped) {
		buf_putc(&q->item, ',');
	}
	if (!q->is_skipped) {
		q->recipients++;
		q->item_rcpts++;
		put_rcpt(q, row);
	}
	return true;
}

/* --- orders ---------------------------------------------------------------------------------- */

static void
log_order(const char *event, const struct row *row)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, event);
	log_kv_qid(&ev, "qid", row->qid);
	log_kv(&ev, "to", row->address);
	log_kvs(&ev, "by", "administrator");
	log_end(&ev);
}

/* A row with a new state, no longer in memory. */
static void
put_row(struct request *q, const struct row *row, enum row_state state, uint64_t due_ms)
{
	struct row changed = *row;

	changed.state = state;
	changed.due_ms = due_ms;
	changed.flags &= ~(uint32_t)ROW_IN_MEMORY;
	store_put(q->all->s->store, &changed);
}

/* Is its fate being decided at this moment? */
static bool
is_running(const struct entry *e)
{
	return e != NULL && (e->state == ENTRY_JOB || e->state == ENTRY_EXPANDING);
}

/* The rows of this lane that are due now are looked for. */
static void
wake_lane(struct sched *s, struct span name, uint64_t now)
{
	struct lane *l = lane_find(s, name);
	struct waiter *w = map_get(&s->waiters, name);

	lane_lift(s, name);
	if (l != NULL)
		lane_row_due(l, now);
	else if (w != NULL)
		waiter_load(w);
	else
		sched_due_at(s, now);
}

static bool
order_due_now(struct request *q, const struct row *row, struct entry *e)
{
	uint64_t now = clock_wall_ms();

	if (row->state != ROW_READY)
		return false;
	if (e == NULL && row->due_ms > now)
		put_row(q, row, ROW_READY, now);
	wake_lane(q->all->s, row->lane, now);
	return true;
}

static bool
order_hold(struct request *q, const struct row *row, struct entry *e)
{
	if (row->state != ROW_READY)
		return false;
	if (is_running(e)) {
		e->flags |= ENTRY_HOLD;
	} else {
		if (e != NULL)
			sched_drop_entry(q->all->s, e);
		put_row(q, row, ROW_HELD, row->due_ms);
	}
	log_order("held", row);
	return true;
}

static bool
order_release(struct request *q, const struct row *row, struct entry *e)
{
	uint64_t now = clock_wall_ms();

	if (e != NULL && (e->flags & ENTRY_HOLD)) {
		e->flags &= (uint8_t)~ENTRY_HOLD;
	} else if (row->state == ROW_HELD || row->state == ROW_UNKNOWN || row->state == ROW_CORRUPT) {
		put_row(q, row, ROW_READY, now);
		wake_lane(q->all->s, row->lane, now);
	} else {
		return false;
	}
	log_order("released", row);
	return true;
}

static bool
order_delete(struct request *q, const struct row *row, struct entry *e)
{
	if (is_running(e)) {
		e->flags |= ENTRY_GONE;
	} else {
		if (e != NULL)
			sched_drop_entry(q->all->s, e);
		store_done(q->all->s->store, row->number, row->index);
	}
	log_order("deleted", row);
	return true;
}

static void
order_row(struct request *q, const struct row *row)
{
	struct entry *e = entry_find(&q->all->s->entries, row->number, row->index);
	bool is_done = false;

	switch (q->verb) {
	case QUEUE_FLUSH:
	case QUEUE_RETRY:
		is_done = order_due_now(q, row, e);
		break;
	case QUEUE_HOLD:
		is_done = order_hold(q, row, e);
		break;
	case QUEUE_RELEASE:
		is_done = order_release(q, row, e);
		break;
	case QUEUE_DELETE:
		is_done = order_delete(q, row, e);
		break;
	case QUEUE_LIST:
	case QUEUE_SHOW:
	case QUEUE_CAT:
	case QUEUE_VERB_COUNT:
		break;
	}
	if (!is_done)
		return;
	q->recipients++;
	if (row->number != q->number)
		q->messages++;
	q->number = row->number;
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
		send_done(q, err < 0 ? err : 0, err < 0 ? "the content cannot be read; see the log" : "");
		return;
	}
	if (data.n == 0) {
		send_done(q, 0, "");
		return;
	}
	send_item(q, data);
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
	send_item(q, msg->trace);
	if (msg->content.p != NULL || msg->content_len == 0) {
		send_item(q, msg->content);
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
		end_item(q);
	if (q->filter.qid_count > 0 && q->messages == 0) {
		send_done(q, E_NOTFOUND, is_order ? "no such message in the queue, or nothing to do for it"
						  : "no such message in the queue; it may be delivered: `postern trace ID`");
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
	return strcmp(row_state_name(row, entry_find(&q->all->s->entries, row->number, row->index)), "active") == 0;
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
			is_more = list_row(q, &rows[i]);
		else
			order_row(q, &rows[i]);
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
	store_list(q->all->s->store, &q->filter, q->after_number, q->after_index, page_rows(q), on_page, q);
}

/* What is wrong with a request, NULL: nothing. */
static const char *
take_query(struct request *q, const struct msg_queue_query *m)
{
	if (m->verb >= QUEUE_VERB_COUNT)
		return "unknown order";
	if (!m->is_admin && m->verb != QUEUE_LIST && m->verb != QUEUE_SHOW)
		return "only root and members of group postern may do this";
	return take_filters(q, m->filters);
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
