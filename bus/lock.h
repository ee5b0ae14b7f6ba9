/* SPDX-License-Identifier: MIT */
/*
 * Open-file-description locks.
 */
#ifndef BUS_LOCK_H
#define BUS_LOCK_H

#include "internal.h"

/*
 * @type is F_RDLCK, F_WRLCK or F_UNLCK.  0; -EAGAIN if another description has a
 * lock in the way; or an error of the system.
 */
int torc_lock_set(int fd, short type, uint64_t first, uint64_t length);

/* A pause before trying again where a lock is held for moments only. */
bool torc_lock_pause(int *tries);
/* What a try costs where the lock is most likely held for long. */
#define TORC_LOCK_DOUBTFUL 50
/* torc_lock_set() of one byte, trying so for a while. */
int torc_lock_set_patiently(int fd, short type, uint64_t first);

/*
 * Close @fd, if it is not -1, and let go of its locks, which a child that another
 * thread forked meanwhile would hold on to.
 */
void torc_lock_close(int fd);

/* 1 if another description holds a write lock there, 0 if not, or an error. */
int torc_lock_probe(int fd, uint64_t first);

#endif /* BUS_LOCK_H */
