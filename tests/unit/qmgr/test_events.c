/* SPDX-License-Identifier: ISC
 *
 * Tests of the event log: pages, cursor, bound and damage of its files; then with the whole of storage: an event is
 * durable before its cause, on a thread, none is missing after a crash at any point, and a disk that fails takes events
 * but neither mail nor time. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
/* this program */
#include "tests/unit/qmgr/fixture.h"

#define MAX_BYTES 1048576ull

/* --- faults: of files below events/ only -------------------------------------------------------- */

static struct {
	atomic_int write_errno, write_at_most; /* so many bytes are written, then it fails */
	atomic_int sync_errno, open_errno;
	atomic_int syncs; /* of event files */
	atomic_int syncs_on_main;
} fault;
static pthread_t main_thread;

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_openat(int dir, const char *name, int flags, ...);
int __wrap_openat(int dir, const char *name, int flags, ...);

static bool
is_event_file(int fd)
{
	char link[64], path[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	return n > 0 && span_ends(span_make(path, (size_t)n), SPAN(".events"));
}

ssize_t
__wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (fault.write_errno == 0 || !is_event_file(fd))
		return __real_pwrite(fd, p, n, at);
	if (fault.write_at_most > 0) {
		size_t part = n < (size_t)fault.write_at_most ? n : (size_t)fault.write_at_most;

		fault.write_at_most = 0;
		return __real_pwrite(fd, p, part, at);
	}
	errno = fault.write_errno;
	return -1;
}

static int
on_sync(int fd)
{
	if (!is_event_file(fd))
		return 0;
	fault.syncs++;
	fault.syncs_on_main += pthread_equal(pthread_self(), main_thread) != 0;
	errno = fault.sync_errno;
	return fault.sync_errno != 0 ? -1 : 0;
}

int
__wrap_fdatasync(int fd)
{
	return on_sync(fd) < 0 ? -1 : __real_fdatasync(fd);
}

int
__wrap_fsync(int fd)
{
	return on_sync(fd) < 0 ? -1 : __real_fsync(fd);
}

int
__wrap_openat(int dir, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (fault.open_errno != 0 && flags & O_CREAT && span_ends(span_of(name), SPAN(".events"))) {
		errno = fault.open_errno;
		return -1;
	}
	return __real_openat(dir, name, flags, mode);
}

/* --- the log alone --------------------------------------------------------------------------- */

static struct {
	char dir[64];
	int fd;
	struct events *ev;
} one;

static void
open_one(uint64_t max)
{
	struct buf why;

	buf_init(&why, 500);
	one.ev = events_new(one.fd, max);
	ck_assert_msg(events_open(one.ev, &why) == 0, "%s", buf_cstr(&why));
	buf_clear(&why);
}

