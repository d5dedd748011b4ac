/* SPDX-License-Identifier: ISC
 *
 * Room on the disk: whether mail can be taken at all, empty segments kept ready, dead ones retired, spare ones removed,
 * a reserve for the moment when the disk is full. What to do with a batch is commit.c's, what is live compact.c's and the
 * store's. Runs in qmgr on the loop; what touches the disk runs on the disk thread, one thing at a time.
 *
 * Mail is refused (INTAKE_STATE) while two batches in a row failed, until a write and a sync succeed; while queue.db has
 * no room; while less than min_free, or too few inodes, are left. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
/* this program */
#include "qmgr/crashpoint.h"
#include "qmgr/spool/spool_int.h"

enum {
	SPACE_TICK_MS = 1000,
	PROBE_MS = 5000,
	IDLE_MS = 1000,	      /* no commit for so long: the disk is idle */
	USED_MAX_MS = 600000, /* how long a high-water mark of segments is remembered */
	SEGMENTS_READY = 2,   /* one for the log, one for compaction and reports */
	INODES_MIN = 100,
	RESERVE_AGAIN_MS = 60000,
	MAKE_AGAIN_MS = 30000, /* after a failure; the commit itself tries at every batch */
	KNOWN_MS =
		120000, /* so long queue ids of the scan are kept at hand: an intake gives up earlier */
	RESERVE_BYTES = 4 * 1024 * 1024,
	AGAIN_BYTES = 64 * 1024 * 1024,
};

/* --- whether mail is taken ------------------------------------------------------------------- */

static int
judge(const struct spool *sp)
{
	const struct space *s = &sp->space;

	if (commit_failures(sp->commit) >= COMMIT_FAILURES_MAX)
		return s->fail_code;
	if (s->is_store_full || s->is_low)
		return E_NOSPACE;
	return 0;
}

static const char *
reason(const struct spool *sp, int code)
{
	if (commit_failures(sp->commit) >= COMMIT_FAILURES_MAX)
		return code == E_NOSPACE    ? "the disk of the spool is full"
		       : code == E_READONLY ? "the disk of the spool is read-only"
					    : "the disk of the spool fails";
	if (sp->space.is_store_full)
		return "no room for queue.db";
	return "less than limits { min_free } is left";
}

static void
update(struct spool *sp)
{
	struct space *s = &sp->space;
	int code = judge(sp);

	if (code == s->code)
		return;
	s->code = code;
	if (code != 0)
		log_warn("no mail is taken: %s (%llu MiB free)", reason(sp, code),
			 (unsigned long long)(s->free_bytes >> 20));
	else
		log_info("mail is taken again (%llu MiB free)",
			 (unsigned long long)(s->free_bytes >> 20));
	sp->conf.on_intake(sp->conf.intake_arg);
}

bool
space_is_congested(const struct spool *sp)
{
	return commit_backlog(sp->commit) >= COMMIT_BACKLOG_BYTES ||
	       sp->log_bytes >= sp->window_bytes || store_backlog(sp->store) >= STORE_BACKLOG_BYTES;
}

bool
space_is_idle(const struct spool *sp)
{
	return clock_mono_ms() >= sp->last_commit_ms + IDLE_MS && commit_backlog(sp->commit) == 0;
}

/* --- the reserve ----------------------------------------------------------------------------- */

struct reserve_job {
	struct worker_job job;
	struct spool *sp;
	bool is_wanted;
	int err;
};

static void
reserve_run(struct worker_job *job)
{
	struct reserve_job *j = (struct reserve_job *)(void *)job;
	int fd;

	if (!j->is_wanted) {
		unlinkat(j->sp->segments_fd, "reserve", 0);
		return;
	}
	fd = openat(j->sp->segments_fd, "reserve", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fallocate(fd, 0, 0, RESERVE_BYTES) < 0)
		j->err = err_from_errno(errno);
	fd_close(&fd);
	if (j->err < 0)
		unlinkat(j->sp->segments_fd, "reserve", 0);
}

static void
reserve_done(struct worker_job *job)
{
	struct reserve_job *j = (struct reserve_job *)(void *)job;
	struct space *s = &j->sp->space;

	s->is_reserve_running = false;
	s->has_reserve = j->is_wanted && j->err == 0;
	s->reserve_ms = clock_mono_ms() + RESERVE_AGAIN_MS;
	mem_free(j);
}

static void
reserve(struct spool *sp, bool is_wanted)
{
	struct reserve_job *j;

	if (sp->space.is_reserve_running || sp->space.has_reserve == is_wanted || !sp->is_started)
		return;
	j = mem_zalloc(sizeof(*j));
	j->job = (struct worker_job){ .run = reserve_run, .done = reserve_done };
	j->sp = sp;
	j->is_wanted = is_wanted;
	sp->space.is_reserve_running = true;
	worker_submit(sp->disk_thread, &j->job);
}

