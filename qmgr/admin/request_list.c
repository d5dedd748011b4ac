/* SPDX-License-Identifier: ISC
 *
 * What is shown of the queue: one JSON object per message with the fields of `postqueue -j` and more, made of its rows.
 * Run by qmgr on its loop. */

/* System */
#include <string.h>
/* lib */
#include "base/id.h"
#include "base/json.h"
/* this program */
#include "qmgr/admin/request.h"

enum { ITEM_RCPTS = 1000 }; /* a message with more comes as several objects */

const char *
request_row_state(const struct row *row, const struct entry *e)
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
	buf_printf(b, ",\"state\":\"%s\",\"attempts\":%u,\"next_due\":%llu,",
		   request_row_state(row, e), row->attempts,
		   (unsigned long long)(row->state == ROW_READY && row->attempts > 0
						? row->due_ms / 1000
						: 0));
	put_text(b, "site",
		 row->lane.n > 0 && row->lane.p[0] == WAITER_NAME_ANY[0] ? SPAN_NONE : row->lane);
	if (row->esc.n > 0 || row->text.n > 0) {
		buf_init(&reason, 2048);
		if (row->reply != 0)
			buf_printf(&reason, "%u ", row->reply);
		buf_printf(&reason, "%.*s%s%.*s", SPAN_ARG(row->esc), row->esc.n > 0 ? " " : "",
			   SPAN_ARG(row->text));
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
	const char *state = request_row_state(row, entry_find(&q->all->s->entries, row->number,
							      row->index));

	id_format(row->qid, qid);
	buf_printf(b,
		   "{\"queue_name\":\"%s\",\"queue_id\":\"%s\",\"arrival_time\":%llu,\"message_"
		   "size\":%llu,"
		   "\"forced_expire\":false,\"state\":\"%s\",",
		   strcmp(state, "held") == 0 ? "hold" : state, qid,
		   (unsigned long long)(row->arrival_ms / 1000),
		   (unsigned long long)row->size_bytes, state);
	put_text(b, "sender", row->msg_sender);
	if (row->uid != ENV_NO_UID)
		buf_printf(b, ",\"uid\":%u", row->uid);
	buf_puts(b, ",\"recipients\":[");
}

/* The rows of one message are together: its object is complete. */
void
request_list_end(struct request *q)
{
	if (q->number == 0)
		return;
	q->number = 0;
	q->item_rcpts = 0;
	if (!q->is_skipped) {
		buf_puts(&q->item, "]}");
		if (buf_check(&q->item) == 0)
			request_send_item(q, buf_span(&q->item));
	}
	buf_clear(&q->item);
}

bool
request_list_row(struct request *q, const struct row *row)
{
	if (row->number != q->number) {
		request_list_end(q);
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
		request_list_end(q);
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
