/* SPDX-License-Identifier: ISC
 *
 * Makes log records for the tests of logd, through the same functions that every process uses. */

/* System */
#include <check.h>
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/log.h"
/* this program */
#include "tests/unit/logd/record.h"

static char bytes[LOG_EVENT_MAX];
static size_t count;

static void
keep(void *arg, struct span record)
{
	(void)arg;
	memcpy(bytes, record.p, record.n);
	count = record.n;
}

const struct event *
record_event(const char *process, enum log_level level, const char *name, const char *const *fields)
{
	static struct event ev;
	struct log_event log;

	clock_fake_set(RECORD_US, 1);
	log_init("test", LOG_DEBUG_);
	log_set_sink(keep, NULL);
	log_begin(&log, level, name);
	for (unsigned i = 0; fields[i] != NULL; i++) {
		struct span value = span_of(fields[i]), key;
		span_next(&value, '=', &key);
		char text[64];
		ck_assert_uint_lt(key.n, sizeof(text));
		memcpy(text, key.p, key.n);
		text[key.n] = '\0';
		log_kv(&log, text, value);
	}
	log_end(&log);
	log_set_sink(NULL, NULL);
	ck_assert_int_eq(event_decode(span_make(bytes, count), process, 42, &ev), 0);
	return &ev;
}
