/* SPDX-License-Identifier: ISC
 *
 * Tests of router/dns.c with a libunbound of the test's own (its functions are wrapped): what each answer of it becomes, how
 * many questions are with it at a time, and what happens to them when time is up or the servers change. The real one, with
 * real packets, is tested by tests/integration/test_dns.py. */

/* System */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Third party */
#include <unbound.h>
#include <uv.h>

/* lib */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/timer.h"
/* this program */
#include "router/router.h"
#include "tests/unit/unit.h"

enum { AT_LIBUNBOUND_MAX = 4096, WAITING_MAX = 100000 };

/* --- libunbound --------------------------------------------------------------------------------- */

static struct {
	int pipe[2];
	unsigned contexts, deleted, anchors;
	struct buf servers; /* of the last context, a line each */
	int refuse;	    /* what ub_resolve_async returns */
	bool refuses_anchors;
	unsigned canceled;
	int last_id;
} ub;

/* Questions it was given, in their order; those that are gone have no fn. */
static struct asked {
	char *name;
	int type;
	void *arg;
	ub_callback_type fn;
} * asked;
static unsigned asked_count;

struct ub_ctx *__wrap_ub_ctx_create(void);
void __wrap_ub_ctx_delete(struct ub_ctx *c);
int __wrap_ub_ctx_debugout(struct ub_ctx *c, void *out);
int __wrap_ub_ctx_set_option(struct ub_ctx *c, const char *name, const char *value);
int __wrap_ub_ctx_set_fwd(struct ub_ctx *c, const char *server);
int __wrap_ub_ctx_add_ta(struct ub_ctx *c, const char *record);
int __wrap_ub_ctx_async(struct ub_ctx *c, int is_thread);
int __wrap_ub_ctx_zone_remove(struct ub_ctx *c, const char *zone);
int __wrap_ub_fd(struct ub_ctx *c);
int __wrap_ub_process(struct ub_ctx *c);
int __wrap_ub_cancel(struct ub_ctx *c, int id);
int __wrap_ub_resolve_async(struct ub_ctx *c, const char *name, int type, int class, void *arg,
			    ub_callback_type fn, int *id_out);
void __wrap_ub_resolve_free(struct ub_result *res);

int __real_uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t timeout, uint64_t repeat);
int __wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t timeout, uint64_t repeat);

/* Timers look at the clock of the test often: it does not go on by itself. */
int
__wrap_uv_timer_start(uv_timer_t *t, uv_timer_cb fn, uint64_t timeout, uint64_t repeat)
{
	return __real_uv_timer_start(t, fn, timeout > 1 ? 1 : timeout, repeat);
}

static char context;

struct ub_ctx *
__wrap_ub_ctx_create(void)
{
	ub.contexts++;
	ub.anchors = 0;
	buf_reset(&ub.servers);
	return (struct ub_ctx *)(void *)&context;
}

/* As the real one: callbacks of open questions are not called. */
void
__wrap_ub_ctx_delete(struct ub_ctx *c)
{
	(void)c;
	ub.deleted++;
	for (unsigned i = 0; i < asked_count; i++)
		asked[i].fn = NULL;
}

int
__wrap_ub_ctx_debugout(struct ub_ctx *c, void *out)
{
	(void)c;
	(void)out;
	return 0;
}

int
__wrap_ub_ctx_set_option(struct ub_ctx *c, const char *name, const char *value)
{
	(void)c;
	(void)name;
	(void)value;
	return 0;
}

int
__wrap_ub_ctx_set_fwd(struct ub_ctx *c, const char *server)
{
	(void)c;
	if (strspn(server, "0123456789.:abcdef@") != strlen(server))
		return UB_SYNTAX;
	buf_printf(&ub.servers, "%s\n", server);
	return 0;
}

int
__wrap_ub_ctx_add_ta(struct ub_ctx *c, const char *record)
{
	(void)c;
	(void)record;
	ub.anchors++;
	return 0;
}

int
__wrap_ub_ctx_async(struct ub_ctx *c, int is_thread)
{
	(void)c;
	ck_assert_int_eq(is_thread, 1);
	return 0;
}

