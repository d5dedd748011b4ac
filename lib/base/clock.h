/* SPDX-License-Identifier: ISC */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* Wall clock: since 1970, UTC. Monotonic: since an unknown instant. Tests set both with clock_fake_set(). */
uint64_t clock_wall_us(void);
uint64_t clock_wall_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);
void clock_fake_set(uint64_t wall_us, uint64_t mono_us); /* both 0: the real clocks again */

#endif
