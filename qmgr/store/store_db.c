/* SPDX-License-Identifier: ISC
 *
 * The database file of the store: opened, its version checked, made from qmgr/schema.sql; prepared statements; what an
 * error of SQLite means. Nothing of what the tables say. Runs in qmgr on the store thread, before that at start on the
 * loop's. No log lines from here: the log belongs to the loop. */

/* System */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "qmgr/store/store_int.h"

enum {
	DB_VERSION = 1,
	DB_PAGES = 2048,     /* page cache, 4 KiB each */
	DB_WAL_PAGES = 2048, /* written back into the file when the log has grown to this */
};

static const char db_schema[] =
#include "qmgr/schema.sql.inc"
	;

static const char *const db_sql[STMT_COUNT] = {
#define STMT(id, sql) sql,
#include "qmgr/store/store_stmt.def"
#undef STMT
};

uint64_t
store_key(uint64_t number, uint32_t index)
{
	return number << 20 | (index & RECORD_RCPT_MAX);
}

/* --- errors ---------------------------------------------------------------------------------- */

void
db_fail(struct db *db, int err, const char *what)
{
	if (db->err != 0)
		return;
	db->err = err;
	snprintf(db->what, sizeof(db->what), "%s", what);
}

/* What the last failure of SQLite means. A full or read-only disk is no damage: nothing of the transaction is there, it may be tried
 * again. A failed sync is not: what the kernel dropped is unknown, so it counts as an error of the disk. */
static int
classify(int code, int errnum)
{
	if ((code & 0xff) == SQLITE_FULL)
		return E_NOSPACE;
	if (code == SQLITE_IOERR_WRITE && (errnum == ENOSPC || errnum == EDQUOT || errnum == EROFS))
		return E_NOSPACE;
	if ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB)
		return E_CORRUPT;
	return E_IO;
}

static void
fail_sql(struct db *db, const char *during)
{
	char what[300];
	int code = sqlite3_extended_errcode(db->sql);
	/* Not sqlite3_system_errno(): a COMMIT that fails leaves there what was before. */
	int errnum = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN ? errno : 0;

	snprintf(what, sizeof(what), "%s (%d)%s%s: %.120s", sqlite3_errmsg(db->sql), code,
		 errnum != 0 ? ": " : "", errnum != 0 ? strerror(errnum) : "", during);
	db_fail(db, classify(code, errnum), what);
}

/* --- statements ------------------------------------------------------------------------------ */

sqlite3_stmt *
db_stmt(struct db *db, enum stmt_id id)
{
	sqlite3_stmt *s = db->stmts[id];

	if (s == NULL && sqlite3_prepare_v3(db->sql, db_sql[id], -1, SQLITE_PREPARE_PERSISTENT, &s,
					    NULL) != SQLITE_OK) {
		fail_sql(db, db_sql[id]);
		return NULL;
	}
	db->stmts[id] = s;
	sqlite3_reset(s);
	sqlite3_clear_bindings(s);
	return s;
}

bool
db_step(struct db *db, sqlite3_stmt *s)
{
	int r;

	if (db->err != 0 || s == NULL)
		return false;
	errno = 0;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		return true;
	if (r != SQLITE_DONE)
		fail_sql(db, sqlite3_sql(s));
	/* A statement that is not reset holds a read transaction open. */
	sqlite3_reset(s);
	return false;
}

void
db_run(struct db *db, sqlite3_stmt *s)
{
	while (db_step(db, s))
		;
}

void
db_bind_u64(struct db *db, sqlite3_stmt *s, int at, uint64_t v)
{
	(void)db;
	if (s != NULL)
		sqlite3_bind_int64(s, at, (sqlite3_int64)v);
}

void
db_bind_text(struct db *db, sqlite3_stmt *s, int at, struct span v)
{
	(void)db;
	if (s != NULL)
		sqlite3_bind_text64(s, at, v.p != NULL ? v.p : "", v.n, SQLITE_STATIC, SQLITE_UTF8);
}

void
db_bind_null(struct db *db, sqlite3_stmt *s, int at)
{
	(void)db;
	if (s != NULL)
		sqlite3_bind_null(s, at);
}

