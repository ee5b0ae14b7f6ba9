// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What processes leave that die while they publish to a topic of many: a claim at
 * which all wait (torc/repair.h).  Other processes mend it when they come upon it;
 * where only drivers publish, in interrupts, nobody would.  So it is done when the
 * last descriptor that held the slot's lock is closed.
 *
 * Dead is whose lock is free and whose memory is gone, as for libtorc: closefrom()
 * and the like drop the locks of the living.  While one lives so, it is looked at
 * now and then.  The driver's own publishers never die.
 *
 * Locks pass through node_lock(), under topic->writing, where they are noted.  So
 * who is dead stays so as long as that is held, and its slot is not taken over.
 */
#include "internal.h"

#include <linux/sched/mm.h>

#include "compat.h"

#define LOOK_AGAIN_MS 100

static void drop_mm(struct torc_owner *owner)
{
	if (owner->mm)
		mmdrop(owner->mm);
	owner->mm = NULL;
}

static bool may_live(struct torc_topic *topic, u32 slot)
{
	struct torc_owner *owner = &topic->owners[slot];

	if (owner->mm && !atomic_read(&owner->mm->mm_users))
		drop_mm(owner);
	return owner->file ||
	       (owner->mm && torc_load_acquire(&torc_publisher_slot(
				     &topic->ring, slot)->pid));
}

static bool is_dead(void *context, u32 slot)
{
	struct torc_topic *topic = context;

	return slot < topic->owners_count && !may_live(topic, slot);
}

/* Is what a slot below @slot is stuck at there, too? */
static bool is_stuck_at(const struct torc_topic *topic, u32 slot, u64 position)
{
	while (slot--)
		if (topic->owners[slot].stuck &&
		    topic->owners[slot].stuck_at == position)
			return true;
	return false;
}

/*
 * Mend what the dead owner of @slot left; true if there was anything.  An attempt
 * takes time as the square of the slots that claim the same place, so it is not made
 * again for each of them.
 */
static bool mend_slot(struct torc_topic *topic, u32 slot)
{
	const struct torc_death death = { is_dead, topic };
	struct torc_owner *owner = &topic->owners[slot];
	u64 position;

	if (torc_claim_settled(&topic->ring, slot, &position) ||
	    is_stuck_at(topic, slot, position))
		return false;
	if (torc_claim_repair(&topic->ring, position, &death) > 0)
		return true;
	owner->stuck = true;
	owner->stuck_at = position;
	return false;
}

static void mend(struct torc_topic *topic)
{
	bool again = false, mended = false;
	u32 i;

	lockdep_assert_held(&topic->writing);
	/* One at a time; we are called again when it is done. */
	if (topic->repairer || topic->ring.kind != TORC_KIND_MP)
		return;
	for (i = 0; i < topic->owners_count; i++) {
		topic->owners[i].stuck = false;
		if (may_live(topic, i))
			again |= !topic->owners[i].file;
		else
			mended |= mend_slot(topic, i);
		cond_resched();
	}
	if (mended) {
		torc_topic_notify(topic);
		torc_topic_wake(topic, TORC_WORD_ROOM);
	}
	if (again)
		queue_delayed_work(system_unbound_wq, &topic->mending,
				   msecs_to_jiffies(LOOK_AGAIN_MS));
}

void torc_topic_mend_later(struct work_struct *mending)
{
	struct torc_topic *topic = container_of(to_delayed_work(mending),
						struct torc_topic, mending);

	mutex_lock(&topic->writing);
	mend(topic);
	mutex_unlock(&topic->writing);
}

void torc_owners_note(struct torc_topic *topic, struct file *file,
		      const struct file_lock *lock, u64 first, u64 last)
{
	bool locked = torc_lock_type(lock) == F_WRLCK, freed = false;
	u32 i;

	lockdep_assert_held(&topic->writing);
	/*
	 * Others are the process's, which "unlocks" all at any close().  And the
	 * file's end is for torc_owners_forget().
	 */
	if (!(torc_lock_flags(lock) & FL_OFDLCK) || !file_count(file))
		return;
	for (i = 0; i < topic->owners_count; i++) {
		struct torc_owner *owner = &topic->owners[i];

		if (TORC_LOCK_PUBLISHER + i < first ||
		    TORC_LOCK_PUBLISHER + i > last ||
		    (!locked && owner->file != file))
			continue;
		drop_mm(owner);
		owner->file = locked ? file : NULL;
		if (locked && current->mm) {
			mmgrab(current->mm);
			owner->mm = current->mm;
		}
		freed |= !locked;
	}
	if (TORC_LOCK_REPAIR >= first && TORC_LOCK_REPAIR <= last &&
	    (locked || topic->repairer == file)) {
		topic->repairer = locked ? file : NULL;
		freed |= !locked;
	}
	if (freed)
		mend(topic);
}

void torc_owners_forget(struct torc_topic *topic, struct file *file)
{
	bool freed = false;
	u32 i;

	mutex_lock(&topic->writing);
	for (i = 0; i < topic->owners_count; i++) {
		if (topic->owners[i].file != file)
			continue;
		topic->owners[i].file = NULL;
		freed = true;
	}
	if (topic->repairer == file) {
		topic->repairer = NULL;
		freed = true;
	}
	if (freed)
		mend(topic);
	mutex_unlock(&topic->writing);
}

void torc_owners_free(struct torc_topic *topic)
{
	u32 i;

	for (i = 0; topic->owners && i < topic->owners_count; i++)
		drop_mm(&topic->owners[i]);
	kvfree(topic->owners);
}
