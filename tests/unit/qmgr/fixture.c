/* SPDX-License-Identifier: ISC
 *
 * A spool for the tests of qmgr's storage; see fixture.h. */

/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "spool/envelope.h"
/* this program */
#include "tests/unit/qmgr/fixture.h"

/* --- scheduling ------------------------------------------------------------------------------ */

static void
on_message(void *arg, const struct spool_msg *msg, const uint32_t *live, uint32_t live_count)
{
	struct fix *f = arg;
	struct fix_msg *m;

	f->got = mem_grow(f->got, f->count + 1, sizeof(*f->got));
	m = &f->got[f->count++];
	*m = (struct fix_msg){
		.number = msg->number,
		.qid = msg->qid,
		.place = msg->place,
		.rcpt_count = msg->rcpt_count,
		.live_count = live != NULL ? live_count : msg->rcpt_count,
	};
	for (uint32_t i = 0; i < m->live_count && i < 64; i++)
		m->live[i] = live != NULL ? live[i] : i;
	snprintf(m->content, sizeof(m->content), "%.*s", SPAN_ARG(msg->content));
	for (uint32_t i = 0; f->policy == FIX_DONE && i < m->live_count && i < 64; i++)
		store_done(f->sp->store, m->number, m->live[i]);
	m->has_rows = f->policy == FIX_DONE;
}

static bool
is_full(void *arg)
{
	return ((struct fix *)arg)->is_full;
}

static void
give_rows(void *arg, uint64_t before_number)
{
	struct fix *f = arg;

	for (size_t i = 0; i < f->count && f->policy != FIX_LOSE; i++) {
		struct fix_msg *m = &f->got[i];

		if (m->has_rows || m->number >= before_number)
			continue;
		m->has_rows = true;
		for (uint32_t k = 0; k < m->live_count && k < 64; k++) {
			struct row row = { .number = m->number,
					   .index = m->live[k],
					   .lane = SPAN("lane"),
					   .flags = ROW_IN_MEMORY,
					   .due_ms = clock_wall_ms() };

			store_put(f->sp->store, &row);
		}
	}
}

static const struct spool_ops fix_ops = { on_message, is_full, give_rows };

/* --- life ------------------------------------------------------------------------------------ */

static void
on_intake(void *arg)
{
	((struct fix *)arg)->intake_calls++;
}

static void
on_fatal(void *arg, const char *what)
{
	(void)arg;
	ck_abort_msg("storage failed: %s", what);
}

void
fix_init(struct fix *f)
{
	memset(f, 0, sizeof(*f));
	unit_folder_make(f->dir, sizeof(f->dir));
	f->segment_bytes = 1 << 20;
	uv_loop_init(&f->loop);
	f->timers = timer_set_new(&f->loop);
}

void
fix_clear(struct fix *f)
{
	if (f->sp != NULL)
		fix_close(f, false);
	timer_set_free(&f->timers);
	while (uv_run(&f->loop, UV_RUN_DEFAULT) != 0)
		;
	uv_loop_close(&f->loop);
	mem_free(f->got);
	unit_folder_remove(f->dir);
}

int
fix_try_open(struct fix *f)
{
	int home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	struct spool_config conf = {
		.loop = &f->loop,
		.timers = f->timers,
		.dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.slot = 7,
		.segment_bytes = f->segment_bytes,
		.min_free_bytes = f->min_free_bytes,
		.message_bytes = 64 << 20,
		.events_bytes = f->events_bytes,
		.ops = f->ops != NULL ? f->ops : &fix_ops,
		.ops_arg = f->ops != NULL ? f->ops_arg : f,
		.on_intake = on_intake,
		.intake_arg = f,
		.on_fatal = on_fatal,
	};
	struct buf why;

	buf_init(&why, 2048);
	f->count = 0;
	/* The database is named relative to the current folder. */
	ck_assert_int_eq(fchdir(conf.dir_fd), 0);
	r = spool_new(&conf, &f->sp, &why);
	ck_assert_int_eq(fchdir(home), 0);
	fd_close(&home);
	snprintf(f->why, sizeof(f->why), "%s", buf_cstr(&why));
	buf_clear(&why);
	if (r == 0)
		spool_run(f->sp);
	return r;
}

void
fix_open(struct fix *f)
{
	int r = fix_try_open(f);

	ck_assert_msg(r == 0, "%s", f->why);
}

static bool done_flag;

static void
set_done(void *arg)
{
	*(bool *)arg = true;
}

