/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/ipc/plan.c: plans and outcomes survive the way, and nothing malformed is taken. */

/* System */
#include <stdio.h>
#include <string.h>

/* lib */
#include "base/cur.h"
#include "base/mem.h"
#include "ipc/plan.h"
/* this program */
#include "tests/unit/unit.h"

static struct plan_addr addrs[PLAN_MAX_ADDRS];
static struct plan_host hosts[PLAN_MAX_HOSTS];

static void
fill(void)
{
	for (unsigned i = 0; i < PLAN_MAX_ADDRS; i++) {
		addrs[i].family = i % 2 == 0 ? 4 : 6;
		memset(addrs[i].addr, (int)i, sizeof(addrs[i].addr));
	}
	for (unsigned i = 0; i < PLAN_MAX_HOSTS; i++)
		hosts[i] = (struct plan_host){
			SPAN("mx.example.org"), i % 3 == 0, (uint16_t)(i * 1000),
			(uint16_t)(65535 - i),	addrs,	    i
		};
}

static void
check_same(const struct plan *a, const struct plan *b)
{
	ck_assert_int_eq(a->transport, b->transport);
	ck_assert_int_eq(a->tls, b->tls);
	ck_assert_uint_eq(a->flags, b->flags);
	unit_eq(a->domain, b->domain);
	unit_eq(a->base, b->base);
	unit_eq(a->path, b->path);
	ck_assert_uint_eq(a->host_count, b->host_count);
	for (uint32_t i = 0; i < a->host_count; i++) {
		const struct plan_host *g = &a->hosts[i], *h = &b->hosts[i];
		unit_eq(g->name, h->name);
		ck_assert_int_eq(g->is_unix, h->is_unix);
		ck_assert_uint_eq(g->port, h->port);
		ck_assert_uint_eq(g->preference, h->preference);
		ck_assert_uint_eq(g->addr_count, h->addr_count);
		for (uint32_t j = 0; j < g->addr_count; j++) {
			ck_assert_uint_eq(g->addrs[j].family, h->addrs[j].family);
			ck_assert_mem_eq(g->addrs[j].addr, h->addrs[j].addr, 16);
		}
	}
}

static const struct plan plans[] = {
	{ .transport = TRANSPORT_MAILDIR, .base = { "/var/vmail", 10 }, .path = { "ann/", 4 } },
	{ .transport = TRANSPORT_SMTP },
	{ .transport = TRANSPORT_SMTP,
	  .tls = PLAN_TLS_VERIFY,
	  .domain = { "example.org", 11 },
	  .hosts = hosts,
	  .host_count = 1 },
	{ .transport = TRANSPORT_LMTP,
	  .tls = PLAN_TLS_ENCRYPT,
	  .flags = PLAN_LOOPBACK_OK,
	  .domain = { "b\xc3\xbc", 3 },
	  .hosts = hosts,
	  .host_count = 5 },
	{ .transport = TRANSPORT_SMTP,
	  .tls = PLAN_TLS_MAY,
	  .hosts = hosts,
	  .host_count = PLAN_MAX_HOSTS },
};

/* In memory of exactly its size, so that a sanitizer sees a read beyond the end. */
static char *
encode(const struct plan *p, size_t *n)
{
	struct buf b;
	char *copy;

	buf_init(&b, 1 << 20);
	plan_encode(&b, p);
	ck_assert_int_eq(buf_check(&b), 0);
	*n = b.n;
	copy = mem_alloc(b.n);
	memcpy(copy, b.p, b.n);
	buf_clear(&b);
	return copy;
}

START_TEST(plan_survives_the_way)
{
	struct plan got;
	struct arena a;
	size_t n;

	fill();
	char *text = encode(&plans[_i], &n);
	arena_init(&a, 256);
	ck_assert_int_eq(plan_decode(span_make(text, n), &a, &got), 0);
	check_same(&plans[_i], &got);
	arena_clear(&a);
	mem_free(text);
}
END_TEST

START_TEST(every_shorter_plan_is_refused)
{
	struct plan got;
	struct arena a;
	size_t n;

	fill();
	char *text = encode(&plans[_i], &n);
	arena_init(&a, 256);
	for (size_t i = 0; i < n; i++) {
		char *cut = mem_alloc(i);
		if (i > 0)
			memcpy(cut, text, i);
		ck_assert_int_eq(plan_decode(span_make(cut, i), &a, &got), E_CORRUPT);
		mem_free(cut);
		arena_clear(&a);
	}
	mem_free(text);
}
END_TEST

