/* SPDX-License-Identifier: ISC
 *
 * Tests of lib/ipc/chan.c: order, descriptors, back-pressure, and what a peer may not do. */

/* System */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Third party */
#include <uv.h>

/* lib */
#include "base/fd.h"
#include "base/mem.h"
#include "ipc/chan.h"
#include "ipc/frame.h"
/* this program */
#include "tests/unit/unit.h"

struct end {
	struct chan *c;
	unsigned got;
	uint64_t last;
	int fds[8];
	unsigned fd_count;
	int why;
	unsigned rooms;
	bool free_on_msg;
	bool pause_on_msg;
};

static uv_loop_t loop;
static struct chan_set *smtpd_set, *qmgr_set;
static struct end smtpd, qmgr;

static void
on_msg(void *arg, struct chan *c, enum msg_type type, union msg_any *msg)
{
	struct end *e = arg;

	e->got++;
	if (type == MSG_MSG_STORED)
		e->last = msg->msg_stored.qid;
	if (type == MSG_STREAM_DATA)
		e->last = msg->stream_data.qid;
	if (type == MSG_FILE_ADD)
		e->fds[e->fd_count++] = msg->file_add.fd;
	if (e->pause_on_msg)
		chan_pause(c);
	if (e->free_on_msg)
		chan_free(&e->c);
}

static void
on_close(void *arg, struct chan *c, int why)
{
	struct end *e = arg;

	(void)c;
	e->why = why;
	chan_free(&e->c);
}

static void
on_room(void *arg, struct chan *c)
{
	(void)c;
	((struct end *)arg)->rooms++;
}

static const struct chan_ops ops = { on_msg, on_close, on_room };

static void
setup(enum proc_id left, enum proc_id right)
{
	int fds[2];

	uv_loop_init(&loop);
	ck_assert_int_eq(fd_socketpair(fds), 0);
	smtpd_set = chan_set_new(&loop, left);
	qmgr_set = chan_set_new(&loop, right);
	smtpd.c = chan_new(smtpd_set, fds[0], right, 1, &ops, &smtpd);
	qmgr.c = chan_new(qmgr_set, fds[1], left, 2, &ops, &qmgr);
}

static void
turns(unsigned n)
{
	while (n-- > 0)
		uv_run(&loop, UV_RUN_NOWAIT);
}

START_TEST(order_is_kept_under_load)
{
	static char big[60000];
	uint64_t sent = 0;

	setup(PROC_SMTPD, PROC_QMGR);
	for (unsigned round = 0; round < 200; round++) {
		for (unsigned i = 0; i < 7; i++)
			chan_send(smtpd.c, MSG_STREAM_DATA,
				  &(struct msg_stream_data){
					  .qid = ++sent,
					  .data = span_make(big,
							    (round * 7 + i) * 41 % sizeof(big)) });
		turns(2);
	}
	turns(3000);
	ck_assert_uint_eq(qmgr.got, sent);
	ck_assert_uint_eq(qmgr.last, sent);
	ck_assert_uint_eq(chan_queued(smtpd.c), 0);
}
END_TEST

START_TEST(back_pressure)
{
	static char big[65536];

	setup(PROC_SMTPD, PROC_QMGR);
	chan_pause(qmgr.c);
	for (unsigned i = 0; i < 64; i++)
		chan_send(smtpd.c, MSG_STREAM_DATA,
			  &(struct msg_stream_data){ .qid = i,
						     .data = span_make(big, sizeof(big)) });
	turns(10);
	ck_assert(chan_is_full(smtpd.c));
	ck_assert_uint_eq(qmgr.got, 0);
	ck_assert_uint_eq(smtpd.rooms, 0);
	chan_resume(qmgr.c);
	turns(500);
	ck_assert_uint_eq(qmgr.got, 64);
	ck_assert_uint_eq(smtpd.rooms, 1);
	ck_assert(!chan_is_full(smtpd.c));
}
END_TEST

START_TEST(pause_in_handler_keeps_what_was_read)
{
	setup(PROC_SMTPD, PROC_QMGR);
	smtpd.pause_on_msg = true;
	for (unsigned i = 1; i <= 3; i++)
		chan_send(qmgr.c, MSG_MSG_STORED, &(struct msg_msg_stored){ .qid = i });
	turns(5);
	ck_assert_uint_eq(smtpd.got, 1);
	chan_resume(smtpd.c);
	ck_assert_uint_eq(smtpd.got, 2);
	smtpd.pause_on_msg = false;
	chan_resume(smtpd.c);
	turns(5);
	ck_assert_uint_eq(smtpd.got, 3);
	ck_assert_uint_eq(smtpd.last, 3);
}
END_TEST

START_TEST(descriptors_keep_to_their_message)
{
	int pipes[3][2];
	char name[16], byte;

	setup(PROC_MASTER, PROC_ROUTER);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(pipe(pipes[i]), 0);
		snprintf(name, sizeof(name), "file %u", i);
		chan_send(smtpd.c, MSG_FILE_ADD,
			  &(struct msg_file_add){ .name = span_of(name), .fd = dup(pipes[i][0]) });
		chan_send(smtpd.c, MSG_FILE_GONE,
			  &(struct msg_file_gone){ .name = SPAN("x"), .reason = SPAN("y") });
	}
	turns(20);
	ck_assert_uint_eq(qmgr.fd_count, 3);
	ck_assert_uint_eq(qmgr.got, 6);
	for (unsigned i = 0; i < 3; i++) {
		char want = (char)('a' + i);
		ck_assert_int_eq(write(pipes[i][1], &want, 1), 1);
		ck_assert_int_eq(read(qmgr.fds[i], &byte, 1), 1);
		ck_assert_int_eq(byte, want);
	}
}
END_TEST

