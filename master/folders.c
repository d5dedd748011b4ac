/* SPDX-License-Identifier: ISC
 *
 * Before anything is started: the ids of every process, the folders it lives in, the programs, and the locks that keep a
 * second server off the same run folder or spool. All of it is opened once; later changes of these options wait for a
 * restart. Runs in master, as root.
 */
/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/user.h"

/* this program */
#include "master/master.h"

#define PATH_MAX_BYTES 4096
#define PID_FILE "postern.pid"

/* ---- users ---- */

/* The option of users { } that procs.def names. */
static const struct {
	const char *option;
	size_t offset;
} user_options[] = {
	{ "smtpd", offsetof(struct conf, users.smtpd) },
	{ "router", offsetof(struct conf, users.router) },
	{ "qmgr", offsetof(struct conf, users.qmgr) },
	{ "delivery", offsetof(struct conf, users.delivery) },
	{ "control", offsetof(struct conf, users.control) },
	{ "log", offsetof(struct conf, users.log) },
	{ "mailbox", offsetof(struct conf, users.mailbox) },
};

static const char *
user_of(const struct conf *conf, enum proc_id kind)
{
	for (unsigned i = 0; i < sizeof(user_options) / sizeof(user_options[0]); i++) {
		if (strcmp(user_options[i].option, proc_info(kind)->user) == 0)
			return *(char *const *)((const char *)conf + user_options[i].offset);
	}
	bug("users { %s } is no option", proc_info(kind)->user);
}

int
folders_resolve_users(struct master *m, struct buf *why)
{
	for (unsigned kind = 0; kind < PROC_COUNT; kind++) {
		struct ids *ids = &m->ids[kind];
		const char *name;
		uid_t uid;
		gid_t gid;

		*ids = (struct ids){ (uint32_t)-1, (uint32_t)-1 };
		if (!m->is_root || kind == PROC_MASTER)
			continue;
		name = user_of(m->conf, (enum proc_id)kind);
		if (conf_user_find(name, &uid, &gid) < 0 || uid == 0 || gid == 0) {
			buf_printf(why,
				   "users.%s = \"%s\": no such user, or one of root's ids; "
				   "`useradd -r -M -U -s /usr/sbin/nologin %s` makes one",
				   proc_info((enum proc_id)kind)->user, name, name);
			return E_CONFIG;
		}
		*ids = (struct ids){ uid, gid };
	}
	return 0;
}

/* ---- folders ---- */

static int
make_one(const char *path, mode_t mode, const struct ids *owner, bool *is_new_out)
{
	if (mkdir(path, mode) < 0)
		return errno == EEXIST ? 0 : err_from_errno(errno);
	*is_new_out = true;
	if (chmod(path, mode) < 0)
		return err_from_errno(errno);
	if (owner != NULL && owner->uid != (uint32_t)-1 && lchown(path, owner->uid, owner->gid) < 0)
		return err_from_errno(errno);
	return 0;
}

int
folders_make(const char *path, mode_t mode, const struct ids *owner, bool *is_new_out)
{
	char part[PATH_MAX_BYTES];
	size_t n = strlen(path);
	bool is_new = false, ignored;
	int fd, r;

	if (n >= sizeof(part))
		return E_TOOLONG;
	memcpy(part, path, n + 1);
	while (n > 1 && part[n - 1] == '/')
		part[--n] = '\0';
	for (char *slash = part; (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
		*slash = '\0';
		if ((r = make_one(part, 0755, NULL, &ignored)) < 0 && r != E_ACCESS)
			return r;
	}
	if ((r = make_one(part, mode, owner, &is_new)) < 0)
		return r;
	fd = open(part, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_from_errno(errno);
	if (is_new_out != NULL)
		*is_new_out = is_new;
	return fd;
}

static bool
is_empty_folder(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	unsigned n = 0;

	if (dir == NULL)
		return false;
	while (n <= 2 && readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n <= 2;
}

/* Make and open a folder of a process. One that belongs to somebody else is taken only while it is empty. */
static int
open_folder(const char *parent, const char *name, mode_t mode, const struct ids *owner, int *out,
	    struct buf *why)
{
	char path[PATH_MAX_BYTES];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s%s%s", parent, name[0] != '\0' ? "/" : "", name);

	if (n < 0 || (size_t)n >= sizeof(path)) {
		buf_printf(why, "%s: path too long; name a shorter one in directories { }", parent);
		return E_CONFIG;
	}
	*out = folders_make(path, mode, owner, NULL);
	if (*out < 0) {
		buf_printf(why,
			   "%s: cannot be made or opened: %s; make it, or name another one in "
			   "directories { }",
			   path, errno != 0 ? strerror(errno) : err_info(*out)->text);
		return *out;
	}
	if (owner == NULL || owner->uid == (uint32_t)-1 || fstat(*out, &st) < 0 ||
	    st.st_uid == owner->uid)
		return 0;
	if (is_empty_folder(*out) && lchown(path, owner->uid, owner->gid) == 0 &&
	    chmod(path, mode) == 0)
		return 0;
	buf_printf(why,
		   "%s belongs to user %u, not to %u of users { }; `chown -R %u:%u %s` gives it "
		   "over",
		   path, st.st_uid, owner->uid, owner->uid, owner->gid, path);
	return E_CONFIG;
}

/* ---- one instance ---- */

/* Process that holds a flock on this file, 0: cannot be found. */
static long
lock_owner(int fd)
{
	struct stat st;
	FILE *f = fopen("/proc/locks", "re");
	char line[256];
	long pid = 0;

	if (f == NULL || fstat(fd, &st) < 0) {
		if (f != NULL)
			fclose(f);
		return 0;
	}
	while (pid == 0 && fgets(line, sizeof(line), f) != NULL) {
		unsigned major, minor;
		unsigned long ino;
		long owner;
		if (sscanf(line, "%*s FLOCK %*s %*s %ld %x:%x:%lu", &owner, &major, &minor, &ino) ==
			    4 &&
		    ino == st.st_ino && major == major(st.st_dev) && minor == minor(st.st_dev))
			pid = owner;
	}
	fclose(f);
	return pid;
}

static int
take_lock(int fd, const char *what, struct buf *why)
{
	long owner;

	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno != EWOULDBLOCK) {
		buf_printf(why, "%s cannot be locked: %s", what, strerror(errno));
		return E_IO;
	}
	owner = lock_owner(fd);
	if (owner > 0)
		buf_printf(why,
			   "%s is in use by a running server, process %ld; stop that one first",
			   what, owner);
	else
		buf_printf(why, "%s is in use by a running server; stop that one first", what);
	return E_AGAIN;
}

static int
lock_folder(int path_fd, const char *path, struct buf *why)
{
	int fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0) {
		buf_printf(why, "%s: %s", path, strerror(errno));
		return err_from_errno(errno);
	}
	/* Held until the end of the process: never closed. */
	return take_lock(fd, path, why);
}

static int
write_pid(int fd)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	if (ftruncate(fd, 0) < 0 || fchmod(fd, 0644) < 0)
		return err_from_errno(errno);
	return fd_pwrite_all(fd, text, (size_t)n, 0);
}

