/* SPDX-License-Identifier: MIT */
/*
 * Death and chosen interleavings.  Every operation on the ring's memory is a
 * step at which a fiber may be stopped, put off for long, or die; payloads are
 * copied and bytes zeroed in two steps.  So a death is tried at each step of a
 * publisher, and thousands of random schedules of publishers, consumers, joiners
 * and menders are run, each the same again for the same seed:
 *
 *	TORC_TEST_SEED=n	begin with this one
 *	TORC_TEST_RUNS=n	and run so many
 *
 * The schedules are sequentially consistent: what the processor's or the
 * compiler's reordering can do is for stress_ring.c and ThreadSanitizer.
 */
#include <torc/atomic.h>
#include <inttypes.h>
#include <stdio.h>
#include <ucontext.h>

static void step(void);
static void copy_in_steps(void *to, const void *from, size_t size);
static void zero_in_steps(void *to, size_t size);

#undef torc_load_relaxed
#undef torc_load_acquire
#undef torc_store_relaxed
#undef torc_store_release
#undef torc_cas
#undef torc_copy
#undef torc_zero
#define torc_load_relaxed(p)	 (step(), __atomic_load_n((p), __ATOMIC_SEQ_CST))
#define torc_load_acquire(p)	 torc_load_relaxed(p)
#define torc_store_relaxed(p, v) (step(), __atomic_store_n((p), (v), 5))
#define torc_store_release(p, v) torc_store_relaxed(p, v)
#define torc_cas(p, old, desired)                                          \
	__extension__({                                                    \
		__typeof__(*(p)) cas_old = (old);                          \
		step();                                                    \
		__atomic_compare_exchange_n((p), &cas_old, (desired), 0,   \
					    __ATOMIC_SEQ_CST,              \
					    __ATOMIC_SEQ_CST);             \
	})
#define torc_copy(to, from, size)      copy_in_steps((to), (from), (size))
#define torc_zero(to, size)	       zero_in_steps((to), (size))
#define torc_racy_load(p)	       torc_load_relaxed(p)
#define torc_racy_copy(to, from, size) copy_in_steps((to), (from), (size))

#include "ring_fixture.h"

TestSuite(repair, .init = fill_bytes, .timeout = 230);
TestSuite(death, .init = fill_bytes, .timeout = 230);
TestSuite(schedule, .init = fill_bytes, .timeout = 230);

/* ---- Fibers ------------------------------------------------------------- */

#define STACK_SIZE (256u << 10)

