/* SPDX-License-Identifier: ISC
 *
 * The listening sockets: bound here, used by others. "*" becomes one socket for each address family, so that addresses of
 * clients look as they are. A reload keeps every socket whose address did not change: nobody is refused meanwhile. Runs
 * in master, as root; nothing is ever read from these sockets here.
 */
/* System */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/holder.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/addr.h"

/* this program */
#include "master/master.h"

#define CONTROL_BACKLOG 128

static void
listener_free(struct listener *l)
{
	list_remove(&l->node);
	fd_close(&l->fd);
	mem_free(l->title);
	mem_free(l->address);
	mem_free(l);
}

void
listen_close(struct list *listeners)
{
	LIST_EACH_SAFE(it, tmp, listeners)
		listener_free(LIST_ENTRY(it, struct listener, node));
}

/* ---- addresses ---- */

static void
set_address(struct listener *l, unsigned family, const uint8_t *addr)
{
	char text[INET6_ADDRSTRLEN], shown[INET6_ADDRSTRLEN + 2];

	if (family == 4) {
		struct sockaddr_in *sin = (struct sockaddr_in *)&l->sa;
		sin->sin_family = AF_INET;
		sin->sin_port = htons(l->port);
		memcpy(&sin->sin_addr, addr, 4);
		l->sa_len = sizeof(*sin);
		inet_ntop(AF_INET, addr, text, sizeof(text));
		l->address = mem_strdup(text);
		return;
	}
	struct sockaddr_in6 *sin6 = (struct sockaddr_in6 *)&l->sa;
	sin6->sin6_family = AF_INET6;
	sin6->sin6_port = htons(l->port);
	memcpy(&sin6->sin6_addr, addr, 16);
	l->sa_len = sizeof(*sin6);
	inet_ntop(AF_INET6, addr, text, sizeof(text));
	snprintf(shown, sizeof(shown), "[%s]", text);
	l->address = mem_strdup(shown);
}

static struct listener *
listener_new(const struct conf_listen *conf, unsigned family, const uint8_t *addr)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	list_init(&l->node);
	l->fd = -1;
	l->title = mem_strdup(conf->title);
	l->port = (uint16_t)conf->port;
	l->backlog = conf->backlog;
	l->line = conf->line;
	set_address(l, family, addr);
	return l;
}

/* ---- sockets ---- */

static const struct listener *
find_same(const struct list *listeners, const struct listener *than)
{
	LIST_EACH(it, listeners) {
		const struct listener *l = LIST_ENTRY(it, struct listener, node);
		if (l->sa_len == than->sa_len && memcmp(&l->sa, &than->sa, l->sa_len) == 0)
			return l;
	}
	return NULL;
}

