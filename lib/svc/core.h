/* SPDX-License-Identifier: ISC */
#ifndef SVC_CORE_H
#define SVC_CORE_H

#include "base/buf.h"
#include "base/list.h"
#include "loop/timer.h"
#include "svc/svc.h"

/* What the files of this folder that make up the frame share: svc.c (life, master), start.c (before the sandbox), peer.c
 * (siblings), sink.c (the log). Nobody else includes it. */

#define MASTER_FD 3
#define EARLY_LOG_MAX (64 * 1024)

struct file {
	struct list node;
	char *name;
	char *gone_reason; /* FILE_GONE: there is none */
	int fd;		   /* -1: taken */
	int keep_fd;	   /* stays open through priv_drop() */
	uint64_t mtime_ns;
};

struct listener {
	struct list node;
	char *name, *address;
	uint16_t port;
	int fd;
};

struct peer {
	struct list node;
	struct svc *s;
	struct chan *chan; /* NULL before the loop exists */
	int fd;		   /* until chan takes it */
	enum proc_id kind;
	uint16_t slot;
	uint32_t pid; /* as it said in HELLO */
	bool is_alone;
	bool is_up;	/* said HELLO */
	bool is_closed; /* the channel ended */
	bool is_lost;	/* master said so */
	bool is_crash, is_final;
	bool is_waiting; /* a predecessor of the same slot is not yet gone */
	struct timer lost_timer;
};

struct svc_priv {
	const struct svc_ops *ops;
	struct list files, listeners, peers;
	int keep_fds[64];
	unsigned keep_count;
	int root_fd;
	uint32_t uid, gid;
	struct timer_set *timers;
	struct buf early_log; /* (bytes record)*, until logd is there */
	uint64_t lost_lines;
	bool is_in_sink;
	bool is_ready; /* READY is said */
};

/* ---- start.c ---- */

/* What master says before START: kind, options, files, sockets and siblings, all kept in s. Ends the process where it is
 * not what a child of master must hear. */
void start_read(struct svc *s);
/* Into the sandbox, with nothing open but what was given and kept. */
void start_drop(struct svc *s);

/* ---- peer.c ---- */

/* A sibling that master gave a channel to; peer_start() once the loop exists. */
struct peer *peer_add(struct svc *s, const struct msg_peer_add *m);
/* Say HELLO, now or when the sibling that had the slot before is gone. */
void peer_start(struct peer *p);
/* master says that a sibling has ended. */
void peer_lost(struct svc *s, const struct msg_peer_lost *m);
/* The sibling of a kind and slot (0: any) that can be spoken to, NULL: none. */
struct peer *peer_find_up(struct svc *s, enum proc_id kind, unsigned slot);

/* ---- sink.c ---- */

/* From now on log lines go to logd; they are kept, within bounds, until it says HELLO. */
void sink_open(struct svc *s);
/* logd is there (again), or takes lines again. */
void sink_catch_up(struct svc *s, struct peer *logd);

#endif
