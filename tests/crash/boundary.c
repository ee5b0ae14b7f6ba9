/* SPDX-License-Identifier: MIT */
#include "boundary.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <sys/syscall.h>

/* ---- Which there are ---------------------------------------------------- */

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

void boundaries_trace(struct boundaries *b, struct victim *victim,
		      struct stage *stage, enum detail detail)
{
	struct boundary *steps = calloc(STEPS_MAX, sizeof(*steps));
	struct boundary *at = steps;
	bool more = true;

	if (!steps)
		stage_fail(stage, "out of memory");
	stage_changed(stage);
	at->place = victim_place(victim);
	b->count = b->instructions = 0;
	b->at[b->count++] = *at;
	while (more) {
		uint64_t arguments[3];
		long call = victim_system_call(victim, arguments);
		bool left;

		if (++b->instructions >= STEPS_MAX)
			stage_fail(stage, "it does not end");
		more = victim_step(victim);
		left = stage_changed(stage);
		left |= call >= 0 && (detail < KINDS ||
				      leaves_something(call, arguments));
		at[1] = after_step(at, call >= 0, victim_place(victim));
		at++;
		at->kind += left;
		if (left || detail == DENSE || detail == ALL_KINDS) {
			b->at[b->count] = *at;
			b->at[b->count++].times =
				count_times(steps, b->instructions);
		}
	}
	free(steps);
}

/* ---- Coming to one ------------------------------------------------------ */

/* One instruction at a time is slow: calls that look at the clock notice. */
bool boundary_step_to(const struct boundary *boundary, struct victim *victim)
{
	for (uint32_t i = 0; i < boundary->steps; i++)
		if (!victim_step(victim))
			break;
	return !victim->ended && victim_place(victim) == boundary->place;
}

bool boundary_run_to(const struct boundary *boundary, struct victim *victim)
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
