/* SPDX-License-Identifier: ISC
 *
 * May this recipient be accepted: asks the router, keeps its answers for as long as it said, and throws them away when
 * the tables change. It judges no address itself. Runs in smtpd; the router's bytes were checked by lib/ipc, its texts
 * are checked again where replies are made.
 *
 * Two keys per verdict: (may relay, address), or, where the router said that a verdict holds for a whole domain,
 * (may relay, domain). The latter is used for plain local parts only: a percent hack or a quoted part is always asked. */

/* System */
#include <string.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"
#include "smtp/addr.h"
#include "smtpd/verdicts.h"

enum { KEY_MAX = 400, ADDRESS_MAX = 384, KEY_ADDRESS = 'a', KEY_DOMAIN = 'd' };

struct cached {
	struct list node;
	struct span key;
	uint64_t until_ms;
	uint16_t reply;
	struct span esc, text;
	char bytes[];
};

void
verdicts_init(struct verdicts *v)
{
	*v = (struct verdicts){ .router = NULL };
	map64_init(&v->open);
	map_init(&v->cache);
	list_init(&v->oldest);
}

static void
forget(struct verdicts *v, struct cached *c)
{
	(void)map_del(&v->cache, c->key);
	list_remove(&c->node);
	v->cached--;
	mem_free(c);
}

static void
forget_all(struct verdicts *v)
{
	while (!list_is_empty(&v->oldest))
		forget(v, LIST_ENTRY(v->oldest.next, struct cached, node));
}

void
verdicts_clear(struct verdicts *v)
{
	forget_all(v);
	map_clear(&v->cache);
	map64_clear(&v->open);
}

/* ---- the cache ---- */

