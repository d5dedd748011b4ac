/* SPDX-License-Identifier: ISC
 *
 * Reads a configuration file: who may have written it, its text through scan.c and libconfuse, its values into struct
 * conf. All problems of a file are collected. What options mean together is checked in check.c. Runs in master as root
 * on a root-owned file, and in the tools. */

/* System */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* Third party */
#include <confuse.h>
/* lib */
#include "base/fd.h"
#include "base/mem.h"
#include "conf/check.h"
#include "conf/conf.h"
#include "conf/host.h"
#include "conf/problem.h"
#include "conf/scan.h"
#include "conf/value.h"

enum { FILE_MAX_BYTES = 16 << 20 };

/* libconfuse gives its error function no pointer of ours, and its lexer is one per program anyway. */
static const struct conf_source *now_parsing;

static void
on_confuse_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char message[512];
	unsigned line = cfg != NULL && cfg->line > 0 ? (unsigned)cfg->line : 0;

	/* fmt is a constant of libconfuse or of its translation. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(message, sizeof(message), fmt, ap);
#pragma GCC diagnostic pop
	if (strstr(message, "end of file") != NULL)
		problem_error(now_parsing, line, "the file ends too early; close every { with }");
	else
		problem_error(now_parsing, line,
			      "%s; a line is NAME = VALUE, NAME = { VALUE, VALUE }, SECTION { ... "
			      "} or BLOCK "
			      "\"TITLE\" { ... }",
			      message);
}

/* The rows of g as libconfuse wants them; every value is a string to it. */
static cfg_opt_t *
cfg_options(const struct conf_group *g, size_t spare, size_t *count_out)
{
	size_t rows, n = 0;
	const struct conf_row *row = conf_rows(&rows);
	cfg_opt_t *opts = mem_array(rows + spare + 1, sizeof(*opts));

	for (size_t i = 0; i < rows; i++) {
		if (row[i].group != g)
			continue;
		if (row[i].type == CONF_LIST || row[i].type == CONF_PATHS)
			opts[n++] = (cfg_opt_t)CFG_STR_LIST(row[i].name, NULL, CFGF_NODEFAULT);
		else
			opts[n++] = (cfg_opt_t)CFG_STR(row[i].name, NULL, CFGF_NODEFAULT);
	}
	opts[n] = (cfg_opt_t)CFG_END();
	*count_out = n;
	return opts;
}

/* options.def as a libconfuse parser. It copies what it is given. */
static cfg_t *
cfg_of_table(void)
{
	size_t groups, n, ignored;
	const struct conf_group *g = conf_groups(&groups);
	cfg_opt_t *top = cfg_options(&g[0], groups, &n);
	cfg_t *cfg;

	for (size_t i = 1; i < groups; i++) {
		cfg_flag_t flags = g[i].kind == CONF_BLOCK ? CFGF_MULTI | CFGF_TITLE : CFGF_NONE;

		top[n++] = (cfg_opt_t)CFG_SEC(g[i].name, cfg_options(&g[i], 0, &ignored), flags);
	}
	top[n] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(top, CFGF_NONE);
	for (size_t i = 0; i < n; i++)
		mem_free(top[i].subopts);
	mem_free(top);
	return cfg;
}

/* The section of libconfuse that holds instance i of g. */
static cfg_t *
cfg_instance(cfg_t *cfg, const struct conf_group *g, size_t i)
{
	return g->kind == CONF_TOP ? cfg : cfg_getnsec(cfg, g->name, (unsigned)i);
}

/* Value n of an option that stands on this line. A bad one leaves the default. */
static int
take_value(const struct conf_source *src, const struct found_option *found, void *field,
	   struct span text)
{
	struct buf name, why;
	int r;

