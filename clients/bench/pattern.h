/* SPDX-License-Identifier: MIT */
/*
 * What messages hold, and how that is checked.
 *
 * The first word is the publisher's index and a sequence number; the rest is a
 * piece of one table of random words, beginning at one of several places that
 * follows from the sequence number.  So no two consecutive messages agree in
 * any word, and checking one costs no more than a pass over its bytes.
 *
 * A publisher has several messages ready, of which each needs but its first word
 * to become a later one.  That word is written half a turn before the message is
 * sent.  Were it written just before, the copy into the ring, which loads more
 * than eight bytes at once, could not take it from the processor's store buffer:
 * it would wait until all earlier stores had reached the cache, those to the
 * ring included, and every system would look the same (48 bytes, near: 35
 * million messages/s whatever the ring).
 */
#ifndef TORC_BENCH_PATTERN_H
#define TORC_BENCH_PATTERN_H

#include <string.h>

#include "bench.h"

#define BENCH_PLACES		8u	/* at most; a power of two */
#define BENCH_PLACE_STEP	64u	/* bytes */
#define BENCH_READY_MAX		64u	/* messages that are ready */
#define BENCH_READY_BYTES	32768u	/* all of them, or two */
#define BENCH_SEQUENCE_BITS	56

static inline size_t bench_pattern_size(size_t size)
{
	return size + BENCH_PLACES * BENCH_PLACE_STEP;
}

/* Messages that a publisher has ready: a power of two, at least 2. */
static inline unsigned int bench_ready(size_t size)
{
	unsigned int count = BENCH_READY_MAX;

	while (count > 2 && count * size > BENCH_READY_BYTES)
		count /= 2;
	return count;
}

/* Where in the table the message @sequence begins. */
static inline size_t bench_pattern_place(uint64_t sequence, unsigned int places)
{
	return (size_t)(sequence & (places - 1)) * BENCH_PLACE_STEP;
}

static inline unsigned int bench_places(size_t size)
{
	unsigned int count = bench_ready(size);

	return count < BENCH_PLACES ? count : BENCH_PLACES;
}

static inline uint64_t bench_word(const void *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* Do @size bytes agree?  Inline for a few words, the C library's for more. */
static inline __attribute__((always_inline)) bool
bench_same(const unsigned char *a, const unsigned char *b, size_t size)
{
	uint64_t differ = 0;
	size_t i;

	if (size > 64)
		return !memcmp(a, b, size);
	for (i = 0; i + 8 <= size; i += 8)
		differ |= bench_word(a + i) ^ bench_word(b + i);
	for (; i < size; i++)
		differ |= (uint64_t)(a[i] ^ b[i]);
	return !differ;
}

/* Is @data, but for its first word, @pattern? */
static inline __attribute__((always_inline)) bool
bench_pattern_check(const unsigned char *pattern, const void *data, size_t size)
{
	return bench_same((const unsigned char *)data + 8, pattern + 8,
			  size - 8);
}

/* A publisher's messages. */
struct bench_source {
	unsigned char *messages;	/* a turn of them */
	size_t stride;			/* bytes from one to the next */
	uint64_t tag;			/* the publisher's index, in place */
	uint64_t sequence;		/* of the next message */
	unsigned int mask;		/* messages in a turn, less 1 */
};

static inline unsigned char *bench_source_at(const struct bench_source *source,
					     uint64_t sequence)
{
	return source->messages + (sequence & source->mask) * source->stride;
}

/* Make the message @sequence of the one that is there. */
static inline void bench_source_number(const struct bench_source *source,
				       uint64_t sequence)
{
	uint64_t first = source->tag | sequence;

	memcpy(bench_source_at(source, sequence), &first, sizeof(first));
}

/* The next message; prepares the one that comes half a turn later. */
static inline const void *bench_source_next(struct bench_source *source)
{
	uint64_t sequence = source->sequence++;

	bench_source_number(source, sequence + (source->mask + 1) / 2);
	return bench_source_at(source, sequence);
}

/* What a subscriber expects. */
struct bench_expected {
	uint64_t next[BENCH_PUBLISHERS_MAX];	/* sequence numbers */
	uint64_t received;			/* messages in all */
	unsigned int places;
};

#endif /* TORC_BENCH_PATTERN_H */
