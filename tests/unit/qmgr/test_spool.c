/* SPDX-License-Identifier: ISC
 *
 * Tests of the spool as a whole: what was stored is there after a stop, a crash at each crash point, damage, and reuse;
 * what was not stored is not. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* Third party */
#include <sqlite3.h>
/* lib */
#include "base/clock.h"
#include "base/crc.h"
#include "base/fd.h"
#include "base/mem.h"
#include "spool/envelope.h"
/* this program */
#include "tests/unit/qmgr/fixture.h"

static bool
has_one(struct fix *f)
{
	return f->count >= 1;
}

static bool
has_three(struct fix *f)
{
	return f->count >= 3;
}

static bool
is_replayed(struct fix *f)
{
	return f->sp->replay_left == 0;
}

/* --- plain ----------------------------------------------------------------------------------- */

START_TEST(stored_and_given)
{
	struct fix f;
	struct buf content;
	uint64_t qid;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 2, "hello", &qid), 0);
	fix_until(&f, has_one);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_uint_eq(f.got[0].qid, qid);
	ck_assert_uint_eq(f.got[0].rcpt_count, 2);
	ck_assert_str_eq(f.got[0].content, "hello");
	buf_init(&content, 1 << 20);
	ck_assert_int_eq(fix_read(&f, f.got[0].number, &f.got[0].place, &content), 0);
	UNIT_EQ(buf_span(&content), "hello");
	/* Without a place: from the log after the cursor. */
	buf_reset(&content);
	ck_assert_int_eq(fix_read(&f, f.got[0].number, NULL, &content), 0);
	UNIT_EQ(buf_span(&content), "hello");
	ck_assert_int_eq(fix_read(&f, 12345, NULL, &content), E_NOTFOUND);
	/* A place that grew old, where another message stands now: never that one. */
	ck_assert_int_eq(fix_submit(&f, 1, "other", NULL), 0);
	fix_turn(&f, 5);
	buf_reset(&content);
	ck_assert_int_eq(fix_read(&f, fix_find(&f, "hello")->number, &fix_find(&f, "other")->place,
				  &content),
			 0);
	UNIT_EQ(buf_span(&content), "hello");
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	buf_reset(&content);
	ck_assert_int_eq(fix_read(&f, fix_find(&f, "hello")->number, &fix_find(&f, "other")->place,
				  &content),
			 0);
	UNIT_EQ(buf_span(&content), "hello");
	buf_reset(&content);
	ck_assert_int_eq(fix_read(&f, 12345, &fix_find(&f, "other")->place, &content), E_CORRUPT);
	ck_assert_uint_eq(content.n, 0);
	buf_clear(&content);
	fix_clear(&f);
}
END_TEST

static const struct {
	bool is_clean;
} restart_cases[] = { { false }, { true } };

START_TEST(found_after_restart)
{
	struct fix f;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "one", NULL), 0);
	ck_assert_int_eq(fix_submit(&f, 3, "two", NULL), 0);
	/* Two of three recipients are done. */
	fix_until(&f, has_one);
	store_done(f.sp->store, fix_find(&f, "two")->number, 0);
	store_done(f.sp->store, fix_find(&f, "two")->number, 2);
	fix_find(&f, "two")->live_count = 1;
	fix_find(&f, "two")->live[0] = 1;
	fix_flush(&f);
	uint64_t two = fix_find(&f, "two")->number;
	fix_close(&f, restart_cases[_i].is_clean);
	fix_open(&f);
	if (restart_cases[_i].is_clean) {
		const struct row *rows = fix_rows(&f, two, &n);

		ck_assert_uint_eq(f.sp->log.count, 0);
		ck_assert_uint_eq(n, 1);
		ck_assert_uint_eq(rows[0].index, 1);
		UNIT_EQ(rows[0].address, "r1@example.org");
		UNIT_EQ(rows[0].msg_sender, "sender@example.com");
		UNIT_EQ(rows[0].lane, "lane");
	} else {
		fix_until(&f, is_replayed);
		ck_assert_uint_eq(f.count, 2);
		ck_assert_uint_eq(fix_find(&f, "one")->live_count, 1);
		ck_assert_uint_eq(fix_find(&f, "two")->live_count, 1);
		ck_assert_uint_eq(fix_find(&f, "two")->live[0], 1);
	}
	fix_clear(&f);
}
END_TEST