static void
setup(void)
{
	memset(&fault, 0, sizeof(fault));
	snprintf(one.dir, sizeof(one.dir), "build/tmp-events-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(one.dir));
	one.fd = open(one.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	open_one(MAX_BYTES);
}

static void
reopen(uint64_t max)
{
	events_free(&one.ev);
	open_one(max);
}

static void
teardown(void)
{
	char command[128];

	events_free(&one.ev);
	fd_close(&one.fd);
	snprintf(command, sizeof(command), "rm -r %s", one.dir);
	ck_assert_int_eq(system(command), 0);
}

static const char *
path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/events/%s", one.dir, name);
	return path;
}

/* Events with these message numbers in one call. */
static int
try_write(uint64_t from, uint32_t count, size_t text)
{
	char filler[1024];
	struct buf b;
	int r;

	memset(filler, 'x', sizeof(filler));
	buf_init(&b, 64 << 20);
	for (uint32_t i = 0; i < count; i++)
		ck_assert(event_put(&b, &(struct event){ .kind = EVENT_RECEIVED,
							 .number = from + i,
							 .text = { filler, text } }));
	r = events_write(one.ev, b.p, b.n, count);
	buf_clear(&b);
	return r;
}

static void
write_some(uint64_t from, uint32_t count, size_t text)
{
	ck_assert_int_eq(try_write(from, count, text), 0);
}

/* What a reader gets to the end: ranges of message numbers, "L5" for five lost. *at: where it begins and ends. */
static const char *
read_all(struct event_cursor *at)
{
	static char out[4096];
	uint64_t first = 0, last = 0;
	size_t n = 0;

	out[0] = '\0';
	for (;;) {
		struct events_page page = { .at = *at };
		struct span in;
		int r = 0;

		ck_assert_int_eq(events_read(one.ev, &page), 0);
		in = buf_span(&page.records);
		*at = page.at;
		for (bool is_last = in.n == 0; in.n > 0 || is_last;
		     in = span_sub(in, (size_t)r, SIZE_MAX)) {
			struct event e = { 0 };
			uint64_t serial;
			size_t need;

			if (!is_last)
				ck_assert_int_gt(r = event_get(in, &serial, &e, &need), 0);
			if (first != 0 && (e.kind != EVENT_RECEIVED || e.number != last + 1)) {
				n += (size_t)snprintf(out + n, sizeof(out) - n, "%llu-%llu ",
						      (unsigned long long)first,
						      (unsigned long long)last);
				first = 0;
			}
			if (e.kind == EVENT_LOST)
				n += (size_t)snprintf(out + n, sizeof(out) - n, "L%llu ",
						      (unsigned long long)e.count);
			if (e.kind == EVENT_RECEIVED && first == 0)
				first = e.number;
			last = e.number;
			if (is_last)
				break;
		}
		buf_clear(&page.records);
		if (in.n == 0 && r == 0)
			return out;
	}
}

static const char *
read_from_cursor(void)
{
	struct event_cursor at = { 0 };

	return read_all(&at);
}

START_TEST(what_is_written_is_read)
{
	struct event_cursor at = { 0 };

	ck_assert_str_eq(read_all(&at), "");
	write_some(1, 3, 10);
	ck_assert_str_eq(read_all(&at), "1-3 ");
	ck_assert_str_eq(read_all(&at), "");
	write_some(4, 2, 10);
	ck_assert_str_eq(read_all(&at), "4-5 ");
	ck_assert_str_eq(read_from_cursor(), "1-5 ");
	ck_assert_uint_eq(at.serial, 6);
	/* A hint that leads astray does no harm. */
	at.serial = 2;
	for (uint64_t place = 0; place < 300; place += 7) {
		struct event_cursor astray = { 2, (uint64_t)1 << 32 | place };

		ck_assert_str_eq(read_all(&astray), "2-5 ");
	}
	at.place = UINT64_MAX;
	ck_assert_str_eq(read_all(&at), "2-5 ");
	/* One that knows more than there is begins anew. */
	at.serial = 1000;
	ck_assert_str_eq(read_all(&at), "1-5 ");
}
END_TEST

START_TEST(many_pages_and_files_hold_all)
{
	for (uint64_t i = 0; i < 20; i++)
		write_some(1 + 100 * i, 100, 300);
	ck_assert_str_eq(read_from_cursor(), "1-2000 ");
	reopen(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(), "1-2000 ");
	write_some(2001, 1, 10);
	ck_assert_str_eq(read_from_cursor(), "1-2001 ");
}
END_TEST

START_TEST(the_cursor_moves_on_acknowledgement_and_stays_moved)
{
	struct event_cursor at = { 0 }, older = { 2, 0 }, future = { 100000, 0 };
	struct events_stats st;

	for (uint64_t i = 0; i < 10; i++)
		write_some(1 + 100 * i, 100, 300);
	ck_assert_str_eq(read_all(&at), "1-1000 ");
	ck_assert_int_eq(events_ack(one.ev, &at), 0);
	ck_assert_int_eq(events_ack(one.ev, &older), 0);
	ck_assert_int_eq(events_ack(one.ev, &future), E_SYNTAX);
	ck_assert_str_eq(read_from_cursor(), "");
	/* What was taken needs no room; the newest file knows the serials. */
	events_get_stats(one.ev, &st);
	ck_assert_uint_eq(st.files, 1);
	ck_assert_uint_eq(st.unread, 0);
	reopen(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(), "");
	write_some(1001, 2, 10);
	ck_assert_str_eq(read_from_cursor(), "1001-1002 ");
	ck_assert_str_eq(read_all(&at), "1001-1002 ");
	ck_assert_uint_eq(at.serial, 1003);
}
END_TEST

START_TEST(beyond_the_bound_the_oldest_go_and_are_counted)
{
	struct event_cursor at = { 0 };
	struct events_stats st;
	char got[200];
	unsigned long long lost, first, last;

	for (uint64_t i = 0; i < 100; i++)
		write_some(1 + 100 * i, 100, 300);
	events_get_stats(one.ev, &st);
	ck_assert_uint_le(st.bytes, MAX_BYTES);
	ck_assert_uint_gt(st.bytes, MAX_BYTES * 3 / 4);
	ck_assert_uint_gt(st.dropped, 5000);
	snprintf(got, sizeof(got), "%s", read_all(&at));
	ck_assert_int_eq(sscanf(got, "L%llu %llu-%llu ", &lost, &first, &last), 3);
	ck_assert_uint_eq(lost, st.dropped);
	ck_assert_uint_eq(first, lost + 1);
	ck_assert_uint_eq(last, 10000);
	/* The same count after a restart, and none once it was taken. */
	reopen(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(), got);
	ck_assert_int_eq(events_ack(one.ev, &at), 0);
	ck_assert_str_eq(read_from_cursor(), "");
}
END_TEST

START_TEST(a_torn_end_is_cut_and_never_appended_to)
{
	struct stat st;

	write_some(1, 10, 100);
	events_free(&one.ev);
	ck_assert_int_eq(stat(path_of("1.events"), &st), 0);
	ck_assert_int_eq(truncate(path_of("1.events"), st.st_size - 1), 0);
	open_one(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(), "1-9 ");
	write_some(10, 2, 100);
	ck_assert_str_eq(read_from_cursor(), "1-11 ");
	ck_assert_int_eq(access(path_of("2.events"), F_OK), 0);
	/* A file that was just being made. */
	events_free(&one.ev);
	ck_assert_int_eq(truncate(path_of("2.events"), 20), 0);
	open_one(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(), "1-9 ");
	ck_assert_int_eq(access(path_of("2.events"), F_OK), -1);
}
END_TEST

static void
poke(const char *name, off_t at)
{
	int fd = open(path_of(name), O_RDWR | O_CLOEXEC);
	char c;

	ck_assert_int_eq(fd_pread_all(fd, &c, 1, at), 0);
	c ^= 0x20;
	ck_assert_int_eq(fd_pwrite_all(fd, &c, 1, at), 0);
	fd_close(&fd);
}

START_TEST(damage_costs_the_rest_of_its_file_and_is_counted)
{
	unsigned long long first, last, lost, next;

	for (uint64_t i = 0; i < 10; i++)
		write_some(1 + 100 * i, 100, 300);
	poke("1.events", 20000);
	ck_assert_int_eq(sscanf(read_from_cursor(), "%llu-%llu L%llu %llu-1000 ", &first, &last,
				&lost, &next),
			 4);
	ck_assert(first == 1 && last > 10 && lost > 10 && next == last + lost + 1);
	/* The header: the file is put aside. */
	events_free(&one.ev);
	poke("1.events", 3);
	open_one(MAX_BYTES);
	ck_assert_int_eq(sscanf(read_from_cursor(), "L%llu %llu-1000 ", &lost, &first), 2);
	ck_assert(first == next && lost == first - 1);
	ck_assert_int_eq(access(path_of("1.events.damaged"), F_OK), 0);
}
END_TEST

START_TEST(a_damaged_cursor_gives_everything_again)
{
	struct event_cursor at = { 0 };

	write_some(1, 5, 10);
	ck_assert_str_eq(read_all(&at), "1-5 ");
	ck_assert_int_eq(events_ack(one.ev, &at), 0);
	events_free(&one.ev);
	poke("cursor", 20);
	open_one(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(), "1-5 ");
}
END_TEST

START_TEST(lost_ones_are_told_even_before_the_next_event)
{
	write_some(1, 2, 10);
	events_lost(one.ev, 7);
	ck_assert_str_eq(read_from_cursor(), "1-2 L7 ");
	write_some(10, 1, 10);
	ck_assert_str_eq(read_from_cursor(), "1-2 L7 10-10 ");
	reopen(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(), "1-2 L7 10-10 ");
}
END_TEST

START_TEST(off_is_off)
{
	struct events *off = events_new(one.fd, 0);
	struct events_page page = { .at = { 0, 0 } };

	ck_assert(!events_is_on(off));
	ck_assert_int_eq(events_read(off, &page), E_NOTFOUND);
	ck_assert_int_eq(events_ack(off, &page.at), E_NOTFOUND);
	events_free(&off);
}
END_TEST

static const struct {
	int write_errno, at_most, sync_errno, open_errno;
} fault_cases[] = {
	{ ENOSPC, 0, 0, 0 }, { ENOSPC, 70, 0, 0 }, { EIO, 0, 0, 0 },	{ EIO, 200, 0, 0 },
	{ 0, 0, EIO, 0 },    { EDQUOT, 3, 0, 0 },  { 0, 0, 0, ENOSPC },
};

START_TEST(a_failed_call_leaves_nothing_behind)
{
	ck_assert_int_eq(try_write(1, 3, 100), 0);
	if (fault_cases[_i].open_errno != 0)
		events_lost(one.ev, 1); /* so that a new file is needed */
	fault.write_errno = fault_cases[_i].write_errno;
	fault.write_at_most = fault_cases[_i].at_most;
	fault.sync_errno = fault_cases[_i].sync_errno;
	fault.open_errno = fault_cases[_i].open_errno;
	ck_assert_int_lt(try_write(4, 3, 100), 0);
	/* Not tried at once again. */
	fault.syncs = 0;
	ck_assert_int_lt(try_write(4, 3, 100), 0);
	ck_assert_int_eq(fault.syncs, 0);
	memset(&fault, 0, sizeof(fault));
	usleep((EVENTS_AGAIN_MS + 20) * 1000);
	ck_assert_int_eq(try_write(4, 3, 100), 0);
	ck_assert_str_eq(read_from_cursor(),
			 fault_cases[_i].open_errno != 0 ? "1-3 L1 4-6 " : "1-6 ");
	reopen(MAX_BYTES);
	ck_assert_str_eq(read_from_cursor(),
			 fault_cases[_i].open_errno != 0 ? "1-3 L1 4-6 " : "1-6 ");
}
END_TEST

/* --- with the whole of storage ---------------------------------------------------------------- */

static void
fix_begin(struct fix *f)
{
	memset(&fault, 0, sizeof(fault));
	fix_init(f);
	f->events_bytes = MAX_BYTES;
	fix_open(f);
}

/* How many unread events of a kind there are, for a message or (0) for any. */
static uint32_t
count_events(struct fix *f, enum event_kind kind, uint64_t number)
{
	struct event_cursor at = { 0 };
	uint32_t found = 0;

	for (;;) {
		struct events_page page = { .at = at };
		struct span in;
		int r;

		ck_assert_int_eq(events_read(f->sp->events, &page), 0);
		in = buf_span(&page.records);
		at = page.at;
		for (; in.n > 0; in = span_sub(in, (size_t)r, SIZE_MAX)) {
			struct event e;
			uint64_t serial;
			size_t need;

			ck_assert_int_gt(r = event_get(in, &serial, &e, &need), 0);
			found += e.kind == kind && (number == 0 || e.number == number);
		}
		if (page.records.n == 0)
			return found;
		buf_clear(&page.records);
	}
}

/* Delivered, as scheduling says it: first the event, then the op. */
static void
deliver(struct fix *f, const struct fix_msg *m, uint32_t index)
{
	store_event(f->sp->store, &(struct event){ .kind = EVENT_DELIVERED,
						   .number = m->number,
						   .qid = m->qid,
						   .index_plus_1 = index + 1,
						   .attempt = 1 });
	store_done(f->sp->store, m->number, index);
}

START_TEST(a_reception_is_written_in_time_and_on_a_thread)
{
	struct fix f;

	fix_begin(&f);
	main_thread = pthread_self();
	ck_assert_int_eq(fix_submit(&f, 2, "one", NULL), 0);
	fix_turn(&f, 50 + 100);
	ck_assert_uint_eq(count_events(&f, EVENT_RECEIVED, f.got[0].number), 1);
	fault.syncs = 0;
	deliver(&f, &f.got[0], 0);
	deliver(&f, &f.got[0], 1);
	fix_flush(&f);
	ck_assert_uint_eq(count_events(&f, EVENT_DELIVERED, f.got[0].number), 2);
	/* One sync for a transaction, never on the loop. */
	ck_assert_int_eq(fault.syncs, 1);
	ck_assert_int_eq(fault.syncs_on_main, 0);
	fix_clear(&f);
}
END_TEST

START_TEST(without_the_block_there_is_no_file_and_no_sync)
{
	struct fix f;

	memset(&fault, 0, sizeof(fault));
	fix_init(&f);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "one", NULL), 0);
	deliver(&f, &f.got[0], 0);
	fix_flush(&f);
	ck_assert_int_eq(fault.syncs, 0);
	ck_assert_int_eq(access(fix_path(&f, "events"), F_OK), -1);
	fix_clear(&f);
}
END_TEST

