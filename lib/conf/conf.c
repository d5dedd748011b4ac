/* SPDX-License-Identifier: ISC
 *
 * A configuration as a whole: defaults, end of life, and the list of problems. Reading is parse.c, checking check.c,
 * the form for other processes codec.c, the form for people doc.c. */

/* lib */
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/problem.h"
#include "conf/table.h"
#include "conf/value.h"

enum { PROBLEMS_MAX = 200, PROBLEMS_MAX_BYTES = 1 << 20 };

struct conf *
conf_defaults(void)
{
	struct conf *c = mem_zalloc(sizeof(*c));
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (row[i].group->kind != CONF_BLOCK)
			conf_value_set_default(&row[i],
					       conf_field(&row[i],
							  conf_group_at(c, row[i].group, 0)));
	}
	return c;
}

static void
free_values(struct conf *c)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		for (size_t b = 0; b < conf_group_count(c, row[i].group); b++)
			conf_value_clear(&row[i],
					 conf_field(&row[i], conf_group_at(c, row[i].group, b)));
	}
}

void
conf_free(struct conf **c)
{
	size_t count;
	const struct conf_group *g = conf_groups(&count);

	if (*c == NULL)
		return;
	free_values(*c);
	for (size_t i = 0; i < count; i++) {
		if (g[i].kind != CONF_BLOCK)
			continue;
		for (size_t b = 0; b < conf_group_count(*c, &g[i]); b++)
			mem_free(*conf_block_title(*c, &g[i], b));
		mem_free(conf_group_at(*c, &g[i], 0));
	}
	mem_free(*c);
	*c = NULL;
}

static void
add_problem(const struct conf_source *src, unsigned line, const char *kind, const char *fmt,
	    va_list ap)
{
	struct conf_problems *p = src->problems;

	if (p->errors + p->warnings > PROBLEMS_MAX)
		return;
	buf_puts(&p->text, src->file);
	if (line > 0)
		buf_printf(&p->text, ":%u", line);
	buf_printf(&p->text, ": %s", kind);
	buf_vprintf(&p->text, fmt, ap);
	buf_putc(&p->text, '\n');
	if (p->errors + p->warnings == PROBLEMS_MAX)
		buf_printf(&p->text, "%s: more problems are not shown; mend these first\n",
			   src->file);
}

void
problem_error(const struct conf_source *src, unsigned line, const char *fmt, ...)
{
	va_list ap;

	src->problems->errors++;
	va_start(ap, fmt);
	add_problem(src, line, "", fmt, ap);
	va_end(ap);
}

void
problem_warn(const struct conf_source *src, unsigned line, const char *fmt, ...)
{
	va_list ap;

	src->problems->warnings++;
	va_start(ap, fmt);
	add_problem(src, line, "warning: ", fmt, ap);
	va_end(ap);
}

void
conf_problems_init(struct conf_problems *p)
{
	buf_init(&p->text, PROBLEMS_MAX_BYTES);
	p->errors = p->warnings = 0;
}

void
conf_problems_clear(struct conf_problems *p)
{
	buf_clear(&p->text);
	p->errors = p->warnings = 0;
}

const char *
conf_suggest(const char *section, const char *misspelt)
{
	const struct conf_group *g = conf_group_find(span_of(section != NULL ? section : ""));

	return g != NULL ? conf_nearest_name(g, span_of(misspelt)) : NULL;
}
