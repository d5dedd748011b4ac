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
#include "base/log.h"
#include "base/mem.h"
#include "smtp/addr.h"

/* this program */
#include "router/table_text.h"

#define KEY_MAX 512

struct entry {
	uint32_t key, key_n; /* offset into text, or, from text_n on, into ascii; key_n 0: free */
	uint32_t value, value_n;
};

struct table {
	char *text; /* keys in lower case */
	size_t text_n;
	struct buf ascii; /* keys that had U-labels */
	struct entry *slots;
	size_t cap, count;
};

struct parser {
	struct table *t;
	unsigned line; /* of the entry being read */
	const char *why;
	const struct table_check *check;
};

static struct span
key_of(const struct table *t, const struct entry *e)
{
	return e->key < t->text_n ? span_make(t->text + e->key, e->key_n)
				  : span_make(t->ascii.p + (e->key - t->text_n), e->key_n);
}

static struct entry *
find(const struct table *t, struct span key)
{
	size_t i = map_hash(key) & (t->cap - 1);

	while (t->slots[i].key_n != 0) {
		if (span_eq(key_of(t, &t->slots[i]), key))
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
			*find(t, key_of(t, &old[i])) = old[i];
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

/* The domain of a key ("a@domain", "@domain", "domain", ".domain") with U-labels becomes what is asked for: A-labels. The key's
 * new place and length; a key without U-labels, or whose domain is none, stays. */
static void
put_ascii(struct table *t, size_t *from, size_t *n)
{
	struct span key = span_make(t->text + *from, *n), domain;
	char ascii[ADDR_DOMAIN_MAX + 1];
	size_t keep = (size_t)(span_rchr(key, '@') + 1);
	bool is_ascii = true;

	if (keep < key.n && key.p[keep] == '.')
		keep++;
	domain = span_sub(key, keep, SIZE_MAX);
	for (size_t i = 0; i < domain.n; i++)
		is_ascii = is_ascii && (unsigned char)domain.p[i] < 128;
	if (is_ascii || addr_domain_to_ascii(domain, ascii) < 0)
		return;
	*from = t->text_n + t->ascii.n;
	*n = keep + strlen(ascii);
	buf_put_span(&t->ascii, span_sub(key, 0, keep));
	buf_puts(&t->ascii, ascii);
	if (buf_check(&t->ascii) < 0) /* a label and its dot in three bytes become eight */
		bug("A-labels of a table take more than four times its size");
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
	if (key_n > 1 && t->text[from + key_n - 1] == ':') /* "key: value" */
		key_n--;
	if (key_n > KEY_MAX) {
		ps->why = "the key is longer than 512 bytes";
		return E_SYNTAX;
	}
	for (size_t i = from; i < from + key_n; i++)
		t->text[i] = (char)tolower((unsigned char)t->text[i]);
	struct span value = span_trim(span_make(t->text + from + n, to - from - n));
	struct entry new = { .value = (uint32_t)(value.n > 0 ? (size_t)(value.p - t->text) : 0),
			     .value_n = (uint32_t)value.n };
	if (ps->check != NULL &&
	    (ps->why = ps->check->is_bad(ps->check->arg, ps->line, value)) != NULL)
		return E_SYNTAX;
	put_ascii(t, &from, &key_n);
	new.key = (uint32_t)from;
	new.key_n = (uint32_t)key_n;
	if (2 * (t->count + 1) > t->cap)
		grow(t);
	struct entry *e = find(t, key_of(t, &new));
	if (e->key_n != 0) {
		ps->why = "this key stands in the table twice";
		return E_SYNTAX;
	}
	*e = new;
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
		if (memchr(text + at, '\0', end - at) != NULL ||
		    memchr(text + at, '\r', end - at) != NULL) {
			ps->line = line;
			ps->why = "a NUL byte, or a CR that ends no line";
			return E_SYNTAX;
		}
		struct span seen = span_trim(span_make(text + at, end - at));
		if (seen.n > 0 && seen.p[0] != '#') {
			bool is_more = text[at] == ' ' || text[at] == '\t';
			if (is_more && from == to) {
				ps->line = line;
				ps->why = "begins with a blank, but there is no line before that "
					  "it could continue";
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
table_parse(struct span text, const struct table_check *check, struct table **out,
	    unsigned *line_out, const char **why_out)
{
	struct table *t;
	struct parser ps = { .check = check };
	int r;

	*out = NULL;
	*line_out = 0;
	if (text.n > TABLE_BYTES_MAX) {
		*why_out = "larger than 64 MiB";
		return E_TOOBIG;
	}
	t = mem_zalloc(sizeof(*t));
	t->text = mem_dup_span(text);
	t->text_n = text.n;
	buf_init(&t->ascii, 4 * (size_t)TABLE_BYTES_MAX);
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
table_load(int fd, const struct table_check *check, struct table **out, unsigned *line_out,
	   const char **why_out)
{
	struct buf text;
	int r;

	*out = NULL;
	*line_out = 0;
	buf_init(&text, TABLE_BYTES_MAX);
	if ((r = fd_read_file(fd, TABLE_BYTES_MAX, &text)) < 0)
		*why_out = r == E_TOOBIG ? "larger than 64 MiB" : "cannot be read";
	else
		r = table_parse(buf_span(&text), check, out, line_out, why_out);
	buf_clear(&text);
	return r;
}

void
table_free(struct table **t)
{
	if (*t == NULL)
		return;
	mem_free((*t)->text);
	buf_clear(&(*t)->ascii);
	mem_free((*t)->slots);
	mem_free(*t);
	*t = NULL;
}

bool
table_get(const struct table *t, struct span key, struct span *value_out)
{
	char lower[KEY_MAX];

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
