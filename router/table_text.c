/* SPDX-License-Identifier: ISC
 *
 * Text tables: the file is kept as it is, in one block, and a hash of offsets into it finds the lines. Runs in router; the
 * bytes come from files of the administrator by a descriptor that master opened.
 */
/* System */
#include <ctype.h>
#include <string.h>

/* lib */
#include "base/fd.h"
#include "base/mem.h"

/* this program */
#include "router/table_text.h"

struct entry {
	uint32_t key, key_n;    /* offsets into text; key_n 0: free */
	uint32_t value, value_n;
};

struct table {
	char *text;             /* keys in lower case */
	struct entry *slots;
	size_t cap, count;
};

struct parser {
	struct table *t;
	unsigned line;          /* of the entry being read */
	const char *why;
};

static struct entry *
find(const struct table *t, struct span key)
{
	size_t i = map_hash(key) & (t->cap - 1);

	while (t->slots[i].key_n != 0) {
		if (span_eq(span_make(t->text + t->slots[i].key, t->slots[i].key_n), key))
			break;
		i = (i + 1) & (t->cap - 1);
	}
	return &t->slots[i];
}

static void
grow(struct table *t)
{
	struct entry *old = t->slots;
	size_t n = t->cap;

	t->cap = n ? 2 * n : 64;
	t->slots = mem_array(t->cap, sizeof(t->slots[0]));
	for (size_t i = 0; i < n; i++) {
		if (old[i].key_n != 0)
			*find(t, span_make(t->text + old[i].key, old[i].key_n)) = old[i];
	}
	mem_free(old);
}

/* End of the key that begins at p: the first blank outside quotes. 0: a quote is not closed. */
static size_t
key_length(const char *p, size_t n)
{
	bool is_quoted = false;

	for (size_t i = 0; i < n; i++) {
		if (is_quoted && p[i] == '\\') {
			i++;
		} else if (p[i] == '"') {
			is_quoted = !is_quoted;
		} else if (!is_quoted && (p[i] == ' ' || p[i] == '\t')) {
			return i;
		}
	}
	return is_quoted ? 0 : n;
}

/* One entry: text[from, to) holds key and value, continuation lines joined by blanks. */
static int
add_entry(struct parser *ps, size_t from, size_t to)
{
	struct table *t = ps->t;
	size_t n = key_length(t->text + from, to - from);

	if (n == 0) {
		ps->why = "a quote in the key is not closed";
		return E_SYNTAX;
	}
	size_t key_n = n;
	if (key_n > 1 && t->text[from + key_n - 1] == ':')      /* "key: value" */
		key_n--;
	if (key_n > 512) {
		ps->why = "the key is longer than 512 bytes";
		return E_SYNTAX;
	}
	for (size_t i = from; i < from + key_n; i++)
		t->text[i] = (char)tolower((unsigned char)t->text[i]);
	struct span value = span_trim(span_make(t->text + from + n, to - from - n));
	if (2 * (t->count + 1) > t->cap)
		grow(t);
	struct entry *e = find(t, span_make(t->text + from, key_n));
	if (e->key_n != 0) {
		ps->why = "this key stands in the table twice";
		return E_SYNTAX;
	}
	*e = (struct entry){ (uint32_t)from, (uint32_t)key_n, (uint32_t)(value.n > 0 ? (size_t)(value.p - t->text) : from),
			     (uint32_t)value.n };
	t->count++;
	return 0;
}

/* Lines of [0, n): an entry goes on over lines that begin with a blank; their line ends become blanks in place. */
static int
parse(struct parser *ps, size_t n)
{
	char *text = ps->t->text;
	size_t at = 0, from = 0, to = 0; /* the open entry, from == to: none */
	unsigned line = 0;
	int r;

	while (at < n) {
		char *nl = memchr(text + at, '\n', n - at);
		size_t end = nl != NULL ? (size_t)(nl - text) : n, next = nl != NULL ? end + 1 : n;
		line++;
		if (end > at && text[end - 1] == '\r')
			text[--end] = ' ';
		if (memchr(text + at, '\0', end - at) != NULL) {
			ps->line = line;
			ps->why = "a NUL byte";
			return E_SYNTAX;
		}
		bool is_blank = span_trim(span_make(text + at, end - at)).n == 0;
		if (!is_blank && text[at] != '#') {
			bool is_more = text[at] == ' ' || text[at] == '\t';
			if (is_more && from == to) {
				ps->line = line;
				ps->why = "begins with a blank, but there is no line before that it could continue";
				return E_SYNTAX;
			}
			if (!is_more) {
				if (from != to && (r = add_entry(ps, from, to)) < 0)
					return r;
				from = at;
				ps->line = line;
			} else {
				memset(text + to, ' ', at - to);
			}
			to = end;
		}
		at = next;
	}
	return from != to ? add_entry(ps, from, to) : 0;
}

int
table_parse(struct span text, struct table **out, unsigned *line_out, const char **why_out)
{
	struct table *t;
	struct parser ps = { 0 };
	int r;

	*out = NULL;
	*line_out = 0;
	if (text.n > TABLE_BYTES_MAX) {
		*why_out = "larger than 64 MiB";
		return E_TOOBIG;
	}
	t = mem_zalloc(sizeof(*t));
	t->text = mem_dup_span(text);
	grow(t);
	ps.t = t;
	if ((r = parse(&ps, text.n)) < 0) {
		*line_out = ps.line;
		*why_out = ps.why;
		table_free(&t);
		return r;
	}
	*out = t;
	return 0;
}

int
table_load(int fd, struct table **out, unsigned *line_out, const char **why_out)
{
	struct buf text;
	int r;

	*out = NULL;
	*line_out = 0;
	buf_init(&text, TABLE_BYTES_MAX);
	if ((r = fd_read_file(fd, TABLE_BYTES_MAX, &text)) < 0)
		*why_out = r == E_TOOBIG ? "larger than 64 MiB" : "cannot be read";
	else
		r = table_parse(buf_span(&text), out, line_out, why_out);
	buf_clear(&text);
	return r;
}

void
table_free(struct table **t)
{
	if (*t == NULL)
		return;
	mem_free((*t)->text);
	mem_free((*t)->slots);
	mem_free(*t);
	*t = NULL;
}

bool
table_get(const struct table *t, struct span key, struct span *value_out)
{
	char lower[512];

	if (t == NULL || key.n == 0 || key.n > sizeof(lower))
		return false;
	for (size_t i = 0; i < key.n; i++)
		lower[i] = (char)tolower((unsigned char)key.p[i]);
	const struct entry *e = find(t, span_make(lower, key.n));
	if (e->key_n == 0)
		return false;
	*value_out = span_make(t->text + e->value, e->value_n);
	return true;
}

size_t
table_count(const struct table *t)
{
	return t != NULL ? t->count : 0;
}
