/* SPDX-License-Identifier: MIT */
/*
 * Clearing away what the dead left.
 */
#ifndef BUS_REPAIRER_H
#define BUS_REPAIRER_H

#include "topic.h"

/* Open locks and cursors for locking into @forkable->fds, in this order. */
int torc_describe_locks(struct torc_topic *topic, struct torc_forkable *forkable);

struct torc_repairer {
	const struct torc_ring *ring;		/* writable */
	const struct torc_forkable *forkable;	/* torc_describe_locks() */
	uint32_t own_slot;	/* its publisher's; TORC_PUBLISHERS_MAX: none */
};

/* Mend the claim at @position if it is a dead publisher's; 1 if so: then wake. */
int torc_repair_claim(struct torc_repairer *repairer, uint64_t position);
/* Those of all dead publishers; how many. */
int torc_repair_claims(struct torc_repairer *repairer);
/* Free a subscriber's slot if it died; true if so. */
bool torc_repair_subscriber(struct torc_repairer *repairer, uint32_t slot);

#endif /* BUS_REPAIRER_H */
