/* SPDX-License-Identifier: ISC
 *
 * Tests of router/table_text.c: what is an entry, what is found by which key, what is refused and where. */

/* System */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/mem.h"
/* this program */
#include "router/table_text.h"
#include "tests/unit/unit.h"

#define TEXT(lit)                    \
	{                            \
		lit, sizeof(lit) - 1 \
	}

/* value NULL: the key is not there. */
static const struct {
	struct span text;
	const char *key, *value;
	size_t count;
} found[] = {
	{ TEXT(""), "a", NULL, 0 },
	{ TEXT("a@x one\n"), "a@x", "one", 1 },
	{ TEXT("a@x one"), "a@x", "one", 1 },
	{ TEXT("a@x\tone  \t\n"), "a@x", "one", 1 },
	{ TEXT("a@x \t one two  three\n"), "a@x", "one two  three", 1 },
	{ TEXT("a@x one\nb@x two\n"), "b@x", "two", 2 },
	{ TEXT("a@x one\nb@x two\n"), "c@x", NULL, 2 },
	{ TEXT("a@x one\n"), "a@", NULL, 1 },
	{ TEXT("a@x one\n"), "a@xx", NULL, 1 },
	{ TEXT("a@x one\n"), "", NULL, 1 },
	/* no value */
	{ TEXT("a@x\n"), "a@x", "", 1 },
	{ TEXT("a@x  \n"), "a@x", "", 1 },
	/* case */
	{ TEXT("Ann@Example.ORG One\n"), "aNN@example.org", "One", 1 },
	/* key: value */
	{ TEXT("root: ann@x\n"), "root", "ann@x", 1 },
	{ TEXT("root:\tann@x\n"), "root", "ann@x", 1 },
	{ TEXT("root:ann@x\n"), "root", NULL, 1 },
	{ TEXT("root:ann@x\n"), "root:ann@x", "", 1 },
	{ TEXT(": x\n"), ":", "x", 1 },
	/* comments and empty lines */
	{ TEXT("# a@x no\n\n \t \na@x one\n#a@x two\n"), "a@x", "one", 1 },
	{ TEXT("# a@x no\n"), "#", NULL, 0 },
	{ TEXT("  # indented\na@x one\n"), "a@x", "one", 1 },
	{ TEXT("a@x one\n\t# not the value's\n"), "a@x", "one", 1 },
	{ TEXT("a@x one # two\n"), "a@x", "one # two", 1 },
	/* continuation lines */
	{ TEXT("a@x one,\n two\n\tthree\n"), "a@x", "one,  two \tthree", 1 },
	{ TEXT("a@x\n one\n"), "a@x", "one", 1 },
	{ TEXT("a@x one\n\n# between\n two\n"), "a@x",
	  "one"
	  "            "
	  " two",
	  1 },
	{ TEXT("a@x one\n two\nb@x three\n four\n"), "b@x", "three  four", 2 },
	{ TEXT("a@x one\n two"), "a@x", "one  two", 1 },
	/* CR LF */
	{ TEXT("a@x one\r\nb@x two\r\n"), "a@x", "one", 2 },
	{ TEXT("a@x one\r\nb@x two\r\n"), "b@x", "two", 2 },
	{ TEXT("a@x one\r\n two\r\n"), "a@x", "one   two", 1 },
	{ TEXT("a@x one\r\n\r\nb@x two\r\n"), "a@x", "one", 2 },
	{ TEXT("a@x\r\n"), "a@x", "", 1 },
	{ TEXT("a@x one\r"), "a@x", "one", 1 },
	/* quoted keys */
	{ TEXT("\"a b\"@x one two\n"), "\"a b\"@x", "one two", 1 },
	{ TEXT("\"a b\"@x one\n"), "\"a", NULL, 1 },
	{ TEXT("\"a\\\" b\"@x one\n"), "\"a\\\" b\"@x", "one", 1 },
	{ TEXT("\"a\\\\\" b\n"), "\"a\\\\\"", "b", 1 },
	{ TEXT("\"a\tb\"@x one\n"), "\"A\tB\"@X", "one", 1 },
	{ TEXT("a@x \"one, two\"\n"), "a@x", "\"one, two\"", 1 },
	/* U-labels in the domain */
	{ TEXT("ann@b\xc3\xbc"
	       "cher.example one\n"),
	  "ann@xn--bcher-kva.example", "one", 1 },
	{ TEXT("ann@B\xc3\x9c"
	       "CHER.example one\n"),
	  "ann@xn--bcher-kva.example", "one", 1 },
	{ TEXT("@b\xc3\xbc"
	       "cher.example one\n"),
	  "@xn--bcher-kva.example", "one", 1 },
	{ TEXT("b\xc3\xbc"
	       "cher.example one\n"),
	  "xn--bcher-kva.example", "one", 1 },
	{ TEXT(".b\xc3\xbc"
	       "cher.example one\n"),
	  ".xn--bcher-kva.example", "one", 1 },
	{ TEXT("j\xc3\xbcrgen@x one\n"), "j\xc3\xbcrgen@x", "one", 1 },
	{ TEXT("j\xc3\xbcrgen@b\xc3\xbc"
	       "cher.example: one\n"),
	  "j\xc3\xbcrgen@xn--bcher-kva.example", "one", 1 },
	{ TEXT("a@\xff one\n"), "a@\xff", "one", 1 },
};

