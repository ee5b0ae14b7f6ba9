/* SPDX-License-Identifier: MIT */
/*
 * Check words.  Pages reach the disk in any order, and one may be there from
 * before the last lap.  So each message has a word that lies elsewhere (behind the
 * records, a word for each 16 bytes of them) and fits its position, header and
 * payload.  That takes neither an order of writing nor a log.  It is a check
 * against accidents, not against forgery.
 */
#include "check.h"

#include <string.h>

#define MIX 0x9e3779b97f4a7c15ull	/* 2^64 over the golden ratio */

static inline uint64_t mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * MIX;
	return hash ^ hash >> 29;
}

/* Lap and hash: what stands in the check word of a message. */
static uint64_t check_word(const struct torc_ring *ring, uint64_t position,
			   uint64_t header)
{
	const unsigned char *payload =
		(const unsigned char *)(torc_header_at(ring, position) + 1);
	size_t length = torc_header_length(header), i;
	uint64_t hash = mix(mix(MIX, position), header), word;

	for (i = 0; i + sizeof(word) <= length; i += sizeof(word)) {
		memcpy(&word, payload + i, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, payload + i, length - i);
	hash = mix(mix(hash, word), length);
	return position / ring->capacity << 32 | hash >> 32;
}

static uint64_t *check_at(const struct torc_ring *ring, uint64_t position)
{
	return torc_checks(ring) +
	       (position & ring->mask) / TORC_RECORD_ALIGN;
}

void torc_check_note(const struct torc_ring *ring, uint64_t position,
		     uint64_t header)
{
	torc_store_relaxed(check_at(ring, position),
			   check_word(ring, position, header));
}

void torc_check_note_batch(const struct torc_ring *ring, uint64_t begin,
			   uint64_t end, uint64_t header)
{
	uint64_t size;

	/* What stands in the ring may be anything. */
	for (uint64_t p = begin; p < end; p += size) {
		if (p != begin)
			header = torc_load_relaxed(torc_header_at(ring, p));
		size = torc_record_extent(ring, p, header);
		if (!size)
			return;
		if (torc_header_kind(header) == TORC_RECORD_MESSAGE)
			torc_check_note(ring, p, header);
	}
}

uint64_t torc_check_message(const struct torc_ring *ring, uint64_t position)
{
	uint64_t header = torc_load_relaxed(torc_header_at(ring, position));

	if (torc_header_kind(header) != TORC_RECORD_MESSAGE ||
	    !torc_record_extent(ring, position, header) ||
	    torc_load_relaxed(check_at(ring, position)) !=
		    check_word(ring, position, header))
		return 0;
	return header;
}
