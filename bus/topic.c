/* SPDX-License-Identifier: MIT */
/*
 * Topics: making, opening, looking at them.
 */
#include "internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY_DEFAULT (1u << 20)

struct torc_topic *torc_topic_ref(struct torc_topic *topic)
{
	torc_add(&topic->references, 1u);
	return topic;
}

struct torc_topic *torc_topic_unref(struct torc_topic *topic)
{
	if (!topic || torc_add(&topic->references, -1u))
		return NULL;
	if (topic->view.ring_base)
		torc_topic_unmap(topic, &topic->view);
	topic->mapping->release(topic);
	torc_forkable_remove(&topic->forkable);
	torc_bus_close(topic->place.bus);
	free(topic);
	return NULL;
}

static int compute_constants(const char *name,
			     const struct torc_topic_options *options,
			     struct torc_constants_shm *ret)
{
	struct torc_ring_config config = {
		.capacity = options->capacity ? options->capacity
					      : CAPACITY_DEFAULT,
		.kind = options->flags & TORC_MANY ? TORC_KIND_MP
						   : TORC_KIND_SP,
		.publishers = options->publishers,
		.subscribers = options->subscribers,
		.page = options->memory & TORC_MEMORY_HUGE
				? (uint32_t)torc_huge_page()
				: (uint32_t)sysconf(_SC_PAGESIZE),
		.flags = options->flags & TORC_PERSISTENT ? TORC_RING_PERSISTENT
							  : 0,
		.type = options->type,
	};
	struct timespec now;
	int r;

	clock_gettime(CLOCK_REALTIME, &now);
	config.created_ns = (uint64_t)now.tv_sec * 1000000000u +
			    (uint64_t)now.tv_nsec;
	if (getrandom(config.id, sizeof(config.id), 0) != sizeof(config.id))
		return torc_fail(-EIO, "%s: no random numbers", name);
	r = torc_ring_layout(&config, ret);
	if (r == -E2BIG)
		return torc_fail(r, "%s: too large: at most 2^40 bytes and "
				 "1024 publishers and subscribers", name);
	if (r)
		return torc_fail(r, "%s: only one publisher without TORC_MANY, "
				 "and a type name of at most %u bytes", name,
				 TORC_TYPE_MAX - 1);
	return 0;
}

static struct torc_topic *new_topic(const struct torc_mapping *mapping,
				    const struct torc_place *place,
				    const char *name)
{
	struct torc_topic *topic = calloc(1, sizeof(*topic) + strlen(name) + 1);

	if (!topic) {
		torc_fail(-ENOMEM, "%s: out of memory", name);
		return NULL;
	}
	topic->mapping = mapping;
	topic->references = 1;
	topic->fd = topic->forkable.fds[0] = topic->forkable.fds[1] = -1;
	topic->segment = -1;
	topic->place = *place;
	if (place->bus)
		torc_bus_ref(place->bus);
	strcpy(topic->name, name);
	torc_forkable_add(&topic->forkable);
	return topic;
}

int torc_topic_remove(const struct torc_mapping *mapping,
		      const struct torc_place *place, const char *rest,
		      unsigned int flags)
{
	struct torc_topic *topic = new_topic(mapping, place, rest);
	int r = topic ? mapping->remove(topic, rest, flags) : -ENOMEM;

	torc_topic_unref(topic);
	return r;
}

/* Is what we opened what was asked for? */
static int check_opened(const struct torc_topic *topic,
			const struct torc_topic_options *options)
{
	const struct torc_constants_shm *c = &topic->constants;
	bool many = c->kind == TORC_KIND_MP;

	if (options->type && strcmp(options->type, c->type))
		return torc_fail(-EPROTOTYPE, "%s: its messages are of type "
				 "\"%s\", not \"%s\"", topic->name, c->type,
				 options->type);
	if (options->flags & TORC_CREATE &&
	    many != !!(options->flags & TORC_MANY))
		return torc_fail(-EPROTOTYPE, "%s: was made for %s", topic->name,
				 many ? "many publishers; open it with "
					"TORC_MANY"
				      : "one publisher; open it without "
					"TORC_MANY");
	return 0;
}

/* Take part: from now on others must not remove it.  Several threads may. */
static int hold(struct torc_topic *topic)
{
	int r = 0;

	torc_fork_hold();
	if (topic->mapping->hold && (!topic->held || topic->forkable.unusable))
		r = topic->mapping->hold(topic);
	if (!r) {
		topic->held = true;
		topic->forkable.unusable = 0;
	}
	torc_fork_allow();
	return r;
}

static int open_existing(const struct torc_mapping *mapping,
			 const struct torc_place *place, const char *name,
			 const char *rest,
			 const struct torc_topic_options *options,
			 struct torc_topic **ret_topic)
{
	struct torc_topic *topic = new_topic(mapping, place, name);
	int r;

