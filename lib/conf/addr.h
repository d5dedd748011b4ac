/* SPDX-License-Identifier: ISC */
#ifndef CONF_ADDR_H
#define CONF_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/span.h"

/* Addresses, networks and next hops as they are written in the configuration and in tables. */

/* 0: "*", both families. IPv4 in the first 4 bytes, network order. */
struct conf_addr {
	uint8_t family; /* 0, 4, 6 */
	uint8_t addr[16];
};

/* "*", "192.0.2.1", "2001:db8::1", "[2001:db8::1]", "[IPv6:2001:db8::1]", "[192.0.2.1]". E_SYNTAX. */
int conf_addr_parse(struct span text, struct conf_addr *out) MUST_CHECK;

/* All addresses whose first bits are those of addr. family is 4 or 6. */
struct conf_net {
	uint8_t family;
	uint8_t bits;	  /* 0 to 32 or 128 */
	uint8_t addr[16]; /* bits after the prefix are 0 */
};

/* An address, "192.0.2.0/24", "[2001:db8::]/32" or "2001:db8::/32". E_SYNTAX; E_PARAM: bits are set after the prefix. */
int conf_net_parse(struct span text, struct conf_net *out) MUST_CHECK;
/* Is an address (IPv4 in the first 4 bytes) in the network? An IPv4-mapped IPv6 address counts as IPv4. */
bool conf_net_has(const struct conf_net *net, uint8_t family, const uint8_t addr[16]);

/* Where mail of a domain or of everybody is handed over. */
enum conf_hop_kind {
	CONF_HOP_HOST,	 /* "[host]:port", "[192.0.2.1]:25", "[2001:db8::1]:25": no MX is asked */
	CONF_HOP_DOMAIN, /* "domain:port": its MX */
	CONF_HOP_UNIX	 /* "unix:/path" */
};

struct conf_hop {
	enum conf_hop_kind kind;
	struct span
		host; /* without brackets and "IPv6:"; for UNIX the absolute path, at most 107 bytes */
	struct conf_addr addr; /* HOST: family 0 if host is a name */
	uint16_t port;	       /* 0: none given */
};

/* E_SYNTAX. */
int conf_hop_parse(struct span text, struct conf_hop *out) MUST_CHECK;

/* Labels of letters, digits, hyphens, underscores (some local names have them) and bytes over 127 (U-labels), at most
 * 63 bytes each and 255 in all. */
bool conf_is_host_name(struct span s);

#endif
