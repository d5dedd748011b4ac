/* SPDX-License-Identifier: ISC
 *
 * Aliases: router answered that a recipient becomes others. They become rows of queue.db, together with the parent's
 * mark, before one of them is tried (spool.md, section 3, 3), so that a crash expands again or not at all. Here it is
 * decided who becomes a child: an address that the message already has does not; one that stands in its own parent chain
 * is not expanded again. The table of aliases is router's. Run by qmgr on its loop.        RFC 5321 3.9, RFC 3461 5.2.7 */

/* System */
#include <string.h>
/* lib */
#include "mail/header.h"
/* this program */
#include "qmgr/sched/sched_int.h"

enum { DEPTH_MAX = 20 };

/* One expansion under way. */
struct expansion {
	struct sched *s;
	struct ask *ask;
	uint64_t number;
	uint32_t index; /* of the parent */
	struct reading reading;
	struct arena arena;
	struct span *addresses; /* what router gave */
	uint32_t count;
	bool has_self; /* the parent itself is among them: it goes to its mailbox, too */
	struct row *children;
	uint32_t child_count;
	struct map ancestors, known; /* lower-case addresses; values say nothing */
	bool is_too_deep, is_looping;
};

static char here[1];

static void
expansion_free(struct expansion *x)
{
	reading_end(&x->reading);
	map_clear(&x->ancestors);
	map_clear(&x->known);
	arena_clear(&x->arena);
	mem_free(x);
}

/* Addresses are compared without regard to case: two that differ by it are one mailbox almost everywhere, and a loop
 * must not get by. */
static struct span
lower(struct arena *a, struct span address)
{
	char *p = arena_cstr(a, address);

	for (size_t i = 0; i < address.n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] | 0x20);
	return span_make(p, address.n);
}

static struct entry *
parent_entry(const struct expansion *x)
{
	return entry_find(&x->s->entries, x->number, x->index);
}

/* The parent failed or was finished by this; nothing of it is left in memory. */
static void
parent_ends(struct expansion *x, const struct attempt *attempt)
{
	struct entry *e = parent_entry(x);

	if (attempt != NULL) {
		struct settle *t = settle_new(x->s);

		outcome_apply(t, &x->ask->facts, attempt);
		settle_commit(t);
	}
	if (e != NULL)
		entry_free(&x->s->entries, e);
	ask_end(x->s, x->ask);
	expansion_free(x);
}

static void
parent_fails(struct expansion *x, const char *why)
{
	parent_ends(x, &(struct attempt){ .status = OUTCOME_BOUNCED,
					  .reply = (uint16_t)err_info(E_LOOP)->reply,
					  .esc = span_of(err_info(E_LOOP)->esc),
					  .text = span_of(why),
					  .begun_ms = clock_wall_ms(),
					  .transport = -1 });
}

/* --- after the commit ------------------------------------------------------------------------ */

/* The alias names its own address: the parent goes on to its mailbox. */
static void
parent_goes_on(struct expansion *x, struct entry *e)
{
	struct ask *a = x->ask;
	struct arena arena;
	struct facts f;

	arena_init(&arena, 512);
	facts_copy(&arena, &a->facts, &f);
	f.flags = e->flags;
	f.is_single = false;
	resolve_entry(x->s, e, &f, a->from, a->from_waiter, true);
	arena_clear(&arena);
	ask_end(x->s, a);
	expansion_free(x);
}

static void
log_expanded(const struct expansion *x, uint32_t made)
{
	struct log_event ev;

	log_begin(&ev, LOG_INFO_, "expanded");
	log_kv_qid(&ev, "qid", x->ask->facts.qid);
	log_kv(&ev, "to", x->ask->facts.address);
	log_kv_u64(&ev, "count", made);
	log_end(&ev);
}

static void
expanded(void *arg, const struct row *made, uint32_t count)
{
	struct expansion *x = arg;
	struct sched *s = x->s;
	struct entry *e = parent_entry(x);

	log_expanded(x, count);
	s->stats.expanded++;
	for (uint32_t i = 0; i < count; i++) {
		struct row row = made[i];

		row.msg_sender = x->ask->facts.sender;
		sched_take_row(s, &row, NULL, NULL);
	}
	if (x->has_self && e != NULL && e->flags & (ENTRY_GONE | ENTRY_HOLD)) {
		sched_obey(s, e);
		parent_ends(x, NULL);
	} else if (x->has_self && e != NULL) {
		parent_goes_on(x, e);
	} else {
		parent_ends(x, NULL);
	}
}

/* --- who becomes a child ---------------------------------------------------------------------- */

