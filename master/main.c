/* SPDX-License-Identifier: ISC
 *
 * master: starts and supervises all other processes. It is started by `postern run` and `postern start`:
 *
 *	master -c FILE [-d] [-r FD]     -d: become a daemon; -r: tell FD "ok\n" when everything is up, or why not
 */
/* System */
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"

/* this program */
#include "master/master.h"

static int
usage(void)
{
	fprintf(stderr,
		"usage: master -c FILE [-d] [-r FD]; `postern run` and `postern start` call it\n");
	return EX_USAGE;
}

/* -1: no descriptor. */
static int
descriptor_of(const char *text)
{
	uint64_t fd;

	return span_to_u64(span_of(text), 65535, &fd) < 0 ? -1 : (int)fd;
}

int
main(int argc, char **argv)
{
	struct master_options opts = { .conf_path = NULL, .ready_fd = -1 };
	int c;

	while ((c = getopt(argc, argv, "c:dr:")) != -1) {
		if (c == 'c')
			opts.conf_path = optarg;
		else if (c == 'd')
			opts.is_daemon = true;
		else if (c == 'r')
			opts.ready_fd = descriptor_of(optarg);
		else
			return usage();
	}
	if (opts.conf_path == NULL || optind != argc ||
	    (opts.ready_fd >= 0 && fd_set_cloexec(opts.ready_fd, true) < 0))
		return usage();
	return master_run(&opts);
}
