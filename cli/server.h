/* SPDX-License-Identifier: ISC */
#ifndef CLI_SERVER_H
#define CLI_SERVER_H

#include <stdbool.h>
#include <sys/types.h>
#include "conf/conf.h"

/* The running server, seen from outside. Its master holds flock(2) on directories.run/postern.pid as long as it lives,
 * so a pid file that was left behind, or a pid that somebody else has now, is never mistaken for it. */
enum server_state {
	SERVER_RUNNING,
	SERVER_STOPPED, /* no pid file */
	SERVER_DEAD,	/* a pid file that nobody holds */
	SERVER_UNKNOWN	/* the pid file cannot be read; errno */
};

struct server {
	enum server_state state;
	pid_t pid;
	int pidfd; /* RUNNING, else -1 */
	char pid_file[4096];
};

/* Look. server_clear() closes. */
void server_find(const struct conf *c, struct server *out);
void server_clear(struct server *s);
/* The master program: libexec/postern/master beside the folder of this program. 0, or EX_OSERR, said why. */
int server_master_path(char *out, size_t n);

#endif
