/* SPDX-License-Identifier: ISC
 *
 * The decoder of messages between processes. Input: u16 type, payload. What decodes must encode to the same bytes. */

/* System */
#include <stdlib.h>
#include <string.h>

/* lib */
#include "ipc/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	union msg_any msg;
	struct buf again;

	if (size < 2)
		return 0;
	unsigned type = data[0] | (unsigned)data[1] << 8;
	struct span payload = span_make(data + 2, size - 2);
	if (type == 0 || type >= MSG_TYPE_COUNT ||
	    msg_decode(payload, (enum msg_type)type, &msg) < 0)
		return 0;
	buf_init(&again, 16u * 1024 * 1024);
	msg_encode(&again, (enum msg_type)type, &msg);
	if (!span_eq(buf_span(&again), payload))
		abort();
	buf_clear(&again);
	return 0;
}
