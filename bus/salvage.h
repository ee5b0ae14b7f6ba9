/* SPDX-License-Identifier: MIT */
/*
 * Messages on a disk, in a ring in which nobody takes part.
 */
#ifndef BUS_SALVAGE_H
#define BUS_SALVAGE_H

#include "internal.h"

/* What is left in a ring in which nobody takes part. */
struct torc_salvage {
	uint64_t begin, end;	/* positions; the messages lie between */
	uint64_t messages;	/* that are intact */
	uint64_t sequence;	/* of the first */
	uint64_t dropped;	/* bytes between that are no messages any more */
};

/* @first: where the ring began. */
void torc_salvage_find(const struct torc_ring *ring, uint64_t first,
		       struct torc_salvage *ret);
int torc_salvage_each(const struct torc_ring *ring,
		      const struct torc_salvage *found,
		      int (*each)(const struct torc_message *message,
				  void *context),
		      void *context);

#endif /* BUS_SALVAGE_H */
