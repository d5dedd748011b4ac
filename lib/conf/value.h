/* SPDX-License-Identifier: ISC */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"
#include "conf/table.h"

/* One value of one option: text to field, field to text. Internal to lib/conf and its tests. */

enum { CONF_STRING_MAX = 4096, CONF_LIST_MAX = 10000 };

/* Parse the text of a scalar, or one more item of a list, into its field.
 * base   folder that relative paths are taken from, NULL: they stay as they are
 * why    on E_CONFIG: what is wrong and the remedy, without the option's name */
int conf_value_parse(const struct conf_row *row, void *field, struct span text, const char *base,
		     struct buf *why) MUST_CHECK;
/* The default into a zeroed field. */
void conf_value_set_default(const struct conf_row *row, void *field);
/* Frees what the field holds and zeroes it. */
void conf_value_clear(const struct conf_row *row, void *field);
bool conf_value_eq(const struct conf_row *row, const void *a, const void *b);
/* As a user would write it after "name = ". */
void conf_value_format(const struct conf_row *row, const void *field, struct buf *out);
/* A number in the option's unit: "35M", "5m", "1000". Not for strings. */
void conf_number_format(const struct conf_row *row, uint64_t value, struct buf *out);
/* In double quotes, with " and \ escaped, as the parser reads it. */
void conf_quote(struct span s, struct buf *out);
/* E_CONFIG and the reason: too long, control bytes. */
int conf_string_check(struct span s, struct buf *why) MUST_CHECK;
/* Is v within the row's range? "never" (0) is in the range of a time whose minimum is 0. */
bool conf_in_range(const struct conf_row *row, uint64_t v);

#endif
