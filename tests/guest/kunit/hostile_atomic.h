/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The kernel's operations, with a hostile process that acts before each
 * compare-and-swap.
 */
#ifndef TORC_TESTS_GUEST_HOSTILE_ATOMIC_H
#define TORC_TESTS_GUEST_HOSTILE_ATOMIC_H

#include "kernel_atomic.h"

static void (*hostile)(void);

#undef torc_cas
#define torc_cas(p, old, desired)					\
	({								\
		__typeof__(*(p)) torc_cas_old = (old);			\
		if (hostile)						\
			hostile();					\
		cmpxchg((p), torc_cas_old, (desired)) == torc_cas_old;	\
	})

#endif /* TORC_TESTS_GUEST_HOSTILE_ATOMIC_H */
