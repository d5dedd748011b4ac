/* SPDX-License-Identifier: ISC
 *
 * Where the log goes: opens the file or the socket of syslog for logd, anew on USR1 or when syslogd was restarted; and
 * carries master's own lines to logd, or, while there is none, keeps them or writes them to stderr. Runs in master, as root.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"

/* this program */
#include "master/child.h"

#define WAITING_MAX (64 * 1024)
#define SYSLOG_SOCKET "/dev/log"

/* ---- master's own lines ---- */

static struct master *self;
static struct buf waiting; /* (bytes record)*, until logd is up */
static uint64_t lost_lines;
static bool is_in_sink;

static struct child *
find_logd(void)
{
	LIST_EACH(it, &self->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (c->kind == PROC_LOGD)
			return c;
	}
	return NULL;
}

static void
sink(void *arg, struct span record)
{
	struct child *logd = find_logd();
	bool is_up = logd != NULL && (logd->state == CHILD_UP || logd->state == CHILD_LEAVING) &&
		     logd->chan != NULL;
	bool is_coming = logd != NULL && (child_is_running(logd) || timer_is_set(&logd->timer));

	(void)arg;
	if (is_up && !is_in_sink && !chan_is_full(logd->chan)) {
		is_in_sink = true;
		chan_send(logd->chan, MSG_LOG_RECORD, &(struct msg_log_record){ .record = record });
		is_in_sink = false;
	} else if (!is_coming || is_in_sink) {
		log_stderr(record);
	} else if (waiting.n + record.n + 4 <= WAITING_MAX) {
		buf_put_bytes(&waiting, record);
	} else {
		lost_lines++;
	}
}

/* logd never came: the lines are not lost. */
static void
flush_to_stderr(void)
{
	struct cur c = cur_of(buf_span(&waiting));

	while (cur_left(&c) > 0)
		log_stderr(cur_bytes(&c, LOG_EVENT_MAX));
	buf_reset(&waiting);
}

void
logfile_init(struct master *m)
{
	self = m;
	buf_init(&waiting, WAITING_MAX);
	log_set_sink(sink, NULL);
	atexit(flush_to_stderr);
}

void
logfile_logd_up(struct master *m)
{
	struct child *logd = find_logd();
	struct cur c = cur_of(buf_span(&waiting));
	uint64_t lost = lost_lines;

	(void)m;
	while (cur_left(&c) > 0) {
		struct span record = cur_bytes(&c, LOG_EVENT_MAX);
		chan_send(logd->chan, MSG_LOG_RECORD, &(struct msg_log_record){ .record = record });
	}
	buf_reset(&waiting);
	lost_lines = 0;
	if (lost > 0)
		log_warn("%llu log lines lost", (unsigned long long)lost);
}

/* ---- file and socket ---- */

/* The log file for appending. It may lie in a folder of another user: only a plain file of one name is taken. */
static int
open_file(const char *path)
{
	int fd = open(path,
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW |
			      O_NONBLOCK,
		      0640);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1)
		return fd;
	fd_close(&fd);
	return -EINVAL;
}

static int
open_syslog(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = SYSLOG_SOCKET };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), errnum;

	if (fd >= 0 && connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0)
		return fd;
	errnum = errno;
	fd_close(&fd);
	return -errnum;
}

static bool
is_syslog(const struct conf *conf)
{
	return strcmp(conf->log.to, "syslog") == 0;
}

static bool
is_file(const struct conf *conf)
{
	return !is_syslog(conf) && strcmp(conf->log.to, "stderr") != 0;
}

int
logfile_check(const struct conf *conf, struct buf *why)
{
	int fd;

	if (!is_file(conf))
		return 0;
	fd = open_file(conf->log.to);
	if (fd < 0) {
		buf_printf(why,
			   "log.to = \"%s\": %s; name syslog, stderr or a plain file in a folder "
			   "that exists",
			   conf->log.to,
			   fd == -EINVAL ? "is no plain file of one name" : strerror(-fd));
		return E_CONFIG;
	}
	fd_close(&fd);
	return 0;
}

void
logfile_give(struct master *m, struct chan *to)
{
	static bool is_warned;
	const char *name = is_file(m->conf) ? "log" : "syslog";
	int fd;

	if (!is_file(m->conf) && (!is_syslog(m->conf) || !m->opts.is_daemon))
		return;
	fd = is_file(m->conf) ? open_file(m->conf->log.to) : open_syslog();
	if (fd < 0) {
		if (!is_warned)
			log_warn("no log: %s: %s; lines are kept for a while, then lost; `log { to "
				 "= \"FILE\" }` names a file",
				 is_file(m->conf) ? m->conf->log.to : SYSLOG_SOCKET, strerror(-fd));
		is_warned = true;
		return;
	}
	is_warned = false;
	chan_send(to, MSG_FILE_ADD, &(struct msg_file_add){ .name = span_of(name), .fd = fd });
}

void
logfile_reopen(struct master *m)
{
	struct child *logd = child_find(m, PROC_LOGD, 0);

	if (logd != NULL && logd->chan != NULL)
		logfile_give(m, logd->chan);
}
