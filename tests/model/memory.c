/* SPDX-License-Identifier: MIT */
/*
 * The memory that threads share: its hash, how it was before, and which of its
 * words are raced.
 *
 * A word is raced if a thread accesses it while another, that has accessed it
 * too, has made no step since; one of them writes.  Accesses to other words are
 * made early, as part of the step before: wherever else they came, nobody would
 * find a difference.  Which words are raced is found by trying: all are taken
 * not to be, and as long as some are found to be, everything is explored anew
 * with these.  docs/model-checking.md says why nothing is missed by that.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_SIZE (1u << 20)

unsigned char model_memory[MODEL_MEMORY] __attribute__((aligned(4096)));
uint64_t memory_hash;

static struct {
	uint32_t word;
	uint64_t was;
} changes[LOG_SIZE];
static size_t change_count;

/* One byte each. */
static bool raced[WORDS], found[WORDS];
static uint32_t found_count;

/* ---- Words ---------------------------------------------------------------- */

static uint64_t word_hash(uint32_t word, uint64_t value)
{
	return mix(value ^ (word + 1) * 0x9e3779b97f4a7c15u);
}

static uint32_t word_end(uint32_t offset, size_t size)
{
	return (offset + (uint32_t)size + 7) / 8;
}

static bool words_bit(const struct words *w, uint32_t word)
{
	return w->bits[word / 64] >> word % 64 & 1;
}

bool words_have(const struct words *w, uint32_t offset, size_t size)
{
	if (!w->hash)
		return false;
	for (uint32_t i = offset / 8; i < word_end(offset, size); i++)
		if (words_bit(w, i))
			return true;
	return false;
}

void words_add(struct words *w, uint32_t offset, size_t size)
{
	for (uint32_t i = offset / 8; i < word_end(offset, size); i++)
		if (!words_bit(w, i)) {
			w->bits[i / 64] |= (uint64_t)1 << i % 64;
			w->hash += mix(i + 1) | 1;
		}
}

void words_clear(struct words *w)
{
	if (w->hash)
		memset(w, 0, sizeof(*w));
}

/* ---- Contents ------------------------------------------------------------- */

static void word_put(uint32_t word, uint64_t value)
{
	uint64_t *at = (uint64_t *)(void *)model_memory + word;

	memory_hash ^= word_hash(word, *at) ^ word_hash(word, value);
	*at = value;
}

void memory_begin(bool forget)
{
	memset(model_memory, 0, sizeof(model_memory));
	change_count = 0;
	if (forget)
		memset(raced, 0, sizeof(raced));
	memset(found, 0, sizeof(found));
	found_count = 0;
}

void memory_ready(void)
{
	const uint64_t *words = (const uint64_t *)(const void *)model_memory;

	memory_hash = 0;
	for (uint32_t i = 0; i < WORDS; i++)
		memory_hash ^= word_hash(i, words[i]);
}

/* Those who wait for others to change it go on. */
static void word_changed(const struct thread *by, uint32_t word)
{
	for (uint32_t i = 0; i < world.count; i++) {
		struct thread *t = &world.threads[i];

		if (t != by && t->polls && words_bit(&t->polled, word))
			t->changed = true;
	}
}

void memory_write(const struct thread *by, uint32_t offset, const void *bytes,
		  size_t size)
{
	const unsigned char *from = bytes;

	memory_access(by, offset, size, true);
	while (size) {
		uint32_t word = offset / 8, skip = offset % 8;
		size_t n = 8 - skip < size ? 8 - skip : size;
		uint64_t was, is;

		memcpy(&was, model_memory + word * 8, 8);
		is = was;
		memcpy((unsigned char *)&is + skip, from, n);
		if (is != was) {
			if (change_count == LOG_SIZE)
				abort();
			changes[change_count].word = word;
			changes[change_count++].was = was;
			word_put(word, is);
			word_changed(by, word);
		}
		from += n;
		offset += (uint32_t)n;
		size -= n;
	}
}

size_t memory_mark(void)
{
	return change_count;
}

void memory_revert(size_t mark)
{
	while (change_count > mark) {
		change_count--;
		word_put(changes[change_count].word, changes[change_count].was);
	}
}

/* The first change of a word since @mark says what was there. */
bool memory_has_changed(uint32_t offset, size_t size, size_t mark,
			const struct words *except)
{
	uint32_t from = offset / 8, end = word_end(offset, size);
	struct words met = *except;
	uint64_t is;

	for (size_t i = mark; i < change_count; i++) {
		uint32_t word = changes[i].word;

		if (word < from || word >= end || words_bit(&met, word))
			continue;
		memcpy(&is, model_memory + word * 8, 8);
		if (changes[i].was != is)
			return true;
		words_add(&met, word * 8, 8);
	}
	return false;
}

void memory_read_old(uint32_t offset, void *to, size_t size, size_t mark,
		     const struct words *except)
{
	memcpy(to, model_memory + offset, size);
	for (size_t i = change_count; i-- > mark;) {
		uint32_t at = changes[i].word * 8;

		if (words_bit(except, changes[i].word))
			continue;
		for (uint32_t j = 0; j < 8; j++)
			if (at + j >= offset && at + j - offset < size)
				((unsigned char *)to)[at + j - offset] =
					((unsigned char *)&changes[i].was)[j];
	}
}

/* ---- Races ---------------------------------------------------------------- */

bool memory_is_raced(uint32_t offset, size_t size)
{
	for (uint32_t i = offset / 8; i < word_end(offset, size); i++)
		if (raced[i])
			return true;
	return false;
}

static void find_race(uint32_t word)
{
	if (raced[word] || found[word])
		return;
	found[word] = true;
	found_count++;
}

static void find_races_with(const struct thread *t, uint32_t from, uint32_t end,
			    bool writes)
{
	for (uint32_t i = from; writes && t->loaded.hash && i < end; i++)
		if (words_bit(&t->loaded, i))
			find_race(i);
	for (uint32_t i = 0; i < t->early_count; i++) {
		const struct early_store *e = &t->early[i];
		uint32_t last = e->word + e->words;

		for (uint32_t j = from > e->word ? from : e->word;
		     j < end && j < last; j++)
			find_race(j);
	}
}

void memory_access(const struct thread *by, uint32_t offset, size_t size,
		   bool writes)
{
	for (uint32_t i = 0; i < world.count; i++)
		if (&world.threads[i] != by)
			find_races_with(&world.threads[i], offset / 8,
					word_end(offset, size), writes);
}

void memory_found_race(uint32_t offset, size_t size)
{
	for (uint32_t i = offset / 8; i < word_end(offset, size); i++)
		find_race(i);
}

uint32_t memory_races_found(void)
{
	return found_count;
}

uint32_t memory_races(void)
{
	uint32_t count = found_count;

	for (uint32_t i = 0; i < WORDS; i++)
		raced[i] |= found[i];
	memset(found, 0, sizeof(found));
	found_count = 0;
	return count;
}
