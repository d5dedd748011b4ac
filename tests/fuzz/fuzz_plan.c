/* SPDX-License-Identifier: ISC
 *
 * Plans and outcomes as they come from a process that a stranger has taken over. Input: 'p' and a plan, or 'o' and
 * outcomes. What is accepted has clean texts and encodes to the same bytes. */

/* System */
#include <string.h>
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
check_plan(struct span in)
{
	struct plan p;
	struct arena arena;
	struct buf b;

	arena_init(&arena, 4096);
	buf_init(&b, in.n + 64);
	if (plan_decode(in, &arena, &p) == 0) {
		check_text(p.domain);
		check_text(p.base);
		check_text(p.path);
		FUZZ_ASSERT(p.transport < TRANSPORT_COUNT && p.tls < PLAN_TLS_COUNT);
		FUZZ_ASSERT(p.host_count <= PLAN_MAX_HOSTS);
		for (uint32_t i = 0; i < p.host_count; i++) {
			check_text(p.hosts[i].name);
			FUZZ_ASSERT(p.hosts[i].addr_count <= PLAN_MAX_ADDRS);
			for (uint32_t j = 0; j < p.hosts[i].addr_count; j++)
				FUZZ_ASSERT(p.hosts[i].addrs[j].family == 4 ||
					    p.hosts[i].addrs[j].family == 6);
		}
		plan_encode(&b, &p);
		FUZZ_ASSERT(buf_check(&b) == 0 && span_eq(buf_span(&b), in));
	}
	buf_clear(&b);
	arena_clear(&arena);
}

static void
check_outcomes(struct span in)
{
	struct cur c = cur_of(in);
	struct outcome o;
	struct buf b;

	buf_init(&b, in.n + 64);
	while (cur_left(&c) > 0 && outcome_get(&c, &o) == 0) {
		check_text(o.esc);
		check_text(o.text);
		FUZZ_ASSERT(o.status < OUTCOME_STATUS_COUNT && o.text.n <= 1000 && o.esc.n <= 11);
		outcome_put(&b, &o);
	}
	FUZZ_ASSERT(buf_check(&b) == 0 && span_starts(in, buf_span(&b)));
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == 'p')
		check_plan(span_make(data + 1, size - 1));
	else if (size > 0 && data[0] == 'o')
		check_outcomes(span_make(data + 1, size - 1));
	return 0;
}
