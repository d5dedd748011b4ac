/* SPDX-License-Identifier: ISC
 *
 * One thread with a queue of jobs, whose results come back to the loop in order. It knows nothing of what the jobs do.
 * libuv's pool is not used: a slow disk there would hold up everything else that waits for it. Runs in any process with
 * a loop; the thread is made after the sandbox. */

/* System */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
/* Third party */
#include <uv.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"
#include "loop/worker.h"

enum { WORKER_STACK_BYTES = 512 * 1024 };

struct worker_queue {
	struct worker_job *first, **last;
};

struct worker {
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	pthread_cond_t todo_there, done_there;
	struct worker_queue todo, done;
	bool is_ending;
	/* Of the loop's thread alone: */
	uv_async_t async;
	size_t pending;
	const char *name;
};

static void
queue_put(struct worker_queue *q, struct worker_job *job)
{
	job->next = NULL;
	if (q->first == NULL)
		q->first = job;
	else
		*q->last = job;
	q->last = &job->next;
}

static struct worker_job *
queue_take(struct worker_queue *q)
{
	struct worker_job *job = q->first;

	if (job != NULL)
		q->first = job->next;
	return job;
}

static void *
worker_thread(void *arg)
{
	struct worker *w = arg;
	struct worker_job *job;

	pthread_setname_np(pthread_self(), w->name);
	pthread_mutex_lock(&w->lock);
	for (;;) {
		while ((job = queue_take(&w->todo)) == NULL && !w->is_ending)
			pthread_cond_wait(&w->todo_there, &w->lock);
		if (job == NULL)
			break;
		pthread_mutex_unlock(&w->lock);
		job->run(job);
		pthread_mutex_lock(&w->lock);
		queue_put(&w->done, job);
		pthread_cond_signal(&w->done_there);
		/* Whoever is woken takes the lock first. */
		pthread_mutex_unlock(&w->lock);
		uv_async_send(&w->async);
		pthread_mutex_lock(&w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* One finished job; false: none. */
static bool
finish_one(struct worker *w)
{
	struct worker_job *job;

	pthread_mutex_lock(&w->lock);
	job = queue_take(&w->done);
	pthread_mutex_unlock(&w->lock);
	if (job == NULL)
		return false;
	w->pending--;
	if (job->done != NULL)
		job->done(job);
	return true;
}

static void
on_async(uv_async_t *async)
{
	struct worker *w = async->data;

	while (finish_one(w))
		;
}

struct worker *
worker_new(struct uv_loop_s *loop, const char *name)
{
	struct worker *w = mem_zalloc(sizeof(*w));
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	w->name = name;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->todo_there, NULL);
	pthread_cond_init(&w->done_there, NULL);
	uv_async_init(loop, &w->async, on_async);
	w->async.data = w;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&w->thread, &attr, worker_thread, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r != 0)
		die_temp("thread %s cannot be started: %s; raise the limit of processes of this "
			 "user",
			 name, strerror(r));
	return w;
}

void
worker_submit(struct worker *w, struct worker_job *job)
{
	w->pending++;
	pthread_mutex_lock(&w->lock);
	queue_put(&w->todo, job);
	pthread_mutex_unlock(&w->lock);
	pthread_cond_signal(&w->todo_there);
}

size_t
worker_pending(const struct worker *w)
{
	return w->pending;
}

void
worker_drain(struct worker *w)
{
	while (w->pending > 0) {
		pthread_mutex_lock(&w->lock);
		while (w->done.first == NULL)
			pthread_cond_wait(&w->done_there, &w->lock);
		pthread_mutex_unlock(&w->lock);
		while (finish_one(w))
			;
	}
}

static void
on_closed(uv_handle_t *handle)
{
	mem_free(handle->data);
}

void
worker_free(struct worker **w)
{
	struct worker *gone = *w;

	if (gone == NULL)
		return;
	worker_drain(gone);
	pthread_mutex_lock(&gone->lock);
	gone->is_ending = true;
	pthread_cond_signal(&gone->todo_there);
	pthread_mutex_unlock(&gone->lock);
	pthread_join(gone->thread, NULL);
	pthread_cond_destroy(&gone->todo_there);
	pthread_cond_destroy(&gone->done_there);
	pthread_mutex_destroy(&gone->lock);
	uv_close((uv_handle_t *)&gone->async, on_closed);
	*w = NULL;
}
