/* SPDX-License-Identifier: ISC
 *
 * Tests of how the log is used again: checkpoints, retirement, compaction, and crashes in the middle of each. */

/* System */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
/* lib */
#include "base/clock.h"
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

static bool
is_retired(struct fix *f)
{
	f->sp->space.timer.due_ms = 0;
	return f->sp->stats.retired > 0;
}

/* A message whose body imitates records; then its segment is reused, and a crash comes in the middle of that. */
START_TEST(imitation_is_not_believed)
{
	struct fix f;
	char body[1000], header[RECORD_HEADER_BYTES];
	struct record fake = {
		.salt = 1, .batch = 1u << 30, .number = 1u << 30, .qid = 4711, .rcpt_count = 1
	};
	struct span content;
	struct buf b;

	fix_init(&f);
	fix_open(&f);
	/* The attacker even guessed the salt of the segment before: no header of it is ever sent to anyone. */
	fake.salt = 0x4141414141414141;
	record_put_header(header, &fake);
	memset(body, 'A', sizeof(body));
	buf_init(&b, 1 << 20);
	for (int i = 0; i < 500; i++)
		buf_put(&b, header, sizeof(header));
	content = buf_span(&b);
	struct env_rcpt rcpt = { .addr = SPAN("a@b") };
	struct envelope e;
	struct buf env;
	envelope_init(&e);
	e.rcpts = &rcpt;
	e.rcpt_count = 1;
	buf_init(&env, 1000);
	envelope_encode(&env, &e);
	struct spool_submission s = { .rcpt_count = 1,
				      .envelope = buf_span(&env),
				      .content = content };
	f.policy = FIX_DONE;
	for (int i = 0; i < 30; i++)
		spool_submit(f.sp, &s, NULL, NULL);
	fix_until(&f, has_three);
	fix_turn(&f, 300);
	ck_assert_uint_eq(f.count, 30);
	fix_flush(&f);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	fix_until(&f, is_retired);
	/* Into the reused segment, and a crash. */
	ck_assert_int_eq(fix_submit(&f, 1, "real", NULL), 0);
	f.policy = FIX_KEEP;
	ck_assert_int_eq(fix_submit(&f, 1, "live", NULL), 0);
	fix_close(&f, false);
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_turn(&f, 50);
	ck_assert_ptr_nonnull(fix_find(&f, "live"));
	ck_assert_uint_le(f.count, 2);
	for (size_t i = 0; i < f.count; i++)
		ck_assert_uint_ne(f.got[i].number, 1u << 30);
	buf_clear(&b);
	buf_clear(&env);
	fix_clear(&f);
}
END_TEST

/* --- checkpoint, retirement, compaction ------------------------------------------------------ */

START_TEST(checkpoint_moves_over_rows)
{
	struct fix f;
	uint64_t number;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 2, "slow", NULL), 0);
	fix_until(&f, has_one);
	number = f.got[0].number;
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	ck_assert_uint_gt(f.sp->checkpoint.cursor.number, number);
	ck_assert_uint_eq(f.sp->log.count, 0);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 2);
	/* One of two ends, then the other: the message is gone. */
	store_done(f.sp->store, number, 0);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 1);
	store_done(f.sp->store, number, 1);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 0);
	fix_close(&f, false);
	fix_open(&f);
	fix_turn(&f, 30);
	ck_assert_uint_eq(f.count, 0);
	fix_clear(&f);
}
END_TEST

START_TEST(cursor_never_passes_what_has_no_row)
{
	struct fix f;

	fix_init(&f);
	fix_open(&f);
	f.policy = FIX_LOSE;
	ck_assert_int_eq(fix_submit(&f, 2, "forgotten", NULL), 0);
	fix_until(&f, has_one);
	store_done(f.sp->store, f.got[0].number, 1);
	fix_flush(&f);
	for (int i = 0; i < 3; i++) {
		fix_checkpoint(&f);
		ck_assert_uint_le(f.sp->checkpoint.cursor.number, f.got[0].number);
	}
	fix_close(&f, false);
	fix_open(&f);
	fix_until(&f, is_replayed);
	ck_assert_uint_eq(f.count, 1);
	ck_assert_uint_eq(f.got[0].live_count, 1);
	ck_assert_uint_eq(f.got[0].live[0], 0);
	fix_clear(&f);
}
END_TEST

