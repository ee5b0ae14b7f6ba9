/* SPDX-License-Identifier: MIT */
/*
 * The ring's memory as a hostile peer would have it: any load may give another
 * value than the one before, and any compare-and-swap may fail.  What the values
 * are is for the fuzzer to say.  All words are accessed where they are aligned.
 */
#ifndef TORC_TESTS_HOSTILE_ATOMIC_H
#define TORC_TESTS_HOSTILE_ATOMIC_H

#include <stdbool.h>
#include <torc/atomic.h>

/* @value, which was loaded from @word, or what the fuzzer has instead of it. */
uint64_t hostile(const volatile void *word, uint64_t value);
/* @word, which has to be a multiple of @size. */
void *aligned(const volatile void *word, size_t size);
/* Shall a compare-and-swap fail that would not? */
bool hostile_failure(void);

#undef torc_load_relaxed
#undef torc_load_acquire
#undef torc_store_relaxed
#undef torc_store_release
#undef torc_cas
#define AT(p) ((__typeof__(p))aligned((p), sizeof(*(p))))
#define torc_load_relaxed(p)                       \
	((__typeof__((__typeof__(*(p)))0))hostile( \
		(p), (uint64_t)__atomic_load_n(AT(p), __ATOMIC_RELAXED)))
#define torc_load_acquire(p) torc_load_relaxed(p)
#define torc_store_relaxed(p, v) __atomic_store_n(AT(p), (v), __ATOMIC_RELAXED)
#define torc_store_release(p, v) torc_store_relaxed(p, v)
#define torc_racy_load(p) torc_load_relaxed(p)
#define torc_cas(p, old, desired)                                      \
	__extension__({                                                \
		__typeof__(*(p)) cas_old = (old);                      \
		!hostile_failure() &&                                  \
			__atomic_compare_exchange_n(AT(p), &cas_old,   \
						    (desired), 0,      \
						    __ATOMIC_SEQ_CST,  \
						    __ATOMIC_SEQ_CST); \
	})

#endif /* TORC_TESTS_HOSTILE_ATOMIC_H */
