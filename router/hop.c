/* SPDX-License-Identifier: ISC
 *
 * Next hops as they are written in the configuration and in tables, the transport table, and smarthosts. What stands in DNS
 * is site.c's. Pure: no DNS, no I/O. Runs in router.
 */
/* System */
#include <string.h>

/* lib */
#include "conf/addr.h"

/* this program */
#include "router/query.h"

#define NO_SOCKET "only sockets that next_hop or lmtp_sockets name are used; add it to lmtp_sockets"
#define NO_CLASS "unknown class; write smtp:, lmtp:, discard or error:"
#define NO_HOP "no next hop; write [host]:port or domain:port, or lmtp:unix:/path"
#define NO_SMTP_SOCKET "a socket speaks LMTP; write lmtp:unix:/path"

/* ---- next hops ---- */

/* port: where none is given. */
static bool
parse_hop(struct query *q, struct span text, uint16_t port, struct hop *out)
{
	struct conf_hop parsed;

	if (conf_hop_parse(span_trim(text), &parsed) < 0)
		return false;
	*out = (struct hop){ .name = parsed.host,
			     .port = parsed.port != 0 ? parsed.port : port,
			     .is_named = true };
	out->kind = parsed.kind == CONF_HOP_UNIX   ? HOP_UNIX
		    : parsed.kind == CONF_HOP_HOST ? HOP_HOST
						   : HOP_MX;
	return out->kind == HOP_UNIX ||
	       resolve_normalize_domain(parsed.host, q->a, &out->name) == 0;
}

static void
deliver(struct query *q, enum transport transport, const struct hop *hop)
{
	q->out->action = ROUTE_DELIVER;
	q->out->transport = transport;
	q->out->hop = *hop;
}

static void
bad_hop(struct query *q, const char *where, struct span text, const char *why)
{
	explain_say(q->explain, "%s: `%.*s`: %s", where, SPAN_ARG(text), why);
	query_defer(q, "4.3.5", "Server configuration error");
}

/* What is wrong with a socket as next hop, NULL: nothing. */
static const char *
socket_problem(const struct conf *conf, bool is_lmtp, struct span path)
{
	if (!is_lmtp)
		return NO_SMTP_SOCKET;
	return conf_has_socket(conf, path) ? NULL : NO_SOCKET;
}

void
hop_deliver_to(struct query *q, enum transport transport, struct span text, const char *where)
{
	struct hop hop;
	const char *why;

	if (!parse_hop(q, text, transport == TRANSPORT_LMTP ? 24 : 25, &hop)) {
		bad_hop(q, where, text, NO_HOP);
		return;
	}
	if (hop.kind == HOP_UNIX &&
	    (why = socket_problem(q->conf, transport == TRANSPORT_LMTP, hop.name)) != NULL) {
		bad_hop(q, where, text, why);
		return;
	}
	explain_say(q->explain, "%s: by %s to %.*s", where,
		    transport == TRANSPORT_LMTP ? "LMTP" : "SMTP", SPAN_ARG(text));
	deliver(q, transport, &hop);
}

