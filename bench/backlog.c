/* SPDX-License-Identifier: ISC
 *
 * LD_PRELOAD for OpenSMTPD in the benchmark: it listens with a backlog of 5, so a client that opens many connections at
 * once waits seconds for dropped SYNs, and the figure would be about that. Built by bench/run. */

#define _GNU_SOURCE
#include <dlfcn.h>

enum { BACKLOG = 1024 };

int listen(int fd, int backlog);

int
listen(int fd, int backlog)
{
	int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "listen");

	return real(fd, backlog < BACKLOG ? BACKLOG : backlog);
}
