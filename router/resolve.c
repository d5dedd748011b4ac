/* SPDX-License-Identifier: ISC
 *
 * What the tables say about an address, in this order: bare postmaster, virtual aliases, transport table, domain class,
 * smarthost, MX. Pure: no DNS, no I/O. Local parts are never interpreted ("a%b@c", "\"a@b\"@c" are mailboxes of c like any
 * other), so no address can talk this server into relaying.
 */
/* System */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* lib */
#include "base/buf.h"
#include "conf/addr.h"
#include "smtp/addr.h"

/* this program */
#include "router/router.h"

#define STEPS_MAX 10            /* aliases of one address, followed here */

struct query {
	const struct conf *conf;
	const struct tables *tables;
	struct arena *a;
	const struct explain *explain;
	struct span sender;
	struct span address, local, domain; /* current; domain normalised */
	struct decision *out;
};

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

static void
reject(struct query *q, uint16_t reply, const char *esc, const char *text)
{
	q->out->action = ROUTE_REJECT;
	q->out->reply = reply;
	q->out->esc = esc;
	q->out->text = span_of(text);
	explain_say(q->explain, "refused: %u %s %s", reply, esc, text);
}

/* Not now: what the administrator must mend. */
static void
not_now(struct query *q, const char *esc, const char *text)
{
	q->out->action = ROUTE_TEMPFAIL;
	q->out->reply = 451;
	q->out->esc = esc;
	q->out->text = span_of(text);
}

/* A table that the configuration names; NULL with has_failed: it could not be read so far. */
static const struct table *
get_table(struct query *q, const char *path, bool *has_failed)
{
	const struct table *t = tables_get(q->tables, path);

	*has_failed = *path != '\0' && t == NULL;
	if (*has_failed) {
		explain_say(q->explain, "not now: table %s cannot be read", path);
		not_now(q, "4.3.0", "A table of the server is not available, try again later");
	}
	return t;
}

/* Split at the last @ (a quoted local part may hold some; a domain holds none). False: refused. */
static bool
set_address(struct query *q, struct span address)
{
	ptrdiff_t at = span_rchr(address, '@');

	q->address = address;
	if (at <= 0 || resolve_normalize_domain(span_sub(address, (size_t)at + 1, SIZE_MAX), q->a, &q->domain) < 0) {
		reject(q, 553, "5.1.3", "Address is not valid");
		return false;
	}
	q->local = span_sub(address, 0, (size_t)at);
	return true;
}

static struct span
join(struct query *q, struct span local, struct span domain)
{
	char *s = arena_alloc(q->a, local.n + 1 + domain.n + 1);

	if (local.n > 0)
		memcpy(s, local.p, local.n);
	s[local.n] = '@';
	if (domain.n > 0)
		memcpy(s + local.n + 1, domain.p, domain.n);
	return span_make(s, local.n + 1 + domain.n);
}

/* Local part in front of the first delimiter; all of it if there is none. */
static struct span
without_detail(const struct query *q)
{
	struct span delimiters = span_of(q->conf->aliases.delimiter);

	for (size_t i = 1; i < q->local.n && q->local.p[0] != '"'; i++) {
		if (span_chr(delimiters, q->local.p[i]) >= 0)
			return span_sub(q->local, 0, i);
	}
	return q->local;
}

/* Address, address without detail, @domain. */
static bool
look_up(struct query *q, const struct table *t, struct span *value_out, const char **how_out)
{
	struct span plain = without_detail(q);

	*how_out = "the address";
	if (table_get(t, join(q, q->local, q->domain), value_out))
		return true;
	*how_out = "the address without its detail";
	if (plain.n < q->local.n && table_get(t, join(q, plain, q->domain), value_out))
		return true;
	*how_out = "the domain (catch-all)";
	return table_get(t, join(q, SPAN_NONE, q->domain), value_out);
}

/* ---- templates of table values ---- */