	if (!topic)
		return -ENOMEM;
	topic->inspecting = options->flags & TORC_INSPECT;
	topic->memory = options->memory;
	topic->numa_node = options->numa_node;
	r = mapping->open(topic, rest);
	if (!r)
		r = check_opened(topic, options);
	if (!r && options->flags & TORC_CREATE)
		r = hold(topic);
	if (r)
		torc_topic_unref(topic);
	else
		*ret_topic = topic;
	return r;
}

static int create(const struct torc_mapping *mapping,
		  const struct torc_place *place, const char *name,
		  const char *rest,
		  const struct torc_topic_options *options,
		  struct torc_topic **ret_topic)
{
	struct torc_constants_shm constants;
	struct torc_topic *topic;
	int r;

	r = compute_constants(name, options, &constants);
	if (!r && !mapping->disk)
		r = torc_memory_check(name, constants.ring_size +
						    constants.cursors_size);
	if (r)
		return r;
	topic = new_topic(mapping, place, name);
	if (!topic)
		return -ENOMEM;
	topic->memory = options->memory;
	topic->numa_node = options->numa_node;
	r = mapping->create(topic, rest, &constants, options);
	topic->held = !r;
	if (r)
		torc_topic_unref(topic);
	else
		*ret_topic = topic;
	return r;
}

/*
 * Open it, or else make it.  Something in the way that nobody uses, of another
 * kind or damaged, was left by a crash, and goes.
 */
static int open_or_create(const struct torc_mapping *mapping,
			  const struct torc_place *place, const char *name,
			  const char *rest,
			  const struct torc_topic_options *options,
			  struct torc_topic **ret_topic)
{
	bool creating = options->flags & TORC_CREATE;
	int r;

	for (int tries = 0; tries < 100; tries++) {
		r = mapping->open ? open_existing(mapping, place, name, rest,
						  options, ret_topic)
				  : -ENOENT;
		if (!r && options->flags & TORC_EXCLUSIVE) {
			*ret_topic = torc_topic_unref(*ret_topic);
			return torc_fail(-EEXIST, "%s: exists already", name);
		}
		if (r == -EPROTOTYPE && creating && place->bus &&
		    !torc_shm_remove(place->bus->fd, place->file,
				     TORC_REMOVE_STALE | TORC_REMOVE_VOLATILE))
			continue;
		if (r != -ENOENT || (!creating && mapping->open))
			return r;
		r = create(mapping, place, name, rest, options, ret_topic);
		if (r != -EEXIST)
			return r;
	}
	return torc_fail(-EBUSY, "%s: others make and remove it all the time",
			 name);
}

int torc_topic_open(struct torc_bus *bus, const char *address,
		    const struct torc_topic_options *options,
		    struct torc_topic **ret_topic)
{
	static const struct torc_topic_options defaults;
	const struct torc_mapping *mapping;
	struct torc_place place = { .bus = NULL };
	const char *rest;
	int r;

	if (!options)
		options = &defaults;
	if (options->flags & ~(TORC_CREATE | TORC_EXCLUSIVE | TORC_MANY |
			       TORC_PERSISTENT | TORC_INSPECT) ||
	    (options->flags & TORC_INSPECT && options->flags & TORC_CREATE) ||
	    (options->flags & (TORC_CREATE | TORC_EXCLUSIVE)) ==
		    TORC_EXCLUSIVE)
		return torc_fail(-EINVAL, "%s: flags %#x make no sense",
				 address, options->flags);
	r = torc_check_reserved(address, options->reserved,
				sizeof(options->reserved));
	if (r)
		return r;
	if (options->memory & ~(TORC_MEMORY_HUGE | TORC_MEMORY_LOCKED |
				TORC_MEMORY_PREFAULT | TORC_MEMORY_NUMA))
		return torc_fail(-EINVAL, "%s: memory %#x makes no sense",
				 address, options->memory);
	if (options->sync > TORC_SYNC_COMMIT)
		return torc_fail(-EINVAL, "%s: no such way to sync", address);
	r = torc_mapping_of(address, &mapping, &rest);
	if (!r && options->sync && !mapping->disk)
		r = torc_fail(-EINVAL, "%s: memory cannot be synced to a disk; "
			      "make it a file:PATH", address);
	if (!r && mapping->locate)
		r = mapping->locate(rest, bus, &place);
	if (r)
		return r;
	r = open_or_create(mapping, &place,
			   mapping == &torc_mapping_shm ? rest : address, rest,
			   options, ret_topic);
	torc_bus_close(place.bus);
	return r;
}

struct torc_topic *torc_topic_close(struct torc_topic *topic)
{
	return torc_topic_unref(topic);
}

const char *torc_topic_name(const struct torc_topic *topic)
{
	return topic->name;
}

