/* SPDX-License-Identifier: MIT */
/*
 * Death while a topic is made or removed.  What others can see of these calls
 * changes by system calls only: nothing reads a ring's bytes before it is linked
 * into place.  So the victim is killed after each of them.
 */
#ifndef TORC_TESTS_CRASH_LIFETIME_H
#define TORC_TESTS_CRASH_LIFETIME_H

#include "step.h"

struct lifetime_case {
	const char *name;
	void (*prepare)(void);
	void (*call)(void);	/* one system call at a time */
};

extern const struct lifetime_case lifetime_cases[];
extern const int lifetime_cases_count;

/* Kill after each system call; returns how many there were. */
unsigned long lifetime_try(const struct lifetime_case *c);

#endif /* TORC_TESTS_CRASH_LIFETIME_H */
