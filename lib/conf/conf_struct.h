/* SPDX-License-Identifier: ISC */
#ifndef CONF_CONF_STRUCT_H
#define CONF_CONF_STRUCT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A list of strings; items is NULL when count is 0. */
struct conf_list {
	char **items;
	size_t count;
};

struct conf_rate {
	uint64_t count;	 /* 0: no limit */
	uint64_t per_ms; /* "600/min": 600, 60000; never 0 */
};

/* options.def as one struct: a section is a struct of its own (struct conf_limits limits), a titled block an array
 * (struct conf_domain *domain, size_t domain_count). A block's line is that of its title in the file, 0: none. */
/* clang-format off */
#define OPT_STR(name, who, def, help) char *name;
#define OPT_PATH(name, who, def, help) char *name;
#define OPT_LIST(name, who, def, help) struct conf_list name;
#define OPT_PATHS(name, who, def, help) struct conf_list name;
#define OPT_INT(name, who, def, min, max, help) uint64_t name;
#define OPT_SIZE(name, who, def, min, max, help) uint64_t name;
#define OPT_TIME(name, who, def, min, max, help) uint64_t name;
#define OPT_BOOL(name, who, def, help) bool name;
#define OPT_RATE(name, who, def, help) struct conf_rate name;
#define OPT_ENUM(name, who, def, values, help) int name;
#define SECTION_BEGIN(name, help) struct conf_##name {
#define SECTION_END(name) } name;
#define BLOCK_BEGIN(name, who, help) struct conf_##name { char *title; unsigned line;
#define BLOCK_END(name) } *name; size_t name##_count;
/* clang-format on */

struct conf {
#include "conf/options.def"
};

#endif
