/* SPDX-License-Identifier: ISC
 *
 * What the options of domains and the tables mean together: part of check.c. Runs in master and the tools. */

/* System */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* lib */
#include "conf/addr.h"
#include "conf/check.h"

void
check_hop(const struct checker *k, unsigned line, const char *name, const char *text, bool unix_ok)
{
	struct conf_hop hop;

	if (text[0] == '\0')
		return;
	if (conf_hop_parse(span_of(text), &hop) < 0)
		problem_error(k->src, line,
			      "%s = \"%s\": no next hop; write [HOST]:PORT for a host, DOMAIN:PORT "
			      "for the "
			      "servers of a domain%s",
			      name, text, unix_ok ? ", or unix:/PATH" : "");
	else if (hop.kind == CONF_HOP_UNIX && !unix_ok)
		problem_error(k->src, line,
			      "%s = \"%s\": a socket speaks LMTP; write class = lmtp, or "
			      "[HOST]:PORT",
			      name, text);
}

static void
check_absent(const struct checker *k, size_t block, const char *option, const char *value,
	     const char *class)
{
	if (value[0] != '\0')
		problem_error(k->src, check_line_of(k, "domain", block, option),
			      "%s is not used by class = %s; remove it or change the class", option,
			      class);
}

/* A table that is not there. Only where a file is checked on its host, not a text. */
static void
check_table(const struct checker *k, unsigned line, const char *option, const char *path)
{
	if (k->src->base == NULL || path[0] == '\0' || access(path, F_OK) == 0 ||
	    (errno != ENOENT && errno != ENOTDIR))
		return;
	problem_warn(k->src, line, "%s = \"%s\": there is no such file; make it, or mend the path",
		     option, path);
}

void
check_tables(const struct checker *k)
{
	const struct conf *c = k->c;

	check_table(k, check_line_of(k, "", 0, "transport"), "transport", c->transport);
	check_table(k, check_line_of(k, "", 0, "relay_host_by_sender"), "relay_host_by_sender",
		    c->relay_host_by_sender);
	for (size_t i = 0; i < c->aliases.virtual.count; i++)
		check_table(k, check_line_of(k, "aliases", 0, "virtual"), "aliases.virtual",
			    c->aliases.virtual.items[i]);
	for (size_t i = 0; i < c->domain_count; i++) {
		check_table(k, check_line_of(k, "domain", i, "table"), "table", c->domain[i].table);
		check_table(k, check_line_of(k, "domain", i, "recipients"), "recipients",
			    c->domain[i].recipients);
	}
}

static void
check_virtual(const struct checker *k, size_t i)
{
	const struct conf_domain *d = &k->c->domain[i];

	if (d->table[0] == '\0')
		problem_error(k->src, d->line,
			      "domain \"%s\" of class virtual without a table; write table = "
			      "\"FILE\" with "
			      "lines of ADDRESS FOLDER/",
			      d->title);
	if (d->mailbox_base[0] == '\0')
		problem_error(k->src, d->line,
			      "domain \"%s\" of class virtual without mailbox_base; write "
			      "mailbox_base = "
			      "\"FOLDER\"",
			      d->title);
	check_absent(k, i, "next_hop", d->next_hop, "virtual");
	check_absent(k, i, "recipients", d->recipients, "virtual");
}

static void
check_forwarded(const struct checker *k, size_t i, const char *class)
{
	const struct conf_domain *d = &k->c->domain[i];
	bool is_lmtp = d->class == CONF_DOMAIN_CLASS_LMTP;

	check_absent(k, i, "table", d->table, class);
	check_absent(k, i, "mailbox_base", d->mailbox_base, class);
	if (is_lmtp && d->next_hop[0] == '\0')
		problem_error(k->src, d->line,
			      "domain \"%s\" of class lmtp without next_hop; write next_hop = "
			      "\"unix:/PATH\" "
			      "or \"[HOST]:PORT\"",
			      d->title);
	check_hop(k, check_line_of(k, "domain", i, "next_hop"), "next_hop", d->next_hop, is_lmtp);
	if (d->recipients[0] == '\0')
		problem_warn(k->src, d->line,
			     "domain \"%s\" of class %s accepts any local part and returns what "
			     "the next "
			     "hop refuses, also to forged senders; write recipients = \"FILE\"",
			     d->title, class);
}

