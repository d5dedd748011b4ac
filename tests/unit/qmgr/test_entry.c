/* SPDX-License-Identifier: ISC
 *
 * Tests of qmgr/sched/entry.c against a plain array that does the same. */

/* System */
#include <stdlib.h>
#include <string.h>
/* lib */
#include "qmgr/sched/entry.h"
/* this program */
#include "tests/unit/unit.h"

START_TEST(found_by_number_and_index)
{
	struct entry_pool p;
	struct entry *e;

	entry_pool_init(&p);
	ck_assert_ptr_null(entry_find(&p, 1, 0));
	for (uint32_t i = 0; i < 5000; i++)
		ck_assert_uint_eq(entry_new(&p, 1000 + i / 10, i % 10)->state, ENTRY_WAITING);
	ck_assert_uint_eq(p.count, 5000);
	for (uint32_t i = 0; i < 5000; i++) {
		ck_assert_ptr_nonnull(e = entry_find(&p, 1000 + i / 10, i % 10));
		ck_assert(e->number == 1000 + i / 10 && e->index == i % 10);
		ck_assert_ptr_eq(entry_at(&p, e->id), e);
	}
	ck_assert_ptr_null(entry_find(&p, 1000, 10));
	ck_assert_ptr_null(entry_find(&p, 1500, 0));
	entry_pool_clear(&p);
}
END_TEST

/* Entries come and go in any order; each is found exactly while it is there. */
START_TEST(like_a_plain_array)
{
	enum { N = 300, ROUNDS = 20000 };
	bool is_there[N] = { false };
	struct entry_pool p;
	struct entry *e;
	uint32_t count = 0, it = 0, seen = 0;

	entry_pool_init(&p);
	srand(7);
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t k = (uint32_t)rand() % N;

		e = entry_find(&p, k / 7, k % 7);
		ck_assert_int_eq(e != NULL, is_there[k]);
		if (e != NULL)
			entry_free(&p, e);
		else
			entry_new(&p, k / 7, k % 7);
		count = is_there[k] ? count - 1 : count + 1;
		is_there[k] = !is_there[k];
	}
	ck_assert_uint_eq(p.count, count);
	while ((e = entry_next(&p, &it)) != NULL) {
		ck_assert(is_there[e->number * 7 + e->index]);
		seen++;
	}
	ck_assert_uint_eq(seen, count);
	entry_pool_clear(&p);
}
END_TEST

START_TEST(lists)
{
	struct entry_list l = { 0 };
	struct entry_pool p;
	struct entry *e[4];

	entry_pool_init(&p);
	for (uint32_t i = 0; i < 4; i++)
		e[i] = entry_new(&p, i, 0);
	entry_push_back(&p, &l, e[1]);
	entry_push_back(&p, &l, e[2]);
	entry_push_front(&p, &l, e[0]);
	entry_push_back(&p, &l, e[3]);
	ck_assert_uint_eq(l.count, 4);
	entry_remove(&p, &l, e[2]);
	entry_remove(&p, &l, e[3]);
	entry_push_back(&p, &l, e[2]);
	ck_assert_ptr_eq(entry_pop(&p, &l), e[0]);
	ck_assert_ptr_eq(entry_pop(&p, &l), e[1]);
	ck_assert_ptr_eq(entry_pop(&p, &l), e[2]);
	ck_assert_ptr_null(entry_pop(&p, &l));
	ck_assert(l.head == 0 && l.tail == 0 && l.count == 0);
	entry_pool_clear(&p);
}
END_TEST

START_TEST(extras)
{
	struct entry_extra x = {
		.is_child = true, .notify = 3, .address = SPAN("a@x"), .sender = SPAN("s@y")
	};
	struct entry_pool p;
	struct entry *e;
	char final[] = "final@z";

	entry_pool_init(&p);
	e = entry_new(&p, 5, 6);
	entry_set_final(&p, e, SPAN_NONE);
	ck_assert_ptr_null(e->extra);
	entry_set_final(&p, e, span_of(final));
	memset(final, 'x', sizeof(final) - 1);
	UNIT_EQ(e->extra->final, "final@z");
	entry_set_final(&p, e, SPAN_NONE);
	ck_assert_ptr_null(e->extra);
	entry_set_extra(&p, e, &x);
	entry_set_final(&p, e, SPAN("f@z"));
	UNIT_EQ(e->extra->address, "a@x");
	UNIT_EQ(e->extra->sender, "s@y");
	ck_assert(e->extra->is_child && e->extra->notify == 3);
	entry_set_final(&p, e, SPAN_NONE);
	UNIT_EQ(e->extra->address, "a@x");
	ck_assert_uint_gt(p.extra_bytes, 0);
	entry_free(&p, e);
	ck_assert_uint_eq(p.extra_bytes, 0);
	entry_pool_clear(&p);
}
END_TEST

/* The promise of spool.md, section 4: half a million recipients in 32 MiB. */
START_TEST(memory)
{
	struct entry_pool p;

	entry_pool_init(&p);
	for (uint32_t i = 0; i < 100000; i++)
		entry_new(&p, i, 0);
	ck_assert_uint_le(sizeof(struct entry), 64);
	ck_assert_uint_le(entry_pool_bytes(&p), 72 * 100000);
	entry_pool_clear(&p);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("entry");

	UNIT_TEST(s, found_by_number_and_index);
	UNIT_TEST(s, like_a_plain_array);
	UNIT_TEST(s, lists);
	UNIT_TEST(s, extras);
	UNIT_TEST(s, memory);
	return unit_run(s);
}
