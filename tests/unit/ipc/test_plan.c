/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/ipc/plan.c. */

/* System */
#include <string.h>
/* lib */
#include "base/cur.h"
#include "ipc/plan.h"
/* this program */
#include "tests/unit/unit.h"

static struct plan_addr addrs[] = {
	{ 6, { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25 } },
	{ 4, { 192, 0, 2, 1 } },
};
static struct plan_host hosts[] = {
	{ .name = { "mx1.example.org", 15 }, .port = 25, .preference = 10, .addrs = addrs, .addr_count = 2 },
	{ .name = { "mx2.example.org", 15 }, .port = 2525, .preference = 20, .addrs = addrs + 1, .addr_count = 1 },
	{ .name = { "/run/lmtp", 9 }, .is_unix = true },
};
static const struct plan full = {
	.transport = TRANSPORT_LMTP,
	.tls = PLAN_TLS_VERIFY,
	.flags = PLAN_LOOPBACK_OK,
	.domain = { "example.org", 11 },
	.hosts = hosts,
	.host_count = 3,
	.base = { "/var/vmail", 10 },
	.path = { "user/", 5 },
};

static void
check_host(const struct plan_host *got, const struct plan_host *want)
{
	unit_eq(got->name, want->name);
	ck_assert_int_eq(got->is_unix, want->is_unix);
	ck_assert_uint_eq(got->port, want->port);
	ck_assert_uint_eq(got->preference, want->preference);
	ck_assert_uint_eq(got->addr_count, want->addr_count);
	for (uint32_t i = 0; i < got->addr_count; i++) {
		ck_assert_uint_eq(got->addrs[i].family, want->addrs[i].family);
		ck_assert_mem_eq(got->addrs[i].addr, want->addrs[i].addr, 16);
	}
}

START_TEST(round_trip)
{
	struct arena a;
	struct plan got;
	struct buf b;

	arena_init(&a, 1024);
	buf_init(&b, 32768);
	plan_encode(&b, &full);
	ck_assert_int_eq(plan_decode(buf_span(&b), &a, &got), 0);
	ck_assert_int_eq(got.transport, full.transport);
	ck_assert_int_eq(got.tls, full.tls);
	ck_assert_uint_eq(got.flags, full.flags);
	unit_eq(got.domain, full.domain);
	unit_eq(got.base, full.base);
	unit_eq(got.path, full.path);
	ck_assert_uint_eq(got.host_count, 3);
	for (uint32_t i = 0; i < 3; i++)
		check_host(&got.hosts[i], &full.hosts[i]);
	buf_clear(&b);
	arena_clear(&a);
}
END_TEST

START_TEST(every_cut_and_one_more_byte_are_refused)
{
	struct arena a;
	struct plan got;
	struct buf b;

	arena_init(&a, 1024);
	buf_init(&b, 32768);
	plan_encode(&b, &full);
	for (size_t n = 0; n < b.n; n++)
		ck_assert_int_eq(plan_decode(span_make(b.p, n), &a, &got), E_CORRUPT);
	buf_putc(&b, 0);
	ck_assert_int_eq(plan_decode(buf_span(&b), &a, &got), E_CORRUPT);
	buf_clear(&b);
	arena_clear(&a);
}
END_TEST

/* What a sibling may not say: each row breaks one thing. */
static const struct {
	const char *what;
	struct plan plan;
} bad_plans[] = {
	{ "transport", { .transport = TRANSPORT_COUNT } },
	{ "tls", { .tls = PLAN_TLS_COUNT } },
	{ "flags", { .flags = 0x80 } },
	{ "newline in domain", { .domain = { "a\nb", 3 } } },
	{ "NUL in path", { .path = { "a\0b", 3 } } },
	{ "CR in base", { .base = { "a\rb", 3 } } },
	{ "newline in host name", { .hosts = &(struct plan_host){ .name = { "a\nb", 3 } }, .host_count = 1 } },
	{ "family",
	  { .hosts = &(struct plan_host){ .name = { "a", 1 }, .addr_count = 1, .addrs = &(struct plan_addr){ 5, { 0 } } },
	    .host_count = 1 } },
};

START_TEST(bad_plan_is_refused)
{
	struct arena a;
	struct plan got;
	struct buf b;

	arena_init(&a, 1024);
	buf_init(&b, 32768);
	plan_encode(&b, &bad_plans[_i].plan);
	ck_assert_int_eq(buf_check(&b), 0);
	ck_assert_msg(plan_decode(buf_span(&b), &a, &got) == E_CORRUPT, "%s", bad_plans[_i].what);
	buf_clear(&b);
	arena_clear(&a);
}
END_TEST

