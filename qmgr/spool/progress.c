/* SPDX-License-Identifier: ISC
 *
 * Counts crashes per message: while a thread works on one, a thread-local variable names it; the handler of SIGSEGV,
 * SIGBUS, SIGABRT, SIGILL, SIGFPE and SIGSYS counts it in a page shared with the file segments/progress, and the process
 * dies of the signal. SIGKILL and "out of memory" (an exit) count against nobody. The page need not survive a power cut.
 * Runs in qmgr, on every thread that reads messages. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/spool/spool_int.h"

enum {
	PROGRESS_ENTRIES = 250,
	PROGRESS_MAGIC = 0x31474f50, /* "POG1" */
	PROGRESS_CRASHES = 2,	     /* so many make a suspect */
};

struct progress_page {
	uint32_t magic;
	uint32_t next; /* entry to be used next */
	struct progress_entry {
		uint64_t qid;
		uint32_t crashes;
		uint32_t zero;
	} entries[PROGRESS_ENTRIES];
};

struct progress {
	struct progress_page *page;
	char *stack; /* for the handler of a stack that overflowed */
};

static _Thread_local volatile uint64_t progress_qid;
static struct progress_page *volatile progress_page; /* for the handler */

static const int progress_signals[] = { SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGSYS };

static void
count_crash(struct progress_page *page, uint64_t qid)
{
	for (uint32_t i = 0; i < PROGRESS_ENTRIES; i++) {
		if (page->entries[i].qid == qid) {
			page->entries[i].crashes++;
			return;
		}
	}
	page->entries[page->next % PROGRESS_ENTRIES] = (struct progress_entry){ qid, 1, 0 };
	page->next = (page->next + 1) % PROGRESS_ENTRIES;
}

/* Only stores into a page that is there. The signal is given again: it is deadly now, and comes on return. */
static void
on_crash(int sig)
{
	if (progress_page != NULL && progress_qid != 0)
		count_crash(progress_page, progress_qid);
	raise(sig);
}

static void
install(struct progress *p)
{
	struct sigaction sa = { .sa_handler = on_crash,
				.sa_flags = (int)(SA_RESETHAND | SA_ONSTACK) };
	stack_t stack = { .ss_size = 64 * 1024 };

	p->stack = mem_alloc(stack.ss_size);
	stack.ss_sp = p->stack;
	sigaltstack(&stack, NULL);
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < sizeof(progress_signals) / sizeof(progress_signals[0]); i++)
		sigaction(progress_signals[i], &sa, NULL);
}

/* The file with a page of ours, its block allocated: a store into a hole of a full disk would be a SIGBUS. */
static int
open_page(int segments_fd)
{
	struct progress_page *blank;
	uint32_t magic = 0;
	int fd = openat(segments_fd, "progress", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600),
	    r = 0;

	if (fd < 0)
		return err_from_errno(errno);
	if (pread(fd, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
	    magic == PROGRESS_MAGIC)
		return fd;
	blank = mem_zalloc(sizeof(*blank));
	blank->magic = PROGRESS_MAGIC;
	r = fd_pwrite_all(fd, blank, sizeof(*blank), 0);
	mem_free(blank);
	if (r < 0)
		fd_close(&fd);
	return r < 0 ? r : fd;
}

/* Without the page the server runs all the same: only a message that crashes it is then tried for ever. */
struct progress *
progress_open(int segments_fd)
{
	struct progress *p = mem_zalloc(sizeof(*p));
	int fd = open_page(segments_fd);
	void *page = MAP_FAILED;

	if (fd >= 0)
		page = mmap(NULL, sizeof(struct progress_page), PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, 0);
	if (page == MAP_FAILED) {
		log_warn("segments/progress cannot be used (%s): a message that crashes qmgr will "
			 "not be found out",
			 fd < 0 ? err_info(fd)->text : strerror(errno));
		fd_close(&fd);
		return p;
	}
	fd_close(&fd);
	p->page = page;
	progress_page = p->page;
	install(p);
	return p;
}

void
progress_close(struct progress **pp)
{
	struct progress *p = *pp;
	stack_t none = { .ss_flags = SS_DISABLE };

	if (p == NULL)
		return;
	if (p->page != NULL) {
		for (size_t i = 0; i < sizeof(progress_signals) / sizeof(progress_signals[0]); i++)
			signal(progress_signals[i], SIG_DFL);
		sigaltstack(&none, NULL);
		progress_page = NULL;
		munmap(p->page, sizeof(*p->page));
		mem_free(p->stack);
	}
	mem_free(p);
	*pp = NULL;
}

void
progress_enter(uint64_t qid)
{
	progress_qid = qid;
}

void
progress_leave(void)
{
	progress_qid = 0;
}

bool
progress_is_suspect(const struct progress *p, uint64_t qid)
{
	if (p->page == NULL)
		return false;
	for (uint32_t i = 0; i < PROGRESS_ENTRIES; i++)
		if (p->page->entries[i].qid == qid)
			return p->page->entries[i].crashes >= PROGRESS_CRASHES;
	return false;
}
