/* SPDX-License-Identifier: ISC
 *
 * Gives up privileges: the one place where a process of Postern closes what it must not have, leaves the file system,
 * changes its ids and shuts the door behind it. What the door lets through is sandbox.c's. Runs in each child as root
 * (or as the developer who started the server), before any thread exists and before a byte of anyone but master is read.
 * Whatever fails ends the process: a half-closed door is none.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/priv.h"
#include "svc/sandbox.h"

#define NO_ID ((uint32_t)-1)
#define MAX_THREADS 1024 /* of all processes of one user id; seccomp forbids processes anyway */

/* Descriptors that a kind needs; 0: as many as it may get (one per connection). */
static const struct {
	enum proc_id kind;
	rlim_t max_files;
} file_limits[] = {
	{ PROC_LOGD, 1024 },  { PROC_QMGR, 8192 },    { PROC_ROUTER, 8192 },  { PROC_SMTPD, 0 },
	{ PROC_DELIVERY, 0 }, { PROC_MAILBOX, 8192 }, { PROC_CONTROL, 4096 },
};

/* ---- descriptors ---- */

static int
compare_fds(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

static void
close_range_or_die(unsigned first, unsigned last)
{
	if (first <= last && syscall(SYS_close_range, first, last, 0) < 0)
		die_perm("sandbox: descriptors cannot be closed: %s", strerror(errno));
}

/* Everything above 2 that is not kept. root_fd lives one step longer. */
static void
close_others(const struct priv_plan *plan)
{
	unsigned n = plan->keep_count;
	int *keep = mem_array(n + 1, sizeof(int)), last = STDERR_FILENO;

	if (n > 0)
		memcpy(keep, plan->keep_fds, n * sizeof(int));
	if (plan->root_fd >= 0)
		keep[n++] = plan->root_fd;
	qsort(keep, n, sizeof(int), compare_fds);
	for (unsigned i = 0; i < n; i++) {
		if (keep[i] <= last)
			continue;
		close_range_or_die((unsigned)last + 1, (unsigned)keep[i] - 1);
		last = keep[i];
	}
	close_range_or_die((unsigned)last + 1, ~0u);
	mem_free(keep);
}

/* ---- the folder ---- */

/* The folder becomes the working directory and, with root, the whole file system. */
static void
change_root(const struct priv_plan *plan)
{
	bool has_root = plan->uid != NO_ID && !sandbox_is_coverage();

	if (plan->root_fd < 0) {
		if (chdir("/") < 0)
			die_perm("sandbox: cannot change to /: %s", strerror(errno));
		return;
	}
	if (fchdir(plan->root_fd) < 0)
		die_perm("sandbox: cannot enter the folder of %s: %s", proc_info(plan->kind)->name,
			 strerror(errno));
	if (has_root && chroot(".") < 0)
		die_perm("sandbox: cannot chroot: %s", strerror(errno));
}

/* ---- ids ---- */

static void
change_ids(const struct priv_plan *plan)
{
	if (plan->uid == NO_ID)
		return;
	if (plan->uid == 0 || plan->gid == 0 || plan->gid == NO_ID)
		die_perm("sandbox: %s must not run as root", proc_info(plan->kind)->name);
	if (setgroups(0, NULL) < 0 || setresgid(plan->gid, plan->gid, plan->gid) < 0 ||
	    setresuid(plan->uid, plan->uid, plan->uid) < 0)
		die_perm("sandbox: cannot become user %u, group %u: %s", plan->uid, plan->gid,
			 strerror(errno));
}

static bool
has_capabilities(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	if (syscall(SYS_capget, &head, data) < 0)
		return true;
	return (data[0].effective | data[0].permitted | data[1].effective | data[1].permitted) != 0;
}

/* The ids are what they should be, all of them, and nothing leads back. */
static void
prove_no_root(const struct priv_plan *plan)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (plan->uid == NO_ID)
		return;
	if (getresuid(&r, &e, &s) < 0 || r != plan->uid || e != plan->uid || s != plan->uid)
		die_perm("sandbox: user ids did not change");
	if (getresgid(&rg, &eg, &sg) < 0 || rg != plan->gid || eg != plan->gid || sg != plan->gid ||
	    getgroups(0, NULL) != 0)
		die_perm("sandbox: group ids did not change");
	if (setuid(0) == 0 || seteuid(0) == 0 || setresuid(0, 0, 0) == 0 || setgid(0) == 0 ||
	    setegid(0) == 0)
		die_perm("sandbox: root could be regained");
	if (has_capabilities())
		die_perm("sandbox: capabilities are left");
}

