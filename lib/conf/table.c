/* SPDX-License-Identifier: ISC
 *
 * options.def as data: rows, groups, where a value lies in struct conf, the nearest name to a misspelt one. Runs in
 * every process and tool; no rights, no I/O. */

/* System */
#include <stdbool.h>
#include <string.h>
/* lib */
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/table.h"
#include "conf/value.h"

/* clang-format off: the lines of a .def file's macros stay beside each other */
#define OPT_STR(name, who, def, help) +1
#define OPT_PATH(name, who, def, help) +1
#define OPT_LIST(name, who, def, help) +1
#define OPT_PATHS(name, who, def, help) +1
#define OPT_INT(name, who, def, min, max, help) +1
#define OPT_SIZE(name, who, def, min, max, help) +1
#define OPT_TIME(name, who, def, min, max, help) +1
#define OPT_BOOL(name, who, def, help) +1
#define OPT_RATE(name, who, def, help) +1
#define OPT_ENUM(name, who, def, values, help) +1
enum {
	ROW_COUNT = 0
#include "conf/options.def"
};

#define SECTION_BEGIN(name, help) +1
#define SECTION_END(name)
#define BLOCK_BEGIN(name, who, help) +1
#define BLOCK_END(name)
enum {
	GROUP_COUNT = 1 /* the top level */
#include "conf/options.def"
};

/* clang-format on */

enum { EVERYONE = -1, NAME_MAX_BYTES = 64 };

static struct conf_row rows[ROW_COUNT];
static struct conf_group groups[GROUP_COUNT];
static bool is_built;

/* Fills rows and groups. Each section is a scope in which `self` has the section's type: that gives offsetof() of a
 * row its struct, which the row does not name. */
static void
build(void)
{
	struct conf_row *row = rows;
	struct conf_group *next = groups, *g;

	is_built = true;
	*next++ = (struct conf_group){
		"", CONF_TOP, (uint32_t)EVERYONE, "Options outside of sections.", NULL, 0, 0, 0
	};
/* clang-format off */
#define ROW(name, type, who, def, min, max, values, help) \
	*row++ = (struct conf_row){ g, #name, type, (who) & g->procs, def, min, max, values, help, \
		offsetof(__typeof__(*self), name) };
#define SCOPE_TOP \
	{ \
		const struct conf *self = NULL; \
		(void)self; \
		g = groups;
#define OPT_STR(name, who, def, help) ROW(name, CONF_STR, who, def, 0, 0, NULL, help)
#define OPT_PATH(name, who, def, help) ROW(name, CONF_PATH, who, def, 0, 0, NULL, help)
#define OPT_LIST(name, who, def, help) ROW(name, CONF_LIST, who, def, 0, 0, NULL, help)
#define OPT_PATHS(name, who, def, help) ROW(name, CONF_PATHS, who, def, 0, 0, NULL, help)
#define OPT_INT(name, who, def, min, max, help) ROW(name, CONF_INT, who, def, min, max, NULL, help)
#define OPT_SIZE(name, who, def, min, max, help) ROW(name, CONF_SIZE, who, def, min, max, NULL, help)
#define OPT_TIME(name, who, def, min, max, help) ROW(name, CONF_TIME, who, def, min, max, NULL, help)
#define OPT_BOOL(name, who, def, help) ROW(name, CONF_BOOL, who, def, 0, 0, NULL, help)
#define OPT_RATE(name, who, def, help) ROW(name, CONF_RATE, who, def, 0, 0, NULL, help)
#define OPT_ENUM(name, who, def, values, help) ROW(name, CONF_ENUM, who, def, 0, 0, values, help)
#define SECTION_BEGIN(name, help) \
	} \
	{ \
		const struct conf_##name *self = NULL; \
		(void)self; \
		g = next++; \
		*g = (struct conf_group){ #name, CONF_SECTION, (uint32_t)EVERYONE, help, NULL, \
			offsetof(struct conf, name), 0, sizeof(*self) };
#define SECTION_END(name) } SCOPE_TOP
#define BLOCK_BEGIN(name, who, help) \
	} \
	{ \
		const struct conf_##name *self = NULL; \
		(void)self; \
		g = next++; \
		*g = (struct conf_group){ #name, CONF_BLOCK, (who), help, NULL, offsetof(struct conf, name), \
			offsetof(struct conf, name##_count), sizeof(*self) };
#define BLOCK_EXAMPLE(text) g->example = text;
#define BLOCK_END(name) } SCOPE_TOP
	SCOPE_TOP
#include "conf/options.def"
	}
/* clang-format on */
}

const struct conf_row *
conf_rows(size_t *count_out)
{
	if (!is_built)
		build();
	*count_out = ROW_COUNT;
	return rows;
}

const struct conf_group *
conf_groups(size_t *count_out)
{
	if (!is_built)
		build();
	*count_out = GROUP_COUNT;
	return groups;
}

const struct conf_group *
conf_group_find(struct span name)
{
	size_t count;
	const struct conf_group *g = conf_groups(&count);

	for (size_t i = 0; i < count; i++) {
		if (span_eq(span_of(g[i].name), name))
			return &g[i];
	}
	return NULL;
}

const struct conf_row *
conf_row_find(const struct conf_group *g, struct span name)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (row[i].group == g && span_eq(span_of(row[i].name), name))
			return &row[i];
	}
	return NULL;
}

