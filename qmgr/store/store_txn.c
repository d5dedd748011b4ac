/* SPDX-License-Identifier: ISC
 *
 * One transaction of the store: the ops of up to 50 ms, applied in order. Marks, message rows and sums follow from them
 * (invariant I1, qmgr/schema.sql). It decides nothing about retries or reports: scheduling did. Runs in qmgr on the
 * store thread.
 *
 * A transaction that fails leaves no trace; the same ops are applied again when the disk has room, so applying an op
 * changes nothing in memory but what db_reload() makes anew and the set of loaded rows, where repeating does no harm. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/mem.h"
#include "spool/envelope.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/store/store_int.h"

/* The message row that an op works on. */
struct message {
	uint64_t number;
	uint64_t qid;
	struct place place;
	uint32_t flags;
	uint64_t size, arrival_ms;
	bool is_null_sender;
	uint32_t rcpt_count, next_index, live_rows, bounces;
};

/* --- sums and changes ------------------------------------------------------------------------ */

struct store_change *
db_change(struct db *db, uint64_t number)
{
	struct store_change *c;

	if (db->change_count == db->change_cap) {
		db->change_cap = db->change_cap > 0 ? db->change_cap * 2 : 256;
		db->changes = mem_grow(db->changes, db->change_cap, sizeof(*db->changes));
	}
	c = &db->changes[db->change_count++];
	*c = (struct store_change){ .number = number };
	return c;
}

void
db_count_state(struct db *db, enum row_state state, uint32_t attempts, int delta)
{
	db->counts.rows[state] += (uint64_t)(int64_t)delta;
	if (state == ROW_READY && attempts > 0)
		db->counts.deferred += (uint64_t)(int64_t)delta;
	db->is_counts_dirty = true;
}

void
db_count_live(struct db *db, uint32_t segment, uint32_t length, int delta)
{
	sqlite3_stmt *s = db_stmt(db, STMT_SEGMENT_LIVE);

	db_bind_u64(db, s, 1, segment);
	db_bind_u64(db, s, 2, (uint64_t)(int64_t)delta);
	db_bind_u64(db, s, 3, (uint64_t)((int64_t)delta * (int64_t)length));
	db_run(db, s);
}

/* --- message rows ---------------------------------------------------------------------------- */

static bool
get_message(struct db *db, uint64_t number, struct message *m)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_GET);

	db_bind_u64(db, s, 1, number);
	if (!db_step(db, s))
		return false;
	m->number = number;
	m->qid = db_u64(s, 0);
	m->place = (struct place){ db_u32(s, 1), db_u32(s, 2), db_u32(s, 3) };
	m->flags = db_u32(s, 4);
	m->size = db_u64(s, 5);
	m->arrival_ms = db_u64(s, 6);
	m->is_null_sender = db_u32(s, 7) != 0;
	m->rcpt_count = db_u32(s, 8);
	m->next_index = db_u32(s, 9);
	m->live_rows = db_u32(s, 10);
	m->bounces = db_u32(s, 11);
	sqlite3_reset(s);
	return true;
}

/* Header and envelope of a message, read from the log. A record that crashed us is not parsed again. */
static int
read_head(struct db *db, const struct op *op, uint64_t number, const struct place *at)
{
	if (db->head.number == number)
		return db->head.err;
	buf_reset(&db->head.buf);
	db->head.number = number;
	db->head.rec.number = 0;
	db->head.envelope = SPAN_NONE;
	db->head.err = db->hooks->read_head(db->arg, number, at, &db->head.buf, &db->head.rec,
					    &db->head.envelope);
	if (op->is_suspect)
		db->head.envelope = SPAN_NONE;
	return db->head.err;
}

/* The first row of a message after the cursor. Its record was read once and is on the disk; if it cannot be read now,
 * the row is made with what is known, so that the recipient is not lost. How many there are is then unknown: the row
 * stays at least until the cursor has passed. */
