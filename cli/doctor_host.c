/* SPDX-License-Identifier: ISC
 *
 * `postern doctor`, what the host itself has: checks memory, network (speed for a planned volume), clock and postmaster.
 * Runs as whoever calls. */

/* System */
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>
#include <time.h>
/* lib */
#include "base/clock.h"
/* this program */
#include "cli/doctor.h"

enum {
	MIB = 1 << 20,
	KERNEL_BYTES = 64 * MIB,   /* the kernel and a few other processes */
	SERVER_BYTES = 32 * MIB,   /* all processes at work, without what the configuration adds */
	CONNECTION_BYTES = 131072, /* as smtpd counts when it finds its own limit */
	BUSY_PERCENT = 80,	   /* of a link, beyond which queues grow */
	HOUR_MS = 3600000,
};

/* ---- memory ---- */

/* A line of /proc/meminfo, in bytes; 0: unknown. */
static uint64_t
meminfo(const char *key)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = 0;

	while (f != NULL && kib == 0 && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoull(line + strlen(key), NULL, 10);
	}
	if (f != NULL)
		fclose(f);
	return kib * 1024;
}

/* What a container may have of it, UINT64_MAX: all. */
static uint64_t
cgroup_limit(void)
{
	char line[32];

	if (!doctor_read_line("/sys/fs/cgroup/memory.max", line, sizeof(line)) || line[0] == 'm')
		return UINT64_MAX;
	return strtoull(line, NULL, 10);
}

void
doctor_check_memory(struct doctor *d)
{
	uint64_t has = meminfo("MemTotal:"), limit = cgroup_limit(), least, most;
	uint64_t queue = d->conf->limits.queue_memory;

	if (has == 0) {
		doctor_warn(d, "/proc/meminfo does not say how much there is");
		doctor_remedy(d, "mount /proc");
		return;
	}
	if (limit < has)
		has = limit;
	least = KERNEL_BYTES + SERVER_BYTES + queue;
	most = least + d->conf->limits.connections * CONNECTION_BYTES;
	if (has < least) {
		doctor_fail(d, "%llu MiB, but this configuration needs %llu",
			    (unsigned long long)(has / MIB), (unsigned long long)(least / MIB));
		doctor_remedy(d, "give the host more, or make limits { queue_memory } smaller");
	} else if (has < most) {
		doctor_warn(d, "%llu MiB, but %llu connections at a time may need %llu",
			    (unsigned long long)(has / MIB),
			    (unsigned long long)d->conf->limits.connections,
			    (unsigned long long)(most / MIB));
		doctor_remedy(d, "give the host more, or set limits { connections = 0 }: what the "
				 "memory allows");
	} else {
		doctor_ok(d, "%llu MiB; this configuration needs %llu",
			  (unsigned long long)(has / MIB), (unsigned long long)(most / MIB));
	}
}

/* ---- network ---- */

static bool
is_default_4(const char *line, char card[32])
{
	unsigned long to, flags, mask;

	return sscanf(line, "%31s %lx %*s %lx %*s %*s %*s %lx", card, &to, &flags, &mask) == 4 &&
	       to == 0 && mask == 0 && (flags & RTF_REJECT) == 0;
}

/* Without the ones of lo, which say that there is no way. */
static bool
is_default_6(const char *line, char card[32])
{
	unsigned long prefix_bits, flags;

	return sscanf(line, "%*s %lx %*s %*s %*s %*s %*s %*s %lx %31s", &prefix_bits, &flags,
		      card) == 3 &&
	       prefix_bits == 0 && strspn(line, "0") == 32 && (flags & RTF_REJECT) == 0 &&
	       strcmp(card, "lo") != 0;
}

static bool
find_route(const char *file, bool (*is_default)(const char *line, char card[32]), char card[32])
{
	FILE *f = fopen(file, "re");
	char line[256];
	bool is_found = false;

	while (f != NULL && !is_found && fgets(line, sizeof(line), f) != NULL)
		is_found = is_default(line, card);
	if (f != NULL)
		fclose(f);
	return is_found;
}

/* The card of the default route. */
static bool
find_card(char card[32])
{
	return find_route("/proc/net/route", is_default_4, card) ||
	       find_route("/proc/net/ipv6_route", is_default_6, card);
}

/* Mbit/s, 0: the card does not say (a virtual one). */
static long
card_speed(const char *card)
{
	char path[80], line[32];
	long speed;

	snprintf(path, sizeof(path), "/sys/class/net/%s/speed", card);
	if (!doctor_read_line(path, line, sizeof(line)))
		return 0;
	speed = strtol(line, NULL, 10);
	return speed > 0 ? speed : 0;
}

