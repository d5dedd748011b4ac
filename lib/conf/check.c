/* SPDX-License-Identifier: ISC
 *
 * What the options of a configuration mean together, and the forms of strings that more than one program reads. Ranges
 * and types are value.c's, domains check_domain.c's. Runs in master and the tools. */

/* System */
#include <string.h>
/* lib */
#include "base/map.h"
#include "conf/addr.h"
#include "conf/check.h"
#include "conf/user.h"
#include "proc/proc.h"

static uint64_t
key_of(const struct conf_row *row, size_t block)
{
	size_t count;

	return ((uint64_t)(row - conf_rows(&count)) << 32 | block) + 1;
}

/* What the file says of an option, NULL: nothing. */
static const struct found_option *
found_of(const struct checker *k, const char *group, size_t block, const char *option)
{
	const struct conf_group *g = conf_group_find(span_of(group));

	return map64_get(&k->found, key_of(conf_row_find(g, span_of(option)), block));
}

unsigned
check_line_of(const struct checker *k, const char *group, size_t block, const char *option)
{
	const struct found_option *found = found_of(k, group, block, option);
	const struct conf_group *g = conf_group_find(span_of(group));

	if (found != NULL)
		return found->line;
	return g->kind == CONF_BLOCK ? *conf_block_line(k->c, g, block) : 0;
}

bool
check_is_block_bad(const struct checker *k, const char *group, size_t block)
{
	const struct conf_group *g = conf_group_find(span_of(group));
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		const struct found_option *found = row[i].group == g
							   ? map64_get(&k->found,
								       key_of(&row[i], block))
							   : NULL;

		if (found != NULL && found->is_bad)
			return true;
	}
	return false;
}

/* Would binding both fail? */
static bool
listens_clash(const struct conf_addr *a, const struct conf_addr *b)
{
	static const uint8_t any[16];

	if (a->family == 0 || b->family == 0)
		return true;
	if (a->family != b->family)
		return false;
	return memcmp(a->addr, b->addr, 16) == 0 || memcmp(a->addr, any, 16) == 0 ||
	       memcmp(b->addr, any, 16) == 0;
}

static void
check_listens(const struct checker *k)
{
	const struct conf_listen *l = k->c->listen;
	struct conf_addr a, b;

	for (size_t i = 0; i < k->c->listen_count; i++) {
		if (conf_addr_parse(span_of(l[i].address), &a) < 0) {
			problem_error(k->src, check_line_of(k, "listen", i, "address"),
				      "address = \"%s\": no address; write an IPv4 address, an "
				      "[IPv6] "
				      "address, or * for all",
				      l[i].address);
			continue;
		}
		for (size_t j = 0; j < i; j++) {
			if (l[j].port != l[i].port ||
			    conf_addr_parse(span_of(l[j].address), &b) < 0 ||
			    !listens_clash(&a, &b))
				continue;
			problem_error(k->src, l[i].line,
				      "listen \"%s\" takes address %s port %u, which listen \"%s\" "
				      "on line "
				      "%u has; change one of the two",
				      l[i].title, l[i].address, (unsigned)l[i].port, l[j].title,
				      l[j].line);
		}
	}
	if (k->c->listen_count == 0)
		problem_warn(k->src, 0,
			     "no listen block, so no mail comes in from the network; write listen "
			     "\"smtp\" "
			     "{ address = \"*\" port = 25 }");
}

static void
check_networks(const struct checker *k)
{
	const struct conf_list *nets = &k->c->relay_from;
	unsigned line = check_line_of(k, "", 0, "relay_from");
	struct conf_net net = { 0 };

	for (size_t i = 0; i < nets->count; i++) {
		int r = conf_net_parse(span_of(nets->items[i]), &net);

		if (r == E_PARAM)
			problem_error(k->src, line,
				      "relay_from: %s has bits behind its prefix; write the "
				      "network's "
				      "address, or no /%u",
				      nets->items[i], net.bits);
		else if (r < 0)
			problem_error(k->src, line,
				      "relay_from: %s is no network; write an address, or one with "
				      "a prefix "
				      "such as 192.0.2.0/24 or [2001:db8::]/32",
				      nets->items[i]);
		else if (net.bits == 0)
			problem_warn(k->src, line,
				     "relay_from: %s is everybody, which makes an open relay; name "
				     "your own "
				     "networks",
				     nets->items[i]);
	}
}

/* Does a process of procs.def run as this option of users { }? */
static bool
is_user_needed(const char *option)
{
	for (unsigned id = 0; id < PROC_COUNT; id++) {
		if (id != PROC_MASTER && strcmp(proc_info((enum proc_id)id)->user, option) == 0)
			return true;
	}
	return false;
}

