/* SPDX-License-Identifier: ISC
 *
 * Text tables: each value lies inside what was read, and a table is read the same again from its own entries. Input: a
 * key, a line end, the table. What is found for the key must be found in any case. */

/* System */
#include <ctype.h>
#include <string.h>
/* lib */
#include "base/mem.h"
#include "router/table_text.h"
/* this program */
#include "tests/fuzz/fuzz.h"

/* The key as people might write it elsewhere. */
static void
check_case(const struct table *t, struct span key, struct span value)
{
	char upper[512];
	struct span again;

	FUZZ_ASSERT(key.n <= sizeof(upper));
	for (size_t i = 0; i < key.n; i++)
		upper[i] = (char)toupper((unsigned char)key.p[i]);
	FUZZ_ASSERT(table_get(t, span_make(upper, key.n), &again));
	FUZZ_ASSERT(again.p == value.p && again.n == value.n);
}

/* An entry written as one line is an entry with the same value. */
static void
check_again(struct span key, struct span value)
{
	struct table *t;
	struct span found;
	struct buf b;
	unsigned line;
	const char *why;

	buf_init(&b, key.n + value.n + 4);
	buf_put_span(&b, key);
	buf_putc(&b, ' ');
	buf_put_span(&b, value);
	FUZZ_ASSERT(buf_check(&b) == 0);
	/* A key of the question may hold blanks or begin a comment, which no table can say. */
	if (table_parse(buf_span(&b), NULL, &t, &line, &why) == 0) {
		if (table_get(t, key, &found))
			FUZZ_ASSERT(span_eq(found, value));
		table_free(&t);
	}
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_make(data, size), key, value;
	struct table *t = NULL;
	unsigned line = 0;
	const char *why = NULL;

	if (!span_next(&text, '\n', &key))
		return 0;
	if (table_parse(text, NULL, &t, &line, &why) < 0) {
		FUZZ_ASSERT(t == NULL && why != NULL);
		FUZZ_ASSERT(line > 0 && line <= size + 1);
		return 0;
	}
	FUZZ_ASSERT(table_count(t) <= text.n / 2 + 1);
	if (table_get(t, key, &value)) {
		FUZZ_ASSERT(value.n <= text.n);
		FUZZ_ASSERT(span_chr(value, '\0') < 0 && span_chr(value, '\n') < 0 &&
			    span_chr(value, '\r') < 0);
		FUZZ_ASSERT(span_trim(value).n == value.n);
		check_case(t, key, value);
		check_again(key, value);
	}
	table_free(&t);
	return 0;
}
