/* SPDX-License-Identifier: MIT */
/*
 * torc-bench: how fast torc is, beside what the machine can do and beside
 * others.  Start with bench.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <torc/torc.h>

#include "bench.h"
#include "lists.h"

#define STATUS_FAILED	1
#define STATUS_USAGE	2

static const char usage[] =
"Usage: torc-bench rtt|throughput|fanout|mpsc|wake [OPTION]...\n"
"Measure messages between two processes on two cores.\n"
"\n"
"  rtt          time of a round trip\n"
"  throughput   messages per second, one publisher\n"
"  fanout       cost of publishing while subscribers are attached and idle\n"
"  mpsc         messages per second, several publishers sharing a core\n"
"  wake         time to reach a subscriber that sleeps\n"
"\n"
"  --size LIST         bytes of a message, 8 to 16M (8,48,1K)\n"
"  --systems LIST      what to measure beside the limit (all that are there)\n"
"  --rounds N          rounds that measure every system once (15)\n"
"  --subscribers LIST  fanout: how many are attached (1,63)\n"
"  --publishers LIST   mpsc: how many there are (1,2)\n"
"  --batch N           publish N messages at once where the system can (1)\n"
"  --capacity SIZE     bytes of each ring (rtt, fanout 1M; others 4M)\n"
"  --cores A,B         publishers' and subscriber's (the first two allowed)\n"
"  --json              one JSON object a line\n"
"  --plot FILE.svg     draw the results with gnuplot\n"
"  -h, --help; -V, --version\n"
"\n"
"Systems:\n";

enum option_code {
	OPTION_SIZE = 256, OPTION_SYSTEMS, OPTION_ROUNDS, OPTION_SUBSCRIBERS,
	OPTION_PUBLISHERS, OPTION_BATCH, OPTION_CAPACITY, OPTION_CORES,
	OPTION_JSON, OPTION_PLOT,
};

static const struct option long_options[] = {
	{ "size", required_argument, NULL, OPTION_SIZE },
	{ "systems", required_argument, NULL, OPTION_SYSTEMS },
	{ "rounds", required_argument, NULL, OPTION_ROUNDS },
	{ "subscribers", required_argument, NULL, OPTION_SUBSCRIBERS },
	{ "publishers", required_argument, NULL, OPTION_PUBLISHERS },
	{ "batch", required_argument, NULL, OPTION_BATCH },
	{ "capacity", required_argument, NULL, OPTION_CAPACITY },
	{ "cores", required_argument, NULL, OPTION_CORES },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "plot", required_argument, NULL, OPTION_PLOT },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static void print_help(void)
{
	fputs(usage, stdout);
	printf("  %-10s %s\n", bench_limit.name, bench_limit.what);
	for (int i = 0; bench_systems[i]; i++)
		printf("  %-10s %s\n", bench_systems[i]->name,
		       bench_systems[i]->what);
}

static int bad_usage(const char *option, const char *value, const char *wanted)
{
	fprintf(stderr, "torc-bench: --%s=%s: %s\n", option, value, wanted);
	return -EINVAL;
}

/* The options that need the mode to be known. */
struct texts {
	const char *systems, *sizes;
	bool publishers, subscribers;
};

static int take_option(int code, struct bench_options *o, struct texts *texts)
{
	switch (code) {
	case OPTION_SIZE:
		if (bench_parse_sizes(optarg, o->sizes, &o->sizes_count))
			return bad_usage("size", optarg,
					 "up to 16 sizes from 8 to 16M");
		break;
	case OPTION_SYSTEMS:
		texts->systems = optarg;
		break;
	case OPTION_ROUNDS:
		if (bench_parse_count(optarg, 1, 100000, &o->rounds))
			return bad_usage("rounds", optarg, "1 to 100000");
		break;
	case OPTION_SUBSCRIBERS:
		texts->subscribers = true;
		if (bench_parse_counts(optarg, 1, BENCH_SUBSCRIBERS_MAX,
				       o->subscribers, &o->subscribers_count))
			return bad_usage("subscribers", optarg,
					 "up to 16 counts from 1 to 1000");
		break;
	case OPTION_PUBLISHERS:
		texts->publishers = true;
		if (bench_parse_counts(optarg, 1, BENCH_PUBLISHERS_MAX,
				       o->publishers, &o->publishers_count))
			return bad_usage("publishers", optarg,
					 "up to 16 counts from 1 to 32");
		break;
	case OPTION_BATCH:
		if (bench_parse_count(optarg, 1, BENCH_BATCH_MAX, &o->batch))
			return bad_usage("batch", optarg, "1 to 1024");
		break;
	case OPTION_CAPACITY:
		if (bench_parse_size(optarg, 4096, 1u << 30, &o->capacity))
			return bad_usage("capacity", optarg, "4K to 1G");
		break;
	case OPTION_CORES: {
		int count;

		if (bench_parse_counts(optarg, 0, CPU_SETSIZE - 1, o->cpus,
				       &count) || count != 2 ||
		    o->cpus[0] == o->cpus[1])
			return bad_usage("cores", optarg,
					 "two different cores");
		break;
	}
	case OPTION_JSON:
		o->json = true;
		break;
	case OPTION_PLOT:
		o->plot = optarg;
		break;
	default:	/* getopt_long() has said why */
		return -EINVAL;
	}
	return 0;
}

