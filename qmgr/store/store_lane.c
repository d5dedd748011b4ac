/* SPDX-License-Identifier: ISC
 *
 * Lanes as the store knows them: rows of one lane, by due time, and which lanes have something to do. What a lane means
 * is scheduling's. Runs in qmgr on the store thread.
 *
 * A lane that is a structure in memory of scheduling is active: its next_due_ms in the table is not kept up, it is not
 * given out as due, and at the next start it is mended from its rows. A row that was loaded is in the set `loaded` until
 * one of its ops. */

/* System */
#include <string.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "qmgr/store/store_int.h"

enum { LANES_KEPT = 20000 };

/* --- ids ------------------------------------------------------------------------------------- */

/* Forget the names that only save a look-up. */
static void
trim(struct db *db)
{
	struct span name;
	void *value;

	if (db->lanes.count < LANES_KEPT)
		return;
	for (size_t it = 0; map_next(&db->lanes, &it, &name, &value);) {
		struct lane_mem *lane = value;

		if (lane->is_active)
			continue;
		map_del(&db->lanes, name);
		mem_free(lane);
	}
}

static void
find_or_add(struct db *db, struct lane_mem *lane, struct span name)
{
	sqlite3_stmt *s = db_stmt(db, STMT_LANE_GET);

	db_bind_text(db, s, 1, name);
	if (db_step(db, s)) {
		lane->id = (int64_t)db_u64(s, 0);
		lane->is_saved = db_u32(s, 1) != 0;
		sqlite3_reset(s);
		return;
	}
	s = db_stmt(db, STMT_LANE_ADD);
	db_bind_text(db, s, 1, name);
	db_run(db, s);
	lane->id = sqlite3_last_insert_rowid(db->sql);
	lane->is_saved = false;
}

static struct lane_mem *
in_memory(struct db *db, struct span name)
{
	struct lane_mem *lane = map_get(&db->lanes, name);

	if (lane != NULL)
		return lane;
	trim(db);
	lane = mem_zalloc(sizeof(*lane));
	map_put(&db->lanes, name, lane);
	return lane;
}

struct lane_mem *
db_lane(struct db *db, struct span name)
{
	struct lane_mem *lane = in_memory(db, name);

	if (lane->id == 0)
		find_or_add(db, lane, name);
	return lane;
}

void
db_lane_row(struct db *db, struct lane_mem *lane, uint64_t due_ms)
{
	sqlite3_stmt *s;

	if (lane->is_active)
		return;
	s = db_stmt(db, STMT_LANE_ROW);
	db_bind_u64(db, s, 1, (uint64_t)lane->id);
	db_bind_u64(db, s, 2, due_ms);
	db_run(db, s);
}

void
db_lane_mend(struct db *db)
{
	db_run(db, db_stmt(db, STMT_LANE_MEND));
}

/* --- activity -------------------------------------------------------------------------------- */

void
db_lane_save_active(struct db *db)
{
	struct span name;
	void *value;

	for (size_t it = 0; map_next(&db->lanes, &it, &name, &value) && db->err == 0;) {
		struct lane_mem *lane = value;
		sqlite3_stmt *s;

		if (!lane->is_active || lane->is_saved || lane->id == 0)
			continue;
		s = db_stmt(db, STMT_LANE_ACTIVATE);
		db_bind_u64(db, s, 1, (uint64_t)lane->id);
		db_run(db, s);
		lane->is_saved = true;
	}
}

/* When its first row is due, loaded ones included. */
static bool
first_due(struct db *db, int64_t id, uint64_t *due_out)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_LANE_MIN);
	bool has_row = false;

	db_bind_u64(db, s, 1, (uint64_t)id);
	if (db_step(db, s)) {
		has_row = sqlite3_column_type(s, 0) != SQLITE_NULL;
		*due_out = db_u64(s, 0);
		sqlite3_reset(s);
	}
	return has_row;
}

/* Rows that are held, or finished children. */
static bool
has_other_rows(struct db *db, int64_t id)
{
	sqlite3_stmt *s = db_stmt(db, STMT_LANE_HAS_OTHER);
	bool is_found;

	db_bind_u64(db, s, 1, (uint64_t)id);
	is_found = db_step(db, s);
	sqlite3_reset(s);
	return is_found;
}

void
db_lane_save(struct db *db, struct op *op)
{
	const struct store_lane *l = &op->lane.lane;
	struct lane_mem *lane = db_lane(db, l->name);
	uint64_t due = 0;
	bool has_row = first_due(db, lane->id, &due);
	sqlite3_stmt *s;

	lane->is_active = lane->is_saved = op->lane.is_active;
	/* Nothing to remember. Not while it is active: its id is in use. */
	if (!op->lane.is_active && l->failures == 0 && op->lane.not_before_ms == 0 && !has_row &&
	    !has_other_rows(db, lane->id)) {
		s = db_stmt(db, STMT_LANE_DROP);
		db_bind_u64(db, s, 1, (uint64_t)lane->id);
		db_run(db, s);
		lane->id = 0;
		return;
	}
	s = db_stmt(db, STMT_LANE_SET);
	db_bind_u64(db, s, 1, (uint64_t)lane->id);
	db_bind_u64(db, s, 2, op->lane.is_active);
	if (has_row)
		db_bind_u64(db, s, 3, due > op->lane.not_before_ms ? due : op->lane.not_before_ms);
	else
		db_bind_null(db, s, 3);
	db_bind_u64(db, s, 4, op->lane.not_before_ms);
	db_bind_u64(db, s, 5, l->failures);
	db_bind_u64(db, s, 6, l->reply);
	db_bind_text(db, s, 7, l->esc);
	db_bind_text(db, s, 8, l->text);
	db_run(db, s);
}

