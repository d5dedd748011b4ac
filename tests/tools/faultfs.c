/* SPDX-License-Identifier: ISC
 *
 * A file system of the tests (FUSE): shows a folder as it is, logs every write and every sync in the order in which they
 * came, and fails or delays them on demand. Below an ext4 image it is a disk whose power can be cut at any point of its
 * log; below a spool it is a disk that breaks.
 *
 *	faultfs FOLDER MOUNTPOINT LOG [-o ...]
 *
 * LOG: records of u32 kind (1 write, 2 sync, 3 truncate), u32 length, u64 offset, u32 name length, name, data.
 * Writing to MOUNTPOINT/.control sets what happens from now on, as words:
 *	write=ERR sync=ERR  fail these (ERR: EIO ENOSPC EDQUOT EROFS, 0: no more)    count=N  only the next N
 *	delay_sync=MS  each sync takes so much longer    free=BYTES  statfs shows so much free (-1: the truth)
 * Only files whose path contains the text of match=TEXT are hit (default: all).
 */
#define FUSE_USE_VERSION 31

/* System */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* Third party */
#include <fuse.h>

enum { LOG_WRITE = 1, LOG_SYNC = 2, LOG_TRUNCATE = 3 };
#define CONTROL "/.control"

static int root_fd, log_fd;
static struct {
	int write_err, sync_err;
	long count; /* how many more to fail; -1: all */
	long delay_ms;
	long long free_bytes; /* -1: the truth */
	char match[256];
} fault = { .count = -1, .free_bytes = -1 };

static const char *
rel(const char *path)
{
	return path[1] == '\0' ? "." : path + 1;
}

static void
put_log(uint32_t kind, const char *path, const void *data, uint32_t n, uint64_t off)
{
	uint32_t name_n = (uint32_t)strlen(path);
	char head[20];

	memcpy(head, &kind, 4);
	memcpy(head + 4, &n, 4);
	memcpy(head + 8, &off, 8);
	memcpy(head + 16, &name_n, 4);
	if (write(log_fd, head, sizeof(head)) != (ssize_t)sizeof(head) ||
	    write(log_fd, path, name_n) != (ssize_t)name_n ||
	    (data != NULL && write(log_fd, data, n) != (ssize_t)n))
		abort();
}

/* The error to give for this call, 0: none. */
static int
hit(const char *path, int err)
{
	if (err == 0 || fault.count == 0 || strstr(path, fault.match) == NULL)
		return 0;
	if (fault.count > 0)
		fault.count--;
	return err;
}

static int
err_by_name(const char *name)
{
	static const struct {
		const char *name;
		int err;
	} table[] = {
		{ "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT }, { "EROFS", EROFS }
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(table[i].name, name) == 0)
			return table[i].err;
	}
	return 0;
}

static void
take_control(char *text)
{
	char *save = NULL;

	for (char *w = strtok_r(text, " \n", &save); w != NULL; w = strtok_r(NULL, " \n", &save)) {
		char *eq = strchr(w, '=');
		if (eq == NULL)
			continue;
		*eq++ = '\0';
		if (strcmp(w, "write") == 0)
			fault.write_err = err_by_name(eq);
		else if (strcmp(w, "sync") == 0)
			fault.sync_err = err_by_name(eq);
		else if (strcmp(w, "count") == 0)
			fault.count = strtol(eq, NULL, 10);
		else if (strcmp(w, "delay_sync") == 0)
			fault.delay_ms = strtol(eq, NULL, 10);
		else if (strcmp(w, "free") == 0)
			fault.free_bytes = strtoll(eq, NULL, 10);
		else if (strcmp(w, "match") == 0)
			snprintf(fault.match, sizeof(fault.match), "%s", eq);
	}
}

static int
ret(int r)
{
	return r < 0 ? -errno : 0;
}

static int
ff_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	if (strcmp(path, CONTROL) == 0) {
		memset(st, 0, sizeof(*st));
		st->st_mode = S_IFREG | 0666;
		st->st_nlink = 1;
		return 0;
	}
	return ret(fstatat(root_fd, rel(path), st, AT_SYMLINK_NOFOLLOW));
}

static int
ff_mkdir(const char *path, mode_t mode)
{
	int r = ret(mkdirat(root_fd, rel(path), mode));

	if (r == 0)
		r = ret(fchownat(root_fd, rel(path), fuse_get_context()->uid,
				 fuse_get_context()->gid, 0));
	return r;
}

static int
ff_unlink(const char *path)
{
	return ret(unlinkat(root_fd, rel(path), 0));
}

static int
ff_rmdir(const char *path)
{
	return ret(unlinkat(root_fd, rel(path), AT_REMOVEDIR));
}

static int
ff_rename(const char *from, const char *to, unsigned flags)
{
	return ret(renameat2(root_fd, rel(from), root_fd, rel(to), flags));
}

static int
ff_link(const char *from, const char *to)
{
	return ret(linkat(root_fd, rel(from), root_fd, rel(to), 0));
}

static int
ff_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	(void)fi;
	return ret(fchmodat(root_fd, rel(path), mode, 0));
}

