/* SPDX-License-Identifier: ISC
 *
 * The walk over the records of a segment. The input is the segment (its first block is the header, as on the disk); the
 * salt is one that no input knows, except through the byte 'S' repeated, which the corpus uses to make records that
 * count. Every step moves on, nothing outside is read, nothing with a wrong CRC is called whole, and a walk by small
 * windows finds the same as one over the whole. */

/* System */
#include <string.h>
/* lib */
#include "base/crc.h"
#include "base/mem.h"
#include "spool/record.h"
/* this program */
#include "tests/fuzz/fuzz.h"

#define FUZZ_SALT 0x5353535353535353ull

struct found {
	uint64_t count, hash, damaged;
};

static void
check_found(const struct record *r, const struct span parts[3], struct span window)
{
	for (int i = 0; i < 3; i++)
		FUZZ_ASSERT(parts[i].n == 0 || (parts[i].p >= window.p &&
						parts[i].p + parts[i].n <= window.p + window.n));
	FUZZ_ASSERT(r->salt == FUZZ_SALT && r->number != 0);
	FUZZ_ASSERT(parts[0].n == r->envelope_len && parts[1].n == r->trace_len);
	FUZZ_ASSERT(crc32c(0, parts[0].p, parts[0].n) == r->envelope_crc);
}

static struct found
walk(struct span segment, uint64_t step)
{
	struct found f = { 0 };
	struct record_walk w;
	struct record r;
	struct span parts[3];
	uint64_t end = step, need = 0, last = 0;

	record_walk_init(&w, FUZZ_SALT, segment.n);
	for (;;) {
		/* In memory of exactly its size. */
		size_t n = end > w.offset && w.offset < segment.n ? (size_t)(end - w.offset) : 0;
		struct span whole = span_sub(segment, (size_t)w.offset, n);
		char *copy = mem_alloc(whole.n + 1);
		struct span window = span_make(copy, whole.n);
		uint64_t at = w.offset;
		enum record_step s;

		if (whole.n > 0)
			memcpy(copy, whole.p, whole.n);
		s = record_walk_next(&w, window, at, &r, parts, &need);
		FUZZ_ASSERT(w.offset >= last);
		last = w.offset;
		if (s == RECORD_FOUND)
			check_found(&r, parts, window);
		mem_free(copy);
		if (s == RECORD_NONE)
			return f;
		if (s == RECORD_MORE) {
			FUZZ_ASSERT(need > end || at + whole.n < end);
			FUZZ_ASSERT(need <= segment.n);
			end = need + step;
			continue;
		}
		FUZZ_ASSERT(w.offset > w.found_at && w.found_at >= RECORD_BLOCK_BYTES &&
			    w.offset <= segment.n);
		f.count++;
		f.damaged += s == RECORD_DAMAGED;
		f.hash = f.hash * 31 + r.number + w.found_at;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	struct segment_header h;
	struct found whole, parts;

	if (size >= RECORD_BLOCK_BYTES && segment_get_header((const char *)data, &h) == 0)
		FUZZ_ASSERT(h.kind < SEGMENT_KIND_COUNT);
	if (size < RECORD_BLOCK_BYTES || size > 256 * 1024)
		return 0;
	whole = walk(in, size);
	parts = walk(in, 64);
	FUZZ_ASSERT(whole.count == parts.count && whole.hash == parts.hash &&
		    whole.damaged == parts.damaged);
	return 0;
}
