/* SPDX-License-Identifier: ISC
 *
 * Readers of the event log: a question for a page or an acknowledgement becomes a job of a thread of storage, its result
 * an EVENTS_PAGE. Knows nothing of what stands in a page. Run by qmgr on its loop. */

/* this program */
#include "qmgr/sched/sched_int.h"
#include "qmgr/spool/spool_int.h"

enum { PAGES_MAX = 64 }; /* at a time: each holds a page in memory */

struct page_job {
	struct worker_job job;
	struct list link;
	struct pages *all;
	struct chan *chan; /* NULL: the reader is gone */
	uint32_t req;
	struct events *events;
	struct events_page page;
	int err;
};

struct pages {
	struct sched *s;
	struct list open;
	uint32_t count;
};

struct pages *
pages_new(struct sched *s)
{
	struct pages *p = mem_zalloc(sizeof(*p));

	p->s = s;
	list_init(&p->open);
	return p;
}

/* Those under way end with their thread. */
void
pages_free(struct pages **pp)
{
	struct pages *p = *pp;

	if (p == NULL)
		return;
	LIST_EACH_SAFE(it, tmp, &p->open)
		LIST_ENTRY(it, struct page_job, link)->all = NULL;
	mem_free(p);
	*pp = NULL;
}

static const char *
explain(int err)
{
	switch (err) {
	case 0:
		return "";
	case E_CONFIG:
		return "no event log is kept; write `events { max = \"1G\" }` into the "
		       "configuration, then `postern reload`";
	case E_SYNTAX:
		return "there is no such event yet; begin again at the reader's cursor";
	default:
		return "the event log cannot be used; see the log of the server, and the disk";
	}
}

static void
answer(struct chan *c, uint32_t req, int err, const struct events_page *page)
{
	struct msg_events_page m = { .req = req,
				     .code = (uint16_t)-err,
				     .text = span_of(explain(err)),
				     .next = page->at.serial,
				     .place = page->at.place,
				     .records = buf_span(&page->records) };

	chan_send(c, MSG_EVENTS_PAGE, &m);
}

static void
run_read(struct worker_job *job)
{
	struct page_job *j = (struct page_job *)(void *)job;

	j->err = events_read(j->events, &j->page);
}

static void
run_ack(struct worker_job *job)
{
	struct page_job *j = (struct page_job *)(void *)job;

	j->err = events_ack(j->events, &j->page.at);
}

static void
page_done(struct worker_job *job)
{
	struct page_job *j = (struct page_job *)(void *)job;

	if (j->all != NULL) {
		list_remove(&j->link);
		j->all->count--;
		events_report(j->events);
		/* Off, or of another version; the other E_CONFIG said so in the log. */
		if (j->chan != NULL)
			answer(j->chan, j->req,
			       j->err == E_NOTFOUND ? E_CONFIG
			       : j->err == E_CONFIG ? E_IO
						    : j->err,
			       &j->page);
	}
	buf_clear(&j->page.records);
	mem_free(j);
}

void
pages_on_question(struct pages *p, struct chan *c, enum msg_type type, const union msg_any *msg)
{
	bool is_ack = type == MSG_EVENTS_ACK;
	struct page_job *j;

	if (p->count >= PAGES_MAX) {
		answer(c, is_ack ? msg->events_ack.req : msg->events_read.req, E_AGAIN,
		       &(struct events_page){ 0 });
		return;
	}
	j = mem_zalloc(sizeof(*j));
	j->all = p;
	j->chan = c;
	j->events = p->s->spool->events;
	j->req = is_ack ? msg->events_ack.req : msg->events_read.req;
	j->page.at.serial = is_ack ? msg->events_ack.serial : msg->events_read.serial;
	j->page.at.place = is_ack ? msg->events_ack.place : msg->events_read.place;
	j->job = (struct worker_job){ .run = is_ack ? run_ack : run_read, .done = page_done };
	list_push_back(&p->open, &j->link);
	p->count++;
	worker_submit(is_ack ? p->s->spool->disk_thread : p->s->spool->read_thread, &j->job);
}

void
pages_on_lost(struct pages *p, const struct chan *c)
{
	LIST_EACH(it, &p->open) {
		struct page_job *j = LIST_ENTRY(it, struct page_job, link);

		if (j->chan == c)
			j->chan = NULL;
	}
}