int
__wrap_ub_ctx_zone_remove(struct ub_ctx *c, const char *zone)
{
	(void)c;
	(void)zone;
	return ub.refuses_anchors && ub.anchors > 0 ? UB_SYNTAX : 0;
}

int
__wrap_ub_fd(struct ub_ctx *c)
{
	(void)c;
	return ub.pipe[0];
}

int
__wrap_ub_process(struct ub_ctx *c)
{
	(void)c;
	return 0;
}

int
__wrap_ub_cancel(struct ub_ctx *c, int id)
{
	(void)c;
	ck_assert_ptr_nonnull(asked[id].fn);
	asked[id].fn = NULL;
	ub.canceled++;
	return 0;
}

int
__wrap_ub_resolve_async(struct ub_ctx *c, const char *name, int type, int class, void *arg,
			ub_callback_type fn, int *id_out)
{
	(void)c;
	ck_assert_int_eq(class, 1);
	if (ub.refuse != 0)
		return ub.refuse;
	asked = mem_grow(asked, asked_count + 1, sizeof(*asked));
	asked[asked_count] = (struct asked){
		.name = mem_strdup(name), .type = type, .arg = arg, .fn = fn
	};
	*id_out = (int)asked_count++;
	return 0;
}

void
__wrap_ub_resolve_free(struct ub_result *res)
{
	(void)res;
}

/* --- the test's own side --------------------------------------------------------------------------- */

static struct conf *conf, *later; /* later: what a reload brings */
static uv_loop_t loop;
static struct timer_set *timers;
static struct dns *dns;

/* The last answer as text, and how many there were. */
static char got[8000];
static uint32_t got_ttl;
static unsigned answers;

static struct conf *
options(const char *more)
{
	struct conf_problems problems;
	struct conf *c;
	char text[1000];

	snprintf(text, sizeof(text), "hostname = mx.example.org\n%s", more);
	conf_problems_init(&problems);
	int r = conf_parse("t", NULL, span_of(text), &c, &problems);
	ck_assert_msg(r == 0, "%s", buf_cstr(&problems.text));
	conf_problems_clear(&problems);
	return c;
}

