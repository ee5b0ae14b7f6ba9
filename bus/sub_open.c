/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing a subscriber: taking a slot.
 */
#include "subscriber.h"

#include "lock.h"
#include "owners.h"

#include <fcntl.h>
#include <stdlib.h>

static void sign_slot(struct torc_subscriber *sub)
{
	struct torc_subscriber_slot_shm *shm = sub->consumer.slot;
	struct torc_process self;

	torc_process_self(&self);
	torc_store_relaxed(&shm->start_time, self.start_time);
	torc_store_relaxed(&shm->pid_namespace, self.pid_namespace);
	torc_store_relaxed(&shm->bell_armed, 0u);
	torc_store_relaxed(&shm->bell, 0u);
	torc_store_release(&shm->pid, self.pid);
}

/* Have the mapping give us a slot. */
static int get_slot(struct torc_subscriber *sub, uint32_t *ret_slot)
{
	int fd;

	torc_fork_hold();
	fd = sub->topic->mapping->subscribe(sub->topic, &sub->view, ret_slot);
	sub->forkable.fds[0] = fd;
	torc_fork_allow();
	/* Without a slot no word may be written either. */
	if (fd < 0)
		sub->room_word = NULL;
	return fd < 0 ? fd : 0;
}

/* Lock a slot that nobody has.  -EAGAIN and @tries: as for publishers. */
static int take_slot(struct torc_subscriber *sub, uint32_t *ret_slot, int *tries)
{
	const struct torc_ring *ring = &sub->view.ring;
	int r, present, fd = sub->forkable.fds[0];
	bool passing = false, doubtful = false;

	for (uint32_t i = 0; i < ring->subscribers; i++) {
		r = torc_lock_set(fd, F_WRLCK, TORC_LOCK_SUBSCRIBER + i, 1);
		if (!r) {
			*ret_slot = i;
			if (!torc_subscriber_alive(ring, fd, i))
				return 0;
			torc_lock_set(fd, F_UNLCK, TORC_LOCK_SUBSCRIBER + i, 1);
			continue;
		}
		if (r != -EAGAIN)
			return r;
		present = torc_subscriber_present(ring, i);
		passing |= !present;
		doubtful |= present < 0;
	}
	if (doubtful && !passing)
		*tries += TORC_LOCK_DOUBTFUL;
	return passing || doubtful ? -EAGAIN : -EUSERS;
}

static int take_slot_patiently(struct torc_subscriber *sub, uint32_t *ret_slot)
{
	int tries = 0, r;

	r = torc_topic_describe(sub->topic, TORC_OBJECT_CURSORS, &sub->forkable,
				0);
	if (r < 0)
		return r;
	do
		r = take_slot(sub, ret_slot, &tries);
	while (r == -EAGAIN && torc_lock_pause(&tries));
	return r == -EAGAIN ? -EUSERS : r;
}

static int join(struct torc_subscriber *sub)
{
	const struct torc_ring *ring = &sub->view.ring;
	bool lossy = sub->options.flags & TORC_SUB_LOSSY;
	uint32_t slot = TORC_NO_SLOT;
	int r = -EACCES;

	if (sub->topic->mapping->subscribe)
		r = get_slot(sub, &slot);
	else if (ring->cursors)
		r = take_slot_patiently(sub, &slot);
	if (r == -EACCES && !lossy)
		return torc_fail(r, "%s: you may read it, but not its cursors: "
				 "be lossy, or ask its owner for another "
				 "cursors mode", sub->topic->name);
	if (r == -EUSERS && !lossy)
		return torc_fail(r, "%s: all %u subscriber slots are taken; be "
				 "lossy, or make the topic with more",
				 sub->topic->name, ring->subscribers);
	if (r && r != -EACCES && r != -EUSERS)
		return torc_fail(r, "%s: cannot lock a subscriber slot: %s",
				 sub->topic->name, strerrordesc_np(-r));
	r = torc_consumer_join(
		&sub->consumer, ring, slot,
		(lossy ? 0 : TORC_LOSSLESS) |
			(sub->options.flags & TORC_SUB_OLDEST ? TORC_OLDEST
							      : 0));
	if (r)
		return torc_ring_error(sub->topic, r);
	sub->slot = slot;
	if (slot != TORC_NO_SLOT)
		sign_slot(sub);
	return 0;
}

static int check_options(const struct torc_topic *topic,
			 const struct torc_sub_options *options,
			 struct torc_patience *ret_patience)
{
	int r = torc_check_reserved(topic->name, options->reserved,
				    sizeof(options->reserved));

	if (!r && options->flags & ~(TORC_SUB_LOSSY | TORC_SUB_OLDEST))
		r = torc_fail(-EINVAL, "%s: flags %#x make no sense",
			      topic->name, options->flags);
	return r ? r : torc_patience_init(ret_patience, topic->name,
					  options->wait);
}

int torc_sub_open(struct torc_topic *topic,
		  const struct torc_sub_options *options,
		  struct torc_subscriber **ret_sub)
{
	static const struct torc_sub_options defaults;
	struct torc_patience patience;
	struct torc_subscriber *sub;
	int r;

	if (!options)
		options = &defaults;
	r = check_options(topic, options, &patience);
	if (r)
		return r;
	sub = calloc(1, sizeof(*sub));
	if (!sub)
		return torc_fail(-ENOMEM, "%s: out of memory", topic->name);
	sub->options = *options;
	sub->patience = patience;
	sub->topic = torc_topic_ref(topic);
	torc_forkable_add(&sub->forkable);
	sub->fences = !torc_wake_register();
	r = torc_topic_map(topic, TORC_ACCESS_RECEIVE, &sub->forkable.unusable,
			   &sub->view);
	if (!r) {
		if (sub->view.ring.cursors)
			sub->room_word = &sub->view.ring.cursors->room_word;
		r = join(sub);
	}
	if (r) {
		torc_sub_close(sub);
		return r;
	}
	sub->seat = (struct torc_seat){
		.sub = sub,
		.topic = sub->topic,
		.cursors = sub->view.ring.cursors,
		.slot = sub->consumer.slot,
		.slot_index = sub->slot,
		.subscription = sub->forkable.fds[0],
	};
	sub->room_step = sub->view.ring.mark_step / 2;
	sub->room_next = sub->consumer.cursor;
	sub->idle_since = torc_coarse_now_ns();
	*ret_sub = sub;
	return 0;
}

struct torc_subscriber *torc_sub_close(struct torc_subscriber *sub)
{
	struct torc_subscriber_slot_shm *slot;

	if (!sub)
		return NULL;
	if (sub->seat.set)
		torc_set_remove(sub->seat.set, sub);
	torc_set_close(sub->own_set);
	slot = sub->consumer.slot;
	if (slot && !sub->forkable.unusable) {
		torc_store_relaxed(&slot->pid, 0);
		torc_consumer_leave(&sub->consumer);
		torc_sub_wake_publishers(sub);
	}
	torc_forkable_remove(&sub->forkable);
	if (sub->view.ring_base)
		torc_topic_unmap(sub->topic, &sub->view);
	torc_topic_unref(sub->topic);
	free(sub->copy);
	free(sub);
	return NULL;
}