START_TEST(counts_are_bounded)
{
	struct arena a;
	struct plan got, none = { .transport = TRANSPORT_SMTP };
	struct buf b;

	arena_init(&a, 1024);
	buf_init(&b, 32768);
	plan_encode(&b, &none);
	/* The count of hosts is the last field of a plan without any. */
	memcpy(b.p + b.n - 4, "\x41\0\0\0", 4);
	ck_assert_int_eq(plan_decode(buf_span(&b), &a, &got), E_CORRUPT);
	memcpy(b.p + b.n - 4, "\xff\xff\xff\xff", 4);
	ck_assert_int_eq(plan_decode(buf_span(&b), &a, &got), E_CORRUPT);
	/* Nothing was allocated for a lie. */
	ck_assert_uint_eq(a.used_bytes, 0);
	buf_clear(&b);
	arena_clear(&a);
}
END_TEST

START_TEST(outcome_round_trip)
{
	struct outcome in[] = {
		{ 7, OUTCOME_DELIVERED, OUTCOME_NO_DSN_SUPPORT, 250, SPAN("2.0.0"), SPAN("ok") },
		{ UINT32_MAX, OUTCOME_BOUNCED, 0, 550, SPAN("5.1.1"), SPAN("no such user") },
		{ 0, OUTCOME_DEFERRED, OUTCOME_NOT_TRIED, 0, SPAN_NONE, SPAN_NONE },
	};
	struct outcome got;
	struct buf b;
	struct cur c;

	buf_init(&b, 4096);
	for (size_t i = 0; i < UNIT_COUNT(in); i++)
		outcome_put(&b, &in[i]);
	c = cur_of(buf_span(&b));
	for (size_t i = 0; i < UNIT_COUNT(in); i++) {
		ck_assert_int_eq(outcome_get(&c, &got), 0);
		ck_assert_uint_eq(got.index, in[i].index);
		ck_assert_int_eq(got.status, in[i].status);
		ck_assert_uint_eq(got.flags, in[i].flags);
		ck_assert_uint_eq(got.reply, in[i].reply);
		unit_eq(got.esc, in[i].esc);
		unit_eq(got.text, in[i].text);
	}
	ck_assert_int_eq(cur_check_end(&c), 0);
	ck_assert_int_eq(outcome_get(&c, &got), E_CORRUPT);
	buf_clear(&b);
}
END_TEST

START_TEST(outcome_text_becomes_one_bounded_line)
{
	char longer[1500];
	struct outcome got, o = { .status = OUTCOME_BOUNCED, .text = SPAN("a\r\nb\0c") };
	struct buf b;
	struct cur c;

	memset(longer, 'x', sizeof(longer));
	buf_init(&b, 4096);
	outcome_put(&b, &o);
	o.text = span_make(longer, sizeof(longer));
	outcome_put(&b, &o);
	c = cur_of(buf_span(&b));
	ck_assert_int_eq(outcome_get(&c, &got), 0);
	UNIT_EQ(got.text, "a  b c");
	ck_assert_int_eq(outcome_get(&c, &got), 0);
	ck_assert_uint_eq(got.text.n, 1000);
	buf_clear(&b);
}
END_TEST

static const struct {
	const char *what;
	struct outcome outcome;
} bad_outcomes[] = {
	{ "status", { .status = OUTCOME_STATUS_COUNT } },
	{ "flags", { .flags = 0x40 } },
	{ "reply code", { .reply = 700 } },
};

START_TEST(bad_outcome_is_refused)
{
	struct outcome got;
	struct buf b;
	struct cur c;

	buf_init(&b, 4096);
	outcome_put(&b, &bad_outcomes[_i].outcome);
	c = cur_of(buf_span(&b));
	ck_assert_msg(outcome_get(&c, &got) == E_CORRUPT, "%s", bad_outcomes[_i].what);
	buf_clear(&b);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("plan");

	UNIT_TEST(s, round_trip);
	UNIT_TEST(s, every_cut_and_one_more_byte_are_refused);
	UNIT_TABLE(s, bad_plan_is_refused, bad_plans);
	UNIT_TEST(s, counts_are_bounded);
	UNIT_TEST(s, outcome_round_trip);
	UNIT_TEST(s, outcome_text_becomes_one_bounded_line);
	UNIT_TABLE(s, bad_outcome_is_refused, bad_outcomes);
	return unit_run(s);
}