/* Again and again: ops that come meanwhile gather anew, and the clock that would send them may be stopped. */
static bool
is_flushed(struct fix *f)
{
	store_flush(f->sp->store);
	return done_flag;
}

void
fix_stop(struct fix *f)
{
	done_flag = false;
	spool_stop(f->sp, set_done, &done_flag);
	fix_until(f, is_flushed);
}

void
fix_close(struct fix *f, bool is_clean)
{
	if (is_clean)
		fix_stop(f);
	spool_free(&f->sp);
}

void
fix_until(struct fix *f, bool (*cond)(struct fix *f))
{
	/* Not a clock: a test may have stopped it. */
	for (unsigned rounds = 0; !cond(f); rounds++) {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		usleep(200);
		ck_assert_msg(rounds < 50000, "what was waited for did not happen");
	}
}

void
fix_turn(struct fix *f, uint64_t ms)
{
	uint64_t until_ms = clock_mono_ms() + ms;

	do {
		uv_run(&f->loop, UV_RUN_NOWAIT);
		usleep(200);
	} while (clock_mono_ms() < until_ms);
}

/* --- messages -------------------------------------------------------------------------------- */

struct submitted {
	bool is_done;
	int err;
	uint64_t qid;
};
static struct submitted last;

static void
on_submitted(void *arg, int err, uint64_t qid)
{
	struct submitted *s = arg;

	*s = (struct submitted){ true, err, qid };
}

static bool
is_submitted(struct fix *f)
{
	(void)f;
	return last.is_done;
}

static int
submit(struct fix *f, uint32_t rcpts, struct span key, struct span content, uint64_t *qid_out)
{
	struct env_rcpt *list = mem_array(rcpts + 1, sizeof(*list));
	char(*names)[32] = mem_array(rcpts + 1, sizeof(*names));
	struct spool_submission s = { .rcpt_count = rcpts,
				      .trace = SPAN("Received: test\r\n"),
				      .content = content };
	struct envelope e;
	struct buf b;

	envelope_init(&e);
	for (uint32_t i = 0; i < rcpts; i++) {
		snprintf(names[i], sizeof(names[i]), "r%u@example.org", i);
		list[i] = (struct env_rcpt){ .index = i, .addr = span_of(names[i]) };
	}
	e.sender = SPAN("sender@example.com");
	e.dedupe_name = key.n > 0 ? SPAN("test") : SPAN_NONE;
	e.dedupe_key = key;
	e.rcpts = list;
	e.rcpt_count = rcpts;
	buf_init(&b, 1 << 20);
	envelope_encode(&b, &e);
	s.envelope = buf_span(&b);
	last.is_done = false;
	spool_submit(f->sp, &s, on_submitted, &last);
	buf_clear(&b);
	mem_free(list);
	mem_free(names);
	fix_until(f, is_submitted);
	if (qid_out != NULL)
		*qid_out = last.qid;
	return last.err;
}

int
fix_submit_to(struct fix *f, const char *sender, const char *addresses, uint64_t *qid_out)
{
	struct env_rcpt rcpts[512] = { 0 };
	struct span text = span_of(addresses), address;
	uint32_t count = 0;
	struct spool_submission s = { .trace = SPAN("Received: test\r\n"),
				      .content = SPAN("Subject: x\r\n\r\nx\r\n") };
	struct envelope e;
	struct buf b;

	while (span_next(&text, ' ', &address)) {
		ck_assert_uint_lt(count, UNIT_COUNT(rcpts));
		rcpts[count] = (struct env_rcpt){ .index = count, .addr = address };
		count++;
	}
	s.rcpt_count = count;
	envelope_init(&e);
	e.sender = span_of(sender);
	e.rcpts = rcpts;
	e.rcpt_count = count;
	buf_init(&b, 65536);
	envelope_encode(&b, &e);
	s.envelope = buf_span(&b);
	last.is_done = false;
	spool_submit(f->sp, &s, on_submitted, &last);
	buf_clear(&b);
	fix_until(f, is_submitted);
	if (qid_out != NULL)
		*qid_out = last.qid;
	return last.err;
}

int
fix_submit(struct fix *f, uint32_t rcpts, const char *content, uint64_t *qid_out)
{
	return submit(f, rcpts, SPAN_NONE, span_of(content), qid_out);
}

int
fix_submit_key(struct fix *f, const char *key, const char *content)
{
	return submit(f, 1, span_of(key), span_of(content), NULL);
}

