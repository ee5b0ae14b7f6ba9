/* SPDX-License-Identifier: MIT */
/*
 * The ring in steps.  Every operation on its memory is one at which a fiber may
 * be stopped, put off for long, or die; payloads are copied and bytes zeroed in
 * two.  The steps are sequentially consistent: what the processor's or the
 * compiler's reordering can do is for stress_ring.c and ThreadSanitizer.
 */
#ifndef TORC_TESTS_RING_STEPS_H
#define TORC_TESTS_RING_STEPS_H

#include <torc/atomic.h>
#include <ucontext.h>

static inline void step(void);
static inline void copy_in_steps(void *to, const void *from, size_t size);
static inline void zero_in_steps(void *to, size_t size);

#undef torc_load_relaxed
#undef torc_load_acquire
#undef torc_store_relaxed
#undef torc_store_release
#undef torc_cas
#undef torc_copy
#undef torc_zero
#define torc_copy_short(to, from, size) copy_in_steps((to), (from), (size))
#define torc_copy_payload(to, from, size) copy_in_steps((to), (from), (size))
#define torc_load_relaxed(p) (step(), __atomic_load_n((p), __ATOMIC_SEQ_CST))
#define torc_load_acquire(p) torc_load_relaxed(p)
#define torc_store_relaxed(p, v) (step(), __atomic_store_n((p), (v), 5))
#define torc_store_release(p, v) torc_store_relaxed(p, v)
#define torc_cas(p, old, desired)                                        \
	__extension__({                                                  \
		__typeof__(*(p)) cas_old = (old);                        \
		step();                                                  \
		__atomic_compare_exchange_n((p), &cas_old, (desired), 0, \
					    __ATOMIC_SEQ_CST,            \
					    __ATOMIC_SEQ_CST);           \
	})
#define torc_copy(to, from, size) copy_in_steps((to), (from), (size))
#define torc_zero(to, size) zero_in_steps((to), (size))
#define torc_racy_load(p) torc_load_relaxed(p)
#define torc_racy_copy(to, from, size) copy_in_steps((to), (from), (size))

#include "ring_fixture.h"

/* ---- Fibers ------------------------------------------------------------- */

#define STACK_SIZE (256u << 10)

struct fiber {
	ucontext_t context;
	void (*body)(struct fiber *fiber);
	void *argument;
	uint64_t steps;
	uint64_t dies_at;      /* 0: of old age */
	uint64_t asleep_until; /* in steps of all */
	bool done, dead;
	char *stack;
#ifdef TORC_TSAN
	void *tsan;
#endif
};

static struct fiber *running;
static ucontext_t scheduler;
static uint64_t steps_of_all, steps_left;
#ifdef TORC_TSAN
static void *tsan_scheduler;
#endif

static inline void to_scheduler(struct fiber *fiber)
{
	running = NULL;
#ifdef TORC_TSAN
	__tsan_switch_to_fiber(tsan_scheduler, 0);
#endif
	swapcontext(&fiber->context, &scheduler);
}

static inline void step(void)
{
	struct fiber *fiber = running;

	if (!fiber)
		return;
	steps_of_all++;
	if (++fiber->steps == fiber->dies_at) {
		fiber->dead = true;
		to_scheduler(fiber);
	}
	if (!--steps_left)
		to_scheduler(fiber);
}

static inline void copy_in_steps(void *to, const void *from, size_t size)
{
	size_t half = size / 16 * 8;

	step();
	memcpy(to, from, half);
	step();
	memcpy((char *)to + half, (const char *)from + half, size - half);
}

static inline void zero_in_steps(void *to, size_t size)
{
	size_t half = size / 16 * 8;

	step();
	memset(to, 0, half);
	step();
	memset((char *)to + half, 0, size - half);
}

static inline void fiber_main(void)
{
	struct fiber *fiber = running;

	fiber->body(fiber);
	fiber->done = true;
	to_scheduler(fiber);
}

static inline void fiber_start(struct fiber *fiber,
			       void (*body)(struct fiber *), void *argument)
{
	fiber->body = body;
	fiber->argument = argument;
	fiber->steps = fiber->dies_at = fiber->asleep_until = 0;
	fiber->done = fiber->dead = false;
	if (!fiber->stack) {
		fiber->stack = malloc(STACK_SIZE);
		cr_assert(fiber->stack);
	}
	getcontext(&fiber->context);
	fiber->context.uc_stack.ss_sp = fiber->stack;
	fiber->context.uc_stack.ss_size = STACK_SIZE;
	fiber->context.uc_link = NULL;
	makecontext(&fiber->context, fiber_main, 0);
#ifdef TORC_TSAN
	tsan_scheduler = __tsan_get_current_fiber();
	if (!fiber->tsan)
		fiber->tsan = __tsan_create_fiber(0);
#endif
}

static inline bool fiber_ended(const struct fiber *fiber)
{
	return fiber->done || fiber->dead;
}

/* Let @fiber make up to @steps steps. */
static inline void fiber_run(struct fiber *fiber, uint64_t steps)
{
	if (fiber_ended(fiber) || !steps)
		return;
	steps_left = steps;
	running = fiber;
#ifdef TORC_TSAN
	__tsan_switch_to_fiber(fiber->tsan, 0);
#endif
	swapcontext(&scheduler, &fiber->context);
}

/* ---- Publishers that die --------------------------------------------------- */

static inline bool dead_mask(void *context, uint32_t slot)
{
	return *(const uint32_t *)context >> slot & 1;
}

/* Claim @length bytes as slot @slot would, up to and with winning it. */
static inline uint64_t win(const struct torc_ring *ring, struct producer *p,
			   uint64_t length)
{
	uint64_t tail = torc_load_relaxed(&ring->shm->tail);

	torc_claim_note(&p->mp, tail, length);
	cr_assert(torc_cas(&ring->shm->tail, tail, tail + length));
	p->mp.claim = p->mp.start = tail;
	p->mp.end = tail + length;
	return tail;
}

/* The next message at @c, passing what @dead left. */
static inline int peek_past(struct torc_consumer *c, struct torc_message *ret,
			    const struct torc_death *death)
{
	struct torc_claim claim;
	int r;

	for (;;) {
		r = torc_consumer_peek(c, ret);
		if (r != -EAGAIN || c->ring.kind == TORC_KIND_SP ||
		    torc_claim_outcome(&c->ring, c->cursor, death, &claim) != 1)
			return r;
		torc_consumer_skip(c, claim.length);
	}
}

#endif /* TORC_TESTS_RING_STEPS_H */
