/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/spool/envelope.c. */

/* System */
#include <string.h>
/* lib */
#include "spool/envelope.h"
/* this program */
#include "tests/unit/unit.h"

static struct arena arena;
static struct buf bytes;
static struct envelope got;

static void
setup(void)
{
	arena_init(&arena, 4096);
	buf_init(&bytes, 1 << 20);
}

static void
teardown(void)
{
	arena_clear(&arena);
	buf_clear(&bytes);
}

static int
decode(void)
{
	return envelope_decode(buf_span(&bytes), &arena, &got);
}

START_TEST(round_trip)
{
	struct env_rcpt rcpts[] = {
		{ .index = 0, .addr = SPAN("a@b"), .notify = ENV_NOTIFY_NEVER },
		{ .index = 7,
		  .addr = SPAN("\"x y\"@c"),
		  .notify = ENV_NOTIFY_SUCCESS | ENV_NOTIFY_DELAY,
		  .orcpt = SPAN("rfc822;x"),
		  .orig = SPAN("o@p") },
	};
	struct envelope e;

	setup();
	envelope_init(&e);
	e.sender = SPAN("s@t");
	e.envid = SPAN("id+3D");
	e.ret = ENV_RET_HDRS;
	e.body = ENV_BODY_8BITMIME;
	e.is_smtputf8 = true;
	e.client_addr = SPAN("192.0.2.1");
	e.client_helo = SPAN("h");
	e.auth_user = SPAN("u");
	e.protocol = SPAN("ESMTPSA");
	e.sid = SPAN("sid");
	e.dedupe_name = SPAN("in");
	e.dedupe_key = SPAN("key");
	e.uid = 0;
	e.rcpts = rcpts;
	e.rcpt_count = 2;
	envelope_encode(&bytes, &e);
	ck_assert_int_eq(buf_check(&bytes), 0);
	ck_assert_int_eq(decode(), 0);
	UNIT_EQ(got.sender, "s@t");
	UNIT_EQ(got.envid, "id+3D");
	ck_assert_int_eq((int)got.ret, ENV_RET_HDRS);
	ck_assert_int_eq((int)got.body, ENV_BODY_8BITMIME);
	ck_assert(got.is_smtputf8);
	UNIT_EQ(got.client_addr, "192.0.2.1");
	UNIT_EQ(got.client_helo, "h");
	UNIT_EQ(got.auth_user, "u");
	UNIT_EQ(got.protocol, "ESMTPSA");
	UNIT_EQ(got.sid, "sid");
	UNIT_EQ(got.dedupe_name, "in");
	UNIT_EQ(got.dedupe_key, "key");
	ck_assert_uint_eq(got.uid, 0);
	ck_assert_uint_eq(got.rcpt_count, 2);
	UNIT_EQ(got.rcpts[0].addr, "a@b");
	ck_assert_uint_eq(got.rcpts[0].notify, ENV_NOTIFY_NEVER);
	ck_assert_uint_eq(got.rcpts[1].index, 7);
	ck_assert_uint_eq(got.rcpts[1].notify, ENV_NOTIFY_SUCCESS | ENV_NOTIFY_DELAY);
	UNIT_EQ(got.rcpts[1].addr, "\"x y\"@c");
	UNIT_EQ(got.rcpts[1].orcpt, "rfc822;x");
	UNIT_EQ(got.rcpts[1].orig, "o@p");
	teardown();
}
END_TEST

START_TEST(null_sender_and_defaults)
{
	struct envelope e;

	setup();
	envelope_init(&e);
	envelope_encode(&bytes, &e);
	ck_assert_int_eq(decode(), 0);
	ck_assert_uint_eq(got.sender.n, 0);
	ck_assert_uint_eq(got.uid, ENV_NO_UID);
	ck_assert(!got.is_smtputf8);
	ck_assert_uint_eq(got.rcpt_count, 0);
	teardown();
}
END_TEST

START_TEST(find_one_recipient)
{
	struct env_rcpt rcpts[] = { { .index = 0, .addr = SPAN("a@b") },
				    { .index = 1, .addr = SPAN("c@d") } },
			one;
	struct envelope e;

	setup();
	envelope_init(&e);
	e.rcpts = rcpts;
	e.rcpt_count = 2;
	envelope_encode(&bytes, &e);
	ck_assert_int_eq(envelope_find_rcpt(buf_span(&bytes), 1, &one), 0);
	UNIT_EQ(one.addr, "c@d");
	ck_assert_int_eq(envelope_find_rcpt(buf_span(&bytes), 2, &one), E_NOTFOUND);
	buf_truncate(&bytes, bytes.n - 1);
	ck_assert_int_eq(envelope_find_rcpt(buf_span(&bytes), 1, &one), E_CORRUPT);
	teardown();
}
END_TEST

/* Fields of later versions are skipped. */
START_TEST(unknown_field)
{
	setup();
	buf_put_u16(&bytes, 999);
	buf_put_bytes(&bytes, SPAN("anything\r\n"));
	buf_put_u16(&bytes, ENV_PRIORITY);
	buf_put_bytes(&bytes, SPAN("\x05"));
	buf_put_u16(&bytes, 999);
	buf_put_bytes(&bytes, SPAN_NONE);
	buf_put_u16(&bytes, ENV_SENDER);
	buf_put_bytes(&bytes, SPAN("a@b"));
	ck_assert_int_eq(decode(), 0);
	UNIT_EQ(got.sender, "a@b");
	teardown();
}
END_TEST

