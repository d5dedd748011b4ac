/* SPDX-License-Identifier: ISC
 *
 * What local users ask: a request becomes one or two typed questions to siblings, their answers go back. Permission is
 * decided here by who the caller is: everybody may look at his own mail, administrators (root, group postern) see and
 * do all. qmgr applies the caller's user id to every lookup.
 */
/* System */
#include <string.h>

/* lib */
#include "base/cur.h"
#include "base/log.h"
#include "ipc/plan.h"

/* this program */
#include "control/control.h"

#define ITEMS_PER_MORE 64 /* qmgr waits for QUEUE_MORE after so many */

static void
done(struct client *cl, int code, const char *text, uint64_t messages, uint64_t recipients)
{
	if (cl->req != 0)
		map64_del(&cl->ctl->requests, cl->req);
	conn_answer(cl, &(struct admin_answer){ .kind = ADMIN_DONE,
						.code = (uint16_t)-code,
						.messages = messages,
						.recipients = recipients,
						.bytes = span_of(text) });
}

static void
fail(struct client *cl, int code, const char *text)
{
	done(cl, code, text, 0, 0);
}

static void
start_queue(struct client *cl, const struct admin_request *r)
{
	struct chan *qmgr = svc_peer(cl->ctl->svc, PROC_QMGR, 0);

	if (r->verb >= QUEUE_VERB_COUNT) {
		fail(cl, E_SYNTAX,
		     "unknown order: `postern` and the server are of different versions; restart "
		     "the server");
		return;
	}
	if (!cl->is_admin && r->verb != QUEUE_LIST && r->verb != QUEUE_SHOW) {
		fail(cl, E_ACCESS, "only root and members of group postern may do this");
		return;
	}
	if (qmgr == NULL) {
		fail(cl, E_PEERGONE, "the queue manager is starting; try again in a moment");
		return;
	}
	chan_send(qmgr, MSG_QUEUE_QUERY,
		  &(struct msg_queue_query){ .req = cl->req,
					     .verb = r->verb,
					     .is_admin = cl->is_admin,
					     .uid = cl->uid,
					     .filters = r->args,
					     .limit = r->limit,
					     .offset = r->offset });
}

static bool
is_text(struct span s)
{
	return s.n <= 384 && span_chr(s, '\0') < 0 && span_chr(s, '\r') < 0 &&
	       span_chr(s, '\n') < 0;
}

static void
start_route(struct client *cl, const struct admin_request *r)
{
	struct chan *router = svc_peer(cl->ctl->svc, PROC_ROUTER, 0);
	struct cur c = cur_of(r->args);
	struct span address = cur_bytes(&c, ADMIN_REQUEST_MAX), sender = SPAN_NONE;

	if (cur_left(&c) > 0)
		sender = cur_bytes(&c, ADMIN_REQUEST_MAX);
	if (address.n == 0 || !is_text(address) || !is_text(sender)) {
		fail(cl, E_ADDR_SYNTAX, "this is no address");
		return;
	}
	if (router == NULL) {
		fail(cl, E_PEERGONE, "router is starting; try again in a moment");
		return;
	}
	chan_send(router, MSG_ROUTE_EXPLAIN,
		  &(struct msg_route_explain){
			  .req = cl->req, .address = address, .sender = sender });
}

static void
start_events(struct client *cl, const struct admin_request *r)
{
	struct chan *qmgr = svc_peer(cl->ctl->svc, PROC_QMGR, 0);

	if (!cl->is_admin)
		fail(cl, E_ACCESS, "only root and members of group postern may do this");
	else if (qmgr == NULL)
		fail(cl, E_PEERGONE, "the queue manager is starting; try again in a moment");
	else if (r->kind == ADMIN_EVENTS)
		chan_send(qmgr, MSG_EVENTS_READ,
			  &(struct msg_events_read){
				  .req = cl->req, .serial = r->offset, .place = r->limit });
	else
		chan_send(qmgr, MSG_EVENTS_ACK,
			  &(struct msg_events_ack){
				  .req = cl->req, .serial = r->offset, .place = r->limit });
}

static void
start_stats(struct client *cl)
{
	static const enum proc_id kinds[] = { PROC_SMTPD, PROC_QMGR, PROC_ROUTER };

	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct chan *c = svc_peer(cl->ctl->svc, kinds[i], 0);
		if (c == NULL)
			continue;
		chan_send(c, MSG_STATS_QUERY, &(struct msg_stats_query){ .req = cl->req });
		cl->waiting++;
	}
	if (svc_peer(cl->ctl->svc, PROC_QMGR, 0) == NULL)
		fail(cl, E_PEERGONE, "the queue manager is starting; try again in a moment");
}

void
request_start(struct client *cl, const struct admin_request *r)
{
	struct control *ctl = cl->ctl;

	if (++ctl->last_req == 0)
		ctl->last_req = 1;
	cl->req = ctl->last_req;
	cl->kind = r->kind;
	map64_put(&ctl->requests, cl->req, cl);
	switch (r->kind) {
	case ADMIN_QUEUE:
		start_queue(cl, r);
		break;
	case ADMIN_ROUTE:
		start_route(cl, r);
		break;
	case ADMIN_STATS:
		start_stats(cl);
		break;
	case ADMIN_TABLES:
		chan_send(ctl->svc->master, MSG_TABLES_CHECK, &(struct msg_tables_check){ 0 });
		done(cl, 0, "", 0, 0);
		break;
	case ADMIN_EVENTS:
	case ADMIN_EVENTS_ACK:
		start_events(cl, r);
		break;
	case ADMIN_KIND_COUNT:
		fail(cl, E_SYNTAX, "unknown request");
		break;
	}
}

