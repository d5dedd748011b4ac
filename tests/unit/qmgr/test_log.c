/* SPDX-License-Identifier: ISC
 *
 * Tests of qmgr/spool/log.c: slots by number, what is live, dropping behind the cursor; over many chunks. */

/* this program */
#include "qmgr/spool/log.h"
#include "tests/unit/unit.h"

static const struct place nowhere = { 1, 4096, 200 };

/* Numbers 10, 13, 16 ... so that there are gaps. */
static void
fill(struct log *l, uint64_t count)
{
	log_init_slots(l, 1);
	for (uint64_t i = 0; i < count; i++)
		log_add(l, 10 + 3 * i, 1000 + i, &nowhere, 2, 0);
}

static const uint64_t counts[] = { 1, 2, 1023, 1024, 1025, 5000 };

START_TEST(find_and_walk)
{
	struct log l;
	struct log_iter it = { 0 };
	const struct slot *s;
	uint64_t n = 0;

	fill(&l, counts[_i]);
	ck_assert_uint_eq(l.count, counts[_i]);
	ck_assert_uint_eq(l.live, counts[_i]);
	for (uint64_t i = 0; i < counts[_i]; i++) {
		s = log_find(&l, 10 + 3 * i);
		ck_assert_ptr_nonnull(s);
		ck_assert_uint_eq(s->qid, 1000 + i);
		ck_assert_ptr_null(log_find(&l, 11 + 3 * i));
	}
	ck_assert_ptr_null(log_find(&l, 9));
	while ((s = log_next(&l, &it)) != NULL)
		ck_assert_uint_eq(s->qid, 1000 + n++);
	ck_assert_uint_eq(n, counts[_i]);
	log_clear(&l);
	ck_assert_uint_eq(l.bytes, 0);
}
END_TEST

START_TEST(pending)
{
	struct log l;

	fill(&l, 3000);
	ck_assert(!log_marked(&l, log_find(&l, 10), 1));
	ck_assert_uint_eq(log_first_live(&l)->number, 10);
	ck_assert(log_marked(&l, log_find(&l, 10), 1));
	ck_assert(!log_marked(&l, log_find(&l, 10), 1));
	ck_assert_uint_eq(l.live, 2999);
	ck_assert_uint_eq(log_first_live(&l)->number, 13);
	for (uint64_t i = 1; i < 2500; i++)
		ck_assert(log_marked(&l, log_find(&l, 10 + 3 * i), 2));
	ck_assert_uint_eq(log_first_live(&l)->number, 10 + 3 * 2500);
	log_clear(&l);
}
END_TEST

START_TEST(drop)
{
	struct log l;
	struct log_iter it = { 0 };

	fill(&l, 5000);
	log_marked(&l, log_find(&l, 10 + 3 * 4000), 2);
	/* Between two numbers, in the middle of a chunk. */
	log_drop_before(&l, 10 + 3 * 1500 - 1);
	ck_assert_uint_eq(l.count, 3500);
	ck_assert_uint_eq(l.live, 3499);
	ck_assert_ptr_null(log_find(&l, 10 + 3 * 1499));
	ck_assert_ptr_nonnull(log_find(&l, 10 + 3 * 1500));
	ck_assert_uint_eq(log_next(&l, &it)->number, 10 + 3 * 1500);
	log_drop_before(&l, 10 + 3 * 1500);
	ck_assert_uint_eq(l.count, 3500);
	log_drop_before(&l, 1000000);
	ck_assert_uint_eq(l.count, 0);
	ck_assert_uint_eq(l.live, 0);
	ck_assert_ptr_null(log_first_live(&l));
	log_add(&l, 1000000, 1, &nowhere, 1, 0);
	ck_assert_uint_eq(log_first_live(&l)->number, 1000000);
	log_clear(&l);
}
END_TEST

START_TEST(added_while_walking)
{
	struct log l;
	struct log_iter it = { 0 };
	uint64_t n = 0;

	fill(&l, 1024);
	while (log_next(&l, &it) != NULL)
		if (++n == 1024)
			log_add(&l, 1000000, 1, &nowhere, 1, 0);
	ck_assert_uint_eq(n, 1025);
	log_clear(&l);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("log");

	UNIT_TABLE(s, find_and_walk, counts);
	UNIT_TEST(s, pending);
	UNIT_TEST(s, drop);
	UNIT_TEST(s, added_while_walking);
	return unit_run(s);
}
