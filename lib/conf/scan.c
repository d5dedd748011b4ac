/* SPDX-License-Identifier: ISC
 *
 * The names of a configuration file: unknown ones with a suggestion, what stands twice, the line of each option. Not
 * the grammar (libconfuse), not the values (value.c). Runs in master and the tools. */

/* System */
#include <stdbool.h>
#include <string.h>
/* lib */
#include "base/mem.h"
/* this library */
#include "conf/scan.h"

/* Statements are walked with one token of look-ahead:
 *
 *   name = value | name = { ... }     an option of the current group
 *   name { | name "title" {           enters a group (top level only)
 *   }                                 back to the top level
 *
 * Anything else is left to libconfuse, which says what it expected. */
struct walk {
	struct lexer lex;
	struct scan *found;
	const struct conf_group *top;
	const struct conf_group *group; /* where we are */
	size_t block;			/* index among its kind */
	size_t first_option;  /* of this block; 0 in other groups, which may stand often */
	unsigned opened_line; /* of the group */
	struct tok tok;	      /* next */
};

static void
advance(struct walk *w)
{
	w->tok = lex_next(&w->lex);
}

static void
blank_out(struct walk *w, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		if (w->lex.text[i] != '\n')
			w->lex.text[i] = ' ';
	}
}

/* w->tok is "{": step behind its "}". Returns the end of that. */
static size_t
skip_braces(struct walk *w)
{
	unsigned depth = 0;
	size_t end;

	do {
		if (w->tok.kind == TOK_OPEN)
			depth++;
		else if (w->tok.kind == TOK_CLOSE)
			depth--;
		end = w->tok.end;
		if (w->tok.kind == TOK_END)
			break;
		advance(w);
	} while (depth > 0);
	return end;
}

/* w->tok is what follows a name: step behind the rest of the statement. Returns the end of that. */
static size_t
skip_rest(struct walk *w, const struct tok *name)
{
	size_t end = name->end;

	if (w->tok.kind == TOK_EQUAL || w->tok.kind == TOK_APPEND) {
		end = w->tok.end;
		advance(w);
		if (w->tok.kind == TOK_OPEN)
			return skip_braces(w);
		if (w->tok.kind == TOK_WORD) {
			end = w->tok.end;
			advance(w);
		}
		return end;
	}
	if (w->tok.kind == TOK_WORD && w->tok.line == name->line) {
		end = w->tok.end;
		advance(w);
	}
	return w->tok.kind == TOK_OPEN ? skip_braces(w) : end;
}

/* The group that has an option of this name, NULL: none. */
static const struct conf_group *
home_of(struct span name)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (span_eq(span_of(row[i].name), name))
			return row[i].group;
	}
	return NULL;
}

static void
report_unknown(struct walk *w, const struct tok *at, struct span name)
{
	const struct conf_group *home = home_of(name), *group = conf_group_find(name);
	const char *near = conf_nearest_name(w->group, name);
	const char *in = w->group->name, *of = w->group == w->top ? "" : " of ";
	const struct conf_source *src = w->lex.src;

	if (group != NULL && w->group != w->top)
		problem_error(src, at->line,
			      "%.*s is not an option%s%s; it stands outside of other braces",
			      SPAN_ARG(name), of, in);
	else if (group != NULL)
		problem_error(src, at->line, "%.*s is not an option; write %s%s { ... }",
			      SPAN_ARG(name), group->name,
			      group->kind == CONF_BLOCK ? " \"TITLE\"" : "");
	else if (near == NULL && home != NULL && home->kind == CONF_TOP)
		problem_error(src, at->line,
			      "unknown option %.*s%s%s; it stands outside of braces: %.*s = VALUE",
			      SPAN_ARG(name), of, in, SPAN_ARG(name));
	else if (near == NULL && home != NULL)
		problem_error(src, at->line, "unknown option %.*s%s%s; it belongs into %s { ... }",
			      SPAN_ARG(name), of, in, home->name);
	else if (near != NULL)
		problem_error(src, at->line, "unknown option %.*s%s%s; did you mean %s?",
			      SPAN_ARG(name), of, in, near);
	else
		problem_error(src, at->line,
			      "unknown option %.*s%s%s; `postern config --doc%s%s` lists those "
			      "that there "
			      "are",
			      SPAN_ARG(name), of, in, w->group == w->top ? "" : " ", in);
}

static void
note_option(struct walk *w, const struct conf_row *row, unsigned line)
{
	struct scan *s = w->found;

	for (size_t i = w->first_option; i < s->option_count; i++) {
		if (s->options[i].row != row)
			continue;
		problem_warn(w->lex.src, line,
			     "%s stands on line %u already; this one counts, remove the other",
			     row->name, s->options[i].line);
		s->options[i].line = line;
		return;
	}
	s->options = mem_grow(s->options, s->option_count + 1, sizeof(*s->options));
	s->options[s->option_count++] = (struct found_option){ row, w->block, line, false };
}

/* The first block with the same title, NULL: none. Domains and the like are the same in any case. */
static const struct found_block *
same_title(const struct walk *w, const struct conf_group *g, struct span title)
{
	for (size_t i = 0; i < w->found->block_count; i++) {
		if (w->found->blocks[i].group == g && span_ieq(w->found->blocks[i].title, title))
			return &w->found->blocks[i];
	}
	return NULL;
}

