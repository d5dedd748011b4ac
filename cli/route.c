/* SPDX-License-Identifier: ISC
 *
 * `postern route`: what would happen to mail for an address, step by step. Sends nothing.
 */
/* System */
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

/* this program */
#include "cli/cli.h"
#include "cli/client.h"

static int
on_step(void *arg, const struct admin_answer *a)
{
	unsigned *n = arg;

	printf("%2u. %.*s\n", ++*n, SPAN_ARG(a->bytes));
	return 0;
}

int
cmd_route(const struct cli *cli, int argc, char **argv)
{
	struct admin_request r = { .kind = ADMIN_ROUTE };
	const char *address = NULL, *from = "";
	unsigned steps = 0;
	struct buf args;
	int x;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
			from = argv[++i];
		else if (argv[i][0] != '-' && address == NULL)
			address = argv[i];
		else
			address = "";
	}
	if (address == NULL || *address == '\0') {
		fprintf(stderr, "postern: usage: postern route [--from SENDER] ADDRESS\n");
		return EX_USAGE;
	}
	buf_init(&args, 4096);
	client_put_arg(&args, address);
	client_put_arg(&args, from);
	if (buf_check(&args) < 0) {
		fprintf(stderr, "postern: the address is too long\n");
		buf_clear(&args);
		return EX_USAGE;
	}
	r.args = buf_span(&args);
	x = client_ask(cli->conf->directories.run, &r, on_step, &steps, NULL);
	buf_clear(&args);
	return x;
}
