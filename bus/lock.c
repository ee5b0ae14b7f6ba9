/* SPDX-License-Identifier: MIT */
/*
 * Open-file-description locks.  The kernel drops them when the last descriptor
 * of the description is closed, so also at any death of its process; threads
 * and handles of one process conflict like strangers as long as each has a
 * description of its own.
 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

int torc_lock_set(int fd, short type, uint64_t first, uint64_t length)
{
	struct flock lock = { .l_type = type,
			      .l_whence = SEEK_SET,
			      .l_start = (off_t)first,
			      .l_len = (off_t)length };

	if (!fcntl(fd, F_OFD_SETLK, &lock))
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

bool torc_lock_pause(int *tries)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	nanosleep(&pause, NULL);
	return ++*tries < 1000;
}

int torc_lock_set_patiently(int fd, short type, uint64_t first)
{
	int tries = 0, r;

	do
		r = torc_lock_set(fd, type, first, 1);
	while (r == -EAGAIN && torc_lock_pause(&tries));
	return r == -EAGAIN ? -EBUSY : r;
}

void torc_held_begin(struct torc_forkable *held)
{
	held->fds[0] = held->fds[1] = -1;
	torc_forkable_add(held);
}

void torc_held_end(struct torc_forkable *held)
{
	for (int i = 0; i < 2; i++)
		if (held->fds[i] >= 0)
			torc_lock_set(held->fds[i], F_UNLCK, 0, 0);
	torc_forkable_remove(held);
}

int torc_lock_probe(int fd, uint64_t first)
{
	/* A read lock: others' read locks must not be taken for an owner. */
	struct flock lock = { .l_type = F_RDLCK,
			      .l_whence = SEEK_SET,
			      .l_start = (off_t)first,
			      .l_len = 1 };

	if (fcntl(fd, F_OFD_GETLK, &lock))
		return -errno;
	return lock.l_type != F_UNLCK;
}
