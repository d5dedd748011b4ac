/* SPDX-License-Identifier: ISC
 *
 * What the kernel lets a process do after priv_drop(): Landlock for the file system and TCP ports, and a seccomp filter
 * made from syscalls.def. It does not choose ids, folders or descriptors (priv.c). Runs once in each child, as its user,
 * before it reads a byte of anyone but master.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Third party */
#include <seccomp.h>

/* lib */
#include "base/log.h"
#include "svc/sandbox.h"

#ifdef POSTERN_INSTRUMENTED
#define IS_INSTRUMENTED true
#else
#define IS_INSTRUMENTED false
#endif
/* POSTERN_MODE is the name of the build: "release", "debug", "asan", "tsan", "fuzz", "cov". */
#define IS_COVERAGE (IS_INSTRUMENTED && POSTERN_MODE[0] == 'c')
#define IS_DEBUG (POSTERN_MODE[0] == 'd')

#ifdef POSTERN_INSTRUMENTED
/* The leak check at exit traces its own process by way of /proc, which is not in the sandbox. */
const char *__asan_default_options(void);
const char *
__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

bool
sandbox_is_instrumented(void)
{
	return IS_INSTRUMENTED;
}

bool
sandbox_is_coverage(void)
{
	return IS_COVERAGE;
}

/* ---- Landlock ---- */

/* The kernel's interface, by version: headers of a build machine are often older than the kernel it runs on. */
#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REMOVE_DIR (1ull << 4)
#define FS_REMOVE_FILE (1ull << 5)
#define FS_MAKE_DIR (1ull << 7)
#define FS_MAKE_REG (1ull << 8)
#define FS_REFER (1ull << 13)
#define FS_TRUNCATE (1ull << 14)
#define FS_ALL_1 ((1ull << 13) - 1) /* version 1 */
#define FS_ALL_2 (FS_ALL_1 | FS_REFER)
#define FS_ALL_3 (FS_ALL_2 | FS_TRUNCATE)
#define FS_ALL_5 (FS_ALL_3 | 1ull << 15) /* ioctl of devices */
#define NET_BIND_TCP (1ull << 0)	 /* version 4 */
#define NET_CONNECT_TCP (1ull << 1)
#define SCOPE_ALL_6 (1ull << 0 | 1ull << 1) /* abstract Unix sockets, signals */

#define RULE_PATH_BENEATH 1
#define CREATE_RULESET_VERSION 1u

struct ruleset {
	uint64_t fs;	 /* version 1: 8 bytes */
	uint64_t net;	 /* version 4: 16 bytes */
	uint64_t scoped; /* version 6: 24 bytes */
};

struct path_beneath {
	uint64_t allowed;
	int32_t fd;
} __attribute__((packed));

/* What a process does beneath its folders. */
#define FS_WORK                                                                        \
	(FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR | FS_REMOVE_FILE | \
	 FS_MAKE_DIR | FS_MAKE_REG | FS_REFER | FS_TRUNCATE)
#define WORKS_WITH_FILES (P(QMGR) | P(MAILBOX))
#define CONNECTS (P(ROUTER) | P(DELIVERY))

static struct ruleset
ruleset_of(enum proc_id kind, long version)
{
	struct ruleset r = { 0 };

	r.fs = version >= 5   ? FS_ALL_5
	       : version >= 3 ? FS_ALL_3
	       : version >= 2 ? FS_ALL_2
			      : FS_ALL_1;
	if (version >= 4)
		r.net = NET_BIND_TCP | (CONNECTS >> kind & 1 ? 0 : NET_CONNECT_TCP);
	if (version >= 6)
		r.scoped = SCOPE_ALL_6;
	return r;
}

static void
allow_beneath(int ruleset_fd, int dir, uint64_t rights)
{
	struct path_beneath rule = { rights, dir };

	if (syscall(SYS_landlock_add_rule, ruleset_fd, RULE_PATH_BENEATH, &rule, 0) < 0)
		die_perm("sandbox: Landlock refuses a folder: %s", strerror(errno));
}

void
sandbox_landlock(enum proc_id kind, const int *dirs, unsigned count)
{
	long version = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);
	struct ruleset rules;
	size_t size;
	int fd;

	/* Version 1 forbids to link or rename from one folder into another, which delivery into a Maildir does. */
	if (IS_COVERAGE || version < ((WORKS_WITH_FILES >> kind & 1) ? 2 : 1))
		return;
	rules = ruleset_of(kind, version);
	size = version >= 6   ? sizeof(rules)
	       : version >= 4 ? offsetof(struct ruleset, scoped)
			      : offsetof(struct ruleset, net);
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (fd < 0)
		die_perm("sandbox: Landlock gives no rule set: %s", strerror(errno));
	for (unsigned i = 0; (WORKS_WITH_FILES >> kind & 1) && i < count; i++)
		allow_beneath(fd, dirs[i], FS_WORK & rules.fs);
	if (syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		die_perm("sandbox: Landlock cannot be put on: %s", strerror(errno));
	close(fd);
}