struct fix_msg *
fix_find(struct fix *f, const char *content)
{
	for (size_t i = 0; i < f->count; i++)
		if (strcmp(f->got[i].content, content) == 0)
			return &f->got[i];
	return NULL;
}

void
fix_flush(struct fix *f)
{
	done_flag = false;
	store_when_durable(f->sp->store, set_done, &done_flag);
	fix_until(f, is_flushed);
}

static bool
is_checkpoint_over(struct fix *f)
{
	return f->sp->checkpoint.target == 0;
}

void
fix_checkpoint(struct fix *f)
{
	fix_until(f, is_checkpoint_over);
	f->sp->checkpoint.last_ms = 0;
	checkpoint_poke(f->sp);
	fix_until(f, is_checkpoint_over);
}

/* --- looking --------------------------------------------------------------------------------- */

static struct arena rows_arena;
static struct row *rows_got;
static uint32_t rows_count;

static struct span
keep_span(struct span s)
{
	return arena_dup(&rows_arena, s);
}

static void
on_rows(void *arg, uint64_t number, const struct row *rows, uint32_t count)
{
	(void)arg;
	(void)number;
	arena_clear(&rows_arena);
	rows_got = arena_alloc(&rows_arena, (count + 1) * sizeof(*rows));
	rows_count = count;
	for (uint32_t i = 0; i < count; i++) {
		rows_got[i] = rows[i];
		rows_got[i].address = keep_span(rows[i].address);
		rows_got[i].lane = keep_span(rows[i].lane);
		rows_got[i].text = keep_span(rows[i].text);
		rows_got[i].msg_sender = keep_span(rows[i].msg_sender);
	}
	done_flag = true;
}

const struct row *
fix_rows(struct fix *f, uint64_t number, uint32_t *count_out)
{
	done_flag = false;
	store_get_rows(f->sp->store, number, on_rows, NULL);
	fix_until(f, is_flushed);
	*count_out = rows_count;
	return rows_got;
}

static struct {
	struct buf *out;
	int err;
	bool is_done;
} reading;

static bool
is_read(struct fix *f)
{
	(void)f;
	return reading.is_done;
}

static void
on_chunk(void *arg, struct spool_reader *r, int err, struct span data)
{
	(void)arg;
	if (err == 0 && data.n > 0) {
		buf_put_span(reading.out, data);
		spool_reader_next(r, 50000, on_chunk, NULL);
		return;
	}
	reading.err = err;
	reading.is_done = true;
	spool_reader_close(&r);
}

static void
on_read(void *arg, struct spool_reader *r, int err, const struct spool_msg *msg)
{
	(void)arg;
	if (err == 0 && msg->content.p == NULL && msg->content_len > 0) {
		spool_reader_next(r, 50000, on_chunk, NULL);
		return;
	}
	if (err == 0)
		buf_put_span(reading.out, msg->content);
	reading.err = err;
	reading.is_done = true;
	spool_reader_close(&r);
}

int
fix_read(struct fix *f, uint64_t number, const struct place *at, struct buf *content_out)
{
	reading.out = content_out;
	reading.is_done = false;
	spool_open(f->sp, number, at, on_read, NULL);
	fix_until(f, is_read);
	return reading.err;
}

/* --- crashes and files ----------------------------------------------------------------------- */

const char *
fix_path(const struct fix *f, const char *name)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	return path;
}

int
fix_crash(struct fix *f, const char *crashpoint, void (*fn)(struct fix *f))
{
	int status = 0;
	pid_t pid;
	FILE *file;

	if (crashpoint != NULL) {
		file = fopen(fix_path(f, "crashpoint"), "w");
		ck_assert_ptr_nonnull(file);
		fprintf(file, "%s\n", crashpoint);
		fclose(file);
	}
	pid = fork();
	if (pid == 0) {
		uv_loop_fork(&f->loop);
		fn(f);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	unlink(fix_path(f, "crashpoint"));
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

void
fix_poke(const struct fix *f, const char *name, uint64_t at, const void *p, size_t n)
{
	int fd = open(fix_path(f, name), O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fd_pwrite_all(fd, p, n, (off_t)at), 0);
	fd_close(&fd);
}

size_t
fix_count_files(const struct fix *f, const char *folder, const char *ending)
{
	DIR *dir = opendir(fix_path(f, folder));
	struct dirent *e;
	size_t n = 0;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		n += span_ends(span_of(e->d_name), span_of(ending)) && e->d_name[0] != '.';
	if (dir != NULL)
		closedir(dir);
	return n;
}
