/* SPDX-License-Identifier: ISC */
#ifndef CONF_HOST_H
#define CONF_HOST_H

#include "base/span.h"
#include "conf/problem.h"

/* hostname and origin where the file does not name them. Internal to lib/conf and its tests. */

/* Fill both from this host; warns about a hostname that is not fully qualified. src NULL: says nothing. */
void host_complete(const struct conf_source *src, struct conf *c);
/* The fully qualified name of a host: nodename if it has a dot, else the first name with a dot on a line of the hosts
 * file that has nodename, else nodename. mem_free(). */
char *host_full_name(const char *nodename, struct span hosts);
/* First word of /etc/mailname that is a domain; empty: none. */
struct span host_mailname(struct span text);

#endif
