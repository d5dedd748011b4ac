/* SPDX-License-Identifier: ISC */
#ifndef LOOP_WORKER_H
#define LOOP_WORKER_H

#include <stdbool.h>
#include <stddef.h>

/* One thread of its own with a queue of jobs, in order; results come back to the loop. For work that blocks (fsync,
 * SQL, reads of cold pages) and must not share libuv's pool. Jobs are embedded in their owners:
 *
 *	struct read_job { struct worker_job job; ... };		run() on the thread sees nothing else of the process,
 *	worker_submit(w, &r->job);				done() on the loop may free it
 */
struct uv_loop_s;
struct worker;

struct worker_job {
	void (*run)(struct worker_job *job); /* on the thread */
	void (*done)(
		struct worker_job *job); /* on the loop, in the order of submission; may be NULL */
	struct worker_job *next;
};

/* Starts the thread. All signals are blocked in it. name: <= 15 characters, as ps(1) shows it. */
struct worker *worker_new(struct uv_loop_s *loop, const char *name);
void worker_submit(struct worker *w, struct worker_job *job);
/* Jobs submitted whose done() was not called yet. */
size_t worker_pending(const struct worker *w);
/* Wait until every job has run and call its done(), from the loop's thread (start-up, stop). */
void worker_drain(struct worker *w);
/* Drains, ends the thread and frees. */
void worker_free(struct worker **w);

#endif
