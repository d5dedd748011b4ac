/* SPDX-License-Identifier: ISC */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "base/map.h"
#include "conf/conf.h"
#include "conf/problem.h"
#include "conf/scan.h"

/* What options mean together: errors and warnings with the line of the option that is to be changed. Internal
 * to lib/conf. */
void conf_check(const struct conf_source *src, const struct conf *c, struct scan *found);

/* What a check gets. */
struct checker {
	const struct conf_source *src;
	const struct conf *c;
	struct map64 found; /* option and block -> struct found_option: there may be many domains */
};

/* The line of an option; that of its block where it is not given; 0 where it is a default. */
unsigned check_line_of(const struct checker *k, const char *group, size_t block,
		       const char *option);
/* A value of this block was refused, so what it means together would only confuse. */
bool check_is_block_bad(const struct checker *k, const char *group, size_t block);

/* A next hop, or nothing. name is the option. */
void check_hop(const struct checker *k, unsigned line, const char *name, const char *text,
	       bool unix_ok);
void check_domains(const struct checker *k);
/* A postmaster that nobody reads. Only where a file is checked on its host, not a text. */
void check_postmaster(const struct checker *k);
/* Tables that are not there. Only where a file is checked on its host, not a text. */
void check_tables(const struct checker *k);

#endif
