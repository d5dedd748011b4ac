/* SPDX-License-Identifier: ISC
 *
 * BDAT: content in chunks of known length. A chunk is read whole even where it is refused, before anything else is looked
 * at: its bytes must never be taken for commands. What a message comes to stands in cmd_data.c.         RFC 3030 2 */

/* lib */
#include "session/core.h"

/* "123" or "123 LAST". */
static int
parse_args(struct span args, uint64_t *len_out, bool *is_last_out)
{
	struct span word;

	if (!span_next(&args, ' ', &word))
		return E_SYNTAX;
	args = span_trim(args);
	*is_last_out = span_ieq(args, SPAN("LAST"));
	if (args.n > 0 && !*is_last_out)
		return E_SYNTAX;
	return word.n > 20 ? E_SYNTAX : span_to_u64(word, 1ULL << 62, len_out);
}

enum step
cmd_bdat(struct session *s, struct span args)
{
	bool is_legal = s->phase == PHASE_RCPT || s->phase == PHASE_BDAT;

	/* Where the chunk ends is not known: nothing after this can be trusted. */
	if (parse_args(args, &s->chunk_left, &s->is_last_chunk) < 0) {
		session_reply(s, 501, "5.5.4", "Syntax: BDAT length [LAST]");
		return STEP_CLOSE;
	}
	if (s->chunk_left > content_flood_bytes(s)) {
		session_reply_error(s, E_TOOBIG);
		return STEP_CLOSE;
	}
	s->is_chunk = true;
	s->chunk_error = is_legal ? 0 : E_BADSEQ;
	if (s->phase == PHASE_RCPT) {
		content_begin(s, false);
		session_set_phase(s, PHASE_BDAT);
	} else if (!is_legal) {
		s->content_since_ms = s->now_ms;
		s->content_read = 0;
	}
	return s->chunk_left > 0 ? STEP_READ : chunk_end(s);
}

size_t
chunk_take(struct session *s, struct span in)
{
	size_t n;

	in = span_sub(in, 0, s->chunk_left < in.n ? (size_t)s->chunk_left : in.n);
	if (s->chunk_error < 0) {
		n = in.n;
		s->content_read += n;
	} else {
		n = content_take(s, in);
	}
	/* The connection was closed inside. */
	if (s->phase == PHASE_CLOSED)
		return n;
	s->chunk_left -= n;
	/* A stream that is full: the end of the chunk comes with content_room_done. */
	if (s->chunk_left == 0 && s->wait == WAIT_NONE)
		session_step_done(s, chunk_end(s));
	return n;
}

/* The last byte of the chunk was read. */
enum step
chunk_end(struct session *s)
{
	enum step step;

	s->is_chunk = false;
	s->stage = "BDAT";
	if (s->chunk_error < 0)
		return session_reply_error(s, s->chunk_error);
	if (s->is_last_chunk)
		return message_end(s);
	/* A bare newline is told at the true end, anything else now. */
	if (s->txn->error == 0 || s->txn->error == E_BARE_NEWLINE)
		return session_reply(s, 250, "2.0.0", "Chunk received");
	step = session_reply_error(s, s->txn->error);
	session_end_txn(s);
	return step;
}
