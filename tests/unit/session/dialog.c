/* SPDX-License-Identifier: ISC
 *
 * What the tests of sessions share. */

/* System */
#include <stdio.h>
#include <string.h>
/* this program */
#include "tests/unit/session/dialog.h"
#include "tests/unit/unit.h"

const char *
summary(struct span replies)
{
	static char out[65536];
	size_t n = 0;
	struct span line;

	out[0] = '\0';
	while (span_next(&replies, '\n', &line)) {
		struct span word, rest = line;
		const char *sep = n > 0 ? ", " : "";

		ck_assert_msg(line.n > 4 && line.p[line.n - 1] == '\r', "a reply line: \"%.*s\"",
			      SPAN_ARG(line));
		if (line.p[3] != ' ')
			continue;
		span_next(&rest, ' ', &word);
		n += (size_t)snprintf(out + n, sizeof(out) - n, "%s%.*s", sep, SPAN_ARG(word));
		span_next(&rest, ' ', &word);
		if (word.n > 4 && word.p[1] == '.' && strchr("245", word.p[0]) != NULL)
			n += (size_t)snprintf(out + n, sizeof(out) - n, " %.*s", SPAN_ARG(word));
		ck_assert_uint_lt(n, sizeof(out) - 100);
	}
	return out;
}

void
run(struct driver *d, const char *in, size_t step, bool is_async)
{
	driver_init(d);
	d->is_async = is_async;
	d->client.is_normalizing = true;
	driver_start(d);
	driver_feed(d, span_of(in), step);
}
