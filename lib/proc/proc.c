/* SPDX-License-Identifier: ISC
 *
 * The process graph as data. No rights, no I/O.
 */
/* lib */
#include "proc/proc.h"

static const struct proc_info rows[] = {
#define ROOT_NONE PROC_ROOT_NONE
#define ROOT_EMPTY PROC_ROOT_EMPTY
#define ROOT_QUEUE PROC_ROOT_QUEUE
#define ROOT_DROP PROC_ROOT_DROP
#define ONE PROC_ONE
#define WORKERS_SMTPD PROC_WORKERS_SMTPD
#define WORKERS_DELIVERY PROC_WORKERS_DELIVERY
#define PROC(id, name, program, user, root, instances, what) \
	{ name, program, #user, root, instances, what },
#define CHANNEL(a, b, what)
#include "proc/procs.def"
#undef PROC
#undef CHANNEL
};

static const struct {
	enum proc_id a, b;
} channels[] = {
#define PROC(id, name, program, user, root, instances, what)
#define CHANNEL(a, b, what) { PROC_##a, PROC_##b },
#include "proc/procs.def"
#undef PROC
#undef CHANNEL
};

const struct proc_info *
proc_info(enum proc_id id)
{
	return &rows[id];
}

bool
proc_has_channel(enum proc_id a, enum proc_id b)
{
	if ((a == PROC_MASTER) != (b == PROC_MASTER))
		return true;
	for (unsigned i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
		if ((channels[i].a == a && channels[i].b == b) ||
		    (channels[i].a == b && channels[i].b == a))
			return true;
	}
	return false;
}