/* Each row: fields after a valid sender that make the envelope refused. */
static const struct {
	uint16_t type;
	struct span value;
} bad_cases[] = {
	{ ENV_SENDER, SPAN("second@x") },
	{ ENV_ENVID, SPAN("a\nb") },
	{ ENV_CLIENT_HELO, SPAN("a\rb") },
	{ ENV_AUTH_USER, SPAN("a\0b") },
	{ ENV_RET, SPAN("\x03") },
	{ ENV_RET, SPAN("") },
	{ ENV_BODY, SPAN("\x02") },
	{ ENV_SMTPUTF8, SPAN("x") },
	{ ENV_UID, SPAN("abc") },
	{ ENV_UID, SPAN("abcde") },
	{ ENV_RCPT, SPAN("") },
	{ ENV_RCPT, SPAN("\0\0\0\0\0\x01\0\0\0\0\0") },	   /* address too short */
	{ ENV_RCPT, SPAN("\0\0\0\0\0\0\0\0\0\0\0") },	   /* empty address */
	{ ENV_RCPT, SPAN("\0\0\0\0\x10\x01\0\0\0\0\0a") }, /* notify out of range */
	{ ENV_RCPT, SPAN("\0\0\0\0\0\x01\0\0\0\0\0ab") },  /* trailing byte */
	{ ENV_RCPT, SPAN("\0\0\0\0\0\x01\0\0\0\0\0\n") },
};

START_TEST(refused)
{
	setup();
	buf_put_u16(&bytes, ENV_SENDER);
	buf_put_bytes(&bytes, SPAN("a@b"));
	buf_put_u16(&bytes, bad_cases[_i].type);
	buf_put_bytes(&bytes, bad_cases[_i].value);
	ck_assert_int_eq(decode(), E_CORRUPT);
	teardown();
}
END_TEST

START_TEST(too_long)
{
	char text[ENV_TEXT_MAX + 1];

	setup();
	memset(text, 'x', sizeof(text));
	buf_put_u16(&bytes, ENV_SENDER);
	buf_put_bytes(&bytes, span_make(text, ENV_ADDR_MAX));
	ck_assert_int_eq(decode(), 0);
	buf_put_u16(&bytes, ENV_SID);
	buf_put_bytes(&bytes, span_make(text, ENV_TEXT_MAX + 1));
	ck_assert_int_eq(decode(), E_CORRUPT);
	buf_reset(&bytes);
	buf_put_u16(&bytes, ENV_SENDER);
	buf_put_bytes(&bytes, span_make(text, ENV_ADDR_MAX + 1));
	ck_assert_int_eq(decode(), E_CORRUPT);
	teardown();
}
END_TEST

START_TEST(truncated_anywhere)
{
	struct env_rcpt rcpt = { .addr = SPAN("a@b") };
	struct envelope e;
	size_t whole;

	setup();
	envelope_init(&e);
	e.sender = SPAN("s@t");
	e.rcpts = &rcpt;
	e.rcpt_count = 1;
	envelope_encode(&bytes, &e);
	ck_assert_int_eq(decode(), 0);
	whole = bytes.n;
	for (size_t n = 0; n < whole; n++) {
		/* What is cut behind the sender is a whole envelope without recipients. */
		int want = n == 9 ? 0 : E_CORRUPT;

		ck_assert_int_eq(envelope_decode(span_make(bytes.p, n), &arena, &got), want);
	}
	teardown();
}
END_TEST

START_TEST(no_sender)
{
	setup();
	buf_put_u16(&bytes, ENV_SID);
	buf_put_bytes(&bytes, SPAN("x"));
	ck_assert_int_eq(decode(), E_CORRUPT);
	teardown();
}
END_TEST

START_TEST(too_many_recipients)
{
	struct env_rcpt rcpt = { .addr = SPAN("a") };
	struct envelope e;

	setup();
	buf_clear(&bytes);
	buf_init(&bytes, 4 << 20);
	envelope_init(&e);
	e.rcpts = &rcpt;
	e.rcpt_count = 1;
	envelope_encode(&bytes, &e);
	e.sender = SPAN_NONE;
	for (uint32_t i = 1; i <= ENV_RCPT_MAX; i++) {
		buf_put_u16(&bytes, ENV_RCPT);
		buf_put_bytes(&bytes, SPAN("\0\0\0\0\0\x01\0\0\0\0\0a"));
	}
	ck_assert_int_eq(buf_check(&bytes), 0);
	ck_assert_int_eq(decode(), E_TOOMANY_RCPTS);
	buf_truncate(&bytes, bytes.n - 18);
	ck_assert_int_eq(decode(), 0);
	ck_assert_uint_eq(got.rcpt_count, ENV_RCPT_MAX);
	teardown();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("envelope");

	UNIT_TEST(s, round_trip);
	UNIT_TEST(s, null_sender_and_defaults);
	UNIT_TEST(s, find_one_recipient);
	UNIT_TEST(s, unknown_field);
	UNIT_TABLE(s, refused, bad_cases);
	UNIT_TEST(s, too_long);
	UNIT_TEST(s, truncated_anywhere);
	UNIT_TEST(s, no_sender);
	UNIT_TEST(s, too_many_recipients);
	return unit_run(s);
}
