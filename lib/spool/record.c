/* SPDX-License-Identifier: ISC
 *
 * The on-disk format of the log: headers of segments and records, their checks, and the walk over the records of a
 * segment. It decides what counts as a record, not what becomes of it. No I/O; used by qmgr, on bytes of its own spool:
 * after a crash they may be torn, stale or another one's mail that imitates a record, so every number is compared with
 * its limit and every part with its CRC before it is used. */

/* System */
#include <string.h>
/* lib */
#include "base/crc.h"
#include "base/cur.h"
#include "spool/record.h"

enum {
	RECORD_MAGIC = 0x43455250,		 /* "PREC" */
	RECORD_CRC_AT = RECORD_HEADER_BYTES - 4, /* CRC of all before it */
	RECORD_SALT_AT = 16,
	SEGMENT_CRC_AT = 508, /* all within one sector, which the disk writes whole or not at all */
};
static const char segment_magic[8] = { 'P', 'O', 'S', 'T', 'S', 'E', 'G', '\n' };

/* Writes numbers into a header that is large enough for all of them. */
static void
put_num(char **p, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		*(*p)++ = (char)(value >> 8 * i);
}

static void
put_crc(char *p, size_t at)
{
	char *to = p + at;

	put_num(&to, crc32c(0, p, at), 4);
}

static uint32_t
crc_at(const char *p, size_t at)
{
	struct cur c = cur_of(span_make(p + at, 4));

	return cur_u32(&c);
}

/* --- records --------------------------------------------------------------------------------- */

/*	 0 u32 magic		 4 u16 version	 6 u16 origin	 8 u32 flags	12 u32 content flags
 *	16 u64 salt		24 u64 batch	32 u64 number	40 u64 qid	48 u64 arrival
 *	56 u16 origin slot	58 u16 zero	60 u32 recipients
 *	64 u32 envelope length	68 u32 trace length		72 u64 content length
 *	80 u32 envelope CRC	84 u32 trace CRC		88 u32 content CRC
 *	92 u32 bytes from the start of the batch		96 u32 bytes of the batch
 *	100 zeros		124 u32 CRC of the 124 bytes before */
void
record_put_header(char out[RECORD_HEADER_BYTES], const struct record *r)
{
	char *p = out;

	memset(out, 0, RECORD_HEADER_BYTES);
	put_num(&p, RECORD_MAGIC, 4);
	put_num(&p, RECORD_VERSION, 2);
	put_num(&p, (uint64_t)r->origin, 2);
	put_num(&p, r->flags, 4);
	put_num(&p, r->content_flags, 4);
	put_num(&p, r->salt, 8);
	put_num(&p, r->batch, 8);
	put_num(&p, r->number, 8);
	put_num(&p, r->qid, 8);
	put_num(&p, r->arrival_us, 8);
	put_num(&p, r->origin_slot, 2);
	put_num(&p, 0, 2);
	put_num(&p, r->rcpt_count, 4);
	put_num(&p, r->envelope_len, 4);
	put_num(&p, r->trace_len, 4);
	put_num(&p, r->content_len, 8);
	put_num(&p, r->envelope_crc, 4);
	put_num(&p, r->trace_crc, 4);
	put_num(&p, r->content_crc, 4);
	put_num(&p, r->batch_at, 4);
	put_num(&p, r->batch_len, 4);
	put_crc(out, RECORD_CRC_AT);
}

static bool
is_within_limits(const struct record *r, uint32_t origin)
{
	uint64_t content_max = r->flags & RECORD_BIG ? RECORD_BIG_MAX : RECORD_CONTENT_MAX;

	return (r->flags & ~(unsigned)RECORD_FLAGS_ALL) == 0 && origin < ORIGIN_COUNT &&
	       r->envelope_len <= RECORD_ENVELOPE_MAX && r->trace_len <= RECORD_TRACE_MAX &&
	       r->content_len <= content_max && r->rcpt_count <= RECORD_RCPT_MAX && r->number != 0;
}

