/* SPDX-License-Identifier: ISC */
#ifndef SVC_SVC_H
#define SVC_SVC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "conf/conf.h"
#include "ipc/chan.h"
#include "proc/proc.h"

/* The frame of every child of master: start-up order, sandbox, channels with HELLO, reload, drain. A program's main()
 * is `return svc_main(&ops);`.
 *
 * Start-up:   master gives descriptor 3 (the channel) -> INIT, ROOT_DIR, FILE_ADD*, LISTEN_ADD*, PEER_ADD*, START are
 *             read, blocking -> ops.prepare() with all files at hand, still outside the sandbox -> priv_drop() (the one
 *             function: close what is not listed, chroot, ids, no_new_privs, rlimits, Landlock, seccomp) -> the loop ->
 *             ops.start() -> READY (or when the program says svc_ready()).
 * Siblings:   both sides of a new channel send HELLO; after the other's HELLO ops.on_peer() is called and messages flow.
 *             A wrong contract hash ends the process. When a sibling is lost its channel closes, ops.on_peer_lost() is
 *             called; a new one comes with a new channel.
 * Master gone: the channel to master closes: the process ends at once.
 * SIGTERM, SIGINT are ignored in children (master speaks STOP); SIGPIPE is ignored. */
struct uv_loop_s;

struct svc_priv;

struct svc {
	struct uv_loop_s *loop;
	struct conf *conf;
	enum proc_id kind;
	uint16_t slot;
	bool is_alone;
	bool is_foreground;
	bool is_stopping;
	struct chan *master;
	struct chan_set *chans;
	void *data;	      /* the program's own */
	struct svc_priv *own; /* of this folder */
};

struct svc_ops {
	enum proc_id
		kinds; /* what it runs as; a program for several kinds reads svc->kind (delivery, mailbox) */
	bool says_ready; /* it is not READY with the end of start(): it calls svc_ready() */
	/* Before the sandbox: svc->conf is there, files by svc_file(). May open what the libraries want. 0 or E_* (ends). */
	int (*prepare)(struct svc *s);
	/* In the sandbox, the loop exists. 0 or E_*. */
	int (*start)(struct svc *s);
	/* A sibling said HELLO. The channel may be used until on_peer_lost. */
	void (*on_peer)(struct svc *s, struct chan *c);
	/* is_crash and is_final as told by PEER_LOST (which may come before or after the channel closes; svc waits for both). */
	void (*on_peer_lost)(struct svc *s, struct chan *c, bool is_crash, bool is_final);
	/* Any message of a sibling but HELLO and LOG; also those of master that svc does not handle itself
	 * (UNIX_CONNECTED, UNIX_REFUSED, WORKER_KILL...). */
	void (*on_msg)(struct svc *s, struct chan *c, enum msg_type type, union msg_any *msg);
	void (*on_room)(struct svc *s, struct chan *c); /* may be NULL: see chan_ops */
	/* A listening socket; takes fd. NULL: this program has none. */
	void (*on_listen)(struct svc *s, const char *name, const char *address, uint16_t port,
			  int fd);
	/* A file came at run time (changed table); takes fd. The ones before START are not reported here: svc_file_take(). */
	void (*on_file)(struct svc *s, const char *name, uint64_t mtime_ns, int fd);
	void (*on_file_gone)(struct svc *s, const char *name, const char *reason);
	void (*on_conf)(struct svc *s,
			struct conf *old); /* svc->conf is the new one; old is freed after return */
	/* Take no new work; call svc_exit() when what was in flight is done. is_reload: a successor runs already. */
	void (*on_stop)(struct svc *s, bool is_reload, uint32_t grace_ms);
};

/* Runs a child from start to end; returns the exit status. */
int svc_main(const struct svc_ops *ops);
/* Tell master that this process does its work from now on. Only the first call counts. */
void svc_ready(struct svc *s);
/* End the loop and the process with status 0 after flushing the channels. */
void svc_exit(struct svc *s);
/* For prepare(): this descriptor stays open through priv_drop(). */
void svc_keep_fd(struct svc *s, int fd);
/* Descriptor of a file sent before START, -1: none. The caller owns it (once). */
int svc_file_take(struct svc *s, const char *name, uint64_t *mtime_ns_out);
/* Iterate over the names of files sent before START that begin with prefix. NULL: no more. */
const char *svc_file_next(struct svc *s, const char *prefix, size_t *it);
/* The channel to a sibling (slot 0: the first of its kind), NULL: none now. */
struct chan *svc_peer(struct svc *s, enum proc_id kind, unsigned slot);
/* Iterate over the live siblings of a kind. */
struct chan *svc_peer_next(struct svc *s, enum proc_id kind, size_t *it);
/* Process id of a sibling as it said in HELLO, for log lines; 0: not a sibling. */
uint32_t svc_peer_pid(struct svc *s, const struct chan *c);
/* Is it a worker of its own for jobs that crashed others? */
bool svc_peer_is_alone(struct svc *s, const struct chan *c);
/* Iterate over the slots of siblings that were given to us but have not said HELLO yet. False: no more. */
bool svc_peer_silent(struct svc *s, enum proc_id kind, size_t *it, uint16_t *slot_out);
/* End the channel to a sibling from our side (a worker that is alone is stopped so). The channel is freed; on_peer_lost
 * is not called. */
void svc_peer_close(struct svc *s, struct chan *c);

#endif
