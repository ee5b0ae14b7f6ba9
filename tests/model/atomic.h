/* SPDX-License-Identifier: MIT */
/*
 * The operations of torc/atomic.h for the model: each goes to the scheduler in
 * explore.c.  Named by TORC_ATOMIC_HEADER.
 */
#ifndef TORC_TESTS_MODEL_ATOMIC_H
#define TORC_TESTS_MODEL_ATOMIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

uint64_t model_load(const void *p, size_t size, bool acquire);
void model_store(void *p, uint64_t value, size_t size, bool release);
bool model_cas(void *p, uint64_t old, uint64_t desired, size_t size,
	       bool ordered);
void model_copy(void *to, const void *from, size_t size);
void model_zero(void *to, size_t size);
void model_fence_full(void);
void model_fence_release(void);
void model_fence_acquire(void);

#define torc_load_relaxed(p) \
	((__typeof__(*(p)))model_load((p), sizeof(*(p)), false))
#define torc_load_acquire(p) \
	((__typeof__(*(p)))model_load((p), sizeof(*(p)), true))
#define torc_store_relaxed(p, v) model_store((p), (v), sizeof(*(p)), false)
#define torc_store_release(p, v) model_store((p), (v), sizeof(*(p)), true)
#define torc_cas(p, old, desired) \
	model_cas((p), (old), (desired), sizeof(*(p)), true)
/* For mutants. */
#define torc_cas_relaxed(p, old, desired) \
	model_cas((p), (old), (desired), sizeof(*(p)), false)
#define torc_racy_load(p) torc_load_acquire(p)
/* Without a fence of its own: the caller's has to do, as for who reads in place. */
#define torc_racy_copy(to, from, size) model_copy((to), (from), (size))
#define torc_copy(to, from, size) model_copy((to), (from), (size))
#define torc_copy_short(to, from, size) model_copy((to), (from), (size))
#define torc_copy_payload(to, from, size) model_copy((to), (from), (size))
#define torc_zero(to, size) model_zero((to), (size))
#define torc_fence_full() model_fence_full()
#define torc_fence_release() model_fence_release()
#define torc_fence_acquire() model_fence_acquire()
#define torc_fence_compiler() ((void)0)
#define torc_pause() ((void)0)
#define torc_prefetch(p) ((void)(p))
#define torc_prefetch_write(p) ((void)(p))

#define TORC_SHORT 64u

#endif /* TORC_TESTS_MODEL_ATOMIC_H */
