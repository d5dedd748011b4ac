/* SPDX-License-Identifier: ISC
 *
 * Starts one child: fork, exec by descriptor, and its first words: INIT, folder, files, sockets, channels, START. The child
 * begins with descriptor 3 (its channel) and stderr, nothing else, and gives up root itself (svc/priv.c). Runs in master,
 * as root; between fork and exec only async-signal-safe calls.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

/* lib */
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

/* this program */
#include "master/child.h"

#define CHANNEL_FD 3
#define CONF_MAX (4u * 1024 * 1024)
#define ENV_MAX 64

/* Variables that a child gets; a name that ends in * stands for all that begin so. The server is started by root or by
 * the user it runs as: whoever sets these controls master too. */
static const char *const kept_variables[] = {
	"TZ=",		 "LD_LIBRARY_PATH=", "LD_PRELOAD=", "ASAN_OPTIONS=", "UBSAN_OPTIONS=",
	"TSAN_OPTIONS=", "GCOV_*",	     "POSTERN_*",
};

/* ---- fork and exec ---- */

static bool
is_kept(const char *variable)
{
	for (unsigned i = 0; i < sizeof(kept_variables) / sizeof(kept_variables[0]); i++) {
		size_t n = strcspn(kept_variables[i], "*");
		if (strncmp(variable, kept_variables[i], n) == 0)
			return true;
	}
	return false;
}

static void
make_environment(char **out)
{
	unsigned n = 0;

	for (char **v = environ; *v != NULL && n < ENV_MAX; v++) {
		if (is_kept(*v))
			out[n++] = *v;
	}
	out[n] = NULL;
}

/* In the child. Nothing here allocates. */
static _Noreturn void
become(int program_fd, char *name, char **env, int fd, int stderr_fd)
{
	static const char sorry[] = "master: a program of Postern cannot be executed\n";
	char *argv[] = { name, NULL };
	int null = open("/dev/null", O_RDWR);

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	if (stderr_fd >= 0)
		dup2(stderr_fd, STDERR_FILENO);
	if (fd == CHANNEL_FD)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, CHANNEL_FD);
	/* It reads its first words before it has a loop. */
	fcntl(CHANNEL_FD, F_SETFL, fcntl(CHANNEL_FD, F_GETFL) & ~O_NONBLOCK);
	/* A terminal's ^C and hang-up are for master. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	syscall(SYS_execveat, program_fd, "", argv, env, AT_EMPTY_PATH);
	(void)!write(STDERR_FILENO, sorry, sizeof(sorry) - 1);
	_exit(EX_CONFIG);
}

/* The new process; *fd_out: our end of its channel. E_* of errno. */
static int
fork_child(const struct child *c, pid_t *pid_out, int *fd_out)
{
	char name[32], *env[ENV_MAX + 1];
	int sv[2], r;

	if ((r = fd_socketpair(sv)) < 0)
		return r;
	/* What ps shows. */
	snprintf(name, sizeof(name), "postern/%s", proc_info(c->kind)->name);
	make_environment(env);
	*pid_out = fork();
	if (*pid_out == 0)
		become(c->m->program_fds[c->kind], name, env, sv[1], c->m->child_stderr);
	r = *pid_out < 0 ? err_from_errno(errno) : 0;
	fd_close(&sv[1]);
	if (r < 0)
		fd_close(&sv[0]);
	*fd_out = sv[0];
	return r;
}

/* ---- first words ---- */

static void
give_init(const struct child *c)
{
	const struct master *m = c->m;
	struct buf conf;

	buf_init(&conf, CONF_MAX);
	conf_encode(m->conf, c->kind, &conf);
	if (buf_check(&conf) < 0)
		die_perm("configuration is over %u bytes for %s", CONF_MAX,
			 proc_info(c->kind)->name);
	chan_send(c->chan, MSG_INIT,
		  &(struct msg_init){ .kind = (uint8_t)c->kind,
				      .slot = c->slot,
				      .uid = m->ids[c->kind].uid,
				      .gid = m->ids[c->kind].gid,
				      .is_alone = c->is_alone,
				      .is_foreground = !m->opts.is_daemon,
				      .conf = buf_span(&conf) });
	buf_clear(&conf);
}

