/* SPDX-License-Identifier: MIT */
/*
 * Where a ring's bytes live: what a mapping is, and what it keeps of a topic.  Which
 * there are says address.h.
 */
#ifndef BUS_MAPPING_H
#define BUS_MAPPING_H

#include "bus.h"
#include "process.h"

#include <sys/types.h>

enum torc_object { TORC_OBJECT_RING, TORC_OBJECT_CURSORS, TORC_OBJECT_LOCKS };

enum torc_access {
	TORC_ACCESS_LOOK,	/* nothing writable */
	TORC_ACCESS_RECEIVE,	/* the cursors, if they may be written */
	TORC_ACCESS_PUBLISH,	/* both objects */
};

/* A mapped ring. */
struct torc_view {
	struct torc_ring ring;
	void *ring_base;
	size_t ring_size;
	void *cursors_base;	/* NULL: may not be written (or looked at) */
	size_t cursors_size;
	pid_t process;		/* which has a subscription's pages; 0: none */
};

/* What there is of an open topic, whatever its mapping. */
struct torc_topic {
	const struct torc_mapping *mapping;
	struct torc_constants_shm constants;	/* checked */
	struct torc_forkable forkable;	/* fds[0]: holds the lifetime lock */
	bool held;			/* we take part */
	bool inspecting;		/* TORC_INSPECT */
	bool huge;			/* of the pool of huge pages */
	unsigned int memory;		/* TORC_MEMORY_* */
	uint32_t numa_node;
	struct torc_view view;		/* ring_base NULL until looked at */
	int looked_unusable;		/* it was cut off */
	uint32_t references;
	struct torc_place place;	/* of a named topic */
	int fd;				/* ring object, or memfd */
	int segment;			/* ring object of System V */
	void *block;			/* anonymous memory */
	bool reopened;			/* by us, after a crash of the machine */
	uint64_t kept, dropped;		/* then: messages, and bytes */
	char name[];			/* or the address of one without */
};

struct torc_mapping {
	const char *name;
	const char *prefix;	/* of an address */
	bool given;		/* can be another owner's or group's */

	/*
	 * Where the topic of this name is, on @bus or the default one if NULL.
	 * A reference to place->bus is the caller's.  NULL: it is no file.
	 */
	int (*locate)(const char *name, struct torc_bus *bus,
		      struct torc_place *ret);

	/*
	 * Make or open the topic's objects by the @rest of its address, which
	 * fills topic->constants.
	 */
	int (*create)(struct torc_topic *topic, const char *rest,
		      const struct torc_constants_shm *constants,
		      const struct torc_topic_options *options);
	int (*open)(struct torc_topic *topic, const char *rest);

	/*
	 * Keep others from removing it while we take part, by a lock on
	 * forkable.fds[0]; -ENOENT if it was removed.  NULL: nobody can.
	 */
	int (*hold)(struct torc_topic *topic);

	/* A new description of an object, to lock bytes of; @flags as open(). */
	int (*describe)(struct torc_topic *topic, enum torc_object object,
			int flags);

	/* Map the objects into @view, bases and sizes only. */
	int (*map)(struct torc_topic *topic, enum torc_access access,
		   struct torc_view *view);
	void (*unmap)(struct torc_topic *topic, struct torc_view *view);

	/* Let the objects go, and remove them if nobody else is there. */
	void (*release)(struct torc_topic *topic);

	/*
	 * Remove the topic, which is not open; @flags are TORC_REMOVE_*.  Returns
	 * -errno, and tells why if the topic has no place.  NULL: it has no name.
	 */
	int (*remove)(struct torc_topic *topic, const char *rest,
		      unsigned int flags);

	/*
	 * Get a slot for a subscriber, and map what it may write into @view; the
	 * slot is free again when the descriptor is closed that this returns.
	 * NULL: slots are taken by locks.
	 */
	int (*subscribe)(struct torc_topic *topic, struct torc_view *view,
			 uint32_t *ret_slot);

	/*
	 * Sleep while @word holds @value, for @ns at most; 0 or -errno.  Wake who
	 * does.  NULL: by futexes.
	 */
	int (*sleep)(const struct torc_topic *topic, const uint32_t *word,
		     uint32_t value, uint64_t ns);
	void (*wake)(const struct torc_topic *topic, const uint32_t *word);
	/*
	 * Have @eventfd, -1: none, written to whenever who waits for messages is
	 * woken; the subscriber's bell is disarmed before.  NULL: publishers ring
	 * bells themselves.
	 */
	int (*ring)(int subscription, int eventfd);

	bool parts_named;	/* the cursors are found by the ring's id */
	bool on_bus;	/* a topic's place is on a bus, where no others' files are,
			   and it is known by its name without the prefix */
	bool handed_on;	/* as its descriptor */
	bool disk;	/* not memory: it stays, and can be written out */
};

/* ---- Of any topic -------------------------------------------------------- */

/* -EACCES: @access to the topic is not permitted. */
int torc_topic_refused(const struct torc_topic *topic, enum torc_access access);

/* What the ring's code returned, and why if the ring is damaged. */
int torc_ring_error(const struct torc_topic *topic, int error);
/* -EPROTO, and why. */
int torc_truncated(const struct torc_topic *topic);
/* What a call returns whose handle is of no use any more: @forkable->unusable. */
int torc_unusable(const struct torc_forkable *forkable,
		  const struct torc_topic *topic);

/* Take part: from now on others must not remove it.  Several threads may. */
int torc_topic_hold(struct torc_topic *topic);

/*
 * A description of @object, open for writing, in @forkable->fds[@i]; returns it,
 * or -errno.
 */
int torc_topic_describe(struct torc_topic *topic, enum torc_object object,
			struct torc_forkable *forkable, int i);

/* ---- For mappings -------------------------------------------------------- */

/* Have the first @size bytes of the new file @fd there for certain; -errno. */
int torc_allocate(int fd, uint64_t size);
/* Whether @size bytes could be had at all; tmpfs may promise more than there is. */
int torc_memory_check(const char *name, uint64_t size);
/*
 * The constants of a new ring as @config has it, whose id is filled in, and its
 * page if that is 0: the system's.
 */
int torc_constants_new(const char *name, struct torc_ring_config *config,
		       struct torc_constants_shm *ret);
/*
 * Check the constants of the topic's ring, @shared or what is at offset 0 of @fd,
 * an object of @size bytes: the ring, and the cursors if it has @flags
 * TORC_RING_ONE_BLOCK.
 */
int torc_constants_take(struct torc_topic *topic,
			const struct torc_constants_shm *shared, uint64_t size,
			uint32_t flags);
int torc_constants_load(struct torc_topic *topic, int fd, uint64_t size,
			uint32_t flags);
/* A new description of what @fd is open on, to lock bytes of; -errno. */
int torc_open_again(int fd, int flags);
/* Map a part of @fd; -errno. */
int torc_map_part(const struct torc_topic *topic, int fd, uint64_t offset,
		  uint64_t size, bool writable, void **ret);
/* Unmap what of the objects is mapped one by one. */
void torc_unmap_parts(struct torc_topic *topic, struct torc_view *view);

#endif /* BUS_MAPPING_H */