	buf_init(&name, 256);
	buf_init(&why, 1024);
	r = conf_value_parse(found->row, field, text, src->base, &why);
	if (r < 0) {
		conf_row_name(found->row, &name);
		problem_error(src, found->line, "%s = \"%.*s\": %s", buf_cstr(&name),
			      (int)(text.n < 80 ? text.n : 80), text.p, buf_cstr(&why));
	}
	buf_clear(&name);
	buf_clear(&why);
	return r;
}

static void
take_option(const struct conf_source *src, cfg_t *cfg, struct conf *c, struct found_option *found)
{
	const struct conf_row *row = found->row;
	cfg_t *sec = cfg_instance(cfg, row->group, found->block);
	cfg_opt_t *opt = sec != NULL ? cfg_getopt(sec, row->name) : NULL;
	void *field = conf_field(row, conf_group_at(c, row->group, found->block));
	unsigned n = opt != NULL ? cfg_opt_size(opt) : 0;

	if (row->type == CONF_LIST || row->type == CONF_PATHS)
		conf_value_clear(row, field);
	for (unsigned i = 0; i < n; i++) {
		if (take_value(src, found, field, span_of(cfg_opt_getnstr(opt, i))) < 0) {
			found->is_bad = true;
			break;
		}
	}
}

/* libconfuse has read the whole text: its values become ours. */
static void
take_all(const struct conf_source *src, cfg_t *cfg, struct scan *found, struct conf *c)
{
	struct buf why;

	buf_init(&why, 256);
	for (size_t i = 0; i < found->block_count; i++) {
		const struct found_block *b = &found->blocks[i];
		cfg_t *sec = cfg_instance(cfg, b->group, conf_group_count(c, b->group));
		struct span title = sec != NULL ? span_of(cfg_title(sec)) : b->title;

		if (conf_string_check(title, &why) < 0)
			problem_error(src, b->line, "title of %s: %s", b->group->name,
				      buf_cstr(&why));
		conf_block_add(c, b->group, title, b->line);
		buf_reset(&why);
	}
	for (size_t i = 0; i < found->option_count; i++)
		take_option(src, cfg, c, &found->options[i]);
	buf_clear(&why);
}

/* text: NUL-terminated and ours to change. E_CONFIG: so broken that nothing was taken. */
static int
parse_text(const struct conf_source *src, char *text, size_t n, struct conf *c)
{
	struct scan found = { 0 };
	cfg_t *cfg = NULL;
	int r = E_CONFIG;

	if (scan_text(src, text, n, &found) == 0 && (cfg = cfg_of_table()) != NULL) {
		cfg_set_error_function(cfg, on_confuse_error);
		now_parsing = src;
		if (cfg_parse_buf(cfg, text) == CFG_SUCCESS) {
			take_all(src, cfg, &found, c);
			conf_check(src, c, &found);
			r = 0;
		} else if (src->problems->errors == 0) {
			problem_error(src, 0, "cannot be parsed; write NAME = VALUE lines");
		}
		now_parsing = NULL;
		cfg_free(cfg);
	}
	scan_clear(&found);
	return r;
}

/* What can be taken from a text; the rest has its default. E_CONFIG: nothing could. */
static int
parse_any(const struct conf_source *src, struct span text, struct conf **out)
{
	char *copy;
	int r = E_CONFIG;

	*out = conf_defaults();
	if (text.n > FILE_MAX_BYTES) {
		problem_error(src, 0, "longer than %d MiB; put lists into tables",
			      FILE_MAX_BYTES >> 20);
	} else if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL) {
		problem_error(src, 0, "holds a NUL byte; write plain text");
	} else {
		copy = mem_dup_span(text);
		r = parse_text(src, copy, text.n, *out);
		mem_free(copy);
	}
	return r;
}

int
conf_parse(const char *file, const char *base, struct span text, struct conf **out,
	   struct conf_problems *problems)
{
	struct conf_source src = { file, base, problems, false };

	if (parse_any(&src, text, out) < 0 || problems->errors > 0)
		conf_free(out);
	return *out != NULL ? 0 : E_CONFIG;
}

