/* SPDX-License-Identifier: MIT */
/*
 * torc-bench: how fast torc is, beside what the machine can do and beside
 * others.  Start with bench.h.
 */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <torc/torc.h>

#include "../cli.h"
#include "bench.h"
#include "lists.h"

static const char about[] =
	"Measure messages between two processes on two cores.  MODE is\n"
	"\n"
	"  rtt         time of a round trip\n"
	"  throughput  messages per second, one publisher\n"
	"  fanout      cost of publishing while subscribers are attached and idle\n"
	"  mpsc        messages per second, several publishers sharing a core\n"
	"  wake        time to reach a subscriber that sleeps";

enum {
	KEY_SIZE = CLI_KEY,
	KEY_SYSTEMS,
	KEY_ROUNDS,
	KEY_SUBSCRIBERS,
	KEY_PUBLISHERS,
	KEY_BATCH,
	KEY_CAPACITY,
	KEY_CORES,
	KEY_JSON,
	KEY_PLOT,
};

static const struct cli_option option_table[] = {
	{ KEY_SIZE, "size", "LIST", "bytes of a message, 8 to 16M (8,48,1K)" },
	{ KEY_SYSTEMS, "systems", "LIST",
	  "what to measure beside the limit (all)" },
	{ KEY_ROUNDS, "rounds", "N", "that measure every system once (15)" },
	{ KEY_SUBSCRIBERS, "subscribers", "LIST",
	  "fanout: how many are attached (1,63)" },
	{ KEY_PUBLISHERS, "publishers", "LIST",
	  "mpsc: how many there are (1,2)" },
	{ KEY_BATCH, "batch", "N", "messages published by a call, if it can (1)" },
	{ KEY_CAPACITY, "capacity", "SIZE",
	  "of each ring (rtt, fanout, wake 1M; others 4M)" },
	{ KEY_CORES, "cores", "A,B",
	  "publishers' and subscriber's (the first two)" },
	{ KEY_JSON, "json", NULL, "print a JSON object a line" },
	{ KEY_PLOT, "plot", "FILE.svg", "draw the results with gnuplot" },
	{ 0 }
};

static void print_system(const struct bench_system *system)
{
	printf("  %-10s  %s\n", system->name, system->what);
}

static void print_systems(void)
{
	puts("\nSystems:");
	print_system(&bench_limit);
	for (int i = 0; bench_systems[i]; i++)
		print_system(bench_systems[i]);
}

/* What the command line says; some of it means something only with the mode. */
struct command_line {
	struct bench_options options;
	const char *systems;
	bool publishers, subscribers;
};

/* After looking whether @value is what is @wanted. */
static int judge(bool bad, const char *option, const char *value,
		 const char *wanted)
{
	if (!bad)
		return 0;
	cli_note("--%s=%s: not %s", option, value, wanted);
	return -1;
}

static int set_cores(struct bench_options *o, const char *value)
{
	int count;
	bool bad = bench_parse_counts(value, 0, CPU_SETSIZE - 1, o->cpus,
				      &count) ||
		   count != 2 || o->cpus[0] == o->cpus[1];

	return judge(bad, "cores", value, "two different cores");
}

static int set(int key, const char *value, void *context)
{
	struct command_line *line = context;
	struct bench_options *o = &line->options;

	switch (key) {
	case KEY_SIZE:
		return judge(bench_parse_sizes(value, o->sizes,
					       &o->sizes_count),
			     "size", value, "up to 16 sizes from 8 to 16M");
	case KEY_SYSTEMS:
		line->systems = value;
		return 0;
	case KEY_ROUNDS:
		return judge(bench_parse_count(value, 1, 100000, &o->rounds),
			     "rounds", value, "from 1 to 100000");
	case KEY_SUBSCRIBERS:
		line->subscribers = true;
		return judge(bench_parse_counts(value, 1, BENCH_SUBSCRIBERS_MAX,
						o->subscribers,
						&o->subscribers_count),
			     "subscribers", value,
			     "up to 16 counts from 1 to 1000");
	case KEY_PUBLISHERS:
		line->publishers = true;
		return judge(bench_parse_counts(value, 1, BENCH_PUBLISHERS_MAX,
						o->publishers,
						&o->publishers_count),
			     "publishers", value,
			     "up to 16 counts from 1 to 32");
	case KEY_BATCH:
		return judge(bench_parse_count(value, 1, BENCH_BATCH_MAX,
					       &o->batch),
			     "batch", value, "from 1 to 1024");
	case KEY_CAPACITY:
		return judge(bench_parse_size(value, 4096, 1u << 30,
					      &o->capacity),
			     "capacity", value, "from 4K to 1G");
	case KEY_CORES:
		return set_cores(o, value);
	case KEY_JSON:
		o->json = true;
		return 0;
	case KEY_PLOT:
		o->plot = value;
		return 0;
	}
	return -1;
}

