/* SPDX-License-Identifier: ISC
 *
 * Codec of the event log: records, the header of a file, the reader's cursor; see event.h. No I/O. What it decodes comes
 * from the disk and may be torn or damaged. */

/* System */
#include <string.h>
/* lib */
#include "base/crc.h"
#include "base/cur.h"
#include "spool/event.h"

#define FILE_MAGIC 0x31746e6576657470ull   /* "ptevent1" */
#define CURSOR_MAGIC 0x3173727563657470ull /* "ptecurs1" */

enum { FIELD_HEAD = 6, TEXT_MAX = 1024, HEADER_CRC_AT = EVENT_HEADER_BYTES - 4 };

/* What fits in any case: no body of ours is refused by our decoder. */
#define NUMBER(name, type) +FIELD_HEAD + 8
#define TEXT(name, type)
_Static_assert(1 + 7 * (FIELD_HEAD + TEXT_MAX) EVENT_FIELDS(NUMBER, TEXT) <= EVENT_BODY_MAX,
	       "seven long texts must fit");
#undef NUMBER
#undef TEXT

const char *
event_kind_name(enum event_kind kind)
{
	switch (kind) {
#define K(name, text, value) \
	case EVENT_##name:   \
		return text;
		EVENT_KINDS(K)
#undef K
	case EVENT_KIND_COUNT:
		break;
	}
	return NULL;
}

/* --- bytes ----------------------------------------------------------------------------------- */

static void
set_u32(char *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (char)(v >> (8 * i));
}

static void
set_u64(char *p, uint64_t v)
{
	set_u32(p, (uint32_t)v);
	set_u32(p + 4, (uint32_t)(v >> 32));
}

static uint32_t
get_u32(const char *p)
{
	struct cur c = cur_of(span_make(p, 4));

	return cur_u32(&c);
}

static uint64_t
get_u64(const char *p)
{
	return get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
}

/* --- records --------------------------------------------------------------------------------- */

static void
put_number(struct buf *b, uint16_t type, uint64_t v)
{
	if (v == 0)
		return;
	buf_put_u16(b, type);
	buf_put_u32(b, 8);
	buf_put_u64(b, v);
}

/* begin: where the body begins; what does not fit is left out, the numbers stand in front. */
static void
put_text(struct buf *b, size_t begin, uint16_t type, struct span s)
{
	s = span_sub(s, 0, TEXT_MAX);
	if (s.n == 0 || b->is_failed || b->n - begin + FIELD_HEAD + s.n > EVENT_BODY_MAX)
		return;
	buf_put_u16(b, type);
	buf_put_bytes(b, s);
}

bool
event_put(struct buf *b, const struct event *ev)
{
	size_t at = b->n, begin = at + EVENT_RECORD_HEAD;

	if (b->is_failed)
		return false;
	buf_put_u64(b, 0);
	buf_put_u64(b, 0);
	buf_put_u8(b, (uint8_t)ev->kind);
#define NUMBER(name, type) put_number(b, type, ev->name);
#define TEXT(name, type) put_text(b, begin, type, ev->name);
	EVENT_FIELDS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
	if (b->is_failed) {
		b->is_failed = false;
		buf_truncate(b, at);
		return false;
	}
	set_u32(b->p + at, (uint32_t)(b->n - begin));
	return true;
}

size_t
event_seal(char *record, uint64_t serial)
{
	size_t n = get_u32(record);

	set_u64(record + 8, serial);
	set_u32(record + 4, crc32c(0, record + 8, 8 + n));
	return EVENT_RECORD_HEAD + n;
}

static uint64_t
number_of(struct span value)
{
	return value.n == 8 ? get_u64(value.p) : 0;
}

static int
get_body(struct span body, struct event *out)
{
	struct cur c = cur_of(body);

	memset(out, 0, sizeof(*out));
	out->kind = (enum event_kind)cur_u8(&c);
	if (event_kind_name(out->kind) == NULL)
		return E_CORRUPT;
	while (cur_left(&c) > 0 && !c.is_failed) {
		uint16_t type = cur_u16(&c);
		struct span value = cur_bytes(&c, EVENT_BODY_MAX);

		switch (type) {
#define NUMBER(name, type)                    \
	case type:                            \
		out->name = number_of(value); \
		break;
#define TEXT(name, type)           \
	case type:                 \
		out->name = value; \
		break;
			EVENT_FIELDS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
		default:
			break;
		}
	}
	return cur_check(&c);
}

int
event_get(struct span in, uint64_t *serial_out, struct event *out, size_t *need_out)
{
	uint32_t n;

	*need_out = EVENT_RECORD_HEAD;
	if (in.n < EVENT_RECORD_HEAD)
		return 0;
	n = get_u32(in.p);
	if (n == 0 || n > EVENT_BODY_MAX)
		return E_CORRUPT;
	*need_out = EVENT_RECORD_HEAD + n;
	if (in.n < *need_out)
		return 0;
	if (crc32c(0, in.p + 8, 8 + (size_t)n) != get_u32(in.p + 4))
		return E_CORRUPT;
	*serial_out = get_u64(in.p + 8);
	if (*serial_out == 0 || get_body(span_make(in.p + EVENT_RECORD_HEAD, n), out) < 0)
		return E_CORRUPT;
	return (int)*need_out;
}

/* --- headers --------------------------------------------------------------------------------- */

static void
put_block(char out[EVENT_HEADER_BYTES], uint64_t magic, const uint64_t values[3])
{
	memset(out, 0, EVENT_HEADER_BYTES);
	set_u64(out, magic);
	set_u32(out + 8, EVENT_VERSION);
	for (unsigned i = 0; i < 3; i++)
		set_u64(out + 16 + 8 * i, values[i]);
	set_u32(out + HEADER_CRC_AT, crc32c(0, out, HEADER_CRC_AT));
}

static int
get_block(const char in[EVENT_HEADER_BYTES], uint64_t magic, uint64_t values[3])
{
	if (get_u64(in) != magic || crc32c(0, in, HEADER_CRC_AT) != get_u32(in + HEADER_CRC_AT))
		return E_CORRUPT;
	if (get_u32(in + 8) != EVENT_VERSION)
		return E_CONFIG;
	for (unsigned i = 0; i < 3; i++)
		values[i] = get_u64(in + 16 + 8 * i);
	return 0;
}

void
event_put_header(char out[EVENT_HEADER_BYTES], const struct event_header *h)
{
	put_block(out, FILE_MAGIC, (const uint64_t[3]){ h->number, h->first, h->made_ms });
}

int
event_get_header(const char in[EVENT_HEADER_BYTES], struct event_header *out)
{
	uint64_t v[3];
	int r = get_block(in, FILE_MAGIC, v);

	if (r == 0)
		*out = (struct event_header){ v[0], v[1], v[2] };
	return r == 0 && (out->number == 0 || out->number > UINT32_MAX || out->first == 0)
		       ? E_CORRUPT
		       : r;
}

void
event_put_cursor(char out[EVENT_HEADER_BYTES], const struct event_cursor *c)
{
	put_block(out, CURSOR_MAGIC, (const uint64_t[3]){ c->serial, c->place, 0 });
}

int
event_get_cursor(const char in[EVENT_HEADER_BYTES], struct event_cursor *out)
{
	uint64_t v[3];
	int r = get_block(in, CURSOR_MAGIC, v);

	if (r == 0)
		*out = (struct event_cursor){ v[0], v[1] };
	return r == 0 && out->serial == 0 ? E_CORRUPT : r;
}
