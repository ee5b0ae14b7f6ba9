/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction: a victim is executed one instruction at a time
 * through each call and killed after the n-th, for every n, while others use the
 * topic.  After each kill they must go on: what was committed arrives exactly
 * once, in order, at all; nothing else does; nobody hangs; a stopped victim is
 * never taken for dead, a dead one holds nobody; its slots can be had again.
 *
 * Where a call takes thousands of instructions, those are left out that others
 * cannot tell from the one before: they made no system call and changed no byte
 * of the topic, so the death after them leaves the same state.  With two deaths
 * neither does a system call count that leaves nothing.
 *
 * Without TORC_LONG, of calls by themselves some boundaries, chosen at random; of
 * two deaths all pairs.
 *
 *	check_crash [-1] [-a] [PATTERN]	until the first failure; two deaths also at
 *					boundaries that are left out, which have to
 *					end like the one before; of the cases whose
 *					names contain PATTERN
 */
#include "lifetime.h"
#include "trial.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls of more instructions are thinned out as said above. */
#define DENSE_MAX 4000u
/* Boundaries of a call by itself without TORC_LONG, at least. */
#define SHARE 20u
/* With -a and without TORC_LONG, one in so many of those that are left out. */
#define SAMPLE 50u
/* Seconds that a case may take. */
#define PATIENCE 3600u

#define WRAPPING (CAPACITY - 48)

