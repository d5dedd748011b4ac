/* SPDX-License-Identifier: ISC
 *
 * Tests of conf_load: files that cannot be read or that others can write, relative paths, what a tool takes from a bad
 * file, the project's own files. */

/* System */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
#include "conf/conf.h"
#include "conf/user.h"
/* this program */
#include "tests/unit/unit.h"

#define USERS                                                                                     \
	"users { smtpd = 70001 router = 70002 qmgr = 70003 delivery = 70004 control = 70005 log " \
	"= 70006 mailbox = 70007 "                                                                \
	"userd = 70008 amqp = 70009 keyd = 70010 }\n"
#define GOOD \
	"hostname = \"a.example\"\norigin = \"a.example\"\nlisten \"l\" { port = 2525 }\n" USERS

static char dir[128], path[160];
static struct conf *c;
static struct conf_problems problems;

static void
setup(void)
{
	unit_folder_make(dir, sizeof(dir));
	snprintf(path, sizeof(path), "%s/postern.conf", dir);
}

static void
teardown(void)
{
	unit_folder_remove(dir);
	conf_free(&c);
	conf_problems_clear(&problems);
}

static void
write_file(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_write_all(fd, text, strlen(text)), 0);
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	fd_close(&fd);
}

static void
says(const char *what)
{
	struct buf want;

	buf_init(&want, 4096);
	buf_printf(&want, "%s%s", path, what);
	ck_assert_msg(span_starts(buf_span(&problems.text), buf_span(&want)), "got %s",
		      buf_cstr(&problems.text));
	buf_clear(&want);
	ck_assert_ptr_null(c);
}

START_TEST(good)
{
	char beside[160];

	write_file(GOOD "directories { spool = spool run = \"../r\" }");
	ck_assert_int_eq(conf_load(path, false, &c, &problems), 0);
	ck_assert_uint_eq(problems.text.n, 0);
	ck_assert(strncmp(c->directories.spool, dir, strlen(dir)) == 0);
	ck_assert_str_eq(c->directories.spool + strlen(dir), "/spool");
	snprintf(beside, sizeof(beside), "%.*s/r", (int)(strrchr(dir, '/') - dir), dir);
	ck_assert_str_eq(c->directories.run, beside);
}
END_TEST

/* Paths are taken from the folder of the file itself, not from that of a link to it. */
START_TEST(through_a_link)
{
	char link[160];

	write_file(GOOD "directories { spool = spool }");
	snprintf(link, sizeof(link), "%s/sub", dir);
	ck_assert_int_eq(mkdir(link, 0755), 0);
	snprintf(link, sizeof(link), "%s/sub/link.conf", dir);
	ck_assert_int_eq(symlink("../postern.conf", link), 0);
	ck_assert_int_eq(conf_load(link, false, &c, &problems), 0);
	ck_assert_str_eq(c->directories.spool + strlen(dir), "/spool");
}
END_TEST

START_TEST(absent)
{
	ck_assert_int_eq(conf_load(path, false, &c, &problems), E_NOTFOUND);
	says(": No such file or directory; name another file with -c FILE\n");
	ck_assert_uint_eq(problems.errors, 1);
	ck_assert_ptr_null(conf_load_best(path));
}
END_TEST

START_TEST(folder)
{
	ck_assert_int_eq(mkdir(path, 0755), 0);
	ck_assert_int_eq(conf_load(path, false, &c, &problems), E_IO);
	says(": is no regular file; name another one with -c FILE\n");
}
END_TEST

/* Must not wait for a writer. */
START_TEST(fifo)
{
	ck_assert_int_eq(mkfifo(path, 0644), 0);
	ck_assert_int_eq(conf_load(path, false, &c, &problems), E_IO);
	says(": is no regular file; name another one with -c FILE\n");
}
END_TEST

START_TEST(unreadable)
{
	if (geteuid() == 0)
		return; /* root reads everything; test_cli tries it as another user */
	write_file(GOOD);
	ck_assert_int_eq(chmod(path, 0), 0);
	ck_assert_int_eq(conf_load(path, false, &c, &problems), E_ACCESS);
	says(": Permission denied; make it readable for the server\n");
}
END_TEST

START_TEST(too_long)
{
	int fd;

	write_file(GOOD);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_eq(ftruncate(fd, (16 << 20) + 1), 0);
	fd_close(&fd);
	ck_assert_int_eq(conf_load(path, false, &c, &problems), E_TOOBIG);
	says(": longer than 16 MiB; put lists into tables\n");
}
END_TEST

START_TEST(writable_by_others)
{
	write_file(GOOD);
	ck_assert_int_eq(chmod(path, 0646), 0);
	ck_assert_int_eq(conf_load(path, true, &c, &problems), E_ACCESS);
	says(": others than root can write it, but the server starts as root; chmod go-w ");
	conf_problems_clear(&problems);
	/* Without root nothing is at stake. */
	ck_assert_int_eq(conf_load(path, false, &c, &problems), 0);
}
END_TEST

