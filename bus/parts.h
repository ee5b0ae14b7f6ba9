/* SPDX-License-Identifier: MIT */
/*
 * The files beside a ring: "cursors", "locks", and "ring" while it is made.
 */
#ifndef BUS_PARTS_H
#define BUS_PARTS_H

#include "internal.h"

#define TORC_PART_NAME 64
void torc_part_name(const unsigned char id[16], const char *part,
		    char name[TORC_PART_NAME]);
/* Is @file the part of a ring?  Its id, then. */
bool torc_part_is(const char *file, unsigned char id[16]);

/* Open a part of the ring with that id; -errno. */
int torc_part_open(int bus_fd, const unsigned char id[16], const char *part,
		   int flags);
void torc_part_remove(int bus_fd, const unsigned char id[16], const char *part);

/* The same, if it is the owner's of @ring_fd; else -EPERM, and it stays. */
int torc_part_open_of(int ring_fd, int bus_fd, const unsigned char id[16],
		      const char *part, int flags);
void torc_part_remove_of(int ring_fd, int bus_fd, const unsigned char id[16],
			 const char *part);

#endif /* BUS_PARTS_H */
