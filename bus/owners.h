/* SPDX-License-Identifier: MIT */
/*
 * Whose a slot is, and whether they live.
 */
#ifndef BUS_OWNERS_H
#define BUS_OWNERS_H

#include "process.h"

/* Who signed a slot; pid 0: nobody. */
struct torc_process torc_publisher_owner(const struct torc_ring *ring,
					 uint32_t slot);
struct torc_process torc_subscriber_owner(const struct torc_ring *ring,
					  uint32_t slot);

/*
 * Is the publisher or the subscriber in a slot alive?  @fd: a description of the
 * locks or the cursors object; a lock that it holds itself does not count.
 * 1, 0, or -1 if it cannot be told.
 */
int torc_publisher_alive(const struct torc_ring *ring, int fd, uint32_t slot);
int torc_subscriber_alive(const struct torc_ring *ring, int fd, uint32_t slot);

/*
 * Is the process there that signed a slot?  If not, and the slot is locked, somebody
 * is about to sign it, or is only looking whether its owner died.  -1 if it cannot be
 * told: the lock is most likely its own.
 */
int torc_publisher_present(const struct torc_ring *ring, uint32_t slot);
int torc_subscriber_present(const struct torc_ring *ring, uint32_t slot);

#endif /* BUS_OWNERS_H */
