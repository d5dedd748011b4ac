/* SPDX-License-Identifier: ISC
 *
 * The front of `postern`: finds the subcommand, takes -c and --help from anywhere on the line, refuses what is unknown
 * with a suggestion. What a subcommand does stands in the file of its group. */

/* System */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"
#include "conf/table.h"
/* this program */
#include "cli/cli.h"

#define DEFAULT_CONF "/etc/postern/postern.conf"

enum conf_need { CONF_NEED_OWN, CONF_NEED_BEST };

static const struct command {
	const char *name;
	enum conf_need need;
	const char *options;
	const char *args;
	const char *what;
	const char *help;
	int (*run)(const struct cli *cli, int argc, char **argv);
} commands[] = {
#define COMMAND(name, conf, options, args, what, help) \
	{ #name, CONF_NEED_##conf, options, args, what, help, cmd_##name },
#include "cli/commands.def"
#undef COMMAND
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]), COLUMN = 10 };

/* The command line, taken apart. */
struct line {
	const char *conf_path;
	bool wants_help, wants_version;
	int argc; /* words that are left: the command and what is its own */
	char **argv;
};

static void
print_usage(FILE *f)
{
	fprintf(f, "usage: postern COMMAND [-c FILE] ...\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(f, "  %-*s %s\n", COLUMN, commands[i].name, commands[i].what);
	fprintf(f, "\n  -c FILE     configuration; default: $POSTERN_CONF, else " DEFAULT_CONF "\n"
		   "  --help      also behind a command\n  --version\n");
}

static void
print_help(const struct command *c)
{
	printf("usage: postern %s", c->name);
	for (struct span all = span_of(c->options), one; span_next(&all, ' ', &one);)
		printf(" [%.*s]", SPAN_ARG(one));
	printf("%s%s [-c FILE]\n\n%s", *c->args != '\0' ? " " : "", c->args, c->help);
}

/* The nearest of a list of names; empty: none is near. */
static struct span
nearest(struct span misspelt, struct span names, char end_of_name)
{
	struct span best = SPAN_NONE, one;
	size_t best_distance = SIZE_MAX;

	while (span_next(&names, ' ', &one)) {
		ptrdiff_t end = span_chr(one, end_of_name);
		size_t distance;

		if (end >= 0)
			one.n = (size_t)end;
		distance = conf_edit_distance(misspelt, one);
		if (distance < best_distance) {
			best = one;
			best_distance = distance;
		}
	}
	return conf_is_near(misspelt, best_distance) ? best : SPAN_NONE;
}

static const struct command *
find_command(const char *name)
{
	struct buf names;
	struct span near;

	for (size_t i = 0; i < COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	buf_init(&names, 4096);
	for (size_t i = 0; i < COMMANDS; i++)
		buf_printf(&names, "%s ", commands[i].name);
	near = nearest(span_of(name), buf_span(&names), ' ');
	if (near.n > 0)
		fprintf(stderr, "postern: unknown command `%s`; did you mean `%.*s`?\n", name,
			SPAN_ARG(near));
	else
		fprintf(stderr,
			"postern: unknown command `%s`; `postern --help` lists those that there "
			"are\n",
			name);
	buf_clear(&names);
	return NULL;
}

/* Words that hold everywhere are taken, all others are kept. 0 or EX_USAGE. */
static int
take_line(int argc, char **argv, struct line *l)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
			l->conf_path = argv[++i];
		} else if (strcmp(argv[i], "-c") == 0) {
			fprintf(stderr, "postern: -c without a file; write -c FILE\n");
			return EX_USAGE;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			l->wants_help = true;
		} else if (strcmp(argv[i], "--version") == 0) {
			l->wants_version = true;
		} else {
			l->argv[l->argc++] = argv[i];
		}
	}
	return 0;
}

/* The option of a command's list: -1 unknown, 0 a flag, 1 takes a value. */
static int
option_kind(const struct command *c, struct span name)
{
	struct span all = span_of(c->options), one;

	while (span_next(&all, ' ', &one)) {
		ptrdiff_t equal = span_chr(one, '=');

		if (span_eq(name, equal >= 0 ? span_sub(one, 0, (size_t)equal) : one))
			return equal >= 0;
	}
	return -1;
}

static int
bad_option(const struct command *c, struct span name)
{
	struct span near = nearest(name, span_of(c->options), '=');

	if (near.n > 0)
		fprintf(stderr, "postern: unknown option `%.*s` of %s; did you mean `%.*s`?\n",
			SPAN_ARG(name), c->name, SPAN_ARG(near));
	else
		fprintf(stderr, "postern: unknown option `%.*s` of %s; see `postern %s --help`\n",
			SPAN_ARG(name), c->name, c->name);
	return EX_USAGE;
}

