/* SPDX-License-Identifier: ISC
 *
 * A whole client session against a server that says anything at any time. The first byte holds options (bits of enum
 * fuzz_option); then the server's bytes, with events between them (bytes 0xf1 to 0xff, see happen()).
 *
 * Whatever comes: each job comes back once, with one outcome for each recipient; nothing is delivered whose end was not
 * written; only CRLF ends a line of what we write; no more MAIL commands than transactions. */

/* System */
#include <string.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "delivery/out_session.h"
#include "tests/fuzz/fuzz.h"

enum fuzz_option {
	OPTION_LMTP = 1,
	OPTION_EAGER = 2,
	OPTION_ODD_CONTENT = 4,
	OPTION_UTF8 = 8,
	OPTION_MANY = 16,
	OPTION_START_JOB = 32
};

static const struct out_timeouts timeouts = { 1, 1, 1, 1, 1, 1, 1, 1 };

struct run {
	struct out_session s;
	unsigned options;
	unsigned given, back, delivered;
	struct buf written;
};

static struct job *
make_job(const struct run *r, bool is_streamed)
{
	struct env_rcpt rcpts[60] = {
		{ .index = 3, .addr = SPAN("r@b.example"), .notify = ENV_NOTIFY_SUCCESS },
		{ .index = 7,
		  .addr = SPAN("\"a b\"@b.example"),
		  .orcpt = SPAN("rfc822;x@b.example") },
		{ .index = 8, .addr = SPAN("c@b.example") }
	};
	struct envelope e;
	struct msg_job m = { .job = r->given + 1,
			     .trace = SPAN("Received: here\r\n"),
			     .content = SPAN("Subject: x\r\n\r\nhi\r\n") };
	struct buf b;
	struct job *j = NULL;

	envelope_init(&e);
	e.sender = SPAN("s@a.example");
	e.envid = SPAN("id");
	e.rcpts = rcpts;
	e.rcpt_count = (r->options & OPTION_MANY) ? 60 : 3;
	for (uint32_t i = 3; i < e.rcpt_count; i++)
		rcpts[i] = (struct env_rcpt){
			.index = 100 + i,
			.addr = SPAN("another.recipient.with.a.long.name@another.example")
		};
	if (r->options & OPTION_UTF8)
		rcpts[2].addr = SPAN("\xc3\xa4@b.example");
	if (r->options & OPTION_ODD_CONTENT)
		m.content = SPAN(".\n..\r\n\r.\n.\rx\n.\r\r\n.");
	m.content_len = is_streamed ? 200000 : m.content.n;
	if (is_streamed)
		m.content = SPAN_NONE;
	buf_init(&b, 65536);
	envelope_encode(&b, &e);
	m.envelope = buf_span(&b);
	FUZZ_ASSERT(job_new(&m, &j) == 0);
	buf_clear(&b);
	return j;
}

static void
write_some(struct run *r, size_t max)
{
	struct iovec iov;

	while (max > 0 && out_queue_peek(&r->s.out, &iov, 1) == 1) {
		size_t n = iov.iov_len < max ? iov.iov_len : max;

		buf_put(&r->written, iov.iov_base, n);
		out_session_sent(&r->s, n);
		max -= n;
	}
}

static void
take_done(struct run *r)
{
	struct job *j;

	while ((j = out_session_take_done(&r->s)) != NULL) {
		r->back++;
		FUZZ_ASSERT(j->unsettled == 0);
		for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
			const struct outcome *o = &j->outcomes[i];

			FUZZ_ASSERT(j->is_settled[i] && o->index == j->env.rcpts[i].index &&
				    o->text.n <= 1000 && o->esc.n <= 11);
			if (o->status == OUTCOME_DELIVERED) {
				FUZZ_ASSERT(o->reply / 100 == 2 && !(o->flags & OUTCOME_NOT_TRIED));
				r->delivered++;
			}
		}
		job_free(&j);
	}
}

static void
add_job(struct run *r, bool is_streamed)
{
	if (r->given > 20 || !out_session_has_room(&r->s))
		return;
	out_session_add(&r->s, make_job(r, is_streamed));
	r->given++;
}

