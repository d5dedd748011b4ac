/* SPDX-License-Identifier: ISC
 *
 * The table of clients that all workers share. */

/* System */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* lib */
#include "base/id.h"
#include "smtpd/clients.h"
/* this program */
#include "tests/unit/unit.h"

enum { TABLE_BYTES = 1 << 20 };

static int
make_table(void)
{
	int fd = memfd_create("clients", MFD_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, TABLE_BYTES), 0);
	return fd;
}

static uint64_t
key_of(const struct clients *c, uint8_t a, uint8_t b, uint8_t d, uint8_t e)
{
	uint8_t addr[16] = { a, b, d, e };

	return clients_key(c, 4, addr, 32);
}

START_TEST(workers_count_together)
{
	int fd = make_table();
	struct clients *a = clients_open(dup(fd), 10, 1000), *b = clients_open(dup(fd), 11, 1000);
	uint64_t key = key_of(a, 192, 0, 2, 1), other = key_of(b, 192, 0, 2, 2);

	ck_assert_uint_eq(key, key_of(b, 192, 0, 2, 1));
	ck_assert_uint_ne(key, other);
	ck_assert_uint_eq(clients_connect(a, key, 1000), 1);
	ck_assert_uint_eq(clients_connect(b, key, 1000), 2);
	ck_assert_uint_eq(clients_connect(b, other, 1000), 1);
	clients_disconnect(b, key);
	ck_assert_uint_eq(clients_connect(a, key, 1000), 2);
	clients_total_add(a, 1);
	clients_total_add(b, 1);
	ck_assert_uint_eq(clients_total(a, 1000), 2);
	clients_total_add(b, -1);
	clients_total_add(b, -1); /* never below nothing */
	ck_assert_uint_eq(clients_total(a, 1000), 1);
	clients_close(&a);
	clients_close(&b);
	close(fd);
}
END_TEST

START_TEST(counts_of_a_dead_worker_are_void)
{
	int fd = make_table();
	struct clients *a = clients_open(dup(fd), 10, 1000), *b = clients_open(dup(fd), 11, 1000),
		       *c;
	uint64_t key = key_of(a, 192, 0, 2, 1);

	clients_connect(a, key, 1000);
	clients_connect(a, key, 1000);
	clients_total_add(a, 1);
	ck_assert_uint_eq(clients_connect(b, key, 1000), 3);
	/* It said nothing for too long. */
	clients_beat(b, 1000 + CLIENTS_SILENT_MS);
	ck_assert_uint_eq(clients_connect(b, key, 1000 + CLIENTS_SILENT_MS), 2);
	ck_assert_uint_eq(clients_total(b, 1000 + CLIENTS_SILENT_MS), 0);
	/* Its successor takes its place at once, and begins with nothing. */
	clients_beat(a, 1000 + CLIENTS_SILENT_MS);
	ck_assert_uint_eq(clients_total(b, 1000 + CLIENTS_SILENT_MS), 1);
	c = clients_open(dup(fd), 10, 1000 + CLIENTS_SILENT_MS);
	ck_assert_uint_eq(clients_total(b, 1000 + CLIENTS_SILENT_MS), 0);
	ck_assert_uint_eq(clients_connect(c, key, 1000 + CLIENTS_SILENT_MS), 3);
	clients_close(&a);
	clients_close(&b);
	clients_close(&c);
	close(fd);
}
END_TEST

START_TEST(many_workers_share_lanes)
{
	int fd = make_table();
	struct clients *c[40];
	uint64_t key = 0;

	for (uint16_t i = 0; i < 40; i++) {
		c[i] = clients_open(dup(fd), (uint16_t)(100 + i), 1000);
		key = key_of(c[i], 192, 0, 2, 1);
		ck_assert_uint_eq(clients_connect(c[i], key, 1000), i + 1u);
	}
	for (uint16_t i = 0; i < 40; i++) {
		clients_disconnect(c[i], key);
		clients_close(&c[i]);
	}
	close(fd);
}
END_TEST

START_TEST(who_has_more_knows_it)
{
	int fd = make_table();
	struct clients *a = clients_open(dup(fd), 10, 1000), *b = clients_open(dup(fd), 11, 1000);

	ck_assert(!clients_has_more(a, 1000) && !clients_has_more(b, 1000));
	for (int i = 0; i < 20; i++)
		clients_total_add(a, 1);
	ck_assert(clients_has_more(a, 1000) && !clients_has_more(b, 1000));
	for (int i = 0; i < 19; i++)
		clients_total_add(b, 1);
	ck_assert(!clients_has_more(a, 1000) && !clients_has_more(b, 1000));
	/* Alone it is never too much. */
	ck_assert(!clients_has_more(a, 1000 + CLIENTS_SILENT_MS));
	clients_close(&a);
	clients_close(&b);
	close(fd);
}
END_TEST

