/* SPDX-License-Identifier: ISC
 *
 * Virtual aliases: those of one address are followed here, an alias of several becomes an expansion, which qmgr commits
 * before it is used. Pure: no DNS, no I/O. Runs in router.
 */
/* System */
#include <string.h>

/* lib */
#include "smtp/addr.h"

/* this program */
#include "router/query.h"

#define STEPS_MAX 10 /* aliases of one address, followed here */

static bool
find_alias(struct query *q, struct span *value_out, bool *has_failed)
{
	const char *how;

	*has_failed = false;
	for (size_t i = 0; i < q->conf->aliases.virtual.count; i++) {
		const char *path = q->conf->aliases.virtual.items[i];
		const struct table *t = query_table(q, path, has_failed);
		if (*has_failed) {
			q->out->is_ours = true; /* it might be: "later", not "denied" */
			return false;
		}
		if (!query_look_up(q, t, value_out, &how))
			continue;
		explain_say(q->explain, "alias in %s (%s): %.*s", path, how, SPAN_ARG(*value_out));
		return true;
	}
	return false;
}

/* An alias that leads to what is no address: the sender cannot help it. */
static void
bad_target(struct query *q, struct span target)
{
	explain_say(q->explain,
		    "not now: `%.*s` is no address; write local@domain, separated by commas",
		    SPAN_ARG(target));
	query_defer(q, "4.3.5", "Server configuration error");
}

/* A target without domain gets origin; "@domain" keeps the local part. False: this is no address. */
static bool
complete(struct query *q, struct span target, struct span *out)
{
	struct smtp_addr parsed;

	if (target.p[0] == '@')
		*out = query_join(q, q->local, span_sub(target, 1, SIZE_MAX));
	else if (span_chr(target, '@') < 0)
		*out = query_join(q, target, span_of(q->conf->origin));
	else
		*out = arena_dup(q->a, target);
	if (addr_parse_mailbox(*out, &parsed) == 0)
		return true;
	bad_target(q, *out);
	return false;
}

/* The next of comma-separated targets; commas in quotes do not separate. False: no more. */
static bool
next_target(struct span *rest, struct span *one)
{
	bool is_quoted = false;
	size_t i;

	do {
		for (i = 0; i < rest->n && (rest->p[i] != ',' || is_quoted); i++) {
			if (is_quoted && rest->p[i] == '\\' && i + 1 < rest->n)
				i++;
			else if (rest->p[i] == '"')
				is_quoted = !is_quoted;
		}
		*one = span_trim(span_sub(*rest, 0, i));
		*rest = span_sub(*rest, i + 1, SIZE_MAX);
	} while (one->n == 0 && rest->n > 0);
	return one->n > 0;
}

static uint32_t
count_targets(struct span value)
{
	struct span one;
	uint32_t n = 0;

	while (next_target(&value, &one))
		n++;
	return n;
}

static void
expand(struct query *q, struct span value, uint32_t n)
{
	if (n > q->conf->limits.expansion) {
		query_reject(q, 550, "5.3.5", "Alias expands to too many addresses");
		return;
	}
	struct span *list = arena_alloc(q->a, n * sizeof(struct span)), one;
	size_t bytes = 0;
	for (uint32_t i = 0; i < n && next_target(&value, &one); i++) {
		if (!complete(q, one, &list[i]))
			return;
		bytes += 4 + list[i].n;
	}
	if (bytes > EXPANSION_BYTES_MAX) {
		query_reject(q, 550, "5.3.5", "Alias expands to too many addresses");
		return;
	}
	q->out->action = ROUTE_EXPAND;
	q->out->expansion = list;
	q->out->expansion_count = n;
	explain_say(q->explain, "becomes %u addresses, each of which is resolved in turn", n);
}

static bool
is_current(struct query *q, struct span address)
{
	ptrdiff_t at = span_rchr(address, '@');
	struct span domain;

	return resolve_normalize_domain(span_sub(address, (size_t)at + 1, SIZE_MAX), q->a,
					&domain) == 0 &&
	       span_eq(domain, q->domain) && span_ieq(span_sub(address, 0, (size_t)at), q->local);
}

bool
aliases_follow(struct query *q)
{
	struct span value, one;
	bool has_failed;

	for (unsigned step = 0; find_alias(q, &value, &has_failed); step++) {
		uint32_t n = count_targets(value);
		if (step == 0)
			q->out->is_ours = true;
		if (n == 0) {
			query_reject(q, 550, "5.1.1", "No such user here");
			return false;
		}
		if (n > 1) {
			expand(q, value, n);
			return false;
		}
		if (!next_target(&value, &one) || !complete(q, one, &one))
			return false;
		if (is_current(q, one)) /* an alias to itself ends the search */
			return true;
		if (step == STEPS_MAX) {
			query_reject(q, 554, "5.4.6", "Alias loop");
			return false;
		}
		if (!query_set_address(q, one))
			return false;
	}
	return !has_failed;
}

bool
aliases_exist(const struct query *q)
{
	for (size_t i = 0; i < q->conf->aliases.virtual.count; i++) {
		if (table_count(tables_get(q->tables, q->conf->aliases.virtual.items[i])) > 0)
			return true;
	}
	return false;
}
