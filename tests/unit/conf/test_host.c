/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/conf/host.c: the name of the host from texts. */

/* lib */
#include "base/mem.h"
#include "conf/host.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	const char *node, *hosts, *want;
} names[] = {
	{ "mx1.example.org", "", "mx1.example.org" },
	{ "mx1", "", "mx1" },
	{ "mx1", "127.0.0.1 localhost\n127.0.1.1\tmx1.example.org mx1\n", "mx1.example.org" },
	{ "mx1", "127.0.1.1 mx1 mx1.example.org\n", "mx1.example.org" },
	{ "MX1", "127.0.1.1 mx1.example.org mx1 # mx1.other.example\r\n", "mx1.example.org" },
	{ "mx1", "#127.0.1.1 mx1.example.org mx1\n", "mx1" },
	{ "mx1", "192.0.2.1 mx2.example.org mx2\n", "mx1" },
	{ "mx1", "192.0.2.1 mx1\n192.0.2.2 mx1.example.org mx1", "mx1.example.org" },
	{ "mx1", "mx1.example.org mx1", "mx1" }, /* the first word is the address */
	{ "mx1", "192.0.2.1 bad..name mx1 ok.example", "ok.example" },
	{ "mx1", "\n\n \n192.0.2.1\n", "mx1" },
};

START_TEST(full_name)
{
	char *name = host_full_name(names[_i].node, span_of(names[_i].hosts));

	ck_assert_str_eq(name, names[_i].want);
	mem_free(name);
}
END_TEST

static const struct {
	const char *text, *want;
} mailnames[] = {
	{ "example.org\n", "example.org" },
	{ "\n# c\n  example.org  x\n", "example.org" },
	{ "", "" },
	{ "\n", "" },
	{ "not a name!\n", "not" },
	{ "!!\nexample.org", "example.org" },
};

START_TEST(mailname)
{
	UNIT_EQ(host_mailname(span_of(mailnames[_i].text)), mailnames[_i].want);
}
END_TEST

/* What the file names is not touched, the rest is filled. */
START_TEST(completes)
{
	struct conf_problems problems;
	struct conf_source src = { "F", NULL, &problems, false };
	struct conf *c = conf_defaults();

	conf_problems_init(&problems);
	mem_free(c->hostname);
	c->hostname = mem_strdup("a.example");
	host_complete(&src, c);
	ck_assert_str_eq(c->hostname, "a.example");
	ck_assert_str_ne(c->origin, "");
	ck_assert_uint_eq(problems.warnings, 0);
	mem_free(c->origin);
	c->origin = mem_strdup("b.example");
	mem_free(c->hostname);
	c->hostname = mem_strdup("");
	host_complete(&src, c);
	ck_assert_str_ne(c->hostname, "");
	ck_assert_str_eq(c->origin, "b.example");
	conf_problems_clear(&problems);
	conf_free(&c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("host");

	UNIT_TABLE(s, full_name, names);
	UNIT_TABLE(s, mailname, mailnames);
	UNIT_TEST(s, completes);
	return unit_run(s);
}