/* The first small batch of an allocated segment fills blocks ahead; those behind it have no need to. */
START_TEST(zeros_go_ahead_of_the_log)
{
	static char ahead[2 << 20];
	const struct segment *seg;
	uint64_t end, filled;
	struct fix f;
	FILE *file;

	fix_init(&f);
	f.segment_bytes = 4 << 20;
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "one", NULL), 0);
	seg = segments_find(&f.sp->segs, 1);
	ck_assert_int_eq(seg->state, SEGMENT_OPEN);
	end = seg->end;
	filled = seg->filled;
	ck_assert_uint_eq(filled, end + (1 << 20));
	/* As if strangers' bytes stood behind what is filled: they stay. */
	fix_poke(&f, "segments/1.seg", filled, "x", 1);
	ck_assert_int_eq(fix_submit(&f, 1, "two", NULL), 0);
	ck_assert_uint_gt(seg->end, end);
	ck_assert_uint_eq(seg->filled, filled);
	file = fopen(fix_path(&f, "segments/1.seg"), "re");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fread(ahead, 1, filled + 1, file), filled + 1);
	fclose(file);
	for (uint64_t at = seg->end; at < filled; at++)
		ck_assert_int_eq(ahead[at], 0);
	ck_assert_int_eq(ahead[filled], 'x');
	/* The last blocks: not beyond the end of the file. */
	((struct segment *)(uintptr_t)seg)->end = seg->size - 2 * (uint64_t)RECORD_BLOCK_BYTES;
	ck_assert_int_eq(fix_submit(&f, 1, "three", NULL), 0);
	ck_assert_uint_eq(seg->filled, seg->size);
	fix_close(&f, false);
	fix_open(&f);
	fix_until(&f, is_replayed);
	ck_assert_uint_eq(f.count, 3);
	fix_clear(&f);
}
END_TEST

START_TEST(numbers_never_come_again)
{
	struct fix f;
	uint64_t last = 0;

	fix_init(&f);
	for (int i = 0; i < 4; i++) {
		fix_open(&f);
		f.policy = i % 2 ? FIX_DONE : FIX_KEEP;
		ck_assert_int_eq(fix_submit(&f, 1, "x", NULL), 0);
		fix_until(&f, has_one);
		fix_until(&f, is_replayed);
		ck_assert_uint_gt(f.got[f.count - 1].number, last);
		for (size_t k = 0; k < f.count; k++)
			last = f.got[k].number > last ? f.got[k].number : last;
		fix_close(&f, i == 1);
	}
	fix_clear(&f);
}
END_TEST

START_TEST(done_is_not_found)
{
	struct fix f;

	fix_init(&f);
	fix_open(&f);
	f.policy = FIX_DONE;
	ck_assert_int_eq(fix_submit(&f, 3, "done", NULL), 0);
	fix_until(&f, has_one);
	fix_flush(&f);
	ck_assert_uint_eq(f.sp->log.live, 0);
	fix_close(&f, false);
	fix_open(&f);
	fix_turn(&f, 50);
	ck_assert_uint_eq(f.count, 0);
	ck_assert_uint_eq(f.sp->log.count, 1);
	fix_clear(&f);
}
END_TEST

/* --- crash points ---------------------------------------------------------------------------- */

