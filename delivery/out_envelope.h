/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_ENVELOPE_H
#define DELIVERY_OUT_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "delivery/job.h"
#include "delivery/out_caps.h"

/* Can the server take this message at all? Settles the recipients for whom it cannot: too large (5.3.4), 8-bit content
 * without 8BITMIME (5.6.3), UTF-8 without SMTPUTF8 (5.6.7), an address that cannot be written as a path (5.1.3, 5.1.7),
 * and those over the server's RCPTMAX (not tried).                             RFC 1870 6.2, 6152 3, 6531 3.2, 9422 */
void out_envelope_check(struct job *j, const struct out_caps *caps);

/* "MAIL FROM:<...> ...\r\n", "RCPT TO:<...> ...\r\n" for recipient i, with the parameters that the server offers. */
void out_envelope_put_mail(struct buf *b, const struct job *j, const struct out_caps *caps);
void out_envelope_put_rcpt(struct buf *b, const struct job *j, uint32_t i,
			   const struct out_caps *caps);

#endif
