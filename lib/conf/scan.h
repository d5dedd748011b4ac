/* SPDX-License-Identifier: ISC */
#ifndef CONF_SCAN_H
#define CONF_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/span.h"
#include "conf/problem.h"
#include "conf/table.h"

/* What libconfuse does not do, in a pass of our own before it. Internal to lib/conf.
 *
 * lex.c refuses what libconfuse would swallow: ${...} (replaced by the environment), characters that it skips in
 * silence (`address = *`), quotes and comments that are not closed (they would also spoil its next run), escapes that
 * it drops. scan.c finds unknown names, what stands twice, and the line of each option and block. */
enum tok_kind { TOK_END, TOK_WORD, TOK_EQUAL, TOK_APPEND, TOK_OPEN, TOK_CLOSE, TOK_OTHER };

struct tok {
	enum tok_kind kind;
	unsigned line;
	size_t start, end; /* in the text; a quoted word with its quotes */
};

struct lexer {
	const struct conf_source *src;
	char *text; /* n bytes and a NUL; comments are blanked out while it is read */
	size_t n, at;
	unsigned line;
	unsigned errors;
};

/* The next token; problems are reported and skipped. */
struct tok lex_next(struct lexer *l);
/* A word without its quotes; escapes stay. */
struct span lex_word(const struct lexer *l, const struct tok *t);

/* A block or an option in order of the file. */
struct found_block {
	const struct conf_group *group;
	struct span title;
	unsigned line;
};

struct found_option {
	const struct conf_row *row;
	size_t block; /* index among the blocks of its kind; 0 for other groups */
	unsigned line;
	bool is_bad; /* its value was refused: what depends on it is not checked */
};

struct scan {
	struct found_block *blocks;
	size_t block_count;
	struct found_option *options;
	size_t option_count;
};

/* Reads the whole text and blanks out (with spaces, so that lines stay) comments and statements that are unknown, so
 * that libconfuse can go on with the rest. All problems are reported.
 * text   n bytes and a NUL, no other NUL; changed
 * out    zeroed; spans point into text; scan_clear()
 * errors E_CONFIG: the text must not be given to libconfuse */
int scan_text(const struct conf_source *src, char *text, size_t n, struct scan *out) MUST_CHECK;
void scan_clear(struct scan *s);

#endif
