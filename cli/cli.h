/* SPDX-License-Identifier: ISC */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "conf/conf.h"

/* What every subcommand of `postern` gets: the configuration that -c, $POSTERN_CONF or the default names. */
struct cli {
	const char *conf_path;
	const struct conf *conf;
};

/* One subcommand: argv[0] is its name, argv[argc] NULL; returns a sysexits code. A row of the table in postern.c names
 * it; --help is answered there. */
int cmd_queue(const struct cli *cli, int argc, char **argv);
int cmd_route(const struct cli *cli, int argc, char **argv);
int cmd_stats(const struct cli *cli, int argc, char **argv);
int cmd_top(const struct cli *cli, int argc, char **argv);
int cmd_trace(const struct cli *cli, int argc, char **argv);

#endif
