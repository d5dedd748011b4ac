/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_CAPS_H
#define DELIVERY_OUT_CAPS_H

#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"

/* What a server offered in its reply to EHLO or LHLO. */
struct out_caps {
	bool has_pipelining; /* RFC 2920 */
	bool has_size;	     /* RFC 1870 */
	bool has_8bitmime;   /* RFC 6152 */
	bool has_smtputf8;   /* RFC 6531 */
	bool has_chunking;   /* RFC 3030 */
	bool has_dsn;	     /* RFC 3461 */
	bool has_starttls;   /* RFC 3207 */
	uint64_t size_max;   /* 0: not told */
	uint32_t rcpt_max;   /* LIMITS, RFC 9422; 0: not told */
	uint32_t mail_max;
};

/* text is that of the reply; its first line is the server's name. Unknown keywords are ignored. */
void out_caps_parse(struct out_caps *c, struct span text);

#endif
