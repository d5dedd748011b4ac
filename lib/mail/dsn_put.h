/* SPDX-License-Identifier: ISC */
#ifndef MAIL_DSN_PUT_H
#define MAIL_DSN_PUT_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/span.h"
#include "mail/dsn.h"

/* Inside of lib/mail: what the parts of a report have in common. */

/* Length of the UTF-8 character at the front (RFC 3629), 0: there is none. */
size_t dsn_utf8_char(struct span s);
bool dsn_is_ascii(struct span s);
bool dsn_is_utf8(struct span s);

/* Bytes of others on a line of ours: control bytes and what is not ASCII become "?"; with is_utf8 valid UTF-8 stays. */
void dsn_put_clean(struct buf *b, struct span s, bool is_utf8);

/* Words of a text, clean, on lines of about `width` bytes that all but the first begin with `indent`; a word is cut only
 * where it would make a line longer than 900 bytes. No CRLF at the end.
 * column   where the first word will stand */
void dsn_put_wrapped(struct buf *b, struct span text, const char *indent, size_t column,
		     size_t width, bool is_utf8);

/* "550 5.1.1 text": the reply as the server gave it. */
void dsn_put_reply(struct buf *b, const struct dsn_rcpt *r);

/* xtext (RFC 3461 4) back to what it stands for; what is no xtext stays as it is. */
void dsn_put_xtext_decoded(struct buf *b, struct span xtext);

/* The part for a person, and the one for programs; both end with CRLF. */
void dsn_put_human(struct buf *b, const struct dsn_report *r, bool is_utf8);
void dsn_put_status(struct buf *b, const struct dsn_report *r, bool is_utf8);

#endif
