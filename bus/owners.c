/* SPDX-License-Identifier: MIT */
/*
 * Whose a slot is, and whether they live.
 */
#include "owners.h"

#include "lock.h"

/*
 * Dead is whose lock is free and whose process is gone: closefrom() and the like
 * drop the locks of the living.
 */
static int owner_alive(int fd, uint64_t lock, const struct torc_process *owner)
{
	int locked, lives;

	if (!owner->pid)
		return 0;
	locked = fd < 0 ? -1 : torc_lock_probe(fd, lock);
	if (locked == 1)
		return 1;
	lives = torc_process_alive(owner);
	return lives == -1 && locked == 0 ? 0 : lives;
}

struct torc_process torc_publisher_owner(const struct torc_ring *ring,
					 uint32_t slot)
{
	struct torc_publisher_slot_shm *shm = torc_publisher_slot(ring, slot);

	return (struct torc_process){
		.pid = torc_load_acquire(&shm->pid),
		.start_time = torc_load_relaxed(&shm->start_time),
		.pid_namespace = torc_load_relaxed(&shm->pid_namespace),
	};
}

struct torc_process torc_subscriber_owner(const struct torc_ring *ring,
					  uint32_t slot)
{
	struct torc_subscriber_slot_shm *shm = torc_subscriber_slot(ring, slot);

	return (struct torc_process){
		.pid = torc_load_acquire(&shm->pid),
		.start_time = torc_load_relaxed(&shm->start_time),
		.pid_namespace = torc_load_relaxed(&shm->pid_namespace),
	};
}

int torc_publisher_alive(const struct torc_ring *ring, int fd, uint32_t slot)
{
	const struct torc_process owner = torc_publisher_owner(ring, slot);

	return owner_alive(fd, TORC_LOCK_PUBLISHER + slot, &owner);
}

int torc_subscriber_alive(const struct torc_ring *ring, int fd, uint32_t slot)
{
	const struct torc_process owner = torc_subscriber_owner(ring, slot);

	return owner_alive(fd, TORC_LOCK_SUBSCRIBER + slot, &owner);
}

int torc_publisher_present(const struct torc_ring *ring, uint32_t slot)
{
	const struct torc_process owner = torc_publisher_owner(ring, slot);

	return owner.pid ? torc_process_alive(&owner) : 0;
}

int torc_subscriber_present(const struct torc_ring *ring, uint32_t slot)
{
	const struct torc_process owner = torc_subscriber_owner(ring, slot);

	return owner.pid ? torc_process_alive(&owner) : 0;
}
