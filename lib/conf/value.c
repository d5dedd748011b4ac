/* SPDX-License-Identifier: ISC
 *
 * One value of one option: text to typed field and back, as the rows of options.def say. Knows nothing of files, lines
 * and blocks (parse.c). Runs in master, the tools and, for defaults, in every process. */

/* System */
#include <ctype.h>
#include <string.h>
/* lib */
#include "base/log.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/value.h"

/* Units, largest first. */
static const struct unit {
	const char *name;
	uint64_t factor;
} size_units[] = { { "G", 1 << 30 }, { "M", 1 << 20 }, { "K", 1 << 10 }, { "", 1 } },
  time_units[] = { { "d", 86400000 },
		   { "h", 3600000 },
		   { "m", 60000 },
		   { "s", 1000 },
		   { "ms", 1 } },
  rate_units[] = { { "d", 86400000 }, { "h", 3600000 }, { "min", 60000 }, { "s", 1000 } };

enum { SIZE_UNITS = 4, TIME_UNITS = 5, RATE_UNITS = 4 };

bool
conf_in_range(const struct conf_row *row, uint64_t v)
{
	return v >= row->min && v <= row->max;
}

void
conf_quote(struct span s, struct buf *out)
{
	buf_putc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\' ||
		    (s.p[i] == '$' && i + 1 < s.n && s.p[i + 1] == '{'))
			buf_putc(out, '\\');
		buf_putc(out, s.p[i]);
	}
	buf_putc(out, '"');
}

static void
format_unit(uint64_t v, const struct unit *units, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count; i++) {
		if (v % units[i].factor == 0) {
			buf_printf(out, "%llu%s", (unsigned long long)(v / units[i].factor),
				   units[i].name);
			return;
		}
	}
}

void
conf_number_format(const struct conf_row *row, uint64_t value, struct buf *out)
{
	if (value == 0 && row->type == CONF_TIME && strcmp(row->def, "never") == 0)
		buf_puts(out, "never");
	else if (value == 0 || row->type == CONF_INT)
		buf_printf(out, "%llu", (unsigned long long)value);
	else if (row->type == CONF_SIZE)
		format_unit(value, size_units, SIZE_UNITS, out);
	else
		format_unit(value, time_units, TIME_UNITS, out);
}

int
conf_string_check(struct span s, struct buf *why)
{
	if (s.n > CONF_STRING_MAX) {
		buf_printf(why, "longer than %d bytes; shorten it", CONF_STRING_MAX);
		return E_CONFIG;
	}
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
			buf_printf(why, "holds the control character 0x%02x; remove it",
				   (unsigned char)s.p[i]);
			return E_CONFIG;
		}
	}
	return 0;
}

/* base + "/" + text. Leading "./" and "../" are resolved by name, which is right because base is canonical. */
static char *
path_below(const char *base, struct span text)
{
	struct span dir = span_of(base);
	struct buf path;
	char *joined;

	for (;;) {
		if (span_starts(text, SPAN("./"))) {
			text = span_sub(text, 2, SIZE_MAX);
		} else if (span_starts(text, SPAN("../"))) {
			ptrdiff_t slash = span_rchr(dir, '/');

			dir.n = slash > 0 ? (size_t)slash : 0;
			text = span_sub(text, 3, SIZE_MAX);
		} else if (span_starts(text, SPAN("/"))) {
			text = span_sub(text, 1, SIZE_MAX);
		} else {
			break;
		}
	}
	buf_init(&path, dir.n + text.n + 2);
	buf_put_span(&path, dir);
	if (!span_ends(dir, SPAN("/")))
		buf_putc(&path, '/');
	buf_put_span(&path, text);
	joined = mem_dup_span(buf_span(&path));
	buf_clear(&path);
	return joined;
}

static int
parse_string(const struct conf_row *row, char **out, struct span text, const char *base,
	     struct buf *why)
{
	bool is_path = row->type == CONF_PATH || row->type == CONF_PATHS;
	int r;

	if ((r = conf_string_check(text, why)) < 0)
		return r;
	mem_free(*out);
	if (is_path && base != NULL && text.n > 0 && text.p[0] != '/')
		*out = path_below(base, text);
	else
		*out = mem_dup_span(text);
	return 0;
}

static int
parse_item(const struct conf_row *row, struct conf_list *list, struct span text, const char *base,
	   struct buf *why)
{
	char *item = NULL;
	int r;

