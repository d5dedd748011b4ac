/* SPDX-License-Identifier: ISC
 *
 * A spool that was written by format version 1 can be read, whole: tests/golden/spool-v1.tar.gz. It was made by this
 * program with POSTERN_GOLDEN=FILE and is not made again: a change that cannot read it needs a new format version, which
 * reads both. */

/* System */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/id.h"
#include "base/mem.h"
#include "spool/envelope.h"
/* this program */
#include "tests/unit/qmgr/fixture.h"

#define GOLDEN "tests/golden/spool-v1.tar.gz"
#define DUE_MS 4102444800000ull /* 2100: never due in this test */
#define BIG_BYTES 300000u

static void
run_tar(const char *dir, const char *what, const char *file)
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0) {
		execlp("tar", "tar", "--owner=0", "--group=0", "-C", dir, what, file,
		       what[1] == 'c' ? "." : NULL, NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}

/* --- writing --------------------------------------------------------------------------------- */

static void
put(struct fix *f, uint64_t number, uint32_t index, enum row_state state)
{
	struct row row = { .number = number,
			   .index = index,
			   .state = state,
			   .lane = SPAN("mx.example.net"),
			   .due_ms = DUE_MS,
			   .attempts = 3,
			   .last_ms = 1700000000000,
			   .reply = 451,
			   .esc = SPAN("4.4.1"),
			   .text = SPAN("no answer"),
			   .relay = SPAN("mx.example.net[192.0.2.1]:25") };

	store_put(f->sp->store, &row);
}

static uint64_t
message(struct fix *f, uint32_t rcpts, const char *content)
{
	ck_assert_int_eq(fix_submit(f, rcpts, content, NULL), 0);
	fix_turn(f, 10);
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->got[i].content, content) == 0)
			f->got[i].has_rows = true;
	return fix_find(f, content)->number;
}

static bool big_done;

static void
on_big(void *arg, int err)
{
	(void)arg;
	ck_assert_int_eq(err, 0);
	big_done = true;
}

static void
on_wrote(void *arg, int err, size_t n)
{
	(void)arg;
	(void)n;
	ck_assert_int_eq(err, 0);
}

static bool
is_big_done(struct fix *f)
{
	(void)f;
	return big_done;
}

static void
fill_big(char *p)
{
	for (size_t i = 0; i < BIG_BYTES; i++)
		p[i] = (char)('a' + i % 26);
}

/* A message whose content is a file; one recipient. */
static void
big_message(struct fix *f, const char *rcpt)
{
	static char content[BIG_BYTES];
	struct id_gen gen = { .slot = 9 };
	struct record rec = { .flags = RECORD_BIG,
			      .qid = id_next(&gen),
			      .arrival_us = clock_wall_us(),
			      .origin = ORIGIN_SMTP,
			      .origin_slot = 9,
			      .rcpt_count = 1,
			      .content_len = BIG_BYTES };
	struct env_rcpt to = { .addr = span_of(rcpt),
			       .notify = ENV_NOTIFY_FAILURE,
			       .orcpt = SPAN("rfc822;someone") };
	struct commit_owner nobody = { 0 };
	struct big *b = big_new(f->sp, rec.qid);
	struct envelope e;
	struct buf env;

	fill_big(content);
	big_done = false;
	big_write(b, span_make(content, sizeof(content)), on_wrote, NULL);
	big_sync(b, on_big, NULL);
	fix_until(f, is_big_done);
	rec.content_crc = big_crc(b);
	envelope_init(&e);
	e.rcpts = &to;
	e.rcpt_count = 1;
	e.is_smtputf8 = true;
	buf_init(&env, 4096);
	envelope_encode(&env, &e);
	commit_add(f->sp->commit, &rec, buf_span(&env), SPAN("Received: big\r\n"), SPAN_NONE,
		   &nobody);
	commit_drain(f->sp->commit);
	big_free(&b, true);
	buf_clear(&env);
}

static void
fill(struct fix *f, int count)
{
	static char content[30000];

	f->policy = FIX_DONE;
	memset(content, 'm', sizeof(content) - 1);
	for (int i = 0; i < count; i++)
		ck_assert_int_eq(fix_submit(f, 1, content, NULL), 0);
	f->policy = FIX_KEEP;
}