/* No sibling of the same user may trace us or read our memory, and no crash leaves mail in a core file. */
static void
forbid_dump(void)
{
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		die_perm("sandbox: cannot become undumpable: %s", strerror(errno));
}

/* ---- rlimits ---- */

static void
limit(int resource, rlim_t value, const char *name)
{
	struct rlimit r;

	if (getrlimit((__rlimit_resource_t)resource, &r) < 0)
		die_perm("sandbox: no %s: %s", name, strerror(errno));
	r.rlim_cur = r.rlim_max = value < r.rlim_max ? value : r.rlim_max;
	if (setrlimit((__rlimit_resource_t)resource, &r) < 0)
		die_perm("sandbox: cannot set %s: %s", name, strerror(errno));
}

static rlim_t
max_files(const struct priv_plan *plan)
{
	if (plan->max_files != 0)
		return plan->max_files;
	for (unsigned i = 0; i < sizeof(file_limits) / sizeof(file_limits[0]); i++) {
		if (file_limits[i].kind == plan->kind && file_limits[i].max_files != 0)
			return file_limits[i].max_files;
	}
	return RLIM_INFINITY;
}

/* May this kind make files grow? One that has none but stderr: only if that is a file. */
static bool
writes_files(enum proc_id kind)
{
	struct stat st;

	if (kind == PROC_LOGD || kind == PROC_QMGR || kind == PROC_MAILBOX)
		return true;
	return fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode);
}

static void
limit_resources(const struct priv_plan *plan)
{
	limit(RLIMIT_CORE, 0, "RLIMIT_CORE");
	limit(RLIMIT_NOFILE, max_files(plan), "RLIMIT_NOFILE");
	if (sandbox_is_instrumented())
		return;
	if (!writes_files(plan->kind))
		limit(RLIMIT_FSIZE, 0, "RLIMIT_FSIZE");
	/* The count is of all that the user runs: several servers of one machine, or of one test, may share ids. Without a
	 * user id of its own a process shares it with everything. */
	if (!sandbox_has_threads(plan->kind))
		limit(RLIMIT_NPROC, 0, "RLIMIT_NPROC");
	else if (plan->uid != NO_ID)
		limit(RLIMIT_NPROC, MAX_THREADS, "RLIMIT_NPROC");
}

/* ---- the door ---- */

static void
forbid_new_privileges(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		die_perm("sandbox: cannot set no_new_privs: %s", strerror(errno));
}

static void
enter_landlock(const struct priv_plan *plan)
{
	int *dirs = mem_array(plan->keep_count + 1, sizeof(int));
	unsigned n = 0;
	struct stat st;

	if (plan->root_fd >= 0 && proc_info(plan->kind)->root != PROC_ROOT_EMPTY)
		dirs[n++] = plan->root_fd;
	for (unsigned i = 0; i < plan->keep_count; i++) {
		if (fstat(plan->keep_fds[i], &st) == 0 && S_ISDIR(st.st_mode))
			dirs[n++] = plan->keep_fds[i];
	}
	sandbox_landlock(plan->kind, dirs, n);
	mem_free(dirs);
}

void
priv_drop(const struct priv_plan *plan)
{
	int root_fd = plan->root_fd;

	close_others(plan);
	change_root(plan);
	change_ids(plan);
	prove_no_root(plan);
	forbid_dump();
	limit_resources(plan);
	forbid_new_privileges();
	enter_landlock(plan);
	fd_close(&root_fd);
	sandbox_seccomp(plan->kind);
}
