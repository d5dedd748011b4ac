/* SPDX-License-Identifier: ISC */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "base/buf.h"
#include "ipc/admin.h"

/* Ask the running server over control.sock and hand every answer but DONE to fn, in order; fn returns 0, or a sysexits
 * code that ends the request (a closed pipe, for example). Errors are printed, with the remedy.
 * run_dir  directories.run
 * done     may be NULL; gets the DONE answer's numbers (its bytes are not kept)
 * Returns a sysexits code: 0, 69 no server, 75 it is starting, 76 protocol, 77 not permitted, 64 and others as the
 * server says. */
int client_ask(const char *run_dir, const struct admin_request *r,
	       int (*fn)(void *arg, const struct admin_answer *a), void *arg,
	       struct admin_answer *done);
/* Append one argument of a request. */
void client_put_arg(struct buf *args, const char *text);

#endif
