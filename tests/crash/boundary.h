/* SPDX-License-Identifier: MIT */
/*
 * Where in its call a victim may die, and how to bring another there.
 */
#ifndef TORC_TESTS_CRASH_BOUNDARY_H
#define TORC_TESTS_CRASH_BOUNDARY_H

#include "stage.h"

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

/* Of a call of that many instructions at most. */
#define STEPS_MAX 200000u

struct boundaries {
	uint32_t count;
	uint32_t instructions;
	struct boundary at[];
};

/*
 * Which boundaries are noted: all; those that others can tell from the one before,
 * because there was a system call or a byte of the topic has changed; as these,
 * but of system calls only those that leave something when their caller is dead; all
 * again, with the kinds of the former.
 */
enum detail { DENSE, TOLD_APART, KINDS, ALL_KINDS };

/* Step through the call of @victim to its end; @b has room for STEPS_MAX. */
void boundaries_trace(struct boundaries *b, struct victim *victim,
		      struct stage *stage, enum detail detail);

/*
 * Go on to there from the call's beginning, by one instruction at a time or by
 * breakpoints; false if this time the call has taken another way.
 */
bool boundary_step_to(const struct boundary *boundary, struct victim *victim);
bool boundary_run_to(const struct boundary *boundary, struct victim *victim);

#endif /* TORC_TESTS_CRASH_BOUNDARY_H */
