/* SPDX-License-Identifier: ISC
 *
 * Tests of qmgr/spool/intake.c over a real channel: STORED and REFUSED, streams in memory and in files, messages handed over
 * again, intakes that are lost or lie. */

/* System */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/mem.h"
#include "ipc/plan.h"
#include "spool/envelope.h"
/* this program */
#include "tests/unit/qmgr/fixture.h"

enum { SLOT = 5 };

static struct {
	struct fix f;
	struct intake *in;
	struct chan_set *ours, *theirs;
	struct chan *chan; /* qmgr's end */
	struct chan *peer; /* smtpd's end */
	struct id_gen ids;
	/* what smtpd heard */
	uint64_t stored, refused;
	int code, state, states;
	uint64_t floor_us;
	uint32_t credit;
	bool is_lost;
} t;

static void
on_ours(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)arg;
	ck_assert(intake_on_msg(t.in, c, type, msg));
}

static void
on_theirs(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	(void)arg;
	(void)c;
	if (type == MSG_MSG_STORED) {
		t.stored = msg->msg_stored.qid;
	} else if (type == MSG_MSG_REFUSED) {
		t.refused = msg->msg_refused.qid;
		t.code = -(int)msg->msg_refused.code;
	} else if (type == MSG_STREAM_CREDIT) {
		t.credit += msg->stream_credit.bytes;
	} else if (type == MSG_INTAKE_STATE) {
		t.state = -(int)msg->intake_state.code;
		t.floor_us = msg->intake_state.id_floor_us;
		t.states++;
	}
}

static void
on_close(void *arg, struct chan *c, int why)
{
	(void)arg;
	(void)why;
	t.is_lost = true;
	if (c == t.chan) {
		intake_on_peer_lost(t.in, c);
		chan_free(&t.chan);
	}
}

static const struct chan_ops our_ops = { on_ours, on_close, NULL },
			     their_ops = { on_theirs, on_close, NULL };

static void
on_intake_change(void *arg)
{
	(void)arg;
	if (t.in != NULL)
		intake_update(t.in);
}

static void
open_all(void)
{
	int pair[2];

	fix_open(&t.f);
	t.f.sp->conf.on_intake = on_intake_change;
	t.in = intake_new(t.f.sp);
	ck_assert_int_eq(fd_socketpair(pair), 0);
	t.ours = chan_set_new(&t.f.loop, PROC_QMGR);
	t.theirs = chan_set_new(&t.f.loop, PROC_SMTPD);
	t.chan = chan_new(t.ours, pair[0], PROC_SMTPD, SLOT, &our_ops, NULL);
	t.peer = chan_new(t.theirs, pair[1], PROC_QMGR, 1, &their_ops, NULL);
	intake_on_peer(t.in, t.chan);
}

static void
begin(void)
{
	memset(&t, 0, sizeof(t));
	fix_init(&t.f);
	t.ids.slot = SLOT;
	open_all();
}

/* qmgr dies; smtpd sees its channel close. */
static void
restart(void)
{
	intake_free(&t.in);
	chan_free(&t.chan);
	chan_free(&t.peer);
	chan_set_free(&t.ours);
	chan_set_free(&t.theirs);
	fix_close(&t.f, false);
	open_all();
}

static void
end(void)
{
	intake_free(&t.in);
	chan_free(&t.chan);
	chan_free(&t.peer);
	chan_set_free(&t.ours);
	chan_set_free(&t.theirs);
	fix_clear(&t.f);
}

static struct buf envelope_bytes;

static struct span
envelope(uint32_t first_index)
{
	struct env_rcpt rcpt = { .index = first_index, .addr = SPAN("r@example.org") };
	struct envelope e;

	envelope_init(&e);
	e.sender = SPAN("s@example.com");
	e.rcpts = &rcpt;
	e.rcpt_count = 1;
	buf_clear(&envelope_bytes);
	buf_init(&envelope_bytes, 4096);
	envelope_encode(&envelope_bytes, &e);
	return buf_span(&envelope_bytes);
}

static struct msg_msg_submit
message(uint64_t qid, const char *content)
{
	return (struct msg_msg_submit){ .qid = qid,
					.arrival_us = clock_wall_us(),
					.content_len = strlen(content),
					.envelope = envelope(0),
					.trace = SPAN("Received: x\r\n"),
					.content = span_of(content) };
}

