/* SPDX-License-Identifier: ISC
 *
 * Addresses: what is accepted has its parts in the right places, no byte that could break out of a line or a path, and
 * is accepted again when it is written in brackets. */

/* System */
#include <string.h>
/* lib */
#include "base/buf.h"
#include "smtp/addr.h"
#include "smtp/param.h"
/* this program */
#include "tests/fuzz/fuzz.h"

static void
check_clean(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		FUZZ_ASSERT((unsigned char)s.p[i] >= 32 && s.p[i] != 127);
}

static void
check_mailbox(const struct smtp_addr *a)
{
	struct smtp_addr again;
	struct span in;
	struct buf path;

	check_clean(a->full);
	FUZZ_ASSERT(a->local.n > 0 && a->local.n <= ADDR_LOCAL_MAX);
	FUZZ_ASSERT(a->domain.n > 0 && a->domain.n <= ADDR_DOMAIN_MAX);
	FUZZ_ASSERT(a->full.n == a->local.n + 1 + a->domain.n && a->full.p[a->local.n] == '@');
	/* One @ outside of quotes. */
	FUZZ_ASSERT(a->is_quoted || span_chr(a->full, '@') == span_rchr(a->full, '@'));
	FUZZ_ASSERT(span_chr(a->domain, '@') < 0 && span_chr(a->domain, ' ') < 0);
	buf_init(&path, 1024);
	buf_putc(&path, '<');
	buf_put_span(&path, a->full);
	buf_puts(&path, "> X=1");
	in = buf_span(&path);
	FUZZ_ASSERT(addr_parse_path(&in, &again) == 0 && span_eq(again.full, a->full) && in.n == 4);
	buf_clear(&path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_make(data, size), rest = in;
	struct mail_params mail;
	struct rcpt_params rcpt;
	struct smtp_addr a;
	char ascii[ADDR_DOMAIN_MAX + 1];

	if (addr_parse_mailbox(in, &a) == 0) {
		FUZZ_ASSERT(a.full.n == size);
		check_mailbox(&a);
	}
	if (addr_parse_path(&rest, &a) == 0) {
		FUZZ_ASSERT(rest.n == 0 || rest.p[0] == ' ');
		if (a.domain.n > 0)
			check_mailbox(&a);
		else
			FUZZ_ASSERT(a.full.n == 0 || span_ieq(a.full, SPAN("postmaster")));
		(void)!param_parse_mail(rest, &mail);
		(void)!param_parse_rcpt(rest, &rcpt);
	}
	if (addr_domain_to_ascii(in, ascii) == 0)
		FUZZ_ASSERT(strlen(ascii) <= ADDR_DOMAIN_MAX);
	if (addr_is_domain(in, true))
		FUZZ_ASSERT(addr_is_utf8(in));
	if (param_parse_mail(in, &mail) == 0) {
		FUZZ_ASSERT(mail.envid.n <= SMTP_ENVID_MAX);
		check_clean(mail.envid);
	}
	if (param_parse_rcpt(in, &rcpt) == 0) {
		FUZZ_ASSERT(rcpt.orcpt.n <= SMTP_ORCPT_MAX && rcpt.notify < 16);
		check_clean(rcpt.orcpt);
	}
	return 0;
}
