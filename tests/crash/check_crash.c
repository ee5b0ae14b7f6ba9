/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction: a victim is executed one instruction at a time
 * through each call and killed after the n-th, for every n, while others use the
 * topic.  After each kill they must go on: what was committed arrives exactly
 * once, in order, at all; nothing else does; nobody hangs; a stopped victim is
 * never taken for dead, a dead one holds nobody; its slots can be had again.
 *
 * Each death has a stage of its own, made anew in a process of its own, so that
 * the call takes the same way each time.
 *
 * Where a call takes thousands of instructions, those are left out that others
 * cannot tell from the one before: they made no system call and changed no byte
 * of the topic, so the death after them leaves the same state.  With two deaths
 * neither does a system call count that leaves nothing (leaves_something()).
 *
 * Without TORC_LONG, of calls by themselves some boundaries, chosen at random; of
 * two deaths all pairs.
 *
 *	check_crash [-1] [-a] [PATTERN]	until the first failure; two deaths also at
 *					boundaries that are left out, which have to
 *					end like the one before; of the cases whose
 *					names contain PATTERN
 */
#include "acts.h"
#include "lifetime.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Calls of more instructions are thinned out as said above. */
#define DENSE_MAX 4000u
/* Boundaries of a call by itself without TORC_LONG, at least. */
#define SHARE 20u
/* With -a and without TORC_LONG, one in so many of those that are left out. */
#define SAMPLE 50u
/* To come to a boundary. */
#define ATTEMPTS 10
#define STEPS_MAX 200000u
/* Seconds that a case may take. */
#define PATIENCE 3600u

struct crash_case {
	const char *name;
	bool many;
	uint32_t offset;	/* of the next message in the ring */
	const struct act *act;
	/* Another victim, that died before this one's call; or dies with it,
	 * having come where it dies before. */
	const struct act *other;
	bool both;
	bool ringing;	/* there is a doorbell to ring */
};

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

/* What is written down of a case, by all processes that try it. */
struct tally {
	unsigned long instructions, distinct, kills, missed;
	uint64_t stall_ns;
};

/*
 * A place between two instructions of a call: after so many system calls, the
 * n-th time that an instruction is come to, and so many rounds of it if it
 * repeats itself (rep movs).
 */
struct boundary {
	uint64_t place;
	uint32_t syscalls, times, rounds;
	uint32_t steps;		/* instructions before it */
	uint32_t kind;		/* the same: a death leaves the same */
};

struct boundaries {
	uint32_t count;
	uint32_t instructions;
	struct boundary at[];
};

/* How it all ended; sequence is not 0. */
struct outcome {
	uint64_t sequence, tail;
	uint32_t heard[VICTIMS];
};

/* A case being tried; a death in it being tried. */
struct trial {
	const struct crash_case *c;
	struct tally *tally;
	struct boundaries *traced;
	struct outcome *outcome;	/* shared, as the last two */
	/* With -a: how deaths ended that left the same, by the kind of the call's
	 * boundary. */
	struct outcome *endings;

	uint64_t number;
	const struct boundary *boundary, *other_boundary;
	bool stepping;
	enum detail { DENSE, TOLD_APART, KINDS, ALL_KINDS } detail;

	struct stage stage;
	struct actor actor, other;
	struct victim victim, other_victim;
};

static void *shared_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		give_up("out of memory");
	return memory;
}

/* ---- A stage for each death --------------------------------------------- */

/* What was played: the victims came where they should, or took another way. */
enum { THERE = 0, ASTRAY = 2 };

/* What is told of by exiting so has been printed. */
static int on_new_stage(struct trial *trial, int (*play)(struct trial *trial))
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		give_up("fork: %s", strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		stage_open(&trial->stage, trial->c->name, trial->c->many,
			   trial->c->ringing);
		trial->stage.boundary = trial->number;
		status = play(trial);
		if (trial->stage.stall_ns > trial->tally->stall_ns)
			trial->tally->stall_ns = trial->stage.stall_ns;
		stage_close(&trial->stage);
		_exit(status);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    (WEXITSTATUS(status) != THERE && WEXITSTATUS(status) != ASTRAY))
		_exit(1);
	return WEXITSTATUS(status);
}

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

