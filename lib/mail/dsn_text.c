/* SPDX-License-Identifier: ISC
 *
 * The part of a report that a person reads: for each recipient what happened, what the other server said, and what the
 * reader can do about it. Plain words, no codes but those in the quoted reply. No I/O; run by qmgr. */

/* lib */
#include "mail/date.h"
#include "mail/dsn_put.h"

enum { TEXT_WIDTH = 76 };

/* What the reader can do, by the subject and detail of the enhanced status code.                RFC 3463 3 */
struct advice {
	const char *code; /* ".1.1" or a whole subject ".7." */
	const char *text;
};

static const struct advice failed_advice[] = {
	{ ".1.2", "Check the part of the address behind the @ for mistakes: no mail server answers "
		  "for it." },
	{ ".1.10",
	  "The domain has declared that it takes no mail. Ask the recipient for another address." },
	{ ".1.", "Check the address for mistakes. If it is right, it no longer takes mail: ask the "
		 "recipient for another one." },
	{ ".2.2", "The recipient's mailbox is full. Tell the recipient in another way, or send the "
		  "message again later." },
	{ ".2.3", "The message is too large for this recipient. Send a smaller one, or share the "
		  "file in another way." },
	{ ".3.4", "The message is too large for the other server. Send a smaller one, or share the "
		  "file in another way." },
	{ ".4.6", "The message went round in a circle between servers. Please forward this report "
		  "to the postmaster of the recipient's domain." },
	{ ".6.3", "The other server takes only messages in plain ASCII. Send the text without "
		  "accented or special characters, or as an attachment." },
	{ ".6.7", "The other server does not know addresses with international characters. Use a "
		  "plain ASCII address of sender and recipient." },
	{ ".7.", "The other side refuses this message by a rule of its own. Its postmaster can "
		 "tell why; quote the reply above." },
	{ "", "If the reply above does not explain it, ask the postmaster of the recipient's "
	      "domain and quote it." },
};

static const char *
advice_for(struct span esc)
{
	struct span tail = span_sub(esc, 1, SIZE_MAX);
	const struct advice *a = failed_advice;

	/* ".1.1" must not match ".1.10": a row that does not end in a dot is compared whole. */
	for (;; a++) {
		struct span code = span_of(a->code);
		bool is_subject = code.n == 0 || code.p[code.n - 1] == '.';

		if (is_subject ? span_starts(tail, code) : span_eq(tail, code))
			return a->text;
	}
}

static void
put_duration(struct buf *b, uint64_t us)
{
	uint64_t minutes = us / 60000000, hours = minutes / 60, days = hours / 24;

	if (days > 1)
		buf_printf(b, "%u days", (unsigned)days);
	else if (hours > 1)
		buf_printf(b, "%u hours", (unsigned)hours);
	else if (minutes > 1)
		buf_printf(b, "%u minutes", (unsigned)minutes);
	else
		buf_puts(b, "a short time");
}

static void
put_paragraph(struct buf *b, const char *indent, struct span text, bool is_utf8)
{
	buf_puts(b, indent);
	dsn_put_wrapped(b, text, indent, span_of(indent).n, TEXT_WIDTH, is_utf8);
	buf_puts(b, "\r\n");
}

/* Who said it: "The server mx.example.org[192.0.2.1]:25 replied:" or, for a reason of ours, "The reason:". */
static void
put_reply_block(struct buf *b, const struct dsn_rcpt *r, const char *said, bool is_utf8)
{
	struct buf text;

	if (r->text.n == 0 && r->reply == 0)
		return;
	buf_init(&text, 8192);
	if (r->relay.n > 0) {
		buf_puts(&text, "The server ");
		buf_put_span(&text, r->relay);
		buf_printf(&text, " %s:", said);
	} else {
		buf_puts(&text, "The reason:");
	}
	put_paragraph(b, "    ", buf_span(&text), is_utf8);
	buf_puts(b, "\r\n");
	buf_reset(&text);
	if (r->relay.n > 0)
		dsn_put_reply(&text, r);
	else
		buf_put_span(&text, r->text);
	put_paragraph(b, "        ", buf_span(&text), is_utf8);
	buf_puts(b, "\r\n");
	buf_clear(&text);
}