/* Who may write the configuration of a server that starts as root: root, and whoever may write the program that root
 * is running (a developer's `sudo make run`), as that gives him everything already. */
static int
check_owner(const struct conf_source *src, const struct stat *st)
{
	struct stat exe = { .st_uid = 0 };
	bool is_group_fine;

	if (stat("/proc/self/exe", &exe) < 0)
		memset(&exe, 0, sizeof(exe));
	if (st->st_uid != 0 && st->st_uid != exe.st_uid) {
		problem_error(src, 0,
			      "belongs to uid %u, but the server starts as root; chown root %s",
			      (unsigned)st->st_uid, src->file);
		return E_ACCESS;
	}
	is_group_fine = (st->st_mode & S_IWGRP) == 0 || st->st_gid == 0 ||
			((exe.st_mode & S_IWGRP) != 0 && exe.st_gid == st->st_gid);
	if (!is_group_fine || (st->st_mode & S_IWOTH) != 0) {
		problem_error(src, 0,
			      "others than root can write it, but the server starts as root; chmod "
			      "go-w %s",
			      src->file);
		return E_ACCESS;
	}
	return 0;
}

static int
read_file(const struct conf_source *src, bool must_be_root_owned, struct buf *text)
{
	int fd = open(src->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		r = err_from_errno(errno);
		problem_error(src, 0, "%s; %s", strerror(errno),
			      r == E_NOTFOUND ? "name another file with -c FILE"
					      : "make it readable for the server");
	} else if (!S_ISREG(st.st_mode)) {
		problem_error(src, 0, "is no regular file; name another one with -c FILE");
		r = E_IO;
	} else if (!must_be_root_owned || (r = check_owner(src, &st)) == 0) {
		r = fd_read_file(fd, FILE_MAX_BYTES, text);
		if (r == E_TOOBIG)
			problem_error(src, 0, "longer than %d MiB; put lists into tables",
				      FILE_MAX_BYTES >> 20);
		else if (r < 0)
			problem_error(src, 0, "cannot be read; look after the disk");
	}
	fd_close(&fd);
	return r;
}

/* The canonical folder of the file; free(). */
static char *
folder_of(const char *path)
{
	char *real = realpath(path, NULL), *slash = real != NULL ? strrchr(real, '/') : NULL;

	if (slash != NULL)
		slash[slash == real ? 1 : 0] = '\0';
	return real;
}

/* *out is NULL only where the file cannot be read. E_CONFIG: it was, but nothing in it could be taken. */
static int
load_any(struct conf_source *src, bool must_be_root_owned, struct conf **out)
{
	struct buf text;
	char *base;
	int r;

	*out = NULL;
	buf_init(&text, FILE_MAX_BYTES);
	if ((r = read_file(src, must_be_root_owned, &text)) == 0) {
		src->base = base = folder_of(src->file);
		r = parse_any(src, buf_span(&text), out);
		host_complete(src, *out);
		src->base = NULL;
		free(base);
	}
	buf_clear(&text);
	return r;
}

int
conf_load(const char *path, bool must_be_root_owned, struct conf **out,
	  struct conf_problems *problems)
{
	struct conf_source src = { .file = path, .is_for_root = must_be_root_owned };
	int r;

	conf_problems_init(problems);
	src.problems = problems;
	r = load_any(&src, must_be_root_owned, out);
	if (r == 0 && problems->errors > 0)
		r = E_CONFIG;
	if (r < 0)
		conf_free(out);
	return r;
}

struct conf *
conf_defaults_of_host(void)
{
	struct conf *c = conf_defaults();

	host_complete(NULL, c);
	return c;
}

struct conf *
conf_load_best(const char *path)
{
	struct conf_problems problems;
	struct conf_source src = { path, NULL, &problems, false };
	struct conf *c;

	conf_problems_init(&problems);
	if (load_any(&src, false, &c) < 0)
		conf_free(&c);
	conf_problems_clear(&problems);
	return c;
}