/* --- crashes ---------------------------------------------------------------------------------- */

enum { MESSAGES = 6 };

/* Messages stored and delivered, then everything read and acknowledged, until the crash point ends the process; the
 * numbers of those that were answered are written down. */
static void
work(struct fix *f)
{
	struct events_page page = { .at = { 0, 0 } };

	fix_open(f);
	for (int i = 0; i < MESSAGES; i++) {
		char text[32];
		FILE *file;

		snprintf(text, sizeof(text), "m%d", i);
		if (fix_submit(f, 1, text, NULL) != 0)
			_exit(1);
		file = fopen(fix_path(f, text), "w");
		fprintf(file, "%llu", (unsigned long long)fix_find(f, text)->number);
		fclose(file);
		deliver(f, fix_find(f, text), 0);
		fix_flush(f);
	}
	if (events_read(f->sp->events, &page) != 0 || events_ack(f->sp->events, &page.at) != 0)
		_exit(1);
}

static bool
is_replayed(struct fix *f)
{
	return f->sp->replay_left == 0;
}

static const char *const crash_points[] = {
	"batch-written",
	"batch-synced",
	"stored",
	"events-written",
	"events-written 1",
	"events-written 2",
	"events-synced",
	"events-synced 1",
	"events-synced 4",
	"events-file-made",
	"transaction-before-commit",
	"transaction-before-commit 3",
	"transaction-committed",
	"transaction-committed 2",
	"event-cursor-written",
	"event-cursor-moved",
};

