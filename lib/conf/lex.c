/* SPDX-License-Identifier: ISC
 *
 * The words of a configuration file, cut as libconfuse's lexer cuts them, and an error for everything that it would
 * swallow. Not the grammar (libconfuse), not the names (scan.c). Runs in master and the tools. */

/* System */
#include <stdbool.h>
#include <string.h>
/* this library */
#include "conf/scan.h"

#define NOT_IN_WORD " #\"'\t\n\r={}()+,*"

static void
lex_error(struct lexer *l, const char *message)
{
	problem_error(l->src, l->line, "%s", message);
	l->errors++;
}

static void
blank(struct lexer *l, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		if (l->text[i] != '\n')
			l->text[i] = ' ';
	}
}

static void
skip_line_comment(struct lexer *l)
{
	size_t from = l->at;

	while (l->text[l->at] != '\0' && l->text[l->at] != '\n')
		l->at++;
	blank(l, from, l->at);
}

static void
skip_long_comment(struct lexer *l)
{
	char *from = l->text + l->at, *end = strstr(from + 2, "*/");

	if (end == NULL) {
		lex_error(l, "comment is not closed; write */ at its end");
		end = l->text + l->n - 2;
	}
	for (char *p = from; p < end; p++)
		l->line += *p == '\n';
	blank(l, l->at, (size_t)(end + 2 - l->text));
	l->at = (size_t)(end + 2 - l->text);
}

/* One backslash inside of quotes; l->at is at the backslash. */
static void
lex_escape(struct lexer *l, char quote)
{
	char next = l->text[l->at + 1];

	if (next != '\0' && next != '\n' &&
	    (next == quote || next == '\\' || (quote == '"' && next == '$'))) {
		l->at += 2;
		return;
	}
	if (quote == '"')
		lex_error(l, "a backslash stands only before \", \\ and $; write \\\\ for a "
			     "backslash");
	l->at++;
}

static struct tok
lex_quoted(struct lexer *l)
{
	struct tok t = { TOK_WORD, l->line, l->at, 0 };
	char quote = l->text[l->at++];

	while (l->text[l->at] != quote) {
		if (l->text[l->at] == '\0' || l->text[l->at] == '\n') {
			lex_error(l,
				  quote == '"'
					  ? "string is not closed on its line; write \" at its end"
					  : "string is not closed on its line; write ' at its end");
			t.end = l->at;
			return t;
		}
		if (l->text[l->at] == '\\') {
			lex_escape(l, quote);
			continue;
		}
		if (quote == '"' && l->text[l->at] == '$' && l->text[l->at + 1] == '{')
			lex_error(l,
				  "${ would be replaced from the environment; write %{...} for a "
				  "template, or \\${ for the characters");
		l->at++;
	}
	t.end = ++l->at;
	return t;
}

static struct tok
lex_one(struct lexer *l, enum tok_kind kind, size_t n)
{
	struct tok t = { kind, l->line, l->at, l->at + n };

	l->at += n;
	return t;
}

static struct tok
lex_bare(struct lexer *l)
{
	size_t n = strcspn(l->text + l->at, NOT_IN_WORD);
	struct tok t = lex_one(l, TOK_WORD, n);

	if (l->text[l->at - 1] == '$' && l->text[l->at] == '{') {
		lex_error(l, "${ would be replaced from the environment; write \"%{...}\" for a "
			     "template");
		/* All of it as one word, so that no second problem follows from it. */
		l->at += strcspn(l->text + l->at, "}\n");
		l->at += l->text[l->at] == '}';
		l->at += strcspn(l->text + l->at, NOT_IN_WORD);
		t.end = l->at;
	}
	return t;
}

static struct tok
lex_stray(struct lexer *l)
{
	problem_error(l->src, l->line, "%c outside of quotes; write the value in double quotes",
		      l->text[l->at]);
	l->errors++;
	/* As a word, so that no second problem follows from it. */
	return lex_one(l, TOK_WORD, 1);
}

struct tok
lex_next(struct lexer *l)
{
	for (;;) {
		char c = l->text[l->at], next = c != '\0' ? l->text[l->at + 1] : '\0';

		if (c == '\0')
			return lex_one(l, TOK_END, 0);
		if (c == '\n')
			l->line++;
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			l->at++;
		else if (c == '#' || (c == '/' && next == '/'))
			skip_line_comment(l);
		else if (c == '/' && next == '*')
			skip_long_comment(l);
		else if (c == '"' || c == '\'')
			return lex_quoted(l);
		else if (c == '=')
			return lex_one(l, TOK_EQUAL, 1);
		else if (c == '+' && next == '=')
			return lex_one(l, TOK_APPEND, 2);
		else if (c == '{')
			return lex_one(l, TOK_OPEN, 1);
		else if (c == '}')
			return lex_one(l, TOK_CLOSE, 1);
		else if (c == ',' || c == '(' || c == ')')
			return lex_one(l, TOK_OTHER, 1);
		else if (c == '*' || c == '+')
			return lex_stray(l);
		else
			return lex_bare(l);
	}
}

struct span
lex_word(const struct lexer *l, const struct tok *t)
{
	struct span s = span_make(l->text + t->start, t->end - t->start);
	char quote = s.n > 0 ? s.p[0] : '\0';

	if (quote != '"' && quote != '\'')
		return s;
	s = span_sub(s, 1, SIZE_MAX);
	if (s.n > 0 && s.p[s.n - 1] == quote)
		s.n--;
	return s;
}
