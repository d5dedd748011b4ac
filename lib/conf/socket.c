/* SPDX-License-Identifier: ISC
 *
 * Which Unix sockets the configuration names as next hops: router asks before it routes there, master before it connects.
 * Opens nothing. Runs in master and router. */

/* lib */
#include "conf/addr.h"
#include "conf/conf.h"

bool
conf_has_socket(const struct conf *conf, struct span path)
{
	struct conf_hop hop;

	for (size_t i = 0; i < conf->domain_count; i++) {
		const char *text = conf->domain[i].next_hop;
		if (text[0] != '\0' && conf_hop_parse(span_of(text), &hop) == 0 &&
		    hop.kind == CONF_HOP_UNIX && span_eq(hop.host, path))
			return true;
	}
	for (size_t i = 0; i < conf->lmtp_sockets.count; i++) {
		if (span_eq(span_of(conf->lmtp_sockets.items[i]), path))
			return true;
	}
	return false;
}
