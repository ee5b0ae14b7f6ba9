/* SPDX-License-Identifier: MIT */
/* The results as tables for people. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <string.h>
#include <sys/utsname.h>

#include "bench.h"

const char *const bench_mode_names[BENCH_MODES] = { "rtt", "throughput",
						    "fanout", "mpsc", "wake" };

static const char *const explanations[BENCH_MODES] = {
	"Time of a round trip between two processes on two cores, polling; less "
	"is better.\nmean: of 250 in a row, median.  p50 to max: of single round "
	"trips, clock included.\nx limit: round trip over that of a bare word in "
	"the same round, median [quartiles].",

	"One publisher, one subscriber, on two cores, polling; more is better.\n"
	"of limit: bytes per second over those of blocks handed over by memcpy "
	"in the\nsame round.  x ck: rate over ck's in the same round.  Median "
	"[quartiles].",

	"Cost of publishing while subscribers are attached that lose messages "
	"rather than\nhold the publisher, and read nothing; less is better.  "
	"x first: over the cost with\nthe first number of subscribers in the same "
	"round, median [quartiles].",

	"Several publishers sharing one core, one subscriber on another, polling; "
	"more is\nbetter.  x ck: rate over ck's with as many publishers, x first: "
	"over its own with the\nfirst number of publishers, each in the same "
	"round.  Median [quartiles].",

	"Time from sending to receipt, the subscriber asleep on another core; less "
	"is better.\nmedian ns: of the rounds' medians.  p50 to max: of all.  x "
	"limit: over a bare futex's\nin the same round, median [quartiles].",
};

static void print_machine(void)
{
	char line[256], *model = NULL;
	struct utsname name;
	FILE *file = fopen("/proc/cpuinfo", "re");

	while (file && !model && fgets(line, sizeof(line), file))
		if (!strncmp(line, "model name", 10) && strchr(line, ':')) {
			model = strchr(line, ':') + 2;
			model[strcspn(model, "\n")] = '\0';
		}
	if (file)
		fclose(file);
	uname(&name);
	printf("%s, %s %s", model ? model : name.machine, name.sysname,
	       name.release);
}

void bench_report_head(const struct bench_options *options)
{
	print_machine();
	printf(", cores %d and %d\n", options->cpus[0], options->cpus[1]);
	printf("%s\n", explanations[options->mode]);
	fflush(stdout);
}

static void print_ratio(const struct bench_summary *s)
{
	char range[32];

	if (!s->count) {
		printf("  %22s", "-");
		return;
	}
	snprintf(range, sizeof(range), "[%.3g %.3g]", s->q1, s->q3);
	printf("  %7.3f %14s", s->median, range);
}

static void print_columns(enum bench_mode mode)
{
	if (bench_times(mode))
		printf("%-8s %8s %8s %8s %8s %9s  %22s\n", "system",
		       mode == BENCH_RTT ? "mean ns" : "median", "p50", "p99",
		       "p99.9", "max", "x limit");
	else if (mode == BENCH_THROUGHPUT)
		printf("%-8s %10s %8s  %22s  %22s\n", "system", "M msg/s",
		       "GB/s", "of limit", "x ck");
	else if (mode == BENCH_FANOUT)
		printf("%-8s %11s %11s  %22s\n", "system", "subscribers",
		       "ns/publish", "x first");
	else
		printf("%-8s %10s %8s %8s  %22s  %22s\n", "system",
		       "publishers", "M msg/s", "GB/s", "x ck", "x first");
}

static void print_cell(const struct bench_options *options,
		       const struct bench_cell *cell,
		       const struct bench_result *result)
{
	double ns = result->ns.median;
	bool limit = cell->system == &bench_limit;

	printf("%-8s", cell->system->name);
	switch (options->mode) {
	case BENCH_RTT:
	case BENCH_WAKE:
		printf(" %8.1f %8.0f %8.0f %8.0f %9.0f", ns, result->p50,
		       result->p99, result->p999, result->max);
		print_ratio(&result->limit);
		break;
	case BENCH_THROUGHPUT:
		printf(" %10.3f %8.3f", 1e3 / ns, (double)cell->size / ns);
		print_ratio(&result->limit);
		print_ratio(&result->ck);
		break;
	case BENCH_FANOUT:
		if (limit) {
			printf(" %11s %11.2f", "-", ns);
			break;
		}
		printf(" %11d %11.2f", cell->subscribers, ns);
		print_ratio(&result->first);
		break;
	case BENCH_MPSC:
	default:
		printf(" %10d %8.3f %8.3f", cell->publishers, 1e3 / ns,
		       (double)cell->size / ns);
		print_ratio(&result->ck);
		print_ratio(&result->first);
		break;
	}
	printf("\n");
}

int bench_report_group(const struct bench_options *options,
		       const struct bench_group *group)
{
	printf("\n%s, %zu bytes, %d round%s", bench_mode_names[options->mode],
	       group->size, group->rounds, group->rounds == 1 ? "" : "s");
	if (options->batch > 1)
		printf(", batches of %d", options->batch);
	if (group->discarded)
		printf(" (%d discarded: the limit moved in them)",
		       group->discarded);
	printf("\n");
	if (!group->rounds)
		return 0;
	print_columns(options->mode);
	for (int i = 0; i < group->cells_count; i++) {
		const struct bench_cell *cell = &group->cells[i];
		struct bench_result result;
		int r;

		if (cell->refused) {
			printf("%-8s not measured: %s\n", cell->system->name,
			       cell->refused);
			continue;
		}
		r = bench_cell_result(group, options, cell, &result);
		if (r)
			return r;
		print_cell(options, cell, &result);
	}
	fflush(stdout);
	return 0;
}
