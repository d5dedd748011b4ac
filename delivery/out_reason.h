/* SPDX-License-Identifier: ISC */
#ifndef DELIVERY_OUT_REASON_H
#define DELIVERY_OUT_REASON_H

#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/span.h"
#include "ipc/plan.h"
#include "smtp/reply.h"

#define OUT_RELAY_MAX 320
#define OUT_REASON_MAX 1000

/* Why no address of a plan took us: all reasons in words; code of the last temporary failure, else of the last one. So
 * mail is returned only if every address refused for good. */
struct out_reason {
	uint16_t reply;
	char esc[REPLY_ESC_LEN];
	bool has_temp;
	char text[OUT_REASON_MAX + 1];
};

void out_reason_add(struct out_reason *r, const char *relay, uint16_t reply, struct span esc,
		    struct span text);
/* "host[address]:port", or the path of a Unix socket (a is NULL). */
void out_relay_format(char out[OUT_RELAY_MAX + 1], const struct plan_host *h,
		      const struct plan_addr *a);

#endif