/* The file is ours once it is locked and still has its name: a server that ends takes the name away first. */
static int
lock_pid_file(struct master *m, struct buf *why)
{
	char path[PATH_MAX_BYTES + 32];
	struct stat st;
	int r;

	snprintf(path, sizeof(path), "%s/" PID_FILE, m->conf->directories.run);
	do {
		fd_close(&m->lock_fd);
		m->lock_fd = openat(m->run_fd, PID_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
				    0644);
		if (m->lock_fd < 0) {
			buf_printf(why, "%s: %s", path, strerror(errno));
			return err_from_errno(errno);
		}
		if ((r = take_lock(m->lock_fd, path, why)) < 0) {
			fd_close(&m->lock_fd);
			return r;
		}
	} while (fstat(m->lock_fd, &st) == 0 && st.st_nlink == 0);
	if ((r = write_pid(m->lock_fd)) < 0)
		buf_printf(why, "%s: %s", path, err_info(r)->text);
	return r;
}

int
folders_open(struct master *m, struct buf *why)
{
	const char *spool = m->conf->directories.spool, *run = m->conf->directories.run;
	int state_fd, r;

	errno = 0;
	if ((r = open_folder(run, "", 0755, NULL, &m->run_fd, why)) < 0 ||
	    (r = lock_pid_file(m, why)) < 0 ||
	    (r = open_folder(spool, "", 0755, NULL, &m->spool_fd, why)) < 0 ||
	    (r = lock_folder(m->spool_fd, spool, why)) < 0 ||
	    (r = open_folder(spool, "queue", 0700, &m->ids[PROC_QMGR], &m->queue_fd, why)) < 0 ||
	    (r = open_folder(spool, "drop", 0700, &m->ids[PROC_CONTROL], &m->drop_fd, why)) < 0 ||
	    (r = open_folder(run, "empty", 0555, NULL, &m->empty_fd, why)) < 0)
		return r;
	if ((r = open_folder(m->conf->directories.state, "", 0755, NULL, &state_fd, why)) < 0)
		return r;
	fd_close(&state_fd);
	return 0;
}

void
folders_clean(struct master *m)
{
	/* The lock is ours until we end: nobody takes the name in between. */
	if (m->run_fd >= 0 && m->lock_fd >= 0)
		unlinkat(m->run_fd, PID_FILE, 0);
	if (!list_is_empty(&m->control))
		unlinkat(m->run_fd, CONTROL_SOCKET, 0);
}

/* ---- programs ---- */

/* All programs are opened now, beside our own: what runs later is of the same version, whatever is installed meanwhile. */
int
folders_open_programs(struct master *m, struct buf *why)
{
	char path[PATH_MAX_BYTES], *slash;
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	int dir;

	if (n <= 0) {
		buf_printf(why, "/proc/self/exe: %s; /proc must be mounted", strerror(errno));
		return E_IO;
	}
	path[n] = '\0';
	slash = strrchr(path, '/');
	*slash = '\0';
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (unsigned kind = 0; kind < PROC_COUNT; kind++) {
		const char *name = proc_info((enum proc_id)kind)->program;
		m->program_fds[kind] = kind == PROC_MASTER ? -1
							   : openat(dir, name, O_PATH | O_CLOEXEC);
		if (kind != PROC_MASTER && m->program_fds[kind] < 0) {
			buf_printf(why,
				   "%s/%s: %s; install all programs of Postern beside each other",
				   path, name, strerror(errno));
			fd_close(&dir);
			return E_CONFIG;
		}
	}
	fd_close(&dir);
	return 0;
}
