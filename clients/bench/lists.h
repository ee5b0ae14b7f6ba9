/* SPDX-License-Identifier: MIT */
/* Lists on the command line, separated by commas. */
#ifndef TORC_BENCH_LISTS_H
#define TORC_BENCH_LISTS_H

#include "bench.h"

/* Each: 0, or -EINVAL when @text is not what it should be. */
int bench_parse_size(const char *text, uint64_t least, uint64_t most,
		     uint64_t *ret_size);
int bench_parse_count(const char *text, int least, int most, int *ret_count);
int bench_parse_sizes(const char *text, size_t *ret_sizes, int *ret_count);
int bench_parse_counts(const char *text, int least, int most, int *ret_counts,
		       int *ret_count);
/* The systems of @mode: 0, or CLI_USAGE when told that one cannot do it. */
int bench_parse_systems(const char *text, enum bench_mode mode,
			const struct bench_system **ret_systems,
			int *ret_count);

#endif /* TORC_BENCH_LISTS_H */