START_TEST(finds)
{
	struct table *t;
	struct span value;
	unsigned line;
	const char *why = NULL;
	/* In memory of exactly its size, so that a sanitizer sees a read beyond the end. */
	char *text = mem_alloc(found[_i].text.n);

	if (found[_i].text.n > 0)
		memcpy(text, found[_i].text.p, found[_i].text.n);
	ck_assert_msg(table_parse(span_make(text, found[_i].text.n), NULL, &t, &line, &why) == 0,
		      "%s", why);
	mem_free(text);
	ck_assert_uint_eq(table_count(t), found[_i].count);
	ck_assert(table_get(t, span_of(found[_i].key), &value) == (found[_i].value != NULL));
	if (found[_i].value != NULL)
		UNIT_EQ(value, found[_i].value);
	table_free(&t);
	ck_assert_ptr_null(t);
}
END_TEST

static const struct {
	struct span text;
	unsigned line;
	const char *why; /* a part of it */
} refused[] = {
	{ TEXT("a@x one\nb@x two\na@x three\n"), 3, "twice" },
	{ TEXT("a@x one\nA@X two\n"), 2, "twice" },
	{ TEXT("a@x one\na@x: two\n"), 2, "twice" },
	{ TEXT("a@b\xc3\xbc"
	       "cher.example one\na@xn--bcher-kva.example two\n"),
	  2, "twice" },
	{ TEXT("a@x one\n\n# c\na@x two\n more\n\nc@x\n"), 4, "twice" },
	{ TEXT("\n a@x one\n"), 2, "begins with a blank" },
	{ TEXT("\ta@x one\n"), 1, "begins with a blank" },
	{ TEXT("# c\n one\n"), 2, "begins with a blank" },
	{ TEXT("a@x one\nb@x t\0wo\n"), 2, "NUL" },
	{ TEXT("a@x one\n\0"), 2, "NUL" },
	{ TEXT("a@x one\n# c\0mment\n"), 2, "NUL" },
	{ TEXT("a@x one\nb@x t\rwo\n"), 2, "CR" },
	{ TEXT("a@x one\r\r\n"), 1, "CR" },
	{ TEXT("a@x one\n\"b c@x two\n"), 2, "quote" },
	{ TEXT("\"a b\\\"@x one\n"), 1, "quote" },
	{ TEXT("\"\\"), 1, "quote" },
};

START_TEST(refuses)
{
	struct table *t;
	unsigned line = 99;
	const char *why = "nothing";

	ck_assert_int_eq(table_parse(refused[_i].text, NULL, &t, &line, &why), E_SYNTAX);
	ck_assert_ptr_null(t);
	ck_assert_uint_eq(line, refused[_i].line);
	ck_assert_msg(strstr(why, refused[_i].why) != NULL, "%s", why);
}
END_TEST

START_TEST(key_length_has_two_sides)
{
	char text[600];
	struct table *t;
	struct span value;
	unsigned line;
	const char *why;

	memset(text, 'k', sizeof(text));
	text[512] = ' ';
	text[513] = 'v';
	ck_assert_int_eq(table_parse(span_make(text, 514), NULL, &t, &line, &why), 0);
	ck_assert(table_get(t, span_make(text, 512), &value));
	UNIT_EQ(value, "v");
	table_free(&t);
	text[512] = 'k';
	text[513] = ' ';
	ck_assert_int_eq(table_parse(span_make(text, 514), NULL, &t, &line, &why), E_SYNTAX);
	ck_assert_uint_eq(line, 1);
	ck_assert_int_eq(table_parse(SPAN("k v\n"), NULL, &t, &line, &why), 0);
	ck_assert(!table_get(t, span_make(text, 513), &value));
	table_free(&t);
}
END_TEST

