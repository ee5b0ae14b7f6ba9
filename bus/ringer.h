/* SPDX-License-Identifier: MIT */
/*
 * Ringing doorbells.
 */
#ifndef BUS_RINGER_H
#define BUS_RINGER_H

#include "mapping.h"

struct torc_ringer;

/*
 * Ring the armed bells of the subscribers of @of, the ring of @topic.  @ringer
 * keeps what that needs, and is NULL at first.
 */
void torc_bells_ring(struct torc_ringer **ringer,
		     const struct torc_topic *topic,
		     const struct torc_ring *of);
struct torc_ringer *torc_ringer_free(struct torc_ringer *ringer);

#endif /* BUS_RINGER_H */
