/* SPDX-License-Identifier: ISC
 *
 * Makes a running process do a system call, as code that took it over would: stops it where it waits, has it execute the
 * call with its own rights, its own root and its own filter, and says what came of it. Needs root. For tests/sandbox.
 *
 *	inject PID open PATH | socket FAMILY | exec PATH | fork | ptrace PID | kill PID | setuid UID | chroot PATH
 *
 * Prints "SIGSYS" (the process is dead), the name of an errno, or "possible". Exit 77: not for this processor.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef __x86_64__
int
main(void)
{
	return 77;
}
#else

#define BELOW_STACK 4096 /* room for a string, far below the red zone */
#define TRIES 200

struct call {
	long number;
	unsigned long args[4];
	const char *text; /* copied into the process; its address becomes args[text_at] */
	unsigned text_at;
};

static _Noreturn void
fail(const char *what)
{
	perror(what);
	exit(64);
}

/* Stopped inside a system call: rip stands behind its instruction. */
static int
stop_in_call(pid_t pid, struct user_regs_struct *regs)
{
	int status;

	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0 || waitpid(pid, &status, __WALL) < 0 ||
	    !WIFSTOPPED(status))
		fail("attach");
	if (ptrace(PTRACE_GETREGS, pid, NULL, regs) < 0)
		fail("registers");
	errno = 0;
	long word = ptrace(PTRACE_PEEKTEXT, pid, (void *)(regs->rip - 2), NULL);
	if (errno == 0 && (word & 0xffff) == 0x050f)
		return 0;
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return -1;
}

static void
put_text(pid_t pid, unsigned long at, const char *text)
{
	char words[512] = { 0 };

	snprintf(words, sizeof(words), "%s", text);
	for (size_t i = 0; i < sizeof(words); i += sizeof(long)) {
		long word;
		memcpy(&word, words + i, sizeof(word));
		if (ptrace(PTRACE_POKEDATA, pid, (void *)(at + i), (void *)word) < 0)
			fail("poke");
	}
}

/* The debug build traps the call, speaks and dies: let it, without the trap of our single step. */
static void
let_it_die(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_CONT, pid, NULL, (void *)(long)SIGSYS) < 0 ||
	    waitpid(pid, &status, __WALL) < 0)
		fail("go on");
	if (WIFSTOPPED(status))
		ptrace(PTRACE_DETACH, pid, NULL,
		       (void *)(long)(WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status)));
}

static void
report(pid_t pid, const struct user_regs_struct *saved)
{
	struct user_regs_struct now;
	int status;

	if (waitpid(pid, &status, __WALL) < 0)
		fail("wait");
	if (WIFSIGNALED(status)) {
		printf("SIG%s\n", sigabbrev_np(WTERMSIG(status)));
		return;
	}
	if (WIFEXITED(status)) {
		printf("exit %d\n", WEXITSTATUS(status));
		return;
	}
	if (WSTOPSIG(status) == SIGSYS) {
		puts("SIGSYS");
		let_it_die(pid);
		return;
	}
	if (ptrace(PTRACE_GETREGS, pid, NULL, &now) < 0)
		fail("registers");
	long r = (long)now.rax;
	puts(r < 0 && r > -4096 ? strerrorname_np((int)-r) : "possible");
	/* As if nothing had been. */
	ptrace(PTRACE_SETREGS, pid, NULL, saved);
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void
inject(pid_t pid, struct call *c)
{
	struct user_regs_struct saved, regs;

	for (int i = 0; stop_in_call(pid, &saved) < 0; i++) {
		if (i == TRIES) {
			fprintf(stderr, "inject: %d is never inside a system call\n", (int)pid);
			exit(64);
		}
		usleep(1000);
	}
	regs = saved;
	if (c->text != NULL) {
		c->args[c->text_at] = (saved.rsp - BELOW_STACK) & ~15ul;
		put_text(pid, c->args[c->text_at], c->text);
	}
	regs.rip -= 2;
	regs.rax = (unsigned long)c->number;
	regs.orig_rax = (unsigned long)-1; /* the interrupted call is not begun again */
	regs.rdi = c->args[0];
	regs.rsi = c->args[1];
	regs.rdx = c->args[2];
	regs.r10 = c->args[3];
	if (ptrace(PTRACE_SETREGS, pid, NULL, &regs) < 0 ||
	    ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0)
		fail("step");
	report(pid, &saved);
}

static struct call
call_of(const char *act, const char *arg)
{
	unsigned long number = strtoul(arg, NULL, 10);

	if (strcmp(act, "open") == 0)
		return (struct call){
			SYS_openat, { (unsigned long)AT_FDCWD, 0, O_RDONLY }, arg, 1
		};
	if (strcmp(act, "socket") == 0)
		return (struct call){ SYS_socket, { number, SOCK_STREAM, 0 }, NULL, 0 };
	if (strcmp(act, "exec") == 0)
		return (struct call){ SYS_execve, { 0 }, arg, 0 };
	if (strcmp(act, "fork") == 0)
		return (struct call){ SYS_fork, { 0 }, NULL, 0 };
	if (strcmp(act, "ptrace") == 0)
		return (struct call){ SYS_ptrace, { PTRACE_ATTACH, number }, NULL, 0 };
	if (strcmp(act, "kill") == 0)
		return (struct call){ SYS_kill, { number, SIGCONT }, NULL, 0 };
	if (strcmp(act, "setuid") == 0)
		return (struct call){ SYS_setuid, { number }, NULL, 0 };
	if (strcmp(act, "chroot") == 0)
		return (struct call){ SYS_chroot, { 0 }, arg, 0 };
	if (strcmp(act, "getpid") == 0) /* allowed: shows that the injection works */
		return (struct call){ SYS_getpid, { 0 }, NULL, 0 };
	fprintf(stderr, "inject: no act is called %s\n", act);
	exit(64);
}

int
main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: inject PID ACT [ARGUMENT]\n");
		return 64;
	}
	struct call c = call_of(argv[2], argc > 3 ? argv[3] : "");
	inject((pid_t)strtol(argv[1], NULL, 10), &c);
	return 0;
}
#endif