/* Storage gives rows to messages of the scan that scheduling has no memory for. */
START_TEST(rows_of_messages_not_yet_given)
{
	struct fix f;
	const struct row *rows;
	uint64_t number;
	uint32_t n;

	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 2, "waiting", NULL), 0);
	fix_until(&f, has_one);
	number = f.got[0].number;
	store_done(f.sp->store, number, 0);
	fix_flush(&f);
	fix_close(&f, false);
	f.is_full = true;
	fix_open(&f);
	fix_turn(&f, 20);
	ck_assert_uint_eq(f.count, 0);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	ck_assert_uint_gt(f.sp->checkpoint.cursor.number, number);
	rows = fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(rows[0].index, 1);
	UNIT_EQ(rows[0].lane, "");
	UNIT_EQ(rows[0].address, "r1@example.org");
	fix_clear(&f);
}
END_TEST

static void
fill_segments(struct fix *f, int count, int keep_every)
{
	static char content[20000];

	memset(content, 'm', sizeof(content) - 1);
	for (int i = 0; i < count; i++) {
		f->policy = keep_every > 0 && i % keep_every == 0 ? FIX_KEEP : FIX_DONE;
		snprintf(content, 20, "message %d", i);
		content[strlen(content)] = ' ';
		ck_assert_int_eq(fix_submit(f, 1, content, NULL), 0);
	}
}

static bool
all_retired(struct fix *f)
{
	fix_turn(f, 20);
	f->sp->space.timer.due_ms = 0;
	timer_start(&f->sp->space.timer, 0);
	return f->sp->stats.retired >= 3;
}

/* Salt of a segment as its header on the disk has it. */
static uint64_t
salt_on_disk(struct fix *f, uint32_t number)
{
	char block[RECORD_BLOCK_BYTES];
	struct segment_header h;
	uint64_t salt;

	ck_assert_int_eq(segments_read(&f->sp->segs, number, block, sizeof(block), 0, false, &salt),
			 0);
	ck_assert_int_eq(segment_get_header(block, &h), 0);
	ck_assert_uint_eq(h.salt, salt);
	return h.salt;
}

START_TEST(dead_segments_are_used_again)
{
	struct fix f;
	uint64_t salt;
	size_t files;

	fix_init(&f);
	fix_open(&f);
	fill_segments(&f, 180, 0);
	salt = salt_on_disk(&f, 1);
	fix_flush(&f);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	fix_until(&f, all_retired);
	/* Old records can never count again. */
	ck_assert_uint_ne(salt_on_disk(&f, 1), salt);
	files = fix_count_files(&f, "segments", ".seg");
	for (int round = 0; round < 3; round++) {
		fill_segments(&f, 100, 0);
		fix_flush(&f);
		fix_checkpoint(&f);
		fix_checkpoint(&f);
		fix_turn(&f, 100);
		timer_start(&f.sp->space.timer, 0);
	}
	ck_assert_uint_le(fix_count_files(&f, "segments", ".seg"), files + 2);
	fix_clear(&f);
}
END_TEST

static bool
is_compacted(struct fix *f)
{
	fix_turn(f, 20);
	f->sp->compact.not_before_ms = 0;
	timer_start(&f->sp->space.timer, 0);
	return f->sp->stats.compacted_bytes > 0 && f->sp->stats.retired > 2;
}