static bool
put_variable(struct query *q, struct buf *b, struct span name)
{
	struct span plain = without_detail(q), v;

	if (span_eq(name, SPAN("rcpt.local")))
		v = plain;
	else if (span_eq(name, SPAN("rcpt.domain")))
		v = q->domain;
	else if (span_eq(name, SPAN("rcpt.detail")))
		v = plain.n < q->local.n ? span_sub(q->local, plain.n + 1, SIZE_MAX) : SPAN_NONE;
	else
		return false;
	/* A part of a path: it must be one name and stay where it is. */
	if (v.n == 0 || span_eq(v, SPAN(".")) || span_eq(v, SPAN("..")) || span_chr(v, '/') >= 0 || span_chr(v, '\0') >= 0)
		return false;
	for (size_t i = 0; i < v.n; i++)
		buf_putc(b, (char)tolower((unsigned char)v.p[i]));
	return true;
}

/* Expand %{...}. False: unknown variable, or a value that may not stand in a path. */
static bool
expand_template(struct query *q, struct span in, struct span *out)
{
	struct buf b;
	bool is_good = true;

	buf_init(&b, 2048);
	for (size_t i = 0; i < in.n && is_good; i++) {
		if (in.p[i] != '%' || i + 1 == in.n || in.p[i + 1] != '{') {
			buf_putc(&b, in.p[i]);
			continue;
		}
		ptrdiff_t end = span_chr(span_sub(in, i, SIZE_MAX), '}');
		is_good = end > 0 && put_variable(q, &b, span_sub(in, i + 2, (size_t)end - 2));
		i += end > 0 ? (size_t)end : 0;
	}
	is_good = is_good && buf_check(&b) == 0;
	if (is_good)
		*out = arena_dup(q->a, buf_span(&b));
	buf_clear(&b);
	return is_good;
}

/* ---- next hops ---- */

static bool
parse_hop(struct query *q, struct span text, uint16_t port, struct hop *out)
{
	struct conf_hop parsed;

	if (conf_hop_parse(span_trim(text), &parsed) < 0)
		return false;
	*out = (struct hop){ .name = parsed.host, .port = parsed.port != 0 ? parsed.port : port, .is_named = true };
	out->kind = parsed.kind == CONF_HOP_UNIX ? HOP_UNIX : parsed.kind == CONF_HOP_HOST ? HOP_HOST : HOP_MX;
	return out->kind == HOP_UNIX || resolve_normalize_domain(parsed.host, q->a, &out->name) == 0;
}

static void
deliver(struct query *q, enum transport transport, const struct hop *hop)
{
	q->out->action = ROUTE_DELIVER;
	q->out->transport = transport;
	q->out->hop = *hop;
}

static void
bad_hop(struct query *q, const char *where, struct span text)
{
	explain_say(q->explain, "%s: `%.*s` is no next hop; write [host]:port, domain:port or unix:/path", where, SPAN_ARG(text));
	not_now(q, "4.3.5", "Server configuration error");
}

/* An alias that leads to what is no address: the sender cannot help it. */
static void
bad_target(struct query *q, struct span target)
{
	explain_say(q->explain, "not now: `%.*s` is no address; write local@domain, separated by commas", SPAN_ARG(target));
	not_now(q, "4.3.5", "Server configuration error");
}

static void
deliver_to(struct query *q, enum transport transport, struct span text, const char *where)
{
	struct hop hop;

	if (!parse_hop(q, text, transport == TRANSPORT_LMTP ? 24 : 25, &hop)) {
		bad_hop(q, where, text);
		return;
	}
	explain_say(q->explain, "%s: by %s to %.*s", where, transport == TRANSPORT_LMTP ? "LMTP" : "SMTP", SPAN_ARG(text));
	deliver(q, transport, &hop);
}

static void
deliver_by_mx(struct query *q)
{
	struct hop hop = { .kind = HOP_MX, .name = q->domain, .port = 25 };

	if (q->domain.n > 2 && q->domain.p[0] == '[') {
		hop.kind = HOP_HOST;
		hop.name = span_sub(q->domain, 1, q->domain.n - 2);
		if (span_starts(hop.name, SPAN("ipv6:")))
			hop.name = span_sub(hop.name, 5, SIZE_MAX);
		explain_say(q->explain, "address literal: by SMTP to this address");
	} else {
		explain_say(q->explain, "by SMTP to the mail exchangers of %.*s", SPAN_ARG(hop.name));
	}
	deliver(q, TRANSPORT_SMTP, &hop);
}

/* ---- transport table ---- */

