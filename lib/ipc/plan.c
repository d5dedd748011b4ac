/* SPDX-License-Identifier: ISC
 *
 * The values of plan.h as bytes: plans (router makes them, qmgr carries them, delivery follows them) and outcomes
 * (delivery makes them, qmgr commits them). What a sibling sent is checked here as strictly as what a stranger sent:
 * counts, families, enum values, text without NUL, CR and LF, no bytes left over. What a plan means is not judged. */

/* lib */
#include "base/cur.h"
#include "ipc/plan.h"

enum {
	PLAN_NAME_MAX = 255,    /* host name, or path of a socket (107) */
	PLAN_PATH_MAX = 4096,
	OUTCOME_ESC_MAX = 12,
	OUTCOME_TEXT_MAX = 1000
};
#define PLAN_FLAGS PLAN_LOOPBACK_OK
#define OUTCOME_FLAGS (OUTCOME_NOT_TRIED | OUTCOME_NO_DSN_SUPPORT)

static size_t
addr_len(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

void
plan_encode(struct buf *b, const struct plan *p)
{
	buf_put_u8(b, (uint8_t)p->transport);
	buf_put_u8(b, (uint8_t)p->tls);
	buf_put_u32(b, p->flags);
	buf_put_bytes(b, p->domain);
	buf_put_bytes(b, p->base);
	buf_put_bytes(b, p->path);
	buf_put_u32(b, p->host_count);
	for (uint32_t i = 0; i < p->host_count; i++) {
		const struct plan_host *h = &p->hosts[i];

		buf_put_bytes(b, h->name);
		buf_put_u8(b, h->is_unix ? 1 : 0);
		buf_put_u16(b, h->port);
		buf_put_u16(b, h->preference);
		buf_put_u32(b, h->addr_count);
		for (uint32_t k = 0; k < h->addr_count; k++) {
			buf_put_u8(b, h->addrs[k].family);
			buf_put(b, h->addrs[k].addr, addr_len(h->addrs[k].family));
		}
	}
}

static struct span
get_text(struct cur *c, size_t max)
{
	struct span s = cur_bytes(c, max);

	if (span_chr(s, '\0') >= 0 || span_chr(s, '\r') >= 0 || span_chr(s, '\n') >= 0)
		c->is_failed = true;
	return s;
}

/* A count of things that take at least min_bytes each; 0 after a failure, so that nothing is allocated for a lie. */
static uint32_t
get_count(struct cur *c, uint32_t max, size_t min_bytes)
{
	uint32_t n = cur_u32(c);

	if (n > max || n * min_bytes > cur_left(c))
		c->is_failed = true;
	return c->is_failed ? 0 : n;
}

static void
get_addr(struct cur *c, struct plan_addr *out)
{
	struct span bytes;

	out->family = cur_u8(c);
	if (out->family != 4 && out->family != 6)
		c->is_failed = true;
	bytes = cur_take(c, addr_len(out->family));
	for (size_t i = 0; i < bytes.n; i++)
		out->addr[i] = (uint8_t)bytes.p[i];
}

static void
get_host(struct cur *c, struct arena *a, struct plan_host *out)
{
	uint8_t is_unix;

	out->name = get_text(c, PLAN_NAME_MAX);
	is_unix = cur_u8(c);
	if (is_unix > 1 || out->name.n == 0)
		c->is_failed = true;
	out->is_unix = is_unix == 1;
	out->port = cur_u16(c);
	out->preference = cur_u16(c);
	out->addr_count = get_count(c, PLAN_MAX_ADDRS, 1 + addr_len(4));
	if (out->addr_count == 0)
		return;
	out->addrs = arena_alloc(a, out->addr_count * sizeof(*out->addrs));
	for (uint32_t i = 0; i < out->addr_count; i++)
		get_addr(c, &out->addrs[i]);
}

int
plan_decode(struct span in, struct arena *a, struct plan *out)
{
	struct cur c = cur_of(in);
	uint8_t transport = cur_u8(&c), tls = cur_u8(&c);

	*out = (struct plan){ 0 };
	if (transport >= TRANSPORT_COUNT || tls >= PLAN_TLS_COUNT)
		return E_CORRUPT;
	out->transport = (enum transport)transport;
	out->tls = (enum plan_tls)tls;
	out->flags = cur_u32(&c);
	if ((out->flags & ~PLAN_FLAGS) != 0)
		return E_CORRUPT;
	out->domain = get_text(&c, PLAN_NAME_MAX);
	out->base = get_text(&c, PLAN_PATH_MAX);
	out->path = get_text(&c, PLAN_PATH_MAX);
	/* name (4 and at least 1), is_unix, port, preference, count */
	out->host_count = get_count(&c, PLAN_MAX_HOSTS, 14);
	if (out->host_count > 0)
		out->hosts = arena_alloc(a, out->host_count * sizeof(*out->hosts));
	for (uint32_t i = 0; i < out->host_count; i++)
		get_host(&c, a, &out->hosts[i]);
	return cur_check_end(&c);
}

void
outcome_put(struct buf *b, const struct outcome *o)
{
	struct span text = span_sub(o->text, 0, OUTCOME_TEXT_MAX);

	buf_put_u32(b, o->index);
	buf_put_u8(b, (uint8_t)o->status);
	buf_put_u8(b, o->flags);
	buf_put_u16(b, o->reply);
	buf_put_bytes(b, span_sub(o->esc, 0, OUTCOME_ESC_MAX));
	buf_put_u32(b, (uint32_t)text.n);
	/* A server's words: whatever they hold, they make one line. */
	for (size_t i = 0; i < text.n; i++)
		buf_putc(b, text.p[i] == '\0' || text.p[i] == '\r' || text.p[i] == '\n' ? ' ' : text.p[i]);
}

int
outcome_get(struct cur *c, struct outcome *out)
{
	uint8_t status;

	*out = (struct outcome){ 0 };
	out->index = cur_u32(c);
	status = cur_u8(c);
	out->flags = cur_u8(c);
	out->reply = cur_u16(c);
	out->esc = get_text(c, OUTCOME_ESC_MAX);
	out->text = get_text(c, OUTCOME_TEXT_MAX);
	if (status >= OUTCOME_STATUS_COUNT || (out->flags & ~OUTCOME_FLAGS) != 0)
		c->is_failed = true;
	else
		out->status = (enum outcome_status)status;
	return cur_check(c);
}
