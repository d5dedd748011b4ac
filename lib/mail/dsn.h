/* SPDX-License-Identifier: ISC */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* Delivery status notifications: a report to the sender about what became of a message, for a person and for programs.
 * RFC 3461 (when), 3464 (message/delivery-status), 6522 (multipart/report), 6533 (UTF-8 addresses). */
enum dsn_action {
	DSN_FAILED,
	DSN_DELAYED,
	DSN_DELIVERED,
	DSN_RELAYED,
	DSN_EXPANDED,
	DSN_ACTION_COUNT
};

/* What became of one recipient. */
struct dsn_rcpt {
	enum dsn_action action;
	struct span addr; /* the address that was tried */
	struct span
		orig; /* the address that the sender wrote, if aliases made another of it; empty: addr */
	struct span orcpt; /* ORCPT as given, "type;xtext"; empty: none */
	struct span esc;   /* enhanced status code; empty: made from reply and action */
	uint16_t reply;	   /* SMTP reply code, 0: the answer is not from an SMTP server */
	struct span text;  /* the reply or the reason, one line */
	struct span
		relay;	 /* "host[address]:port" of the server that gave the reply; empty: we did */
	bool is_expired; /* failed because the time was up; text is the last temporary failure */
	uint64_t attempt_us;	 /* last attempt, wall clock; 0: none */
	uint64_t retry_until_us; /* DELAYED: tried until then */
};

struct dsn_report {
	struct span hostname; /* of this server */
	struct span id;	      /* unique here: makes the Message-ID and the boundary */
	uint64_t date_us;     /* wall clock */
	struct span
		to; /* who gets it: the reverse-path of the message, or the postmaster; not empty */
	struct span
		sender; /* reverse-path of the message; empty: null sender (then `to` is the postmaster) */
	struct span envid;	      /* ENVID as given (xtext), empty: none */
	uint64_t arrival_us;	      /* of the message */
	bool is_utf8;		      /* the message was taken with SMTPUTF8 */
	const struct dsn_rcpt *rcpts; /* at least one */
	uint32_t rcpt_count;
	struct span original;  /* trace and content, or as much of its front as is at hand */
	uint64_t original_len; /* of all of it */
	bool want_full; /* return the content too if it is at most max_bytes long and can be enclosed */
	uint64_t max_bytes; /* of the original that is returned */
};

/* Append the report, header and body, CRLF lines of at most 998 bytes, no NUL.
 * needs_utf8_out   it must be sent with SMTPUTF8
 * needs_8bit_out   it must be sent with BODY=8BITMIME
 * errors E_TOOBIG: out is full */
int dsn_build(const struct dsn_report *r, struct buf *out, bool *needs_utf8_out,
	      bool *needs_8bit_out) MUST_CHECK;

/* Enhanced status code of a recipient: as given if its class fits the action, else "5.0.0", "4.0.0" or "2.0.0". For an
 * expired one the code of the last temporary failure says more than 4.4.7 (RFC 3463 3.5), so that is only the fallback. */
struct span dsn_status(const struct dsn_rcpt *r);

#endif