static void
give_folder(const struct child *c)
{
	const struct master *m = c->m;
	int fd = -1;

	switch (proc_info(c->kind)->root) {
	case PROC_ROOT_NONE:
		return;
	case PROC_ROOT_EMPTY:
		fd = m->empty_fd;
		break;
	case PROC_ROOT_QUEUE:
		fd = m->queue_fd;
		break;
	case PROC_ROOT_DROP:
		fd = m->drop_fd;
		break;
	}
	fd = fcntl(fd, F_DUPFD_CLOEXEC, CHANNEL_FD + 1);
	if (fd < 0)
		die_temp("no descriptors left: %s", strerror(errno));
	chan_send(c->chan, MSG_ROOT_DIR, &(struct msg_root_dir){ .fd = fd });
}

static void
give_files(const struct child *c)
{
	struct master *m = c->m;

	if (c->kind == PROC_LOGD)
		logfile_give(m, c->chan);
	if (c->kind == PROC_ROUTER)
		tables_give(m->tables, c->chan);
	if (c->kind == PROC_MAILBOX)
		bases_give(c->chan, &m->bases);
	if (c->kind == PROC_CONTROL)
		listen_give(c->chan, &m->control);
	if (c->kind == PROC_SMTPD) {
		listen_give(c->chan, &m->listeners);
		int fd = fcntl(m->shm_fd, F_DUPFD_CLOEXEC, CHANNEL_FD + 1);
		if (fd < 0)
			die_temp("no descriptors left: %s", strerror(errno));
		chan_send(c->chan, MSG_FILE_ADD,
			  &(struct msg_file_add){ .name = SPAN("shm"), .fd = fd });
	}
}

/* A channel between two running children. */
static void
connect_pair(const struct child *a, const struct child *b)
{
	int sv[2];

	if (fd_socketpair(sv) < 0)
		die_temp("no channel between %s and %s: %s", proc_info(a->kind)->name,
			 proc_info(b->kind)->name, strerror(errno));
	chan_send(a->chan, MSG_PEER_ADD,
		  &(struct msg_peer_add){ .kind = (uint8_t)b->kind,
					  .slot = b->slot,
					  .is_alone = b->is_alone,
					  .fd = sv[0] });
	chan_send(b->chan, MSG_PEER_ADD,
		  &(struct msg_peer_add){ .kind = (uint8_t)a->kind,
					  .slot = a->slot,
					  .is_alone = a->is_alone,
					  .fd = sv[1] });
}

static void
connect_siblings(const struct child *c)
{
	LIST_EACH(it, &c->m->children) {
		const struct child *s = LIST_ENTRY(it, struct child, node);
		if (s != c && child_is_running(s) && proc_has_channel(c->kind, s->kind))
			connect_pair(c, s);
	}
}

static void
log_start(const struct child *c)
{
	struct log_event ev;

	/* The first ones are part of the line "ready". */
	log_begin(&ev, c->m->is_ready ? LOG_INFO_ : LOG_DEBUG_, "child_start");
	log_kvs(&ev, "name", proc_info(c->kind)->name);
	log_kv_u64(&ev, "slot", c->slot);
	log_kv_u64(&ev, "child", (uint64_t)c->pid);
	log_end(&ev);
}

void
child_start(struct child *c)
{
	int fd, r;

	if ((r = fork_child(c, &c->pid, &fd)) < 0) {
		c->pid = 0;
		log_warn("%s cannot be started: %s; next try in 1 s", proc_info(c->kind)->name,
			 err_info(r)->text);
		timer_start(&c->timer, 1000);
		return;
	}
	c->state = CHILD_STARTING;
	c->kill_reason = NULL;
	c->started_ms = clock_mono_ms();
	c->chan = chan_new(c->m->chans, fd, c->kind, c->slot, &request_ops, c);
	log_start(c);
	give_init(c);
	give_folder(c);
	give_files(c);
	connect_siblings(c);
	chan_send(c->chan, MSG_START, &(struct msg_start){ 0 });
}
