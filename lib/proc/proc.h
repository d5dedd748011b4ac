/* SPDX-License-Identifier: ISC */
#ifndef PROC_PROC_H
#define PROC_PROC_H

#include <stdbool.h>
#include <stdint.h>

/* The process graph of procs.def as data. */
enum proc_id {
#define PROC(id, name, program, user, root, instances, what) PROC_##id,
#define CHANNEL(a, b, what)
#include "proc/procs.def"
#undef PROC
#undef CHANNEL
	PROC_COUNT
};

/* Sets of processes, for messages.def and options.def. */
#define P(id) (1u << PROC_##id)

enum proc_root {
	PROC_ROOT_NONE,	 /* no chroot */
	PROC_ROOT_EMPTY, /* chroot to an empty folder */
	PROC_ROOT_QUEUE, /* chroot to the spool's queue/ */
	PROC_ROOT_DROP	 /* chroot to the spool's drop/ */
};

enum proc_instances { PROC_ONE, PROC_WORKERS_SMTPD, PROC_WORKERS_DELIVERY };

struct proc_info {
	const char *name;    /* as in logs, "qmgr" */
	const char *program; /* file below libexec/postern */
	const char *user;    /* option of users { } that names its user */
	enum proc_root root;
	enum proc_instances instances;
	const char *what;
};

/* The row of a process; id < PROC_COUNT. */
const struct proc_info *proc_info(enum proc_id id);
/* May these two talk: a CHANNEL row in either order, or one of them is master. */
bool proc_has_channel(enum proc_id a, enum proc_id b);

#endif