static void
put_failed(struct buf *b, const struct dsn_report *rep, const struct dsn_rcpt *r, bool is_utf8)
{
	if (!r->is_expired) {
		put_paragraph(b, "    ",
			      SPAN("The message was not delivered to this address and will not be "
				   "tried again."),
			      is_utf8);
		put_reply_block(b, r, "refused it and said", is_utf8);
		put_paragraph(b, "    ", span_of(advice_for(dsn_status(r))), is_utf8);
		return;
	}
	buf_puts(b, "    The message could not be delivered to this address for ");
	put_duration(b, rep->date_us > rep->arrival_us ? rep->date_us - rep->arrival_us : 0);
	buf_puts(b, "\r\n    and will not be tried again.\r\n");
	put_reply_block(b, r, "said at the last attempt", is_utf8);
	put_paragraph(b, "    ",
		      SPAN("Check the part of the address behind the @. If it is right, the other "
			   "side has a lasting problem: "
			   "reach the recipient in another way, or send the message again later."),
		      is_utf8);
}

static void
put_delayed(struct buf *b, const struct dsn_report *rep, const struct dsn_rcpt *r, bool is_utf8)
{
	char date[DATE_TEXT_MAX];

	buf_puts(b, "    The message has been waiting for ");
	put_duration(b, rep->date_us > rep->arrival_us ? rep->date_us - rep->arrival_us : 0);
	buf_puts(b, ". It is still being tried.\r\n");
	put_reply_block(b, r, "said at the last attempt", is_utf8);
	date_format(r->retry_until_us, date);
	buf_printf(b,
		   "    You need not do anything, and need not send it again. If it cannot be\r\n"
		   "    delivered by %s,\r\n    you will get another report.\r\n",
		   date);
}

static void
put_rcpt(struct buf *b, const struct dsn_report *rep, const struct dsn_rcpt *r, bool is_utf8)
{
	buf_puts(b, "\r\n<");
	dsn_put_clean(b, r->addr, is_utf8);
	buf_puts(b, ">");
	if (r->orig.n > 0 && !span_eq(r->orig, r->addr)) {
		buf_puts(b, "\r\n    (you wrote to <");
		dsn_put_clean(b, r->orig, is_utf8);
		buf_puts(b, ">, which leads there)");
	}
	buf_puts(b, "\r\n\r\n");
	switch (r->action) {
	case DSN_FAILED:
		put_failed(b, rep, r, is_utf8);
		break;
	case DSN_DELAYED:
		put_delayed(b, rep, r, is_utf8);
		break;
	case DSN_DELIVERED:
		buf_puts(b, "    The message was delivered to the mailbox.\r\n");
		break;
	case DSN_RELAYED:
		buf_puts(b, "    The message was handed over to a server that sends no reports "
			    "about\r\n"
			    "    successful delivery. You will hear no more about this recipient "
			    "unless\r\n"
			    "    delivery fails.\r\n");
		break;
	case DSN_EXPANDED:
		buf_puts(b, "    The message was sent on to several addresses. You will hear no "
			    "more about\r\n"
			    "    this recipient unless delivery fails.\r\n");
		break;
	case DSN_ACTION_COUNT:
		break;
	}
}

void
dsn_put_human(struct buf *b, const struct dsn_report *r, bool is_utf8)
{
	bool has[DSN_ACTION_COUNT] = { false };
	const char *what;

	for (uint32_t i = 0; i < r->rcpt_count; i++)
		has[r->rcpts[i].action] = true;
	what = r->sender.n == 0 ? "A report of this server itself, or of another one, could not be "
				  "delivered:"
	       : has[DSN_FAILED] ? "Your message could not be delivered to:"
	       : has[DSN_DELAYED]
		       ? "Your message could not be delivered yet. This is only a warning: it is "
			 "still\r\n"
			 "being tried. It has not reached:"
		       : "You asked to be told when your message was delivered. It was, to:";
	buf_puts(b, "This is the mail server ");
	dsn_put_clean(b, r->hostname, is_utf8);
	buf_printf(b, ".\r\n\r\n%s\r\n", what);
	for (uint32_t i = 0; i < r->rcpt_count; i++)
		put_rcpt(b, r, &r->rcpts[i], is_utf8);
	buf_puts(b, "\r\nThe next part of this report is for programs; after it comes your message "
		    "or the\r\n"
		    "front of it, so that you can see which one is meant.\r\n");
}
