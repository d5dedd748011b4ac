/* SPDX-License-Identifier: ISC
 *
 * Whole configurations: what is read from them and what is said of their mistakes. lib/conf/lex.c, scan.c, parse.c,
 * check.c. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* lib */
#include "conf/conf.h"
#include "conf/table.h"
/* this program */
#include "tests/unit/unit.h"

/* Without it every case would warn. */
#define LISTEN "listen \"l\" { port = 2525 }\n"

/* clang-format off: one line each where it fits */
/* All lines, without "FILE:"; the text begins on line 1. "" : no problem at all. */
static const struct {
	const char *text;
	const char *problems;
} cases[] = {
	/* Forms. */
	{ LISTEN, "" },
	{ "", ": warning: no listen block, so no mail comes in from the network; write listen "
	      "\"smtp\" { address = \"*\" port = 25 }\n" },
	{ LISTEN "hop_limit = 20 // c\n# c\n/* c\n c */ soft_bounce = yes", "" },
	{ LISTEN "hop_limit = \"20\"\r\nsoft_bounce = 'yes'\r\n", "" },
	{ LISTEN "limits{message_size=50M recipients=\"500\"errors=5}", "" },
	{ LISTEN "limits { }\nlimits { errors = 5 }\nlimits { recipients = 500 }\n", "" },
	{ LISTEN "relay_from = { \"127.0.0.0/8\", # us\n \"[::1]\", /* too */\n }\n", "" },
	{ LISTEN "relay_from = 127.0.0.0/8", "" },
	{ LISTEN "bcc_always = \"a//b#c@example.org\" postmaster = 'x y@example.org'",
	  ":2: postmaster = \"x y@example.org\": no address; write one such as "
	  "\"someone@example.org\"\n" },
	{ LISTEN "transport = /a//b", "" },
	{ "listen\n\"l\"\n{\nport\n=\n99999\n}",
	  ":4: listen.port = \"99999\": out of range; write a value from 1 to 65535\n" },

	/* Names. */
	{ LISTEN "hop_limits = 5", ":2: unknown option hop_limits; did you mean hop_limit?\n" },
	{ LISTEN "xyzzy = 5",
	  ":2: unknown option xyzzy; `postern config --doc` lists those that there are\n" },
	{ LISTEN "limits { xyzzy = 5 }",
	  ":2: unknown option xyzzy of limits; `postern config --doc limits` lists those that "
	  "there are\n" },
	{ LISTEN "limits { mesage_size = 5M }",
	  ":2: unknown option mesage_size of limits; did you mean message_size?\n" },
	{ LISTEN "message_size = 5M",
	  ":2: unknown option message_size; it belongs into limits { ... }\n" },
	{ LISTEN "limits {\nhop_limit = 5 }",
	  ":3: unknown option hop_limit of limits; it stands outside of braces: hop_limit = "
	  "VALUE\n" },
	{ LISTEN "limits = 5", ":2: limits is not an option; write limits { ... }\n" },
	{ LISTEN "domain = { \"a\", \"b\" }",
	  ":2: domain is not an option; write domain \"TITLE\" { ... }\n" },
	{ LISTEN "limits { domain \"x\" { class = relay } }",
	  ":2: domain is not an option of limits; it stands outside of other braces\n" },
	{ LISTEN "limts { a = 1 b { c = { 1 } } }\nhop_limit = x",
	  ":2: unknown option limts; did you mean limits?\n:3: hop_limit = \"x\": not a number; "
	  "write a number from 1 to 1000\n" },
	{ LISTEN "tls { certificate = \"\" }",
	  ":2: unknown option tls; `postern config --doc` lists those that there are\n" },
	{ LISTEN "limits|errors = 5",
	  ":2: unknown option limits|errors; `postern config --doc` lists those that there "
	  "are\n" },
	{ LISTEN "one = 1 two = 2\nthree = { 3 }",
	  ":2: unknown option one; `postern config --doc` lists those that there are\n"
	  ":2: unknown option two; `postern config --doc` lists those that there are\n"
	  ":3: unknown option three; `postern config --doc` lists those that there are\n" },
	{ LISTEN "relay_from += { \"10.0.0.0/8\" }",
	  ":2: relay_from: += is not offered; write the whole list with =\n" },

	/* Twice. */
	{ LISTEN "hop_limit = 5\nhop_limit = 6",
	  ":3: warning: hop_limit stands on line 2 already; this one counts, remove the "
	  "other\n" },
	{ LISTEN "limits { errors = 5 }\nlimits { errors = 6 }",
	  ":3: warning: errors stands on line 2 already; this one counts, remove the other\n" },
	{ LISTEN
	  "domain \"a.example\" { class = discard }\ndomain \"A.example\" { class = discard }",
	  ":3: domain \"A.example\" stands on line 2 already; make one of the two\n" },
	{ LISTEN "domain \"\" { class = discard }", ":2: domain with an empty title; name it\n" },

	/* What libconfuse would swallow. */
	{ LISTEN "bcc_always = \"${HOME}@example.org\"",
	  ":2: ${ would be replaced from the environment; write %{...} for a template, or \\${ "
	  "for the characters\n" },
	{ LISTEN "transport = ${HOME}/x",
	  ":2: ${ would be replaced from the environment; write \"%{...}\" for a template\n" },
	{ LISTEN "transport = /${HOME}/x hop_limit = 5",
	  ":2: ${ would be replaced from the environment; write \"%{...}\" for a template\n" },
	{ LISTEN "transport = '/${HOME}'\nrelay_host_by_sender = \"/\\${x\"", "" },
	{ LISTEN "listen \"m\" { address = * port = 25 }",
	  ":2: * outside of quotes; write the value in double quotes\n" },
	{ LISTEN "aliases { delimiter = + }",
	  ":2: + outside of quotes; write the value in double quotes\n" },
	{ LISTEN "transport = \"/a\nhop_limit = 5",
	  ":2: string is not closed on its line; write \" at its end\n" },
	{ LISTEN "transport = '/a\nhop_limit = 5",
	  ":2: string is not closed on its line; write ' at its end\n" },
	{ LISTEN "transport = \"/a\\",
	  ":2: a backslash stands only before \", \\ and $; write \\\\ for a backslash\n:2: "
	  "string is not closed on its line; write \" at its end\n" },
	{ LISTEN "\n/* hop_limit = 5", ":3: comment is not closed; write */ at its end\n" },
	{ LISTEN "/*/", ":2: comment is not closed; write */ at its end\n" },
	{ LISTEN "transport = \"/\\x41\"",
	  ":2: a backslash stands only before \", \\ and $; write \\\\ for a backslash\n" },
	{ LISTEN "transport = \"/\\101\"",
	  ":2: a backslash stands only before \", \\ and $; write \\\\ for a backslash\n" },
	{ LISTEN "transport = '/\\n'", "" },
	{ LISTEN "transport = \"/a\tb\"",
	  ":2: transport = \"/a\tb\": holds the control character 0x09; remove it\n" },

	{ LISTEN "/* 2\n 3\n 4 */ # 4\n// 5\nhop_limit = 0",
	  ":6: hop_limit = \"0\": out of range; write a value from 1 to 1000\n" },
	{ LISTEN "transport = \"/a\nb\"",
	  ":2: string is not closed on its line; write \" at its end\n"
	  ":3: string is not closed on its line; write \" at its end\n:3: unknown option b; "
	  "`postern config --doc` lists those that there are\n" },

	/* Grammar, told by libconfuse. */
	{ LISTEN "hop_limit 5", ":2: hop_limit without a value; write hop_limit = VALUE\n" },
	{ LISTEN "hop_limit = { 5 }",
	  ":2: unexpected token '{'; a line is NAME = VALUE, NAME = { VALUE, VALUE }, SECTION { "
	  "... } or BLOCK \"TITLE\" { ... }\n" },
	{ LISTEN "hop_limit\nsoft_bounce yes\nlimits { errors { 5 } recipients }\nhop_limit = 0",
	  ":2: hop_limit without a value; write hop_limit = VALUE\n:3: soft_bounce without a "
	  "value; write soft_bounce = VALUE\n"
	  ":4: errors without a value; write errors = VALUE\n:4: recipients without a value; "
	  "write recipients = VALUE\n"
	  ":5: hop_limit = \"0\": out of range; write a value from 1 to 1000\n" },
	{ LISTEN "hop_limit =", ":2: the file ends too early; close every { with }\n" },
	{ LISTEN "limits { errors = 5\n\n", ":2: limits is not closed; write } at its end\n" },
	{ LISTEN "limits { errors = 5\ndomain \"x.example\" { class = discard }",
	  ":3: domain is not an option of limits; it stands outside of other braces\n:2: limits "
	  "is not closed; write } at its end\n" },
	{ LISTEN "limits { errors = 5 } }\n",
	  ":2: unexpected closing brace; a line is NAME = VALUE, NAME = { VALUE, VALUE }, "
	  "SECTION { ... } or BLOCK \"TITLE\" { ... }\n" },
	{ LISTEN "domain { class = discard }",
	  ":2: domain without a title; write domain \"TITLE\" { ... }\n" },
	{ LISTEN "limits\nhop_limit = x",
	  ":2: limits without {; write limits { ... }\n:3: hop_limit = \"x\": not a number; "
	  "write a number from 1 to 1000\n" },
	{ LISTEN "limits \"x\" { }", ":2: limits without {; write limits { ... }\n" },
	{ LISTEN "relay_from = { a b }",
	  ":2: unexpected token 'b'; a line is NAME = VALUE, NAME = { VALUE, VALUE }, SECTION { "
	  "... } or BLOCK \"TITLE\" { ... }\n" },

	/* Values: type and range with the line of each, all at once. */
	{ LISTEN "hop_limit = 0\ngreet_delay = 5\nlimits {\nmessage_size = 2T\nerrors = "
		 "x\nmessage_rate = 5 }\nsoft_bounce = maybe\nbare_newline = drop",
	  ":2: hop_limit = \"0\": out of range; write a value from 1 to 1000\n"
	  ":3: greet_delay = \"5\": not a time; write a number with ms, s, m, h or d from 0 to "
	  "1m\n"
	  ":5: limits.message_size = \"2T\": not a size; write a number with k, M or G from 64K "
	  "to 1G\n"
	  ":6: limits.errors = \"x\": not a number; write a number from 1 to 10000\n"
	  ":7: limits.message_rate = \"5\": not a rate; write a number with /s, /min, /h or /d, "
	  "such as 600/min, or 0 for no limit\n"
	  ":8: soft_bounce = \"maybe\": neither yes nor no; write one of the two\n"
	  ":9: bare_newline = \"drop\": not known; write reject or normalize\n" },

	/* Together. */
	{ LISTEN "domain \"v.example\" { class = virtual }",
	  ":2: domain \"v.example\" of class virtual without a table; write table = \"FILE\" "
	  "with lines of ADDRESS FOLDER/\n"
	  ":2: domain \"v.example\" of class virtual without mailbox_base; write mailbox_base = "
	  "\"FOLDER\"\n" },
	{ LISTEN "domain \"v.example\" { class = virtual table = /t mailbox_base = /b\nnext_hop = "
		 "\"[h]\" }",
	  ":3: next_hop is not used by class = virtual; remove it or change the class\n" },
	{ LISTEN "domain \"v.example\" { class = virtual table = /t mailbox_base = /b }", "" },
	{ LISTEN "domain \"l.example\" { class = lmtp recipients = /r }",
	  ":2: domain \"l.example\" of class lmtp without next_hop; write next_hop = "
	  "\"unix:/PATH\" or \"[HOST]:PORT\"\n" },
	{ LISTEN "domain \"l.example\" { class = lmtp recipients = /r next_hop = unix:/s }", "" },
	{ LISTEN "domain \"l.example\" { class = lmtp recipients = /r next_hop = unix:s }",
	  ":2: next_hop = \"unix:s\": no next hop; write [HOST]:PORT for a host, DOMAIN:PORT for "
	  "the servers of a domain, or unix:/PATH\n" },
	{ LISTEN "domain \"r.example\" { class = relay }",
	  ":2: warning: domain \"r.example\" of class relay accepts any local part and returns "
	  "what the next hop refuses, also to forged senders; write recipients = \"FILE\"\n" },
	{ LISTEN "domain \"r.example\" { class = relay recipients = /r\nnext_hop = \"unix:/s\" }",
	  ":3: next_hop = \"unix:/s\": a socket speaks LMTP; write class = lmtp, or "
	  "[HOST]:PORT\n" },
	{ LISTEN "domain \"r.example\" { class = relay recipients = /r\nnext_hop = \"[h:25\" }",
	  ":3: next_hop = \"[h:25\": no next hop; write [HOST]:PORT for a host, DOMAIN:PORT for "
	  "the servers of a domain\n" },
	{ LISTEN "domain \"r.example\" { class = relay table = /t recipients = /r }",
	  ":2: table is not used by class = relay; remove it or change the class\n" },
	{ LISTEN "domain \"d.example\" { class = discard mailbox_base = /b }",
	  ":2: mailbox_base is not used by class = discard; remove it or change the class\n" },
	{ LISTEN "domain \"d_.example.\" { class = discard }",
	  ":2: domain \"d_.example.\": not a domain name; write one such as \"example.org\"\n" },
	{ LISTEN "domain \"b\xc3\xbc"
		 "cher.example\" { class = discard }",
	  "" },
	{ LISTEN "domain \"r.example\" {\nclass = rely }",
	  ":3: domain.class = \"rely\": not known; write virtual, relay, lmtp or discard\n" },
	{ LISTEN "relay_host = \"[smtp.example.net]:587\"", "" },
	{ LISTEN "relay_host = \"smtp.example.net:\"",
	  ":2: relay_host = \"smtp.example.net:\": no next hop; write [HOST]:PORT for a host, "
	  "DOMAIN:PORT for the servers of a domain\n" },
	{ LISTEN "relay_from = { \"10.0.0.1/8\" }",
	  ":2: relay_from: 10.0.0.1/8 has bits behind its prefix; write the network's address, "
	  "or no /8\n" },
	{ LISTEN "relay_from = { \"example.org\" }",
	  ":2: relay_from: example.org is no network; write an address, or one with a prefix "
	  "such as 192.0.2.0/24 or [2001:db8::]/32\n" },
	{ LISTEN "relay_from = { \"0.0.0.0/0\" }",
	  ":2: warning: relay_from: 0.0.0.0/0 is everybody, which makes an open relay; name your "
	  "own networks\n" },
	{ LISTEN "relay_from = { }", "" },
	{ "listen \"a\" { port = 25 }\nlisten \"b\" { port = 26 }\nlisten \"c\" { address = "
	  "\"127.0.0.1\" port = 25 }",
	  ":3: listen \"c\" takes address 127.0.0.1 port 25, which listen \"a\" on line 1 has; "
	  "change one of the two\n" },
	{ "listen \"a\" { address = \"127.0.0.1\" }\nlisten \"b\" { address = \"127.0.0.2\" "
	  "}\nlisten \"c\" { address = \"[::1]\" }\nlisten \"d\" { address = \"::1\" port = 26 }",
	  "" },
	{ "listen \"a\" { address = \"0.0.0.0\" }\nlisten \"b\" { address = \"127.0.0.2\" }",
	  ":2: listen \"b\" takes address 127.0.0.2 port 25, which listen \"a\" on line 1 has; "
	  "change one of the two\n" },
	{ "listen \"a\" { address = \"127.0.0.2\" }\nlisten \"b\" { address = \"0.0.0.0\" }",
	  ":2: listen \"b\" takes address 0.0.0.0 port 25, which listen \"a\" on line 1 has; "
	  "change one of the two\n" },
	{ "listen \"a\" { address = \"::\" }\nlisten \"b\" { address = \"0.0.0.0\" }", "" },
	{ "listen \"a\" { address = \"localhost\" }",
	  ":1: address = \"localhost\": no address; write an IPv4 address, an [IPv6] address, or "
	  "* for all\n" },
	{ LISTEN "hostname = mx1",
	  ":2: warning: hostname = \"mx1\" is not fully qualified and other servers may refuse "
	  "mail from it; write NAME.DOMAIN\n" },
	{ LISTEN "hostname = \"a b\"",
	  ":2: hostname = \"a b\": not a host name; write one such as \"mx1.example.org\"\n" },
	{ LISTEN "origin = \"-.example\"",
	  ":2: origin = \"-.example\": not a domain name; write one such as \"example.org\"\n" },
	{ LISTEN "users { smtpd = root }",
	  ":2: users.smtpd = \"root\": no process runs as root; write another user, or an id "
	  "from 1 to 4294967294\n" },
	{ LISTEN "users { smtpd = 0 }",
	  ":2: users.smtpd = \"0\": no process runs as root; write another user, or an id from 1 "
	  "to 4294967294\n" },
	{ LISTEN "users { smtpd = 4294967295 }",
	  ":2: users.smtpd = \"4294967295\": no process runs as root; write another user, or an "
	  "id from 1 to 4294967294\n" },
	{ LISTEN "users { smtpd = \"\" }",
	  ":2: users.smtpd = \"\": no user; write a name or a numeric id\n" },
	{ LISTEN "users { smtpd = 70001\nrouter = 70001 }",
	  ":3: warning: users.smtpd and users.router are both 70001, so each can take over the "
	  "other; give each its own\n" },
	{ LISTEN "directories { spool = \"\" }", ":2: directories.spool is empty; write a path\n" },
	{ LISTEN "directories { spool = /x\nrun = /x }",
	  ":3: directories.spool and directories.run are the same folder; give each its own\n" },
	{ LISTEN "site \"x\" { connections = 5 }",
	  ":2: site \"x\" without mx holds for nothing; write mx = { \"*.HOST\" }\n" },
	{ LISTEN "site \"default\" { mx = { \"*.example\" } }",
	  ":2: site \"default\" holds for all others and has no mx; remove it\n" },
	{ LISTEN "site \"x\" { mx = { \"a*.example\" } }",
	  ":2: mx: \"a*.example\" is no host name; write one, or *.DOMAIN\n" },
	{ LISTEN "resolver { servers = { \"127.0.0.1@5353\", \"::1\" } }", "" },
	{ LISTEN "resolver { servers = { \"127.0.0.1@0\" } }",
	  ":2: resolver.servers: \"127.0.0.1@0\" is no server; write an address, or "
	  "ADDRESS@PORT\n" },
	{ LISTEN "resolver { servers = { \"ns.example\" } }",
	  ":2: resolver.servers: \"ns.example\" is no server; write an address, or "
	  "ADDRESS@PORT\n" },
	{ LISTEN "retry { first = 1h max = 5m }",
	  ":2: retry.max is shorter than retry.first; make it longer\n" },
	{ LISTEN "retry { warn_after = 5d }",
	  ":2: warning: retry.warn_after is not before retry.expire, so no delay is ever "
	  "reported; shorten it\n" },
	{ LISTEN "aliases { delimiter = \"@\" }",
	  ":2: delimiter = \"@\": @, blanks, quotes and angle brackets cannot separate; write "
	  "\"+\"\n" },
	{ LISTEN "log { to = postern.log }",
	  ":2: log.to = \"postern.log\": no destination; write syslog, stderr or the absolute "
	  "path of a file\n" },
	{ LISTEN "bcc_always = \"@example.org\"",
	  ":2: bcc_always = \"@example.org\": no address; write one such as "
	  "\"someone@example.org\"\n" },
};