static const struct crash_case cases[] = {
	{ "SP publish, short", false, 0, &act_publish_short, NULL, false, false },
	{ "SP publish, long", false, 2048, &act_publish_long, NULL, false, false },
	{ "SP publish, wrapping", false, WRAPPING, &act_publish_long, NULL,
	  false, false },
	{ "SP batch", false, 1024, &act_publish_batch, NULL, false, false },
	{ "SP batch, wrapping", false, WRAPPING, &act_publish_batch, NULL,
	  false, false },
	{ "SP reserve, commit less", false, 512, &act_commit_less, NULL,
	  false, false },
	{ "SP reserve, abort", false, 512, &act_abort, NULL, false, false },
	{ "SP publish, ringing", false, 0, &act_publish_short, NULL, false,
	  true },
	{ "MP publish, ringing", true, 0, &act_publish_short, NULL, false,
	  true },
	{ "SP pub_open", false, 256, &act_pub_open, NULL, false, false },
	{ "SP pub_close", false, 256, &act_pub_close, NULL, false, false },
	{ "MP publish, short", true, 0, &act_publish_short, NULL, false, false },
	{ "MP publish, long", true, 2048, &act_publish_long, NULL, false, false },
	{ "MP publish, wrapping", true, WRAPPING, &act_publish_long, NULL,
	  false, false },
	{ "MP batch", true, 1024, &act_publish_batch, NULL, false, false },
	{ "MP batch, wrapping", true, WRAPPING, &act_publish_batch, NULL,
	  false, false },
	{ "MP reserve, commit less", true, 512, &act_commit_less, NULL, false, false },
	{ "MP reserve, abort", true, 512, &act_abort, NULL, false, false },
	{ "MP pub_open", true, 256, &act_pub_open, NULL, false, false },
	{ "MP pub_close", true, 256, &act_pub_close, NULL, false, false },
	{ "SP receive", false, 0, &act_receive, NULL, false, false },
	{ "MP receive", true, WRAPPING, &act_receive, NULL, false, false },
	{ "receive, lossy", true, 0, &act_receive_lossy, NULL, false, false },
	{ "peek, release", true, 0, &act_release, NULL, false, false },
	{ "dispatch", true, 0, &act_dispatch, NULL, false, false },
	{ "wait, asleep", true, 0, &act_wait, NULL, false, false },
	{ "wait by a descriptor, sub_close", true, 0, &act_wait_by_descriptor,
	  NULL, false, true },
	{ "sub_open, latest", true, 0, &act_sub_open, NULL, false, false },
	{ "sub_open, oldest", false, 0, &act_sub_open_oldest, NULL, false, false },
	{ "sub_open, lossy", true, 0, &act_sub_open_lossy, NULL, false, false },
	{ "sub_close", true, 0, &act_sub_close, NULL, false, false },
	{ "topic_open", true, 0, &act_topic_open, NULL, false, false },
	{ "topic_close", true, 0, &act_topic_close, NULL, false, false },
	{ "repair a claim: publish", true, 0, &act_publish_full,
	  &act_publish_long, false, false },
	{ "repair a claim: pub_open", true, WRAPPING, &act_pub_open,
	  &act_publish_long, false, false },
	{ "repair a claim: pub_close", true, 0, &act_pub_close,
	  &act_publish_long, false, false },
	{ "repair a claim: topic_repair", true, WRAPPING, &act_repair,
	  &act_publish_long, false, false },
	{ "pass over a claim: wait", true, 0, &act_wait, &act_publish_long,
	  false, false },
	{ "clear a subscriber: publish", true, 0, &act_publish_full,
	  &act_receive, false, false },
	{ "clear a subscriber: topic_repair", true, 0, &act_repair,
	  &act_receive, false, false },
	{ "two publishers at once", true, WRAPPING, &act_publish_short,
	  &act_publish_long, true, false },
	{ "two publishers at once, the shorter first", true, WRAPPING,
	  &act_publish_long, &act_publish_short, true, false },
	{ "two publishers at once, alike", true, 0, &act_publish_long,
	  &act_publish_long, true, false },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

/* ---- Which boundaries --------------------------------------------------- */

/* It has to end like others that left the same. */
static void check_ending(struct trial *trial, const struct boundary *boundary)
{
	struct outcome *ending = &trial->endings[boundary->kind];

	if (!ending->sequence)
		*ending = *trial->outcome;
	else if (memcmp(ending, trial->outcome, sizeof(*ending)))
		give_up("%s: a death after %u instructions ends otherwise than "
			"another that left the same", trial->c->name,
			boundary->steps);
}

/* One of @stride, and with -a the first of its kind. */
static bool chosen(const struct trial *trial, const struct boundary *boundary,
		   uint32_t i, uint32_t stride)
{
	return !((uint32_t)rand() % stride) ||
	       (trial->endings && (!i || boundary->kind != boundary[-1].kind));
}

static void kill_at_each(struct trial *trial, const struct boundaries *b,
			 uint32_t stride)
{
	for (uint32_t i = 0; i < b->count; i++) {
		if (!chosen(trial, &b->at[i], i, stride))
			continue;
		trial->number = trial->endings ? b->at[i].kind : i;
		if (trial_kill(trial, &b->at[i]) && trial->endings)
			check_ending(trial, &b->at[i]);
	}
}

static void try_alone(struct trial *trial)
{
	struct boundaries *b = trial_trace(trial, DENSE);

	trial->tally->instructions = b->instructions;
	if (b->instructions > DENSE_MAX) {
		free(b);
		b = trial_trace(trial, TOLD_APART);
	}
	trial->tally->distinct = b->count;
	kill_at_each(trial, b, getenv("TORC_LONG") ? 1 : 1 + b->count / SHARE);
	free(b);
}

/* The case's call, and its death at each boundary, after a death there. */
static void try_after(struct trial *trial, const struct boundary *other,
		      enum detail detail, uint32_t stride)
{
	struct boundaries *b;

	trial->other_boundary = other;
	b = trial_trace(trial, detail);
	trial->tally->instructions += b->instructions;
	trial->tally->distinct += b->count;
	kill_at_each(trial, b, stride);
	free(b);
}

/* Every boundary of the one with every boundary of the other. */
static void try_with_other(struct trial *trial)
{
	struct boundaries *other = trial_trace_other(trial, KINDS);

	for (uint32_t i = 0; i < other->count; i++)
		try_after(trial, &other->at[i], KINDS, 1);
	free(other);
}

/*
 * That the kinds do: with one boundary of each kind of the other's call, all of the
 * victim's; with all others, one of each kind of the victim's.
 */
static void try_all_with_other(struct trial *trial)
{
	const size_t size = STEPS_MAX * sizeof(*trial->endings);
	const uint32_t stride = getenv("TORC_LONG") ? 1 : SAMPLE;
	struct boundaries *other = trial_trace_other(trial, ALL_KINDS);

	trial->endings = malloc(size);
	if (!trial->endings)
		give_up("out of memory");
	for (uint32_t i = 0; i < other->count; i++) {
		bool new = !i || other->at[i].kind != other->at[i - 1].kind;

		if (!chosen(trial, &other->at[i], i, stride))
			continue;
		if (new)
			memset(trial->endings, 0, size);
		try_after(trial, &other->at[i], new ? ALL_KINDS : KINDS,
			  new ? stride : 1);
	}
	free(trial->endings);
	free(other);
}

/* ---- All cases ---------------------------------------------------------- */

static bool show_kinds_do;	/* -a */

static void try_call(const void *of, struct tally *tally)
{
	const struct crash_case *c = of;
	struct trial trial;

	trial_init(&trial, c, tally);
	if (c->other && show_kinds_do)
		try_all_with_other(&trial);
	else if (c->other)
		try_with_other(&trial);
	else
		try_alone(&trial);
	printf("ok - %s: %lu instructions, %lu of %lu boundaries, "
	       "longest stall %.1f ms\n", c->name, tally->instructions,
	       tally->kills, tally->distinct, (double)tally->stall_ns / 1e6);
}

static void try_lifetime(const void *of, struct tally *tally)
{
	const struct lifetime_case *c = of;
	unsigned long calls = lifetime_try(c);

	/* Each time with two sequels. */
	tally->kills = 2 * (calls + 1);
	printf("ok - %s: %lu system calls, %lu kills\n", c->name, calls,
	       tally->kills);
}

/* In a process of its own, so that one that hangs does not hang all. */
static bool run(void (*body)(const void *of, struct tally *tally),
		const void *of, const char *name, struct tally *tally)
{
	char bus[] = "/dev/shm/torc-crash-XXXXXX";
	int status;
	pid_t pid;

	if (!mkdtemp(bus) || setenv("TORC_DIR", bus, 1))
		give_up("cannot make a bus: %s", strerror(errno));
	memset(tally, 0, sizeof(*tally));
	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(PATIENCE);
		body(of, tally);
		fflush(NULL);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status) {
		printf("not ok - %s: status %#x; see %s\n", name, status, bus);
		return false;
	}
	if (rmdir(bus)) {
		printf("not ok - %s: something is left on %s\n", name, bus);
		return false;
	}
	return true;
}

