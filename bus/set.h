/* SPDX-License-Identifier: MIT */
/*
 * Sets, for the descriptor of a subscriber.
 */
#ifndef BUS_SET_H
#define BUS_SET_H

#include "internal.h"

/* A set of @sub alone, for a descriptor. */
int torc_set_open_alone(struct torc_subscriber *sub, enum torc_wait wait,
			struct torc_set **ret_set);
/* The one member of @set has nothing to say: let the descriptor rest. */
void torc_set_settle(struct torc_set *set);

#endif /* BUS_SET_H */
