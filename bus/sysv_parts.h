/* SPDX-License-Identifier: MIT */
/*
 * The segments of System V topics.
 */
#ifndef BUS_SYSV_PARTS_H
#define BUS_SYSV_PARTS_H

#include "internal.h"

#include <sys/ipc.h>

/* What the file .<id>.locks holds, which who may only receive cannot write. */
struct torc_sysv_ring {
	int32_t key;
	int32_t reserved;
};

/* The key of the segment of the cursors of the ring @id. */
key_t torc_sysv_cursors_key(const unsigned char id[16]);

/*
 * Is this the locks file of a topic in System V segments that is there?  If not,
 * what is left of them is removed.  Nobody takes part in it, nor makes it.
 */
bool torc_sysv_stays(int locks_fd, const unsigned char id[16]);

#endif /* BUS_SYSV_PARTS_H */