static const struct {
	uint8_t family;
	uint8_t a[16], b[16];
	unsigned bits;
	bool is_same;
} prefixes[] = {
	{ 4, { 192, 0, 2, 1 }, { 192, 0, 2, 1 }, 32, true },
	{ 4, { 192, 0, 2, 1 }, { 192, 0, 2, 2 }, 32, false },
	{ 4, { 192, 0, 2, 1 }, { 192, 0, 2, 255 }, 24, true },
	{ 4, { 192, 0, 2, 1 }, { 192, 0, 3, 1 }, 24, false },
	{ 4, { 192, 0, 2, 1 }, { 192, 0, 2, 128 }, 25, false },
	{ 6, { 0x20, 1, 13, 184, 0, 0, 0, 1, 1 }, { 0x20, 1, 13, 184, 0, 0, 0, 1, 2 }, 64, true },
	{ 6, { 0x20, 1, 13, 184, 0, 0, 0, 1 }, { 0x20, 1, 13, 184, 0, 0, 0, 2 }, 64, false },
	{ 6, { 0x20, 1, 13, 184, 0, 0, 0, 1 }, { 0x20, 1, 13, 184, 0, 0, 0, 2 }, 56, true },
};

START_TEST(prefix)
{
	struct clients *c = clients_open(-1, 1, 0);

	ck_assert_int_eq(clients_key(c, prefixes[_i].family, prefixes[_i].a, prefixes[_i].bits) ==
				 clients_key(c, prefixes[_i].family, prefixes[_i].b,
					     prefixes[_i].bits),
			 prefixes[_i].is_same);
	clients_close(&c);
}
END_TEST

START_TEST(rate)
{
	struct clients *c = clients_open(-1, 1, 0);
	struct conf_rate none = { 0, 1000 }, six = { 6, 60000 };
	uint64_t key = key_of(c, 192, 0, 2, 1), now = 1000000;

	for (int i = 0; i < 100; i++)
		ck_assert(clients_may(c, key, CLIENT_MESSAGES, &none, now));
	for (int i = 0; i < 6; i++)
		ck_assert(clients_may(c, key, CLIENT_MESSAGES, &six, now));
	ck_assert(!clients_may(c, key, CLIENT_MESSAGES, &six, now));
	/* Another rate, another client. */
	ck_assert(clients_may(c, key, CLIENT_RECIPIENTS, &six, now));
	ck_assert(clients_may(c, key_of(c, 192, 0, 2, 2), CLIENT_MESSAGES, &six, now));
	/* One more each ten seconds. */
	ck_assert(!clients_may(c, key, CLIENT_MESSAGES, &six, now + 9999));
	ck_assert(clients_may(c, key, CLIENT_MESSAGES, &six, now + 10000));
	ck_assert(!clients_may(c, key, CLIENT_MESSAGES, &six, now + 10000));
	/* All again after a quiet minute. */
	for (int i = 0; i < 6; i++)
		ck_assert(clients_may(c, key, CLIENT_MESSAGES, &six, now + 80000));
	ck_assert(!clients_may(c, key, CLIENT_MESSAGES, &six, now + 80000));
	clients_close(&c);
}
END_TEST

START_TEST(who_is_connected_is_not_forgotten)
{
	struct clients *c = clients_open(-1, 1, 0);
	uint64_t key = key_of(c, 192, 0, 2, 1);

	clients_connect(c, key, 1000);
	/* 60 000 others come and go: 30 times the sets of the table. */
	for (unsigned i = 0; i < 60000; i++) {
		uint64_t other = key_of(c, 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i);

		clients_connect(c, other, 1000 + i);
		clients_disconnect(c, other);
	}
	ck_assert_uint_eq(clients_connect(c, key, 70000), 2);
	/* More connected clients than there is room: the rest is let through uncounted. */
	for (unsigned i = 0; i < 60000; i++)
		ck_assert_uint_ge(clients_connect(c,
						  key_of(c, 11, (uint8_t)(i >> 16),
							 (uint8_t)(i >> 8), (uint8_t)i),
						  80000),
				  1);
	clients_close(&c);
}
END_TEST

/* Whatever stands in the table: no crash, no endless loop, no lasting harm. */
START_TEST(garbage_is_survived)
{
	struct conf_rate six = { 6, 60000 };

	for (unsigned round = 0; round < 20; round++) {
		int fd = make_table();
		char *p = mmap(NULL, TABLE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		struct clients *c;

		ck_assert_ptr_ne(p, MAP_FAILED);
		if (round == 0)
			memset(p, 0xff, TABLE_BYTES);
		else
			id_random(p, TABLE_BYTES);
		c = clients_open(dup(fd), 5, 1000);
		for (unsigned i = 0; i < 500; i++) {
			uint64_t key = key_of(c, 192, 0, (uint8_t)(i >> 8), (uint8_t)i);

			clients_connect(c, key, 2000);
			(void)clients_may(c, key, CLIENT_MESSAGES, &six, 2000);
			clients_disconnect(c, key);
			(void)clients_total(c, 2000);
			if (i % 50 == 0)
				id_random(p + 512, TABLE_BYTES - 512);
		}
		clients_close(&c);
		munmap(p, TABLE_BYTES);
		close(fd);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("clients");

	UNIT_TEST(s, workers_count_together);
	UNIT_TEST(s, who_has_more_knows_it);
	UNIT_TEST(s, counts_of_a_dead_worker_are_void);
	UNIT_TEST(s, many_workers_share_lanes);
	UNIT_TABLE(s, prefix, prefixes);
	UNIT_TEST(s, rate);
	UNIT_TEST(s, who_is_connected_is_not_forgotten);
	UNIT_TEST(s, garbage_is_survived);
	return unit_run(s);
}