/* --- what happened --------------------------------------------------------------------------- */

void
space_on_batch(struct spool *sp, int err)
{
	struct space *s = &sp->space;

	if (!sp->is_started)
		return;
	atomic_store(&s->is_busy, true);
	if (err < 0) {
		s->fail_code = err == E_NOSPACE || err == E_READONLY ? err : E_IO;
		s->probe_ms = clock_mono_ms() + PROBE_MS;
		log_warn("a batch of messages cannot be stored: %s", err_info(err)->text);
		if (err == E_NOSPACE)
			reserve(sp, false);
	}
	update(sp);
}

void
space_on_store_full(struct spool *sp, bool is_full)
{
	sp->space.is_store_full = is_full;
	if (is_full)
		reserve(sp, false);
	update(sp);
}

/* --- the file system ------------------------------------------------------------------------- */

static void
stat_run(struct worker_job *job)
{
	struct spool *sp = (struct spool *)(void *)((char *)job -
						    offsetof(struct spool, space.stat_job));
	struct statvfs st;

	if (fstatvfs(sp->segments_fd, &st) < 0)
		return;
	sp->space.stat_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	/* Some file systems have no number of inodes. */
	sp->space.stat_files = st.f_files > 0 ? st.f_favail : UINT64_MAX;
}

/* Once closed, somewhat more than min_free opens again: not at every message that leaves. */
static uint64_t
low_water(const struct spool *sp)
{
	uint64_t min = sp->conf.min_free_bytes;

	return sp->space.is_low ? min + (min / 8 < AGAIN_BYTES ? min / 8 : AGAIN_BYTES) : min;
}

static void
stat_done(struct worker_job *job)
{
	struct spool *sp = (struct spool *)(void *)((char *)job -
						    offsetof(struct spool, space.stat_job));
	struct space *s = &sp->space;

	s->is_stat_running = false;
	s->free_bytes = s->stat_bytes;
	s->is_low = s->stat_bytes < low_water(sp) || s->stat_files < INODES_MIN;
	update(sp);
	if (s->free_bytes >= sp->conf.min_free_bytes + 4 * (uint64_t)RESERVE_BYTES &&
	    s->code == 0 && clock_mono_ms() >= s->reserve_ms)
		reserve(sp, true);
}

static void
look(struct spool *sp)
{
	struct space *s = &sp->space;

	if (s->is_stat_running)
		return;
	s->is_stat_running = true;
	s->stat_job = (struct worker_job){ .run = stat_run, .done = stat_done };
	worker_submit(sp->disk_thread, &s->stat_job);
}

/* --- segments -------------------------------------------------------------------------------- */

enum make_work { MAKE_NEW, MAKE_ZEROED, MAKE_RETIRE, MAKE_REMOVE };

struct make_job {
	struct worker_job job;
	struct spool *sp;
	enum make_work work;
	struct segment *seg;
	uint32_t number;
	int err;
};

static bool
is_busy(void *arg)
{
	struct spool *sp = arg;

	return atomic_load(&sp->space.is_busy);
}

static void
make_run(struct worker_job *job)
{
	struct make_job *j = (struct make_job *)(void *)job;
	struct segments *segs = &j->sp->segs;

	if (j->work == MAKE_RETIRE) {
		CRASHPOINT("retiring-committed");
		j->err = segments_retire(segs, j->seg);
		CRASHPOINT("segment-retired");
	} else if (j->work == MAKE_REMOVE) {
		j->err = segments_remove(segs, j->seg);
	} else {
		j->err = segments_make(segs, j->work == MAKE_ZEROED, is_busy, j->sp);
	}
}

static void
make_done(struct worker_job *job)
{
	struct make_job *j = (struct make_job *)(void *)job;
	struct spool *sp = j->sp;

	sp->space.is_making = false;
	if (j->work == MAKE_RETIRE && j->err == 0) {
		store_segment_empty(sp->store, j->number);
		sp->stats.retired++;
	}
	if (j->work == MAKE_RETIRE && j->err < 0)
		segment_seal(&sp->segs, j->seg, j->seg->end);
	if (j->err < 0 && j->err != E_AGAIN) {
		sp->space.make_ms = clock_mono_ms() + MAKE_AGAIN_MS;
		if (j->seg != NULL)
			log_warn("segments/%u.seg cannot be made ready for use: %s", j->number,
				 err_info(j->err)->text);
		else
			log_warn("no new segment can be made: %s", err_info(j->err)->text);
	}
	mem_free(j);
}