/* Is this "4.n.n" or "5.n.n"?                                             RFC 3463 2 */
static bool
is_failure_code(struct span code)
{
	struct span class, subject;
	uint64_t n;

	return span_next(&code, '.', &class) && (span_eq(class, SPAN("4")) || span_eq(class, SPAN("5"))) &&
	       span_next(&code, '.', &subject) && subject.n <= 3 && span_to_u64(subject, 999, &n) == 0 && code.n <= 3 &&
	       span_to_u64(code, 999, &n) == 0;
}

/* "error:5.1.1 text", "error:text" */
static void
transport_error(struct query *q, struct span rest)
{
	struct span all = span_trim(rest), code;
	const char *esc = "5.7.1";

	rest = all;
	if (span_next(&rest, ' ', &code) && is_failure_code(code))
		esc = arena_cstr(q->a, code);
	else
		rest = all;
	q->out->action = esc[0] == '4' ? ROUTE_TEMPFAIL : ROUTE_REJECT;
	q->out->reply = esc[0] == '4' ? 450 : 550;
	q->out->esc = esc;
	q->out->text = span_trim(rest).n > 0 ? span_trim(rest) : SPAN("Refused by the transport table");
	explain_say(q->explain, "transport table: refused, %s %.*s", esc, SPAN_ARG(q->out->text));
}

static bool
find_transport(struct query *q, const struct table *t, struct span *value_out)
{
	if (table_get(t, join(q, q->local, q->domain), value_out) || table_get(t, q->domain, value_out))
		return true;
	for (size_t i = 0; i < q->domain.n; i++) {
		if (q->domain.p[i] == '.' && table_get(t, span_sub(q->domain, i, SIZE_MAX), value_out))
			return true;
	}
	return false;
}

/* False: nothing there. */
static bool
by_transport_table(struct query *q)
{
	struct span value, class, rest;
	bool has_failed;
	const struct table *t = get_table(q, q->conf->transport, &has_failed);

	if (has_failed)
		return true;
	if (!find_transport(q, t, &value))
		return false;
	rest = value;
	if (!span_next(&rest, ':', &class))
		class = value;
	explain_say(q->explain, "transport table: %.*s", SPAN_ARG(value));
	if (span_ieq(class, SPAN("discard")))
		q->out->action = ROUTE_DISCARD;
	else if (span_ieq(class, SPAN("error")))
		transport_error(q, rest);
	else if (span_ieq(class, SPAN("lmtp")))
		deliver_to(q, TRANSPORT_LMTP, rest, "transport table");
	else if ((span_ieq(class, SPAN("relay")) || span_ieq(class, SPAN("smtp"))) && rest.n > 0)
		deliver_to(q, TRANSPORT_SMTP, rest, "transport table");
	else if (span_ieq(class, SPAN("relay")) || span_ieq(class, SPAN("smtp")))
		deliver_by_mx(q);
	else
		bad_hop(q, "transport table", value);
	return true;
}

/* ---- domain classes ---- */

static bool
is_title(struct query *q, const char *title)
{
	struct span t = span_of(title);

	for (size_t i = 0; i < t.n; i++) {
		if ((unsigned char)t.p[i] > 127)
			return resolve_normalize_domain(t, q->a, &t) == 0 && span_eq(t, q->domain);
	}
	return span_ieq(t, q->domain);
}

static const struct conf_domain *
find_domain(struct query *q)
{
	for (size_t i = 0; i < q->conf->domain_count; i++) {
		if (is_title(q, q->conf->domain[i].title))
			return &q->conf->domain[i];
	}
	return NULL;
}

/* Path of a Maildir below the base: an absolute one must lie there; it ends in /. */
static bool
mailbox_path(struct query *q, const struct conf_domain *d, struct span value)
{
	struct span path, base = span_of(d->mailbox_base);

	if (!expand_template(q, value, &path)) {
		explain_say(q->explain, "the entry `%.*s` gives no path for this address", SPAN_ARG(value));
		reject(q, 550, "5.1.1", "No such user here");
		return false;
	}
	while (base.n > 1 && base.p[base.n - 1] == '/')
		base.n--;
	if (path.n > 0 && path.p[0] == '/') {
		if (!span_starts(path, base) || path.n <= base.n || path.p[base.n] != '/') {
			bad_hop(q, "the path does not lie below mailbox_base", path);
			return false;
		}
		path = span_sub(path, base.n + 1, SIZE_MAX);
	}
	if (path.n < 2 || path.p[path.n - 1] != '/') {
		bad_hop(q, "a mailbox must end in / (Maildir)", path);
		return false;
	}
	q->out->base = span_of(d->mailbox_base);
	q->out->path = path;
	return true;
}

