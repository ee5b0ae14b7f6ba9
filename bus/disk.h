/* SPDX-License-Identifier: MIT */
/*
 * What a topic on a disk has that none in memory has.
 */
#ifndef BUS_DISK_H
#define BUS_DISK_H

#include "mapping.h"

/*
 * Note in the locks of a new topic, which are held, of which boot they are.  All
 * of its ring, open as @ring_fd, is on the disk then.
 */
int torc_disk_state_write(struct torc_topic *topic, int ring_fd);

enum torc_disk_age {
	TORC_DISK_COPY,		/* its parts are another file's, or gone */
	TORC_DISK_EARLIER,	/* the machine was started since */
	TORC_DISK_CURRENT,	/* who has no lock is dead */
};

/* How old an open topic is, an enum torc_disk_age; or -errno. */
int torc_disk_judge(struct torc_topic *topic);

/* Write out what @topic's ring holds, and wait for it; -errno. */
int torc_disk_sync(const struct torc_topic *topic);
/* Begin to. */
void torc_disk_sync_begin(const struct torc_topic *topic);

#endif /* BUS_DISK_H */
