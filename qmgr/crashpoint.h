/* SPDX-License-Identifier: ISC */
#ifndef QMGR_CRASHPOINT_H
#define QMGR_CRASHPOINT_H

/* CRASHPOINT("name"): the place of one row of the crash table of qmgr/spool/spool.c. The file `crashpoint` in the spool's queue
 * folder (only its owner and root can make one), read at start, holds "NAME [SKIP [kill|stop|segv]]": at the pass after
 * SKIP ones the process kills itself with SIGKILL (stops itself, for a test that then kills the whole group; crashes), and
 * the file is removed first, so that the successor runs on. Without the file a point costs one load: what is tested is
 * what is shipped. */
void crashpoint_read(int dir_fd);
void crashpoint_pass(const char *name);
#define CRASHPOINT(name) crashpoint_pass(name)

#endif
