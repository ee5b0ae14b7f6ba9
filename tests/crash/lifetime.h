/* SPDX-License-Identifier: MIT */
/*
 * Death while a topic is made, made larger, mended after a crash of the machine, or
 * removed.  What others can see of these calls changes by system calls only: nothing
 * reads a ring's bytes before it is linked into place.  So the victim is killed after
 * each of them.
 */
#ifndef TORC_TESTS_CRASH_LIFETIME_H
#define TORC_TESTS_CRASH_LIFETIME_H

#include "step.h"

struct lifetime_case {
	const char *name;
	const char *prefix;	/* of the address */
	void (*prepare)(void);
	void (*call)(void);	/* one system call at a time */
	bool kept;		/* messages were published before, and stay */
};

extern const struct lifetime_case lifetime_cases[];
extern const int lifetime_cases_count;

/* Kill after each system call; returns how many there were. */
unsigned long lifetime_try(const struct lifetime_case *c);

#endif /* TORC_TESTS_CRASH_LIFETIME_H */
