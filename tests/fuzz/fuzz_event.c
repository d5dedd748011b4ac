/* SPDX-License-Identifier: ISC
 *
 * The reader of event files: the input is a file (its header, then records), as it lies on the disk or comes in a page.
 * Nothing outside is read, every step moves on, what is read has a right CRC, and what is put again reads the same. */

/* System */
#include <string.h>
/* lib */
#include "base/crc.h"
#include "base/mem.h"
#include "spool/event.h"
/* this program */
#include "tests/fuzz/fuzz.h"

static void
check_inside(struct span s, struct span in)
{
	FUZZ_ASSERT(s.n == 0 || (s.p >= in.p && s.p + s.n <= in.p + in.n));
}

static void
check_event(const struct event *e, struct span in, uint64_t serial)
{
	struct event again;
	struct buf b;
	uint64_t got;
	size_t need;

	FUZZ_ASSERT(event_kind_name(e->kind) != NULL);
#define NUMBER(name, type)
#define TEXT(name, type) check_inside(e->name, in);
	EVENT_FIELDS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
	buf_init(&b, 65536);
	FUZZ_ASSERT(event_put(&b, e));
	FUZZ_ASSERT(event_seal(b.p, serial) == b.n && b.n <= EVENT_RECORD_HEAD + EVENT_BODY_MAX);
	FUZZ_ASSERT(event_get(buf_span(&b), &got, &again, &need) == (int)b.n && got == serial &&
		    again.kind == e->kind);
#define NUMBER(name, type) FUZZ_ASSERT(again.name == e->name);
#define TEXT(name, type) FUZZ_ASSERT(again.name.n <= e->name.n);
	EVENT_FIELDS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
	buf_clear(&b);
}

/* The CRC of a mutated record is hardly ever right: here it is made so, to reach what stands behind it. */
static void
walk(struct span in, bool is_mended)
{
	while (in.n > 0) {
		char *copy = mem_alloc(in.n);
		struct span whole = span_make(copy, in.n);
		uint64_t serial;
		struct event e;
		size_t need = 0;
		int r;

		memcpy(copy, in.p, in.n);
		r = event_get(whole, &serial, &e, &need);
		if (is_mended && need >= EVENT_RECORD_HEAD + 1 && need <= in.n) {
			event_seal(copy, 7);
			r = event_get(whole, &serial, &e, &need);
			FUZZ_ASSERT(r <= 0 || serial == 7);
		}
		FUZZ_ASSERT(r <= (int)in.n && (r != 0 || need > in.n || need == EVENT_RECORD_HEAD));
		if (r > 0)
			check_event(&e, whole, serial);
		mem_free(copy);
		if (r <= 0)
			return;
		in = span_sub(in, (size_t)r, SIZE_MAX);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct event_header h;
	struct event_cursor c;

	if (size < EVENT_HEADER_BYTES || size > 65536)
		return 0;
	if (event_get_header((const char *)data, &h) == 0)
		FUZZ_ASSERT(h.number > 0 && h.first > 0);
	if (event_get_cursor((const char *)data, &c) == 0)
		FUZZ_ASSERT(c.serial > 0);
	walk(span_make(data + EVENT_HEADER_BYTES, size - EVENT_HEADER_BYTES), false);
	walk(span_make(data + EVENT_HEADER_BYTES, size - EVENT_HEADER_BYTES), true);
	return 0;
}
