/* SPDX-License-Identifier: ISC
 *
 * Replies of a server: cut into pieces of any size they give the same replies, within bounds, and nothing that would break
 * a log line or a report comes out. The first byte is the size of the pieces. */

/* System */
#include <string.h>
/* lib */
#include "smtp/reply.h"
/* this program */
#include "tests/fuzz/fuzz.h"

static void
check(const struct reply *r, struct buf *all)
{
	char esc[REPLY_ESC_LEN];
	size_t from = all->n;

	FUZZ_ASSERT(r->code >= 200 && r->code <= 599);
	FUZZ_ASSERT(r->text.n <= REPLY_TEXT_MAX);
	buf_printf(all, "%u %d ", r->code, reply_esc(r, esc));
	FUZZ_ASSERT(strlen(esc) < REPLY_ESC_LEN &&
		    (esc[0] == '\0' || (esc[0] - '0' == r->code / 100)));
	from = all->n;
	reply_put_text(r, 1000, all);
	FUZZ_ASSERT(all->n - from <= 1000);
	for (size_t i = from; i < all->n; i++)
		FUZZ_ASSERT((unsigned char)all->p[i] >= 32 && all->p[i] != 127);
	buf_putc(all, '\n');
}

static int
run(struct span in, size_t step, struct buf *all)
{
	struct reply_parser p;
	struct reply rep;
	int r = 0;

	reply_parser_init(&p);
	while (in.n > 0 && r >= 0) {
		struct span piece = span_sub(in, 0, step);

		in = span_sub(in, piece.n, in.n);
		while (piece.n > 0 && (r = reply_parse(&p, &piece, &rep)) == 1)
			check(&rep, all);
		FUZZ_ASSERT(r != 0 || piece.n == 0);
	}
	reply_parser_clear(&p);
	return r < 0 ? r : 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, pieces;
	struct span in;
	int r, s;

	if (size < 2 || size > 65536)
		return 0;
	in = span_make(data + 1, size - 1);
	buf_init(&whole, 1 << 24);
	buf_init(&pieces, 1 << 24);
	r = run(in, in.n, &whole);
	s = run(in, (size_t)data[0] + 1, &pieces);
	FUZZ_ASSERT(r == s && span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_clear(&whole);
	buf_clear(&pieces);
	return 0;
}