static bool
is_answered(struct fix *f)
{
	(void)f;
	return t.stored != 0 || t.refused != 0;
}

/* Hand it over and wait; 0: STORED. */
static int
submit(const struct msg_msg_submit *m)
{
	t.stored = t.refused = 0;
	t.code = 0;
	chan_send(t.peer, MSG_MSG_SUBMIT, m);
	fix_until(&t.f, is_answered);
	ck_assert_uint_eq(t.stored != 0 ? t.stored : t.refused, m->qid);
	return t.code;
}

START_TEST(stored)
{
	struct msg_msg_submit m;

	begin();
	fix_turn(&t.f, 5);
	ck_assert_int_eq(t.states, 1);
	ck_assert_int_eq(t.state, 0);
	m = message(id_next(&t.ids), "hello");
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 5);
	ck_assert_uint_eq(t.f.count, 1);
	ck_assert_uint_eq(t.f.got[0].qid, m.qid);
	ck_assert_str_eq(t.f.got[0].content, "hello");
	/* The floor of the slot outlives a restart. */
	restart();
	fix_turn(&t.f, 5);
	ck_assert_uint_eq(t.floor_us, id_us(m.qid));
	end();
}
END_TEST

static const struct {
	const char *what;
	int want;
} refused_cases[] = {
	{ "slot of another", E_PROTOCOL },	   { "far future", E_PROTOCOL },
	{ "envelope is garbage", E_CORRUPT },	   { "no recipient", E_SYNTAX },
	{ "index is not the position", E_SYNTAX }, { "length is another", E_PROTOCOL },
	{ "longer than allowed", E_TOOBIG },	   { "stream that never began", E_PROTOCOL },
};

START_TEST(refused)
{
	struct msg_msg_submit m;
	struct envelope e;
	struct buf b;

	begin();
	m = message(id_next(&t.ids), "hello");
	buf_init(&b, 1000);
	switch (_i) {
	case 0:
		m.qid++;
		break;
	case 1:
		m.qid += (2 * 3600ull * 1000000) << ID_SLOT_BITS;
		break;
	case 2:
		m.envelope = SPAN("garbage");
		break;
	case 3:
		envelope_init(&e);
		envelope_encode(&b, &e);
		m.envelope = buf_span(&b);
		break;
	case 4:
		m.envelope = envelope(1);
		break;
	case 5:
		m.content_len++;
		break;
	case 6:
		spool_set_conf(t.f.sp, 0, 4);
		break;
	default:
		m.flags = SUBMIT_STREAMED;
		break;
	}
	ck_assert_int_eq(submit(&m), refused_cases[_i].want);
	fix_turn(&t.f, 20);
	ck_assert_uint_eq(t.f.count, 0);
	buf_clear(&b);
	end();
}
END_TEST

/* Any length in any steps: below the limit of a record it becomes one, above it a file. */
static const struct {
	size_t bytes, step;
	bool is_big;
} stream_cases[] = {
	{ 1, 1, false },	 { 70000, 65536, false },  { 262144, 60000, false },
	{ 262145, 65536, true }, { 5000000, 65536, true }, { 3000000, 1, true },
};

static char
byte_at(size_t i)
{
	return (char)(i * 7 + i / 251);
}

static uint64_t sent;

static bool
has_credit(struct fix *f)
{
	(void)f;
	return t.refused != 0 || sent - t.credit <= STREAM_WINDOW_BYTES - 65536;
}

static void
send_stream(uint64_t qid, size_t bytes, size_t step)
{
	char *p = mem_alloc(65536);

	t.credit = 0;
	for (sent = 0; sent < bytes;) {
		size_t n = bytes - sent < step ? bytes - sent : step;

		/* One byte a time is slow; it stands for odd boundaries. */
		if (step == 1 && sent > 5)
			n = bytes - sent < 4099 ? bytes - sent : 4099;
		for (size_t i = 0; i < n; i++)
			p[i] = byte_at(sent + i);
		fix_until(&t.f, has_credit);
		chan_send(t.peer, MSG_STREAM_DATA,
			  &(struct msg_stream_data){ .qid = qid, .data = { p, n } });
		sent += n;
	}
	mem_free(p);
}

