/* SPDX-License-Identifier: ISC
 *
 * Where the log lines of a child go: to logd, in order, and nobody ever waits for it. What comes before logd is there is
 * kept, what is too much is counted. Runs in every child of master but logd.
 */
/* System */
#include <stdlib.h>

/* lib */
#include "base/log.h"
#include "svc/core.h"

static void
log_sink(void *arg, struct span record)
{
	struct svc *s = arg;
	struct svc_priv *o = s->own;
	struct peer *logd = peer_find_up(s, PROC_LOGD, 0);

	if (o->is_in_sink)
		return;
	o->is_in_sink = true;
	if (logd == NULL) {
		if (o->early_log.n + record.n < EARLY_LOG_MAX)
			buf_put_bytes(&o->early_log, record);
		else
			o->lost_lines++;
	} else if (chan_is_full(logd->chan)) {
		o->lost_lines++;
	} else {
		chan_send(logd->chan, MSG_LOG_RECORD, &(struct msg_log_record){ .record = record });
	}
	o->is_in_sink = false;
}

void
sink_catch_up(struct svc *s, struct peer *logd)
{
	struct svc_priv *o = s->own;
	struct cur c = cur_of(buf_span(&o->early_log));

	while (cur_left(&c) > 0) {
		struct span record = cur_bytes(&c, LOG_EVENT_MAX);
		chan_send(logd->chan, MSG_LOG_RECORD, &(struct msg_log_record){ .record = record });
	}
	buf_clear(&o->early_log);
	if (o->lost_lines > 0) {
		uint64_t n = o->lost_lines;
		o->lost_lines = 0;
		log_warn("%llu log lines lost", (unsigned long long)n);
	}
}

/* die_temp() and die_perm() end here: their line still reaches the log. */
static struct svc *dying;

static void
flush_last_words(void)
{
	struct peer *logd = peer_find_up(dying, PROC_LOGD, 0);

	if (logd != NULL) {
		chan_flush(logd->chan);
		return;
	}
	struct cur c = cur_of(buf_span(&dying->own->early_log));
	while (cur_left(&c) > 0)
		log_stderr(cur_bytes(&c, LOG_EVENT_MAX));
}

void
sink_open(struct svc *s)
{
	log_set_sink(log_sink, s);
	dying = s;
	atexit(flush_last_words);
}
