/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * Copying payloads.  Included by atomic.h; another environment has its own.
 *
 * A payload begins 8 bytes past a multiple of 16, behind its header.  memcpy()
 * of glibc 2.36 takes longer from or to such a place: on Zen 4, in a ring of
 * 4 MiB, 72 instead of 61 ns for 4 KiB and 1.8 instead of 1.4 us for 64 KiB.
 */
#ifndef TORC_COPY_H
#define TORC_COPY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Copy up to TORC_SHORT bytes, by moves that overlap: a call of memcpy() would
 * cost as much as the rest of publishing them.
 */
#define TORC_SHORT 64u

static inline void torc_copy_short(void *to, const void *from, size_t size)
{
	unsigned char *t = (unsigned char *)to;
	const unsigned char *f = (const unsigned char *)from;

	if (size == 8) {
		memcpy(t, f, 8);
	} else if (size < 8) {
		for (size_t i = 0; i < size; i++)
			t[i] = f[i];
	} else if (size <= 24) {
		size_t middle = size < 16 ? size - 8 : 8;

		memcpy(t, f, 8);
		memcpy(t + middle, f + middle, 8);
		memcpy(t + size - 8, f + size - 8, 8);
	} else {
		memcpy(t, f, 16);
		if (size > 32)
			memcpy(t + 16, f + 16, 16);
		if (size > 48)
			memcpy(t + 32, f + 32, 16);
		memcpy(t + size - 16, f + size - 16, 16);
	}
}

#ifdef __x86_64__
/*
 * Bytes from which on torc_copy_lines() is used.  Round trips of 1 KiB are 5 %
 * longer with it, a stream of them is as fast.
 */
#define TORC_LINES 2048u

typedef uint64_t torc_half_line
	__attribute__((vector_size(32), aligned(1), may_alias));
typedef uint64_t torc_half_line_aligned
	__attribute__((vector_size(32), may_alias));

/*
 * Copy TORC_LINES or more, whole lines of the target as far as there are.  The
 * first comes last: the header is in it, which the consumer polls, and polling
 * would take the line away between this and the commit.
 */
static __attribute__((__noinline__, __unused__, __target__("avx2"))) void
torc_copy_lines(void *to, const void *from, size_t size)
{
	unsigned char *target = (unsigned char *)to;
	const unsigned char *source = (const unsigned char *)from;
	size_t last = size - 64;

	for (size_t at = 64 - ((uintptr_t)to & 63); at < last; at += 64) {
		const torc_half_line *f =
			(const torc_half_line *)(source + at);
		torc_half_line_aligned *t = (torc_half_line_aligned *)
			__builtin_assume_aligned(target + at, 64);
		torc_half_line half = f[0], other = f[1];

		t[0] = half;
		t[1] = other;
		/* So that no compiler makes a memcpy() of it. */
		__asm__ __volatile__("" : : : "memory");
	}
	memcpy(target + last, source + last, 64);
	__asm__ __volatile__("" : : : "memory");
	memcpy(target, source, 64);
}
#endif

/* Any size, also none of nothing. */
static inline void torc_copy_payload(void *to, const void *from, size_t size)
{
	if (size <= TORC_SHORT)
		torc_copy_short(to, from, size);
#ifdef __x86_64__
	else if (size >= TORC_LINES && __builtin_cpu_supports("avx2"))
		torc_copy_lines(to, from, size);
#endif
	else
		memcpy(to, from, size);
}

#ifdef __cplusplus
}
#endif

#endif /* TORC_COPY_H */
