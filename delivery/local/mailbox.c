/* SPDX-License-Identifier: ISC
 *
 * Sessions of the mailbox agent: each is one Maildir, its deliveries run on worker threads (fsync blocks), at most one at
 * a time for each session; several sessions share one flush of the file system. A base that hangs holds a few threads, never
 * all. It does not touch files itself. Runs as
 * the owner of the mailboxes (_postern-mail) in an empty chroot with the descriptors of the mailbox bases. */

/* System */
#include <fcntl.h>
#include <string.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/worker.h"
/* this program */
#include "delivery/local/deliver.h"
#include "delivery/local/mailbox.h"

enum {
	WORKERS_MAX = 64, /* as many as qmgr opens sessions */
	WORKERS_PER_BASE = 8,
	FIRST_PART_BYTES = 65536, /* of streamed content: the header section is looked at in it */
	JOBS_MAX = 2,
};

/* A folder below which mailboxes lie. */
struct base {
	struct list node;
	char *path;
	int fd;
};

struct mailbox_agent {
	struct list bases;
	struct thread {
		struct worker *worker;
		const char *base; /* that it worked for last */
	} threads[WORKERS_MAX];
	unsigned thread_count;
};

struct mailbox {
	struct agent_session *as;
	struct worker_job work; /* first of what the thread may touch while is_busy */
	struct deliver d;
	struct buf part;	/* content for this step */
	bool is_begin, is_last; /* what this step does */
	struct maildir md;
	int base;
	const char *base_path; /* of the agent, which forgets none */
	char *path, *relay;
	/* The loop's own. */
	struct job *job; /* running */
	struct list waiting;
	bool is_begun; /* a step of the running job was submitted */
	bool is_busy;
	bool is_closing;
};

/* ---- bases ---- */

static struct base *
find_base(const struct mailbox_agent *ma, struct span path)
{
	LIST_EACH(it, &ma->bases) {
		struct base *b = LIST_ENTRY(it, struct base, node);
		if (span_eq(span_of(b->path), path))
			return b;
	}
	return NULL;
}

/* Takes fd. Of a base that is given again (reload) the new descriptor counts; sessions keep a copy of the old one. */
static void
add_base(struct mailbox_agent *ma, const char *name, int fd)
{
	const char *path = name + strlen("dir:");
	struct base *b = find_base(ma, span_of(path));

	if (b == NULL) {
		b = mem_zalloc(sizeof(*b));
		b->path = mem_strdup(path);
		b->fd = -1;
		list_push_back(&ma->bases, &b->node);
	}
	fd_close(&b->fd);
	b->fd = fd;
}

static void
on_file(struct agent *a, const char *name, int fd)
{
	if (strncmp(name, "dir:", 4) == 0)
		add_base(a->data, name, fd);
	else
		fd_close(&fd);
}

/* ---- threads ---- */

/* A base whose file system hangs keeps its threads: it gets a few, and only others' idle ones. */
static struct worker *
pick_worker(const struct mailbox *m)
{
	struct mailbox_agent *ma = m->as->agent->data;
	struct thread *idle = NULL, *least = NULL, *busy = &ma->threads[0];
	unsigned own = 0;

	for (struct thread *t = ma->threads; t < ma->threads + ma->thread_count; t++) {
		bool is_own = t->base == m->base_path;
		if (worker_pending(t->worker) == 0) {
			idle = t;
			continue;
		}
		own += is_own;
		if (worker_pending(t->worker) < worker_pending(busy->worker))
			busy = t;
		if (is_own &&
		    (least == NULL || worker_pending(t->worker) < worker_pending(least->worker)))
			least = t;
	}
	if (own == WORKERS_PER_BASE)
		return least->worker;
	if (idle == NULL && ma->thread_count < WORKERS_MAX) {
		idle = &ma->threads[ma->thread_count++];
		idle->worker = worker_new(m->as->agent->svc->loop, "mailbox");
	}
	if (idle == NULL)
		idle = least != NULL ? least : busy;
	idle->base = m->base_path;
	return idle->worker;
}

