/* SPDX-License-Identifier: ISC
 *
 * Log records as logd gets them from a sibling that may be taken over: whatever they hold, the text stays one line
 * without control bytes. */

/* lib */
#include "base/log.h"
/* this program */
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out;

	buf_init(&out, 1 << 20);
	if (log_render_text(span_make(data, size), &out) == 0)
		for (size_t i = 0; i < out.n; i++)
			FUZZ_ASSERT((unsigned char)out.p[i] >= ' ' && out.p[i] != 0x7f);
	buf_clear(&out);
	return 0;
}