/* ---- seccomp ---- */

#define MAX_CONDITIONS 3

struct rule {
	uint32_t processes;
	int call;
	int errnum; /* 0: allowed */
	struct scmp_arg_cmp when[MAX_CONDITIONS];
};

/* A condition of none compares nothing: its operator is 0 (no SCMP_CMP_*). */
#define IS(n, value)                                       \
	{                                                  \
		(n), SCMP_CMP_EQ, (scmp_datum_t)(value), 0 \
	}
#define BITS(n, mask, value)                                                         \
	{                                                                            \
		(n), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(value) \
	}
#define NOT(n, bits)                                             \
	{                                                        \
		(n), SCMP_CMP_MASKED_EQ, (scmp_datum_t)(bits), 0 \
	}
#define ALLOW(set, call, ...) { (set), SCMP_SYS(call), 0, { __VA_ARGS__ } },
#define ERROR(set, call, errnum) { (set), SCMP_SYS(call), (errnum), { { 0 } } },

static const struct rule rules[] = {
#include "svc/syscalls.def"
};

#define THREADS_PROBE SCMP_SYS(clone)

/* What the run-time of a sanitizer asks of the kernel beside the program. */
static const int instrumented_calls[] = {
	SCMP_SYS(openat),     SCMP_SYS(readlink),
	SCMP_SYS(getdents64), SCMP_SYS(mmap),
	SCMP_SYS(mprotect),   SCMP_SYS(prctl),
	SCMP_SYS(clone),      SCMP_SYS(sched_getaffinity),
	SCMP_SYS(prlimit64),  SCMP_SYS(personality),
	SCMP_SYS(wait4),      SCMP_SYS(process_vm_readv),
	SCMP_SYS(gettid),     SCMP_SYS(tgkill),
	SCMP_SYS(fcntl),
};

bool
sandbox_has_threads(enum proc_id kind)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].call == THREADS_PROBE && (rules[i].processes >> kind & 1))
			return true;
	}
	return false;
}

static void
add_rule(scmp_filter_ctx ctx, const struct rule *rule)
{
	unsigned n = 0;
	int r;

	if (rule->call < 0) /* not on this processor */
		return;
	while (n < MAX_CONDITIONS && rule->when[n].op != 0)
		n++;
	r = seccomp_rule_add_array(ctx,
				   rule->errnum != 0 ? SCMP_ACT_ERRNO((uint32_t)rule->errnum)
						     : SCMP_ACT_ALLOW,
				   rule->call, n, rule->when);
	if (r < 0)
		die_perm("sandbox: system call %d cannot be filtered: %s", rule->call,
			 strerror(-r));
}

static void
add_instrumented(scmp_filter_ctx ctx)
{
	for (size_t i = 0; i < sizeof(instrumented_calls) / sizeof(instrumented_calls[0]); i++)
		(void)seccomp_rule_add(ctx, SCMP_ACT_ALLOW, instrumented_calls[i], 0);
}

/* The debug build says what was forbidden, then dies as the release build does. */
static void
on_forbidden(int sig, siginfo_t *info, void *ucontext)
{
	char *name = seccomp_syscall_resolve_num_arch(seccomp_arch_native(), info->si_syscall);
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	(void)ucontext;
	log_set_sink(NULL, NULL);
	log_warn("forbidden system call %s (%d); if it is needed, add it to lib/svc/syscalls.def",
		 name ? name : "?", info->si_syscall);
	sigaction(sig, &dfl, NULL);
	syscall(SYS_tgkill, getpid(), gettid(), sig);
}

static uint32_t
forbidden_action(void)
{
	struct sigaction sa = { .sa_sigaction = on_forbidden, .sa_flags = SA_SIGINFO | SA_NODEFER };

	if (IS_INSTRUMENTED)
		return SCMP_ACT_ERRNO(EPERM);
	if (!IS_DEBUG)
		return SCMP_ACT_KILL_PROCESS;
	if (sigaction(SIGSYS, &sa, NULL) < 0)
		die_perm("sandbox: no handler for SIGSYS: %s", strerror(errno));
	return SCMP_ACT_TRAP;
}

void
sandbox_seccomp(enum proc_id kind)
{
	scmp_filter_ctx ctx;
	int r;

	if (IS_COVERAGE)
		return;
	ctx = seccomp_init(forbidden_action());
	if (ctx == NULL)
		die_perm("sandbox: no memory for the list of system calls");
	/* A binary tree: the loop's calls are not slowed down by a long list. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (IS_INSTRUMENTED)
		add_instrumented(ctx);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (rules[i].processes >> kind & 1)
			add_rule(ctx, &rules[i]);
	}
	add_rule(ctx, &(struct rule){ .call = SCMP_SYS(tgkill), .when = { IS(0, getpid()) } });
	if ((r = seccomp_load(ctx)) < 0)
		die_perm("sandbox: the kernel takes no list of system calls: %s", strerror(-r));
	seccomp_release(ctx);
}
