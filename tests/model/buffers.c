/* SPDX-License-Identifier: MIT */
/*
 * Stores on their way to memory: those that wait in a thread's buffer, and early
 * ones, which are in memory and have to be waited for all the same before what
 * is ordered behind them.
 */
#include "world.h"

#include <string.h>

static bool overlaps(const struct entry *e, uint32_t offset, size_t size)
{
	return e->offset < offset + size && offset < e->offset + e->size;
}

bool buffer_has(const struct thread *t, uint32_t offset, size_t size)
{
	for (uint32_t i = 0; i < t->buffered; i++)
		if (overlaps(&t->buffer[i], offset, size))
			return true;
	return false;
}

void buffer_read(const struct thread *t, uint32_t offset, void *to, size_t size)
{
	memcpy(to, model_memory + offset, size);
	for (uint32_t i = 0; i < t->buffered; i++) {
		const struct entry *e = &t->buffer[i];
		uint32_t from = e->offset > offset ? e->offset : offset;
		uint32_t end = e->offset + e->size;

		if (end > offset + size)
			end = offset + (uint32_t)size;
		if (from < end)
			memcpy((unsigned char *)to + (from - offset),
			       (const unsigned char *)entry_bytes(e) +
				       (from - e->offset),
			       end - from);
	}
}

void buffer_put(struct thread *t, struct entry e)
{
	t->buffer[t->buffered++] = e;
	t->waiting += e.size != 0;
}

static void buffer_remove(struct thread *t, uint32_t i)
{
	t->waiting -= t->buffer[i].size != 0;
	t->buffered--;
	memmove(&t->buffer[i], &t->buffer[i + 1],
		(t->buffered - i) * sizeof(t->buffer[0]));
	for (uint32_t j = 0; j < t->early_count; j++)
		t->early[j].older -= t->early[j].older > i;
}

/* A fence that is the oldest, and has nothing left to order. */
static void drop_fences(struct thread *t)
{
	while (t->buffered && !t->buffer[0].size) {
		for (uint32_t i = 0; i < t->early_count; i++)
			if (!t->early[i].older)
				return;
		buffer_remove(t, 0);
	}
}

void buffer_fence(struct thread *t)
{
	/* The last says all that the one before it would. */
	if (t->buffered && !t->buffer[t->buffered - 1].size)
		buffer_remove(t, t->buffered - 1);
	buffer_put(t, (struct entry){ .size = 0 });
	drop_fences(t);
}

bool buffer_put_early(struct thread *t, uint32_t offset, size_t size)
{
	struct early_store e = {
		.word = (uint16_t)(offset / 8),
		.words = (uint16_t)((offset + size + 7) / 8 - offset / 8),
		.older = t->buffered,
	};

	for (uint32_t i = 0; i < t->early_count; i++)
		if (!memcmp(&t->early[i], &e, sizeof(e)))
			return true;
	if (t->early_count == EARLY)
		return false;
	t->early[t->early_count++] = e;
	return true;
}

void buffer_early_words(const struct thread *t, struct words *ret)
{
	for (uint32_t i = 0; i < t->early_count; i++)
		words_add(ret, t->early[i].word * 8u, t->early[i].words * 8u);
}

/* Early stores with at most @older entries before them are seen by all. */
static void settle_older(struct thread *t, uint32_t older)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < t->early_count; i++)
		if (t->early[i].older > older)
			t->early[n++] = t->early[i];
	t->early_count = n;
}

void buffer_settle(struct thread *t)
{
	settle_older(t, UINT32_MAX);
	drop_fences(t);
}

static bool is_ordered(const struct entry *e)
{
	return e->release || order == MODEL_TSO;
}

/* May the entry @i leave before those that are older? */
bool may_flush(const struct thread *t, uint32_t i)
{
	const struct entry *e = &t->buffer[i];
	bool waiting = false;

	if (!e->size)
		return false;
	for (uint32_t j = 0; j < i; j++) {
		const struct entry *older = &t->buffer[j];

		waiting |= older->size != 0;
		if (waiting && (!older->size || is_ordered(e) ||
				overlaps(older, e->offset, e->size)))
			return false;
	}
	return true;
}

/* What has to be seen before the entry @i. */
static void settle_before(struct thread *t, uint32_t i)
{
	if (is_ordered(&t->buffer[i])) {
		settle_older(t, i);
		return;
	}
	while (i--)
		if (!t->buffer[i].size) {
			settle_older(t, i);
			return;
		}
}

void flush(struct thread *t, uint32_t i)
{
	settle_before(t, i);
	memory_write(t, t->buffer[i].offset, entry_bytes(&t->buffer[i]),
		     t->buffer[i].size);
	buffer_remove(t, i);
	drop_fences(t);
	if (t->waiting)
		return;
	if (t->ended)
		happened(t);
	for (uint32_t j = 0; j < world.count; j++)
		world.threads[j].barriers &= ~(1u << thread_index(t));
}
