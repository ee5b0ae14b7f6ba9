/* SPDX-License-Identifier: MIT */
/*
 * The ring that the cases are about, what a case gives to its threads, and the
 * threads that there are.
 */
#ifndef TORC_TESTS_MODEL_RING_H
#define TORC_TESTS_MODEL_RING_H

#include "atomic.h"
#include "explore.h"

#include <torc/ring.h>

#define LONGEST 1016u
#define IDS 64u
#define ID(publisher, i) (16u * ((publisher) + 1) + (i))
#define LOST (1ull << 63)  /* a note of how many were lost */
#define BEGIN (1ull << 62) /* a note of where a subscriber began */

extern struct torc_ring ring;
extern struct torc_sp sp;
extern struct torc_mp mps[2];
extern struct torc_consumer consumers[2];
extern unsigned char bodies[IDS][LONGEST];
extern struct torc_span spans[2];
extern const struct torc_death death;
extern struct torc_constants_shm constants;

#define DEAD_SLOT 2u /* its publisher, if there ever was one, has died */

/* Of the case that is explored. */
struct given {
	size_t length;	     /* of each message */
	uint32_t each;	     /* messages of each publisher */
	uint64_t before;     /* messages before the threads begin */
	uint64_t expected;   /* messages in the end; 0: as many as there are */
	uint32_t publishers; /* threads that publish: a mask */
	uint32_t join_flags;
	bool fences;
	uint32_t bells; /* slots that may have one */
	bool aborts; /* mp_once() does */
	bool evicts; /* a subscriber may be evicted */
};

extern struct given given;

extern const struct model_case cases[];
extern const size_t case_count;

/* ---- sleeping.c: bus/wait.c ----------------------------------------------- */

/* Sleep on @word until it is woken, or @ready. */
void sleep_on(uint32_t *word, bool (*ready)(void *context), void *context);
/* Wake who sleeps on @word, and ring the bells of subscribers, if anybody does. */
void wake(uint32_t *word);
/* The same behind a doorbell, that of @slot. */
void sleep_behind_bell(struct torc_subscriber_slot_shm *slot, uint32_t *word,
		       bool (*ready)(void *context), void *context);
/* Is there a membarrier()?  If not, wakers fence. */
void membarrier_is_refused(bool refused);

/* ---- creation.c ----------------------------------------------------------- */

void create(void);
void attach(void);

/* ---- publishers.c --------------------------------------------------------- */

void mp_first(void);
void mp_second(void);
void mp_once(void);
void mp_abort_and_shrink(void);
void mp_batch(void);
void sp_publish(void);
void sp_publish_and_evict(void);
void sp_take_over(void);
void sp_publish_asleep(void);
/* No publisher: repairs what the first leaves. */
void mender(void);
/* Repairs what the publisher left that died before all began. */
void mend_first(void);

/* ---- subscribers.c -------------------------------------------------------- */

void listen_first(void);
void listen_second(void);
void listen_and_wake(void);
void join_and_listen(void);
void listen_and_leave(void);
void listen_asleep(void);
void listen_behind_bell(void);

/* ---- judges.c: what must hold in the end ---------------------------------- */

void judge_lossless(void);
void judge_lossy(void);
void judge_joiner(void);
void judge_creation(void);

#endif /* TORC_TESTS_MODEL_RING_H */
