/* SPDX-License-Identifier: ISC */
#ifndef SPOOL_EVENT_H
#define SPOOL_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* The on-disk format of the event log, version 1; pages of it go to readers as they are. Numbers are little-endian.
 *
 *	file   = header (EVENT_HEADER_BYTES), then records without gap
 *	record = u32 length of the body, u32 CRC-32C of serial and body, u64 serial, body
 *	body   = u8 kind, then typed fields (u16 type, u32 length, bytes); a field of unknown type is skipped
 *
 * Serials ascend by one. Where some are missing, events are lost. */
#define EVENT_VERSION 1
#define EVENT_HEADER_BYTES 64u
#define EVENT_RECORD_HEAD 16u
#define EVENT_BODY_MAX 8192u
#define EVENT_NO_INDEX UINT32_MAX /* of the message, not of one recipient */

/* What happened. An event is known again by its number, index, attempt and kind: after a crash it may come twice. */
#define EVENT_KINDS(K)                                                                         \
	K(RECEIVED, "received", 1)   /* a message is on stable storage */                      \
	K(DELIVERED, "delivered", 2) /* to one recipient, as are those below */                \
	K(DEFERRED, "deferred", 3)   /* tried again later */                                   \
	K(BOUNCED, "bounced", 4)     /* failed for good */                                     \
	K(EXPIRED, "expired", 5)     /* failed after its time */                               \
	K(DISCARDED, "discarded", 6) /* done without sending, as configured, or a duplicate */ \
	K(EXPANDED, "expanded",                                                                \
	  7) /* an alias became other recipients of this message: count of those asked for */  \
	K(HELD, "held", 8)                                                                     \
	K(RELEASED, "released", 9)                                                             \
	K(DELETED, "deleted", 10)                                                              \
	K(LOST, "lost",                                                                        \
	  11) /* so many (count) events before this one are gone; made for the reader, not written */

enum event_kind {
#define K(name, text, value) EVENT_##name = value,
	EVENT_KINDS(K)
#undef K
		EVENT_KIND_COUNT
};

/* Fields: a number (8 bytes, 0 is left out) or a text (empty is left out), the type on the disk, the name for people. */
#define EVENT_FIELDS(NUMBER, TEXT)                                                             \
	NUMBER(at_ms, 1)   /* wall clock, since 1970 */                                        \
	NUMBER(number, 2)  /* message number */                                                \
	NUMBER(attempt, 3) /* of this recipient, from 1; 0: none was made */                   \
	NUMBER(qid, 4)	   /* queue id; 0: not at hand (the message's other events name it) */ \
	NUMBER(index_plus_1, 5) /* index of the recipient and 1; 0: EVENT_NO_INDEX */          \
	NUMBER(reply, 6)	/* SMTP reply code */                                          \
	NUMBER(size, 7)		/* bytes of trace and content */                               \
	NUMBER(nrcpt, 8)	/* recipients of the envelope */                               \
	NUMBER(count, 9)	/* expanded, lost */                                           \
	NUMBER(delay_ms, 10)	/* since arrival */                                            \
	TEXT(from, 32)		/* reverse-path; left out: null sender, or not at hand */      \
	TEXT(to, 33)		/* forward-path */                                             \
	TEXT(orig, 34)		/* the address before aliases, if another */                   \
	TEXT(relay, 35)		/* who answered */                                             \
	TEXT(transport, 36)	/* smtp, lmtp, maildir */                                      \
	TEXT(esc, 37)		/* enhanced status code, RFC 3463 */                           \
	TEXT(text, 38)		/* reply or reason */                                          \
	TEXT(tls, 39)                                                                          \
	TEXT(sid, 40)	 /* session it came in by */                                           \
	TEXT(client, 41) /* address of the client */

struct event {
	enum event_kind kind;
#define NUMBER(name, type) uint64_t name;
#define TEXT(name, type) struct span name;
	EVENT_FIELDS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
};

/* "received"; NULL: no kind of this version. */
const char *event_kind_name(enum event_kind kind);

/* Append a record whose serial is still to be given. Texts are cut so that a body never exceeds EVENT_BODY_MAX. False:
 * the buffer is full, nothing was appended. */
bool event_put(struct buf *b, const struct event *ev);
/* Give the record that begins here its serial, and its CRC. Its length, head included. */
size_t event_seal(char *record, uint64_t serial);
/* A record at the front of `in`. RECORD's length is returned; 0: more bytes are wanted (*need_out in all); E_CORRUPT: this
 * is no record. Spans of *out point into in. */
int event_get(struct span in, uint64_t *serial_out, struct event *out, size_t *need_out) MUST_CHECK;

/* The file header. */
struct event_header {
	uint64_t number; /* of the file <number>.events */
	uint64_t first;	 /* serial of its first record */
	uint64_t made_ms;
};

void event_put_header(char out[EVENT_HEADER_BYTES], const struct event_header *h);
/* E_CORRUPT; E_CONFIG: of a version that we do not know. */
int event_get_header(const char in[EVENT_HEADER_BYTES], struct event_header *out) MUST_CHECK;

/* How far the reader has acknowledged: the file events/cursor, EVENT_HEADER_BYTES long. */
struct event_cursor {
	uint64_t serial; /* of the first event that it has not */
	uint64_t
		place; /* where that stands: number of the file << 32 | offset; a hint, verified when used */
};

void event_put_cursor(char out[EVENT_HEADER_BYTES], const struct event_cursor *c);
int event_get_cursor(const char in[EVENT_HEADER_BYTES],
		     struct event_cursor *out) MUST_CHECK; /* as event_get_header() */

#endif