static int
ff_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
	(void)fi;
	return ret(fchownat(root_fd, rel(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int
ff_utimens(const char *path, const struct timespec ts[2], struct fuse_file_info *fi)
{
	(void)fi;
	return ret(utimensat(root_fd, rel(path), ts, AT_SYMLINK_NOFOLLOW));
}

static int
ff_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
	int fd, r;

	if (strcmp(path, CONTROL) == 0)
		return 0;
	if ((r = hit(path, fault.write_err)) != 0)
		return -r;
	put_log(LOG_TRUNCATE, path, NULL, 0, (uint64_t)size);
	if (fi != NULL)
		return ret(ftruncate((int)fi->fh, size));
	if ((fd = openat(root_fd, rel(path), O_WRONLY | O_CLOEXEC)) < 0)
		return -errno;
	r = ret(ftruncate(fd, size));
	close(fd);
	return r;
}

static int
ff_open(const char *path, struct fuse_file_info *fi)
{
	if (strcmp(path, CONTROL) == 0) {
		fi->direct_io = 1;
		fi->fh = (uint64_t)-1;
		return 0;
	}
	int fd = openat(root_fd, rel(path), (fi->flags & ~(O_DIRECT | O_NOFOLLOW)) | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	return 0;
}

static int
ff_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	int r = hit(path, fault.write_err);

	if (r != 0)
		return -r;
	int fd = openat(root_fd, rel(path), (fi->flags & ~O_DIRECT) | O_CREAT | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	fi->fh = (uint64_t)fd;
	return ret(fchown(fd, fuse_get_context()->uid, fuse_get_context()->gid));
}

static int
ff_read(const char *path, char *p, size_t n, off_t off, struct fuse_file_info *fi)
{
	if (strcmp(path, CONTROL) == 0)
		return 0;
	ssize_t r = pread((int)fi->fh, p, n, off);
	return r < 0 ? -errno : (int)r;
}

static int
ff_write(const char *path, const char *p, size_t n, off_t off, struct fuse_file_info *fi)
{
	char text[1024];
	int err;

	if (strcmp(path, CONTROL) == 0) {
		snprintf(text, sizeof(text), "%.*s", (int)n, p);
		take_control(text);
		return (int)n;
	}
	if ((err = hit(path, fault.write_err)) != 0)
		return -err;
	put_log(LOG_WRITE, path, p, (uint32_t)n, (uint64_t)off);
	ssize_t r = pwrite((int)fi->fh, p, n, off);
	return r < 0 ? -errno : (int)r;
}

static int
ff_fallocate(const char *path, int mode, off_t off, off_t n, struct fuse_file_info *fi)
{
	int err = hit(path, fault.write_err);

	if (err != 0)
		return -err;
	return ret(fallocate((int)fi->fh, mode, off, n));
}

static int
ff_fsync(const char *path, int is_data, struct fuse_file_info *fi)
{
	int err;

	(void)is_data;
	(void)fi;
	if (fault.delay_ms > 0)
		nanosleep(&(struct timespec){ fault.delay_ms / 1000,
					      fault.delay_ms % 1000 * 1000000 },
			  NULL);
	if ((err = hit(path, fault.sync_err)) != 0)
		return -err;
	/* The log is the disk: nothing more has to become stable here. */
	put_log(LOG_SYNC, path, NULL, 0, 0);
	return 0;
}

static int
ff_fsyncdir(const char *path, int is_data, struct fuse_file_info *fi)
{
	return ff_fsync(path, is_data, fi);
}

static int
ff_release(const char *path, struct fuse_file_info *fi)
{
	if (strcmp(path, CONTROL) != 0)
		close((int)fi->fh);
	return 0;
}

static int
ff_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off, struct fuse_file_info *fi,
	   enum fuse_readdir_flags flags)
{
	int fd = openat(root_fd, rel(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	DIR *d;

	(void)off;
	(void)fi;
	(void)flags;
	if (fd < 0)
		return -errno;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return -errno;
	}
	while ((e = readdir(d)) != NULL)
		fill(buf, e->d_name, NULL, 0, 0);
	closedir(d);
	return 0;
}

static int
ff_statfs(const char *path, struct statvfs *st)
{
	(void)path;
	if (fstatvfs(root_fd, st) < 0)
		return -errno;
	if (fault.free_bytes >= 0)
		st->f_bavail = st->f_bfree = (fsblkcnt_t)fault.free_bytes / st->f_frsize;
	return 0;
}

static const struct fuse_operations ops = {
	.getattr = ff_getattr,
	.mkdir = ff_mkdir,
	.unlink = ff_unlink,
	.rmdir = ff_rmdir,
	.rename = ff_rename,
	.link = ff_link,
	.chmod = ff_chmod,
	.chown = ff_chown,
	.utimens = ff_utimens,
	.truncate = ff_truncate,
	.open = ff_open,
	.create = ff_create,
	.read = ff_read,
	.write = ff_write,
	.fallocate = ff_fallocate,
	.fsync = ff_fsync,
	.fsyncdir = ff_fsyncdir,
	.release = ff_release,
	.readdir = ff_readdir,
	.statfs = ff_statfs,
};

int
main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: faultfs FOLDER MOUNTPOINT LOG [fuse options]\n");
		return 64;
	}
	root_fd = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	log_fd = open(argv[3], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (root_fd < 0 || log_fd < 0) {
		perror(root_fd < 0 ? argv[1] : argv[3]);
		return 66;
	}
	/* One thread: the log has the order of the disk. */
	char *fuse_argv[32] = { argv[0],	  argv[2],
				(char[]){ "-f" }, (char[]){ "-s" },
				(char[]){ "-o" }, (char[]){ "allow_other,default_permissions" } };
	int n = 6;
	for (int i = 4; i < argc && n < 31; i++)
		fuse_argv[n++] = argv[i];
	umask(0);
	return fuse_main(n, fuse_argv, &ops, NULL);
}
