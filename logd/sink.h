/* SPDX-License-Identifier: ISC */
#ifndef LOGD_SINK_H
#define LOGD_SINK_H

#include <stdbool.h>
#include "base/span.h"

/* Where lines go: a file (or stderr), written in batches, or the socket of syslog, one datagram for each line. */
struct sink;

enum sink_kind { SINK_FILE, SINK_SYSLOG };

/* The oldest lines wait at most until sink_flush(). At most 1 MiB waits; what does not fit is counted, and a line says
 * so once lines go out again. */
struct sink *sink_new(void);
void sink_free(struct sink **s);
/* Take fd (a dup of 2 for stderr); what waits is written to the old one first. fd -1: nowhere now, lines wait. */
void sink_set(struct sink *s, enum sink_kind kind, int fd);
enum sink_kind sink_kind(const struct sink *s);
/* One line without newline. */
void sink_put(struct sink *s, struct span line);
/* Write what waits. False: something still waits (syslog is slow, or gone: see sink_is_broken). */
bool sink_flush(struct sink *s);
/* There is none, or the socket of syslog is dead (syslogd was restarted): a new one is needed. */
bool sink_is_broken(const struct sink *s);

#endif
