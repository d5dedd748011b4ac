/* SPDX-License-Identifier: ISC */
#ifndef CLI_STATS_H
#define CLI_STATS_H

#include <jansson.h>
#include "cli/cli.h"

/* The counters of the running server as one object: those of qmgr, and those of others below their names. A sysexits
 * code; *out is the caller's. */
int stats_fetch(const struct cli *cli, json_t **out);
/* The number at "a.b.c" of it; NULL: the server has none. */
const json_t *stats_number(const json_t *all, const char *path);
/* Print them in the Prometheus text format. */
void metrics_print(const json_t *all);

#endif