static bool
make_message(struct db *db, const struct op *op, struct message *m)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_ADD);
	struct envelope e;
	struct arena a;
	struct store_change *c;
	bool is_whole = read_head(db, op, op->number, &op->place) == 0;
	const struct record *rec = &db->head.rec;
	bool is_read = rec->number == op->number; /* the header at least */

	envelope_init(&e);
	arena_init(&a, 4096);
	if (is_whole && db->head.envelope.n > 0 && envelope_decode(db->head.envelope, &a, &e) < 0)
		envelope_init(&e);
	*m = (struct message){ .number = op->number,
			       .place = op->place,
			       .rcpt_count = RECORD_RCPT_MAX };
	if (is_read) {
		m->qid = rec->qid;
		m->flags = rec->flags;
		m->size = rec->trace_len + rec->content_len;
		m->arrival_ms = rec->arrival_us / 1000;
		m->rcpt_count = rec->rcpt_count;
	} else {
		m->arrival_ms = clock_wall_ms();
	}
	m->next_index = m->rcpt_count;
	m->is_null_sender = e.sender.n == 0;
	db_bind_u64(db, s, 1, op->number);
	db_bind_u64(db, s, 2, m->qid);
	db_bind_u64(db, s, 3, op->place.segment);
	db_bind_u64(db, s, 4, is_read ? rec->salt : db->hooks->salt_of(db->arg, op->place.segment));
	db_bind_u64(db, s, 5, op->place.offset);
	db_bind_u64(db, s, 6, op->place.length);
	db_bind_u64(db, s, 7, m->flags);
	db_bind_u64(db, s, 8, is_read ? rec->content_flags : 0);
	db_bind_u64(db, s, 9, m->size);
	db_bind_u64(db, s, 10, m->arrival_ms);
	db_bind_text(db, s, 11, e.sender);
	db_bind_u64(db, s, 12, e.uid);
	db_bind_u64(db, s, 13, m->rcpt_count);
	db_run(db, s);
	arena_clear(&a);
	db_count_live(db, op->place.segment, op->place.length, 1);
	db->counts.messages++;
	db->counts.bytes += m->size;
	db->is_counts_dirty = true;
	map64_put(&db->rowed, op->number, db_rowed(db, m->rcpt_count));
	c = db_change(db, op->number);
	c->row = ROW_MADE;
	c->qid = m->qid;
	c->flags = m->flags;
	c->segment = m->place.segment;
	c->length = m->place.length;
	return db->err == 0;
}

/* The message row of an op, made if it may be. False: the message is finished, or unknown. */
static bool
need_message(struct db *db, const struct op *op, struct message *m)
{
	if (op->number >= db->cursor && map64_get(&db->rowed, op->number) == NULL)
		return op->has_place && make_message(db, op, m);
	return get_message(db, op->number, m);
}

/* Store what changed; a message without live rows, bounces and unmarked recipients goes. */
static void
put_message(struct db *db, const struct message *m)
{
	sqlite3_stmt *s;
	uint64_t unmarked = 0, done_before;
	struct store_change *c;

	if (m->live_rows == 0 && m->bounces == 0 && m->number >= db->cursor) {
		s = db_stmt(db, STMT_MARK_COUNT);
		db_bind_u64(db, s, 1, m->number);
		unmarked = db_step(db, s) && db_u64(s, 0) < m->rcpt_count;
		sqlite3_reset(s);
	}
	if (m->live_rows > 0 || m->bounces > 0 || unmarked > 0) {
		s = db_stmt(db, STMT_MESSAGE_SUMS);
		db_bind_u64(db, s, 1, m->number);
		db_bind_u64(db, s, 2, m->live_rows);
		db_bind_u64(db, s, 3, m->bounces);
		db_bind_u64(db, s, 4, m->next_index);
		db_run(db, s);
		return;
	}
	/* What is left of its rows are finished children. */
	done_before = (uint64_t)sqlite3_total_changes64(db->sql);
	s = db_stmt(db, STMT_ROW_DROP_ALL);
	db_bind_u64(db, s, 1, m->number);
	db_run(db, s);
	db->counts.rows[ROW_DONE] -= (uint64_t)sqlite3_total_changes64(db->sql) - done_before;
	s = db_stmt(db, STMT_MESSAGE_DROP);
	db_bind_u64(db, s, 1, m->number);
	db_run(db, s);
	db_count_live(db, m->place.segment, m->place.length, -1);
	db->counts.messages--;
	db->counts.bytes -= m->size;
	db->is_counts_dirty = true;
	map64_del(&db->rowed, m->number);
	c = db_change(db, m->number);
	c->row = ROW_GONE;
	c->qid = m->qid;
	c->flags = m->flags;
	c->segment = m->place.segment;
	c->length = m->place.length;
}