/* NOTIFY of a child: SUCCESS is answered by the report "expanded" of the parent, unless there is one child only. */
static uint8_t
child_notify(const struct expansion *x)
{
	uint8_t notify = x->ask->facts.notify;

	if (x->child_count == 1 && !x->has_self)
		return notify;
	notify &= (uint8_t)~ENV_NOTIFY_SUCCESS;
	return notify == 0 && x->ask->facts.notify != 0 ? ENV_NOTIFY_NEVER : notify;
}

static void
add_child(struct expansion *x, struct span address, struct span key)
{
	const struct facts *f = &x->ask->facts;
	bool is_ancestor = map_get(&x->ancestors, key) != NULL;
	struct buf lane;

	if (!is_ancestor && map_get(&x->known, key) != NULL)
		return;
	map_put(&x->known, key, here);
	buf_init(&lane, LANE_NAME_MAX);
	waiter_name(address, &lane);
	x->children[x->child_count++] = (struct row){
		.number = x->number,
		.state = ROW_READY,
		.flags = ROW_IN_MEMORY | ROW_CHILD | (is_ancestor ? ROW_NO_ALIAS : 0u),
		.due_ms = clock_wall_ms(),
		.parent = x->index,
		.depth = (uint8_t)(f->depth + 1),
		.lane = arena_dup(&x->arena, buf_span(&lane)),
		.address = address,
		.orcpt = f->orcpt,
		.orig = f->orig.n > 0 ? f->orig : f->address,
	};
	buf_clear(&lane);
}

static void
choose_children(struct expansion *x)
{
	struct span self = lower(&x->arena, x->ask->facts.address);

	x->children = arena_alloc(&x->arena, (x->count + 1) * sizeof(*x->children));
	for (uint32_t i = 0; i < x->count; i++) {
		struct span key = lower(&x->arena, x->addresses[i]);

		if (span_eq(key, self))
			x->has_self = true;
		else
			add_child(x, x->addresses[i], key);
	}
	for (uint32_t i = 0; i < x->child_count; i++)
		x->children[i].notify = child_notify(x);
}

static void
put_event(const struct expansion *x)
{
	const struct facts *f = &x->ask->facts;

	store_event(x->s->store, &(struct event){ .kind = EVENT_EXPANDED,
						  .at_ms = clock_wall_ms(),
						  .number = f->number,
						  .qid = f->qid,
						  .index_plus_1 = f->index + 1,
						  .attempt = f->attempts,
						  .from = f->sender,
						  .to = f->address,
						  .count = x->child_count + x->has_self });
}

static void
report_expansion(struct expansion *x)
{
	const struct facts *f = &x->ask->facts;

	if (!(f->notify & ENV_NOTIFY_SUCCESS) || f->sender.n == 0 ||
	    x->child_count + x->has_self < 2)
		return;
	store_bounce(x->s->store, &(struct bounce){ .number = f->number,
						    .index = f->index,
						    .kind = BOUNCE_EXPANDED,
						    .at_ms = clock_wall_ms(),
						    .address = f->address,
						    .orcpt = f->orcpt,
						    .orig = f->orig,
						    .esc = SPAN("2.0.0") });
	reports_add(x->s->reports, f->number);
}

static void
commit(struct expansion *x)
{
	struct entry *e = parent_entry(x);

	if (e == NULL) {
		parent_ends(x, NULL);
		return;
	}
	if (e->flags & (ENTRY_GONE | ENTRY_HOLD)) {
		sched_obey(x->s, e);
		parent_ends(x, NULL);
		return;
	}
	if (x->ask->facts.depth >= DEPTH_MAX) {
		parent_fails(x, "Aliases lead through too many steps");
		return;
	}
	choose_children(x);
	report_expansion(x);
	put_event(x);
	store_expand(x->s->store, x->number, x->index, x->children, x->child_count, !x->has_self,
		     expanded, x);
	store_flush(x->s->store);
}

/* The addresses on the way from the envelope to the parent. */
static void
rows_known(void *arg, uint64_t number, const struct row *rows, uint32_t count)
{
	struct expansion *x = arg;
	uint32_t at = x->ask->facts.parent;

	(void)number;
	for (uint32_t i = 0; i < count; i++)
		map_put(&x->known, lower(&x->arena, rows[i].address), here);
	for (uint32_t step = 0; step <= DEPTH_MAX; step++) {
		const struct row *row = NULL;

		for (uint32_t i = 0; i < count && row == NULL; i++)
			if (rows[i].index == at)
				row = &rows[i];
		if (row == NULL)
			break;
		map_put(&x->ancestors, lower(&x->arena, row->address), here);
		if (!(row->flags & ROW_CHILD))
			break;
		at = row->parent;
	}
	commit(x);
}