	if (text.n == 0) {
		buf_puts(why, "empty item in a list; remove it");
		return E_CONFIG;
	}
	if (list->count == CONF_LIST_MAX) {
		buf_printf(why, "more than %d items; use a table", CONF_LIST_MAX);
		return E_CONFIG;
	}
	if ((r = parse_string(row, &item, text, base, why)) < 0)
		return r;
	list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = item;
	return 0;
}

/* "12M" -> 12 and "M". */
static int
split_number(struct span text, uint64_t *number_out, struct span *unit_out)
{
	size_t n = 0;

	while (n < text.n && isdigit((unsigned char)text.p[n]))
		n++;
	*unit_out = span_trim(span_sub(text, n, SIZE_MAX));
	return span_to_u64(span_sub(text, 0, n), UINT64_MAX, number_out);
}

static int
apply_unit(uint64_t *number, struct span unit, const struct unit *units, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!span_ieq(unit, span_of(units[i].name)))
			continue;
		return __builtin_mul_overflow(*number, units[i].factor, number) ? E_TOOBIG : 0;
	}
	return E_SYNTAX;
}

static int
parse_number(const struct conf_row *row, struct span text, uint64_t *out)
{
	struct span unit = SPAN_NONE;
	int r;

	if (row->type == CONF_TIME && row->min == 0 && span_ieq(text, SPAN("never"))) {
		*out = 0;
		return 0;
	}
	if (row->type == CONF_INT)
		return span_to_u64(text, UINT64_MAX, out);
	if ((r = split_number(text, out, &unit)) < 0)
		return r;
	if (row->type == CONF_SIZE)
		return apply_unit(out, unit, size_units, SIZE_UNITS);
	return *out == 0 && unit.n == 0 ? 0 : apply_unit(out, unit, time_units, TIME_UNITS);
}

static int
set_number(const struct conf_row *row, uint64_t *out, struct span text, struct buf *why)
{
	uint64_t v;
	int r = parse_number(row, text, &v);

	if (r == 0 && conf_in_range(row, v)) {
		*out = v;
		return 0;
	}
	if (r == E_SYNTAX && row->type == CONF_INT)
		buf_puts(why, "not a number; write a number from ");
	else if (r == E_SYNTAX && row->type == CONF_SIZE)
		buf_puts(why, "not a size; write a number with k, M or G from ");
	else if (r == E_SYNTAX)
		buf_puts(why, "not a time; write a number with ms, s, m, h or d from ");
	else
		buf_puts(why, "out of range; write a value from ");
	conf_number_format(row, row->min, why);
	buf_puts(why, " to ");
	conf_number_format(row, row->max, why);
	return E_CONFIG;
}

int
conf_rate_parse(struct span text, struct conf_rate *out)
{
	struct conf_rate rate = { 0, 1 };
	struct span unit;

	if (span_eq(text, SPAN("0"))) {
		*out = (struct conf_rate){ 0, 1000 };
		return 0;
	}
	if (split_number(text, &rate.count, &unit) < 0 || rate.count > UINT32_MAX ||
	    !span_starts(unit, SPAN("/")) ||
	    apply_unit(&rate.per_ms, span_trim(span_sub(unit, 1, SIZE_MAX)), rate_units,
		       RATE_UNITS) < 0)
		return E_SYNTAX;
	*out = rate;
	return 0;
}

static int
set_rate(struct conf_rate *out, struct span text, struct buf *why)
{
	if (conf_rate_parse(text, out) == 0)
		return 0;
	buf_puts(why,
		 "not a rate; write a number with /s, /min, /h or /d, such as 600/min, or 0 for no "
		 "limit");
	return E_CONFIG;
}

static int
set_bool(bool *out, struct span text, struct buf *why)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (span_ieq(text, span_of(words[i]))) {
			*out = i % 2 == 1;
			return 0;
		}
	}
	buf_puts(why, "neither yes nor no; write one of the two");
	return E_CONFIG;
}

static int
set_enum(const struct conf_row *row, int *out, struct span text, struct buf *why)
{
	struct span one;

	for (unsigned i = 0; (one = conf_enum_value(row, i)).n > 0; i++) {
		if (span_ieq(text, one)) {
			*out = (int)i;
			return 0;
		}
	}
	buf_puts(why, "not known; write ");
	for (unsigned i = 0; (one = conf_enum_value(row, i)).n > 0; i++) {
		if (i > 0)
			buf_puts(why, conf_enum_value(row, i + 1).n > 0 ? ", " : " or ");
		buf_put_span(why, one);
	}
	return E_CONFIG;
}

