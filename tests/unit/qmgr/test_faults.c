/* SPDX-License-Identifier: ISC
 *
 * Tests of storage on a disk that fails: errors of write and sync, short writes, full disks. Nothing that was answered
 * is lost, nothing is answered that was not synced, and it goes on by itself. */

/* System */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
/* Third party */
#include <sqlite3.h>
/* lib */
#include "base/clock.h"
/* this program */
#include "qmgr/store/store_int.h"
#include "tests/unit/qmgr/fixture.h"

/* What the next calls do; 0: the real thing. */
static struct {
	atomic_int write_errno, write_after; /* fails after so many bytes of this call */
	atomic_size_t write_at_most;	     /* short writes */
	atomic_int write_fails;		     /* so many calls fail */
	atomic_int sync_errno, sync_fails;
	atomic_int alloc_errno;
	atomic_ullong free_bytes;
	atomic_ullong bad_inode; /* whose sync failed */
	atomic_int syncs_of_bad, syncs;
} fault;

ssize_t __real_pwritev(int fd, const struct iovec *iov, int n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fstatvfs(int fd, struct statvfs *st);
int __wrap_fstatvfs(int fd, struct statvfs *st);
int __real_fallocate(int fd, int mode, off_t at, off_t n);
int __wrap_fallocate(int fd, int mode, off_t at, off_t n);

ssize_t
__wrap_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	size_t at_most = fault.write_at_most;

	if (fault.write_fails > 0) {
		fault.write_fails--;
		if (fault.write_after > 0) {
			struct iovec part = { iov[0].iov_base, (size_t)fault.write_after };

			ck_assert_int_eq(__real_pwritev(fd, &part, 1, at), fault.write_after);
		}
		errno = fault.write_errno;
		return -1;
	}
	if (at_most > 0 && iov[0].iov_len > 0) {
		struct iovec part = { iov[0].iov_base,
				      iov[0].iov_len < at_most ? iov[0].iov_len : at_most };

		return __real_pwritev(fd, &part, 1, at);
	}
	return __real_pwritev(fd, iov, n, at);
}

int
__wrap_fdatasync(int fd)
{
	struct stat st;

	fstat(fd, &st);
	fault.syncs++;
	if (fault.bad_inode != 0 && st.st_ino == fault.bad_inode)
		fault.syncs_of_bad++;
	if (fault.sync_fails > 0) {
		fault.sync_fails--;
		fault.bad_inode = st.st_ino;
		errno = fault.sync_errno;
		return -1;
	}
	return __real_fdatasync(fd);
}

int
__wrap_fstatvfs(int fd, struct statvfs *st)
{
	int r = __real_fstatvfs(fd, st);

	if (fault.free_bytes > 0) {
		st->f_frsize = 1;
		st->f_bavail = fault.free_bytes;
	}
	return r;
}

int
__wrap_fallocate(int fd, int mode, off_t at, off_t n)
{
	if (fault.alloc_errno != 0) {
		errno = fault.alloc_errno;
		return -1;
	}
	return __real_fallocate(fd, mode, at, n);
}

static void
begin(struct fix *f)
{
	memset(&fault, 0, sizeof(fault));
	fix_init(f);
	fix_open(f);
	ck_assert_int_eq(fix_submit(f, 1, "before", NULL), 0);
}

static bool
is_replayed(struct fix *f)
{
	return f->sp->replay_left == 0;
}

/* After a crash exactly these are there. */
static void
end(struct fix *f, const char *must, const char *must2, const char * not )
{
	memset(&fault, 0, sizeof(fault));
	fix_close(f, false);
	fix_open(f);
	fix_until(f, is_replayed);
	ck_assert_ptr_nonnull(fix_find(f, "before"));
	if (must != NULL)
		ck_assert_ptr_nonnull(fix_find(f, must));
	if (must2 != NULL)
		ck_assert_ptr_nonnull(fix_find(f, must2));
	if (not != NULL)
		ck_assert_ptr_null(fix_find(f, not ));
	fix_clear(f);
}

