/* SPDX-License-Identifier: ISC
 *
 * Ops that storage gives itself: the cursor and the marks behind it, segments in use, places of moved records, dedupe
 * keys, floors of queue ids. Applied in order with all others by store_txn.c. Runs in qmgr on the store thread. */

/* lib */
#include "base/clock.h"
/* this program */
#include "qmgr/store/store_int.h"

enum { KEY_ROWS_MAX = 1000000 };
#define KEY_AGE_MS (7ull * 86400 * 1000)

void
db_apply_cursor(struct db *db, const struct op *op)
{
	sqlite3_stmt *s = db_stmt(db, STMT_CURSOR_SET);
	const struct store_cursor *c = &op->cursor;
	uint64_t number;
	void *value;

	db_bind_u64(db, s, 1, c->number);
	db_bind_u64(db, s, 2, c->segment);
	db_bind_u64(db, s, 3, c->salt);
	db_bind_u64(db, s, 4, c->offset);
	db_bind_u64(db, s, 5, c->next_number);
	db_bind_u64(db, s, 6, c->next_batch);
	db_bind_u64(db, s, 7, clock_wall_ms());
	db_run(db, s);
	s = db_stmt(db, STMT_MARK_DROP);
	db_bind_u64(db, s, 1, c->number);
	db_run(db, s);
	s = db_stmt(db, STMT_KEY_DROP);
	db_bind_u64(db, s, 1, clock_wall_ms() > KEY_AGE_MS ? clock_wall_ms() - KEY_AGE_MS : 0);
	db_run(db, s);
	s = db_stmt(db, STMT_KEY_BOUND);
	db_bind_u64(db, s, 1, KEY_ROWS_MAX);
	db_run(db, s);
	db->cursor = c->number;
	for (size_t it = 0; map64_next(&db->rowed, &it, &number, &value);) {
		if (number >= c->number)
			continue;
		map64_del(&db->rowed, number);
		if (value == db_rowed(db, RECORD_RCPT_MAX))
			db_settle(db, number);
	}
}

void
db_apply_segment(struct db *db, const struct op *op)
{
	static const enum stmt_id ids[] = {
		[SEGMENT_OP_USED] = STMT_SEGMENT_USED,
		[SEGMENT_OP_RETIRING] = STMT_SEGMENT_RETIRING,
		[SEGMENT_OP_EMPTY] = STMT_SEGMENT_EMPTY,
	};
	sqlite3_stmt *s = db_stmt(db, ids[op->segment.what]);

	db_bind_u64(db, s, 1, op->segment.number);
	if (op->segment.what == SEGMENT_OP_USED) {
		db_bind_u64(db, s, 2, op->segment.salt);
		db_bind_u64(db, s, 3, op->segment.kind);
	}
	db_run(db, s);
}

void
db_apply_key(struct db *db, struct op *op)
{
	sqlite3_stmt *s = db_stmt(db, STMT_KEY_ADD);

	db_bind_u64(db, s, 1, op->key.origin);
	db_bind_text(db, s, 2, op->key.name);
	db_bind_text(db, s, 3, op->key.key);
	db_bind_u64(db, s, 4, op->number);
	db_bind_u64(db, s, 5, clock_wall_ms());
	db_run(db, s);
	s = db_stmt(db, STMT_KEY_GET);
	db_bind_u64(db, s, 1, op->key.origin);
	db_bind_text(db, s, 2, op->key.name);
	db_bind_text(db, s, 3, op->key.key);
	op->key.is_duplicate = db_step(db, s) && db_u64(s, 0) != op->number;
	sqlite3_reset(s);
}

void
db_apply_move(struct db *db, const struct op *op)
{
	for (uint32_t i = 0; i < op->move.count && db->err == 0; i++) {
		const struct store_moved *moved = &op->move.moved[i];
		sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_MOVE);
		struct store_change *c;

		db_bind_u64(db, s, 1, moved->number);
		db_bind_u64(db, s, 2, moved->from.segment);
		db_bind_u64(db, s, 3, moved->from.offset);
		db_bind_u64(db, s, 4, moved->to.segment);
		db_bind_u64(db, s, 5, moved->to_salt);
		db_bind_u64(db, s, 6, moved->to.offset);
		db_run(db, s);
		/* Finished meanwhile: the copy is garbage. */
		if (db->err != 0 || sqlite3_changes(db->sql) == 0)
			continue;
		db_count_live(db, moved->from.segment, moved->from.length, -1);
		db_count_live(db, moved->to.segment, moved->to.length, 1);
		c = db_change(db, moved->number);
		c->row = ROW_GONE;
		c->segment = moved->from.segment;
		c->length = moved->from.length;
		c->flags = RECORD_COPY;
		c = db_change(db, moved->number);
		c->row = ROW_MADE;
		c->segment = moved->to.segment;
		c->length = moved->to.length;
		c->flags = RECORD_COPY;
	}
}

void
db_apply_floor(struct db *db, const struct op *op)
{
	sqlite3_stmt *s = db_stmt(db, STMT_FLOOR_SET);

	db_bind_u64(db, s, 1, op->floor.slot);
	db_bind_u64(db, s, 2, op->floor.floor_us);
	db_run(db, s);
}
