/* SPDX-License-Identifier: ISC */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "smtp/addr.h"

/* The SMTP server core: a client's bytes in, replies and requests out. It does no I/O, knows no clock (the time is passed
 * in) and no global, so tests and fuzzers drive whole sessions, and it serves TCP, TLS and `sendmail -bs` alike.
 *
 *	session_init -> session_start -> (session_input | session_tick | an answer)* -> session_free
 *
 * After each call the owner sends what is in s->out, and sets its timer to s->deadline_ms.               RFC 5321 */

#define SESSION_LINE_MAX 4096	  /* longest command line of all, with CRLF */
#define SESSION_CONTENT_MAX 65536 /* content up to this stays in memory and goes whole */
#define SESSION_OUT_MAX \
	16384 /* more replies wait than this: no command is read until they are sent */

/* What was said so far; commands.def says which command is legal where. */
enum session_phase {
	PHASE_CONNECT, /* no banner yet */
	PHASE_HELLO,   /* banner sent, no EHLO or HELO yet */
	PHASE_READY,
	PHASE_MAIL, /* sender accepted */
	PHASE_RCPT, /* a recipient accepted */
	PHASE_DATA, /* 354 sent, content until CRLF.CRLF */
	PHASE_BDAT, /* a chunk accepted, the last one not yet */
	PHASE_CLOSED,
	PHASE_COUNT
};

/* A session waits for at most one thing; until it comes no input is read. */
enum session_wait { WAIT_NONE, WAIT_RCPT, WAIT_ROOM, WAIT_COMMIT };

/* The same for all sessions of a process. Times in milliseconds, 0 = no limit where the option says so. */
struct session_conf {
	const char *hostname;
	uint64_t message_size, header_size;
	uint32_t
		content_max; /* kept in memory of one message: SESSION_CONTENT_MAX, in tests less */
	uint32_t recipients, bounce_recipients, messages, errors, junk_commands, min_data_rate,
		hop_limit;
	uint32_t greet_delay_ms, command_ms, line_ms, data_ms, rcpt_check_ms, commit_ms;
};

/* What the owner knows about the client; lives as long as the session. */
struct session_client {
	const char *addr;    /* "192.0.2.1" or "2001:db8::1", "" not by TCP */
	const char *sid;     /* session id for the log */
	bool may_relay;	     /* relay_from, later also authenticated: trusted */
	bool is_normalizing; /* a bare CR or LF becomes CRLF; else the message is refused */
	bool needs_auth;     /* MAIL only after authentication, or from who may relay */
};

/* A complete message; everything lives until session_commit_done() or ops.drop. */
struct session_message {
	uint64_t qid;
	uint64_t arrival_us; /* wall clock since 1970 */
	uint64_t content_len;
	uint32_t content_flags; /* enum record_content */
	uint32_t rcpt_count;
	bool is_streamed; /* content went by ops.stream */
	struct span sender;
	struct span envelope; /* envelope_encode() */
	struct span trace;
	struct span content;  /* all of it, empty when streamed */
	const char *protocol; /* RFC 3848 */
};

/* The router's answer about a recipient; borrowed for the call. */
struct session_verdict {
	uint16_t reply;
	struct span esc, text;
};

/* A refusal, for the log; borrowed for the call. */
struct session_reject {
	const char *stage;	  /* command, "CONNECT" or "MESSAGE" */
	struct span reply;	  /* without CRLF */
	struct span sender, rcpt; /* empty: none */
	struct span said; /* argument of the command where no rcpt tells more; may be anything */
};

/* What the session asks of its owner. No function may call back into the session. */
struct session_ops {
	/* May a message be taken now? 0 or E_*. */
	int (*may_mail)(void *arg);
	/* May this recipient be accepted? 1: *out is the answer; 0: it comes with session_rcpt_verdict(); E_*. */
	int (*check_rcpt)(void *arg, const struct smtp_addr *rcpt, struct span sender,
			  struct session_verdict *out);
	/* A queue id for the message that begins to be kept, and the time. */
	void (*new_message)(void *arg, uint64_t *qid_out, uint64_t *arrival_us_out);
	/* Next bytes, at most content_max, of a message too long to be kept. 1: go on; 0: go on after
	 * session_room(); E_*: the message is lost. */
	int (*stream)(void *arg, uint64_t qid, struct span data);
	/* Store it; session_commit_done() follows. */
	void (*submit)(void *arg, const struct session_message *m);
	/* Forget a message that was streamed or submitted: its client gets another answer. */
	void (*drop)(void *arg, uint64_t qid);
	void (*on_reject)(void *arg, const struct session_reject *r);
	/* After the 250 of a message. */
	void (*on_received)(void *arg, const struct session_message *m);
};

struct session_txn;

struct session {
	const struct session_conf *conf;
	const struct session_ops *ops;
	void *arg;
	const struct session_client *client;
	enum session_phase phase;
	enum session_wait wait;
	struct buf out;	      /* replies to be sent; the owner takes them off */
	uint64_t deadline_ms; /* session_tick() is wanted then; 0: never */
	/* The rest is the session's own. */
	uint64_t now_ms;
	uint64_t wait_since_ms;
	char *helo;		   /* argument of EHLO or HELO, NULL before */
	struct session_txn *txn;   /* from MAIL to session_end_txn() */
	const char *stage;	   /* the command at work, for the log */
	struct span said;	   /* its argument, while its handler runs */
	uint64_t chunk_left;	   /* bytes of a BDAT chunk still to be read */
	int chunk_error;	   /* E_*: the chunk is read and refused */
	uint64_t content_since_ms; /* beginning of DATA or of the first chunk */
	uint64_t content_read;	   /* bytes of the wire since then */
	uint32_t errors, junk, messages;
	bool is_mail_refused; /* the last command but those sent along with it was a MAIL in vain */
	bool is_esmtp, is_chunk, is_last_chunk, is_discarding, is_discard_silent, is_discard_cr,
		is_partial, is_stopping;
};

void session_init(struct session *s, const struct session_conf *conf,
		  const struct session_client *client, const struct session_ops *ops, void *arg);
/* The connection stands: banner now, or after greet_delay. */
void session_start(struct session *s, uint64_t now_ms);
/* Bytes of the client. Returns how many were dealt with; the rest, an incomplete line or what comes while the session
 * waits, is passed again, with more bytes behind it or when the wait is over. */
size_t session_input(struct session *s, struct span in, uint64_t now_ms) MUST_CHECK;
/* Is it useless to call session_input() now (waiting, or too many replies unsent)? */
bool session_is_blocked(const struct session *s);
/* deadline_ms has come. */
void session_tick(struct session *s, uint64_t now_ms);
/* Answers to ops.check_rcpt, ops.stream and ops.submit. One that nobody waits for any more is ignored. */
void session_rcpt_verdict(struct session *s, const struct session_verdict *v, uint64_t now_ms);
void session_room(struct session *s, uint64_t now_ms);
/* code 0: it is on stable storage. Before the end of the message: it is lost. */
void session_commit_done(struct session *s, int code, uint64_t now_ms);
/* No new transactions: 421 now if none is open, else when it ends. */
void session_stop(struct session *s, uint64_t now_ms);
/* The client is gone, or the owner closes. */
void session_free(struct session *s);

/* Bytes of the session's memory besides the struct, for tests and limits. */
size_t session_memory(const struct session *s);

#endif
