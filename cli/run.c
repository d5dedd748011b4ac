/* SPDX-License-Identifier: ISC
 *
 * `postern run|start|stop|restart|reload|status`: starts master and signals it. Supervises nothing: master does. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
/* this program */
#include "cli/cli.h"
#include "cli/hint.h"
#include "cli/server.h"

enum {
	START_LIMIT_MS = 60000, /* a spool of any size is open before that */
	STOP_PHASES =
		5, /* in which master ends its children one kind after the other, each bounded by timeouts.stop */
	STOP_GRACE_MS = 5000,
	PROGRESS_MS = 5000,
	PATH_MAX_BYTES = 4096,
	LSB_RUNNING = 0,
	LSB_DEAD = 1,
	LSB_STOPPED = 3
};

int
cmd_run(const struct cli *cli, int argc, char **argv)
{
	char master[PATH_MAX_BYTES];
	struct conf *c;
	int x;

	(void)argc;
	(void)argv;
	/* master tells the warnings, and the errors of later. */
	if ((x = cli_conf_load(cli, false, &c)) != 0)
		return x;
	if ((x = server_master_path(master, sizeof(master))) == 0) {
		hint_print(cli->conf_path, c);
		fflush(NULL);
		execl(master, "postern", "-c", cli->conf_path, (char *)NULL);
		fprintf(stderr, "postern: %s: %s; install Postern again\n", master,
			strerror(errno));
		x = EX_OSERR;
	}
	conf_free(&c);
	return x;
}

/* In the child: becomes master, which goes into the background and writes "ok", or why not, to `ready`. */
static _Noreturn void
exec_master(const struct cli *cli, const char *master, int ready)
{
	char fd_text[16];

	snprintf(fd_text, sizeof(fd_text), "%d", ready);
	if (fd_set_cloexec(ready, false) == 0)
		execl(master, "postern", "-c", cli->conf_path, "-d", "-r", fd_text, (char *)NULL);
	fprintf(stderr, "postern: %s: %s; install Postern again\n", master, strerror(errno));
	_exit(EX_OSERR);
}

/* What master says of its start. True at its end, false when time is up. */
static bool
read_report(int fd, struct buf *report)
{
	uint64_t deadline_mono_ms = clock_mono_ms() + START_LIMIT_MS;

	for (;;) {
		uint64_t now = clock_mono_ms();
		struct pollfd p = { .fd = fd, .events = POLLIN };
		char *room = buf_room(report, 512);
		ssize_t n;

		if (now >= deadline_mono_ms)
			return false;
		if (poll(&p, 1, (int)(deadline_mono_ms - now)) <= 0)
			continue;
		n = room != NULL ? read(fd, room, 512) : 0;
		if (n == 0 || (n < 0 && errno != EINTR))
			return true;
		buf_added(report, n > 0 ? (size_t)n : 0);
		if (span_eq(buf_span(report), SPAN("ok\n")))
			return true;
	}
}