static void
by_virtual(struct query *q, const struct conf_domain *d)
{
	bool has_failed;
	const struct table *t = get_table(q, d->table, &has_failed);
	struct span value;
	const char *how;

	if (has_failed)
		return;
	if (!look_up(q, t, &value, &how)) {
		explain_say(q->explain, "not in %s", d->table);
		reject(q, 550, "5.1.1", "No such user here");
		return;
	}
	explain_say(q->explain, "%s: %s is listed: %.*s", d->table, how, SPAN_ARG(value));
	if (!mailbox_path(q, d, value))
		return;
	q->out->action = ROUTE_DELIVER;
	q->out->transport = TRANSPORT_MAILDIR;
	explain_say(q->explain, "Maildir %.*s below %s", SPAN_ARG(q->out->path), d->mailbox_base);
}

/* relay and lmtp with a table of recipients. False: refused. */
static bool
is_known_recipient(struct query *q, const struct conf_domain *d)
{
	bool has_failed;
	const struct table *t = get_table(q, d->recipients, &has_failed);
	struct span value;
	const char *how;

	if (has_failed)
		return false;
	if (t == NULL) {
		q->out->is_domain_wide = true;
		return true;
	}
	if (look_up(q, t, &value, &how)) {
		explain_say(q->explain, "%s: %s is listed", d->recipients, how);
		return true;
	}
	explain_say(q->explain, "not in %s", d->recipients);
	reject(q, 550, "5.1.1", "No such user here");
	return false;
}

static const char *
class_name(int class)
{
	switch ((enum conf_domain_class)class) {
	case CONF_DOMAIN_CLASS_VIRTUAL:
		return "virtual";
	case CONF_DOMAIN_CLASS_RELAY:
		return "relay";
	case CONF_DOMAIN_CLASS_LMTP:
		return "lmtp";
	case CONF_DOMAIN_CLASS_DISCARD:
	case CONF_DOMAIN_CLASS_COUNT:
		break;
	}
	return "discard";
}

static void
by_class(struct query *q, const struct conf_domain *d)
{
	struct span hop = span_of(d->next_hop);

	switch ((enum conf_domain_class)d->class) {
	case CONF_DOMAIN_CLASS_VIRTUAL:
		by_virtual(q, d);
		break;
	case CONF_DOMAIN_CLASS_RELAY:
		if (!is_known_recipient(q, d))
			break;
		if (by_transport_table(q))
			break;
		if (hop.n > 0)
			deliver_to(q, TRANSPORT_SMTP, hop, "next_hop");
		else
			deliver_by_mx(q);
		break;
	case CONF_DOMAIN_CLASS_LMTP:
		if (is_known_recipient(q, d) && !by_transport_table(q))
			deliver_to(q, TRANSPORT_LMTP, hop, "next_hop");
		break;
	case CONF_DOMAIN_CLASS_DISCARD:
	case CONF_DOMAIN_CLASS_COUNT:
		q->out->action = ROUTE_DISCARD;
		q->out->is_domain_wide = true;
		break;
	}
}

/* ---- remote ---- */

/* False: there is none, or it cannot be told now. */
static bool
find_relay_host(struct query *q, struct span *out, bool *has_failed)
{
	const struct table *t = get_table(q, q->conf->relay_host_by_sender, has_failed);
	ptrdiff_t at = span_rchr(q->sender, '@');
	struct span domain;

	if (*has_failed)
		return false;
	if (t != NULL && at > 0 && resolve_normalize_domain(span_sub(q->sender, (size_t)at + 1, SIZE_MAX), q->a, &domain) == 0) {
		if (table_get(t, join(q, span_sub(q->sender, 0, (size_t)at), domain), out) ||
		    table_get(t, join(q, SPAN_NONE, domain), out))
			return true;
	}
	*out = span_of(q->conf->relay_host);
	return out->n > 0;
}

static void
by_remote(struct query *q)
{
	struct span host;
	bool has_failed;

	explain_say(q->explain, "%.*s is no domain of this server", SPAN_ARG(q->domain));
	q->out->is_domain_wide = true;
	if (by_transport_table(q))
		return;
	if (find_relay_host(q, &host, &has_failed))
		deliver_to(q, TRANSPORT_SMTP, host, "smarthost (relay_host)");
	else if (!has_failed)
		deliver_by_mx(q);
}

