/* SPDX-License-Identifier: ISC
 *
 * `postern config`: effective values in the form of the file, what was changed, and the documentation of each option.
 * Runs in the tools. */

/* System */
#include <string.h>
/* lib */
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/doc.h"
#include "conf/host.h"
#include "conf/value.h"

void
doc_type(const struct conf_row *row, struct buf *out)
{
	static const char *const words[] = {
		[CONF_STR] = "text",   [CONF_PATH] = "path",
		[CONF_LIST] = "list",  [CONF_PATHS] = "list of paths",
		[CONF_INT] = "number", [CONF_SIZE] = "size",
		[CONF_TIME] = "time",  [CONF_BOOL] = "yes or no",
		[CONF_RATE] = "rate",  [CONF_ENUM] = "one of ",
	};
	struct span one;

	buf_puts(out, words[row->type]);
	if (row->type == CONF_INT || row->type == CONF_SIZE || row->type == CONF_TIME) {
		buf_puts(out, " from ");
		conf_number_format(row, row->min, out);
		buf_puts(out, " to ");
		conf_number_format(row, row->max, out);
	}
	for (unsigned i = 0; row->type == CONF_ENUM && (one = conf_enum_value(row, i)).n > 0; i++) {
		buf_puts(out, i > 0 ? ", " : "");
		buf_put_span(out, one);
	}
}

void
doc_default(const struct conf_row *row, struct buf *out)
{
	/* Any type of field, aligned for all. */
	union {
		char *str;
		struct conf_list list;
		struct conf_rate rate;
		uint64_t number;
	} field;

	memset(&field, 0, sizeof(field));
	conf_value_set_default(row, &field);
	conf_value_format(row, &field, out);
	conf_value_clear(row, &field);
}

void
doc_wrap(struct span text, const char *indent, size_t width, struct buf *out)
{
	size_t column = 0;
	struct span word;

	while (span_next(&text, ' ', &word)) {
		if (column > 0 && column + 1 + word.n > width) {
			buf_putc(out, '\n');
			column = 0;
		}
		buf_puts(out, column == 0 ? indent : " ");
		column += column == 0 ? strlen(indent) : 1;
		buf_put_span(out, word);
		column += word.n;
	}
	buf_putc(out, '\n');
}

/* What is asked for. */
struct show {
	const struct conf *c, *defaults;
	enum conf_show what;
	const struct conf_group *only_group; /* NULL: all */
	struct span only_name;		     /* empty: all options of the group */
	struct buf *out;
	size_t shown;
};

static bool
wants_row(const struct show *s, const struct conf_row *row)
{
	if (s->only_group != NULL && row->group != s->only_group)
		return false;
	return s->only_name.n == 0 || span_eq(s->only_name, span_of(row->name));
}

/* Is the value of this instance another than the default? */
static bool
is_changed(const struct show *s, const struct conf_row *row, void *instance)
{
	struct conf *blank = NULL;
	void *other;
	bool differs;

	if (row->group->kind == CONF_BLOCK) {
		blank = mem_zalloc(sizeof(*blank));
		conf_block_add(blank, row->group, SPAN_NONE, 0);
	}
	other = conf_group_at(blank != NULL ? blank : s->defaults, row->group, 0);
	differs = !conf_value_eq(row, conf_field(row, instance), conf_field(row, other));
	conf_free(&blank);
	return differs;
}

static void
show_row(struct show *s, const struct conf_row *row, void *instance, const char *indent)
{
	if (s->what == CONF_SHOW_CHANGED && !is_changed(s, row, instance))
		return;
	buf_printf(s->out, "%s%s = ", indent, row->name);
	conf_value_format(row, conf_field(row, instance), s->out);
	buf_putc(s->out, '\n');
	s->shown++;
}

/* One section or block with the rows that are wanted. What turns out to be empty is taken back, except for blocks:
 * that they stand there is a change. */
static void
show_instance(struct show *s, const struct conf_group *g, size_t i)
{
	size_t count, from = s->out->n, shown = s->shown, body;
	const struct conf_row *row = conf_rows(&count);

	buf_puts(s->out, g->name);
	if (g->kind == CONF_BLOCK) {
		buf_putc(s->out, ' ');
		conf_quote(span_of(*conf_block_title(s->c, g, i)), s->out);
	}
	buf_puts(s->out, " {\n");
	body = s->out->n;
	for (size_t r = 0; r < count; r++) {
		if (row[r].group == g && wants_row(s, &row[r]))
			show_row(s, &row[r], conf_group_at(s->c, g, i), "\t");
	}
	if (s->shown == shown && (g->kind == CONF_SECTION || s->only_name.n > 0)) {
		buf_truncate(s->out, from);
		return;
	}
	if (s->shown == shown)
		buf_truncate(s->out, body - 1);
	buf_puts(s->out, s->shown == shown ? " }\n" : "}\n");
}

static void
show_group(struct show *s, const struct conf_group *g)
{
	for (size_t i = 0; i < conf_group_count(s->c, g); i++)
		show_instance(s, g, i);
}

static void
show_doc(struct show *s, const struct conf_row *row)
{
	struct buf type;

	buf_init(&type, 4096);
	doc_type(row, &type);
	conf_row_name(row, s->out);
	if (row->group->kind != CONF_BLOCK) {
		buf_puts(s->out, " = ");
		conf_value_format(row, conf_field(row, conf_group_at(s->c, row->group, 0)), s->out);
	}
	buf_printf(s->out, "\n\t%s; default ", buf_cstr(&type));
	doc_default(row, s->out);
	buf_putc(s->out, '\n');
	doc_wrap(span_of(row->help), "\t", 100, s->out);
	buf_clear(&type);
}

/* "limits.recipients", "limits", "hostname", or an option's name alone, which may stand in several groups. */
static int
select_name(struct show *s, const char *name)
{
	struct span all = span_of(name);
	ptrdiff_t dot = span_chr(all, '.');
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	if (all.n == 0)
		return E_NOTFOUND;
	if (dot >= 0) {
		s->only_group = conf_group_find(span_sub(all, 0, (size_t)dot));
		s->only_name = span_sub(all, (size_t)dot + 1, SIZE_MAX);
		return s->only_group != NULL && conf_row_find(s->only_group, s->only_name) != NULL
			       ? 0
			       : E_NOTFOUND;
	}
	if ((s->only_group = conf_group_find(all)) != NULL)
		return 0;
	s->only_name = all;
	for (size_t i = 0; i < count; i++) {
		if (span_eq(span_of(row[i].name), all))
			return 0;
	}
	return E_NOTFOUND;
}

int
conf_show(const struct conf *c, enum conf_show what, const char *name, struct buf *out)
{
	struct show s = { .c = c, .what = what, .out = out };
	struct conf *defaults;
	const struct conf_group *done = NULL;
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	if (name != NULL && select_name(&s, name) < 0)
		return E_NOTFOUND;
	defaults = conf_defaults();
	host_complete(NULL, defaults);
	s.defaults = defaults;
	for (size_t i = 0; i < count; i++) {
		if (!wants_row(&s, &row[i]))
			continue;
		if (what == CONF_SHOW_DOC)
			show_doc(&s, &row[i]);
		else if (row[i].group->kind == CONF_TOP)
			show_row(&s, &row[i], conf_group_at(c, row[i].group, 0), "");
		else if (row[i].group != done)
			show_group(&s, done = row[i].group);
	}
	conf_free(&defaults);
	return buf_check(out);
}