static void
check_content(uint64_t number, const struct place *at, size_t bytes)
{
	struct buf content;

	buf_init(&content, 8 << 20);
	ck_assert_int_eq(fix_read(&t.f, number, at, &content), 0);
	ck_assert_uint_eq(content.n, bytes);
	for (size_t i = 0; i < bytes; i++)
		if (content.p[i] != byte_at(i))
			ck_abort_msg("byte %zu of %zu differs", i, bytes);
	buf_clear(&content);
}

static struct msg_msg_submit
stream_end(uint64_t qid, size_t bytes)
{
	struct msg_msg_submit m = message(qid, "");

	m.flags = SUBMIT_STREAMED;
	m.content_len = bytes;
	m.content = SPAN_NONE;
	return m;
}

START_TEST(streamed)
{
	uint64_t qid;
	struct msg_msg_submit m;

	begin();
	qid = id_next(&t.ids);
	send_stream(qid, stream_cases[_i].bytes, stream_cases[_i].step);
	m = stream_end(qid, stream_cases[_i].bytes);
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 10);
	ck_assert_uint_eq(t.credit, stream_cases[_i].bytes);
	ck_assert_uint_eq(t.f.count, 1);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), stream_cases[_i].is_big);
	ck_assert_uint_eq(t.f.sp->stats.big_bytes,
			  stream_cases[_i].is_big ? stream_cases[_i].bytes : 0);
	check_content(t.f.got[0].number, &t.f.got[0].place, stream_cases[_i].bytes);
	restart();
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(t.f.count, 1);
	check_content(t.f.got[0].number, &t.f.got[0].place, stream_cases[_i].bytes);
	/* Done: the file goes. */
	store_done(t.f.sp->store, t.f.got[0].number, 0);
	fix_flush(&t.f);
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	ck_assert_uint_eq(t.f.sp->stats.big_files, 0);
	ck_assert_uint_eq(t.f.sp->stats.big_bytes, 0);
	end();
}
END_TEST

/* The file of a deferred message lives as long as its row. */
START_TEST(big_with_row)
{
	uint64_t qid, number;
	struct msg_msg_submit m;

	begin();
	qid = id_next(&t.ids);
	send_stream(qid, 400000, 65536);
	m = stream_end(qid, 400000);
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 10);
	number = t.f.got[0].number;
	fix_checkpoint(&t.f);
	fix_checkpoint(&t.f);
	restart();
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(t.f.count, 0);
	check_content(number, NULL, 400000);
	store_done(t.f.sp->store, number, 0);
	fix_flush(&t.f);
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	end();
}
END_TEST

START_TEST(damaged_big)
{
	uint64_t qid;
	struct msg_msg_submit m;
	struct buf content;
	char name[64], file[32];

	begin();
	qid = id_next(&t.ids);
	send_stream(qid, 400000, 65536);
	m = stream_end(qid, 400000);
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 10);
	big_name(qid, file);
	snprintf(name, sizeof(name), "segments/%s", file);
	fix_poke(&t.f, name, 200000, "????", 4);
	buf_init(&content, 1 << 20);
	ck_assert_int_eq(fix_read(&t.f, t.f.got[0].number, &t.f.got[0].place, &content), E_CORRUPT);
	/* The end is never given. */
	ck_assert_uint_lt(content.n, 400000);
	buf_clear(&content);
	end();
}
END_TEST

START_TEST(aborted_stream)
{
	uint64_t qid;
	struct msg_msg_submit m;

	begin();
	qid = id_next(&t.ids);
	send_stream(qid, 400000, 65536);
	chan_send(t.peer, MSG_STREAM_ABORT, &(struct msg_stream_abort){ .qid = qid });
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	m = message(id_next(&t.ids), "next");
	ck_assert_int_eq(submit(&m), 0);
	end();
}
END_TEST

START_TEST(stream_too_long)
{
	uint64_t qid;
	struct msg_msg_submit m;

	begin();
	spool_set_conf(t.f.sp, 0, 300000);
	qid = id_next(&t.ids);
	/* Every byte gets its credit, so the intake reaches the true end. */
	send_stream(qid, 1000000, 65536);
	m = stream_end(qid, 1000000);
	ck_assert_int_eq(submit(&m), E_TOOBIG);
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	ck_assert_uint_eq(t.f.count, 0);
	end();
}
END_TEST

static atomic_int fsync_fails;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int
__wrap_fsync(int fd)
{
	if (fsync_fails > 0) {
		fsync_fails--;
		errno = EIO;
		return -1;
	}
	return __real_fsync(fd);
}

