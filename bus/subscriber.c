/* SPDX-License-Identifier: MIT */
/*
 * Subscribers: taking a slot, receiving, passing over what a dead publisher left.
 */
#include "subscriber.h"

#include "lock.h"
#include "owners.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* To ask which publishers live; most never do.  Without it, PIDs have to do. */
static int locks_fd(struct torc_subscriber *sub)
{
	if (sub->forkable.fds[1] < 0)
		torc_topic_describe(sub->topic, TORC_OBJECT_LOCKS,
				    &sub->forkable, 1);
	return sub->forkable.fds[1];
}

/* ---- Receiving ---------------------------------------------------------- */

static int explain(struct torc_subscriber *sub, int error)
{
	if (error == -EPROTO)
		return torc_fail(error, "%s: the ring is damaged; remove it "
				 "and make it anew", sub->topic->name);
	return error;
}

/*
 * Publishers get room a sixteenth of the capacity at a time; so they need not
 * be thought of for each message, but also when there is no more.
 */
static inline void after_release(struct torc_subscriber *sub)
{
	if (torc_unlikely(torc_distance(sub->consumer.cursor,
					sub->room_next) >= 0)) {
		sub->room_next = sub->consumer.cursor + sub->room_step;
		torc_sub_wake_publishers(sub);
	}
}

static bool publisher_dead(void *context, uint32_t slot)
{
	struct torc_subscriber *sub = context;

	return !torc_publisher_alive(&sub->view.ring, locks_fd(sub), slot);
}

static bool skip_claim(struct torc_subscriber *sub)
{
	const struct torc_death death = { publisher_dead, sub };
	const struct torc_ring *ring = &sub->view.ring;
	struct torc_consumer *c = &sub->consumer;
	struct torc_claim claim;

	if (ring->kind != TORC_KIND_MP ||
	    torc_load_relaxed(&ring->shm->tail) == c->cursor ||
	    torc_claim_outcome(ring, c->cursor, &death, &claim) <= 0)
		return false;
	/* What was looked at is in place only if the floor is not past it. */
	if (torc_consumer_lapped(c))
		return false;
	/* No publisher claims beyond the window: the ring is damaged. */
	if (torc_distance(c->cursor + claim.length,
			  c->floor.position + ring->window) > 0)
		return false;
	torc_consumer_skip(c, claim.length);
	return true;
}

bool torc_sub_skip_dead(struct torc_subscriber *sub)
{
	bool skipped = false;

	/* Those who died at once have claims one after the other. */
	while (skip_claim(sub))
		skipped = true;
	return skipped;
}

void torc_sub_looked_in_vain(struct torc_subscriber *sub)
{
	uint64_t now;

	torc_sub_wake_publishers(sub);
	if (sub->view.ring.kind != TORC_KIND_MP)
		return;
	now = torc_coarse_now_ns();
	if (sub->idle_at != sub->consumer.cursor) {
		sub->idle_at = sub->consumer.cursor;
		sub->idle_since = now;
	} else if (now - sub->idle_since >= TORC_SLEEP_NS) {
		sub->idle_since = now;
		torc_sub_skip_dead(sub);
	}
}

static int none_asked_for(const struct torc_subscriber *sub)
{
	return torc_fail(-EINVAL, "%s: at least one message has to be asked for",
			 sub->topic->name);
}

/* There was nothing, or an error. */
static __attribute__((noinline)) int no_message(struct torc_subscriber *sub,
						int error)
{
	if (error != -EAGAIN)
		return explain(sub, error);
	torc_sub_looked_in_vain(sub);
	if (sub->own_set)
		torc_set_settle(sub->own_set);
	return error;
}

int torc_sub_peek_batch(struct torc_subscriber *sub,
			struct torc_message *ret_messages, int max)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_peek_batch(&sub->consumer, ret_messages, max);
	if (torc_likely(r > 0))
		return r;
	return r ? no_message(sub, r) : none_asked_for(sub);
}

int torc_sub_peek(struct torc_subscriber *sub,
		  struct torc_message *ret_message)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_peek(&sub->consumer, ret_message);
	return torc_likely(!r) ? 0 : no_message(sub, r);
}

