/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a publisher: taking a slot.
 */
#include "publisher.h"

#include "guard.h"
#include "lock.h"
#include "owners.h"
#include "repairer.h"

#include <fcntl.h>
#include <stdlib.h>

static int locks_fd(const struct torc_publisher *pub)
{
	return pub->forkable.fds[0];
}

static int explain_busy(const struct torc_publisher *pub)
{
	const struct torc_ring *ring = &pub->view.ring;

	if (ring->kind == TORC_KIND_MP)
		return torc_fail(-EBUSY, "%s: all %u publisher slots are "
				 "taken", pub->topic->name, ring->publishers);
	return torc_fail(-EBUSY, "%s: it takes one publisher and has one, "
			 "process %u; end that, or make the topic for many",
			 pub->topic->name,
			 torc_load_relaxed(&torc_publisher_slot(ring, 0)->pid));
}

/*
 * Lock a slot that nobody has, and whose last owner left nothing.  -EAGAIN: one
 * may be had in a moment; if that is doubtful, it costs some of the @tries.
 */
static int take_slot(struct torc_publisher *pub, int *tries)
{
	const struct torc_ring *ring = &pub->view.ring;
	bool passing = false, doubtful = false;
	uint64_t position;
	int r, present;

	for (uint32_t i = 0; i < ring->publishers; i++) {
		r = torc_lock_set(locks_fd(pub), F_WRLCK,
				  TORC_LOCK_PUBLISHER + i, 1);
		if (r == -EAGAIN) {
			present = torc_publisher_present(ring, i);
			passing |= !present;
			doubtful |= present < 0;
			continue;
		}
		if (r)
			return torc_fail(r, "%s: cannot lock a publisher slot: "
					 "%s", pub->topic->name,
					 strerrordesc_np(-r));
		if (!torc_publisher_alive(ring, locks_fd(pub), i)) {
			if (ring->kind == TORC_KIND_SP ||
			    torc_claim_settled(ring, i, &position) == 1) {
				pub->slot_index = i;
				return 0;
			}
			passing = true;
		}
		torc_lock_set(locks_fd(pub), F_UNLCK, TORC_LOCK_PUBLISHER + i,
			      1);
	}
	if (doubtful && !passing)
		*tries += TORC_LOCK_DOUBTFUL;
	return passing || doubtful ? -EAGAIN : -EBUSY;
}

/* What the dead left would be in the way of who takes their slots. */
static int take_slot_patiently(struct torc_publisher *pub)
{
	int tries = 0, r;

	pub->slot_index = TORC_PUBLISHERS_MAX;
	do {
		r = torc_pub_mend(pub);
		if (!r)
			r = take_slot(pub, &tries);
	} while (r == -EAGAIN && torc_lock_pause(&tries));
	return r == -EAGAIN || r == -EBUSY ? explain_busy(pub) : r;
}

static void sign_slot(struct torc_publisher *pub)
{
	struct torc_publishing_shm *shm = pub->view.ring.shm;
	struct torc_process self;
	uint64_t joined;

	torc_process_self(&self);
	pub->slot = torc_publisher_slot(&pub->view.ring, pub->slot_index);
	torc_store_relaxed(&pub->slot->start_time, self.start_time);
	torc_store_relaxed(&pub->slot->pid_namespace, self.pid_namespace);
	torc_store_relaxed(&pub->slot->blocked, 0);
	torc_store_relaxed(&pub->slot->dropped, 0);
	torc_store_release(&pub->slot->pid, self.pid);
	do
		joined = torc_load_relaxed(&shm->joined);
	while (!torc_cas(&shm->joined, joined, joined + 1));
}

static int join(struct torc_publisher *pub)
{
	const struct torc_ring *ring = &pub->view.ring;
	int r;

	r = take_slot_patiently(pub);
	if (r)
		return torc_ring_error(pub->topic, r);
	r = pub->many ? torc_mp_init(&pub->mp, ring, pub->slot_index)
		      : torc_sp_init(&pub->sp, ring);
	if (r)
		return torc_ring_error(pub->topic, r);
	sign_slot(pub);
	return 0;
}

static int check_options(const struct torc_topic *topic,
			 const struct torc_pub_options *options,
			 struct torc_patience *ret_patience)
{
	int r = torc_check_reserved(topic->name, options->reserved,
				    sizeof(options->reserved));

	if (!r && options->full > TORC_FULL_EVICT)
		r = torc_fail(-EINVAL, "%s: no such way to be full: %u",
			      topic->name, (unsigned int)options->full);
	return r ? r : torc_patience_init(ret_patience, topic->name,
					  options->wait);
}

int torc_pub_open(struct torc_topic *topic,
		  const struct torc_pub_options *options,
		  struct torc_publisher **ret_pub)
{
	static const struct torc_pub_options defaults;
	struct torc_patience patience;
	struct torc_publisher *pub;
	int r;

	if (!options)
		options = &defaults;
	r = check_options(topic, options, &patience);
	if (r)
		return r;
	pub = calloc(1, sizeof(*pub));
	if (!pub)
		return torc_fail(-ENOMEM, "%s: out of memory", topic->name);
	pub->options = *options;
	pub->patience = patience;
	pub->topic = torc_topic_ref(topic);
	torc_forkable_add(&pub->forkable);
	pub->fences = !torc_wake_register();
	r = torc_topic_map(topic, TORC_ACCESS_PUBLISH, &pub->forkable.unusable,
			   &pub->view);
	if (!r) {
		pub->many = pub->view.ring.kind == TORC_KIND_MP;
		pub->forkable.unusual = (pub->many ? TORC_PUB_MANY : 0) |
					(pub->fences ? TORC_PUB_LONG : 0);
		if (topic->mapping->disk)
			torc_pub_open_on_disk(pub);
		pub->cursors = pub->view.ring.cursors;
		r = torc_describe_locks(topic, &pub->forkable);
	}
	if (!r)
		r = join(pub);
	if (r)
		torc_pub_close(pub);
	else
		*ret_pub = pub;
	return r;
}

int torc_pub_recover(struct torc_publisher *pub)
{
	int *unusable = &pub->forkable.unusable;

	if (*unusable != TORC_CURSORS_CUT)
		return torc_unusable(&pub->forkable, pub->topic);
	/* First: they may be cut off again. */
	torc_store_relaxed(unusable, 0);
	/* If they cannot be had, nobody holds us; perhaps the next time. */
	if (torc_topic_restore_cursors(pub->topic, &pub->view))
		torc_store_relaxed(unusable, TORC_CURSORS_CUT);
	return 0;
}

struct torc_publisher *torc_pub_close(struct torc_publisher *pub)
{
	if (!pub)
		return NULL;
	if (pub->slot && !torc_pub_check(pub)) {
		torc_pub_abort(pub);
		torc_pub_mend(pub);
		torc_store_release(&pub->slot->pid, 0);
		if (pub->sync && pub->unsynced)
			torc_pub_sync(pub);
		/* Who waits may wait for the last publisher's end. */
		torc_pub_wake_subscribers(pub);
	}
	torc_ringer_free(pub->ringer);
	torc_forkable_remove(&pub->forkable);
	if (pub->view.ring_base)
		torc_topic_unmap(pub->topic, &pub->view);
	torc_topic_unref(pub->topic);
	free(pub);
	return NULL;
}
