/* SPDX-License-Identifier: ISC
 *
 * Questions to DNS through libunbound (asynchronous, validating, its own small cache) and the text of the hosts file.
 * Everything it reads as a file is read before the sandbox. Runs in router; the answers come from strangers and are
 * checked and bounded here.
 */
/* System */
#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Third party */
#include <unbound.h>
#include <uv.h>

/* lib */
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"

/* this program */
#include "router/router.h"

#define IN_FLIGHT_MAX 4096
#define RECORDS_MAX 64
#define TTL_MIN_S 5
#define TTL_MAX_S 3600
#define FAILED_TTL_S 5

struct dns {
	struct ub_ctx *ub;
	uv_poll_t poll;
	struct timer_set *timers;
	struct buf hosts;       /* text of the hosts file */
	uint64_t timeout_ms;
	unsigned in_flight;
	uint64_t asked, failed;
};

struct question {
	struct dns *d;
	enum dns_type type;
	int id;                 /* of libunbound, to cancel */
	struct timer timer;
	void (*done)(void *arg, const struct dns_answer *a);
	void *arg;
};

/* ---- before the sandbox ---- */

static void
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	int r = ub_ctx_set_option(ub, (char *)(uintptr_t)name, (char *)(uintptr_t)value);

	if (r != 0)
		log_warn("libunbound: option %s: %s", name, ub_strerror(r));
}

static bool
set_servers(struct ub_ctx *ub, const struct conf *conf, int resolv_conf_fd)
{
	char path[64];
	int r = 0;

	for (size_t i = 0; i < conf->resolver.servers.count && r == 0; i++) {
		r = ub_ctx_set_fwd(ub, conf->resolver.servers.items[i]);
		if (r != 0)
			log_warn("resolver { servers }: `%s`: %s; write an address or address@port",
				 conf->resolver.servers.items[i], ub_strerror(r));
	}
	if (conf->resolver.servers.count == 0 && resolv_conf_fd >= 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", resolv_conf_fd);
		if (ub_ctx_resolvconf(ub, path) != 0)
			log_warn("resolv.conf names no usable server: asking the root servers");
	}
	return r == 0;
}

static void
set_trust_anchor(struct ub_ctx *ub)
{
	static const char *const files[] = { "/var/lib/unbound/root.key", "/usr/share/dns/root.key" };

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (access(files[i], R_OK) == 0 && ub_ctx_add_ta_file(ub, files[i]) == 0)
			return;
	}
	log_info("no DNSSEC trust anchor found (package dns-root-data): answers are not validated");
}

struct dns *
dns_new(const struct conf *conf, int resolv_conf_fd, int hosts_fd)
{
	struct dns *d = mem_zalloc(sizeof(*d));

	d->ub = ub_ctx_create();
	if (d->ub == NULL)
		die_temp("libunbound cannot start: out of memory");
	buf_init(&d->hosts, 1024 * 1024);
	if (hosts_fd >= 0 && fd_read_file(hosts_fd, 1024 * 1024, &d->hosts) < 0)
		log_warn("the hosts file cannot be read: ignored");
	set_option(d->ub, "do-not-query-localhost:", "no");
	set_option(d->ub, "msg-cache-size:", "1m");
	set_option(d->ub, "rrset-cache-size:", "2m");
	set_option(d->ub, "key-cache-size:", "256k");
	set_option(d->ub, "neg-cache-size:", "128k");
	set_option(d->ub, "cache-max-negative-ttl:", "60");
	set_option(d->ub, "use-syslog:", "no");
	set_option(d->ub, "outgoing-range:", "256");
	set_option(d->ub, "num-queries-per-thread:", "512");
	set_option(d->ub, "serve-expired:", "no");
	ub_ctx_debugout(d->ub, NULL);
	if (!set_servers(d->ub, conf, resolv_conf_fd)) {
		ub_ctx_delete(d->ub);
		mem_free(d);
		return NULL;
	}
	if (conf->resolver.dnssec)
		set_trust_anchor(d->ub);
	d->timeout_ms = conf->timeouts.dns;
	return d;
}

/* ---- hosts ---- */

static bool
parse_ip(struct span text, struct plan_addr *out)
{
	char ip[64];

	if (text.n == 0 || text.n >= sizeof(ip))
		return false;
	memcpy(ip, text.p, text.n);
	ip[text.n] = '\0';
	memset(out, 0, sizeof(*out));
	out->family = 4;
	if (inet_pton(AF_INET, ip, out->addr) == 1)
		return true;
	out->family = 6;
	return inet_pton(AF_INET6, ip, out->addr) == 1;
}

uint32_t
dns_hosts_find(const struct dns *d, struct span name, struct plan_addr *out, uint32_t max)
{
	struct span text = buf_span(&d->hosts), line, word;
	struct plan_addr addr;
	uint32_t n = 0;
	char tidy[1024];

	while (n < max && span_next(&text, '\n', &line)) {
		size_t m = 0;
		for (size_t i = 0; i < line.n && line.p[i] != '#' && m < sizeof(tidy); i++)
			tidy[m++] = isspace((unsigned char)line.p[i]) ? ' ' : line.p[i];
		line = span_trim(span_make(tidy, m));
		if (!span_next(&line, ' ', &word) || !parse_ip(word, &addr))
			continue;
		while (span_next(&line, ' ', &word)) {
			if (word.n > 0 && span_ieq(word, name)) {
				out[n++] = addr;
				break;
			}
		}
	}
	return n;
}

/* ---- questions ---- */

