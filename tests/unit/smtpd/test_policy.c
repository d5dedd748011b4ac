/* SPDX-License-Identifier: ISC
 *
 * Who is trusted, and how many connections there may be. */

/* System */
#include <string.h>
/* lib */
#include "base/mem.h"
#include "smtpd/policy.h"
/* this program */
#include "tests/unit/unit.h"

static struct policy_client
client(uint8_t family, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	return (struct policy_client){ .family = family, .addr = { a, b, c, d } };
}

START_TEST(relay_from_is_trusted)
{
	struct conf *conf = conf_defaults();
	struct clients *table = clients_open(-1, 1, 0);
	struct policy_client local = client(4, 127, 3, 2, 1), stranger = client(4, 192, 0, 2, 1);
	struct policy_client local6 = { .family = 6, .addr = { [15] = 1 } }, none = { .family = 0 };
	struct policy p;

	policy_init(&p, conf, table, 1 << 30, 1000);
	ck_assert_int_eq(policy_connect(&p, &local, 0), 0);
	ck_assert_int_eq(policy_connect(&p, &local6, 0), 0);
	ck_assert_int_eq(policy_connect(&p, &stranger, 0), 0);
	ck_assert_int_eq(policy_connect(&p, &none, 0), 0);
	ck_assert(local.is_trusted && local6.is_trusted && !stranger.is_trusted &&
		  !none.is_trusted);
	policy_clear(&p);
	clients_close(&table);
	conf_free(&conf);
}
END_TEST

START_TEST(limits_are_for_strangers)
{
	struct conf *conf = conf_defaults();
	struct clients *table = clients_open(-1, 1, 0);
	struct policy_client c[5], local[5];
	struct policy p;

	conf->limits.connections_per_client = 3;
	conf->limits.message_rate = (struct conf_rate){ 2, 60000 };
	conf->limits.recipient_rate = (struct conf_rate){ 1, 60000 };
	policy_init(&p, conf, table, 1 << 30, 1000);
	for (int i = 0; i < 5; i++) {
		c[i] = client(4, 192, 0, 2, 1);
		local[i] = client(4, 127, 0, 0, 1);
		ck_assert_int_eq(policy_connect(&p, &c[i], 0), i < 3 ? 0 : E_CLIENT_CONNS);
		ck_assert_int_eq(policy_connect(&p, &local[i], 0), 0);
		ck_assert_int_eq(policy_message(&p, &c[i], 0), i < 2 ? 0 : E_RATE);
		ck_assert_int_eq(policy_message(&p, &local[i], 0), 0);
		ck_assert_int_eq(policy_recipient(&p, &c[i], 0), i < 1 ? 0 : E_RATE);
		ck_assert_int_eq(policy_recipient(&p, &local[i], 0), 0);
	}
	for (int i = 0; i < 5; i++) {
		policy_disconnect(&p, &c[i]);
		policy_disconnect(&p, &c[i]); /* twice is once */
	}
	c[0] = client(4, 192, 0, 2, 1);
	ck_assert_int_eq(policy_connect(&p, &c[0], 0), 0);
	ck_assert_uint_eq(p.own, 6);
	policy_clear(&p);
	clients_close(&table);
	conf_free(&conf);
}
END_TEST

START_TEST(connections_are_limited_in_all)
{
	struct conf *conf = conf_defaults();
	struct clients *table = clients_open(-1, 1, 0);
	struct policy_client c[6];
	struct policy p;

	conf->limits.connections = 4;
	policy_init(&p, conf, table, 1 << 30, 1000);
	for (int i = 0; i < 6; i++) {
		c[i] = client(4, 127, 0, 0, 1);
		ck_assert_int_eq(policy_connect(&p, &c[i], 0), i < 4 ? 0 : E_OVERLOAD);
	}
	policy_clear(&p);
	/* Descriptors of this worker. */
	policy_init(&p, conf, table, 1 << 30, 0);
	c[0] = client(4, 127, 0, 0, 1);
	ck_assert_int_eq(policy_connect(&p, &c[0], 0), E_OVERLOAD);
	policy_clear(&p);
	clients_close(&table);
	conf_free(&conf);
}
END_TEST

static const struct {
	uint64_t memory_bytes;
	uint32_t connections;
} memories[] = {
	{ 0, 100 },
	{ 128ULL << 20, 256 },
	{ 1ULL << 30, 2048 },
	{ 24ULL << 30, 49152 },
	{ 1ULL << 40, 100000 },
};

START_TEST(memory_says_how_many)
{
	ck_assert_uint_eq(policy_connections_for(memories[_i].memory_bytes),
			  memories[_i].connections);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("policy");

	UNIT_TEST(s, relay_from_is_trusted);
	UNIT_TEST(s, limits_are_for_strangers);
	UNIT_TEST(s, connections_are_limited_in_all);
	UNIT_TABLE(s, memory_says_how_many, memories);
	return unit_run(s);
}
