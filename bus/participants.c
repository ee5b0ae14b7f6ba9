/* SPDX-License-Identifier: MIT */
/*
 * Who takes part in a topic, and how far it has come: read from the ring and the
 * locks, while participants go on.
 */
#include "lock.h"
#include "memory.h"
#include "owners.h"
#include "topic.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- Messages ---------------------------------------------------------- */

/* Count to the end of the committed records, while publishers go on. */
static int count_messages(const struct torc_ring *ring, struct torc_mark *oldest,
			  struct torc_mark *newest)
{
	struct torc_mark begin, floor;
	int r, walked;

	for (int tries = 0; tries < 1000; tries++) {
		r = torc_mark_current(ring, &ring->shm->floor, oldest);
		if (r)
			return r;
		begin = *oldest;
		torc_mark_newest(ring, &begin);
		*newest = begin;
		walked = torc_walk(ring, &newest->position, &newest->count,
				   begin.position + ring->window, true);
		torc_fence_acquire();
		r = torc_mark_current(ring, &ring->shm->floor, &floor);
		if (r)
			return r;
		if (torc_distance(floor.position, begin.position) <= 0)
			return walked < 0 ? walked : 0;
	}
	return 0;
}

/* Messages from @cursor to the end of the records, as far as it is plausible. */
static uint64_t count_from(const struct torc_ring *ring, uint64_t cursor)
{
	struct torc_mark oldest, newest, at = { .position = cursor };

	if (count_messages(ring, &oldest, &newest) ||
	    torc_distance(cursor, newest.position) >= 0)
		return 0;
	if (torc_distance(cursor, oldest.position) < 0 ||
	    cursor % TORC_RECORD_ALIGN ||
	    torc_walk(ring, &at.position, &at.count, newest.position, true) < 0)
		return newest.count - oldest.count;
	return at.count;
}

/* ---- Participants ------------------------------------------------------- */

static void fill_publisher(const struct torc_ring *ring, int fd, uint32_t i,
			   struct torc_participant *p)
{
	struct torc_publisher_slot_shm *shm = torc_publisher_slot(ring, i);
	const struct torc_process owner = torc_publisher_owner(ring, i);

	*p = (struct torc_participant){
		.role = TORC_PUBLISHER,
		.slot = i,
		.pid = (pid_t)owner.pid,
		.alive = torc_publisher_alive(ring, fd, i),
		.stopped = torc_process_stopped(&owner),
		.start_time = owner.start_time,
		.blocked = torc_load_relaxed(&shm->blocked),
		.dropped = torc_load_relaxed(&shm->dropped),
	};
}

static void fill_subscriber(const struct torc_ring *ring, int fd, uint32_t i,
			    struct torc_participant *p)
{
	struct torc_subscriber_slot_shm *shm = torc_subscriber_slot(ring, i);
	const struct torc_process owner = torc_subscriber_owner(ring, i);
	uint32_t state = torc_load_relaxed(&shm->state);
	uint64_t cursor = torc_load_relaxed(&shm->cursor);

	*p = (struct torc_participant){
		.role = TORC_SUBSCRIBER,
		.slot = i,
		.pid = (pid_t)owner.pid,
		.alive = torc_subscriber_alive(ring, fd, i),
		.lossless = state == TORC_SUBSCRIBER_EVICTED
				    ? -1 : state == TORC_SUBSCRIBER_LOSSLESS,
		.stopped = torc_process_stopped(&owner),
		.start_time = owner.start_time,
		.cursor = cursor,
		.lost = torc_load_relaxed(&shm->lost),
		.behind = owner.pid ? count_from(ring, cursor) : 0,
	};
}

/* Who died while joining has a slot, too, that it has not signed. */
static bool died_joining(const struct torc_ring *ring, int fd, uint32_t i)
{
	return torc_load_relaxed(&torc_subscriber_slot(ring, i)->state) !=
		       TORC_SUBSCRIBER_FREE &&
	       fd >= 0 && torc_lock_probe(fd, TORC_LOCK_SUBSCRIBER + i) == 0;
}

static int look(struct torc_topic *topic)
{
	if (topic->looked_unusable)
		return torc_truncated(topic);
	if (topic->view.ring_base)
		return 0;
	return torc_topic_map(topic, TORC_ACCESS_LOOK, &topic->looked_unusable,
			      &topic->view);
}

