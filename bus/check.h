/* SPDX-License-Identifier: MIT */
/*
 * Check words of messages on a disk.
 */
#ifndef BUS_CHECK_H
#define BUS_CHECK_H

#include "internal.h"

#include <unistd.h>

/* Bytes of the check words, in whole pages. */
static inline uint64_t torc_checks_size(uint64_t capacity)
{
	return torc_align(capacity / TORC_RECORD_ALIGN * sizeof(uint64_t),
			  (uint64_t)sysconf(_SC_PAGESIZE));
}

/* One for each TORC_RECORD_ALIGN bytes of records. */
static inline uint64_t *torc_checks(const struct torc_ring *ring)
{
	return (uint64_t *)(void *)(ring->data + ring->capacity);
}

/*
 * Note the check word of the message with @header at @position, before it is
 * committed.
 */
void torc_check_note(const struct torc_ring *ring, uint64_t position,
		     uint64_t header);
/* The same for the messages from @begin to @end, of which @header is the first. */
void torc_check_note_batch(const struct torc_ring *ring, uint64_t begin,
			   uint64_t end, uint64_t header);

/* The header at @position, if it is an intact message's; else 0. */
uint64_t torc_check_message(const struct torc_ring *ring, uint64_t position);

#endif /* BUS_CHECK_H */
