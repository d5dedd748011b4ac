/* SPDX-License-Identifier: ISC */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* A connection as a stream of bytes in both directions, driven by the loop. All streams of a process read into one
 * buffer, so an idle one owns no memory but its struct. Bytes that the owner does not take are kept and given again, with
 * more behind them; when too many are kept, reading stops until they are taken. Sending keeps nothing: what the socket
 * does not take stays with the owner. (TLS goes between the socket and these functions without changing them.) */
struct stream_set {
	uv_loop_t *loop;
	char *buf; /* room for what was kept and one read */
};

struct stream;

struct stream_ops {
	/* Bytes of the peer; returns how many were dealt with. May send and close. */
	size_t (*on_input)(void *arg, struct span in);
	/* Nothing more comes: E_CLOSED at the end, else the error. Once. What was kept stays. */
	void (*on_end)(void *arg, int why);
	/* The socket takes bytes again, after stream_send() took too few. */
	void (*on_writable)(void *arg);
	/* stream_close() is complete: the memory may go. */
	void (*on_closed)(void *arg);
};

struct stream {
	uv_poll_t poll;
	struct stream_set *set;
	const struct stream_ops *ops;
	void *arg;
	struct buf rest; /* not taken by the owner */
	int fd;
	int events; /* what poll waits for */
	bool wants_write, is_ended, is_lingering, is_closing;
};

void stream_set_init(struct stream_set *set, uv_loop_t *loop);
void stream_set_clear(struct stream_set *set);

/* Takes fd, a connected non-blocking socket, and begins to read. E_NOMEM, E_IO (fd is closed): the stream is not open. */
int stream_open(struct stream *st, struct stream_set *set, int fd, const struct stream_ops *ops,
		void *arg) MUST_CHECK;
/* What the owner did not take so far. Give it a second look with stream_again(), which calls on_input. */
struct span stream_rest(const struct stream *st);
void stream_again(struct stream *st);
/* Sends now what the socket takes; returns how many bytes. If not all: on_writable follows. A lost connection takes all
 * (on_end follows). */
size_t stream_send(struct stream *st, struct span out);
/* No more will be sent: tells the peer, and throws away what still comes. Only then a reply is sure to arrive that
 * was sent to a peer who still talks. on_end follows; the owner sets a limit to it and closes. */
void stream_linger(struct stream *st);
/* Has the peer sent bytes that nobody read yet? Then closing would destroy what was sent to it last. */
bool stream_has_unread(const struct stream *st);
/* Close now; on_closed follows from the loop. No other function of ops is called any more. */
void stream_close(struct stream *st);

#endif