START_TEST(compaction_moves_live_records)
{
	struct fix f;
	struct buf content;
	struct spool_stats st;
	uint64_t numbers[8];
	size_t n = 0;

	fix_init(&f);
	fix_open(&f);
	fill_segments(&f, 200, 60);
	fix_flush(&f);
	for (size_t i = 0; i < f.count; i++)
		if (!f.got[i].has_rows)
			numbers[n++] = f.got[i].number;
	ck_assert_uint_eq(n, 4);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	f.sp->last_commit_ms = 0;
	fix_until(&f, is_compacted);
	spool_get_stats(f.sp, &st);
	ck_assert_uint_gt(st.cold_bytes, 0);
	/* By the old place: it is looked up once more. */
	buf_init(&content, 1 << 20);
	for (size_t i = 0, k = 0; i < f.count && k < n; i++) {
		if (f.got[i].number != numbers[k])
			continue;
		buf_reset(&content);
		ck_assert_int_eq(fix_read(&f, numbers[k], &f.got[i].place, &content), 0);
		ck_assert(span_starts(buf_span(&content), span_of(f.got[i].content)) ||
			  content.n == 19999);
		k++;
	}
	fix_close(&f, false);
	/* Copies are no messages of the scan; the rows lead to them. */
	fix_open(&f);
	fix_until(&f, is_replayed);
	for (size_t k = 0; k < n; k++) {
		uint32_t rows;

		buf_reset(&content);
		fix_rows(&f, numbers[k], &rows);
		ck_assert_uint_eq(rows, 1);
		ck_assert_int_eq(fix_read(&f, numbers[k], NULL, &content), 0);
		ck_assert_uint_eq(content.n, 19999);
		for (size_t i = 0; i < f.count; i++)
			ck_assert_uint_ne(f.got[i].number, numbers[k]);
	}
	buf_clear(&content);
	fix_clear(&f);
}
END_TEST

/* queue.db is lost, and the newest cursor that a header repeats is older than the copies: the record that was copied is found by
 * the scan if its segment is still there, and held from its copy if not; in neither case twice. */
START_TEST(copies_newer_than_the_last_known_cursor)
{
	struct fix f;
	struct buf content;
	uint64_t numbers[8];
	size_t n = 0;

	fix_init(&f);
	fix_open(&f);
	fill_segments(&f, 200, 60);
	fix_flush(&f);
	for (size_t i = 0; i < f.count; i++)
		if (!f.got[i].has_rows)
			numbers[n++] = f.got[i].number;
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	f.sp->last_commit_ms = 0;
	/* What headers of new segments say. */
	f.sp->segs.cursor = 1;
	fix_until(&f, is_compacted);
	fix_close(&f, false);
	ck_assert_int_eq(unlink(fix_path(&f, "queue.db")), 0);
	unlink(fix_path(&f, "queue.db-wal"));
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_turn(&f, 100);
	buf_init(&content, 1 << 20);
	for (size_t k = 0; k < n; k++) {
		size_t given = 0;
		uint32_t rows;

		for (size_t i = 0; i < f.count; i++)
			given += f.got[i].number == numbers[k];
		const struct row *row = fix_rows(&f, numbers[k], &rows);
		ck_assert_msg(given + rows == 1, "message %llu: given %zu times, %u rows",
			      (unsigned long long)numbers[k], given, rows);
		if (rows == 1)
			ck_assert_int_eq((int)row->state, ROW_UNKNOWN);
		buf_reset(&content);
		if (rows == 1) {
			ck_assert_int_eq(fix_read(&f, numbers[k], NULL, &content), 0);
			ck_assert_uint_eq(content.n, 19999);
		}
	}
	buf_clear(&content);
	fix_clear(&f);
}
END_TEST

static void
copy_with_an_old_cursor(struct fix *f)
{
	fix_open(f);
	fill_segments(f, 200, 60);
	fix_flush(f);
	fix_checkpoint(f);
	fix_checkpoint(f);
	f->sp->last_commit_ms = 0;
	f->sp->segs.cursor = 1;
	fix_until(f, is_compacted);
}

