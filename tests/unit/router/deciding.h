/* SPDX-License-Identifier: ISC */
#ifndef TESTS_UNIT_ROUTER_DECIDING_H
#define TESTS_UNIT_ROUTER_DECIDING_H

#include "base/arena.h"
#include "base/buf.h"
#include "router/query.h"

#define U_DOMAIN    \
	"b\xc3\xbc" \
	"cher.example"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define A_DOMAIN "xn--bcher-kva.example"

/* Of the running test, from setup() to teardown(). */
extern struct conf *conf;
extern struct tables tables;
extern struct arena arena;
extern struct buf said; /* what the last decision explained, line by line */

/* more: options after those of base_conf; none may stand in it. */
void setup(const char *more);
void teardown(void);
void put_table(const char *path, const char *text);
const char *decide(struct span address, const char *sender, struct decision *d);
/* A decision as text, good until the next one. */
const char *text_of(const struct decision *d);

#endif
