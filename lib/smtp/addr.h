/* SPDX-License-Identifier: ISC */
#ifndef SMTP_ADDR_H
#define SMTP_ADDR_H

#include <stdbool.h>
#include "base/err.h"
#include "base/span.h"

#define ADDR_LOCAL_MAX 64   /* RFC 5321 4.5.3.1.1 */
#define ADDR_DOMAIN_MAX 255 /* RFC 5321 4.5.3.1.2 */

/* An address of a command; spans into the bytes that were parsed, nothing is decoded.
 *	null path      all empty
 *	<postmaster>   local is set, domain is empty
 *	<local@domain> both are set */
struct smtp_addr {
	struct span full;   /* what stood between < and >, without a source route */
	struct span local;  /* as written, a quoted one with its quotes */
	struct span domain; /* as written; a literal with its brackets */
	bool is_quoted;	    /* local part is a quoted string */
	bool is_literal;    /* domain is an address literal */
	bool is_utf8;	    /* has bytes over 127: needs SMTPUTF8 */
};

/* Parse "local@domain", all of `in`.                                       RFC 5321 4.1.2, RFC 6531 3.3
 * UTF-8 is taken in both parts (the caller looks at is_utf8 and asks for SMTPUTF8); U-labels are checked by IDNA 2008.
 * errors E_ADDR_SYNTAX, E_ADDR_LONG (local part over 64 bytes, domain over 255) */
int addr_parse_mailbox(struct span in, struct smtp_addr *out) MUST_CHECK;

/* Cut a path off the front of *in: "<a@b>", "<>", "<postmaster>" (any case), with a source route, which is dropped, or,
 * as many old clients write it, an address without brackets. Leading blanks are skipped; what follows is left in *in and
 * begins with a blank or is empty.                                                RFC 5321 4.1.2, appendix C
 * errors as above */
int addr_parse_path(struct span *in, struct smtp_addr *out) MUST_CHECK;

/* Is this a local part that stands without quotes?                                         RFC 5321 4.1.2 Dot-string */
bool addr_is_dot_string(struct span local);
/* Is this a host name of letters, digits and hyphens, or, if utf8_ok, of U-labels?          RFC 5321 4.1.2 Domain */
bool addr_is_domain(struct span s, bool utf8_ok);
/* Is this "[192.0.2.1]" or "[IPv6:2001:db8::1]"?                                            RFC 5321 4.1.3 */
bool addr_is_literal(struct span s);
/* A domain with U-labels as A-labels in lower case.                                         RFC 5890, RFC 5891
 * out  NUL-terminated
 * E_ADDR_SYNTAX: is none under IDNA 2008 */
int addr_domain_to_ascii(struct span domain, char out[ADDR_DOMAIN_MAX + 1]) MUST_CHECK;
/* Is this well-formed UTF-8 (no overlong forms, no surrogates)?                             RFC 3629 */
bool addr_is_utf8(struct span s);

#endif