static int take_mode(struct bench_options *o, int argc, char **argv)
{
	if (optind >= argc) {
		fprintf(stderr, "torc-bench: what shall be measured? rtt, "
				"throughput, fanout, mpsc or wake\n");
		return -EINVAL;
	}
	if (optind + 1 < argc) {
		fprintf(stderr, "torc-bench: one mode at a time, not also %s\n",
			argv[optind + 1]);
		return -EINVAL;
	}
	for (int i = 0; i < BENCH_MODES; i++)
		if (!strcmp(argv[optind], bench_mode_names[i])) {
			o->mode = (enum bench_mode)i;
			return 0;
		}
	fprintf(stderr, "torc-bench: %s: no such mode (rtt, throughput, "
			"fanout, mpsc, wake)\n", argv[optind]);
	return -EINVAL;
}

/* NULL: it is there. */
static const char *why_missing(const struct bench_system *system)
{
	return system->missing ? system->missing() : NULL;
}

/* What was asked for must be there. */
static int check_systems(const struct bench_options *o)
{
	for (int i = 0; i < o->systems_count; i++) {
		const char *why = why_missing(o->systems[i]);

		if (!why)
			continue;
		fprintf(stderr, "torc-bench: %s: %s\n", o->systems[i]->name,
			why);
		return -ENODEV;
	}
	return 0;
}

/* What was not said follows from the mode. */
static int complete(struct bench_options *o, const struct texts *texts)
{
	static const char *const sizes[BENCH_MODES] = {
		"8,48,1K", "8,48,1K,4K,64K", "8", "8,48", "8",
	};

	if (texts->publishers && o->mode != BENCH_MPSC) {
		fprintf(stderr, "torc-bench: --publishers is for mpsc\n");
		return -EINVAL;
	}
	if (texts->subscribers && o->mode != BENCH_FANOUT) {
		fprintf(stderr, "torc-bench: --subscribers is for fanout\n");
		return -EINVAL;
	}
	if (o->batch > 1 && bench_times(o->mode)) {
		fprintf(stderr, "torc-bench: --batch is not for %s\n",
			bench_mode_names[o->mode]);
		return -EINVAL;
	}
	/* More than the cores' own caches where messages queue up. */
	if (!o->capacity)
		o->capacity = o->mode == BENCH_THROUGHPUT ||
					      o->mode == BENCH_MPSC ?
				      4u << 20 :
				      1u << 20;
	if (!o->sizes_count)
		bench_parse_sizes(sizes[o->mode], o->sizes, &o->sizes_count);
	for (int i = 0; i < o->sizes_count && o->batch > 1; i++)
		if (o->sizes[i] * (size_t)o->batch > 8u << 20) {
			fprintf(stderr, "torc-bench: a batch is 8M at most\n");
			return -EINVAL;
		}
	if (texts->systems)
		return bench_parse_systems(texts->systems, o->mode, o->systems,
					   &o->systems_count);
	for (int i = 0; bench_systems[i]; i++)
		if (bench_systems[i]->modes & BENCH_BIT(o->mode) &&
		    !why_missing(bench_systems[i]))
			o->systems[o->systems_count++] = bench_systems[i];
	return 0;
}

static int choose_cores(struct bench_options *o)
{
	cpu_set_t allowed;
	int found = 0;

	if (o->cpus[0] != o->cpus[1])
		return 0;
	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return -errno;
	for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
		if (CPU_ISSET((size_t)i, &allowed))
			o->cpus[found++] = i;
	if (found < 2) {
		fprintf(stderr, "torc-bench: two cores are needed, and only one "
				"is there or allowed\n");
		return -ENOTSUP;
	}
	return 0;
}

/* 0, or -EIO when reported. */
static int bench(const struct bench_options *o)
{
	struct bench_group groups[BENCH_LIST_MAX] = { { 0 } };
	int count = 0, r = 0;

	if (!o->json)
		bench_report_head(o);
	while (count < o->sizes_count && !r) {
		struct bench_group *group = &groups[count];

		r = bench_group_init(group, o, o->sizes[count]);
		if (r)
			break;
		count++;
		r = bench_group_measure(group, o);
		if (r == -EIO)
			break;
		if (o->json ? bench_json_group(o, group) :
			      bench_report_group(o, group))
			r = -ENOMEM;
	}
	if (r == -ENOMEM)
		fprintf(stderr, "torc-bench: no memory\n");
	if (r == -EINTR)
		r = 0;
	if (!r && o->plot && groups[0].rounds)
		r = bench_plot(o, groups, count);
	for (int i = 0; i < count; i++)
		bench_group_deinit(&groups[i]);
	return r;
}

int main(int argc, char **argv)
{
	struct bench_options options = {
		.rounds = 15,
		.batch = 1,
		.publishers = { 1, 2 },
		.publishers_count = 2,
		.subscribers = { 1, 63 },
		.subscribers_count = 2,
	};
	struct texts texts = { 0 };
	int code;

	while ((code = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		if (code == 'h') {
			print_help();
			return 0;
		}
		if (code == 'V') {
			printf("torc-bench %s\n", torc_version());
			return 0;
		}
		if (take_option(code, &options, &texts))
			return STATUS_USAGE;
	}
	if (take_mode(&options, argc, argv) || complete(&options, &texts))
		return STATUS_USAGE;
	if (check_systems(&options) || (options.plot && bench_plot_check()) ||
	    choose_cores(&options))
		return STATUS_FAILED;
	bench_catch_signals();
	bench_clock_init();
	if (bench(&options))
		return STATUS_FAILED;
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "torc-bench: standard output: %s\n",
			strerror(errno));
		return STATUS_FAILED;
	}
	return 0;
}