/* The exit status of the child that became master, 0 while it runs. */
static int
child_status(pid_t pid, bool wait_for_it)
{
	int status;

	if (waitpid(pid, &status, wait_for_it ? 0 : WNOHANG) != pid)
		return 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

static int
wait_ready(pid_t pid, int fd)
{
	struct buf report;
	bool is_over;
	int x;

	buf_init(&report, 65536);
	is_over = read_report(fd, &report);
	if (is_over && span_eq(buf_span(&report), SPAN("ok\n"))) {
		x = 0;
	} else if (!is_over) {
		fprintf(stderr,
			"postern: not ready after %d s, still starting; look into the log, "
			"`postern "
			"stop` ends it\n",
			START_LIMIT_MS / 1000);
		x = EX_TEMPFAIL;
	} else {
		x = child_status(pid, true);
		if (report.n > 0)
			fprintf(stderr, "%s%s", buf_cstr(&report),
				report.p[report.n - 1] == '\n' ? "" : "\n");
		else
			fprintf(stderr, "postern: the server ended before it was ready; look into "
					"the log, or "
					"try `postern run`\n");
		x = x != 0 ? x : EX_UNAVAILABLE;
	}
	buf_clear(&report);
	return x;
}

static int
start(const struct cli *cli, const struct conf *c)
{
	char master[PATH_MAX_BYTES];
	struct server s;
	int ready[2], x;
	pid_t pid;

	server_find(c, &s);
	server_clear(&s);
	if (s.state == SERVER_RUNNING) {
		printf("postern is running already, pid %d\n", (int)s.pid);
		return 0;
	}
	if ((x = server_master_path(master, sizeof(master))) != 0)
		return x;
	if (pipe2(ready, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
		fprintf(stderr, "postern: cannot start a process: %s; end others first\n",
			strerror(errno));
		return EX_OSERR;
	}
	if (pid == 0)
		exec_master(cli, master, ready[1]);
	fd_close(&ready[1]);
	x = wait_ready(pid, ready[0]);
	fd_close(&ready[0]);
	return x;
}

int
cmd_start(const struct cli *cli, int argc, char **argv)
{
	struct conf *c;
	int x;

	(void)argc;
	(void)argv;
	/* master tells the warnings. */
	if ((x = cli_conf_load(cli, false, &c)) != 0)
		return x;
	x = start(cli, c);
	conf_free(&c);
	return x;
}

static int
cannot_see(const struct server *s)
{
	fprintf(stderr, "postern: %s: %s; run this as root, or as the user of the server\n",
		s->pid_file, strerror(errno));
	return EX_NOPERM;
}

static int
send_signal(const struct server *s, int sig)
{
	if (pidfd_send_signal(s->pidfd, sig, NULL, 0) == 0 || errno == ESRCH)
		return 0;
	fprintf(stderr,
		"postern: cannot signal pid %d: %s; run this as root, or as the user of the "
		"server\n",
		(int)s->pid, strerror(errno));
	return EX_NOPERM;
}

/* Waits for the end of master, and says every few seconds that it does. */
static int
wait_gone(const struct server *s, uint64_t limit_ms)
{
	uint64_t began_mono_ms = clock_mono_ms(), waited_ms = 0;

	while (waited_ms < limit_ms) {
		struct pollfd p = { .fd = s->pidfd, .events = POLLIN };
		uint64_t left_ms = limit_ms - waited_ms;

		if (poll(&p, 1, (int)(left_ms < PROGRESS_MS ? left_ms : PROGRESS_MS)) > 0)
			return 0;
		waited_ms = clock_mono_ms() - began_mono_ms;
		if (waited_ms < limit_ms)
			fprintf(stderr, "postern: pid %d finishes what is in flight, %llu s\n",
				(int)s->pid, (unsigned long long)(waited_ms / 1000));
	}
	fprintf(stderr,
		"postern: pid %d runs on after %llu s; `kill -9 %d` ends it at once, and nothing "
		"that "
		"was acknowledged is lost\n",
		(int)s->pid, (unsigned long long)(limit_ms / 1000), (int)s->pid);
	return EX_TEMPFAIL;
}

static int
stop(const struct conf *c, bool is_quiet)
{
	struct server s;
	int x = 0;

	server_find(c, &s);
	if (s.state == SERVER_UNKNOWN)
		x = cannot_see(&s);
	else if (s.state == SERVER_RUNNING && (x = send_signal(&s, SIGTERM)) == 0)
		x = wait_gone(&s, STOP_PHASES * c->timeouts.stop + STOP_GRACE_MS);
	else if (s.state != SERVER_RUNNING && !is_quiet)
		puts("postern is not running");
	server_clear(&s);
	return x;
}

int
cmd_stop(const struct cli *cli, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return stop(cli->conf, false);
}

int
cmd_restart(const struct cli *cli, int argc, char **argv)
{
	struct conf *c;
	int x;

	(void)argc;
	(void)argv;
	/* A server with mistakes in its file would not come back. */
	if ((x = cli_conf_load(cli, false, &c)) != 0)
		return x;
	if ((x = stop(c, true)) == 0)
		x = start(cli, c);
	conf_free(&c);
	return x;
}

int
cmd_reload(const struct cli *cli, int argc, char **argv)
{
	struct server s;
	struct conf *c;
	int x;

	(void)argc;
	(void)argv;
	if ((x = cli_conf_load(cli, true, &c)) != 0)
		return x;
	server_find(c, &s);
	conf_free(&c);
	if (s.state == SERVER_UNKNOWN) {
		x = cannot_see(&s);
	} else if (s.state != SERVER_RUNNING) {
		fprintf(stderr, "postern: is not running; `postern start` starts it\n");
		x = EX_UNAVAILABLE;
	} else {
		x = send_signal(&s, SIGHUP);
	}
	server_clear(&s);
	return x;
}

int
cmd_status(const struct cli *cli, int argc, char **argv)
{
	struct server s;
	int x = LSB_STOPPED;

	(void)argc;
	(void)argv;
	server_find(cli->conf, &s);
	switch (s.state) {
	case SERVER_RUNNING:
		printf("postern is running, pid %d\n", (int)s.pid);
		x = LSB_RUNNING;
		break;
	case SERVER_STOPPED:
		puts("postern is stopped");
		break;
	case SERVER_DEAD:
		printf("postern is dead, but left %s; `postern start` starts it\n", s.pid_file);
		x = LSB_DEAD;
		break;
	case SERVER_UNKNOWN:
		x = cannot_see(&s);
		break;
	}
	server_clear(&s);
	return x;
}
