/* SPDX-License-Identifier: ISC */
#ifndef SESSION_CORE_H
#define SESSION_CORE_H

#include "base/arena.h"
#include "base/map.h"
#include "mail/received.h"
#include "session/session.h"
#include "smtp/data.h"
#include "smtp/param.h"
#include "spool/envelope.h"

/* What the files of this folder share. Nobody else includes it. */

/* What a handler comes to. */
enum step {
	STEP_REPLY, /* answered, next command */
	STEP_READ,  /* not answered yet: content follows */
	STEP_WAIT,  /* s->wait is set; <handler>_done goes on */
	STEP_CLOSE  /* answered, and the connection ends */
};

enum command_flag { COMMAND_SYNC = 1, COMMAND_JUNK = 2, COMMAND_ALONE = 4, COMMAND_SAID = 8 };

struct command {
	struct span verb;
	const char *name;
	enum step (*handler)(struct session *s, struct span args);
	uint32_t legal; /* set of 1 << PHASE_* */
	uint32_t line_max;
	uint32_t flags;
};

/* The handlers of commands.def. */
#define CMD(verb, handler, legal, line, flags, rfc) \
	enum step handler(struct session *s, struct span args);
#include "session/commands.def"
#undef CMD

/* A transaction: from MAIL until session_end_txn(). */
struct session_txn {
	struct arena arena;
	struct session_message msg;
	struct mail_params params; /* spans in the arena */
	struct env_rcpt *rcpts;
	uint32_t rcpt_count, rcpt_cap;
	uint32_t rcpt_accepted;	 /* with those given twice */
	uint32_t envelope_bytes; /* at most so long will it be */
	struct map seen;	 /* recipients, from the second on */
	struct buf pending;	 /* RCPT that waits: address, then ORCPT */
	size_t pending_addr_len;
	uint8_t pending_notify;
	struct data_scan scan;
	struct received_watch watch;
	struct buf content, envelope, trace;
	uint64_t content_len;
	int error;	   /* E_*: read to the end, then refused */
	bool is_streaming; /* ops.stream was called */
	bool is_submitted;
	bool is_ended; /* all content is read */
};

/* Replies. A code from 400 on is logged as a refusal, from 500 on counted as the client's error. esc may be NULL. Bytes
 * that are not printable ASCII become '?'. */
enum step session_reply(struct session *s, int code, const char *esc, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
/* The reply of a row of errors.def. */
enum step session_reply_error(struct session *s, int err);
/* The same as 421 with our name, and the end of the connection. */
enum step session_reply_close(struct session *s, const char *esc, const char *text);
/* Append a line as it is; for replies of several lines. */
void session_put(struct session *s, const char *line);

void session_set_phase(struct session *s, enum session_phase phase);
/* Wait for something at most timeout_ms. */
enum step session_set_wait(struct session *s, enum session_wait wait, uint32_t timeout_ms);
/* What follows a handler or a continuation. */
void session_step_done(struct session *s, enum step step);

/* The one end of every transaction: 250, refusal, RSET, EHLO, a failed chunk, disconnect. Harmless without one. */
void session_end_txn(struct session *s);

/* Continuations, each in the file of its handler. */
enum step cmd_rcpt_done(struct session *s, const struct session_verdict *v);
enum step content_room_done(struct session *s);
enum step message_end_done(struct session *s, int code);

/* cmd_data.c: content of DATA and BDAT. */
void content_begin(struct session *s, bool is_dotted);
/* Take bytes of the wire; returns how many. */
size_t content_take(struct session *s, struct span in);
/* The message is lost or must be refused: keep nothing of it, read on to its end. */
void content_fail(struct session *s, int err);
enum step message_end(struct session *s);
/* Who sends more content than this, whatever became of it, will not stop. */
uint64_t content_flood_bytes(const struct session *s);

/* cmd_bdat.c: bytes of a chunk, and its end. */
size_t chunk_take(struct session *s, struct span in);
enum step chunk_end(struct session *s);

#endif
