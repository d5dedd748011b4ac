/* SPDX-License-Identifier: ISC */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* The replies of an SMTP or LMTP server, as a client reads them.      RFC 5321 4.2, RFC 2034, RFC 3463
 *
 * A reply is bounded in every direction: what is over REPLY_TEXT_MAX is read and forgotten; more than REPLY_LINES_MAX
 * lines or REPLY_BYTES_MAX bytes without an end is no reply any more. */
#define REPLY_TEXT_MAX 8192
#define REPLY_LINES_MAX 1000
#define REPLY_BYTES_MAX 262144
#define REPLY_ESC_LEN 12

struct reply {
	uint16_t code; /* 200..599 */
	struct span
		text; /* lines without their codes, '\n' between them; enhanced status codes still in it */
};

struct reply_parser {
	struct buf text;
	char head[4]; /* code and separator of the line that is being read */
	uint8_t head_len;
	bool is_line_open; /* text of a line has begun */
	bool has_cr;	   /* the last byte was CR */
	bool is_done;	   /* the reply in text was given out */
	uint16_t code;	   /* of the first line, 0: none yet */
	unsigned lines;
	size_t bytes;
};

void reply_parser_init(struct reply_parser *p);
void reply_parser_clear(struct reply_parser *p);
/* True between two replies: no byte of an unfinished one was taken. */
bool reply_parser_is_clean(const struct reply_parser *p);

/* Take bytes off the front of *in, up to the end of one reply.
 * 1          out is a reply; its text lives until the next call
 * 0          all of *in was taken, the reply is not complete
 * E_PROTOCOL a line without a valid code, codes of different classes, or over the bounds; nothing more can be read
 * A line ends at LF, with or without CR before it: a reply frames nothing but itself. */
int reply_parse(struct reply_parser *p, struct span *in, struct reply *out) MUST_CHECK;

/* The enhanced status code of the reply, if it has one of its own class, else "2.0.0", "4.0.0" or "5.0.0" (a 3yz
 * reply has none: ""). True: it was in the reply. */
bool reply_esc(const struct reply *r, char out[REPLY_ESC_LEN]);

/* Append at most max bytes of the text for a person: one line, joined with blanks, without enhanced status codes,
 * control bytes as blanks, what is no UTF-8 as '?'; cut between characters. */
void reply_put_text(const struct reply *r, size_t max, struct buf *out);

/* Cut the next line off *rest. False: there is none. */
bool reply_next_line(struct span *rest, struct span *line_out);

#endif
