/* SPDX-License-Identifier: ISC
 *
 * `postern doctor`, check disk: space, inodes and kind of the file systems that hold the spool (and its drop/, where that
 * is one of its own) and the virtual mailboxes. A folder that is not there yet is judged by the one it will be made in.
 * Runs as whoever calls; nothing is written. */

/* System */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
/* lib */
#include "base/mem.h"
/* this program */
#include "cli/doctor.h"
#include "cli/doctor_disk.h"

enum {
	MIB = 1 << 20,
	SPACE_FACTOR = 4,   /* times limits.min_free: less is soon gone */
	INODES_LEAST = 100, /* fewer: no mail is taken */
	INODES_FEW = 10000,
};

/* Not all are in linux/magic.h of every kernel. */
static const struct kind {
	unsigned long type;
	const char *what;
	const char *remedy;
} kinds[] = {
#define NETWORK                                                                                   \
	"put it on a disk of this host: a network file system may answer a sync before the data " \
	"is safe, and its "                                                                       \
	"failure stops all mail"
#define MEMORY                                                                               \
	"put it on a disk: what is there is gone with the next restart, also mail that was " \
	"acknowledged"
	{ 0x6969, "NFS, a network file system", NETWORK },
	{ 0xff534d42, "CIFS, a network file system", NETWORK },
	{ 0xfe534d42, "SMB, a network file system", NETWORK },
	{ 0x517b, "SMB, a network file system", NETWORK },
	{ 0x5346414f, "AFS, a network file system", NETWORK },
	{ 0x6b414653, "AFS, a network file system", NETWORK },
	{ 0x00c36400, "Ceph, a network file system", NETWORK },
	{ 0x0bd00bd0, "Lustre, a network file system", NETWORK },
	{ 0x01021997, "9p, a file system of the virtual machine's host", NETWORK },
	{ 0x65735546, "a FUSE file system",
	  "put it on a disk of this host, unless you know that this one keeps the "
	  "promise of fsync" },
	{ 0x01021994, "tmpfs, in memory", MEMORY },
	{ 0x858458f6, "ramfs, in memory", MEMORY },
	{ 0x794c7630, "overlayfs, a container's layer",
	  "put it on a volume: the layer is gone with the container" },
#undef NETWORK
#undef MEMORY
};

const char *
doctor_disk_kind(unsigned long type, const char **remedy_out)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (kinds[i].type == type) {
			*remedy_out = kinds[i].remedy;
			return kinds[i].what;
		}
	}
	return NULL;
}

/* The folder, or the nearest above it that exists. */
static void
nearest_folder(const char *path, char out[4096])
{
	struct stat st;
	char *slash;

	snprintf(out, 4096, "%s", path);
	while (stat(out, &st) < 0 && (errno == ENOENT || errno == ENOTDIR) &&
	       (slash = strrchr(out, '/')) != NULL)
		slash[slash == out] = '\0';
}

static void
judge_space(struct doctor *d, const char *what, const char *path, const struct statvfs *v)
{
	unsigned long long free = (unsigned long long)v->f_bavail * v->f_frsize,
			   least = d->conf->limits.min_free;
	bool has_inodes = v->f_files > 0;

	if (free < least) {
		doctor_fail(d, "%s %s: %llu MiB are free; below %llu MiB no mail is taken", what,
			    path, free / MIB, least / MIB);
		doctor_remedy(d, "free space or enlarge the file system, or make limits { min_free "
				 "} smaller");
	} else if (has_inodes && v->f_favail < INODES_LEAST) {
		doctor_fail(d, "%s %s: %llu inodes are free; without them no mail is taken", what,
			    path, (unsigned long long)v->f_favail);
		doctor_remedy(d, "remove files, or make the file system again with more inodes "
				 "(mkfs.ext4 -N)");
	} else if (free < SPACE_FACTOR * least) {
		doctor_warn(d, "%s %s: %llu MiB are free; below %llu MiB no mail is taken", what,
			    path, free / MIB, least / MIB);
		doctor_remedy(d, "free space or enlarge the file system");
	} else if (has_inodes && v->f_favail < INODES_FEW) {
		doctor_warn(d, "%s %s: %llu inodes are free; each message in a Maildir takes one",
			    what, path, (unsigned long long)v->f_favail);
		doctor_remedy(d, "remove files, or make the file system again with more inodes "
				 "(mkfs.ext4 -N)");
	} else if (has_inodes) {
		doctor_ok(d, "%s %s: %llu MiB and %llu inodes are free", what, path, free / MIB,
			  (unsigned long long)v->f_favail);
	} else {
		doctor_ok(d, "%s %s: %llu MiB are free", what, path, free / MIB);
	}
}

/* File systems are told once: devices holds those that were. */
static void
look_at(struct doctor *d, const char *what, const char *path, dev_t *devices, size_t *count)
{
	const char *kind, *remedy = "";
	char folder[4096];
	struct statvfs v;
	struct statfs s;
	struct stat st;

	nearest_folder(path, folder);
	if (stat(folder, &st) < 0 || statvfs(folder, &v) < 0 || statfs(folder, &s) < 0) {
		doctor_warn(d, "%s %s: %m", what, path);
		doctor_remedy(d, "run this as root, or make the folder readable");
		return;
	}
	for (size_t i = 0; i < *count; i++) {
		if (devices[i] == st.st_dev)
			return;
	}
	devices[(*count)++] = st.st_dev;
	if ((v.f_flag & ST_RDONLY) != 0) {
		doctor_fail(d, "%s %s is on a file system that cannot be written", what, path);
		doctor_remedy(d, "mount it read-write; if the kernel made it read-only, look at "
				 "the disk (dmesg)");
		return;
	}
	kind = doctor_disk_kind((unsigned long)s.f_type & 0xffffffffUL, &remedy);
	if (kind != NULL) {
		doctor_warn(d, "%s %s is on %s", what, path, kind);
		doctor_remedy(d, "%s", remedy);
	}
	judge_space(d, what, path, &v);
}

void
doctor_check_disk(struct doctor *d)
{
	dev_t *devices = mem_array(d->conf->domain_count + 2, sizeof(*devices));
	char drop[4096 + 8];
	struct stat st;
	size_t count = 0;

	look_at(d, "spool", d->conf->directories.spool, devices, &count);
	snprintf(drop, sizeof(drop), "%s/drop", d->conf->directories.spool);
	if (stat(drop, &st) == 0)
		look_at(d, "drop folder", drop, devices, &count);
	for (size_t i = 0; i < d->conf->domain_count; i++) {
		const char *base = d->conf->domain[i].mailbox_base;

		if (base[0] != '\0')
			look_at(d, "mailboxes", base, devices, &count);
	}
	mem_free(devices);
}