struct fiber {
	ucontext_t context;
	void (*body)(struct fiber *fiber);
	void *argument;
	uint64_t steps;
	uint64_t dies_at;	/* 0: of old age */
	uint64_t asleep_until;	/* in steps of all */
	bool done, dead;
	bool stacked;
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

static void to_scheduler(struct fiber *fiber)
{
	running = NULL;
#ifdef TORC_TSAN
	__tsan_switch_to_fiber(tsan_scheduler, 0);
#endif
	swapcontext(&fiber->context, &scheduler);
}

static void step(void)
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

static void copy_in_steps(void *to, const void *from, size_t size)
{
	size_t half = size / 16 * 8;

	step();
	memcpy(to, from, half);
	step();
	memcpy((char *)to + half, (const char *)from + half, size - half);
}

static void zero_in_steps(void *to, size_t size)
{
	size_t half = size / 16 * 8;

	step();
	memset(to, 0, half);
	step();
	memset((char *)to + half, 0, size - half);
}

static void fiber_main(void)
{
	struct fiber *fiber = running;

	fiber->body(fiber);
	fiber->done = true;
	to_scheduler(fiber);
}

static void fiber_start(struct fiber *fiber, void (*body)(struct fiber *),
			void *argument)
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

static bool fiber_ended(const struct fiber *fiber)
{
	return fiber->done || fiber->dead;
}

/* Let @fiber make up to @steps steps. */
static void fiber_run(struct fiber *fiber, uint64_t steps)
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

/* ---- Settling claims, by hand ------------------------------------------- */

static bool dead_mask(void *context, uint32_t slot)
{
	return *(const uint32_t *)context >> slot & 1;
}

/* Claim @length bytes as slot @slot would, up to and with winning it. */
static uint64_t win(const struct torc_ring *ring, struct producer *p,
		    uint64_t length)
{
	uint64_t tail = torc_load_relaxed(&ring->shm->tail);

	torc_claim_note(&p->mp, tail, length);
	cr_assert(torc_cas(&ring->shm->tail, tail, tail + length));
	p->mp.claim = p->mp.start = tail;
	p->mp.end = tail + length;
	return tail;
}

struct bench {
	struct memory m;
	struct producer p[4];
	struct torc_consumer c;
	uint32_t dead;
	struct torc_death death;
	struct torc_claim claim;
};

static void bench_make(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	small_ring(&b->m, TORC_KIND_MP, 0);
	for (uint32_t i = 0; i < 4; i++)
		begin(&b->p[i], &b->m.ring, i);
	join(&b->c, &b->m.ring, 0, TORC_LOSSLESS);
	b->death.dead = dead_mask;
	b->death.context = &b->dead;
}

static int outcome(struct bench *b, uint64_t position)
{
	return torc_claim_outcome(&b->m.ring, position, &b->death, &b->claim);
}

static int repair(struct bench *b, uint64_t position)
{
	return torc_claim_repair(&b->m.ring, position, &b->death);
}

static int settled(struct bench *b, uint32_t slot)
{
	uint64_t position = 0;

	return torc_claim_settled(&b->m.ring, slot, &position);
}

Test(repair, leaves_a_ring_alone_that_awaits_nobody)
{
	struct bench b;

	bench_make(&b);
	b.dead = 15;
	cr_expect_eq(outcome(&b, 0), 0);
	cr_expect_eq(repair(&b, 0), 0);
	cr_assert_eq(say(&b.p[0], 0, 8), 0);
	cr_expect_eq(outcome(&b, 0), 0);
	cr_expect_eq(repair(&b, 16), 0);
	for (uint32_t i = 0; i < 4; i++)
		cr_expect_eq(settled(&b, i), 1);
	hear(&b.c, 0, 8);
}

Test(repair, does_nothing_for_a_claim_that_was_noted_and_not_won)
{
	struct bench b;

	bench_make(&b);
	torc_claim_note(&b.p[1].mp, 0, 64);
	b.dead = 2;
	cr_expect_eq(outcome(&b, 0), 0);
	cr_expect_eq(repair(&b, 0), 0);
	cr_expect_eq(settled(&b, 1), 1);
	cr_assert_eq(say(&b.p[0], 0, 8), 0);
	cr_expect_eq(settled(&b, 1), 1);
	hear(&b.c, 0, 8);
}

Test(repair, waits_for_the_living_and_mends_after_the_dead)
{
	struct bench b;

	bench_make(&b);
	cr_assert_eq(win(&b.m.ring, &b.p[1], 64), 0);
	cr_assert_eq(say(&b.p[0], 0, 8), 0);
	cr_expect_eq(settled(&b, 1), 0);
	b.dead = 1 | 4 | 8;
	cr_expect_eq(outcome(&b, 0), 0);
	cr_expect_eq(repair(&b, 0), 0);
	b.dead = 2;
	cr_expect_eq(outcome(&b, 0), 1);
	cr_expect_eq(b.claim.position, 0);
	cr_expect_eq(b.claim.length, 64);
	cr_expect_eq(b.claim.slot, 1);
	hear_nothing(&b.c);
	cr_expect_eq(repair(&b, 0), 1);
	cr_expect_eq(settled(&b, 1), 1);
	hear(&b.c, 0, 8);
	cr_expect_eq(repair(&b, 0), 0);
}

Test(repair, lets_a_consumer_pass_what_it_cannot_mend)
{
	struct bench b;

	bench_make(&b);
	win(&b.m.ring, &b.p[1], 64);
	cr_assert_eq(say(&b.p[0], 0, 8), 0);
	hear_nothing(&b.c);
	b.dead = 2;
	cr_assert_eq(outcome(&b, b.c.cursor), 1);
	torc_consumer_skip(&b.c, b.claim.length);
	hear(&b.c, 0, 8);
	hear_nothing(&b.c);
}

/* The header tells; the other slot's note of the same place is of no account. */
Test(repair, takes_a_busy_header_at_its_word)
{
	struct bench b;

	bench_make(&b);
	torc_claim_note(&b.p[2].mp, 0, 32);
	win(&b.m.ring, &b.p[1], 128);
	torc_claim_enter(&b.p[1].mp);
	b.dead = 4;
	cr_expect_eq(outcome(&b, 0), 0);
	cr_expect_eq(settled(&b, 2), 1);
	b.dead = 2;
	cr_expect_eq(outcome(&b, 0), 1);
	cr_expect_eq(b.claim.length, 128);
	cr_expect_eq(settled(&b, 1), 0);
	cr_expect_eq(repair(&b, 0), 1);
	cr_expect_eq(settled(&b, 1), 1);
}

/* Each evidence that a claim's end is a boundary, beside a longer and a shorter
 * claim that lost, the longer ending in somebody's payload. */
Test(repair, finds_the_winner_among_the_losers)
{
	for (unsigned int evidence = 0; evidence < 3; evidence++) {
		struct bench b;
		void *payload = NULL;

		bench_make(&b);
		torc_claim_note(&b.p[0].mp, 0, 48);
		torc_claim_note(&b.p[2].mp, 0, 112);
		win(&b.m.ring, &b.p[1], 64);
		b.dead = 15;
		if (evidence == 1)
			win(&b.m.ring, &b.p[3], 128);
		if (evidence == 2) {
			cr_assert_eq(reserve(&b.p[3], 120, &payload), 0);
			memset(payload, 0xff, 120);
			commit(&b.p[3], 120);
			cr_assert_eq(say(&b.p[3], 0, 8), 0);
		}
		cr_expect_eq(outcome(&b, 0), 1, "evidence %u", evidence);
		cr_expect_eq(b.claim.length, 64, "evidence %u: %ju", evidence,
			     (uintmax_t)b.claim.length);
		b.dead = 15 & ~2u;
		cr_expect_eq(outcome(&b, 0), 0);
		/* A loser of another length does not matter. */
		b.dead = 2;
		cr_expect_eq(outcome(&b, 0), 1);
		cr_expect_eq(repair(&b, 0), 1);
		cr_expect_eq(settled(&b, 0), 1);
		cr_expect_eq(settled(&b, 2), 1);
	}
}

Test(repair, cannot_tell_a_winner_from_a_loser_of_the_same_length)
{
	struct bench b;

	bench_make(&b);
	torc_claim_note(&b.p[2].mp, 0, 64);
	win(&b.m.ring, &b.p[1], 64);
	b.dead = 2;
	cr_expect_eq(outcome(&b, 0), 0);
	b.dead = 4;
	cr_expect_eq(outcome(&b, 0), 0);
	cr_expect_eq(settled(&b, 1), 0);
	cr_expect_eq(settled(&b, 2), 0);
	b.dead = 6;
	cr_expect_eq(outcome(&b, 0), 1);
	cr_expect_eq(repair(&b, 0), 1);
	cr_expect_eq(settled(&b, 1), 1);
	cr_expect_eq(settled(&b, 2), 1);
}

Test(repair, clears_a_claim_when_giving_up)
{
	struct bench b;
	void *payload;

	bench_make(&b);
	while (!reserve(&b.p[0], 100, &payload))
		give_up(&b.p[0]);
	/* As one who lost a race and then found no room. */
	torc_claim_note(&b.p[1].mp, torc_load_relaxed(&b.m.ring.shm->tail), 32);
	b.p[1].mp.limit = torc_load_relaxed(&b.m.ring.shm->tail) + 100000;
	cr_assert_eq(torc_load_relaxed(&b.p[1].mp.slot->claim_length), 32);
	begin(&b.p[1], &b.m.ring, 1);
	cr_assert_eq(torc_load_relaxed(&b.p[1].mp.slot->claim_length), 0);
}

Test(repair, rejects_a_busy_header_that_nobody_wrote)
{
	static const uint64_t bad[] = {
		TORC_HEADER(TORC_RECORD_BUSY, 4, 56),
		TORC_HEADER(TORC_RECORD_BUSY, 65535, 56),
		TORC_HEADER(TORC_RECORD_BUSY, 1, 55),
		TORC_HEADER(TORC_RECORD_BUSY, 1, CAPACITY / 2 + 8),
		TORC_HEADER(TORC_RECORD_BUSY, 1, UINT32_MAX - 7),
	};
	struct bench b;

	bench_make(&b);
	b.dead = 15;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		torc_store_relaxed(torc_header_at(&b.m.ring, 0), bad[i]);
		cr_expect_eq(outcome(&b, 0), -EPROTO, "%zu", i);
		cr_expect_eq(repair(&b, 0), -EPROTO, "%zu", i);
	}
}

