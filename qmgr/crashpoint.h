/* SPDX-License-Identifier: ISC */
#ifndef QMGR_CRASHPOINT_H
#define QMGR_CRASHPOINT_H

/* CRASHPOINT("name"): the place of one row of the crash table of qmgr/spool.c. In test builds (-DPOSTERN_CRASHPOINTS)
 * the file `crashpoint` in the spool's queue folder, read at start, holds "NAME [SKIP [kill|stop|segv]]": at the pass
 * after SKIP ones the process kills itself with SIGKILL (stops itself, for a test that then kills the whole group;
 * crashes), and the file is removed first, so that the successor runs on. In other builds it is nothing. */
#ifdef POSTERN_CRASHPOINTS
void crashpoint_read(int dir_fd);
void crashpoint_pass(const char *name);
#define CRASHPOINT(name) crashpoint_pass(name)
#else
#define CRASHPOINT(name) ((void)0)
#endif

#endif
