/* SPDX-License-Identifier: MIT */
/**
 * DOC: Looking at topics, and after them
 *
 * Who takes part, how far a topic has come, which messages it holds; clearing away
 * who died, making it larger.  No call here takes part in the topic.  Included by
 * torc.h, whose conventions hold here too.
 */
#ifndef TORC_INSPECT_H
#define TORC_INSPECT_H

#include <torc/torc.h>

#ifdef __cplusplus
extern "C" {
#endif

struct torc_topic_info {
	const char *mapping;	/* "shm", "posix", "file", "sysv", "memfd", "anon",
				   "dev" */
	const char *type;	/* lives as long as the topic; "" if none */
	unsigned int flags;	/* TORC_MANY, TORC_PERSISTENT, TORC_REOPENED */
	uint32_t publisher_slots;
	uint32_t subscriber_slots;
	uint32_t publishers;	/* now alive */
	uint32_t subscribers;	/* now alive, less those without a slot */
	uint64_t capacity;	/* bytes */
	uint64_t message_max;	/* bytes */
	uint64_t created_ns;	/* CLOCK_REALTIME */
	uint64_t joined;	/* publishers that ever joined */
	uint64_t oldest;	/* position of the oldest intact message */
	uint64_t oldest_sequence;
	uint64_t tail;		/* position after the newest */
	uint64_t messages;	/* committed since the ring was made */
	enum torc_sync sync;	/* file:PATH */
	unsigned int memory;	/* what of options.memory was got: without
				   TORC_MEMORY_HUGE, pages are of usual size */
	uint64_t kept;		/* file:PATH, when it was last reopened after the
				   machine had gone down: messages */
	uint64_t dropped;	/* and bytes between them that no longer were */
	uint64_t sync_interval_ns;	/* TORC_SYNC_INTERVAL */
	uint64_t reserved[7];
};

/**
 * torc_topic_get_info() - what a topic is and how far it has come
 * @topic:	the topic
 * @ret_info:	filled
 *
 * Counts the messages in the ring, so it takes a while for a large one.
 *
 * Return: 0, -EPROTO if the ring is damaged, or an error of mapping it.
 */
TORC_API int torc_topic_get_info(struct torc_topic *topic,
				 struct torc_topic_info *ret_info);

enum torc_role { TORC_PUBLISHER, TORC_SUBSCRIBER };

struct torc_participant {
	enum torc_role role;
	uint32_t slot;
	pid_t pid;		/* in its own PID namespace */
	int alive;		/* 1, 0: dead and not yet cleared away, -1: it
				   cannot be told */
	int lossless;		/* subscriber: 1; 0 lossy; -1 evicted */
	int stopped;		/* 1 by a signal or a debugger, 0, -1: it cannot be
				   told */
	uint64_t start_time;	/* of the process, clock ticks since boot */
	uint64_t cursor;	/* subscriber: position */
	uint64_t lost;		/* subscriber: messages since it joined */
	uint64_t blocked;	/* publisher: times that it found no room */
	uint64_t dropped;	/* publisher: messages, for want of room */
	uint64_t behind;	/* subscriber: messages that it has not read */
	uint64_t reserved[7];
};

/**
 * torc_topic_participants() - who takes part
 * @topic:	the topic
 * @ret:	participants, publishers first
 * @max:	how many at most; 0 counts them
 *
 * Return: How many there are, also if more than @max; -EPROTO, or an error of
 * mapping it.
 */
TORC_API int torc_topic_participants(struct torc_topic *topic,
				     struct torc_participant *ret, int max);

/**
 * torc_topic_repair() - clear away who died
 * @topic:	the topic
 *
 * What publishers and joiners do when somebody dead is in their way, done at
 * once and for all of them: claims of dead publishers become pads, slots of dead
 * publishers and subscribers become free.  A participant that is stopped or slow
 * is not dead.  Does not take part in the topic.
 *
 * Return: How many slots were cleared; -EACCES (may not publish), -EPROTO, or an
 * error of the system.
 */
TORC_API int torc_topic_repair(struct torc_topic *topic);

/**
 * torc_topic_resize() - make a topic of file:PATH larger, with its messages
 * @bus:	as for torc_topic_open()
 * @address:	of the topic
 * @capacity:	bytes; rounded up to a power of two
 *
 * Positions and sequence numbers go on.  A crash leaves the old one or the new.
 *
 * Return: 0, -EBUSY (somebody takes part in it), -EINVAL (smaller than it is),
 * -ENOTSUP (not on a disk), -E2BIG, -ENOSPC, or as torc_topic_open().
 */
TORC_API int torc_topic_resize(struct torc_bus *bus, const char *address,
			       uint64_t capacity);

/* What torc_topic_dump() came upon. */
struct torc_dump {
	uint64_t begin, end;	/* positions */
	uint64_t messages;
	uint64_t claims;	/* of dead publishers, with no message in them */
	uint64_t undetermined;	/* bytes behind @end that somebody who may live
				   has claimed, and what lies behind them */
	uint64_t dropped;	/* bytes that a crash of the machine took */
	uint64_t reserved[4];
};

/**
 * torc_topic_dump() - call a function for each intact message of a moment
 * @topic:	the topic
 * @each:	called with a copy; a nonzero result ends the call
 * @context:	passed to it
 * @ret:	what there was
 *
 * The moment is that of the call, while publishers go on: all that was committed
 * then, less what was overwritten until it was copied.  Nothing is written, no
 * slot is taken, nobody is held up.  Works as well when nobody is left.
 *
 * Context: Needs memory for a copy of the ring.
 * Return: 0, the nonzero result of @each, -EBUSY (overwritten faster than it can
 * be copied), -EPROTO (damaged), or an error of mapping it.
 */
TORC_API int torc_topic_dump(struct torc_topic *topic,
			     int (*each)(const struct torc_message *message,
					 void *context),
			     void *context, struct torc_dump *ret);

/* An object as /proc/PID/maps names it. */
struct torc_mapped {
	unsigned int major, minor;
	uint64_t inode;
};

/**
 * torc_topic_mapped() - as what a topic shows up in /proc/PID/maps
 * @topic:	the topic
 * @ret:	its objects
 *
 * Return: How many, up to 2; or an error of mapping it.
 */
TORC_API int torc_topic_mapped(struct torc_topic *topic,
			       struct torc_mapped ret[2]);

#ifdef __cplusplus
}
#endif

#endif /* TORC_INSPECT_H */