void
db_settle(struct db *db, uint64_t number)
{
	struct message m;

	if (get_message(db, number, &m))
		put_message(db, &m);
}

/* --- recipients ------------------------------------------------------------------------------ */

struct old_row {
	enum row_state state;
	uint32_t flags, attempts;
};

static bool
get_row(struct db *db, uint64_t number, uint32_t index, struct old_row *old)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_GET);

	db_bind_u64(db, s, 1, number);
	db_bind_u64(db, s, 2, index);
	if (!db_step(db, s))
		return false;
	old->state = (enum row_state)db_u32(s, 0);
	old->flags = db_u32(s, 1);
	old->attempts = db_u32(s, 2);
	sqlite3_reset(s);
	return true;
}

/* The recipient leaves the log. False: it had left it before. */
static bool
mark(struct db *db, uint64_t number, uint32_t index)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MARK_ADD);

	db_bind_u64(db, s, 1, number);
	db_bind_u64(db, s, 2, index);
	db_run(db, s);
	if (db->err != 0 || sqlite3_changes(db->sql) == 0)
		return false;
	db_change(db, number)->marked = 1;
	return true;
}

/* The row of a finished recipient goes; a child's stays until the message is done, so that it is not made again. */
static void
finish_row(struct db *db, struct message *m, uint32_t index, const struct old_row *old)
{
	bool is_child = (old->flags & ROW_CHILD) != 0;
	sqlite3_stmt *s = db_stmt(db, is_child ? STMT_ROW_FINISH_CHILD : STMT_ROW_DROP);

	db_bind_u64(db, s, 1, m->number);
	db_bind_u64(db, s, 2, index);
	db_run(db, s);
	db_count_state(db, old->state, old->attempts, -1);
	if (is_child)
		db_count_state(db, ROW_DONE, 0, 1);
	m->live_rows--;
}

/* The recipient stands in the log behind the cursor: what becomes of it is a mark. Children never do. */
static bool
is_in_log(const struct db *db, const struct message *m, uint32_t index)
{
	return m->number >= db->cursor && index < m->rcpt_count;
}

/* A recipient is finished. m: its message row, already read; NULL: read it if there is one. */
static void
finish_rcpt(struct db *db, uint64_t number, uint32_t index, struct message *m)
{
	struct message own;
	struct old_row old;
	bool is_marked;

	map64_del(&db->loaded, store_key(number, index));
	/* The first and only op of a recipient after the cursor: the usual case. */
	if (m == NULL && number >= db->cursor && map64_get(&db->rowed, number) == NULL) {
		mark(db, number, index);
		return;
	}
	if (m == NULL) {
		if (!get_message(db, number, &own))
			return;
		m = &own;
	}
	is_marked = is_in_log(db, m, index) && mark(db, number, index);
	if (!is_marked && get_row(db, number, index, &old) && old.state != ROW_DONE)
		finish_row(db, m, index, &old);
	if (m == &own)
		put_message(db, m);
}