int torc_topic_fd(const struct torc_topic *topic)
{
	if (topic->mapping != &torc_mapping_memfd &&
	    topic->mapping != &torc_mapping_fd)
		return torc_fail(-ENOTSUP, "%s: only a memfd topic is handed "
				 "on as a descriptor", topic->name);
	return topic->fd;
}

/* ---- Mapping ------------------------------------------------------------ */

static int truncated(const struct torc_topic *topic)
{
	return torc_fail(-EPROTO, "%s: somebody truncated it; remove it and "
			 "make it anew", topic->name);
}

int torc_unusable(const struct torc_forkable *forkable,
		  const struct torc_topic *topic)
{
	return forkable->unusable == -EPROTO ? truncated(topic)
					     : forkable->unusable;
}

static int guard(const struct torc_view *view, enum torc_access access,
		 int *unusable)
{
	int r = torc_guard_add(view->ring_base, view->ring_size,
			       access == TORC_ACCESS_PUBLISH, unusable);

	if (!r && view->cursors_base)
		r = torc_guard_add(view->cursors_base, view->cursors_size,
				   access != TORC_ACCESS_LOOK, unusable);
	return r;
}

static int explain_mapping(const struct torc_topic *topic,
			   enum torc_access access, int r)
{
	if (r == -ENOENT)
		return torc_fail(-ENOENT, "%s: was removed meanwhile",
				 topic->name);
	if (r == -EROFS)
		return torc_fail(r, "%s: on a read-only file system, where "
				 "nobody can publish to it", topic->name);
	if (r == -EACCES)
		return torc_fail(r, "%s: you may not %s it; ask its owner for "
				 "another mode", topic->name,
				 access == TORC_ACCESS_PUBLISH ? "publish to"
							       : "read");
	return r;
}

int torc_topic_attach(struct torc_topic *topic, enum torc_access access,
		      int *unusable, struct torc_view *ret_view)
{
	struct torc_view view = { .ring_base = NULL };
	int r = topic->mapping->map(topic, access, &view);

	if (r)
		return explain_mapping(topic, access, r);
	r = guard(&view, access, unusable);
	if (r) {
		torc_topic_unmap(topic, &view);
		return torc_fail(r, "%s: out of memory", topic->name);
	}
	r = torc_ring_attach(&view.ring, view.ring_base, view.ring_size,
			     view.cursors_base, view.cursors_size);
	/* What was checked at opening may have been changed since. */
	if (!r && topic->constants.flags & TORC_RING_CHECKED &&
	    (uint64_t)(view.ring.data - (unsigned char *)view.ring_base) +
			    view.ring.capacity +
			    torc_checks_size(view.ring.capacity) >
		    view.ring_size)
		r = -EPROTO;
	if (r) {
		torc_topic_unmap(topic, &view);
		return torc_fail(-EPROTO, "%s: the ring is damaged; remove it "
				 "and make it anew", topic->name);
	}
	if (access != TORC_ACCESS_LOOK)
		r = torc_memory_apply(topic, access, &view);
	if (r) {
		torc_topic_unmap(topic, &view);
		return r;
	}
	*ret_view = view;
	return 0;
}

int torc_topic_map(struct torc_topic *topic, enum torc_access access,
		   int *unusable, struct torc_view *ret_view)
{
	int r;

	if (access != TORC_ACCESS_LOOK && topic->inspecting)
		return torc_fail(-EPERM, "%s: was opened to be looked at only",
				 topic->name);
	r = access == TORC_ACCESS_LOOK ? 0 : hold(topic);
	return r ? explain_mapping(topic, access, r)
		 : torc_topic_attach(topic, access, unusable, ret_view);
}

void torc_topic_unmap(struct torc_topic *topic, struct torc_view *view)
{
	torc_guard_remove(view->ring_base);
	if (view->cursors_base)
		torc_guard_remove(view->cursors_base);
	topic->mapping->unmap(topic, view);
	view->ring_base = NULL;
}

/* ---- Looking ------------------------------------------------------------ */

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

static struct torc_process publisher_owner(const struct torc_ring *ring,
					   uint32_t slot)
{
	struct torc_publisher_slot_shm *shm = torc_publisher_slot(ring, slot);

	return (struct torc_process){
		.pid = torc_load_acquire(&shm->pid),
		.start_time = torc_load_relaxed(&shm->start_time),
		.pid_namespace = torc_load_relaxed(&shm->pid_namespace),
	};
}

static struct torc_process subscriber_owner(const struct torc_ring *ring,
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
	const struct torc_process owner = publisher_owner(ring, slot);

	return owner_alive(fd, TORC_LOCK_PUBLISHER + slot, &owner);
}

int torc_subscriber_alive(const struct torc_ring *ring, int fd, uint32_t slot)
{
	const struct torc_process owner = subscriber_owner(ring, slot);

	return owner_alive(fd, TORC_LOCK_SUBSCRIBER + slot, &owner);
}