uint64_t
db_u64(sqlite3_stmt *s, int column)
{
	return (uint64_t)sqlite3_column_int64(s, column);
}

uint32_t
db_u32(sqlite3_stmt *s, int column)
{
	return (uint32_t)sqlite3_column_int64(s, column);
}

struct span
db_text(sqlite3_stmt *s, int column)
{
	const void *p = sqlite3_column_text(s, column);

	return span_make(p, p != NULL ? (size_t)sqlite3_column_bytes(s, column) : 0);
}

/* --- what follows the database in memory ----------------------------------------------------- */

static void
load_counts(struct db *db)
{
	sqlite3_stmt *s = db_stmt(db, STMT_TOTAL_GET);

	if (!db_step(db, s))
		return;
	db->counts.messages = db_u64(s, 0);
	db->counts.bytes = db_u64(s, 1);
	db->counts.rows[ROW_READY] = db_u64(s, 2);
	db->counts.rows[ROW_HELD] = db_u64(s, 3);
	db->counts.rows[ROW_CORRUPT] = db_u64(s, 4);
	db->counts.rows[ROW_UNKNOWN] = db_u64(s, 5);
	db->counts.rows[ROW_DONE] = db_u64(s, 6);
	db->counts.deferred = db_u64(s, 7);
	db->counts.bounces = db_u64(s, 8);
	sqlite3_reset(s);
}

void
db_save_counts(struct db *db)
{
	sqlite3_stmt *s;

	if (!db->is_counts_dirty)
		return;
	s = db_stmt(db, STMT_TOTAL_SET);
	db_bind_u64(db, s, 1, db->counts.messages);
	db_bind_u64(db, s, 2, db->counts.bytes);
	db_bind_u64(db, s, 3, db->counts.rows[ROW_READY]);
	db_bind_u64(db, s, 4, db->counts.rows[ROW_HELD]);
	db_bind_u64(db, s, 5, db->counts.rows[ROW_CORRUPT]);
	db_bind_u64(db, s, 6, db->counts.rows[ROW_UNKNOWN]);
	db_bind_u64(db, s, 7, db->counts.rows[ROW_DONE]);
	db_bind_u64(db, s, 8, db->counts.deferred);
	db_bind_u64(db, s, 9, db->counts.bounces);
	db_run(db, s);
	db->is_counts_dirty = false;
}

void *
db_rowed(struct db *db, uint32_t rcpt_count)
{
	return rcpt_count < RECORD_RCPT_MAX ? (void *)db : (void *)&db->rowed;
}

static void
load_rowed(struct db *db)
{
	sqlite3_stmt *s = db_stmt(db, STMT_MESSAGE_FROM);

	map64_clear(&db->rowed);
	db_bind_u64(db, s, 1, db->cursor);
	while (db_step(db, s))
		map64_put(&db->rowed, db_u64(s, 0), db_rowed(db, db_u32(s, 1)));
}

static void
clear_lanes(struct db *db)
{
	struct span name;
	void *lane;

	for (size_t it = 0; map_next(&db->lanes, &it, &name, &lane);)
		mem_free(lane);
	map_clear(&db->lanes);
}

/* Lanes that are active stay so; their rows may have to be found again. */
static void
forget_lane_ids(struct db *db)
{
	struct span name;
	void *value;

	for (size_t it = 0; map_next(&db->lanes, &it, &name, &value);) {
		struct lane_mem *lane = value;

		lane->id = 0;
		lane->is_saved = false;
	}
}

void
db_reload(struct db *db)
{
	sqlite3_stmt *s = db_stmt(db, STMT_CURSOR_GET);

	if (db_step(db, s))
		db->cursor = db_u64(s, 0);
	sqlite3_reset(s);
	load_counts(db);
	load_rowed(db);
	forget_lane_ids(db);
	db->is_counts_dirty = false;
	db->change_count = 0;
}

/* --- open ------------------------------------------------------------------------------------ */