void
check_domains(const struct checker *k)
{
	for (size_t i = 0; i < k->c->domain_count; i++) {
		const struct conf_domain *d = &k->c->domain[i];

		if (!conf_is_host_name(span_of(d->title)))
			problem_error(k->src, d->line,
				      "domain \"%s\": not a domain name; write one such as "
				      "\"example.org\"",
				      d->title);
		if (check_is_block_bad(k, "domain", i))
			continue;
		switch ((enum conf_domain_class)d->class) {
		case CONF_DOMAIN_CLASS_VIRTUAL:
			check_virtual(k, i);
			break;
		case CONF_DOMAIN_CLASS_RELAY:
			check_forwarded(k, i, "relay");
			break;
		case CONF_DOMAIN_CLASS_LMTP:
			check_forwarded(k, i, "lmtp");
			break;
		case CONF_DOMAIN_CLASS_DISCARD:
			check_absent(k, i, "table", d->table, "discard");
			check_absent(k, i, "mailbox_base", d->mailbox_base, "discard");
			check_absent(k, i, "next_hop", d->next_hop, "discard");
			check_absent(k, i, "recipients", d->recipients, "discard");
			break;
		case CONF_DOMAIN_CLASS_COUNT:
			break;
		}
	}
}

/* ---- where mail for the postmaster ends ---- */

/* Has this table a line for local@domain or @domain? Also if it cannot be read here. */
static bool
is_listed(const char *path, struct span local, struct span domain)
{
	FILE *f = path[0] != '\0' ? fopen(path, "re") : NULL;
	bool is_found = path[0] != '\0' && f == NULL;
	char *line = NULL;
	size_t size = 0;

	while (f != NULL && !is_found && getline(&line, &size, f) > 0) {
		struct span key = span_make(line, strcspn(line, " \t\r\n"));
		ptrdiff_t at = span_rchr(key, '@');

		is_found = at >= 0 && span_ieq(span_sub(key, (size_t)at + 1, SIZE_MAX), domain) &&
			   (at == 0 || span_ieq(span_sub(key, 0, (size_t)at), local));
	}
	free(line);
	if (f != NULL)
		(void)fclose(f);
	return is_found;
}

static bool
is_alias(const struct conf *c, struct span local, struct span domain)
{
	for (size_t i = 0; i < c->aliases.virtual.count; i++)
		if (is_listed(c->aliases.virtual.items[i], local, domain))
			return true;
	return false;
}

void
conf_postmaster_find(const struct conf *c, struct conf_postmaster *out)
{
	struct span to = span_of(c->postmaster);
	ptrdiff_t at = span_rchr(to, '@');

	*out = (struct conf_postmaster){ .kind = CONF_POSTMASTER_NOBODY };
	if (at <= 0 && c->domain_count == 0)
		return;
	out->kind = CONF_POSTMASTER_READ;
	out->local = at > 0 ? span_sub(to, 0, (size_t)at) : to.n > 0 ? to : SPAN("postmaster");
	out->domain = at > 0 ? span_sub(to, (size_t)at + 1, SIZE_MAX) : span_of(c->domain[0].title);
	for (size_t i = 0; i < c->domain_count && out->block == NULL; i++) {
		if (span_ieq(out->domain, span_of(c->domain[i].title)))
			out->block = &c->domain[i];
	}
	if (out->block == NULL || is_alias(c, out->local, out->domain))
		return;
	if (out->block->class == CONF_DOMAIN_CLASS_DISCARD)
		out->kind = CONF_POSTMASTER_DISCARD;
	else if (out->block->class == CONF_DOMAIN_CLASS_VIRTUAL &&
		 !is_listed(out->block->table, out->local, out->domain))
		out->kind = CONF_POSTMASTER_FALLBACK;
}

/* RFC 5321 4.5.1: every server takes mail for its postmaster; that a person reads it, only the administrator can bring
 * about. */
void
check_postmaster(const struct checker *k)
{
	unsigned line = check_line_of(k, "", 0, "postmaster");
	struct conf_postmaster to;

	if (k->src->base == NULL || k->c->domain_count == 0)
		return;
	conf_postmaster_find(k->c, &to);
	if (to.kind == CONF_POSTMASTER_DISCARD)
		problem_warn(k->src, line > 0 ? line : to.block->line,
			     "mail for <postmaster> is thrown away with domain \"%s\"; write "
			     "postmaster = \"someone@example.org\"",
			     to.block->title);
	else if (to.kind == CONF_POSTMASTER_FALLBACK)
		problem_warn(k->src, line > 0 ? line : to.block->line,
			     "%.*s@%s stands in no table, so mail for <postmaster> goes to "
			     "%s/postmaster/; write postmaster = \"someone@example.org\", "
			     "or a line "
			     "in the table",
			     SPAN_ARG(to.local), to.block->title, to.block->mailbox_base);
}