static void
add_data(struct run *r)
{
	static const char text[50000] = "..\n\r\r\n.";
	struct job *j = r->s.job != NULL && !job_has_all(r->s.job) ? r->s.job : r->s.next;

	if (j == NULL || job_has_all(j))
		return;
	if (job_add_data(j, span_make(text, j->content_len - j->received < sizeof(text)
						    ? j->content_len - j->received
						    : sizeof(text))) == 0)
		out_session_data(&r->s, j);
}

static void
abort_job(struct run *r)
{
	struct job *j = r->s.next != NULL ? r->s.next : r->s.job;

	if (j == NULL)
		return;
	j->is_aborted = true;
	out_session_data(&r->s, j);
}

static void
happen(struct run *r, uint8_t event)
{
	switch (event) {
	case 0xff:
		write_some(r, SIZE_MAX);
		break;
	case 0xfe:
		write_some(r, 7);
		break;
	case 0xfd:
		add_job(r, false);
		break;
	case 0xfc:
		add_job(r, true);
		break;
	case 0xfb:
		add_data(r);
		break;
	case 0xfa:
		out_session_timeout(&r->s);
		break;
	case 0xf9:
		out_session_broken(&r->s, "closed");
		break;
	case 0xf8:
		out_session_quit(&r->s);
		break;
	case 0xf7:
		abort_job(r);
		break;
	case 0xf6:
		out_session_give_up(&r->s, 0, SPAN("enough"));
		break;
	default:
		break;
	}
}

static void
play(struct run *r, struct span in)
{
	while (in.n > 0 && r->s.state != OUT_DEAD) {
		size_t n = 0;

		while (n < in.n && (unsigned char)in.p[n] <= 0xf0)
			n++;
		if (n > 0) {
			out_session_input(&r->s, span_sub(in, 0, n));
		} else {
			n = 1;
			happen(r, (uint8_t)in.p[0]);
		}
		in = span_sub(in, n, in.n);
		take_done(r);
		if ((r->options & OPTION_START_JOB) && r->given == 0)
			add_job(r, false);
		if (r->options & OPTION_EAGER)
			write_some(r, SIZE_MAX);
		(void)out_session_wait_ms(&r->s);
		FUZZ_ASSERT(r->s.out.left <= OUT_QUEUE_TEXT_MAX);
		FUZZ_ASSERT(r->s.state == OUT_TXN ? r->s.job != NULL : r->s.job == NULL);
	}
}

static void
check_written(const struct run *r)
{
	struct span w = buf_span(&r->written), rest = w, line;
	unsigned mails = 0;
	bool has_end = span_find(w, SPAN("DATA\r\n")) >= 0 || span_find(w, SPAN(" LAST\r\n")) >= 0;

	for (size_t i = 0; i < w.n; i++) {
		FUZZ_ASSERT(w.p[i] != '\n' || (i > 0 && w.p[i - 1] == '\r'));
		FUZZ_ASSERT(w.p[i] != '\r' || i + 1 == w.n || w.p[i + 1] == '\n');
	}
	while (span_next(&rest, '\n', &line))
		mails += span_starts(line, SPAN("MAIL FROM:<"));
	FUZZ_ASSERT(mails <= r->s.txn_count);
	FUZZ_ASSERT(r->delivered == 0 || has_end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct out_params p = { .ehlo_name = SPAN("me.example"), .timeouts = &timeouts };
	struct run r = { .given = 0 };

	if (size < 2 || size > 16384)
		return 0;
	r.options = data[0];
	p.is_lmtp = (r.options & OPTION_LMTP) != 0;
	buf_init(&r.written, 1 << 24);
	out_session_init(&r.s, &p);
	play(&r, span_make(data + 1, size - 1));
	out_session_broken(&r.s, "end");
	take_done(&r);
	FUZZ_ASSERT(r.given == r.back);
	check_written(&r);
	out_session_clear(&r.s);
	buf_clear(&r.written);
	return 0;
}