static const struct {
	int errnum, after, want;
} write_cases[] = {
	{ EIO, 0, E_IO },	    { EIO, 50, E_IO },	      { ENOSPC, 0, E_NOSPACE },
	{ EDQUOT, 100, E_NOSPACE }, { EROFS, 0, E_READONLY },
};

START_TEST(write_fails)
{
	struct fix f;
	uint32_t segment;

	begin(&f);
	segment = f.got[0].place.segment;
	fault.write_fails = 1;
	fault.write_errno = write_cases[_i].errnum;
	fault.write_after = write_cases[_i].after;
	ck_assert_int_eq(fix_submit(&f, 1, "refused", NULL), write_cases[_i].want);
	ck_assert_int_eq(f.sp->space.code, 0);
	ck_assert_int_eq(fix_submit(&f, 1, "after", NULL), 0);
	/* The segment was sealed at its last good byte. */
	ck_assert_uint_ne(fix_find(&f, "after")->place.segment, segment);
	ck_assert_ptr_null(fix_find(&f, "refused"));
	end(&f, "after", NULL, "refused");
}
END_TEST

START_TEST(interrupted_write)
{
	struct fix f;

	begin(&f);
	fault.write_fails = 3;
	fault.write_errno = EINTR;
	ck_assert_int_eq(fix_submit(&f, 1, "again", NULL), 0);
	end(&f, "again", NULL, NULL);
}
END_TEST

START_TEST(short_writes)
{
	struct fix f;

	begin(&f);
	fault.write_at_most = 7;
	ck_assert_int_eq(fix_submit(&f, 3, "in small pieces", NULL), 0);
	end(&f, "in small pieces", NULL, NULL);
}
END_TEST

START_TEST(sync_fails)
{
	struct fix f;

	begin(&f);
	fault.sync_fails = 1;
	fault.sync_errno = EIO;
	ck_assert_int_eq(fix_submit(&f, 1, "refused", NULL), E_IO);
	ck_assert_int_eq(fix_submit(&f, 1, "after", NULL), 0);
	ck_assert_int_eq(fix_submit(&f, 1, "later", NULL), 0);
	ck_assert_uint_ne(fault.bad_inode, 0);
	/* Never again a sync of that file: the page cache shows what the disk may never have got. */
	ck_assert_int_eq(fault.syncs_of_bad, 0);
	end(&f, "after", "later", NULL);
}
END_TEST

START_TEST(every_message_has_its_sync)
{
	struct fix f;
	int before;

	begin(&f);
	for (int i = 0; i < 10; i++) {
		before = fault.syncs;
		ck_assert_int_eq(fix_submit(&f, 1, "x", NULL), 0);
		ck_assert_int_gt(fault.syncs, before);
	}
	end(&f, "x", NULL, NULL);
}
END_TEST

static bool
is_open(struct fix *f)
{
	f->sp->space.probe_ms = 0;
	return f->sp->space.code == 0;
}

START_TEST(two_failures_close_the_intake)
{
	struct fix f;
	int calls;

	begin(&f);
	fault.write_fails = 1000;
	fault.write_errno = EIO;
	ck_assert_int_eq(fix_submit(&f, 1, "one", NULL), E_IO);
	ck_assert_int_eq(f.sp->space.code, 0);
	calls = f.intake_calls;
	ck_assert_int_eq(fix_submit(&f, 1, "two", NULL), E_IO);
	ck_assert_int_eq(f.sp->space.code, E_IO);
	ck_assert_int_gt(f.intake_calls, calls);
	f.sp->space.probe_ms = 0;
	fix_turn(&f, 1500);
	ck_assert_int_eq(f.sp->space.code, E_IO);
	fault.write_fails = 0;
	fix_until(&f, is_open);
	ck_assert_int_eq(fix_submit(&f, 1, "three", NULL), 0);
	end(&f, "three", NULL, "two");
}
END_TEST

