/* SPDX-License-Identifier: ISC
 *
 * Tests of delivery/local/maildir.c and deliver.c: what the disk does at its worst. write, fsync and renameat2 are replaced. */

/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include "delivery/local/deliver.h"
#include "delivery/local/maildir.h"
#include "tests/unit/delivery/dialog.h"
#include "tests/unit/unit.h"

/* The call of this number (1: the first) fails with this errno; 0: none does. */
static struct fault {
	int at, errnum, calls;
} write_fault, fsync_fault, rename_fault;

static int
fault_of(struct fault *f)
{
	return ++f->calls == f->at ? f->errnum : 0;
}

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat2(int a, const char *from, int b, const char *to, unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags);

ssize_t
__wrap_write(int fd, const void *p, size_t n)
{
	if (fd > 2 && (errno = fault_of(&write_fault)) != 0)
		return -1;
	return __real_write(fd, p, n);
}

int
__wrap_fsync(int fd)
{
	if ((errno = fault_of(&fsync_fault)) != 0)
		return -1;
	return __real_fsync(fd);
}

int
__wrap_renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	if ((errno = fault_of(&rename_fault)) != 0)
		return -1;
	return __real_renameat2(a, from, b, to, flags);
}

static char base_path[128];
static int base;

static void
make_base(void)
{
	unit_folder_make(base_path, sizeof(base_path));
	base = open(base_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(base, 0);
	write_fault = fsync_fault = rename_fault = (struct fault){ 0, 0, 0 };
}

static void
remove_base(void)
{
	fd_close(&base);
	clock_fake_set(0, 0);
	unit_folder_remove(base_path);
}

/* Entries of base/u/<part>; the name of the last. */
static unsigned
count(const char *part, char name_out[300])
{
	char path[400];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/u/%s", base_path, part);
	if ((d = opendir(path)) == NULL)
		return 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		n++;
		if (name_out != NULL)
			snprintf(name_out, 300, "%s", e->d_name);
	}
	closedir(d);
	return n;
}

/* Deliver the job of dialog.c with this name; its outcomes are left in the job. */
static struct job *
deliver(const char *name)
{
	struct maildir md = { -1, -1, -1 };
	struct job *j = dialog_job(name);
	struct deliver d;

	deliver_init(&d, j, &md, base, "u/");
	if (j->is_streamed) {
		char line[1000];
		memset(line, 'x', sizeof(line));
		deliver_begin(&d, span_make(line, sizeof(line)));
		for (int i = 0; i < 1000; i++)
			deliver_part(&d, span_make(line, sizeof(line)));
	} else {
		deliver_begin(&d, j->content);
	}
	deliver_end(&d);
	deliver_settle(&d, j);
	deliver_drop(&d);
	maildir_close(&md);
	return j;
}

START_TEST(good)
{
	struct job *j = deliver("three");

	ck_assert_uint_eq(count("new", NULL), 3);
	ck_assert_uint_eq(count("tmp", NULL), 0);
	for (uint32_t i = 0; i < 3; i++)
		ck_assert_int_eq(j->outcomes[i].status, OUTCOME_DELIVERED);
	job_free(&j);
}
END_TEST

/* Whatever fails: each recipient is either delivered and has its file, or is deferred and has none. */
static const struct {
	const char *job;
	struct fault *fault;
	int at, errnum;
	unsigned delivered;
	const char *esc;
} fault_cases[] = {
	{ "one", &write_fault, 1, ENOSPC, 0, "4.3.1" },
	{ "one", &write_fault, 1, EDQUOT, 0, "4.2.2" },
	{ "one", &write_fault, 1, EIO, 0, "4.2.0" },
	{ "two", &write_fault, 1, ENOSPC, 0, "4.3.1" },
	{ "two", &write_fault, 2, ENOSPC, 1, "4.3.1" },
	{ "two", &write_fault, 3, ENOSPC, 1, "4.3.1" },
	{ "big", &write_fault, 3, EDQUOT, 0, "4.2.2" },
	{ "big", &write_fault, 9, EDQUOT, 1, "4.2.2" },
	/* fsync: four for the new folders; then the files, then new/. */
	{ "one", &fsync_fault, 1, EIO, 0, "4.2.0" },
	{ "one", &fsync_fault, 5, EIO, 0, "4.2.0" },
	{ "one", &fsync_fault, 6, EIO, 0, "4.2.0" },
	{ "three", &fsync_fault, 5, EIO, 2, "4.2.0" },
	{ "three", &fsync_fault, 7, EIO, 2, "4.2.0" },
	{ "three", &fsync_fault, 8, EIO, 0, "4.2.0" },
	{ "one", &rename_fault, 1, ENOSPC, 0, "4.3.1" },
	{ "one", &rename_fault, 1, EEXIST, 0, "4.2.0" },
	{ "three", &rename_fault, 2, EACCES, 2, "4.2.0" },
	/* No renameat2 here: a link does it. */
	{ "one", &rename_fault, 1, EINVAL, 1, NULL },
	{ "three", &rename_fault, 2, ENOSYS, 3, NULL },
};

