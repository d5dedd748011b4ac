/* SPDX-License-Identifier: ISC
 *
 * The end of a child: says in the log how it ended, tells its siblings, and starts it again with back-off (at once the
 * first time, then 1 s, 2 s, ... 60 s). A child that ends with 78 has said that nothing will change by trying again. Runs
 * in master; as PID 1 it takes the status of strangers' orphans too.
 */
/* System */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>

/* lib */
#include "base/clock.h"
#include "base/log.h"

/* this program */
#include "master/child.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 60000
#define HEALTHY_MS 60000 /* who ran so long begins anew */
#define NEVER UINT64_MAX

/* Crashes count against the job or record that a process worked on; kill -9 and out of memory do not. */
static bool
is_crash_signal(int sig)
{
	return sig == SIGSEGV || sig == SIGBUS || sig == SIGABRT || sig == SIGILL ||
	       sig == SIGFPE || sig == SIGSYS;
}

/* When to start it again: after so many ms, or NEVER. */
static uint64_t
next_start(struct child *c, int status)
{
	bool is_temp = WIFEXITED(status) && WEXITSTATUS(status) == EX_TEMPFAIL;
	uint64_t delay;

	if (c->state == CHILD_LEAVING || c->is_alone || c->m->stop_phase != STOP_NOT)
		return NEVER;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG)
		return NEVER;
	if (clock_mono_ms() - c->started_ms >= HEALTHY_MS)
		c->backoff_ms = 0;
	delay = c->backoff_ms;
	if (is_temp && delay < BACKOFF_FIRST_MS)
		delay = BACKOFF_FIRST_MS;
	c->backoff_ms = delay == 0		     ? BACKOFF_FIRST_MS
			: 2 * delay < BACKOFF_MAX_MS ? 2 * delay
						     : BACKOFF_MAX_MS;
	return delay;
}

static void
log_exit(const struct child *c, int status, uint64_t next_ms)
{
	bool is_good = WIFEXITED(status) && WEXITSTATUS(status) == 0 && c->state == CHILD_LEAVING;
	enum log_level level = !is_good			      ? LOG_WARN_
			       : c->m->stop_phase == STOP_NOT ? LOG_INFO_
							      : LOG_DEBUG_;
	struct log_event ev;

	log_begin(&ev, level, "child_exit");
	log_kvs(&ev, "name", proc_info(c->kind)->name);
	log_kv_u64(&ev, "slot", c->slot);
	log_kv_u64(&ev, "child", (uint64_t)c->pid);
	if (WIFSIGNALED(status))
		log_kvf(&ev, "signal", "SIG%s",
			sigabbrev_np(WTERMSIG(status)) ? sigabbrev_np(WTERMSIG(status)) : "?");
	else
		log_kv_u64(&ev, "status", (uint64_t)WEXITSTATUS(status));
	if (c->kill_reason != NULL)
		log_kvs(&ev, "reason", c->kill_reason);
	else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		log_kvs(&ev, "reason", "made a system call that its sandbox forbids");
	if (next_ms != NEVER)
		log_kv_u64(&ev, "next_ms", next_ms);
	else
		log_kvs(&ev, "next", "never");
	log_end(&ev);
}

static void
tell_siblings(const struct child *c, bool is_crash, bool is_final)
{
	LIST_EACH(it, &c->m->children) {
		const struct child *s = LIST_ENTRY(it, struct child, node);
		if (s == c || !child_is_running(s) || !proc_has_channel(c->kind, s->kind))
			continue;
		chan_send(s->chan, MSG_PEER_LOST,
			  &(struct msg_peer_lost){ .kind = (uint8_t)c->kind,
						   .slot = c->slot,
						   .is_crash = is_crash,
						   .is_final = is_final });
	}
}

/* One that will not be started again by itself: forgotten, or kept for the next reload. */
static void
give_up(struct child *c, int status)
{
	struct master *m = c->m;
	bool is_refusal = WIFEXITED(status) && WEXITSTATUS(status) == EX_CONFIG &&
			  c->state != CHILD_LEAVING && !c->is_alone;
	enum proc_id kind = c->kind;

	if (!is_refusal || m->stop_phase != STOP_NOT) {
		child_free(&c);
		return;
	}
	c->state = CHILD_IDLE;
	if (!m->is_ready)
		master_fail(m, EX_CONFIG, "%s cannot start; its own message is above",
			    proc_info(kind)->name);
	else
		log_warn("%s is not started again: mend what its last message says, then `postern "
			 "reload`",
			 proc_info(kind)->name);
}

static void
on_exit(struct child *c, int status)
{
	struct master *m = c->m;
	bool is_crash = WIFSIGNALED(status) && is_crash_signal(WTERMSIG(status));
	uint64_t next_ms = next_start(c, status);

	timer_stop(&c->timer);
	chan_free(&c->chan);
	childerr_drain(m);
	log_exit(c, status, next_ms);
	c->pid = 0;
	tell_siblings(c, is_crash, next_ms == NEVER);
	if (next_ms == NEVER) {
		give_up(c, status);
	} else {
		c->state = CHILD_IDLE;
		if (next_ms == 0)
			child_start(c);
		else
			timer_start(&c->timer, next_ms);
	}
	stop_step(m);
}

void
reap_children(struct master *m)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno == EINTR)) {
		struct child *c = pid > 0 ? child_find_pid(m, pid) : NULL;
		if (c != NULL)
			on_exit(c, status);
	}
}

void
child_kill(struct child *c, const char *reason)
{
	if (!child_is_running(c))
		return;
	c->kill_reason = reason;
	kill(c->pid, SIGKILL);
}

void
child_stop(struct child *c, bool is_reload, uint64_t grace_ms)
{
	if (!child_is_running(c)) {
		child_free(&c);
		return;
	}
	c->state = CHILD_LEAVING;
	if (c->chan != NULL)
		chan_send(c->chan, MSG_STOP,
			  &(struct msg_stop){ .grace_ms = (uint32_t)grace_ms,
					      .is_reload = is_reload });
	timer_start(&c->timer, grace_ms + 500);
}
