/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/list.h. */

/* lib */
#include "base/list.h"
/* this program */
#include "tests/unit/unit.h"

struct item {
	int value;
	struct list node;
};

static struct list head;
static struct item item[5];

static int
value_of(struct list *node)
{
	return LIST_ENTRY(node, struct item, node)->value;
}

/* The values in order, as one number. */
static int
digits(void)
{
	int all = 0, back = 0, place = 1;

	LIST_EACH(it, &head)
		all = all * 10 + value_of(it);
	for (struct list *it = head.prev; it != &head; it = it->prev, place *= 10)
		back += value_of(it) * place;
	ck_assert_int_eq(all, back);
	return all;
}

static void
setup(void)
{
	list_init(&head);
	for (int i = 0; i < 5; i++)
		item[i].value = i + 1;
}

START_TEST(order)
{
	ck_assert(list_is_empty(&head));
	ck_assert_int_eq(digits(), 0);
	list_push_back(&head, &item[1].node);
	list_push_back(&head, &item[2].node);
	list_push_front(&head, &item[0].node);
	list_insert_after(&item[1].node, &item[4].node);
	ck_assert_int_eq(digits(), 1253);
	ck_assert(!list_is_empty(&head));
	list_remove(&item[1].node);
	ck_assert_int_eq(digits(), 153);
	list_remove(&item[1].node);
	ck_assert_int_eq(digits(), 153);
	list_push_back(&head, &item[1].node);
	ck_assert_int_eq(digits(), 1532);
}
END_TEST

START_TEST(removing_on_the_way)
{
	for (size_t i = 0; i < 5; i++)
		list_push_back(&head, &item[i].node);
	LIST_EACH_SAFE(it, tmp, &head)
		if (value_of(it) % 2 == 1)
			list_remove(it);
	ck_assert_int_eq(digits(), 24);
	LIST_EACH_SAFE(it, tmp, &head)
		list_remove(it);
	ck_assert(list_is_empty(&head));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("list");
	TCase *tc = tcase_create("list");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, order);
	tcase_add_test(tc, removing_on_the_way);
	suite_add_tcase(s, tc);
	return unit_run(s);
}