int
record_get_header(struct span in, struct record *out)
{
	struct cur c = cur_of(span_sub(in, 0, RECORD_HEADER_BYTES));
	uint16_t version, origin;

	if (cur_u32(&c) != RECORD_MAGIC)
		return E_CORRUPT;
	version = cur_u16(&c);
	if (in.n < RECORD_HEADER_BYTES ||
	    crc_at(in.p, RECORD_CRC_AT) != crc32c(0, in.p, RECORD_CRC_AT))
		return E_CORRUPT;
	if (version != RECORD_VERSION)
		return E_CONFIG;
	origin = cur_u16(&c);
	out->flags = cur_u32(&c);
	out->content_flags = cur_u32(&c);
	out->salt = cur_u64(&c);
	out->batch = cur_u64(&c);
	out->number = cur_u64(&c);
	out->qid = cur_u64(&c);
	out->arrival_us = cur_u64(&c);
	out->origin_slot = cur_u16(&c);
	(void)cur_u16(&c);
	out->rcpt_count = cur_u32(&c);
	out->envelope_len = cur_u32(&c);
	out->trace_len = cur_u32(&c);
	out->content_len = cur_u64(&c);
	out->envelope_crc = cur_u32(&c);
	out->trace_crc = cur_u32(&c);
	out->content_crc = cur_u32(&c);
	out->batch_at = cur_u32(&c);
	out->batch_len = cur_u32(&c);
	if (cur_check(&c) < 0 || !is_within_limits(out, origin))
		return E_CORRUPT;
	out->origin = (enum record_origin)origin;
	return 0;
}

uint64_t
record_length(const struct record *r)
{
	uint64_t n = RECORD_HEADER_BYTES + (uint64_t)r->envelope_len + r->trace_len;

	return r->flags & RECORD_BIG ? n : n + r->content_len;
}