/* clang-format on */

static struct conf_problems problems;

static struct conf *
parse(const char *text)
{
	struct conf *c;
	int r;

	conf_problems_init(&problems);
	r = conf_parse("F", NULL, span_of(text), &c, &problems);
	ck_assert_int_eq(r, problems.errors > 0 ? E_CONFIG : 0);
	ck_assert(r == 0 ? c != NULL : c == NULL);
	return c;
}

START_TEST(says_what_is_wrong)
{
	struct buf want;
	struct span rest = span_of(cases[_i].problems), line;
	struct conf *c = parse(cases[_i].text);

	buf_init(&want, 1 << 16);
	while (span_next(&rest, '\n', &line)) {
		if (line.n > 0)
			buf_printf(&want, "F%.*s\n", SPAN_ARG(line));
	}
	UNIT_EQ(buf_span(&problems.text), buf_cstr(&want));
	buf_clear(&want);
	conf_problems_clear(&problems);
	conf_free(&c);
}
END_TEST

START_TEST(values_arrive)
{
	struct conf *c = parse(
		"hostname = \"mx1.example.org\"\n"
		"directories { spool = \"/s\" run = '/r' }\n"
		"listen \"smtp\" { address = \"[::1]\" port = \"25\" role = submission backlog = 7 "
		"}\n"
		"domain \"one.example\" { class = discard }\n"
		"relay_from = { \"10.0.0.0/8\", '192.0.2.1' }\n"
		"domain \"two.example\" {\n\tclass = virtual table = \"/t\" mailbox_base = /b }\n"
		"limits { message_size = \"50M\" connections = 20000 message_rate = \"600/min\" }\n"
		"timeouts { command = 1500ms } greet_delay = 0\n"
		"retry { warn_after = 4h }\n"
		"hold_incoming = yes log { level = warn format = json }\n"
		"users { smtpd = 70001 }\n");

	ck_assert_msg(c != NULL, "%s", buf_cstr(&problems.text));
	ck_assert_uint_eq(problems.warnings, 0);
	ck_assert_str_eq(c->hostname, "mx1.example.org");
	ck_assert_str_eq(c->directories.spool, "/s");
	ck_assert_str_eq(c->directories.run, "/r");
	ck_assert_str_eq(c->directories.state, "/var/lib/postern");
	ck_assert_uint_eq(c->listen_count, 1);
	ck_assert_str_eq(c->listen[0].title, "smtp");
	ck_assert_uint_eq(c->listen[0].line, 3);
	ck_assert_str_eq(c->listen[0].address, "[::1]");
	ck_assert_uint_eq(c->listen[0].port, 25);
	ck_assert_int_eq(c->listen[0].role, CONF_LISTEN_ROLE_SUBMISSION);
	ck_assert_uint_eq(c->domain_count, 2);
	ck_assert_str_eq(c->domain[0].title, "one.example");
	ck_assert_int_eq(c->domain[0].class, CONF_DOMAIN_CLASS_DISCARD);
	ck_assert_str_eq(c->domain[0].table, "");
	ck_assert_str_eq(c->domain[1].title, "two.example");
	ck_assert_uint_eq(c->domain[1].line, 6);
	ck_assert_int_eq(c->domain[1].class, CONF_DOMAIN_CLASS_VIRTUAL);
	ck_assert_str_eq(c->domain[1].table, "/t");
	ck_assert_uint_eq(c->relay_from.count, 2);
	ck_assert_str_eq(c->relay_from.items[0], "10.0.0.0/8");
	ck_assert_str_eq(c->relay_from.items[1], "192.0.2.1");
	ck_assert_uint_eq(c->limits.message_size, 50 << 20);
	ck_assert_uint_eq(c->limits.connections, 20000);
	ck_assert_uint_eq(c->limits.message_rate.count, 600);
	ck_assert_uint_eq(c->limits.message_rate.per_ms, 60000);
	ck_assert_uint_eq(c->limits.recipients, 1000);
	ck_assert_uint_eq(c->timeouts.command, 1500);
	ck_assert_uint_eq(c->timeouts.data, 180000);
	ck_assert_uint_eq(c->greet_delay, 0);
	ck_assert_uint_eq(c->retry.warn_after, 4 * 3600000);
	ck_assert(c->hold_incoming);
	ck_assert_int_eq(c->log.level, CONF_LOG_LEVEL_WARN);
	ck_assert_int_eq(c->log.format, CONF_LOG_FORMAT_JSON);
	ck_assert_str_eq(c->users.smtpd, "70001");
	conf_free(&c);
	conf_problems_clear(&problems);
}
END_TEST

