/* SPDX-License-Identifier: ISC
 *
 * Questions to DNS through libunbound (asynchronous, validating, its own small cache) and the text of the hosts file.
 * Runs in router. What libunbound would read from files (resolv.conf, trust anchor) is read before the sandbox and given
 * to it as text: its context is made inside, and anew when the options change. The answers come from strangers and are
 * checked and bounded here.
 */
/* System */
#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Third party */
#include <unbound.h>
#include <uv.h>

/* lib */
#include "base/buf.h"
#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"

/* this program */
#include "router/router.h"

#define IN_FLIGHT_MAX 4096 /* at libunbound, which takes 11 KiB for each */
#define WAITING_MAX 100000 /* more than qmgr's open questions can need */
#define RECORDS_MAX 64
#define TTL_MIN_S 5
#define TTL_MAX_S 3600
#define FAILED_TTL_S 5

#define FILE_BYTES_MAX (1024 * 1024)

struct dns {
	struct ub_ctx *ub; /* NULL: cannot be had, every question fails */
	struct uv_loop_s *loop;
	uv_poll_t *poll; /* of its descriptor */
	struct timer_set *timers;
	struct list questions;			/* at libunbound, oldest first */
	struct list waiting;			/* for room there, oldest first */
	struct buf resolv_conf, hosts, anchors; /* texts of files */
	struct buf settings;			/* servers and dnssec as the context has them */
	uint64_t timeout_ms;
	unsigned in_flight, waiting_count;
	bool is_submitting;
	uint64_t asked, failed;
};

struct question {
	struct dns *d;
	struct list node;
	char *name;
	enum dns_type type;
	bool is_waiting;
	int id; /* of libunbound, to cancel */
	struct timer timer;
	void (*done)(void *arg, const struct dns_answer *a);
	void *arg;
};

/* ---- files ---- */

static void
read_text(int fd, const char *what, struct buf *out)
{
	buf_reset(out);
	if (fd >= 0 && fd_read_file(fd, FILE_BYTES_MAX, out) < 0) {
		log_warn("%s cannot be read: ignored; it must be a file of at most 1 MiB", what);
		buf_reset(out);
	}
}

/* The root's keys, as the packages dns-root-data and unbound leave them. Outside the sandbox. */
static void
read_anchors(struct dns *d)
{
	static const char *const files[] = { "/var/lib/unbound/root.key",
					     "/usr/share/dns/root.key" };

	for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]) && d->anchors.n == 0; i++) {
		int fd = open(files[i], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		read_text(fd, files[i], &d->anchors);
		fd_close(&fd);
	}
}

struct dns *
dns_new(const struct conf *conf, int resolv_conf_fd, int hosts_fd)
{
	struct dns *d = mem_zalloc(sizeof(*d));

	list_init(&d->questions);
	list_init(&d->waiting);
	buf_init(&d->resolv_conf, FILE_BYTES_MAX);
	buf_init(&d->hosts, FILE_BYTES_MAX);
	buf_init(&d->anchors, FILE_BYTES_MAX);
	buf_init(&d->settings, 2 * FILE_BYTES_MAX);
	read_text(resolv_conf_fd, "resolv.conf", &d->resolv_conf);
	read_text(hosts_fd, "the hosts file", &d->hosts);
	if (conf->resolver.dnssec)
		read_anchors(d);
	return d;
}

/* ---- libunbound's context ---- */

static void
set_option(struct ub_ctx *ub, const char *name, const char *value)
{
	int r = ub_ctx_set_option(ub, (char *)(uintptr_t)name, (char *)(uintptr_t)value);

	if (r != 0)
		log_warn("libunbound: option %s: %s", name, ub_strerror(r));
}

/* What a context is made of, as text: a line for each server, then dnssec or not. */
static void
put_settings(const struct dns *d, const struct conf *conf, struct buf *out)
{
	struct span text = buf_span(&d->resolv_conf), line, word;

	for (size_t i = 0; i < conf->resolver.servers.count; i++)
		buf_printf(out, "%s\n", conf->resolver.servers.items[i]);
	while (conf->resolver.servers.count == 0 && span_next(&text, '\n', &line)) {
		char tidy[256];
		size_t n = line.n < sizeof(tidy) ? line.n : sizeof(tidy);
		for (size_t i = 0; i < n; i++)
			tidy[i] = isspace((unsigned char)line.p[i]) ? ' ' : line.p[i];
		line = span_trim(span_make(tidy, n));
		if (!span_next(&line, ' ', &word) || !span_eq(word, SPAN("nameserver")))
			continue;
		line = span_trim(line);
		if (span_next(&line, ' ', &word))
			buf_printf(out, "%.*s\n", SPAN_ARG(word));
	}
	buf_puts(out, conf->resolver.dnssec ? "dnssec" : "no dnssec");
}

