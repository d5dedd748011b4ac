/* SPDX-License-Identifier: ISC
 *
 * Who is trusted (relay_from), and how many connections, messages and recipients a client may have. It knows nothing of
 * commands; which recipients are ours is the router's to say. Runs in smtpd. */

/* lib */
#include "base/log.h"
#include "base/mem.h"
#include "smtpd/policy.h"

enum {
	CONNECTION_BYTES = 131072, /* kept content, a stream's window, the kernel's buffers */
	CONNECTIONS_MIN = 100,
	CONNECTIONS_MAX = 100000
};

uint32_t
policy_connections_for(uint64_t memory_bytes)
{
	uint64_t n = memory_bytes / 4 / CONNECTION_BYTES;

	if (n < CONNECTIONS_MIN)
		return CONNECTIONS_MIN;
	return n > CONNECTIONS_MAX ? CONNECTIONS_MAX : (uint32_t)n;
}

void
policy_reconfigure(struct policy *p, const struct conf *conf, uint64_t memory_bytes)
{
	const struct conf_list *nets = &conf->relay_from;

	mem_free(p->trusted);
	p->trusted = mem_array(nets->count + 1, sizeof(*p->trusted));
	p->trusted_count = 0;
	for (size_t i = 0; i < nets->count; i++) {
		if (conf_net_parse(span_of(nets->items[i]), &p->trusted[p->trusted_count]) == 0)
			p->trusted_count++;
		else
			log_warn("relay_from: \"%s\" is no network and is ignored", nets->items[i]);
	}
	p->conf = conf;
	p->connections_max = conf->limits.connections > 0 ? (uint32_t)conf->limits.connections
							  : policy_connections_for(memory_bytes);
}

void
policy_init(struct policy *p, const struct conf *conf, struct clients *clients,
	    uint64_t memory_bytes, uint32_t own_max)
{
	*p = (struct policy){ .clients = clients, .own_max = own_max };
	policy_reconfigure(p, conf, memory_bytes);
}

void
policy_clear(struct policy *p)
{
	mem_free(p->trusted);
	p->trusted = NULL;
}

static bool
is_trusted(const struct policy *p, const struct policy_client *c)
{
	for (size_t i = 0; i < p->trusted_count; i++)
		if (conf_net_has(&p->trusted[i], c->family, c->addr))
			return true;
	return false;
}

int
policy_connect(struct policy *p, struct policy_client *c, uint64_t now_ms)
{
	const struct conf *conf = p->conf;
	uint32_t n;

	c->is_trusted = is_trusted(p, c);
	c->key = clients_key(p->clients, c->family, c->addr,
			     (unsigned)(c->family == 4 ? conf->limits.client_ipv4_prefix
						       : conf->limits.client_ipv6_prefix));
	c->is_counted = true;
	p->own++;
	clients_total_add(p->clients, 1);
	n = clients_connect(p->clients, c->key, now_ms);
	if (p->own > p->own_max || clients_total(p->clients, now_ms) > p->connections_max)
		return E_OVERLOAD;
	if (c->is_trusted)
		return 0;
	if (conf->limits.connections_per_client > 0 &&
	    n > (uint32_t)conf->limits.connections_per_client)
		return E_CLIENT_CONNS;
	return clients_may(p->clients, c->key, CLIENT_CONNECTIONS, &conf->limits.connection_rate,
			   now_ms)
		       ? 0
		       : E_CLIENT_RATE;
}

void
policy_disconnect(struct policy *p, struct policy_client *c)
{
	if (!c->is_counted)
		return;
	c->is_counted = false;
	p->own--;
	clients_total_add(p->clients, -1);
	clients_disconnect(p->clients, c->key);
}

int
policy_message(struct policy *p, const struct policy_client *c, uint64_t now_ms)
{
	if (c->is_trusted ||
	    clients_may(p->clients, c->key, CLIENT_MESSAGES, &p->conf->limits.message_rate, now_ms))
		return 0;
	return E_RATE;
}

int
policy_recipient(struct policy *p, const struct policy_client *c, uint64_t now_ms)
{
	if (c->is_trusted || clients_may(p->clients, c->key, CLIENT_RECIPIENTS,
					 &p->conf->limits.recipient_rate, now_ms))
		return 0;
	return E_RATE;
}
