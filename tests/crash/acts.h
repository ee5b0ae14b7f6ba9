/* SPDX-License-Identifier: MIT */
/*
 * What a victim does until it is killed: every call of the library that changes
 * something.
 */
#ifndef TORC_TESTS_CRASH_ACTS_H
#define TORC_TESTS_CRASH_ACTS_H

#include "stage.h"

struct actor {
	struct stage *stage;
	const struct act *act;
	uint32_t index;			/* of the victim */
	struct torc_topic *topic;	/* its own */
	struct torc_publisher *pub;
	struct torc_subscriber *sub;
};

struct act {
	void (*prepare)(struct actor *actor);
	void (*call)(struct actor *actor);	/* one instruction at a time */
	uint32_t lengths[5];	/* of messages, made up beforehand */
	/* What the victim is all the time, if anything. */
	enum { ACT_OTHER, ACT_PUBLISHER, ACT_LOSSLESS } role;
};

/* The body of a victim; @context is a struct actor. */
void act_out(void *context);

extern const struct act act_publish_short, act_publish_long, act_publish_batch,
	act_commit_less, act_abort, act_publish_full, act_pub_open,
	act_pub_close, act_sub_open, act_sub_open_oldest, act_sub_open_lossy,
	act_sub_close, act_receive, act_release, act_dispatch,
	act_receive_lossy, act_wait, act_wait_by_descriptor, act_topic_open,
	act_topic_close, act_repair;

#endif /* TORC_TESTS_CRASH_ACTS_H */
