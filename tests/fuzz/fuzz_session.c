/* SPDX-License-Identifier: ISC
 *
 * A whole SMTP session. The first two bytes choose how the client's bytes are cut into reads, and what the server's other
 * parts answer and when; the rest is the client. Cut in another way the session must end the same; no content may become a
 * command, no message may be answered before it was stored, and nothing may be left behind. */

/* this program */
#include "tests/fuzz/fuzz.h"
/* The owner of a session in tests, as the unit tests have it. */
#include "tests/unit/session/driver.c"

enum fuzz_option {
	OPTION_ASYNC = 1,
	OPTION_NORMALIZE = 2,
	OPTION_CLOSED = 4,
	OPTION_ROOM = 8,
	OPTION_REFUSE = 16,
	OPTION_SMALL = 32,
	OPTION_STREAM = 64
};

static void
run(struct driver *d, struct span in, size_t step, unsigned options)
{
	driver_init(d);
	d->conf.message_size = (options & OPTION_SMALL) != 0 ? 200 : 1 << 20;
	/* Messages of a few bytes go the way of long ones. */
	d->conf.content_max = (options & OPTION_STREAM) != 0 ? 16 : SESSION_CONTENT_MAX;
	d->conf.errors = 5;
	d->conf.junk_commands = 8;
	d->conf.recipients = 4;
	d->conf.messages = 6;
	d->conf.hop_limit = 2;
	d->conf.header_size = 4096;
	d->is_async = (options & OPTION_ASYNC) != 0;
	d->client.is_normalizing = (options & OPTION_NORMALIZE) != 0;
	d->may_mail = (options & OPTION_CLOSED) != 0 ? E_NOSPACE : 0;
	d->room_every = (options & OPTION_ROOM) != 0 ? 1 : 0;
	d->commit = (options & OPTION_REFUSE) != 0 ? E_IO : 0;
	driver_start(d);
	driver_feed(d, in, step);
}

/* Replies are lines of printable ASCII, each with a code. */
static void
check_replies(struct span replies)
{
	struct span line;

	while (span_next(&replies, '\n', &line)) {
		FUZZ_ASSERT(line.n >= 5 && line.n <= 511 && line.p[line.n - 1] == '\r');
		FUZZ_ASSERT(line.p[0] >= '2' && line.p[0] <= '5' &&
			    (line.p[3] == ' ' || line.p[3] == '-'));
		for (size_t i = 0; i + 1 < line.n; i++)
			FUZZ_ASSERT(line.p[i] >= ' ' && line.p[i] <= '~');
	}
}

static unsigned
count(struct span s, struct span what)
{
	unsigned n = 0;
	ptrdiff_t at;

	while ((at = span_find(s, what)) >= 0) {
		s = span_sub(s, (size_t)at + what.n, s.n);
		n++;
	}
	return n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct driver a, b;
	struct span in;

	if (size < 2 || size > 50000)
		return 0;
	in = span_make(data + 2, size - 2);
	run(&a, in, data[0] % 32, data[1]);
	run(&b, in, 1 + data[0] / 32, data[1]);
	check_replies(buf_span(&a.replies));
	FUZZ_ASSERT(span_eq(buf_span(&a.replies), buf_span(&b.replies)));
	FUZZ_ASSERT(span_eq(buf_span(&a.mail), buf_span(&b.mail)));
	FUZZ_ASSERT(a.s.phase == b.s.phase && a.stored == b.stored);
	FUZZ_ASSERT(a.stored == a.received);
	FUZZ_ASSERT(count(buf_span(&a.replies), SPAN("250 2.0.0 Queued as ")) == a.stored);
	/* Time ends every session, and nothing stays open. */
	driver_wait(&a, 3600000ULL * 24);
	FUZZ_ASSERT(a.s.phase == PHASE_CLOSED);
	driver_clear(&a);
	driver_clear(&b);
	return 0;
}
