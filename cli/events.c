/* SPDX-License-Identifier: ISC
 *
 * `postern events`: the event log as JSON lines, page by page; acknowledged, if that is wanted, after each page was
 * written out. Asks the running server; reads no file.                                              RFC 8259, RFC 3339
 */
/* System */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* lib */
#include "base/id.h"
#include "base/json.h"
#include "spool/event.h"

/* this program */
#include "cli/cli.h"
#include "cli/client.h"

#define FOLLOW_MS 300 /* between two looks for more */

struct reader {
	const char *run_dir;
	struct event_cursor at; /* serial 0: the reader's cursor */
	bool is_empty;		/* the last page */
	struct buf line;
};

/* --- one line -------------------------------------------------------------------------------- */

static void
put_time(struct buf *b, uint64_t ms)
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;

	gmtime_r(&t, &tm);
	buf_printf(b, ",\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03uZ\"", tm.tm_year + 1900,
		   tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		   (unsigned)(ms % 1000));
}

/* "12.0.1": message number, index of the recipient, attempt; "12" for what is of the whole message. */
static void
put_id(struct buf *b, const struct event *e)
{
	char qid[ID_TEXT_LEN + 1];

	if (e->number == 0)
		return;
	buf_printf(b, ",\"id\":\"%llu", (unsigned long long)e->number);
	if (e->index_plus_1 > 0)
		buf_printf(b, ".%llu.%llu", (unsigned long long)e->index_plus_1 - 1,
			   (unsigned long long)e->attempt);
	buf_putc(b, '"');
	if (e->qid != 0) {
		id_format(e->qid, qid);
		buf_printf(b, ",\"qid\":\"%s\"", qid);
	}
}

static bool
is_in_id(const char *name)
{
	return strcmp(name, "at_ms") == 0 || strcmp(name, "number") == 0 ||
	       strcmp(name, "qid") == 0 || strcmp(name, "index_plus_1") == 0;
}

static void
put_number(struct buf *b, const char *name, uint64_t v)
{
	if (v != 0 && !is_in_id(name))
		buf_printf(b, ",\"%s\":%llu", name, (unsigned long long)v);
}

static void
put_text(struct buf *b, const char *name, struct span s)
{
	if (s.n == 0)
		return;
	buf_printf(b, ",\"%s\":", name);
	json_put_string(b, s);
}

static void
put_line(struct buf *b, uint64_t serial, const struct event *e)
{
	buf_printf(b, "{\"serial\":%llu,\"event\":\"%s\"", (unsigned long long)serial,
		   event_kind_name(e->kind));
	put_time(b, e->at_ms);
	put_id(b, e);
#define NUMBER(name, type) put_number(b, #name, e->name);
#define TEXT(name, type) put_text(b, #name, e->name);
	EVENT_FIELDS(NUMBER, TEXT)
#undef NUMBER
#undef TEXT
	buf_puts(b, "}\n");
}

/* --- pages ----------------------------------------------------------------------------------- */

static int
on_page(void *arg, const struct admin_answer *a)
{
	struct reader *r = arg;
	struct span in = a->bytes;
	uint64_t serial;
	struct event e;
	size_t need;
	int n;

	for (; in.n > 0; in = span_sub(in, (size_t)n, SIZE_MAX)) {
		if ((n = event_get(in, &serial, &e, &need)) <= 0) {
			fprintf(stderr, "postern: the server is of another version; restart it\n");
			return EX_PROTOCOL;
		}
		buf_reset(&r->line);
		put_line(&r->line, serial, &e);
		fwrite(r->line.p, 1, r->line.n, stdout);
	}
	r->is_empty = false;
	return 0;
}

/* Print one page. What did not get through to stdout is never acknowledged. */
static int
next_page(struct reader *r)
{
	struct admin_answer done;
	int x;

	r->is_empty = true;
	x = client_ask(r->run_dir,
		       &(struct admin_request){
			       .kind = ADMIN_EVENTS, .offset = r->at.serial, .limit = r->at.place },
		       on_page, r, &done);
	if (x != 0)
		return x;
	if (fflush(stdout) != 0) {
		perror("postern: output");
		return EX_IOERR;
	}
	r->at = (struct event_cursor){ done.messages, done.recipients };
	return 0;
}

static int
no_answer(void *arg, const struct admin_answer *a)
{
	(void)arg;
	(void)a;
	return EX_PROTOCOL;
}

static int
acknowledge(const struct reader *r)
{
	return client_ask(r->run_dir,
			  &(struct admin_request){ .kind = ADMIN_EVENTS_ACK,
						   .offset = r->at.serial,
						   .limit = r->at.place },
			  no_answer, NULL, NULL);
}

int
cmd_events(const struct cli *cli, int argc, char **argv)
{
	struct timespec nap = { .tv_nsec = FOLLOW_MS * 1000000L }, rest = { .tv_sec = 1 };
	bool is_following = cli_has(argc, argv, "--follow"),
	     is_acking = cli_has(argc, argv, "--ack");
	struct reader r = { .run_dir = cli->conf->directories.run };
	int x;

	buf_init(&r.line, 16 * EVENT_BODY_MAX);
	do {
		if ((x = next_page(&r)) == 0 && !r.is_empty && is_acking)
			x = acknowledge(&r);
		/* A part of the server restarts: the same page again, or the next one. */
		if (is_following && (r.is_empty || x == EX_TEMPFAIL))
			nanosleep(x == 0 ? &nap : &rest, NULL);
	} while (is_following ? x == 0 || x == EX_TEMPFAIL : x == 0 && !r.is_empty);
	buf_clear(&r.line);
	return x;
}
