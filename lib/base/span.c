/* SPDX-License-Identifier: ISC
 *
 * Looking at borrowed bytes: compare, search, cut. Nothing here allocates, writes or follows the C library's locale.
 * Used by every process. */

/* System */
#include <string.h>
/* lib */
#include "base/err.h"
#include "base/span.h"

struct span
span_of(const char *cstr)
{
	return cstr != NULL ? span_make(cstr, strlen(cstr)) : SPAN_NONE;
}

struct span
span_make(const void *p, size_t n)
{
	return (struct span){ p, n };
}

static unsigned char
ascii_lower(char c)
{
	unsigned char u = (unsigned char)c;

	return u >= 'A' && u <= 'Z' ? (unsigned char)(u + ('a' - 'A')) : u;
}

bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
span_ieq(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
			return false;
	return true;
}

int
span_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n > 0 ? memcmp(a.p, b.p, n) : 0;

	if (r != 0)
		return r < 0 ? -1 : 1;
	return a.n < b.n ? -1 : a.n > b.n;
}

bool
span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_eq(span_make(s.p, prefix.n), prefix);
}

bool
span_istarts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && span_ieq(span_make(s.p, prefix.n), prefix);
}

bool
span_ends(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq(span_sub(s, s.n - suffix.n, suffix.n), suffix);
}

bool
span_iends(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_ieq(span_sub(s, s.n - suffix.n, suffix.n), suffix);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span
span_trim(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span
span_sub(struct span s, size_t from, size_t n)
{
	if (s.p == NULL)
		return SPAN_NONE;
	if (from > s.n)
		from = s.n;
	if (n > s.n - from)
		n = s.n - from;
	return span_make(s.p + from, n);
}

ptrdiff_t
span_chr(struct span s, char c)
{
	const char *hit = s.n > 0 ? memchr(s.p, c, s.n) : NULL;

	return hit != NULL ? hit - s.p : -1;
}

ptrdiff_t
span_rchr(struct span s, char c)
{
	const char *hit = s.n > 0 ? memrchr(s.p, c, s.n) : NULL;

	return hit != NULL ? hit - s.p : -1;
}

ptrdiff_t
span_find(struct span s, struct span needle)
{
	const char *hit;

	if (needle.n == 0)
		return 0;
	hit = s.n > 0 ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return hit != NULL ? hit - s.p : -1;
}

bool
span_next(struct span *s, char sep, struct span *head_out)
{
	ptrdiff_t at;

	if (s->n == 0)
		return false;
	at = span_chr(*s, sep);
	if (at < 0) {
		*head_out = *s;
		*s = SPAN_NONE;
		return true;
	}
	*head_out = span_make(s->p, (size_t)at);
	*s = span_sub(*s, (size_t)at + 1, s->n);
	return true;
}

int
span_to_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	bool is_over = false;

	if (s.n == 0)
		return E_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9)
			return E_SYNTAX;
		is_over |= __builtin_mul_overflow(v, (uint64_t)10, &v);
		is_over |= __builtin_add_overflow(v, (uint64_t)digit, &v);
	}
	if (is_over || v > max)
		return E_TOOBIG;
	*out = v;
	return 0;
}
