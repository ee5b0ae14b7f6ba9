/* SPDX-License-Identifier: MIT */
/*
 * Loads that are made before those that come first in the program (MODEL_WEAK).
 *
 * A thread may take a snapshot of the memory at any time, at no cost, and make
 * later loads of it, as if they had been made then: they find what memory held.
 * A load with acquire, or an acquire fence after any load, that found something
 * newer than the snapshot ends it, and so does whatever passes a full barrier.
 * A word of which the thread has seen or stored something newer is not in it any
 * more.
 */
#include "world.h"

#include <string.h>

void snapshot_take(struct thread *t)
{
	struct snapshot *s = &t->snapshot;

	s->taken = true;
	s->mark = memory_mark();
	s->hash = memory_hash;
	/* What others have stored early may come after it. */
	for (uint32_t i = 0; i < world.count; i++)
		if (&world.threads[i] != t)
			buffer_early_words(&world.threads[i], &s->unsure);
}

void snapshot_drop(struct thread *t)
{
	if (t->snapshot.taken)
		memset(&t->snapshot, 0, sizeof(t->snapshot));
}

bool snapshot_is_idle(const struct thread *t)
{
	return t->snapshot.taken && t->snapshot.mark == memory_mark();
}

bool snapshot_has(const struct thread *t, uint32_t offset, size_t size)
{
	const struct snapshot *s = &t->snapshot;

	return s->taken && memory_has_changed(offset, size, s->mark, &s->newer);
}

bool snapshot_is_unsure(const struct thread *t, uint32_t offset, size_t size)
{
	return t->snapshot.taken &&
	       words_have(&t->snapshot.unsure, offset, size);
}

void snapshot_read(const struct thread *t, uint32_t offset, void *to,
		   size_t size)
{
	memory_read_old(offset, to, size, t->snapshot.mark, &t->snapshot.newer);
}

void snapshot_passed(struct thread *t, uint32_t offset, size_t size)
{
	if (t->snapshot.taken)
		words_add(&t->snapshot.newer, offset, size);
}

void snapshot_loaded(struct thread *t, uint32_t offset, size_t size,
		     bool acquire)
{
	struct snapshot *s = &t->snapshot;

	/* What was the same then may have been loaded then. */
	if (!words_have(&s->newer, offset, size) &&
	    !snapshot_has(t, offset, size))
		return;
	if (acquire) {
		snapshot_drop(t);
		return;
	}
	snapshot_passed(t, offset, size);
	s->is_old = true;
}

void snapshot_fence(struct thread *t)
{
	if (t->snapshot.is_old)
		snapshot_drop(t);
}
