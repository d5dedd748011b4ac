/* SPDX-License-Identifier: ISC
 *
 * One event = one record of level, time, name and fields; and the three ways in which a process ends itself. It does not
 * choose where lines go: the sink does (svc hands records to logd); without a sink they are lines on stderr. It never
 * blocks on a sink and never fails: a field that does not fit is left out. Used by every process. */

/* System */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/cur.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"

enum {
	LOG_VALUE_MAX = 1024,
	LOG_LINE_MAX = 4 * LOG_EVENT_MAX + 64, /* each byte escaped as \xHH */
};

static const char *log_program = "postern";
static enum log_level log_min_level = LOG_INFO_;
static void (*log_sink)(void *arg, struct span record);
static void *log_sink_arg;

void
log_init(const char *program, enum log_level min_level)
{
	log_program = program;
	log_min_level = min_level;
}

void
log_set_sink(void (*sink)(void *arg, struct span record), void *arg)
{
	log_sink = sink;
	log_sink_arg = arg;
}

void
log_begin(struct log_event *ev, enum log_level level, const char *event)
{
	/* An event that is not wanted has a buffer for nothing. */
	buf_init(&ev->buf, level >= log_min_level ? LOG_EVENT_MAX : 0);
	buf_put_u8(&ev->buf, (uint8_t)level);
	buf_put_u64(&ev->buf, clock_wall_us());
	buf_put_bytes(&ev->buf, span_of(event));
}

void
log_kv(struct log_event *ev, const char *key, struct span value)
{
	struct span name = span_of(key);

	value = span_sub(value, 0, LOG_VALUE_MAX);
	/* Key and value or neither: the record stays whole. */
	if (buf_room(&ev->buf, 8 + name.n + value.n) == NULL)
		return;
	buf_put_bytes(&ev->buf, name);
	buf_put_bytes(&ev->buf, value);
}

void
log_kvs(struct log_event *ev, const char *key, const char *value)
{
	log_kv(ev, key, span_of(value));
}

static void
log_kvv(struct log_event *ev, const char *key, const char *fmt, va_list ap)
{
	char text[LOG_VALUE_MAX + 1];
	int n;

	if (ev->buf.max == 0)
		return;
	n = vsnprintf(text, sizeof(text), fmt, ap);
	if (n < 0)
		n = 0;
	log_kv(ev, key, span_make(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1));
}

void
log_kvf(struct log_event *ev, const char *key, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_kvv(ev, key, fmt, ap);
	va_end(ap);
}

void
log_kv_u64(struct log_event *ev, const char *key, uint64_t value)
{
	log_kvf(ev, key, "%llu", (unsigned long long)value);
}

void
log_kv_qid(struct log_event *ev, const char *key, uint64_t qid)
{
	char text[ID_TEXT_LEN + 1];

	id_format(qid, text);
	log_kvs(ev, key, text);
}

void
log_stderr(struct span record)
{
	struct buf line;

	buf_init(&line, LOG_LINE_MAX);
	buf_printf(&line, "%s: ", log_program);
	if (log_render_text(record, &line) == 0) {
		buf_putc(&line, '\n');
		/* Nowhere is left to report a failure to. */
		(void)!fd_write_all(STDERR_FILENO, line.p, line.n);
	}
	buf_clear(&line);
}

void
log_end(struct log_event *ev)
{
	if (ev->buf.max > 0) {
		if (log_sink != NULL)
			log_sink(log_sink_arg, buf_span(&ev->buf));
		else
			log_stderr(buf_span(&ev->buf));
	}
	buf_clear(&ev->buf);
}

static void
log_line(enum log_level level, const char *event, const char *fmt, va_list ap)
{
	struct log_event ev;

	log_begin(&ev, level, event);
	log_kvv(&ev, "msg", fmt, ap);
	log_end(&ev);
}

#define LOG_LINE(level, event, fmt)                    \
	do {                                           \
		va_list ap;                            \
                                                       \
		va_start(ap, fmt);                     \
		log_line((level), (event), (fmt), ap); \
		va_end(ap);                            \
	} while (0)

void
log_info(const char *fmt, ...)
{
	LOG_LINE(LOG_INFO_, "info", fmt);
}

void
log_warn(const char *fmt, ...)
{
	LOG_LINE(LOG_WARN_, "warn", fmt);
}

void
log_debug(const char *fmt, ...)
{
	LOG_LINE(LOG_DEBUG_, "debug", fmt);
}

void
die_temp(const char *fmt, ...)
{
	LOG_LINE(LOG_ERR_, "fatal", fmt);
	exit(EX_TEMPFAIL);
}

void
die_perm(const char *fmt, ...)
{
	LOG_LINE(LOG_ERR_, "fatal", fmt);
	exit(EX_CONFIG);
}

void
bug(const char *fmt, ...)
{
	/* The process ends before a sink could pass anything on. */
	log_sink = NULL;
	LOG_LINE(LOG_ERR_, "bug", fmt);
	abort();
}
