/* SPDX-License-Identifier: ISC */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* One event = one record of level, event name and key/value fields. A process hands encoded records to its sink
 * (svc gives them to logd, which renders text, json or postfix lines); without a sink they go to stderr as text.
 * Order of fields: sid (session), qid (message) first.
 *
 *	struct log_event ev;
 *	log_begin(&ev, LOG_INFO_, "delivered");
 *	log_kv_qid(&ev, "qid", qid);
 *	log_kv(&ev, "to", rcpt);
 *	log_end(&ev);
 */
enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERR_, LOG_LEVEL_COUNT };

#define LOG_EVENT_MAX 8192

struct log_event {
	struct buf buf; /* u8 level, u64 wall us, bytes event, then (bytes key, bytes value)* */
};

void log_begin(struct log_event *ev, enum log_level level, const char *event);
void log_kv(struct log_event *ev, const char *key,
	    struct span value); /* long values are cut at 1024 bytes */
void log_kvs(struct log_event *ev, const char *key, const char *value);
void log_kvf(struct log_event *ev, const char *key, const char *fmt, ...) PRINTF_LIKE(3, 4);
void log_kv_u64(struct log_event *ev, const char *key, uint64_t value);
void log_kv_qid(struct log_event *ev, const char *key, uint64_t qid);
void log_end(struct log_event *ev);

/* Free-form lines: event "info" / "warn" / ... with one field msg. */
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* This process ends: die_temp exit 75 (master restarts it with back-off), die_perm exit 78 (master does not); bug():
 * an invariant of ours is broken, abort(3). */
_Noreturn void die_temp(const char *fmt, ...) PRINTF_LIKE(1, 2);
_Noreturn void die_perm(const char *fmt, ...) PRINTF_LIKE(1, 2);
_Noreturn void bug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* Name in front of lines on stderr ("qmgr"), and the lowest level that is let through. */
void log_init(const char *program, enum log_level min_level);
/* The sink gets each encoded record; NULL: stderr again. */
void log_set_sink(void (*sink)(void *arg, struct span record), void *arg);
/* Write an encoded record to stderr as a line. */
void log_stderr(struct span record);
/* Render an encoded record as "event key=value ..." (values with blanks, quotes or control bytes are quoted and
 * escaped), without newline. E_CORRUPT. Used for stderr here and by logd. */
int log_render_text(struct span record, struct buf *out) MUST_CHECK;

#endif
