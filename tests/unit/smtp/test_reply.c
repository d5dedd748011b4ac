/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/smtp/reply.c: replies of every shape, in one piece and byte by byte. */

/* System */
#include <stdlib.h>
#include <string.h>
/* lib */
#include "base/mem.h"
#include "smtp/reply.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	const char *in;
	int r;
	uint16_t code;
	const char *text; /* as reply.text */
	const char *esc;
	const char *flat;
} cases[] = {
	{ "220 mx.example ESMTP\r\n", 1, 220, "mx.example ESMTP", "2.0.0", "mx.example ESMTP" },
	{ "250 2.1.0 Ok\r\n", 1, 250, "2.1.0 Ok", "2.1.0", "Ok" },
	{ "250\r\n", 1, 250, "", "2.0.0", "" },
	{ "250 \r\n", 1, 250, "", "2.0.0", "" },
	{ "250 ok\n", 1, 250, "ok", "2.0.0", "ok" },
	{ "250-a\r\n250-b\r\n250 c\r\n", 1, 250, "a\nb\nc", "2.0.0", "a b c" },
	{ "250-a\n250-b\r\n250\n", 1, 250, "a\nb\n", "2.0.0", "a b" },
	{ "250-\r\n250-\r\n250 x\r\n", 1, 250, "\n\nx", "2.0.0", "x" },
	{ "550-5.1.1 no\r\n550 5.1.1 such user\r\n", 1, 550, "5.1.1 no\n5.1.1 such user", "5.1.1",
	  "no such user" },
	{ "550-5.1.1 no\r\n554 5.7.1 way\r\n", 1, 554, "5.1.1 no\n5.7.1 way", "5.1.1", "no way" },
	/* Codes of different classes. */
	{ "250-ok\r\n550 no\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	/* Enhanced codes that are none. */
	{ "550 5.1 x\r\n", 1, 550, "5.1 x", "5.0.0", "5.1 x" },
	{ "550 5.1.1x\r\n", 1, 550, "5.1.1x", "5.0.0", "5.1.1x" },
	{ "550 5.1.1.1 x\r\n", 1, 550, "5.1.1.1 x", "5.0.0", "5.1.1.1 x" },
	{ "550 5.1234.1 x\r\n", 1, 550, "5.1234.1 x", "5.0.0", "5.1234.1 x" },
	{ "550 5.999.999\r\n", 1, 550, "5.999.999", "5.999.999", "" },
	{ "450 5.1.1 x\r\n", 1, 450, "5.1.1 x", "4.0.0", "5.1.1 x" },
	{ "354 3.0.0 go\r\n", 1, 354, "3.0.0 go", "", "3.0.0 go" },
	{ "250 2.\r\n", 1, 250, "2.", "2.0.0", "2." },
	/* Bytes that no log or report may see. */
	{ "550 a\tb\x01"
	  "c\x7f"
	  "d\r\n",
	  1, 550,
	  "a\tb\x01"
	  "c\x7f"
	  "d",
	  "5.0.0", "a b c d" },
	{ "550 a\rb\r\n", 1, 550, "a b", "5.0.0", "a b" },
	{ "550 a\r\r\n", 1, 550, "a ", "5.0.0", "a" },
	{ "550 gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8e\r\n", 1, 550,
	  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8e", "5.0.0",
	  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x8e" },
	{ "550 \xfc \xc0\x80 \xed\xa0\x80 \xc3\r\n", 1, 550, "\xfc \xc0\x80 \xed\xa0\x80 \xc3",
	  "5.0.0", "? ?? ??? ?" },
	/* No reply at all. */
	{ "\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "25\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "hello\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "HTTP/1.1 400 Bad Request\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "2500 x\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "250_x\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "150 x\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "650 x\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "2a0 x\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "25\r0 x\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "250-a\r\nb\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	{ "250-a\r\n\r\n", E_PROTOCOL, 0, NULL, NULL, NULL },
	/* Not complete. */
	{ "", 0, 0, NULL, NULL, NULL },
	{ "2", 0, 0, NULL, NULL, NULL },
	{ "250 ok", 0, 0, NULL, NULL, NULL },
	{ "250 ok\r", 0, 0, NULL, NULL, NULL },
	{ "250-ok\r\n", 0, 0, NULL, NULL, NULL },
};

static void
check_reply(const struct reply *rep, size_t i)
{
	char esc[REPLY_ESC_LEN];
	struct buf flat;

	ck_assert_uint_eq(rep->code, cases[i].code);
	(void)reply_esc(rep, esc);
	ck_assert_str_eq(esc, cases[i].esc);
	buf_init(&flat, 4096);
	reply_put_text(rep, 1000, &flat);
	UNIT_EQ(buf_span(&flat), cases[i].flat);
	buf_clear(&flat);
}

START_TEST(whole)
{
	struct span in = span_of(cases[_i].in);
	struct reply_parser p;
	struct reply rep;
	int r;

	reply_parser_init(&p);
	r = reply_parse(&p, &in, &rep);
	ck_assert_int_eq(r, cases[_i].r);
	if (r == 1) {
		UNIT_EQ(rep.text, cases[_i].text);
		check_reply(&rep, (size_t)_i);
		ck_assert(reply_parser_is_clean(&p));
		ck_assert_uint_eq(in.n, 0);
	}
	reply_parser_clear(&p);
}
END_TEST

/* However the network cuts it, the reply is the same. */
START_TEST(bytewise)
{
	struct span in = span_of(cases[_i].in);
	struct reply_parser p;
	struct reply rep;
	int r = 0;

	reply_parser_init(&p);
	for (size_t i = 0; i < in.n && r == 0; i++) {
		struct span one = span_sub(in, i, 1);
		r = reply_parse(&p, &one, &rep);
		if (r == 1)
			ck_assert_uint_eq(i, in.n - 1);
	}
	ck_assert_int_eq(r, cases[_i].r);
	if (r == 1)
		check_reply(&rep, (size_t)_i);
	reply_parser_clear(&p);
}
END_TEST

START_TEST(several_in_one_piece)
{
	struct span in = span_of("250 one\r\n450-two\r\n450 2\r\n354\r\n25");
	struct reply_parser p;
	struct reply rep;

	reply_parser_init(&p);
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 1);
	UNIT_EQ(rep.text, "one");
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 1);
	UNIT_EQ(rep.text, "two\n2");
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 1);
	ck_assert_uint_eq(rep.code, 354);
	ck_assert(reply_parser_is_clean(&p));
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 0);
	ck_assert(!reply_parser_is_clean(&p));
	in = SPAN("0 x\r\n");
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 1);
	UNIT_EQ(rep.text, "x");
	reply_parser_clear(&p);
}
END_TEST