static void
check_user(const struct checker *k, unsigned line, const char *option, const char *name)
{
	uint64_t id;
	uid_t uid;
	gid_t gid;
	bool is_zero = span_to_u64(span_of(name), UINT64_MAX, &id) == 0 &&
		       (id == 0 || id >= UINT32_MAX);

	if (name[0] == '\0' || strpbrk(name, " :,/") != NULL)
		problem_error(k->src, line,
			      "users.%s = \"%s\": no user; write a name or a numeric id", option,
			      name);
	else if (strcmp(name, "root") == 0 || is_zero)
		problem_error(k->src, line,
			      "users.%s = \"%s\": no process runs as root; write another user, or "
			      "an id from "
			      "1 to 4294967294",
			      option, name);
	else if (k->src->is_for_root && is_user_needed(option) &&
		 (conf_user_find(name, &uid, &gid) < 0 || uid == 0))
		problem_error(k->src, line,
			      "users.%s = \"%s\": no such user in /etc/passwd; make it with "
			      "`useradd -r -M "
			      "-U -s /usr/sbin/nologin %s`, or write a numeric id that nobody has",
			      option, name, name);
}

static void
check_users(const struct checker *k)
{
	const struct conf_group *g = conf_group_find(SPAN("users"));
	void *users = conf_group_at(k->c, g, 0);
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		const char *name = row[i].group == g ? *(char *const *)conf_field(&row[i], users)
						     : NULL;

		if (name == NULL)
			continue;
		check_user(k, check_line_of(k, "users", 0, row[i].name), row[i].name, name);
		for (size_t j = 0; j < i; j++) {
			if (row[j].group == g &&
			    strcmp(*(char *const *)conf_field(&row[j], users), name) == 0)
				problem_warn(k->src, check_line_of(k, "users", 0, row[i].name),
					     "users.%s and users.%s are both %s, so each can take "
					     "over the "
					     "other; give each its own",
					     row[j].name, row[i].name, name);
		}
	}
}

static void
check_directories(const struct checker *k)
{
	const struct conf_directories *d = &k->c->directories;
	const char *const dirs[][2] = { { "spool", d->spool },
					{ "run", d->run },
					{ "state", d->state } };

	for (size_t i = 0; i < 3; i++) {
		if (dirs[i][1][0] != '/')
			problem_error(k->src, check_line_of(k, "directories", 0, dirs[i][0]),
				      "directories.%s is empty; write a path", dirs[i][0]);
		for (size_t j = 0; j < i; j++) {
			if (strcmp(dirs[i][1], dirs[j][1]) == 0)
				problem_error(k->src,
					      check_line_of(k, "directories", 0, dirs[i][0]),
					      "directories.%s and directories.%s are the same "
					      "folder; give "
					      "each its own",
					      dirs[j][0], dirs[i][0]);
		}
	}
}

static void
check_names(const struct checker *k)
{
	const struct conf *c = k->c;
	unsigned line = check_line_of(k, "", 0, "hostname");

	if (c->hostname[0] != '\0' && !conf_is_host_name(span_of(c->hostname)))
		problem_error(k->src, line,
			      "hostname = \"%s\": not a host name; write one such as "
			      "\"mx1.example.org\"",
			      c->hostname);
	else if (c->hostname[0] != '\0' && strchr(c->hostname, '.') == NULL)
		problem_warn(k->src, line,
			     "hostname = \"%s\" is not fully qualified and other servers may "
			     "refuse mail "
			     "from it; write NAME.DOMAIN",
			     c->hostname);
	if (c->origin[0] != '\0' && !conf_is_host_name(span_of(c->origin)))
		problem_error(k->src, check_line_of(k, "", 0, "origin"),
			      "origin = \"%s\": not a domain name; write one such as "
			      "\"example.org\"",
			      c->origin);
	if (c->aliases.delimiter[0] != '\0' && strpbrk(c->aliases.delimiter, "@ <>\"") != NULL)
		problem_error(k->src, check_line_of(k, "aliases", 0, "delimiter"),
			      "delimiter = \"%s\": @, blanks, quotes and angle brackets cannot "
			      "separate; "
			      "write \"+\"",
			      c->aliases.delimiter);
}

/* An address with a domain, or a name that origin completes. */
static void
check_address(const struct checker *k, const char *option, const char *text)
{
	struct span s = span_of(text);
	ptrdiff_t at = span_rchr(s, '@');

	if (s.n == 0)
		return;
	if (at == 0 || span_chr(s, ' ') >= 0 || span_chr(s, '<') >= 0 ||
	    (at > 0 && !conf_is_host_name(span_sub(s, (size_t)at + 1, SIZE_MAX))))
		problem_error(k->src, check_line_of(k, "", 0, option),
			      "%s = \"%s\": no address; write one such as \"someone@example.org\"",
			      option, text);
}

