/* SPDX-License-Identifier: ISC */
#ifndef SVC_PRIV_H
#define SVC_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "proc/proc.h"

/* What a process gives up; see procs.def. */
struct priv_plan {
	enum proc_id kind;
	uint32_t uid, gid; /* (uint32_t)-1: no root, ids and chroot are skipped */
	int root_fd; /* folder to chroot to, -1: none; closed. Becomes the working directory also without root */
	const int *
		keep_fds; /* every other descriptor above 2 is closed; folders among them stay reachable (Landlock) */
	unsigned keep_count;
	uint64_t max_files; /* RLIMIT_NOFILE, 0: what this kind needs */
};

/* The one function that gives up privileges, in this order: close everything not listed, chroot, setgroups / setresgid /
 * setresuid, prove that root cannot be regained, PR_SET_DUMPABLE 0, rlimits, no_new_privs, Landlock where the kernel has
 * it, the seccomp allow-list of this kind. Any step that fails ends the process (die_perm). Before any thread exists and
 * before a byte of anyone but master was read. */
void priv_drop(const struct priv_plan *plan);

#endif
