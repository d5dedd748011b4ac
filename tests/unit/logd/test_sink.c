/* SPDX-License-Identifier: ISC
 *
 * Tests of logd/sink.c. */

/* System */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/mman.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
/* this program */
#include "logd/sink.h"
#include "tests/unit/unit.h"

static char got[4 * 1024 * 1024];

static struct span
read_some(int fd)
{
	ssize_t n = read(fd, got, sizeof(got));

	return span_make(got, n > 0 ? (size_t)n : 0);
}

START_TEST(lines_of_a_turn_are_one_write)
{
	struct sink *s = sink_new();
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_DIRECT | O_NONBLOCK), 0); /* a packet for each write */
	sink_set(s, SINK_FILE, fds[1]);
	sink_put(s, SPAN("one"));
	sink_put(s, SPAN("two"));
	UNIT_EQ(read_some(fds[0]), "");
	ck_assert(sink_flush(s));
	UNIT_EQ(read_some(fds[0]), "one\ntwo\n");
	UNIT_EQ(read_some(fds[0]), "");
	sink_free(&s);
}
END_TEST

START_TEST(full_disk_is_counted_and_said)
{
	struct sink *s = sink_new();
	int fds[2];

	sink_set(s, SINK_FILE, open("/dev/full", O_WRONLY | O_CLOEXEC));
	sink_put(s, SPAN("one"));
	sink_put(s, SPAN("two"));
	ck_assert(sink_flush(s));
	ck_assert_int_eq(pipe2(fds, O_NONBLOCK), 0);
	sink_set(s, SINK_FILE, fds[1]);
	sink_put(s, SPAN("three"));
	ck_assert(sink_flush(s));
	UNIT_EQ(read_some(fds[0]), "2 log lines lost: No space left on device\nthree\n");
	sink_free(&s);
}
END_TEST

START_TEST(without_a_file_lines_wait_within_bounds)
{
	struct sink *s = sink_new();
	static char line[1000];
	int fd, n = 0;

	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 3000; i++)
		sink_put(s, span_make(line, sizeof(line)));
	ck_assert(sink_is_broken(s) && !sink_flush(s));
	fd = memfd_create("log", MFD_CLOEXEC);
	sink_set(s, SINK_FILE, fcntl(fd, F_DUPFD_CLOEXEC, 3));
	ck_assert(sink_flush(s));
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	struct span text = read_some(fd), head;
	span_next(&text, '\n', &head);
	for (; n < 3000 && span_starts(text, SPAN("xxx")); n++)
		text = span_sub(text, sizeof(line) + 1, text.n);
	ck_assert_int_ge(n, 1000);
	ck_assert_int_lt(n, 1050);
	char want[64];
	snprintf(want, sizeof(want), "%d log lines lost", 3000 - n);
	UNIT_EQ(head, want);
	sink_free(&s);
}
END_TEST

START_TEST(syslog_gets_a_datagram_for_each_line)
{
	struct sink *s = sink_new();
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv), 0);
	sink_set(s, SINK_SYSLOG, sv[1]);
	sink_put(s, SPAN("<22>one"));
	sink_put(s, SPAN("<22>two"));
	ck_assert(sink_flush(s));
	UNIT_EQ(read_some(sv[0]), "<22>one");
	UNIT_EQ(read_some(sv[0]), "<22>two");
	sink_free(&s);
}
END_TEST

START_TEST(slow_syslog_makes_lines_wait_not_us)
{
	struct sink *s = sink_new();
	int sv[2], n = 0;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv), 0);
	sink_set(s, SINK_SYSLOG, sv[1]);
	for (int i = 0; i < 2000; i++)
		sink_put(s, SPAN("<22>a line of the log that is long enough to fill a socket's "
				 "buffer before long"));
	ck_assert(!sink_flush(s) && !sink_is_broken(s));
	while (read_some(sv[0]).n > 0) {
		n++;
		sink_flush(s);
	}
	ck_assert_int_eq(n, 2000);
	sink_free(&s);
}
END_TEST

START_TEST(dead_syslog_is_noticed_and_nothing_lost)
{
	struct sink *s = sink_new();
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv), 0);
	sink_set(s, SINK_SYSLOG, sv[1]);
	fd_close(&sv[0]);
	sink_put(s, SPAN("<22>one"));
	ck_assert(!sink_flush(s));
	ck_assert(sink_is_broken(s));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv), 0);
	sink_set(s, SINK_SYSLOG, sv[1]);
	ck_assert(sink_flush(s) && !sink_is_broken(s));
	UNIT_EQ(read_some(sv[0]), "<22>one");
	sink_free(&s);
}
END_TEST

START_TEST(too_long_for_a_datagram_is_counted)
{
	struct sink *s = sink_new();
	static char line[900 * 1024];
	int sv[2];

	memset(line, 'x', sizeof(line));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, sv), 0);
	sink_set(s, SINK_SYSLOG, sv[1]);
	sink_put(s, span_make(line, sizeof(line)));
	sink_put(s, SPAN("<22>next"));
	ck_assert(sink_flush(s));
	UNIT_EQ(read_some(sv[0]), "<22>next");
	sink_put(s, SPAN("<22>last"));
	ck_assert(sink_flush(s));
	UNIT_EQ(read_some(sv[0]), "<20>postern/logd: 1 log lines lost: Message too long");
	sink_free(&s);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sink");

	UNIT_TEST(s, lines_of_a_turn_are_one_write);
	UNIT_TEST(s, full_disk_is_counted_and_said);
	UNIT_TEST(s, without_a_file_lines_wait_within_bounds);
	UNIT_TEST(s, syslog_gets_a_datagram_for_each_line);
	UNIT_TEST(s, slow_syslog_makes_lines_wait_not_us);
	UNIT_TEST(s, dead_syslog_is_noticed_and_nothing_lost);
	UNIT_TEST(s, too_long_for_a_datagram_is_counted);
	return unit_run(s);
}
