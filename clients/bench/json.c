/* SPDX-License-Identifier: MIT */
/* The results as JSON, one object a line. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "../cli.h"
#include "bench.h"

static void put(const char *name, bool measured, double value, int decimals)
{
	if (measured)
		printf(",\"%s\":%.*f", name, decimals, value);
	else
		printf(",\"%s\":null", name);
}

static void put_ratio(const char *name, const struct bench_summary *s)
{
	bool measured = s->count > 0;

	put(name, measured, s->median, 4);
	if (measured)
		printf(",\"%s_quartiles\":[%.4f,%.4f]", name, s->q1, s->q3);
	else
		printf(",\"%s_quartiles\":null", name);
}

static void put_cell(const struct bench_options *options,
		     const struct bench_group *group,
		     const struct bench_cell *cell,
		     const struct bench_result *result)
{
	enum bench_mode mode = options->mode;
	bool times = bench_times(mode);
	double rate = 1e9 / result->ns.median;
	static const struct bench_summary none;

	printf("{\"mode\":\"%s\",\"system\":\"%s\",\"size\":%zu",
	       bench_mode_names[mode], cell->system->name, cell->size);
	printf(",\"publishers\":%d,\"subscribers\":%d,\"rounds\":%d",
	       cell->publishers, cell->subscribers, group->rounds);
	put("p50_ns", times, result->p50, 1);
	put("p99_ns", times, result->p99, 1);
	put("p999_ns", times, result->p999, 1);
	put("max_ns", times, result->max, 1);
	put("msgs_per_s", !times, rate, 0);
	put("bytes_per_s", !times, rate * (double)cell->size, 0);
	put_ratio("ratio_to_limit", &result->limit);
	put("mean_ns", true, result->ns.median, 3);
	put_ratio("ratio_to_ck", &result->ck);
	put_ratio("ratio_to_first",
		  mode == BENCH_MPSC || mode == BENCH_FANOUT ? &result->first :
							       &none);
	printf(",\"batch\":%d,\"discarded\":%d}\n", options->batch,
	       group->discarded);
}

int bench_json_group(const struct bench_options *options,
		     const struct bench_group *group)
{
	for (int i = 0; group->rounds && i < group->cells_count; i++) {
		const struct bench_cell *cell = &group->cells[i];
		struct bench_result result;
		int r;

		if (cell->refused) {
			cli_note("%s: %s, %zu bytes: not measured: %s",
				 bench_mode_names[options->mode],
				 cell->system->name, cell->size, cell->refused);
			continue;
		}
		r = bench_cell_result(group, options, cell, &result);
		if (r)
			return r;
		put_cell(options, group, cell, &result);
	}
	fflush(stdout);
	return 0;
}
