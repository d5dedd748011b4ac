/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/ipc/wire.c: every row of messages.def survives a round trip, its limits hold on both sides, and nothing
 * malformed is taken. */

/* System */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/mem.h"
#include "ipc/wire.h"
/* this program */
#include "tests/unit/unit.h"

#define BUF_MAX (16u * 1024 * 1024)

static unsigned seed;
static char *filler; /* text as long as the longest field */

static void
fill(void *arg, const struct field_info *info, void *field)
{
	uint32_t fill_to = *(uint32_t *)arg; /* percent of the longest value */
	uint32_t n = (uint32_t)((uint64_t)info->max * fill_to / 100);

	seed = seed * 1103515245 + 12345;
	switch (info->kind) {
	case FIELD_U8:
		*(uint8_t *)field = (uint8_t)(seed >> 16);
		break;
	case FIELD_U16:
		*(uint16_t *)field = (uint16_t)(seed >> 8);
		break;
	case FIELD_U32:
		*(uint32_t *)field = seed;
		break;
	case FIELD_U64:
		*(uint64_t *)field = (uint64_t)seed << 31 | seed;
		break;
	case FIELD_FD:
		*(int *)field = -1;
		break;
	case FIELD_STR:
	case FIELD_BYTES:
		*(struct span *)field = span_make(filler, n);
		break;
	}
}

static void
shorten(void *arg, const struct field_info *info, void *field)
{
	(void)arg;
	if (info->kind == FIELD_STR || info->kind == FIELD_BYTES)
		*(struct span *)field = span_make(filler, 3);
}

struct copy {
	struct {
		enum field_kind kind;
		uint64_t number;
		struct span text;
	} v[32];
	unsigned n;
};

static void
collect(void *arg, const struct field_info *info, void *field)
{
	struct copy *c = arg;

	c->v[c->n].kind = info->kind;
	switch (info->kind) {
	case FIELD_U8:
		c->v[c->n].number = *(uint8_t *)field;
		break;
	case FIELD_U16:
		c->v[c->n].number = *(uint16_t *)field;
		break;
	case FIELD_U32:
		c->v[c->n].number = *(uint32_t *)field;
		break;
	case FIELD_U64:
		c->v[c->n].number = *(uint64_t *)field;
		break;
	case FIELD_FD:
		ck_assert_int_eq(*(int *)field, -1);
		break;
	case FIELD_STR:
	case FIELD_BYTES:
		c->v[c->n].text = *(struct span *)field;
		break;
	}
	c->n++;
}

static void
setup(void)
{
	filler = mem_alloc(BUF_MAX);
	memset(filler, 'x', BUF_MAX);
}

START_TEST(round_trip)
{
	enum msg_type type = (enum msg_type)_i;
	union msg_any in, out;
	struct copy a = { 0 }, b = { 0 };
	struct buf buf;

	setup();
	for (uint32_t percent = 0; percent <= 100; percent += 50) {
		memset(&in, 0, sizeof(in));
		buf_init(&buf, BUF_MAX);
		msg_visit(type, &in, fill, &percent);
		msg_encode(&buf, type, &in);
		ck_assert_int_eq(buf_check(&buf), 0);
		ck_assert_uint_le(buf.n, msg_info(type)->max_bytes);
		if (percent == 100)
			ck_assert_uint_eq(buf.n, msg_info(type)->max_bytes);
		ck_assert_int_eq(msg_decode(buf_span(&buf), type, &out), 0);
		a.n = b.n = 0;
		msg_visit(type, &in, collect, &a);
		msg_visit(type, &out, collect, &b);
		ck_assert_uint_eq(a.n, b.n);
		for (unsigned i = 0; i < a.n; i++) {
			ck_assert_uint_eq(a.v[i].number, b.v[i].number);
			ck_assert(span_eq(a.v[i].text, b.v[i].text));
		}
		buf_clear(&buf);
	}
	mem_free(filler);
}
END_TEST

START_TEST(truncated_or_too_long)
{
	enum msg_type type = (enum msg_type)_i;
	uint32_t percent = 0;
	union msg_any in, out;
	struct buf buf;

	setup();
	memset(&in, 0, sizeof(in));
	buf_init(&buf, BUF_MAX);
	msg_visit(type, &in, fill, &percent);
	msg_encode(&buf, type, &in);
	for (size_t n = 0; n < buf.n; n++)
		ck_assert_int_eq(msg_decode(span_make(buf.p, n), type, &out), E_CORRUPT);
	buf_putc(&buf, 'x');
	ck_assert_int_eq(msg_decode(buf_span(&buf), type, &out), E_CORRUPT);
	buf_clear(&buf);
	mem_free(filler);
}
END_TEST

START_TEST(over_long_field)
{
	struct buf buf;
	union msg_any out;
	char text[400];

	memset(text, 'a', sizeof(text));
	for (size_t n = 384; n <= 385; n++) {
		buf_init(&buf, 4096);
		buf_put_u64(&buf, 7);
		buf_put_u8(&buf, 1);
		buf_put_bytes(&buf, span_make(text, n));
		buf_put_bytes(&buf, SPAN("s"));
		ck_assert_int_eq(msg_decode(buf_span(&buf), MSG_RCPT_CHECK, &out),
				 n == 384 ? 0 : E_CORRUPT);
		buf_clear(&buf);
	}
}
END_TEST