START_TEST(trailing_byte_is_refused)
{
	struct plan got;
	struct arena a;
	struct buf b;

	fill();
	buf_init(&b, 1 << 20);
	plan_encode(&b, &plans[_i]);
	buf_putc(&b, 0);
	arena_init(&a, 256);
	ck_assert_int_eq(plan_decode(buf_span(&b), &a, &got), E_CORRUPT);
	arena_clear(&a);
	buf_clear(&b);
}
END_TEST

/* A plan of parts, each of which a row below spoils. */
struct parts {
	uint8_t transport, tls;
	uint32_t flags, host_count;
	struct span domain, base, path, name;
	uint8_t is_unix;
	uint32_t addr_count;
	uint8_t family;
	int r;
};

static char long_text[4097]; /* of x */
#define GOOD                                                                                \
	.domain = { "d", 1 }, .base = { "/b", 2 }, .path = { "p/", 2 }, .name = { "h", 1 }, \
	.host_count = 1, .addr_count = 1, .family = 4

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct parts spoiled[] = {
	{ GOOD, .r = 0 },
	{ GOOD, .transport = TRANSPORT_COUNT - 1, .r = 0 },
	{ GOOD, .transport = TRANSPORT_COUNT, .r = E_CORRUPT },
	{ GOOD, .tls = PLAN_TLS_COUNT - 1, .r = 0 },
	{ GOOD, .tls = PLAN_TLS_COUNT, .r = E_CORRUPT },
	{ GOOD, .tls = 255, .r = E_CORRUPT },
	{ GOOD, .flags = PLAN_LOOPBACK_OK, .r = 0 },
	{ GOOD, .flags = PLAN_LOOPBACK_OK + 1, .r = E_CORRUPT },
	{ GOOD, .flags = UINT32_MAX, .r = E_CORRUPT },
	{ GOOD, .domain = { "d\0", 2 }, .r = E_CORRUPT },
	{ GOOD, .domain = { "d\r", 2 }, .r = E_CORRUPT },
	{ GOOD, .base = { "/b\n", 3 }, .r = E_CORRUPT },
	{ GOOD, .path = { "\0p/", 3 }, .r = E_CORRUPT },
	{ GOOD, .name = { "h\0", 2 }, .r = E_CORRUPT },
	{ GOOD, .domain = { long_text, 0 }, .r = 0 },
	{ GOOD, .domain = { long_text, 4096 }, .r = 0 },
	{ GOOD, .domain = { long_text, 4097 }, .r = E_CORRUPT },
	{ GOOD, .name = { long_text, 4096 }, .r = 0 },
	{ GOOD, .name = { long_text, 4097 }, .r = E_CORRUPT },
	{ GOOD, .is_unix = 1, .r = 0 },
	{ GOOD, .is_unix = 2, .r = E_CORRUPT },
	{ GOOD, .family = 6, .r = 0 },
	{ GOOD, .family = 0, .r = E_CORRUPT },
	{ GOOD, .family = 5, .r = E_CORRUPT },
	{ GOOD, .host_count = 0, .r = E_CORRUPT },
	{ GOOD, .host_count = 2, .r = E_CORRUPT },
	{ GOOD, .host_count = PLAN_MAX_HOSTS + 1, .r = E_CORRUPT },
	{ GOOD, .host_count = UINT32_MAX, .r = E_CORRUPT },
	{ GOOD, .addr_count = 0, .r = E_CORRUPT },
	{ GOOD, .addr_count = 2, .r = E_CORRUPT },
	{ GOOD, .addr_count = PLAN_MAX_ADDRS + 1, .r = E_CORRUPT },
	{ GOOD, .addr_count = UINT32_MAX, .r = E_CORRUPT },
};
#pragma GCC diagnostic pop

START_TEST(spoiled_plan_is_refused)
{
	const struct parts *p = &spoiled[_i];
	struct plan got;
	struct arena a;
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_put_u8(&b, p->transport);
	buf_put_u8(&b, p->tls);
	buf_put_u32(&b, p->flags);
	buf_put_bytes(&b, p->domain);
	buf_put_bytes(&b, p->base);
	buf_put_bytes(&b, p->path);
	buf_put_u32(&b, p->host_count);
	buf_put_bytes(&b, p->name);
	buf_put_u8(&b, p->is_unix);
	buf_put_u16(&b, 25);
	buf_put_u16(&b, 10);
	buf_put_u32(&b, p->addr_count);
	buf_put_u8(&b, p->family);
	buf_put(&b, "0123456789abcdef", 16);
	ck_assert_int_eq(buf_check(&b), 0);
	arena_init(&a, 256);
	ck_assert_int_eq(plan_decode(buf_span(&b), &a, &got), p->r);
	arena_clear(&a);
	buf_clear(&b);
}
END_TEST