START_TEST(no_event_is_missing_after_a_crash)
{
	const char *point = crash_points[_i];
	bool is_acked = strcmp(point, "event-cursor-moved") == 0;
	struct fix f;
	int acked = 0;

	memset(&fault, 0, sizeof(fault));
	fix_init(&f);
	f.events_bytes = MAX_BYTES;
	ck_assert_int_eq(fix_crash(&f, point, work), SIGKILL);
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_flush(&f);
	for (size_t i = 0; i < f.count; i++) {
		/* What the scan found was received; and is delivered now. */
		ck_assert_uint_ge(count_events(&f, EVENT_RECEIVED, f.got[i].number), 1);
		deliver(&f, &f.got[i], 0);
	}
	fix_flush(&f);
	for (int i = 0; i < MESSAGES; i++) {
		unsigned long long number = 0;
		char text[32];
		FILE *file;

		snprintf(text, sizeof(text), "m%d", i);
		if ((file = fopen(fix_path(&f, text), "r")) == NULL)
			continue;
		ck_assert_int_eq(fscanf(file, "%llu", &number), 1);
		fclose(file);
		acked++;
		ck_assert_uint_ge(count_events(&f, EVENT_RECEIVED, number), !is_acked);
		ck_assert_uint_ge(count_events(&f, EVENT_DELIVERED, number), !is_acked);
	}
	ck_assert_uint_eq(count_events(&f, EVENT_LOST, 0), 0);
	if (is_acked)
		ck_assert_uint_eq(count_events(&f, EVENT_RECEIVED, 0), 0);
	else if (strncmp(point, "event-cursor", 12) == 0)
		ck_assert_int_eq(acked, MESSAGES);
	fix_clear(&f);
}
END_TEST

