/* SPDX-License-Identifier: ISC
 *
 * Addresses, networks and next hops as an administrator writes them. Resolves nothing. Used by every process that reads
 * them from its options or from a table. */

/* System */
#include <arpa/inet.h>
#include <string.h>
/* this library */
#include "conf/addr.h"

enum { V4_BITS = 32, V6_BITS = 128, LABEL_MAX = 63, NAME_MAX_BYTES = 255, ADDR_TEXT_MAX = 64 };

bool
conf_is_host_name(struct span s)
{
	size_t label = 0;

	if (s.n == 0 || s.n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool is_letter = (c | 32) >= 'a' && (c | 32) <= 'z';

		if (c == '.') {
			if (label == 0 || s.p[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c < 0x80 &&
		    !(c == '-' && label > 0))
			return false;
		if (++label > LABEL_MAX)
			return false;
	}
	return label > 0 && s.p[s.n - 1] != '-';
}

/* Takes "[...]" off; false if there is only one bracket. */
static bool
strip_brackets(struct span *s)
{
	bool opens = span_starts(*s, SPAN("[")), closes = span_ends(*s, SPAN("]"));

	if (opens != closes)
		return false;
	if (opens)
		*s = span_make(s->p + 1, s->n - 2);
	if (opens && span_istarts(*s, SPAN("IPv6:")))
		*s = span_sub(*s, 5, SIZE_MAX);
	return true;
}

int
conf_addr_parse(struct span text, struct conf_addr *out)
{
	char host[ADDR_TEXT_MAX];

	memset(out, 0, sizeof(*out));
	if (span_eq(text, SPAN("*")))
		return 0;
	if (!strip_brackets(&text) || text.n == 0 || text.n >= sizeof(host) ||
	    memchr(text.p, '\0', text.n) != NULL)
		return E_SYNTAX;
	memcpy(host, text.p, text.n);
	host[text.n] = '\0';
	if (inet_pton(AF_INET, host, out->addr) == 1)
		out->family = 4;
	else if (inet_pton(AF_INET6, host, out->addr) == 1)
		out->family = 6;
	return out->family != 0 ? 0 : E_SYNTAX;
}

/* Clears the bits after the prefix; true if one was set. */
static bool
clear_host_bits(struct conf_net *net)
{
	bool was_set = false;

	for (unsigned bit = net->bits; bit < (net->family == 4 ? V4_BITS : V6_BITS); bit++) {
		uint8_t mask = (uint8_t)(0x80 >> bit % 8);

		was_set = was_set || (net->addr[bit / 8] & mask) != 0;
		net->addr[bit / 8] &= (uint8_t)~mask;
	}
	return was_set;
}

int
conf_net_parse(struct span text, struct conf_net *out)
{
	ptrdiff_t slash = span_rchr(text, '/');
	struct conf_addr addr;
	uint64_t bits, max;
	int r;

	if ((r = conf_addr_parse(slash >= 0 ? span_sub(text, 0, (size_t)slash) : text, &addr)) < 0)
		return r;
	if (addr.family == 0)
		return E_SYNTAX;
	bits = max = addr.family == 4 ? V4_BITS : V6_BITS;
	if (slash >= 0 && span_to_u64(span_sub(text, (size_t)slash + 1, SIZE_MAX), max, &bits) < 0)
		return E_SYNTAX;
	out->family = addr.family;
	out->bits = (uint8_t)bits;
	memcpy(out->addr, addr.addr, sizeof(out->addr));
	return clear_host_bits(out) ? E_PARAM : 0;
}

bool
conf_net_has(const struct conf_net *net, uint8_t family, const uint8_t addr[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	unsigned bytes = net->bits / 8, rest = net->bits % 8;

	if (net->family == 4 && family == 6 && memcmp(addr, mapped, sizeof(mapped)) == 0)
		addr += sizeof(mapped);
	else if (net->family != family)
		return false;
	if (memcmp(net->addr, addr, bytes) != 0)
		return false;
	return rest == 0 || ((net->addr[bytes] ^ addr[bytes]) & (0xff00 >> rest) & 0xff) == 0;
}

/* ":25" or nothing. */
static int
parse_port(struct span text, uint16_t *out)
{
	uint64_t port;

	*out = 0;
	if (text.n == 0)
		return 0;
	if (text.p[0] != ':' || span_to_u64(span_sub(text, 1, SIZE_MAX), UINT16_MAX, &port) < 0 ||
	    port == 0)
		return E_SYNTAX;
	*out = (uint16_t)port;
	return 0;
}

static int
parse_host_hop(struct span text, struct conf_hop *out)
{
	ptrdiff_t close = span_chr(text, ']');
	int r;

	if (close < 0)
		return E_SYNTAX;
	out->kind = CONF_HOP_HOST;
	out->host = span_sub(text, 0, (size_t)close + 1);
	r = conf_addr_parse(out->host, &out->addr);
	strip_brackets(&out->host);
	if (r < 0 && !conf_is_host_name(out->host))
		return E_SYNTAX;
	return parse_port(span_sub(text, (size_t)close + 1, SIZE_MAX), &out->port);
}

int
conf_hop_parse(struct span text, struct conf_hop *out)
{
	ptrdiff_t colon;

	memset(out, 0, sizeof(*out));
	if (span_starts(text, SPAN("unix:"))) {
		out->kind = CONF_HOP_UNIX;
		out->host = span_sub(text, 5, SIZE_MAX);
		/* As long as a socket's address can hold. */
		return span_starts(out->host, SPAN("/")) && out->host.n <= 107 ? 0 : E_SYNTAX;
	}
	if (span_starts(text, SPAN("[")))
		return parse_host_hop(text, out);
	colon = span_chr(text, ':');
	out->kind = CONF_HOP_DOMAIN;
	out->host = colon >= 0 ? span_sub(text, 0, (size_t)colon) : text;
	if (!conf_is_host_name(out->host))
		return E_SYNTAX;
	return parse_port(colon >= 0 ? span_sub(text, (size_t)colon, SIZE_MAX) : SPAN_NONE,
			  &out->port);
}
