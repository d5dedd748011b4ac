/* SPDX-License-Identifier: ISC
 *
 * Builds a delivery status notification: multipart/report with a text for a person, the status for programs, and the
 * original message or its header. It decides neither whether a report is due nor who gets it, and does no I/O; run by
 * qmgr, which stores the result like any mail. What it encloses is a stranger's: it must not end the part it stands
 * in, have lines that are too long, or be called 7-bit when it is not.
 * RFC 3461 6, 3464 2, 6522 3, 6533 5 and 6, 3834 5 (Auto-Submitted) */

/* System */
#include <string.h>
/* lib */
#include "mail/date.h"
#include "mail/dsn.h"
#include "mail/dsn_put.h"
#include "mail/header.h"

enum { ENCLOSED_LINE_MAX = 998, BOUNDARY_MAX = 200 };

/* What was found out before a byte is written. */
struct dsn_plan {
	bool is_utf8;		/* addresses as they are: the "global" types */
	bool is_full;		/* the original goes back with its content */
	bool has_8bit_original; /* in what goes back */
	bool is_global_original;
	struct span header; /* of the original, as much as goes back */
	struct buf human, status;
	char boundary[BOUNDARY_MAX];
};

/* May this message stand in a part as it is? Only CRLF lines of at most 998 bytes, no NUL, an end of the header that
 * every reader sees. */
static bool
can_enclose(struct span s)
{
	struct span body = span_sub(s, header_length(s), SIZE_MAX);
	size_t line = 0;

	if (body.n > 0 && !span_starts(body, SPAN("\r\n")))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			line = 0;
			i++;
			continue;
		}
		if (s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n' ||
		    ++line > ENCLOSED_LINE_MAX)
			return false;
	}
	return true;
}

/* As many whole fields as fit into max_bytes. */
static struct span
bounded_header(struct span original, uint64_t max_bytes)
{
	struct span rest = original;
	struct header_field field;

	while (header_next(&rest, &field))
		if ((uint64_t)(field.raw.p + field.raw.n - original.p) > max_bytes)
			return span_sub(original, 0, (size_t)(field.raw.p - original.p));
	return span_sub(original, 0, (size_t)(rest.p - original.p));
}

/* A boundary that no line of the original begins with. Lines of the other parts never begin with "--". */
static void
choose_boundary(const struct dsn_report *r, char out[BOUNDARY_MAX])
{
	struct buf b;

	buf_init(&b, BOUNDARY_MAX - 1);
	for (unsigned n = 0;; n++) {
		buf_reset(&b);
		buf_printf(&b, "=_%.*s_%u", (int)(r->id.n < 60 ? r->id.n : 60), r->id.p, n);
		memcpy(out, buf_cstr(&b), b.n + 1);
		if (span_find(r->original, buf_span(&b)) < 0)
			break;
	}
	buf_clear(&b);
}

static bool
report_has_utf8(const struct dsn_report *r)
{
	if (!dsn_is_ascii(r->to) || !dsn_is_ascii(r->hostname))
		return true;
	for (uint32_t i = 0; i < r->rcpt_count; i++) {
		const struct dsn_rcpt *rcpt = &r->rcpts[i];

		if (!dsn_is_ascii(rcpt->addr) || !dsn_is_ascii(rcpt->orig) ||
		    span_istarts(rcpt->orcpt, SPAN("utf-8;")))
			return true;
	}
	return false;
}

static void
plan_make(struct dsn_plan *p, const struct dsn_report *r, size_t max)
{
	struct span whole_header = span_sub(r->original, 0, header_length(r->original));

	p->is_utf8 = report_has_utf8(r);
	p->is_full = r->want_full && r->original.n == r->original_len &&
		     r->original_len <= r->max_bytes && can_enclose(r->original);
	p->header = bounded_header(r->original, r->max_bytes);
	p->is_global_original = r->is_utf8 && !dsn_is_ascii(whole_header) &&
				dsn_is_utf8(whole_header);
	/* message/global may travel only by SMTPUTF8: an ASCII sender, whose servers may not have it, gets the header. */
	if (p->is_full && p->is_global_original && dsn_is_ascii(r->to))
		p->is_full = false;
	p->has_8bit_original = !dsn_is_ascii(p->is_full ? r->original : p->header);
	choose_boundary(r, p->boundary);
	buf_init(&p->human, max);
	buf_init(&p->status, max);
	dsn_put_human(&p->human, r, p->is_utf8);
	dsn_put_status(&p->status, r, p->is_utf8);
}

static void
plan_clear(struct dsn_plan *p)
{
	buf_clear(&p->human);
	buf_clear(&p->status);
}

static const char *
report_subject(const struct dsn_report *r)
{
	bool has_delay = false;

	for (uint32_t i = 0; i < r->rcpt_count; i++) {
		if (r->rcpts[i].action == DSN_FAILED)
			return r->sender.n > 0 ? "Your message could not be delivered"
					       : "Undeliverable report";
		has_delay |= r->rcpts[i].action == DSN_DELAYED;
	}
	return has_delay ? "Your message is delayed, it is still being tried"
			 : "Your message was delivered";
}

