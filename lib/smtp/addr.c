/* SPDX-License-Identifier: ISC
 *
 * Addresses of MAIL and RCPT: syntax only. It does not know which domains exist, rewrites nothing and removes no quotes:
 * the router does. No I/O; the bytes are a stranger's, every step has an explicit end. Used by smtpd, router and the
 * tools.                                                       RFC 5321 4.1.2, 4.1.3; RFC 6531 3.3; RFC 5890-5893 */

/* System */
#include <arpa/inet.h>
#include <string.h>
/* Third party */
#include <idn2.h>
/* lib */
#include "smtp/addr.h"

enum { LABEL_MAX = 63 };

static bool
is_alnum(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* atext of RFC 5322 3.2.3, extended by RFC 6531. */
static bool
is_atext(unsigned char c)
{
	return is_alnum(c) || c >= 128 || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* Length of the UTF-8 sequence that begins with c, 0: none does. */
static size_t
utf8_length(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return 2;
	if (c >= 0xe0 && c <= 0xef)
		return 3;
	return c >= 0xf0 && c <= 0xf4 ? 4 : 0;
}

bool
addr_is_utf8(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0, n; i < s.n; i += n) {
		n = utf8_length(p[i]);
		if (n == 0 || n > s.n - i)
			return false;
		for (size_t k = 1; k < n; k++)
			if ((p[i + k] & 0xc0) != 0x80)
				return false;
		/* Overlong forms, surrogates, and what is above U+10FFFF. */
		if ((p[i] == 0xe0 && p[i + 1] < 0xa0) || (p[i] == 0xed && p[i + 1] > 0x9f) ||
		    (p[i] == 0xf0 && p[i + 1] < 0x90) || (p[i] == 0xf4 && p[i + 1] > 0x8f))
			return false;
	}
	return true;
}

static bool
has_8bit(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 128)
			return true;
	return false;
}

/* U-labels must be allowed and stable under IDNA 2008, and fit when they become A-labels. */
static bool
is_idn_domain(struct span s)
{
	char ascii[ADDR_DOMAIN_MAX + 1];

	return addr_is_utf8(s) && addr_domain_to_ascii(s, ascii) == 0 &&
	       addr_is_domain(span_of(ascii), false);
}

static bool
is_label(struct span label)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		unsigned char c = (unsigned char)label.p[i];

		if (!is_alnum(c) && c != '-' && c < 128)
			return false;
	}
	return true;
}

bool
addr_is_domain(struct span s, bool utf8_ok)
{
	struct span rest = s, label;

	if (s.n == 0 || s.n > ADDR_DOMAIN_MAX || s.p[s.n - 1] == '.')
		return false;
	if (has_8bit(s) && !utf8_ok)
		return false;
	while (span_next(&rest, '.', &label))
		if (!is_label(label))
			return false;
	return !has_8bit(s) || is_idn_domain(s);
}

bool
addr_is_literal(struct span s)
{
	unsigned char addr[sizeof(struct in6_addr)];
	char text[INET6_ADDRSTRLEN];
	int family = AF_INET;

	if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	s = span_sub(s, 1, s.n - 2);
	if (span_istarts(s, SPAN("IPv6:"))) {
		s = span_sub(s, 5, s.n);
		family = AF_INET6;
	}
	if (s.n >= sizeof(text) || memchr(s.p, '\0', s.n) != NULL)
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(family, text, addr) == 1;
}

/* Length of the local part at the front of `in`, 0: there is no valid one. */
static size_t
dot_string_length(struct span in)
{
	size_t i;

	for (i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c == '.' && i > 0 && in.p[i - 1] != '.')
			continue;
		if (!is_atext(c))
			break;
	}
	return i > 0 && in.p[i - 1] == '.' ? 0 : i;
}

bool
addr_is_dot_string(struct span local)
{
	return local.n > 0 && dot_string_length(local) == local.n;
}

static size_t
quoted_string_length(struct span in)
{
	for (size_t i = 1; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];

		if (c == '"')
			return i + 1;
		if (c == '\\') {
			if (++i == in.n)
				return 0;
			c = (unsigned char)in.p[i];
			if (c < 32 || c > 126)
				return 0;
		} else if (c < 32 || c == 127) {
			return 0;
		}
	}
	return 0;
}

int
addr_parse_mailbox(struct span in, struct smtp_addr *out)
{
	size_t n;

	*out = (struct smtp_addr){ .full = in };
	out->is_quoted = in.n > 0 && in.p[0] == '"';
	n = out->is_quoted ? quoted_string_length(in) : dot_string_length(in);
	/* One @ only: "user@dom@dom" must never be taken for one of two addresses. */
	if (n == 0 || n == in.n || in.p[n] != '@')
		return E_ADDR_SYNTAX;
	out->local = span_sub(in, 0, n);
	out->domain = span_sub(in, n + 1, in.n);
	if (out->local.n > ADDR_LOCAL_MAX || out->domain.n > ADDR_DOMAIN_MAX)
		return E_ADDR_LONG;
	out->is_literal = out->domain.n > 0 && out->domain.p[0] == '[';
	if (out->is_literal ? !addr_is_literal(out->domain) : !addr_is_domain(out->domain, true))
		return E_ADDR_SYNTAX;
	out->is_utf8 = has_8bit(in);
	return out->is_utf8 && !addr_is_utf8(in) ? E_ADDR_SYNTAX : 0;
}