static void
judge_plan(struct doctor *d, const char *card, long speed)
{
	double per_second = (double)d->plan.count * 1000 / (double)d->plan.per_ms;
	double need = per_second * (double)d->plan_size_bytes * 8 / 1e6;
	double month_gb = per_second * (double)d->plan_size_bytes * 86400 * 30 / 1e9;
	char what[256];

	snprintf(what, sizeof(what),
		 "%.0f messages per hour of %.0f kB need %.*f Mbit/s in and as much out (%.0f GB a "
		 "month each way)",
		 per_second * 3600, (double)d->plan_size_bytes / 1000, need < 10 ? 1 : 0, need,
		 month_gb);
	if (speed == 0) {
		doctor_warn(d, "%s; the speed of %s is not known", what, card);
		doctor_remedy(d, "see what the provider promises for this host, and its price for "
				 "that volume");
	} else if (need > (double)speed) {
		doctor_fail(d, "%s; %s has %ld Mbit/s", what, card, speed);
		doctor_remedy(d, "get a faster network, or share the volume among more hosts");
	} else if (need * 100 > (double)speed * BUSY_PERCENT) {
		doctor_warn(d, "%s; %s has %ld Mbit/s, of which that is over %d %%", what, card,
			    speed, BUSY_PERCENT);
		doctor_remedy(d, "get a faster network: at this load every retry makes the queue "
				 "longer");
	} else {
		doctor_ok(d, "%s; %s has %ld Mbit/s", what, card, speed);
	}
}

void
doctor_check_network(struct doctor *d)
{
	char card[32];
	long speed;

	if (!find_card(card)) {
		doctor_warn(d, "there is no default route, so no network card is looked at");
		doctor_remedy(d, "set one (ip route add default via GATEWAY), unless all mail "
				 "stays on this network");
		return;
	}
	speed = card_speed(card);
	if (d->plan.count > 0)
		judge_plan(d, card, speed);
	else if (speed > 0)
		doctor_ok(d,
			  "%s has %ld Mbit/s (--plan 1000000/h --size 50k compares it with a "
			  "volume)",
			  card, speed);
	else
		doctor_ok(d,
			  "%s does not tell its speed (--plan 1000000/h --size 50k tells what a "
			  "volume needs)",
			  card);
}

/* ---- clock ---- */

/* Queue ids count from 2020, retries and Date fields need the true time. */
void
doctor_check_clock(struct doctor *d)
{
	struct timex t = { .modes = 0 };
	time_t now = (time_t)(clock_wall_ms() / 1000);
	struct tm utc;
	char text[32];
	int r;

	gmtime_r(&now, &utc);
	if (strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc) == 0)
		text[0] = '\0';
	r = adjtimex(&t);
	if (utc.tm_year < 2025 - 1900) {
		doctor_fail(d, "%s cannot be right", text);
		doctor_remedy(d, "set it, and keep it right with chrony or systemd-timesyncd");
	} else if (r < 0) {
		doctor_warn(d,
			    "%s; whether it is synchronised, the kernel does not tell (adjtimex: "
			    "%m)",
			    text);
		doctor_remedy(d, "make sure that the host of this container keeps its clock right");
	} else if (r == TIME_ERROR || (t.status & STA_UNSYNC) != 0) {
		doctor_warn(d, "%s, not synchronised", text);
		doctor_remedy(d, "run chrony or systemd-timesyncd (in a container: on its host)");
	} else {
		doctor_ok(d, "%s, synchronised", text);
	}
}

/* ---- postmaster ---- */

/* RFC 5321 4.5.1 */
void
doctor_check_postmaster(struct doctor *d)
{
	struct conf_postmaster to;

	conf_postmaster_find(d->conf, &to);
	switch (to.kind) {
	case CONF_POSTMASTER_READ:
		doctor_ok(d, "mail for postmaster goes to %.*s@%.*s", SPAN_ARG(to.local),
			  SPAN_ARG(to.domain));
		return;
	case CONF_POSTMASTER_FALLBACK:
		doctor_warn(d, "%.*s@%.*s stands in no table, so its mail goes to %s/postmaster/",
			    SPAN_ARG(to.local), SPAN_ARG(to.domain), to.block->mailbox_base);
		break;
	case CONF_POSTMASTER_DISCARD:
		doctor_fail(d, "mail for postmaster is thrown away with domain \"%s\"",
			    to.block->title);
		break;
	case CONF_POSTMASTER_NOBODY:
		doctor_warn(d, "mail for postmaster goes nowhere: there is no domain block");
		break;
	}
	doctor_remedy(d, "write postmaster = \"someone@example.org\" with an address that a person "
			 "reads");
}
