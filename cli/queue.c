/* SPDX-License-Identifier: ISC
 *
 * `postern queue`: list, show and cat look; flush, hold, release, delete and retry act. The server filters and decides
 * what the caller may see; this prints.
 */
/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* Third party */
#include <jansson.h>

/* lib */
#include "base/id.h"
#include "base/log.h"
#include "ipc/plan.h"

/* this program */
#include "cli/cli.h"
#include "cli/client.h"

static const struct {
	const char *name;
	enum queue_verb verb;
	bool needs_what; /* ids or filters; without them it is a mistake */
	const char *past;
} verbs[] = {
	{ "list", QUEUE_LIST, false, NULL },
	{ "show", QUEUE_SHOW, true, NULL },
	{ "cat", QUEUE_CAT, true, NULL },
	{ "flush", QUEUE_FLUSH, false, "due now" },
	{ "hold", QUEUE_HOLD, true, "held" },
	{ "release", QUEUE_RELEASE, false, "released" },
	{ "delete", QUEUE_DELETE, true, "deleted" },
	{ "retry", QUEUE_RETRY, true, "due now" },
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static const char *const filters[] = {
	"sender", "rcpt", "domain", "site", "state", "older", "error"
};
#define FILTERS (sizeof(filters) / sizeof(filters[0]))

struct listing {
	bool is_json;
	bool is_cat;
	bool is_show; /* more of each recipient */
	uint64_t items;
};

static const char *
text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static const char *
time_text(json_int_t s, char *out, size_t n)
{
	time_t t = (time_t)s;
	struct tm tm;

	if (t == 0 || localtime_r(&t, &tm) == NULL ||
	    strftime(out, n, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(out, n, "-");
	return out;
}

static const char *
size_text(json_int_t bytes, char *out, size_t n)
{
	double v = (double)bytes;

	if (v < 1024)
		snprintf(out, n, "%lld", (long long)bytes);
	else if (v < 1024 * 1024)
		snprintf(out, n, "%.1fK", v / 1024);
	else
		snprintf(out, n, "%.1fM", v / (1024 * 1024));
	return out;
}

/* What `show` tells beyond the list. */
static void
print_way(const json_t *rcpt)
{
	const char *original = text_of(rcpt, "original_address"), *site = text_of(rcpt, "site");

	if (*original != '\0')
		printf("        was written to %s\n", original);
	printf("        %s", text_of(rcpt, "state"));
	if (*site != '\0')
		printf(", site %s", site);
	printf("\n");
}

static void
print_rcpt(const json_t *rcpt, bool is_show)
{
	json_int_t attempts = json_integer_value(json_object_get(rcpt, "attempts"));
	json_int_t due = json_integer_value(json_object_get(rcpt, "next_due"));
	const char *reason = text_of(rcpt, "delay_reason");
	char when[32];

	printf("    %s", text_of(rcpt, "address"));
	if (attempts > 0)
		printf("  attempt %lld", (long long)attempts);
	if (due > 0)
		printf("  next %s", time_text(due, when, sizeof(when)));
	printf("\n");
	if (is_show)
		print_way(rcpt);
	if (*reason != '\0')
		printf("        %s\n", reason);
}

static void
print_message(const json_t *m, bool is_show)
{
	char when[32], size[16];
	const char *sender = text_of(m, "sender");
	size_t i;
	json_t *rcpt;

	printf("%-13s  %-8s %7s  %s  %s\n", text_of(m, "queue_id"),
	       *text_of(m, "state") ? text_of(m, "state") : text_of(m, "queue_name"),
	       size_text(json_integer_value(json_object_get(m, "message_size")), size,
			 sizeof(size)),
	       time_text(json_integer_value(json_object_get(m, "arrival_time")), when,
			 sizeof(when)),
	       *sender != '\0' ? sender : "<>");
	json_array_foreach(json_object_get(m, "recipients"), i, rcpt) print_rcpt(rcpt, is_show);
}

static int
on_item(void *arg, const struct admin_answer *a)
{
	struct listing *l = arg;

	l->items++;
	if (l->is_cat || l->is_json) {
		fwrite(a->bytes.p, 1, a->bytes.n, stdout);
		if (!l->is_cat)
			putchar('\n');
	} else {
		json_error_t why;
		json_t *m = json_loadb(a->bytes.p, a->bytes.n, 0, &why);
		if (m == NULL) {
			fprintf(stderr, "postern: the server is of another version; restart it\n");
			return EX_PROTOCOL;
		}
		print_message(m, l->is_show);
		json_decref(m);
	}
	return ferror(stdout) ? EX_IOERR : 0;
}

static const char *
plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void
print_end(size_t v, const struct listing *l, const struct admin_answer *done)
{
	unsigned long long m = done->messages, r = done->recipients;

	if (l->is_json || l->is_cat)
		return;
	if (verbs[v].past != NULL)
		printf("%llu message%s, %llu recipient%s %s\n", m, plural(m), r, plural(r),
		       verbs[v].past);
	else if (verbs[v].verb == QUEUE_LIST && l->items == 0)
		printf("No message in the queue.\n");
	else if (verbs[v].verb == QUEUE_LIST)
		printf("%llu message%s, %llu recipient%s\n", m, plural(m), r, plural(r));
}

/* One word of the command line: an id or a filter. */
static int
take_word(struct buf *args, const char *word)
{
	const char *eq = strchr(word, '=');
	uint64_t id;

	if (eq == NULL && id_parse(span_of(word), &id) < 0) {
		fprintf(stderr,
			"postern: `%s` is neither a queue id (13 letters and digits) nor a filter "
			"like sender=...\n",
			word);
		return EX_USAGE;
	}
	if (eq != NULL) {
		size_t i = 0;
		while (i < FILTERS && (strlen(filters[i]) != (size_t)(eq - word) ||
				       strncmp(filters[i], word, (size_t)(eq - word)) != 0))
			i++;
		if (i == FILTERS) {
			fprintf(stderr,
				"postern: unknown filter `%.*s`; there are sender= rcpt= domain= "
				"site= state= older= error=\n",
				(int)(eq - word), word);
			return EX_USAGE;
		}
	}
	client_put_arg(args, word);
	return 0;
}

static int
take_number(const char *option, const char *text, uint64_t *out)
{
	if (text != NULL && span_to_u64(span_of(text), UINT64_MAX / 2, out) == 0)
		return 0;
	fprintf(stderr, "postern: %s needs a number\n", option);
	return EX_USAGE;
}

static int
parse_words(int argc, char **argv, struct admin_request *r, struct listing *l, struct buf *args)
{
	int x = 0;

	for (int i = 0; i < argc && x == 0; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			l->is_json = true;
		} else if (strcmp(argv[i], "--limit") == 0 || strcmp(argv[i], "--offset") == 0) {
			x = take_number(argv[i], i + 1 < argc ? argv[i + 1] : NULL,
					argv[i][2] == 'l' ? &r->limit : &r->offset);
			i++;
		} else if (argv[i][0] == '-') {
			fprintf(stderr,
				"postern: unknown option `%s`; there are --json, --limit N, "
				"--offset N\n",
				argv[i]);
			x = EX_USAGE;
		} else {
			x = take_word(args, argv[i]);
		}
	}
	return x;
}

int
cmd_queue(const struct cli *cli, int argc, char **argv)
{
	struct admin_request r = { .kind = ADMIN_QUEUE };
	struct admin_answer done = { 0 };
	struct listing l = { 0 };
	struct buf args;
	size_t v = 0;
	int x;

	argc--;
	argv++;
	if (argc > 0 && argv[0][0] != '-' && strchr(argv[0], '=') == NULL) {
		while (v < VERBS && strcmp(verbs[v].name, argv[0]) != 0)
			v++;
		if (v == VERBS) {
			fprintf(stderr,
				"postern: `queue %s`: there are list, show, cat, flush, hold, "
				"release, delete, retry\n",
				argv[0]);
			return EX_USAGE;
		}
		argc--;
		argv++;
	}
	r.verb = (uint8_t)verbs[v].verb;
	l.is_cat = verbs[v].verb == QUEUE_CAT;
	l.is_show = verbs[v].verb == QUEUE_SHOW;
	buf_init(&args, ADMIN_REQUEST_MAX - 64);
	if ((x = parse_words(argc, argv, &r, &l, &args)) == 0 && verbs[v].needs_what &&
	    args.n == 0) {
		fprintf(stderr,
			"postern: `queue %s` needs queue ids or filters, for example "
			"sender=*@example.org\n",
			verbs[v].name);
		x = EX_USAGE;
	}
	if (x == 0) {
		r.args = buf_span(&args);
		x = client_ask(cli->conf->directories.run, &r, on_item, &l, &done);
		if (x == 0)
			print_end(v, &l, &done);
	}
	buf_clear(&args);
	return x;
}
