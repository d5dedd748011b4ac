/* SPDX-License-Identifier: ISC
 *
 * The options of one process as bytes: master encodes, the process decodes before it reads anything else. Not the form
 * for people (value.c, doc.c).
 *
 *	u32 fingerprint of options.def, u8 process, then for each group of the table
 *		top level and sections   the values of its rows that the process gets
 *		blocks that it gets      u32 count, then for each: bytes title, u32 line, values
 *	STR, PATH    bytes            LIST, PATHS  u32 count, bytes each     INT, SIZE, TIME  u64
 *	BOOL         u8 0 or 1        RATE         u64 count, u64 per_ms     ENUM             u8 index
 */

/* System */
#include <string.h>
/* lib */
#include "base/crc.h"
#include "base/cur.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/value.h"

enum { BLOCKS_MAX = 1000000 };

/* Both sides must have been built from the same table. */
static uint32_t
fingerprint(void)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);
	uint32_t crc = 0;

	for (size_t i = 0; i < count; i++) {
		crc = crc32c(crc, row[i].group->name, strlen(row[i].group->name) + 1);
		crc = crc32c(crc, row[i].name, strlen(row[i].name) + 1);
		crc = crc32c(crc, &row[i].type, sizeof(row[i].type));
		crc = crc32c(crc, &row[i].procs, sizeof(row[i].procs));
		if (row[i].values != NULL)
			crc = crc32c(crc, row[i].values, strlen(row[i].values));
	}
	return crc;
}

static bool
is_given(uint32_t procs, enum proc_id who)
{
	return who == PROC_MASTER || (procs & (1u << who)) != 0;
}

static void
encode_list(const struct conf_list *list, struct buf *out)
{
	buf_put_u32(out, (uint32_t)list->count);
	for (size_t i = 0; i < list->count; i++)
		buf_put_bytes(out, span_of(list->items[i]));
}

static void
encode_value(const struct conf_row *row, const void *field, struct buf *out)
{
	const struct conf_rate *rate = field;

	switch (row->type) {
	case CONF_STR:
	case CONF_PATH:
		buf_put_bytes(out, span_of(*(char *const *)field));
		break;
	case CONF_LIST:
	case CONF_PATHS:
		encode_list(field, out);
		break;
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
		buf_put_u64(out, *(const uint64_t *)field);
		break;
	case CONF_BOOL:
		buf_put_u8(out, *(const bool *)field);
		break;
	case CONF_RATE:
		buf_put_u64(out, rate->count);
		buf_put_u64(out, rate->per_ms);
		break;
	case CONF_ENUM:
		buf_put_u8(out, (uint8_t) * (const int *)field);
		break;
	case CONF_TYPE_COUNT:
		break;
	}
}

static void
encode_instance(const struct conf_group *g, const void *instance, enum proc_id who, struct buf *out)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);

	for (size_t i = 0; i < count; i++) {
		if (row[i].group == g && is_given(row[i].procs, who))
			encode_value(&row[i], (const char *)instance + row[i].offset, out);
	}
}

void
conf_encode(const struct conf *c, enum proc_id who, struct buf *out)
{
	size_t count;
	const struct conf_group *g = conf_groups(&count);

	buf_put_u32(out, fingerprint());
	buf_put_u8(out, (uint8_t)who);
	for (size_t i = 0; i < count; i++) {
		size_t n = conf_group_count(c, &g[i]);

		if (!is_given(g[i].procs, who))
			continue;
		if (g[i].kind == CONF_BLOCK)
			buf_put_u32(out, (uint32_t)n);
		for (size_t b = 0; b < n; b++) {
			if (g[i].kind == CONF_BLOCK) {
				buf_put_bytes(out, span_of(*conf_block_title(c, &g[i], b)));
				buf_put_u32(out, *conf_block_line(c, &g[i], b));
			}
			encode_instance(&g[i], conf_group_at(c, &g[i], b), who, out);
		}
	}
}

/* A string that the parser would have taken, too. */
static int
decode_string(struct cur *in, struct span *out)
{
	struct buf why;
	int r;

	*out = cur_bytes(in, CONF_STRING_MAX);
	if ((r = cur_check(in)) < 0)
		return r;
	buf_init(&why, 256);
	r = conf_string_check(*out, &why);
	buf_clear(&why);
	return r < 0 ? E_CORRUPT : 0;
}