/* The same where the crash left record and copy. */
START_TEST(copies_beside_their_records)
{
	struct fix f;
	struct store_counts counts;
	size_t records = 0;

	fix_init(&f);
	ck_assert_int_eq(fix_crash(&f, "copies-committed 0", copy_with_an_old_cursor), SIGKILL);
	ck_assert_int_eq(unlink(fix_path(&f, "queue.db")), 0);
	unlink(fix_path(&f, "queue.db-wal"));
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_turn(&f, 100);
	for (uint64_t number = 1; number < 250; number++) {
		size_t given = 0;
		uint32_t rows;

		for (size_t i = 0; i < f.count; i++)
			given += f.got[i].number == number;
		(void)fix_rows(&f, number, &rows);
		ck_assert_msg(given + rows <= 1, "message %llu: given %zu times, %u rows",
			      (unsigned long long)number, given, rows);
		records += given + rows;
	}
	ck_assert_uint_eq(records, 200);
	store_get_counts(f.sp->store, &counts);
	ck_assert_uint_eq(counts.rows[ROW_UNKNOWN] + f.count, 200);
	fix_clear(&f);
}
END_TEST

/* Shared with the child: messages that were stored and are never done. */
static volatile int *kept;

static void
churn(struct fix *f)
{
	fix_open(f);
	for (int i = 0; i < 4; i++) {
		fill_segments(f, 1, 1);
		(*kept)++;
		fill_segments(f, 49, 0);
	}
	fix_flush(f);
	fix_checkpoint(f);
	fix_checkpoint(f);
	f->sp->last_commit_ms = 0;
	fix_until(f, is_compacted);
	fix_turn(f, 500);
	fix_close(f, true);
}

static const char *const churn_points[] = {
	"retiring-committed 0",	    "retiring-committed 1", "segment-header-written 3",
	"segment-header-written 5", "segment-retired 0",    "segment-retired 2",
	"copies-synced 0",	    "copies-committed 0",   "copies-committed 1",
};

START_TEST(crash_while_reusing)
{
	struct fix f;
	struct buf content;
	int found = 0;

	kept = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fix_init(&f);
	ck_assert_int_eq(fix_crash(&f, churn_points[_i], churn), SIGKILL);
	fix_open(&f);
	fix_until(&f, is_replayed);
	buf_init(&content, 1 << 20);
	for (uint64_t number = 1; number <= 200; number++) {
		uint32_t n;

		fix_rows(&f, number, &n);
		if (n == 0)
			continue;
		buf_reset(&content);
		ck_assert_int_eq(fix_read(&f, number, NULL, &content), 0);
		found++;
	}
	for (size_t i = 0; i < f.count; i++)
		found += f.got[i].live_count > 0;
	ck_assert_int_ge(*kept, 1);
	ck_assert_int_ge(found, *kept);
	/* Beyond them at most what was done within the last 50 ms. */
	if (strncmp(churn_points[_i], "segment-header", 14) != 0)
		ck_assert_int_eq(found, 4);
	/* And it goes on. */
	f.policy = FIX_DONE;
	fill_segments(&f, 100, 0);
	buf_clear(&content);
	fix_clear(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reuse");

	UNIT_TEST(s, imitation_is_not_believed);
	UNIT_TEST(s, checkpoint_moves_over_rows);
	UNIT_TEST(s, cursor_never_passes_what_has_no_row);
	UNIT_TEST(s, rows_of_messages_not_yet_given);
	UNIT_TEST(s, dead_segments_are_used_again);
	UNIT_TEST(s, compaction_moves_live_records);
	UNIT_TEST(s, copies_newer_than_the_last_known_cursor);
	UNIT_TEST(s, copies_beside_their_records);
	UNIT_TABLE(s, crash_while_reusing, churn_points);
	return unit_run(s);
}
