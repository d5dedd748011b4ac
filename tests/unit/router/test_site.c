/* SPDX-License-Identifier: ISC
 *
 * Tests of router/site.c and site_hosts.c with a DNS that answers from a text: which hosts and addresses in which order, what each failure
 * becomes, the names of sites, and what is kept how long. */

/* System */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* lib */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
/* this program */
#include "tests/unit/router/fake_dns.h"
#include "tests/unit/unit.h"

#define V6A "2001:db8::1"
#define V6B "2001:db8::2"

static struct conf *conf;
static struct dns *dns;
static struct sites *sites;
static struct buf said;

/* Answers that came, as texts, in their order. */
static char got[16][4000];
static uint32_t ttls[16];
static unsigned got_count;

static void
setup(const char *zone, const char *more)
{
	struct conf_problems problems;
	char text[2000];

	clock_fake_set(1, 1000000);
	snprintf(text, sizeof(text), "hostname = mx.example.org\n%s", more);
	conf_problems_init(&problems);
	int r = conf_parse("t", NULL, span_of(text), &conf, &problems);
	ck_assert_msg(r == 0, "%s", buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	dns = fake_dns_new(zone);
	sites = sites_new(dns, conf);
	buf_init(&said, 1 << 20);
	got_count = 0;
}

static void
teardown(void)
{
	while (fake_dns_answer(dns))
		;
	sites_free(&sites);
	fake_dns_free(dns);
	conf_free(&conf);
	buf_clear(&said);
}

static void
put_addr(struct buf *b, const struct plan_addr *a)
{
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(a->family == 6 ? AF_INET6 : AF_INET, a->addr, ip, sizeof(ip));
	buf_printf(b, " %s", ip);
}

/* "site | host/preference:port address ... | host ..." or "reject 550 5.1.2 text". */
static void
on_site(void *arg, const struct site *s)
{
	struct buf b;

	(void)arg;
	ck_assert_uint_lt(got_count, UNIT_COUNT(got));
	buf_init(&b, sizeof(got[0]) - 1);
	if (s->action != ROUTE_DELIVER) {
		buf_printf(&b, "%s %u %s %s", s->action == ROUTE_REJECT ? "reject" : "later",
			   s->reply, s->esc, s->text);
	} else {
		buf_printf(&b, "%s%s", s->name,
			   s->plan.flags == PLAN_LOOPBACK_OK ? " (loopback)" : "");
		for (uint32_t i = 0; i < s->plan.host_count; i++) {
			const struct plan_host *h = &s->plan.hosts[i];
			buf_printf(&b, " | %.*s/%u:%u%s", SPAN_ARG(h->name), h->preference, h->port,
				   h->is_unix ? " unix" : "");
			for (uint32_t j = 0; j < h->addr_count; j++)
				put_addr(&b, &h->addrs[j]);
		}
	}
	ttls[got_count] = s->ttl_s;
	snprintf(got[got_count++], sizeof(got[0]), "%s", buf_cstr(&b));
	buf_clear(&b);
}

static void
say(void *arg, struct span line)
{
	(void)arg;
	buf_put_span(&said, line);
	buf_putc(&said, '\n');
}

static const struct explain explaining = { say, NULL };

static void
ask(enum hop_kind kind, const char *name, uint16_t port, bool is_named,
    const struct explain *explain)
{
	struct hop hop = {
		.kind = kind, .name = span_of(name), .port = port, .is_named = is_named
	};

	sites_find(sites, &hop, explain, on_site, NULL);
}

static const char *
find_mx(const char *domain)
{
	unsigned before = got_count;

	ask(HOP_MX, domain, 25, false, NULL);
	ck_assert_uint_eq(got_count, before + 1);
	return got[before];
}

#define HOST_A "a.example A 192.0.2.1\n"
#define HOST_B "b.example A 192.0.2.2\n"

static const struct {
	const char *zone, *want;
} answers[] = {
	/* MX */
	{ "d.example MX 10 a.example\n" HOST_A, "a.example | a.example/10:25 192.0.2.1" },
	{ "d.example MX 10 a.example\na.example AAAA " V6A "\n",
	  "a.example | a.example/10:25 " V6A },
	{ "d.example MX 20 a.example\nd.example MX 10 b.example\n" HOST_A HOST_B,
	  "b.example+27c61f89 | b.example/10:25 192.0.2.2 | a.example/20:25 192.0.2.1" },
	/* both families, IPv6 first; several addresses */
	{ "d.example MX 10 a.example\n" HOST_A "a.example AAAA " V6A
	  "\na.example A 192.0.2.3\na.example AAAA " V6B "\n",
	  "a.example | a.example/10:25 " V6A " " V6B " 192.0.2.1 192.0.2.3" },
	/* no MX: the domain itself */
	{ "d.example A 192.0.2.9\n", "d.example | d.example/0:25 192.0.2.9" },
	{ "d.example AAAA " V6A "\n", "d.example | d.example/0:25 " V6A },
	/* but not where there are MX records whose hosts have no address */
	{ "d.example MX 10 a.example\nd.example A 192.0.2.9\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
	{ "d.example MX 10 .\nd.example A 192.0.2.9\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable name" },
	/* null MX */
	{ "d.example MX 0\nd.example A 192.0.2.9\n",
	  "reject 556 5.1.10 d.example: this domain does not accept mail (null MX)" },
	{ "d.example MX 0\nd.example MX 10 a.example\n" HOST_A,
	  "a.example | a.example/10:25 192.0.2.1" },
	{ "d.example MX 0\nd.example MX 10\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable name" },
	/* nothing at all */
	{ "", "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
	{ "d.example MX NXDOMAIN\n", "reject 550 5.1.2 d.example: this domain does not exist" },
	/* not now */
	{ "d.example MX SERVFAIL\n",
	  "later 451 4.4.3 d.example: the name servers fail (SERVFAIL)" },
	{ "d.example MX 10 a.example\na.example A SERVFAIL\n",
	  "later 451 4.4.3 d.example: addresses of the mail exchangers cannot be looked up now" },
	{ "d.example MX 10 a.example\na.example AAAA SERVFAIL\n",
	  "later 451 4.4.3 d.example: addresses of the mail exchangers cannot be looked up now" },
	{ "d.example MX 10 a.example\nd.example MX 20 b.example\nb.example A SERVFAIL\n",
	  "later 451 4.4.3 d.example: addresses of the mail exchangers cannot be looked up now" },
	{ "d.example A SERVFAIL\n",
	  "later 451 4.4.3 d.example: addresses of the mail exchangers cannot be looked up now" },
	/* one host that cannot be looked up, or does not exist, stands nobody in the way */
	{ "d.example MX 10 a.example\nd.example MX 20 b.example\na.example A SERVFAIL\n" HOST_B,
	  "a.example+27c61f89 | b.example/20:25 192.0.2.2" },
	{ "d.example MX 10 a.example\nd.example MX 20 b.example\na.example A NXDOMAIN\na.example "
	  "AAAA NXDOMAIN\n" HOST_B,
	  "a.example+27c61f89 | b.example/20:25 192.0.2.2" },
	{ "d.example MX 10 a.example\na.example A NXDOMAIN\na.example AAAA NXDOMAIN\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
	/* ourselves: we and what is not better are out */
	{ "d.example MX 10 a.example\nd.example MX 20 MX.example.org\nd.example MX 20 "
	  "b.example\nd.example MX 30 b.example\n" HOST_A HOST_B,
	  "a.example | a.example/10:25 192.0.2.1" },
	{ "d.example MX 10 mx.example.org\nd.example MX 20 a.example\n" HOST_A,
	  "reject 554 5.4.6 d.example: mail for this domain would come back to this server" },
	{ "d.example MX 10 a.example\nd.example MX 10 mx.example.org\n" HOST_A,
	  "reject 554 5.4.6 d.example: mail for this domain would come back to this server" },
	{ "d.example MX 10 mx.example.org.other.example\nmx.example.org.other.example A "
	  "192.0.2.4\n",
	  "mx.example.org.other.example | mx.example.org.other.example/10:25 192.0.2.4" },
	/* this machine and what is nobody's address, from a stranger's DNS */
	{ "d.example A 127.0.0.1\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
	{ "d.example A 127.255.0.9\nd.example A 0.0.0.0\nd.example A 0.1.2.3\nd.example A "
	  "169.254.1.1\nd.example A 224.0.0.1\nd.example A 255.255.255.255\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
	{ "d.example AAAA ::1\nd.example AAAA ::\nd.example AAAA fe80::1\nd.example AAAA "
	  "ff02::1\nd.example AAAA ::ffff:127.0.0.1\nd.example AAAA ::ffff:0.0.0.0\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
	{ "d.example A 127.0.0.1\nd.example A 126.255.255.255\nd.example A 128.0.0.0\nd.example A "
	  "223.255.255.255\nd.example A 169.253.0.1\nd.example A 10.0.0.1\n",
	  "d.example | d.example/0:25 126.255.255.255 128.0.0.0 223.255.255.255 169.253.0.1 "
	  "10.0.0.1" },
	{ "d.example AAAA ::ffff:192.0.2.1\nd.example AAAA fe00::1\nd.example AAAA fec0::1\n",
	  "d.example | d.example/0:25 ::ffff:192.0.2.1 fe00::1 fec0::1" },
	{ "d.example MX 10 a.example\na.example A 127.0.0.1\nd.example MX 20 b.example\n" HOST_B,
	  "a.example+27c61f89 | b.example/20:25 192.0.2.2" },
	/* the hosts file is asked first, and is no way round that */
	{ "d.example MX 10 a.example\nhosts A.Example 192.0.2.77\n" HOST_A,
	  "a.example | a.example/10:25 192.0.2.77" },
	{ "d.example MX 10 a.example\nhosts a.example 127.0.0.1\n" HOST_A,
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
	/* the same host twice */
	{ "d.example MX 10 192.0.2.50\n", "192.0.2.50 | 192.0.2.50/10:25 192.0.2.50" },
	{ "d.example MX 10 127.0.0.1\n",
	  "reject 550 5.4.4 d.example: no mail exchanger has a usable address" },
};

START_TEST(becomes)
{
	setup(answers[_i].zone, "");
	ck_assert_str_eq(find_mx("d.example"), answers[_i].want);
	teardown();
}
END_TEST

/* Next hops that the administrator named. */
static const struct {
	enum hop_kind kind;
	const char *name;
	uint16_t port;
	const char *zone, *want;
} named[] = {
	{ HOP_HOST, "127.0.0.1", 2525, "",
	  "[127.0.0.1]:2525 (loopback) | 127.0.0.1/0:2525 127.0.0.1" },
	{ HOP_HOST, "::1", 24, "", "[::1]:24 (loopback) | ::1/0:24 ::1" },
	{ HOP_HOST, "a.example", 25, HOST_A,
	  "[a.example]:25 (loopback) | a.example/0:25 192.0.2.1" },
	{ HOP_HOST, "a.example", 25, "a.example A 127.0.0.1\na.example MX 10 b.example\n" HOST_B,
	  "[a.example]:25 (loopback) | a.example/0:25 127.0.0.1" },
	{ HOP_HOST, "localhost", 25, "hosts localhost 127.0.0.1\nhosts localhost ::1\n",
	  "[localhost]:25 (loopback) | localhost/0:25 ::1 127.0.0.1" },
	{ HOP_MX, "192.0.2.1", 26, "", "[192.0.2.1]:26 (loopback) | 192.0.2.1/0:26 192.0.2.1" },
	{ HOP_MX, "d.example", 26, "d.example MX 10 a.example\na.example A 127.0.0.1\n",
	  "a.example:26 (loopback) | a.example/10:26 127.0.0.1" },
	{ HOP_UNIX, "/run/lmtp", 0, "", "unix:/run/lmtp (loopback) | /run/lmtp/0:0 unix" },
	/* A mistake in the configuration bounces nothing. */
	{ HOP_HOST, "a.example", 25, "",
	  "later 451 4.4.4 a.example: no mail exchanger has a usable address" },
	{ HOP_MX, "d.example", 25, "d.example MX NXDOMAIN\n",
	  "later 451 4.4.4 d.example: this domain does not exist" },
	{ HOP_MX, "d.example", 25, "d.example MX 0\n",
	  "later 451 4.4.4 d.example: this domain does not accept mail (null MX)" },
	{ HOP_MX, "d.example", 25, "d.example MX 1 mx.example.org\n",
	  "later 451 4.4.4 d.example: mail for this domain would come back to this server" },
	{ HOP_MX, "d.example", 25, "d.example MX SERVFAIL\n",
	  "later 451 4.4.3 d.example: the name servers fail (SERVFAIL)" },
};

START_TEST(named_by_the_administrator)
{
	setup(named[_i].zone, "");
	ask(named[_i].kind, named[_i].name, named[_i].port, true, NULL);
	ck_assert_uint_eq(got_count, 1);
	ck_assert_str_eq(got[0], named[_i].want);
	teardown();
}
END_TEST

START_TEST(address_literal_of_a_stranger_is_never_this_machine)
{
	setup("", "");
	ask(HOP_HOST, "127.0.0.1", 25, false, NULL);
	ask(HOP_HOST, "::1", 25, false, NULL);
	ask(HOP_HOST, "192.0.2.5", 25, false, NULL);
	ck_assert_str_eq(got[0],
			 "reject 550 5.4.4 127.0.0.1: no mail exchanger has a usable address");
	ck_assert_str_eq(got[1], "reject 550 5.4.4 ::1: no mail exchanger has a usable address");
	ck_assert_str_eq(got[2], "[192.0.2.5]:25 | 192.0.2.5/0:25 192.0.2.5");
	teardown();
}
END_TEST

static const struct {
	const char *prefer, *want;
} families[] = {
	{ "ipv6", V6A " " V6B " 192.0.2.1 192.0.2.2" },
	{ "ipv4", "192.0.2.1 192.0.2.2 " V6A " " V6B },
};

START_TEST(preferred_family_goes_first)
{
	char more[100];

	snprintf(more, sizeof(more), "resolver { prefer = %s }\n", families[_i].prefer);
	setup("d.example A 192.0.2.1\nd.example AAAA " V6A
	      "\nd.example A 192.0.2.2\nd.example AAAA " V6B "\n",
	      more);
	ck_assert_str_eq(strstr(find_mx("d.example"), ":25 ") + 4, families[_i].want);
	teardown();
}
END_TEST

START_TEST(equal_preference_is_tried_in_random_order)
{
	bool seen_a = false, seen_b = false;

	setup("d.example MX 10 a.example\nd.example MX 10 b.example\nd.example MX 5 "
	      "c.example\nc.example A 192.0.2.3\n" HOST_A HOST_B,
	      "");
	for (int i = 0; i < 100 && !(seen_a && seen_b); i++) {
		const char *text = find_mx("d.example");
		ck_assert_msg(strstr(text, "c.example+") == text, "%s", text);
		seen_a |= strstr(text, "c.example/5:25 192.0.2.3 | a.example/10:25 192.0.2.1 | "
				       "b.example/10:25 192.0.2.2") != NULL;
		seen_b |= strstr(text, "c.example/5:25 192.0.2.3 | b.example/10:25 192.0.2.2 | "
				       "a.example/10:25 192.0.2.1") != NULL;
		sites_clear(sites, conf);
		got_count = 0;
	}
	ck_assert(seen_a && seen_b);
	teardown();
}
END_TEST

/* The part before the first blank. */
static void
site_of(const char *text, char out[300])
{
	snprintf(out, 300, "%.*s", (int)strcspn(text, " "), text);
}

START_TEST(domains_of_one_provider_share_a_site)
{
	char name[3][300];

	setup("one.example MX 10 b.example\none.example MX 10 a.example\n"
	      "two.example MX 5 a.example\ntwo.example MX 5 b.example\n"
	      "three.example MX 5 a.example\nthree.example MX 5 c.example\n" HOST_A HOST_B
	      "c.example A 192.0.2.3\n",
	      "");
	site_of(find_mx("one.example"), name[0]);
	site_of(find_mx("two.example"), name[1]);
	site_of(find_mx("three.example"), name[2]);
	ck_assert_str_eq(name[0], name[1]);
	ck_assert_str_ne(name[0], name[2]);
	ck_assert_ptr_eq(strstr(name[0], "a.example+"), name[0]);
	teardown();
}
END_TEST

START_TEST(another_port_is_another_site)
{
	setup("d.example MX 10 a.example\n" HOST_A, "");
	ask(HOP_MX, "d.example", 25, true, NULL);
	ask(HOP_MX, "d.example", 587, true, NULL);
	ck_assert_str_eq(got[0], "a.example (loopback) | a.example/10:25 192.0.2.1");
	ck_assert_str_eq(got[1], "a.example:587 (loopback) | a.example/10:587 192.0.2.1");
	teardown();
}
END_TEST

/* A named hop and a stranger's domain of the same name are told apart: only the first may be this machine. */
START_TEST(named_hop_and_stranger_share_no_answer)
{
	setup("d.example MX 10 a.example\na.example A 127.0.0.1\n", "");
	ask(HOP_MX, "d.example", 25, true, NULL);
	ask(HOP_MX, "d.example", 25, false, NULL);
	ck_assert_str_eq(got[0], "a.example (loopback) | a.example/10:25 127.0.0.1");
	ck_assert_str_eq(got[1],
			 "reject 550 5.4.4 d.example: no mail exchanger has a usable address");
	teardown();
}
END_TEST

static const struct {
	const char *zone, *want;
} blocks[] = {
	{ "d.example MX 10 mx1.big.example\nmx1.big.example A 192.0.2.1\n", "big" },
	{ "d.example MX 10 MX1.Big.example\nd.example MX 20 alt.other.example\nMX1.Big.example A "
	  "192.0.2.1\nalt.other.example A 192.0.2.2\n",
	  "big" },
	{ "d.example MX 10 mx1.big.example\nd.example MX 20 b.example\nmx1.big.example A "
	  "192.0.2.1\n" HOST_B,
	  "mx1.big.example+" },
	{ "d.example MX 10 mx1.notbig.example\nmx1.notbig.example A 192.0.2.1\n",
	  "mx1.notbig.example" },
	{ "d.example MX 10 big.example\nbig.example A 192.0.2.1\n", "big.example" },
};

START_TEST(site_blocks_gather_hosts)
{
	char name[300];

	setup(blocks[_i].zone, "site \"default\" { connections = 5 }\nsite \"big\" { mx = { "
			       "\"*.big.example\", \"alt.other.example\" } }\n");
	site_of(find_mx("d.example"), name);
	ck_assert_msg(strncmp(name, blocks[_i].want, strlen(blocks[_i].want)) == 0, "%s", name);
	teardown();
}
END_TEST

START_TEST(long_host_names_keep_their_digest)
{
	char zone[2000], host[3][254], name[2][300];

	for (int i = 0; i < 3; i++) {
		memset(host[i], 'x', 253);
		for (int j = 50; j < 250; j += 50)
			host[i][j] = '.';
		host[i][252] = (char)('a' + i);
		host[i][253] = '\0';
	}
	snprintf(zone, sizeof(zone),
		 "d.example MX 10 %s\nd.example MX 10 %s\ne.example MX 10 %s\ne.example MX 10 "
		 "%s\n%s A 192.0.2.1\n%s A 192.0.2.2\n",
		 host[0], host[1], host[0], host[2], host[0], host[1]);
	setup(zone, "");
	site_of(find_mx("d.example"), name[0]);
	site_of(find_mx("e.example"), name[1]);
	ck_assert_str_ne(name[0], name[1]);
	ck_assert_uint_le(strlen(name[0]), 256);
	teardown();
}
END_TEST

START_TEST(twenty_best_hosts_are_looked_up)
{
	struct buf zone;

	buf_init(&zone, 65536);
	for (int i = 0; i < 40; i++)
		buf_printf(&zone, "d.example MX %d h%d.example\nh%d.example A 192.0.2.%d\n",
			   100 - i, i, i, i + 1);
	setup(buf_cstr(&zone), "");
	const char *text = find_mx("d.example");
	ck_assert_ptr_nonnull(strstr(text, " | h39.example/61:25 192.0.2.40 | h38.example/62"));
	ck_assert_ptr_nonnull(strstr(text, "h20.example/80"));
	ck_assert_ptr_null(strstr(text, "h19.example"));
	ck_assert_uint_eq(dns_asked(dns), 1 + 2 * 20);
	teardown();
	buf_clear(&zone);
}
END_TEST

START_TEST(sixteen_addresses_of_a_host_are_taken)
{
	struct buf zone;

	buf_init(&zone, 65536);
	for (int i = 0; i < 40; i++)
		buf_printf(&zone, "d.example A 192.0.2.%d\n", i + 1);
	setup(buf_cstr(&zone), "");
	const char *text = find_mx("d.example");
	ck_assert_ptr_nonnull(strstr(text, " 192.0.2.16"));
	ck_assert_ptr_null(strstr(text, " 192.0.2.17"));
	teardown();
	buf_clear(&zone);
}
END_TEST

/* ---- what is kept ---- */

static void
advance(uint64_t ms)
{
	clock_fake_set(1, clock_mono_us() + ms * 1000);
}

START_TEST(answer_is_kept_until_its_ttl)
{
	setup("d.example 60 MX 10 a.example\na.example 20 A 192.0.2.1\n", "");
	find_mx("d.example");
	ck_assert_uint_eq(ttls[0], 20); /* the shortest one of all that went into it */
	ck_assert_uint_eq(dns_asked(dns), 3);
	advance(19999);
	find_mx("d.example");
	ck_assert_uint_eq(dns_asked(dns), 3);
	ck_assert_uint_eq(sites_hits(sites), 1);
	fake_dns_zone(dns, "d.example MX 10 b.example\n" HOST_B);
	advance(1);
	ck_assert_str_eq(find_mx("d.example"), "b.example | b.example/10:25 192.0.2.2");
	ck_assert_uint_eq(dns_asked(dns), 6);
	teardown();
}
END_TEST

START_TEST(failure_is_kept_briefly)
{
	setup("d.example 3000 MX SERVFAIL\n", "");
	find_mx("d.example");
	ck_assert_uint_eq(ttls[0], 5);
	advance(4999);
	find_mx("d.example");
	ck_assert_uint_eq(dns_asked(dns), 1);
	fake_dns_zone(dns, "d.example MX 10 a.example\n" HOST_A);
	advance(1);
	ck_assert_str_eq(find_mx("d.example"), "a.example | a.example/10:25 192.0.2.1");
	teardown();
}
END_TEST

START_TEST(refusal_is_kept_as_long_as_dns_says)
{
	setup("d.example 77 MX NXDOMAIN\n", "");
	find_mx("d.example");
	ck_assert_uint_eq(ttls[0], 77);
	teardown();
}
END_TEST

START_TEST(site_with_a_host_missing_is_kept_a_minute)
{
	setup("d.example 3000 MX 10 a.example\nd.example MX 20 b.example\na.example A "
	      "SERVFAIL\nb.example 3000 A 192.0.2.2\nb.example 3000 AAAA " V6A
	      "\na.example 3000 AAAA " V6A "\n",
	      "");
	find_mx("d.example");
	ck_assert_uint_eq(ttls[0], 60);
	teardown();
}
END_TEST

START_TEST(question_asked_twice_at_a_time_is_asked_once)
{
	setup("d.example MX 10 a.example\n" HOST_A, "");
	fake_dns_hold(dns);
	for (int i = 0; i < 5; i++)
		ask(HOP_MX, "d.example", 25, false, i == 4 ? &explaining : NULL);
	ask(HOP_MX, "other.example", 25, false, NULL);
	ck_assert_uint_eq(dns_asked(dns), 2);
	ck_assert_uint_eq(got_count, 0);
	while (fake_dns_answer(dns))
		;
	ck_assert_uint_eq(got_count, 6);
	for (int i = 0, hits = 0; i < 6; i++) {
		hits += strcmp(got[i], "a.example | a.example/10:25 192.0.2.1") == 0;
		ck_assert(i < 5 || hits == 5);
	}
	ck_assert_ptr_nonnull(strstr(buf_cstr(&said), "site a.example\n"));
	teardown();
}
END_TEST

START_TEST(new_options_while_dns_is_asked)
{
	setup("d.example MX 10 a.example\n" HOST_A, "");
	fake_dns_hold(dns);
	ask(HOP_MX, "d.example", 25, false, NULL);
	sites_clear(sites, conf);
	ask(HOP_MX, "d.example", 25, false, NULL);
	ck_assert_uint_eq(dns_asked(dns), 2);
	while (fake_dns_answer(dns))
		;
	ck_assert_uint_eq(got_count, 2);
	ck_assert_str_eq(got[0], got[1]);
	/* The one asked with the new options is kept. */
	ask(HOP_MX, "d.example", 25, false, NULL);
	ck_assert_uint_eq(sites_hits(sites), 1);
	teardown();
}
END_TEST

static const struct {
	const char *zone, *says;
} steps[] = {
	{ "d.example MX 10 a.example\n" HOST_A "a.example AAAA " V6A "\n",
	  "host a.example (preference 10), port 25: " V6A " 192.0.2.1\nsite a.example\n" },
	{ "d.example A 192.0.2.1\n", "no MX record: the domain itself is the host\n" },
	{ "d.example MX 0\n",
	  "refused: 556 5.1.10 d.example: this domain does not accept mail (null MX)\n" },
	{ "d.example MX SERVFAIL\n",
	  "not now: 451 4.4.3 d.example: the name servers fail (SERVFAIL)\n" },
	{ "d.example MX 10 a.example\nd.example MX 20 mx.example.org\n" HOST_A,
	  "this server is a mail exchanger with preference 20: only better ones are tried\n" },
};

START_TEST(explains)
{
	setup(steps[_i].zone, "");
	find_mx("d.example");
	ck_assert_uint_eq(said.n, 0);
	/* Also when the answer is kept. */
	ask(HOP_MX, "d.example", 25, false, &explaining);
	ck_assert_msg(strstr(buf_cstr(&said), steps[_i].says) != NULL, "%s", buf_cstr(&said));
	ck_assert_uint_eq(got_count, 2);
	teardown();
}
END_TEST

/* ---- addresses where this machine listens ---- */

#define OWN_ZONE                                                                                \
	"loop.example MX 10 a.example\nloop.example MX 20 alias.example\nloop.example MX 20 "   \
	"b.example\n"                                                                           \
	"loop.example MX 30 worse.example\nself.example MX 5 alias.example\nself.example MX 9 " \
	"b.example\n"                                                                           \
	"bare.example A 192.0.2.77\nsix.example AAAA 2001:db8::77\n"                            \
	"alias.example A 192.0.2.77\nworse.example A 192.0.2.4\n" HOST_A HOST_B
#define BACK ": mail for this domain would come back to this server"

/* This machine has 192.0.2.77 and 2001:db8::77. */
static const struct {
	const char *listen, *domain, *want;
} own_addresses[] = {
	{ "address = \"*\"", "loop.example", "a.example | a.example/10:25 192.0.2.1" },
	{ "address = \"0.0.0.0\"", "loop.example", "a.example | a.example/10:25 192.0.2.1" },
	{ "address = \"192.0.2.77\"", "loop.example", "a.example | a.example/10:25 192.0.2.1" },
	{ "address = \"*\"", "self.example", "reject 554 5.4.6 self.example" BACK },
	{ "address = \"*\"", "bare.example", "reject 554 5.4.6 bare.example" BACK },
	{ "address = \"*\"", "six.example", "reject 554 5.4.6 six.example" BACK },
	{ "address = \"[::]\"", "six.example", "reject 554 5.4.6 six.example" BACK },
	{ "address = \"[2001:db8::77]\"", "six.example", "reject 554 5.4.6 six.example" BACK },
	/* not there, or not at this port: another server on this machine */
	{ "address = \"[::]\"", "bare.example", "bare.example | bare.example/0:25 192.0.2.77" },
	{ "address = \"0.0.0.0\"", "six.example", "six.example | six.example/0:25 2001:db8::77" },
	{ "address = \"192.0.2.78\"", "bare.example",
	  "bare.example | bare.example/0:25 192.0.2.77" },
	{ "address = \"*\" port = 2525", "bare.example",
	  "bare.example | bare.example/0:25 192.0.2.77" },
};

START_TEST(where_we_listen_we_are_ourselves)
{
	static const struct plan_addr own[] = {
		{ 4, { 192, 0, 2, 77 } },
		{ 6, { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x77 } }
	};
	char block[200];

	snprintf(block, sizeof(block), "listen \"smtp\" { %s }\n", own_addresses[_i].listen);
	setup(OWN_ZONE, block);
	sites_set_own(sites, own, 2);
	ck_assert_str_eq(find_mx(own_addresses[_i].domain), own_addresses[_i].want);
	teardown();
}
END_TEST

START_TEST(host_named_by_the_administrator_may_be_where_we_listen)
{
	static const struct plan_addr own[] = { { 4, { 192, 0, 2, 77 } } };

	setup(OWN_ZONE, "listen \"smtp\" { address = \"*\" }\n");
	sites_set_own(sites, own, 1);
	ask(HOP_HOST, "192.0.2.77", 25, true, NULL);
	ck_assert_str_eq(got[0], "[192.0.2.77]:25 (loopback) | 192.0.2.77/0:25 192.0.2.77");
	teardown();
}
END_TEST

/* ---- a full store ---- */

START_TEST(oldest_site_gives_way)
{
	enum { KEPT = 20000 };
	char name[32];

	setup("first.example A 192.0.2.1\nsecond.example A 192.0.2.2\n", "");
	find_mx("first.example");
	find_mx("second.example");
	for (unsigned i = 0; i < KEPT - 1; i++) {
		snprintf(name, sizeof(name), "10.0.%u.%u", i >> 8, i & 255);
		ask(HOP_HOST, name, 25, true, NULL);
		got_count = 0;
	}
	ck_assert_uint_eq(sites_hits(sites), 0);
	find_mx("second.example");
	ck_assert_uint_eq(sites_hits(sites), 1);
	find_mx("first.example");
	ck_assert_uint_eq(sites_hits(sites), 1);
	ck_assert_str_eq(got[1], "first.example | first.example/0:25 192.0.2.1");
	teardown();
}
END_TEST

START_TEST(oldest_site_may_be_one_that_is_looked_up)
{
	char name[32];

	setup("first.example A 192.0.2.1\n", "");
	fake_dns_hold(dns);
	ask(HOP_MX, "first.example", 25, false, NULL);
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "10.0.%u.%u", i >> 8, i & 255);
		ask(HOP_HOST, name, 25, true, NULL);
		got_count = 0;
	}
	while (fake_dns_answer(dns))
		;
	ck_assert_uint_eq(got_count, 1);
	ck_assert_str_eq(got[0], "first.example | first.example/0:25 192.0.2.1");
	teardown();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("site");

	UNIT_TABLE(s, becomes, answers);
	UNIT_TABLE(s, named_by_the_administrator, named);
	UNIT_TEST(s, address_literal_of_a_stranger_is_never_this_machine);
	UNIT_TABLE(s, preferred_family_goes_first, families);
	UNIT_TEST(s, equal_preference_is_tried_in_random_order);
	UNIT_TEST(s, domains_of_one_provider_share_a_site);
	UNIT_TEST(s, another_port_is_another_site);
	UNIT_TEST(s, named_hop_and_stranger_share_no_answer);
	UNIT_TABLE(s, site_blocks_gather_hosts, blocks);
	UNIT_TEST(s, long_host_names_keep_their_digest);
	UNIT_TEST(s, twenty_best_hosts_are_looked_up);
	UNIT_TEST(s, sixteen_addresses_of_a_host_are_taken);
	UNIT_TEST(s, answer_is_kept_until_its_ttl);
	UNIT_TEST(s, failure_is_kept_briefly);
	UNIT_TEST(s, refusal_is_kept_as_long_as_dns_says);
	UNIT_TEST(s, site_with_a_host_missing_is_kept_a_minute);
	UNIT_TEST(s, question_asked_twice_at_a_time_is_asked_once);
	UNIT_TEST(s, new_options_while_dns_is_asked);
	UNIT_TABLE(s, explains, steps);
	UNIT_TEST(s, oldest_site_gives_way);
	UNIT_TEST(s, oldest_site_may_be_one_that_is_looked_up);
	UNIT_TABLE(s, where_we_listen_we_are_ourselves, own_addresses);
	UNIT_TEST(s, host_named_by_the_administrator_may_be_where_we_listen);
	return unit_run(s);
}
