/* SPDX-License-Identifier: ISC */
#ifndef LOGD_EVENT_H
#define LOGD_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/span.h"

/* One decoded log record and who sent it. Spans borrow the record. */
#define EVENT_FIELDS_MAX 64

struct event_field {
	struct span key, value;
};

struct event {
	enum log_level level;
	uint64_t wall_us;
	struct span name;
	struct event_field fields[EVENT_FIELDS_MAX];
	unsigned field_count;
	const char *process; /* "smtpd" */
	uint32_t pid;
	struct span record; /* as it came */
};

/* Decode a record of base/log.h. process is borrowed. E_CORRUPT. */
int event_decode(struct span record, const char *process, uint32_t pid,
		 struct event *out) MUST_CHECK;
/* Value of a field, empty: there is none. */
struct span event_get(const struct event *ev, const char *key);
bool event_is(const struct event *ev, const char *name);

/* Local time of an instant as ISO 8601 with milliseconds ("2026-01-02T03:04:05.678+01:00") and as syslog writes it
 * ("Jan  2 03:04:05"). tzset() must have been called outside the sandbox. */
void event_put_iso_time(struct buf *out, uint64_t wall_us);
void event_put_syslog_time(struct buf *out, uint64_t wall_us);

/* One record as one line (postfix: or two) without newline at the end and without time and process in front: */
void event_put_text(struct buf *out, const struct event *ev);
/* One JSON object with time, process and pid. */
void event_put_json(struct buf *out, const struct event *ev);

/* The lines that Postfix would write for this event, for pflogsumm, logwatch and fail2ban. put() is called for each line
 * with the name of Postfix's program ("smtpd"). */
void event_put_postfix(const struct event *ev,
		       void (*put)(void *arg, const char *program, struct span text), void *arg);

#endif
