/* SPDX-License-Identifier: ISC */
#ifndef SVC_SANDBOX_H
#define SVC_SANDBOX_H

#include <stdbool.h>
#include "proc/proc.h"

/* The last two steps of priv_drop(): what the kernel lets a process do from now on. Failure ends the process. */

/* Is the build one that relaxes the sandbox for its run-time (asan, tsan), or leaves out what keeps a process from
 * writing its counters (cov)? docs/testing.md says what is dropped. */
bool sandbox_is_instrumented(void);
bool sandbox_is_coverage(void);
/* Does this process start threads? */
bool sandbox_has_threads(enum proc_id kind);

/* Landlock: of the file system only what lies beneath these folders can be reached, and only by kinds that work with
 * files; no TCP port can be bound, and no TCP connection made by kinds that make none; no signal leaves the process.
 * Rights that the kernel does not know are left out; without Landlock nothing happens. Needs no_new_privs. */
void sandbox_landlock(enum proc_id kind, const int *dirs, unsigned count);

/* seccomp: the system calls of syscalls.def for this kind. Any other kills the process with SIGSYS; the debug build
 * first says which one it was. */
void sandbox_seccomp(enum proc_id kind);

#endif
