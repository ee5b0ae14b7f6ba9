/* SPDX-License-Identifier: MIT */
/*
 * Clearing away what the dead left: claims of publishers, slots of both roles.
 * How a claim is mended is the ring's (torc/repair.h); here is who is dead, and
 * that they stay so meanwhile.
 */
#include "ringer.h"
#include "lock.h"
#include "owners.h"
#include "repairer.h"
#include "wait.h"

#include <fcntl.h>

/* ---- Publishers --------------------------------------------------------- */

/* Take a slot's lock, if its owner is dead; it is ours from then on. */
static bool seize(void *context, uint32_t slot)
{
	const struct torc_repairer *repairer = context;
	int fd = repairer->forkable->fds[0];

	if (slot == repairer->own_slot)
		return false;
	if (torc_lock_set(fd, F_WRLCK, TORC_LOCK_PUBLISHER + slot, 1))
		return false;
	/* closefrom() may have dropped the lock of one who lives. */
	return !torc_publisher_alive(repairer->ring, fd, slot);
}

/* Let go of all slots but our own. */
static void unseize(const struct torc_repairer *repairer)
{
	uint64_t own = TORC_LOCK_PUBLISHER + repairer->own_slot;
	int fd = repairer->forkable->fds[0];

	if (repairer->own_slot)
		torc_lock_set(fd, F_UNLCK, TORC_LOCK_PUBLISHER,
			      repairer->own_slot);
	torc_lock_set(fd, F_UNLCK, own + 1, TORC_LOCK_REPAIR - own - 1);
}

int torc_repair_claim(struct torc_repairer *repairer, uint64_t position)
{
	const struct torc_death death = { seize, repairer };
	int fd = repairer->forkable->fds[0], r;

	r = torc_lock_set(fd, F_WRLCK, TORC_LOCK_REPAIR, 1);
	if (r)
		return r == -EAGAIN ? 0 : r;	/* another one is at it */
	r = torc_claim_repair(repairer->ring, position, &death);
	unseize(repairer);
	torc_lock_set(fd, F_UNLCK, TORC_LOCK_REPAIR, 1);
	return r;
}

int torc_repair_claims(struct torc_repairer *repairer)
{
	const struct torc_ring *ring = repairer->ring;
	int fd = repairer->forkable->fds[0], repaired = 0, r;
	uint64_t position;

	if (ring->kind != TORC_KIND_MP)
		return 0;
	for (uint32_t i = 0; i < ring->publishers; i++) {
		if (i == repairer->own_slot ||
		    torc_claim_settled(ring, i, &position) ||
		    torc_publisher_alive(ring, fd, i))
			continue;
		r = torc_repair_claim(repairer, position);
		if (r < 0)
			return r;
		repaired += r;
	}
	return repaired;
}

/* Free the slot of a publisher that died; true if it did. */
static bool repair_publisher(struct torc_repairer *repairer, uint32_t slot)
{
	const struct torc_ring *ring = repairer->ring;
	struct torc_publisher_slot_shm *shm = torc_publisher_slot(ring, slot);
	uint64_t lock = TORC_LOCK_PUBLISHER + slot, position;
	int fd = repairer->forkable->fds[0];
	bool dead = false;

	if (torc_lock_set(fd, F_WRLCK, lock, 1))
		return false;
	if (torc_load_relaxed(&shm->pid) &&
	    !torc_publisher_alive(ring, fd, slot) &&
	    (ring->kind == TORC_KIND_SP ||
	     torc_claim_settled(ring, slot, &position) == 1)) {
		torc_store_release(&shm->pid, 0);
		dead = true;
	}
	torc_lock_set(fd, F_UNLCK, lock, 1);
	return dead;
}

/* ---- Subscribers -------------------------------------------------------- */

bool torc_repair_subscriber(struct torc_repairer *repairer, uint32_t slot)
{
	const struct torc_ring *ring = repairer->ring;
	struct torc_subscriber_slot_shm *shm = torc_subscriber_slot(ring, slot);
	uint64_t lock = TORC_LOCK_SUBSCRIBER + slot;
	int fd = repairer->forkable->fds[1];
	bool dead = false;

	/*
	 * Its owner's lock is for writing.  Another, of somebody who may only read
	 * the cursors, keeps us from freeing the slot, not from not heeding it.
	 */
	if (torc_lock_set(fd, F_WRLCK, lock, 1))
		return torc_lock_probe(fd, lock) == 0 &&
		       !torc_subscriber_alive(ring, fd, slot) &&
		       torc_cas(&shm->state, TORC_SUBSCRIBER_LOSSLESS,
				TORC_SUBSCRIBER_EVICTED);
	if (torc_load_relaxed(&shm->state) != TORC_SUBSCRIBER_FREE &&
	    !torc_subscriber_alive(ring, fd, slot)) {
		torc_store_relaxed(&shm->pid, 0);
		torc_store_release(&shm->state, TORC_SUBSCRIBER_FREE);
		dead = true;
	}
	torc_lock_set(fd, F_UNLCK, lock, 1);
	return dead;
}

/* ---- All ---------------------------------------------------------------- */

int torc_describe_locks(struct torc_topic *topic, struct torc_forkable *forkable)
{
	static const enum torc_object objects[] = { TORC_OBJECT_LOCKS,
						    TORC_OBJECT_CURSORS };

	for (int i = 0; i < 2; i++) {
		int fd = torc_topic_describe(topic, objects[i], forkable, i);

		if (fd < 0)
			return torc_fail(fd, "%s: cannot open its locks: %s",
					 topic->name, strerrordesc_np(-fd));
	}
	return 0;
}

/* Who waits for room, for what was behind a claim, or for the end. */
static void wake_all(const struct torc_topic *topic, const struct torc_ring *ring)
{
	uint32_t *word = &ring->cursors->data_word;
	struct torc_ringer *ringer = NULL;

	torc_wake(topic, &ring->cursors->room_word);
	if (torc_word_disarm(word)) {
		torc_bells_ring(&ringer, topic, ring);
		torc_wake_sleepers(topic, word);
		torc_ringer_free(ringer);
	}
}

static int repair_all(struct torc_repairer *repairer)
{
	const struct torc_ring *ring = repairer->ring;
	int cleared = 0, r = torc_repair_claims(repairer);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < ring->publishers; i++)
		cleared += repair_publisher(repairer, i);
	for (uint32_t i = 0; i < ring->subscribers; i++)
		cleared += torc_repair_subscriber(repairer, i);
	return cleared;
}

int torc_topic_repair(struct torc_topic *topic)
{
	struct torc_forkable forkable;
	struct torc_view view;
	struct torc_repairer repairer = { &view.ring, &forkable,
					  TORC_PUBLISHERS_MAX };
	int r;

	torc_forkable_add(&forkable);
	r = torc_topic_attach(topic, TORC_ACCESS_PUBLISH, &forkable.unusable,
			      &view);
	if (r) {
		torc_forkable_remove(&forkable);
		return r;
	}
	r = torc_describe_locks(topic, &forkable);
	if (!r)
		r = torc_ring_error(topic, repair_all(&repairer));
	if (r > 0)
		wake_all(topic, &view.ring);
	if (forkable.unusable)
		r = torc_unusable(&forkable, topic);
	torc_forkable_remove(&forkable);
	torc_topic_unmap(topic, &view);
	return r;
}
