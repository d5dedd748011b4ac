/* SPDX-License-Identifier: ISC */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/err.h"
#include "conf/addr.h"
#include "conf/conf.h"

struct doctor_dns;

/* The addresses of the hostname in DNS. */
enum { DOCTOR_ADDRS_MAX = 16 };
struct doctor_self {
	struct conf_addr addrs[DOCTOR_ADDRS_MAX];
	size_t count;
	bool is_unknown; /* DNS did not say */
};

/* One run of `postern doctor`. It runs as whoever calls it, changes nothing and sends no mail. */
struct doctor {
	/* What the checks read. */
	const char *conf_path;
	const struct conf *
		conf; /* never NULL: with mistakes what can be taken, without a file the defaults */
	int conf_error; /* of conf_load(), 0: fine */
	struct conf_problems problems;
	struct conf_rate plan;	  /* --plan; count 0: none */
	uint64_t plan_size_bytes; /* --size: of a message */
	const char **connect;	  /* --connect: hosts instead of the well-known ones */
	size_t connect_count;

	/* What they share. */
	uint64_t deadline_mono_ms; /* of all together */
	struct doctor_dns *dns;	   /* opened by the first question */
	struct doctor_self *self;  /* doctor_self() */
	bool is_dns_down;	   /* check dns found nobody who answers: asking costs time only */

	/* The lines. */
	FILE *out;
	bool is_json, is_terminal;
	const char *check;  /* whose line it is */
	struct buf problem; /* a warning or failure that has not yet been told its remedy */
	bool is_fail;	    /* what that is */
	unsigned fails;
};

/* One line of the check that runs. A warning or failure is complete, and printed, with the doctor_remedy() that must
 * follow it. Lines are printed as they come. */
void doctor_ok(struct doctor *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void doctor_warn(struct doctor *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void doctor_fail(struct doctor *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
void doctor_remedy(struct doctor *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The instant (clock_mono_ms) when something that may take so long must end; never after the end of the whole run. */
uint64_t doctor_until(const struct doctor *d, uint64_t ms);

/* The checks, a row of doctor.def each. */
#define CHECK(name, what) void doctor_check_##name(struct doctor *d);
#include "cli/doctor.def"
#undef CHECK

/* ---- what checks have in common ---- */

/* The addresses of the hostname, asked once. */
const struct doctor_self *doctor_self(struct doctor *d);
/* "192.0.2.1", "2001:db8::1". */
enum { DOCTOR_ADDR_TEXT = 48 };
const char *doctor_addr_text(const struct conf_addr *a, char out[DOCTOR_ADDR_TEXT]);
/* An address that is not of the Internet: private, shared, link-local, loopback. */
bool doctor_is_private(const struct conf_addr *a);
bool doctor_addr_eq(const struct conf_addr *a, const struct conf_addr *b);
/* The addresses of this host's interfaces without loopback and link-local ones; at most max. */
size_t doctor_local_addrs(struct conf_addr *out, size_t max);
/* First line of a small file without its line end; false: it cannot be read. */
bool doctor_read_line(const char *path, char *out, size_t size);

#endif
