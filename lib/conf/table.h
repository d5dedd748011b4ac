/* SPDX-License-Identifier: ISC */
#ifndef CONF_TABLE_H
#define CONF_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* options.def as data, for everything in lib/conf that treats all options alike. Internal to lib/conf and its tests. */
struct conf;

enum conf_type {
	CONF_STR,   /* char * */
	CONF_PATH,  /* char *, absolute or empty after parsing */
	CONF_LIST,  /* struct conf_list */
	CONF_PATHS, /* struct conf_list */
	CONF_INT,   /* uint64_t */
	CONF_SIZE,  /* uint64_t, bytes */
	CONF_TIME,  /* uint64_t, milliseconds */
	CONF_BOOL,  /* bool */
	CONF_RATE,  /* struct conf_rate */
	CONF_ENUM,  /* int */
	CONF_TYPE_COUNT
};

enum conf_group_kind { CONF_TOP, CONF_SECTION, CONF_BLOCK };

/* The top level, a section or a kind of titled block. */
struct conf_group {
	const char *name; /* "" for the top level */
	enum conf_group_kind kind;
	uint32_t procs; /* set of P(): who gets the block at all */
	const char *help;
	const char *example; /* of a block, NULL: none */
	size_t offset;	     /* in struct conf: of the section, or of the block's array pointer */
	size_t count_offset; /* block: of its count */
	size_t size_bytes;   /* block: of one element */
};

/* One option. */
struct conf_row {
	const struct conf_group *group;
	const char *name;
	enum conf_type type;
	uint32_t procs;
	const char *def;    /* as a user would write it; lists: items separated by commas */
	uint64_t min, max;  /* INT, SIZE, TIME */
	const char *values; /* ENUM: "a|b|c" */
	const char *help;
	size_t offset; /* in its group's struct */
};

const struct conf_row *conf_rows(size_t *count_out);
const struct conf_group *conf_groups(size_t *count_out);    /* the top level is the first */
const struct conf_group *conf_group_find(struct span name); /* NULL: none; "" is the top level */
const struct conf_row *conf_row_find(const struct conf_group *g, struct span name); /* NULL: none */
/* "limits.recipients", "hop_limit", "domain.class". */
void conf_row_name(const struct conf_row *row, struct buf *out);

/* Instances of a group in c: 1 for the top level and for sections. */
size_t conf_group_count(const struct conf *c, const struct conf_group *g);
/* The struct of instance i. */
void *conf_group_at(const struct conf *c, const struct conf_group *g, size_t i);
/* The title and line of block i. */
char **conf_block_title(const struct conf *c, const struct conf_group *g, size_t i);
unsigned *conf_block_line(const struct conf *c, const struct conf_group *g, size_t i);
/* Append a block of defaults; the title is copied. Returns its index. */
size_t conf_block_add(struct conf *c, const struct conf_group *g, struct span title, unsigned line);
static inline void *
conf_field(const struct conf_row *row, void *instance)
{
	return (char *)instance + row->offset;
}

/* Name of value i of an enum; n 0: there is none. */
struct span conf_enum_value(const struct conf_row *row, unsigned i);
/* The name nearest to `misspelt` by edit distance among the options of g (for the top level: and the groups), NULL:
 * none is near. */
const char *conf_nearest_name(const struct conf_group *g, struct span misspelt);
/* Edit distance with transposition of neighbours; SIZE_MAX if one is longer than 64 bytes. */
size_t conf_edit_distance(struct span a, struct span b);
/* Is a name at this distance near enough to be meant? */
bool conf_is_near(struct span misspelt, size_t distance);

#endif
