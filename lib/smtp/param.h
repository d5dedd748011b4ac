/* SPDX-License-Identifier: ISC */
#ifndef SMTP_PARAM_H
#define SMTP_PARAM_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/span.h"

/* RET of RFC 3461 4.3 and BODY of RFC 6152; the numbers are those of the envelope. */
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };

#define SMTP_NOTIFY_NEVER 1u /* RFC 3461 4.1; the bits are those of the envelope */
#define SMTP_NOTIFY_SUCCESS 2u
#define SMTP_NOTIFY_FAILURE 4u
#define SMTP_NOTIFY_DELAY 8u

#define SMTP_ENVID_MAX 100 /* RFC 3461 4.4 */
#define SMTP_ORCPT_MAX 500 /* RFC 3461 4.2 */

/* Parameters of MAIL; spans into the bytes that were parsed. */
struct mail_params {
	bool has_size;
	uint64_t size_bytes; /* RFC 1870; more than 2^62 is 2^62 */
	enum smtp_body body;
	bool is_smtputf8; /* RFC 6531 */
	enum smtp_ret ret;
	struct span envid; /* xtext as given, checked */
};

/* Parameters of RCPT. */
struct rcpt_params {
	uint8_t notify;	   /* SMTP_NOTIFY_*, 0: not given */
	struct span orcpt; /* "type;xtext" as given, checked; empty: not given */
};

/* Parse all of `in`, what follows the path.
 * errors E_SYNTAX (form, given twice, bad value), E_BADPARAM (keyword not offered), E_PARAM (BODY=BINARYMIME) */
int param_parse_mail(struct span in, struct mail_params *out) MUST_CHECK;
int param_parse_rcpt(struct span in, struct rcpt_params *out) MUST_CHECK;

/* Is this xtext whose decoded form is printable ASCII?                                     RFC 3461 4 */
bool param_is_xtext(struct span s);

#endif