/* Kind, may_relay, then the address with its domain in lower case, or the domain alone. */
static struct span
make_key(char out[KEY_MAX], char kind, bool may_relay, struct span addr)
{
	ptrdiff_t at = span_rchr(addr, '@');
	size_t from = kind == KEY_DOMAIN ? (size_t)(at + 1) : 0, n = 2;

	out[0] = kind;
	out[1] = may_relay ? '1' : '0';
	for (size_t i = from; i < addr.n && n < KEY_MAX; i++, n++) {
		char c = addr.p[i];

		out[n] = (ptrdiff_t)i > at && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	return span_make(out, n);
}

/* No quotes, no old ways to write a route. */
static bool
is_plain(struct span local)
{
	for (size_t i = 0; i < local.n; i++)
		if (local.p[i] == '%' || local.p[i] == '!' || local.p[i] == '"' ||
		    local.p[i] == '@' || (unsigned char)local.p[i] >= 128)
			return false;
	return local.n > 0;
}

static const struct cached *
look_up(struct verdicts *v, struct span key, uint64_t now_ms)
{
	struct cached *c = map_get(&v->cache, key);

	if (c != NULL && c->until_ms <= now_ms) {
		forget(v, c);
		c = NULL;
	}
	return c;
}

static void
remember(struct verdicts *v, struct span key, const struct msg_rcpt_verdict *m, uint64_t now_ms)
{
	struct cached *c = map_get(&v->cache, key);
	char *p;

	if (c != NULL)
		forget(v, c);
	else if (v->cached >= VERDICTS_CACHED_MAX)
		forget(v, LIST_ENTRY(v->oldest.next, struct cached, node));
	c = mem_zalloc(sizeof(*c) + key.n + m->esc.n + m->text.n);
	p = c->bytes;
	memcpy(p, key.p, key.n);
	c->key = span_make(p, key.n);
	p += key.n;
	if (m->esc.n > 0)
		memcpy(p, m->esc.p, m->esc.n);
	c->esc = span_make(p, m->esc.n);
	p += m->esc.n;
	if (m->text.n > 0)
		memcpy(p, m->text.p, m->text.n);
	c->text = span_make(p, m->text.n);
	c->reply = m->reply;
	c->until_ms = now_ms + m->ttl_ms;
	map_put(&v->cache, c->key, c);
	list_push_back(&v->oldest, &c->node);
	v->cached++;
}

/* ---- questions ---- */

void
question_init(struct question *q, void (*on_verdict)(void *arg, const struct session_verdict *v),
	      void *arg)
{
	*q = (struct question){ .on_verdict = on_verdict, .arg = arg };
	buf_init(&q->address, ADDRESS_MAX);
	buf_init(&q->sender, ADDRESS_MAX);
}

static void
send_question(struct verdicts *v, const struct question *q)
{
	chan_send(v->router, MSG_RCPT_CHECK,
		  &(struct msg_rcpt_check){ .txn = q->number,
					    .may_relay = q->may_relay,
					    .address = buf_span(&q->address),
					    .sender = buf_span(&q->sender) });
}

void
verdicts_cancel(struct verdicts *v, struct question *q)
{
	if (q->number == 0)
		return;
	(void)map64_del(&v->open, q->number);
	q->number = 0;
	buf_clear(&q->address);
	buf_clear(&q->sender);
}

int
verdicts_ask(struct verdicts *v, struct question *q, const struct smtp_addr *rcpt,
	     struct span sender, bool may_relay, uint64_t now_ms, struct session_verdict *out)
{
	const struct cached *c;
	char key[KEY_MAX];

	verdicts_cancel(v, q);
	c = look_up(v, make_key(key, KEY_ADDRESS, may_relay, rcpt->full), now_ms);
	if (c == NULL && rcpt->domain.n > 0 && is_plain(rcpt->local))
		c = look_up(v, make_key(key, KEY_DOMAIN, may_relay, rcpt->full), now_ms);
	if (c != NULL) {
		*out = (struct session_verdict){ c->reply, c->esc, c->text };
		return 1;
	}
	if (v->router == NULL)
		return E_PEERGONE;
	buf_put_span(&q->address, rcpt->full);
	buf_put_span(&q->sender, sender);
	if (buf_check(&q->address) < 0 || buf_check(&q->sender) < 0) {
		buf_clear(&q->address);
		buf_clear(&q->sender);
		return E_ADDR_LONG;
	}
	q->may_relay = may_relay;
	q->number = ++v->last_number;
	map64_put(&v->open, q->number, q);
	send_question(v, q);
	return 0;
}

/* ---- the router ---- */

void
verdicts_router_up(struct verdicts *v, struct chan *c)
{
	uint64_t number;
	size_t it = 0;
	void *q;

	v->router = c;
	v->epoch = 0;
	forget_all(v);
	while (map64_next(&v->open, &it, &number, &q))
		send_question(v, q);
}

void
verdicts_router_lost(struct verdicts *v)
{
	v->router = NULL;
}

void
verdicts_epoch(struct verdicts *v, uint64_t epoch)
{
	if (epoch == v->epoch)
		return;
	v->epoch = epoch;
	forget_all(v);
}

void
verdicts_answer(struct verdicts *v, const struct msg_rcpt_verdict *m, uint64_t now_ms)
{
	struct session_verdict verdict = { m->reply, m->esc, m->text };
	struct question *q = map64_get(&v->open, m->txn);
	struct span address;
	char key[KEY_MAX];

	/* Nobody waits any more. */
	if (q == NULL)
		return;
	if (m->epoch > v->epoch)
		verdicts_epoch(v, m->epoch);
	address = buf_span(&q->address);
	if (m->ttl_ms > 0 && m->epoch == v->epoch) {
		bool is_domain = m->is_domain != 0 && span_rchr(address, '@') >= 0;

		remember(v,
			 make_key(key, is_domain ? KEY_DOMAIN : KEY_ADDRESS, q->may_relay, address),
			 m, now_ms);
	}
	verdicts_cancel(v, q);
	q->on_verdict(q->arg, &verdict);
}
