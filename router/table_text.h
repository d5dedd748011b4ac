/* SPDX-License-Identifier: ISC */
#ifndef ROUTER_TABLE_TEXT_H
#define ROUTER_TABLE_TEXT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/map.h"

/* A text table in memory: lines "key  value", # comments, lines that begin with a blank continue the one before. Keys
 * are compared without regard to case; a key may be quoted ("a b"@x); U-labels in it are found as A-labels. Read-only once
 * loaded. */
struct table;

#define TABLE_BYTES_MAX (64u * 1024 * 1024)

/* What a value must be; is_bad returns what is wrong with it and what to write instead (static text), NULL: nothing. */
struct table_check {
	const char *(*is_bad)(const void *arg, unsigned line, struct span value);
	const void *arg;
};

/* Read and index a whole file, each of whose values passes the check (NULL: any does). On an error nothing is made, *line_out names the line (0: the file as a whole) and *why_out
 * says what is wrong (static text). E_SYNTAX, E_TOOBIG, E_IO. Does not close fd. */
int table_load(int fd, const struct table_check *check, struct table **out, unsigned *line_out,
	       const char **why_out) MUST_CHECK;
/* The same from memory, which is copied. */
int table_parse(struct span text, const struct table_check *check, struct table **out,
		unsigned *line_out, const char **why_out) MUST_CHECK;
void table_free(struct table **t);
/* Value of a key; false: not there. Borrowed from the table. */
bool table_get(const struct table *t, struct span key, struct span *value_out);
size_t table_count(const struct table *t);

#endif
