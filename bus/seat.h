/* SPDX-License-Identifier: MIT */
/*
 * A subscriber as a set sees it (sub_look.c).
 */
#ifndef BUS_SEAT_H
#define BUS_SEAT_H

#include "topic.h"

/* A subscriber's place in a set. */
struct torc_seat {
	struct torc_subscriber *sub;
	struct torc_topic *topic;
	struct torc_cursors_shm *cursors;
	struct torc_subscriber_slot_shm *slot;	/* NULL: cannot be woken */
	uint32_t slot_index;
	int subscription;	/* of mapping->subscribe() */
	/* the set's */
	struct torc_set *set;	/* NULL: in none */
	void *data;
	uint32_t index;
	bool warm, spoke;
};

struct torc_seat *torc_sub_seat(struct torc_subscriber *sub);
/* Has it something to say? */
bool torc_sub_ready(struct torc_subscriber *sub);
/* It has not: wake publishers that wait for room. */
void torc_sub_settle(struct torc_subscriber *sub);
/* Pass over the claims of dead publishers, if it is these that hold us up. */
bool torc_sub_skip_dead(struct torc_subscriber *sub);

#endif /* BUS_SEAT_H */
