/* SPDX-License-Identifier: ISC
 *
 * Tries one forbidden act from inside the sandbox of one kind of process, the way code that took over that process
 * would: probe KIND ACT UID DIR SIBLING PORT. Everything an act could use is prepared before priv_drop() as master and svc do it.
 * DIR/work is a folder that the process works in (qmgr: its root), DIR/empty the root of the others; UID -1: without root.
 *
 * Exit status: 0 the act was possible, 1 it failed (its errno's name on stdout), killed by SIGSYS: it is no allowed call.
 * `probe list` prints the names of all acts. For tests/sandbox.
 */
/* System */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

/* lib */
#include "svc/priv.h"

struct world {
	int dir;   /* a folder that was passed */
	int stray; /* a descriptor that was not listed */
	int tcp;   /* a TCP socket made before */
	int channel;
	int memory;    /* a file in memory */
	pid_t sibling; /* another process of the same user */
	uint16_t port; /* somebody listens there */
	long page;
};

static struct sockaddr_in
loopback(uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sin;
}

static long
connect_to(int fd, uint16_t port)
{
	struct sockaddr_in sin = loopback(port);

	return connect(fd, (struct sockaddr *)&sin, sizeof(sin));
}

/* ---- acts: -1 with errno, or anything else: it worked ---- */

static long
act_open(const struct world *w)
{
	(void)w;
	return syscall(SYS_open, "/etc/passwd", O_RDONLY);
}

static long
act_openat(const struct world *w)
{
	(void)w;
	return openat(AT_FDCWD, "/etc/passwd", O_RDONLY);
}

static long
act_openat_up(const struct world *w)
{
	(void)w;
	return openat(AT_FDCWD, "../../../../../../etc/passwd", O_RDONLY);
}

static long
act_openat2(const struct world *w)
{
	struct open_how how = { .flags = O_RDONLY };

	(void)w;
	return syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", &how, sizeof(how));
}

/* Out of a folder that was passed, without RESOLVE_BENEATH. */
static long
act_openat2_out(const struct world *w)
{
	struct open_how how = { .flags = O_RDONLY };

	return syscall(SYS_openat2, w->dir, "../../../../../../etc/passwd", &how, sizeof(how));
}

static long
act_openat_out(const struct world *w)
{
	return openat(w->dir, "../../../../../../etc/passwd", O_RDONLY);
}

static long
act_create(const struct world *w)
{
	(void)w;
	return openat(AT_FDCWD, "/tmp/postern-probe", O_WRONLY | O_CREAT, 0600);
}

static long
act_unlink_out(const struct world *w)
{
	return unlinkat(w->dir, "../victim", 0);
}

static long
act_rename_out(const struct world *w)
{
	return renameat(w->dir, "../victim", w->dir, "stolen");
}

static long
act_link_in(const struct world *w)
{
	return linkat(w->dir, "../victim", w->dir, "stolen", 0);
}

static long
act_mkdirat_out(const struct world *w)
{
	return mkdirat(w->dir, "../postern-probe", 0700);
}

static long
act_chmod(const struct world *w)
{
	(void)w;
	return chmod("/", 0777);
}

static long
act_symlink(const struct world *w)
{
	return symlinkat("/etc/passwd", w->dir, "probe-link");
}

static long
act_mknod(const struct world *w)
{
	return mknodat(w->dir, "probe-fifo", S_IFIFO | 0600, 0);
}

static long
act_chroot(const struct world *w)
{
	(void)w;
	return chroot(".");
}

static long
act_fchdir(const struct world *w)
{
	return fchdir(w->dir);
}

static long
act_mount(const struct world *w)
{
	(void)w;
	return mount("none", "/", "tmpfs", 0, NULL);
}

static long
act_stray(const struct world *w)
{
	return fcntl(w->stray, F_GETFD);
}

/* -- network -- */

static long
act_socket_tcp(const struct world *w)
{
	(void)w;
	return socket(AF_INET, SOCK_STREAM, 0);
}

static long
act_socket_tcp6(const struct world *w)
{
	(void)w;
	return socket(AF_INET6, SOCK_STREAM, 0);
}

static long
act_socket_udp(const struct world *w)
{
	(void)w;
	return socket(AF_INET, SOCK_DGRAM, 0);
}

