/* SPDX-License-Identifier: ISC */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"
#include "base/span.h"

/* Append a JSON string with its quotes (RFC 8259 7): control bytes, quotes and backslashes escaped, bytes that are no UTF-8
 * as U+FFFD. For writers of small objects; readers and programs that build trees use a library. */
void json_put_string(struct buf *out, struct span s);

#endif
