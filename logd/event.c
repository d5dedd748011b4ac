/* SPDX-License-Identifier: ISC
 *
 * Log records as logd works with them: decoding, local time, text. A record comes from a sibling that may have been
 * taken over: it is checked to its last byte, and values are escaped by those who render them. Runs in logd.
 */
/* System */
#include <time.h>

/* lib */
#include "base/cur.h"

/* this program */
#include "logd/event.h"

int
event_decode(struct span record, const char *process, uint32_t pid, struct event *out)
{
	struct cur c = cur_of(record);

	*out = (struct event){ .process = process, .pid = pid, .record = record };
	out->level = (enum log_level)cur_u8(&c);
	out->wall_us = cur_u64(&c);
	out->name = cur_bytes(&c, LOG_EVENT_MAX);
	while (!c.is_failed && cur_left(&c) > 0 && out->field_count < EVENT_FIELDS_MAX) {
		struct event_field *f = &out->fields[out->field_count++];
		f->key = cur_bytes(&c, LOG_EVENT_MAX);
		f->value = cur_bytes(&c, LOG_EVENT_MAX);
	}
	if (out->level >= LOG_LEVEL_COUNT || out->name.n == 0)
		return E_CORRUPT;
	return cur_check_end(&c);
}

struct span
event_get(const struct event *ev, const char *key)
{
	for (unsigned i = 0; i < ev->field_count; i++) {
		if (span_eq(ev->fields[i].key, span_of(key)))
			return ev->fields[i].value;
	}
	return SPAN_NONE;
}

bool
event_is(const struct event *ev, const char *name)
{
	return span_eq(ev->name, span_of(name));
}

/* Broken-down local time; one conversion per second. */
static const struct tm *
local_time(uint64_t wall_us)
{
	static struct tm tm;
	static time_t last = -1;
	time_t t = (time_t)(wall_us / 1000000);

	if (t != last)
		localtime_r(&t, &tm);
	last = t;
	return &tm;
}

void
event_put_iso_time(struct buf *out, uint64_t wall_us)
{
	const struct tm *tm = local_time(wall_us);
	long east = tm->tm_gmtoff / 60, minutes = east < 0 ? -east : east;

	buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03u%c%02ld:%02ld", tm->tm_year + 1900,
		   tm->tm_mon + 1, tm->tm_mday, tm->tm_hour, tm->tm_min, tm->tm_sec,
		   (unsigned)(wall_us / 1000 % 1000), east < 0 ? '-' : '+', minutes / 60,
		   minutes % 60);
}

void
event_put_syslog_time(struct buf *out, uint64_t wall_us)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					    "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	const struct tm *tm = local_time(wall_us);

	buf_printf(out, "%s %2d %02d:%02d:%02d", months[tm->tm_mon % 12], tm->tm_mday, tm->tm_hour,
		   tm->tm_min, tm->tm_sec);
}

void
event_put_text(struct buf *out, const struct event *ev)
{
	/* A record that was decoded renders; a line over the limit of `out` is the caller's to see. */
	(void)!log_render_text(ev->record, out);
}