int torc_sub_release(struct torc_subscriber *sub)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_release(&sub->consumer);
	if (torc_unlikely(r))
		return explain(sub, r);
	after_release(sub);
	return 0;
}

int torc_sub_receive(struct torc_subscriber *sub, void *buffer, size_t size,
		     struct torc_message *ret_message)
{
	int r;

	if (torc_unlikely(sub->forkable.unusable))
		return torc_unusable(&sub->forkable, sub->topic);
	r = torc_consumer_receive(&sub->consumer, buffer, size, ret_message);
	if (torc_unlikely(r)) {
		if (r == -EMSGSIZE)
			return torc_fail(r, "%s: message of %zu bytes for a "
					 "buffer of %zu", sub->topic->name,
					 ret_message->length, size);
		return no_message(sub, r);
	}
	after_release(sub);
	return 0;
}

static int dispatch_lossy(struct torc_subscriber *sub,
			  int (*each)(const struct torc_message *message,
				      void *context),
			  void *context, int max)
{
	size_t size = torc_message_max(&sub->view.ring);
	struct torc_message message;
	int n, r;

	if (!sub->copy)
		sub->copy = malloc(size);
	if (!sub->copy)
		return torc_fail(-ENOMEM, "%s: out of memory",
				 sub->topic->name);
	for (n = 0; n < max; n++) {
		r = torc_sub_receive(sub, sub->copy, size, &message);
		if (r)
			return r == -EAGAIN && n ? n : r;
		r = each(&message, context);
		if (r)
			return r;
	}
	return n;
}

int torc_sub_dispatch(struct torc_subscriber *sub,
		      int (*each)(const struct torc_message *message,
				  void *context),
		      void *context, int max)
{
	struct torc_message message;
	int n, r;

	if (max < 1)
		return none_asked_for(sub);
	if (!sub->consumer.lossless)
		return dispatch_lossy(sub, each, context, max);
	for (n = 0; n < max; n++) {
		r = torc_sub_peek(sub, &message);
		if (r)
			return r == -EAGAIN && n ? n : r;
		r = each(&message, context);
		if (!r) {
			r = torc_sub_release(sub);
			if (r)
				return r;
			continue;
		}
		/* That it may have been garbled comes first. */
		n = torc_sub_release(sub);
		return n ? n : r;
	}
	return n;
}

uint64_t torc_sub_lost(const struct torc_subscriber *sub)
{
	return sub->consumer.lost;
}

size_t torc_sub_message_max(const struct torc_subscriber *sub)
{
	return torc_message_max(&sub->view.ring);
}

/* ---- In sets ------------------------------------------------------------ */

struct torc_seat *torc_sub_seat(struct torc_subscriber *sub)
{
	return &sub->seat;
}

void torc_sub_settle(struct torc_subscriber *sub)
{
	torc_sub_wake_publishers(sub);
}

int torc_sub_fd(struct torc_subscriber *sub)
{
	int r;

	if (sub->forkable.unusable)
		return torc_unusable(&sub->forkable, sub->topic);
	if (sub->own_set)
		return torc_set_fd(sub->own_set);
	r = torc_set_open_alone(sub, sub->options.wait, &sub->own_set);
	return r ? r : torc_set_fd(sub->own_set);
}

/* ---- The end of a topic ------------------------------------------------- */

int torc_sub_ended(struct torc_subscriber *sub)
{
	const struct torc_ring *ring = &sub->view.ring;

	if (sub->forkable.unusable)
		return torc_unusable(&sub->forkable, sub->topic);
	if (!torc_load_acquire(&ring->shm->joined))
		return 0;
	for (uint32_t i = 0; i < ring->publishers; i++) {
		int alive = torc_publisher_alive(ring, locks_fd(sub), i);

		if (alive < 0)
			return torc_fail(-EACCES, "%s: it cannot be told "
					 "whether its publishers live, in "
					 "another PID namespace",
					 sub->topic->name);
		if (alive)
			return 0;
	}
	/* Only now: what they published before they ended. */
	while (!torc_sub_ready(sub))
		if (!torc_sub_skip_dead(sub))
			return 1;
	return 0;
}

/* ---- Opening and closing ------------------------------------------------ */

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
		return explain(sub, r);
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
	sub->forkable.fds[0] = sub->forkable.fds[1] = -1;
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
