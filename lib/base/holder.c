/* SPDX-License-Identifier: ISC
 *
 * Who has a TCP port: for the error message when ours is taken, and for `postern doctor`. Best effort, from /proc: the
 * inode of the listening socket, then the process that has it open. Runs in master and the tools; without root it sees only
 * its own user's processes.
 */
/* System */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* lib */
#include "base/holder.h"

#define STATE_LISTEN 0x0a

/* Inode of the socket that listens on the port, 0: none in this file. */
static unsigned long
listening_inode(const char *file, uint16_t port)
{
	FILE *f = fopen(file, "re");
	char line[512];
	unsigned long found = 0;

	while (f != NULL && found == 0 && fgets(line, sizeof(line), f) != NULL) {
		unsigned local_port, state;
		unsigned long inode;
		if (sscanf(line, "%*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s %lu",
			   &local_port, &state, &inode) == 3 &&
		    local_port == port && state == STATE_LISTEN)
			found = inode;
	}
	if (f != NULL)
		fclose(f);
	return found;
}

static bool
has_socket(const char *pid, unsigned long inode)
{
	char path[64], link[64], want[64];
	struct dirent *e;
	bool is_found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	dir = opendir(path);
	while (dir != NULL && !is_found && (e = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		is_found = n > 0 && (size_t)n == strlen(want) && memcmp(link, want, (size_t)n) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return is_found;
}

static void
put_process(struct buf *out, const char *pid)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	f = fopen(path, "re");
	if (f != NULL) {
		if (fgets(name, sizeof(name), f) != NULL)
			name[strcspn(name, "\n")] = '\0';
		fclose(f);
	}
	/* A process names itself as it likes, and this goes to a terminal. */
	for (char *c = name; *c != '\0'; c++)
		*c = (char)(isprint((unsigned char)*c) ? *c : '?');
	buf_printf(out, "%s (process %.16s)", name[0] != '\0' ? name : "a program", pid);
}

pid_t
holder_find(uint16_t port, struct buf *out)
{
	unsigned long inode = listening_inode("/proc/net/tcp", port);
	struct dirent *e;
	pid_t pid = 0;
	DIR *proc;

	if (inode == 0)
		inode = listening_inode("/proc/net/tcp6", port);
	proc = inode != 0 ? opendir("/proc") : NULL;
	while (proc != NULL && pid == 0 && (e = readdir(proc)) != NULL) {
		if (isdigit((unsigned char)e->d_name[0]) && has_socket(e->d_name, inode)) {
			put_process(out, e->d_name);
			pid = (pid_t)strtol(e->d_name, NULL, 10);
		}
	}
	if (proc != NULL)
		closedir(proc);
	return pid;
}