void
conf_row_name(const struct conf_row *row, struct buf *out)
{
	if (row->group->kind != CONF_TOP)
		buf_printf(out, "%s.", row->group->name);
	buf_puts(out, row->name);
}

/* The pointer to the array of a kind of block. */
static void **
block_array(const struct conf *c, const struct conf_group *g)
{
	return (void **)(void *)((char *)(uintptr_t)c + g->offset);
}

static size_t *
block_count(const struct conf *c, const struct conf_group *g)
{
	return (size_t *)(void *)((char *)(uintptr_t)c + g->count_offset);
}

size_t
conf_group_count(const struct conf *c, const struct conf_group *g)
{
	return g->kind == CONF_BLOCK ? *block_count(c, g) : 1;
}

void *
conf_group_at(const struct conf *c, const struct conf_group *g, size_t i)
{
	if (g->kind == CONF_BLOCK) /* no array yet: NULL, not NULL + 0 */
		return *block_array(c, g) != NULL ? (char *)*block_array(c, g) + i * g->size_bytes
						  : NULL;
	return (char *)(uintptr_t)c + g->offset;
}

/* Every block's struct begins with title and line (conf_struct.h). */
struct block_head {
	char *title;
	unsigned line;
};

char **
conf_block_title(const struct conf *c, const struct conf_group *g, size_t i)
{
	return &((struct block_head *)conf_group_at(c, g, i))->title;
}

unsigned *
conf_block_line(const struct conf *c, const struct conf_group *g, size_t i)
{
	return &((struct block_head *)conf_group_at(c, g, i))->line;
}

size_t
conf_block_add(struct conf *c, const struct conf_group *g, struct span title, unsigned line)
{
	size_t *count = block_count(c, g), at = *count;
	void **array = block_array(c, g);

	*array = mem_grow(*array, at + 1, g->size_bytes);
	memset((char *)*array + at * g->size_bytes, 0, g->size_bytes);
	*count = at + 1;
	*conf_block_title(c, g, at) = mem_dup_span(title);
	*conf_block_line(c, g, at) = line;
	for (size_t i = 0; i < ROW_COUNT; i++) {
		if (rows[i].group == g)
			conf_value_set_default(&rows[i],
					       conf_field(&rows[i], conf_group_at(c, g, at)));
	}
	return at;
}

struct span
conf_enum_value(const struct conf_row *row, unsigned i)
{
	struct span all = span_of(row->values), one;

	while (span_next(&all, '|', &one)) {
		if (i-- == 0)
			return one;
	}
	return SPAN_NONE;
}

size_t
conf_edit_distance(struct span a, struct span b)
{
	size_t d[3][NAME_MAX_BYTES + 1];

	if (a.n > NAME_MAX_BYTES || b.n > NAME_MAX_BYTES)
		return SIZE_MAX;
	for (size_t j = 0; j <= b.n; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t *now = d[i % 3], *before = d[(i - 1) % 3], *before2 = d[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t best = before[j - 1] + (a.p[i - 1] != b.p[j - 1]);

			if (before[j] + 1 < best)
				best = before[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] &&
			    a.p[i - 2] == b.p[j - 1] && before2[j - 2] + 1 < best)
				best = before2[j - 2] + 1;
			now[j] = best;
		}
	}
	return d[a.n % 3][b.n];
}

bool
conf_is_near(struct span misspelt, size_t distance)
{
	return distance <= (misspelt.n < 6 ? 1 : misspelt.n / 3) && distance < misspelt.n;
}

const char *
conf_nearest_name(const struct conf_group *g, struct span misspelt)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX, count, distance;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		distance = conf_edit_distance(span_of(row[i].name), misspelt);
		if (row[i].group == g && distance < best_distance) {
			best = row[i].name;
			best_distance = distance;
		}
	}
	for (size_t i = 1; g == groups && i < GROUP_COUNT; i++) {
		distance = conf_edit_distance(span_of(groups[i].name), misspelt);
		if (distance < best_distance) {
			best = groups[i].name;
			best_distance = distance;
		}
	}
	return conf_is_near(misspelt, best_distance) ? best : NULL;
}
