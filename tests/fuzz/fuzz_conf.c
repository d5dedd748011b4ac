/* SPDX-License-Identifier: ISC
 *
 * A configuration file as an administrator may garble it, and the encoded options as a process gets them. What is
 * taken can be shown, read again and sent, and stays the same. */

/* lib */
#include "base/span.h"
#include "conf/conf.h"
/* this program */
#include "tests/fuzz/fuzz.h"

enum { OUT_MAX = 1 << 24 };

static struct conf *
parse(struct span text, bool must_work)
{
	struct conf_problems problems;
	struct conf *c;
	int r;

	conf_problems_init(&problems);
	r = conf_parse("fuzz.conf", "/no/such/folder", text, &c, &problems);
	FUZZ_ASSERT((r == 0) == (problems.errors == 0));
	FUZZ_ASSERT((r == 0) == (c != NULL));
	FUZZ_ASSERT(buf_check(&problems.text) == 0);
	FUZZ_ASSERT(r == 0 || !must_work);
	/* Each problem is one line. */
	FUZZ_ASSERT((problems.errors + problems.warnings == 0) == (problems.text.n == 0));
	conf_problems_clear(&problems);
	return c;
}

static void
check_sent(const struct conf *c)
{
	struct buf sent, again;
	struct conf *d;

	buf_init(&sent, OUT_MAX);
	buf_init(&again, OUT_MAX);
	for (unsigned who = 0; who < PROC_COUNT; who++) {
		buf_reset(&sent);
		buf_reset(&again);
		conf_encode(c, (enum proc_id)who, &sent);
		FUZZ_ASSERT(conf_decode(buf_span(&sent), &d) == 0);
		conf_encode(d, (enum proc_id)who, &again);
		FUZZ_ASSERT(span_eq(buf_span(&sent), buf_span(&again)));
		conf_free(&d);
	}
	buf_clear(&sent);
	buf_clear(&again);
}

static void
check_shown(const struct conf *c)
{
	struct buf shown, again;
	struct conf *d;

	buf_init(&shown, OUT_MAX);
	buf_init(&again, OUT_MAX);
	FUZZ_ASSERT(conf_show(c, CONF_SHOW_ALL, NULL, &shown) == 0);
	d = parse(buf_span(&shown), true);
	FUZZ_ASSERT(conf_show(d, CONF_SHOW_ALL, NULL, &again) == 0);
	FUZZ_ASSERT(span_eq(buf_span(&shown), buf_span(&again)));
	conf_free(&d);
	buf_clear(&shown);
	buf_clear(&again);
}

/* The input behind the fingerprint of the table, which no fuzzer would guess. */
static void
check_decoder(struct span in)
{
	struct conf *c = conf_defaults();
	struct buf sent;

	buf_init(&sent, OUT_MAX);
	conf_encode(c, PROC_MASTER, &sent);
	buf_truncate(&sent, sizeof(uint32_t));
	buf_put_span(&sent, in);
	conf_free(&c);
	if (conf_decode(buf_span(&sent), &c) == 0) {
		check_sent(c);
		conf_free(&c);
	}
	buf_clear(&sent);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size);
	struct conf *c = parse(in, false);

	if (c != NULL) {
		check_sent(c);
		check_shown(c);
		conf_free(&c);
	}
	check_decoder(in);
	return 0;
}