int
conf_value_parse(const struct conf_row *row, void *field, struct span text, const char *base,
		 struct buf *why)
{
	switch (row->type) {
	case CONF_STR:
	case CONF_PATH:
		return parse_string(row, field, text, base, why);
	case CONF_LIST:
	case CONF_PATHS:
		return parse_item(row, field, text, base, why);
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
		return set_number(row, field, span_trim(text), why);
	case CONF_BOOL:
		return set_bool(field, span_trim(text), why);
	case CONF_RATE:
		return set_rate(field, span_trim(text), why);
	case CONF_ENUM:
		return set_enum(row, field, span_trim(text), why);
	case CONF_TYPE_COUNT:
		break;
	}
	return E_CONFIG;
}

void
conf_value_set_default(const struct conf_row *row, void *field)
{
	struct span text = span_of(row->def), item;
	struct buf why;
	int r = 0;

	buf_init(&why, 256);
	if (row->type == CONF_LIST || row->type == CONF_PATHS) {
		while (r == 0 && span_next(&text, ',', &item))
			r = conf_value_parse(row, field, span_trim(item), NULL, &why);
	} else {
		r = conf_value_parse(row, field, text, NULL, &why);
	}
	/* The tests parse every default; a wrong one never leaves the developer's machine. */
	if (r < 0)
		bug("options.def: default of %s.%s: %s", row->group->name, row->name,
		    buf_cstr(&why));
	buf_clear(&why);
}

void
conf_value_clear(const struct conf_row *row, void *field)
{
	if (row->type == CONF_STR || row->type == CONF_PATH) {
		mem_free(*(char **)field);
		*(char **)field = NULL;
	} else if (row->type == CONF_LIST || row->type == CONF_PATHS) {
		struct conf_list *list = field;

		for (size_t i = 0; i < list->count; i++)
			mem_free(list->items[i]);
		mem_free(list->items);
		*list = (struct conf_list){ NULL, 0 };
	}
}

static bool
list_eq(const struct conf_list *a, const struct conf_list *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return true;
}

bool
conf_value_eq(const struct conf_row *row, const void *a, const void *b)
{
	const struct conf_rate *ra = a, *rb = b;

	switch (row->type) {
	case CONF_STR:
	case CONF_PATH:
		return strcmp(*(char *const *)a, *(char *const *)b) == 0;
	case CONF_LIST:
	case CONF_PATHS:
		return list_eq(a, b);
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
		return *(const uint64_t *)a == *(const uint64_t *)b;
	case CONF_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case CONF_RATE:
		return ra->count == rb->count && (ra->count == 0 || ra->per_ms == rb->per_ms);
	case CONF_ENUM:
		return *(const int *)a == *(const int *)b;
	case CONF_TYPE_COUNT:
		break;
	}
	return false;
}

static void
format_rate(const struct conf_rate *rate, struct buf *out)
{
	for (size_t i = 0; i < RATE_UNITS; i++) {
		if (rate->count > 0 && rate->per_ms == rate_units[i].factor) {
			buf_printf(out, "\"%llu/%s\"", (unsigned long long)rate->count,
				   rate_units[i].name);
			return;
		}
	}
	buf_puts(out, "0");
}

static void
format_list(const struct conf_list *list, struct buf *out)
{
	buf_puts(out, "{ ");
	for (size_t i = 0; i < list->count; i++) {
		conf_quote(span_of(list->items[i]), out);
		buf_puts(out, i + 1 < list->count ? ", " : " ");
	}
	buf_putc(out, '}');
}

void
conf_value_format(const struct conf_row *row, const void *field, struct buf *out)
{
	switch (row->type) {
	case CONF_STR:
	case CONF_PATH:
		conf_quote(span_of(*(char *const *)field), out);
		break;
	case CONF_LIST:
	case CONF_PATHS:
		format_list(field, out);
		break;
	case CONF_INT:
		conf_number_format(row, *(const uint64_t *)field, out);
		break;
	case CONF_SIZE:
	case CONF_TIME:
		buf_putc(out, '"');
		conf_number_format(row, *(const uint64_t *)field, out);
		buf_putc(out, '"');
		break;
	case CONF_BOOL:
		buf_puts(out, *(const bool *)field ? "yes" : "no");
		break;
	case CONF_RATE:
		format_rate(field, out);
		break;
	case CONF_ENUM:
		buf_put_span(out, conf_enum_value(row, (unsigned)*(const int *)field));
		break;
	case CONF_TYPE_COUNT:
		break;
	}
}
