/* SPDX-License-Identifier: ISC
 *
 * The two clocks, and the place where tests set them. Wall time is for dates, due times and expiry that must survive a
 * restart; every interval inside one process is monotonic. Used by every process. */

/* System */
#include <stdatomic.h>
#include <time.h>
/* lib */
#include "base/clock.h"

/* 0: the true time. A test sets them while worker threads ask. */
static _Atomic uint64_t fake_wall_us, fake_mono_us;

static uint64_t
clock_read_us(clockid_t which)
{
	struct timespec ts;

	/* Cannot fail for these two clocks. */
	clock_gettime(which, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
clock_wall_us(void)
{
	uint64_t fake = atomic_load_explicit(&fake_wall_us, memory_order_relaxed);

	return fake != 0 ? fake : clock_read_us(CLOCK_REALTIME);
}

uint64_t
clock_wall_ms(void)
{
	return clock_wall_us() / 1000;
}

uint64_t
clock_mono_us(void)
{
	uint64_t fake = atomic_load_explicit(&fake_mono_us, memory_order_relaxed);

	return fake != 0 ? fake : clock_read_us(CLOCK_MONOTONIC);
}

uint64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

void
clock_fake_set(uint64_t wall_us, uint64_t mono_us)
{
	atomic_store_explicit(&fake_wall_us, wall_us, memory_order_relaxed);
	atomic_store_explicit(&fake_mono_us, mono_us, memory_order_relaxed);
}