/* On the thread. */
static void
run_step(struct worker_job *w)
{
	struct mailbox *m = LIST_ENTRY(w, struct mailbox, work);

	if (m->is_begin)
		deliver_begin(&m->d, buf_span(&m->part));
	else
		deliver_part(&m->d, buf_span(&m->part));
	if (m->is_last)
		deliver_end(&m->d);
}

/* ---- jobs ---- */

static void advance(struct mailbox *m);

static void
report(struct mailbox *m, struct job *j)
{
	agent_result(m->as, j,
		     &(struct agent_relay){ .relay = span_of(m->relay),
					    .is_session_up = !m->is_closing });
}

static void
give_back_waiting(struct mailbox *m)
{
	struct outcome o = job_error(E_AGAIN, OUTCOME_NOT_TRIED,
				     SPAN("The mailbox was closed before its turn"));

	while (!list_is_empty(&m->waiting)) {
		struct job *j = LIST_ENTRY(m->waiting.next, struct job, node);
		list_remove(&j->node);
		job_settle_rest(j, &o);
		report(m, j);
	}
}

static void
free_mailbox(struct mailbox *m)
{
	struct agent_session *as = m->as;

	maildir_close(&m->md);
	fd_close(&m->base);
	buf_clear(&m->part);
	mem_free(m->path);
	mem_free(m->relay);
	mem_free(m);
	as->impl = NULL;
	agent_closed(as);
}

/* The content will never be complete, or the agent stops: nothing was committed yet. */
static void
abandon(struct mailbox *m, int err, uint8_t flags, struct span why)
{
	struct outcome o = job_error(err, flags, why);
	struct job *j = m->job;

	if (m->is_begun)
		deliver_drop(&m->d);
	m->job = NULL;
	job_settle_rest(j, &o);
	report(m, j);
}

static void
finish(struct mailbox *m)
{
	struct job *j = m->job;

	deliver_settle(&m->d, j);
	deliver_drop(&m->d);
	m->job = NULL;
	report(m, j);
}

static void
step_done(struct worker_job *w)
{
	struct mailbox *m = LIST_ENTRY(w, struct mailbox, work);

	m->is_busy = false;
	buf_clear(&m->part);
	if (m->is_last)
		finish(m);
	advance(m);
}

/* Hand the next step of the running job to the thread. */
static void
submit(struct mailbox *m)
{
	struct job *j = m->job;

	m->is_begin = !m->is_begun;
	m->is_last = job_has_all(j);
	if (m->is_begin)
		deliver_init(&m->d, j, &m->md, m->base, m->path);
	buf_init(&m->part, STREAM_WINDOW_BYTES);
	if (j->is_streamed) {
		m->part = j->pending;
		buf_init(&j->pending, STREAM_WINDOW_BYTES);
		j->credit += (uint32_t)m->part.n;
	} else {
		buf_put_span(&m->part, j->content);
	}
	m->is_begun = m->is_busy = true;
	m->work = (struct worker_job){ .run = run_step, .done = step_done };
	agent_credit(m->as, j);
	worker_submit(pick_worker(m), &m->work);
}

/* Is there enough content for a step? */
static bool
has_step(const struct mailbox *m)
{
	const struct job *j = m->job;

	if (job_has_all(j))
		return true;
	return m->is_begun ? j->pending.n > 0 : j->pending.n >= FIRST_PART_BYTES;
}

/* Go on with whatever can go on. May free m. */
static void
advance(struct mailbox *m)
{
	if (m->is_busy)
		return;
	if (m->job != NULL && m->job->is_aborted)
		abandon(m, E_IO, 0, SPAN("The stored message cannot be read"));
	if (m->job != NULL && m->as->is_orphan && !job_has_all(m->job))
		abandon(m, E_AGAIN, OUTCOME_NOT_TRIED, SPAN("The queue manager was restarted"));
	if (m->job == NULL && !list_is_empty(&m->waiting) && agent_may_start(m->as->agent)) {
		m->job = LIST_ENTRY(m->waiting.next, struct job, node);
		list_remove(&m->job->node);
		m->job->start_ms = clock_mono_ms();
		m->is_begun = false;
	}
	if (m->job != NULL && has_step(m))
		submit(m);
	else if (m->job == NULL && m->is_closing)
		free_mailbox(m);
}