/* Killed between its file's end and the transaction: the successor drops nothing that was not counted. */
static void
fill(struct fix *f)
{
	fix_open(f);
	for (uint64_t i = 0; i < 30000; i++) {
		store_event(f->sp->store, &(struct event){ .kind = EVENT_HELD,
							   .number = i + 1,
							   .text = SPAN("a text of some length") });
		if (i % 1000 == 0)
			fix_flush(f);
	}
	fix_flush(f);
}

START_TEST(killed_while_the_oldest_are_dropped_the_count_is_right)
{
	struct events_page page = { .at = { 0, 0 } };
	struct fix f;
	struct event e;
	uint64_t serial;
	size_t need;
	int r;

	memset(&fault, 0, sizeof(fault));
	fix_init(&f);
	f.events_bytes = MAX_BYTES;
	ck_assert_int_eq(fix_crash(&f, "events-dropped 1", fill), SIGKILL);
	fix_open(&f);
	ck_assert_int_eq(events_read(f.sp->events, &page), 0);
	ck_assert_int_gt(r = event_get(buf_span(&page.records), &serial, &e, &need), 0);
	ck_assert_int_eq(e.kind, EVENT_LOST);
	ck_assert_uint_gt(e.count, 1000);
	ck_assert_int_gt(event_get(span_sub(buf_span(&page.records), (size_t)r, SIZE_MAX), &serial,
				   &e, &need),
			 0);
	ck_assert_uint_eq(e.number, serial);
	buf_clear(&page.records);
	fix_clear(&f);
}
END_TEST