static size_t
count_blocks(const struct walk *w, const struct conf_group *g)
{
	size_t n = 0;

	for (size_t i = 0; i < w->found->block_count; i++)
		n += w->found->blocks[i].group == g;
	return n;
}

/* w->tok is the title of a block of kind g. True if the block is new. */
static bool
note_block(struct walk *w, const struct conf_group *g)
{
	struct span title = lex_word(&w->lex, &w->tok);
	const struct found_block *other = same_title(w, g, title);
	struct scan *s = w->found;

	if (other != NULL) {
		problem_error(w->lex.src, w->tok.line,
			      "%s \"%.*s\" stands on line %u already; make one of the two", g->name,
			      SPAN_ARG(title), other->line);
		return false;
	}
	if (title.n == 0) {
		problem_error(w->lex.src, w->tok.line, "%s with an empty title; name it", g->name);
		return false;
	}
	w->block = count_blocks(w, g);
	w->first_option = s->option_count;
	s->blocks = mem_grow(s->blocks, s->block_count + 1, sizeof(*s->blocks));
	s->blocks[s->block_count++] = (struct found_block){ g, title, w->tok.line };
	return true;
}

/* A group's name was read, w->tok follows it. */
static void
walk_group(struct walk *w, const struct conf_group *g, const struct tok *name)
{
	bool is_block = g->kind == CONF_BLOCK, is_fine = true;
	const struct conf_source *src = w->lex.src;

	if (is_block && w->tok.kind == TOK_WORD) {
		is_fine = note_block(w, g);
	} else if (is_block) {
		problem_error(src, name->line, "%s without a title; write %s \"TITLE\" { ... }",
			      g->name, g->name);
		is_fine = false;
	} else if (w->tok.kind != TOK_OPEN) {
		problem_error(src, name->line, "%s without {; write %s { ... }", g->name, g->name);
		is_fine = false;
	}
	if (!is_fine) {
		blank_out(w, name->start, skip_rest(w, name));
		return;
	}
	if (is_block)
		advance(w);
	else
		w->block = w->first_option = 0;
	if (w->tok.kind == TOK_OPEN) {
		w->group = g;
		w->opened_line = name->line;
		advance(w);
	}
}

/* The name of an option was read and w->tok is no "=". */
static void
report_no_value(struct walk *w, const struct conf_row *row, const struct tok *at)
{
	size_t end = at->end;

	problem_error(w->lex.src, at->line, "%s without a value; write %s = VALUE", row->name,
		      row->name);
	/* A word that is no name either is the value without "=". */
	if (w->tok.kind == TOK_WORD && w->tok.line == at->line &&
	    conf_row_find(w->group, lex_word(&w->lex, &w->tok)) == NULL) {
		end = w->tok.end;
		advance(w);
	} else if (w->tok.kind == TOK_OPEN) {
		end = skip_braces(w);
	}
	blank_out(w, at->start, end);
}

static void
walk_option(struct walk *w, const struct conf_row *row, const struct tok *at)
{
	if (w->tok.kind == TOK_APPEND) {
		problem_error(w->lex.src, at->line,
			      "%s: += is not offered; write the whole list with =", row->name);
		blank_out(w, at->start, skip_rest(w, at));
	} else if (w->tok.kind == TOK_EQUAL) {
		note_option(w, row, at->line);
		skip_rest(w, at);
	} else {
		report_no_value(w, row, at);
	}
}

static void
walk_name(struct walk *w)
{
	struct tok at = w->tok;
	struct span name = lex_word(&w->lex, &at);
	const struct conf_group *g = w->group == w->top && name.n > 0 ? conf_group_find(name)
								      : NULL;
	const struct conf_row *row = conf_row_find(w->group, name);

	advance(w);
	if (g != NULL && w->tok.kind != TOK_EQUAL && w->tok.kind != TOK_APPEND) {
		walk_group(w, g, &at);
	} else if (row != NULL) {
		walk_option(w, row, &at);
	} else {
		report_unknown(w, &at, name);
		blank_out(w, at.start, skip_rest(w, &at));
	}
}

static void
walk_close(struct walk *w)
{
	w->group = w->top;
	w->block = w->first_option = 0;
	advance(w);
}

int
scan_text(const struct conf_source *src, char *text, size_t n, struct scan *out)
{
	struct walk w = { { src, text, n, 0, 1, 0 }, out, conf_group_find(SPAN("")), NULL, 0, 0, 0,
			  { TOK_END, 0, 0, 0 } };

	w.group = w.top;
	advance(&w);
	while (w.tok.kind != TOK_END) {
		if (w.tok.kind == TOK_WORD)
			walk_name(&w);
		else if (w.tok.kind == TOK_CLOSE)
			walk_close(&w);
		else
			advance(&w);
	}
	/* libconfuse takes the end of the file for the brace. */
	if (w.group != w.top)
		problem_error(src, w.opened_line, "%s is not closed; write } at its end",
			      w.group->name);
	return w.lex.errors > 0 ? E_CONFIG : 0;
}

void
scan_clear(struct scan *s)
{
	mem_free(s->blocks);
	mem_free(s->options);
	memset(s, 0, sizeof(*s));
}
