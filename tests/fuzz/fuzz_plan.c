/* SPDX-License-Identifier: ISC
 *
 * Plans and outcomes as they come from a sibling: what is accepted has clean texts and bounded counts, and encoding it
 * again gives the same bytes. */

/* lib */
#include "base/cur.h"
#include "ipc/plan.h"
/* this program */
#include "tests/fuzz/fuzz.h"

static void
check_text(struct span s)
{
	FUZZ_ASSERT(span_chr(s, '\0') < 0 && span_chr(s, '\r') < 0 && span_chr(s, '\n') < 0);
}

static void
try_plan(struct span in)
{
	struct arena arena;
	struct plan p;
	struct buf b;

	arena_init(&arena, 4096);
	buf_init(&b, in.n + 4096);
	if (plan_decode(in, &arena, &p) == 0) {
		check_text(p.path);
		check_text(p.domain);
		FUZZ_ASSERT(p.host_count <= PLAN_MAX_HOSTS);
		for (uint32_t i = 0; i < p.host_count; i++) {
			check_text(p.hosts[i].name);
			FUZZ_ASSERT(p.hosts[i].addr_count <= PLAN_MAX_ADDRS);
		}
		plan_encode(&b, &p);
		FUZZ_ASSERT(span_eq(buf_span(&b), in));
	}
	buf_clear(&b);
	arena_clear(&arena);
}

static void
try_outcomes(struct span in)
{
	struct cur c = cur_of(in);
	struct outcome o;
	struct buf b;

	buf_init(&b, in.n + 4096);
	while (cur_left(&c) > 0 && outcome_get(&c, &o) == 0) {
		check_text(o.text);
		check_text(o.esc);
		outcome_put(&b, &o);
	}
	FUZZ_ASSERT(span_starts(in, buf_span(&b)));
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	try_plan(span_make(data, size));
	try_outcomes(span_make(data, size));
	return 0;
}
