/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/base/arena.c and mem.c. */

/* System */
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
/* lib */
#include "base/arena.h"
#include "base/mem.h"
/* this program */
#include "tests/unit/unit.h"

static struct arena a;

static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 1000, 5000 };

START_TEST(pieces_are_aligned_zeroed_and_apart)
{
	unsigned char *piece[50];
	size_t n = sizes[_i];

	arena_init(&a, 1024);
	ck_assert_ptr_null(a.chunk);
	for (size_t k = 0; k < 50; k++) {
		piece[k] = arena_alloc(&a, n);
		ck_assert_uint_eq((uintptr_t)piece[k] % 16, 0);
		for (size_t j = 0; j < n; j++)
			ck_assert_uint_eq(piece[k][j], 0);
		memset(piece[k], (int)k + 1, n);
	}
	for (size_t k = 0; k < 50; k++)
		for (size_t j = 0; j < n; j++)
			ck_assert_uint_eq(piece[k][j], k + 1);
	ck_assert_uint_ge(a.used_bytes, 50 * n);
	arena_clear(&a);
	ck_assert_uint_eq(a.used_bytes, 0);
	ck_assert_ptr_null(a.chunk);
	/* It can be used again. */
	ck_assert_ptr_nonnull(arena_alloc(&a, n));
	arena_clear(&a);
}
END_TEST

START_TEST(a_large_piece_leaves_the_chunk_in_use)
{
	char *small, *next;

	arena_init(&a, 256);
	small = arena_alloc(&a, 16);
	memset(arena_alloc(&a, 10000), 'x', 10000);
	next = arena_alloc(&a, 16);
	ck_assert_ptr_eq(next, small + 16);
	arena_clear(&a);
}
END_TEST

START_TEST(copies)
{
	struct span s = { "a\0b", 3 }, copy;

	arena_init(&a, 64);
	copy = arena_dup(&a, s);
	unit_eq(copy, s);
	ck_assert_ptr_ne(copy.p, s.p);
	ck_assert_int_eq(copy.p[3], '\0');
	ck_assert_uint_eq(arena_dup(&a, SPAN_NONE).n, 0);
	ck_assert_str_eq(arena_cstr(&a, SPAN("hello")), "hello");
	ck_assert_str_eq(arena_cstr(&a, SPAN_NONE), "");
	ck_assert_str_eq(arena_printf(&a, "%s-%d", "x", 7), "x-7");
	ck_assert_uint_eq(strlen(arena_printf(&a, "%3000d", 7)), 3000);
	arena_clear(&a);
}
END_TEST

START_TEST(memory_of_one_owner)
{
	char *p = mem_strdup("hello");
	uint32_t *n = mem_array(10, sizeof(*n));

	ck_assert_str_eq(p, "hello");
	mem_free(p);
	p = mem_dup_span(SPAN_NONE);
	ck_assert_str_eq(p, "");
	mem_free(p);
	for (size_t i = 0; i < 10; i++)
		ck_assert_uint_eq(n[i], 0);
	n[9] = 9;
	n = mem_grow(n, 1000, sizeof(*n));
	ck_assert_uint_eq(n[9], 9);
	mem_free(n);
	p = mem_zalloc(0);
	ck_assert_ptr_nonnull(p);
	mem_free(p);
	mem_free(NULL);
}
END_TEST

START_TEST(overflow_is_a_bug)
{
	mem_array(SIZE_MAX / 2, 3);
}
END_TEST

#ifndef POSTERN_INSTRUMENTED /* sanitizers map more memory than any limit allows */
START_TEST(out_of_memory_ends_the_process)
{
	struct rlimit limit = { 64 << 20, 64 << 20 };

	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	mem_alloc(128 << 20);
}
END_TEST
#endif

int
main(void)
{
	Suite *s = suite_create("arena");
	TCase *ends = tcase_create("ends");

	UNIT_TABLE(s, pieces_are_aligned_zeroed_and_apart, sizes);
	UNIT_TEST(s, a_large_piece_leaves_the_chunk_in_use);
	UNIT_TEST(s, copies);
	UNIT_TEST(s, memory_of_one_owner);
	tcase_add_test_raise_signal(ends, overflow_is_a_bug, 6);
#ifndef POSTERN_INSTRUMENTED
	tcase_add_exit_test(ends, out_of_memory_ends_the_process, 75);
#endif
	suite_add_tcase(s, ends);
	return unit_run(s);
}
