/* SPDX-License-Identifier: MIT */
/* Medians, quartiles, percentiles. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <stdlib.h>

#include "bench.h"

/* Below 64 ns a bucket is a nanosecond; above, a 64th of an octave. */
static unsigned int bucket_of(double ns)
{
	uint64_t value = ns < 0 ? 0 : (uint64_t)ns;
	unsigned int octave, index;

	if (value < 64)
		return (unsigned int)value;
	octave = 63 - (unsigned int)__builtin_clzll(value);
	index = (octave - 5) * 64 + (unsigned int)(value >> (octave - 6)) - 64;
	return index < BENCH_BUCKETS ? index : BENCH_BUCKETS - 1;
}

/* The middle of a bucket. */
static double bucket_value(unsigned int index)
{
	unsigned int octave = index / 64 + 5;

	if (index < 64)
		return (double)index + 0.5;
	return ((double)(index % 64) + 64.5) * (double)(1ull << (octave - 6));
}

void bench_histogram_add(struct bench_histogram *h, double ns)
{
	h->buckets[bucket_of(ns)]++;
	h->count++;
	if (ns > h->max)
		h->max = ns;
}

double bench_histogram_quantile(const struct bench_histogram *h, double q)
{
	double rank = q * (double)h->count, seen = 0;

	for (unsigned int i = 0; i < BENCH_BUCKETS; i++) {
		seen += (double)h->buckets[i];
		if (seen > rank)
			return bucket_value(i);
	}
	return h->max;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Between the two values that @q falls between. */
static double quantile(const double *sorted, int count, double q)
{
	double at = q * (double)(count - 1);
	int below = (int)at;

	if (below + 1 >= count)
		return sorted[count - 1];
	return sorted[below] +
	       (at - below) * (sorted[below + 1] - sorted[below]);
}

struct bench_summary bench_summarize(double *values, int count)
{
	struct bench_summary s = { .count = count };

	if (!count)
		return s;
	qsort(values, (size_t)count, sizeof(*values), compare);
	s.q1 = quantile(values, count, 0.25);
	s.median = quantile(values, count, 0.5);
	s.q3 = quantile(values, count, 0.75);
	return s;
}

static int compare_ticks(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

uint64_t bench_median(uint64_t *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare_ticks);
	return values[count / 2];
}
