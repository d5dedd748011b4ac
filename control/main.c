/* SPDX-License-Identifier: ISC
 *
 * control: answers local users on control.sock. Holds no queue and opens no file: it passes typed requests to qmgr,
 * router and master, with what the kernel says of the caller. User _postern-control, chroot in an empty folder.
 */
/* System */
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* lib */
#include "base/log.h"

/* this program */
#include "control/control.h"

static struct control control;

/* The text file, not NSS: root loads no modules. */
static uint32_t
find_group(const char *name)
{
	FILE *f = fopen("/etc/group", "re");
	struct group *g;
	uint32_t gid = UINT32_MAX;

	if (f == NULL)
		return gid;
	while ((g = fgetgrent(f)) != NULL) {
		if (strcmp(g->gr_name, name) == 0)
			gid = g->gr_gid;
	}
	fclose(f);
	return gid;
}

static int
prepare(struct svc *s)
{
	(void)s;
	control.admin_gid = find_group("postern");
	return 0;
}

static int
start(struct svc *s)
{
	control.svc = s;
	control.timers = timer_set_new(s->loop);
	list_init(&control.clients);
	map64_init(&control.requests);
	return 0;
}

static void
on_listen(struct svc *s, const char *name, const char *address, uint16_t port, int fd)
{
	(void)s;
	(void)name;
	(void)address;
	(void)port;
	conn_listen(&control, fd);
}

static void
on_msg(struct svc *s, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)s;
	request_on_msg(&control, c, type, msg);
}

static void
on_peer_lost(struct svc *s, struct chan *c, bool is_crash, bool is_final)
{
	(void)s;
	(void)is_crash;
	(void)is_final;
	request_on_peer_lost(&control, chan_kind(c));
}

static void
on_stop(struct svc *s, bool is_reload, uint32_t grace_ms)
{
	(void)is_reload;
	(void)grace_ms;
	conn_close_all(&control);
	svc_exit(s);
}

int
main(void)
{
	static const struct svc_ops ops = {
		.kinds = P(CONTROL),
		.prepare = prepare,
		.start = start,
		.on_peer_lost = on_peer_lost,
		.on_msg = on_msg,
		.on_listen = on_listen,
		.on_stop = on_stop,
	};

	return svc_main(&ops);
}