START_TEST(last_of_two_counts)
{
	struct conf *c = parse(
		"hop_limit = 5\nlimits { errors = 5 }\nhop_limit = 6\nlimits { errors = 7 "
		"recipients = 500 }\n"
		"relay_from = { \"10.0.0.0/8\", \"::1\" }\nrelay_from = { \"10.0.0.1\" }\n");

	ck_assert_uint_eq(problems.warnings, 4);
	ck_assert_uint_eq(c->hop_limit, 6);
	ck_assert_uint_eq(c->limits.errors, 7);
	ck_assert_uint_eq(c->limits.recipients, 500);
	ck_assert_uint_eq(c->relay_from.count, 1);
	conf_free(&c);
	conf_problems_clear(&problems);
}
END_TEST

/* A bad file leaves nothing behind in libconfuse's lexer that spoils the next one: a reload after it works. */
START_TEST(bad_file_then_good_file)
{
	for (size_t i = 0; i < UNIT_COUNT(cases); i++) {
		struct conf *c = parse(cases[i].text);

		conf_free(&c);
		conf_problems_clear(&problems);
		c = parse(LISTEN "hop_limit = 33\n");
		ck_assert_msg(c != NULL && problems.warnings == 0, "after case %zu: %s", i,
			      buf_cstr(&problems.text));
		ck_assert_uint_eq(c->hop_limit, 33);
		conf_free(&c);
		conf_problems_clear(&problems);
	}
}
END_TEST