static void
send_more(struct client *cl, bool is_cancelled)
{
	struct chan *qmgr = svc_peer(cl->ctl->svc, PROC_QMGR, 0);

	if (qmgr != NULL)
		chan_send(qmgr, MSG_QUEUE_MORE,
			  &(struct msg_queue_more){ .req = cl->req, .is_cancelled = is_cancelled });
}

void
request_drained(struct client *cl)
{
	if (!cl->is_more_due)
		return;
	cl->is_more_due = false;
	cl->items = 0;
	send_more(cl, false);
}

void
request_end(struct client *cl)
{
	if (cl->req == 0 || map64_del(&cl->ctl->requests, cl->req) == NULL)
		return;
	if (cl->kind == ADMIN_QUEUE)
		send_more(cl, true);
}

static void
item(struct client *cl, struct span bytes)
{
	conn_answer(cl, &(struct admin_answer){ .kind = ADMIN_ITEM, .bytes = bytes });
	if (++cl->items == ITEMS_PER_MORE)
		cl->is_more_due = true;
}

static void
stats(struct client *cl, enum proc_id origin, struct span json)
{
	conn_answer(cl, &(struct admin_answer){
				.kind = ADMIN_STATS_OF, .origin = (uint8_t)origin, .bytes = json });
	if (cl->waiting > 0 && --cl->waiting == 0)
		done(cl, 0, "", 0, 0);
}

static void
smtpd_stats(struct client *cl, const struct msg_smtpd_stats *m)
{
	const struct {
		const char *name;
		uint64_t n;
	} first[] = { { "sessions", m->sessions }, { "connections", m->connections },
		      { "messages", m->messages }, { "recipients", m->recipients },
		      { "bytes", m->bytes },	   { "refused", m->refused },
		      { "ended", m->ended } },
	  rejects[] = { { "relay", m->relay },	   { "unknown", m->unknown },
			{ "address", m->address }, { "size", m->size },
			{ "content", m->content }, { "rate", m->rate },
			{ "syntax", m->syntax },   { "policy", m->policy },
			{ "later", m->later } };
	struct buf json;

	buf_init(&json, 4096);
	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		buf_printf(&json, "%s\"%s\":%llu", i == 0 ? "{" : ",", first[i].name,
			   (unsigned long long)first[i].n);
	for (size_t i = 0; i < sizeof(rejects) / sizeof(rejects[0]); i++)
		buf_printf(&json, "%s\"%s\":%llu", i == 0 ? ",\"rejects\":{" : ",", rejects[i].name,
			   (unsigned long long)rejects[i].n);
	buf_puts(&json, "}}");
	stats(cl, PROC_SMTPD, buf_span(&json));
	buf_clear(&json);
}

static void
events(struct client *cl, const struct msg_events_page *m)
{
	if (m->records.n > 0)
		conn_answer(cl, &(struct admin_answer){ .kind = ADMIN_ITEM, .bytes = m->records });
	conn_answer(cl, &(struct admin_answer){ .kind = ADMIN_DONE,
						.code = m->code,
						.messages = m->next,
						.recipients = m->place,
						.bytes = m->text });
}

/* An answer to a request whose client is gone is dropped. */
void
request_on_msg(struct control *ctl, struct chan *c, enum msg_type type, union msg_any *msg)
{
	uint32_t req = type == MSG_QUEUE_ITEM	 ? msg->queue_item.req
		       : type == MSG_QUEUE_DONE	 ? msg->queue_done.req
		       : type == MSG_STATS	 ? msg->stats.req
		       : type == MSG_SMTPD_STATS ? msg->smtpd_stats.req
		       : type == MSG_EVENTS_PAGE ? msg->events_page.req
		       : type == MSG_ROUTE_STEP	 ? msg->route_step.req
		       : type == MSG_ROUTE_DONE	 ? msg->route_done.req
						 : 0;
	struct client *cl = map64_get(&ctl->requests, req);

	if (cl == NULL)
		return;
	if (type == MSG_QUEUE_ITEM)
		item(cl, msg->queue_item.item);
	else if (type == MSG_QUEUE_DONE)
		conn_answer(cl, &(struct admin_answer){ .kind = ADMIN_DONE,
							.code = msg->queue_done.code,
							.messages = msg->queue_done.messages,
							.recipients = msg->queue_done.recipients,
							.bytes = msg->queue_done.text });
	else if (type == MSG_EVENTS_PAGE)
		events(cl, &msg->events_page);
	else if (type == MSG_STATS)
		stats(cl, chan_kind(c), msg->stats.json);
	else if (type == MSG_SMTPD_STATS)
		smtpd_stats(cl, &msg->smtpd_stats);
	else if (type == MSG_ROUTE_STEP)
		conn_answer(cl, &(struct admin_answer){ .kind = ADMIN_ITEM,
							.bytes = msg->route_step.text });
	else
		done(cl, 0, "", msg->route_done.action, 0);
	if (type == MSG_QUEUE_DONE || type == MSG_EVENTS_PAGE)
		map64_del(&ctl->requests, req);
}

void
request_on_peer_lost(struct control *ctl, enum proc_id kind)
{
	LIST_EACH_SAFE(it, tmp, &ctl->clients) {
		struct client *cl = LIST_ENTRY(it, struct client, node);
		bool is_asked = (kind == PROC_QMGR && cl->kind != ADMIN_ROUTE) ||
				(kind == PROC_ROUTER && cl->kind != ADMIN_QUEUE) ||
				(kind == PROC_SMTPD && cl->kind == ADMIN_STATS);
		if (cl->req != 0 && is_asked && map64_get(&ctl->requests, cl->req) != NULL)
			fail(cl, E_PEERGONE, "a part of the server has just restarted; try again");
	}
}
