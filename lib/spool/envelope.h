/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_ENVELOPE_H
#define SPOOL_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* The envelope as it stands in records of the spool and in messages between processes: typed, length-prefixed fields
 * (u16 type, u32 length, bytes). A field of unknown type is skipped when read and kept when the bytes are copied, so
 * later versions can add some. CR, LF and NUL are refused in every text field (security rule R5). */
enum env_field {
	ENV_SENDER = 1,	     /* reverse-path without <>, empty: null sender; exactly one */
	ENV_RCPT = 2,	     /* one per recipient, in index order */
	ENV_ENVID = 3,	     /* RFC 3461 4.4, xtext as given */
	ENV_RET = 4,	     /* u8: enum env_ret */
	ENV_BODY = 5,	     /* u8: enum env_body */
	ENV_SMTPUTF8 = 6,    /* empty: the transaction used SMTPUTF8 */
	ENV_CLIENT_ADDR = 7, /* text */
	ENV_CLIENT_HELO = 8,
	ENV_AUTH_USER = 9,
	ENV_PROTOCOL = 10,    /* "ESMTP", RFC 3848 */
	ENV_SID = 11,	      /* session id of the intake, for the log */
	ENV_DEDUPE_NAME = 12, /* intake name or user id */
	ENV_DEDUPE_KEY = 13,  /* <= 255 bytes */
	ENV_UID = 14,	      /* u32: local user who submitted it */
	ENV_TENANT = 20,      /* reserved for later: tenant, */
	ENV_PRIORITY = 21,    /* u8 priority, */
	ENV_LIFETIME = 22,    /* u32 seconds, */
	ENV_SOURCE_POOL = 23, /* source pool, */
	ENV_BODY_HASH = 24    /* body hash for DKIM */
};

enum env_ret { ENV_RET_NONE, ENV_RET_FULL, ENV_RET_HDRS };
enum env_body { ENV_BODY_7BIT, ENV_BODY_8BITMIME };

/* NOTIFY of RFC 3461 4.1; 0: not given. */
#define ENV_NOTIFY_NEVER 1u
#define ENV_NOTIFY_SUCCESS 2u
#define ENV_NOTIFY_FAILURE 4u
#define ENV_NOTIFY_DELAY 8u

struct env_rcpt {
	uint32_t index;	   /* position in the message as stored; a job carries a subset */
	uint8_t notify;	   /* ENV_NOTIFY_* */
	struct span addr;  /* forward-path without <>, no source route */
	struct span orcpt; /* RFC 3461 4.2 "rfc822;xtext", empty: none */
	struct span orig;  /* the address before aliases (X-Original-To), empty: addr */
};

struct envelope {
	struct span sender;
	struct span envid;
	enum env_ret ret;
	enum env_body body;
	bool is_smtputf8;
	struct span client_addr, client_helo, auth_user, protocol, sid;
	struct span dedupe_name, dedupe_key;
	uint32_t uid; /* ENV_NO_UID: none */
	struct env_rcpt *rcpts;
	uint32_t rcpt_count;
};
#define ENV_NO_UID UINT32_MAX

/* Longest text values. */
#define ENV_ADDR_MAX 384
#define ENV_TEXT_MAX 512
#define ENV_KEY_MAX 255
#define ENV_RCPT_MAX 100000

void envelope_init(struct envelope *e);
void envelope_encode(struct buf *b, const struct envelope *e);
/* Spans point into `in`, the recipients into the arena. E_CORRUPT, E_TOOMANY_RCPTS. */
int envelope_decode(struct span in, struct arena *a, struct envelope *out) MUST_CHECK;
/* Only what one recipient and the whole need, without an array; E_NOTFOUND: no such index. */
int envelope_find_rcpt(struct span in, uint32_t index, struct env_rcpt *out) MUST_CHECK;

/* Hints about the content; nothing trusts them for framing. */
enum record_content {
	CONTENT_8BIT = 1, /* has bytes over 127 */
	CONTENT_NUL = 2,
	CONTENT_LONG_LINE = 4,	/* has a line over 998 octets */
	CONTENT_HEADER_UTF8 = 8 /* has bytes over 127 in its header section */
};

#endif
