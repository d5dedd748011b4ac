/* SPDX-License-Identifier: ISC
 *
 * Tests of router/resolve.c: the decision for an address, from tables and options alone. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* lib */
#include "base/buf.h"
#include "base/mem.h"
/* this program */
#include "tests/unit/router/deciding.h"
#include "tests/unit/unit.h"

#define NO_USER "reject 550 5.1.1 No such user here"
#define CONFIG_ERROR "later 451 4.3.5 Server configuration error"
#define NO_TABLE "later 451 4.3.0 A table of the server is not available, try again later"
#define NO_ADDRESS "reject 553 5.1.3 Address is not valid"
#define A_NUL "a\0b"

/* ours: strangers may send to it. wide: the same for the whole domain (there are aliases here, so never). */
static const struct {
	const char *address, *decision;
	bool is_ours;
	const char *final; /* NULL: the address itself */
} plain[] = {
	/* virtual */
	{ "ann@local.example", "maildir /var/vmail ann/", true, NULL },
	{ "ANN@Local.Example", "maildir /var/vmail ann/", true, NULL },
	{ "ann+x@local.example", "maildir /var/vmail ann/", true, NULL },
	{ "ann-x+y@local.example", "maildir /var/vmail ann/", true, NULL },
	{ "ann=x@local.example", NO_USER, true, NULL },
	{ "+ann@local.example", NO_USER, true, NULL },
	{ "nobody@local.example", NO_USER, true, NULL },
	{ "ann@gone.example", NO_TABLE, true, NULL },
	{ "j\xc3\xbcrgen@local.example", "maildir /var/vmail jurgen/", true, NULL },
	{ "abs@local.example", "maildir /var/vmail abs/", true, NULL },
	{ "out@local.example", CONFIG_ERROR, true, NULL },
	{ "near@local.example", CONFIG_ERROR, true, NULL },
	{ "base@local.example", CONFIG_ERROR, true, NULL },
	{ "abs@all.example", "maildir /var/vmail/ abs/", true, NULL },
	{ "a@local.example", "maildir /var/vmail a/", true, NULL },
	{ "mbox@local.example", CONFIG_ERROR, true, NULL },
	{ "slash@local.example", CONFIG_ERROR, true, NULL },
	{ "empty@local.example", CONFIG_ERROR, true, NULL },
	/* templates */
	{ "percent@local.example", "maildir /var/vmail 100%/", true, NULL },
	{ "odd@local.example", NO_USER, true, NULL },
	{ "open@local.example", NO_USER, true, NULL },
	{ "detail+work@local.example", "maildir /var/vmail detail/work/", true, NULL },
	{ "detail@local.example", NO_USER, true, NULL },
	{ "detail+..@local.example", NO_USER, true, NULL },
	{ "ann@all.example", "maildir /var/vmail/ special/", true, NULL },
	{ "bob@all.example", "maildir /var/vmail/ all.example/bob/", true, NULL },
	{ "BOB@All.Example", "maildir /var/vmail/ all.example/bob/", true, NULL },
	{ "bob+x@all.example", "maildir /var/vmail/ all.example/bob/", true, NULL },
	{ "..@all.example", NO_USER, true, NULL },
	{ ".@all.example", NO_USER, true, NULL },
	{ "...@all.example", "maildir /var/vmail/ all.example/.../", true, NULL },
	{ "a/b@all.example", NO_USER, true, NULL },
	{ "../ann@all.example", NO_USER, true, NULL },
	{ "/@all.example", NO_USER, true, NULL },
	{ "\"a/b\"@all.example", NO_USER, true, "a/b@all.example" },
	{ "%{rcpt.domain}@all.example", "maildir /var/vmail/ all.example/%{rcpt.domain}/", true,
	  NULL },
	/* quoted local parts, and what was once a way to write a route: mailboxes like any other */
	{ "\"a@b\"@local.example", "maildir /var/vmail quoted/", true, NULL },
	/* quotes that are not needed */
	{ "\"ann\"@local.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	{ "\"a\\nn\"@Local.example", "maildir /var/vmail ann/", true, "ann@Local.example" },
	{ "\"postmaster\"@local.example", "maildir /var/vmail postmaster/", true,
	  "postmaster@local.example" },
	{ "\"an n\"@local.example", NO_USER, true, "\"an n\"@local.example" },
	{ "\"ann.\"@local.example", NO_USER, true, "\"ann.\"@local.example" },
	{ "\"a%b\"@remote.example", "smtp mx remote.example:25", false, "\"a%b\"@remote.example" },
	{ "\"a!b\"@remote.example", "smtp mx remote.example:25", false, "\"a!b\"@remote.example" },
	{ "\"\"@remote.example", "smtp mx remote.example:25", false, "\"\"@remote.example" },
	{ "\"a b\"@local.example", "maildir /var/vmail blank/", true, NULL },
	{ "\"ann+x\"@local.example", "maildir /var/vmail ann/", true, "ann+x@local.example" },
	{ "ann%remote.example@local.example", NO_USER, true, NULL },
	{ "remote.example!ann@local.example", NO_USER, true, NULL },
	{ "ann@remote.example@local.example", NO_USER, true, NULL },
	{ "\"ann@remote.example\"@local.example", NO_USER, true, NULL },
	{ "@remote.example:ann@local.example", NO_USER, true, NULL },
	{ "ann%remote.example@all.example", "maildir /var/vmail/ all.example/ann%remote.example/",
	  true, NULL },
	{ "ann%local.example@remote.example", "smtp mx remote.example:25", false, NULL },
	{ "ann@local.example@remote.example", "smtp mx remote.example:25", false, NULL },
	{ "\"ann@local.example\"@remote.example", "smtp mx remote.example:25", false, NULL },
	/* relay */
	{ "any@relay.example", "smtp host 192.0.2.7:2525 named", true, NULL },
	{ "any@mx.relay.example", "smtp mx mx.relay.example:25", true, NULL },
	{ "ann@known.example", "smtp mx hub.example:26 named", true, NULL },
	{ "ann+x@known.example", "smtp mx hub.example:26 named", true, NULL },
	{ "bob@known.example", NO_USER, true, NULL },
	{ "ann@lost.example", NO_TABLE, true, NULL },
	/* lmtp */
	{ "any@box.example", "lmtp unix /run/lmtp named", true, NULL },
	{ "any@tcpbox.example", "lmtp host ::1:24 named", true, NULL },
	{ "bob@knownbox.example", NO_USER, true, NULL },
	/* discard */
	{ "any@void.example", "discard", true, NULL },
	/* remote */
	{ "ann@remote.example", "smtp mx remote.example:25", false, NULL },
	{ "ann@Remote.Example", "smtp mx remote.example:25", false, NULL },
	{ "ann@sub.local.example", "smtp mx sub.local.example:25", false, NULL },
	{ "ann@[192.0.2.5]", "smtp host 192.0.2.5:25", false, NULL },
	{ "ann@[IPv6:2001:DB8::5]", "smtp host 2001:db8::5:25", false, NULL },
	/* U-labels and A-labels */
	{ "ann@" U_DOMAIN, "maildir /var/vmail u/ann/", true, NULL },
	{ "ann@" A_DOMAIN, "maildir /var/vmail u/ann/", true, NULL },
	{ "ann@B\xc3\x9c"
	  "CHER.Example",
	  "maildir /var/vmail u/ann/", true, NULL },
	{ "ann@XN--bcher-kva.example", "maildir /var/vmail u/ann/", true, NULL },
	{ "ann@m\xc3\xbcnchen.example", "smtp mx xn--mnchen-3ya.example:25", false, NULL },
	{ "alias@" U_DOMAIN, "maildir /var/vmail u/ann/", true, "ann@" U_DOMAIN },
	{ "alias@" A_DOMAIN, "maildir /var/vmail u/ann/", true, "ann@" U_DOMAIN },
	{ "uself@" U_DOMAIN, NO_USER, true, NULL },
	/* postmaster */
	{ "postmaster", "maildir /var/vmail postmaster/", true, "postmaster@local.example" },
	{ "PostMaster", "maildir /var/vmail postmaster/", true, "postmaster@local.example" },
	{ "postmaster@local.example", "maildir /var/vmail postmaster/", true,
	  "postmaster@local.example" },
	{ "PostMaster@Local.Example", "maildir /var/vmail postmaster/", true,
	  "PostMaster@Local.Example" },
	{ "postmasters@local.example", NO_USER, true, "postmasters@local.example" },
	{ "postmaster@remote.example", "smtp mx remote.example:25", false, NULL },
	/* no address */
	{ "", NO_ADDRESS, false, "" },
	{ "ann", NO_ADDRESS, false, "" },
	{ "@local.example", NO_ADDRESS, false, "" },
	{ "ann@", NO_ADDRESS, false, "" },
	{ "ann@\xff.example", NO_ADDRESS, false, "" },
	/* aliases */
	{ "one@local.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	{ "ONE@LOCAL.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	{ "one+x@local.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	{ "far@local.example", "smtp mx remote.example:25", true, "ann@remote.example" },
	{ "two@local.example", "expand ann@local.example bob@remote.example", true, "" },
	{ "noted@local.example", "expand ann@local.example \"a, b\"@remote.example", true, "" },
	{ "escaped@local.example", "expand \"a\\\", b\"@remote.example ann@local.example", true,
	  "" },
	{ "short@local.example", "smtp mx origin.example:25", true, "ann@origin.example" },
	{ "shorts@local.example", "expand ann@origin.example bob@origin.example", true, "" },
	{ "self@local.example", NO_USER, true, "self@local.example" },
	{ "self+x@local.example", NO_USER, true, "self@local.example" },
	{ "mirror@local.example", NO_USER, true, "mirror@local.example" },
	{ "me@local.example", "expand me@local.example ann@local.example", true, "" },
	{ "none@local.example", NO_USER, true, "" },
	{ "commas@local.example", NO_USER, true, "" },
	{ "blank@local.example", CONFIG_ERROR, true, "" },
	{ "blanks@local.example", CONFIG_ERROR, true, "" },
	{ "bad@local.example", CONFIG_ERROR, true, "" },
	{ "long@local.example", CONFIG_ERROR, true, "" },
	{ "full+detail@local.example", "smtp mx remote.example:25", true, "ann@remote.example" },
	{ "full+other@local.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	/* catch-all */
	{ "ann@catch.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	{ "ann+x@catch.example", "maildir /var/vmail ann/", true, "ann+x@local.example" },
	{ "any@hall.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	{ "any@loop.example", "smtp mx loop.example:25", true, "keeper@loop.example" },
	{ "keeper@loop.example", "smtp mx loop.example:25", true, NULL },
	/* the first table that has it */
	{ "first@local.example", "smtp mx remote.example:25", true, "ann@remote.example" },
	{ "second@local.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	/* chains: ten steps and no more */
	{ "s1@local.example", "maildir /var/vmail ann/", true, "ann@local.example" },
	{ "s0@local.example", "reject 554 5.4.6 Alias loop", true, "" },
	{ "ping@local.example", "reject 554 5.4.6 Alias loop", true, "" },
};

START_TEST(decides)
{
	struct decision d;
	const char *final = plain[_i].final != NULL ? plain[_i].final : plain[_i].address;

	setup("");
	ck_assert_str_eq(decide(span_of(plain[_i].address), "", &d), plain[_i].decision);
	ck_assert_int_eq(d.is_ours, plain[_i].is_ours);
	UNIT_EQ(d.final, final);
	ck_assert(!d.is_domain_wide);
	ck_assert_uint_gt(said.n, 0);
	teardown();
}
END_TEST

START_TEST(nul_in_a_local_part_stands_in_no_path)
{
	struct decision d;

	setup("");
	ck_assert_str_eq(decide(SPAN(A_NUL "@all.example"), "", &d), NO_USER);
	ck_assert_str_eq(decide(SPAN("ann+\0@all.example"), "", &d),
			 "maildir /var/vmail/ special/");
	ck_assert_str_eq(decide(SPAN("ann\0@all.example"), "", &d), NO_USER);
	ck_assert_str_eq(decide(SPAN("\0@all.example"), "", &d), NO_USER);
	teardown();
}
END_TEST

/* With the transport table. */
static const struct {
	const char *address, *decision;
} transported[] = {
	{ "ann@remote.example", "smtp host 192.0.2.1:2500 named" },
	{ "ANN@Remote.example", "smtp host 192.0.2.1:2500 named" },
	{ "bob@remote.example", "smtp mx hub.example:26 named" },
	{ "bob@x.remote.example", "smtp mx x.remote.example:25" },
	{ "bob@a.sub.example", "smtp host hub.example:25 named" },
	{ "bob@a.b.sub.example", "smtp host hub.example:25 named" },
	{ "bob@sub.example", "smtp mx sub.example:25" },
	{ "bob@deep.sub.example", "lmtp host 192.0.2.2:24 named" },
	{ "bob@lmtp.example", "lmtp unix /run/x named" },
	{ "bob@mx.example", "smtp mx mx.example:25" },
	{ "bob@mx2.example", "smtp mx mx2.example:25" },
	{ "bob@plain.example", "smtp mx hub.example:25 named" },
	{ "bob@literal.example", "smtp host 2001:db8::1:25 named" },
	{ "bob@void.remote.example", "discard" },
	{ "bob@void2.remote.example", "discard" },
	{ "bob@" A_DOMAIN, "maildir" }, /* of class virtual: the table is not asked */
	{ "bob@no.example", "reject 550 5.1.6 Moved away" },
	{ "bob@later.example", "later 450 4.3.2 Come back later" },
	{ "bob@code.example", "reject 550 5.123.456 Long code" },
	{ "bob@codes.example", "reject 550 5.7.1 5.1234.1 Too long" },
	{ "bob@case.example", "smtp host hub.example:25 named" },
	{ "bob@idn.example", "smtp mx " A_DOMAIN ":26 named" },
	{ "bob@bare.example", "reject 550 5.7.1 Do not write here" },
	{ "bob@mute.example", "reject 550 5.7.1 Refused by the transport table" },
	{ "bob@mute2.example", "reject 550 5.7.9 Refused by the transport table" },
	{ "bob@false.example", "reject 550 5.7.1 5.x.1 text" },
	{ "bob@two.example", "reject 550 5.7.1 2.1.1 text" },
	{ "bob@wrong.example", CONFIG_ERROR },
	{ "bob@wrong2.example", CONFIG_ERROR },
	{ "bob@wrong3.example", CONFIG_ERROR },
	{ "bob@wrong4.example", CONFIG_ERROR },
	{ "bob@wrong5.example", CONFIG_ERROR },
	{ "bob@wrong6.example", CONFIG_ERROR },
	{ "bob@path107.example", "lmtp unix /" X50 X50 "123456 named" },
	{ "bob@path108.example", CONFIG_ERROR },
	{ "bob@relay.example", "smtp host 192.0.2.9:25 named" },
	{ "ann@known.example", "smtp host 192.0.2.9:25 named" },
	{ "bob@known.example", NO_USER },
	{ "ann@local.example", "maildir /var/vmail ann/" },
	/* after aliases */
	{ "far@local.example", "smtp host 192.0.2.1:2500 named" },
	{ "two@local.example", "expand ann@local.example bob@remote.example" },
};

START_TEST(transport_table)
{
	struct decision d;

	setup("transport = \"/transport\"\nlmtp_sockets = { \"/run/x\", \"/" X50 X50
	      "123456\" }\n");
	const char *got = decide(span_of(transported[_i].address), "", &d);
	if (strcmp(transported[_i].decision, "maildir") == 0)
		ck_assert_str_eq(got, NO_USER);
	else
		ck_assert_str_eq(got, transported[_i].decision);
	ck_assert(!d.is_domain_wide);
	teardown();
}
END_TEST

/* A value of the transport table by itself: what is wrong, and whether other options could make it good. */
static const struct {
	const char *value, *why;
	bool is_final;
} values[] = {
	{ "smtp:[192.0.2.1]:2500", NULL, false },
	{ "SMTP:hub.example", NULL, false },
	{ "relay:", NULL, false },
	{ "smtp", NULL, false },
	{ "lmtp:[192.0.2.1]", NULL, false },
	{ "lmtp: unix:/run/x ", NULL, false },
	{ "lmtp:unix:/run/box", NULL, false }, /* of a domain */
	{ "discard", NULL, false },
	{ "error:5.1.1 gone", NULL, false },
	{ "lmtp:unix:/run/y", "lmtp_sockets", false },
	{ "smtp:unix:/run/x", "lmtp:unix:", true },
	{ "lmtp:unix:x", "[host]:port", true },
	{ "lmtp:", "[host]:port", true },
	{ "smtp:[192.0.2.1", "[host]:port", true },
	{ "", "unknown class", true },
	{ "hub.example", "unknown class", true },
	{ "uucp:hub.example", "unknown class", true },
};

START_TEST(transport_value)
{
	bool is_final = false;

	setup("lmtp_sockets = { \"/run/x\" }\ndomain \"sock.example\" { class = lmtp next_hop = "
	      "\"unix:/run/box\" }\n");
	const char *why = hop_transport_problem(conf, span_of(values[_i].value), &is_final);
	ck_assert_int_eq(why == NULL, values[_i].why == NULL);
	if (why != NULL) {
		ck_assert_ptr_nonnull(strstr(why, values[_i].why));
		ck_assert_int_eq(is_final, values[_i].is_final);
	}
	teardown();
}
END_TEST

/* A socket that nobody named is not tried: master would refuse to connect to it. */
START_TEST(transport_to_an_unnamed_socket_waits)
{
	struct decision d;

	setup("transport = \"/transport\"\n");
	ck_assert_str_eq(decide(SPAN("bob@lmtp.example"), "", &d), CONFIG_ERROR);
	teardown();
}
END_TEST

/* With smarthosts. */
static const struct {
	const char *address, *sender, *decision;
} smart[] = {
	{ "ann@remote.example", "", "smtp mx smart.example:587 named" },
	{ "ann@remote.example", "x@elsewhere.example", "smtp mx smart.example:587 named" },
	{ "ann@remote.example", "ann@sender.example", "smtp host 192.0.2.11:25 named" },
	{ "ann@remote.example", "ANN@Sender.Example", "smtp host 192.0.2.11:25 named" },
	{ "ann@remote.example", "bob@sender.example", "smtp host 192.0.2.12:587 named" },
	{ "ann@remote.example", "bob@sub.sender.example", "smtp mx smart.example:587 named" },
	{ "ann@remote.example", "bob@" U_DOMAIN, "smtp host 192.0.2.13:25 named" },
	{ "ann@remote.example", "bob@" A_DOMAIN, "smtp host 192.0.2.13:25 named" },
	{ "ann@remote.example", "bob@bad.example", CONFIG_ERROR },
	{ "ann@[192.0.2.5]", "", "smtp mx smart.example:587 named" },
	{ "ann@relay.example", "ann@sender.example", "smtp host 192.0.2.7:2525 named" },
	{ "ann@local.example", "ann@sender.example", "maildir /var/vmail ann/" },
	{ "far@local.example", "ann@sender.example", "smtp host 192.0.2.11:25 named" },
};

START_TEST(smarthost)
{
	struct decision d;

	setup("relay_host = \"smart.example:587\"\nrelay_host_by_sender = \"/senders\"\n");
	ck_assert_str_eq(decide(span_of(smart[_i].address), smart[_i].sender, &d),
			 smart[_i].decision);
	teardown();
}
END_TEST

START_TEST(transport_table_goes_before_the_smarthost)
{
	struct decision d;

	setup("relay_host = \"[192.0.2.20]\"\ntransport = \"/transport\"\n");
	ck_assert_str_eq(decide(SPAN("ann@remote.example"), "", &d),
			 "smtp host 192.0.2.1:2500 named");
	ck_assert_str_eq(decide(SPAN("ann@other.example"), "", &d),
			 "smtp host 192.0.2.20:25 named");
	teardown();
}
END_TEST

/* Tables that are named and could not be read yet: nothing is lost by it. */
static const struct {
	const char *more, *address, *decision;
	bool is_ours;
} missing[] = {
	{ "transport = \"/gone\"\n", "ann@remote.example", NO_TABLE, false },
	{ "transport = \"/gone\"\n", "ann@relay.example", NO_TABLE, true },
	{ "transport = \"/gone\"\n", "ann@local.example", "maildir /var/vmail ann/", true },
	{ "relay_host_by_sender = \"/gone\"\n", "ann@remote.example", NO_TABLE, false },
	{ "relay_host_by_sender = \"/gone\"\n", "ann@relay.example",
	  "smtp host 192.0.2.7:2525 named", true },
};

START_TEST(missing_table_is_temporary)
{
	struct decision d;

	setup(missing[_i].more);
	ck_assert_str_eq(decide(span_of(missing[_i].address), "a@b.example", &d),
			 missing[_i].decision);
	ck_assert_int_eq(d.is_ours, missing[_i].is_ours);
	teardown();
}
END_TEST

START_TEST(missing_alias_table_is_temporary_and_denies_nobody)
{
	struct decision d;
	struct table *t;

	setup("");
	t = map_del(&tables.by_path, SPAN("/aliases2"));
	table_free(&t);
	/* What an earlier table has needs no later one. */
	ck_assert_str_eq(decide(SPAN("one@local.example"), "", &d), NO_TABLE);
	ck_assert_str_eq(decide(SPAN("two@local.example"), "", &d),
			 "expand ann@local.example bob@remote.example");
	ck_assert_str_eq(decide(SPAN("ann@local.example"), "", &d), NO_TABLE);
	ck_assert(d.is_ours);
	ck_assert_str_eq(decide(SPAN("x@remote.example"), "", &d), NO_TABLE);
	ck_assert(d.is_ours);
	teardown();
}
END_TEST

START_TEST(own_alias_is_not_expanded_again)
{
	struct decision d;
	struct resolve_question q = { SPAN("me@local.example"), SPAN_NONE, true };

	setup("");
	resolve_decide(conf, &tables, &q, &arena, NULL, &d);
	ck_assert_str_eq(text_of(&d), NO_USER);
	ck_assert(d.is_ours);
	q.address = SPAN("ann@all.example");
	resolve_decide(conf, &tables, &q, &arena, NULL, &d);
	ck_assert_str_eq(text_of(&d), "maildir /var/vmail/ special/");
	q.address = SPAN("one@relay.example");
	resolve_decide(conf, &tables, &q, &arena, NULL, &d);
	ck_assert_str_eq(text_of(&d), "smtp host 192.0.2.7:2525 named");
	teardown();
}
END_TEST

/* An alias of n targets. */
static void
put_wide(unsigned n)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	buf_puts(&text, "wide@local.example");
	for (unsigned i = 0; i < n; i++)
		buf_printf(&text, "%s u%u@remote.example", i > 0 ? "," : "", i);
	put_table("/wide", buf_cstr(&text));
	buf_clear(&text);
}

START_TEST(expansion_limit_has_two_sides)
{
	struct decision d;
	struct table *t;

	setup("limits { expansion = 50 }\n");
	conf_free(&conf);
	struct conf_problems problems;
	conf_problems_init(&problems);
	ck_assert_int_eq(conf_parse("t", NULL,
				    SPAN("hostname = mx.example.org\naliases { virtual = \"/wide\" "
					 "}\nlimits { expansion = 50 }\n"),
				    &conf, &problems),
			 0);
	conf_problems_clear(&problems);
	put_wide(50);
	decide(SPAN("wide@local.example"), "", &d);
	ck_assert_int_eq(d.action, ROUTE_EXPAND);
	ck_assert_uint_eq(d.expansion_count, 50);
	UNIT_EQ(d.expansion[49], "u49@remote.example");
	t = map_del(&tables.by_path, SPAN("/wide"));
	table_free(&t);
	put_wide(51);
	ck_assert_str_eq(decide(SPAN("wide@local.example"), "", &d),
			 "reject 550 5.3.5 Alias expands to too many addresses");
	teardown();
}
END_TEST

#define LOCAL \
	"domain \"local.example\" { class = virtual table = \"/users\" mailbox_base = \"/m\" }\n"
#define KNOWN                                                                               \
	"domain \"known.example\" { class = relay next_hop = \"[192.0.2.7]\" recipients = " \
	"\"/rcpt\" }\n"

/* Where <postmaster> goes; `address` NULL: without domain. None is refused. */
static const struct {
	const char *conf, *decision, *final, *address;
} postmasters[] = {
	{ LOCAL, "maildir /m postmaster/", "postmaster@local.example", NULL },
	{ LOCAL "postmaster = \"ann@local.example\"\n", "maildir /m ann/", "ann@local.example",
	  NULL },
	{ LOCAL "postmaster = \"nobody@local.example\"\n", "maildir /m postmaster/",
	  "nobody@local.example", NULL },
	{ LOCAL "postmaster = \"boss@remote.example\"\n", "smtp mx remote.example:25",
	  "boss@remote.example", "postmaster@local.example" },
	{ LOCAL "postmaster = \"postmaster@local.example\"\n", "maildir /m postmaster/",
	  "postmaster@local.example", "Postmaster@local.example" },
	{ LOCAL "postmaster = \"one@local.example\"\naliases { virtual = \"/aliases1\" }\n",
	  "maildir /m ann/", "ann@local.example", "postmaster@local.example" },
	{ KNOWN, "smtp host 192.0.2.7:25 named", "postmaster@known.example", NULL },
	{ KNOWN "postmaster = \"boss@remote.example\"\n", "smtp host 192.0.2.7:25 named",
	  "postmaster@known.example", "postmaster@known.example" },
	{ "", "smtp mx origin.example:25", "postmaster@origin.example", NULL },
	{ "postmaster = \"boss@remote.example\"\n", "smtp mx remote.example:25",
	  "boss@remote.example", NULL },
	{ "postmaster = \"boss\"\n", "smtp mx origin.example:25", "boss@origin.example", NULL },
	{ "domain \"void.example\" { class = discard }\n", "discard", "postmaster@void.example",
	  NULL },
	{ "domain \"void.example\" { class = discard }\npostmaster = \"boss\"\n", "discard",
	  "boss@void.example", NULL },
	{ "postmaster = \"root@origin.example\"\naliases { virtual = \"/aliases1\" }\ndomain "
	  "\"local.example\" { class = virtual table = \"/users\" mailbox_base = \"/m\" }\n",
	  "maildir /m ann/", "ann@local.example", NULL },
};

START_TEST(bare_postmaster)
{
	struct decision d;
	struct conf_problems problems;
	char text[1000];

	setup("");
	conf_free(&conf);
	snprintf(text, sizeof(text), "hostname = mx.example.org\norigin = origin.example\n%s",
		 postmasters[_i].conf);
	conf_problems_init(&problems);
	int r = conf_parse("t", NULL, span_of(text), &conf, &problems);
	ck_assert_msg(r == 0, "%s", buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	ck_assert_str_eq(decide(span_of(postmasters[_i].address != NULL ? postmasters[_i].address
									: "postmaster"),
				"", &d),
			 postmasters[_i].decision);
	ck_assert(d.is_ours);
	ck_assert(!d.is_domain_wide);
	UNIT_EQ(d.final, postmasters[_i].final);
	teardown();
}
END_TEST

/* When a verdict may be kept for a whole domain: no alias, no transport, no table of recipients. */
static const struct {
	const char *more, *address;
	bool is_wide;
} wide[] = {
	{ "", "ann@relay.example", true },
	{ "", "ann@remote.example", true },
	{ "", "ann@void.example", true },
	{ "", "ann@known.example", false },
	{ "", "ann@local.example", false },
	{ "", "nobody@local.example", false },
	{ "", "ann@gone.example", false },
	{ "", "postmaster", false },
	{ "transport = \"/transport\"\n", "ann@elsewhere.example", false },
	{ "transport = \"/transport\"\n", "ann@void.example", false },
	{ "aliases { virtual = \"/aliases1\" }\n", "ann@relay.example", false },
	{ "aliases { virtual = \"/empty\" }\n", "ann@relay.example", true },
	{ "relay_host_by_sender = \"/senders\"\n", "ann@remote.example", true },
};

START_TEST(domain_wide)
{
	static const char head[] =
		"hostname = mx.example.org\n"
		"domain \"local.example\" { class = virtual table = \"/users\" mailbox_base = "
		"\"/m\" }\n"
		"domain \"gone.example\" { class = relay recipients = \"/gone\" }\n"
		"domain \"known.example\" { class = relay recipients = \"/known\" }\n"
		"domain \"relay.example\" { class = relay }\n"
		"domain \"void.example\" { class = discard }\n";
	struct decision d;
	struct conf_problems problems;
	char text[2000];

	setup("");
	conf_free(&conf);
	put_table("/empty", "# none\n");
	snprintf(text, sizeof(text), "%s%s", head, wide[_i].more);
	conf_problems_init(&problems);
	int r = conf_parse("t", NULL, span_of(text), &conf, &problems);
	ck_assert_msg(r == 0, "%s", buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	decide(span_of(wide[_i].address), "", &d);
	ck_assert_int_eq(d.is_domain_wide, wide[_i].is_wide);
	teardown();
}
END_TEST

/* What `postern route` prints. */
static const struct {
	const char *address, *says;
} steps[] = {
	{ "ann@local.example", "domain local.example has class virtual\n/users: the address is "
			       "listed: ann/\nMaildir ann/ below /var/vmail\n" },
	{ "ann+x@local.example", "the address without its detail is listed" },
	{ "bob@all.example", "the domain (catch-all) is listed" },
	{ "nobody@local.example", "not in /users\nrefused: 550 5.1.1 No such user here\n" },
	{ "one@local.example", "alias in /aliases1 (the address): ann@local.example\n" },
	{ "second@local.example", "alias in /aliases2 (the address): ann@local.example\n" },
	{ "two@local.example", "becomes 2 addresses" },
	{ "blank@local.example", "`ann@local.example bob@local.example` is no address" },
	{ "ping@local.example", "refused: 554 5.4.6 Alias loop\n" },
	{ "postmaster", "postmaster without domain: postmaster@local.example\n" },
	{ "x@remote.example", "remote.example is no domain of this server\nby SMTP to the mail "
			      "exchangers of remote.example\n" },
	{ "x@[192.0.2.5]", "address literal" },
	{ "any@box.example", "next_hop: by LMTP to unix:/run/lmtp\n" },
	{ "any@void.example", "domain void.example has class discard\n" },
	{ "ann@gone.example",
	  "not now: table /gone is not there or has a mistake; the log says which\n" },
	{ "out@local.example", "the path does not lie below mailbox_base" },
	{ "mbox@local.example", "a mailbox must end in /" },
	{ "a/b@all.example", "gives no path for this address" },
};

START_TEST(explains)
{
	struct decision d;

	setup("");
	decide(span_of(steps[_i].address), "", &d);
	ck_assert_msg(strstr(buf_cstr(&said), steps[_i].says) != NULL, "%s", buf_cstr(&said));
	teardown();
}
END_TEST

START_TEST(domain_length_has_two_sides)
{
	char address[300];
	struct decision d;

	setup("");
	memset(address, 'a', sizeof(address));
	memcpy(address, "x@", 2);
	for (size_t i = 50; i < 2 + 255; i += 50)
		address[i] = '.';
	decide(span_make(address, 2 + 255), "", &d);
	ck_assert_int_eq(d.action, ROUTE_DELIVER);
	ck_assert_str_eq(decide(span_make(address, 2 + 256), "", &d), NO_ADDRESS);
	teardown();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("resolve");

	UNIT_TABLE(s, decides, plain);
	UNIT_TEST(s, nul_in_a_local_part_stands_in_no_path);
	UNIT_TABLE(s, transport_table, transported);
	UNIT_TABLE(s, transport_value, values);
	UNIT_TEST(s, transport_to_an_unnamed_socket_waits);
	UNIT_TABLE(s, smarthost, smart);
	UNIT_TEST(s, transport_table_goes_before_the_smarthost);
	UNIT_TABLE(s, missing_table_is_temporary, missing);
	UNIT_TEST(s, missing_alias_table_is_temporary_and_denies_nobody);
	UNIT_TEST(s, own_alias_is_not_expanded_again);
	UNIT_TEST(s, expansion_limit_has_two_sides);
	UNIT_TABLE(s, bare_postmaster, postmasters);
	UNIT_TABLE(s, domain_wide, wide);
	UNIT_TABLE(s, explains, steps);
	UNIT_TEST(s, domain_length_has_two_sides);
	return unit_run(s);
}