START_TEST(of_another_user)
{
	struct stat st;

	if (geteuid() != 0)
		return; /* cannot give files away */
	write_file(GOOD);
	ck_assert_int_eq(conf_load(path, true, &c, &problems), 0);
	conf_free(&c);
	conf_problems_clear(&problems);
	ck_assert_int_eq(chown(path, 70001, 70001), 0);
	ck_assert_int_eq(conf_load(path, true, &c, &problems), E_ACCESS);
	says(": belongs to uid 70001, but the server starts as root; chown root ");
	conf_problems_clear(&problems);
	ck_assert_int_eq(chown(path, 0, 70001), 0);
	ck_assert_int_eq(chmod(path, 0664), 0);
	ck_assert_int_eq(conf_load(path, true, &c, &problems), E_ACCESS);
	conf_problems_clear(&problems);
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(conf_load(path, true, &c, &problems), 0);
	/* Whoever owns the program that runs may own its file. */
	ck_assert_int_eq(stat("/proc/self/exe", &st), 0);
	if (st.st_uid != 0) {
		conf_free(&c);
		conf_problems_clear(&problems);
		ck_assert_int_eq(chown(path, st.st_uid, st.st_gid), 0);
		ck_assert_int_eq(conf_load(path, true, &c, &problems), 0);
	}
}
END_TEST

START_TEST(missing_user)
{
	write_file(GOOD "\nusers {\nsmtpd = \"no-such-user\" }");
	ck_assert_int_eq(conf_load(path, false, &c, &problems), 0);
	conf_free(&c);
	conf_problems_clear(&problems);
	if (geteuid() != 0)
		return; /* the file is not root's */
	/* A user whose process is not there is not needed. */
	write_file(GOOD "\nusers {\nuserd = \"no-such-user\" }");
	ck_assert_int_eq(conf_load(path, true, &c, &problems), 0);
	conf_free(&c);
	conf_problems_clear(&problems);
	write_file(GOOD "\nusers {\nsmtpd = \"no-such-user\" }");
	ck_assert_int_eq(conf_load(path, true, &c, &problems), E_CONFIG);
	ck_assert(span_find(buf_span(&problems.text), SPAN(":7: users.smtpd = \"no-such-user\": no "
							   "such user in /etc/passwd; make "
							   "it with ")) > 0);
	ck_assert_uint_eq(problems.errors, 1);
}
END_TEST

START_TEST(user_ids)
{
	uid_t uid;
	gid_t gid;

	ck_assert_int_eq(conf_user_find("70001", &uid, &gid), 0);
	ck_assert_uint_eq(uid, 70001);
	ck_assert_uint_eq(gid, 70001);
	ck_assert_int_eq(conf_user_find("root", &uid, &gid), 0);
	ck_assert_uint_eq(uid, 0);
	ck_assert_uint_eq(gid, 0);
	ck_assert_int_eq(conf_user_find("no-such-user", &uid, &gid), E_NOTFOUND);
	ck_assert_int_eq(conf_user_find("", &uid, &gid), E_NOTFOUND);
	ck_assert_int_eq(conf_user_find("4294967295", &uid, &gid), E_NOTFOUND);
}
END_TEST

/* A tool still finds the server of a file that was spoilt since. */
START_TEST(best_of_a_bad_file)
{
	write_file(GOOD "directories { run = \"/r\" }\nhop_limit = x\nxyzzy = 1\n");
	ck_assert_int_eq(conf_load(path, false, &c, &problems), E_CONFIG);
	ck_assert_ptr_null(c);
	c = conf_load_best(path);
	ck_assert_ptr_nonnull(c);
	ck_assert_str_eq(c->directories.run, "/r");
	ck_assert_uint_eq(c->hop_limit, 100);
}
END_TEST

/* Of a file that cannot be taken apart no value is made up: the server would be looked for at a wrong place. */
START_TEST(best_of_a_file_that_is_no_text_of_options)
{
	write_file(GOOD "directories { run = \"/r\" }\norigin = \"x\n");
	ck_assert_ptr_null(conf_load_best(path));
	ck_assert_int_eq(conf_load(path, false, &c, &problems), E_CONFIG);
	ck_assert_ptr_null(c);
}
END_TEST

static const char *const own_files[] = { "etc/postern.conf", "etc/quickstart.conf" };

START_TEST(own_file)
{
	ck_assert_msg(conf_load(own_files[_i], false, &c, &problems) == 0, "%s",
		      buf_cstr(&problems.text));
	if (_i == 1)
		ck_assert_msg(problems.warnings == 0, "%s", buf_cstr(&problems.text));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("load");
	TCase *tc = tcase_create("load");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, good);
	tcase_add_test(tc, through_a_link);
	tcase_add_test(tc, absent);
	tcase_add_test(tc, folder);
	tcase_add_test(tc, fifo);
	tcase_add_test(tc, unreadable);
	tcase_add_test(tc, too_long);
	tcase_add_test(tc, writable_by_others);
	tcase_add_test(tc, of_another_user);
	tcase_add_test(tc, missing_user);
	tcase_add_test(tc, user_ids);
	tcase_add_test(tc, best_of_a_bad_file);
	tcase_add_test(tc, best_of_a_file_that_is_no_text_of_options);
	tcase_add_loop_test(tc, own_file, 0, UNIT_COUNT(own_files));
	suite_add_tcase(s, tc);
	return unit_run(s);
}
