/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * Several messages in one reservation, for both kinds of producer.  Included by
 * ring.h; start there.
 *
 * The records of a batch become visible all at once: every header but the first
 * is written before the first is committed.
 */
#ifndef TORC_BATCH_H
#define TORC_BATCH_H

#include <torc/layout.h>
#include <torc/message.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How many of @spans fit into one reservation that begins at @tail, and where
 * it would end.  -EMSGSIZE if the first alone is too long.
 */
static inline int torc_batch_measure(const struct torc_ring *ring, uint64_t tail,
				     const struct torc_span *spans, int count,
				     uint64_t *ret_end)
{
	uint64_t end = tail, next;
	int i;

	for (i = 0; i < count; i++) {
		if (spans[i].length > torc_message_max(ring))
			break;
		next = torc_record_size(spans[i].length);
		next += torc_record_place(ring, end, next);
		if (i > 0 && next - tail > ring->record_max)
			break;
		end = next;
	}
	*ret_end = end;
	return i ? i : -EMSGSIZE;
}

/*
 * Write the @count messages @spans from @tail on, all but the header at @tail,
 * which is returned: storing it with release commits the batch.
 */
static inline uint64_t torc_batch_write(const struct torc_ring *ring,
					uint64_t tail,
					const struct torc_span *spans, int count,
					uint32_t slot)
{
	uint64_t first = 0, end = tail;

	for (int i = 0; i < count; i++) {
		size_t length = spans[i].length;
		uint64_t size = torc_record_size(length);
		uint64_t start = torc_record_place(ring, end, size);
		uint64_t header = TORC_HEADER(TORC_RECORD_MESSAGE, slot, length);

		torc_copy_payload(torc_header_at(ring, start) + 1,
				  spans[i].data, length);
		if (start != end) {
			uint64_t pad =
				TORC_HEADER(TORC_RECORD_PAD, slot,
					    start - end - TORC_HEADER_SIZE);

			if (end == tail)
				first = pad;
			else
				torc_store_relaxed(torc_header_at(ring, end),
						   pad);
		}
		/* Ordered by the release of the first header. */
		if (start == tail)
			first = header;
		else
			torc_store_relaxed(torc_header_at(ring, start), header);
		end = start + size;
	}
	return first;
}

#ifdef __cplusplus
}
#endif

#endif /* TORC_BATCH_H */
