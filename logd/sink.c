/* SPDX-License-Identifier: ISC
 *
 * Where log lines go. Lines of one turn of the loop go out with one write; syslog gets one datagram per line (RFC 3164).
 * A disk that is full or a syslogd that does not listen costs lines, never memory or anyone's time: what is lost is
 * counted and said. Runs in logd; the descriptors come from master.
 */
/* System */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* lib */
#include "base/buf.h"
#include "base/fd.h"
#include "base/mem.h"

/* this program */
#include "logd/sink.h"

#define WAITING_MAX (1024 * 1024)

struct sink {
	enum sink_kind kind;
	int fd;
	struct buf waiting; /* lines, each with its newline */
	uint64_t lost;
	int lost_errno;
	bool is_broken;
};

struct sink *
sink_new(void)
{
	struct sink *s = mem_zalloc(sizeof(*s));

	s->fd = -1;
	buf_init(&s->waiting, WAITING_MAX);
	return s;
}

void
sink_free(struct sink **s)
{
	if (*s == NULL)
		return;
	fd_close(&(*s)->fd);
	buf_clear(&(*s)->waiting);
	mem_free(*s);
	*s = NULL;
}

void
sink_set(struct sink *s, enum sink_kind kind, int fd)
{
	sink_flush(s);
	fd_close(&s->fd);
	s->kind = kind;
	s->fd = fd;
	s->is_broken = false;
}

enum sink_kind
sink_kind(const struct sink *s)
{
	return s->kind;
}

bool
sink_is_broken(const struct sink *s)
{
	return s->fd < 0 || s->is_broken;
}

void
sink_put(struct sink *s, struct span line)
{
	if (s->waiting.n + line.n + 1 > WAITING_MAX && !sink_flush(s) &&
	    s->waiting.n + line.n + 1 > WAITING_MAX) {
		s->lost++;
		return;
	}
	buf_put_span(&s->waiting, line);
	buf_putc(&s->waiting, '\n');
}

static uint64_t
count_lines(struct span s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

/* Everything at once. What a full disk does not take is lost: the next lines are as important. */
static void
flush_file(struct sink *s)
{
	struct span left = buf_span(&s->waiting);

	while (left.n > 0) {
		ssize_t r = write(s->fd, left.p, left.n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0) {
			s->lost += count_lines(left);
			s->lost_errno = errno;
			break;
		}
		left = span_sub(left, (size_t)r, left.n);
	}
	buf_reset(&s->waiting);
}

static void
flush_syslog(struct sink *s)
{
	struct span left = buf_span(&s->waiting), line;
	size_t done = 0;

	while (span_next(&left, '\n', &line) && line.n > 0) {
		ssize_t r = send(s->fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r < 0 && errno == EINTR)
			r = send(s->fd, line.p, line.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (r < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
			break;
		if (r < 0 && errno == EMSGSIZE) {
			s->lost++;
			s->lost_errno = errno;
		} else if (r < 0) {
			s->is_broken = true;
			break;
		}
		done += line.n + 1;
	}
	buf_drop(&s->waiting, done);
}

/* Say what was lost as soon as lines go out again. */
static void
report_lost(struct sink *s)
{
	struct buf line;

	buf_init(&line, 256);
	if (s->kind == SINK_SYSLOG)
		buf_puts(&line, "<20>postern/logd: ");
	buf_printf(&line, "%llu log lines lost%s%s\n", (unsigned long long)s->lost,
		   s->lost_errno != 0 ? ": " : "",
		   s->lost_errno != 0 ? strerror(s->lost_errno) : "");
	ssize_t r = s->kind == SINK_SYSLOG
			    ? send(s->fd, line.p, line.n - 1, MSG_DONTWAIT | MSG_NOSIGNAL)
			    : write(s->fd, line.p, line.n);
	if (r > 0) {
		s->lost = 0;
		s->lost_errno = 0;
	}
	buf_clear(&line);
}

bool
sink_flush(struct sink *s)
{
	if (s->fd < 0 || s->is_broken)
		return s->waiting.n == 0;
	if (s->lost > 0)
		report_lost(s);
	if (s->waiting.n == 0)
		return true;
	if (s->kind == SINK_SYSLOG)
		flush_syslog(s);
	else
		flush_file(s);
	return s->waiting.n == 0;
}
