/* SPDX-License-Identifier: ISC
 *
 * What the start of qmgr asks the store before the loop runs, and the rebuilding of a lost queue.db. Everything here
 * runs on the loop's thread, before the store thread exists. */

/* System */
#include <string.h>
/* lib */
#include "base/clock.h"
#include "spool/envelope.h"
/* this program */
#include "qmgr/store/store_int.h"

enum { REBUILD_COMMIT_ROWS = 10000 };

/* struct store begins with it. */
static struct db *
db_of(struct store *st)
{
	return (struct db *)(void *)st;
}

void
store_get_cursor(struct store *st, struct store_cursor *out)
{
	struct db *db = db_of(st);
	sqlite3_stmt *s = db_stmt(db, STMT_CURSOR_GET);

	memset(out, 0, sizeof(*out));
	if (!db_step(db, s))
		return;
	out->number = db_u64(s, 0);
	out->segment = db_u32(s, 1);
	out->salt = db_u64(s, 2);
	out->offset = db_u64(s, 3);
	out->next_number = db_u64(s, 4);
	out->next_batch = db_u64(s, 5);
	sqlite3_reset(s);
}

static bool
number_of(struct db *db, enum stmt_id id, uint64_t arg, uint64_t *out)
{
	sqlite3_stmt *s = db_stmt(db, id);
	bool is_found;

	db_bind_u64(db, s, 1, arg);
	is_found = db_step(db, s);
	if (is_found)
		*out = db_u64(s, 0);
	sqlite3_reset(s);
	return is_found;
}

uint64_t
store_max_number(struct store *st)
{
	struct db *db = db_of(st);
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_MAX);
	uint64_t max = 0;

	if (db_step(db, s))
		max = db_u64(s, 0);
	sqlite3_reset(s);
	return max;
}

uint32_t
store_get_marks(struct store *st, uint64_t number, uint32_t rcpt_count, uint8_t *bitmap)
{
	struct db *db = db_of(st);
	sqlite3_stmt *s = db_stmt(db, STMT_MARK_GET);
	uint32_t n = 0;

	memset(bitmap, 0, (rcpt_count + 7) / 8);
	db_bind_u64(db, s, 1, number);
	while (db_step(db, s)) {
		uint32_t index = db_u32(s, 0);

		if (index >= rcpt_count)
			continue;
		bitmap[index / 8] = (uint8_t)(bitmap[index / 8] | 1u << index % 8);
		n++;
	}
	return n;
}

bool
store_has_message(struct store *st, uint64_t number)
{
	uint64_t unused;

	return number_of(db_of(st), STMT_MESSAGE_PLACE, number, &unused);
}

bool
store_has_qid(struct store *st, uint64_t qid)
{
	uint64_t unused;

	return number_of(db_of(st), STMT_MESSAGE_BY_QID, qid, &unused);
}

void
store_each_floor(struct store *st, void (*fn)(void *arg, uint16_t slot, uint64_t floor_us),
		 void *arg)
{
	struct db *db = db_of(st);
	sqlite3_stmt *s = db_stmt(db, STMT_FLOOR_ALL);

	while (db_step(db, s))
		fn(arg, (uint16_t)db_u32(s, 0), db_u64(s, 1));
}

void
store_each_segment(struct store *st, void (*fn)(void *arg, const struct store_segment *s),
		   void *arg)
{
	struct db *db = db_of(st);
	sqlite3_stmt *s = db_stmt(db, STMT_SEGMENT_ALL);

	while (db_step(db, s)) {
		struct store_segment seg = {
			.number = db_u32(s, 0),
			.salt = db_u64(s, 1),
			.kind = (enum segment_kind)db_u32(s, 2),
			.is_retiring = db_u32(s, 3) != 0,
			.live_messages = db_u64(s, 4),
			.live_bytes = db_u64(s, 5),
		};

		fn(arg, &seg);
	}
}

int
store_start_check(struct store *st, struct buf *what_out)
{
	struct db *db = db_of(st);

	if (db->err != 0)
		buf_puts(what_out, db->what);
	return db->err;
}

/* --- rebuild --------------------------------------------------------------------------------- */

int
store_rebuild_begin(struct store *st)
{
	struct db *db = db_of(st);

	db_run(db, db_stmt(db, STMT_BEGIN));
	return db->err;
}