/* Checks the options of a command; "--option=VALUE" becomes two words of out, which has room for twice as many. */
static int
check_options(const struct command *c, int argc, char **argv, int *argc_out, char **out)
{
	int n = 0;

	for (int i = 0; i < argc; i++) {
		struct span word = span_of(argv[i]);
		ptrdiff_t equal = span_chr(word, '=');
		struct span name = equal >= 0 ? span_sub(word, 0, (size_t)equal) : word;
		int kind = i > 0 && word.n > 1 && word.p[0] == '-' ? option_kind(c, name) : 2;

		if (kind < 0)
			return bad_option(c, name);
		if (kind == 0 && equal >= 0) {
			fprintf(stderr, "postern: %.*s takes no value; write %.*s\n",
				SPAN_ARG(name), SPAN_ARG(name));
			return EX_USAGE;
		}
		out[n++] = argv[i];
		if (kind == 1 && equal >= 0) {
			argv[i][equal] = '\0';
			out[n++] = argv[i] + equal + 1;
		} else if (kind == 1 && i + 1 < argc) {
			out[n++] = argv[++i];
		} else if (kind == 1) {
			fprintf(stderr, "postern: %s without a value; write %s=VALUE\n", argv[i],
				argv[i]);
			return EX_USAGE;
		}
	}
	if (*c->args == '\0' && n > 1 && out[n - 1][0] != '-') {
		fprintf(stderr, "postern: %s takes no argument `%s`; see `postern %s --help`\n",
			c->name, out[n - 1], c->name);
		return EX_USAGE;
	}
	out[n] = NULL;
	*argc_out = n;
	return 0;
}

bool
cli_has(int argc, char **argv, const char *word)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], word) == 0)
			return true;
	}
	return false;
}

int
cli_conf_load(const struct cli *cli, bool with_warnings, struct conf **out)
{
	struct conf_problems problems;
	int r = conf_load(cli->conf_path, geteuid() == 0, out, &problems);

	if (r < 0 || (with_warnings && problems.warnings > 0))
		fputs(buf_cstr(&problems.text), stderr);
	conf_problems_clear(&problems);
	return r < 0 ? EX_CONFIG : 0;
}

static int
run_command(const struct command *c, struct cli *cli, int argc, char **argv)
{
	struct conf *best = NULL, *strict;
	int x;

	if (c->need == CONF_NEED_OWN)
		return c->run(cli, argc, argv);
	if ((best = conf_load_best(cli->conf_path)) == NULL)
		return cli_conf_load(cli, false, &strict); /* says why */
	cli->conf = best;
	x = c->run(cli, argc, argv);
	conf_free(&best);
	return x;
}

/* What came to stdout must have arrived: a full disk is no success. */
static int
finish(int x)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return x;
	perror("postern: output");
	return x != 0 ? x : EX_OSERR;
}

static int
dispatch(struct line *l)
{
	const struct command *c = l->argc > 0 ? find_command(l->argv[0]) : NULL;
	struct cli cli = { l->conf_path, NULL };
	char **words;
	int count = 0, x;

	if (c == NULL && l->argc == 0 && l->wants_help)
		print_usage(stdout);
	if (c == NULL && l->argc == 0 && !l->wants_help)
		print_usage(stderr);
	if (c == NULL)
		return l->argc == 0 && l->wants_help ? 0 : EX_USAGE;
	if (l->wants_help) {
		print_help(c);
		return 0;
	}
	words = mem_array(2 * (size_t)l->argc + 1, sizeof(*words));
	if ((x = check_options(c, l->argc, l->argv, &count, words)) == 0)
		x = run_command(c, &cli, count, words);
	mem_free(words);
	return x;
}

int
postern_main(int argc, char **argv)
{
	struct line l = { .argv = mem_array((size_t)argc + 1, sizeof(*argv)) };
	const char *env = getenv("POSTERN_CONF");
	int x;

	log_init("postern", LOG_INFO_);
	l.conf_path = env != NULL && *env != '\0' ? env : DEFAULT_CONF;
	if ((x = take_line(argc, argv, &l)) == 0) {
		if (l.wants_version)
			puts("postern " POSTERN_VERSION);
		else
			x = dispatch(&l);
	}
	mem_free(l.argv);
	return finish(x);
}