static int
exec(struct db *db, const char *sql)
{
	if (db->err == 0 && sqlite3_exec(db->sql, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_sql(db, sql);
	return db->err;
}

static int
pragma_number(struct db *db, const char *sql, uint64_t *out)
{
	sqlite3_stmt *s = NULL;

	if (db->err != 0)
		return db->err;
	*out = 0;
	if (sqlite3_prepare_v2(db->sql, sql, -1, &s, NULL) != SQLITE_OK) {
		fail_sql(db, sql);
		return db->err;
	}
	if (db_step(db, s))
		*out = db_u64(s, 0);
	sqlite3_finalize(s);
	return db->err;
}

/* The whole of it, after a failure that looked like damage. */
static int
check_all(struct db *db)
{
	sqlite3_stmt *s = NULL;

	if (sqlite3_prepare_v2(db->sql, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK)
		fail_sql(db, "PRAGMA quick_check(1)");
	if (db_step(db, s) && !span_eq(db_text(s, 0), SPAN("ok")))
		db_fail(db, E_CORRUPT, "quick_check found damage");
	sqlite3_finalize(s);
	return db->err;
}

/* Temporary tables in memory: the sandbox has no folder for them. */
static void
configure(struct db *db)
{
	char sql[300];

	snprintf(sql, sizeof(sql),
		 "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
		 "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cache_size = %d; PRAGMA "
		 "wal_autocheckpoint = %d; "
		 "PRAGMA journal_size_limit = 16777216; PRAGMA trusted_schema = OFF",
		 DB_PAGES, DB_WAL_PAGES);
	exec(db, sql);
}

static int
check_version(struct db *db)
{
	char what[100];
	uint64_t version = 0, tables = 0;

	if (pragma_number(db, "PRAGMA user_version", &version) < 0)
		return db->err;
	if (pragma_number(db,
			  "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN "
			  "('cursor', 'total')",
			  &tables) < 0)
		return db->err;
	if (version == DB_VERSION && tables == 2)
		return 0;
	if (version == 0 && tables == 0) {
		/* Made, but the transaction that filled it was never committed. */
		db_fail(db, E_NOTFOUND, "it is empty");
		return db->err;
	}
	snprintf(what, sizeof(what), "it has format version %llu, this program knows %d",
		 (unsigned long long)version, DB_VERSION);
	db_fail(db, E_CONFIG, what);
	return db->err;
}

static int
create(struct db *db)
{
	char sql[64];

	exec(db, "BEGIN EXCLUSIVE");
	exec(db, db_schema);
	snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", DB_VERSION);
	exec(db, sql);
	return exec(db, "COMMIT");
}

int
db_open(struct db *db, const char *name, bool is_new, bool is_suspicious, struct buf *what_out)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		    (is_new ? SQLITE_OPEN_CREATE : 0);

	buf_init(&db->head.buf, RECORD_HEADER_BYTES + RECORD_ENVELOPE_MAX);
	map64_init(&db->rowed);
	map64_init(&db->loaded);
	map_init(&db->lanes);
	if (!is_new && access(name, F_OK) < 0) {
		buf_puts(what_out, "there is none");
		return E_NOTFOUND;
	}
	if (sqlite3_open_v2(name, &db->sql, flags, NULL) != SQLITE_OK)
		fail_sql(db, "open");
	/* First of all, else SQLite would share its index of the log by a file. */
	exec(db, "PRAGMA locking_mode = EXCLUSIVE");
	/* Before anything is written: a file of another version stays as it is. */
	if (db->err == 0 && !is_new)
		check_version(db);
	if (db->err == 0)
		configure(db);
	if (db->err == 0 && is_suspicious)
		check_all(db);
	if (db->err == 0 && is_new)
		create(db);
	if (db->err == 0)
		db_lane_mend(db);
	if (db->err == 0)
		db_reload(db);
	if (db->err != 0)
		buf_puts(what_out, db->what);
	return db->err;
}

void
db_close(struct db *db)
{
	for (int i = 0; i < STMT_COUNT; i++)
		sqlite3_finalize(db->stmts[i]);
	sqlite3_close(db->sql);
	buf_clear(&db->head.buf);
	map64_clear(&db->rowed);
	map64_clear(&db->loaded);
	clear_lanes(db);
	mem_free(db->changes);
}