/* Of the file, and of the folder. */
START_TEST(big_that_cannot_be_synced)
{
	struct msg_msg_submit m;
	uint64_t qid;

	begin();
	qid = id_next(&t.ids);
	send_stream(qid, 400000, 65536);
	m = stream_end(qid, 400000);
	fix_turn(&t.f, 50);
	fsync_fails = 1;
	ck_assert_int_eq(submit(&m), E_IO);
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	ck_assert_uint_eq(t.f.count, 0);
	end();
}
END_TEST

static atomic_int pwrite_fails;

ssize_t __real_pwrite(int fd, const void *p, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *p, size_t n, off_t at);

ssize_t
__wrap_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (pwrite_fails > 0) {
		errno = ENOSPC;
		return -1;
	}
	return __real_pwrite(fd, p, n, at);
}

/* The intake gets its credit all the same and can send to the end, where it is refused. */
START_TEST(big_that_cannot_be_written)
{
	struct msg_msg_submit m;
	uint64_t qid;

	begin();
	qid = id_next(&t.ids);
	pwrite_fails = 1;
	send_stream(qid, 3000000, 65536);
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(t.credit, 3000000);
	pwrite_fails = 0;
	m = stream_end(qid, 3000000);
	ck_assert_int_eq(submit(&m), E_NOSPACE);
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	end();
}
END_TEST

START_TEST(lost_intake)
{
	uint64_t qid;
	struct msg_msg_submit m;

	begin();
	qid = id_next(&t.ids);
	send_stream(qid, 400000, 65536);
	m = message(id_next(&t.ids), "on its way");
	chan_send(t.peer, MSG_MSG_SUBMIT, &m);
	chan_flush(t.peer);
	chan_free(&t.peer);
	fix_turn(&t.f, 100);
	ck_assert(t.is_lost);
	ck_assert_ptr_null(t.chan);
	/* What was handed over whole is kept: nobody is told. The stream is gone. */
	ck_assert_uint_eq(t.f.count, 1);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	end();
}
END_TEST

/* --- again ----------------------------------------------------------------------------------- */

static struct msg_msg_submit again_msg;

static void
store_and_die(struct fix *f)
{
	(void)f;
	open_all();
	submit(&again_msg);
}

static const char *const again_points[] = { "batch-written", "batch-synced", "batch-sealed" };

/* qmgr dies before STORED; the intake hands it over again: one copy, one STORED. */
START_TEST(handed_over_again)
{
	memset(&t, 0, sizeof(t));
	fix_init(&t.f);
	t.ids.slot = SLOT;
	again_msg = message(id_next(&t.ids), "again");
	ck_assert_int_eq(fix_crash(&t.f, again_points[_i], store_and_die), SIGKILL);
	open_all();
	again_msg.flags = SUBMIT_AGAIN;
	ck_assert_int_eq(submit(&again_msg), 0);
	chan_send(t.peer, MSG_INVENTORY_END, &(struct msg_inventory_end){ 0 });
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(t.f.count, 1);
	ck_assert_uint_eq(t.f.sp->stats.again_known, _i < 2);
	restart();
	fix_turn(&t.f, 50);
	ck_assert_uint_eq(t.f.count, 1);
	end();
}
END_TEST

static void
stream_and_die(struct fix *f)
{
	struct msg_msg_submit m;
	uint64_t qid = id_next(&t.ids);

	(void)f;
	open_all();
	send_stream(qid, 400000, 65536);
	m = stream_end(qid, 400000);
	submit(&m);
}

/* The file is synced, its reference record is not: no 250 was sent. */
START_TEST(big_without_record)
{
	memset(&t, 0, sizeof(t));
	fix_init(&t.f);
	t.ids.slot = SLOT;
	ck_assert_int_eq(fix_crash(&t.f, "big-synced", stream_and_die), SIGKILL);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 1);
	open_all();
	fix_turn(&t.f, 20);
	ck_assert_uint_eq(fix_count_files(&t.f, "segments", ".big"), 0);
	ck_assert_uint_eq(t.f.count, 0);
	end();
}
END_TEST

