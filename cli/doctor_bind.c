/* SPDX-License-Identifier: ISC
 *
 * `postern doctor`, check bind: may the ports of the listen blocks be bound, and is nobody else there? Each is bound for a
 * moment, without listening, so that no client is taken. Runs as whoever calls, with whose rights the answer holds. */

/* System */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
#include "base/holder.h"
/* this program */
#include "cli/doctor.h"
#include "cli/server.h"

enum { SMTP_PORT = 25 };

/* 0 or -errno. family 4 or 6. */
static int
try_bind(unsigned family, const uint8_t *addr, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, r;

	memcpy(&sin.sin_addr, addr, 4);
	memcpy(&sin6.sin6_addr, addr, 16);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (family == 6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0))
		r = -errno;
	else if (family == 4)
		r = bind(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ? -errno : 0;
	else
		r = bind(fd, (struct sockaddr *)&sin6, sizeof(sin6)) < 0 ? -errno : 0;
	fd_close(&fd);
	return r;
}

/* As master does it: * is both families, and one that the host lacks is left out. */
static int
try_listen(const struct conf_listen *l)
{
	struct conf_addr addr = { 0 };
	int r;

	if (conf_addr_parse(span_of(l->address), &addr) < 0)
		return -EADDRNOTAVAIL;
	if (addr.family != 0)
		return try_bind(addr.family, addr.addr, (uint16_t)l->port);
	r = try_bind(6, addr.addr, (uint16_t)l->port);
	if (r < 0 && r != -EAFNOSUPPORT && r != -EADDRNOTAVAIL && r != -EPROTONOSUPPORT)
		return r;
	return try_bind(4, addr.addr, (uint16_t)l->port);
}

/* Ports from this one on are for everybody. */
static unsigned long
first_free_for_all(void)
{
	char line[32];

	return doctor_read_line("/proc/sys/net/ipv4/ip_unprivileged_port_start", line, sizeof(line))
		       ? strtoul(line, NULL, 10)
		       : 1024;
}

static pid_t
parent_of(pid_t pid)
{
	char path[64], line[512], *end;

	snprintf(path, sizeof(path), "/proc/%ld/stat", (long)pid);
	if (!doctor_read_line(path, line, sizeof(line)) || (end = strrchr(line, ')')) == NULL ||
	    strlen(end) < 5)
		return 0;
	return (pid_t)strtol(end + 4, NULL, 10);
}

static void
taken(struct doctor *d, const struct conf_listen *l)
{
	struct server server;
	struct buf who;
	pid_t pid;

	buf_init(&who, 256);
	pid = holder_find((uint16_t)l->port, &who);
	server_find(d->conf, &server);
	if (server.state == SERVER_RUNNING &&
	    (pid == 0 || pid == server.pid || parent_of(pid) == server.pid)) {
		doctor_ok(d, "port %u of %s is taken by %s (process %ld)", (unsigned)l->port,
			  l->address,
			  pid != 0 ? "this server, which runs"
				   : "somebody, most likely by this server, which runs",
			  (long)server.pid);
	} else {
		doctor_fail(d, "port %u of %s is taken by %s", (unsigned)l->port, l->address,
			    pid != 0 ? buf_cstr(&who) : "another program (root is told which)");
		doctor_remedy(d,
			      "stop that program and let it not be started again (systemctl "
			      "disable --now "
			      "NAME), or set another port for listen \"%s\"",
			      l->title);
	}
	server_clear(&server);
	buf_clear(&who);
}

static void
not_permitted(struct doctor *d, const struct conf_listen *l)
{
	doctor_fail(d,
		    "port %u may not be bound by user %u: that needs root or the capability "
		    "CAP_NET_BIND_SERVICE",
		    (unsigned)l->port, (unsigned)geteuid());
	doctor_remedy(d,
		      "start as root (in a container: --cap-add NET_BIND_SERVICE), or give the "
		      "capability "
		      "(AmbientCapabilities= of systemd; setcap cap_net_bind_service=ep on "
		      "libexec/postern/master), or "
		      "set a port from %lu on",
		      first_free_for_all());
}

static void
look_at(struct doctor *d, const struct conf_listen *l)
{
	unsigned port = (unsigned)l->port;
	int r = try_listen(l);

	switch (-r) {
	case 0:
		doctor_ok(d, "port %u of %s can be bound: %s", port, l->address,
			  port >= first_free_for_all() ? "it needs no right"
			  : geteuid() == 0	       ? "as root"
						       : "by the capability CAP_NET_BIND_SERVICE");
		break;
	case EADDRINUSE:
		taken(d, l);
		break;
	case EACCES:
	case EPERM:
		not_permitted(d, l);
		break;
	case EADDRNOTAVAIL:
		doctor_fail(d, "this host has no address %s", l->address);
		doctor_remedy(d, "set an address of its own for listen \"%s\", or *", l->title);
		break;
	default:
		doctor_fail(d, "port %u of %s cannot be bound: %s", port, l->address, strerror(-r));
		doctor_remedy(d, "set another address or port for listen \"%s\"", l->title);
	}
}

/* Mail for our domains comes to port 25 and to no other (RFC 5321 4.5.4.2). */
static void
without_port_25(struct doctor *d)
{
	struct buf who;

	buf_init(&who, 256);
	if (holder_find(SMTP_PORT, &who) != 0)
		doctor_warn(d,
			    "no listen block has port 25, where other servers bring mail; %s "
			    "listens there",
			    buf_cstr(&who));
	else
		doctor_warn(d, "no listen block has port 25, where other servers bring mail");
	doctor_remedy(d, "write listen \"smtp\" { port = 25 }, or pass port 25 on to this server");
	buf_clear(&who);
}

void
doctor_check_bind(struct doctor *d)
{
	static char title[] = "smtp", address[] = "*";
	const struct conf_listen usual = { .title = title, .address = address, .port = SMTP_PORT };
	bool has_25 = d->conf->listen_count == 0;

	for (size_t i = 0; i < d->conf->listen_count; i++) {
		look_at(d, &d->conf->listen[i]);
		has_25 = has_25 || d->conf->listen[i].port == SMTP_PORT;
	}
	if (d->conf->listen_count == 0)
		look_at(d, &usual);
	if (!has_25 && d->conf->domain_count > 0)
		without_port_25(d);
}
