/* SPDX-License-Identifier: ISC
 *
 * `postern check` and `postern config`: the configuration file. Needs no running server. */

/* System */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>
/* lib */
#include "conf/table.h"
/* this program */
#include "cli/cli.h"

enum { TEXT_MAX_BYTES = 64 << 20 };

int
cmd_check(const struct cli *cli, int argc, char **argv)
{
	struct conf *c;
	int x = cli_conf_load(cli, true, &c);

	(void)argc;
	(void)argv;
	conf_free(&c);
	return x;
}

static int
unknown_name(const char *name)
{
	const char *dot = strchr(name, '.'), *near;
	char section[64];

	snprintf(section, sizeof(section), "%.*s", dot != NULL ? (int)(dot - name) : 0, name);
	if (conf_group_find(span_of(section)) == NULL)
		dot = NULL;
	near = conf_suggest(dot != NULL ? section : "", dot != NULL ? dot + 1 : name);
	if (near != NULL)
		fprintf(stderr, "postern: unknown option `%s`; did you mean `%s%s%s`?\n", name,
			dot != NULL ? section : "", dot != NULL ? "." : "", near);
	else
		fprintf(stderr,
			"postern: unknown option `%s`; `postern config --doc` lists those that "
			"there "
			"are\n",
			name);
	return EX_USAGE;
}

/* For looking at values: the host need not be fit to run the server with them. */
static int
load_to_show(const struct cli *cli, struct conf **out)
{
	struct conf_problems problems;
	int r = conf_load(cli->conf_path, false, out, &problems);

	if (r < 0)
		fputs(buf_cstr(&problems.text), stderr);
	conf_problems_clear(&problems);
	return r < 0 ? EX_CONFIG : 0;
}

static int
show(const struct cli *cli, enum conf_show what, const char *name, struct buf *out)
{
	struct conf *c = NULL;
	int x = 0, r;

	/* The documentation can be read without a configuration. */
	if (what == CONF_SHOW_DOC && access(cli->conf_path, R_OK) < 0)
		c = conf_defaults();
	else if ((x = load_to_show(cli, &c)) != 0)
		return x;
	if ((r = conf_show(c, what, name, out)) == E_NOTFOUND && name != NULL)
		x = unknown_name(name);
	else if (r < 0)
		x = EX_SOFTWARE;
	conf_free(&c);
	return x;
}

int
cmd_config(const struct cli *cli, int argc, char **argv)
{
	const char *name = NULL;
	enum conf_show what = CONF_SHOW_ALL;
	struct buf out;
	int x = 0;

	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-' && name != NULL) {
			fprintf(stderr, "postern: config takes one NAME; `%s` is too much\n",
				argv[i]);
			return EX_USAGE;
		}
		if (argv[i][0] != '-')
			name = argv[i];
	}
	if (cli_has(argc, argv, "--changed"))
		what = CONF_SHOW_CHANGED;
	if (cli_has(argc, argv, "--doc"))
		what = CONF_SHOW_DOC;
	buf_init(&out, TEXT_MAX_BYTES);
	if (cli_has(argc, argv, "--sample"))
		conf_sample(&out);
	else if (cli_has(argc, argv, "--man"))
		conf_man(&out);
	else
		x = show(cli, what, name, &out);
	if (out.n > 0)
		fwrite(out.p, 1, out.n, stdout);
	buf_clear(&out);
	return x;
}