static void
raw_pair(int *other)
{
	int fds[2];

	uv_loop_init(&loop);
	ck_assert_int_eq(fd_socketpair(fds), 0);
	qmgr_set = chan_set_new(&loop, PROC_QMGR);
	qmgr.c = chan_new(qmgr_set, fds[0], PROC_SMTPD, 2, &ops, &qmgr);
	*other = fds[1];
}

static void
raw_frame(int fd, uint32_t len, unsigned type, unsigned magic)
{
	unsigned char h[8] = { (unsigned char)len,	   (unsigned char)(len >> 8),
			       (unsigned char)(len >> 16), (unsigned char)(len >> 24),
			       (unsigned char)type,	   (unsigned char)(type >> 8),
			       (unsigned char)magic,	   (unsigned char)(magic >> 8) };

	ck_assert_int_eq(write(fd, h, sizeof(h)), sizeof(h));
}

static const struct {
	uint32_t len;
	unsigned type, magic;
} bad_frames[] = {
	{ 8, MSG_STREAM_ABORT, 0x1234 }, /* no frame */
	{ 8, MSG_TYPE_COUNT, 0x5054 },	 /* unknown type */
	{ 0, MSG_NONE, 0x5054 },
	{ 8, MSG_MSG_STORED, 0x5054 },	 /* not smtpd's to send */
	{ 9, MSG_STREAM_ABORT, 0x5054 }, /* longer than the type can be */
	{ UINT32_MAX, MSG_STREAM_DATA, 0x5054 },
	{ 0, MSG_STREAM_ABORT, 0x5054 }, /* shorter than its fields */
};

START_TEST(malformed_frame_ends_the_channel)
{
	int fd;

	raw_pair(&fd);
	raw_frame(fd, bad_frames[_i].len, bad_frames[_i].type, bad_frames[_i].magic);
	turns(5);
	ck_assert_int_eq(qmgr.why, E_CORRUPT);
	ck_assert_uint_eq(qmgr.got, 0);
}
END_TEST

START_TEST(split_frame_is_put_together)
{
	int fd;

	raw_pair(&fd);
	raw_frame(fd, 8, MSG_STREAM_ABORT, 0x5054);
	for (unsigned i = 0; i < 8; i++) {
		turns(2);
		ck_assert_uint_eq(qmgr.got, 0);
		ck_assert_int_eq(write(fd, "\1", 1), 1);
	}
	turns(3);
	ck_assert_uint_eq(qmgr.got, 1);
}
END_TEST

START_TEST(what_was_sent_before_the_end_arrives)
{
	setup(PROC_SMTPD, PROC_QMGR);
	chan_send(qmgr.c, MSG_MSG_STORED, &(struct msg_msg_stored){ .qid = 5 });
	ck_assert(chan_flush(qmgr.c));
	chan_free(&qmgr.c);
	/* The other side writes into the closed channel first, and still reads what came. */
	chan_send(smtpd.c, MSG_STREAM_ABORT, &(struct msg_stream_abort){ .qid = 1 });
	turns(5);
	ck_assert_uint_eq(smtpd.last, 5);
	ck_assert_int_eq(smtpd.why, E_CLOSED);
}
END_TEST

START_TEST(free_in_handler)
{
	setup(PROC_SMTPD, PROC_QMGR);
	smtpd.free_on_msg = true;
	for (unsigned i = 1; i <= 3; i++)
		chan_send(qmgr.c, MSG_MSG_STORED, &(struct msg_msg_stored){ .qid = i });
	turns(5);
	ck_assert_uint_eq(smtpd.got, 1);
	ck_assert_ptr_null(smtpd.c);
	ck_assert_int_eq(qmgr.why, E_CLOSED);
}
END_TEST

START_TEST(blocking_read)
{
	int fds[2], got[2];
	struct buf buf;
	enum msg_type type;
	union msg_any msg;

	setup(PROC_MASTER, PROC_QMGR);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(pipe(got), 0);
	struct chan *c = chan_new(smtpd_set, fds[0], PROC_QMGR, 1, &ops, &smtpd);
	chan_send(c, MSG_ROOT_DIR, &(struct msg_root_dir){ .fd = got[0] });
	chan_send(c, MSG_START, &(struct msg_start){ 0 });
	ck_assert(chan_flush(c));
	buf_init(&buf, 65536);
	ck_assert_int_eq(frame_read_blocking(fds[1], PROC_MASTER, PROC_QMGR, &buf, &type, &msg), 0);
	ck_assert_int_eq(type, MSG_ROOT_DIR);
	ck_assert_int_ge(msg.root_dir.fd, 0);
	ck_assert_int_eq(frame_read_blocking(fds[1], PROC_MASTER, PROC_QMGR, &buf, &type, &msg), 0);
	ck_assert_int_eq(type, MSG_START);
	chan_free(&c);
	ck_assert_int_eq(frame_read_blocking(fds[1], PROC_MASTER, PROC_QMGR, &buf, &type, &msg),
			 E_CLOSED);
	buf_clear(&buf);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("chan");

	UNIT_TEST(s, order_is_kept_under_load);
	UNIT_TEST(s, back_pressure);
	UNIT_TEST(s, pause_in_handler_keeps_what_was_read);
	UNIT_TEST(s, descriptors_keep_to_their_message);
	UNIT_TABLE(s, malformed_frame_ends_the_channel, bad_frames);
	UNIT_TEST(s, split_frame_is_put_together);
	UNIT_TEST(s, what_was_sent_before_the_end_arrives);
	UNIT_TEST(s, free_in_handler);
	UNIT_TEST(s, blocking_read);
	return unit_run(s);
}