/* Message-ID of the original, if it is one: a reader then sees the report below its message.   RFC 5322 3.6.4 */
static void
put_references(struct buf *b, struct span original)
{
	struct header_field field;
	struct span id;

	if (!header_find(original, "Message-ID", &field))
		return;
	id = field.value;
	if (id.n < 3 || id.n > 250 || id.p[0] != '<' || id.p[id.n - 1] != '>')
		return;
	for (size_t i = 0; i < id.n; i++)
		if ((unsigned char)id.p[i] <= ' ' || (unsigned char)id.p[i] >= 127)
			return;
	buf_printf(b, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n", SPAN_ARG(id), SPAN_ARG(id));
}

static void
put_header(struct buf *b, const struct dsn_report *r, const struct dsn_plan *p, bool is_8bit)
{
	char date[DATE_TEXT_MAX];

	date_format(r->date_us, date);
	buf_printf(b, "Date: %s\r\nFrom: \"Mail Delivery System\" <MAILER-DAEMON@", date);
	buf_put_span(b, r->hostname);
	buf_puts(b, ">\r\nTo: <");
	dsn_put_clean(b, r->to, true);
	buf_printf(b, ">\r\nSubject: %s\r\nMessage-ID: <", report_subject(r));
	buf_put_span(b, r->id);
	buf_putc(b, '@');
	buf_put_span(b, r->hostname);
	buf_puts(b, ">\r\n");
	put_references(b, r->original);
	buf_printf(b,
		   "Auto-Submitted: auto-replied\r\n"
		   "MIME-Version: 1.0\r\n"
		   "Content-Type: multipart/report; report-type=delivery-status;\r\n"
		   "    boundary=\"%s\"\r\n%s\r\n",
		   p->boundary, is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
	buf_puts(b, "This is a report in MIME format about a message that you sent.\r\n");
}

static void
put_part_head(struct buf *b, const struct dsn_plan *p, const char *type, const char *description,
	      bool is_8bit)
{
	buf_printf(b, "\r\n--%s\r\nContent-Type: %s\r\nContent-Description: %s\r\n%s\r\n",
		   p->boundary, type, description,
		   is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

/* What of a line may stand in a part, not cut in the middle of a character. */
static size_t
cut_length(struct span line)
{
	size_t n = ENCLOSED_LINE_MAX;

	if (line.n <= n)
		return line.n;
	while (n > ENCLOSED_LINE_MAX - 4 && ((unsigned char)line.p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

/* Header lines that may break the rules of a part: cut, and made CRLF lines. */
static void
put_header_lines(struct buf *b, struct span header)
{
	struct span line;

	while (span_next(&header, '\n', &line)) {
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		line.n = cut_length(line);
		for (size_t i = 0; i < line.n; i++)
			buf_putc(b, line.p[i] == '\0' || line.p[i] == '\r' ? '?' : line.p[i]);
		buf_puts(b, "\r\n");
	}
}

static void
put_original(struct buf *b, const struct dsn_report *r, const struct dsn_plan *p)
{
	if (p->is_full) {
		put_part_head(b, p, p->is_global_original ? "message/global" : "message/rfc822",
			      "Your message", p->has_8bit_original);
		buf_put_span(b, r->original);
		return;
	}
	put_part_head(b, p,
		      p->is_global_original ? "message/global-headers" : "text/rfc822-headers",
		      "Header of your message", p->has_8bit_original);
	put_header_lines(b, p->header);
}

int
dsn_build(const struct dsn_report *r, struct buf *out, bool *needs_utf8_out, bool *needs_8bit_out)
{
	struct dsn_plan p;
	bool human_8bit, status_8bit;

	plan_make(&p, r, out->max);
	human_8bit = !dsn_is_ascii(buf_span(&p.human));
	status_8bit = !dsn_is_ascii(buf_span(&p.status));
	*needs_8bit_out = human_8bit || status_8bit || p.has_8bit_original;
	*needs_utf8_out = !dsn_is_ascii(r->to) || !dsn_is_ascii(r->hostname);
	put_header(out, r, &p, *needs_8bit_out);
	put_part_head(out, &p,
		      human_8bit ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
		      "What happened", human_8bit);
	buf_put_span(out, buf_span(&p.human));
	put_part_head(out, &p,
		      p.is_utf8 ? "message/global-delivery-status" : "message/delivery-status",
		      "Status for programs", status_8bit);
	buf_put_span(out, buf_span(&p.status));
	put_original(out, r, &p);
	buf_printf(out, "\r\n--%s--\r\n", p.boundary);
	if (p.human.is_failed || p.status.is_failed)
		out->is_failed = true;
	plan_clear(&p);
	return buf_check(out);
}
