/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/log.c and log_text.c. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/cur.h"
#include "base/log.h"
/* this program */
#include "tests/unit/unit.h"

static struct buf line;
static unsigned events;
static enum log_level level;
static uint64_t time_us;

static void
sink(void *arg, struct span record)
{
	struct cur c = cur_of(record);

	ck_assert_ptr_eq(arg, &line);
	ck_assert_uint_le(record.n, LOG_EVENT_MAX);
	level = (enum log_level)cur_u8(&c);
	time_us = cur_u64(&c);
	buf_reset(&line);
	ck_assert_int_eq(log_render_text(record, &line), 0);
	events++;
}

static void
setup(void)
{
	buf_init(&line, 1 << 20);
	log_init("test", LOG_INFO_);
	log_set_sink(sink, &line);
	events = 0;
}

static void
teardown(void)
{
	log_set_sink(NULL, NULL);
	buf_clear(&line);
}

START_TEST(an_event)
{
	struct log_event ev;

	clock_fake_set(1234567890, 1);
	log_begin(&ev, LOG_WARN_, "delivered");
	log_kv_qid(&ev, "qid", 1);
	log_kvs(&ev, "to", "a@example.org");
	log_kv(&ev, "relay", SPAN("mx [192.0.2.1]"));
	log_kvf(&ev, "delay", "%d.%d", 1, 5);
	log_kv_u64(&ev, "bytes", UINT64_MAX);
	log_end(&ev);
	ck_assert_str_eq(buf_cstr(&line),
			 "delivered qid=0000000000001 to=a@example.org relay=\"mx [192.0.2.1]\" "
			 "delay=1.5 bytes=18446744073709551615");
	ck_assert_int_eq(level, LOG_WARN_);
	ck_assert_uint_eq(time_us, 1234567890);
	clock_fake_set(0, 0);
}
END_TEST

static const struct {
	struct span in;
	const char *out;
} value_cases[] = {
	{ { "", 0 }, "e v=\"\"" },
	{ { "plain=<a@b>;[x]", 15 }, "e v=plain=<a@b>;[x]" },
	{ { "a b", 3 }, "e v=\"a b\"" },
	{ { "a\"b", 3 }, "e v=\"a\\\"b\"" },
	{ { "a\\b", 3 }, "e v=\"a\\\\b\"" },
	{ { "x\r\nqid=1", 8 }, "e v=\"x\\r\\nqid=1\"" },
	{ { "\t\0\033[0m\177", 7 }, "e v=\"\\t\\x00\\x1b[0m\\x7f\"" },
	{ { "\xc3\xa9", 2 }, "e v=\xc3\xa9" },
	{ { "\xe2\x82\xac \xf0\x9f\x93\xa7", 8 }, "e v=\"\xe2\x82\xac \xf0\x9f\x93\xa7\"" },
	{ { "\xe9", 1 }, "e v=\"\\xe9\"" },
	{ { "\xc3", 1 }, "e v=\"\\xc3\"" },
	{ { "\xc0\xaf", 2 }, "e v=\"\\xc0\\xaf\"" },
	{ { "\xc2\x9b", 2 }, "e v=\"\\xc2\\x9b\"" },
	{ { "\xed\xa0\x80", 3 }, "e v=\"\\xed\\xa0\\x80\"" },
	{ { "\xe0\x80\x80", 3 }, "e v=\"\\xe0\\x80\\x80\"" },
	{ { "\xf4\x90\x80\x80", 4 }, "e v=\"\\xf4\\x90\\x80\\x80\"" },
	{ { "\xf0\x80\x80\x80", 4 }, "e v=\"\\xf0\\x80\\x80\\x80\"" },
	{ { "\xc3\x28", 2 }, "e v=\"\\xc3(\"" },
};

START_TEST(values_cannot_imitate_fields_or_lines)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, "e");
	log_kv(&ev, "v", value_cases[_i].in);
	log_end(&ev);
	ck_assert_str_eq(buf_cstr(&line), value_cases[_i].out);
}
END_TEST