static void
store_three(struct fix *f)
{
	fix_open(f);
	fix_submit(f, 1, "a", NULL);
	fix_submit(f, 1, "b", NULL);
	fix_submit(f, 1, "c", NULL);
	fix_until(f, has_three);
	store_done(f->sp->store, f->got[0].number, 0);
	fix_flush(f);
	fix_checkpoint(f);
	fix_checkpoint(f);
	fix_close(f, true);
}

/* "stored" names what must be there, "maybe" what may be: no 250 was sent for it, or its result was not acknowledged. */
static const struct {
	const char *point;
	const char *stored, *maybe;
} crash_cases[] = {
	{ "batch-sealed 0", "", "" },
	{ "batch-sealed 1", "a", "" },
	{ "batch-written 0", "", "a" },
	{ "batch-written 2", "ab", "c" },
	{ "batch-synced 0", "a", "" },
	{ "batch-synced 2", "abc", "" },
	{ "stored 2", "abc", "" },
	{ "transaction-before-commit 0", "a", "bc" },
	{ "transaction-committed 0", "a", "bc" },
	{ "cursor-committed 0", "bc", "" },
};

static bool
is_there(struct fix *f, const char *content)
{
	uint32_t n;
	const struct row *rows;
	struct buf b;
	bool found = fix_find(f, content) != NULL;

	/* Behind the cursor: by its row. */
	buf_init(&b, 100);
	for (uint64_t number = 1; number < 10 && !found; number++) {
		rows = fix_rows(f, number, &n);
		buf_reset(&b);
		found = n > 0 && fix_read(f, number, &rows[0].place, &b) == 0 &&
			span_eq(buf_span(&b), span_of(content));
	}
	buf_clear(&b);
	return found;
}

START_TEST(crash_at)
{
	struct fix f;

	fix_init(&f);
	ck_assert_int_eq(fix_crash(&f, crash_cases[_i].point, store_three), SIGKILL);
	fix_open(&f);
	fix_until(&f, is_replayed);
	for (const char *c = "abc"; *c != '\0'; c++) {
		char content[2] = { *c, '\0' };
		bool must = strchr(crash_cases[_i].stored, *c) != NULL,
		     may = strchr(crash_cases[_i].maybe, *c) != NULL;

		if (must && strncmp(crash_cases[_i].point, "transaction", 11) != 0)
			ck_assert_msg(is_there(&f, content), "%s is lost", content);
		else if (!must && !may)
			ck_assert_msg(!is_there(&f, content), "%s was never stored", content);
	}
	ck_assert_uint_le(f.count, 3);
	fix_clear(&f);
}
END_TEST

/* What was found by the scan may be in the page cache only: it stands in a fresh segment before anyone is answered. */
START_TEST(last_batch_is_appended_again)
{
	struct fix f;
	struct spool_slot slot;
	uint32_t segment;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "first", NULL), 0);
	ck_assert_int_eq(fix_submit(&f, 1, "last", NULL), 0);
	fix_until(&f, has_one);
	segment = f.got[0].place.segment;
	fix_close(&f, false);
	fix_open(&f);
	fix_until(&f, is_replayed);
	ck_assert_int_eq(spool_find_number(f.sp, fix_find(&f, "first")->number, &slot), 0);
	ck_assert_uint_eq(slot.place.segment, segment);
	ck_assert_int_eq(spool_find_number(f.sp, fix_find(&f, "last")->number, &slot), 0);
	ck_assert_uint_ne(slot.place.segment, segment);
	fix_close(&f, false);
	/* Of several records of one number the one of the latest batch counts, and it is one message. */
	for (int i = 0; i < 3; i++) {
		fix_open(&f);
		fix_until(&f, is_replayed);
		ck_assert_uint_eq(f.count, 2);
		fix_close(&f, false);
	}
	fix_clear(&f);
}
END_TEST

static void
crash_twice(struct fix *f)
{
	fix_open(f);
	fix_until(f, has_one);
	progress_enter(f->got[0].qid);
	raise(SIGSEGV);
}

