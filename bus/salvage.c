/* SPDX-License-Identifier: MIT */
/*
 * Finding the messages that are intact in a file that the machine left in the
 * midst of writing.  Nothing in it is believed but a message that fits its check
 * word.
 */
#include "salvage.h"

#include "check.h"

/* The position of check word @i, whose upper bits are those next to @near. */
static uint64_t position_of(const struct torc_ring *ring, uint64_t i,
			    uint64_t near)
{
	uint64_t lap = near / ring->capacity;
	uint32_t low = (uint32_t)(torc_load_relaxed(&torc_checks(ring)[i]) >> 32);

	lap += (uint64_t)(int64_t)(int32_t)(low - (uint32_t)lap);
	return lap * ring->capacity + i * TORC_RECORD_ALIGN;
}

/* Bytes of an intact message at @position, and its header; else 0. */
static uint64_t intact(const struct torc_ring *ring, uint64_t position,
		       uint64_t *ret_header)
{
	*ret_header = torc_check_message(ring, position);
	return *ret_header ? torc_record_extent(ring, position, *ret_header)
			   : 0;
}

/* The end of the newest message; @tail if there is none. */
static uint64_t newest_end(const struct torc_ring *ring, uint64_t tail)
{
	uint64_t end = tail, position, size, header;
	bool found = false;

	for (uint64_t i = 0; i < ring->capacity / TORC_RECORD_ALIGN; i++) {
		position = position_of(ring, i, tail);
		size = intact(ring, position, &header);
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
		if (!torc_load_relaxed(&torc_checks(ring)[i]) ||
		    position - end >= ring->window - ring->record_max)
			continue;
		header = torc_load_relaxed(torc_header_at(ring, position));
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
	uint64_t header = torc_load_relaxed(torc_header_at(ring, position));
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
		if (torc_load_relaxed(&ring->shm->marks[i].position) !=
		    position)
			continue;
		*ret_count = torc_load_relaxed(&ring->shm->marks[i].count);
		return true;
	}
	return false;
}

/* Where messages may be: from the floor, if that can be believed, to the end. */
static void find_bounds(const struct torc_ring *ring, uint64_t first,
			struct torc_salvage *ret)
{
	uint64_t tail = torc_load_relaxed(&ring->shm->tail) &
			~(uint64_t)(TORC_RECORD_ALIGN - 1);
	struct torc_mark floor;

	ret->end = torn_end(ring, newest_end(ring, tail));
	if (torc_distance(tail, ret->end) > 0 &&
	    tail - ret->end <= ring->window)
		ret->end = tail;
	/* No floor is so far back that there is no room for a step. */
	ret->begin = ret->end + 2 * ring->mark_step - ring->window;
	if (torc_distance(first, ret->begin) > 0 &&
	    torc_distance(first, ret->end) <= 0 && !(first % TORC_RECORD_ALIGN))
		ret->begin = first;
	if (!torc_mark_current(ring, &ring->shm->floor, &floor) &&
	    ret->end - floor.position <= ring->window)
		ret->begin = floor.position;
}

void torc_salvage_find(const struct torc_ring *ring, uint64_t first,
		       struct torc_salvage *ret)
{
	struct torc_salvage found = { .messages = 0 };
	uint64_t filled, filler, size, header, count;
	bool numbered = false;

	find_bounds(ring, first, &found);
	filled = found.begin;
	for (uint64_t p = found.begin; p != found.end; p += size) {
		if (!numbered && marked(ring, p, &count)) {
			found.sequence = count - found.messages;
			numbered = true;
		}
		size = intact(ring, p, &header);
		if (size && size <= found.end - p) {
			found.messages++;
			continue;
		}
		size = TORC_RECORD_ALIGN;
		filler = filler_end(ring, p);
		if (torc_distance(filler, filled) > 0)
			filled = filler;
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
		size = intact(ring, p, &header);
		if (!size || size > found->end - p) {
			size = TORC_RECORD_ALIGN;
			continue;
		}
		message.data = torc_header_at(ring, p) + 1;
		message.length = torc_header_length(header);
		message.position = p;
		message.publisher = torc_header_slot(header);
		r = each(&message, context);
		message.sequence++;
	}
	return r;
}
