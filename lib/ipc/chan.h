/* SPDX-License-Identifier: ISC */
#ifndef IPC_CHAN_H
#define IPC_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "ipc/wire.h"

/* A channel to one sibling (or to master): a Unix stream socket with a bounded queue in both directions, driven by
 * the loop. Nobody waits inside a write: what the socket does not take is kept and goes out when it can. Frames sent
 * during one turn of the loop go out with one sendmsg before the loop sleeps.
 *
 * A frame that is malformed, of a type the peer may not send, or too long ends the channel (on_close with E_CORRUPT). */
struct uv_loop_s;
struct chan;

/* All channels of one process: the hook that flushes them before the loop sleeps. */
struct chan_set;
struct chan_set *chan_set_new(struct uv_loop_s *loop, enum proc_id self);
void chan_set_free(struct chan_set **set);

struct chan_ops {
	/* One decoded message; its spans and descriptor: spans live until return, a descriptor belongs to the receiver. */
	void (*on_msg)(void *arg, struct chan *c, enum msg_type type, union msg_any *msg);
	/* The peer is gone (E_CLOSED), or misbehaved (E_CORRUPT). The channel is dead from now on: what is sent is
	 * dropped; its owner frees it (now or later). Called from the loop only, never inside chan_send(). */
	void (*on_close)(void *arg, struct chan *c, int why);
	/* The queue to the peer fell below the low-water mark after chan_is_full() had been true; may be NULL. */
	void (*on_room)(void *arg, struct chan *c);
};

/* Takes the socket. kind and slot name the peer. */
struct chan *chan_new(struct chan_set *set, int fd, enum proc_id kind, unsigned slot,
		      const struct chan_ops *ops, void *arg);
/* Close and free; what is still queued is lost; on_close is not called. Allowed inside handlers. */
void chan_free(struct chan **c);

/* Queue one message; msg is the struct of this type. A descriptor in it is duplicated or kept: chan_send takes it and
 * closes it after sending. A peer that is already lost: the message is dropped silently (on_close follows).
 * Sending a type that the table does not allow is a bug(). */
void chan_send(struct chan *c, enum msg_type type, const void *msg);
/* Bytes queued and not yet taken by the socket. */
size_t chan_queued(const struct chan *c);
/* More than high water (1 MiB) is queued: stop the source; on_room tells when to go on. */
bool chan_is_full(const struct chan *c);
/* Stop or go on reading from the peer (back-pressure). */
void chan_pause(struct chan *c);
void chan_resume(struct chan *c);
/* Try to write now (before exit). True: nothing is queued. */
bool chan_flush(struct chan *c);

enum proc_id chan_kind(const struct chan *c);
unsigned chan_slot(const struct chan *c);
void *chan_data(const struct chan *c); /* the owner's pointer, NULL at first */
void chan_set_data(struct chan *c, void *data);

#endif