static void
make(struct spool *sp, enum make_work work, struct segment *seg)
{
	struct make_job *j = mem_zalloc(sizeof(*j));

	j->job = (struct worker_job){ .run = make_run, .done = make_done };
	j->sp = sp;
	j->work = work;
	j->seg = seg;
	j->number = seg != NULL ? seg->number : 0;
	sp->space.is_making = true;
	worker_submit(sp->disk_thread, &j->job);
}

static void
on_retiring(void *arg)
{
	struct make_job *j = arg;

	worker_submit(j->sp->disk_thread, &j->job);
}

/* Nothing in it is live: its row says so first, then it gets a new salt. */
static void
retire(struct spool *sp, struct segment *seg)
{
	struct make_job *j = mem_zalloc(sizeof(*j));

	j->job = (struct worker_job){ .run = make_run, .done = make_done };
	j->sp = sp;
	j->work = MAKE_RETIRE;
	j->seg = seg;
	j->number = seg->number;
	pthread_mutex_lock(&sp->segs.lock);
	seg->state = SEGMENT_RETIRING;
	pthread_mutex_unlock(&sp->segs.lock);
	sp->space.is_making = true;
	store_segment_retiring(sp->store, seg->number, on_retiring, j);
}

/* The segments by use: which one is dead, which one is to spare. */
struct census {
	struct segment *dead, *spare;
	uint32_t empty, used;
};

static struct census
count(struct spool *sp)
{
	struct census c = { 0 };

	pthread_mutex_lock(&sp->segs.lock);
	LIST_EACH(it, &sp->segs.all) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->state == SEGMENT_EMPTY) {
			c.empty++;
			c.spare = seg;
		} else {
			c.used++;
		}
		if (c.dead == NULL && seg->live_messages == 0 && seg != sp->compact.from &&
		    checkpoint_is_behind(sp, seg))
			c.dead = seg;
	}
	pthread_mutex_unlock(&sp->segs.lock);
	return c;
}

/* How many empty ones may stay: what was in use lately, and those that are kept ready. */
static uint32_t
allowed_empty(struct spool *sp, uint32_t used)
{
	struct space *s = &sp->space;
	uint64_t now_ms = clock_mono_ms();

	if (used >= s->used_max || now_ms >= s->used_max_ms + USED_MAX_MS) {
		s->used_max = used;
		s->used_max_ms = now_ms;
	}
	return s->is_low ? 1 : s->used_max - used + SEGMENTS_READY;
}

static void
keep_house(struct spool *sp)
{
	struct space *s = &sp->space;
	struct census c;

	if (s->is_making || clock_mono_ms() < s->make_ms)
		return;
	c = count(sp);
	if (c.empty > allowed_empty(sp, c.used) && segments_withdraw(&sp->segs, c.spare))
		make(sp, MAKE_REMOVE, c.spare);
	else if (c.dead != NULL)
		retire(sp, c.dead);
	/* A spare one must not be what brings us below min_free. */
	else if (s->free_bytes < sp->conf.min_free_bytes + sp->conf.segment_bytes)
		return;
	else if (c.empty == 0)
		make(sp, space_is_idle(sp) ? MAKE_ZEROED : MAKE_NEW, NULL);
	else if (c.empty < SEGMENTS_READY && space_is_idle(sp))
		make(sp, MAKE_ZEROED, NULL);
}

/* --- the tick -------------------------------------------------------------------------------- */

static void
on_timer(void *arg)
{
	struct spool *sp = arg;
	struct space *s = &sp->space;

	if (space_is_idle(sp))
		atomic_store(&s->is_busy, false);
	look(sp);
	if (commit_failures(sp->commit) >= COMMIT_FAILURES_MAX && clock_mono_ms() >= s->probe_ms) {
		s->probe_ms = clock_mono_ms() + PROBE_MS;
		commit_probe(sp->commit);
	}
	sp->conf.on_intake(sp->conf.intake_arg);
	keep_house(sp);
	compact_poke(sp);
	if (sp->has_known && clock_mono_ms() >= s->known_until_ms)
		spool_forget_known(sp);
	timer_start(&s->timer, SPACE_TICK_MS);
}

void
space_init(struct spool *sp)
{
	struct statvfs st;

	timer_init(&sp->space.timer, sp->conf.timers, on_timer, sp);
	/* Known before the first intake asks. */
	if (fstatvfs(sp->segments_fd, &st) == 0) {
		sp->space.free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
		sp->space.is_low = sp->space.free_bytes < sp->conf.min_free_bytes;
		sp->space.code = sp->space.is_low ? E_NOSPACE : 0;
	}
	sp->space.has_reserve = faccessat(sp->segments_fd, "reserve", F_OK, 0) == 0;
}

void
space_start(struct spool *sp)
{
	sp->space.used_max_ms = clock_mono_ms();
	sp->space.known_until_ms = clock_mono_ms() + KNOWN_MS;
	timer_start(&sp->space.timer, SPACE_TICK_MS);
}