static bool
has_too_many_hops(const struct expansion *x, const struct spool_msg *msg)
{
	unsigned hops = header_count(msg->trace, "Received");

	if (msg->content.p != NULL)
		hops += header_count(msg->content, "Received");
	return hops > sched_conf(x->s)->hop_limit;
}

static void
message_read(void *arg, int err, const struct spool_msg *msg)
{
	struct expansion *x = arg;
	struct envelope env;
	struct arena a;

	arena_init(&a, 4096);
	if (err == 0)
		err = envelope_decode(msg->envelope, &a, &env);
	if (err != 0) {
		arena_clear(&a);
		parent_ends(x, &(struct attempt){ .status = OUTCOME_DEFERRED,
						  .text = SPAN("The stored message cannot be read"),
						  .begun_ms = clock_wall_ms(),
						  .transport = -1,
						  .lane = span_of(x->ask->waiter->name) });
		return;
	}
	for (uint32_t i = 0; i < env.rcpt_count; i++) {
		struct span key = lower(&x->arena, env.rcpts[i].addr);

		map_put(&x->known, key, here);
		/* The recipient of the envelope at the top of the chain: its row is gone when it was expanded. */
		if (x->ask->facts.is_child && span_ieq(env.rcpts[i].addr, x->ask->facts.orig))
			map_put(&x->ancestors, key, here);
	}
	x->is_looping = has_too_many_hops(x, msg);
	arena_clear(&a);
	reading_end(&x->reading);
	if (x->is_looping)
		parent_fails(x, "Mail loop: the message passed through too many servers");
	else if (x->ask->facts.is_child)
		store_get_rows(x->s->store, x->number, rows_known, x);
	else
		commit(x);
}

/* (u32 length, address)* */
static bool
take_addresses(struct expansion *x, struct span expansion)
{
	struct cur c = cur_of(expansion);
	uint32_t cap = 0;

	for (; cur_left(&c) > 0 && cur_check(&c) == 0; cap++)
		(void)cur_bytes(&c, ENV_ADDR_MAX);
	if (cur_check_end(&c) < 0)
		return false;
	x->addresses = arena_alloc(&x->arena, (cap + 1) * sizeof(*x->addresses));
	c = cur_of(expansion);
	while (cur_left(&c) > 0) {
		struct span address = cur_bytes(&c, ENV_ADDR_MAX);

		if (address.n > 0)
			x->addresses[x->count++] = arena_dup(&x->arena, address);
	}
	return true;
}

void
expand_start(struct sched *s, struct ask *a, struct span expansion)
{
	struct expansion *x = mem_zalloc(sizeof(*x));
	struct entry *e = entry_at(&s->entries, a->entry_id);

	x->s = s;
	x->ask = a;
	x->number = a->facts.number;
	x->index = a->facts.index;
	arena_init(&x->arena, 4096);
	map_init(&x->ancestors);
	map_init(&x->known);
	e->state = ENTRY_EXPANDING;
	if (!take_addresses(x, expansion))
		die_temp("router gave an expansion that cannot be read");
	if (a->skip_aliases)
		parent_fails(x, "The alias leads back to itself");
	else
		reading_start(&x->reading, s->spool, x->number, &a->facts.place, message_read, x);
}

/* --- a copy of everything --------------------------------------------------------------------- */

static void
bcc_made(void *arg, const struct row *made, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		sched_take_row(arg, &made[i], NULL, NULL);
}

void
expand_bcc(struct sched *s, const struct spool_msg *msg, const struct envelope *env)
{
	struct span address = span_of(sched_conf(s)->bcc_always);
	struct row child;
	struct buf lane;

	if (address.n == 0 || address.n > ENV_ADDR_MAX || msg->origin == ORIGIN_REPORT)
		return;
	for (uint32_t i = 0; i < env->rcpt_count; i++)
		if (span_ieq(env->rcpts[i].addr, address))
			return;
	buf_init(&lane, LANE_NAME_MAX);
	waiter_name(address, &lane);
	/* Nobody is told when the archive fails: its own log lines say so. */
	child = (struct row){ .number = msg->number,
			      .state = ROW_READY,
			      .flags = ROW_IN_MEMORY | ROW_CHILD,
			      .due_ms = clock_wall_ms(),
			      .depth = 1,
			      .notify = ENV_NOTIFY_NEVER,
			      .lane = buf_span(&lane),
			      .address = address };
	store_expand(s->store, msg->number, 0, &child, 1, false, bcc_made, s);
	buf_clear(&lane);
}
