/* SPDX-License-Identifier: ISC */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "conf/conf.h"
#include "ipc/chan.h"
#include "loop/timer.h"
#include "proc/proc.h"

/* master: starts and supervises all other processes. One struct for the whole process; each file has its part of it.
 *
 *	main.c     options                              folders.c  spool, run, chroot folders; one instance only
 *	master.c   from start to end; loop.c: libuv     listen.c   ports
 *	child.c    the list of children, slots          bases.c    mailbox_base folders
 *	spawn.c    one child: fork, exec, first words   tables.c   text tables and other files, watched
 *	reap.c     its end: log, siblings, back-off     logfile.c  where the log goes; master's own lines
 *	request.c  what children ask for                reload.c   HUP
 *	ready.c    who waits for the start              stop.c     TERM
 *	childerr.c stderr of children of a daemon
 */
#define CONTROL_SOCKET "control.sock" /* below directories { run } */

struct uv_loop_s;
struct child;
struct tables;

struct master_options {
	const char *conf_path;
	bool is_daemon; /* -d */
	int ready_fd;	/* -r, -1: nobody waits */
};

/* ids of a kind; uid (uint32_t)-1: no root */
struct ids {
	uint32_t uid, gid;
};

struct base {
	char *path; /* as configured, names FILE_ADD "dir:..." */
	int fd;	    /* O_PATH */
	dev_t dev;
	ino_t ino;
};

struct bases {
	struct base *items;
	size_t count;
};

enum stop_phase {
	STOP_NOT,
	STOP_INTAKE,
	STOP_DELIVERY,
	STOP_QMGR,
	STOP_ROUTER,
	STOP_LOGD,
	STOP_DONE
};

struct master {
	struct master_options opts;
	struct uv_loop_s *loop;
	struct chan_set *chans;
	struct timer_set *timers;
	struct conf *conf;
	bool is_root;
	uint64_t started_ms; /* clock_mono_ms() */

	struct list children;
	unsigned generation; /* of workers; each reload is one more */
	int program_fds[PROC_COUNT];
	struct ids ids[PROC_COUNT];

	int lock_fd, spool_fd, run_fd, queue_fd, drop_fd, empty_fd;
	int shm_fd;	       /* counters shared by smtpd workers */
	int child_stderr;      /* stderr of children, -1: ours */
	struct list listeners; /* of the configuration */
	struct list control;   /* the control socket */
	struct bases bases;
	struct tables *tables;

	bool is_ready;
	struct timer slow_start; /* somebody waits for us in vain */
	bool is_reloading;
	uint64_t reload_ms;
	enum stop_phase stop_phase;
	bool is_stop_fast;
	int exit_status;
};

/* ---- master.c ---- */

/* Runs the server; the exit status. */
int master_run(const struct master_options *opts);
/* "FILE:" in front of a problem that begins with "LINE: ", "FILE: " in front of any other. */
void master_put_place(const struct master *m, struct span why, struct buf *out);
/* The start has failed, or the server cannot go on: end all children at once, then the loop. */
void master_fail(struct master *m, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- loop.c: the only file of master that knows libuv ---- */

void loop_open(struct master *m);
/* Call fn when fd can be read. Once. */
void loop_watch(struct master *m, int fd, void (*fn)(struct master *m));
void loop_run(struct master *m);
void loop_end(struct master *m);
/* Signals arrive here, in the loop. */
void master_on_signal(struct master *m, int sig);

/* ---- ready.c: the process that waits for the start ---- */

/* Become a daemon: the caller's process ends. E_* of errno. */
int ready_daemonize(void) MUST_CHECK;
/* "ok\n", or the reason why not, to whoever waits; or to stderr if nobody does. */
void ready_answer(struct master *m, const char *text);
/* All children are READY: say so, answer, and let go of the terminal. */
void ready_now(struct master *m);
/* Somebody waits, and it takes long: tell what is missing, and go on. */
void ready_wait(struct master *m);

/* ---- folders.c ---- */

/* Ids of every process; makes and opens the folders; takes the locks. Problems are for a person. E_CONFIG, E_IO, E_AGAIN: another instance runs. */
int folders_resolve_users(struct master *m, struct buf *why) MUST_CHECK;
int folders_open(struct master *m, struct buf *why) MUST_CHECK;
int folders_open_programs(struct master *m, struct buf *why) MUST_CHECK;
/* Remove what must not outlive us. */
void folders_clean(struct master *m);
/* Make a folder and its parents (0755) if missing; an O_PATH descriptor of it. The new folder itself gets mode and ids. */
int folders_make(const char *path, mode_t mode, const struct ids *owner,
		 bool *is_new_out) MUST_CHECK;

/* ---- listen.c ---- */

struct listener {
	struct list node;
	char *title;
	char *address; /* as it is written in the log: 0.0.0.0, [::1], a path */
	uint16_t port; /* 0: Unix socket */
	unsigned line; /* of the block, for error messages */
	uint64_t backlog;
	struct sockaddr_storage sa;
	socklen_t sa_len;
	int fd;
};

/* Bind what the configuration names; sockets of `old` with the same address are shared, so that nobody is refused. E_CONFIG, E_ACCESS.
 * why  begins with "LINE: " of the block */
int listen_open(const struct conf *conf, const struct list *old, struct list *out,
		struct buf *why) MUST_CHECK;
int listen_open_control(struct master *m, struct buf *why) MUST_CHECK;
void listen_close(struct list *listeners);
/* LISTEN_ADD of all to one child. */
void listen_give(struct chan *to, const struct list *listeners);
/* "127.0.0.1:25, [::]:25" */
void listen_put_text(struct buf *out, const struct list *listeners);

/* ---- bases.c ---- */

int bases_open(const struct conf *conf, const struct ids *owner, struct bases *out,
	       struct buf *why) MUST_CHECK;
void bases_close(struct bases *b);
bool bases_equal(const struct bases *a, const struct bases *b);
void bases_give(struct chan *to, const struct bases *b);

/* ---- tables.c ---- */

struct tables *tables_new(struct master *m);
/* The files that the configuration names now. */
void tables_set(struct tables *t, const struct conf *conf);
/* FILE_ADD or FILE_GONE of each file, to a router that was just started. */
void tables_give(struct tables *t, struct chan *to);
/* Look at all files at once: changed ones are given to router without waiting for a quiet second. */
void tables_check(struct tables *t);

/* ---- logfile.c ---- */

/* Lines of master go to logd once it is up; until then and after it to stderr. */
void logfile_init(struct master *m);
/* Can the log file of a configuration be written? E_CONFIG. */
int logfile_check(const struct conf *conf, struct buf *why) MUST_CHECK;
void logfile_logd_up(struct master *m);
/* FILE_ADD of the log file or of a socket to syslog, if one is wanted. */
void logfile_give(struct master *m, struct chan *to);
/* The same to the running logd: reopened (USR1), or asked for (LOG_WANT). */
void logfile_reopen(struct master *m);

/* ---- childerr.c ---- */

void childerr_open(struct master *m);
/* Take what is there: before the line about a child's end comes what it wrote. */
void childerr_drain(struct master *m);

/* ---- request.c ---- */

extern const struct chan_ops request_ops;

/* ---- reload.c ---- */

void reload_begin(struct master *m);
/* A child is READY: old workers may go. */
void reload_step(struct master *m);

/* ---- stop.c ---- */

void stop_begin(struct master *m);
/* A child is gone: the next ones may go. */
void stop_step(struct master *m);

#endif
