/* SPDX-License-Identifier: ISC
 *
 * What is told to qmgr, and so to the log and the sender, about next hops that could not be reached. Runs in delivery. */

/* System */
#include <arpa/inet.h>
#include <string.h>
/* this program */
#include "delivery/out_reason.h"

enum { ONE_REASON_MAX = 300 };

/* One more reason, if it fits. */
static void
add_text(struct out_reason *r, const char *relay, struct span text)
{
	size_t n = strlen(r->text);
	struct buf b;

	buf_init(&b, OUT_REASON_MAX - n);
	buf_printf(&b, "%s%s: %.*s", n > 0 ? "; " : "", relay,
		   SPAN_ARG(span_sub(text, 0, ONE_REASON_MAX)));
	memcpy(r->text + n, buf_cstr(&b), b.is_failed ? 0 : b.n + 1);
	buf_clear(&b);
}

void
out_reason_add(struct out_reason *r, const char *relay, uint16_t reply, struct span esc,
	       struct span text)
{
	bool is_temp = esc.n == 0 || esc.p[0] != '5';

	add_text(r, relay, text);
	if (!is_temp && r->has_temp)
		return;
	r->has_temp |= is_temp;
	r->reply = reply;
	memset(r->esc, 0, sizeof(r->esc));
	if (esc.n > 0)
		memcpy(r->esc, esc.p, esc.n < REPLY_ESC_LEN ? esc.n : REPLY_ESC_LEN - 1);
}

void
out_relay_format(char out[OUT_RELAY_MAX + 1], const struct plan_host *h, const struct plan_addr *a)
{
	char text[INET6_ADDRSTRLEN] = "?";
	struct buf b;

	buf_init(&b, OUT_RELAY_MAX);
	if (a == NULL) {
		buf_put_span(&b, span_sub(h->name, 0, OUT_RELAY_MAX));
	} else {
		(void)inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->addr, text, sizeof(text));
		buf_put_span(&b, span_sub(h->name, 0, 255));
		buf_printf(&b, "[%s]:%u", text, h->port);
	}
	memcpy(out, buf_cstr(&b), b.n + 1);
	buf_clear(&b);
}