/* Those whose name contains @pattern, or all; or as far as the first failure. */
static int run_all(const char *pattern, bool first, struct tally *tally)
{
	unsigned long kills = 0, missed = 0;
	int passed = 0, failed = 0;

	for (size_t i = 0; i < CASES && !(first && failed); i++) {
		if (pattern && !strstr(cases[i].name, pattern))
			continue;
		if (run(try_call, &cases[i], cases[i].name, tally))
			passed++;
		else
			failed++;
		kills += tally->kills;
		missed += tally->missed;
	}
	for (int i = 0; i < lifetime_cases_count && !(first && failed); i++) {
		const struct lifetime_case *c = &lifetime_cases[i];

		if (pattern && !strstr(c->name, pattern))
			continue;
		if (run(try_lifetime, c, c->name, tally))
			passed++;
		else
			failed++;
		kills += tally->kills;
	}
	printf("# %lu kills; %lu boundaries not come to\n%d passed, %d failed\n",
	       kills, missed, passed, failed);
	return failed;
}

/* Stepping costs a third if the stepper shares the victim's processor. */
static void stay_on_one_processor(void)
{
	cpu_set_t all, one;
	size_t cpu = 0;

	if (sched_getaffinity(0, sizeof(all), &all))
		return;
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

int main(int argc, char **argv)
{
	unsigned int seed = (unsigned int)torc_now_ns();
	struct tally *tally;
	bool first = false;

	tally = shared_memory(sizeof(*tally));
	if (getenv("TORC_SEED"))
		seed = (unsigned int)atoi(getenv("TORC_SEED"));
	printf("# TORC_SEED=%u\n", seed);
	srand(seed);
	stay_on_one_processor();
	for (; argc > 1 && *argv[1] == '-'; argc--, argv++) {
		first |= !strcmp(argv[1], "-1");
		show_kinds_do |= !strcmp(argv[1], "-a");
	}
	return run_all(argv[1], first, tally) != 0;
}
