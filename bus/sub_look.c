/* SPDX-License-Identifier: MIT */
/*
 * Whether a subscriber has something to receive, or will have: what a dead
 * publisher left is passed over, and a topic ends with its last publisher.
 */
#include "subscriber.h"

#include "owners.h"

bool torc_sub_ready(struct torc_subscriber *sub)
{
	struct torc_consumer *c = &sub->consumer;
	struct torc_message message;
	int r;

	/* What was peeked and not released is still the next message. */
	if (c->next != c->cursor || sub->forkable.unusable)
		return true;
	r = torc_consumer_peek(c, &message);
	/* The caller has peeked nothing: there is nothing to be released. */
	c->next = c->cursor;
	c->peeked = 0;
	return r != -EAGAIN;
}

/* To ask which publishers live; most never do.  Without it, PIDs have to do. */
static int locks_fd(struct torc_subscriber *sub)
{
	if (sub->forkable.fds[1] < 0)
		torc_topic_describe(sub->topic, TORC_OBJECT_LOCKS,
				    &sub->forkable, 1);
	return sub->forkable.fds[1];
}

/* ---- What the dead left -------------------------------------------------- */

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

/* ---- In sets ------------------------------------------------------------ */

struct torc_seat *torc_sub_seat(struct torc_subscriber *sub)
{
	return &sub->seat;
}

void torc_sub_settle(struct torc_subscriber *sub)
{
	torc_sub_wake_publishers(sub);
}