static bool
is_compacted(struct fix *f)
{
	fix_turn(f, 20);
	f->sp->compact.not_before_ms = 0;
	f->sp->last_commit_ms = 0;
	timer_start(&f->sp->space.timer, 0);
	return f->sp->stats.compacted_bytes > 0 && f->sp->stats.retired > 0;
}

static void
write_golden(const char *to)
{
	struct row children[2] = {
		{ .address = SPAN("child1@example.org"),
		  .lane = SPAN("l"),
		  .due_ms = DUE_MS,
		  .depth = 1 },
		{ .address = SPAN("child2@example.org"),
		  .lane = SPAN("l"),
		  .due_ms = DUE_MS,
		  .depth = 1,
		  .has_sender = true,
		  .sender = SPAN("owner@example.org") },
	};
	struct fix f;
	uint64_t a, b, c, g;

	fix_init(&f);
	fix_open(&f);
	a = message(&f, 3, "deferred and held");
	store_done(f.sp->store, a, 0);
	put(&f, a, 1, ROW_READY);
	put(&f, a, 2, ROW_HELD);
	b = message(&f, 1, "expanded");
	store_expand(f.sp->store, b, 0, children, 2, true, NULL, NULL);
	c = message(&f, 2, "bounced");
	store_bounce(f.sp->store, &(struct bounce){ .number = c,
						    .index = 0,
						    .kind = BOUNCE_FAILED,
						    .reply = 550,
						    .esc = SPAN("5.1.1"),
						    .text = SPAN("no such user"),
						    .is_done = true });
	put(&f, c, 1, ROW_READY);
	big_message(&f, "big@example.org");
	ck_assert_int_eq(fix_submit_key(&f, "key-1", "with a key"), 0);
	fill(&f, 70);
	fix_flush(&f);
	store_done(f.sp->store, b, 1);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	fix_until(&f, is_compacted);
	g = message(&f, 2, "after the cursor");
	store_done(f.sp->store, g, 0);
	big_message(&f, "bigger@example.org");
	fix_flush(&f);
	store_lane_rest(f.sp->store,
			&(struct store_lane){ .name = SPAN("mx.example.net"),
					      .failures = 4,
					      .reply = 421,
					      .esc = SPAN("4.3.2"),
					      .text = SPAN("busy") },
			DUE_MS, false);
	fix_flush(&f);
	fix_close(&f, false);
	run_tar(f.dir, "-czf", to);
	fix_clear(&f);
}

START_TEST(make)
{
	write_golden(getenv("POSTERN_GOLDEN"));
}
END_TEST

/* --- reading --------------------------------------------------------------------------------- */

static void
unpack(struct fix *f)
{
	run_tar(f->dir, "-xzf", GOLDEN);
}

static bool answered;
static struct row found;
static char texts[6][64];
static uint32_t found_count;

static bool
is_answered(struct fix *f)
{
	(void)f;
	return answered;
}

static void
keep_text(int i, struct span s)
{
	snprintf(texts[i], sizeof(texts[i]), "%.*s", SPAN_ARG(s));
}

static void
on_list(void *arg, const struct row *rows, uint32_t count)
{
	(void)arg;
	answered = true;
	found_count = count;
	if (count == 0)
		return;
	found = rows[0];
	keep_text(0, rows[0].lane);
	keep_text(1, rows[0].text);
	keep_text(2, rows[0].sender);
	keep_text(3, rows[0].msg_sender);
	keep_text(4, rows[0].orcpt);
	keep_text(5, rows[0].relay);
}

/* The rows of a message that have this state; the first one in `found`. */
static void
look(struct fix *f, const char *rcpt, int state)
{
	struct store_filter filter = { .rcpt = span_of(rcpt), .state = state };

	answered = false;
	store_list(f->sp->store, &filter, 0, 0, 50, on_list, NULL);
	fix_until(f, is_answered);
}

static void
check_content(struct fix *f, const char *want)
{
	static char big[BIG_BYTES];
	struct buf content;

	buf_init(&content, 1 << 20);
	ck_assert_int_eq(fix_read(f, found.number, NULL, &content), 0);
	if (want != NULL) {
		unit_eq(buf_span(&content), span_of(want));
	} else {
		fill_big(big);
		ck_assert_uint_eq(content.n, BIG_BYTES);
		ck_assert_int_eq(memcmp(content.p, big, BIG_BYTES), 0);
	}
	buf_clear(&content);
}