uint64_t
record_length_padded(const struct record *r)
{
	return (record_length(r) + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

int
record_check_body(const struct record *r, struct span body, struct span *envelope_out,
		  struct span *trace_out, struct span *content_out)
{
	size_t content_len = r->flags & RECORD_BIG ? 0 : (size_t)r->content_len;

	if (body.n < (size_t)r->envelope_len + r->trace_len + content_len)
		return E_CORRUPT;
	*envelope_out = span_sub(body, 0, r->envelope_len);
	*trace_out = span_sub(body, r->envelope_len, r->trace_len);
	*content_out = span_sub(body, (size_t)r->envelope_len + r->trace_len, content_len);
	if (crc32c(0, envelope_out->p, envelope_out->n) != r->envelope_crc)
		return E_CORRUPT;
	if (crc32c(0, trace_out->p, trace_out->n) != r->trace_crc)
		return E_CORRUPT;
	if (!(r->flags & RECORD_BIG) && crc32c(0, content_out->p, content_out->n) != r->content_crc)
		return E_CORRUPT;
	return 0;
}

/* --- segments -------------------------------------------------------------------------------- */

/*	0 magic (8)	 8 u16 version	10 u16 kind	12 u32 number	16 u64 salt	24 u64 cursor
 *	32 u64 next number	40 u64 next batch	48 u64 bytes	56 u64 made	64 zeros	508 u32 CRC of the 508
 *	bytes before	512 zeros */
void
segment_put_header(char out[RECORD_BLOCK_BYTES], const struct segment_header *h)
{
	char *p = out + sizeof(segment_magic);

	memset(out, 0, RECORD_BLOCK_BYTES);
	memcpy(out, segment_magic, sizeof(segment_magic));
	put_num(&p, RECORD_VERSION, 2);
	put_num(&p, (uint64_t)h->kind, 2);
	put_num(&p, h->number, 4);
	put_num(&p, h->salt, 8);
	put_num(&p, h->cursor, 8);
	put_num(&p, h->next_number, 8);
	put_num(&p, h->next_batch, 8);
	put_num(&p, h->bytes, 8);
	put_num(&p, h->made_us, 8);
	put_crc(out, SEGMENT_CRC_AT);
}

static bool
is_zero(const char *p, size_t n)
{
	return p[0] == '\0' && memcmp(p, p + 1, n - 1) == 0;
}

int
segment_get_header(const char in[RECORD_BLOCK_BYTES], struct segment_header *out)
{
	struct cur c = cur_of(span_make(in, RECORD_BLOCK_BYTES));
	uint16_t version, kind;

	if (is_zero(in, RECORD_BLOCK_BYTES))
		return E_NOTFOUND;
	if (!span_eq(cur_take(&c, sizeof(segment_magic)),
		     span_make(segment_magic, sizeof(segment_magic))))
		return E_CORRUPT;
	version = cur_u16(&c);
	if (crc_at(in, SEGMENT_CRC_AT) != crc32c(0, in, SEGMENT_CRC_AT))
		return E_CORRUPT;
	if (version != RECORD_VERSION)
		return E_CONFIG;
	kind = cur_u16(&c);
	out->number = cur_u32(&c);
	out->salt = cur_u64(&c);
	out->cursor = cur_u64(&c);
	out->next_number = cur_u64(&c);
	out->next_batch = cur_u64(&c);
	out->bytes = cur_u64(&c);
	out->made_us = cur_u64(&c);
	if (kind >= SEGMENT_KIND_COUNT)
		return E_CORRUPT;
	out->kind = (enum segment_kind)kind;
	return 0;
}

/* --- walk ------------------------------------------------------------------------------------ */

void
record_walk_init(struct record_walk *w, uint64_t salt, uint64_t size)
{
	*w = (struct record_walk){ .salt = salt, .offset = RECORD_BLOCK_BYTES, .size = size };
}

/* Bytes of the window from the walk's place on. */
static struct span
rest_of(const struct record_walk *w, struct span window, uint64_t window_at)
{
	return span_sub(window, (size_t)(w->offset - window_at), SIZE_MAX);
}

/* Move on to the next place that holds the salt where a header has it. False: none in the window. */
static bool
seek_salt(struct record_walk *w, struct span rest)
{
	size_t i = 0;

	for (; i + RECORD_HEADER_BYTES <= rest.n; i += RECORD_ALIGN) {
		struct cur c = cur_of(span_make(rest.p + i + RECORD_SALT_AT, 8));

		if (cur_u64(&c) == w->salt) {
			w->offset += i;
			return true;
		}
	}
	w->offset += i;
	return false;
}

enum record_step
record_walk_next(struct record_walk *w, struct span window, uint64_t window_at, struct record *out,
		 struct span parts_out[3], uint64_t *need_out)
{
	struct span rest;
	uint64_t end;

	for (;; w->offset += RECORD_ALIGN) {
		if (w->offset + RECORD_HEADER_BYTES > w->size)
			return RECORD_NONE;
		rest = rest_of(w, window, window_at);
		if (!seek_salt(w, rest)) {
			*need_out = w->offset + RECORD_BLOCK_BYTES < w->size
					    ? w->offset + RECORD_BLOCK_BYTES
					    : w->size;
			return w->offset + RECORD_HEADER_BYTES > w->size ? RECORD_NONE
									 : RECORD_MORE;
		}
		rest = rest_of(w, window, window_at);
		if (record_get_header(rest, out) < 0 || out->salt != w->salt)
			continue;
		end = w->offset + record_length_padded(out);
		if (end > w->size)
			continue;
		if (rest.n < end - w->offset) {
			*need_out = end;
			return RECORD_MORE;
		}
		break;
	}
	w->found_at = w->offset;
	rest = span_sub(rest, RECORD_HEADER_BYTES, SIZE_MAX);
	/* The length is covered by the header's CRC, so what comes behind a damaged part can be trusted. */
	w->offset = end;
	return record_check_body(out, rest, &parts_out[0], &parts_out[1], &parts_out[2]) < 0
		       ? RECORD_DAMAGED
		       : RECORD_FOUND;
}
