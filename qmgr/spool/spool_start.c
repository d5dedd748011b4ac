/* SPDX-License-Identifier: ISC
 *
 * The spool at start: folders, the lock of the one owner, segments, queue.db (made, opened, or rebuilt when it is lost),
 * what it knows of segments, the scan. Nothing is answered to anyone before all of it is done. A spool of another format
 * version, or of another process, is left as it is. Runs in qmgr on the loop's thread. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/log.h"
/* this program */
#include "qmgr/spool/spool_int.h"

enum {
	FOLDER_MODE = 0700,
	LOCK_WAIT_MS = 3000, /* a predecessor that is just dying */
	NUMBER_GAP = 65536,  /* numbers that may have been given without a trace */
};

static int
open_folder(int dir_fd, const char *name, int *out)
{
	if (mkdirat(dir_fd, name, FOLDER_MODE) < 0 && errno != EEXIST)
		return err_from_errno(errno);
	*out = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return *out < 0 ? err_from_errno(errno) : 0;
}

/* The pid of the owner, as it wrote it. */
static void
read_owner(int fd, char out[32])
{
	ssize_t n = pread(fd, out, 31, 0);

	out[n > 0 ? n : 0] = '\0';
	out[strspn(out, "0123456789")] = '\0';
}

static int
take_lock(struct spool *sp, struct buf *what_out)
{
	uint64_t until_ms = clock_mono_ms() + LOCK_WAIT_MS;
	struct timespec nap = { .tv_nsec = 20 * 1000 * 1000 };
	char pid[32];

	sp->lock_fd = openat(sp->segments_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
			     0600);
	if (sp->lock_fd < 0) {
		buf_printf(what_out, "segments/lock: %s", strerror(errno));
		return err_from_errno(errno);
	}
	while (flock(sp->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		if (clock_mono_ms() >= until_ms) {
			read_owner(sp->lock_fd, pid);
			buf_printf(what_out,
				   "the spool is in use by process %s; stop that server, or use "
				   "another directories { spool }",
				   pid[0] != '\0' ? pid : "(unknown)");
			return E_CONFIG;
		}
		nanosleep(&nap, NULL);
	}
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	/* Only for the message above; a disk without room for it does not stop us. */
	if (ftruncate(sp->lock_fd, 0) == 0 && pwrite(sp->lock_fd, pid, strlen(pid), 0) < 0)
		log_warn("segments/lock: %s", strerror(errno));
	return 0;
}

static int
open_folders(struct spool *sp, struct buf *what_out)
{
	int r;

	if ((r = open_folder(sp->dir_fd, "segments", &sp->segments_fd)) < 0 ||
	    (r = open_folder(sp->dir_fd, "corrupt", &sp->corrupt_fd)) < 0)
		buf_printf(what_out, "folders of the spool: %s", err_info(r)->text);
	return r;
}

static int
open_segments(struct spool *sp, struct buf *what_out)
{
	char name[32] = "";
	int r = segments_open(&sp->segs, sp->segments_fd, sp->conf.segment_bytes, name);

	if (r == E_CONFIG)
		buf_printf(what_out,
			   "segments/%s was written by another version; use that version, the "
			   "spool was not touched",
			   name);
	else if (r < 0)
		buf_printf(what_out, "segments/%s: %s", name, err_info(r)->text);
	return r;
}

/* The database is damaged, or we were told to doubt it: it is put aside, with its log, and made anew. */
static int
put_aside(struct spool *sp)
{
	char to[64];
	unsigned long long now = clock_wall_ms() / 1000;

	snprintf(to, sizeof(to), "queue.db-%llu", now);
	if (renameat(sp->dir_fd, "queue.db", sp->corrupt_fd, to) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	snprintf(to, sizeof(to), "queue.db-wal-%llu", now);
	if (renameat(sp->dir_fd, "queue.db-wal", sp->corrupt_fd, to) < 0 && errno != ENOENT)
		return err_from_errno(errno);
	return 0;
}

/* Was anything ever committed to the log? */
static bool
has_records(struct spool *sp)
{
	LIST_EACH(it, &sp->segs.all)
		if (LIST_ENTRY(it, struct segment, node)->first_batch != 0)
			return true;
	return sp->segs.next_number > 1;
}

static int
make_store(struct spool *sp, const struct store_hooks *hooks, struct buf *what_out)
{
	/* One that is empty was never filled. */
	unlinkat(sp->dir_fd, "queue.db", 0);
	unlinkat(sp->dir_fd, "queue.db-wal", 0);
	return store_open("queue.db", true, false, hooks, sp, what_out, &sp->store);
}

static int
open_store(struct spool *sp, const struct store_hooks *hooks, struct buf *what_out)
{
	bool is_suspicious = faccessat(sp->segments_fd, "suspicious", F_OK, 0) == 0;
	struct buf why;
	int r;

	buf_init(&why, 1024);
	r = store_open("queue.db", false, is_suspicious, hooks, sp, &why, &sp->store);
	if (r == E_CORRUPT) {
		log_warn("queue.db is damaged (%s): it was moved to queue/corrupt and is rebuilt "
			 "from the log",
			 buf_cstr(&why));
		if ((r = put_aside(sp)) == 0)
			r = E_NOTFOUND;
	}
	if (r == E_NOTFOUND) {
		bool is_lost = has_records(sp);

		buf_reset(&why);
		if ((r = make_store(sp, hooks, &why)) == 0 && is_lost)
			r = rebuild_store(sp, &why);
	}
	if (r < 0)
		buf_printf(what_out, "queue.db: %s", buf_cstr(&why));
	else if (is_suspicious)
		unlinkat(sp->segments_fd, "suspicious", 0);
	buf_clear(&why);
	return r;
}

/* What queue.db knows of a segment. */
static void
on_segment_row(void *arg, const struct store_segment *row)
{
	struct spool *sp = arg;
	struct segment *seg = segments_find(&sp->segs, row->number);

	if (seg == NULL) {
		if (row->live_messages > 0)
			log_warn("segments/%u.seg is gone: %llu messages in it cannot be delivered",
				 row->number, (unsigned long long)row->live_messages);
		return;
	}
	seg->live_messages = row->live_messages;
	seg->live_bytes = row->live_bytes;
	if (seg->state == SEGMENT_BAD && row->salt != 0) {
		log_warn("segments/%u.seg: the header is damaged; its messages are read all the "
			 "same",
			 row->number);
		seg->salt = row->salt;
		seg->kind = row->kind;
		seg->state = SEGMENT_FULL;
	}
}

/* A segment whose header is damaged and of which queue.db knows nothing: whether anything in it was live cannot be
 * told without its salt, so its bytes are kept for the administrator. */
static int
put_aside_bad(struct spool *sp)
{
	LIST_EACH_SAFE(it, tmp, &sp->segs.all) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);
		char name[32];

		if (seg->state != SEGMENT_BAD || seg->live_messages > 0)
			continue;
		snprintf(name, sizeof(name), "%u.seg", seg->number);
		if (renameat(sp->segments_fd, name, sp->corrupt_fd, name) < 0)
			return err_from_errno(errno);
		log_warn("segments/%s: the header is damaged, and no message is known to be in it; "
			 "it was moved to queue/corrupt",
			 name);
		sp->stats.damaged++;
		segments_forget(&sp->segs, seg);
	}
	return 0;
}