bool torc_publisher_present(const struct torc_ring *ring, uint32_t slot)
{
	const struct torc_process owner = publisher_owner(ring, slot);

	return owner.pid && torc_process_alive(&owner) == 1;
}

bool torc_subscriber_present(const struct torc_ring *ring, uint32_t slot)
{
	const struct torc_process owner = subscriber_owner(ring, slot);

	return owner.pid && torc_process_alive(&owner) == 1;
}

static int look(struct torc_topic *topic)
{
	if (topic->looked_unusable)
		return truncated(topic);
	if (topic->view.ring_base)
		return 0;
	return torc_topic_map(topic, TORC_ACCESS_LOOK, &topic->looked_unusable,
			      &topic->view);
}

static void fill_publisher(const struct torc_ring *ring, int fd, uint32_t i,
			   struct torc_participant *p)
{
	struct torc_publisher_slot_shm *shm = torc_publisher_slot(ring, i);
	const struct torc_process owner = publisher_owner(ring, i);

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

static void fill_subscriber(const struct torc_ring *ring, int fd, uint32_t i,
			    struct torc_participant *p)
{
	struct torc_subscriber_slot_shm *shm = torc_subscriber_slot(ring, i);
	const struct torc_process owner = subscriber_owner(ring, i);
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

int torc_topic_participants(struct torc_topic *topic,
			    struct torc_participant *ret, int max)
{
	const struct torc_ring *ring = &topic->view.ring;
	struct torc_participant p;
	int locks_fd, cursors_fd, n = 0, r = look(topic);

	if (r)
		return r;
	locks_fd = topic->mapping->describe(topic, TORC_OBJECT_LOCKS, O_RDWR);
	cursors_fd = topic->mapping->describe(topic, TORC_OBJECT_CURSORS,
					      O_RDONLY);
	for (uint32_t i = 0; i < ring->publishers; i++) {
		fill_publisher(ring, locks_fd, i, &p);
		if (p.pid && n++ < max)
			ret[n - 1] = p;
	}
	for (uint32_t i = 0; ring->cursors && i < ring->subscribers; i++) {
		fill_subscriber(ring, cursors_fd, i, &p);
		if ((p.pid || died_joining(ring, cursors_fd, i)) && n++ < max)
			ret[n - 1] = p;
	}
	if (locks_fd >= 0)
		close(locks_fd);
	if (cursors_fd >= 0)
		close(cursors_fd);
	return n;
}

static int count_alive(struct torc_topic *topic, uint32_t *ret_publishers,
		       uint32_t *ret_subscribers)
{
	struct torc_participant *participants;
	uint32_t alive[2] = { 0, 0 };
	int n, max = (int)(topic->constants.publishers +
			   topic->constants.subscribers);

	participants = calloc((size_t)max, sizeof(*participants));
	if (!participants)
		return torc_fail(-ENOMEM, "%s: out of memory", topic->name);
	n = torc_topic_participants(topic, participants, max);
	for (int i = 0; i < n; i++)
		alive[participants[i].role] += participants[i].alive != 0;
	free(participants);
	*ret_publishers = alive[TORC_PUBLISHER];
	*ret_subscribers = alive[TORC_SUBSCRIBER];
	return n < 0 ? n : 0;
}

int torc_topic_get_info(struct torc_topic *topic,
			struct torc_topic_info *ret_info)
{
	const struct torc_constants_shm *c = &topic->constants;
	struct torc_mark oldest, newest;
	struct torc_topic_info info;
	int r;

	r = count_alive(topic, &info.publishers, &info.subscribers);
	if (r)
		return r;
	r = count_messages(&topic->view.ring, &oldest, &newest);
	if (r)
		return torc_fail(r, "%s: the ring is damaged", topic->name);
	info.mapping = topic->mapping->name;
	info.type = c->type;
	info.flags = (c->kind == TORC_KIND_MP ? TORC_MANY : 0u) |
		     (c->flags & TORC_RING_PERSISTENT ? TORC_PERSISTENT : 0u) |
		     (topic->reopened ? TORC_REOPENED : 0u);
	info.sync = (enum torc_sync)TORC_RING_SYNC_POLICY(c->flags);
	info.memory = torc_memory_got(topic);
	info.kept = topic->kept;
	info.dropped = topic->dropped;
	info.publisher_slots = c->publishers;
	info.subscriber_slots = c->subscribers;
	info.capacity = c->capacity;
	info.message_max = torc_message_max(&topic->view.ring);
	info.created_ns = c->created_ns;
	info.joined = torc_load_relaxed(&topic->view.ring.shm->joined);
	info.oldest = oldest.position;
	info.oldest_sequence = oldest.count;
	info.tail = newest.position;
	info.messages = newest.count;
	*ret_info = info;
	return 0;
}