static void
check_sites(const struct checker *k)
{
	for (size_t i = 0; i < k->c->site_count; i++) {
		const struct conf_site *s = &k->c->site[i];
		bool is_default = strcmp(s->title, "default") == 0;

		if (check_is_block_bad(k, "site", i))
			continue;
		if (is_default && s->mx.count > 0)
			problem_error(k->src, check_line_of(k, "site", i, "mx"),
				      "site \"default\" holds for all others and has no mx; remove "
				      "it");
		if (!is_default && s->mx.count == 0)
			problem_error(k->src, s->line,
				      "site \"%s\" without mx holds for nothing; write mx = { "
				      "\"*.HOST\" }",
				      s->title);
		for (size_t j = 0; j < s->mx.count; j++) {
			struct span name = span_of(s->mx.items[j]);

			if (span_starts(name, SPAN("*.")))
				name = span_sub(name, 2, SIZE_MAX);
			if (!conf_is_host_name(name))
				problem_error(k->src, check_line_of(k, "site", i, "mx"),
					      "mx: \"%s\" is no host name; write one, or *.DOMAIN",
					      s->mx.items[j]);
		}
	}
}

static void
check_resolver(const struct checker *k)
{
	const struct conf_list *servers = &k->c->resolver.servers;

	for (size_t i = 0; i < servers->count; i++) {
		struct span text = span_of(servers->items[i]);
		ptrdiff_t at = span_chr(text, '@');
		struct conf_addr addr;
		uint64_t port = 1;

		if (at >= 0 &&
		    span_to_u64(span_sub(text, (size_t)at + 1, SIZE_MAX), UINT16_MAX, &port) < 0)
			port = 0;
		if (port == 0 ||
		    conf_addr_parse(at >= 0 ? span_sub(text, 0, (size_t)at) : text, &addr) < 0 ||
		    addr.family == 0)
			problem_error(k->src, check_line_of(k, "resolver", 0, "servers"),
				      "resolver.servers: \"%s\" is no server; write an address, or "
				      "ADDRESS@PORT",
				      servers->items[i]);
	}
}

static void
check_times(const struct checker *k)
{
	const struct conf_retry *r = &k->c->retry;

	if (r->max < r->first)
		problem_error(k->src, check_line_of(k, "retry", 0, "max"),
			      "retry.max is shorter than retry.first; make it longer");
	if (r->warn_after >= r->expire)
		problem_warn(k->src, check_line_of(k, "retry", 0, "warn_after"),
			     "retry.warn_after is not before retry.expire, so no delay is ever "
			     "reported; "
			     "shorten it");
}

/* A file of the event log is a sixteenth of it. */
#define EVENTS_LEAST 1048576u

static void
check_events(const struct checker *k)
{
	if (k->c->events.max > 0 && k->c->events.max < EVENTS_LEAST)
		problem_error(k->src, check_line_of(k, "events", 0, "max"),
			      "events.max is less than 1M, which holds too few events; make it "
			      "larger, or 0 for none");
}

static void
check_log(const struct checker *k)
{
	const char *to = k->c->log.to;

	if (strcmp(to, "syslog") != 0 && strcmp(to, "stderr") != 0 && to[0] != '/')
		problem_error(k->src, check_line_of(k, "log", 0, "to"),
			      "log.to = \"%s\": no destination; write syslog, stderr or the "
			      "absolute path of "
			      "a file",
			      to);
}

void
conf_check(const struct conf_source *src, const struct conf *c, struct scan *found)
{
	struct checker k = { .src = src, .c = c };

	map64_init(&k.found);
	for (size_t i = 0; i < found->option_count; i++)
		map64_put(&k.found, key_of(found->options[i].row, found->options[i].block),
			  &found->options[i]);
	check_names(&k);
	check_directories(&k);
	check_users(&k);
	check_listens(&k);
	check_domains(&k);
	check_tables(&k);
	check_networks(&k);
	check_hop(&k, check_line_of(&k, "", 0, "relay_host"), "relay_host", c->relay_host, false);
	check_address(&k, "bcc_always", c->bcc_always);
	check_address(&k, "postmaster", c->postmaster);
	check_postmaster(&k);
	check_sites(&k);
	check_resolver(&k);
	check_times(&k);
	check_log(&k);
	check_events(&k);
	map64_clear(&k.found);
}