/* The environment has no say. */
START_TEST(environment_is_not_read)
{
	struct conf *c;

	ck_assert_int_eq(setenv("POSTERN_TEST_VALUE", "77", 1), 0);
	c = parse(LISTEN "transport = '/${POSTERN_TEST_VALUE}'\nrelay_host_by_sender = "
			 "\"/\\${POSTERN_TEST_VALUE}\"");
	ck_assert_str_eq(c->transport, "/${POSTERN_TEST_VALUE}");
	ck_assert_str_eq(c->relay_host_by_sender, "/${POSTERN_TEST_VALUE}");
	conf_free(&c);
	conf_problems_clear(&problems);
}
END_TEST

START_TEST(many_problems_are_bounded)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	for (int i = 0; i < 5000; i++)
		buf_printf(&text, "xyzzy%d = 1\n", i);
	ck_assert_ptr_null(parse(buf_cstr(&text)));
	ck_assert_uint_eq(problems.errors, 5000);
	ck_assert_uint_lt(problems.text.n, 64 * 1024);
	ck_assert(span_ends(buf_span(&problems.text),
			    SPAN("F: more problems are not shown; mend these first\n")));
	conf_problems_clear(&problems);
	buf_clear(&text);
}
END_TEST

START_TEST(bytes_that_are_no_text)
{
	struct conf *c;

	conf_problems_init(&problems);
	ck_assert_int_eq(conf_parse("F", NULL, SPAN("hop_limit = 5\0 hop_limit = 6"), &c,
				    &problems),
			 E_CONFIG);
	UNIT_EQ(buf_span(&problems.text), "F: holds a NUL byte; write plain text\n");
	conf_problems_clear(&problems);
}
END_TEST