void
db_insert_row(struct db *db, const struct row *row, int64_t lane, uint64_t born_ms,
	      bool is_null_sender)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_ADD);

	db_bind_u64(db, s, 1, row->number);
	db_bind_u64(db, s, 2, row->index);
	db_bind_u64(db, s, 3, row->state);
	db_bind_u64(db, s, 4, row->flags & ~(uint32_t)ROW_IN_MEMORY);
	db_bind_u64(db, s, 5, (uint64_t)lane);
	db_bind_u64(db, s, 6, row->due_ms);
	db_bind_u64(db, s, 7, born_ms);
	db_bind_u64(db, s, 8, is_null_sender);
	db_bind_u64(db, s, 9, row->attempts);
	db_bind_u64(db, s, 10, row->last_ms);
	db_bind_u64(db, s, 11, row->reply);
	db_bind_text(db, s, 12, row->esc);
	db_bind_text(db, s, 13, row->text);
	db_bind_text(db, s, 14, row->relay);
	db_bind_text(db, s, 15, row->address);
	db_bind_text(db, s, 16, row->orcpt);
	db_bind_text(db, s, 17, row->orig);
	db_bind_u64(db, s, 18, row->notify);
	db_bind_u64(db, s, 19, row->parent);
	db_bind_u64(db, s, 20, row->depth);
	if (row->has_sender)
		db_bind_text(db, s, 21, row->sender);
	else
		db_bind_null(db, s, 21);
	db_run(db, s);
}

/* Address and DSN parameters of a recipient of the envelope. */
static void
fill_names(struct db *db, const struct op *op, const struct message *m, struct row *row)
{
	struct env_rcpt rcpt;

	if (row->address.n > 0 || read_head(db, op, m->number, &m->place) < 0)
		return;
	if (envelope_find_rcpt(db->head.envelope, row->index, &rcpt) < 0)
		return;
	row->address = rcpt.addr;
	row->orcpt = rcpt.orcpt;
	row->orig = rcpt.orig;
	row->notify = rcpt.notify;
}

static void
update_row(struct db *db, const struct row *row, const struct old_row *old, int64_t lane)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_SET);

	db_bind_u64(db, s, 1, row->number);
	db_bind_u64(db, s, 2, row->index);
	db_bind_u64(db, s, 3, row->state);
	db_bind_u64(db, s, 4,
		    (row->flags &
		     ~(uint32_t)(ROW_IN_MEMORY | ROW_CHILD | ROW_NULL_SENDER | ROW_NO_ALIAS)) |
			    (old->flags & (ROW_CHILD | ROW_NULL_SENDER | ROW_NO_ALIAS)));
	db_bind_u64(db, s, 5, (uint64_t)lane);
	db_bind_u64(db, s, 6, row->due_ms);
	db_bind_u64(db, s, 7, row->attempts);
	db_bind_u64(db, s, 8, row->last_ms);
	db_bind_u64(db, s, 9, row->reply);
	db_bind_text(db, s, 10, row->esc);
	db_bind_text(db, s, 11, row->text);
	db_bind_text(db, s, 12, row->relay);
	db_run(db, s);
	db_count_state(db, old->state, old->attempts, -1);
	db_count_state(db, row->state, row->attempts, 1);
}

static void
set_loaded(struct db *db, const struct row *row)
{
	uint64_t key = store_key(row->number, row->index);

	if (row->flags & ROW_IN_MEMORY)
		map64_put(&db->loaded, key, db);
	else
		map64_del(&db->loaded, key);
}

static void
apply_put(struct db *db, struct op *op)
{
	struct row row = op->row;
	struct message m;
	struct old_row old;
	struct lane_mem *lane;

	if (!need_message(db, op, &m))
		return;
	lane = db_lane(db, row.lane);
	if (get_row(db, row.number, row.index, &old)) {
		if (old.state == ROW_DONE)
			return;
		update_row(db, &row, &old, lane->id);
	} else {
		/* Behind the cursor, or marked, or a child without row: it was finished before. */
		if (!is_in_log(db, &m, row.index) || !mark(db, row.number, row.index)) {
			put_message(db, &m);
			return;
		}
		fill_names(db, op, &m, &row);
		row.flags |= m.is_null_sender ? ROW_NULL_SENDER : 0;
		db_insert_row(db, &row, lane->id, m.arrival_ms, m.is_null_sender);
		db_count_state(db, row.state, row.attempts, 1);
		m.live_rows++;
		put_message(db, &m);
	}
	set_loaded(db, &row);
	if (row.state == ROW_READY)
		db_lane_row(db, lane, row.due_ms);
}

/* --- reports --------------------------------------------------------------------------------- */