/* A descriptor of a file with this text. */
static int
file_with(const char *text)
{
	FILE *f = tmpfile();

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	rewind(f);
	int fd = dup(fileno(f));
	fclose(f);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

#define SERVER "resolver { servers = { \"192.0.2.53\" } dnssec = no }\ntimeouts { dns = \"10s\" }\n"

static void
setup(const char *more, const char *resolv_conf, const char *hosts)
{
	int resolv = resolv_conf != NULL ? file_with(resolv_conf) : -1,
	    hosts_fd = hosts != NULL ? file_with(hosts) : -1;

	clock_fake_set(1, 1000000);
	buf_init(&ub.servers, 65536);
	ck_assert_int_eq(pipe(ub.pipe), 0);
	conf = options(more);
	ck_assert_int_eq(uv_loop_init(&loop), 0);
	timers = timer_set_new(&loop);
	dns = dns_new(conf, resolv, hosts_fd);
	if (resolv >= 0)
		close(resolv);
	if (hosts_fd >= 0)
		close(hosts_fd);
	ck_assert_int_eq(dns_start(dns, &loop, timers, conf), 0);
}

/* Each test is a process of its own: what it leaves ends with it. */
static void
on_answer(void *arg, const struct dns_answer *a)
{
	static const char *const statuses[] = { "ok", "nxdomain", "failed" };
	size_t n = (size_t)snprintf(got, sizeof(got), "%s", statuses[a->status]);

	(void)arg;
	answers++;
	got_ttl = a->ttl_s;
	if (a->status == DNS_FAILED)
		n += (size_t)snprintf(got + n, sizeof(got) - n, ": %s", a->why);
	for (uint32_t i = 0; i < a->count; i++) {
		char ip[INET6_ADDRSTRLEN];
		if (a->mx != NULL) {
			n += (size_t)snprintf(got + n, sizeof(got) - n, " %u/%s",
					      a->mx[i].preference, a->mx[i].name);
			continue;
		}
		inet_ntop(a->addrs[i].family == 4 ? AF_INET : AF_INET6, a->addrs[i].addr, ip,
			  sizeof(ip));
		n += (size_t)snprintf(got + n, sizeof(got) - n, " %s", ip);
	}
}

static void
ask(const char *name, enum dns_type type)
{
	dns_ask(dns, name, type, on_answer, NULL);
}

/* libunbound answers one question. */
static void
reply(unsigned i, int err, struct ub_result *res)
{
	ub_callback_type fn = asked[i].fn;

	ck_assert_ptr_nonnull(fn);
	asked[i].fn = NULL;
	fn(asked[i].arg, err, res);
}

/* The clock goes on, and what is due happens. */
static void
pass(uint64_t ms)
{
	clock_fake_set(1, clock_mono_us() + ms * 1000);
	for (int i = 0; i < 3; i++) {
		usleep(1500);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
}

/* --- answers ------------------------------------------------------------------------------------------- */

struct data {
	const char *p;
	int n;
};
#define DATA(bytes)                      \
	{                                \
		bytes, sizeof(bytes) - 1 \
	}

static const struct {
	enum dns_type type;
	int err, rcode, nxdomain, bogus, ttl;
	struct data data[4]; /* havedata where there is one */
	const char *want;
	uint32_t ttl_s;
} replies[] = {
	/* records */
	{ DNS_A, .ttl = 100, .data = { DATA("\300\0\2\1"), DATA("\300\0\2\2") },
	  .want = "ok 192.0.2.1 192.0.2.2", .ttl_s = 100 },
	{ DNS_AAAA, .ttl = 100, .data = { DATA("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1") },
	  .want = "ok 2001:db8::1", .ttl_s = 100 },
	{ DNS_MX, .ttl = 100, .data = { DATA("\0\24\2mx\7EXAMPLE\0"), DATA("\1\0\1b\0") },
	  .want = "ok 20/mx.example 256/b", .ttl_s = 100 },
	{ DNS_MX, .ttl = 100, .data = { DATA("\0\0\0") }, .want = "ok 0/", .ttl_s = 100 },
	/* none of this type, no such name */
	{ DNS_MX, .ttl = 100, .want = "ok", .ttl_s = 100 },
	{ DNS_MX, .ttl = 100, .rcode = 3, .nxdomain = 1, .want = "nxdomain", .ttl_s = 100 },
	/* kept neither too short nor too long */
	{ DNS_A, .ttl = 0, .data = { DATA("\300\0\2\1") }, .want = "ok 192.0.2.1", .ttl_s = 5 },
	{ DNS_A, .ttl = -1, .want = "ok", .ttl_s = 5 },
	{ DNS_A, .ttl = 86400, .data = { DATA("\300\0\2\1") }, .want = "ok 192.0.2.1",
	  .ttl_s = 3600 },
	/* not now: SERVFAIL, also that of a loop of aliases, REFUSED, an error, a signature that is wrong even on "no such name" */
	{ DNS_MX, .rcode = 2, .ttl = 900, .want = "failed: the name servers fail (SERVFAIL)",
	  .ttl_s = 5 },
	{ DNS_MX, .rcode = 5, .ttl = 900, .want = "failed: the name servers refuse", .ttl_s = 5 },
	{ DNS_MX, .err = UB_NOMEM, .want = "failed: the resolver gave up", .ttl_s = 5 },
	{ DNS_A, .bogus = 1, .ttl = 900, .data = { DATA("\300\0\2\1") },
	  .want = "failed: DNSSEC validation failed", .ttl_s = 5 },
	{ DNS_A, .bogus = 1, .nxdomain = 1, .want = "failed: DNSSEC validation failed",
	  .ttl_s = 5 },
	/* damaged or hostile records: left out, or nobody we send to */
	{ DNS_A, .ttl = 9, .data = { DATA("\300\0\2"), DATA("\300\0\2\1\0"), DATA("\300\0\2\3") },
	  .want = "ok 192.0.2.3", .ttl_s = 9 },
	{ DNS_AAAA, .ttl = 9, .data = { DATA("\300\0\2\1") }, .want = "ok", .ttl_s = 9 },
	{ DNS_MX, .ttl = 9, .data = { DATA("\0"), DATA("\0\12"), DATA("\0\12\1b\0") },
	  .want = "ok 10/b", .ttl_s = 9 },
	{ DNS_MX, .ttl = 9, .data = { DATA("\0\12\2mx"), DATA("\0\13\5mx\0"), DATA("\0\14\100") },
	  .want = "ok 10/. 11/. 12/.", .ttl_s = 9 },
	{ DNS_MX, .ttl = 9,
	  .data = { DATA("\0\12\4a b\r\0"), DATA("\0\13\3a.b\0"), DATA("\0\14\1\0\0") },
	  .want = "ok 10/. 11/. 12/.", .ttl_s = 9 },
};

START_TEST(becomes)
{
	char *data[5] = { NULL };
	int lens[5] = { 0 };
	struct ub_result res = { .data = data,
				 .len = lens,
				 .rcode = replies[_i].rcode,
				 .nxdomain = replies[_i].nxdomain,
				 .bogus = replies[_i].bogus,
				 .ttl = replies[_i].ttl };

	setup(SERVER, NULL, NULL);
	for (unsigned i = 0; i < 4 && replies[_i].data[i].p != NULL; i++) {
		/* Of its exact length, so that reading past the end shows. */
		lens[i] = replies[_i].data[i].n;
		data[i] = mem_alloc((size_t)lens[i]);
		memcpy(data[i], replies[_i].data[i].p, (size_t)lens[i]);
		res.havedata = 1;
	}
	ask("d.example", replies[_i].type);
	ck_assert_uint_eq(asked_count, 1);
	ck_assert_str_eq(asked[0].name, "d.example");
	ck_assert_int_eq(asked[0].type, (int)replies[_i].type);
	ck_assert_uint_eq(dns_in_flight(dns), 1);
	reply(0, replies[_i].err, replies[_i].err != 0 ? NULL : &res);
	ck_assert_uint_eq(answers, 1);
	ck_assert_str_eq(got, replies[_i].want);
	ck_assert_uint_eq(got_ttl, replies[_i].ttl_s);
	ck_assert_uint_eq(dns_in_flight(dns), 0);
	ck_assert_uint_eq(dns_failed(dns), strncmp(got, "failed", 6) == 0);
	for (unsigned i = 0; i < 4; i++)
		mem_free(data[i]);
}
END_TEST

static const struct {
	unsigned labels, last;
	bool is_host;
} names[] = {
	{ 3, 61, true },  /* 63.63.63.61: 253 characters, 255 bytes on the wire */
	{ 3, 62, false }, /* one more */
	{ 4, 0, false },
};

START_TEST(longest_name)
{
	char wire[300] = { 0, 1 }, *data[2] = { wire, NULL };
	int n = 2, lens[2] = { 0 };
	struct ub_result res = { .data = data, .len = lens, .havedata = 1, .ttl = 60 };

	for (unsigned i = 0; i <= names[_i].labels; i++) {
		int len = i < names[_i].labels ? 63 : (int)names[_i].last;
		if (len == 0)
			continue;
		wire[n++] = (char)len;
		memset(wire + n, 'x', (size_t)len);
		n += len;
	}
	lens[0] = n + 1;
	setup(SERVER, NULL, NULL);
	ask("d.example", DNS_MX);
	reply(0, 0, &res);
	if (names[_i].is_host)
		ck_assert_uint_eq(strlen(got), strlen("ok 1/") + 253);
	else
		ck_assert_str_eq(got, "ok 1/.");
}
END_TEST

/* A hundred records are no more than 64. */
START_TEST(many_records)
{
	char *data[101] = { NULL }, addr[] = "\300\0\2\1";
	int lens[101] = { 0 };
	struct ub_result res = { .data = data, .len = lens, .havedata = 1, .ttl = 60 };
	unsigned n = 0;

	for (int i = 0; i < 100; i++) {
		data[i] = addr;
		lens[i] = 4;
	}
	setup(SERVER, NULL, NULL);
	ask("d.example", DNS_A);
	reply(0, 0, &res);
	for (const char *p = got; (p = strstr(p, "192.0.2.1")) != NULL; p++)
		n++;
	ck_assert_uint_eq(n, 64);
}
END_TEST

/* --- questions ------------------------------------------------------------------------------------------ */

START_TEST(a_question_without_answer_ends_in_time)
{
	setup(SERVER, NULL, NULL);
	ask("d.example", DNS_A);
	pass(9999);
	ck_assert_uint_eq(answers, 0);
	pass(1);
	ck_assert_uint_eq(answers, 1);
	ck_assert_str_eq(got, "failed: no answer in time");
	ck_assert_uint_eq(ub.canceled, 1);
	ck_assert_uint_eq(dns_in_flight(dns), 0);
}
END_TEST

START_TEST(refused_by_libunbound_is_a_failure_now)
{
	setup(SERVER, NULL, NULL);
	ub.refuse = UB_SYNTAX;
	for (int i = 0; i < 3; i++)
		ask("..", DNS_MX);
	ck_assert_uint_eq(answers, 3);
	ck_assert_int_eq(strncmp(got, "failed: ", 8), 0);
	ck_assert_uint_eq(dns_in_flight(dns), 0);
}
END_TEST

/* Not more than it has room for are with libunbound; those that wait get their time, too, and their turn. */
START_TEST(questions_wait_for_room)
{
	struct ub_result none = { .ttl = 60 };

	setup(SERVER, NULL, NULL);
	for (int i = 0; i < AT_LIBUNBOUND_MAX + 2; i++)
		ask(i < AT_LIBUNBOUND_MAX ? "early.example" : "late.example", DNS_A);
	ck_assert_uint_eq(asked_count, AT_LIBUNBOUND_MAX);
	reply(7, 0, &none);
	ck_assert_uint_eq(asked_count, AT_LIBUNBOUND_MAX + 1);
	ck_assert_str_eq(asked[AT_LIBUNBOUND_MAX].name, "late.example");
	pass(10000);
	ck_assert_uint_eq(answers, AT_LIBUNBOUND_MAX + 2);
	ck_assert_uint_eq(dns_in_flight(dns), 0);
	/* What failed made room again. */
	unsigned before = asked_count;
	ask("next.example", DNS_A);
	ck_assert_uint_eq(asked_count, before + 1);
}
END_TEST

START_TEST(too_many_that_wait_fail)
{
	setup(SERVER, NULL, NULL);
	for (int i = 0; i < AT_LIBUNBOUND_MAX + WAITING_MAX; i++)
		ask("d.example", DNS_A);
	ck_assert_uint_eq(answers, 0);
	ask("d.example", DNS_A);
	ck_assert_uint_eq(answers, 1);
	ck_assert_str_eq(got, "failed: too many questions at a time");
}
END_TEST

/* --- servers -------------------------------------------------------------------------------------------- */

static const struct {
	const char *options, *resolv_conf, *want;
} servers[] = {
	{ "resolver { servers = { \"192.0.2.1\", \"192.0.2.2@5353\", \"2001:db8::53\" } dnssec = "
	  "no }\n",
	  "nameserver 192.0.2.9\n", "192.0.2.1\n192.0.2.2@5353\n2001:db8::53\n" },
	{ "resolver { dnssec = no }\n",
	  "# nameserver 192.0.2.8\nsearch example.org\n\tnameserver\t192.0.2.9 \nnameserver "
	  "2001:db8::9 # two\nnameservers 192.0.2.7\nnameserver\n",
	  "192.0.2.9\n2001:db8::9\n" },
	{ "resolver { dnssec = no }\n", "nameserver 192.0.2.9", "192.0.2.9\n" },
	{ "resolver { dnssec = no }\n", NULL, "" },
	/* One that cannot be asked leaves the others. */
	{ "resolver { dnssec = no }\n", "nameserver fe80::1%eth0\nnameserver 192.0.2.9\n",
	  "192.0.2.9\n" },
};

START_TEST(servers_come_from_options_or_resolv_conf)
{
	setup(servers[_i].options, servers[_i].resolv_conf, NULL);
	UNIT_EQ(buf_span(&ub.servers), servers[_i].want);
}
END_TEST

START_TEST(same_options_keep_what_is_asked)
{
	setup(SERVER, "nameserver 192.0.2.9\n", NULL);
	ask("d.example", DNS_A);
	later = options(SERVER "hop_limit = 50\n");
	ck_assert_int_eq(dns_configure(dns, later), 0);
	int fd = file_with("nameserver 192.0.2.10\n");
	ck_assert_int_eq(dns_file(dns, "resolv.conf", fd, later), 0);
	close(fd);
	ck_assert_uint_eq(ub.contexts, 1);
	ck_assert_uint_eq(asked_count, 1);
}
END_TEST

START_TEST(other_servers_are_asked_again)
{
	struct ub_result none = { .ttl = 60 };

	setup(SERVER, NULL, NULL);
	ask("a.example", DNS_A);
	ask("b.example", DNS_MX);
	later = options("resolver { servers = { \"192.0.2.54\" } dnssec = no }\n");
	ck_assert_int_eq(dns_configure(dns, later), 0);
	ck_assert_uint_eq(ub.contexts, 2);
	ck_assert_uint_eq(ub.deleted, 1);
	UNIT_EQ(buf_span(&ub.servers), "192.0.2.54\n");
	ck_assert_uint_eq(asked_count, 4);
	ck_assert_str_eq(asked[2].name, "a.example");
	ck_assert_str_eq(asked[3].name, "b.example");
	ck_assert_int_eq(asked[3].type, DNS_MX);
	reply(2, 0, &none);
	reply(3, 0, &none);
	ck_assert_uint_eq(answers, 2);
	ck_assert_uint_eq(dns_in_flight(dns), 0);
}
END_TEST

START_TEST(resolv_conf_that_changes_is_used)
{
	setup("resolver { dnssec = no }\n", "nameserver 192.0.2.9\n", NULL);
	later = options("resolver { dnssec = no }\n");
	int fd = file_with("nameserver 192.0.2.10\n");
	ck_assert_int_eq(dns_file(dns, "resolv.conf", fd, later), 0);
	close(fd);
	UNIT_EQ(buf_span(&ub.servers), "192.0.2.10\n");
}
END_TEST

/* --- the hosts file ---------------------------------------------------------------------------------------- */

static const struct {
	const char *name, *want;
} in_hosts[] = {
	{ "one.example", "192.0.2.1" },
	{ "ONE", "192.0.2.1" },
	{ "both.example", "192.0.2.2 2001:db8::2" },
	{ "comment", "" },
	{ "192.0.2.1", "" },
	{ "bad.example", "" },
	{ "last", "192.0.2.4" },
	{ "one.example.org", "" },
	{ "", "" },
};

START_TEST(hosts_file)
{
	struct plan_addr addrs[4];
	struct buf text;

	setup(SERVER, NULL,
	      "# comment\n192.0.2.1\tone.example  One # comment\n192.0.2.2 both.example\n"
	      "2001:db8::2 other both.example both.example\n192.0.2.300 bad.example\n\n192.0.2.3\n"
	      "192.0.2.4 last");
	uint32_t n = dns_hosts_find(dns, span_of(in_hosts[_i].name), addrs, 4);
	buf_init(&text, 1000);
	for (uint32_t i = 0; i < n; i++) {
		char ip[INET6_ADDRSTRLEN];
		inet_ntop(addrs[i].family == 4 ? AF_INET : AF_INET6, addrs[i].addr, ip, sizeof(ip));
		buf_printf(&text, "%s%s", i > 0 ? " " : "", ip);
	}
	UNIT_EQ(buf_span(&text), in_hosts[_i].want);
	buf_clear(&text);
	ck_assert_uint_le(dns_hosts_find(dns, SPAN("both.example"), addrs, 1), 1);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("dns");

	UNIT_TABLE(s, becomes, replies);
	UNIT_TABLE(s, longest_name, names);
	UNIT_TEST(s, many_records);
	UNIT_TEST(s, a_question_without_answer_ends_in_time);
	UNIT_TEST(s, refused_by_libunbound_is_a_failure_now);
	UNIT_TEST(s, questions_wait_for_room);
	UNIT_TEST(s, too_many_that_wait_fail);
	UNIT_TABLE(s, servers_come_from_options_or_resolv_conf, servers);
	UNIT_TEST(s, same_options_keep_what_is_asked);
	UNIT_TEST(s, other_servers_are_asked_again);
	UNIT_TEST(s, resolv_conf_that_changes_is_used);
	UNIT_TABLE(s, hosts_file, in_hosts);
	return unit_run(s);
}