/* One instruction at a time is slow: calls that look at the clock notice. */
static bool step_to(struct victim *victim, const struct boundary *boundary)
{
	for (uint32_t i = 0; i < boundary->steps; i++)
		if (!victim_step(victim))
			break;
	return !victim->ended && victim_place(victim) == boundary->place;
}

/* False if this time the call has taken another way. */
static bool run_to(struct victim *victim, const struct boundary *boundary)
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

static bool go_to(const struct trial *trial, struct victim *victim,
		  const struct boundary *boundary)
{
	return trial->stepping ? step_to(victim, boundary)
			       : run_to(victim, boundary);
}

/* Bring all to where the victim's call begins; false if another way. */
static bool set_up(struct trial *trial)
{
	struct stage *stage = &trial->stage;
	const struct crash_case *c = trial->c;
	bool there = true;

	stage->who += VICTIMS;
	stage_go_to(stage, c->offset);
	if (!stage->many && publishes(trial))
		stage->pub = torc_pub_close(stage->pub);
	begin_victim(trial, &trial->victim, &trial->actor, c->act, 0);
	if (c->other)
		begin_victim(trial, &trial->other_victim, &trial->other,
			     c->other, 1);
	stage_await_sleep(stage);
	if (!c->other)
		return true;
	there = go_to(trial, &trial->other_victim, trial->other_boundary);
	if (c->both)
		return there;
	/* Who waits finds something behind the claim, publishers find no room. */
	if (c->act == &act_wait)
		stage_say(stage, 60);
	else
		stage_fill(stage);
	victim_kill(&trial->other_victim);
	return there;
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
		stage_say(stage, 600);
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

static int kill_there(struct trial *trial)
{
	struct stage *stage = &trial->stage;
	uint32_t heard[VICTIMS];
	bool there = set_up(trial);

	there &= go_to(trial, &trial->victim, trial->boundary);
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
	*trial->outcome = (struct outcome){ .sequence = stage->sequence,
					    .tail = stage->tail };
	memcpy(trial->outcome->heard, stage->victim_heard, sizeof(heard));
	return there ? THERE : ASTRAY;
}

static void tell_of_missed(const struct trial *trial, const char *whose,
			   const struct boundary *boundary)
{
	trial->tally->missed++;
	printf("# %s: %s not come to %#llx, %u instructions and %u system calls "
	       "after its beginning\n", trial->c->name, whose,
	       (unsigned long long)boundary->place, boundary->steps,
	       boundary->syscalls);
}

/* False if it did not come there. */
static bool kill_at(struct trial *trial, const struct boundary *boundary)
{
	trial->boundary = boundary;
	for (int i = 0; i < ATTEMPTS; i++) {
		/* As the clock had it when the call was traced, too. */
		trial->stepping = i % 2;
		if (on_new_stage(trial, kill_there) == THERE) {
			trial->tally->kills++;
			return true;
		}
	}
	tell_of_missed(trial, "has", boundary);
	return false;
}

/* ---- Which boundaries --------------------------------------------------- */

/* Where the call is after one more step, which has come to @place. */
static struct boundary after_step(const struct boundary *before, bool call,
				  uint64_t place)
{
	struct boundary at = *before;

	at.place = place;
	at.steps++;
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

/*
 * Does the system call leave something beyond its caller's death?  Descriptors,
 * locks and mappings it does not; files and wake-ups it does, and so may what is
 * not named here.
 */
static bool leaves_something(long number, const uint64_t arguments[3])
{
	switch (number) {
	case SYS_open:
		return arguments[1] & O_CREAT;
	case SYS_openat:
		return arguments[2] & O_CREAT;
	case SYS_futex:
		return arguments[1] == FUTEX_WAKE;
	case SYS_brk:
	case SYS_clock_gettime:
	case SYS_clock_nanosleep:
	case SYS_close:
	case SYS_fcntl:
	case SYS_fstat:
	case SYS_futex_waitv:
	case SYS_getpid:
	case SYS_getrandom:
	case SYS_getuid:
	case SYS_geteuid:
	case SYS_lseek:
	case SYS_madvise:
	case SYS_membarrier:
	case SYS_mmap:
	case SYS_mprotect:
	case SYS_munmap:
	case SYS_newfstatat:
	case SYS_pread64:
	case SYS_read:
	case SYS_readlink:
	case SYS_rt_sigaction:
	case SYS_rt_sigprocmask:
	case SYS_sched_yield:
	case SYS_stat:
	case SYS_statfs:
		return false;
	default:
		return true;
	}
}

/*
 * Step through the victim's call once; note the boundaries, of which others can
 * tell each kind from the one before.
 */
static int trace(struct trial *trial)
{
	struct boundary *steps = calloc(STEPS_MAX, sizeof(*steps));
	struct boundaries *b = trial->traced;
	struct stage *stage = &trial->stage;
	struct boundary *at = steps;
	bool more = true, there = set_up(trial);
	uint32_t heard[VICTIMS];

	if (!steps)
		stage_fail(stage, "out of memory");
	stage_changed(stage);
	at->place = victim_place(&trial->victim);
	b->count = b->instructions = 0;
	b->at[b->count++] = *at;
	while (more) {
		uint64_t arguments[3];
		long call = victim_system_call(&trial->victim, arguments);
		bool left;

		if (++b->instructions >= STEPS_MAX)
			stage_fail(stage, "it does not end");
		more = victim_step(&trial->victim);
		left = stage_changed(stage);
		left |= call >= 0 && (trial->detail < KINDS ||
				      leaves_something(call, arguments));
		at[1] = after_step(at, call >= 0, victim_place(&trial->victim));
		at++;
		at->kind += left;
		if (left || trial->detail == DENSE ||
		    trial->detail == ALL_KINDS) {
			b->at[b->count] = *at;
			b->at[b->count++].times =
				count_times(steps, b->instructions);
		}
	}
	free(steps);
	victim_kill(&trial->victim);
	if (trial->c->both)
		victim_kill(&trial->other_victim);
	check_dead(trial);
	memcpy(heard, stage->victim_heard, sizeof(heard));
	check_messages(trial, heard);
	return there ? THERE : ASTRAY;
}

/* Returns a copy, for free(). */
static struct boundaries *trace_call(struct trial *trial, enum detail detail)
{
	struct boundaries *b;
	size_t size;
	int i;

	trial->detail = detail;
	for (i = 0; i < ATTEMPTS; i++) {
		trial->stepping = i % 2;
		if (on_new_stage(trial, trace) == THERE)
			break;
	}
	if (i == ATTEMPTS) {
		tell_of_missed(trial, "the other has", trial->other_boundary);
		trial->traced->count = 0;
	}
	size = sizeof(*b) + trial->traced->count * sizeof(b->at[0]);
	b = malloc(size);
	if (!b)
		give_up("out of memory");
	memcpy(b, trial->traced, size);
	return b;
}

/* Those of the other victim's call, which the case's victim survives. */
static struct boundaries *trace_other(struct trial *trial, enum detail detail)
{
	struct crash_case alone = *trial->c;
	const struct crash_case *c = trial->c;
	struct boundaries *b;

	alone.act = c->other;
	alone.other = NULL;
	alone.both = false;
	trial->c = &alone;
	b = trace_call(trial, detail);
	trial->c = c;
	return b;
}

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
		if (kill_at(trial, &b->at[i]) && trial->endings)
			check_ending(trial, &b->at[i]);
	}
}

static void try_alone(struct trial *trial)
{
	struct boundaries *b = trace_call(trial, DENSE);

	trial->tally->instructions = b->instructions;
	if (b->instructions > DENSE_MAX) {
		free(b);
		b = trace_call(trial, TOLD_APART);
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
	b = trace_call(trial, detail);
	trial->tally->instructions += b->instructions;
	trial->tally->distinct += b->count;
	kill_at_each(trial, b, stride);
	free(b);
}

/* Every boundary of the one with every boundary of the other. */
static void try_with_other(struct trial *trial)
{
	struct boundaries *other = trace_other(trial, KINDS);

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
	struct boundaries *other = trace_other(trial, ALL_KINDS);

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
	struct trial trial = { .c = c, .tally = tally };

	trial.traced = shared_memory(sizeof(*trial.traced) +
				     STEPS_MAX * sizeof(struct boundary));
	trial.outcome = shared_memory(sizeof(*trial.outcome));
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