/* Names of a child or of a recipient of the envelope, for the report. Copied into the op's arena. */
static void
fill_bounce_names(struct db *db, struct op *op, const struct message *m, struct bounce *b)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_NAMES);
	struct row row = { .index = b->index };

	if (b->address.n > 0)
		return;
	db_bind_u64(db, s, 1, b->number);
	db_bind_u64(db, s, 2, b->index);
	if (db_step(db, s)) {
		row.address = arena_dup(&op->arena, db_text(s, 0));
		row.orcpt = arena_dup(&op->arena, db_text(s, 1));
		row.orig = arena_dup(&op->arena, db_text(s, 2));
		sqlite3_reset(s);
	} else {
		fill_names(db, op, m, &row);
	}
	b->address = row.address;
	b->orcpt = row.orcpt;
	b->orig = row.orig;
}

static void
apply_bounce(struct db *db, struct op *op)
{
	struct bounce b = op->bounce;
	struct message m;
	struct old_row old;
	sqlite3_stmt *s;

	if (!need_message(db, op, &m))
		return;
	fill_bounce_names(db, op, &m, &b);
	/* Given again after it was finished (a result that came twice): reported once. */
	if (b.is_done) {
		bool has_row = get_row(db, b.number, b.index, &old) && old.state != ROW_DONE;
		bool is_marked = is_in_log(db, &m, b.index) && mark(db, b.number, b.index);

		map64_del(&db->loaded, store_key(b.number, b.index));
		if (!has_row && !is_marked) {
			put_message(db, &m);
			return;
		}
		if (has_row)
			finish_row(db, &m, b.index, &old);
	}
	s = db_stmt(db, STMT_BOUNCE_ADD);
	db_bind_u64(db, s, 1, b.number);
	db_bind_u64(db, s, 2, b.index);
	db_bind_u64(db, s, 3, b.kind);
	db_bind_u64(db, s, 4, clock_wall_ms());
	db_bind_u64(db, s, 5, b.at_ms);
	db_bind_u64(db, s, 6, b.until_ms);
	db_bind_u64(db, s, 7, b.reply);
	db_bind_text(db, s, 8, b.esc);
	db_bind_text(db, s, 9, b.text);
	db_bind_text(db, s, 10, b.relay);
	db_bind_text(db, s, 11, b.address);
	db_bind_text(db, s, 12, b.orcpt);
	db_bind_text(db, s, 13, b.orig);
	db_run(db, s);
	m.bounces++;
	db->counts.bounces++;
	db->is_counts_dirty = true;
	put_message(db, &m);
}

static void
apply_reported(struct db *db, struct op *op)
{
	sqlite3_stmt *s = db_stmt(db, STMT_BOUNCE_DROP);
	struct message m;
	uint32_t dropped;

	if (!get_message(db, op->number, &m))
		return;
	db_bind_u64(db, s, 1, op->number);
	db_bind_u64(db, s, 2, op->last_id);
	db_run(db, s);
	dropped = (uint32_t)sqlite3_changes(db->sql);
	if (dropped == 0)
		return;
	s = db_stmt(db, STMT_MESSAGE_REPORTED);
	db_bind_u64(db, s, 1, op->number);
	db_run(db, s);
	m.bounces -= dropped;
	db->counts.bounces -= dropped;
	db->is_counts_dirty = true;
	put_message(db, &m);
}

/* --- expansion ------------------------------------------------------------------------------- */

/* Addresses that the message already has, in any state. */
static void
get_addresses(struct db *db, uint64_t number, struct map *out)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_ADDRESSES);

	db_bind_u64(db, s, 1, number);
	while (db_step(db, s))
		map_put(out, db_text(s, 0), db);
}

static void
insert_child(struct db *db, struct op *op, struct message *m, const struct row *child)
{
	struct lane_mem *lane = db_lane(db, child->lane);
	struct row row = *child;

	row.number = m->number;
	row.index = m->next_index++;
	row.flags = (row.flags & (ROW_IN_MEMORY | ROW_NO_ALIAS)) | ROW_CHILD |
		    (m->is_null_sender ? ROW_NULL_SENDER : 0);
	row.parent = op->index;
	db_insert_row(db, &row, lane->id, m->arrival_ms, m->is_null_sender);
	db_count_state(db, row.state, row.attempts, 1);
	m->live_rows++;
	set_loaded(db, &row);
	if (row.state == ROW_READY)
		db_lane_row(db, lane, row.due_ms);
	row.qid = m->qid;
	row.arrival_ms = m->arrival_ms;
	row.place = m->place;
	row.size_bytes = m->size;
	row.msg_flags = m->flags;
	op->expand.made[op->expand.made_count++] = row;
}