/* Zero what the dead one left, though it lies across the end. */
Test(repair, finishes_the_zeroing_across_the_end)
{
	struct bench b;

	for (uint64_t offset = 0; offset < CAPACITY; offset += 16) {
		bench_make(&b);
		memory_format(&b.m, offset);
		memset(b.m.ring.data, 0, CAPACITY);
		for (uint32_t i = 0; i < 4; i++)
			begin(&b.p[i], &b.m.ring, i);
		join(&b.c, &b.m.ring, 0, TORC_LOSSLESS);
		for (uint64_t i = 0; i < 300; i++) {
			if (i == 150)
				win(&b.m.ring, &b.p[1], 320);
			if (i == 151) {
				b.dead = 2;
				cr_assert_eq(repair(&b, b.c.cursor), 1);
			}
			while (say(&b.p[0], i, length_of(i)) == -EAGAIN)
				cr_assert_fail("no room");
			if (i != 150)
				hear(&b.c, i == 151 ? 150 : i,
				     length_of(i == 151 ? 150 : i));
			if (i == 151)
				hear(&b.c, 151, length_of(151));
		}
		munmap(b.m.base - 4096, b.m.size + 8192);
	}
}

/* ---- A publisher that dies at each step --------------------------------- */

enum deed { PUBLISH, ABORT, SHRINK, BATCH, DEEDS };

