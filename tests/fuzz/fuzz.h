/* SPDX-License-Identifier: ISC */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A fuzzer is one file tests/fuzz/fuzz_<module>.c with this one function; it returns 0 and must not leak, keep state or
 * need more than milliseconds. Its dictionary is tests/fuzz/<module>.dict, its kept inputs (seeds, and every input that
 * once showed a bug) lie in tests/fuzz/corpus/<module>/. With clang it runs under libFuzzer; in every build replay.c
 * feeds it the kept inputs. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* May be defined: called once, before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

/* A property of the code under test, checked in every build. */
#define FUZZ_ASSERT(cond)        \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

#endif
