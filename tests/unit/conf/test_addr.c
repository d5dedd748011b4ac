/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/conf/addr.c. */

/* System */
#include <arpa/inet.h>
#include <string.h>
/* lib */
#include "conf/addr.h"
/* this program */
#include "tests/unit/unit.h"

static const struct {
	const char *text;
	int family; /* -1: refused */
	const char *shown;
} addrs[] = {
	{ "*", 0, NULL },
	{ "192.0.2.1", 4, "192.0.2.1" },
	{ "[192.0.2.1]", 4, "192.0.2.1" },
	{ "::1", 6, "::1" },
	{ "[::1]", 6, "::1" },
	{ "[IPv6:2001:db8::1]", 6, "2001:db8::1" },
	{ "[ipv6:::]", 6, "::" },
	{ "", -1, NULL },
	{ "[]", -1, NULL },
	{ "[::1", -1, NULL },
	{ "::1]", -1, NULL },
	{ "[*]", -1, NULL },
	{ "192.0.2", -1, NULL },
	{ "192.0.2.256", -1, NULL },
	{ "192.0.2.1 ", -1, NULL },
	{ "host.example", -1, NULL },
	{ "IPv6:::1", -1, NULL },
	{ "fe80::1%eth0", -1, NULL },
	{ "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff", -1, NULL },
};

START_TEST(addr)
{
	struct conf_addr a;
	char text[INET6_ADDRSTRLEN];
	int r = conf_addr_parse(span_of(addrs[_i].text), &a);

	ck_assert_int_eq(r, addrs[_i].family < 0 ? E_SYNTAX : 0);
	if (r < 0)
		return;
	ck_assert_int_eq(a.family, addrs[_i].family);
	if (a.family != 0)
		ck_assert_str_eq(inet_ntop(a.family == 4 ? AF_INET : AF_INET6, a.addr, text,
					   sizeof(text)),
				 addrs[_i].shown);
}
END_TEST

static const struct {
	const char *net;
	int r;
	const char *inside, *outside;
} nets[] = {
	{ "192.0.2.0/24", 0, "192.0.2.255", "192.0.3.0" },
	{ "192.0.2.1", 0, "192.0.2.1", "192.0.2.2" },
	{ "[192.0.2.1]", 0, "192.0.2.1", "192.0.2.2" },
	{ "192.0.2.128/25", 0, "192.0.2.129", "192.0.2.127" },
	{ "192.0.2.4/30", 0, "192.0.2.7", "192.0.2.8" },
	{ "10.0.0.0/8", 0, "10.255.255.255", "11.0.0.0" },
	{ "10.0.0.0/8", 0, "::ffff:10.1.1.1", "::10.1.1.1" },
	{ "0.0.0.0/0", 0, "1.2.3.4", "::1" },
	{ "[2001:db8::]/32", 0, "2001:db8:ffff::1", "2001:db9::" },
	{ "2001:db8::/33", 0, "2001:db8:7fff::1", "2001:db8:8000::" },
	{ "[::1]", 0, "::1", "::2" },
	{ "::/0", 0, "2001:db8::1", "1.2.3.4" },
	{ "::ffff:0:0/96", 0, "::ffff:1.2.3.4", "1.2.3.4" },
	{ "192.0.2.1/24", E_PARAM, NULL, NULL },
	{ "2001:db8::1/64", E_PARAM, NULL, NULL },
	{ "192.0.2.0/33", E_SYNTAX, NULL, NULL },
	{ "::/129", E_SYNTAX, NULL, NULL },
	{ "192.0.2.0/", E_SYNTAX, NULL, NULL },
	{ "192.0.2.0/a", E_SYNTAX, NULL, NULL },
	{ "192.0.2.0/-1", E_SYNTAX, NULL, NULL },
	{ "*", E_SYNTAX, NULL, NULL },
	{ "*/0", E_SYNTAX, NULL, NULL },
	{ "", E_SYNTAX, NULL, NULL },
};

static bool
is_in(const struct conf_net *net, const char *text)
{
	struct conf_addr a;

	ck_assert_int_eq(conf_addr_parse(span_of(text), &a), 0);
	return conf_net_has(net, a.family, a.addr);
}

