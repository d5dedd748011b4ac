/* SPDX-License-Identifier: ISC
 *
 * The server from its start to its end: configuration, locks, folders, ports, then the loop that supervises. What a
 * process of Postern does with mail is decided elsewhere: master reads no byte from the network, no message, no request
 * of a user. Runs as root, or as the user who started it.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

/* this program */
#include "master/child.h"

#define TEXT_MAX 65536
#define SHM_BYTES (1024 * 1024)
#define MAX_FILES 1048576 /* descriptors, if we may */

/* ---- before the loop ---- */

static int
exit_status_of(int r)
{
	return r == E_CONFIG   ? EX_CONFIG
	       : r == E_ACCESS ? EX_NOPERM
	       : r == E_AGAIN  ? EX_TEMPFAIL
			       : EX_OSERR;
}

static int
load(struct master *m, struct buf *why)
{
	struct conf_problems problems;
	int r = conf_load(m->opts.conf_path, m->is_root, &m->conf, &problems);

	if (r < 0) {
		struct span text = buf_span(&problems.text);
		buf_put_span(why,
			     span_ends(text, SPAN("\n")) ? span_sub(text, 0, text.n - 1) : text);
		if (why->n == 0)
			buf_printf(why, "%s: %s", m->opts.conf_path, err_info(r)->text);
		r = E_CONFIG;
	} else if (problems.warnings > 0) {
		(void)!fd_write_all(STDERR_FILENO, problems.text.p, problems.text.n);
	}
	conf_problems_clear(&problems);
	return r;
}

/* Counters that smtpd workers share: its layout is theirs, its size nobody's to change. */
static int
make_shared_memory(struct master *m, struct buf *why)
{
	m->shm_fd = memfd_create("postern-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (m->shm_fd >= 0 && ftruncate(m->shm_fd, SHM_BYTES) == 0 &&
	    fcntl(m->shm_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return 0;
	buf_printf(why, "no shared memory: %s", strerror(errno));
	return E_IO;
}

/* Children lower it to what they need. */
static void
raise_file_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max = r.rlim_max > MAX_FILES ? r.rlim_max : MAX_FILES;
	if (setrlimit(RLIMIT_NOFILE, &r) == 0 || getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &r);
}

static int
open_all(struct master *m, struct buf *why)
{
	struct list none;
	int r;

	list_init(&none);
	if ((r = folders_resolve_users(m, why)) < 0 || (r = folders_open_programs(m, why)) < 0 ||
	    (r = folders_open(m, why)) < 0 || (r = logfile_check(m->conf, why)) < 0 ||
	    (r = listen_open_control(m, why)) < 0 ||
	    (r = listen_open(m->conf, &none, &m->listeners, why)) < 0 ||
	    (r = bases_open(m->conf, &m->ids[PROC_MAILBOX], &m->bases, why)) < 0)
		return r;
	return make_shared_memory(m, why);
}

void
master_put_place(const struct master *m, struct span why, struct buf *out)
{
	size_t digits = 0;

	while (digits < why.n && why.p[digits] >= '0' && why.p[digits] <= '9')
		digits++;
	buf_printf(out, "%s:%s", m->opts.conf_path,
		   digits > 0 && digits < why.n && why.p[digits] == ':' ? "" : " ");
}

static int
prepare(struct master *m)
{
	struct buf why, text;
	int r;

	buf_init(&why, TEXT_MAX);
	buf_init(&text, TEXT_MAX);
	r = load(m, &why);
	if (r == 0) {
		log_init("master", (enum log_level)m->conf->log.level);
		raise_file_limit();
		if (m->opts.is_daemon && (r = ready_daemonize()) < 0)
			buf_printf(&why, "cannot become a daemon: %s", strerror(errno));
		else if ((r = open_all(m, &why)) < 0)
			master_put_place(m, buf_span(&why), &text);
	}
	if (r < 0) {
		buf_put_span(&text, buf_span(&why));
		ready_answer(m, buf_cstr(&text));
	}
	buf_clear(&why);
	buf_clear(&text);
	return r;
}

/* ---- the loop ---- */

void
master_on_signal(struct master *m, int sig)
{
	if (sig == SIGCHLD)
		reap_children(m);
	else if (sig == SIGHUP)
		reload_begin(m);
	else if (sig == SIGUSR1)
		logfile_reopen(m);
	else
		stop_begin(m);
}

static void
supervise(struct master *m)
{
	loop_open(m);
	m->timers = timer_set_new(m->loop);
	m->chans = chan_set_new(m->loop, PROC_MASTER);
	m->tables = tables_new(m);
	logfile_init(m);
	childerr_open(m);
	ready_wait(m);
	if (!m->is_root)
		log_warn("not started as root: all processes run as user %u, without users of "
			 "their own and without chroot; the rest of the sandbox is on",
			 (unsigned)geteuid());
	tables_set(m->tables, m->conf);
	child_start_missing(m);
	loop_run(m);
}

void
master_fail(struct master *m, int status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (m->exit_status == 0)
		m->exit_status = status;
	if (m->opts.ready_fd >= 0)
		ready_answer(m, text);
	else
		log_warn("%s", text);
	m->is_stop_fast = true;
	if (m->stop_phase == STOP_NOT)
		stop_begin(m);
}

static void
absolute_path(struct master *m)
{
	static char path[8192];
	char cwd[4096];

	if (m->opts.conf_path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
		return;
	if ((size_t)snprintf(path, sizeof(path), "%s/%s", cwd, m->opts.conf_path) < sizeof(path))
		m->opts.conf_path = path;
}

int
master_run(const struct master_options *opts)
{
	static struct master m;
	int r;

	m.opts = *opts;
	m.started_ms = clock_mono_ms();
	m.is_root = geteuid() == 0;
	m.lock_fd = m.spool_fd = m.run_fd = m.queue_fd = m.drop_fd = m.empty_fd = m.shm_fd = -1;
	list_init(&m.children);
	list_init(&m.listeners);
	list_init(&m.control);
	absolute_path(&m);
	log_init("master", LOG_INFO_);
	umask(077);
	if ((r = prepare(&m)) < 0)
		m.exit_status = exit_status_of(r);
	else
		supervise(&m);
	folders_clean(&m);
	return m.exit_status;
}
