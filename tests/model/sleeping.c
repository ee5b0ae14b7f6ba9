/* SPDX-License-Identifier: MIT */
/*
 * The library's own waiting, with the explorer's system calls.
 */
#include "ring.h"

#define syscall model_syscall
#include <wait.c>
#undef syscall

static const struct torc_mapping by_futex;
static const struct torc_topic topic = { .mapping = &by_futex };

void sleep_on(uint32_t *word, bool (*ready)(void *context), void *context)
{
	torc_sleep(&topic, &word, 1, TORC_SLEEP_NS, ready, context);
}

void wake(uint32_t *word)
{
	if (torc_word_armed(word, given.fences))
		torc_wake(&topic, word);
}

void membarrier_is_refused(bool is)
{
	model_membarrier_refused = is;
	register_once();
	given.fences = refused;
}
