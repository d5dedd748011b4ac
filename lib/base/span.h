/* SPDX-License-Identifier: ISC */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Borrowed bytes: never freed through a span, not NUL-terminated, may hold any byte. */
struct span {
	const char *p;
	size_t n;
};

#define SPAN(lit) ((struct span){ (lit), sizeof(lit) - 1 })
#define SPAN_NONE ((struct span){ NULL, 0 })
/* For printf("%.*s", SPAN_ARG(s)). */
#define SPAN_ARG(s) (int)(s).n, (s).p ? (s).p : ""

struct span span_of(const char *cstr); /* NULL gives the empty span */
struct span span_make(const void *p, size_t n);
bool span_eq(struct span a, struct span b);
bool span_ieq(struct span a, struct span b); /* ASCII case-insensitive */
int span_cmp(struct span a, struct span b);  /* bytes, shorter first */
bool span_starts(struct span s, struct span prefix);
bool span_istarts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
bool span_iends(struct span s, struct span suffix);
struct span span_trim(struct span s);			    /* spaces and tabs on both sides */
struct span span_sub(struct span s, size_t from, size_t n); /* clipped to s */
ptrdiff_t span_chr(struct span s, char c);		    /* first index, -1: none */
ptrdiff_t span_rchr(struct span s, char c);		    /* last index, -1: none */
ptrdiff_t span_find(struct span s, struct span needle);	    /* first index, -1: none */

/* Cut at the first `sep`: head_out gets what is before it and s what is after; false at the end (s empty).
 * The last piece has no separator.  Loop: while (span_next(&s, ' ', &word)) ... */
bool span_next(struct span *s, char sep, struct span *head_out);

/* Decimal number without sign, all of s, <= max. Errors: E_SYNTAX (empty, other bytes), E_TOOBIG (> max). */
int span_to_u64(struct span s, uint64_t max, uint64_t *out);

#endif