/* Its rows of an older batch go; the message row is made again at the new place. */
static void
drop_message(struct db *db, uint64_t number)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_GET);
	uint32_t segment, length;
	uint64_t size, rows;

	db_bind_u64(db, s, 1, number);
	if (!db_step(db, s))
		return;
	segment = db_u32(s, 1);
	length = db_u32(s, 3);
	size = db_u64(s, 5);
	rows = db_u64(s, 10);
	sqlite3_reset(s);
	s = db_stmt(db, STMT_ROW_DROP_ALL);
	db_bind_u64(db, s, 1, number);
	db_run(db, s);
	s = db_stmt(db, STMT_MESSAGE_DROP);
	db_bind_u64(db, s, 1, number);
	db_run(db, s);
	s = db_stmt(db, STMT_SEGMENT_LIVE);
	db_bind_u64(db, s, 1, segment);
	db_bind_u64(db, s, 2, (uint64_t)-1);
	db_bind_u64(db, s, 3, (uint64_t) - (int64_t)length);
	db_run(db, s);
	db->counts.messages--;
	db->counts.bytes -= size;
	db->counts.rows[ROW_UNKNOWN] -= rows;
}

static void
add_message(struct db *db, const struct record *rec, const struct place *at,
	    const struct envelope *e)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_ADD);

	db_bind_u64(db, s, 1, rec->number);
	db_bind_u64(db, s, 2, rec->qid);
	db_bind_u64(db, s, 3, at->segment);
	db_bind_u64(db, s, 4, rec->salt);
	db_bind_u64(db, s, 5, at->offset);
	db_bind_u64(db, s, 6, at->length);
	db_bind_u64(db, s, 7, rec->flags);
	db_bind_u64(db, s, 8, rec->content_flags);
	db_bind_u64(db, s, 9, rec->trace_len + rec->content_len);
	db_bind_u64(db, s, 10, rec->arrival_us / 1000);
	db_bind_text(db, s, 11, e->sender);
	db_bind_u64(db, s, 12, e->uid);
	db_bind_u64(db, s, 13, rec->rcpt_count);
	db_run(db, s);
	s = db_stmt(db, STMT_MESSAGE_SUMS);
	db_bind_u64(db, s, 1, rec->number);
	db_bind_u64(db, s, 2, e->rcpt_count);
	db_bind_u64(db, s, 3, 0);
	db_bind_u64(db, s, 4, rec->rcpt_count);
	db_run(db, s);
	s = db_stmt(db, STMT_SEGMENT_LIVE);
	db_bind_u64(db, s, 1, at->segment);
	db_bind_u64(db, s, 2, 1);
	db_bind_u64(db, s, 3, at->length);
	db_run(db, s);
	db->counts.messages++;
	db->counts.bytes += rec->trace_len + rec->content_len;
	db->is_counts_dirty = true;
}

int
store_rebuild_message(struct store *st, const struct record *rec, const struct place *at,
		      struct span envelope)
{
	struct db *db = db_of(st);
	struct lane_mem *lane = db_lane(db, SPAN(""));
	struct envelope e;
	struct arena a;

	arena_init(&a, 4096);
	drop_message(db, rec->number);
	if (envelope_decode(envelope, &a, &e) == 0) {
		add_message(db, rec, at, &e);
		for (uint32_t i = 0; i < e.rcpt_count; i++) {
			struct row row = {
				.number = rec->number,
				.index = e.rcpts[i].index,
				.state = ROW_UNKNOWN,
				.address = e.rcpts[i].addr,
				.orcpt = e.rcpts[i].orcpt,
				.orig = e.rcpts[i].orig,
				.notify = e.rcpts[i].notify,
				.text = SPAN("queue.db was lost: fate unknown"),
			};

			db_insert_row(db, &row, lane->id, rec->arrival_us / 1000, e.sender.n == 0);
			db_count_state(db, ROW_UNKNOWN, 0, 1);
		}
	}
	arena_clear(&a);
	if (db->counts.messages % REBUILD_COMMIT_ROWS == 0) {
		db_save_counts(db);
		db_run(db, db_stmt(db, STMT_COMMIT));
		db_run(db, db_stmt(db, STMT_BEGIN));
	}
	return db->err;
}

int
store_rebuild_forget(struct store *st, uint64_t number)
{
	drop_message(db_of(st), number);
	return db_of(st)->err;
}

int
store_rebuild_end(struct store *st, const struct store_cursor *c)
{
	struct db *db = db_of(st);
	struct op op = { .kind = OP_CURSOR, .cursor = *c };

	db_apply(db, &op);
	db_save_counts(db);
	db_run(db, db_stmt(db, STMT_COMMIT));
	db_reload(db);
	return db->err;
}
