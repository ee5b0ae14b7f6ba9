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
 * of the topic, so the death after them leaves the same state.
 *
 * Without TORC_LONG, some boundaries of each call, chosen at random.
 *
 *	check_crash [-1] [PATTERN]	until the first failure; of the cases
 *					whose names contain PATTERN
 */
#include "acts.h"
#include "lifetime.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls of more instructions are thinned out as said above. */
#define DENSE_MAX 4000u
/* Boundaries of a case without TORC_LONG. */
#define SHARE 20u
/* To come to a boundary. */
#define ATTEMPTS 20
#define STEPS_MAX 200000u
/* Seconds that a case may take. */
#define PATIENCE 3600u

struct crash_case {
	const char *name;
	bool many;
	uint32_t offset;	/* of the next message in the ring */
	const struct act *act;
	/* Another victim, that died before this one's call; or with it. */
	const struct act *other;
	bool both;
};

#define WRAPPING (CAPACITY - 48)

static const struct crash_case cases[] = {
	{ "SP publish, short", false, 0, &act_publish_short, NULL, false },
	{ "SP publish, long", false, 2048, &act_publish_long, NULL, false },
	{ "SP publish, wrapping", false, WRAPPING, &act_publish_long, NULL,
	  false },
	{ "SP batch", false, 1024, &act_publish_batch, NULL, false },
	{ "SP batch, wrapping", false, WRAPPING, &act_publish_batch, NULL,
	  false },
	{ "SP reserve, commit less", false, 512, &act_commit_less, NULL,
	  false },
	{ "SP reserve, abort", false, 512, &act_abort, NULL, false },
	{ "SP pub_open", false, 256, &act_pub_open, NULL, false },
	{ "SP pub_close", false, 256, &act_pub_close, NULL, false },
	{ "MP publish, short", true, 0, &act_publish_short, NULL, false },
	{ "MP publish, long", true, 2048, &act_publish_long, NULL, false },
	{ "MP publish, wrapping", true, WRAPPING, &act_publish_long, NULL,
	  false },
	{ "MP batch", true, 1024, &act_publish_batch, NULL, false },
	{ "MP batch, wrapping", true, WRAPPING, &act_publish_batch, NULL,
	  false },
	{ "MP reserve, commit less", true, 512, &act_commit_less, NULL, false },
	{ "MP reserve, abort", true, 512, &act_abort, NULL, false },
	{ "MP pub_open", true, 256, &act_pub_open, NULL, false },
	{ "MP pub_close", true, 256, &act_pub_close, NULL, false },
	{ "SP receive", false, 0, &act_receive, NULL, false },
	{ "MP receive", true, WRAPPING, &act_receive, NULL, false },
	{ "receive, lossy", true, 0, &act_receive_lossy, NULL, false },
	{ "peek, release", true, 0, &act_release, NULL, false },
	{ "dispatch", true, 0, &act_dispatch, NULL, false },
	{ "wait, asleep", true, 0, &act_wait, NULL, false },
	{ "sub_open, latest", true, 0, &act_sub_open, NULL, false },
	{ "sub_open, oldest", false, 0, &act_sub_open_oldest, NULL, false },
	{ "sub_open, lossy", true, 0, &act_sub_open_lossy, NULL, false },
	{ "sub_close", true, 0, &act_sub_close, NULL, false },
	{ "topic_open", true, 0, &act_topic_open, NULL, false },
	{ "topic_close", true, 0, &act_topic_close, NULL, false },
	{ "repair a claim: publish", true, 0, &act_publish_full,
	  &act_publish_long, false },
	{ "repair a claim: pub_open", true, WRAPPING, &act_pub_open,
	  &act_publish_long, false },
	{ "repair a claim: pub_close", true, 0, &act_pub_close,
	  &act_publish_long, false },
	{ "repair a claim: topic_repair", true, WRAPPING, &act_repair,
	  &act_publish_long, false },
	{ "pass over a claim: wait", true, 0, &act_wait, &act_publish_long,
	  false },
	{ "clear a subscriber: publish", true, 0, &act_publish_full,
	  &act_receive, false },
	{ "clear a subscriber: topic_repair", true, 0, &act_repair,
	  &act_receive, false },
	{ "two publishers at once", true, WRAPPING, &act_publish_long,
	  &act_publish_short, true },
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

/* What is written down of a case, by the process that tries it. */
struct tally {
	unsigned long instructions, distinct, kills;
	uint64_t stall_ns;
};

/* A case being tried. */
struct trial {
	const struct crash_case *c;
	struct stage stage;
	struct actor actor, other;
	struct victim victim, other_victim;
	struct tally *tally;
	bool everything;
};

/*
 * A place between two instructions of a call: after so many system calls, the
 * n-th time that an instruction is come to, and so many rounds of it if it
 * repeats itself (rep movs).
 */
struct boundary {
	uint64_t place;
	uint32_t syscalls, times, rounds;
};

struct boundaries {
	struct boundary *at;
	uint32_t count;
	uint32_t instructions;
};

/* ---- One kill ----------------------------------------------------------- */

static bool publishes(const struct trial *trial)
{
	return trial->c->act->role == ACT_PUBLISHER ||
	       trial->c->act == &act_pub_open ||
	       trial->c->act == &act_pub_close;
}

static void begin_victim(struct trial *trial, struct victim *victim,
			 struct actor *actor, const struct act *act,
			 uint32_t index)
{
	*actor = (struct actor){ .stage = &trial->stage, .act = act,
				 .index = index };
	victim_start(victim, act_out, actor);
}

/* False if this time the call has taken another way. */
static bool go_to(struct victim *victim, const struct boundary *boundary)
{
	bool more = true;

	for (uint32_t i = 0; more && i < boundary->syscalls; i++)
		more = victim_finish_syscall(victim);
	for (uint32_t i = 0; more && i < boundary->times; i++)
		more = victim_run_to(victim, boundary->place);
	for (uint32_t i = 0; more && i < boundary->rounds; i++)
		more = victim_step(victim);
	return !victim->ended && victim_place(victim) == boundary->place;
}

/* Bring all to where the victim's call begins. */
static void set_up(struct trial *trial, const struct boundary *other)
{
	struct stage *stage = &trial->stage;
	const struct crash_case *c = trial->c;

	stage->who += VICTIMS;
	memset(stage->victim_heard, 0, sizeof(stage->victim_heard));
	memset(stage->report->begun, 0, sizeof(stage->report->begun));
	memset(stage->report->ended, 0, sizeof(stage->report->ended));
	stage_go_to(stage, c->offset);
	if (!stage->many && publishes(trial))
		stage->pub = torc_pub_close(stage->pub);
	begin_victim(trial, &trial->victim, &trial->actor, c->act, 0);
	if (c->other)
		begin_victim(trial, &trial->other_victim, &trial->other,
			     c->other, 1);
	if (!c->other || c->both)
		return;
	go_to(&trial->other_victim, other);
	stage_fill(stage);
	victim_kill(&trial->other_victim);
}

/* The victim is stopped, not dead: nobody takes it for that. */
static void check_stopped(struct trial *trial)
{
	struct stage *stage = &trial->stage;
	struct torc_publisher *pub;

	if (trial->c->act->role == ACT_PUBLISHER && !stage->many) {
		int r = torc_pub_open(stage->topic, NULL, &pub);

		if (r != -EBUSY)
			stage_fail(stage, "a second publisher: %d", r);
	}
	if (trial->c->act->role == ACT_LOSSLESS && stage->boundary % 8 == 0 &&
	    !stage_fill(stage))
		stage_fail(stage, "a stopped subscriber holds nobody");
	/* A subscriber, also one that is joining, may hold it. */
	if (stage->pub && publishes(trial) && stage->boundary % 2 &&
	    (!trial->c->other || trial->c->both))
		stage_say(stage, 60);
}

/* The victim is dead: all go on. */
static void check_dead(struct trial *trial)
{
	struct stage *stage = &trial->stage;

	/* Also if the victim had committed, and woken nobody. */
	stage_await_listener(stage);
	/* Subscribers by themselves, or publishers first. */
	if (stage->boundary % 2 && stage->heard != stage->said)
		stage_await(stage);
	if (!stage->pub)
		stage_open_pub(stage);
	stage_say(stage, 2 * CAPACITY);
	stage_settle(stage);
	stage_check_slots(stage);
}

/* What it ended to publish has come, and nothing that it did not begin. */
static void check_messages(struct trial *trial, const uint32_t heard[VICTIMS])
{
	struct stage *stage = &trial->stage;
	const struct stage_report *report = stage->report;

	for (int i = 0; i < VICTIMS; i++) {
		if (stage->victim_heard[i] < report->ended[i] ||
		    stage->victim_heard[i] > report->begun[i])
			stage_fail(stage, "victim %d: %u of %u to %u messages",
				   i, stage->victim_heard[i], report->ended[i],
				   report->begun[i]);
		/* All was read when it died. */
		if (!trial->c->other && stage->victim_heard[i] != heard[i])
			stage_fail(stage, "uncommitted messages came");
	}
}

/* False if the victim did not come there. */
static bool try_to_kill_at(struct trial *trial, const struct boundary *boundary,
			   const struct boundary *other)
{
	struct stage *stage = &trial->stage;
	uint32_t heard[VICTIMS];
	bool there;

	set_up(trial, other);
	there = go_to(&trial->victim, boundary);
	if (trial->c->both)
		there &= go_to(&trial->other_victim, other);
	if (there)
		check_stopped(trial);
	stage_hear(stage);
	memcpy(heard, stage->victim_heard, sizeof(heard));
	if (trial->c->both)
		victim_kill_both(&trial->victim, &trial->other_victim);
	else
		victim_kill(&trial->victim);
	stage->killed_at = torc_now_ns();
	check_dead(trial);
	check_messages(trial, heard);
	return there;
}

/* Whether there is somebody to wake, say, is not the same each time. */
static void kill_at(struct trial *trial, const struct boundary *boundary,
		    const struct boundary *other)
{
	trial->stage.boundary++;
	for (int i = 0; i < ATTEMPTS; i++)
		if (try_to_kill_at(trial, boundary, other)) {
			trial->tally->kills++;
			return;
		}
}

/* ---- Which boundaries --------------------------------------------------- */

/* Where the call is after one more step, which has come to @place. */
static struct boundary after_step(const struct boundary *before, bool call,
				  uint64_t place)
{
	struct boundary at = *before;

	at.place = place;
	at.syscalls += call;
	at.rounds = !call && place == before->place ? before->rounds + 1 : 0;
	at.times = at.rounds ? before->times : !call;
	return at;
}

/* How often the call has come to the @i-th step's place since a system call. */
static uint32_t count_times(const struct boundary *steps, uint32_t i)
{
	uint32_t syscalls = steps[i].syscalls, times = 0;
	uint64_t place = steps[i].place;

	for (; steps[i].syscalls == syscalls; i--) {
		if (steps[i].place == place && !steps[i].rounds)
			times += steps[i].times;
		if (!i)
			break;
	}
	return times;
}

/* Step through a call once; note the boundaries that others can tell apart. */
static struct boundaries trace(struct trial *trial, struct victim *victim,
			       bool dense)
{
	struct boundaries b = { .at = calloc(STEPS_MAX, sizeof(*b.at)) };
	struct boundary *steps = calloc(STEPS_MAX, sizeof(*steps));
	struct stage *stage = &trial->stage;
	bool more, call, changed;

	if (!b.at || !steps)
		stage_fail(stage, "out of memory");
	stage_changed(stage);
	steps[0].place = victim_place(victim);
	b.at[b.count++] = steps[0];
	do {
		struct boundary *at = &steps[++b.instructions];

		if (b.instructions + 1 >= STEPS_MAX)
			stage_fail(stage, "it does not end");
		call = victim_at_syscall(victim);
		more = victim_step(victim);
		changed = stage_changed(stage);
		*at = after_step(at - 1, call, victim_place(victim));
		if (call || changed || dense) {
			b.at[b.count] = *at;
			b.at[b.count++].times =
				count_times(steps, b.instructions);
		}
	} while (more);
	free(steps);
	return b;
}

/* The boundaries of the case's call, after a death of the other there. */
static struct boundaries trace_call(struct trial *trial,
				    const struct boundary *other, bool dense)
{
	struct boundaries b;
	uint32_t heard[VICTIMS];

	set_up(trial, other);
	b = trace(trial, &trial->victim, dense);
	victim_kill(&trial->victim);
	if (trial->c->both)
		victim_kill(&trial->other_victim);
	check_dead(trial);
	memcpy(heard, trial->stage.victim_heard, sizeof(heard));
	check_messages(trial, heard);
	return b;
}

/* Those of the other victim's call, which the case's victim survives. */
static struct boundaries trace_other(struct trial *trial)
{
	struct crash_case alone = *trial->c;
	const struct crash_case *c = trial->c;
	struct boundaries b;

	alone.act = c->other;
	alone.other = NULL;
	alone.both = false;
	trial->c = &alone;
	b = trace_call(trial, NULL, false);
	trial->c = c;
	return b;
}

/* All of them, or some chosen at random. */
static void kill_at_each(struct trial *trial, const struct boundaries *b,
			 const struct boundary *other, uint32_t share)
{
	uint32_t stride = 1, first = 0;

	if (!trial->everything && b->count > share) {
		stride = (b->count + share - 1) / share;
		first = (uint32_t)rand() % stride;
	}
	for (uint32_t i = first; i < b->count; i += stride)
		kill_at(trial, &b->at[i], other);
}

static void try_alone(struct trial *trial)
{
	struct boundaries b = trace_call(trial, NULL, true);

	trial->tally->instructions = b.instructions;
	if (b.instructions > DENSE_MAX) {
		free(b.at);
		b = trace_call(trial, NULL, false);
	}
	trial->tally->distinct = b.count;
	kill_at_each(trial, &b, NULL, SHARE);
	free(b.at);
}

/* Every boundary of the one with every boundary of the other. */
static void try_with_other(struct trial *trial)
{
	struct boundaries other = trace_other(trial), b;
	uint32_t stride = trial->everything ? 1 : 1 + other.count / 3;
	uint32_t first = (uint32_t)rand() % stride;

	for (uint32_t i = first; i < other.count; i += stride) {
		b = trace_call(trial, &other.at[i], false);
		trial->tally->instructions += b.instructions;
		trial->tally->distinct += b.count;
		kill_at_each(trial, &b, &other.at[i], 1 + SHARE / 8);
		free(b.at);
	}
	free(other.at);
}

/* ---- All cases ---------------------------------------------------------- */

static void try_call(const void *of, struct tally *tally)
{
	const struct crash_case *c = of;
	struct trial trial = { .c = c, .tally = tally };

	trial.everything = getenv("TORC_LONG") != NULL;
	stage_open(&trial.stage, c->name, c->many);
	if (c->other)
		try_with_other(&trial);
	else
		try_alone(&trial);
	tally->stall_ns = trial.stage.stall_ns;
	stage_close(&trial.stage);
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
	unsigned long kills = 0;
	int passed = 0, failed = 0;

	for (size_t i = 0; i < CASES && !(first && failed); i++) {
		if (pattern && !strstr(cases[i].name, pattern))
			continue;
		if (run(try_call, &cases[i], cases[i].name, tally))
			passed++;
		else
			failed++;
		kills += tally->kills;
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
	printf("# %lu kills\n%d passed, %d failed\n", kills, passed, failed);
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

	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED)
		give_up("out of memory");
	if (getenv("TORC_SEED"))
		seed = (unsigned int)atoi(getenv("TORC_SEED"));
	printf("# TORC_SEED=%u\n", seed);
	srand(seed);
	stay_on_one_processor();
	if (argc > 1 && !strcmp(argv[1], "-1")) {
		first = true;
		argv++;
		argc--;
	}
	return run_all(argc > 1 ? argv[1] : NULL, first, tally) != 0;
}
