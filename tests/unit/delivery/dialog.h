/* SPDX-License-Identifier: ISC */
#ifndef TESTS_DIALOG_H
#define TESTS_DIALOG_H

#include "delivery/job.h"
#include "delivery/out_session.h"

/* A scripted dialog with the client core. A script is a list of steps, one string each:
 *
 *	"J name"        the job of that name is given to the session
 *	"S text"        the server sends text (\r\n at the end is added)
 *	"R text"        the server sends exactly this
 *	"C text"        the client must have sent exactly this by now (\r\n added after each line); all is then written
 *	"C"             the client must have sent nothing
 *	"*"             whatever the client sent is written, unseen
 *	"-"             nothing is written: the network is stuck
 *	"D n"           n bytes of streamed content come for the running job
 *	"A"             the running job is aborted by qmgr
 *	"X timeout" "X close" "X quit" "X stop"   what happens outside
 *	"= a; b; c"     the next finished job has these outcomes: "delivered 250 2.0.0 text", flags as "(untried)", "(nodsn)"
 *	"W name"        the session waits for: greeting, hello, mail, rcpt, data, block, end, quit, idle
 *	"U yes|no"      the session takes another job or not
 *	"F code esc text"  the session is dead with this failure
 */
#define DIALOG_STEPS 48
struct dialog {
	const char *name;
	bool is_lmtp;
	const char *steps[DIALOG_STEPS];
};

void dialog_run(const struct dialog *d);
/* Jobs by name: see dialog.c. */
struct job *dialog_job(const char *name);

#endif