static int
decode_list(struct cur *in, struct conf_list *list)
{
	uint32_t count = cur_u32(in);
	struct span item;
	int r;

	/* Each item has a length in front, which bounds the array by the input. */
	if (count > CONF_LIST_MAX || count > cur_left(in) / 4)
		return E_CORRUPT;
	list->items = count > 0 ? mem_array(count, sizeof(*list->items)) : NULL;
	for (uint32_t i = 0; i < count; i++) {
		if ((r = decode_string(in, &item)) < 0)
			return r;
		if (item.n == 0)
			return E_CORRUPT;
		list->items[list->count++] = mem_dup_span(item);
	}
	return 0;
}

static int
decode_rate(struct cur *in, struct conf_rate *rate)
{
	rate->count = cur_u64(in);
	rate->per_ms = cur_u64(in);
	if (rate->per_ms != 1000 && rate->per_ms != 60000 && rate->per_ms != 3600000 &&
	    rate->per_ms != 86400000)
		return E_CORRUPT;
	return rate->count <= UINT32_MAX ? 0 : E_CORRUPT;
}

static int
decode_small(const struct conf_row *row, struct cur *in, void *field)
{
	uint8_t v = cur_u8(in);

	if (row->type == CONF_BOOL ? v > 1 : conf_enum_value(row, v).n == 0)
		return E_CORRUPT;
	if (row->type == CONF_BOOL)
		*(bool *)field = v == 1;
	else
		*(int *)field = v;
	return 0;
}

static int
decode_number(const struct conf_row *row, struct cur *in, uint64_t *out)
{
	uint64_t v = cur_u64(in);

	if (!conf_in_range(row, v))
		return E_CORRUPT;
	*out = v;
	return 0;
}

static int
decode_value(const struct conf_row *row, struct cur *in, void *field)
{
	struct span s;
	int r;

	switch (row->type) {
	case CONF_STR:
	case CONF_PATH:
		if ((r = decode_string(in, &s)) == 0) {
			mem_free(*(char **)field);
			*(char **)field = mem_dup_span(s);
		}
		return r;
	case CONF_LIST:
	case CONF_PATHS:
		conf_value_clear(row, field);
		return decode_list(in, field);
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
		return decode_number(row, in, field);
	case CONF_RATE:
		return decode_rate(in, field);
	case CONF_BOOL:
	case CONF_ENUM:
		return decode_small(row, in, field);
	case CONF_TYPE_COUNT:
		break;
	}
	return E_CORRUPT;
}

static int
decode_instance(const struct conf_group *g, void *instance, enum proc_id who, struct cur *in)
{
	size_t count;
	const struct conf_row *row = conf_rows(&count);
	int r;

	for (size_t i = 0; i < count; i++) {
		if (row[i].group != g || !is_given(row[i].procs, who))
			continue;
		if ((r = decode_value(&row[i], in, conf_field(&row[i], instance))) < 0)
			return r;
	}
	return 0;
}

static int
decode_group(struct conf *c, const struct conf_group *g, enum proc_id who, struct cur *in)
{
	uint32_t n = g->kind == CONF_BLOCK ? cur_u32(in) : 1;
	struct span title;
	int r;

	if (n > BLOCKS_MAX || (g->kind == CONF_BLOCK && n > cur_left(in) / 8))
		return E_CORRUPT;
	for (uint32_t b = 0; b < n; b++) {
		if (g->kind == CONF_BLOCK) {
			if ((r = decode_string(in, &title)) < 0)
				return r;
			conf_block_add(c, g, title, cur_u32(in));
		}
		if ((r = decode_instance(g, conf_group_at(c, g, b), who, in)) < 0)
			return r;
	}
	return 0;
}

int
conf_decode(struct span in, struct conf **out)
{
	struct cur cur = cur_of(in);
	struct conf *c;
	size_t count;
	const struct conf_group *g = conf_groups(&count);
	uint8_t who;
	int r = 0;

	*out = NULL;
	if (cur_u32(&cur) != fingerprint() || (who = cur_u8(&cur)) >= PROC_COUNT)
		return E_CORRUPT;
	c = conf_defaults();
	for (size_t i = 0; i < count && r == 0; i++) {
		if (is_given(g[i].procs, (enum proc_id)who))
			r = decode_group(c, &g[i], (enum proc_id)who, &cur);
	}
	if (r == 0)
		r = cur_check_end(&cur);
	if (r < 0)
		conf_free(&c);
	else
		*out = c;
	return r;
}