static long
act_socket_unix(const struct world *w)
{
	(void)w;
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static long
act_socket_raw(const struct world *w)
{
	(void)w;
	return socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static long
act_socket_netlink(const struct world *w)
{
	(void)w;
	return socket(AF_NETLINK, SOCK_RAW, 0);
}

static long
act_socket_packet(const struct world *w)
{
	(void)w;
	return socket(AF_PACKET, SOCK_RAW, 0);
}

static long
act_socketpair(const struct world *w)
{
	int sv[2];

	(void)w;
	return socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
}

static long
act_connect(const struct world *w)
{
	return connect_to(w->tcp, w->port);
}

static long
act_socket_connect(const struct world *w)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 ? -1 : connect_to(fd, w->port);
}

static long
act_bind(const struct world *w)
{
	struct sockaddr_in sin = loopback(0);

	return bind(w->tcp, (struct sockaddr *)&sin, sizeof(sin));
}

static long
act_bind_port(const struct world *w)
{
	struct sockaddr_in sin = loopback((uint16_t)(w->port + 1));

	return bind(w->tcp, (struct sockaddr *)&sin, sizeof(sin));
}

static long
act_listen(const struct world *w)
{
	return listen(w->tcp, 1);
}

static long
act_sendto(const struct world *w)
{
	struct sockaddr_in sin = loopback(w->port);

	return sendto(w->tcp, "x", 1, MSG_NOSIGNAL | MSG_FASTOPEN, (struct sockaddr *)&sin,
		      sizeof(sin));
}

/* A connection by the first byte that is sent. */
static long
act_fastopen(const struct world *w)
{
	struct sockaddr_in sin = loopback(w->port);
	char c = 'x';
	struct iovec iov = { &c, 1 };
	struct msghdr mh = {
		.msg_name = &sin, .msg_namelen = sizeof(sin), .msg_iov = &iov, .msg_iovlen = 1
	};

	return sendmsg(w->tcp, &mh, MSG_NOSIGNAL | MSG_FASTOPEN);
}

static long
act_filter(const struct world *w)
{
	struct sock_filter code = { 0x06, 0, 0, 0 };
	struct sock_fprog prog = { 1, &code };

	return setsockopt(w->channel, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* -- processes -- */

static long
act_exec(const struct world *w)
{
	char *argv[] = { "true", NULL };

	(void)w;
	return execve("/bin/true", argv, argv + 1);
}

static long
act_execveat(const struct world *w)
{
	char *argv[] = { "x", NULL };

	return syscall(SYS_execveat, w->memory, "", argv, argv + 1, AT_EMPTY_PATH);
}

/* A child that comes to be ends at once: what counts is that there is none. */
static long
child_made(long pid)
{
	if (pid == 0)
		syscall(SYS_exit_group, 0);
	return pid;
}

static long
act_fork(const struct world *w)
{
	(void)w;
	return child_made(syscall(SYS_fork));
}

static long
act_clone(const struct world *w)
{
	(void)w;
	return child_made(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static long
act_clone_userns(const struct world *w)
{
	(void)w;
	return child_made(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static long
act_clone3(const struct world *w)
{
	struct {
		uint64_t flags, rest[10];
	} args = { 0, { 0, 0, 0, SIGCHLD } };

	(void)w;
	return child_made(syscall(SYS_clone3, &args, sizeof(args)));
}

static void *
thread_main(void *arg)
{
	return arg;
}

static long
act_thread(const struct world *w)
{
	pthread_t t;
	int r = pthread_create(&t, NULL, thread_main, NULL);

	(void)w;
	errno = r;
	return r == 0 ? (long)pthread_join(t, NULL) : -1;
}

static long
act_unshare(const struct world *w)
{
	(void)w;
	return unshare(CLONE_NEWUSER);
}

static long
act_ptrace(const struct world *w)
{
	return ptrace(PTRACE_ATTACH, w->sibling, NULL, NULL);
}

static long
act_ptrace_seize(const struct world *w)
{
	return ptrace(PTRACE_SEIZE, w->sibling, NULL, NULL);
}

static long
act_kill(const struct world *w)
{
	return kill(w->sibling, SIGCONT);
}

static long
act_tgkill(const struct world *w)
{
	return syscall(SYS_tgkill, w->sibling, w->sibling, SIGCONT);
}

static long
act_vm_read(const struct world *w)
{
	char c;
	struct iovec local = { &c, 1 }, remote = { (void *)(uintptr_t)act_vm_read, 1 };

	return process_vm_readv(w->sibling, &local, 1, &remote, 1, 0);
}

static long
act_pidfd(const struct world *w)
{
	return syscall(SYS_pidfd_open, w->sibling, 0);
}

static long
act_prlimit_other(const struct world *w)
{
	struct rlimit r;

	return prlimit(w->sibling, RLIMIT_NOFILE, NULL, &r);
}

/* -- rights -- */

static long
act_setuid(const struct world *w)
{
	(void)w;
	return syscall(SYS_setuid, 0);
}

static long
act_setresuid(const struct world *w)
{
	(void)w;
	return syscall(SYS_setresuid, 0, 0, 0);
}

static long
act_setgroups(const struct world *w)
{
	gid_t g = 0;

	(void)w;
	return syscall(SYS_setgroups, 1, &g);
}

static long
act_rlimit(const struct world *w)
{
	struct rlimit r = { 65536, 65536 };

	(void)w;
	return setrlimit(RLIMIT_CORE, &r);
}

static long
act_dumpable(const struct world *w)
{
	(void)w;
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long
act_mmap_exec(const struct world *w)
{
	return mmap(NULL, (size_t)w->page, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
		       ? -1
		       : 0;
}

static long
act_mprotect_exec(const struct world *w)
{
	void *p = mmap(NULL, (size_t)w->page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	return p == MAP_FAILED ? -1 : mprotect(p, (size_t)w->page, PROT_READ | PROT_EXEC);
}

static long
act_tiocsti(const struct world *w)
{
	char c = 'x';

	(void)w;
	return ioctl(STDIN_FILENO, TIOCSTI, &c);
}

static long
act_setown(const struct world *w)
{
	return fcntl(w->channel, F_SETOWN, w->sibling);
}

/* Calls that no process of a mail server needs; arguments do not matter, they must not get through at all. */
#define BARE(name)                                            \
	static long act_##name(const struct world *w)         \
	{                                                     \
		(void)w;                                      \
		return syscall(SYS_##name, 0, 0, 0, 0, 0, 0); \
	}
BARE(bpf)
BARE(io_uring_setup)
BARE(userfaultfd)
BARE(perf_event_open)
BARE(keyctl)
BARE(add_key)
BARE(init_module)
BARE(kexec_load)
BARE(reboot)
BARE(swapon)
BARE(sethostname)
BARE(settimeofday)
BARE(open_by_handle_at)
BARE(acct)
BARE(syslog)
BARE(shmget)
BARE(msgget)
BARE(semget)
BARE(mq_open)
BARE(inotify_init1)
BARE(fanotify_init)
BARE(pidfd_getfd)
BARE(splice)
BARE(sendfile)
BARE(vmsplice)
BARE(tee)
BARE(personality)
BARE(pivot_root)
BARE(setns)
BARE(memfd_create)
BARE(copy_file_range)
BARE(quotactl)
BARE(nfsservctl)
BARE(uselib)
BARE(process_madvise)
BARE(seccomp)
BARE(mount_setattr)
BARE(open_tree)
BARE(timer_create)
BARE(setsid)
BARE(sched_setscheduler)
BARE(move_pages)

#ifdef __x86_64__
/* The same kernel by its other doors: 32-bit calls and x32. */
static long
act_int80(const struct world *w)
{
	long r;

	(void)w;
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L /* getpid */) : "memory");
	errno = r < 0 ? (int)-r : 0;
	return r < 0 ? -1 : r;
}

static long
act_x32(const struct world *w)
{
	(void)w;
	return syscall(0x40000000L | SYS_getpid);
}
#endif

#define ACT(name)                 \
	{                         \
#name, act_##name \
	}
static const struct {
	const char *name;
	long (*fn)(const struct world *w);
} acts[] = {
	ACT(open),
	ACT(openat),
	ACT(openat_up),
	ACT(openat2),
	ACT(openat2_out),
	ACT(openat_out),
	ACT(create),
	ACT(unlink_out),
	ACT(rename_out),
	ACT(link_in),
	ACT(mkdirat_out),
	ACT(chmod),
	ACT(symlink),
	ACT(mknod),
	ACT(chroot),
	ACT(fchdir),
	ACT(mount),
	ACT(stray),
	ACT(socket_tcp),
	ACT(socket_tcp6),
	ACT(socket_udp),
	ACT(socket_unix),
	ACT(socket_raw),
	ACT(socket_netlink),
	ACT(socket_packet),
	ACT(socketpair),
	ACT(connect),
	ACT(socket_connect),
	ACT(bind),
	ACT(bind_port),
	ACT(listen),
	ACT(sendto),
	ACT(fastopen),
	ACT(filter),
	ACT(exec),
	ACT(execveat),
	ACT(fork),
	ACT(clone),
	ACT(clone_userns),
	ACT(clone3),
	ACT(thread),
	ACT(unshare),
	ACT(ptrace),
	ACT(ptrace_seize),
	ACT(kill),
	ACT(tgkill),
	ACT(vm_read),
	ACT(pidfd),
	ACT(prlimit_other),
	ACT(setuid),
	ACT(setresuid),
	ACT(setgroups),
	ACT(rlimit),
	ACT(dumpable),
	ACT(mmap_exec),
	ACT(mprotect_exec),
	ACT(tiocsti),
	ACT(setown),
	ACT(bpf),
	ACT(io_uring_setup),
	ACT(userfaultfd),
	ACT(perf_event_open),
	ACT(keyctl),
	ACT(add_key),
	ACT(init_module),
	ACT(kexec_load),
	ACT(reboot),
	ACT(swapon),
	ACT(sethostname),
	ACT(settimeofday),
	ACT(open_by_handle_at),
	ACT(acct),
	ACT(syslog),
	ACT(shmget),
	ACT(msgget),
	ACT(semget),
	ACT(mq_open),
	ACT(inotify_init1),
	ACT(fanotify_init),
	ACT(pidfd_getfd),
	ACT(splice),
	ACT(sendfile),
	ACT(vmsplice),
	ACT(tee),
	ACT(personality),
	ACT(pivot_root),
	ACT(setns),
	ACT(memfd_create),
	ACT(copy_file_range),
	ACT(quotactl),
	ACT(nfsservctl),
	ACT(uselib),
	ACT(process_madvise),
	ACT(seccomp),
	ACT(mount_setattr),
	ACT(open_tree),
	ACT(timer_create),
	ACT(setsid),
	ACT(sched_setscheduler),
	ACT(move_pages),
#ifdef __x86_64__
	ACT(int80),
	ACT(x32),
#endif
};

static enum proc_id
kind_of(const char *name)
{
	for (unsigned i = 0; i < PROC_COUNT; i++) {
		if (strcmp(proc_info((enum proc_id)i)->name, name) == 0)
			return (enum proc_id)i;
	}
	fprintf(stderr, "probe: no process is called %s\n", name);
	exit(64);
}

static void
enter_sandbox(struct world *w, enum proc_id kind, uint32_t uid, const char *dir)
{
	enum proc_root where = proc_info(kind)->root;
	int sv[2], keep[8], n = 0, base = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int root = openat(base, where == PROC_ROOT_EMPTY ? "empty" : "work",
			  O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	w->page = sysconf(_SC_PAGESIZE);
	w->stray = open("/dev/null", O_RDONLY);
	w->tcp = socket(AF_INET, SOCK_STREAM, 0);
	w->dir = openat(base, "work", O_PATH | O_DIRECTORY | O_CLOEXEC);
	w->memory = open("/bin/true", O_RDONLY);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0 || root < 0 || w->dir < 0 ||
	    w->memory < 0) {
		perror("probe");
		exit(64);
	}
	w->channel = sv[0];
	keep[n++] = sv[0];
	keep[n++] = sv[1];
	keep[n++] = w->tcp;
	keep[n++] = w->memory;
	keep[n++] = w->dir;
	priv_drop(&(struct priv_plan){ .kind = kind,
				       .uid = uid,
				       .gid = uid,
				       .root_fd = where != PROC_ROOT_NONE ? root : -1,
				       .keep_fds = keep,
				       .keep_count = (unsigned)n });
}

static int
try(const char *name, const struct world *w)
{
	char text[64];

	if (strcmp(name, "nothing") == 0)
		return 0;
	for (unsigned i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (strcmp(acts[i].name, name) != 0)
			continue;
		errno = 0;
		if (acts[i].fn(w) != -1)
			return 0;
		int n = snprintf(text, sizeof(text), "%s\n", strerrorname_np(errno));
		return write(STDOUT_FILENO, text, (size_t)n) == n ? 1 : 64;
	}
	return 64;
}

int
main(int argc, char **argv)
{
	struct world w = { 0 };

	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (unsigned i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
			puts(acts[i].name);
		return 0;
	}
	if (argc != 7) {
		fprintf(stderr, "usage: probe KIND ACT UID DIR SIBLING PORT | probe list\n");
		return 64;
	}
	w.sibling = (pid_t)strtol(argv[5], NULL, 10);
	w.port = (uint16_t)strtoul(argv[6], NULL, 10);
	enter_sandbox(&w, kind_of(argv[1]), (uint32_t)strtol(argv[3], NULL, 10), argv[4]);
	_exit(try(argv[2], &w));
}