/* A socket of ours with this port, but another address: both may have it while the old one goes. */
static bool
share_port(const struct list *old, const struct listener *l)
{
	bool is_ours = false;
	int on = 1;

	LIST_EACH(it, old) {
		const struct listener *o = LIST_ENTRY(it, struct listener, node);
		if (o->port == l->port &&
		    setsockopt(o->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0)
			is_ours = true;
	}
	return is_ours && setsockopt(l->fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
}

/* 0 or -errno. */
static int
bind_socket(struct listener *l, const struct list *old)
{
	int on = 1, family = ((struct sockaddr *)&l->sa)->sa_family;

	l->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (family == AF_INET6 && setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(l->fd, (struct sockaddr *)&l->sa, l->sa_len) < 0 &&
	    (errno != EADDRINUSE || !share_port(old, l) ||
	     bind(l->fd, (struct sockaddr *)&l->sa, l->sa_len) < 0))
		return -errno;
	return listen(l->fd, (int)l->backlog) < 0 ? -errno : 0;
}

static void
explain(const struct listener *l, int errnum, struct buf *why)
{
	struct buf holder;

	buf_init(&holder, 256);
	buf_printf(why, "%u: listen \"%s\": ", l->line, l->title);
	if (errnum == EADDRINUSE) {
		(void)holder_find(l->port, &holder);
		buf_printf(why,
			   "port %u of %s is taken by %s; stop that program, or set another port",
			   l->port, l->address,
			   holder.n > 0 ? buf_cstr(&holder) : "another program");
	} else if (errnum == EACCES) {
		buf_printf(why,
			   "port %u may be bound by root only; start as root, or set a port above "
			   "1023",
			   l->port);
	} else if (errnum == EADDRNOTAVAIL) {
		buf_printf(why, "this host has no address %s; set one of its own, or *",
			   l->address);
	} else {
		buf_printf(why, "%s port %u: %s", l->address, l->port, strerror(errnum));
	}
	buf_clear(&holder);
}

/* Takes l. is_optional: a family that this host does not have is left out. */
static int
add_listener(struct listener *l, bool is_optional, const struct list *old, struct list *out,
	     struct buf *why)
{
	const struct listener *same = find_same(old, l);
	int r;

	if (same != NULL) {
		l->fd = fcntl(same->fd, F_DUPFD_CLOEXEC, 3);
		r = l->fd < 0 || listen(l->fd, (int)l->backlog) < 0 ? -errno : 0;
	} else {
		r = bind_socket(l, old);
	}
	if (r == 0) {
		list_push_back(out, &l->node);
		return 0;
	}
	bool is_missing_family = is_optional && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL ||
						 r == -EPROTONOSUPPORT);
	if (!is_missing_family)
		explain(l, -r, why);
	listener_free(l);
	return is_missing_family ? 0 : r == -EACCES ? E_ACCESS : E_CONFIG;
}

static int
open_block(const struct conf_listen *conf, const struct list *old, struct list *out,
	   struct buf *why)
{
	static const uint8_t any[16];
	struct conf_addr addr;
	int r;

	if (conf_addr_parse(span_of(conf->address), &addr) < 0) {
		buf_printf(why, "%u: listen \"%s\": address \"%s\" is none", conf->line,
			   conf->title, conf->address);
		return E_CONFIG;
	}
	if (addr.family != 0)
		return add_listener(listener_new(conf, addr.family, addr.addr), false, old, out,
				    why);
	if ((r = add_listener(listener_new(conf, 4, any), false, old, out, why)) < 0)
		return r;
	return add_listener(listener_new(conf, 6, any), true, old, out, why);
}

int
listen_open(const struct conf *conf, const struct list *old, struct list *out, struct buf *why)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < conf->listen_count; i++)
		r = open_block(&conf->listen[i], old, out, why);
	if (r < 0)
		listen_close(out);
	return r;
}

/* Everybody may connect; who may do what is decided by the ids of the caller. */
int
listen_open_control(struct master *m, struct buf *why)
{
	struct listener *l = mem_zalloc(sizeof(*l));
	struct sockaddr_un *sun = (struct sockaddr_un *)&l->sa;
	int n = snprintf(sun->sun_path, sizeof(sun->sun_path), "%s/" CONTROL_SOCKET,
			 m->conf->directories.run);

	list_init(&l->node);
	l->title = mem_strdup("control");
	l->address = mem_strdup(sun->sun_path);
	l->backlog = CONTROL_BACKLOG;
	sun->sun_family = AF_UNIX;
	l->sa_len = sizeof(*sun);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	list_push_back(&m->control, &l->node);
	if (n < 0 || (size_t)n >= sizeof(sun->sun_path)) {
		buf_printf(why,
			   "%s/" CONTROL_SOCKET ": longer than a socket's name may be (107 bytes); "
			   "shorten directories { run }",
			   m->conf->directories.run);
		return E_CONFIG;
	}
	/* Only a server that holds the lock comes here: what is left is of a dead one. */
	unlink(sun->sun_path);
	if (l->fd < 0 || bind(l->fd, (struct sockaddr *)&l->sa, l->sa_len) < 0 ||
	    chmod(sun->sun_path, 0666) < 0 || listen(l->fd, CONTROL_BACKLOG) < 0) {
		buf_printf(why, "%s: %s", sun->sun_path, strerror(errno));
		return E_IO;
	}
	return 0;
}

void
listen_give(struct chan *to, const struct list *listeners)
{
	LIST_EACH(it, listeners) {
		const struct listener *l = LIST_ENTRY(it, struct listener, node);
		int fd = fcntl(l->fd, F_DUPFD_CLOEXEC, 4);
		if (fd < 0)
			die_temp("no descriptors left: %s", strerror(errno));
		chan_send(to, MSG_LISTEN_ADD,
			  &(struct msg_listen_add){ .name = span_of(l->title),
						    .address = span_sub(span_of(l->address), 0, 64),
						    .port = l->port,
						    .fd = fd });
	}
}

void
listen_put_text(struct buf *out, const struct list *listeners)
{
	LIST_EACH(it, listeners) {
		const struct listener *l = LIST_ENTRY(it, struct listener, node);
		buf_printf(out, "%s%s:%u", out->n > 0 ? "," : "", l->address, l->port);
	}
}
