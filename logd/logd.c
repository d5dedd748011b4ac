/* SPDX-License-Identifier: ISC
 *
 * Writes the log: takes records from all siblings and from master, renders them in the configured format, and hands the
 * lines of one turn of the loop to the sink. Which file or socket that is, master decides and opens (FILE_ADD "log",
 * "syslog"); USR1 brings a new descriptor. Its own user, no file system, no sockets but those it was given.
 */
/* System */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/timer.h"

/* this program */
#include "logd/event.h"
#include "logd/logd.h"
#include "logd/sink.h"

#define LINE_MAX_BYTES (6 * LOG_EVENT_MAX + 256)
#define RETRY_MS 1000	  /* syslog is slow or gone */
#define STOP_WAIT_MS 1000 /* for the last lines of siblings */
#define FACILITY_MAIL 2

struct logd {
	struct svc *svc;
	struct sink *sink;
	struct buf line;
	struct timer_set *timers;
	struct timer flush; /* at the end of this turn of the loop */
	struct timer retry, stop;
	bool is_asking; /* LOG_WANT was sent */
	char host[65];	/* for lines as Postfix writes them */
};

static struct logd self;

/* ---- rendering ---- */

static void
put_pri(struct buf *out, const struct event *ev)
{
	static const int severity[LOG_LEVEL_COUNT] = { 7, 6, 4, 3 };

	buf_printf(out, "<%d>", FACILITY_MAIL << 3 | severity[ev->level]);
}

static void
finish_line(struct logd *l)
{
	if (buf_check(&l->line) == 0)
		sink_put(l->sink, buf_span(&l->line));
	if (!timer_is_set(&l->flush))
		timer_start(&l->flush, 0);
}

/* What stands in front of a line: the time and the program, in the way of the sink and of the format. */
static void
begin_line(struct logd *l, const struct event *ev, const char *family, const char *program)
{
	buf_reset(&l->line);
	if (sink_kind(l->sink) == SINK_SYSLOG) {
		put_pri(&l->line, ev);
		event_put_syslog_time(&l->line, ev->wall_us);
		buf_printf(&l->line, " %s/%s[%u]: ", family, program, ev->pid);
		return;
	}
	if (strcmp(family, "postfix") == 0) {
		event_put_syslog_time(&l->line, ev->wall_us);
		buf_printf(&l->line, " %s postfix/%s[%u]: ", l->host, program, ev->pid);
		return;
	}
	event_put_iso_time(&l->line, ev->wall_us);
	buf_printf(&l->line, " %s[%u]: ", program, ev->pid);
}

static void
put_postfix_line(void *arg, const char *program, struct span text)
{
	const struct event *ev = arg;

	begin_line(&self, ev, "postfix", program);
	buf_put_span(&self.line, text);
	finish_line(&self);
}

static void
put_event(struct logd *l, const struct event *ev)
{
	int format = l->svc->conf->log.format;

	if ((int)ev->level < l->svc->conf->log.level)
		return;
	if (format == CONF_LOG_FORMAT_POSTFIX) {
		event_put_postfix(ev, put_postfix_line, (void *)(uintptr_t)ev);
		return;
	}
	if (format == CONF_LOG_FORMAT_TEXT || sink_kind(l->sink) == SINK_SYSLOG)
		begin_line(l, ev, "postern", ev->process);
	else
		buf_reset(&l->line);
	if (format == CONF_LOG_FORMAT_JSON)
		event_put_json(&l->line, ev);
	else
		event_put_text(&l->line, ev);
	finish_line(l);
}

static void
take_record(struct logd *l, struct span record, enum proc_id kind, uint32_t pid)
{
	struct event ev;

	if (event_decode(record, proc_info(kind)->name, pid, &ev) < 0) {
		log_warn("%s[%u] sent a log record that cannot be read", proc_info(kind)->name,
			 pid);
		return;
	}
	put_event(l, &ev);
}

/* Lines of logd itself. */
static void
own_record(void *arg, struct span record)
{
	struct event ev;

	if (event_decode(record, proc_info(PROC_LOGD)->name, (uint32_t)getpid(), &ev) == 0)
		put_event(arg, &ev);
}

/* ---- the sink ---- */

/* Ask master for a new socket; asked again as long as none works. */
static void
want_sink(struct logd *l)
{
	if (!l->is_asking)
		chan_send(l->svc->master, MSG_LOG_WANT, &(struct msg_log_want){ 0 });
	l->is_asking = true;
}

static void
on_flush(void *arg)
{
	struct logd *l = arg;

	if (!sink_flush(l->sink) && !timer_is_set(&l->retry))
		timer_start(&l->retry, RETRY_MS);
	if (sink_is_broken(l->sink))
		want_sink(l);
}