/* A line of 100 000 bytes is survived; its end is forgotten. */
START_TEST(long_line)
{
	enum { LEN = 100000 };
	char *line = mem_alloc(LEN);
	struct reply_parser p;
	struct reply rep;
	struct span in = SPAN("550 ");
	struct buf flat;

	memset(line, 'x', LEN);
	reply_parser_init(&p);
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 0);
	in = span_make(line, LEN);
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 0);
	ck_assert_uint_le(p.text.cap, REPLY_TEXT_MAX + 1);
	in = SPAN("\r\n");
	ck_assert_int_eq(reply_parse(&p, &in, &rep), 1);
	ck_assert_uint_eq(rep.code, 550);
	ck_assert_uint_eq(rep.text.n, REPLY_TEXT_MAX);
	buf_init(&flat, 4096);
	reply_put_text(&rep, 1000, &flat);
	ck_assert_uint_eq(flat.n, 1000);
	buf_clear(&flat);
	reply_parser_clear(&p);
	mem_free(line);
}
END_TEST

static const struct {
	const char *piece; /* sent for ever */
} endless_cases[] = { { "250-x\r\n" },
		      { "250-\n" },
		      { "250-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" } };

START_TEST(endless)
{
	struct reply_parser p;
	struct reply rep;
	size_t sent = 0;
	int r = 0;

	reply_parser_init(&p);
	while (r == 0 && sent < 4u * REPLY_BYTES_MAX) {
		struct span in = span_of(endless_cases[_i].piece);
		sent += in.n;
		r = reply_parse(&p, &in, &rep);
	}
	ck_assert_int_eq(r, E_PROTOCOL);
	ck_assert_uint_le(p.text.cap, REPLY_TEXT_MAX + 1);
	reply_parser_clear(&p);
}
END_TEST

/* Cut between characters, never inside one. */
START_TEST(cut_utf8)
{
	struct reply rep = { 550, SPAN("5.1.1 a\xe2\x82\xac\xe2\x82\xac") };
	static const size_t want[] = { 0, 1, 1, 1, 4, 4, 4, 7, 7 };

	for (size_t max = 0; max < UNIT_COUNT(want); max++) {
		struct buf flat;
		buf_init(&flat, 64);
		buf_puts(&flat, "<");
		reply_put_text(&rep, max, &flat);
		ck_assert_uint_eq(flat.n, want[max] + 1);
		ck_assert(!flat.is_failed);
		buf_clear(&flat);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("reply");

	UNIT_TABLE(s, whole, cases);
	UNIT_TABLE(s, bytewise, cases);
	UNIT_TEST(s, several_in_one_piece);
	UNIT_TEST(s, long_line);
	UNIT_TABLE(s, endless, endless_cases);
	UNIT_TEST(s, cut_utf8);
	return unit_run(s);
}