START_TEST(again_when_finished)
{
	struct msg_msg_submit m;

	begin();
	t.f.policy = FIX_DONE;
	m = message(id_next(&t.ids), "done");
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 5);
	fix_flush(&t.f);
	restart();
	m.flags = SUBMIT_AGAIN;
	m.envelope = envelope(0);
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 20);
	ck_assert_uint_eq(t.f.count, 0);
	end();
}
END_TEST

START_TEST(again_behind_the_cursor)
{
	struct msg_msg_submit m;

	begin();
	m = message(id_next(&t.ids), "deferred");
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 5);
	fix_checkpoint(&t.f);
	fix_checkpoint(&t.f);
	restart();
	spool_forget_known(t.f.sp);
	m.flags = SUBMIT_AGAIN;
	m.envelope = envelope(0);
	ck_assert_int_eq(submit(&m), 0);
	fix_turn(&t.f, 20);
	ck_assert_uint_eq(t.f.count, 0);
	end();
}
END_TEST

/* --- state ----------------------------------------------------------------------------------- */

START_TEST(state_is_told)
{
	begin();
	fix_turn(&t.f, 5);
	t.f.sp->space.is_store_full = true;
	space_on_store_full(t.f.sp, true);
	fix_turn(&t.f, 5);
	ck_assert_int_eq(t.state, E_NOSPACE);
	space_on_store_full(t.f.sp, false);
	fix_turn(&t.f, 5);
	ck_assert_int_eq(t.state, 0);
	ck_assert_int_eq(t.states, 3);
	end();
}
END_TEST

static bool
all_given(struct fix *f)
{
	return f->count == 60;
}

static bool
has_checkpoint(struct fix *f)
{
	return f->sp->stats.checkpoints >= 1;
}

/* An intake that is too far ahead of the cursor is not read any more, and goes on when the cursor has moved. */
START_TEST(far_ahead_of_the_cursor)
{
	struct msg_msg_submit m;
	static char content[60000];

	begin();
	t.f.sp->window_bytes = 2000000;
	memset(content, 'c', sizeof(content) - 1);
	for (int i = 0; i < 60; i++) {
		m = message(id_next(&t.ids), content);
		chan_send(t.peer, MSG_MSG_SUBMIT, &m);
	}
	fix_turn(&t.f, 150);
	fix_until(&t.f, all_given);
	fix_until(&t.f, has_checkpoint);
	ck_assert_uint_le(t.f.sp->log_bytes, 2000000 + COMMIT_BACKLOG_BYTES);
	end();
}
END_TEST

/* A disk whose sync takes so long. */
static atomic_int slow_us;
static bool was_paused;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int
__wrap_fdatasync(int fd)
{
	usleep((useconds_t)slow_us);
	return __real_fdatasync(fd);
}

static bool
all_stored(struct fix *f)
{
	was_paused |= space_is_congested(f->sp);
	return f->count == 300;
}

/* So is one that sends faster than the disk takes it. */
START_TEST(faster_than_the_disk)
{
	struct msg_msg_submit m;
	static char content[60000];

	begin();
	t.f.sp->window_bytes = 1u << 30;
	slow_us = 30000;
	memset(content, 'c', sizeof(content) - 1);
	for (int i = 0; i < 300; i++) {
		m = message(id_next(&t.ids), content);
		chan_send(t.peer, MSG_MSG_SUBMIT, &m);
	}
	fix_until(&t.f, all_stored);
	slow_us = 0;
	ck_assert(was_paused);
	ck_assert_uint_eq(t.f.sp->stats.checkpoints, 0);
	end();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("intake");

	UNIT_TEST(s, stored);
	UNIT_TABLE(s, refused, refused_cases);
	UNIT_TABLE(s, streamed, stream_cases);
	UNIT_TEST(s, big_with_row);
	UNIT_TEST(s, damaged_big);
	UNIT_TEST(s, aborted_stream);
	UNIT_TEST(s, stream_too_long);
	UNIT_TEST(s, big_that_cannot_be_synced);
	UNIT_TEST(s, big_that_cannot_be_written);
	UNIT_TEST(s, lost_intake);
	UNIT_TABLE(s, handed_over_again, again_points);
	UNIT_TEST(s, big_without_record);
	UNIT_TEST(s, again_when_finished);
	UNIT_TEST(s, again_behind_the_cursor);
	UNIT_TEST(s, state_is_told);
	UNIT_TEST(s, far_ahead_of_the_cursor);
	UNIT_TEST(s, faster_than_the_disk);
	return unit_run(s);
}
