/* SPDX-License-Identifier: ISC
 *
 * Reads the extensions that a server offers. It does no I/O. Runs in delivery on the bytes of strangers.
 * RFC 5321 4.1.1.1; the extensions' RFCs stand in the header. */

/* lib */
#include "smtp/reply.h"
/* this program */
#include "delivery/out_caps.h"

static bool
next_word(struct span *rest, struct span *word)
{
	*rest = span_trim(*rest);
	return span_next(rest, ' ', word) && word->n > 0;
}

static void
parse_size(struct out_caps *c, struct span args)
{
	struct span word;

	c->has_size = true;
	if (next_word(&args, &word) && span_to_u64(word, UINT64_MAX, &c->size_max) < 0)
		c->size_max = 0;
}

static void
parse_limits(struct out_caps *c, struct span args)
{
	struct span word, name;
	uint64_t n;

	while (next_word(&args, &word)) {
		if (!span_next(&word, '=', &name) || span_to_u64(word, 1000000, &n) < 0 || n == 0)
			continue;
		if (span_ieq(name, SPAN("RCPTMAX")))
			c->rcpt_max = (uint32_t)n;
		else if (span_ieq(name, SPAN("MAILMAX")))
			c->mail_max = (uint32_t)n;
	}
}

void
out_caps_parse(struct out_caps *c, struct span text)
{
	const struct {
		struct span keyword;
		bool *flag;
	} flags[] = {
		{ SPAN("PIPELINING"), &c->has_pipelining },
		{ SPAN("8BITMIME"), &c->has_8bitmime },
		{ SPAN("SMTPUTF8"), &c->has_smtputf8 },
		{ SPAN("CHUNKING"), &c->has_chunking },
		{ SPAN("DSN"), &c->has_dsn },
		{ SPAN("STARTTLS"), &c->has_starttls },
	};
	struct span line, word;

	*c = (struct out_caps){ .size_max = 0 };
	(void)reply_next_line(&text, &line);
	while (reply_next_line(&text, &line)) {
		if (!next_word(&line, &word))
			continue;
		for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
			if (span_ieq(word, flags[i].keyword))
				*flags[i].flag = true;
		}
		if (span_ieq(word, SPAN("SIZE")))
			parse_size(c, line);
		else if (span_ieq(word, SPAN("LIMITS")))
			parse_limits(c, line);
	}
}