static const struct {
	struct span text;
	int r;
} text_cases[] = {
	{ { "a@b", 3 }, 0 },
	{ { "a\0b", 3 }, E_CORRUPT },
	{ { "a\rb", 3 }, E_CORRUPT },
	{ { "a\nb", 3 }, E_CORRUPT },
};

START_TEST(forbidden_bytes_in_text)
{
	struct buf buf;
	union msg_any out;

	buf_init(&buf, 4096);
	msg_encode(&buf, MSG_RCPT_CHECK,
		   &(struct msg_rcpt_check){ .address = text_cases[_i].text });
	ck_assert_int_eq(msg_decode(buf_span(&buf), MSG_RCPT_CHECK, &out), text_cases[_i].r);
	buf_clear(&buf);
}
END_TEST

START_TEST(permissions)
{
	ck_assert(msg_is_allowed(MSG_RCPT_CHECK, PROC_SMTPD, PROC_ROUTER));
	ck_assert(!msg_is_allowed(MSG_RCPT_CHECK, PROC_ROUTER, PROC_SMTPD));
	ck_assert(!msg_is_allowed(MSG_RCPT_CHECK, PROC_SMTPD, PROC_QMGR));
	ck_assert(!msg_is_allowed(MSG_MSG_SUBMIT, PROC_DELIVERY, PROC_QMGR));
	ck_assert(!msg_is_allowed(MSG_INIT, PROC_SMTPD, PROC_QMGR));
	ck_assert(!msg_is_allowed(MSG_HELLO, PROC_SMTPD, PROC_DELIVERY)); /* no channel */
	ck_assert(msg_is_allowed(MSG_HELLO, PROC_SMTPD, PROC_QMGR));
	ck_assert(!msg_is_allowed(MSG_NONE, PROC_SMTPD, PROC_QMGR));
	ck_assert(!msg_is_allowed(MSG_TYPE_COUNT, PROC_SMTPD, PROC_QMGR));
}
END_TEST

/* A message nobody may send, or between two that have no channel, is a mistake in the table. */
START_TEST(each_row_can_be_sent)
{
	enum msg_type type = (enum msg_type)_i;
	bool is_possible = false;

	for (unsigned a = 0; a < PROC_COUNT; a++) {
		for (unsigned b = 0; b < PROC_COUNT; b++)
			is_possible |= msg_is_allowed(type, (enum proc_id)a, (enum proc_id)b);
	}
	ck_assert_msg(is_possible, "%s", msg_info(type)->name);
}
END_TEST

/* The fuzzer starts from one seed per row, kept in tests/fuzz/corpus/wire/NAME; WIRE_SEEDS=1 writes them anew. */
START_TEST(seed_of_each_row)
{
	enum msg_type type = (enum msg_type)_i;
	uint32_t percent = 0;
	union msg_any in;
	struct buf want, got;
	char path[200];
	int fd;

	filler = mem_alloc(BUF_MAX);
	memset(filler, 'x', BUF_MAX);
	seed = (unsigned)_i;
	memset(&in, 0, sizeof(in));
	buf_init(&want, BUF_MAX);
	buf_init(&got, BUF_MAX);
	buf_put_u16(&want, (uint16_t)type);
	msg_visit(type, &in, fill, &percent);
	msg_visit(type, &in, shorten, NULL);
	msg_encode(&want, type, &in);
	snprintf(path, sizeof(path), "tests/fuzz/corpus/wire/%s", msg_info(type)->name);
	if (getenv("WIRE_SEEDS") != NULL) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		ck_assert_int_eq(fd_write_all(fd, want.p, want.n), 0);
		close(fd);
	}
	fd = open(path, O_RDONLY);
	ck_assert_msg(fd >= 0,
		      "%s: no seed; WIRE_SEEDS=1 build/debug/tests/unit/ipc/test_wire makes it",
		      path);
	ck_assert_int_eq(fd_read_file(fd, BUF_MAX, &got), 0);
	ck_assert_msg(span_eq(buf_span(&got), buf_span(&want)),
		      "%s: the row has changed; WIRE_SEEDS=1 makes it anew", path);
	close(fd);
	buf_clear(&want);
	buf_clear(&got);
	mem_free(filler);
}
END_TEST

static void
add_rows(Suite *s, const char *name, const TTest *test)
{
	TCase *tc = tcase_create(name);

	tcase_add_loop_test(tc, test, MSG_NONE + 1, MSG_TYPE_COUNT);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
}

int
main(void)
{
	Suite *s = suite_create("wire");

	add_rows(s, "round_trip", round_trip);
	add_rows(s, "truncated_or_too_long", truncated_or_too_long);
	add_rows(s, "seed_of_each_row", seed_of_each_row);
	add_rows(s, "each_row_can_be_sent", each_row_can_be_sent);
	UNIT_TEST(s, over_long_field);
	UNIT_TABLE(s, forbidden_bytes_in_text, text_cases);
	UNIT_TEST(s, permissions);
	return unit_run(s);
}
