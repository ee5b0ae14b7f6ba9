/* SPDX-License-Identifier: MIT */
/*
 * What a topic on a disk has that none in memory has.
 */
#ifndef BUS_DISK_H
#define BUS_DISK_H

#include "mapping.h"

/*
 * What the locks object of a topic on a disk says: when, and of which file, it is
 * true that who has no lock is dead.
 */
struct torc_disk_state {
	unsigned char boot[16];	/* the machine's boot ID */
	uint64_t inode;		/* of the ring: a copy is not what it is of */
	uint64_t kept, dropped;	/* when it was last reopened after a crash:
				   messages, and bytes */
};

/* Write it, for the ring @ring_fd, all of which is on the disk then. */
int torc_disk_state_write(struct torc_topic *topic, int locks_fd, int ring_fd);

/* False if it was used before the machine was last started, or is a copy. */
bool torc_disk_is_current(struct torc_topic *topic);

/* Write out what @topic's ring holds, and wait for it; -errno. */
int torc_disk_sync(const struct torc_topic *topic);
/* Begin to. */
void torc_disk_sync_begin(const struct torc_topic *topic);

#endif /* BUS_DISK_H */