/* Descriptors to probe locks by; negative: PIDs have to do. */
struct probes {
	int locks_fd, cursors_fd;
};

static int begin_probing(struct torc_topic *topic, struct probes *ret)
{
	int r = look(topic);

	if (r)
		return r;
	ret->locks_fd = topic->mapping->describe(topic, TORC_OBJECT_LOCKS,
						 O_RDWR);
	ret->cursors_fd = topic->mapping->describe(topic, TORC_OBJECT_CURSORS,
						   O_RDONLY);
	return 0;
}

static void end_probing(const struct probes *probes)
{
	if (probes->locks_fd >= 0)
		close(probes->locks_fd);
	if (probes->cursors_fd >= 0)
		close(probes->cursors_fd);
}

int torc_topic_participants(struct torc_topic *topic,
			    struct torc_participant *ret, int max)
{
	const struct torc_ring *ring = &topic->view.ring;
	struct torc_participant p;
	struct probes probes;
	int n = 0, r = begin_probing(topic, &probes);

	if (r)
		return r;
	for (uint32_t i = 0; i < ring->publishers; i++) {
		fill_publisher(ring, probes.locks_fd, i, &p);
		if (p.pid && n++ < max)
			ret[n - 1] = p;
	}
	for (uint32_t i = 0; ring->cursors && i < ring->subscribers; i++) {
		fill_subscriber(ring, probes.cursors_fd, i, &p);
		if ((p.pid || died_joining(ring, probes.cursors_fd, i)) &&
		    n++ < max)
			ret[n - 1] = p;
	}
	end_probing(&probes);
	return n;
}

/* ---- The topic ---------------------------------------------------------- */

static int count_alive(struct torc_topic *topic, uint32_t *ret_publishers,
		       uint32_t *ret_subscribers)
{
	const struct torc_ring *ring = &topic->view.ring;
	struct probes probes;
	int r = begin_probing(topic, &probes);

	if (r)
		return r;
	*ret_publishers = *ret_subscribers = 0;
	for (uint32_t i = 0; i < ring->publishers; i++)
		*ret_publishers +=
			torc_publisher_alive(ring, probes.locks_fd, i) != 0;
	for (uint32_t i = 0; ring->cursors && i < ring->subscribers; i++)
		*ret_subscribers +=
			torc_subscriber_alive(ring, probes.cursors_fd, i) != 0;
	end_probing(&probes);
	return 0;
}

int torc_topic_get_info(struct torc_topic *topic,
			struct torc_topic_info *ret_info)
{
	const struct torc_constants_shm *c = &topic->constants;
	struct torc_mark oldest, newest;
	uint32_t publishers, subscribers;
	int r;

	r = count_alive(topic, &publishers, &subscribers);
	if (r)
		return r;
	r = count_messages(&topic->view.ring, &oldest, &newest);
	if (r)
		return torc_ring_error(topic, r);
	*ret_info = (struct torc_topic_info){
		.mapping = topic->mapping->name,
		.type = c->type,
		.flags = (c->kind == TORC_KIND_MP ? TORC_MANY : 0u) |
			 (c->flags & TORC_RING_PERSISTENT ? TORC_PERSISTENT
							  : 0u) |
			 (topic->reopened ? TORC_REOPENED : 0u),
		.sync = (enum torc_sync)TORC_RING_SYNC_POLICY(c->flags),
		.sync_interval_ns = TORC_RING_SYNC_INTERVAL(c->flags) *
				    1000000ull,
		.memory = torc_memory_got(topic),
		.kept = topic->kept,
		.dropped = topic->dropped,
		.publisher_slots = c->publishers,
		.subscriber_slots = c->subscribers,
		.publishers = publishers,
		.subscribers = subscribers,
		.capacity = c->capacity,
		.message_max = torc_message_max(&topic->view.ring),
		.created_ns = c->created_ns,
		.joined = torc_load_relaxed(&topic->view.ring.shm->joined),
		.oldest = oldest.position,
		.oldest_sequence = oldest.count,
		.tail = newest.position,
		.messages = newest.count,
	};
	return 0;
}
