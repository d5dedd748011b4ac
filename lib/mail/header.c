/* SPDX-License-Identifier: ISC
 *
 * Finds the fields of a header section: where it ends, what fields it has, how often it passed a server. It changes
 * nothing and is not a parser of field contents. No I/O; the bytes are a stranger's, so nothing in them is trusted.
 * Used by smtpd (loops, limits) and qmgr (failure reports, loops).                              RFC 5322 2.2 */

/* System */
#include <string.h>
/* lib */
#include "mail/header.h"

/* Length of the first line with its LF; all that is left if there is none. */
static size_t
line_length(struct span s)
{
	const char *nl = s.n > 0 ? memchr(s.p, '\n', s.n) : NULL;

	return nl != NULL ? (size_t)(nl - s.p) + 1 : s.n;
}

static struct span
line_text(struct span line)
{
	if (line.n > 0 && line.p[line.n - 1] == '\n')
		line.n--;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* Index of the colon of a field line, -1: this is none. Blanks before the colon are of the obsolete syntax (4.5). */
static ptrdiff_t
field_colon(struct span line)
{
	ptrdiff_t colon = span_chr(line, ':');
	struct span name;

	if (colon <= 0)
		return -1;
	name = span_trim(span_sub(line, 0, (size_t)colon));
	if (name.n == 0 || name.p != line.p)
		return -1;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 127)
			return -1;
	return colon;
}

static bool
is_fold(struct span s)
{
	return s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t');
}

static struct span
value_trim(struct span v)
{
	while (v.n > 0 && strchr(" \t\r\n", v.p[0]) != NULL && v.p[0] != '\0') {
		v.p++;
		v.n--;
	}
	while (v.n > 0 && strchr(" \t\r\n", v.p[v.n - 1]) != NULL && v.p[v.n - 1] != '\0')
		v.n--;
	return v;
}

bool
header_next(struct span *rest, struct header_field *out)
{
	struct span line = span_sub(*rest, 0, line_length(*rest));
	ptrdiff_t colon = field_colon(line_text(line));
	size_t n = line.n;

	if (colon < 0)
		return false;
	for (struct span more = span_sub(*rest, n, SIZE_MAX); is_fold(more);
	     more = span_sub(*rest, n, SIZE_MAX))
		n += line_length(more);
	out->raw = span_sub(*rest, 0, n);
	out->name = span_trim(span_sub(line, 0, (size_t)colon));
	out->value = value_trim(span_sub(out->raw, (size_t)colon + 1, SIZE_MAX));
	rest->p += n;
	rest->n -= n;
	return true;
}

size_t
header_length(struct span msg)
{
	struct span rest = msg;
	struct header_field field;

	while (header_next(&rest, &field))
		;
	return msg.n - rest.n;
}

bool
header_find(struct span msg, const char *name, struct header_field *out)
{
	while (header_next(&msg, out))
		if (span_ieq(out->name, span_of(name)))
			return true;
	return false;
}

unsigned
header_count(struct span msg, const char *name)
{
	struct header_field field;
	unsigned n = 0;

	while (header_next(&msg, &field))
		n += span_ieq(field.name, span_of(name));
	return n;
}

/* Local parts differ by case, domains do not. */
static bool
addr_is_same(struct span a, struct span b)
{
	ptrdiff_t at_a = span_rchr(a, '@'), at_b = span_rchr(b, '@');

	if (at_a < 0 || at_b < 0)
		return span_eq(a, b);
	return at_a == at_b && memcmp(a.p, b.p, (size_t)at_a) == 0 &&
	       span_ieq(span_sub(a, (size_t)at_a, SIZE_MAX), span_sub(b, (size_t)at_b, SIZE_MAX));
}

bool
header_has_delivered_to(struct span msg, struct span addr)
{
	struct header_field field;

	while (header_next(&msg, &field))
		if (span_ieq(field.name, SPAN("Delivered-To")) && addr_is_same(field.value, addr))
			return true;
	return false;
}
