/* SPDX-License-Identifier: ISC
 *
 * A log record as one JSON object (RFC 8259) on one line: time, process, pid, level, event, then the fields in their
 * order. Fields that count something are numbers, all others strings. Bytes that are no UTF-8 become U+FFFD. Runs in logd.
 */
/* lib */
#include "base/span.h"

/* this program */
#include "logd/event.h"

static const char *const levels[LOG_LEVEL_COUNT] = { "debug", "info", "warn", "error" };
static const char *const number_keys[] = { "size", "nrcpt", "attempt", "reply", "port", "count", "slot", "signal", "status" };

/* Length of the well-formed UTF-8 sequence at the front, 0: none. RFC 3629 4 */
static size_t
utf8_len(struct span s)
{
	const unsigned char *u = (const unsigned char *)s.p;
	size_t n = u[0] < 0x80 ? 1 : u[0] >= 0xc2 && u[0] <= 0xdf ? 2 : (u[0] & 0xf0) == 0xe0 ? 3 : u[0] >= 0xf0 && u[0] <= 0xf4 ? 4 : 0;

	if (n == 0 || s.n < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) || (u[0] == 0xf0 && u[1] < 0x90) ||
	    (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return n;
}

static void
put_string(struct buf *out, struct span s)
{
	buf_putc(out, '"');
	for (size_t i = 0, n; i < s.n; i += n) {
		unsigned char u = (unsigned char)s.p[i];

		n = utf8_len(span_sub(s, i, s.n));
		if (n == 0) {
			buf_puts(out, "\\ufffd");
			n = 1;
		} else if (u == '"' || u == '\\') {
			buf_printf(out, "\\%c", u);
		} else if (u < ' ' || u == 0x7f) {
			buf_printf(out, "\\u%04x", u);
		} else {
			buf_put(out, s.p + i, n);
		}
	}
	buf_putc(out, '"');
}

/* A counting field with a plain decimal number. */
static bool
is_number(const struct event_field *f)
{
	uint64_t v;
	bool is_listed = span_ends(f->key, SPAN("_ms"));

	for (unsigned i = 0; !is_listed && i < sizeof(number_keys) / sizeof(number_keys[0]); i++)
		is_listed = span_eq(f->key, span_of(number_keys[i]));
	return is_listed && span_to_u64(f->value, 1ull << 53, &v) == 0 && (f->value.n == 1 || f->value.p[0] != '0');
}

void
event_put_json(struct buf *out, const struct event *ev)
{
	buf_puts(out, "{\"time\":\"");
	event_put_iso_time(out, ev->wall_us);
	buf_printf(out, "\",\"process\":\"%s\",\"pid\":%u,\"level\":\"%s\",\"event\":", ev->process, ev->pid, levels[ev->level]);
	put_string(out, ev->name);
	for (unsigned i = 0; i < ev->field_count; i++) {
		buf_putc(out, ',');
		put_string(out, ev->fields[i].key);
		buf_putc(out, ':');
		if (is_number(&ev->fields[i]))
			buf_put_span(out, ev->fields[i].value);
		else
			put_string(out, ev->fields[i].value);
	}
	buf_putc(out, '}');
}
