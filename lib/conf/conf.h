/* SPDX-License-Identifier: ISC */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "conf/conf_enum.h"
#include "conf/conf_struct.h"
#include "proc/proc.h"

/* The options of options.def as typed fields. Strings are NUL-terminated and never NULL. Times are milliseconds
 * ("never" = 0 where 0 is allowed), sizes bytes. Sections are structs (c->limits.recipients), titled blocks arrays
 * (c->domain[i].title, c->domain_count). Enums hold the index of their value: CONF_<SECTION or BLOCK>_<OPTION>_<VALUE>
 * of conf_enum.h. */

/* Problems of a file, for a person: "FILE:LINE: message; remedy" lines. */
struct conf_problems {
	struct buf text; /* one line each */
	unsigned errors;
	unsigned warnings;
};

/* Read and check a file. All problems are collected. On errors *out is NULL and E_CONFIG (E_IO, E_NOTFOUND,
 * E_ACCESS: cannot be read) is returned. If must_be_root_owned (the server starts as root), a file that others can write is
 * refused, unless they could as well write the running program, and the users of users { } must exist.
 * problems: need not be initialised; conf_problems_clear(). */
int conf_load(const char *path, bool must_be_root_owned, struct conf **out,
	      struct conf_problems *problems) MUST_CHECK;
/* What can be taken from a file with mistakes, for tools that must find a running server whatever was done to its file
 * since. NULL: it cannot be read, or is so broken (a string without end) that not one value can be told; the place of the
 * server must not be guessed then. */
struct conf *conf_load_best(const char *path);
/* All defaults; with the hostname and origin that they have on this host. */
struct conf *conf_defaults(void);
struct conf *conf_defaults_of_host(void);
/* "600/min" as in options of type rate. E_SYNTAX. */
int conf_rate_parse(struct span text, struct conf_rate *out) MUST_CHECK;
/* Is this Unix socket a next hop: the next_hop of a domain, or one of lmtp_sockets? */
bool conf_has_socket(const struct conf *c, struct span path);
/* Who reads what is sent to <postmaster> (RFC 5321 4.5.1), as far as the configuration and its tables tell. */
enum conf_postmaster_kind {
	CONF_POSTMASTER_READ,	  /* an address that a table knows, or another server's */
	CONF_POSTMASTER_FALLBACK, /* no table knows it: the Maildir postmaster/ below mailbox_base */
	CONF_POSTMASTER_DISCARD,  /* a domain of class discard */
	CONF_POSTMASTER_NOBODY	  /* there is no domain block and no option postmaster */
};
struct conf_postmaster {
	enum conf_postmaster_kind kind;
	struct span local, domain;	 /* the address; empty for NOBODY */
	const struct conf_domain *block; /* its domain, NULL: none of ours */
};
void conf_postmaster_find(const struct conf *c, struct conf_postmaster *out);
void conf_free(struct conf **c);
/* The same for a text, without the host's name: hostname and origin stay empty where it does not give them.
 * file: for the problems; base: canonical folder of relative paths, NULL: they stay. problems: initialised. */
int conf_parse(const char *file, const char *base, struct span text, struct conf **out,
	       struct conf_problems *problems) MUST_CHECK;
void conf_problems_init(struct conf_problems *p);
void conf_problems_clear(struct conf_problems *p);

/* Values for one process (its FOR column); the rest are the defaults on the other side. */
void conf_encode(const struct conf *c, enum proc_id who, struct buf *out);
int conf_decode(struct span in, struct conf **out) MUST_CHECK;

/* For `postern config`: "name = value" lines as a user would write them; block options as `domain "x" { class = ... }`.
 * what: all options, or only those changed from their default; name restricts to one option or section, NULL: all. */
enum conf_show { CONF_SHOW_ALL, CONF_SHOW_CHANGED, CONF_SHOW_DOC };
int conf_show(const struct conf *c, enum conf_show what, const char *name,
	      struct buf *out) MUST_CHECK;
/* The commented sample file, and postern.conf(5) as roff, generated from the table. */
void conf_sample(struct buf *out);
void conf_man(struct buf *out);
/* Closest option name for a misspelt one within the same section, NULL: none is near. */
const char *conf_suggest(const char *section, const char *misspelt);

#endif