START_TEST(message_that_crashes_twice_is_held)
{
	struct fix f;
	const struct row *rows;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 2, "evil", NULL), 0);
	fix_until(&f, has_one);
	uint64_t number = f.got[0].number;
	fix_close(&f, false);
	ck_assert_int_eq(fix_crash(&f, NULL, crash_twice), SIGSEGV);
	fix_open(&f);
	fix_until(&f, is_replayed);
	ck_assert_uint_eq(f.count, 1);
	fix_close(&f, false);
	ck_assert_int_eq(fix_crash(&f, NULL, crash_twice), SIGSEGV);
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_flush(&f);
	ck_assert_uint_eq(f.count, 0);
	rows = fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq((int)rows[0].state, ROW_CORRUPT);
	UNIT_EQ(rows[1].text, "it crashed qmgr twice");
	fix_clear(&f);
}
END_TEST

static void
killed_at_work(struct fix *f)
{
	fix_open(f);
	fix_until(f, has_one);
	progress_enter(f->got[0].qid);
	raise(SIGKILL);
}

START_TEST(kill_9_counts_against_nobody)
{
	struct fix f;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "good", NULL), 0);
	fix_close(&f, false);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(fix_crash(&f, NULL, killed_at_work), SIGKILL);
	fix_open(&f);
	fix_until(&f, is_replayed);
	ck_assert_uint_eq(f.count, 1);
	fix_clear(&f);
}
END_TEST

/* --- torn, damaged, stale -------------------------------------------------------------------- */

static char *
segment_of(const struct fix_msg *m)
{
	static char name[64];

	snprintf(name, sizeof(name), "segments/%u.seg", m->place.segment);
	return name;
}

/* The last record loses its end: no 250 was sent for it, and it is no damage. */
START_TEST(torn_last_batch_is_ignored)
{
	struct fix f;
	struct fix_msg last;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "whole", NULL), 0);
	ck_assert_int_eq(fix_submit(&f, 1, "torn", NULL), 0);
	fix_until(&f, has_one);
	last = *fix_find(&f, "torn");
	fix_close(&f, false);
	fix_poke(&f, segment_of(&last), last.place.offset + last.place.length - 2, "XX", 2);
	fix_open(&f);
	fix_until(&f, is_replayed);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_ptr_nonnull(fix_find(&f, "whole"));
	ck_assert_uint_eq(f.sp->stats.damaged, 0);
	ck_assert_uint_eq(fix_count_files(&f, "corrupt", ""), 0);
	/* New mail does not go behind it. */
	ck_assert_int_eq(fix_submit(&f, 1, "new", NULL), 0);
	ck_assert_uint_ne(fix_find(&f, "new")->place.segment, last.place.segment);
	fix_clear(&f);
}
END_TEST

/* A record in the middle is damaged: held and reported, the rest is kept. Cases: offset from the record's start. */
static const struct {
	uint32_t at;
	bool is_held; /* its header can be read */
} damage_cases[] = { { RECORD_HEADER_BYTES + 3, true }, { 40, false }, { 0, false } };

START_TEST(damage_in_the_middle)
{
	struct fix f;
	struct fix_msg bad;
	const struct row *rows;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "before", NULL), 0);
	ck_assert_int_eq(fix_submit(&f, 2, "bad", NULL), 0);
	ck_assert_int_eq(fix_submit(&f, 1, "after", NULL), 0);
	fix_until(&f, has_three);
	bad = *fix_find(&f, "bad");
	fix_close(&f, false);
	fix_poke(&f, segment_of(&bad), bad.place.offset + damage_cases[_i].at, "\xff\xff", 2);
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_flush(&f);
	ck_assert_uint_eq(f.count, 2);
	ck_assert_ptr_nonnull(fix_find(&f, "before"));
	ck_assert_ptr_nonnull(fix_find(&f, "after"));
	ck_assert_uint_ge(f.sp->stats.damaged, 1);
	ck_assert_uint_eq(fix_count_files(&f, "corrupt", ""), 1);
	rows = fix_rows(&f, bad.number, &n);
	ck_assert_uint_eq(n, damage_cases[_i].is_held ? 2 : 0);
	if (n > 0)
		ck_assert_int_eq((int)rows[0].state, ROW_CORRUPT);
	fix_clear(&f);
}
END_TEST

