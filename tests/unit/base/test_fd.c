/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/fd.c; in a folder of its own. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/buf.h"
#include "base/fd.h"
/* this program */
#include "tests/unit/unit.h"

static char top[4096];
static int dir = -1;

static void
setup(void)
{
	unit_folder_make(top, sizeof(top));
	ck_assert_int_eq(chdir(top), 0);
	ck_assert_int_eq(mkdir("in", 0700), 0);
	ck_assert_int_eq(mkdir("in/sub", 0700), 0);
	ck_assert_int_eq(symlink("../outside", "in/out"), 0);
	ck_assert_int_eq(symlink("/etc/passwd", "in/absolute"), 0);
	ck_assert_int_eq(symlink("sub/file", "in/inside"), 0);
	ck_assert_int_eq(symlink("loop", "in/loop"), 0);
	ck_assert_int_eq(symlink("/proc/self/cwd", "in/magic"), 0);
	dir = open("outside", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	fd_close(&dir);
	dir = open("in", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(dir, 0);
}

static void
teardown(void)
{
	fd_close(&dir);
	ck_assert_int_eq(chdir("/"), 0);
	unit_folder_remove(top);
}

START_TEST(closes_once)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), none = -1;

	ck_assert_int_ge(fd, 0);
	errno = ENOSPC;
	fd_close(&fd);
	ck_assert_int_eq(errno, ENOSPC);
	ck_assert_int_eq(fd, -1);
	fd_close(&fd);
	fd_close(&none);
	ck_assert_int_eq(errno, ENOSPC);
}
END_TEST

START_TEST(writes_and_reads_whole)
{
	static char out[100000], in[100000];
	struct buf b;
	int fd = fd_open_beneath(dir, "sub/file", O_RDWR | O_CREAT | O_EXCL, 0640);
	struct stat st;

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	memset(out, 'x', sizeof(out));
	ck_assert_int_eq(fd_write_all(fd, out, sizeof(out)), 0);
	ck_assert_int_eq(fd_pwrite_all(fd, "yz", 2, 99998), 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	ck_assert_int_eq(st.st_size, 100000);
	ck_assert_int_eq(fd_pread_all(fd, in, sizeof(in), 0), 0);
	ck_assert_mem_eq(in, out, 99998);
	ck_assert_mem_eq(in + 99998, "yz", 2);
	ck_assert_int_eq(fd_pread_all(fd, in, sizeof(in), 1), E_CORRUPT);
	buf_init(&b, 200000);
	ck_assert_int_eq(fd_read_file(fd, 100000, &b), 0);
	ck_assert_uint_eq(b.n, 100000);
	buf_reset(&b);
	ck_assert_int_eq(fd_read_file(fd, 99999, &b), E_TOOBIG);
	buf_clear(&b);
	buf_init(&b, 99999);
	ck_assert_int_eq(fd_read_file(fd, 100000, &b), E_TOOBIG);
	buf_clear(&b);
	fd_close(&fd);
}
END_TEST

START_TEST(reports_what_errno_says)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC), pair[2], bad = 999;
	struct buf b;

	buf_init(&b, 10);
	ck_assert_int_eq(fd_write_all(full, "x", 1), E_NOSPACE);
	ck_assert_int_eq(fd_pwrite_all(full, "x", 1, 0), E_NOSPACE);
	ck_assert_int_eq(fd_write_all(bad, "x", 1), E_IO);
	ck_assert_int_eq(fd_pread_all(bad, &bad, 1, 0), E_IO);
	ck_assert_int_eq(fd_read_file(bad, 10, &b), E_IO);
	ck_assert_int_eq(fd_set_nonblock(bad), E_IO);
	ck_assert_int_eq(fd_set_cloexec(bad, true), E_IO);
	fd_close(&full);
	ck_assert_int_eq(fd_socketpair(pair), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(fcntl(pair[i], F_GETFD), FD_CLOEXEC);
		ck_assert_int_ne(fcntl(pair[i], F_GETFL) & O_NONBLOCK, 0);
	}
	fd_close(&pair[1]);
	/* Check resets signal dispositions; the server ignores this one. */
	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(fd_write_all(pair[0], "x", 1), E_CLOSED);
	fd_close(&pair[0]);
}
END_TEST

START_TEST(flags)
{
	int fd = open("/dev/null", O_RDONLY);

	ck_assert_int_eq(fd_set_cloexec(fd, true), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ck_assert_int_eq(fd_set_cloexec(fd, false), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), 0);
	ck_assert_int_eq(fd_set_nonblock(fd), 0);
	ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	fd_close(&fd);
}
END_TEST

static const struct {
	const char *path;
	int flags;
	int r; /* 0: opens */
} beneath_cases[] = {
	{ "sub", O_RDONLY | O_DIRECTORY, 0 },
	{ "./sub/../sub", O_RDONLY | O_DIRECTORY, 0 },
	{ "new", O_WRONLY | O_CREAT, 0 },
	{ "sub/missing", O_RDONLY, E_NOTFOUND },
	{ "inside", O_RDONLY, E_NOTFOUND },
	{ "../outside", O_RDONLY, E_ACCESS },
	{ "sub/../../outside", O_RDONLY, E_ACCESS },
	{ "..", O_RDONLY | O_DIRECTORY, E_ACCESS },
	{ "/etc/passwd", O_RDONLY, E_ACCESS },
	{ "out", O_RDONLY, E_ACCESS },
	{ "absolute", O_RDONLY, E_ACCESS },
	{ "magic", O_RDONLY, E_ACCESS },
	{ "loop", O_RDONLY, E_ACCESS },
	{ "", O_RDONLY, E_NOTFOUND },
};

START_TEST(never_leads_out)
{
	int fd = fd_open_beneath(dir, beneath_cases[_i].path, beneath_cases[_i].flags, 0600);

	if (beneath_cases[_i].r == 0)
		ck_assert_int_ge(fd, 0);
	else
		ck_assert_int_eq(fd, beneath_cases[_i].r);
	fd_close(&fd);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("fd");
	TCase *files = tcase_create("files");

	UNIT_TEST(s, closes_once);
	UNIT_TEST(s, reports_what_errno_says);
	UNIT_TEST(s, flags);
	tcase_add_checked_fixture(files, setup, teardown);
	tcase_add_test(files, writes_and_reads_whole);
	tcase_add_loop_test(files, never_leads_out, 0, UNIT_COUNT(beneath_cases));
	suite_add_tcase(s, files);
	return unit_run(s);
}