static void
on_retry(void *arg)
{
	struct logd *l = arg;

	l->is_asking = false;
	on_flush(l);
}

static void
use_stderr(struct logd *l)
{
	sink_set(l->sink, SINK_FILE, fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
}

/* To stderr goes what is meant for it, and in the foreground what is meant for syslog. */
static bool
is_to_stderr(const struct svc *s)
{
	const char *to = s->conf->log.to;

	return strcmp(to, "stderr") == 0 || (s->is_foreground && strcmp(to, "syslog") == 0);
}

static void
take_fd(struct logd *l, const char *name, int fd)
{
	if (is_to_stderr(l->svc) || (strcmp(name, "log") != 0 && strcmp(name, "syslog") != 0)) {
		fd_close(&fd);
		return;
	}
	sink_set(l->sink, strcmp(name, "syslog") == 0 ? SINK_SYSLOG : SINK_FILE, fd);
	l->is_asking = false;
}

/* ---- the frame ---- */

static int
on_prepare(struct svc *s)
{
	(void)s;
	tzset();
	if (gethostname(self.host, sizeof(self.host) - 1) < 0)
		memcpy(self.host, "localhost", sizeof("localhost"));
	self.host[strcspn(self.host, ".")] = '\0';
	return 0;
}

static void
on_stop_timer(void *arg)
{
	struct logd *l = arg;

	sink_flush(l->sink);
	svc_exit(l->svc);
}

static int
on_start(struct svc *s)
{
	struct logd *l = &self;
	int fd;

	l->svc = s;
	l->sink = sink_new();
	l->timers = timer_set_new(s->loop);
	timer_init(&l->flush, l->timers, on_flush, l);
	timer_init(&l->retry, l->timers, on_retry, l);
	timer_init(&l->stop, l->timers, on_stop_timer, l);
	buf_init(&l->line, LINE_MAX_BYTES);
	if (is_to_stderr(s))
		use_stderr(l);
	else if ((fd = svc_file_take(s, "log", NULL)) >= 0)
		take_fd(l, "log", fd);
	else if ((fd = svc_file_take(s, "syslog", NULL)) >= 0)
		take_fd(l, "syslog", fd);
	else
		want_sink(l);
	log_set_sink(own_record, l);
	return 0;
}

static void
on_peer(struct svc *s, struct chan *c)
{
	/* Once for each sibling, not once for each line. */
	chan_set_data(c, (void *)(uintptr_t)svc_peer_pid(s, c));
}

static bool
has_peers(struct svc *s)
{
	for (unsigned kind = 0; kind < PROC_COUNT; kind++) {
		if (svc_peer(s, (enum proc_id)kind, 0) != NULL)
			return true;
	}
	return false;
}

static void
on_peer_lost(struct svc *s, struct chan *c, bool is_crash, bool is_final)
{
	(void)c;
	(void)is_crash;
	(void)is_final;
	/* The last lines of the last sibling are in. */
	if (s->is_stopping && !has_peers(s))
		timer_start(&self.stop, 0);
}

static void
on_msg(struct svc *s, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)s;
	if (type != MSG_LOG_RECORD)
		return;
	if (chan_kind(c) == PROC_MASTER)
		take_record(&self, msg->log_record.record, PROC_MASTER, (uint32_t)getppid());
	else
		take_record(&self, msg->log_record.record, chan_kind(c),
			    (uint32_t)(uintptr_t)chan_data(c));
}

static void
on_file(struct svc *s, const char *name, uint64_t mtime_ns, int fd)
{
	(void)s;
	(void)mtime_ns;
	take_fd(&self, name, fd);
}

static void
on_conf(struct svc *s, struct conf *old)
{
	/* A new file or socket comes as FILE_ADD. */
	if (is_to_stderr(s) && strcmp(s->conf->log.to, old->log.to) != 0)
		use_stderr(&self);
}

static void
on_stop(struct svc *s, bool is_reload, uint32_t grace_ms)
{
	(void)is_reload;
	timer_start(&self.stop, !has_peers(s)		  ? 0
				: grace_ms < STOP_WAIT_MS ? grace_ms
							  : STOP_WAIT_MS);
}

const struct svc_ops logd_ops = {
	.kinds = P(LOGD),
	.prepare = on_prepare,
	.start = on_start,
	.on_peer = on_peer,
	.on_peer_lost = on_peer_lost,
	.on_msg = on_msg,
	.on_file = on_file,
	.on_conf = on_conf,
	.on_stop = on_stop,
};