START_TEST(counts_have_two_sides)
{
	struct plan p = { .hosts = hosts, .host_count = PLAN_MAX_HOSTS }, got;
	struct arena a;
	size_t n;

	fill();
	for (unsigned i = 0; i < PLAN_MAX_HOSTS; i++)
		hosts[i].addr_count = PLAN_MAX_ADDRS;
	char *text = encode(&p, &n);
	arena_init(&a, 256);
	ck_assert_int_eq(plan_decode(span_make(text, n), &a, &got), 0);
	check_same(&p, &got);
	arena_clear(&a);
	mem_free(text);
}
END_TEST

START_TEST(encoder_refuses_too_many)
{
	struct plan p = { .hosts = hosts, .host_count = _i == 0 ? PLAN_MAX_HOSTS + 1 : 1 };
	struct buf b;

	fill();
	hosts[0].addr_count = PLAN_MAX_ADDRS + 1;
	buf_init(&b, 1 << 20);
	plan_encode(&b, &p); /* bug(): abort */
	ck_abort_msg("not refused");
}
END_TEST

/* ---- outcomes ---- */

static const struct outcome outcomes[] = {
	{ .index = 0,
	  .status = OUTCOME_DELIVERED,
	  .reply = 250,
	  .esc = { "2.0.0", 5 },
	  .text = { "ok", 2 } },
	{ .index = UINT32_MAX, .status = OUTCOME_DEFERRED, .flags = OUTCOME_NOT_TRIED, .reply = 0 },
	{ .index = 7,
	  .status = OUTCOME_BOUNCED,
	  .flags = OUTCOME_NOT_TRIED | OUTCOME_NO_DSN_SUPPORT,
	  .reply = 599,
	  .esc = { "5.123.456", 9 } },
	{ .index = 8,
	  .status = OUTCOME_BOUNCED,
	  .reply = 200,
	  .text = { "\xff\x01 any byte", 11 } },
};

START_TEST(outcomes_survive_the_way)
{
	struct buf b;
	struct outcome got;

	buf_init(&b, 65536);
	for (unsigned i = 0; i < UNIT_COUNT(outcomes); i++)
		outcome_put(&b, &outcomes[i]);
	struct cur c = cur_of(buf_span(&b));
	for (unsigned i = 0; i < UNIT_COUNT(outcomes); i++) {
		ck_assert_int_eq(outcome_get(&c, &got), 0);
		ck_assert_uint_eq(got.index, outcomes[i].index);
		ck_assert_int_eq(got.status, outcomes[i].status);
		ck_assert_uint_eq(got.flags, outcomes[i].flags);
		ck_assert_uint_eq(got.reply, outcomes[i].reply);
		unit_eq(got.esc, outcomes[i].esc);
		unit_eq(got.text, outcomes[i].text);
	}
	ck_assert_uint_eq(cur_left(&c), 0);
	buf_clear(&b);
}
END_TEST

START_TEST(text_of_a_stranger_is_made_fit)
{
	char text[1200], esc[20];
	struct outcome got,
		o = { .index = 1, .text = { text, sizeof(text) }, .esc = { esc, sizeof(esc) } };
	struct buf b;

	memset(text, 'y', sizeof(text));
	memcpy(text, "a\r\nb\0c", 6);
	memset(esc, '5', sizeof(esc));
	esc[1] = '\n';
	buf_init(&b, 65536);
	outcome_put(&b, &o);
	struct cur c = cur_of(buf_span(&b));
	ck_assert_int_eq(outcome_get(&c, &got), 0);
	ck_assert_uint_eq(got.text.n, 1000);
	unit_eq(span_sub(got.text, 0, 7), SPAN("a  b cy"));
	ck_assert_uint_eq(got.esc.n, 11);
	unit_eq(span_sub(got.esc, 0, 3), SPAN("5 5"));
	buf_clear(&b);
}
END_TEST

START_TEST(every_shorter_outcome_is_refused)
{
	struct buf b;
	struct outcome got;

	buf_init(&b, 65536);
	outcome_put(&b, &outcomes[0]);
	for (size_t i = 0; i < b.n; i++) {
		char *cut = mem_alloc(i);
		if (i > 0)
			memcpy(cut, b.p, i);
		struct cur c = cur_of(span_make(cut, i));
		ck_assert_int_eq(outcome_get(&c, &got), E_CORRUPT);
		mem_free(cut);
	}
	buf_clear(&b);
}
END_TEST