START_TEST(long_values_are_cut_and_records_stay_whole)
{
	static char text[5000];
	struct log_event ev;

	memset(text, 'x', sizeof(text) - 1);
	log_begin(&ev, LOG_INFO_, "e");
	log_kvs(&ev, "a", text);
	log_kvf(&ev, "b", "%s", text);
	log_end(&ev);
	ck_assert_uint_eq(line.n, strlen("e a= b=") + 2 * 1024);
	/* The eighth value of 1024 does not fit any more, a short one does. */
	log_begin(&ev, LOG_INFO_, "e");
	for (int i = 0; i < 10; i++)
		log_kvs(&ev, "k", text);
	log_kvs(&ev, "last", "y");
	log_end(&ev);
	ck_assert_uint_eq(events, 2);
	ck_assert_uint_eq(line.n, strlen("e last=y") + 7 * (strlen(" k=") + 1024));
}
END_TEST

START_TEST(names_cannot_either)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, "a\nb c");
	log_kvs(&ev, "k=\"\\\xc3", "v");
	log_kvs(&ev, "", "w");
	log_end(&ev);
	ck_assert_str_eq(buf_cstr(&line), "a_b_c k____=v _=w");
}
END_TEST

static const struct {
	enum log_level min;
	unsigned events;
} level_cases[] = { { LOG_DEBUG_, 3 }, { LOG_INFO_, 2 }, { LOG_WARN_, 1 }, { LOG_ERR_, 0 } };

START_TEST(levels)
{
	log_init("test", level_cases[_i].min);
	log_debug("d %d", 1);
	log_info("i %d", 1);
	log_warn("w %d", 1);
	ck_assert_uint_eq(events, level_cases[_i].events);
	if (level_cases[_i].events > 0)
		ck_assert_str_eq(buf_cstr(&line), "warn msg=\"w 1\"");
}
END_TEST

START_TEST(damaged_records)
{
	struct log_event ev;
	struct span whole;
	struct buf out;

	log_begin(&ev, LOG_INFO_, "event");
	log_kvs(&ev, "key", "value");
	whole = buf_span(&ev.buf);
	buf_init(&out, 1000);
	for (size_t n = 0; n < whole.n; n++) {
		/* Without any field it is a record, too. */
		int want = n == 18 ? 0 : E_CORRUPT;

		ck_assert_int_eq(log_render_text(span_sub(whole, 0, n), &out), want);
		buf_reset(&out);
	}
	buf_clear(&out);
	buf_init(&out, 10);
	ck_assert_int_eq(log_render_text(whole, &out), E_TOOBIG);
	buf_clear(&out);
	log_end(&ev);
}
END_TEST

START_TEST(lines_on_stderr)
{
	char got[200] = "";
	int pipe_fd[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	log_set_sink(NULL, NULL);
	ck_assert_int_eq(pipe(pipe_fd), 0);
	dup2(pipe_fd[1], STDERR_FILENO);
	log_warn("port %d is taken", 25);
	dup2(saved, STDERR_FILENO);
	n = read(pipe_fd[0], got, sizeof(got) - 1);
	ck_assert_int_gt(n, 0);
	ck_assert_str_eq(got, "test: warn msg=\"port 25 is taken\"\n");
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	close(saved);
}
END_TEST

START_TEST(temp_is_75)
{
	die_temp("no %s", "memory");
}
END_TEST

START_TEST(perm_is_78)
{
	die_perm("no %s", "sense");
}
END_TEST

START_TEST(bug_aborts)
{
	bug("%s", "broken");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("log");
	TCase *sunk = tcase_create("sink"), *ends = tcase_create("ends");

	tcase_add_checked_fixture(sunk, setup, teardown);
	tcase_add_test(sunk, an_event);
	tcase_add_loop_test(sunk, values_cannot_imitate_fields_or_lines, 0,
			    UNIT_COUNT(value_cases));
	tcase_add_test(sunk, names_cannot_either);
	tcase_add_test(sunk, long_values_are_cut_and_records_stay_whole);
	tcase_add_loop_test(sunk, levels, 0, UNIT_COUNT(level_cases));
	tcase_add_test(sunk, damaged_records);
	tcase_add_test(sunk, lines_on_stderr);
	suite_add_tcase(s, sunk);
	tcase_add_exit_test(ends, temp_is_75, 75);
	tcase_add_exit_test(ends, perm_is_78, 78);
	tcase_add_test_raise_signal(ends, bug_aborts, 6);
	suite_add_tcase(s, ends);
	return unit_run(s);
}