static void
get_lane(sqlite3_stmt *s, struct arena *a, struct store_lane *out)
{
	*out = (struct store_lane){
		.name = arena_dup(a, db_text(s, 0)),
		.next_due_ms = sqlite3_column_type(s, 1) != SQLITE_NULL ? db_u64(s, 1) : UINT64_MAX,
		.failures = db_u32(s, 2),
		.reply = (uint16_t)db_u32(s, 3),
		.esc = arena_dup(a, db_text(s, 4)),
		.text = arena_dup(a, db_text(s, 5)),
	};
}

static bool
is_active(const struct db *db, struct span name)
{
	const struct lane_mem *lane = map_get(&db->lanes, name);

	return lane != NULL && lane->is_active;
}

/* --- queries --------------------------------------------------------------------------------- */

void
query_due_lanes(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_LANE_DUE);

	q->lanes = arena_alloc(&q->arena, (q->limit + 1) * sizeof(*q->lanes));
	q->next_due_ms = UINT64_MAX;
	while (db_step(db, s)) {
		/* Became active after the last transaction: the table does not say so yet. */
		if (is_active(db, db_text(s, 0)))
			continue;
		if (db_u64(s, 1) > q->now_ms || q->count == q->limit) {
			q->next_due_ms = db_u64(s, 1);
			break;
		}
		get_lane(s, &q->arena, &q->lanes[q->count++]);
	}
	sqlite3_reset(s);
	for (uint32_t i = 0; i < q->count; i++)
		db_lane(db, q->lanes[i].name)->is_active = true;
}

void
query_lane_open(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_LANE_INFO);
	struct lane_mem *lane = in_memory(db, q->text);

	lane->is_active = true;
	q->lanes = arena_alloc(&q->arena, sizeof(*q->lanes));
	q->lanes[0] = (struct store_lane){ .name = q->text, .next_due_ms = UINT64_MAX };
	db_bind_text(db, s, 1, q->text);
	if (!db_step(db, s))
		return;
	get_lane(s, &q->arena, &q->lanes[0]);
	q->lanes[0].not_before_ms = db_u64(s, 6);
	/* The caller gets the suspension, too. */
	if (db_u64(s, 6) > q->lanes[0].next_due_ms || q->lanes[0].next_due_ms == UINT64_MAX)
		q->lanes[0].next_due_ms = db_u64(s, 6) > 0 ? db_u64(s, 6) : q->lanes[0].next_due_ms;
	sqlite3_reset(s);
}

static bool
is_loaded(const struct db *db, uint64_t number, uint32_t index)
{
	return map64_get(&db->loaded, store_key(number, index)) != NULL;
}

/* Take the rows of a selection that are not in memory, up to the limit. */
static void
take_rows(struct db *db, struct query *q, sqlite3_stmt *s)
{
	q->rows = arena_alloc(&q->arena, (q->limit + 1) * sizeof(*q->rows));
	while (q->count < q->limit && db_step(db, s)) {
		if (is_loaded(db, db_u64(s, 0), db_u32(s, 1)))
			continue;
		db_get_row(s, &q->arena, &q->rows[q->count++]);
	}
	if (s != NULL)
		sqlite3_reset(s);
	for (uint32_t i = 0; i < q->count; i++)
		map64_put(&db->loaded, store_key(q->rows[i].number, q->rows[i].index), db);
}

/* A lane's row in the table without making one; 0: none. */
static uint64_t
lane_id(struct db *db, struct span name)
{
	sqlite3_stmt *s = db_stmt(db, STMT_LANE_GET);
	uint64_t id = 0;

	db_bind_text(db, s, 1, name);
	if (db_step(db, s)) {
		id = db_u64(s, 0);
		sqlite3_reset(s);
	}
	return id;
}

void
query_load_lane(struct db *db, struct query *q)
{
	uint64_t id = lane_id(db, q->text);
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_OF_LANE);

	db_bind_u64(db, s, 1, id);
	db_bind_u64(db, s, 2, q->now_ms);
	take_rows(db, q, s);
	q->next_due_ms = UINT64_MAX;
	s = db_stmt(db, STMT_ROW_LANE_DUES);
	db_bind_u64(db, s, 1, id);
	while (db_step(db, s)) {
		if (is_loaded(db, db_u64(s, 0), db_u32(s, 1)))
			continue;
		q->next_due_ms = db_u64(s, 2);
		break;
	}
	sqlite3_reset(s);
}

void
query_expired(struct db *db, struct query *q)
{
	sqlite3_stmt *s = db_stmt(db, STMT_ROW_EXPIRED);

	db_bind_u64(db, s, 1, lane_id(db, q->text));
	db_bind_u64(db, s, 2, q->is_null_sender);
	db_bind_u64(db, s, 3, q->born_ms);
	db_bind_u64(db, s, 4, q->now_ms);
	db_bind_u64(db, s, 5, q->after_ms);
	db_bind_u64(db, s, 6, q->number);
	db_bind_u64(db, s, 7, q->index);
	take_rows(db, q, s);
}
