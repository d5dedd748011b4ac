/* SPDX-License-Identifier: ISC
 *
 * Channels to siblings, from HELLO to their end. What is said over them is the program's business; logd's part is
 * sink.c's. Runs in every child of master, in its sandbox.
 *
 *	(waiting for the predecessor of the slot) --> connected --HELLO--> up --closed and PEER_LOST--> gone
 *
 * A sibling is lost when its channel has closed and master has said so (PEER_LOST), in whichever order. A channel that
 * closes without that word means that the sibling gave us up: then this process ends and master starts it anew.
 */
/* System */
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/core.h"

#define LOST_WAIT_MS 3000

struct peer *
peer_find_up(struct svc *s, enum proc_id kind, unsigned slot)
{
	LIST_EACH(it, &s->own->peers) {
		struct peer *p = LIST_ENTRY(it, struct peer, node);
		if (p->kind == kind && (slot == 0 || p->slot == slot) && p->is_up && !p->is_closed)
			return p;
	}
	return NULL;
}

static void peer_on_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg);
static void peer_on_close(void *arg, struct chan *c, int why);
static void peer_on_room(void *arg, struct chan *c);

static const struct chan_ops peer_ops = { peer_on_msg, peer_on_close, peer_on_room };

static struct peer *
find_same(struct svc *s, const struct peer *than)
{
	LIST_EACH(it, &s->own->peers) {
		struct peer *p = LIST_ENTRY(it, struct peer, node);
		if (p != than && p->kind == than->kind && p->slot == than->slot && !p->is_waiting)
			return p;
	}
	return NULL;
}

static void
lost_timeout(void *arg)
{
	struct peer *p = arg;

	die_temp("channel to %s %u was closed by the other side; starting over",
		 proc_info(p->kind)->name, p->slot);
}

static void
peer_connect(struct peer *p)
{
	struct svc *s = p->s;

	p->chan = chan_new(s->chans, p->fd, p->kind, p->slot, &peer_ops, p);
	p->fd = -1;
	chan_send(p->chan, MSG_HELLO,
		  &(struct msg_hello){ .contract = msg_contract(),
				       .kind = (uint8_t)s->kind,
				       .slot = s->slot,
				       .pid = (uint32_t)getpid() });
}

void
peer_start(struct peer *p)
{
	timer_init(&p->lost_timer, p->s->own->timers, lost_timeout, p);
	p->is_waiting = find_same(p->s, p) != NULL;
	if (!p->is_waiting)
		peer_connect(p);
}

/* Closed and reported lost: tell the program, then let the successor in. */
static void
peer_end(struct peer *p)
{
	struct svc *s = p->s;

	timer_stop(&p->lost_timer);
	if (p->is_up && s->own->ops->on_peer_lost != NULL)
		s->own->ops->on_peer_lost(s, p->chan, p->is_crash, p->is_final);
	list_remove(&p->node);
	chan_free(&p->chan);
	LIST_EACH(it, &s->own->peers) {
		struct peer *next = LIST_ENTRY(it, struct peer, node);
		if (next->kind == p->kind && next->slot == p->slot && next->is_waiting) {
			next->is_waiting = false;
			peer_connect(next);
			break;
		}
	}
	mem_free(p);
}

static void
peer_on_close(void *arg, struct chan *c, int why)
{
	struct peer *p = arg;

	(void)c;
	if (why == E_CORRUPT)
		log_warn("%s %u sent a malformed message: channel closed", proc_info(p->kind)->name,
			 p->slot);
	p->is_closed = true;
	if (p->is_lost) {
		peer_end(p);
		return;
	}
	if (p->s->is_stopping)
		return;
	timer_start(&p->lost_timer, LOST_WAIT_MS);
}

