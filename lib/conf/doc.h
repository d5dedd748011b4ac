/* SPDX-License-Identifier: ISC */
#ifndef CONF_DOC_H
#define CONF_DOC_H

#include "base/buf.h"
#include "conf/table.h"

/* Words for people that show.c, sample.c and man.c share. Internal to lib/conf. */

/* "number from 100 to 100000", "one of mx, submission". */
void doc_type(const struct conf_row *row, struct buf *out);
/* The default as it is written after "name = ". */
void doc_default(const struct conf_row *row, struct buf *out);
/* Text with each line behind `indent`, broken at blanks before column `width`. */
void doc_wrap(struct span text, const char *indent, size_t width, struct buf *out);

#endif