START_TEST(a_clean_restart_repeats_nothing)
{
	struct fix f;

	fix_begin(&f);
	ck_assert_int_eq(fix_submit(&f, 2, "one", NULL), 0);
	ck_assert_int_eq(fix_submit(&f, 1, "two", NULL), 0);
	deliver(&f, &f.got[0], 1);
	fix_close(&f, true);
	fix_open(&f);
	fix_until(&f, is_replayed);
	fix_flush(&f);
	ck_assert_uint_eq(count_events(&f, EVENT_RECEIVED, 0), 2);
	ck_assert_uint_eq(count_events(&f, EVENT_DELIVERED, 0), 1);
	fix_clear(&f);
}
END_TEST

/* --- a disk that fails ------------------------------------------------------------------------ */

START_TEST(a_failing_disk_costs_events_and_nothing_else)
{
	uint64_t began = clock_mono_ms();
	struct fix f;

	fix_begin(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "before", NULL), 0);
	fix_flush(&f);
	fault.write_errno = fault_cases[_i].write_errno;
	fault.write_at_most = fault_cases[_i].at_most;
	fault.sync_errno = fault_cases[_i].sync_errno;
	if (fault_cases[_i].open_errno != 0) {
		fault.open_errno = fault_cases[_i].open_errno;
		fault.write_errno = EIO;
	}
	for (int i = 0; i < 5; i++) {
		char text[32];

		snprintf(text, sizeof(text), "m%d", i);
		ck_assert_int_eq(fix_submit(&f, 1, text, NULL), 0);
		deliver(&f, fix_find(&f, text), 0);
		fix_flush(&f);
	}
	ck_assert_int_eq(f.sp->space.code, 0);
	ck_assert_uint_lt(clock_mono_ms() - began, 8000);
	ck_assert_uint_eq(count_events(&f, EVENT_LOST, 0), 1);
	ck_assert_uint_eq(f.sp->log.live, 1);
	/* The disk is mended: events go on, the reader is told how many it missed. */
	memset(&fault, 0, sizeof(fault));
	fix_turn(&f, EVENTS_AGAIN_MS + 50);
	ck_assert_int_eq(fix_submit(&f, 1, "after", NULL), 0);
	fix_flush(&f);
	ck_assert_uint_eq(count_events(&f, EVENT_RECEIVED, fix_find(&f, "after")->number), 1);
	ck_assert_uint_eq(count_events(&f, EVENT_RECEIVED, fix_find(&f, "before")->number), 1);
	ck_assert_uint_eq(count_events(&f, EVENT_LOST, 0), 1);
	fix_clear(&f);
}
END_TEST

