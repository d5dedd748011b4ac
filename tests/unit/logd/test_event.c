/* SPDX-License-Identifier: ISC
 *
 * Tests of logd/event.c and json.c. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* this program */
#include "tests/unit/logd/record.h"
#include "tests/unit/unit.h"

static struct buf out;

START_TEST(decode_finds_fields)
{
	const struct event *ev = record_event("smtpd", LOG_WARN_, "reject",
					      (const char *const[]){ "sid=1", "to=a@b", NULL });

	ck_assert(event_is(ev, "reject") && !event_is(ev, "rejected"));
	ck_assert_int_eq(ev->level, LOG_WARN_);
	ck_assert_uint_eq(ev->field_count, 2);
	UNIT_EQ(event_get(ev, "to"), "a@b");
	UNIT_EQ(event_get(ev, "from"), "");
}
END_TEST

START_TEST(decode_refuses_any_damage)
{
	const struct event *ev = record_event("smtpd", LOG_INFO_, "x",
					      (const char *const[]){ "key=value", NULL });
	struct span whole = ev->record;
	struct event got;
	char copy[256];

	/* Every truncation but those between two fields. */
	for (size_t n = 0; n < whole.n; n++) {
		int r = event_decode(span_sub(whole, 0, n), "smtpd", 1, &got);
		ck_assert_msg(r == (n == 14 ? 0 : E_CORRUPT), "%zu bytes: %d", n, r);
	}
	memcpy(copy, whole.p, whole.n);
	copy[0] = LOG_LEVEL_COUNT;
	ck_assert_int_eq(event_decode(span_make(copy, whole.n), "smtpd", 1, &got), E_CORRUPT);
	copy[0] = LOG_INFO_;
	copy[9] = (char)0xff; /* length of the name */
	ck_assert_int_eq(event_decode(span_make(copy, whole.n), "smtpd", 1, &got), E_CORRUPT);
}
END_TEST

START_TEST(decode_bounds_the_number_of_fields)
{
	const char *fields[EVENT_FIELDS_MAX + 2] = { NULL };
	struct event ev;
	struct buf b;

	for (unsigned i = 0; i < EVENT_FIELDS_MAX; i++)
		fields[i] = "k=v";
	ck_assert_uint_eq(record_event("smtpd", LOG_INFO_, "x", fields)->field_count,
			  EVENT_FIELDS_MAX);
	buf_init(&b, 8192);
	buf_put_u8(&b, LOG_INFO_);
	buf_put_u64(&b, 1);
	buf_put_bytes(&b, SPAN("x"));
	for (unsigned i = 0; i < 2 * (EVENT_FIELDS_MAX + 1); i++)
		buf_put_bytes(&b, SPAN("k"));
	ck_assert_int_eq(event_decode(buf_span(&b), "smtpd", 1, &ev), E_CORRUPT);
	buf_clear(&b);
}
END_TEST

static const struct {
	const char *tz, *iso, *syslog;
} zones[] = {
	{ "UTC0", "2026-01-02T03:04:05.678+00:00", "Jan  2 03:04:05" },
	{ "CET-1", "2026-01-02T04:04:05.678+01:00", "Jan  2 04:04:05" },
	{ "NST3:30", "2026-01-01T23:34:05.678-03:30", "Jan  1 23:34:05" },
};

START_TEST(times_are_local)
{
	setenv("TZ", zones[_i].tz, 1);
	tzset();
	buf_reset(&out);
	event_put_iso_time(&out, RECORD_US);
	UNIT_EQ(buf_span(&out), zones[_i].iso);
	buf_reset(&out);
	event_put_syslog_time(&out, RECORD_US);
	UNIT_EQ(buf_span(&out), zones[_i].syslog);
}
END_TEST

#define HEAD                                                                                      \
	"{\"time\":\"2026-01-02T03:04:05.678+00:00\",\"process\":\"smtpd\",\"pid\":42,\"level\":" \
	"\"info\",\"event\":\"x\""
static const struct {
	const char *field, *json;
} json_cases[] = {
	{ "to=a@b", ",\"to\":\"a@b\"" },
	{ "to=", ",\"to\":\"\"" },
	{ "helo=\"quoted\\\"", ",\"helo\":\"\\\"quoted\\\\\\\"\"" },
	{ "text=a\tb\x01\x7f", ",\"text\":\"a\\u0009b\\u0001\\u007f\"" },
	{ "text=gr\xc3\xbc\xc3\x9f", ",\"text\":\"gr\xc3\xbc\xc3\x9f\"" },
	{ "text=\xff\xc3", ",\"text\":\"\\ufffd\\ufffd\"" },
	{ "text=\xed\xa0\x80", ",\"text\":\"\\ufffd\\ufffd\\ufffd\"" },
	{ "size=12", ",\"size\":12" },
	{ "size=0", ",\"size\":0" },
	{ "size=012", ",\"size\":\"012\"" },
	{ "size=12 x", ",\"size\":\"12 x\"" },
	{ "size=99999999999999999999", ",\"size\":\"99999999999999999999\"" },
	{ "delay_ms=5", ",\"delay_ms\":5" },
	{ "reply=550", ",\"reply\":550" },
	{ "reply=550 5.1.1 no", ",\"reply\":\"550 5.1.1 no\"" },
	{ "to=12", ",\"to\":\"12\"" },
};

START_TEST(json)
{
	char want[512];

	setenv("TZ", "UTC0", 1);
	tzset();
	buf_reset(&out);
	event_put_json(&out, record_event("smtpd", LOG_INFO_, "x",
					  (const char *const[]){ json_cases[_i].field, NULL }));
	snprintf(want, sizeof(want), HEAD "%s}", json_cases[_i].json);
	UNIT_EQ(buf_span(&out), want);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("event");

	buf_init(&out, 65536);
	UNIT_TEST(s, decode_finds_fields);
	UNIT_TEST(s, decode_refuses_any_damage);
	UNIT_TEST(s, decode_bounds_the_number_of_fields);
	UNIT_TABLE(s, times_are_local, zones);
	UNIT_TABLE(s, json, json_cases);
	return unit_run(s);
}
