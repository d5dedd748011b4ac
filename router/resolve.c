/* SPDX-License-Identifier: ISC
 *
 * What the tables say about an address, in this order: bare postmaster, virtual aliases, transport table, domain class,
 * smarthost, MX. A postmaster of a domain of ours is never refused (RFC 5321 4.5.1). Pure: no DNS, no I/O. Local parts
 * are never interpreted ("a%b@c", "\"a@b\"@c" are mailboxes of c like any other), so no address can talk this server into
 * relaying. Runs in router.
 */
/* System */
#include <ctype.h>
#include <string.h>

/* lib */
#include "base/buf.h"

/* this program */
#include "router/query.h"

/* ---- templates of table values ---- */

static bool
put_variable(struct query *q, struct buf *b, struct span name)
{
	struct span plain = query_plain_local(q), v;

	if (span_eq(name, SPAN("rcpt.local")))
		v = plain;
	else if (span_eq(name, SPAN("rcpt.domain")))
		v = q->domain;
	else if (span_eq(name, SPAN("rcpt.detail")))
		v = plain.n < q->local.n ? span_sub(q->local, plain.n + 1, SIZE_MAX) : SPAN_NONE;
	else
		return false;
	/* A part of a path: it must be one name and stay where it is. */
	if (v.n == 0 || span_eq(v, SPAN(".")) || span_eq(v, SPAN("..")) || span_chr(v, '/') >= 0 ||
	    span_chr(v, '\0') >= 0)
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

static void
bad_path(struct query *q, const char *why, struct span path)
{
	explain_say(q->explain, "not now: %s: `%.*s`", why, SPAN_ARG(path));
	query_defer(q, "4.3.5", "Server configuration error");
}

static bool
has_parent(struct span path)
{
	struct span part;

	while (span_next(&path, '/', &part))
		if (span_eq(part, SPAN("..")))
			return true;
	return false;
}

/* Path of a Maildir below the base: an absolute one must lie there; it ends in / and never goes up. */
static bool
mailbox_path(struct query *q, const struct conf_domain *d, struct span value)
{
	struct span path, base = span_of(d->mailbox_base);

	if (!expand_template(q, value, &path)) {
		explain_say(q->explain, "the entry `%.*s` gives no path for this address",
			    SPAN_ARG(value));
		query_reject(q, 550, "5.1.1", "No such user here");
		return false;
	}
	while (base.n > 1 && base.p[base.n - 1] == '/')
		base.n--;
	if (path.n > 0 && path.p[0] == '/') {
		if (!span_starts(path, base) || path.n <= base.n || path.p[base.n] != '/') {
			bad_path(q, "the path does not lie below mailbox_base", path);
			return false;
		}
		path = span_sub(path, base.n + 1, SIZE_MAX);
	}
	if (path.n < 2 || path.p[path.n - 1] != '/') {
		bad_path(q, "a mailbox must end in / (Maildir)", path);
		return false;
	}
	if (has_parent(path)) {
		bad_path(q, "a path with .. may lead out of mailbox_base", path);
		return false;
	}
	q->out->base = span_of(d->mailbox_base);
	q->out->path = path;
	return true;
}

static void decide(struct query *q);

/* Of the option, or of the first domain. */
static struct span
postmaster_address(struct query *q)
{
	struct span to = span_of(q->conf->postmaster);

	if (to.n > 0 && span_chr(to, '@') >= 0)
		return to;
	if (to.n == 0)
		to = SPAN("postmaster");
	return query_join(q, to,
			  span_of(q->conf->domain_count > 0 ? q->conf->domain[0].title
							    : q->conf->origin));
}

/* The table has no postmaster, but mail for one must be taken: by the option, else into a Maildir of its own.
 * RFC 5321 4.5.1 */
static void
by_postmaster(struct query *q, const struct conf_domain *d)
{
	if (q->conf->postmaster[0] != '\0' && !q->is_redirected) {
		q->is_redirected = true;
		explain_say(q->explain, "not in %s; option postmaster: %s", d->table,
			    q->conf->postmaster);
		if (query_set_address(q, postmaster_address(q)))
			decide(q);
		return;
	}
	q->out->action = ROUTE_DELIVER;
	q->out->transport = TRANSPORT_MAILDIR;
	q->out->base = span_of(d->mailbox_base);
	q->out->path = SPAN("postmaster/");
	explain_say(q->explain,
		    "not in %s; a postmaster is never refused: Maildir postmaster/ below %s",
		    d->table, d->mailbox_base);
}

static void
by_virtual(struct query *q, const struct conf_domain *d)
{
	bool has_failed;
	const struct table *t = query_table(q, d->table, &has_failed);
	struct span value;
	const char *how;

	if (has_failed)
		return;
	if (!query_look_up(q, t, &value, &how)) {
		if (q->is_postmaster) {
			by_postmaster(q, d);
			return;
		}
		explain_say(q->explain, "not in %s", d->table);
		query_reject(q, 550, "5.1.1", "No such user here");
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
	const struct table *t = query_table(q, d->recipients, &has_failed);
	struct span value;
	const char *how;

	if (has_failed)
		return false;
	if (t == NULL) {
		q->out->is_domain_wide = true;
		return true;
	}
	if (query_look_up(q, t, &value, &how)) {
		explain_say(q->explain, "%s: %s is listed", d->recipients, how);
		return true;
	}
	if (q->is_postmaster) {
		explain_say(q->explain,
			    "not in %s; a postmaster is never refused, and the next hop has one",
			    d->recipients);
		return true;
	}
	explain_say(q->explain, "not in %s", d->recipients);
	query_reject(q, 550, "5.1.1", "No such user here");
	return false;
}

static const char *
class_name(int class)
{
	switch ((enum conf_domain_class) class) {
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
		if (hop_by_transport_table(q))
			break;
		if (hop.n > 0)
			hop_deliver_to(q, TRANSPORT_SMTP, hop, "next_hop");
		else
			hop_deliver_by_mx(q);
		break;
	case CONF_DOMAIN_CLASS_LMTP:
		if (is_known_recipient(q, d) && !hop_by_transport_table(q))
			hop_deliver_to(q, TRANSPORT_LMTP, hop, "next_hop");
		break;
	case CONF_DOMAIN_CLASS_DISCARD:
	case CONF_DOMAIN_CLASS_COUNT:
		q->out->action = ROUTE_DISCARD;
		q->out->is_domain_wide = true;
		break;
	}
}

/* ---- remote, and all together ---- */

static void
by_remote(struct query *q)
{
	struct span host;
	bool has_failed;

	explain_say(q->explain, "%.*s is no domain of this server", SPAN_ARG(q->domain));
	q->out->is_domain_wide = true;
	if (hop_by_transport_table(q))
		return;
	if (hop_find_relay_host(q, &host, &has_failed))
		hop_deliver_to(q, TRANSPORT_SMTP, host, "smarthost (relay_host)");
	else if (!has_failed)
		hop_deliver_by_mx(q);
}

/* The current address. */
static void
decide(struct query *q)
{
	const struct conf_domain *d;

	if (!q->skip_aliases && !aliases_follow(q))
		return;
	q->out->final = q->address;
	if ((d = find_domain(q)) != NULL) {
		q->out->is_ours = true;
		explain_say(q->explain, "domain %s has class %s", d->title, class_name(d->class));
		by_class(q, d);
	} else {
		by_remote(q);
	}
}

void
resolve_decide(const struct conf *conf, const struct tables *tables,
	       const struct resolve_question *question, struct arena *a,
	       const struct explain *explain, struct decision *out)
{
	struct span address = question->address;
	struct query q = { .conf = conf,
			   .tables = tables,
			   .a = a,
			   .explain = explain,
			   .sender = question->sender,
			   .out = out,
			   .skip_aliases = question->skip_aliases };

	memset(out, 0, sizeof(*out));
	out->esc = "";
	if (span_ieq(address, SPAN("postmaster"))) {
		address = postmaster_address(&q);
		q.is_postmaster = q.is_redirected = true;
		explain_say(explain, "postmaster without domain: %.*s", SPAN_ARG(address));
	}
	if (!query_set_address(&q, address))
		return;
	q.is_postmaster = q.is_postmaster || span_ieq(q.local, SPAN("postmaster"));
	out->is_ours = q.is_redirected;
	decide(&q);
	out->is_domain_wide = out->is_domain_wide && !q.is_redirected && !aliases_exist(&q) &&
			      conf->transport[0] == '\0';
}