/* No room for the next segment. */
START_TEST(no_new_segment)
{
	static char content[300000];
	struct fix f;
	int r = 0;

	begin(&f);
	fix_turn(&f, 50);
	memset(content, 'x', sizeof(content) - 1);
	fault.alloc_errno = ENOSPC;
	for (int i = 0; i < 30 && r == 0; i++)
		r = fix_submit(&f, 1, content, NULL);
	ck_assert_int_eq(r, E_NOSPACE);
	ck_assert_int_eq(fix_submit(&f, 1, content, NULL), E_NOSPACE);
	ck_assert_int_eq(f.sp->space.code, E_NOSPACE);
	fault.alloc_errno = 0;
	fix_until(&f, is_open);
	ck_assert_int_eq(fix_submit(&f, 1, "after", NULL), 0);
	end(&f, "after", NULL, NULL);
}
END_TEST

static bool
is_low(struct fix *f)
{
	return f->sp->space.code == E_NOSPACE;
}

static bool
is_not_low(struct fix *f)
{
	return f->sp->space.code == 0;
}

START_TEST(min_free)
{
	struct fix f;

	begin(&f);
	spool_set_conf(f.sp, 1000000, 1 << 20);
	fault.free_bytes = 999999;
	fix_until(&f, is_low);
	/* What has arrived is stored all the same. */
	ck_assert_int_eq(fix_submit(&f, 1, "arrived", NULL), 0);
	/* A little more is not enough to open again. */
	fault.free_bytes = 1000001;
	fix_turn(&f, 1300);
	ck_assert_int_eq(f.sp->space.code, E_NOSPACE);
	fault.free_bytes = 1200000;
	fix_until(&f, is_not_low);
	/* Known at start, before the first intake asks. */
	fix_close(&f, false);
	fault.free_bytes = 10;
	f.min_free_bytes = 1000;
	fix_open(&f);
	ck_assert_int_eq(f.sp->space.code, E_NOSPACE);
	end(&f, "arrived", NULL, NULL);
}
END_TEST

static bool
is_compacted(struct fix *f)
{
	f->sp->compact.not_before_ms = 0;
	f->sp->last_commit_ms = 0;
	compact_poke(f->sp);
	return f->sp->stats.compacted_bytes > 0;
}

static bool
has_failed(struct fix *f)
{
	if (fault.bad_inode == 0) {
		ck_assert(!is_compacted(f));
		return false;
	}
	return f->sp->compact.from == NULL && f->sp->stats.compacted_bytes == 0;
}

/* Rows lead to the copies only after these are synced. */
START_TEST(copies_that_cannot_be_synced)
{
	static char content[30000];
	struct spool_stats st;
	struct fix f;

	begin(&f);
	f.sp->compact.not_before_ms = UINT64_MAX;
	memset(content, 'x', sizeof(content) - 1);
	f.policy = FIX_DONE;
	for (int i = 0; i < 70; i++)
		ck_assert_int_eq(fix_submit(&f, 1, content, NULL), 0);
	fix_flush(&f);
	fix_checkpoint(&f);
	fix_checkpoint(&f);
	/* The header of a cold segment, then the page. */
	ck_assert_int_eq(segments_take(&f.sp->segs, SEGMENT_COLD, 4096, &f.sp->compact.to), 0);
	fix_turn(&f, 1100);
	f.sp->space.make_ms = UINT64_MAX;
	fault.sync_errno = EIO;
	fault.sync_fails = 1000;
	fix_until(&f, has_failed);
	fault.sync_fails = 0;
	fix_until(&f, is_compacted);
	spool_get_stats(f.sp, &st);
	ck_assert_uint_gt(st.cold_bytes, 0);
	fix_clear(&f);
}
END_TEST

/* --- queue.db -------------------------------------------------------------------------------- */

static void
set_pages(struct fix *f, int pages)
{
	struct db *db = (struct db *)(void *)f->sp->store;
	char sql[64];

	snprintf(sql, sizeof(sql), "PRAGMA max_page_count = %d", pages);
	ck_assert_int_eq(sqlite3_exec(db->sql, sql, NULL, NULL, NULL), SQLITE_OK);
}

static bool durable;

static void
on_durable(void *arg)
{
	(void)arg;
	durable = true;
}

static bool
is_durable(struct fix *f)
{
	(void)f;
	return durable;
}

