/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * Wait words: who sleeps, and who has to be woken (an event count).
 *
 *	sleeper					waker
 *	v = torc_word_arm(word)			store what is waited for
 *	let wakers pass a barrier		if (torc_word_armed(word, fence) &&
 *	nothing there yet?			    torc_word_disarm(word))
 *	sleep while *word is v				wake who sleeps on it
 *
 * The waker's store and its look may pass each other in the processor.  Either
 * the sleeper sees to it that they do not, by membarrier(), or the waker fences.
 * One or the other: then the waker sees the word armed, or the sleeper sees what
 * was stored.
 *
 * A waker disarms the word first, from the value it saw, and then wakes: a
 * sleeper that is about to sleep finds another value and looks again.  (The other
 * way round it could fall asleep between the two, on a word that nobody would
 * wake.)  It cannot disarm what a later sleeper armed, because arming changes the
 * sequence.
 *
 * How one sleeps and wakes is not told here: a futex, a doorbell, a kernel's wait
 * queue.
 */
#ifndef TORC_WORD_H
#define TORC_WORD_H

#include <torc/abi.h>
#include <torc/atomic.h>

/* More than honest participants will spoil one after the other. */
#define TORC_WORD_TRIES	100u

/*
 * Arm @word, with a new sequence; returns what it holds then.  If others changed it
 * at each try, it is not armed by us, and does not hold what is returned: who would
 * sleep on it looks again.
 */
static inline uint32_t torc_word_arm(uint32_t *word)
{
	uint32_t seen, armed;
	unsigned int tries = TORC_WORD_TRIES;

	do {
		seen = torc_load_relaxed(word);
		armed = (seen + 2) | TORC_WORD_ARMED;
	} while (!torc_cas(word, seen, armed) && --tries);
	/*
	 * MO(torc_word_arm:A), pairs with torc_word_armed:A.  Event count: who
	 * stores after this sees the word armed.
	 */
	torc_fence_full();
	return armed;
}

/* After a store that somebody may be waiting for: may somebody sleep? */
static inline int torc_word_armed(const uint32_t *word, int fence)
{
	/*
	 * MO(torc_word_armed:A), pairs with torc_word_arm:A.  Event count: the
	 * store before and this load may pass each other in the processor, unless
	 * @fence; then the sleeper's barrier orders them for us.
	 */
	torc_fence_compiler();
	if (torc_unlikely(fence))
		torc_fence_full();
	return (torc_load_relaxed(word) & TORC_WORD_ARMED) != 0;
}

/* Disarm @word as it is seen; true if it was armed. */
static inline int torc_word_disarm(uint32_t *word)
{
	uint32_t seen = torc_load_relaxed(word);

	if (!(seen & TORC_WORD_ARMED))
		return 0;
	torc_cas(word, seen, seen & ~TORC_WORD_ARMED);
	return 1;
}

#endif /* TORC_WORD_H */
