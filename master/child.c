/* SPDX-License-Identifier: ISC
 *
 * The list of children: which there should be, which there are, and their slots. Starting one is spawn.c's, its end
 * reap.c's. Runs in master, as root.
 */
/* System */
#include <sched.h>
#include <unistd.h>

/* lib */
#include "base/log.h"
#include "base/mem.h"

/* this program */
#include "master/child.h"

#define QMGR_SLOT 1
#define LAST_SLOT 4095 /* 12 bits of a queue id */

static bool
is_slot_used(struct master *m, unsigned slot)
{
	LIST_EACH(it, &m->children) {
		if (LIST_ENTRY(it, struct child, node)->slot == slot)
			return true;
	}
	return false;
}

static uint16_t
free_slot(struct master *m, enum proc_id kind)
{
	if (kind == PROC_QMGR)
		return QMGR_SLOT;
	for (unsigned slot = QMGR_SLOT + 1; slot <= LAST_SLOT; slot++) {
		if (!is_slot_used(m, slot))
			return (uint16_t)slot;
	}
	bug("no process slot is free");
}

static void
on_timer(void *arg)
{
	struct child *c = arg;

	if (c->state == CHILD_IDLE)
		child_start(c);
	else if (c->state == CHILD_LEAVING)
		child_kill(c, "did not stop in time");
	else
		child_kill(c, "closed its channel and did not end");
}

struct child *
child_new(struct master *m, enum proc_id kind, bool is_alone)
{
	struct child *c = mem_zalloc(sizeof(*c));

	c->m = m;
	c->kind = kind;
	c->slot = free_slot(m, kind);
	c->is_alone = is_alone;
	c->generation = m->generation;
	c->state = CHILD_IDLE;
	timer_init(&c->timer, m->timers, on_timer, c);
	list_push_back(&m->children, &c->node);
	return c;
}

void
child_free(struct child **cp)
{
	struct child *c = *cp;

	*cp = NULL;
	timer_stop(&c->timer);
	chan_free(&c->chan);
	list_remove(&c->node);
	mem_free(c);
}

bool
child_is_running(const struct child *c)
{
	return c->pid != 0;
}

struct child *
child_find_pid(struct master *m, pid_t pid)
{
	LIST_EACH(it, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (c->pid == pid)
			return c;
	}
	return NULL;
}

struct child *
child_find(struct master *m, enum proc_id kind, unsigned slot)
{
	LIST_EACH(it, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (c->kind == kind && (slot == 0 || c->slot == slot) && child_is_running(c))
			return c;
	}
	return NULL;
}

static unsigned
processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

unsigned
child_wanted(const struct master *m, enum proc_id kind)
{
	const struct proc_info *info = proc_info(kind);
	uint64_t count = 1;

	if (kind == PROC_MASTER || (kind == PROC_MAILBOX && m->bases.count == 0))
		return 0;
	if (info->instances == PROC_WORKERS_SMTPD)
		count = m->conf->workers.smtpd;
	else if (info->instances == PROC_WORKERS_DELIVERY)
		count = m->conf->workers.delivery;
	return count == 0 ? processors() : (unsigned)count;
}

unsigned
child_count(struct master *m, enum proc_id kind)
{
	unsigned n = 0;

	LIST_EACH(it, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		n += c->kind == kind && c->state != CHILD_LEAVING && !c->is_alone &&
		     c->generation == m->generation;
	}
	return n;
}

void
child_start_missing(struct master *m)
{
	for (unsigned kind = 0; kind < PROC_COUNT; kind++) {
		unsigned want = child_wanted(m, (enum proc_id)kind);
		while (child_count(m, (enum proc_id)kind) < want)
			child_start(child_new(m, (enum proc_id)kind, false));
	}
}

bool
child_all_up(struct master *m)
{
	LIST_EACH(it, &m->children) {
		struct child *c = LIST_ENTRY(it, struct child, node);
		if (c->state != CHILD_UP && c->state != CHILD_LEAVING && !c->is_alone)
			return false;
	}
	return true;
}
