/* SPDX-License-Identifier: ISC
 *
 * A child before its sandbox: what master says on descriptor 3 up to START is read, blocking, and kept; then the one way
 * into the sandbox, which is priv.c's. Runs in every child of master, with the rights that master gave it.
 */
/* System */
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "ipc/frame.h"
#include "svc/core.h"
#include "svc/priv.h"

static void
early_file(struct svc *s, const struct msg_file_add *m)
{
	struct file *f = mem_zalloc(sizeof(*f));

	f->name = mem_dup_span(m->name);
	f->fd = f->keep_fd = m->fd;
	f->mtime_ns = m->mtime_ns;
	list_push_back(&s->own->files, &f->node);
}

static void
early_file_gone(struct svc *s, const struct msg_file_gone *m)
{
	struct file *f = mem_zalloc(sizeof(*f));

	f->name = mem_dup_span(m->name);
	f->gone_reason = mem_dup_span(m->reason);
	f->fd = f->keep_fd = -1;
	list_push_back(&s->own->files, &f->node);
}

static void
early_listen(struct svc *s, const struct msg_listen_add *m)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	l->name = mem_dup_span(m->name);
	l->address = mem_dup_span(m->address);
	l->port = m->port;
	l->fd = m->fd;
	list_push_back(&s->own->listeners, &l->node);
}

static void
take_init(struct svc *s, const struct msg_init *m)
{
	if (m->kind >= PROC_COUNT || !(s->own->ops->kinds >> m->kind & 1))
		die_perm("started as a process that this program is not");
	s->kind = (enum proc_id)m->kind;
	s->slot = m->slot;
	s->is_alone = m->is_alone != 0;
	s->is_foreground = m->is_foreground != 0;
	s->own->uid = m->uid;
	s->own->gid = m->gid;
	if (conf_decode(m->conf, &s->conf) < 0)
		die_temp("options from master cannot be read");
	log_init(proc_info(s->kind)->name, (enum log_level)s->conf->log.level);
	/* master starts programs by descriptor: without this ps would show its number. */
	(void)prctl(PR_SET_NAME, proc_info(s->kind)->name, 0, 0, 0);
}

/* INIT comes before anyone knows which kind we are; its permission holds for every child. */
void
start_read(struct svc *s)
{
	struct buf buf;
	enum msg_type type;
	union msg_any msg;
	int r;

	s->kind = PROC_LOGD;
	for (unsigned kind = 0; kind < PROC_COUNT; kind++) {
		if (s->own->ops->kinds >> kind & 1)
			s->kind = (enum proc_id)kind;
	}
	buf_init(&buf, 8u * 1024 * 1024);
	do {
		if ((r = frame_read_blocking(MASTER_FD, PROC_MASTER, s->kind, &buf, &type, &msg)) <
		    0) {
			if (r == E_CLOSED)
				_exit(EXIT_FAILURE);
			die_perm("started by hand, or by another version of master; run `postern "
				 "run`");
		}
		if (type == MSG_INIT)
			take_init(s, &msg.init);
		else if (type == MSG_ROOT_DIR)
			s->own->root_fd = msg.root_dir.fd;
		else if (type == MSG_FILE_ADD)
			early_file(s, &msg.file_add);
		else if (type == MSG_LISTEN_ADD)
			early_listen(s, &msg.listen_add);
		else if (type == MSG_PEER_ADD)
			peer_add(s, &msg.peer_add);
		else if (type == MSG_FILE_GONE)
			early_file_gone(s, &msg.file_gone);
		else if (type != MSG_START)
			die_perm("unexpected message from master before START");
	} while (type != MSG_START);
	buf_clear(&buf);
	if (s->conf == NULL)
		die_perm("no INIT from master");
}

void
start_drop(struct svc *s)
{
	struct svc_priv *o = s->own;
	unsigned n = 0, cap = 16 + o->keep_count;
	int *keep;

	LIST_EACH(it, &o->files)
		cap++;
	LIST_EACH(it, &o->listeners)
		cap++;
	LIST_EACH(it, &o->peers)
		cap++;
	keep = mem_array(cap, sizeof(int));
	keep[n++] = MASTER_FD;
	for (unsigned i = 0; i < o->keep_count; i++)
		keep[n++] = o->keep_fds[i];
	LIST_EACH(it, &o->files) {
		if (LIST_ENTRY(it, struct file, node)->keep_fd >= 0)
			keep[n++] = LIST_ENTRY(it, struct file, node)->keep_fd;
	}
	LIST_EACH(it, &o->listeners)
		keep[n++] = LIST_ENTRY(it, struct listener, node)->fd;
	LIST_EACH(it, &o->peers)
		keep[n++] = LIST_ENTRY(it, struct peer, node)->fd;
	priv_drop(&(struct priv_plan){ .kind = s->kind,
				       .uid = o->uid,
				       .gid = o->gid,
				       .root_fd = o->root_fd,
				       .keep_fds = keep,
				       .keep_count = n,
				       .max_files = 0 });
	o->root_fd = -1;
	mem_free(keep);
}
