/* SPDX-License-Identifier: MIT */
/*
 * A topic on which others go on whatever happens to a victim: a publisher, a
 * lossless and a lossy subscriber in this process, and a lossless subscriber
 * that sleeps in a process of its own.  What they say follows from who says it
 * and how much that one has said, so that each checks all that it hears.
 */
#ifndef TORC_TESTS_CRASH_STAGE_H
#define TORC_TESTS_CRASH_STAGE_H

#include "topic.h"
#include "wait.h"
#include "step.h"

#define CAPACITY 4096u
#define PUBLISHERS 4u
#define SUBSCRIBERS 8u
#define LISTENER_SLOT 2u	/* after sub and lossy */
#define LENGTH_MAX 504u		/* of a message, with many publishers */
#define VICTIMS 2

/* Longest that a survivor may wait before it counts as hung. */
#define HUNG_NS 5000000000

/* Shared by all processes of a stage. */
struct stage_report {
	uint64_t heard;		/* by the listener */
	uint64_t chain;
	/* Messages that each victim began and ended to publish. */
	uint32_t begun[VICTIMS], ended[VICTIMS];
};

struct stage {
	const char *name;		/* what is tried, for complaints */
	uint64_t boundary;
	bool many;
	bool ringing;			/* the listener waits by a descriptor */
	struct torc_topic *topic;
	struct torc_publisher *pub;	/* SP: NULL while a victim publishes */
	struct torc_subscriber *sub, *lossy;
	struct stage_report *report;
	pid_t listener;

	uint32_t said;			/* by us */
	uint32_t heard;			/* of it, by sub */
	uint32_t who;			/* the first of the present victims */
	uint32_t victim_heard[VICTIMS];
	uint64_t sequence;		/* heard in all */
	uint64_t chain;			/* of all that was heard */
	uint64_t log[4096];		/* digests of the latest */
	uint64_t tail;

	uint64_t killed_at;		/* ns; 0: sub has heard something since */
	uint64_t stall_ns;		/* longest between the two */

	struct torc_view view;		/* of the topic, to see it change */
	unsigned char *shadow;		/* as it was, and is */
	int unusable;
};

void stage_open(struct stage *stage, const char *name, bool many, bool ringing);
/* Also checks that nothing is left. */
void stage_close(struct stage *stage);

/* Open the publisher of this process anew. */
void stage_open_pub(struct stage *stage);

/* A message as @who would say it. */
void speech(void *payload, uint32_t who, uint32_t number, size_t length);

/* Publish messages of ours that take @bytes in all; everybody reads on. */
void stage_say(struct stage *stage, uint64_t bytes);
/* Publish until the topic is full, or a lap: false, nobody holds the floor. */
bool stage_fill(struct stage *stage);
/* Publish until the next message begins at @offset. */
void stage_go_to(struct stage *stage, uint64_t offset);

/* Hear and check what is there; what is in the ring after victims began. */
void stage_hear(struct stage *stage);
/* The listener has heard as much, by itself. */
void stage_await_listener(struct stage *stage);
/* It sleeps, until somebody wakes it. */
void stage_await_sleep(struct stage *stage);
/* Wait for something first. */
void stage_await(struct stage *stage);
/* All have heard all, and a late subscriber hears what is left of it. */
void stage_settle(struct stage *stage);
/* Nobody is listed but us, and all other slots can be had. */
void stage_check_slots(struct stage *stage);

/* Has anybody but the listener changed the topic's bytes since the last call? */
bool stage_changed(struct stage *stage);

#define STAGE_MUST(stage, call)                                           \
	do {                                                              \
		int must_result = (call);                                 \
		if (must_result < 0)                                      \
			stage_fail(stage, "%s: %d (%s)", #call, must_result, \
				   torc_errmsg());                        \
	} while (0)

void stage_fail(const struct stage *stage, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

#endif /* TORC_TESTS_CRASH_STAGE_H */