/* Damage that shows when the message is read. */
START_TEST(damage_at_reading)
{
	struct fix f;
	struct buf content;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "precious", NULL), 0);
	fix_until(&f, has_one);
	fix_poke(&f, segment_of(&f.got[0]), f.got[0].place.offset + f.got[0].place.length - 3, "?",
		 1);
	buf_init(&content, 1000);
	ck_assert_int_eq(fix_read(&f, f.got[0].number, &f.got[0].place, &content), E_CORRUPT);
	ck_assert_uint_eq(content.n, 0);
	fix_turn(&f, 20);
	ck_assert_uint_eq(fix_count_files(&f, "corrupt", ""), 1);
	buf_clear(&content);
	fix_clear(&f);
}
END_TEST

/* --- keys ------------------------------------------------------------------------------------ */

START_TEST(key_is_taken_once)
{
	struct fix f;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit_key(&f, "k1", "first"), 0);
	fix_until(&f, has_one);
	ck_assert_int_eq(fix_submit_key(&f, "k1", "second"), 0);
	ck_assert_int_eq(fix_submit_key(&f, "k2", "third"), 0);
	fix_turn(&f, 200);
	fix_flush(&f);
	ck_assert_uint_eq(f.count, 2);
	ck_assert_ptr_null(fix_find(&f, "second"));
	ck_assert_uint_eq(f.sp->stats.duplicates, 1);
	/* After a crash the same record is no duplicate of itself. */
	fix_close(&f, false);
	fix_open(&f);
	fix_turn(&f, 200);
	ck_assert_uint_eq(f.count, 2);
	ck_assert_ptr_nonnull(fix_find(&f, "first"));
	ck_assert_int_eq(fix_submit_key(&f, "k1", "fourth"), 0);
	fix_turn(&f, 200);
	ck_assert_ptr_null(fix_find(&f, "fourth"));
	fix_clear(&f);
}
END_TEST

static void
submit_key(struct fix *f)
{
	fix_open(f);
	fix_submit_key(f, "k", "keyed");
	fix_turn(f, 500);
}

START_TEST(key_committed_message_not_given)
{
	struct fix f;

	fix_init(&f);
	ck_assert_int_eq(fix_crash(&f, "key-committed", submit_key), SIGKILL);
	fix_open(&f);
	fix_until(&f, has_one);
	ck_assert_str_eq(f.got[0].content, "keyed");
	fix_clear(&f);
}
END_TEST

/* --- queue.db -------------------------------------------------------------------------------- */

START_TEST(lost_queue_db)
{
	struct fix f;
	const struct row *rows;
	uint64_t old;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 2, "old", NULL), 0);
	fix_until(&f, has_one);
	old = f.got[0].number;
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	fix_close(&f, false);
	/* The header of the next segment repeats the cursor. */
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "new", NULL), 0);
	fix_close(&f, false);
	ck_assert_int_eq(unlink(fix_path(&f, "queue.db")), 0);
	unlink(fix_path(&f, "queue.db-wal"));
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_turn(&f, 50);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_ptr_nonnull(fix_find(&f, "new"));
	rows = fix_rows(&f, old, &n);
	ck_assert_uint_eq(n, 2);
	ck_assert_int_eq((int)rows[0].state, ROW_UNKNOWN);
	UNIT_EQ(rows[1].address, "r1@example.org");
	struct store_counts counts;
	store_get_counts(f.sp->store, &counts);
	ck_assert_uint_eq(counts.rows[ROW_UNKNOWN], 2);
	ck_assert_uint_eq(counts.messages, 1);
	fix_clear(&f);
}
END_TEST

