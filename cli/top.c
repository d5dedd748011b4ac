/* SPDX-License-Identifier: ISC
 *
 * `postern top`: what the server does now, redrawn every second: rates of its counters, the queue, and the memory of
 * its processes. One plain page and out when the output is no terminal.
 */
/* System */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/span.h"

/* this program */
#include "cli/stats.h"

static volatile sig_atomic_t is_ended;

static void
on_signal(int sig)
{
	(void)sig;
	is_ended = 1;
}

/* What is shown, two to a line, so that all fits on a terminal of 24 lines. NULL: nothing. */
static const struct shown {
	const char *label, *path;
	bool is_gauge; /* has no rate */
} shown[][2] = {
	{ { "clients", "smtpd.sessions", true }, { "sessions out", "delivery.sessions", true } },
	{ { "connections", "smtpd.connections", false },
	  { "delivered", "delivery.delivered", false } },
	{ { "messages in", "smtpd.messages", false }, { "deferred", "delivery.deferred", false } },
	{ { "queued messages", "queue.messages", true }, { "bounced", "delivery.bounced", false } },
	{ { "queued recipients", "queue.recipients", true },
	  { "expired", "delivery.expired", false } },
	{ { " of them deferred", "queue.deferred", true },
	  { "reports", "delivery.reports", false } },
	{ { " of them held", "queue.held", true }, { "syncs", "spool.syncs", false } },
	{ { "queued bytes", "queue.bytes", true }, { "free bytes", "spool.free_bytes", true } },
};

static void
print_one(const struct shown *what, const json_t *now, const json_t *before, double seconds)
{
	const json_t *v = stats_number(now, what->path),
		     *old = before != NULL ? stats_number(before, what->path) : NULL;
	char rate[32] = "";

	if (v != NULL && old != NULL && !what->is_gauge && seconds > 0)
		snprintf(rate, sizeof(rate), "%.0f/s",
			 (double)(json_integer_value(v) - json_integer_value(old)) / seconds);
	printf("  %-17s %12lld %7s", what->label, v != NULL ? (long long)json_integer_value(v) : 0,
	       rate);
}

static void
print_numbers(const json_t *now, const json_t *before, double seconds)
{
	const json_t *open = stats_number(now, "spool.intake_open");

	for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++) {
		print_one(&shown[i][0], now, before, seconds);
		print_one(&shown[i][1], now, before, seconds);
		printf("\n");
	}
	if (open != NULL && json_integer_value(open) == 0)
		printf("  NO NEW MAIL IS TAKEN: the disk is full or fails; see the log\n");
}

static long
master_pid(const struct cli *cli)
{
	char path[4096];
	long pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/postern.pid", cli->conf->directories.run);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	if (fscanf(f, "%ld", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

/* A value in kB of a file below /proc/PID. */
static long
proc_kb(long pid, const char *file, const char *key)
{
	char path[64], line[256];
	long kb = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/%s", pid, file);
	if ((f = fopen(path, "re")) == NULL)
		return -1;
	while (kb < 0 && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, key, strlen(key)) == 0)
			kb = strtol(line + strlen(key), NULL, 10);
	}
	fclose(f);
	return kb;
}

static void
print_process(long pid)
{
	char path[64], name[64] = "?";
	long pss = proc_kb(pid, "smaps_rollup", "Pss:"), rss = proc_kb(pid, "status", "VmRSS:");
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	if ((f = fopen(path, "re")) != NULL) {
		if (fgets(name, sizeof(name), f) != NULL)
			name[strcspn(name, "\n")] = '\0';
		fclose(f);
	}
	if (rss < 0)
		return;
	if (pss >= 0)
		printf("  %-16s %8ld %10ld KiB PSS\n", name, pid, pss);
	else
		printf("  %-16s %8ld %10ld KiB RSS\n", name, pid, rss);
}

static void
print_processes(const struct cli *cli)
{
	long pid = master_pid(cli), child;
	char path[64];
	FILE *f;

	if (pid <= 0)
		return;
	printf("\n  %-16s %8s %14s\n", "PROCESS", "PID", "MEMORY");
	print_process(pid);
	snprintf(path, sizeof(path), "/proc/%ld/task/%ld/children", pid, pid);
	if ((f = fopen(path, "re")) == NULL)
		return;
	while (fscanf(f, "%ld", &child) == 1)
		print_process(child);
	fclose(f);
}

static void
draw(const struct cli *cli, const json_t *now, const json_t *before, double seconds, bool is_screen)
{
	char when[32];
	time_t t = time(NULL);
	struct tm tm;

	if (is_screen)
		printf("\033[H\033[2J");
	strftime(when, sizeof(when), "%H:%M:%S", localtime_r(&t, &tm));
	printf("postern %s  %s%s\n\n", cli->conf->hostname, when,
	       is_screen ? "  (Ctrl-C ends)" : "");
	print_numbers(now, before, seconds);
	print_processes(cli);
	fflush(stdout);
}

int
cmd_top(const struct cli *cli, int argc, char **argv)
{
	bool is_screen = isatty(STDOUT_FILENO) == 1;
	json_t *now, *before = NULL;
	uint64_t then = 0;
	int x = 0;

	(void)argv;
	if (argc > 1) {
		fprintf(stderr, "postern: usage: postern top\n");
		return EX_USAGE;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	do {
		if ((x = stats_fetch(cli, &now)) != 0) {
			json_decref(now);
			break;
		}
		uint64_t at = clock_mono_us();
		draw(cli, now, before, before != NULL ? (double)(at - then) / 1e6 : 0, is_screen);
		json_decref(before);
		before = now;
		then = at;
		if (is_screen && !is_ended)
			sleep(1);
	} while (is_screen && !is_ended);
	json_decref(before);
	return x;
}
