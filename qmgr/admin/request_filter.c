/* SPDX-License-Identifier: ISC
 *
 * What a request selects: queue ids and filters as an administrator writes them. The texts are a user's; the store
 * compares them, nothing here does. Run by qmgr on its loop. */

/* lib */
#include "base/id.h"
/* this program */
#include "qmgr/admin/request.h"

enum { IDS_MAX = 4096 };

static bool
parse_state(struct request *q, struct span v)
{
	struct store_filter *f = &q->filter;
	static const struct {
		const char *name;
		int state;
		bool is_deferred;
	} states[] = {
		{ "deferred", ROW_READY, true },   { "active", ROW_READY, false },
		{ "ready", ROW_READY, false },	   { "held", ROW_HELD, false },
		{ "hold", ROW_HELD, false },	   { "corrupt", ROW_CORRUPT, false },
		{ "unknown", ROW_UNKNOWN, false },
	};

	for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		if (span_ieq(v, span_of(states[i].name))) {
			f->state = states[i].state;
			f->is_deferred = states[i].is_deferred;
			q->only_active = states[i].state == ROW_READY && !states[i].is_deferred;
			return true;
		}
	}
	return false;
}

/* "90", "90s", "5m", "2h", "3d" */
static bool
parse_age(struct span v, uint64_t *ms_out)
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', 86400000 } };
	uint64_t n, ms = 1000;

	for (unsigned i = 0; v.n > 0 && i < sizeof(units) / sizeof(units[0]); i++) {
		if (v.p[v.n - 1] == units[i].unit) {
			ms = units[i].ms;
			v.n--;
			break;
		}
	}
	if (span_to_u64(v, 100000000, &n) < 0)
		return false;
	*ms_out = n * ms;
	return true;
}

/* NULL: taken. Else what is wrong with it. */
static const char *
take_filter(struct request *q, struct span word)
{
	struct store_filter *f = &q->filter;
	struct span key, v = word;
	uint64_t age;

	span_next(&v, '=', &key);
	if (span_eq(key, SPAN("state")))
		return parse_state(q, v)
			       ? NULL
			       : "state= is one of deferred, active, held, corrupt, unknown";
	if (span_eq(key, SPAN("older"))) {
		if (!parse_age(v, &age))
			return "older= takes a time like 90s, 30m, 2h, 5d";
		uint64_t now = clock_wall_ms();
		f->born_before_ms = now > age ? now - age : 1;
		return NULL;
	}
	v = arena_dup(&q->arena, v);
	if (span_eq(key, SPAN("sender")))
		f->sender = v;
	else if (span_eq(key, SPAN("rcpt")))
		f->rcpt = v;
	else if (span_eq(key, SPAN("domain")))
		f->domain = v;
	else if (span_eq(key, SPAN("site")))
		f->lane = v;
	else if (span_eq(key, SPAN("error")))
		f->error = v;
	else
		return "unknown filter; there are sender= rcpt= domain= site= state= older= error=";
	return NULL;
}

const char *
request_take_filters(struct request *q, struct span words)
{
	struct cur c = cur_of(words);
	uint64_t *ids = arena_alloc(&q->arena, IDS_MAX * sizeof(uint64_t));
	size_t count = 0;
	const char *why = NULL;

	q->filter.state = -1;
	while (cur_left(&c) > 0 && !c.is_failed && why == NULL) {
		struct span word = cur_bytes(&c, words.n);

		if (span_chr(word, '=') >= 0)
			why = take_filter(q, word);
		else if (count == IDS_MAX)
			why = "too many queue ids";
		else if (id_parse(word, &ids[count]) < 0)
			why = "not a queue id";
		else
			count++;
	}
	q->filter.qids = ids;
	q->filter.qid_count = count;
	return c.is_failed ? "malformed request" : why;
}
