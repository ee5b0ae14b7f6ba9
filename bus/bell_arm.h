/* SPDX-License-Identifier: MIT */
/*
 * Wait words (torc/word.h) for who sleeps behind a descriptor: besides the word the
 * subscriber's bell is armed, and who disarms the word rings the bells that it can
 * disarm.  A ring stays to be heard, so a bell may be rung before its owner sleeps.
 */
#ifndef BUS_BELL_ARM_H
#define BUS_BELL_ARM_H

#include "internal.h"

/* Then let wakers pass a barrier, look once more, and sleep until it is rung. */
static inline void torc_bell_arm(struct torc_subscriber_slot_shm *slot,
				 uint32_t *word)
{
	torc_store_relaxed(&slot->bell_armed, 1u);
	/* Who finds the word armed sees that of the bell, too. */
	torc_word_arm(word);
}

/* After torc_word_disarm(): true if the bell is ours to ring. */
static inline bool torc_bell_disarm(struct torc_subscriber_slot_shm *slot)
{
	return torc_load_relaxed(&slot->bell_armed) &&
	       torc_cas(&slot->bell_armed, 1u, 0u);
}

#endif /* BUS_BELL_ARM_H */