/* A parent that was finished before (a result that came twice) makes no more children. */
static bool
is_live(struct db *db, const struct message *m, uint32_t index)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MARK_GET);
	struct old_row old;

	if (get_row(db, m->number, index, &old))
		return old.state != ROW_DONE;
	if (!is_in_log(db, m, index))
		return false;
	db_bind_u64(db, s, 1, m->number);
	while (db_step(db, s)) {
		if (db_u32(s, 0) == index) {
			sqlite3_reset(s);
			return false;
		}
	}
	return true;
}

static void
apply_expand(struct db *db, struct op *op)
{
	struct map known;
	struct message m;

	op->expand.made_count = 0;
	if (!need_message(db, op, &m) || !is_live(db, &m, op->index))
		return;
	map_init(&known);
	get_addresses(db, op->number, &known);
	for (uint32_t i = 0; i < op->expand.count && db->err == 0; i++) {
		const struct row *child = &op->expand.children[i];

		if (m.next_index >= RECORD_RCPT_MAX || map_put(&known, child->address, db) != NULL)
			continue;
		insert_child(db, op, &m, child);
	}
	map_clear(&known);
	CRASHPOINT("expanded-not-committed");
	if (op->expand.is_parent_done)
		finish_rcpt(db, op->number, op->index, &m);
	put_message(db, &m);
}

/* --- the transaction ------------------------------------------------------------------------- */

void
db_apply(struct db *db, struct op *op)
{
	switch (op->kind) {
	case OP_DONE:
		finish_rcpt(db, op->number, op->index, NULL);
		break;
	case OP_PUT:
		apply_put(db, op);
		break;
	case OP_UNLOAD:
		map64_del(&db->loaded, store_key(op->number, op->index));
		break;
	case OP_BOUNCE:
		apply_bounce(db, op);
		break;
	case OP_EXPAND:
		apply_expand(db, op);
		break;
	case OP_REPORTED:
		apply_reported(db, op);
		break;
	case OP_LANE:
		db_lane_save(db, op);
		break;
	case OP_CURSOR:
		db_apply_cursor(db, op);
		break;
	case OP_SEGMENT:
		db_apply_segment(db, op);
		break;
	case OP_FLOOR:
		db_apply_floor(db, op);
		break;
	case OP_KEY:
		db_apply_key(db, op);
		break;
	case OP_MOVE:
		db_apply_move(db, op);
		break;
	case OP_KIND_COUNT:
		break;
	}
}

int
db_transaction(struct db *db, struct op *ops)
{
	db->err = 0;
	db->change_count = 0;
	db->head.number = 0;
	db_run(db, db_stmt(db, STMT_BEGIN));
	for (struct op *op = ops; op != NULL && db->err == 0; op = op->next) {
		db_apply(db, op);
		db->hooks->read_end(db->arg);
	}
	/* After the ops: a lane that got its first row just now would stay without due time if we were killed. */
	db_lane_save_active(db);
	db_save_counts(db);
	CRASHPOINT("transaction-before-commit");
	db_run(db, db_stmt(db, STMT_COMMIT));
	if (db->err == 0) {
		CRASHPOINT("transaction-committed");
		return 0;
	}
	if (db->err == E_NOSPACE) {
		/* The failure is kept over the rollback, which must not fail. */
		char what[sizeof(db->what)];

		memcpy(what, db->what, sizeof(what));
		db->err = 0;
		if (!sqlite3_get_autocommit(db->sql))
			db_run(db, db_stmt(db, STMT_ROLLBACK));
		db_reload(db);
		if (db->err == 0)
			db_fail(db, E_NOSPACE, what);
	}
	return db->err;
}
