/* SPDX-License-Identifier: ISC
 *
 * The text tables of the configuration, and resolv.conf and hosts: opened here, read by router, which gets descriptors.
 * Each second every file is looked at; one that changed and then kept its size and time for a second is handed over (some
 * programs rewrite their alias file in place). What stands in it is never read here. Runs in master, as root.
 */
/* System */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* lib */
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

/* this program */
#include "master/child.h"

#define LOOK_MS 1000
#define ASKED_PAUSE_MS 100 /* between two looks that a child asked for */
#define NAME_MAX_BYTES 4200
#define REASON_MAX_BYTES 200

/* What a file looks like from outside; errnum: it cannot be seen. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	uint64_t mtime_ns;
	int errnum;
};

struct table {
	struct list node;
	char *name; /* of FILE_ADD */
	char *path;
	struct stamp seen;  /* at the last look */
	struct stamp given; /* as router knows it */
	bool is_given;
	bool is_wanted; /* by the configuration */
};

struct tables {
	struct master *m;
	struct list list;
	struct timer look;
	struct timer asked;
};

/* ---- one file ---- */

static struct stamp
stamp_of(const struct stat *st)
{
	return (struct stamp){ .dev = st->st_dev,
			       .ino = st->st_ino,
			       .size = st->st_size,
			       .mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u +
					   (uint64_t)st->st_mtim.tv_nsec };
}

static bool
is_same(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns && a->errnum == b->errnum;
}

static void
give_gone(struct table *t, struct chan *to, int errnum, const char *reason)
{
	bool is_table = strncmp(t->name, "table:", 6) == 0;

	if (is_table && (!t->is_given || t->given.errnum != errnum))
		log_warn("table %s: %s; make the file readable, or take it out of the "
			 "configuration",
			 t->path, reason);
	t->given = (struct stamp){ .errnum = errnum };
	t->is_given = true;
	chan_send(to, MSG_FILE_GONE,
		  &(struct msg_file_gone){
			  .name = span_of(t->name),
			  .reason = span_sub(span_of(reason), 0, REASON_MAX_BYTES) });
}

static void
give(struct table *t, struct chan *to)
{
	struct stat st;
	int fd = open(t->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		give_gone(t, to, errno, strerror(errno));
		fd_close(&fd);
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		give_gone(t, to, EISDIR, "is no regular file");
		fd_close(&fd);
		return;
	}
	t->given = stamp_of(&st);
	t->is_given = true;
	chan_send(to, MSG_FILE_ADD,
		  &(struct msg_file_add){
			  .name = span_of(t->name), .mtime_ns = t->given.mtime_ns, .fd = fd });
}

/* is_now: do not wait until it is quiet. */
static void
look(struct table *t, struct chan *to, bool is_now)
{
	struct stamp now;
	struct stat st;

	if (stat(t->path, &st) < 0)
		now = (struct stamp){ .errnum = errno };
	else if (!S_ISREG(st.st_mode))
		now = (struct stamp){ .errnum = EISDIR };
	else
		now = stamp_of(&st);
	bool is_quiet = is_now || is_same(&now, &t->seen);
	t->seen = now;
	if (is_quiet && !(t->is_given && is_same(&now, &t->given)))
		give(t, to);
}

/* ---- all files ---- */

static void
look_at_all(struct tables *t, bool is_now)
{
	struct child *router = child_find(t->m, PROC_ROUTER, 0);

	if (router == NULL || router->state == CHILD_LEAVING)
		return;
	LIST_EACH(it, &t->list)
		look(LIST_ENTRY(it, struct table, node), router->chan, is_now);
}

static void
on_look(void *arg)
{
	struct tables *t = arg;

	look_at_all(t, false);
	timer_start(&t->look, LOOK_MS);
}

static void
on_asked(void *arg)
{
	look_at_all(arg, true);
}

/* However often it is asked for: ten times a second is enough. */
void
tables_check(struct tables *t)
{
	if (!timer_is_set(&t->asked))
		timer_start(&t->asked, ASKED_PAUSE_MS);
}

void
tables_give(struct tables *t, struct chan *to)
{
	LIST_EACH(it, &t->list)
		give(LIST_ENTRY(it, struct table, node), to);
}

struct tables *
tables_new(struct master *m)
{
	struct tables *t = mem_zalloc(sizeof(*t));

	t->m = m;
	list_init(&t->list);
	timer_init(&t->look, m->timers, on_look, t);
	timer_init(&t->asked, m->timers, on_asked, t);
	timer_start(&t->look, LOOK_MS);
	return t;
}

/* ---- which files ---- */

static struct table *
find_named(struct tables *ts, const char *name)
{
	LIST_EACH(it, &ts->list) {
		struct table *t = LIST_ENTRY(it, struct table, node);
		if (strcmp(t->name, name) == 0)
			return t;
	}
	return NULL;
}

static void
want(struct tables *ts, const char *prefix, const char *path)
{
	struct buf name;
	struct table *t;

	if (path[0] == '\0')
		return;
	buf_init(&name, NAME_MAX_BYTES);
	buf_printf(&name, "%s%s", prefix, strcmp(prefix, "table:") == 0 ? path : "");
	t = find_named(ts, buf_cstr(&name));
	if (t == NULL) {
		t = mem_zalloc(sizeof(*t));
		t->name = mem_dup_span(buf_span(&name));
		t->path = mem_strdup(path);
		list_push_back(&ts->list, &t->node);
	}
	t->is_wanted = true;
	buf_clear(&name);
}

static void
drop_unwanted(struct tables *ts)
{
	LIST_EACH_SAFE(it, tmp, &ts->list) {
		struct table *t = LIST_ENTRY(it, struct table, node);
		if (t->is_wanted)
			continue;
		list_remove(&t->node);
		mem_free(t->name);
		mem_free(t->path);
		mem_free(t);
	}
}

void
tables_set(struct tables *ts, const struct conf *conf)
{
	LIST_EACH(it, &ts->list)
		LIST_ENTRY(it, struct table, node)->is_wanted = false;
	want(ts, "resolv.conf", "/etc/resolv.conf");
	want(ts, "hosts", "/etc/hosts");
	for (size_t i = 0; i < conf->domain_count; i++) {
		want(ts, "table:", conf->domain[i].table);
		want(ts, "table:", conf->domain[i].recipients);
	}
	want(ts, "table:", conf->transport);
	want(ts, "table:", conf->relay_host_by_sender);
	for (size_t i = 0; i < conf->aliases.virtual.count; i++)
		want(ts, "table:", conf->aliases.virtual.items[i]);
	drop_unwanted(ts);
	look_at_all(ts, true);
}
