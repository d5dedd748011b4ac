/* SPDX-License-Identifier: ISC
 *
 * Envelopes as they come from a sibling or from the disk: what is accepted has clean texts, and encoding it again and
 * decoding that gives the same. */

/* System */
#include <string.h>
/* lib */
#include "spool/envelope.h"
/* this program */
#include "tests/fuzz/fuzz.h"

static void
check_text(struct span s)
{
	FUZZ_ASSERT(span_chr(s, '\0') < 0 && span_chr(s, '\r') < 0 && span_chr(s, '\n') < 0);
}

static void
check_rcpt(struct span in, const struct env_rcpt *r)
{
	struct env_rcpt found;

	check_text(r->addr);
	check_text(r->orcpt);
	check_text(r->orig);
	FUZZ_ASSERT(r->addr.n > 0 && r->addr.n <= ENV_ADDR_MAX);
	FUZZ_ASSERT(envelope_find_rcpt(in, r->index, &found) == 0 && found.index == r->index);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	struct envelope e, again;
	struct arena arena;
	struct buf b;

	arena_init(&arena, 4096);
	buf_init(&b, size + 4096);
	if (envelope_decode(in, &arena, &e) == 0) {
		check_text(e.sender);
		for (uint32_t i = 0; i < e.rcpt_count && i < 64; i++)
			check_rcpt(in, &e.rcpts[i]);
		envelope_encode(&b, &e);
		FUZZ_ASSERT(buf_check(&b) == 0);
		FUZZ_ASSERT(envelope_decode(buf_span(&b), &arena, &again) == 0);
		FUZZ_ASSERT(span_eq(e.sender, again.sender) &&
			    span_eq(e.dedupe_key, again.dedupe_key));
		FUZZ_ASSERT(e.rcpt_count == again.rcpt_count && e.uid == again.uid &&
			    e.ret == again.ret);
		for (uint32_t i = 0; i < e.rcpt_count; i++)
			FUZZ_ASSERT(span_eq(e.rcpts[i].addr, again.rcpts[i].addr));
	}
	buf_clear(&b);
	arena_clear(&arena);
	return 0;
}
