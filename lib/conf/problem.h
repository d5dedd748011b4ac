/* SPDX-License-Identifier: ISC */
#ifndef CONF_PROBLEM_H
#define CONF_PROBLEM_H

#include <stdarg.h>
#include "conf/conf.h"

/* Collecting "FILE:LINE: message; remedy" lines. Internal to lib/conf. */
struct conf_source {
	const char *file; /* as the user named it */
	const char *base; /* folder of relative paths, NULL: they stay */
	struct conf_problems *problems;
	bool is_for_root; /* the server starts as root: its users must exist */
};

/* line 0: "FILE: message". */
void problem_error(const struct conf_source *src, unsigned line, const char *fmt, ...)
	PRINTF_LIKE(3, 4);
void problem_warn(const struct conf_source *src, unsigned line, const char *fmt, ...)
	PRINTF_LIKE(3, 4);

#endif
