/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The ring's atomic operations in the kernel; torc/atomic.h says what they are.
 */
#ifndef TORC_KERNEL_ATOMIC_H
#define TORC_KERNEL_ATOMIC_H

#include <linux/atomic.h>
#include <linux/errno.h>
#include <linux/kcsan-checks.h>
#include <linux/limits.h>
#include <linux/prefetch.h>
#include <linux/processor.h>
#include <linux/string.h>
#include <linux/types.h>

#define torc_load_relaxed(p)		READ_ONCE(*(p))
#define torc_load_acquire(p)		smp_load_acquire(p)
#define torc_store_relaxed(p, v)	WRITE_ONCE(*(p), (v))
#define torc_store_release(p, v)	smp_store_release((p), (v))

#define torc_cas(p, old, desired)					\
	({								\
		__typeof__(p) torc_cas_p = (p);				\
		__typeof__(*torc_cas_p) torc_cas_old = (old);		\
		cmpxchg(torc_cas_p, torc_cas_old, (desired)) ==		\
			torc_cas_old;					\
	})

#define torc_fence_full()	smp_mb()
#define torc_fence_acquire()	smp_rmb()
/* Of earlier loads, too; smp_wmb() orders stores alone. */
#define torc_fence_release()	smp_mb()
#define torc_fence_compiler()	barrier()

#define torc_pause()		cpu_relax()
#define torc_prefetch(p)	prefetch(p)
#define torc_prefetch_write(p)	prefetchw(p)

/* Intended races, see there. */
#define torc_racy_load(p)	smp_load_acquire(p)

static inline void torc_racy_copy(void *to, const void *from, size_t size)
{
	kcsan_disable_current();
	memcpy(to, from, size);
	kcsan_enable_current();
	smp_rmb();
}

#define torc_copy(to, from, size)	memcpy((to), (from), (size))
#define torc_zero(to, size)		memset((to), 0, (size))

#define TORC_SHORT 64u
#define torc_copy_short(to, from, size)		memcpy((to), (from), (size))
#define torc_copy_payload(to, from, size)	memcpy((to), (from), (size))

#endif /* TORC_KERNEL_ATOMIC_H */
