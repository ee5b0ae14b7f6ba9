/* SPDX-License-Identifier: MIT */
/*
 * Open-file-description locks.
 */
#ifndef BUS_LOCK_H
#define BUS_LOCK_H

#include "process.h"

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
 * For locks that are held within a call: begin with no descriptors.  They are noted
 * in @held->fds, between torc_fork_hold() and torc_fork_allow(), before they are
 * locked, so that no child that another thread forks has them, even if we are killed.
 */
void torc_held_begin(struct torc_forkable *held);
/* Let go of the locks, also if a child has not closed them yet, and close. */
void torc_held_end(struct torc_forkable *held);

/* 1 if another description holds a write lock there, 0 if not, or an error. */
int torc_lock_probe(int fd, uint64_t first);

#endif /* BUS_LOCK_H */
