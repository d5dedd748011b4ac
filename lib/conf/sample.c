/* SPDX-License-Identifier: ISC
 *
 * The sample configuration: every option with its documentation, commented out at its default. Runs in the tools. */

/* System */
#include <string.h>
/* lib */
#include "conf/conf.h"
#include "conf/doc.h"

enum { SAMPLE_WIDTH = 100 };

static const char head[] = "# Configuration of Postern. Every option is shown with its default; "
			   "what is left commented out keeps it.\n"
			   "# postern.conf(5) explains the form; `postern check` finds mistakes, "
			   "`postern config --changed` shows what you\n"
			   "# changed, `postern reload` applies it.\n"
			   "#\n"
			   "# Sizes: k M G. Times: ms s m h d. Rates: N/s N/min N/h N/d. "
			   "Templates: %{...}. A relative path is taken from the\n"
			   "# folder of this file.\n";

static void
sample_row(const struct conf_row *row, const char *indent, const char *comment, struct buf *out)
{
	struct buf front;

	buf_init(&front, 64);
	buf_printf(&front, "%s# ", indent);
	doc_wrap(span_of(row->help), buf_cstr(&front), SAMPLE_WIDTH, out);
	buf_printf(out, "%s%s%s = ", indent, comment, row->name);
	doc_default(row, out);
	buf_putc(out, '\n');
	buf_clear(&front);
}

/* Each line of the example behind "#", but for the first of listen: a server without a port takes no mail. */
static void
sample_example(const struct conf_group *g, struct buf *out)
{
	struct span all = span_of(g->example), line;
	bool is_active = strcmp(g->name, "listen") == 0;

	for (; span_next(&all, '\n', &line); is_active = false) {
		buf_puts(out, is_active ? "" : "#");
		buf_put_span(out, line);
		buf_putc(out, '\n');
	}
}

static void
sample_group(const struct conf_group *g, struct buf *out)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);
	bool is_block = g->kind == CONF_BLOCK;

	buf_putc(out, '\n');
	doc_wrap(span_of(g->help), "# ", SAMPLE_WIDTH, out);
	if (is_block && g->example != NULL)
		sample_example(g, out);
	buf_printf(out, is_block ? "#%s \"TITLE\" {\n" : "%s {\n", g->name);
	for (size_t i = 0; i < count; i++) {
		if (row[i].group == g)
			sample_row(&row[i], is_block ? "#\t" : "\t", is_block ? "" : "#", out);
	}
	buf_puts(out, is_block ? "#}\n" : "}\n");
}

void
conf_sample(struct buf *out)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);
	const struct conf_group *done = NULL;

	buf_puts(out, head);
	for (size_t i = 0; i < count; i++) {
		if (row[i].group->kind == CONF_TOP) {
			buf_putc(out, '\n');
			sample_row(&row[i], "", "#", out);
		} else if (row[i].group != done) {
			done = row[i].group;
			sample_group(done, out);
		}
	}
}
