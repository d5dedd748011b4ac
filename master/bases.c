/* SPDX-License-Identifier: ISC
 *
 * The folders below which virtual mailboxes lie. master opens them, so that they may stand in a home that nobody else can
 * enter, and makes a missing one, owned by the user of `mailbox`. Nothing below them is touched here. Runs in master, as
 * root.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

/* this program */
#include "master/master.h"

static bool
has_base(const struct bases *b, const char *path)
{
	for (size_t i = 0; i < b->count; i++) {
		if (strcmp(b->items[i].path, path) == 0)
			return true;
	}
	return false;
}

static void
warn_about_owner(const char *path, const struct stat *st, const struct ids *owner)
{
	bool may_write = st->st_uid == owner->uid   ? st->st_mode & S_IWUSR
			 : st->st_gid == owner->gid ? st->st_mode & S_IWGRP
						    : st->st_mode & S_IWOTH;

	if (owner->uid != (uint32_t)-1 && !may_write)
		log_warn("mailbox_base %s belongs to user %u: users { mailbox } (%u) cannot make "
			 "mailboxes in it; `chown %u:%u %s`",
			 path, st->st_uid, owner->uid, owner->uid, owner->gid, path);
}

static int
add_base(struct bases *b, const struct conf_domain *d, const struct ids *owner, struct buf *why)
{
	const char *path = d->mailbox_base;
	struct stat st;
	int fd;

	errno = 0;
	fd = folders_make(path, 0700, owner, NULL);
	if (fd < 0 || fstat(fd, &st) < 0) {
		buf_printf(why,
			   "%u: domain \"%s\": mailbox_base %s cannot be made or opened: %s; make "
			   "it, or name another folder",
			   d->line, d->title, path,
			   errno != 0 ? strerror(errno) : err_info(fd)->text);
		fd_close(&fd);
		return E_CONFIG;
	}
	warn_about_owner(path, &st, owner);
	b->items = mem_grow(b->items, b->count + 1, sizeof(b->items[0]));
	b->items[b->count++] = (struct base){ mem_strdup(path), fd, st.st_dev, st.st_ino };
	return 0;
}

int
bases_open(const struct conf *conf, const struct ids *owner, struct bases *out, struct buf *why)
{
	int r = 0;

	*out = (struct bases){ NULL, 0 };
	for (size_t i = 0; r == 0 && i < conf->domain_count; i++) {
		const struct conf_domain *d = &conf->domain[i];
		if (d->class == CONF_DOMAIN_CLASS_VIRTUAL && d->mailbox_base[0] != '\0' &&
		    !has_base(out, d->mailbox_base))
			r = add_base(out, d, owner, why);
	}
	if (r < 0)
		bases_close(out);
	return r;
}

void
bases_close(struct bases *b)
{
	for (size_t i = 0; i < b->count; i++) {
		fd_close(&b->items[i].fd);
		mem_free(b->items[i].path);
	}
	mem_free(b->items);
	*b = (struct bases){ NULL, 0 };
}

bool
bases_equal(const struct bases *a, const struct bases *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i].path, b->items[i].path) != 0 ||
		    a->items[i].dev != b->items[i].dev || a->items[i].ino != b->items[i].ino)
			return false;
	}
	return true;
}

void
bases_give(struct chan *to, const struct bases *b)
{
	struct buf name;

	buf_init(&name, 4200);
	for (size_t i = 0; i < b->count; i++) {
		int fd = fcntl(b->items[i].fd, F_DUPFD_CLOEXEC, 4);
		if (fd < 0)
			die_temp("no descriptors left: %s", strerror(errno));
		buf_reset(&name);
		buf_printf(&name, "dir:%s", b->items[i].path);
		chan_send(to, MSG_FILE_ADD,
			  &(struct msg_file_add){ .name = buf_span(&name), .fd = fd });
	}
	buf_clear(&name);
}