static const struct cli_program program = {
	"torc-bench", "MODE [OPTION...]", about, option_table, set,
	print_systems,
};

static int take_mode(struct bench_options *o, int argc, char **argv)
{
	if (argc == 0)
		return cli_usage("what shall be measured? rtt, throughput, "
				 "fanout, mpsc or wake");
	if (argc > 1)
		return cli_usage("one mode at a time, not also %s", argv[1]);
	for (int i = 0; i < BENCH_MODES; i++)
		if (!strcmp(argv[0], bench_mode_names[i])) {
			o->mode = (enum bench_mode)i;
			return 0;
		}
	return cli_usage("%s: no such mode (rtt, throughput, fanout, mpsc, "
			 "wake)", argv[0]);
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
		cli_note("%s: %s", o->systems[i]->name, why);
		return CLI_FAILED;
	}
	return 0;
}

/* What was not said follows from the mode.  0 or CLI_USAGE. */
static int complete(struct command_line *line)
{
	static const char *const sizes[BENCH_MODES] = {
		"8,48,1K", "8,48,1K,4K,64K", "8", "8,48", "8",
	};
	struct bench_options *o = &line->options;

	if (line->publishers && o->mode != BENCH_MPSC)
		return cli_usage("--publishers is for mpsc");
	if (line->subscribers && o->mode != BENCH_FANOUT)
		return cli_usage("--subscribers is for fanout");
	if (o->batch > 1 && bench_times(o->mode))
		return cli_usage("--batch is not for %s",
				 bench_mode_names[o->mode]);
	/* More than the cores' own caches where messages queue up. */
	if (!o->capacity)
		o->capacity = o->mode == BENCH_THROUGHPUT ||
					      o->mode == BENCH_MPSC ?
				      4u << 20 :
				      1u << 20;
	if (!o->sizes_count)
		bench_parse_sizes(sizes[o->mode], o->sizes, &o->sizes_count);
	for (int i = 0; i < o->sizes_count && o->batch > 1; i++)
		if (o->sizes[i] * (size_t)o->batch > 8u << 20)
			return cli_usage("a batch is 8M at most");
	if (line->systems)
		return bench_parse_systems(line->systems, o->mode, o->systems,
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
	if (sched_getaffinity(0, sizeof(allowed), &allowed)) {
		cli_note("sched_getaffinity: %s", strerror(errno));
		return CLI_FAILED;
	}
	for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
		if (CPU_ISSET((size_t)i, &allowed))
			o->cpus[found++] = i;
	if (found < 2) {
		cli_note("two cores are needed, and only one is there or "
			 "allowed");
		return CLI_FAILED;
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
		cli_no_memory();
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
	struct command_line line = { .options = {
		.rounds = 15,
		.batch = 1,
		.publishers = { 1, 2 },
		.publishers_count = 2,
		.subscribers = { 1, 63 },
		.subscribers_count = 2,
	} };
	struct bench_options *options = &line.options;
	int operand;

	cli_begin(program.name);
	operand = cli_parse(&program, argc, argv, &line);
	if (take_mode(options, argc - operand, argv + operand) ||
	    complete(&line))
		return CLI_USAGE;
	if (check_systems(options) || (options->plot && bench_plot_check()) ||
	    choose_cores(options))
		return CLI_FAILED;
	bench_catch_signals();
	bench_clock_init();
	if (bench(options))
		return CLI_FAILED;
	return cli_close_stdout();
}
