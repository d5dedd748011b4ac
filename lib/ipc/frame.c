/* SPDX-License-Identifier: ISC
 *
 * Frames: how one message stands in the stream between two processes, who may send it, and reading one from a socket with
 * its descriptor. Queues and loops are chan.c's. The bytes of a sibling that was taken over are a stranger's: every length
 * is compared with the limit of its type first. Runs in every process.
 *
 * Frame: u32 payload length, u16 type, u16 0x5054, payload. A descriptor travels with the first byte of its frame.
 */
/* System */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "ipc/frame.h"

#define FRAME_MAGIC 0x5054

void
frame_put(struct buf *b, enum msg_type type, const void *msg)
{
	size_t at = b->n;

	buf_put_u32(b, 0);
	buf_put_u16(b, (uint16_t)type);
	buf_put_u16(b, FRAME_MAGIC);
	msg_encode(b, type, msg);
	if (!b->is_failed) {
		uint32_t n = (uint32_t)(b->n - at - FRAME_HEAD);
		for (int i = 0; i < 4; i++)
			b->p[at + (size_t)i] = (char)(n >> (8 * i));
	}
}

static uint32_t
get_u32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static unsigned
get_u16(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (unsigned)(u[0] | u[1] << 8);
}

int
frame_check_head(const char *p, enum proc_id from, enum proc_id self, enum msg_type *type_out)
{
	uint32_t n = get_u32(p);
	unsigned type = get_u16(p + 4);

	if (get_u16(p + 6) != FRAME_MAGIC || !msg_is_allowed((enum msg_type)type, from, self))
		return E_CORRUPT;
	if (n > msg_info((enum msg_type)type)->max_bytes)
		return E_CORRUPT;
	*type_out = (enum msg_type)type;
	return (int)n;
}

ssize_t
frame_receive(int fd, void *p, size_t n, int flags, int *fds, unsigned *count, unsigned max)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(4 * sizeof(int))];
	} control;
	struct iovec iov = { p, n };
	struct msghdr mh = { .msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control.space,
			     .msg_controllen = sizeof(control.space) };
	ssize_t r;

	do
		r = recvmsg(fd, &mh, flags | MSG_CMSG_CLOEXEC);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return r;
	for (struct cmsghdr *cm = CMSG_FIRSTHDR(&mh); cm != NULL; cm = CMSG_NXTHDR(&mh, cm)) {
		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t off = CMSG_LEN(0); off + sizeof(int) <= cm->cmsg_len;
		     off += sizeof(int)) {
			int got;
			memcpy(&got, (char *)cm + off, sizeof(int));
			if (*count < max)
				fds[(*count)++] = got;
			else
				fd_close(&got);
		}
	}
	return r;
}

static int
read_exactly(int fd, char *p, size_t n, int *fds, unsigned *count)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = frame_receive(fd, p + got, n - got, 0, fds, count, 1);
		if (r < 0)
			return err_from_errno(errno);
		if (r == 0)
			return E_CLOSED;
		got += (size_t)r;
	}
	return 0;
}

int
frame_read_blocking(int fd, enum proc_id from, enum proc_id self, struct buf *buf,
		    enum msg_type *type_out, union msg_any *out)
{
	char head[FRAME_HEAD];
	unsigned count = 0;
	int got = -1, n, r;

	if ((r = read_exactly(fd, head, sizeof(head), &got, &count)) < 0)
		goto fail;
	if ((n = r = frame_check_head(head, from, self, type_out)) < 0)
		goto fail;
	buf_reset(buf);
	char *room = buf_room(buf, (size_t)n + 1);
	if (room == NULL) {
		r = E_CORRUPT;
		goto fail;
	}
	if ((r = read_exactly(fd, room, (size_t)n, &got, &count)) < 0)
		goto fail;
	buf_added(buf, (size_t)n);
	if ((r = msg_decode(buf_span(buf), *type_out, out)) < 0)
		goto fail;
	if (msg_info(*type_out)->has_fd) {
		r = count == 1 ? 0 : E_CORRUPT;
		if (r == 0)
			*msg_fd(*type_out, out) = got;
		got = r == 0 ? -1 : got;
	}
fail:
	fd_close(&got);
	return r;
}
