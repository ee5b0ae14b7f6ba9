/* SPDX-License-Identifier: MIT */
/*
 * Rounds.  Machines are noisy and move processes between near and far cores, so
 * absolute figures of different moments do not compare.  A round measures every
 * system once, briefly, between two measurements of the limit; ratios are taken
 * within a round, and what is reported of them are the median and quartiles
 * over all rounds.  The limit of a round is the better of its two; a round
 * whose two limits differ by more than BENCH_DISCARD is discarded and measured
 * again, for the cores moved in it.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cli.h"
#include "bench.h"

/* Pieces of this size at least are what the limit hands over. */
#define LIMIT_PIECE 4096u

static void job_of(const struct bench_options *options,
		   const struct bench_cell *cell, struct bench_job *job)
{
	uint64_t least = 8 * ((uint64_t)cell->size + 64);

	memset(job, 0, sizeof(*job));
	job->system = cell->system;
	job->mode = options->mode;
	job->size = cell->size;
	job->publishers = cell->publishers;
	job->subscribers = cell->subscribers;
	job->batch = options->batch;
	/* A power of two that takes the message. */
	for (job->capacity = 4096;
	     job->capacity < options->capacity || job->capacity < least;)
		job->capacity *= 2;
	job->run_ns = options->mode == BENCH_MPSC ? BENCH_RUN_MPSC_NS :
						    BENCH_RUN_NS;
	memcpy(job->cpus, options->cpus, sizeof(job->cpus));
	if (cell->system == &bench_limit && options->mode == BENCH_WAKE) {
		job->size = sizeof(uint64_t);
	} else if (cell->system == &bench_limit && options->mode != BENCH_RTT) {
		job->mode = BENCH_THROUGHPUT;
		job->run_ns = BENCH_RUN_NS;
		job->batch = 1;
		if (job->size < LIMIT_PIECE)
			job->size = LIMIT_PIECE;
	}
}

static int add_cell(struct bench_group *group,
		    const struct bench_options *options,
		    const struct bench_system *system, int publishers,
		    int subscribers)
{
	struct bench_cell *cell = &group->cells[group->cells_count];
	struct bench_job job;

	cell->system = system;
	cell->size = group->size;
	cell->publishers = publishers;
	cell->subscribers = subscribers;
	cell->ns = calloc((size_t)options->rounds, sizeof(*cell->ns));
	if (bench_times(options->mode))
		cell->latencies = calloc(1, sizeof(*cell->latencies));
	group->cells_count++;
	if (!cell->ns || (bench_times(options->mode) && !cell->latencies))
		return -ENOMEM;
	job_of(options, cell, &job);
	if (system->refuses)
		cell->refused = system->refuses(&job);
	return 0;
}

int bench_group_init(struct bench_group *group,
		     const struct bench_options *options, size_t size)
{
	int most = 1 + BENCH_SYSTEMS_MAX * BENCH_LIST_MAX, r;

	memset(group, 0, sizeof(*group));
	group->size = size;
	group->cells = calloc((size_t)most, sizeof(*group->cells));
	if (!group->cells)
		return -ENOMEM;
	r = add_cell(group, options, &bench_limit, 1, 1);
	for (int i = 0; !r && i < options->systems_count; i++) {
		const struct bench_system *system = options->systems[i];

		if (options->mode == BENCH_MPSC)
			for (int k = 0; !r && k < options->publishers_count; k++)
				r = add_cell(group, options, system,
					     options->publishers[k], 1);
		else if (options->mode == BENCH_FANOUT)
			for (int k = 0; !r && k < options->subscribers_count;
			     k++)
				r = add_cell(group, options, system, 1,
					     options->subscribers[k]);
		else
			r = add_cell(group, options, system, 1, 1);
	}
	if (r)
		bench_group_deinit(group);
	return r;
}

void bench_group_deinit(struct bench_group *group)
{
	for (int i = 0; i < group->cells_count; i++) {
		free(group->cells[i].ns);
		free(group->cells[i].latencies);
	}
	free(group->cells);
	memset(group, 0, sizeof(*group));
}

/* Measure @cell once; *ret_ns is the time of a message or round trip. */
static int measure(const struct bench_options *options,
		   struct bench_cell *cell, double *ret_ns)
{
	struct bench_control *control;
	struct bench_job job;
	int r;

	job_of(options, cell, &job);
	if (bench_job_init(&job)) {
		cli_note("%s: no memory", cell->system->name);
		return -EIO;
	}
	control = job.control;
	r = bench_job_run(&job);
	if (r == -EIO) {
		cli_note("%s: %s, %zu bytes, %d publisher%s: %s",
			 bench_mode_names[options->mode], cell->system->name,
			 job.size, job.publishers,
			 job.publishers == 1 ? "" : "s", control->error);
	} else if (!r) {
		*ret_ns = (double)control->elapsed * bench_clock.ns /
			  (double)control->count;
		/* The limit's messages may be longer. */
		if (!bench_times(options->mode))
			*ret_ns *= (double)cell->size / (double)job.size;
		for (uint32_t i = 0; i < control->latencies_count; i++)
			if (cell->latencies)
				bench_histogram_add(
					cell->latencies,
					control->latencies[i] * bench_clock.ns);
	}
	bench_job_deinit(&job);
	return r;
}

