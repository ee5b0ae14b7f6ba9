/* SPDX-License-Identifier: MIT */
#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* To come to a boundary. */
#define ATTEMPTS 10

void trial_init(struct trial *trial, const struct crash_case *c,
		struct tally *tally)
{
	*trial = (struct trial){ .c = c, .tally = tally };
	trial->traced = shared_memory(sizeof(*trial->traced) +
				      STEPS_MAX * sizeof(struct boundary));
	trial->outcome = shared_memory(sizeof(*trial->outcome));
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

static bool go_to(const struct trial *trial, struct victim *victim,
		  const struct boundary *boundary)
{
	/* One instruction at a time is slow: calls that look at the clock notice. */
	return trial->stepping ? boundary_step_to(boundary, victim)
			       : boundary_run_to(boundary, victim);
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

bool trial_kill(struct trial *trial, const struct boundary *boundary)
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

/* Of the victim's call, which goes through to its end. */
static int trace(struct trial *trial)
{
	struct stage *stage = &trial->stage;
	uint32_t heard[VICTIMS];
	bool there = set_up(trial);

	boundaries_trace(trial->traced, &trial->victim, stage, trial->detail);
	victim_kill(&trial->victim);
	if (trial->c->both)
		victim_kill(&trial->other_victim);
	check_dead(trial);
	memcpy(heard, stage->victim_heard, sizeof(heard));
	check_messages(trial, heard);
	return there ? THERE : ASTRAY;
}

struct boundaries *trial_trace(struct trial *trial, enum detail detail)
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

struct boundaries *trial_trace_other(struct trial *trial, enum detail detail)
{
	struct crash_case alone = *trial->c;
	const struct crash_case *c = trial->c;
	struct boundaries *b;

	alone.act = c->other;
	alone.other = NULL;
	alone.both = false;
	trial->c = &alone;
	b = trial_trace(trial, detail);
	trial->c = c;
	return b;
}