START_TEST(many_keys_are_all_found)
{
	struct buf text;
	char key[32], want[32];
	struct table *t;
	struct span value;
	unsigned line;
	const char *why;

	buf_init(&text, 1 << 22);
	for (int i = 0; i < 20000; i++)
		buf_printf(&text, "u%d@x m%d/\n%s", i, i, i % 100 == 0 ? "# a comment\n" : "");
	buf_puts(&text, "n@\xc3\xbc.example u/\n");
	ck_assert_int_eq(table_parse(buf_span(&text), NULL, &t, &line, &why), 0);
	buf_clear(&text);
	ck_assert_uint_eq(table_count(t), 20001);
	for (int i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "u%d@x", i);
		snprintf(want, sizeof(want), "m%d/", i);
		ck_assert(table_get(t, span_of(key), &value));
		UNIT_EQ(value, want);
	}
	ck_assert(!table_get(t, SPAN("u20000@x"), &value));
	ck_assert(table_get(t, SPAN("n@xn--tda.example"), &value));
	table_free(&t);
}
END_TEST

/* A file of so many bytes, all of them line ends but for an entry in front. */
static int
make_file(off_t bytes)
{
	int fd = memfd_create("table", MFD_CLOEXEC);
	size_t at = 0, n = (size_t)bytes;
	char block[65536];

	ck_assert_int_ge(fd, 0);
	memset(block, '\n', sizeof(block));
	memcpy(block, "a@x one", 7);
	while (at < n) {
		size_t part = n - at < sizeof(block) ? n - at : sizeof(block);
		ck_assert_int_eq(fd_write_all(fd, block, part), 0);
		at += part;
		memset(block, '\n', 7);
	}
	return fd;
}

START_TEST(file_size_has_two_sides)
{
	struct table *t;
	struct span value;
	unsigned line = 99;
	const char *why = NULL;
	int fd = make_file(TABLE_BYTES_MAX);

	ck_assert_int_eq(table_load(fd, NULL, &t, &line, &why), 0);
	ck_assert(table_get(t, SPAN("a@x"), &value));
	UNIT_EQ(value, "one");
	ck_assert_uint_eq(table_count(t), 1);
	table_free(&t);
	ck_assert_int_eq(fd_write_all(fd, "\n", 1), 0);
	ck_assert_int_eq(table_load(fd, NULL, &t, &line, &why), E_TOOBIG);
	ck_assert_ptr_null(t);
	ck_assert_uint_eq(line, 0);
	ck_assert_msg(strstr(why, "64 MiB") != NULL, "%s", why);
	fd_close(&fd);
}
END_TEST

START_TEST(text_over_the_limit_is_refused)
{
	struct table *t;
	unsigned line;
	const char *why = NULL;

	/* The bytes are not looked at. */
	ck_assert_int_eq(table_parse(span_make("", (size_t)TABLE_BYTES_MAX + 1), NULL, &t, &line,
				     &why),
			 E_TOOBIG);
	ck_assert_ptr_nonnull(why);
}
END_TEST

START_TEST(file_that_cannot_be_read_gives_no_table)
{
	struct table *t;
	unsigned line = 99;
	const char *why = NULL;
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_lt(table_load(fd, NULL, &t, &line, &why), 0);
	ck_assert_ptr_null(t);
	ck_assert_uint_eq(line, 0);
	ck_assert_msg(strstr(why, "cannot be read") != NULL, "%s", why);
	fd_close(&fd);
}
END_TEST

START_TEST(no_table_holds_nothing)
{
	struct table *t = NULL;
	struct span value;

	ck_assert(!table_get(NULL, SPAN("a"), &value));
	ck_assert_uint_eq(table_count(NULL), 0);
	table_free(&t);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("table_text");

	UNIT_TABLE(s, finds, found);
	UNIT_TABLE(s, refuses, refused);
	UNIT_TEST(s, key_length_has_two_sides);
	UNIT_TEST(s, many_keys_are_all_found);
	UNIT_TEST(s, file_size_has_two_sides);
	UNIT_TEST(s, text_over_the_limit_is_refused);
	UNIT_TEST(s, file_that_cannot_be_read_gives_no_table);
	UNIT_TEST(s, no_table_holds_nothing);
	return unit_run(s);
}