/* Cut "@one,@two:" off the front.                                               RFC 5321 appendix C */
static int
drop_source_route(struct span *in)
{
	struct span route, hop;
	ptrdiff_t colon;

	if (in->n == 0 || in->p[0] != '@')
		return 0;
	/* A colon in an address literal of the route is not its end. */
	for (colon = 0; (size_t)colon < in->n; colon++) {
		if (in->p[colon] == ':')
			break;
		if (in->p[colon] == '[') {
			ptrdiff_t close = span_chr(span_sub(*in, (size_t)colon, in->n), ']');

			if (close < 0)
				return E_ADDR_SYNTAX;
			colon += close;
		}
	}
	if ((size_t)colon >= in->n)
		return E_ADDR_SYNTAX;
	route = span_sub(*in, 0, (size_t)colon);
	while (span_next(&route, ',', &hop)) {
		hop = span_trim(hop);
		if (hop.n < 2 || hop.p[0] != '@')
			return E_ADDR_SYNTAX;
		hop = span_sub(hop, 1, hop.n);
		if (!addr_is_literal(hop) && !addr_is_domain(hop, true))
			return E_ADDR_SYNTAX;
	}
	*in = span_sub(*in, (size_t)colon + 1, in->n);
	return 0;
}

/* Index of the '>' that closes a path; one inside a quoted local part does not. -1: none. */
static ptrdiff_t
path_end(struct span in)
{
	bool is_quoted = false;

	for (size_t i = 0; i < in.n; i++) {
		if (in.p[i] == '\\' && is_quoted)
			i++;
		else if (in.p[i] == '"')
			is_quoted = !is_quoted;
		else if (in.p[i] == '>' && !is_quoted)
			return (ptrdiff_t)i;
	}
	return -1;
}

/* The first blank outside a quoted string, or the end. */
static size_t
word_end(struct span in)
{
	bool is_quoted = false;
	size_t i;

	for (i = 0; i < in.n; i++) {
		if (in.p[i] == '\\' && is_quoted && i + 1 < in.n)
			i++;
		else if (in.p[i] == '"')
			is_quoted = !is_quoted;
		else if (in.p[i] == ' ' && !is_quoted)
			break;
	}
	return i;
}

int
addr_parse_path(struct span *in, struct smtp_addr *out)
{
	struct span path;
	ptrdiff_t end;
	size_t n;
	int r;

	*out = (struct smtp_addr){ .full = SPAN_NONE };
	while (in->n > 0 && in->p[0] == ' ')
		*in = span_sub(*in, 1, in->n);
	if (in->n == 0)
		return E_ADDR_SYNTAX;
	if (in->p[0] == '<') {
		path = span_sub(*in, 1, in->n);
		if ((end = path_end(path)) < 0)
			return E_ADDR_SYNTAX;
		*in = span_sub(path, (size_t)end + 1, path.n);
		path = span_sub(path, 0, (size_t)end);
		if (path.n == 0)
			return in->n > 0 && in->p[0] != ' ' ? E_ADDR_SYNTAX : 0;
	} else {
		n = word_end(*in);
		path = span_sub(*in, 0, n);
		*in = span_sub(*in, n, in->n);
	}
	if (in->n > 0 && in->p[0] != ' ')
		return E_ADDR_SYNTAX;
	if ((r = drop_source_route(&path)) < 0)
		return r;
	if (span_ieq(path, SPAN("postmaster"))) {
		out->full = out->local = path;
		return 0;
	}
	return addr_parse_mailbox(path, out);
}

int
addr_domain_to_ascii(struct span domain, char out[ADDR_DOMAIN_MAX + 1])
{
	char text[4 * ADDR_DOMAIN_MAX + 1], *ascii;
	int r = E_ADDR_SYNTAX;

	if (domain.n == 0 || domain.n >= sizeof(text) || span_chr(domain, '\0') >= 0)
		return r;
	memcpy(text, domain.p, domain.n);
	text[domain.n] = '\0';
	if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return r;
	size_t n = strlen(ascii);
	if (n > 0 &&
	    n <= ADDR_DOMAIN_MAX) { /* a label of ignored characters alone becomes nothing */
		for (size_t i = 0; i <= n; i++)
			out[i] = (char)(ascii[i] >= 'A' && ascii[i] <= 'Z' ? ascii[i] + 32
									   : ascii[i]);
		r = 0;
	}
	idn2_free(ascii);
	return r;
}
