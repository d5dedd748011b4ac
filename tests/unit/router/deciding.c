/* SPDX-License-Identifier: ISC
 *
 * What the tests of router/resolve.c decide with: a configuration, its tables, and decisions as text. */

/* System */
#include <string.h>

/* this program */
#include "tests/unit/router/deciding.h"
#include "tests/unit/unit.h"

static const char base_conf[] =
	"hostname = mx.example.org\n"
	"origin = origin.example\n"
	"aliases { virtual = { \"/aliases1\", \"/aliases2\" } delimiter = \"+-\" }\n"
	"domain \"local.example\" { class = virtual table = \"/users\" mailbox_base = "
	"\"/var/vmail\" }\n"
	"domain \"all.example\" { class = virtual table = \"/all\" mailbox_base = \"/var/vmail/\" "
	"}\n"
	"domain \"gone.example\" { class = virtual table = \"/gone\" mailbox_base = \"/var/vmail\" "
	"}\n"
	"domain \"relay.example\" { class = relay next_hop = \"[192.0.2.7]:2525\" }\n"
	"domain \"mx.relay.example\" { class = relay }\n"
	"domain \"known.example\" { class = relay next_hop = \"hub.example:26\" recipients = "
	"\"/known\" }\n"
	"domain \"lost.example\" { class = relay next_hop = \"hub.example\" recipients = \"/gone\" "
	"}\n"
	"domain \"box.example\" { class = lmtp next_hop = \"unix:/run/lmtp\" }\n"
	"domain \"tcpbox.example\" { class = lmtp next_hop = \"[::1]\" recipients = \"/known\" }\n"
	"domain \"knownbox.example\" { class = lmtp next_hop = \"unix:/run/lmtp\" recipients = "
	"\"/known\" }\n"
	"domain \"void.example\" { class = discard }\n"
	"domain \"" U_DOMAIN
	"\" { class = virtual table = \"/users\" mailbox_base = \"/var/vmail\" }\n";

static const char users[] = "ann@local.example ann/\n"
			    "abs@local.example /var/vmail/abs/\n"
			    "out@local.example /var/other/abs/\n"
			    "near@local.example /var/vmail2/abs/\n"
			    "base@local.example /var/vmail/\n"
			    "mbox@local.example mbox\n"
			    "a@local.example a/\n"
			    "slash@local.example /\n"
			    "empty@local.example\n"
			    "odd@local.example %{rcpt.nothing}/\n"
			    "open@local.example %{rcpt.local\n"
			    "percent@local.example 100%/\n"
			    "detail@local.example detail/%{rcpt.detail}/\n"
			    "\"a@b\"@local.example quoted/\n"
			    "\"a b\"@local.example blank/\n"
			    "j\xc3\xbcrgen@local.example jurgen/\n"
			    "ann@" U_DOMAIN " u/ann/\n";
static const char all[] = "ann@all.example special/\n"
			  "abs@all.example /var/vmail/abs/\n"
			  "@all.example %{rcpt.domain}/%{rcpt.local}/\n";
static const char known[] = "ann@known.example x\n"
			    "@tcpbox.example\n";
static const char aliases1[] =
	"one@local.example ann@local.example\n"
	"far@local.example ann@remote.example\n"
	"two@local.example ann@local.example, bob@remote.example\n"
	"noted@local.example , ann@local.example ,, \"a, b\"@remote.example,\n"
	"escaped@local.example \"a\\\", b\"@remote.example, ann@local.example\n"
	"short@local.example ann\n"
	"shorts@local.example ann, bob\n"
	"self@local.example self@local.example\n"
	"Mirror@local.example MIRROR@LOCAL.EXAMPLE\n"
	"me@local.example me@local.example, ann@local.example\n"
	"none@local.example\n"
	"commas@local.example , ,\n"
	"blank@local.example ann@local.example bob@local.example\n"
	"blanks@local.example ann@local.example bob@local.example, x@remote.example\n"
	"bad@local.example ann@remote..example\n"
	"long@local.example "
	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@remote.example\n"
	"@catch.example @local.example\n"
	"@hall.example ann@local.example\n"
	"@loop.example keeper@loop.example\n"
	"root@origin.example ann@local.example\n"
	"ping@local.example pong@local.example\n"
	"pong@local.example ping@local.example\n"
	"first@local.example ann@remote.example\n"
	"s0@local.example s1@local.example\n"
	"s1@local.example s2@local.example\n"
	"s2@local.example s3@local.example\n"
	"s3@local.example s4@local.example\n"
	"s4@local.example s5@local.example\n"
	"s5@local.example s6@local.example\n"
	"s6@local.example s7@local.example\n"
	"s7@local.example s8@local.example\n"
	"s8@local.example s9@local.example\n"
	"s9@local.example s10@local.example\n"
	"s10@local.example ann@local.example\n"
	"alias@" U_DOMAIN " ann@" U_DOMAIN "\n"
	"uself@" U_DOMAIN " uself@" A_DOMAIN "\n"
	"full+detail@local.example ann@remote.example\n"
	"full@local.example ann@local.example\n";
static const char aliases2[] = "first@local.example other@remote.example\n"
			       "second@local.example ann@local.example\n";