static bool
is_store_full(struct fix *f)
{
	return f->sp->space.is_store_full;
}

/* Results wait, and are neither lost nor acknowledged, while queue.db has no room. */
START_TEST(no_room_for_queue_db)
{
	struct fix f;
	char text[1000];
	uint64_t number;
	uint32_t n;

	begin(&f);
	ck_assert_int_eq(fix_submit(&f, 60, "many", NULL), 0);
	fix_flush(&f);
	number = fix_find(&f, "many")->number;
	set_pages(&f, 1);
	memset(text, 't', sizeof(text));
	durable = false;
	for (uint32_t i = 0; i < 60; i++) {
		struct row row = { .number = number,
				   .index = i,
				   .lane = SPAN("l"),
				   .attempts = 1,
				   .due_ms = 1,
				   .text = { text, 1000 } };

		store_put(f.sp->store, &row);
	}
	store_when_durable(f.sp->store, on_durable, NULL);
	fix_until(&f, is_store_full);
	ck_assert_int_eq(f.sp->space.code, E_NOSPACE);
	ck_assert(!durable);
	ck_assert_uint_eq(log_find(&f.sp->log, number)->pending, 60);
	fix_turn(&f, 1200);
	ck_assert(!durable);
	/* The store thread is between two tries. */
	set_pages(&f, 100000);
	fix_until(&f, is_durable);
	ck_assert_int_eq(f.sp->space.code, 0);
	fix_rows(&f, number, &n);
	ck_assert_uint_eq(n, 60);
	ck_assert_uint_eq(log_find(&f.sp->log, number)->pending, 0);
	struct store_counts counts;
	store_get_counts(f.sp->store, &counts);
	ck_assert_uint_eq(counts.deferred, 60);
	ck_assert_uint_eq(counts.messages, 1);
	end(&f, NULL, NULL, "many");
}
END_TEST

/* What SQLite's next writes fail with; 0: the real thing. */
static atomic_int db_write_errno;

static ssize_t
db_write(int fd, const void *p, size_t n)
{
	errno = db_write_errno;
	return errno != 0 ? -1 : write(fd, p, n);
}

static ssize_t
db_pwrite(int fd, const void *p, size_t n, off_t at)
{
	errno = db_write_errno;
	return errno != 0 ? -1 : pwrite(fd, p, n, at);
}

static const int room_errnos[] = { ENOSPC, EDQUOT, EROFS };

/* A disk that takes no writes is waited for, whatever it says, and also when only the COMMIT writes. */
START_TEST(queue_db_cannot_be_written)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
	struct row row = { .index = 0, .lane = SPAN("l"), .attempts = 1, .due_ms = 1 };
	struct fix f;
	uint32_t n;

	vfs->xSetSystemCall(vfs, "write", (sqlite3_syscall_ptr)db_write);
	vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)db_pwrite);
	vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)db_pwrite);
	begin(&f);
	row.number = fix_find(&f, "before")->number;
	durable = false;
	db_write_errno = room_errnos[_i];
	store_put(f.sp->store, &row);
	store_when_durable(f.sp->store, on_durable, NULL);
	fix_until(&f, is_store_full);
	ck_assert(!durable);
	db_write_errno = 0;
	fix_until(&f, is_durable);
	ck_assert_int_eq(f.sp->space.code, 0);
	fix_rows(&f, row.number, &n);
	ck_assert_uint_eq(n, 1);
	fix_clear(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("faults");

	UNIT_TABLE(s, write_fails, write_cases);
	UNIT_TEST(s, interrupted_write);
	UNIT_TEST(s, short_writes);
	UNIT_TEST(s, sync_fails);
	UNIT_TEST(s, every_message_has_its_sync);
	UNIT_TEST(s, two_failures_close_the_intake);
	UNIT_TEST(s, no_new_segment);
	UNIT_TEST(s, min_free);
	UNIT_TEST(s, copies_that_cannot_be_synced);
	UNIT_TEST(s, no_room_for_queue_db);
	UNIT_TABLE(s, queue_db_cannot_be_written, room_errnos);
	return unit_run(s);
}