static void
take_hello(struct peer *p, const struct msg_hello *h)
{
	struct svc *s = p->s;

	if (h->contract != msg_contract())
		die_temp("%s %u speaks another version of the protocol: update not finished?",
			 proc_info(p->kind)->name, p->slot);
	if (h->kind != p->kind || h->slot != p->slot)
		die_temp("%s %u introduced itself as another process", proc_info(p->kind)->name,
			 p->slot);
	p->is_up = true;
	p->pid = h->pid;
	if (p->kind == PROC_LOGD)
		sink_catch_up(s, p);
	if (s->own->ops->on_peer != NULL)
		s->own->ops->on_peer(s, p->chan);
}

static void
peer_on_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	struct peer *p = arg;

	if (type == MSG_HELLO && !p->is_up) {
		take_hello(p, &msg->hello);
		return;
	}
	if (type == MSG_HELLO || !p->is_up)
		die_temp("%s %u broke the order of HELLO", proc_info(p->kind)->name, p->slot);
	p->s->own->ops->on_msg(p->s, c, type, msg);
}

static void
peer_on_room(void *arg, struct chan *c)
{
	struct peer *p = arg;

	if (p->kind == PROC_LOGD && p->is_up)
		sink_catch_up(p->s, p);
	if (p->s->own->ops->on_room != NULL)
		p->s->own->ops->on_room(p->s, c);
}

struct peer *
peer_add(struct svc *s, const struct msg_peer_add *m)
{
	struct peer *p = mem_zalloc(sizeof(*p));

	if (m->kind >= PROC_COUNT || !proc_has_channel(s->kind, (enum proc_id)m->kind))
		die_temp("master gave a channel that the process graph does not have");
	p->s = s;
	p->kind = (enum proc_id)m->kind;
	p->slot = m->slot;
	p->is_alone = m->is_alone != 0;
	p->fd = m->fd;
	list_push_back(&s->own->peers, &p->node);
	return p;
}

void
peer_lost(struct svc *s, const struct msg_peer_lost *m)
{
	LIST_EACH_SAFE(it, tmp, &s->own->peers) {
		struct peer *p = LIST_ENTRY(it, struct peer, node);
		if (p->kind != m->kind || p->slot != m->slot || p->is_lost)
			continue;
		p->is_lost = true;
		p->is_crash = m->is_crash != 0;
		p->is_final = m->is_final != 0;
		if (p->is_waiting) { /* it died before we ever spoke */
			list_remove(&p->node);
			fd_close(&p->fd);
			mem_free(p);
		} else if (p->is_closed) {
			peer_end(p);
		}
		return;
	}
}

/* ---- what programs ask ---- */

struct chan *
svc_peer(struct svc *s, enum proc_id kind, unsigned slot)
{
	struct peer *p = peer_find_up(s, kind, slot);

	return p != NULL ? p->chan : NULL;
}

struct chan *
svc_peer_next(struct svc *s, enum proc_id kind, size_t *it)
{
	size_t n = 0;

	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (n++ < *it || p->kind != kind || !p->is_up || p->is_closed)
			continue;
		*it = n;
		return p->chan;
	}
	return NULL;
}

uint32_t
svc_peer_pid(struct svc *s, const struct chan *c)
{
	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (p->chan == c)
			return p->pid;
	}
	return 0;
}

bool
svc_peer_is_alone(struct svc *s, const struct chan *c)
{
	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (p->chan == c)
			return p->is_alone;
	}
	return false;
}

bool
svc_peer_silent(struct svc *s, enum proc_id kind, size_t *it, uint16_t *slot_out)
{
	size_t n = 0;

	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (n++ < *it || p->kind != kind || p->is_up || p->is_closed)
			continue;
		*it = n;
		*slot_out = p->slot;
		return true;
	}
	return false;
}

void
svc_peer_close(struct svc *s, struct chan *c)
{
	LIST_EACH(node, &s->own->peers) {
		struct peer *p = LIST_ENTRY(node, struct peer, node);
		if (p->chan != c)
			continue;
		chan_free(&p->chan);
		p->is_up = false; /* nobody waits for its end but peer_end() */
		p->is_closed = true;
		if (p->is_lost)
			peer_end(p);
		return;
	}
}
