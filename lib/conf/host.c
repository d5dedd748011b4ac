/* SPDX-License-Identifier: ISC
 *
 * The name of this host, without NSS: master is root and loads no modules of others. uname(2), then the text of
 * /etc/hosts; /etc/mailname for the origin. Runs in master and the tools. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>
/* lib */
#include "base/fd.h"
#include "base/mem.h"
#include "conf/addr.h"
#include "conf/host.h"

enum { HOST_FILE_MAX_BYTES = 1 << 20 };

static bool
next_word(struct span *line, struct span *word)
{
	while (line->n > 0 && strchr(" \t\r\n", line->p[0]) != NULL)
		*line = span_sub(*line, 1, SIZE_MAX);
	*word = *line;
	while (line->n > 0 && strchr(" \t\r\n", line->p[0]) == NULL)
		*line = span_sub(*line, 1, SIZE_MAX);
	word->n -= line->n;
	return word->n > 0;
}

/* First full name of a line of the hosts file, if nodename is among its names. */
static struct span
full_name_of_line(struct span line, struct span nodename)
{
	ptrdiff_t comment = span_chr(line, '#');
	struct span word, full = SPAN_NONE;
	bool is_ours = false;

	if (comment >= 0)
		line.n = (size_t)comment;
	if (!next_word(&line, &word)) /* the address */
		return SPAN_NONE;
	while (next_word(&line, &word)) {
		is_ours = is_ours || span_ieq(word, nodename);
		if (full.n == 0 && span_chr(word, '.') > 0 && conf_is_host_name(word))
			full = word;
	}
	return is_ours ? full : SPAN_NONE;
}

char *
host_full_name(const char *nodename, struct span hosts)
{
	struct span node = span_of(nodename), line, full;

	if (span_chr(node, '.') > 0)
		return mem_dup_span(node);
	while (span_next(&hosts, '\n', &line)) {
		full = full_name_of_line(line, node);
		if (full.n > 0)
			return mem_dup_span(full);
	}
	return mem_dup_span(node);
}

struct span
host_mailname(struct span text)
{
	struct span line, word;

	while (span_next(&text, '\n', &line)) {
		if (next_word(&line, &word) && word.p[0] != '#' && conf_is_host_name(word))
			return word;
	}
	return SPAN_NONE;
}

/* What cannot be read is empty: both files are optional. */
static void
read_optional(const char *path, struct buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0 || fd_read_file(fd, HOST_FILE_MAX_BYTES, out) < 0)
		buf_reset(out);
	fd_close(&fd);
}

static char *
this_host(void)
{
	struct utsname host;
	struct buf hosts;
	char *name;

	if (uname(&host) < 0 || !conf_is_host_name(span_of(host.nodename)))
		return mem_strdup("localhost");
	buf_init(&hosts, HOST_FILE_MAX_BYTES);
	read_optional("/etc/hosts", &hosts);
	name = host_full_name(host.nodename, buf_span(&hosts));
	buf_clear(&hosts);
	return name;
}

void
host_complete(const struct conf_source *src, struct conf *c)
{
	struct buf mailname;
	struct span origin;

	if (c->hostname[0] == '\0') {
		mem_free(c->hostname);
		c->hostname = this_host();
		if (src != NULL && strchr(c->hostname, '.') == NULL)
			problem_warn(src, 0,
				     "hostname: the name of this host, %s, is not fully qualified "
				     "and other "
				     "servers may refuse mail from it; write hostname = "
				     "\"NAME.DOMAIN\"",
				     c->hostname);
	}
	if (c->origin[0] != '\0')
		return;
	buf_init(&mailname, HOST_FILE_MAX_BYTES);
	read_optional("/etc/mailname", &mailname);
	origin = host_mailname(buf_span(&mailname));
	mem_free(c->origin);
	c->origin = origin.n > 0 ? mem_dup_span(origin) : mem_strdup(c->hostname);
	buf_clear(&mailname);
}