static void
on_floor(void *arg, uint16_t slot, uint64_t floor_us)
{
	struct spool *sp = arg;

	if (slot < SPOOL_SLOTS && sp->floors[slot] < floor_us)
		sp->floors[slot] = floor_us;
}

void
spool_set_numbers(struct spool *sp, const struct store_cursor *c)
{
	uint64_t number = c->next_number, batch = c->next_batch,
		 max = store_max_number(sp->store) + 1;

	if (number < max)
		number = max;
	if (number < sp->segs.next_number)
		number = sp->segs.next_number;
	if (batch < sp->segs.next_batch)
		batch = sp->segs.next_batch;
	if (number > 1)
		number += NUMBER_GAP;
	if (batch > 1)
		batch += NUMBER_GAP;
	commit_set_numbers(sp->commit, number, batch);
	segments_note(&sp->segs, c->number, number, batch);
}

/* A disk that fails here holds up no mail: the event log is tried again with each event. */
static int
open_events(struct spool *sp, struct buf *what_out)
{
	struct buf why;
	int r = 0;

	sp->events = events_new(sp->dir_fd, sp->conf.events_bytes);
	store_set_events(sp->store, sp->conf.events_bytes > 0);
	if (sp->conf.events_bytes == 0)
		return 0;
	buf_init(&why, 500);
	r = events_open(sp->events, &why);
	if (r == E_CONFIG)
		buf_puts(what_out, buf_cstr(&why));
	else if (r < 0)
		log_warn("the event log cannot be opened: %s", buf_cstr(&why));
	buf_clear(&why);
	return r == E_CONFIG ? r : 0;
}

int
spool_start(struct spool *sp, const struct store_hooks *hooks, struct buf *what_out)
{
	struct store_cursor cursor;
	int r;

	if ((r = open_folders(sp, what_out)) < 0 || (r = take_lock(sp, what_out)) < 0)
		return r;
	if ((r = open_segments(sp, what_out)) < 0 || (r = open_store(sp, hooks, what_out)) < 0)
		return r;
	sp->progress = progress_open(sp->segments_fd);
	if ((r = open_events(sp, what_out)) < 0)
		return r;
	store_each_segment(sp->store, on_segment_row, sp);
	store_each_floor(sp->store, on_floor, sp);
	store_get_cursor(sp->store, &cursor);
	if ((r = store_start_check(sp->store, what_out)) < 0)
		return r;
	if ((r = put_aside_bad(sp)) < 0) {
		buf_printf(what_out, "queue/corrupt: %s", err_info(r)->text);
		return r;
	}
	log_init_slots(&sp->log, cursor.number);
	sp->commit_thread = worker_new(sp->conf.loop, "commit");
	sp->commit = commit_new(&sp->segs, sp->commit_thread, sp->conf.timers, spool_on_batch, sp);
	checkpoint_init(sp, &cursor);
	space_init(sp);
	compact_init(sp);
	if ((r = scan_log(sp, &cursor, what_out)) < 0)
		return r;
	received_scan(sp);
	if ((r = big_clean(sp)) < 0)
		buf_printf(what_out, "segments/: %s", err_info(r)->text);
	return r;
}
