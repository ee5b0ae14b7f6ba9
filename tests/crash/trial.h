/* SPDX-License-Identifier: MIT */
/*
 * Deaths of a case being tried: each on a stage of its own, made anew in a process
 * of its own, so that the call takes the same way each time.
 */
#ifndef TORC_TESTS_CRASH_TRIAL_H
#define TORC_TESTS_CRASH_TRIAL_H

#include "acts.h"
#include "boundary.h"

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

/* What is written down of a case, by all processes that try it. */
struct tally {
	unsigned long instructions, distinct, kills, missed;
	uint64_t stall_ns;
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
	enum detail detail;

	struct stage stage;
	struct actor actor, other;
	struct victim victim, other_victim;
};

void trial_init(struct trial *trial, const struct crash_case *c,
		struct tally *tally);

/* The boundaries of the case's call, to be freed, after the other victim's death at
 * @trial->other_boundary. */
struct boundaries *trial_trace(struct trial *trial, enum detail detail);
/* Those of the other victim's call, which the case's victim survives. */
struct boundaries *trial_trace_other(struct trial *trial, enum detail detail);

/* Kill it there, and see how all go on; false if it did not come there. */
bool trial_kill(struct trial *trial, const struct boundary *boundary);

#endif /* TORC_TESTS_CRASH_TRIAL_H */
