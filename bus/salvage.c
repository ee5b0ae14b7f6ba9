/* SPDX-License-Identifier: MIT */
/*
 * Messages on a disk: a check word for each, and finding those that are intact
 * in a file that the machine left in the midst of writing.
 *
 * Pages reach the disk in any order, and one may be there from before the last
 * lap.  So nothing in the file is believed but a message whose check word, which
 * lies elsewhere (behind the records, a word for each 16 bytes of them), fits
 * its position, header and payload.  That takes neither an order of writing nor
 * a log.  The check is against accidents, not against forgery.
 */
#include "check.h"
#include "salvage.h"

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

static uint64_t *checks_of(const struct torc_ring *ring)
{
	return (uint64_t *)(void *)(ring->data + ring->capacity);
}

static uint64_t *check_at(const struct torc_ring *ring, uint64_t position)
{
	return checks_of(ring) +
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

/* Bytes of the record at @position, if it is an intact message; else 0. */
static uint64_t check_message(const struct torc_ring *ring, uint64_t position)
{
	uint64_t header = *torc_header_at(ring, position), size;

	if (torc_header_kind(header) != TORC_RECORD_MESSAGE)
		return 0;
	size = torc_record_extent(ring, position, header);
	if (size && *check_at(ring, position) !=
			    check_word(ring, position, header))
		size = 0;
	return size;
}

/* ---- Finding ------------------------------------------------------------ */

/* The position of check word @i, whose upper bits are those next to @near. */
static uint64_t position_of(const struct torc_ring *ring, uint64_t i,
			    uint64_t near)
{
	uint64_t lap = near / ring->capacity;
	uint32_t low = (uint32_t)(checks_of(ring)[i] >> 32);

	lap += (uint64_t)(int64_t)(int32_t)(low - (uint32_t)lap);
	return lap * ring->capacity + i * TORC_RECORD_ALIGN;
}

/* The end of the newest message; @tail if there is none. */
static uint64_t newest_end(const struct torc_ring *ring, uint64_t tail)
{
	uint64_t end = tail, position, size;
	bool found = false;

	for (uint64_t i = 0; i < ring->capacity / TORC_RECORD_ALIGN; i++) {
		position = position_of(ring, i, tail);
		size = check_message(ring, position);
		if (!size || (found &&
			      torc_distance(position + size, end) <= 0))
			continue;
		end = position + size;
		found = true;
	}
	return end;
}

/* The end of what was published behind @end, and is torn; else @end. */
static uint64_t torn_end(const struct torc_ring *ring, uint64_t end)
{
	uint64_t torn = end, position, header, size;

	for (uint64_t i = 0; i < ring->capacity / TORC_RECORD_ALIGN; i++) {
		position = position_of(ring, i, end);
		if (!checks_of(ring)[i] ||
		    position - end >= ring->window - ring->record_max)
			continue;
		header = *torc_header_at(ring, position);
		size = torc_header_kind(header) == TORC_RECORD_MESSAGE
			       ? torc_record_extent(ring, position, header) : 0;
		if (!size)
			size = TORC_RECORD_ALIGN;
		if (torc_distance(position + size, torn) > 0)
			torn = position + size;
	}
	return torn;
}

/* Something that ends here may be what is left of a pad or of a claim. */
static uint64_t filler_end(const struct torc_ring *ring, uint64_t position)
{
	uint64_t header = *torc_header_at(ring, position);
	uint32_t kind = torc_header_kind(header);
	uint64_t size = (uint64_t)torc_header_length(header) + TORC_HEADER_SIZE;

	if ((kind != TORC_RECORD_PAD && kind != TORC_RECORD_BUSY) ||
	    size % TORC_RECORD_ALIGN || size > ring->capacity / 2)
		return position;
	return position + size;
}

/* Is it the position of a mark?  Its count of messages, then. */
static bool marked(const struct torc_ring *ring, uint64_t position,
		   uint64_t *ret_count)
{
	for (unsigned int i = 0; i < TORC_MARKS; i++) {
		if (ring->shm->marks[i].position != position)
			continue;
		*ret_count = ring->shm->marks[i].count;
		return true;
	}
	return false;
}

/* Where messages may be: from the floor, if that can be believed, to the end. */
static void find_bounds(const struct torc_ring *ring, uint64_t first,
			struct torc_salvage *ret)
{
	uint64_t tail = ring->shm->tail & ~(uint64_t)(TORC_RECORD_ALIGN - 1);
	struct torc_mark floor;

	ret->end = torn_end(ring, newest_end(ring, tail));
	if (torc_distance(tail, ret->end) > 0 &&
	    tail - ret->end <= ring->window)
		ret->end = tail;
	/* No floor is so far back that there is no room for a step. */
	ret->begin = ret->end + 2 * ring->mark_step - ring->window;
	if (torc_distance(first, ret->begin) > 0)
		ret->begin = first;
	if (!torc_mark_current(ring, &ring->shm->floor, &floor) &&
	    ret->end - floor.position <= ring->window)
		ret->begin = floor.position;
}

void torc_salvage_find(const struct torc_ring *ring, uint64_t first,
		       struct torc_salvage *ret)
{
	struct torc_salvage found = { .messages = 0 };
	uint64_t filled, size, count;
	bool numbered = false;

	find_bounds(ring, first, &found);
	filled = found.begin;
	for (uint64_t p = found.begin; p != found.end; p += size) {
		if (!numbered && marked(ring, p, &count)) {
			found.sequence = count - found.messages;
			numbered = true;
		}
		size = check_message(ring, p);
		if (size && size <= found.end - p) {
			found.messages++;
			continue;
		}
		size = TORC_RECORD_ALIGN;
		if (torc_distance(filler_end(ring, p), filled) > 0)
			filled = filler_end(ring, p);
		if (torc_distance(filled, p) <= 0)
			found.dropped += size;
	}
	*ret = found;
}

int torc_salvage_each(const struct torc_ring *ring,
		      const struct torc_salvage *found,
		      int (*each)(const struct torc_message *message,
				  void *context),
		      void *context)
{
	struct torc_message message = { .sequence = found->sequence };
	uint64_t size, header;
	int r = 0;

	for (uint64_t p = found->begin; p != found->end && !r; p += size) {
		size = check_message(ring, p);
		if (!size || size > found->end - p) {
			size = TORC_RECORD_ALIGN;
			continue;
		}
		header = *torc_header_at(ring, p);
		message.data = torc_header_at(ring, p) + 1;
		message.length = torc_header_length(header);
		message.position = p;
		message.publisher = torc_header_slot(header);
		r = each(&message, context);
		message.sequence++;
	}
	return r;
}
