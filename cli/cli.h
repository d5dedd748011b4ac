/* SPDX-License-Identifier: ISC */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include "conf/conf.h"

/* What every subcommand of `postern` gets: the configuration that -c, $POSTERN_CONF or the default names. */
struct cli {
	const char *conf_path;
	const struct conf *conf; /* NULL for OWN commands */
};

/* One subcommand each, a row of commands.def: argv[0] is its name, argv[argc] NULL; returns a sysexits code. Options are
 * known ones, "--option=VALUE" is split in two. --help is answered before. */
#define COMMAND(name, conf, options, args, what, help) \
	int cmd_##name(const struct cli *cli, int argc, char **argv);
#include "cli/commands.def"
#undef COMMAND

/* The whole program. */
int postern_main(int argc, char **argv);

/* For OWN commands: read the configuration as the server would, print problems to stderr (with warnings or without).
 * 0, or 78 and *out NULL. */
int cli_conf_load(const struct cli *cli, bool with_warnings, struct conf **out);
/* Is this word among the arguments? */
bool cli_has(int argc, char **argv, const char *word);

#endif
