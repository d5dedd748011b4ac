/* SPDX-License-Identifier: ISC
 *
 * Questions to the store that change nothing: pages of rows for the administrator, rows and reports of one message,
 * queue ids, places. Runs in qmgr on the store thread; a page at a time, so that nothing else waits long. */

/* System */
#include <string.h>
/* lib */
#include "spool/envelope.h"
/* this program */
#include "qmgr/store/store_int.h"

enum { LIST_STEP_ROWS = 10000 };

/* --- rows ------------------------------------------------------------------------------------ */

void
db_get_row(sqlite3_stmt *s, struct arena *a, struct row *out)
{
	*out = (struct row){
		.number = db_u64(s, 0),
		.index = db_u32(s, 1),
		.state = (enum row_state)db_u32(s, 2),
		.flags = db_u32(s, 3) | (db_u32(s, 29) != 0 ? ROW_NULL_SENDER : 0),
		.attempts = db_u32(s, 4),
		.due_ms = db_u64(s, 5),
		.last_ms = db_u64(s, 6),
		.reply = (uint16_t)db_u32(s, 7),
		.parent = db_u32(s, 8),
		.depth = (uint8_t)db_u32(s, 9),
		.notify = (uint8_t)db_u32(s, 10),
		.lane = arena_dup(a, db_text(s, 11)),
		.address = arena_dup(a, db_text(s, 12)),
		.orcpt = arena_dup(a, db_text(s, 13)),
		.orig = arena_dup(a, db_text(s, 14)),
		.has_sender = sqlite3_column_type(s, 15) != SQLITE_NULL,
		.sender = arena_dup(a, db_text(s, 15)),
		.esc = arena_dup(a, db_text(s, 16)),
		.text = arena_dup(a, db_text(s, 17)),
		.relay = arena_dup(a, db_text(s, 18)),
		.qid = db_u64(s, 19),
		.arrival_ms = db_u64(s, 20),
		.size_bytes = db_u64(s, 21),
		.place = { db_u32(s, 22), db_u32(s, 23), db_u32(s, 24) },
		.msg_flags = db_u32(s, 25),
		.content_flags = db_u32(s, 26),
		.uid = db_u32(s, 27),
		.msg_sender = arena_dup(a, db_text(s, 28)),
	};
}

void
query_rows(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_OF_MESSAGE);
	uint32_t cap = 16;
	struct row *rows = arena_alloc(&q->arena, cap * sizeof(*rows));

	db_bind_u64(db, s, 1, q->number);
	while (db_step(db, s)) {
		if (q->count == cap) {
			struct row *more = arena_alloc(&q->arena, cap * 2 * sizeof(*more));

			memcpy(more, rows, cap * sizeof(*rows));
			rows = more;
			cap *= 2;
		}
		db_get_row(s, &q->arena, &rows[q->count++]);
	}
	q->rows = rows;
}

/* --- lists ----------------------------------------------------------------------------------- */

/* The text of a selection and what is bound to it, in order. */
struct where {
	struct buf sql;
	struct span values[16];
	uint64_t numbers[16];
	bool is_text[16];
	int count;
	struct arena *arena;
};

static void
bind_text(struct where *w, struct span value)
{
	w->is_text[w->count] = true;
	w->values[w->count++] = value;
}

static void
bind_number(struct where *w, uint64_t value)
{
	w->is_text[w->count] = false;
	w->numbers[w->count++] = value;
}

/* A pattern of LIKE in which only * is special. */
static struct span
like_pattern(struct where *w, struct span text)
{
	char *out = arena_alloc(w->arena, text.n * 2 + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '%' || text.p[i] == '_' || text.p[i] == '\\')
			out[n++] = '\\';
		out[n++] = text.p[i] == '*' ? '%' : text.p[i];
	}
	return span_make(out, n);
}

/* Exact without regard to case, or with *. `before` stands in front of the pattern. */
static void
add_text(struct where *w, const char *column, const char *before, struct span text)
{
	struct span pattern;

	if (text.p == NULL)
		return;
	pattern = like_pattern(w, text);
	buf_printf(&w->sql, " AND %s LIKE ?%d ESCAPE '\\'", column, w->count + 1);
	bind_text(w, before[0] == '\0' ? pattern
				       : span_of(arena_printf(w->arena, "%s%.*s", before,
							      SPAN_ARG(pattern))));
}