static const char transport[] = "ann@remote.example smtp:[192.0.2.1]:2500\n"
				"remote.example relay:hub.example:26\n"
				".sub.example smtp:[hub.example]\n"
				"deep.sub.example lmtp:[192.0.2.2]\n"
				"lmtp.example lmtp:unix:/run/x\n"
				"mx.example smtp:\n"
				"mx2.example relay\n"
				"plain.example smtp:hub.example\n"
				"void.remote.example discard:\n"
				"void2.remote.example DISCARD\n"
				"no.example error:5.1.6 Moved away\n"
				"later.example error:4.3.2 Come back later\n"
				"code.example error:5.123.456 Long code\n"
				"codes.example error:5.1234.1 Too long\n"
				"case.example smtp:[HUB.Example]\n"
				"idn.example smtp:" U_DOMAIN ":26\n"
				"bare.example error:Do not write here\n"
				"mute.example error:\n"
				"mute2.example error:5.7.9\n"
				"false.example error:5.x.1 text\n"
				"two.example error:2.1.1 text\n"
				"wrong.example uucp:there\n"
				"wrong2.example smtp:[192.0.2.1\n"
				"wrong3.example smtp:[192.0.2.1]:0\n"
				"wrong4.example smtp:[192.0.2.1]:65536\n"
				"wrong5.example smtp:2001:db8::1\n"
				"wrong6.example \n"
				"relay.example smtp:[192.0.2.9]\n"
				"ann@known.example smtp:[192.0.2.9]\n"
				"local.example discard:\n" U_DOMAIN " discard:\n"
				"path107.example lmtp:unix:/" X50 X50 "123456\n"
				"path108.example lmtp:unix:/" X50 X50 "1234567\n"
				"literal.example smtp:[IPv6:2001:db8::1]\n";
static const char senders[] = "ann@sender.example [192.0.2.11]\n"
			      "@sender.example [192.0.2.12]:587\n"
			      "@" U_DOMAIN " [192.0.2.13]\n"
			      "@bad.example [\n";

struct conf *conf;
struct tables tables;
struct arena arena;
struct buf said;

void
put_table(const char *path, const char *text)
{
	struct table *t;
	unsigned line = 0;
	const char *why = "";

	ck_assert_msg(table_parse(span_of(text), NULL, &t, &line, &why) == 0, "%s:%u: %s", path,
		      line, why);
	map_put(&tables.by_path, span_of(path), t);
}

void
setup(const char *more)
{
	struct conf_problems problems;
	struct buf text;

	map_init(&tables.by_path);
	arena_init(&arena, 1024);
	buf_init(&said, 1 << 20);
	put_table("/users", users);
	put_table("/rcpt", "ann@known.example x\n");
	put_table("/all", all);
	put_table("/known", known);
	put_table("/aliases1", aliases1);
	put_table("/aliases2", aliases2);
	put_table("/transport", transport);
	put_table("/senders", senders);
	buf_init(&text, 65536);
	buf_puts(&text, base_conf);
	buf_puts(&text, more);
	conf_problems_init(&problems);
	int r = conf_parse("test.conf", NULL, buf_span(&text), &conf, &problems);
	ck_assert_msg(r == 0, "%s", buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	buf_clear(&text);
}

void
teardown(void)
{
	struct span key;
	void *v;

	for (size_t it = 0; map_next(&tables.by_path, &it, &key, &v);) {
		struct table *t = v;
		table_free(&t);
	}
	map_clear(&tables.by_path);
	arena_clear(&arena);
	buf_clear(&said);
	conf_free(&conf);
}

static void
say(void *arg, struct span line)
{
	(void)arg;
	buf_put_span(&said, line);
	buf_putc(&said, '\n');
}

static void
put_hop(struct buf *b, const struct decision *d)
{
	static const char *const kinds[] = { "none", "mx", "host", "unix" };

	buf_printf(b, "%s %s %.*s", d->transport == TRANSPORT_LMTP ? "lmtp" : "smtp",
		   kinds[d->hop.kind], SPAN_ARG(d->hop.name));
	if (d->hop.kind != HOP_UNIX)
		buf_printf(b, ":%u", d->hop.port);
	if (d->hop.is_named)
		buf_puts(b, " named");
}

const char *
text_of(const struct decision *d)
{
	static struct buf b;

	buf_clear(&b);
	buf_init(&b, 65536);
	switch (d->action) {
	case ROUTE_REJECT:
	case ROUTE_TEMPFAIL:
		buf_printf(&b, "%s %u %s %.*s", d->action == ROUTE_REJECT ? "reject" : "later",
			   d->reply, d->esc, SPAN_ARG(d->text));
		break;
	case ROUTE_DISCARD:
		buf_puts(&b, "discard");
		break;
	case ROUTE_EXPAND:
		buf_puts(&b, "expand");
		for (uint32_t i = 0; i < d->expansion_count; i++)
			buf_printf(&b, " %.*s", SPAN_ARG(d->expansion[i]));
		break;
	case ROUTE_DELIVER:
		if (d->transport == TRANSPORT_MAILDIR)
			buf_printf(&b, "maildir %.*s %.*s", SPAN_ARG(d->base), SPAN_ARG(d->path));
		else
			put_hop(&b, d);
		break;
	case ROUTE_ACTION_COUNT:
		break;
	}
	return buf_cstr(&b);
}

const char *
decide(struct span address, const char *sender, struct decision *d)
{
	static const struct explain explain = { say, NULL };
	const struct resolve_question q = { address, span_of(sender), false };

	resolve_decide(conf, &tables, &q, &arena, &explain, d);
	return text_of(d);
}