START_TEST(paths_are_taken_from_the_folder)
{
	struct conf *c;

	conf_problems_init(&problems);
	ck_assert_int_eq(conf_parse("F", "/no/where/etc",
				    SPAN(LISTEN "directories { spool = \"../run/spool\" } aliases "
						"{ virtual = { v, /w } }"
						"domain \"a.example\" { class = virtual table = t "
						"mailbox_base = \"./b\" }"),
				    &c, &problems),
			 0);
	ck_assert_str_eq(c->directories.spool, "/no/where/run/spool");
	ck_assert_str_eq(c->aliases.virtual.items[0], "/no/where/etc/v");
	ck_assert_str_eq(c->aliases.virtual.items[1], "/w");
	ck_assert_str_eq(c->domain[0].table, "/no/where/etc/t");
	ck_assert_str_eq(c->domain[0].mailbox_base, "/no/where/etc/b");
	/* Defaults are absolute; a table that is not there is worth a word. */
	ck_assert_str_eq(c->directories.state, "/var/lib/postern");
	ck_assert_uint_eq(problems.warnings, 3);
	conf_free(&c);
	conf_problems_clear(&problems);
}
END_TEST

/* What the manual and the sample show must be right. */
START_TEST(examples_parse)
{
	size_t count;
	const struct conf_group *g = conf_groups(&count);

	for (size_t i = 0; i < count; i++) {
		struct conf *c;

		if (g[i].kind != CONF_BLOCK)
			continue;
		ck_assert_msg(g[i].example != NULL, "block %s has an example", g[i].name);
		c = parse(g[i].example);
		ck_assert_msg(c != NULL, "example of %s: %s", g[i].name, buf_cstr(&problems.text));
		conf_free(&c);
		conf_problems_clear(&problems);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("parse");

	UNIT_TABLE(s, says_what_is_wrong, cases);
	UNIT_TEST(s, values_arrive);
	UNIT_TEST(s, last_of_two_counts);
	UNIT_TEST(s, bad_file_then_good_file);
	UNIT_TEST(s, environment_is_not_read);
	UNIT_TEST(s, many_problems_are_bounded);
	UNIT_TEST(s, bytes_that_are_no_text);
	UNIT_TEST(s, paths_are_taken_from_the_folder);
	UNIT_TEST(s, examples_parse);
	return unit_run(s);
}
