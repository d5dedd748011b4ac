/* SPDX-License-Identifier: ISC
 *
 * A job in memory: copies of what qmgr sent, and one outcome for each recipient. It does not deliver anything. Runs in
 * delivery and in the mailbox agent. */

/* System */
#include <string.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "delivery/job.h"

enum { OUTCOME_FIXED = 64, TEXT_MIN = 40 };

static void
init_outcomes(struct job *j)
{
	size_t room = JOB_OUTCOMES_MAX / j->env.rcpt_count;

	j->outcomes = arena_alloc(&j->mem, j->env.rcpt_count * sizeof(*j->outcomes));
	j->is_settled = arena_alloc(&j->mem, j->env.rcpt_count * sizeof(*j->is_settled));
	j->unsettled = j->env.rcpt_count;
	j->text_max = room > OUTCOME_FIXED + TEXT_MIN ? room - OUTCOME_FIXED : 0;
	if (j->text_max > JOB_TEXT_MAX)
		j->text_max = JOB_TEXT_MAX;
}

int
job_new(const struct msg_job *m, struct job **out)
{
	struct job *j = mem_zalloc(sizeof(*j));
	int r;

	*out = j;
	list_init(&j->node);
	j->id = m->job;
	j->qid = m->qid;
	j->number = m->number;
	j->session = m->session;
	j->content_flags = m->content_flags;
	j->content_len = m->content_len;
	arena_init(&j->mem, m->envelope.n + m->trace.n + m->content.n + 1024);
	buf_init(&j->pending, STREAM_WINDOW_BYTES);
	j->is_streamed = m->content.n == 0 && m->content_len > 0;
	r = envelope_decode(arena_dup(&j->mem, m->envelope), &j->mem, &j->env);
	if (r < 0 || j->env.rcpt_count == 0 ||
	    (!j->is_streamed && m->content.n != m->content_len)) {
		job_free(out);
		return E_CORRUPT;
	}
	j->trace = arena_dup(&j->mem, m->trace);
	j->content = arena_dup(&j->mem, m->content);
	init_outcomes(j);
	return 0;
}

void
job_free(struct job **jp)
{
	struct job *j = *jp;

	*jp = NULL;
	if (j == NULL)
		return;
	list_remove(&j->node);
	buf_clear(&j->pending);
	arena_clear(&j->mem);
	mem_free(j);
}

int
job_add_data(struct job *j, struct span data)
{
	if (!j->is_streamed || data.n > j->content_len - j->received)
		return E_CORRUPT;
	buf_put_span(&j->pending, data);
	if (buf_check(&j->pending) < 0)
		return E_CORRUPT;
	j->received += data.n;
	return 0;
}

void
job_take_data(struct job *j, size_t n)
{
	buf_drop(&j->pending, n);
	j->credit += (uint32_t)n;
}

bool
job_has_all(const struct job *j)
{
	return !j->is_streamed || j->received == j->content_len;
}

static void
settle(struct job *j, uint32_t i, const struct outcome *o)
{
	j->outcomes[i] = *o;
	j->outcomes[i].index = j->env.rcpts[i].index;
	j->is_settled[i] = true;
	j->unsettled--;
}

static struct outcome
keep(struct job *j, const struct outcome *o)
{
	struct outcome copy = *o;

	copy.esc = arena_dup(&j->mem, o->esc);
	copy.text = arena_dup(&j->mem, span_sub(o->text, 0, j->text_max));
	return copy;
}

void
job_settle(struct job *j, uint32_t i, const struct outcome *o)
{
	if (j->is_settled[i])
		return;
	struct outcome copy = keep(j, o);
	settle(j, i, &copy);
}

void
job_settle_rest(struct job *j, const struct outcome *o)
{
	if (j->unsettled == 0)
		return;
	struct outcome copy = keep(j, o);
	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		if (!j->is_settled[i])
			settle(j, i, &copy);
	}
}

void
job_put_outcomes(const struct job *j, struct buf *out)
{
	for (uint32_t i = 0; i < j->env.rcpt_count; i++) {
		if (j->is_settled[i])
			outcome_put(out, &j->outcomes[i]);
	}
}

struct outcome
job_error(int err, uint8_t flags, struct span text)
{
	const struct err_info *info = err_info(err);

	return (struct outcome){
		.status = info->class == ERR_CLASS_PERM ? OUTCOME_BOUNCED : OUTCOME_DEFERRED,
		.flags = flags,
		.esc = span_of(info->esc),
		.text = text.n > 0 ? text : span_of(info->text),
	};
}
