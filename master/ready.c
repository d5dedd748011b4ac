/* SPDX-License-Identifier: ISC
 *
 * The start as others see it: a daemon that lets go of its caller, an answer to whoever waits for it, one line in the log
 * when everything is up. Runs in master.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

/* this program */
#include "master/child.h"

#define SLOW_START_MS 15000
#define TEXT_MAX 4096

int
ready_daemonize(void)
{
	pid_t pid = fork();
	int null;

	if (pid < 0)
		return err_from_errno(errno);
	if (pid > 0)
		_exit(0);
	if (setsid() < 0 || chdir("/") < 0)
		return err_from_errno(errno);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return err_from_errno(errno);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	fd_close(&null);
	return 0;
}

void
ready_answer(struct master *m, const char *text)
{
	struct buf line;
	int fd = m->opts.ready_fd >= 0 ? m->opts.ready_fd : STDERR_FILENO;

	buf_init(&line, 65536);
	buf_printf(&line, "%s%s\n", m->opts.ready_fd >= 0 ? "" : "postern: ", text);
	/* Who waited may be gone. */
	(void)!fd_write_all(fd, line.p, line.n);
	buf_clear(&line);
	fd_close(&m->opts.ready_fd);
}

static void
let_go_of_terminal(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		dup2(null, STDERR_FILENO);
	fd_close(&null);
}

void
ready_now(struct master *m)
{
	struct log_event ev;
	struct buf addresses;

	m->is_ready = true;
	timer_stop(&m->slow_start);
	buf_init(&addresses, TEXT_MAX);
	listen_put_text(&addresses, &m->listeners);
	log_begin(&ev, LOG_INFO_, "ready");
	log_kvs(&ev, "version", POSTERN_VERSION);
	log_kv_u64(&ev, "start_ms", clock_mono_ms() - m->started_ms);
	log_kv(&ev, "listen", buf_span(&addresses));
	log_end(&ev);
	buf_clear(&addresses);
	if (m->opts.ready_fd >= 0)
		ready_answer(m, "ok");
	if (m->opts.is_daemon)
		let_go_of_terminal();
}

static void
on_slow(void *arg)
{
	struct master *m = arg;
	struct buf text;

	buf_init(&text, TEXT_MAX);
	buf_puts(&text, "not ready yet, and still trying; missing:");
	LIST_EACH(it, &m->children) {
		const struct child *c = LIST_ENTRY(it, struct child, node);
		if (c->state != CHILD_UP)
			buf_printf(&text, " %s", proc_info(c->kind)->name);
	}
	buf_puts(&text, "; its reason is in the log");
	log_warn("%s", buf_cstr(&text));
	if (m->opts.ready_fd >= 0)
		ready_answer(m, buf_cstr(&text));
	buf_clear(&text);
}

void
ready_wait(struct master *m)
{
	timer_init(&m->slow_start, m->timers, on_slow, m);
	timer_start(&m->slow_start, SLOW_START_MS);
}