struct victim {
	struct producer p;
	enum deed deed;
	size_t length;
	int result;
};

static void do_deed(struct fiber *fiber)
{
	struct victim *v = fiber->argument;
	struct torc_span spans[3];
	void *payload = NULL;

	switch (v->deed) {
	case PUBLISH:
	case DEEDS:
		v->result = say(&v->p, 1000, v->length);
		break;
	case ABORT:
	case SHRINK:
		v->result = reserve(&v->p, v->length, &payload);
		if (v->result)
			break;
		if (v->deed == ABORT) {
			copy_in_steps(payload, body_of(77), v->length);
			give_up(&v->p);
			break;
		}
		copy_in_steps(payload, body_of(1000), v->length);
		commit(&v->p, v->length / 3);
		break;
	case BATCH:
		for (unsigned int i = 0; i < 3; i++)
			spans[i] = (struct torc_span){ body_of(1000 + i),
						       v->length / 4 };
		v->result = publish_batch(&v->p, spans, 3);
	}
}

/* How many messages the deed makes, and how long each. */
static unsigned int deed_count(enum deed deed)
{
	return deed == ABORT ? 0 : deed == BATCH ? 3 : 1;
}

static size_t deed_length(const struct victim *v)
{
	return v->deed == SHRINK ? v->length / 3 :
	       v->deed == BATCH	 ? v->length / 4 : v->length;
}

