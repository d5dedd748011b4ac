/* SPDX-License-Identifier: ISC
 *
 * Codec of plans (router to delivery, opaque to qmgr) and of outcomes (delivery to qmgr). No I/O; what is decoded may
 * come from a process that was taken over, so every count and length is checked.
 */
/* System */
#include <string.h>

/* lib */
#include "base/cur.h"
#include "base/log.h"
#include "ipc/plan.h"

#define PLAN_TEXT_MAX 4096
#define OUTCOME_TEXT_MAX 1000
#define OUTCOME_ESC_MAX 11

void
plan_encode(struct buf *b, const struct plan *p)
{
	if (p->host_count > PLAN_MAX_HOSTS)
		bug("plan with %u hosts", p->host_count);
	buf_put_u8(b, (uint8_t)p->transport);
	buf_put_u8(b, (uint8_t)p->tls);
	buf_put_u32(b, p->flags);
	buf_put_bytes(b, p->domain);
	buf_put_bytes(b, p->base);
	buf_put_bytes(b, p->path);
	buf_put_u32(b, p->host_count);
	for (uint32_t i = 0; i < p->host_count; i++) {
		const struct plan_host *h = &p->hosts[i];
		if (h->addr_count > PLAN_MAX_ADDRS)
			bug("plan host with %u addresses", h->addr_count);
		buf_put_bytes(b, h->name);
		buf_put_u8(b, h->is_unix);
		buf_put_u16(b, h->port);
		buf_put_u16(b, h->preference);
		buf_put_u32(b, h->addr_count);
		for (uint32_t j = 0; j < h->addr_count; j++) {
			buf_put_u8(b, h->addrs[j].family);
			buf_put(b, h->addrs[j].addr, sizeof(h->addrs[j].addr));
		}
	}
}

/* Text that names something: no NUL, CR, LF. */
static struct span
get_text(struct cur *c, size_t max)
{
	struct span s = cur_bytes(c, max);

	if (span_chr(s, '\0') >= 0 || span_chr(s, '\r') >= 0 || span_chr(s, '\n') >= 0)
		c->is_failed = true;
	return s;
}

static void
get_addr(struct cur *c, struct plan_addr *out)
{
	out->family = cur_u8(c);
	struct span bytes = cur_take(c, sizeof(out->addr));
	if (bytes.n == sizeof(out->addr))
		memcpy(out->addr, bytes.p, sizeof(out->addr));
	if (out->family != 4 && out->family != 6)
		c->is_failed = true;
}

static void
get_host(struct cur *c, struct arena *a, struct plan_host *out)
{
	uint8_t is_unix;

	out->name = get_text(c, PLAN_TEXT_MAX);
	is_unix = cur_u8(c);
	out->is_unix = is_unix == 1;
	out->port = cur_u16(c);
	out->preference = cur_u16(c);
	out->addr_count = cur_u32(c);
	if (is_unix > 1 || out->addr_count > PLAN_MAX_ADDRS)
		c->is_failed = true;
	if (c->is_failed)
		return;
	out->addrs = arena_alloc(a, out->addr_count * sizeof(out->addrs[0]) + 1);
	for (uint32_t j = 0; j < out->addr_count; j++)
		get_addr(c, &out->addrs[j]);
}

int
plan_decode(struct span in, struct arena *a, struct plan *out)
{
	struct cur c = cur_of(in);
	uint8_t transport = cur_u8(&c), tls = cur_u8(&c);

	memset(out, 0, sizeof(*out));
	out->flags = cur_u32(&c);
	out->domain = get_text(&c, PLAN_TEXT_MAX);
	out->base = get_text(&c, PLAN_TEXT_MAX);
	out->path = get_text(&c, PLAN_TEXT_MAX);
	out->host_count = cur_u32(&c);
	if (transport >= TRANSPORT_COUNT || tls >= PLAN_TLS_COUNT ||
	    out->flags > PLAN_LOOPBACK_OK || out->host_count > PLAN_MAX_HOSTS || c.is_failed)
		return E_CORRUPT;
	out->transport = (enum transport)transport;
	out->tls = (enum plan_tls)tls;
	out->hosts = arena_alloc(a, out->host_count * sizeof(out->hosts[0]) + 1);
	for (uint32_t i = 0; i < out->host_count && !c.is_failed; i++)
		get_host(&c, a, &out->hosts[i]);
	return cur_check_end(&c);
}

/* Replies come from strangers: what may not stand in a log line or a report becomes a blank. */
static void
put_clean(struct buf *b, struct span s, size_t max)
{
	size_t n = s.n < max ? s.n : max;

	buf_put_u32(b, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		buf_putc(b, s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n' ? ' ' : s.p[i]);
}

void
outcome_put(struct buf *b, const struct outcome *o)
{
	buf_put_u32(b, o->index);
	buf_put_u8(b, (uint8_t)o->status);
	buf_put_u8(b, o->flags);
	buf_put_u16(b, o->reply);
	put_clean(b, o->esc, OUTCOME_ESC_MAX);
	put_clean(b, o->text, OUTCOME_TEXT_MAX);
}

int
outcome_get(struct cur *c, struct outcome *out)
{
	uint8_t status;

	out->index = cur_u32(c);
	status = cur_u8(c);
	out->flags = cur_u8(c);
	out->reply = cur_u16(c);
	out->esc = get_text(c, OUTCOME_ESC_MAX);
	out->text = get_text(c, OUTCOME_TEXT_MAX);
	if (status >= OUTCOME_STATUS_COUNT ||
	    out->flags > (OUTCOME_NOT_TRIED | OUTCOME_NO_DSN_SUPPORT) ||
	    (out->reply != 0 && (out->reply < 200 || out->reply > 599)))
		return E_CORRUPT;
	out->status = (enum outcome_status)status;
	return cur_check(c);
}
