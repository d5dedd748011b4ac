/* SPDX-License-Identifier: ISC
 *
 * Crash points: see crashpoint.h. Runs in qmgr, on any of its threads. */

/* System */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* this program */
#include "qmgr/crashpoint.h"

static char crash_name[64];
static char crash_how[16];
static atomic_int crash_skip;
static atomic_bool crash_is_set;
static int crash_dir = -1;

void
crashpoint_read(int dir_fd)
{
	char line[128] = "";
	int fd = openat(dir_fd, "crashpoint", O_RDONLY | O_CLOEXEC | O_NOFOLLOW), skip = 0;
	ssize_t n;

	if (fd < 0)
		return;
	n = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (n <= 0)
		return;
	crash_name[0] = '\0';
	snprintf(crash_how, sizeof(crash_how), "kill");
	if (sscanf(line, "%63s %d %15s", crash_name, &skip, crash_how) < 1)
		return;
	atomic_store(&crash_skip, skip);
	crash_dir = dir_fd;
	atomic_store(&crash_is_set, true);
}

void
crashpoint_pass(const char *name)
{
	if (!atomic_load(&crash_is_set) || strcmp(name, crash_name) != 0 ||
	    atomic_fetch_sub(&crash_skip, 1) > 0)
		return;
	/* Only once: the successor runs on. */
	atomic_store(&crash_is_set, false);
	unlinkat(crash_dir, "crashpoint", 0);
	if (strcmp(crash_how, "segv") == 0)
		raise(SIGSEGV);
	raise(strcmp(crash_how, "stop") == 0 ? SIGSTOP : SIGKILL);
}