START_TEST(faults)
{
	struct job *j;
	unsigned delivered = 0;

	fault_cases[_i].fault->at = fault_cases[_i].at;
	fault_cases[_i].fault->errnum = fault_cases[_i].errnum;
	j = deliver(fault_cases[_i].job);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		if (j->outcomes[i].status == OUTCOME_DELIVERED) {
			delivered++;
			continue;
		}
		ck_assert_int_eq(j->outcomes[i].status, OUTCOME_DEFERRED);
		UNIT_EQ(j->outcomes[i].esc, fault_cases[_i].esc);
	}
	ck_assert_int_ge(fault_cases[_i].fault->calls, fault_cases[_i].at);
	ck_assert_uint_eq(delivered, fault_cases[_i].delivered);
	ck_assert_uint_eq(count("new", NULL), delivered);
	ck_assert_uint_eq(count("tmp", NULL), 0);
	job_free(&j);
	/* It works again when the disk does. */
	j = deliver(fault_cases[_i].job);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++)
		ck_assert_int_eq(j->outcomes[i].status, OUTCOME_DELIVERED);
	job_free(&j);
}
END_TEST

static void
put_tmp(const char *name)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/u/tmp/%s", base_path, name);
	ck_assert_int_ge(fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), 0);
	fd_close(&fd);
}

START_TEST(stale)
{
	struct job *j = deliver("one");
	uint64_t now = clock_wall_us();

	job_free(&j);
	put_tmp("left");
	put_tmp(".hidden");
	clock_fake_set(now + 35ull * 3600 * 1000000, 1);
	j = deliver("one");
	job_free(&j);
	ck_assert_uint_eq(count("tmp", NULL), 1);
	clock_fake_set(now + 37ull * 3600 * 1000000, 1);
	j = deliver("one");
	job_free(&j);
	ck_assert_uint_eq(count("tmp", NULL), 0);
	ck_assert_uint_eq(count("new", NULL), 3);
}
END_TEST

/* Only the one of the envelope is left; what the body says is nobody's business. For each recipient. */
START_TEST(foreign_return_path)
{
	static const char *const ends[] = { "r@b.example", "r2@b.example" };
	struct job *j = deliver("returned");
	char name[300], path[800], want[400], got[1000];

	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(count("new", name), 2 - i);
		snprintf(path, sizeof(path), "%s/u/new/%s", base_path, name);
		FILE *f = fopen(path, "re");
		ck_assert_ptr_nonnull(f);
		got[fread(got, 1, sizeof(got) - 1, f)] = '\0';
		fclose(f);
		ck_assert_int_eq(unlink(path), 0);
		const char *whose = strstr(got, "Delivered-To: r2@") != NULL ? ends[1] : ends[0];
		snprintf(want, sizeof(want),
			 "Return-Path: <s@a.example>\nX-Original-To: %s\nDelivered-To: %s\n%.*s"
			 "To: r\nReturn-Paths: kept\n\nReturn-Path: <body>\n",
			 whose, whose, SPAN_ARG(j->trace));
		for (char *cr; (cr = strstr(want, "\r\n")) != NULL;)
			memmove(cr, cr + 1, strlen(cr));
		ck_assert_str_eq(got, want);
	}
	job_free(&j);
}
END_TEST

/* The host's name is part of a file's name: nothing in it may be taken for a folder or a flag. */
static const struct {
	const char *host, *in_name;
} host_cases[] = { { "mx.example", ".mx.example,S=" },
		   { "a/b:c,d e", ".a\\057b\\072cde,S=" },
		   { "../../x", "...\\057..\\057x,S=" } };

START_TEST(names)
{
	char name[300] = "";
	struct job *j;

	maildir_set_host(host_cases[_i].host);
	j = deliver("one");
	job_free(&j);
	ck_assert_uint_eq(count("new", name), 1);
	ck_assert_msg(strstr(name, host_cases[_i].in_name) != NULL, "%s", name);
}
END_TEST

static const char *const bad_paths[] = { "",	 "/",	      "/etc/x", "..",
					 "../x", "a/../../x", "a/..",	"a//../x" };

START_TEST(paths)
{
	struct maildir md;
	struct maildir_error err;

	ck_assert_int_lt(maildir_open(base, bad_paths[_i], &md, &err), 0);
	ck_assert_int_eq(md.dir, -1);
	ck_assert_int_eq(md.tmp, -1);
}
END_TEST

static void
add(Suite *s, const char *name, const TTest *test, size_t rows)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, make_base, remove_base);
	tcase_add_loop_test(tc, test, 0, (int)rows);
	suite_add_tcase(s, tc);
}

int
main(void)
{
	Suite *s = suite_create("maildir");

	add(s, "good", good, 1);
	add(s, "faults", faults, UNIT_COUNT(fault_cases));
	add(s, "stale", stale, 1);
	add(s, "foreign_return_path", foreign_return_path, 1);
	add(s, "names", names, UNIT_COUNT(host_cases));
	add(s, "paths", paths, UNIT_COUNT(bad_paths));
	return unit_run(s);
}
