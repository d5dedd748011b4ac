/* SPDX-License-Identifier: ISC
 *
 * `postern`, the control command. Runs with the rights of its caller. */

/* this program */
#include "cli/cli.h"

int
main(int argc, char **argv)
{
	return postern_main(argc, argv);
}