void
hop_deliver_by_mx(struct query *q)
{
	struct hop hop = { .kind = HOP_MX, .name = q->domain, .port = 25 };

	if (q->domain.n > 2 && q->domain.p[0] == '[') {
		hop.kind = HOP_HOST;
		hop.name = span_sub(q->domain, 1, q->domain.n - 2);
		if (span_starts(hop.name, SPAN("ipv6:")))
			hop.name = span_sub(hop.name, 5, SIZE_MAX);
		explain_say(q->explain, "address literal: by SMTP to this address");
	} else {
		explain_say(q->explain, "by SMTP to the mail exchangers of %.*s",
			    SPAN_ARG(hop.name));
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

	return span_next(&code, '.', &class) &&
	       (span_eq(class, SPAN("4")) || span_eq(class, SPAN("5"))) &&
	       span_next(&code, '.', &subject) && subject.n <= 3 &&
	       span_to_u64(subject, 999, &n) == 0 && code.n <= 3 && span_to_u64(code, 999, &n) == 0;
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
	q->out->text = span_trim(rest).n > 0 ? span_trim(rest)
					     : SPAN("Refused by the transport table");
	explain_say(q->explain, "transport table: refused, %s %.*s", esc, SPAN_ARG(q->out->text));
}

static bool
find_transport(struct query *q, const struct table *t, struct span *value_out)
{
	if (table_get(t, query_join(q, q->local, q->domain), value_out) ||
	    table_get(t, q->domain, value_out))
		return true;
	for (size_t i = 0; i < q->domain.n; i++) {
		if (q->domain.p[i] == '.' &&
		    table_get(t, span_sub(q->domain, i, SIZE_MAX), value_out))
			return true;
	}
	return false;
}

/* What a value of the table asks for. */
enum transport_class { CLASS_DISCARD, CLASS_ERROR, CLASS_LMTP, CLASS_SMTP, CLASS_UNKNOWN };

/* *rest_out: what stands behind the class. */
static enum transport_class
class_of(struct span value, struct span *rest_out)
{
	struct span class;

	*rest_out = value;
	if (!span_next(rest_out, ':', &class))
		class = value;
	if (span_ieq(class, SPAN("discard")))
		return CLASS_DISCARD;
	if (span_ieq(class, SPAN("error")))
		return CLASS_ERROR;
	if (span_ieq(class, SPAN("lmtp")))
		return CLASS_LMTP;
	return span_ieq(class, SPAN("smtp")) || span_ieq(class, SPAN("relay")) ? CLASS_SMTP
									       : CLASS_UNKNOWN;
}

const char *
hop_transport_problem(const struct conf *conf, struct span value, bool *is_final_out)
{
	struct conf_hop hop;
	struct span rest;
	enum transport_class class = class_of(value, &rest);

	*is_final_out = true;
	if (class == CLASS_UNKNOWN)
		return NO_CLASS;
	if (class == CLASS_DISCARD || class == CLASS_ERROR || (class == CLASS_SMTP && rest.n == 0))
		return NULL;
	if (conf_hop_parse(span_trim(rest), &hop) < 0)
		return NO_HOP;
	*is_final_out = class == CLASS_SMTP;
	return hop.kind == CONF_HOP_UNIX ? socket_problem(conf, class == CLASS_LMTP, hop.host)
					 : NULL;
}

bool
hop_by_transport_table(struct query *q)
{
	struct span value, rest;
	bool has_failed;
	const struct table *t = query_table(q, q->conf->transport, &has_failed);

	if (has_failed)
		return true;
	if (!find_transport(q, t, &value))
		return false;
	explain_say(q->explain, "transport table: %.*s", SPAN_ARG(value));
	switch (class_of(value, &rest)) {
	case CLASS_DISCARD:
		q->out->action = ROUTE_DISCARD;
		break;
	case CLASS_ERROR:
		transport_error(q, rest);
		break;
	case CLASS_LMTP:
		hop_deliver_to(q, TRANSPORT_LMTP, rest, "transport table");
		break;
	case CLASS_SMTP:
		if (rest.n > 0)
			hop_deliver_to(q, TRANSPORT_SMTP, rest, "transport table");
		else
			hop_deliver_by_mx(q);
		break;
	case CLASS_UNKNOWN:
		bad_hop(q, "transport table", value, NO_CLASS);
		break;
	}
	return true;
}

/* ---- smarthosts ---- */

bool
hop_find_relay_host(struct query *q, struct span *out, bool *has_failed)
{
	const struct table *t = query_table(q, q->conf->relay_host_by_sender, has_failed);
	ptrdiff_t at = span_rchr(q->sender, '@');
	struct span domain;

	if (*has_failed)
		return false;
	if (t != NULL && at > 0 &&
	    resolve_normalize_domain(span_sub(q->sender, (size_t)at + 1, SIZE_MAX), q->a,
				     &domain) == 0) {
		if (table_get(t, query_join(q, span_sub(q->sender, 0, (size_t)at), domain), out) ||
		    table_get(t, query_join(q, SPAN_NONE, domain), out))
			return true;
	}
	*out = span_of(q->conf->relay_host);
	return out->n > 0;
}
