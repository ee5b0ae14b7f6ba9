/* SPDX-License-Identifier: MIT */
/*
 * The ring in every schedule: small cases, each explored to the end with four
 * memory orders (explore.h).  What is asked of each schedule is in judges.c.
 *
 *	check_model [-1] [-j JOBS] [-s STATES] [CASE ...]
 *
 * -1: end with the first that fails.  -j: how many processes at once.
 */
#include "ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STATES_SHORT 4000000u
#define STATES_LONG 150000000u /* of 24 bytes; for each job */

#define ORDERS 4u

static const char *const orders[ORDERS] = { "sc", "tso", "release", "weak" };

static uint64_t most_states;
static bool in_short;
static unsigned int passed, failures, running;

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* How many preemptions a schedule may have at most. */
static uint32_t most_preemptions(const struct model_case *c, int variant,
				 enum model_order order)
{
	if (order == MODEL_WEAK)
		return c->weak + !in_short;
	if (!in_short || variant < c->variants - c->large)
		return MODEL_UNBOUND;
	return order == MODEL_RELEASE ? 1 : 2;
}

static bool run(const struct model_case *c, int variant, enum model_order order)
{
	const struct model_bounds bounds = {
		.states = most_states,
		.preemptions = most_preemptions(c, variant, order),
		.snapshots = 1,
	};
	double begun = seconds();
	struct model_result r;

	r = model_explore(c, variant, order, &bounds);
	printf("%s - %s/%d %s: ", r.failed ? "not ok" : "ok", c->name, variant,
	       orders[order]);
	if (r.complete)
		printf("%.3g executions, ", r.executions);
	printf("%ju states, ", (uintmax_t)r.states);
	if (bounds.preemptions != MODEL_UNBOUND)
		printf("all with up to %u preemptions, ", bounds.preemptions);
	printf("%scomplete, %.1f s\n", r.complete ? "" : "not ",
	       seconds() - begun);
	return !r.failed;
}

/* One case in a process of its own, in all orders: its exit code is failures. */
static void start(const struct model_case *c, int variant)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("fork");
		exit(99);
	}
	if (!pid) {
		int bad = 0;

		for (int i = MODEL_SC; i <= MODEL_WEAK; i++)
			bad += !run(c, variant, (enum model_order)i);
		fflush(stdout);
		_exit(bad);
	}
	running++;
}

static void reap(void)
{
	unsigned int bad = ORDERS;
	int status;

	if (wait(&status) < 0)
		exit(99);
	running--;
	if (WIFEXITED(status) && WEXITSTATUS(status) <= ORDERS)
		bad = (unsigned int)WEXITSTATUS(status);
	else
		puts("not ok - a process ended in the midst of it");
	failures += bad;
	passed += ORDERS - bad;
}

static bool named(const char *name, int argc, char **argv)
{
	for (int i = optind; i < argc; i++)
		if (!strcmp(name, argv[i]))
			return true;
	return optind == argc;
}

int main(int argc, char **argv)
{
	unsigned int jobs = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN);
	bool first_only = false;
	int option;

	in_short = !getenv("TORC_LONG");
	most_states = in_short ? STATES_SHORT : STATES_LONG;
	while ((option = getopt(argc, argv, "1j:s:")) != -1) {
		if (option == '1') {
			first_only = true;
		} else if (option == 'j') {
			jobs = (unsigned int)strtoul(optarg, NULL, 10);
		} else if (option == 's') {
			most_states = strtoull(optarg, NULL, 10);
		} else {
			fprintf(stderr, "usage: check_model [-1] [-j JOBS] "
					"[-s STATES] [CASE ...]\n");
			return 2;
		}
	}
	for (size_t i = 0; i < case_count; i++)
		for (int variant = 0; variant < cases[i].variants; variant++) {
			if (!named(cases[i].name, argc, argv))
				continue;
			while (running && running >= jobs)
				reap();
			if (!(first_only && failures))
				start(&cases[i], variant);
		}
	while (running)
		reap();
	printf("%u passed, %u failed\n", passed, failures);
	return failures != 0;
}