static const struct {
	uint8_t status, flags;
	uint16_t reply;
	struct span esc, text;
	int r;
} bad_outcomes[] = {
	{ OUTCOME_STATUS_COUNT - 1, 3, 599, { "5.0.0", 5 }, { "t", 1 }, 0 },
	{ OUTCOME_STATUS_COUNT, 0, 250, { "2.0.0", 5 }, { "t", 1 }, E_CORRUPT },
	{ 255, 0, 250, { "2.0.0", 5 }, { "t", 1 }, E_CORRUPT },
	{ 0, 4, 250, { "2.0.0", 5 }, { "t", 1 }, E_CORRUPT },
	{ 0, 0, 0, { "2.0.0", 5 }, { "t", 1 }, 0 },
	{ 0, 0, 1, { "2.0.0", 5 }, { "t", 1 }, E_CORRUPT },
	{ 0, 0, 199, { "2.0.0", 5 }, { "t", 1 }, E_CORRUPT },
	{ 0, 0, 200, { "2.0.0", 5 }, { "t", 1 }, 0 },
	{ 0, 0, 600, { "2.0.0", 5 }, { "t", 1 }, E_CORRUPT },
	{ 0, 0, 250, { "2.0.0", 5 }, { "t\n", 2 }, E_CORRUPT },
	{ 0, 0, 250, { "2.0.0", 5 }, { "t\r", 2 }, E_CORRUPT },
	{ 0, 0, 250, { "2.0.0", 5 }, { "t\0", 2 }, E_CORRUPT },
	{ 0, 0, 250, { "2.0\n0", 5 }, { "t", 1 }, E_CORRUPT },
	{ 0, 0, 250, { "2.0.0\0", 6 }, { "t", 1 }, E_CORRUPT },
	{ 0, 0, 250, { "2.123.45678", 11 }, { "t", 1 }, 0 },
	{ 0, 0, 250, { "2.123.456789", 12 }, { "t", 1 }, E_CORRUPT },
};

START_TEST(spoiled_outcome_is_refused)
{
	struct buf b;
	struct outcome got;

	buf_init(&b, 65536);
	buf_put_u32(&b, 1);
	buf_put_u8(&b, bad_outcomes[_i].status);
	buf_put_u8(&b, bad_outcomes[_i].flags);
	buf_put_u16(&b, bad_outcomes[_i].reply);
	buf_put_bytes(&b, bad_outcomes[_i].esc);
	buf_put_bytes(&b, bad_outcomes[_i].text);
	struct cur c = cur_of(buf_span(&b));
	ck_assert_int_eq(outcome_get(&c, &got), bad_outcomes[_i].r);
	buf_clear(&b);
}
END_TEST

START_TEST(outcome_text_has_two_sides)
{
	char text[1001];
	struct buf b;
	struct outcome got;

	memset(text, 't', sizeof(text));
	for (size_t n = 1000; n <= 1001; n++) {
		buf_init(&b, 65536);
		buf_put_u32(&b, 1);
		buf_put_u8(&b, 0);
		buf_put_u8(&b, 0);
		buf_put_u16(&b, 250);
		buf_put_bytes(&b, SPAN("2.0.0"));
		buf_put_bytes(&b, span_make(text, n));
		struct cur c = cur_of(buf_span(&b));
		ck_assert_int_eq(outcome_get(&c, &got), n <= 1000 ? 0 : E_CORRUPT);
		buf_clear(&b);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("plan");
	TCase *aborts = tcase_create("encoder_refuses_too_many");

	memset(long_text, 'x', sizeof(long_text));
	UNIT_TABLE(s, plan_survives_the_way, plans);
	UNIT_TABLE(s, every_shorter_plan_is_refused, plans);
	UNIT_TABLE(s, trailing_byte_is_refused, plans);
	UNIT_TABLE(s, spoiled_plan_is_refused, spoiled);
	UNIT_TEST(s, counts_have_two_sides);
	UNIT_TEST(s, outcomes_survive_the_way);
	UNIT_TEST(s, text_of_a_stranger_is_made_fit);
	UNIT_TEST(s, every_shorter_outcome_is_refused);
	UNIT_TABLE(s, spoiled_outcome_is_refused, bad_outcomes);
	UNIT_TEST(s, outcome_text_has_two_sides);
	tcase_add_loop_test_raise_signal(aborts, encoder_refuses_too_many, 6, 0, 2);
	suite_add_tcase(s, aborts);
	return unit_run(s);
}
