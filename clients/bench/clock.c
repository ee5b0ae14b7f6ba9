/* SPDX-License-Identifier: MIT */
/*
 * The time stamp counter is read in a fraction of the time of clock_gettime(),
 * and all cores agree on it where the kernel uses it as its own clock.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <string.h>
#include <time.h>

#include "bench.h"
#include "clock.h"

struct bench_clock bench_clock = { .ns = 1, .tsc = false };

uint64_t bench_clock_slow(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool bench_tsc_is_clock(void)
{
	char name[32] = "";
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/"
			   "current_clocksource", "re");

	if (!file)
		return false;
	if (!fgets(name, sizeof(name), file))
		name[0] = '\0';
	fclose(file);
	name[strcspn(name, "\n")] = '\0';
	/* kvm-clock is a scaled time stamp counter, kept equal by the host. */
	return !strcmp(name, "tsc") || !strcmp(name, "kvm-clock");
}

void bench_clock_init(void)
{
	uint64_t ns, ticks;
	struct timespec pause = { .tv_nsec = 20000000 };

#if !defined(__x86_64__) && !defined(__i386__)
	return;
#endif
	if (!bench_tsc_is_clock())
		return;
	bench_clock.tsc = true;
	ns = bench_clock_slow();
	ticks = bench_ticks();
	nanosleep(&pause, NULL);
	ns = bench_clock_slow() - ns;
	ticks = bench_ticks() - ticks;
	bench_clock.ns = (double)ns / (double)ticks;
}
