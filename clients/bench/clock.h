/* SPDX-License-Identifier: MIT */
/* The clock of measurements: the time stamp counter where it is constant. */
#ifndef TORC_BENCH_CLOCK_H
#define TORC_BENCH_CLOCK_H

#include "bench.h"

static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
	if (bench_clock.tsc)
		return __builtin_ia32_rdtsc();
#endif
	return bench_clock_slow();
}

static inline uint64_t bench_to_ticks(uint64_t ns)
{
	return (uint64_t)((double)ns / bench_clock.ns);
}

#endif /* TORC_BENCH_CLOCK_H */