static void
set_servers(struct ub_ctx *ub, struct span settings)
{
	struct span line;
	unsigned named = 0, taken = 0;

	while (span_next(&settings, '\n', &line) && settings.n > 0) { /* the last one is dnssec */
		char *server = mem_dup_span(line);
		int r = ub_ctx_set_fwd(ub, server);
		named++;
		taken += r == 0;
		if (r != 0)
			log_warn("DNS server `%s`: %s; write an address or address@port", server,
				 ub_strerror(r));
		mem_free(server);
	}
	if (taken == 0)
		log_warn(named > 0 ? "no DNS server that can be asked is named: asking the root "
				     "servers"
				   : "neither resolver { servers } nor resolv.conf names a DNS "
				     "server: asking the root servers");
}

/* One record per line, with comments. */
static unsigned
set_anchors(struct ub_ctx *ub, struct span text)
{
	struct span line, record;
	unsigned n = 0;

	while (span_next(&text, '\n', &line)) {
		record = SPAN_NONE;
		span_next(&line, ';', &record);
		record = span_trim(record);
		if (record.n == 0 || record.p[0] == '$')
			continue;
		char *copy = mem_dup_span(record);
		n += ub_ctx_add_ta(ub, copy) == 0;
		mem_free(copy);
	}
	return n;
}

/* A context that is ready to be asked, NULL: libunbound refuses the trust anchors. */
static struct ub_ctx *
make_context(const struct dns *d, bool is_validating)
{
	struct ub_ctx *ub = ub_ctx_create();

	if (ub == NULL)
		die_temp("libunbound cannot start: out of memory");
	ub_ctx_debugout(ub, NULL);
	set_option(ub, "do-not-query-localhost:", "no");
	set_option(ub, "msg-cache-size:", "1m");
	set_option(ub, "rrset-cache-size:", "2m");
	set_option(ub, "key-cache-size:", "256k");
	set_option(ub, "neg-cache-size:", "128k");
	set_option(ub, "cache-max-negative-ttl:", "60");
	set_option(ub, "use-syslog:", "no");
	/* What qmgr may ask at a time (2000), all of it silent, must not keep other answers waiting: with 1024 ports one
	 * more is answered after 0.6 s, with 256 after 2.5 s; each 1000 ports take 1 MiB. */
	set_option(ub, "outgoing-range:", "1024");
	set_option(ub, "num-queries-per-thread:", "4096");
	set_option(ub, "serve-expired:", "no");
	/* A server that was down is asked again at once when it is back. */
	set_option(ub, "infra-keep-probing:", "yes");
	set_option(ub, "infra-host-ttl:", "30");
	set_servers(ub, buf_span(&d->settings));
	if (is_validating && set_anchors(ub, buf_span(&d->anchors)) == 0)
		log_info("no DNSSEC trust anchor found (package dns-root-data): answers are not "
			 "validated");
	/* Any question about local data makes libunbound take its settings, so that an error shows here. */
	if (ub_ctx_async(ub, 1) == 0 && ub_ctx_zone_remove(ub, "postern.invalid") == 0)
		return ub;
	ub_ctx_delete(ub);
	return NULL;
}

static void submit(struct question *q);
static void submit_waiting(struct dns *d);
static void on_readable(uv_poll_t *h, int status, int events);

static void
free_poll(uv_handle_t *h)
{
	mem_free(h);
}

static int
open_context(struct dns *d, const struct conf *conf)
{
	d->ub = make_context(d, conf->resolver.dnssec);
	if (d->ub == NULL && conf->resolver.dnssec) {
		log_warn("libunbound refuses the DNSSEC trust anchor: answers are not validated; "
			 "mend /var/lib/unbound/root.key "
			 "or /usr/share/dns/root.key");
		d->ub = make_context(d, false);
	}
	if (d->ub == NULL)
		return E_INTERNAL;
	d->poll = mem_zalloc(sizeof(*d->poll));
	d->poll->data = d;
	if (uv_poll_init(d->loop, d->poll, ub_fd(d->ub)) != 0) {
		mem_free(d->poll);
		ub_ctx_delete(d->ub);
		d->poll = NULL;
		d->ub = NULL;
		return E_IO;
	}
	uv_poll_start(d->poll, UV_READABLE, on_readable);
	return 0;
}

