/* SPDX-License-Identifier: ISC */
#ifndef QMGR_STORE_INT_H
#define QMGR_STORE_INT_H

#include <sqlite3.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/map.h"
#include "qmgr/store/store_own.h"

/* Between the files of the store: store.c (loop side), store_db.c (open, statements), store_txn.c and store_log.c (ops), store_lane.c
 * (lanes), store_query.c (queries). */

/* ---- what waits ---- */

enum op_kind {
	OP_DONE,
	OP_PUT,
	OP_UNLOAD,
	OP_BOUNCE,
	OP_EXPAND,
	OP_REPORTED,
	OP_LANE,
	OP_CURSOR,
	OP_SEGMENT,
	OP_FLOOR,
	OP_KEY,
	OP_MOVE,
	OP_KIND_COUNT
};

enum segment_op { SEGMENT_OP_USED, SEGMENT_OP_RETIRING, SEGMENT_OP_EMPTY };

/* One op, with copies of all it points to behind it (arena of its own if there is much). */
struct op {
	struct op *next;
	enum op_kind kind;
	size_t bytes;
	uint64_t number;
	uint32_t index;
	/* The place of a message after the cursor. */
	bool has_place, is_suspect;
	struct place place;
	union {
		struct row row;	      /* OP_PUT */
		struct bounce bounce; /* OP_BOUNCE */
		struct {	      /* OP_EXPAND */
			struct row *children;
			uint32_t count;
			bool is_parent_done;
			struct row *made; /* result, in arena */
			uint32_t made_count;
		} expand;
		struct { /* OP_LANE */
			struct store_lane lane;
			uint64_t not_before_ms;
			bool is_active;
		} lane;
		uint64_t last_id;	    /* OP_REPORTED */
		struct store_cursor cursor; /* OP_CURSOR */
		struct {		    /* OP_SEGMENT */
			enum segment_op what;
			uint32_t number;
			uint64_t salt;
			enum segment_kind kind;
		} segment;
		struct { /* OP_FLOOR */
			uint16_t slot;
			uint64_t floor_us;
		} floor;
		struct { /* OP_KEY */
			enum record_origin origin;
			struct span name, key;
			bool is_duplicate; /* result */
		} key;
		struct { /* OP_MOVE */
			struct store_moved *moved;
			uint32_t count;
		} move;
	};
	/* On the loop, after the commit; NULL: nobody waits. */
	void (*finish)(struct store *st, struct op *op);
	void (*done)(void); /* of the caller; cast back in finish() */
	void *arg;
	struct arena arena;
};

struct db;

/* A question: run() on the store thread, finish() on the loop. */
struct query {
	struct query *next;
	void (*run)(struct db *db, struct query *q);
	void (*finish)(struct store *st, struct query *q);
	void (*done)(void);
	void *arg;
	/* question */
	uint64_t number, now_ms, born_ms, after_ms;
	uint32_t index, limit;
	bool is_null_sender;
	struct span text;
	struct store_filter filter;
	/* answer */
	struct row *rows;
	uint32_t count;
	bool is_more; /* query_list: not yet at the end, run it again */
	uint64_t next_due_ms;
	struct store_lane *lanes;
	uint64_t *numbers;
	struct store_report *report; /* NULL: no such message */
	struct store_place *places;
	struct arena arena;
};

struct query *query_new(void (*run)(struct db *db, struct query *q),
			void (*finish)(struct store *st, struct query *q), void (*done)(void),
			void *arg);
void query_free(struct query *q);
void store_ask(struct store *st, struct query *q);

/* ---- the database, on the store thread ---- */

enum stmt_id {
#define STMT(id, sql) STMT_##id,
#include "qmgr/store/store_stmt.def"
#undef STMT
	STMT_COUNT
};

struct lane_mem {
	int64_t id;
	bool is_active; /* a structure in memory of scheduling */
	bool is_saved;	/* ... and the row says so */
};