static bool
is_replayed(struct fix *f)
{
	return f->sp->replay_left == 0;
}

static void
check_all(struct fix *f, bool is_first)
{
	struct store_counts counts;

	look(f, "r1@example.org", ROW_READY);
	ck_assert_uint_eq(found_count, is_first ? 2 : 3);
	ck_assert_uint_eq(found.due_ms, DUE_MS);
	ck_assert_uint_eq(found.attempts, 3);
	ck_assert_uint_eq(found.reply, 451);
	ck_assert_uint_eq(found.last_ms, 1700000000000);
	ck_assert_str_eq(texts[0], "mx.example.net");
	ck_assert_str_eq(texts[1], "no answer");
	ck_assert_str_eq(texts[3], "sender@example.com");
	ck_assert_str_eq(texts[5], "mx.example.net[192.0.2.1]:25");
	check_content(f, "deferred and held");
	look(f, "r2@example.org", ROW_HELD);
	ck_assert_uint_eq(found_count, 1);
	look(f, "child2@example.org", -1);
	ck_assert_uint_eq(found_count, 1);
	ck_assert(found.has_sender);
	ck_assert_str_eq(texts[2], "owner@example.org");
	ck_assert_uint_eq(found.depth, 1);
	ck_assert_uint_eq(found.flags, ROW_CHILD);
	check_content(f, "expanded");
	look(f, "child1@example.org", ROW_DONE);
	ck_assert_uint_eq(found_count, 1);
	look(f, "big@example.org", -1);
	ck_assert_uint_eq(found_count, 1);
	ck_assert_str_eq(texts[4], "rfc822;someone");
	ck_assert_uint_eq(found.msg_flags & RECORD_BIG, RECORD_BIG);
	check_content(f, NULL);
	store_get_counts(f->sp->store, &counts);
	ck_assert_uint_eq(counts.bounces, 1);
}

START_TEST(version_1)
{
	struct spool_stats st;
	struct fix f;

	fix_init(&f);
	unpack(&f);
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_turn(&f, 100);
	/* From the log: the message after the cursor, the other recipient of which is done, and the big one. */
	ck_assert_uint_eq(f.count, 2);
	ck_assert_ptr_nonnull(fix_find(&f, "after the cursor"));
	ck_assert_uint_eq(fix_find(&f, "after the cursor")->live_count, 1);
	ck_assert_uint_eq(fix_find(&f, "after the cursor")->live[0], 1);
	ck_assert_uint_eq(f.sp->stats.damaged, 0);
	check_all(&f, true);
	spool_get_stats(f.sp, &st);
	ck_assert_uint_gt(st.cold_bytes, 0);
	ck_assert_uint_eq(fix_count_files(&f, "segments", ".big"), 2);
	/* The key is taken. */
	ck_assert_int_eq(fix_submit_key(&f, "key-1", "again"), 0);
	fix_turn(&f, 200);
	ck_assert_ptr_null(fix_find(&f, "again"));
	/* And it goes on. */
	ck_assert_int_eq(fix_submit(&f, 1, "new", NULL), 0);
	fix_close(&f, true);
	fix_open(&f);
	check_all(&f, false);
	fix_clear(&f);
}
END_TEST

/* Without queue.db the records alone give all of it back, held. */
START_TEST(version_1_rebuilt)
{
	struct fix f;

	fix_init(&f);
	unpack(&f);
	unlink(fix_path(&f, "queue.db"));
	unlink(fix_path(&f, "queue.db-wal"));
	fix_open(&f);
	fix_until(&f, is_replayed);
	look(&f, "r2@example.org", ROW_UNKNOWN);
	ck_assert_uint_eq(found_count, 1);
	check_content(&f, "deferred and held");
	look(&f, "big@example.org", ROW_UNKNOWN);
	ck_assert_uint_eq(found_count, 1);
	check_content(&f, NULL);
	fix_clear(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("golden");

	if (getenv("POSTERN_GOLDEN") != NULL) {
		UNIT_TEST(s, make);
		return unit_run(s);
	}
	UNIT_TEST(s, version_1);
	UNIT_TEST(s, version_1_rebuilt);
	return unit_run(s);
}
