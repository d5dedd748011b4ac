/* SPDX-License-Identifier: ISC */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"

/* Queue id: 52 bits of microseconds since 2020-01-01 and 12 bits of process slot; printed as 13 characters of
 * Crockford base32 that sort as the number does. 0 is no id. */
#define ID_TEXT_LEN 13
#define ID_SLOT_BITS 12
#define ID_EPOCH_US 1577836800000000ULL

struct id_gen {
	uint16_t slot;
	uint64_t floor_us; /* last microsecond given out or told by qmgr, since 2020 */
};

uint64_t id_next(struct id_gen *g); /* max(clock, floor + 1) */
uint16_t id_slot(uint64_t id);
uint64_t id_us(uint64_t id); /* microseconds since 2020 */
void id_format(uint64_t id, char out[ID_TEXT_LEN + 1]);
int id_parse(struct span text, uint64_t *out); /* any case; O=0, I=L=1; E_SYNTAX */
void id_random(void *p, size_t n);	       /* getrandom(2), never short */

#endif