/* ---- what agent.c asks for ---- */

static void
mailbox_open(struct agent_session *as)
{
	const struct plan *p = &as->plan;
	struct base *b = find_base(as->agent->data, p->base);
	struct mailbox *m;
	struct buf relay;

	if (p->transport != TRANSPORT_MAILDIR || b == NULL) {
		buf_init(&relay, 1000);
		buf_printf(&relay,
			   "mailbox_base \"%.*s\" is not known to the mailbox agent; is it in a "
			   "domain block?",
			   SPAN_ARG(span_sub(p->base, 0, 800)));
		agent_failed(as, 451, SPAN("4.3.5"), buf_span(&relay), SPAN_NONE);
		buf_clear(&relay);
		return;
	}
	m = mem_zalloc(sizeof(*m));
	as->impl = m;
	m->as = as;
	m->md = (struct maildir){ -1, -1, -1 };
	m->base = fcntl(b->fd, F_DUPFD_CLOEXEC, 4);
	m->base_path = b->path;
	m->path = mem_dup_span(p->path);
	list_init(&m->waiting);
	buf_init(&relay, 320);
	buf_put_span(&relay, span_sub(p->base, 0, 160));
	buf_putc(&relay, '/');
	buf_put_span(&relay, span_sub(p->path, 0, 150));
	m->relay = mem_dup_span(buf_span(&relay));
	agent_up(as, buf_span(&relay), 0);
	buf_clear(&relay);
}

static bool
mailbox_job(void *impl, struct job *j)
{
	struct mailbox *m = impl;
	unsigned n = m->job != NULL;

	LIST_EACH(it, &m->waiting)
		n++;
	if (n >= JOBS_MAX || m->is_closing)
		return false;
	list_push_back(&m->waiting, &j->node);
	advance(m);
	return true;
}

static void
mailbox_data(void *impl, struct job *j)
{
	struct mailbox *m = impl;
	struct outcome o = job_error(E_IO, 0, SPAN("The stored message cannot be read"));

	if (j != m->job && j->is_aborted) {
		list_remove(&j->node);
		job_settle_rest(j, &o);
		report(m, j);
		return;
	}
	advance(m);
}

static void
mailbox_close(void *impl)
{
	struct mailbox *m = impl;

	m->is_closing = true;
	give_back_waiting(m);
	advance(m);
}

/* What the thread does cannot be stopped; its result is lost with the process, and the mail may come twice. */
static void
mailbox_abort(void *impl, uint8_t flags, struct span why)
{
	struct mailbox *m = impl;

	m->is_closing = true;
	give_back_waiting(m);
	if (m->is_busy)
		return;
	if (m->job != NULL)
		abandon(m, E_STOPPING, flags, why);
	advance(m);
}

static void
mailbox_resume(void *impl)
{
	advance(impl);
}

static int
mailbox_prepare(struct agent *a)
{
	struct mailbox_agent *ma = mem_zalloc(sizeof(*ma));
	const char *name;
	size_t it = 0;

	list_init(&ma->bases);
	a->data = ma;
	maildir_set_host(a->svc->conf->hostname);
	while ((name = svc_file_next(a->svc, "dir:", &it)) != NULL) {
		int fd = svc_file_take(a->svc, name, NULL);
		if (fd >= 0)
			add_base(ma, name, fd);
	}
	return 0;
}

const struct agent_backend mailbox_backend = {
	.prepare = mailbox_prepare,
	.open = mailbox_open,
	.job = mailbox_job,
	.data = mailbox_data,
	.close = mailbox_close,
	.abort = mailbox_abort,
	.resume = mailbox_resume,
	.on_file = on_file,
};