static void
close_context(struct dns *d)
{
	if (d->ub == NULL)
		return;
	uv_close((uv_handle_t *)d->poll, free_poll);
	d->poll = NULL;
	ub_ctx_delete(
		d->ub); /* waits for its thread; the callbacks of open questions are not called */
	d->ub = NULL;
}

int
dns_configure(struct dns *d, const struct conf *conf)
{
	struct buf settings;
	int r;

	d->timeout_ms = conf->timeouts.dns;
	buf_init(&settings, d->settings.max);
	put_settings(d, conf, &settings);
	if (d->ub != NULL && span_eq(buf_span(&settings), buf_span(&d->settings))) {
		buf_clear(&settings);
		return 0;
	}
	buf_clear(&d->settings);
	d->settings = settings;
	close_context(d);
	r = open_context(d, conf);
	/* Asked again; what fails at once leaves the list. */
	LIST_EACH_SAFE(it, tmp, &d->questions)
		submit(LIST_ENTRY(it, struct question, node));
	return r;
}

int
dns_start(struct dns *d, struct uv_loop_s *loop, struct timer_set *timers, const struct conf *conf)
{
	d->loop = loop;
	d->timers = timers;
	return dns_configure(d, conf);
}

int
dns_file(struct dns *d, const char *name, int fd, const struct conf *conf)
{
	if (strcmp(name, "hosts") == 0)
		read_text(fd, "the hosts file", &d->hosts);
	if (strcmp(name, "resolv.conf") != 0)
		return 0;
	read_text(fd, "resolv.conf", &d->resolv_conf);
	return dns_configure(d, conf);
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
	struct dns *d = q->d;

	if (q->is_waiting)
		d->waiting_count--;
	else
		d->in_flight--;
	if (a->status == DNS_FAILED)
		d->failed++;
	timer_stop(&q->timer);
	list_remove(&q->node);
	q->done(q->arg, a);
	mem_free(q->name);
	mem_free(q);
	submit_waiting(d);
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

	if (q->d->ub != NULL && !q->is_waiting)
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
		if (len > 63 || len > n - at || m + len + 2 > 255) /* RFC 1035 2.3.4 */
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
		fail(q, res->rcode == 2 ? "the name servers fail (SERVFAIL)"
					: "the name servers refuse");
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

static void
submit(struct question *q)
{
	int r;

	if (q->d->ub == NULL) {
		fail(q, "the resolver cannot be started");
		return;
	}
	r = ub_resolve_async(q->d->ub, q->name, (int)q->type, 1, q, on_answer, &q->id);
	if (r != 0)
		fail(q, ub_strerror(r));
}

/* A question that fails at once calls this again by finish(): the loop of the outermost call does the work. */
static void
submit_waiting(struct dns *d)
{
	if (d->is_submitting)
		return;
	d->is_submitting = true;
	while (d->in_flight < IN_FLIGHT_MAX && !list_is_empty(&d->waiting)) {
		struct question *q = LIST_ENTRY(d->waiting.next, struct question, node);

		list_remove(&q->node);
		list_push_back(&d->questions, &q->node);
		q->is_waiting = false;
		d->waiting_count--;
		d->in_flight++;
		submit(q);
	}
	d->is_submitting = false;
}

void
dns_ask(struct dns *d, const char *name, enum dns_type type,
	void (*done)(void *arg, const struct dns_answer *a), void *arg)
{
	struct question *q = mem_zalloc(sizeof(*q));

	q->d = d;
	q->name = mem_strdup(name);
	q->type = type;
	q->done = done;
	q->arg = arg;
	timer_init(&q->timer, d->timers, on_timeout, q);
	list_push_back(&d->waiting, &q->node);
	q->is_waiting = true;
	d->asked++;
	d->waiting_count++;
	if (d->waiting_count > WAITING_MAX) {
		fail(q, "too many questions at a time");
		return;
	}
	timer_start(&q->timer, d->timeout_ms);
	submit_waiting(d);
}

static void
on_readable(uv_poll_t *h, int status, int events)
{
	struct dns *d = h->data;

	(void)events;
	if (status == 0)
		ub_process(d->ub);
}

unsigned
dns_in_flight(const struct dns *d)
{
	return d->in_flight + d->waiting_count;
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
