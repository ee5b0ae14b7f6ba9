/* SPDX-License-Identifier: MIT */
/*
 * The ring's memory as a hostile peer would have it: any load may give another
 * value than the one before, and any compare-and-swap may fail.  What the values
 * are is for the fuzzer to say, so that it finds a word that is fetched twice.
 */
#ifndef TORC_TESTS_HOSTILE_ATOMIC_H
#define TORC_TESTS_HOSTILE_ATOMIC_H

#include <stdbool.h>
#include <torc/atomic.h>

/* @value, or what the fuzzer has instead of it. */
static uint64_t hostile(uint64_t value);
/* Shall a compare-and-swap fail that would not? */
static bool hostile_failure(void);

#undef torc_load_relaxed
#undef torc_load_acquire
#undef torc_cas
#define torc_load_relaxed(p)                                            \
	((__typeof__((__typeof__(*(p)))0))hostile(__atomic_load_n((p),  \
								  __ATOMIC_RELAXED)))
#define torc_load_acquire(p) torc_load_relaxed(p)
#define torc_racy_load(p) torc_load_relaxed(p)
#define torc_cas(p, old, desired)                                            \
	__extension__({                                                      \
		__typeof__(*(p)) cas_old = (old);                            \
		!hostile_failure() &&                                        \
			__atomic_compare_exchange_n((p), &cas_old, (desired), \
						    0, __ATOMIC_SEQ_CST,     \
						    __ATOMIC_SEQ_CST);       \
	})

#endif /* TORC_TESTS_HOSTILE_ATOMIC_H */
