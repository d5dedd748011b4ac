/* SPDX-License-Identifier: ISC
 *
 * `postern trace`: everything known about a message or the recent mail of an address: the lines of the log that name
 * it, those of the sessions it came in by, and what is still queued. Reads the log with its caller's own rights.
 */
/* System */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* lib */
#include "base/id.h"
#include "base/map.h"

/* this program */
#include "cli/cli.h"

#define IDS_MAX 1000 /* queue ids followed for an address */
#define SYSLOG_FILE "/var/log/mail.log"

static char here[] = "";

/* The value behind qid= (text), "qid":" (json), "]: " (postfix). Copied to out. False: there is none. */
static bool
find_qid(const char *line, char out[ID_TEXT_LEN + 1])
{
	static const char *const keys[] = { "qid=", "\"qid\":\"", "\"qid\": \"", "]: " };
	uint64_t id;

	for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *p = strstr(line, keys[i]);
		if (p == NULL || strlen(p += strlen(keys[i])) < ID_TEXT_LEN)
			continue;
		memcpy(out, p, ID_TEXT_LEN);
		out[ID_TEXT_LEN] = '\0';
		if (id_parse(span_of(out), &id) == 0)
			return true;
	}
	return false;
}

/* Queue ids of the lines that name the address. */
static void
collect_ids(FILE *f, const char *address, struct map *ids)
{
	char *line = NULL, qid[ID_TEXT_LEN + 1];
	size_t cap = 0;

	while (ids->count < IDS_MAX && getline(&line, &cap, f) > 0) {
		if (strcasestr(line, address) != NULL && find_qid(line, qid))
			map_put(ids, span_of(qid), here);
	}
	free(line);
}

static unsigned
print_lines(FILE *f, const char *word, const struct map *ids)
{
	char *line = NULL, qid[ID_TEXT_LEN + 1];
	size_t cap = 0;
	unsigned n = 0;

	while (getline(&line, &cap, f) > 0) {
		if (strcasestr(line, word) == NULL &&
		    !(find_qid(line, qid) && map_get(ids, span_of(qid)) != NULL))
			continue;
		fputs(line, stdout);
		n++;
	}
	free(line);
	return n;
}

static int
trace_log(const char *path, const char *word)
{
	FILE *f = fopen(path, "re");
	struct map ids;
	unsigned n;

	if (f == NULL) {
		fprintf(stderr, "postern: %s: %s; trace reads the log with your rights\n", path,
			strerror(errno));
		return errno == EACCES ? EX_NOPERM : EX_NOINPUT;
	}
	map_init(&ids);
	if (strchr(word, '@') != NULL)
		collect_ids(f, word, &ids);
	rewind(f);
	n = print_lines(f, word, &ids);
	map_clear(&ids);
	fclose(f);
	if (n == 0)
		printf("%s names %s nowhere.\n", path, word);
	return EX_OK;
}

int
cmd_trace(const struct cli *cli, int argc, char **argv)
{
	const char *to = cli->conf->log.to;
	uint64_t id;
	char filter[512];
	int x = 0, y;

	if (argc != 2 || argv[1][0] == '-') {
		fprintf(stderr, "postern: usage: postern trace QUEUE-ID | ADDRESS\n");
		return EX_USAGE;
	}
	if (strcmp(to, "stderr") == 0)
		printf("The log goes to the terminal of the server: see there. What is queued:\n");
	else
		x = trace_log(strcmp(to, "syslog") == 0 ? SYSLOG_FILE : to, argv[1]);
	if (id_parse(span_of(argv[1]), &id) == 0) {
		char *show[] = { (char[]){ "queue" }, (char[]){ "show" }, argv[1], NULL };
		y = cmd_queue(cli, 3, show);
		if (y == EX_DATAERR)
			y = 0; /* gone: the log told the rest */
	} else {
		snprintf(filter, sizeof(filter), "rcpt=%s", argv[1]);
		char *list[] = { (char[]){ "queue" }, (char[]){ "list" }, filter, NULL };
		y = cmd_queue(cli, 3, list);
	}
	return x != 0 ? x : y;
}