/* One round, into place @at of each cell. */
static int measure_round(struct bench_group *group,
			 const struct bench_options *options, int at,
			 bool *ret_steady)
{
	struct bench_cell *limit = &group->cells[0];
	double begin, end, better, worse;
	int r;

	r = measure(options, limit, &begin);
	for (int i = 1; !r && i < group->cells_count; i++)
		if (!group->cells[i].refused)
			r = measure(options, &group->cells[i],
				    &group->cells[i].ns[at]);
	if (!r)
		r = measure(options, limit, &end);
	if (r)
		return r;
	better = begin < end ? begin : end;
	worse = begin < end ? end : begin;
	limit->ns[at] = better;
	*ret_steady = worse <= better * BENCH_DISCARD;
	return 0;
}

static void show_progress(const struct bench_group *group,
			  const struct bench_options *options)
{
	if (!isatty(STDERR_FILENO))
		return;
	if (group->rounds == options->rounds || bench_stopped())
		cli_progress("%s", "");
	else
		cli_progress("%s, %zu bytes: round %d of %d",
			     bench_mode_names[options->mode], group->size,
			     group->rounds + 1, options->rounds);
}

int bench_group_measure(struct bench_group *group,
			const struct bench_options *options)
{
	while (group->rounds < options->rounds) {
		bool steady;
		int r;

		show_progress(group, options);
		r = measure_round(group, options, group->rounds, &steady);
		if (r) {
			show_progress(group, options);
			return r;
		}
		/* Where hardly any round is steady, any has to do. */
		if (steady || group->discarded >= 2 * options->rounds)
			group->rounds++;
		else
			group->discarded++;
	}
	show_progress(group, options);
	return 0;
}

/* ---- Results --------------------------------------------------------------- */

static const struct bench_cell *find_ck(const struct bench_group *group,
					const struct bench_cell *cell)
{
	for (int i = 0; i < group->cells_count; i++)
		if (group->cells[i].system == &bench_ck &&
		    group->cells[i].publishers == cell->publishers &&
		    !group->cells[i].refused)
			return &group->cells[i];
	return NULL;
}

static const struct bench_cell *find_first(const struct bench_group *group,
					   const struct bench_cell *cell)
{
	for (int i = 0; i < group->cells_count; i++)
		if (group->cells[i].system == cell->system)
			return &group->cells[i];
	return cell;
}

/* @a's times over @b's, round by round. */
static struct bench_summary ratios(const struct bench_cell *a,
				   const struct bench_cell *b, double *scratch,
				   int rounds)
{
	for (int i = 0; i < rounds; i++)
		scratch[i] = a->ns[i] / b->ns[i];
	return bench_summarize(scratch, rounds);
}

int bench_cell_result(const struct bench_group *group,
		      const struct bench_options *options,
		      const struct bench_cell *cell,
		      struct bench_result *ret_result)
{
	const struct bench_cell *limit = &group->cells[0];
	const struct bench_cell *ck = find_ck(group, cell);
	const struct bench_cell *first = find_first(group, cell);
	int rounds = group->rounds;
	double *scratch = calloc((size_t)rounds + 1, sizeof(*scratch));
	struct bench_result result = { 0 };

	if (!scratch)
		return -ENOMEM;
	memcpy(scratch, cell->ns, (size_t)rounds * sizeof(*scratch));
	result.ns = bench_summarize(scratch, rounds);
	/* Costs are compared as they are, rates the other way round. */
	if (bench_times(options->mode))
		result.limit = ratios(cell, limit, scratch, rounds);
	else
		result.limit = ratios(limit, cell, scratch, rounds);
	if (ck)
		result.ck = bench_times(options->mode) ?
				    ratios(cell, ck, scratch, rounds) :
				    ratios(ck, cell, scratch, rounds);
	if (options->mode == BENCH_FANOUT)
		result.first = ratios(cell, first, scratch, rounds);
	else
		result.first = ratios(first, cell, scratch, rounds);
	if (cell->latencies && cell->latencies->count) {
		const struct bench_histogram *h = cell->latencies;

		result.p50 = bench_histogram_quantile(h, 0.5);
		result.p99 = bench_histogram_quantile(h, 0.99);
		result.p999 = bench_histogram_quantile(h, 0.999);
		result.max = h->max;
	}
	free(scratch);
	*ret_result = result;
	return 0;
}