START_TEST(damaged_queue_db)
{
	struct fix f;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "kept", NULL), 0);
	fix_close(&f, false);
	unlink(fix_path(&f, "queue.db-wal"));
	fix_poke(&f, "queue.db", 0, "this is no database at all", 26);
	fix_open(&f);
	fix_until(&f, is_replayed);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_uint_ge(fix_count_files(&f, "corrupt", ""), 1);
	fix_clear(&f);
}
END_TEST

/* --- refusals -------------------------------------------------------------------------------- */

START_TEST(second_instance)
{
	struct fix f, g;
	char pid[32];

	fix_init(&f);
	fix_open(&f);
	g = f;
	g.sp = NULL;
	g.got = NULL;
	ck_assert_int_eq(fix_try_open(&g), E_CONFIG);
	snprintf(pid, sizeof(pid), "process %d;", (int)getpid());
	ck_assert_ptr_nonnull(strstr(g.why, pid));
	fix_clear(&f);
}
END_TEST

START_TEST(other_format_version)
{
	struct fix f;
	char block[RECORD_BLOCK_BYTES];
	struct segment_header h = { .number = 9, .salt = 1 };
	uint32_t crc;
	struct stat st;
	int fd;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "kept", NULL), 0);
	fix_close(&f, false);
	segment_put_header(block, &h);
	block[8] = 2;
	crc = crc32c(0, block, 508);
	memcpy(block + 508, &crc, 4);
	fd = open(fix_path(&f, "segments/9.seg"), O_WRONLY | O_CREAT, 0600);
	ck_assert_int_eq(fd_write_all(fd, block, sizeof(block)), 0);
	fd_close(&fd);
	ck_assert_int_eq(fix_try_open(&f), E_CONFIG);
	ck_assert_ptr_nonnull(strstr(f.why, "9.seg"));
	ck_assert_int_eq(stat(fix_path(&f, "segments/9.seg"), &st), 0);
	unlink(fix_path(&f, "segments/9.seg"));
	fix_open(&f);
	fix_until(&f, has_one);
	fix_clear(&f);
}
END_TEST

START_TEST(other_database_version)
{
	struct fix f;
	sqlite3 *db;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "kept", NULL), 0);
	fix_close(&f, true);
	ck_assert_int_eq(sqlite3_open(fix_path(&f, "queue.db"), &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, "PRAGMA user_version = 2", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	ck_assert_int_eq(fix_try_open(&f), E_CONFIG);
	ck_assert_ptr_nonnull(strstr(f.why, "version 2"));
	fix_clear(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("spool");

	UNIT_TEST(s, stored_and_given);
	UNIT_TABLE(s, found_after_restart, restart_cases);
	UNIT_TEST(s, zeros_go_ahead_of_the_log);
	UNIT_TEST(s, numbers_never_come_again);
	UNIT_TEST(s, done_is_not_found);
	UNIT_TABLE(s, crash_at, crash_cases);
	UNIT_TEST(s, last_batch_is_appended_again);
	UNIT_TEST(s, message_that_crashes_twice_is_held);
	UNIT_TEST(s, kill_9_counts_against_nobody);
	UNIT_TEST(s, torn_last_batch_is_ignored);
	UNIT_TABLE(s, damage_in_the_middle, damage_cases);
	UNIT_TEST(s, damage_at_reading);
	UNIT_TEST(s, key_is_taken_once);
	UNIT_TEST(s, key_committed_message_not_given);
	UNIT_TEST(s, lost_queue_db);
	UNIT_TEST(s, damaged_queue_db);
	UNIT_TEST(s, second_instance);
	UNIT_TEST(s, other_format_version);
	UNIT_TEST(s, other_database_version);
	return unit_run(s);
}