static void
finish(struct question *q, const struct dns_answer *a)
{
	q->d->in_flight--;
	if (a->status == DNS_FAILED)
		q->d->failed++;
	timer_stop(&q->timer);
	q->done(q->arg, a);
	mem_free(q);
}

static void
fail(struct question *q, const char *why)
{
	finish(q, &(struct dns_answer){ .status = DNS_FAILED, .why = why, .ttl_s = FAILED_TTL_S });
}

static void
on_timeout(void *arg)
{
	struct question *q = arg;

	ub_cancel(q->d->ub, q->id);
	fail(q, "no answer in time");
}

/* Domain name of rdata: labels, no compression (libunbound expands). False: malformed. */
static bool
wire_name(const unsigned char *p, size_t n, char out[256])
{
	size_t at = 0, m = 0;

	while (at < n && p[at] != 0) {
		size_t len = p[at++];
		if (len > 63 || len > n - at || m + len + 1 > 255)
			return false;
		for (size_t i = 0; i < len; i++) {
			unsigned char c = p[at + i];
			/* A name that cannot be a host's is nobody we send to. */
			if (!isalnum(c) && c != '-' && c != '_')
				return false;
			out[m++] = (char)tolower(c);
		}
		out[m++] = '.';
		at += len;
	}
	out[m > 0 ? m - 1 : 0] = '\0';
	return at < n;
}

static void
read_mx(const struct ub_result *res, struct dns_answer *a)
{
	for (int i = 0; res->data[i] != NULL && a->count < RECORDS_MAX; i++) {
		const unsigned char *p = (const unsigned char *)res->data[i];
		struct dns_mx *mx = &a->mx[a->count];
		if (res->len[i] < 3)
			continue;
		if (!wire_name(p + 2, (size_t)res->len[i] - 2, mx->name))
			snprintf(mx->name, sizeof(mx->name), ".");
		mx->preference = (uint16_t)(p[0] << 8 | p[1]);
		a->count++;
	}
}

static void
read_addrs(const struct ub_result *res, enum dns_type type, struct dns_answer *a)
{
	int want = type == DNS_A ? 4 : 16;

	for (int i = 0; res->data[i] != NULL && a->count < RECORDS_MAX; i++) {
		if (res->len[i] != want)
			continue;
		a->addrs[a->count].family = type == DNS_A ? 4 : 6;
		memcpy(a->addrs[a->count].addr, res->data[i], (size_t)want);
		a->count++;
	}
}

static void
read_result(struct question *q, const struct ub_result *res)
{
	struct dns_answer a = { .status = DNS_OK };
	int ttl = res->ttl < TTL_MIN_S ? TTL_MIN_S : res->ttl > TTL_MAX_S ? TTL_MAX_S : res->ttl;

	a.ttl_s = (uint32_t)ttl;
	if (res->bogus) {
		fail(q, "DNSSEC validation failed");
		return;
	}
	if (res->nxdomain)
		a.status = DNS_NXDOMAIN;
	else if (res->rcode != 0) {
		fail(q, res->rcode == 2 ? "the name servers fail (SERVFAIL)" : "the name servers refuse");
		return;
	}
	if (a.status == DNS_OK && res->havedata && q->type == DNS_MX) {
		a.mx = mem_array(RECORDS_MAX, sizeof(a.mx[0]));
		read_mx(res, &a);
	} else if (a.status == DNS_OK && res->havedata) {
		a.addrs = mem_array(RECORDS_MAX, sizeof(a.addrs[0]));
		read_addrs(res, q->type, &a);
	}
	finish(q, &a);
	mem_free(a.mx);
	mem_free(a.addrs);
}

static void
on_answer(void *arg, int err, struct ub_result *res)
{
	struct question *q = arg;

	if (err != 0 || res == NULL)
		fail(q, "the resolver gave up");
	else
		read_result(q, res);
	ub_resolve_free(res);
}

void
dns_ask(struct dns *d, const char *name, enum dns_type type, void (*done)(void *arg, const struct dns_answer *a), void *arg)
{
	struct question *q = mem_zalloc(sizeof(*q));
	int r;

	q->d = d;
	q->type = type;
	q->done = done;
	q->arg = arg;
	timer_init(&q->timer, d->timers, on_timeout, q);
	d->asked++;
	d->in_flight++;
	if (d->in_flight > IN_FLIGHT_MAX) {
		fail(q, "too many questions at a time");
		return;
	}
	timer_start(&q->timer, d->timeout_ms);
	r = ub_resolve_async(d->ub, name, type, 1, q, on_answer, &q->id);
	if (r != 0)
		fail(q, ub_strerror(r));
}

static void
on_readable(uv_poll_t *h, int status, int events)
{
	struct dns *d = h->data;

	(void)events;
	if (status == 0)
		ub_process(d->ub);
}

int
dns_start(struct dns *d, struct uv_loop_s *loop, struct timer_set *timers)
{
	d->timers = timers;
	if (ub_ctx_async(d->ub, 1) != 0)
		return E_NOMEM;
	int fd = ub_fd(d->ub);
	if (fd < 0 || uv_poll_init(loop, &d->poll, fd) != 0)
		return E_IO;
	d->poll.data = d;
	uv_poll_start(&d->poll, UV_READABLE, on_readable);
	return 0;
}

unsigned
dns_in_flight(const struct dns *d)
{
	return d->in_flight;
}

uint64_t
dns_asked(const struct dns *d)
{
	return d->asked;
}

uint64_t
dns_failed(const struct dns *d)
{
	return d->failed;
}