static void
add_qids(struct where *w, const struct store_filter *f)
{
	if (f->qid_count == 0)
		return;
	buf_puts(&w->sql, " AND m.qid IN (");
	for (size_t i = 0; i < f->qid_count; i++)
		buf_printf(&w->sql, "%s%lld", i > 0 ? "," : "", (long long)f->qids[i]);
	buf_puts(&w->sql, ")");
}

static void
add_filter(struct where *w, const struct store_filter *f)
{
	if (f->state >= 0)
		buf_printf(&w->sql, " AND r.state = %d", f->state);
	else
		buf_printf(&w->sql, " AND r.state <> %d", ROW_DONE);
	if (f->is_deferred)
		buf_puts(&w->sql, " AND r.state = 0 AND r.attempts > 0");
	if (f->has_uid)
		buf_printf(&w->sql, " AND m.uid = %u", f->uid);
	if (f->born_before_ms > 0) {
		buf_printf(&w->sql, " AND r.born_ms < ?%d", w->count + 1);
		bind_number(w, f->born_before_ms);
	}
	add_text(w, "m.sender", "", f->sender);
	add_text(w, "r.address", "", f->rcpt);
	add_text(w, "r.address", "%@", f->domain);
	add_text(w, "l.name", "", f->lane);
	if (f->error.n > 0) {
		struct span text = span_of(arena_printf(w->arena, "*%.*s*", SPAN_ARG(f->error)));

		add_text(w, "(r.reply || ' ' || r.esc || ' ' || r.reply_text)", "", text);
	}
	add_qids(w, f);
}

/* From the row behind a key to another one. Row values are compared, so it is a search, not a walk. */
static void
add_keys(struct where *w, const struct query *q, uint64_t to_number, uint32_t to_index)
{
	buf_printf(&w->sql, " AND (r.number, r.idx) > (?%d, ?%d)", w->count + 1, w->count + 2);
	bind_number(w, q->number);
	bind_number(w, q->index);
	if (!q->is_more)
		return;
	buf_printf(&w->sql, " AND (r.number, r.idx) <= (?%d, ?%d)", w->count + 1, w->count + 2);
	bind_number(w, to_number);
	bind_number(w, to_index);
}

/* How far one step of a list goes: a filter that matches nothing must not hold up the transactions. Queue ids are
 * found by their index. False: to the end. */
static bool
step_end(struct db *db, const struct query *q, uint64_t *number, uint32_t *index)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_AFTER);

	if (q->filter.qid_count > 0)
		return false;
	db_bind_u64(db, s, 1, q->number);
	db_bind_u64(db, s, 2, q->index);
	db_bind_u64(db, s, 3, LIST_STEP_ROWS);
	if (!db_step(db, s))
		return false;
	*number = db_u64(s, 0);
	*index = db_u32(s, 1);
	sqlite3_reset(s);
	return true;
}

/* One step of a page; is_more: q->number and q->index are where the next one begins. The first page begins behind
 * (0, 0): numbers begin at 1. */
void
query_list(struct db *db, struct query *q)
{
	struct where w = { .arena = &q->arena };
	sqlite3_stmt *s = NULL;
	uint64_t to_number = 0;
	uint32_t to_index = 0;

	q->is_more = step_end(db, q, &to_number, &to_index);
	buf_init(&w.sql, 4 << 20);
	buf_puts(&w.sql, "SELECT " ROW_COLUMNS " FROM " ROW_TABLES " WHERE 1");
	add_filter(&w, &q->filter);
	add_keys(&w, q, to_number, to_index);
	buf_printf(&w.sql, " ORDER BY r.number, r.idx LIMIT %u", q->limit - q->count);
	if (q->rows == NULL)
		q->rows = arena_alloc(&q->arena, (q->limit + 1) * sizeof(*q->rows));
	if (buf_check(&w.sql) < 0 ||
	    sqlite3_prepare_v2(db->sql, buf_cstr(&w.sql), -1, &s, NULL) != SQLITE_OK) {
		db_fail(db, E_INTERNAL, sqlite3_errmsg(db->sql));
		buf_clear(&w.sql);
		return;
	}
	for (int i = 0; i < w.count; i++) {
		if (w.is_text[i])
			db_bind_text(db, s, i + 1, w.values[i]);
		else
			db_bind_u64(db, s, i + 1, w.numbers[i]);
	}
	while (q->count < q->limit && db_step(db, s))
		db_get_row(s, &q->arena, &q->rows[q->count++]);
	sqlite3_finalize(s);
	buf_clear(&w.sql);
	if (q->count == q->limit)
		q->is_more = false;
	if (q->is_more) {
		q->number = to_number;
		q->index = to_index;
	}
}

