/* SPDX-License-Identifier: ISC
 *
 * router: answers where mail for an address goes (qmgr), whether a recipient may be accepted (smtpd) and why (control).
 * Sees no content and no spool. User _postern-router, empty chroot; its tables come from master as descriptors.
 */
/* System */
#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"
#include "svc/svc.h"

/* this program */
#include "router/answer.h"

static struct router router;
static struct plan_addr own_addrs[PLAN_MAX_ADDRS];
static uint32_t own_count;

/* Addresses of this machine; the sandbox forbids to ask for them. */
static void
find_own_addrs(void)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0)
		log_warn("the addresses of this machine cannot be had: a mail loop through one of "
			 "them is found late");
	for (const struct ifaddrs *i = all; i != NULL && own_count < PLAN_MAX_ADDRS;
	     i = i->ifa_next) {
		struct plan_addr *a = &own_addrs[own_count];
		if (i->ifa_addr == NULL ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		a->family = i->ifa_addr->sa_family == AF_INET ? 4 : 6;
		if (a->family == 4)
			memcpy(a->addr,
			       &((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr,
			       4);
		else
			memcpy(a->addr,
			       &((const struct sockaddr_in6 *)(const void *)i->ifa_addr)->sin6_addr,
			       16);
		own_count++;
	}
	if (all != NULL)
		freeifaddrs(all);
}

static int
prepare(struct svc *s)
{
	int resolv = svc_file_take(s, "resolv.conf", NULL), hosts = svc_file_take(s, "hosts", NULL);

	find_own_addrs();
	map_init(&router.tables.by_path);
	router.dns = dns_new(s->conf, resolv, hosts);
	fd_close(&resolv);
	fd_close(&hosts);
	return 0;
}

static void
take_tables(struct svc *s)
{
	const char *name;

	for (size_t it = 0; (name = svc_file_next(s, "table:", &it)) != NULL;) {
		int fd = svc_file_take(s, name, NULL);
		if (fd >= 0)
			answer_table(&router, s->conf, name + strlen("table:"), fd);
	}
}

static int
start(struct svc *s)
{
	int r;

	take_tables(s);
	router.svc = s;
	router.epoch = 1;
	router.timers = timer_set_new(s->loop);
	if ((r = dns_start(router.dns, s->loop, router.timers, s->conf)) < 0)
		return r;
	router.sites = sites_new(router.dns, s->conf);
	sites_set_own(router.sites, own_addrs, own_count);
	return 0;
}

static void
on_peer(struct svc *s, struct chan *c)
{
	(void)s;
	answer_peer(&router, c);
}

static void
on_peer_lost(struct svc *s, struct chan *c, bool is_crash, bool is_final)
{
	(void)s;
	(void)is_crash;
	(void)is_final;
	answer_peer_lost(&router, c);
}

static void
on_msg(struct svc *s, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)s;
	answer_msg(&router, c, type, msg);
}

static void
on_file(struct svc *s, const char *name, uint64_t mtime_ns, int fd)
{
	(void)mtime_ns;
	if (span_starts(span_of(name), SPAN("table:")))
		answer_table(&router, s->conf, name + strlen("table:"), fd);
	else if (dns_file(router.dns, name, fd, s->conf) < 0)
		log_warn("%s: libunbound cannot be started with it; domains are not looked up",
			 name);
	if (!span_starts(span_of(name), SPAN("table:")))
		fd_close(&fd);
}

static void
on_file_gone(struct svc *s, const char *name, const char *reason)
{
	(void)s;
	if (span_starts(span_of(name), SPAN("table:")))
		answer_table_gone(&router, name + strlen("table:"), reason);
}

static void
on_conf(struct svc *s, struct conf *old)
{
	if (dns_configure(router.dns, s->conf) < 0)
		log_warn("resolver { }: libunbound cannot be started with these options; domains "
			 "are not looked up");
	(void)old;
	answer_conf(&router);
}

static void
on_stop(struct svc *s, bool is_reload, uint32_t grace_ms)
{
	(void)is_reload;
	(void)grace_ms;
	svc_exit(s);
}

int
main(void)
{
	static const struct svc_ops ops = {
		.kinds = P(ROUTER),
		.prepare = prepare,
		.start = start,
		.on_peer = on_peer,
		.on_peer_lost = on_peer_lost,
		.on_msg = on_msg,
		.on_file = on_file,
		.on_file_gone = on_file_gone,
		.on_conf = on_conf,
		.on_stop = on_stop,
	};

	return svc_main(&ops);
}
