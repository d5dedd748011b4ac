/* SPDX-License-Identifier: ISC */
#ifndef IPC_FRAME_H
#define IPC_FRAME_H

#include <sys/types.h>
#include "base/buf.h"
#include "ipc/wire.h"
#include "proc/proc.h"

#define FRAME_HEAD 8 /* bytes in front of the payload */

/* Append a frame; msg is the struct of this type. A buffer without room becomes failed. */
void frame_put(struct buf *b, enum msg_type type, const void *msg);
/* Look at FRAME_HEAD bytes: may `from` send `self` this type, and so much? Payload length, or E_CORRUPT. */
int frame_check_head(const char *p, enum proc_id from, enum proc_id self,
		     enum msg_type *type_out) MUST_CHECK;
/* recvmsg that keeps descriptors: fds has *count of them and room for max; those above are closed. Bytes, 0 at the end, -1
 * with errno. */
ssize_t frame_receive(int fd, void *p, size_t n, int flags, int *fds, unsigned *count,
		      unsigned max);
/* Before a loop exists (start-up of a child): read one message from fd, waiting for it. The buffer keeps
 * the bytes; spans of out point into it. E_CLOSED, E_CORRUPT. */
int frame_read_blocking(int fd, enum proc_id from, enum proc_id self, struct buf *buf,
			enum msg_type *type_out, union msg_any *out) MUST_CHECK;

#endif
