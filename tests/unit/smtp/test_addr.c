/* SPDX-License-Identifier: ISC
 *
 * Addresses of MAIL and RCPT: what is one, what is none, and how it is cut into parts. */

/* System */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
/* lib */
#include "smtp/addr.h"
/* this program */
#include "tests/unit/unit.h"

#define L64 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"
#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static const struct {
	const char *in;
	int r;
	const char *local, *domain;
} mailboxes[] = {
	{ "a@b", 0, "a", "b" },
	{ "user@example.org", 0, "user", "example.org" },
	{ "user+x=y@EXAMPLE.org", 0, "user+x=y", "EXAMPLE.org" },
	{ "a.b.c@d.e", 0, "a.b.c", "d.e" },
	{ "a%b@c", 0, "a%b", "c" },
	{ "\"a b\"@c", 0, "\"a b\"", "c" },
	{ "\"a@b\"@c", 0, "\"a@b\"", "c" },
	{ "\"a\\\"b\"@c", 0, "\"a\\\"b\"", "c" },
	{ "\"\"@c", 0, "\"\"", "c" },
	{ "a@[192.0.2.1]", 0, "a", "[192.0.2.1]" },
	{ "a@[IPv6:2001:db8::1]", 0, "a", "[IPv6:2001:db8::1]" },
	{ "a@[ipv6:::1]", 0, "a", "[ipv6:::1]" },
	{ "a@xn--mnchen-3ya.de", 0, "a", "xn--mnchen-3ya.de" },
	{ "a@m\303\274nchen.de", 0, "a", "m\303\274nchen.de" },
	{ "\303\274@m\303\274nchen.de", 0, "\303\274", "m\303\274nchen.de" },
	{ "a@123", 0, "a", "123" },
	{ L64 "@b", 0, L64, "b" },
	{ "a@" L63 ".b", 0, "a", L63 ".b" },
	{ L64 "x@b", E_ADDR_LONG, NULL, NULL },
	{ "a@" L63 "." L63 "." L63 "." L63 ".b", E_ADDR_LONG, NULL, NULL },
	{ "a@" L63 "x.b", E_ADDR_SYNTAX, NULL, NULL },
	{ "", E_ADDR_SYNTAX, NULL, NULL },
	{ "a", E_ADDR_SYNTAX, NULL, NULL },
	{ "@", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@", E_ADDR_SYNTAX, NULL, NULL },
	{ "@b", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b@c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b@", E_ADDR_SYNTAX, NULL, NULL },
	{ "a.@b", E_ADDR_SYNTAX, NULL, NULL },
	{ ".a@b", E_ADDR_SYNTAX, NULL, NULL },
	{ "a..b@c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a b@c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a b", E_ADDR_SYNTAX, NULL, NULL },
	{ "a>b", E_ADDR_SYNTAX, NULL, NULL },
	{ "\"a\"b", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b.", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@.b", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b..c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@-b", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b-", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b_c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@b/c", E_ADDR_SYNTAX, NULL, NULL },
	{ "\"a@b", E_ADDR_SYNTAX, NULL, NULL },
	{ "\"a\\\"@b", E_ADDR_SYNTAX, NULL, NULL },
	{ "\"a\"b@c", E_ADDR_SYNTAX, NULL, NULL },
	{ "\"a\x01\"@c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a\\@b@c", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[192.0.2.256]", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[192.0.2]", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[2001:db8::1]", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[IPv6:2001:db8::1", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[IPv6:1::2::3]", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[x:y]", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[]", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@[", E_ADDR_SYNTAX, NULL, NULL },
	{ "\377@b", E_ADDR_SYNTAX, NULL, NULL },
	{ "\300\257@b", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@\377", E_ADDR_SYNTAX, NULL, NULL },
	{ "a@\342\205\263", 0, "a", "\342\205\263" },
	{ "a@\302\240b", E_ADDR_SYNTAX, NULL, NULL },
};

START_TEST(mailbox)
{
	struct smtp_addr a;
	int r = addr_parse_mailbox(span_of(mailboxes[_i].in), &a);

	ck_assert_msg(r == mailboxes[_i].r, "\"%s\": got %s, want %s", mailboxes[_i].in,
		      r == 0 ? "0" : err_info(r)->name,
		      mailboxes[_i].r == 0 ? "0" : err_info(mailboxes[_i].r)->name);
	if (r == 0) {
		UNIT_EQ(a.local, mailboxes[_i].local);
		UNIT_EQ(a.domain, mailboxes[_i].domain);
		UNIT_EQ(a.full, mailboxes[_i].in);
	}
}
END_TEST

static const struct {
	const char *in;
	int r;
	const char *full, *rest;
} paths[] = {
	{ "<a@b>", 0, "a@b", "" },
	{ " <a@b>", 0, "a@b", "" },
	{ "<a@b> SIZE=1", 0, "a@b", " SIZE=1" },
	{ "<>", 0, "", "" },
	{ "<> BODY=7BIT", 0, "", " BODY=7BIT" },
	{ "<postmaster>", 0, "postmaster", "" },
	{ "<PostMaster> NOTIFY=NEVER", 0, "PostMaster", " NOTIFY=NEVER" },
	{ "a@b X=1", 0, "a@b", " X=1" },
	{ "\"a b\"@c X=1", 0, "\"a b\"@c", " X=1" },
	{ "<\"a>b\"@c>", 0, "\"a>b\"@c", "" },
	{ "<\"a\\\">b\"@c> x", 0, "\"a\\\">b\"@c", " x" },
	{ "<@one,@two:a@b>", 0, "a@b", "" },
	{ "<@one.example:a@b>", 0, "a@b", "" },
	{ "<@[IPv6:::1],@two:a@b>", 0, "a@b", "" },
	{ "<@one:postmaster>", 0, "postmaster", "" },
	{ "", E_ADDR_SYNTAX, NULL, NULL },
	{ "<", E_ADDR_SYNTAX, NULL, NULL },
	{ ">", E_ADDR_SYNTAX, NULL, NULL },
	{ "<a@b", E_ADDR_SYNTAX, NULL, NULL },
	{ "<a@b>x", E_ADDR_SYNTAX, NULL, NULL },
	{ "<>x", E_ADDR_SYNTAX, NULL, NULL },
	{ "<a@b>>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<<a@b>>", E_ADDR_SYNTAX, NULL, NULL },
	{ "< a@b>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<a@b >", E_ADDR_SYNTAX, NULL, NULL },
	{ "< >", E_ADDR_SYNTAX, NULL, NULL },
	{ "<@>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<@one:>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<@one>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<@:a@b>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<one:a@b>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<@one,two:a@b>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<@[IPv6:a@b>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<root>", E_ADDR_SYNTAX, NULL, NULL },
	{ "<a@b>\tSIZE=1", E_ADDR_SYNTAX, NULL, NULL },
};

START_TEST(path)
{
	struct span in = span_of(paths[_i].in);
	struct smtp_addr a;
	int r = addr_parse_path(&in, &a);

	ck_assert_msg(r == paths[_i].r, "\"%s\": got %d, want %d", paths[_i].in, r, paths[_i].r);
	if (r == 0) {
		UNIT_EQ(a.full, paths[_i].full);
		UNIT_EQ(in, paths[_i].rest);
	}
}
END_TEST

START_TEST(kinds)
{
	struct smtp_addr a;

	ck_assert_int_eq(addr_parse_mailbox(SPAN("\"x\"@[192.0.2.1]"), &a), 0);
	ck_assert(a.is_quoted && a.is_literal && !a.is_utf8);
	ck_assert_int_eq(addr_parse_mailbox(SPAN("\303\274@b"), &a), 0);
	ck_assert(!a.is_quoted && !a.is_literal && a.is_utf8);
	ck_assert(addr_is_domain(SPAN("a.b"), false));
	ck_assert(!addr_is_domain(SPAN("\303\274.b"), false));
	ck_assert(addr_is_domain(SPAN("\303\274.b"), true));
	ck_assert(!addr_is_domain(SPAN_NONE, true));
	/* A NUL must not hide what follows it. */
	ck_assert_int_lt(addr_parse_mailbox(SPAN("a@b\0.c"), &a), 0);
	ck_assert_int_lt(addr_parse_mailbox(SPAN("a\0b@c"), &a), 0);
	ck_assert(!addr_is_literal(SPAN("[192.0.2.1\0]")));
}
END_TEST

/* One line of isemail.jsonl: the text of a key, JSON escapes undone. The file has nothing that a real parser is needed for. */
static size_t
json_text(const char *line, const char *key, char *out, size_t cap)
{
	const char *p = strstr(line, key);
	size_t n = 0;

	ck_assert_ptr_nonnull(p);
	for (p += strlen(key); *p != '"' && n + 4 < cap; p++) {
		unsigned code;

		if (*p != '\\') {
			out[n++] = *p;
			continue;
		}
		p++;
		if (*p != 'u') {
			out[n++] = *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p == 't' ? '\t' : *p;
			continue;
		}
		ck_assert_int_eq(sscanf(p + 1, "%4x", &code), 1);
		p += 4;
		if (code >= 0x800)
			out[n++] = (char)(0xe0 | code >> 12);
		if (code >= 0x80)
			out[n++] = (char)(code >= 0x800 ? 0x80 | (code >> 6 & 0x3f)
							: 0xc0 | code >> 6);
		out[n++] = (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
	}
	return n;
}

START_TEST(isemail)
{
	const char *file = unit_shared_file("vectors/isemail.jsonl");
	char line[8192], addr[2048], category[64];
	struct smtp_addr a;
	unsigned rows = 0;
	FILE *f;

	if (file == NULL) {
		printf("isemail.jsonl is not beside the project: not compared\n");
		return;
	}
	f = fopen(file, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		size_t n = json_text(line, "\"address\": \"", addr, sizeof(addr));
		bool is_valid = addr_parse_mailbox(span_make(addr, n), &a) == 0;

		category[json_text(line, "\"category\": \"", category, sizeof(category))] = '\0';
		rows++;
		if (strcmp(category, "ISEMAIL_VALID_CATEGORY") == 0 ||
		    strcmp(category, "ISEMAIL_DNSWARN") == 0 ||
		    strcmp(category, "ISEMAIL_RFC5321") == 0)
			ck_assert_msg(is_valid, "refused: %s", line);
		else if (strcmp(category, "ISEMAIL_ERR") == 0)
			ck_assert_msg(!is_valid, "taken: %s", line);
	}
	fclose(f);
	ck_assert_uint_gt(rows, 100);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("addr");

	UNIT_TABLE(s, mailbox, mailboxes);
	UNIT_TABLE(s, path, paths);
	UNIT_TEST(s, kinds);
	UNIT_TEST(s, isemail);
	return unit_run(s);
}