/* --- single values --------------------------------------------------------------------------- */

void
query_qid(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_BY_QID);

	q->numbers = arena_alloc(&q->arena, sizeof(*q->numbers));
	db_bind_u64(db, s, 1, q->number);
	if (db_step(db, s)) {
		q->numbers[q->count++] = db_u64(s, 0);
		sqlite3_reset(s);
	}
}

static void
get_place(sqlite3_stmt *s, struct store_place *out)
{
	*out = (struct store_place){
		.number = db_u64(s, 0),
		.place = { db_u32(s, 1), db_u32(s, 3), db_u32(s, 4) },
		.salt = db_u64(s, 2),
		.flags = db_u32(s, 5),
	};
}

void
query_segment_messages(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_OF_SEGMENT);

	q->places = arena_alloc(&q->arena, (q->limit + 1) * sizeof(*q->places));
	db_bind_u64(db, s, 1, q->index);
	db_bind_u64(db, s, 2, q->number);
	db_bind_u64(db, s, 3, q->limit);
	while (q->count < q->limit && db_step(db, s))
		get_place(s, &q->places[q->count++]);
	sqlite3_reset(s);
}

void
query_place(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_PLACE);

	q->places = arena_alloc(&q->arena, sizeof(*q->places));
	db_bind_u64(db, s, 1, q->number);
	if (db_step(db, s)) {
		get_place(s, &q->places[q->count++]);
		sqlite3_reset(s);
	}
}

/* --- reports --------------------------------------------------------------------------------- */

void
query_bounce_messages(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_BOUNCE_NUMBERS);

	q->numbers = arena_alloc(&q->arena, (q->limit + 1) * sizeof(*q->numbers));
	db_bind_u64(db, s, 1, q->number);
	db_bind_u64(db, s, 2, q->limit);
	while (q->count < q->limit && db_step(db, s))
		q->numbers[q->count++] = db_u64(s, 0);
	sqlite3_reset(s);
}

static void
get_bounce(sqlite3_stmt *s, struct arena *a, uint64_t number, struct bounce *out)
{
	*out = (struct bounce){
		.number = number,
		.index = db_u32(s, 1),
		.kind = (enum bounce_kind)db_u32(s, 2),
		.at_ms = db_u64(s, 4),
		.until_ms = db_u64(s, 5),
		.reply = (uint16_t)db_u32(s, 6),
		.esc = arena_dup(a, db_text(s, 7)),
		.text = arena_dup(a, db_text(s, 8)),
		.relay = arena_dup(a, db_text(s, 9)),
		.address = arena_dup(a, db_text(s, 10)),
		.orcpt = arena_dup(a, db_text(s, 11)),
		.orig = arena_dup(a, db_text(s, 12)),
	};
	out->is_done = out->kind != BOUNCE_DELAYED;
}

static void
get_bounces(struct db *db, struct query *q, struct store_report *r)
{
	sqlite3_stmt *s = db_stmt(db, STMT_BOUNCE_GET);
	struct bounce *all = arena_alloc(&q->arena, 16 * sizeof(*all));
	uint32_t cap = 16;

	db_bind_u64(db, s, 1, q->number);
	while (db_step(db, s)) {
		if (r->count == cap) {
			struct bounce *more = arena_alloc(&q->arena, cap * 2 * sizeof(*more));

			memcpy(more, all, cap * sizeof(*all));
			all = more;
			cap *= 2;
		}
		if (r->count == 0)
			r->first_ms = db_u64(s, 3);
		r->last_id = db_u64(s, 0);
		get_bounce(s, &q->arena, q->number, &all[r->count++]);
	}
	r->bounces = all;
}

void
query_report(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_REPORT_HEAD);
	struct store_report *r;

	db_bind_u64(db, s, 1, q->number);
	if (!db_step(db, s))
		return;
	r = arena_alloc(&q->arena, sizeof(*r));
	*r = (struct store_report){
		.number = q->number,
		.qid = db_u64(s, 0),
		.arrival_ms = db_u64(s, 1),
		.place = { db_u32(s, 2), db_u32(s, 3), db_u32(s, 4) },
		.msg_flags = db_u32(s, 5),
		.sender = arena_dup(&q->arena, db_text(s, 6)),
		.part = db_u32(s, 7),
		.left = db_u32(s, 8),
	};
	sqlite3_reset(s);
	get_bounces(db, q, r);
	q->report = r;
}
