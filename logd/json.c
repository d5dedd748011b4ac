/* SPDX-License-Identifier: ISC
 *
 * A log record as one JSON object (RFC 8259) on one line: time, process, pid, level, event, then the fields in their
 * order. Fields that count something are numbers, all others strings. Bytes that are no UTF-8 become U+FFFD. Runs in logd.
 */
/* lib */
#include "base/json.h"

/* this program */
#include "logd/event.h"

static const char *const levels[LOG_LEVEL_COUNT] = { "debug", "info", "warn", "error" };
static const char *const number_keys[] = { "size",  "nrcpt", "attempt", "reply", "port",
					   "count", "slot",  "signal",	"status" };

/* A counting field with a plain decimal number. */
static bool
is_number(const struct event_field *f)
{
	uint64_t v;
	bool is_listed = span_ends(f->key, SPAN("_ms"));

	for (unsigned i = 0; !is_listed && i < sizeof(number_keys) / sizeof(number_keys[0]); i++)
		is_listed = span_eq(f->key, span_of(number_keys[i]));
	return is_listed && span_to_u64(f->value, 1ull << 53, &v) == 0 &&
	       (f->value.n == 1 || f->value.p[0] != '0');
}

void
event_put_json(struct buf *out, const struct event *ev)
{
	buf_puts(out, "{\"time\":\"");
	event_put_iso_time(out, ev->wall_us);
	buf_printf(out, "\",\"process\":\"%s\",\"pid\":%u,\"level\":\"%s\",\"event\":", ev->process,
		   ev->pid, levels[ev->level]);
	json_put_string(out, ev->name);
	for (unsigned i = 0; i < ev->field_count; i++) {
		buf_putc(out, ',');
		json_put_string(out, ev->fields[i].key);
		buf_putc(out, ':');
		if (is_number(&ev->fields[i]))
			buf_put_span(out, ev->fields[i].value);
		else
			json_put_string(out, ev->fields[i].value);
	}
	buf_putc(out, '}');
}
