/* SPDX-License-Identifier: MIT */
/*
 * A publisher: pub_open.c opens it, pub_publish.c publishes, pub_room.c is for when
 * that finds no room, pub_disk.c for topics on a disk.
 */
#ifndef BUS_PUBLISHER_H
#define BUS_PUBLISHER_H

#include "ringer.h"
#include "topic.h"
#include "wait.h"

/* What keeps short messages from the shortest way (forkable.unusual). */
#define TORC_PUB_MANY	1u	/* there are other publishers: another way */
#define TORC_PUB_LONG	2u	/* check words, or fences: the long way */
#define TORC_PUB_RESERVED 4u	/* a message was, and not committed */
/* forkable.special of a publisher that is usable. */
#define TORC_PUB_SPECIAL(unusual)	((uint64_t)(unusual) << 32)

struct torc_publisher {
	struct torc_cursors_shm *cursors;
	bool many;
	bool checked;		/* messages have check words */
	bool fences;		/* before looking who sleeps: no membarrier() */
	union {
		struct torc_sp sp;
		struct torc_mp mp;
	};
	size_t reserved_length;
	/* From here on not touched while there is room. */
	struct torc_forkable forkable;	/* fds: locks, cursors */
	struct torc_pub_options options;
	struct torc_patience patience;
	uint32_t interrupted;
	struct torc_pub_stats stats;
	struct torc_publisher_slot_shm *slot;
	uint32_t slot_index;
	uint64_t looked_at;		/* torc_now_ns() */
	struct torc_ringer *ringer;
	struct torc_topic *topic;
	struct torc_view view;
	enum torc_sync sync;		/* of a topic on a disk */
	uint64_t sync_interval_ns, sync_next;	/* torc_now_ns() */
	uint64_t unsynced;		/* ASYNC: bytes; INTERVAL: whether any */
};

/* ---- pub_open.c ---------------------------------------------------------- */

/* forkable.unusable is not 0.  Why the publisher is of no use; 0 if it goes on. */
int torc_pub_recover(struct torc_publisher *pub);

/* Before whatever is done with it: 0, or as torc_unusable(). */
static inline int torc_pub_check(struct torc_publisher *pub)
{
	return torc_unlikely(pub->forkable.unusable) ? torc_pub_recover(pub)
						     : 0;
}

/* ---- pub_room.c ---------------------------------------------------------- */

/* Wake subscribers that sleep; 0, for callers that end with it. */
int torc_pub_wake_subscribers(struct torc_publisher *pub);

/* Mend what is left of all dead publishers; 0, or an error. */
int torc_pub_mend(struct torc_publisher *pub);

/* One message's, or batch's, endeavour to get room. */
struct torc_attempt {
	struct torc_publisher *pub;
	uint64_t needed;	/* bytes of payload */
	/* pub_room.c's */
	struct torc_waiting waiting;
	bool begun;
	uint64_t stalled_since;	/* EVICT: when the cursor last moved */
	uint64_t cursor;
	uint32_t slot;
};

/* Messages that this publisher drops instead of waiting. */
#define TORC_DROPPED 1

/*
 * After -EAGAIN: do as the options say.  0 to try again, TORC_DROPPED, or what the
 * call shall return.
 */
int torc_pub_make_room(struct torc_attempt *attempt);

/* ---- pub_disk.c ----------------------------------------------------------- */

/* From now on messages have check words, and are written out. */
void torc_pub_open_on_disk(struct torc_publisher *pub);

/* Before the reserved message of @length bytes is committed. */
void torc_pub_note_check(struct torc_publisher *pub, size_t length);

/*
 * Publish a batch, its check words noted before the commit.  As
 * torc_sp_publish_batch(); *@ret_bytes are those of its records.
 */
int torc_pub_publish_checked(struct torc_publisher *pub,
			     const struct torc_span *messages, int count,
			     uint64_t *ret_bytes);

/* After a commit of so many bytes: write it out, if it is time to. */
int torc_pub_sync_committed(struct torc_publisher *pub, uint64_t bytes);

#endif /* BUS_PUBLISHER_H */
