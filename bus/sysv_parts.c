/* SPDX-License-Identifier: MIT */
/*
 * What the locks file of a System V topic says of its segments, and whether they
 * are still there: what is left of those whose maker or remover died is removed.
 */
#include "sysv_parts.h"

#include <signal.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

key_t torc_sysv_cursors_key(const unsigned char id[16])
{
	key_t key;

	memcpy(&key, id, sizeof(key));
	return key == IPC_PRIVATE ? 1 : key;
}

/* Is it the ring @id, as far as can be told? */
static bool is_ring(int segment, const unsigned char id[16])
{
	const struct torc_constants_shm *shared;
	struct shmid_ds ds;
	bool is = true;

	if (shmctl(segment, IPC_STAT, &ds))
		return errno == EACCES;
	if (ds.shm_segsz < sizeof(*shared))
		return false;
	shared = shmat(segment, NULL, SHM_RDONLY);
	if (shared == (const void *)-1)
		return true;
	is = torc_load_acquire(&shared->magic) == TORC_RING_MAGIC &&
	     !memcmp(shared->id, id, sizeof(shared->id));
	shmdt(shared);
	return is;
}

/* Did the maker of the segment under a topic's key die before it was a ring? */
static bool is_half_made(int segment)
{
	const struct torc_constants_shm *shared;
	struct shmid_ds ds;
	bool is;

	if (shmctl(segment, IPC_STAT, &ds) || ds.shm_nattch ||
	    ds.shm_segsz < sizeof(*shared) || ds.shm_cpid <= 0 ||
	    !kill(ds.shm_cpid, 0) || errno != ESRCH)
		return false;
	shared = shmat(segment, NULL, SHM_RDONLY);
	if (shared == (const void *)-1)
		return false;
	is = !torc_load_acquire(&shared->magic);
	shmdt(shared);
	return is;
}

/* Files say what they like: only a segment that is their owner's, too. */
static void remove_segment_of(int segment, uid_t owner)
{
	struct shmid_ds ds;

	if (segment >= 0 && !shmctl(segment, IPC_STAT, &ds) &&
	    ds.shm_perm.uid == owner)
		shmctl(segment, IPC_RMID, NULL);
}

bool torc_sysv_stays(int locks_fd, const unsigned char id[16])
{
	struct torc_sysv_ring noted;
	struct stat st;
	int ring = -1;

	if (fstat(locks_fd, &st) || st.st_size != sizeof(noted) ||
	    pread(locks_fd, &noted, sizeof(noted), 0) != sizeof(noted))
		return false;
	if (noted.key != IPC_PRIVATE)
		ring = shmget(noted.key, 0, 0);
	if (ring >= 0 && is_ring(ring, id))
		return true;
	if (ring >= 0 && is_half_made(ring))
		remove_segment_of(ring, st.st_uid);
	remove_segment_of(shmget(torc_sysv_cursors_key(id), 0, 0), st.st_uid);
	return false;
}
