/* SPDX-License-Identifier: MIT */
/*
 * Waiting and waking.
 */
#ifndef BUS_WAIT_H
#define BUS_WAIT_H

#include "mapping.h"

uint64_t torc_now_ns(void);
/* Behind by some milliseconds, but on no machine a system call. */
uint64_t torc_coarse_now_ns(void);

/*
 * Let others' sleeping reach us: by all who wake.  False if we have to fence
 * instead, for want of membarrier().
 */
bool torc_wake_register(void);

/* Wake who sleeps on @word of @topic, which has been disarmed, by torc_sleep(). */
void torc_wake_sleepers(const struct torc_topic *topic, uint32_t *word);
/* Disarm @word, and wake those. */
void torc_wake(const struct torc_topic *topic, uint32_t *word);

/*
 * End a wait from another thread or a signal handler: @flag is what the waiter's
 * ready() looks at too, @word (NULL: none) what it sleeps on.
 */
void torc_interrupt(const struct torc_topic *topic, uint32_t *flag,
		    uint32_t *word);
/* Was @flag set?  Clears it. */
bool torc_interrupted(uint32_t *flag);

/* How long a handle spins: what its owner chose, and what waiting has taught. */
struct torc_patience {
	enum torc_wait policy;
	uint64_t spin_ns;
};

/* -EINVAL if there is no such policy. */
int torc_patience_init(struct torc_patience *patience, const char *name,
		       enum torc_wait policy);

struct torc_waiting {
	struct torc_patience *patience;
	uint64_t begun, spin_until, yield_until;	/* torc_now_ns() */
	uint64_t deadline;				/* UINT64_MAX: none */
};

#define TORC_SLEEP_NS	10000000u	/* a wake-up may be lost by a death */
#define TORC_POLL_NS	1000000u	/* without membarrier(), or a word */
#define TORC_WORDS_MAX	128		/* futex_waitv() takes no more */

void torc_waiting_begin(struct torc_waiting *waiting,
			struct torc_patience *patience, int64_t timeout_ns);
/* What was waited for has come: learn from how long it took. */
void torc_waiting_end(const struct torc_waiting *waiting);

/* What is waited for, and how to sleep until it may be there. */
struct torc_event {
	bool (*ready)(void *context);
	/* At most @ns; looks once more first.  0, or -EINTR. */
	int (*sleep)(void *context, uint64_t ns);
	void *context;
};

/*
 * Wait until @event is ready, TORC_SLEEP_NS at most.  0 when ready, -EAGAIN if not
 * yet, -ETIMEDOUT, -EINTR.
 */
int torc_wait_turn(const struct torc_waiting *waiting,
		   const struct torc_event *event);

/*
 * After words were armed: let all wakers pass a barrier.  False if that cannot be
 * had, so that wake-ups may be missed.
 */
bool torc_wake_barrier(void);

/*
 * Sleep on words, all armed by this: until one is woken, until @ready, for @ns at
 * most.  Polls if there are none, or several and @topic, that of the first, does
 * not sleep by futexes.  0, or -EINTR.
 */
int torc_sleep(const struct torc_topic *topic, uint32_t *const *words, int count,
	       uint64_t ns, bool (*ready)(void *context), void *context);

#endif /* BUS_WAIT_H */