/* The next message at @c, passing what @dead left. */
static int peek_past(struct torc_consumer *c, struct torc_message *ret,
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

/*
 * What @v left is all there or nothing of it; then come messages 3 to @said of
 * the others.  Numbers after the victim's are shifted by what it committed.
 */
static void hear_after(struct torc_consumer *c, const struct victim *v,
		       uint64_t said, bool must, const struct torc_death *death)
{
	struct torc_message m;
	unsigned int there = 0;
	int r;

	for (uint64_t i = 3; i < said;) {
		r = peek_past(c, &m, death);
		CHECK(!r, "message %ju: %d", (uintmax_t)i, r);
		CHECK(m.sequence == i + there, "sequence");
		if (m.length == deed_length(v) &&
		    !memcmp(m.data, body_of(1000 + there), m.length) &&
		    there < deed_count(v->deed)) {
			CHECK(i == 3, "late");
			there++;
		} else {
			CHECK(m.length == length_of(i) &&
			      !memcmp(m.data, body_of(i), m.length),
			      "message %ju is garbled", (uintmax_t)i);
			i++;
		}
		CHECK(!torc_consumer_release(c), "release");
	}
	CHECK(peek_past(c, &m, death) == -EAGAIN, "one more");
	CHECK(there == 0 || there == deed_count(v->deed), "%u of a batch of %zu",
	      there, v->length);
	CHECK(!must || there == deed_count(v->deed), "lost");
}

/*
 * Three messages, the victim's up to its death at step @at, and the successor's
 * or the others' many, mending when stuck.  False if it lived through it.
 */
static bool die_once(struct fiber *fiber, struct victim *v, struct memory *m,
		     uint64_t first, uint64_t at)
{
	uint32_t dead = 1;
	struct torc_death death = { dead_mask, &dead };
	struct torc_consumer c, lossy;
	struct torc_message message;
	struct producer next;
	uint64_t said = 0, position;
	bool lived;

	memory_format(m, first);
	begin(&v->p, &m->ring, 0);
	join(&c, &m->ring, 0, TORC_LOSSLESS);
	join(&lossy, &m->ring, TORC_NO_SLOT, TORC_OLDEST);
	for (; said < 3; said++) {
		CHECK(!say(&v->p, said, 20), "before");
		hear(&c, said, 20);
	}
	fiber_start(fiber, do_deed, v);
	fiber->dies_at = at;
	fiber_run(fiber, UINT64_MAX);
	lived = fiber->done;

	begin(&next, &m->ring, m->ring.kind == TORC_KIND_SP ? 0 : 1);
	for (; said < 5; said++)
		CHECK(!say(&next, said, length_of(said)), "after");
	hear_after(&c, v, said, lived, &death);
	/* On and round the end; the first time stuck, mend. */
	for (unsigned int i = 0; i < 100; i++, said++) {
		int r = say(&next, said, length_of(said));

		if (r && next.many && next.mp.blocked == TORC_MP_STUCK) {
			CHECK(torc_claim_repair(&m->ring, next.mp.stuck_at,
						&death) == 1, "repair");
			r = say(&next, said, length_of(said));
		}
		CHECK(!r, "%ju: %d", (uintmax_t)said, r);
		r = peek_past(&c, &message, &death);
		CHECK(!r && message.length == length_of(said) &&
		      !memcmp(message.data, body_of(said), message.length),
		      "message %ju: %d", (uintmax_t)said, r);
		CHECK(!torc_consumer_release(&c), "release");
	}
	CHECK(m->ring.kind == TORC_KIND_SP ||
	      torc_claim_settled(&m->ring, 0, &position) == 1, "not settled");
	return !lived;
}

static void die_at_each_step(uint32_t kind, enum deed deed)
{
	static const size_t lengths[] = { 16, 24, 50, 100, 300, 500 };
	static const uint64_t firsts[] = { 0, 4096 - 48 - 16, 4096 - 48 - 64,
					   4096 - 48 - 256, 4096 - 128 - 48,
					   4096 - 96, 4096 - 48 - 400 };
	struct fiber fiber = { .stack = NULL };
	struct memory m;
	struct victim v = { .deed = deed };
	uint64_t deaths = 0, at;

	small_ring(&m, kind, 0);
	for (size_t f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]);
		     i++) {
			v.length = lengths[i];
			/* The later bytes are those of another lap. */
			for (at = 1; die_once(&fiber, &v, &m, firsts[f] - 48 * 2,
					      at); at++)
				deaths++;
		}
	}
	cr_expect_gt(deaths, 40);
	free(fiber.stack);
}

BOTH_KINDS(survives_a_death_at_each_step_of_publishing)
{
	die_at_each_step(kind, PUBLISH);
}

BOTH_KINDS(survives_a_death_at_each_step_of_aborting)
{
	die_at_each_step(kind, ABORT);
}

BOTH_KINDS(survives_a_death_at_each_step_of_shrinking)
{
	die_at_each_step(kind, SHRINK);
}

BOTH_KINDS(survives_a_death_at_each_step_of_a_batch)
{
	die_at_each_step(kind, BATCH);
}
