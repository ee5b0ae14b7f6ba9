/* SPDX-License-Identifier: MIT */
/*
 * A subscriber: sub_open.c opens it, sub_look.c looks whether there is something to
 * receive, sub_wait.c waits for it, and sub_receive.c receives.
 */
#ifndef BUS_SUBSCRIBER_H
#define BUS_SUBSCRIBER_H

#include "seat.h"
#include "set.h"
#include "wait.h"

struct torc_subscriber {
	struct torc_consumer consumer;
	uint32_t *room_word;		/* NULL: may not write it */
	bool fences;			/* no membarrier() */
	uint64_t room_step;		/* look at it this many bytes apart */
	uint64_t room_next;		/* and next at this position */
	uint64_t idle_at;		/* looks were in vain at this cursor */
	uint64_t idle_since;		/* torc_coarse_now_ns() */
	/* From here on not touched while there are messages. */
	struct torc_forkable forkable;	/* fds: cursors, locks */
	struct torc_sub_options options;
	struct torc_patience patience;
	uint32_t interrupted;
	uint32_t slot;			/* or TORC_NO_SLOT */
	void *copy;			/* for torc_sub_dispatch(), if lossy */
	struct torc_seat seat;
	struct torc_set *own_set;	/* of torc_sub_fd() */
	struct torc_topic *topic;
	struct torc_view view;
};

/* There is room again: wake publishers that wait for some. */
static inline void torc_sub_wake_publishers(struct torc_subscriber *sub)
{
	if (sub->room_word &&
	    torc_unlikely(torc_word_armed(sub->room_word, sub->fences)))
		torc_wake(sub->topic, sub->room_word);
}

/*
 * After each look in vain.  Who polls, or waits for less than TORC_SLEEP_NS at a
 * time, asks here who is dead: at the first look after so long without a message.
 */
void torc_sub_looked_in_vain(struct torc_subscriber *sub);

#endif /* BUS_SUBSCRIBER_H */