START_TEST(an_event_log_that_cannot_be_opened_holds_up_no_mail)
{
	struct fix f;
	FILE *file;

	memset(&fault, 0, sizeof(fault));
	fix_init(&f);
	f.events_bytes = MAX_BYTES;
	file = fopen(fix_path(&f, "events"), "w"); /* a file where the folder should be */
	fclose(file);
	fix_open(&f);
	ck_assert_int_eq(fix_submit(&f, 1, "one", NULL), 0);
	deliver(&f, &f.got[0], 0);
	fix_flush(&f);
	unlink(fix_path(&f, "events"));
	fix_turn(&f, EVENTS_AGAIN_MS + 50);
	ck_assert_int_eq(fix_submit(&f, 1, "two", NULL), 0);
	fix_flush(&f);
	ck_assert_uint_eq(count_events(&f, EVENT_RECEIVED, fix_find(&f, "two")->number), 1);
	fix_clear(&f);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("events");
	TCase *alone = tcase_create("alone");

	tcase_add_checked_fixture(alone, setup, teardown);
	suite_add_tcase(s, alone);
	tcase_add_test(alone, what_is_written_is_read);
	tcase_add_test(alone, many_pages_and_files_hold_all);
	tcase_add_test(alone, the_cursor_moves_on_acknowledgement_and_stays_moved);
	tcase_add_test(alone, beyond_the_bound_the_oldest_go_and_are_counted);
	tcase_add_test(alone, a_torn_end_is_cut_and_never_appended_to);
	tcase_add_test(alone, damage_costs_the_rest_of_its_file_and_is_counted);
	tcase_add_test(alone, a_damaged_cursor_gives_everything_again);
	tcase_add_test(alone, lost_ones_are_told_even_before_the_next_event);
	tcase_add_test(alone, off_is_off);
	tcase_add_loop_test(alone, a_failed_call_leaves_nothing_behind, 0, UNIT_COUNT(fault_cases));
	UNIT_TEST(s, a_reception_is_written_in_time_and_on_a_thread);
	UNIT_TEST(s, without_the_block_there_is_no_file_and_no_sync);
	UNIT_TABLE(s, no_event_is_missing_after_a_crash, crash_points);
	UNIT_TEST(s, killed_while_the_oldest_are_dropped_the_count_is_right);
	UNIT_TEST(s, a_clean_restart_repeats_nothing);
	UNIT_TABLE(s, a_failing_disk_costs_events_and_nothing_else, fault_cases);
	UNIT_TEST(s, an_event_log_that_cannot_be_opened_holds_up_no_mail);
	return unit_run(s);
}
