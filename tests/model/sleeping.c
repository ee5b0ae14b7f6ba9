/* SPDX-License-Identifier: MIT */
/*
 * The library's own waiting, with the explorer's system calls.
 */
#include "ring.h"

#define syscall model_syscall
#include <wait.c>
#undef syscall
#include <bell_arm.h>

static const struct torc_mapping by_futex;
static const struct torc_topic topic = { .mapping = &by_futex };

void sleep_on(uint32_t *word, bool (*ready)(void *context), void *context)
{
	torc_sleep(&topic, &word, 1, TORC_SLEEP_NS, ready, context);
}

/* What stands for a bell's eventfd: 1 when it is to be read. */
static uint32_t *event_of(struct torc_subscriber_slot_shm *slot)
{
	return &slot->bell_hint;
}

void sleep_behind_bell(struct torc_subscriber_slot_shm *slot, uint32_t *word,
		       bool (*ready)(void *context), void *context)
{
	torc_bell_arm(slot, word);
	torc_wake_barrier();
	if (ready(context)) {
		torc_store_relaxed(&slot->bell_armed, 0u);
		return;
	}
	model_syscall(SYS_futex, event_of(slot), FUTEX_WAIT, 0);
	torc_cas(event_of(slot), 1u, 0u);
}

static void ring_bells(void)
{
	for (uint32_t i = 0; i < given.bells; i++) {
		struct torc_subscriber_slot_shm *slot =
			torc_subscriber_slot(&ring, i);

		if (!torc_bell_disarm(slot))
			continue;
		torc_cas(event_of(slot), 0u, 1u);
		model_syscall(SYS_futex, event_of(slot), FUTEX_WAKE, INT_MAX);
	}
}

/* As torc_pub_wake_subscribers(). */
void wake(uint32_t *word)
{
	if (!torc_word_armed(word, given.fences))
		return;
	if (!given.bells) {
		torc_wake(&topic, word);
	} else if (torc_word_disarm(word)) {
		ring_bells();
		torc_wake_sleepers(&topic, word);
	}
}

void membarrier_is_refused(bool is)
{
	model_membarrier_refused = is;
	register_once();
	given.fences = refused;
}