struct db {
	sqlite3 *sql;
	sqlite3_stmt *stmts[STMT_COUNT];
	const struct store_hooks *hooks;
	void *arg;
	/* First failure of this transaction: 0, E_NOSPACE (again later), E_CORRUPT or E_IO (the end); what, for a person. */
	int err;
	char what[300];
	uint64_t cursor;	    /* as committed, or by this transaction */
	struct store_counts counts; /* as in table total */
	bool is_counts_dirty;
	struct map64 rowed;  /* messages after the cursor that have a message row: db_rowed() */
	struct map64 loaded; /* store_key() of rows that are in memory */
	struct map lanes;    /* name -> struct lane_mem */
	struct store_change *changes; /* of this transaction */
	size_t change_count, change_cap;
	/* The last record whose envelope was read. */
	struct {
		uint64_t number;
		int err;
		struct record rec;
		struct buf buf;
		struct span envelope;
	} head;
};

/* 44 bits of number, 20 of index. */
uint64_t store_key(uint64_t number, uint32_t index);

int db_open(struct db *db, const char *name, bool is_new, bool is_suspicious,
	    struct buf *what_out) MUST_CHECK;
void db_close(struct db *db);
/* A statement, reset and without bindings. Never NULL once the database is open. */
sqlite3_stmt *db_stmt(struct db *db, enum stmt_id id);
/* One step. True: a row. After an error db->err is set and all is false. */
bool db_step(struct db *db, sqlite3_stmt *s);
/* Run to the end, without rows. */
void db_run(struct db *db, sqlite3_stmt *s);
/* Bind in order of appearance: ?1, ?2 ... */
void db_bind_u64(struct db *db, sqlite3_stmt *s, int at, uint64_t v);
void db_bind_text(struct db *db, sqlite3_stmt *s, int at, struct span v);
void db_bind_null(struct db *db, sqlite3_stmt *s, int at);
uint64_t db_u64(sqlite3_stmt *s, int column);
uint32_t db_u32(sqlite3_stmt *s, int column);
/* Valid until the next step. */
struct span db_text(sqlite3_stmt *s, int column);
void db_fail(struct db *db, int err, const char *what);
/* Sets of memory that follow the database, made anew after a transaction was rolled back. */
void db_reload(struct db *db);
void db_save_counts(struct db *db);
/* Value in the set: whether the number of recipients of the message is known. */
void *db_rowed(struct db *db, uint32_t rcpt_count);

/* Apply ops in one transaction. 0: durable; else db->err, nothing was changed, and the same ops may be given again. */
int db_transaction(struct db *db, struct op *ops) MUST_CHECK;
void db_apply(struct db *db, struct op *op);
void db_apply_cursor(struct db *db, const struct op *op);
void db_apply_segment(struct db *db, const struct op *op);
void db_apply_key(struct db *db, struct op *op);
void db_apply_move(struct db *db, const struct op *op);
void db_apply_floor(struct db *db, const struct op *op);
/* A message that may be finished now: its row goes if so. */
void db_settle(struct db *db, uint64_t number);
/* A message row leads to a segment (delta 1) or does so no more (-1). */
void db_count_live(struct db *db, uint32_t segment, uint32_t length, int delta);
struct store_change *db_change(struct db *db, uint64_t number);
/* A new row of rcpt; lane and message row exist. */
void db_insert_row(struct db *db, const struct row *row, int64_t lane, uint64_t born_ms,
		   bool is_null_sender);
/* Row made of the columns of STMT_ROW_* selections, in the arena. */
void db_get_row(sqlite3_stmt *s, struct arena *a, struct row *out);
void db_count_state(struct db *db, enum row_state state, uint32_t attempts, int delta);

struct lane_mem *db_lane(struct db *db, struct span name);
/* A ready row was put into a lane. */
void db_lane_row(struct db *db, struct lane_mem *lane, uint64_t due_ms);
void db_lane_save(struct db *db, struct op *op);
/* Lanes that became active since the last transaction. */
void db_lane_save_active(struct db *db);
void db_lane_mend(struct db *db);

/* Queries (store_query.c, store_lane.c). */
void query_due_lanes(struct db *db, struct query *q);
void query_lane_open(struct db *db, struct query *q);
void query_load_lane(struct db *db, struct query *q);
void query_expired(struct db *db, struct query *q);
void query_list(struct db *db, struct query *q);
void query_rows(struct db *db, struct query *q);
void query_qid(struct db *db, struct query *q);
void query_bounce_messages(struct db *db, struct query *q);
void query_report(struct db *db, struct query *q);
void query_segment_messages(struct db *db, struct query *q);
void query_place(struct db *db, struct query *q);

#endif