START_TEST(net)
{
	struct conf_net n;

	ck_assert_int_eq(conf_net_parse(span_of(nets[_i].net), &n), nets[_i].r);
	if (nets[_i].r < 0)
		return;
	ck_assert(is_in(&n, nets[_i].inside));
	ck_assert(!is_in(&n, nets[_i].outside));
}
END_TEST

static const struct {
	const char *text;
	int kind; /* -1: refused */
	const char *host;
	int family, port;
} hops[] = {
	{ "[smtp.example.net]:587", CONF_HOP_HOST, "smtp.example.net", 0, 587 },
	{ "[smtp.example.net]", CONF_HOP_HOST, "smtp.example.net", 0, 0 },
	{ "[192.0.2.7]:25", CONF_HOP_HOST, "192.0.2.7", 4, 25 },
	{ "[2001:db8::1]:25", CONF_HOP_HOST, "2001:db8::1", 6, 25 },
	{ "[IPv6:2001:db8::1]:25", CONF_HOP_HOST, "2001:db8::1", 6, 25 },
	{ "example.net:2525", CONF_HOP_DOMAIN, "example.net", 0, 2525 },
	{ "example.net", CONF_HOP_DOMAIN, "example.net", 0, 0 },
	{ "unix:/run/lmtp", CONF_HOP_UNIX, "/run/lmtp", 0, 0 },
	{ "unix:run/lmtp", -1, NULL, 0, 0 },
	{ "unix:", -1, NULL, 0, 0 },
	{ "", -1, NULL, 0, 0 },
	{ "[]:25", -1, NULL, 0, 0 },
	{ "[host", -1, NULL, 0, 0 },
	{ "[host]25", -1, NULL, 0, 0 },
	{ "[host]:", -1, NULL, 0, 0 },
	{ "[host]:0", -1, NULL, 0, 0 },
	{ "[host]:65536", -1, NULL, 0, 0 },
	{ "host:25:26", -1, NULL, 0, 0 },
	{ "2001:db8::1", -1, NULL, 0, 0 },
	{ "a b:25", -1, NULL, 0, 0 },
	{ "[a b]:25", -1, NULL, 0, 0 },
	{ "[*]:25", -1, NULL, 0, 0 },
	{ "*", -1, NULL, 0, 0 },
	{ ":25", -1, NULL, 0, 0 },
};

START_TEST(hop)
{
	struct conf_hop h;
	int r = conf_hop_parse(span_of(hops[_i].text), &h);

	ck_assert_int_eq(r, hops[_i].kind < 0 ? E_SYNTAX : 0);
	if (r < 0)
		return;
	ck_assert_int_eq((int)h.kind, hops[_i].kind);
	UNIT_EQ(h.host, hops[_i].host);
	ck_assert_int_eq(h.addr.family, hops[_i].family);
	ck_assert_int_eq(h.port, hops[_i].port);
}
END_TEST

static const struct {
	const char *text;
	bool is_name;
} names[] = {
	{ "example.org", true },
	{ "a", true },
	{ "1.2", true },
	{ "a-b.c", true },
	{ "_dmarc.example", true },
	{ "b\xc3\xbc"
	  "cher.example",
	  true },
	{ "", false },
	{ ".", false },
	{ "a.", false },
	{ ".a", false },
	{ "a..b", false },
	{ "-a", false },
	{ "a-", false },
	{ "a-.b", false },
	{ "a b", false },
	{ "a/b", false },
	{ "a@b", false },
	{ "[a]", false },
	{ "123456789012345678901234567890123456789012345678901234567890123.x", true },
	{ "1234567890123456789012345678901234567890123456789012345678901234.x", false },
};

START_TEST(host_name)
{
	ck_assert(conf_is_host_name(span_of(names[_i].text)) == names[_i].is_name);
}
END_TEST

START_TEST(long_host_name)
{
	char text[256];

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 2 == 0 ? 'a' : '.';
	ck_assert(conf_is_host_name(span_make(text, 255)));
	text[255] = 'a';
	ck_assert(!conf_is_host_name(span_make(text, 256)));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("addr");

	UNIT_TABLE(s, addr, addrs);
	UNIT_TABLE(s, net, nets);
	UNIT_TABLE(s, hop, hops);
	UNIT_TABLE(s, host_name, names);
	UNIT_TEST(s, long_host_name);
	return unit_run(s);
}
