/* SPDX-License-Identifier: ISC
 *
 * Keeps results until qmgr has them on stable storage: a qmgr that starts anew gets them again, so nothing is delivered
 * twice because qmgr died. Runs in delivery and in the mailbox agent. */

/* lib */
#include "base/mem.h"
/* this program */
#include "delivery/results.h"

struct kept {
	struct list node;
	struct msg_result msg; /* spans are copies */
};

void
results_init(struct results *r)
{
	map64_init(&r->by_job);
	list_init(&r->order);
	r->count = 0;
}

static void
free_kept(struct results *r, struct kept *k)
{
	list_remove(&k->node);
	r->count--;
	mem_free((char *)(uintptr_t)k->msg.relay.p);
	mem_free((char *)(uintptr_t)k->msg.tls.p);
	mem_free((char *)(uintptr_t)k->msg.outcomes.p);
	mem_free(k);
}

void
results_clear(struct results *r)
{
	LIST_EACH_SAFE(it, tmp, &r->order)
		free_kept(r, LIST_ENTRY(it, struct kept, node));
	map64_clear(&r->by_job);
}

static struct span
copy(struct span s)
{
	return span_make(mem_dup_span(s), s.n);
}

void
results_add(struct results *r, const struct msg_result *m)
{
	struct kept *k = mem_zalloc(sizeof(*k)), *old;

	k->msg = *m;
	k->msg.relay = copy(m->relay);
	k->msg.tls = copy(m->tls);
	k->msg.outcomes = copy(m->outcomes);
	list_push_back(&r->order, &k->node);
	r->count++;
	old = map64_put(&r->by_job, m->job, k);
	if (old != NULL)
		free_kept(r, old);
}

bool
results_ack(struct results *r, uint64_t job)
{
	struct kept *k = map64_del(&r->by_job, job);

	if (k == NULL)
		return false;
	free_kept(r, k);
	return true;
}

void
results_send_again(struct results *r, struct chan *qmgr)
{
	LIST_EACH(it, &r->order) {
		struct kept *k = LIST_ENTRY(it, struct kept, node);

		k->msg.session = 0;
		k->msg.is_session_up = 0;
		chan_send(qmgr, MSG_RESULT, &k->msg);
	}
}
