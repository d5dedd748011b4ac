/* SPDX-License-Identifier: ISC
 *
 * Mailboxes below one base lie on one file system: if it hangs, every session there hangs. So a base holds at most as many
 * sessions as are free: one alone may have half of the pool, two a third each, and there is always room for the next base.
 * Lanes that get none for this reason wait here, in turn. Other pools have no shares: sites of the network are lanes with
 * limits of their own. Run by qmgr on its loop. */

/* this program */
#include "qmgr/sched/sched_int.h"

/* Exists while it has sessions; only then lanes wait. */
struct share {
	struct map *all;
	char *site;
	uint32_t sessions;
	struct list waiting;
};

static struct share *
share_of(const struct lane *l)
{
	return l->pool == POOL_MAILBOX ? map_get(&l->s->shares, span_of(l->site)) : NULL;
}

bool
share_has_room(const struct lane *l)
{
	const struct share *sh = share_of(l);
	uint32_t limit = dispatch_pool_limit(l->s, l->pool),
		 taken = l->s->pools[l->pool].session_count;

	return sh == NULL || (taken < limit && sh->sessions < limit - taken);
}

struct share *
share_take(struct lane *l)
{
	struct share *sh = share_of(l);

	if (l->pool != POOL_MAILBOX)
		return NULL;
	if (sh == NULL) {
		sh = mem_zalloc(sizeof(*sh));
		sh->all = &l->s->shares;
		sh->site = mem_strdup(l->site);
		list_init(&sh->waiting);
		map_put(sh->all, span_of(sh->site), sh);
	}
	sh->sessions++;
	return sh;
}

static void
wake_first(struct share *sh)
{
	struct lane *l = LIST_ENTRY(sh->waiting.next, struct lane, share_link);

	list_remove(&l->share_link);
	lane_kick(l);
}

void
share_give(struct share *sh)
{
	if (sh == NULL)
		return;
	if (!list_is_empty(&sh->waiting))
		wake_first(sh);
	if (--sh->sessions > 0)
		return;
	while (!list_is_empty(&sh->waiting))
		wake_first(sh);
	map_del(sh->all, span_of(sh->site));
	mem_free(sh->site);
	mem_free(sh);
}

bool
share_is_wanted(const struct share *sh)
{
	return sh != NULL && !list_is_empty(&sh->waiting);
}

/* A session of this base that rests makes room at once. */
void
share_wait(struct lane *l)
{
	struct share *sh = share_of(l);

	if (!list_is_empty(&l->share_link))
		return;
	list_push_back(&sh->waiting, &l->share_link);
	LIST_EACH(it, &l->s->pools[POOL_MAILBOX].idle) {
		struct session *x = LIST_ENTRY(it, struct session, idle_link);
		if (x->share == sh) {
			session_close(x);
			return;
		}
	}
}

void
share_leave(struct lane *l)
{
	list_remove(&l->share_link);
}