/* ---- aliases ---- */

static bool
find_alias(struct query *q, struct span *value_out, bool *has_failed)
{
	const char *how;

	*has_failed = false;
	for (size_t i = 0; i < q->conf->aliases.virtual.count; i++) {
		const char *path = q->conf->aliases.virtual.items[i];
		const struct table *t = get_table(q, path, has_failed);
		if (*has_failed) {
			q->out->is_ours = true; /* it might be: "later", not "denied" */
			return false;
		}
		if (!look_up(q, t, value_out, &how))
			continue;
		explain_say(q->explain, "alias in %s (%s): %.*s", path, how, SPAN_ARG(*value_out));
		return true;
	}
	return false;
}

/* A target without domain gets origin; "@domain" keeps the local part. False: this is no address. */
static bool
complete(struct query *q, struct span target, struct span *out)
{
	struct smtp_addr parsed;

	if (target.p[0] == '@')
		*out = join(q, q->local, span_sub(target, 1, SIZE_MAX));
	else if (span_chr(target, '@') < 0)
		*out = join(q, target, span_of(q->conf->origin));
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
		reject(q, 550, "5.3.5", "Alias expands to too many addresses");
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
		reject(q, 550, "5.3.5", "Alias expands to too many addresses");
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

	return resolve_normalize_domain(span_sub(address, (size_t)at + 1, SIZE_MAX), q->a, &domain) == 0 &&
	       span_eq(domain, q->domain) && span_ieq(span_sub(address, 0, (size_t)at), q->local);
}

/* Follow aliases of one address. True: the current address stands and is to be delivered. */
static bool
follow_aliases(struct query *q)
{
	struct span value, one;
	bool has_failed;

	for (unsigned step = 0; find_alias(q, &value, &has_failed); step++) {
		uint32_t n = count_targets(value);
		if (step == 0)
			q->out->is_ours = true;
		if (n == 0) {
			reject(q, 550, "5.1.1", "No such user here");
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
			reject(q, 554, "5.4.6", "Alias loop");
			return false;
		}
		if (!set_address(q, one))
			return false;
	}
	return !has_failed;
}

/* <postmaster> without a domain is always accepted.                      RFC 5321 4.5.1 */
static struct span
postmaster_address(struct query *q)
{
	struct span to = span_of(q->conf->postmaster);

	if (to.n > 0 && span_chr(to, '@') >= 0)
		return to;
	if (to.n == 0)
		to = SPAN("postmaster");
	return join(q, to, span_of(q->conf->domain_count > 0 ? q->conf->domain[0].title : q->conf->origin));
}

static bool
has_aliases(const struct query *q)
{
	for (size_t i = 0; i < q->conf->aliases.virtual.count; i++) {
		if (table_count(tables_get(q->tables, q->conf->aliases.virtual.items[i])) > 0)
			return true;
	}
	return false;
}

void
resolve_decide(const struct conf *conf, const struct tables *tables, const struct resolve_question *question,
	       struct arena *a, const struct explain *explain, struct decision *out)
{
	struct query q = { .conf = conf, .tables = tables, .a = a, .explain = explain, .sender = question->sender, .out = out };
	const struct conf_domain *d;
	struct span address = question->address;
	bool is_postmaster = span_chr(address, '@') < 0 && span_ieq(address, SPAN("postmaster"));

	memset(out, 0, sizeof(*out));
	out->esc = "";
	if (is_postmaster) {
		address = postmaster_address(&q);
		explain_say(explain, "postmaster without domain: %.*s", SPAN_ARG(address));
	}
	if (!set_address(&q, address))
		return;
	out->is_ours = is_postmaster;
	if (!question->skip_aliases && !follow_aliases(&q))
		return;
	out->final = q.address;
	if ((d = find_domain(&q)) != NULL) {
		out->is_ours = true;
		explain_say(explain, "domain %s has class %s", d->title, class_name(d->class));
		by_class(&q, d);
	} else {
		by_remote(&q);
	}
	out->is_domain_wide = out->is_domain_wide && !is_postmaster && !has_aliases(&q) && conf->transport[0] == '\0';
}
