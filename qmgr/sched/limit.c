/* SPDX-License-Identifier: ISC
 *
 * The limits of a lane: which site block of the configuration holds for it, and message_rate as a leaky bucket (GCRA):
 * one number of the lane, no timer of its own. Run by qmgr on its loop. */

/* System */
#include <string.h>
/* lib */
#include "conf/table.h"
/* this program */
#include "qmgr/sched/sched_int.h"

enum { BURST_US = 1000000 }; /* so much may go at once after a pause */

/* "*.google.com": * at the front stands for anything. */
static bool
host_matches(const char *pattern, struct span host)
{
	struct span p = span_of(pattern);

	if (p.n > 0 && p.p[0] == '*')
		return span_iends(host, span_sub(p, 1, SIZE_MAX));
	return span_ieq(p, host);
}

static bool
site_has_host(const struct conf_site *site, struct span host)
{
	for (size_t i = 0; i < site->mx.count; i++)
		if (host_matches(site->mx.items[i], host))
			return true;
	return false;
}

static bool
is_default(const struct conf_site *site)
{
	return strcmp(site->title, "default") == 0;
}

/* The block named like the site (router puts the name there), else one whose MX names fit the first host, else "default". */
const struct conf_site *
limit_find(const struct sched *s, struct span name, struct span host)
{
	const struct conf *conf = sched_conf(s);
	const struct conf_site *found = &s->site_conf->site[0];

	for (size_t i = 0; i < conf->site_count; i++) {
		const struct conf_site *site = &conf->site[i];

		if (!is_default(site) &&
		    (span_ieq(span_of(site->title), name) || site_has_host(site, host)))
			return site;
		if (is_default(site))
			found = site;
	}
	return found;
}

void
lane_set_limits(struct lane *l, const struct plan *plan)
{
	l->limits = limit_find(l->s, span_of(l->site),
			       plan->host_count > 0 ? plan->hosts[0].name : SPAN_NONE);
}

/* The configuration is another one: no lane may point into the old. */
void
lane_conf(struct sched *s)
{
	struct span name;
	void *value;
	struct plan plan;
	struct arena a;

	arena_init(&a, 4096);
	for (size_t it = 0; map_next(&s->lanes, &it, &name, &value);) {
		struct lane *l = value;

		if (l->plan != NULL && plan_decode(span_make(l->plan, l->plan_n), &a, &plan) == 0)
			lane_set_limits(l, &plan);
		lane_kick(l);
		arena_clear(&a);
	}
}

/* Holds the defaults of a site block. */
struct conf *
limit_defaults(void)
{
	struct conf *c = conf_defaults();

	(void)conf_block_add(c, conf_group_find(SPAN("site")), SPAN("default"), 0);
	return c;
}

static uint64_t
interval_us(const struct lane *l)
{
	const struct conf_rate *rate = &l->limits->message_rate;

	return rate->count > 0 ? rate->per_ms * 1000 / rate->count : 0;
}

uint64_t
lane_rate_wait_us(const struct lane *l)
{
	uint64_t now = clock_mono_us(), interval, burst;

	if (l->limits == NULL || (interval = interval_us(l)) == 0)
		return 0;
	burst = interval < BURST_US ? BURST_US - interval : 0;
	return l->tat_us > now + burst ? l->tat_us - now - burst : 0;
}

void
lane_rate_take(struct lane *l)
{
	uint64_t now = clock_mono_us();

	if (l->limits == NULL || interval_us(l) == 0)
		return;
	l->tat_us = (l->tat_us > now ? l->tat_us : now) + interval_us(l);
}
