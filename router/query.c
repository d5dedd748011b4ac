/* SPDX-License-Identifier: ISC
 *
 * What every step of a question needs: tables, the current address and its parts, and the ways to end. Pure: no DNS, no
 * I/O. Runs in router.
 */
/* System */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* lib */
#include "smtp/addr.h"

/* this program */
#include "router/query.h"

const struct table *
tables_get(const struct tables *t, const char *path)
{
	return *path != '\0' ? map_get(&t->by_path, span_of(path)) : NULL;
}

void
explain_say(const struct explain *e, const char *fmt, ...)
{
	char line[900];
	va_list ap;

	if (e == NULL)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	e->say(e->arg, span_make(line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1));
}

int
resolve_normalize_domain(struct span domain, struct arena *a, struct span *out)
{
	char ascii[ADDR_DOMAIN_MAX + 1], *text;
	int r;

	if (domain.n == 0 || domain.n > ADDR_DOMAIN_MAX)
		return E_ADDR_SYNTAX;
	text = arena_cstr(a, domain);
	for (size_t i = 0; i < domain.n; i++) {
		if ((unsigned char)text[i] > 127) {
			if ((r = addr_domain_to_ascii(domain, ascii)) < 0)
				return r;
			*out = arena_dup(a, span_of(ascii));
			return 0;
		}
		text[i] = (char)tolower((unsigned char)text[i]);
	}
	*out = span_make(text, domain.n);
	return 0;
}

void
query_reject(struct query *q, uint16_t reply, const char *esc, const char *text)
{
	q->out->action = ROUTE_REJECT;
	q->out->reply = reply;
	q->out->esc = esc;
	q->out->text = span_of(text);
	explain_say(q->explain, "refused: %u %s %s", reply, esc, text);
}

void
query_defer(struct query *q, const char *esc, const char *text)
{
	q->out->action = ROUTE_TEMPFAIL;
	q->out->reply = 451;
	q->out->esc = esc;
	q->out->text = span_of(text);
}

const struct table *
query_table(struct query *q, const char *path, bool *has_failed)
{
	const struct table *t = tables_get(q->tables, path);

	*has_failed = *path != '\0' && t == NULL;
	if (*has_failed) {
		explain_say(q->explain,
			    "not now: table %s is not there or has a mistake; the log says which",
			    path);
		query_defer(q, "4.3.0", "A table of the server is not available, try again later");
	}
	return t;
}

/* "ann"@x.example is ann@x.example: quotes go where they are not needed. Not around what was once a way to write a route,
 * which the next server might take for one.                                                RFC 5321 4.1.2 */
static struct span
without_quotes(struct query *q, struct span local)
{
	struct span plain;
	char *s;
	size_t n = 0;

	if (local.n < 3 || local.p[0] != '"' || local.p[local.n - 1] != '"')
		return local;
	s = arena_alloc(q->a, local.n);
	for (size_t i = 1; i < local.n - 1; i++) {
		if (local.p[i] == '\\' && i + 2 < local.n)
			i++;
		s[n++] = local.p[i];
	}
	plain = span_make(s, n);
	return addr_is_dot_string(plain) && span_chr(plain, '%') < 0 && span_chr(plain, '!') < 0
		       ? plain
		       : local;
}

bool
query_set_address(struct query *q, struct span address)
{
	ptrdiff_t at = span_rchr(address, '@');

	q->address = address;
	if (at <= 0 || resolve_normalize_domain(span_sub(address, (size_t)at + 1, SIZE_MAX), q->a,
						&q->domain) < 0) {
		query_reject(q, 553, "5.1.3", "Address is not valid");
		return false;
	}
	q->local = without_quotes(q, span_sub(address, 0, (size_t)at));
	if (q->local.n < (size_t)at)
		q->address = query_join(q, q->local, span_sub(address, (size_t)at + 1, SIZE_MAX));
	return true;
}

struct span
query_join(struct query *q, struct span local, struct span domain)
{
	char *s = arena_alloc(q->a, local.n + 1 + domain.n + 1);

	if (local.n > 0)
		memcpy(s, local.p, local.n);
	s[local.n] = '@';
	if (domain.n > 0)
		memcpy(s + local.n + 1, domain.p, domain.n);
	return span_make(s, local.n + 1 + domain.n);
}

struct span
query_plain_local(const struct query *q)
{
	struct span delimiters = span_of(q->conf->aliases.delimiter);

	for (size_t i = 1; i < q->local.n && q->local.p[0] != '"'; i++) {
		if (span_chr(delimiters, q->local.p[i]) >= 0)
			return span_sub(q->local, 0, i);
	}
	return q->local;
}

bool
query_look_up(struct query *q, const struct table *t, struct span *value_out, const char **how_out)
{
	struct span plain = query_plain_local(q);

	*how_out = "the address";
	if (table_get(t, query_join(q, q->local, q->domain), value_out))
		return true;
	*how_out = "the address without its detail";
	if (plain.n < q->local.n && table_get(t, query_join(q, plain, q->domain), value_out))
		return true;
	*how_out = "the domain (catch-all)";
	return table_get(t, query_join(q, SPAN_NONE, q->domain), value_out);
}
