/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The atomic operations of the ring, and the only file that names a memory
 * order.
 *
 * The user-space version stands on the C11 memory model's builtins, which gcc
 * and clang share between C and C++, and which ThreadSanitizer understands.
 * Another environment (a kernel, a checker that schedules each operation)
 * defines TORC_ATOMIC_HEADER to the name of a header with the same operations.
 *
 * On x86-64 acquire loads and release stores are plain moves; only torc_cas()
 * and torc_fence_full() are locked instructions.
 */
#ifndef TORC_ATOMIC_H
#define TORC_ATOMIC_H

#ifdef TORC_ATOMIC_HEADER
#include TORC_ATOMIC_HEADER
#else

#include <stdint.h>
#include <string.h>

#include <torc/copy.h>

#define torc_load_relaxed(p)		__atomic_load_n((p), __ATOMIC_RELAXED)
#define torc_load_acquire(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define torc_store_relaxed(p, v)					\
	__atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define torc_store_release(p, v)					\
	__atomic_store_n((p), (v), __ATOMIC_RELEASE)

/* Compare and swap, acquire and release; true when *@p was @old. */
#define torc_cas(p, old, desired)					\
	__extension__({							\
		__typeof__(*(p)) torc_cas_old = (old);			\
		__atomic_compare_exchange_n((p), &torc_cas_old,		\
					    (desired), 0,		\
					    __ATOMIC_ACQ_REL,		\
					    __ATOMIC_ACQUIRE);		\
	})

/* Add, acquire and release; the sum. */
#define torc_add(p, v)	__atomic_add_fetch((p), (v), __ATOMIC_ACQ_REL)

#if defined(__SANITIZE_THREAD__)
#define TORC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TORC_TSAN 1
#endif
#endif

#ifdef TORC_TSAN
/*
 * ThreadSanitizer does not model fences (and gcc says so at each of them).  The
 * accesses that ours order are either atomic and checked all the same, or the
 * intended races of torc_racy_*(), which it must not see.
 */
#include <sanitizer/tsan_interface.h>

#define TORC_RACY __attribute__((no_sanitize("thread"), noinline, unused))
static inline void torc_fence_full(void)
{
	uint32_t word = 0;

	__atomic_fetch_add(&word, 1, __ATOMIC_SEQ_CST);
	__asm__ __volatile__("" : : "r"(&word) : "memory");
}

#define torc_fence_acquire()	__asm__ __volatile__("" : : : "memory")
#define torc_fence_release()	__asm__ __volatile__("" : : : "memory")
#else
#define torc_fence_full()	__atomic_thread_fence(__ATOMIC_SEQ_CST)
#define torc_fence_acquire()	__atomic_thread_fence(__ATOMIC_ACQUIRE)
#define torc_fence_release()	__atomic_thread_fence(__ATOMIC_RELEASE)
#endif

/* Keep the compiler from moving accesses across; the processor still may. */
#define torc_fence_compiler()	__asm__ __volatile__("" : : : "memory")

/* Tell the processor that this is a spin loop. */
static inline void torc_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("isb" : : : "memory");
#else
	__asm__ __volatile__("" : : : "memory");
#endif
}

/*
 * The one intended data race: a lossy consumer loads a header or copies a
 * payload, or a publisher walks over headers, while another may already be
 * overwriting them.  What they got is thrown away when the floor, looked at
 * afterwards, has passed it (consumer.h, mp.h).
 */
#ifdef TORC_TSAN
TORC_RACY static uint64_t torc_racy_load(const uint64_t *p)
{
	uint64_t value = *(const volatile uint64_t *)p;

	torc_fence_acquire();
	/* The access is hidden, the ordering is not. */
	__tsan_acquire((void *)(uintptr_t)p);
	return value;
}

TORC_RACY static void
torc_racy_copy(void *to, const void *from, size_t size)
{
	const volatile unsigned char *source = (const unsigned char *)from;
	unsigned char *target = (unsigned char *)to;

	for (size_t i = 0; i < size; i++)
		target[i] = source[i];
	torc_fence_acquire();
}
#else
static inline uint64_t torc_racy_load(const uint64_t *p)
{
	return torc_load_acquire(p);
}

static inline void torc_racy_copy(void *to, const void *from, size_t size)
{
	torc_copy_payload(to, from, size);
	torc_fence_acquire();
}
#endif

#define torc_copy(to, from, size)	memcpy((to), (from), (size))
#define torc_zero(to, size)		memset((to), 0, (size))

#define torc_prefetch(p)	__builtin_prefetch(p)

/* The same of a line that will be written.  gcc uses this instruction only where
 * it is told of the processor; who does not know it passes over it. */
#ifdef __x86_64__
#define torc_prefetch_write(p)						\
	__asm__ volatile("prefetchw %0" : : "m"(*(const char *)(p)))
#else
#define torc_prefetch_write(p)	__builtin_prefetch((p), 1)
#endif

#endif /* TORC_ATOMIC_HEADER */

#define torc_likely(x)		__builtin_expect(!!(x), 1)
#define torc_unlikely(x)	__builtin_expect(!!(x), 0)

#endif /* TORC_ATOMIC_H */
