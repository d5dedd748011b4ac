/* SPDX-License-Identifier: ISC
 *
 * Codec of control.sock: requests of the `postern` command and the answers of control. No I/O. What control decodes
 * comes from any local user.
 */
/* lib */
#include "base/cur.h"
#include "ipc/admin.h"

/* The length is known when the payload stands behind it. */
static size_t
begin_frame(struct buf *b)
{
	size_t at = b->n;

	buf_put_u32(b, 0);
	return at;
}

static void
end_frame(struct buf *b, size_t at)
{
	if (b->is_failed)
		return;
	uint32_t n = (uint32_t)(b->n - at - ADMIN_HEAD_BYTES);
	for (unsigned i = 0; i < ADMIN_HEAD_BYTES; i++)
		b->p[at + i] = (char)(n >> (8 * i));
}

void
admin_put_request(struct buf *b, const struct admin_request *r)
{
	size_t at = begin_frame(b);

	buf_put_u8(b, (uint8_t)r->kind);
	buf_put_u8(b, r->verb);
	buf_put_u64(b, r->limit);
	buf_put_u64(b, r->offset);
	buf_put_bytes(b, r->args);
	end_frame(b, at);
}

void
admin_put_answer(struct buf *b, const struct admin_answer *a)
{
	size_t at = begin_frame(b);

	buf_put_u8(b, (uint8_t)a->kind);
	buf_put_u8(b, a->origin);
	buf_put_u16(b, a->code);
	buf_put_u64(b, a->messages);
	buf_put_u64(b, a->recipients);
	buf_put_bytes(b, a->bytes);
	end_frame(b, at);
}

int
admin_get_request(struct span payload, struct admin_request *out)
{
	struct cur c = cur_of(payload);
	uint8_t kind = cur_u8(&c);

	out->verb = cur_u8(&c);
	out->limit = cur_u64(&c);
	out->offset = cur_u64(&c);
	out->args = cur_bytes(&c, ADMIN_REQUEST_MAX);
	if (kind >= ADMIN_KIND_COUNT)
		return E_CORRUPT;
	out->kind = (enum admin_kind)kind;

	struct cur args = cur_of(out->args);
	while (!args.is_failed && cur_left(&args) > 0)
		cur_bytes(&args, ADMIN_REQUEST_MAX);
	if (args.is_failed)
		return E_CORRUPT;
	return cur_check_end(&c);
}

int
admin_get_answer(struct span payload, struct admin_answer *out)
{
	struct cur c = cur_of(payload);
	uint8_t kind = cur_u8(&c);

	out->origin = cur_u8(&c);
	out->code = cur_u16(&c);
	out->messages = cur_u64(&c);
	out->recipients = cur_u64(&c);
	out->bytes = cur_bytes(&c, ADMIN_ANSWER_MAX);
	if (kind >= ADMIN_ANSWER_KIND_COUNT)
		return E_CORRUPT;
	out->kind = (enum admin_answer_kind)kind;
	return cur_check_end(&c);
}

uint32_t
admin_frame_len(const char *head)
{
	struct cur c = cur_of(span_make(head, ADMIN_HEAD_BYTES));

	return cur_u32(&c);
}
