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
#define torc_copy_short(to, from, size)	  copy_in_steps((to), (from), (size))
#define torc_copy_payload(to, from, size) copy_in_steps((to), (from), (size))
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

struct late {
	struct bench b;
	uint32_t asked;
};

/* Dead, but it did commit before. */
static bool dead_after_commit(void *context, uint32_t slot)
{
	struct late *late = context;

	if (!late->asked++)
		commit(&late->b.p[1], 56);
	return slot == 1;
}

Test(repair, looks_again_after_asking_who_is_dead)
{
	for (unsigned int busy = 0; busy < 2; busy++) {
		struct late late = { .asked = 0 };
		struct torc_death death = { dead_after_commit, &late };
		struct bench *b = &late.b;

		bench_make(b);
		win(&b->m.ring, &b->p[1], 64);
		if (busy)
			torc_claim_enter(&b->p[1].mp);
		cr_assert_eq(say(&b->p[0], 0, 8), 0);
		cr_expect_eq(torc_claim_outcome(&b->m.ring, 0, &death,
						&b->claim), 0, "busy %u", busy);
		late.asked = 0;
		torc_store_relaxed(torc_header_at(&b->m.ring, 0), 0);
		cr_expect_eq(torc_claim_repair(&b->m.ring, 0, &death), 0);
		cr_expect_eq(late.asked, 1);
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
	unsigned int count;	/* messages that it makes */
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
 * What @v left is all there or nothing of it; then come messages @from to @said
 * of the others.  Sequence numbers after the victim's are later by what it
 * committed.
 */
static void hear_after(struct torc_consumer *c, const struct victim *v,
		       uint64_t from, uint64_t said, bool must,
		       const struct torc_death *death)
{
	struct torc_message m;
	unsigned int there = 0;
	int r;

	for (uint64_t i = from; i < said;) {
		r = peek_past(c, &m, death);
		CHECK(!r, "message %ju: %d", (uintmax_t)i, r);
		CHECK(m.sequence == i + there, "sequence");
		if (m.length == deed_length(v) &&
		    !memcmp(m.data, body_of(1000 + there), m.length) &&
		    there < v->count) {
			CHECK(i == from, "late");
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
	CHECK(there == 0 || there == v->count, "%u of a batch of %zu",
	      there, v->length);
	CHECK(!must || there == v->count, "lost");
}

/*
 * Two laps of short messages up to @first, so that there is something left to be
 * mistaken for a record; the victim's up to its death at step @at; and then its
 * successor's or the others', mending when stuck.  False if it lived through it.
 */
static bool die_once(struct fiber *fiber, struct victim *v, struct memory *m,
		     uint64_t first, uint64_t at)
{
	uint32_t dead = 1;
	struct torc_death death = { dead_mask, &dead };
	struct torc_consumer c;
	struct torc_message message;
	struct producer next;
	uint64_t said = 0, position, begun;
	bool lived;

	memory_format(m, first - 2 * CAPACITY);
	begin(&v->p, &m->ring, 0);
	join(&c, &m->ring, 0, TORC_LOSSLESS);
	for (; c.cursor != first; said++) {
		CHECK(!say(&v->p, said, 8), "before");
		hear(&c, said, 8);
	}
	begun = said;
	fiber_start(fiber, do_deed, v);
	fiber->dies_at = at;
	fiber_run(fiber, UINT64_MAX);
	lived = fiber->done;
	if (lived)
		v->count = v->deed == ABORT ? 0 :
			   v->deed == BATCH ? (unsigned int)v->result : 1;

	begin(&next, &m->ring, m->ring.kind == TORC_KIND_SP ? 0 : 1);
	for (; said < begun + 2; said++)
		CHECK(!say(&next, said, length_of(said)), "after");
	hear_after(&c, v, begun, said, lived, &death);
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
	static const uint64_t firsts[] = { 0, 4096 - 16, 4096 - 64, 4096 - 128,
					   4096 - 256, 4096 - 400, 2048, 256 };
	struct fiber fiber = { .stack = NULL };
	struct memory m;
	struct victim v = { .deed = deed };
	uint64_t deaths = 0, at;

	small_ring(&m, kind, 0);
	for (size_t f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++) {
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]);
		     i++) {
			v.length = lengths[i];
			/* Living shows how many of a batch fit. */
			die_once(&fiber, &v, &m, firsts[f], 0);
			for (at = 1; die_once(&fiber, &v, &m, firsts[f], at);
			     at++)
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

/* ---- Losing a race, and dying at any two steps -------------------------- */

/*
 * The loser goes @i steps, the victim @j and dies, the loser goes on, and dies or
 * not; a third publishes until it is stuck, mends, and must see it all go on.
 */
static void race_once(struct fiber fibers[2], struct victim v[2],
		      struct memory *m, uint64_t i, uint64_t j, bool both)
{
	uint32_t dead = both ? 3 : 2;
	struct torc_death death = { dead_mask, &dead };
	struct torc_consumer c;
	struct torc_message message;
	struct torc_claim claim;
	struct producer third;
	uint64_t said = 0, heard = 0, position;
	unsigned int there[2] = { 0, 0 };

	memory_format(m, 4096 - 128);
	join(&c, &m->ring, 0, TORC_LOSSLESS);
	begin(&third, &m->ring, 2);
	for (uint32_t k = 0; k < 2; k++) {
		begin(&v[k].p, &m->ring, k);
		fiber_start(&fibers[k], do_deed, &v[k]);
	}
	fiber_run(&fibers[0], i);
	fiber_run(&fibers[1], j);
	/* A record that ends where it may look like a boundary. */
	CHECK(!say(&third, said++, 200), "third");
	if (!both)
		fiber_run(&fibers[0], UINT64_MAX);
	for (unsigned int n = 0; n < 60;) {
		int r = say(&third, said, 40);

		if (!r) {
			said++;
			n++;
		} else if (third.mp.blocked == TORC_MP_STUCK) {
			CHECK(torc_claim_repair(&m->ring, third.mp.stuck_at,
						&death) == 1, "repair");
		}
		while (!peek_past(&c, &message, &death)) {
			if (message.publisher == 2) {
				CHECK(message.length == (heard ? 40 : 200) &&
				      !memcmp(message.data, body_of(heard),
					      message.length), "garbled");
				heard++;
			} else {
				uint32_t k = message.publisher;

				CHECK(k < 2 && !there[k]++, "twice");
				CHECK(message.length == v[k].length &&
				      !memcmp(message.data, body_of(1000),
					      message.length), "garbled");
			}
			CHECK(!torc_consumer_release(&c), "release");
		}
	}
	CHECK(heard == said, "%ju of %ju heard", (uintmax_t)heard,
	      (uintmax_t)said);
	for (uint32_t k = 0; k < 2; k++) {
		CHECK(!fibers[k].done || there[k], "lost");
		/* What the consumer passed may still have to be mended. */
		if (dead >> k & 1 &&
		    !torc_claim_settled(&m->ring, k, &position))
			CHECK(torc_claim_repair(&m->ring, position, &death) == 1,
			      "settle");
		CHECK(!(dead >> k & 1) ||
		      torc_claim_settled(&m->ring, k, &position) == 1,
		      "not settled");
	}
	CHECK(torc_claim_outcome(&m->ring, c.cursor, &death, &claim) == 0,
	      "something is left");
}

Test(death, of_the_winner_or_both_at_any_step_of_a_race)
{
	static const size_t lengths[][2] = { { 8, 100 }, { 100, 8 }, { 40, 40 },
					     { 300, 120 }, { 24, 56 } };
	struct fiber fibers[2] = { { .stack = NULL }, { .stack = NULL } };
	struct victim v[2] = { { .deed = PUBLISH }, { .deed = PUBLISH } };
	struct memory m;

	small_ring(&m, TORC_KIND_MP, 0);
	for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++) {
		v[0].length = lengths[k][0];
		v[1].length = lengths[k][1];
		for (uint64_t i = 0; i < 16; i++) {
			for (uint64_t j = 0; j < 20; j++) {
				race_once(fibers, v, &m, i, j, false);
				race_once(fibers, v, &m, i, j, true);
			}
		}
	}
	free(fibers[0].stack);
	free(fibers[1].stack);
}

/* ---- Random schedules --------------------------------------------------- */

#define PUBLISHERS 3u
#define LISTENERS 4u
#define MENDERS 2u
#define IDS_MAX 4096u
#define STEPS_MAX 20000000u

enum id_state { NEVER, BEGUN, COMMITTED };

/* A publisher's slot, and who has it. */
struct seat {
	struct fiber fiber;
	struct producer p;
	struct play *play;
	uint32_t slot, life;
	uint32_t messages;	/* to be published yet */
	int held_by;		/* a mender, or -1 */
};

struct listener {
	struct fiber fiber;
	struct torc_consumer c;
	struct play *play;
	uint32_t slot, flags;
	bool restless;		/* joins and leaves all the time */
	uint64_t heard;
	uint32_t last[IDS_MAX];	/* id, by publisher's life */
};

struct mender {
	struct fiber fiber;
	struct play *play;
	int index;
};

struct play {
	struct memory m;
	struct seat seats[PUBLISHERS];
	struct listener listeners[LISTENERS];
	struct mender menders[MENDERS];
	uint64_t seed;
	unsigned int publishers;
	bool mortal;		/* deaths */
	int repairing;		/* a mender, or -1 */
	uint32_t lives, ids;
	unsigned char state[IDS_MAX];
	uint32_t life_of[IDS_MAX];
	uint32_t seen[IDS_MAX];	/* id + 1, by sequence */
	uint64_t random;
};

static uint32_t dice(struct play *play, uint32_t sides)
{
	play->random = play->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(play->random >> 33) % sides;
}

#define PLAY(play, condition, ...)                                         \
	do {                                                               \
		if (!(condition)) {                                        \
			fprintf(stderr, "seed %" PRIu64 ": ", (play)->seed); \
			fprintf(stderr, __VA_ARGS__);                      \
			fputc('\n', stderr);                               \
			cr_assert_fail("seed %" PRIu64, (play)->seed);     \
		}                                                          \
	} while (0)

static size_t id_length(uint32_t id)
{
	uint32_t x = id * 2654435761u;

	return sizeof(id) + (x >> 28 ? x >> 8 & 63 : (x >> 8) % 490);
}

static const unsigned char *id_body(uint32_t id, unsigned char *buffer)
{
	memcpy(buffer, &id, sizeof(id));
	memcpy(buffer + sizeof(id), body_of(id), id_length(id));
	return buffer;
}

static uint32_t id_new(struct seat *seat)
{
	struct play *play = seat->play;
	uint32_t id = play->ids++;

	PLAY(play, id < IDS_MAX, "too many messages");
	play->life_of[id] = seat->life;
	play->state[id] = BEGUN;
	return id;
}

static void publish_one(struct seat *seat, unsigned int kind)
{
	struct play *play = seat->play;
	unsigned char buffer[LONGEST];
	uint32_t id = id_new(seat);
	size_t length = id_length(id), most = length;
	void *payload = NULL;
	int r;

	id_body(id, buffer);
	if (kind == 0)
		play->state[id] = NEVER;
	if (kind == 1)
		most += dice(play, 512 - 8 - (uint32_t)length);
	do {
		step();
		r = kind < 2 ? reserve(&seat->p, most, &payload)
			     : publish(&seat->p, buffer, length);
		PLAY(play, !r || r == -EAGAIN, "publish: %d", r);
	} while (r);
	if (kind < 2) {
		copy_in_steps(payload, buffer, length);
		if (kind == 0) {
			give_up(&seat->p);
			return;
		}
		memset((char *)payload + length, 0x77, most - length);
		commit(&seat->p, length);
	}
	play->state[id] = COMMITTED;
}

static void publish_many(struct seat *seat)
{
	struct play *play = seat->play;
	unsigned char buffers[4][LONGEST];
	struct torc_span spans[4];
	uint32_t ids[4];
	int r;

	for (unsigned int i = 0; i < 4; i++) {
		ids[i] = id_new(seat);
		spans[i].data = id_body(ids[i], buffers[i]);
		spans[i].length = id_length(ids[i]);
	}
	do {
		step();
		r = publish_batch(&seat->p, spans, 4);
		PLAY(play, r > 0 || r == -EAGAIN, "batch: %d", r);
	} while (r < 0);
	for (int i = 0; i < 4; i++)
		play->state[ids[i]] = i < r ? COMMITTED : NEVER;
}

static void publisher_body(struct fiber *fiber)
{
	struct seat *seat = fiber->argument;
	struct play *play = seat->play;

	begin(&seat->p, &play->m.ring, seat->slot);
	while (seat->messages) {
		unsigned int kind = dice(play, 8);

		seat->messages--;
		if (kind == 7)
			publish_many(seat);
		else
			publish_one(seat, kind);
	}
}

static void seat_start(struct seat *seat)
{
	struct play *play = seat->play;

	seat->life = play->lives++;
	fiber_start(&seat->fiber, publisher_body, seat);
	if (play->mortal && dice(play, 3))
		seat->fiber.dies_at = 1 + dice(play, 1u << (4 + dice(play, 8)));
}

/* Nobody publishes any more, and nobody will. */
static bool play_ends(const struct play *play)
{
	for (unsigned int i = 0; i < play->publishers; i++)
		if (!play->seats[i].fiber.done)
			return false;
	return true;
}

/* ---- Listeners ---------------------------------------------------------- */

/* A lock that nobody has, as a subscriber can find out. */
static bool is_dead(void *context, uint32_t slot)
{
	struct play *play = context;

	step();
	return slot >= play->publishers ||
	       (fiber_ended(&play->seats[slot].fiber) &&
		play->seats[slot].held_by < 0);
}

static void listen_to(struct listener *l, const struct torc_message *m,
		      const unsigned char *data)
{
	struct play *play = l->play;
	unsigned char buffer[LONGEST];
	uint32_t id = IDS_MAX, life;

	memcpy(&id, data, sizeof(id));
	PLAY(play, m->length >= sizeof(id) && id < play->ids &&
	     play->state[id] != NEVER, "message %u was never sent", id);
	PLAY(play, m->length == id_length(id) &&
	     !memcmp(data, id_body(id, buffer), m->length),
	     "message %u is garbled", id);
	life = play->life_of[id];
	PLAY(play, l->last[life] <= id, "message %u is out of order", id);
	l->last[life] = id + 1;
	PLAY(play, m->sequence < IDS_MAX && (!play->seen[m->sequence] ||
					     play->seen[m->sequence] == id + 1),
	     "messages %u and %u are both number %ju", id,
	     play->seen[m->sequence] - 1, (uintmax_t)m->sequence);
	play->seen[m->sequence] = id + 1;
	l->heard++;
}

static int listen_once(struct listener *l, uint64_t begun)
{
	struct torc_message m[3] = { { .data = NULL } };
	unsigned char buffer[LONGEST];
	int r, n;

	if (dice(l->play, 2)) {
		r = torc_consumer_receive(&l->c, buffer, sizeof(buffer), m);
		if (!r)
			listen_to(l, m, buffer);
		return r;
	}
	n = torc_consumer_peek_batch(&l->c, m, 1 + (int)dice(l->play, 3));
	if (n < 0)
		return n;
	step();
	for (int i = 0; i < n && l->c.lossless; i++) {
		/* Steps in the midst of it. */
		copy_in_steps(buffer, m[i].data, m[i].length);
		listen_to(l, &m[i], buffer);
	}
	r = torc_consumer_release(&l->c);
	if (!r && !l->c.lossless)
		l->heard += (uint64_t)n;
	PLAY(l->play, r != -ESTALE || !l->c.lossless, "evicted by nobody");
	PLAY(l->play, r || l->heard + l->c.lost == l->c.count - begun,
	     "%ju heard, %ju lost, %ju in all", (uintmax_t)l->heard,
	     (uintmax_t)l->c.lost, (uintmax_t)(l->c.count - begun));
	return r == -ESTALE ? 0 : r;
}

/* Until there is nothing more, or for a few messages. */
static void listen_for(struct listener *l, uint64_t begun, unsigned int few)
{
	struct play *play = l->play;
	const struct torc_death death = { is_dead, play };
	const struct torc_ring *ring = &play->m.ring;
	struct torc_claim claim;

	while (few--) {
		bool ends = play_ends(play);
		int r = listen_once(l, begun);

		PLAY(play, !r || r == -EAGAIN, "consumer: %d", r);
		if (!r)
			continue;
		if (ends && (ring->kind == TORC_KIND_SP ||
			     l->c.cursor == torc_load_acquire(&ring->shm->tail)))
			return;
		if (ring->kind == TORC_KIND_MP &&
		    torc_claim_outcome(ring, l->c.cursor, &death, &claim) == 1)
			torc_consumer_skip(&l->c, claim.length);
		step();
	}
}

static void listener_body(struct fiber *fiber)
{
	struct listener *l = fiber->argument;
	struct play *play = l->play;
	uint64_t begun;
	bool ends;

	do {
		ends = play_ends(play);
		if (l->restless) {
			l->flags = dice(play, 4);
			join(&l->c, &play->m.ring, l->slot, l->flags);
			memset(l->last, 0, sizeof(l->last));
			l->heard = 0;
		}
		begun = l->c.count;
		listen_for(l, begun, l->restless && !ends ? dice(play, 30)
							  : UINT32_MAX);
		PLAY(play, l->heard + l->c.lost == l->c.count - begun,
		     "%ju heard, %ju lost, of %ju", (uintmax_t)l->heard,
		     (uintmax_t)l->c.lost, (uintmax_t)(l->c.count - begun));
		PLAY(play, !l->c.lossless || !l->c.lost, "lossless, but lost");
		if (l->restless)
			torc_consumer_leave(&l->c);
	} while (!ends && l->restless);
}

/* ---- Menders: repair, and take dead publishers' slots over -------------- */

static bool seize(void *context, uint32_t slot)
{
	struct mender *mender = context;
	struct seat *seat = &mender->play->seats[slot];

	step();
	if (slot >= mender->play->publishers)
		return true;
	if (!fiber_ended(&seat->fiber) ||
	    (seat->held_by >= 0 && seat->held_by != mender->index))
		return false;
	seat->held_by = mender->index;
	return true;
}

static void unseize(struct mender *mender)
{
	for (unsigned int i = 0; i < PUBLISHERS; i++)
		if (mender->play->seats[i].held_by == mender->index)
			mender->play->seats[i].held_by = -1;
	if (mender->play->repairing == mender->index)
		mender->play->repairing = -1;
}

static void mend(struct mender *mender, uint64_t position)
{
	const struct torc_death death = { seize, mender };
	struct play *play = mender->play;
	int r;

	step();
	if (play->repairing >= 0)
		return;
	play->repairing = mender->index;
	r = torc_claim_repair(&play->m.ring, position, &death);
	PLAY(play, r >= 0, "repair: %d", r);
	unseize(mender);
}

static void take_over(struct mender *mender, struct seat *seat)
{
	struct play *play = mender->play;
	uint64_t position;
	int r;

	if (!seat->fiber.dead || !seize(mender, seat->slot))
		return;
	r = play->m.ring.kind == TORC_KIND_SP ? 1 :
	    torc_claim_settled(&play->m.ring, seat->slot, &position);
	PLAY(play, r >= 0, "settled: %d", r);
	if (r)
		seat_start(seat);
	unseize(mender);
	if (!r)
		mend(mender, position);
}

static void mender_body(struct fiber *fiber)
{
	struct mender *mender = fiber->argument;
	struct play *play = mender->play;

	while (!play_ends(play)) {
		for (unsigned int i = 0; i < play->publishers; i++) {
			struct seat *seat = &play->seats[i];

			step();
			if (!fiber_ended(&seat->fiber) && seat->p.many &&
			    seat->p.mp.blocked == TORC_MP_STUCK)
				mend(mender, seat->p.mp.stuck_at);
			take_over(mender, seat);
		}
	}
}

static void mender_start(struct mender *mender)
{
	struct play *play = mender->play;

	unseize(mender);
	fiber_start(&mender->fiber, mender_body, mender);
	if (play->mortal && dice(play, 2))
		mender->fiber.dies_at = 1 + dice(play, 2000);
}

/* ---- Playing ------------------------------------------------------------ */

/* The stacks are for all plays. */
static struct play play;

static void play_set(uint64_t seed, uint32_t kind, bool mortal)
{
	static const uint64_t firsts[] = { 0, 0u - 8192ull, 1ull << 63 };

	if (!play.m.base)
		small_ring(&play.m, kind, 0);
	play.random = seed * 0x9e3779b97f4a7c15u + 1;
	dice(&play, 2);
	play.seed = seed;
	play.mortal = mortal;
	play.publishers = kind == TORC_KIND_SP ? 1 : 1 + dice(&play, PUBLISHERS);
	play.repairing = -1;
	play.lives = play.ids = 0;
	memset(play.seen, 0, sizeof(play.seen));
	memory_format(&play.m, firsts[dice(&play, 3)] - dice(&play, 256) * 16);
	/* Few slots, for the gate is looked at in steps. */
	play.m.ring.subscribers = LISTENERS;
	play.m.ring.publishers = PUBLISHERS;
	for (unsigned int i = 0; i < LISTENERS; i++) {
		struct listener *l = &play.listeners[i];

		l->play = &play;
		l->heard = 0;
		memset(l->last, 0, sizeof(l->last));
		l->slot = i;
		l->restless = i != 0;
		/* The first hears all, or nothing holds the ring for long. */
		join(&l->c, &play.m.ring, i ? TORC_NO_SLOT : 0,
		     seed % 4 && !i ? TORC_LOSSLESS : 0);
		fiber_start(&l->fiber, listener_body, l);
	}
	for (unsigned int i = 0; i < PUBLISHERS; i++) {
		struct seat *seat = &play.seats[i];

		seat->play = &play;
		seat->slot = i;
		seat->held_by = -1;
		seat->messages = 30 + dice(&play, 100);
		seat->p.mp.blocked = TORC_MP_FULL;
		seat->fiber.done = true;
		seat->fiber.dead = false;
		if (i < play.publishers)
			seat_start(seat);
	}
	for (unsigned int i = 0; i < MENDERS; i++) {
		play.menders[i].play = &play;
		play.menders[i].index = (int)i;
		mender_start(&play.menders[i]);
	}
}

/* What was committed was seen, and without gaps. */
static void play_judge(bool all_heard)
{
	struct torc_consumer c;
	uint64_t total, committed = 0, heard = 0;
	static bool there[IDS_MAX];

	join(&c, &play.m.ring, TORC_NO_SLOT, 0);
	total = c.count;
	PLAY(&play, total == play.listeners[0].c.count, "%ju of %ju",
	     (uintmax_t)play.listeners[0].c.count, (uintmax_t)total);
	memset(there, 0, sizeof(there));
	for (uint64_t i = 0; i < IDS_MAX; i++) {
		if (!play.seen[i])
			continue;
		heard++;
		PLAY(&play, i < total && !there[play.seen[i] - 1],
		     "message %u twice", play.seen[i] - 1);
		there[play.seen[i] - 1] = true;
	}
	for (uint32_t id = 0; id < play.ids; id++) {
		committed += play.state[id] == COMMITTED;
		PLAY(&play, !all_heard || play.state[id] != COMMITTED ||
		     there[id], "message %u is lost", id);
	}
	PLAY(&play, committed <= total && (!all_heard || heard == total),
	     "%ju committed, %ju heard, %ju counted", (uintmax_t)committed,
	     (uintmax_t)heard, (uintmax_t)total);
}

/* Who is where, for whoever has to find out why. */
static void play_show(void)
{
	fprintf(stderr, "tail %ju floor %ju proposed %ju\n",
		(uintmax_t)play.m.ring.shm->tail,
		(uintmax_t)play.m.ring.shm->floor,
		(uintmax_t)play.m.ring.shm->proposed);
	for (unsigned int i = 0; i < PUBLISHERS; i++)
		fprintf(stderr, "publisher %u: %s, %u to go, held by %d\n", i,
			play.seats[i].fiber.done ? "done" :
			play.seats[i].fiber.dead ? "dead" : "alive",
			play.seats[i].messages, play.seats[i].held_by);
	for (unsigned int i = 0; i < LISTENERS; i++)
		fprintf(stderr, "listener %u: %s, flags %u, cursor %ju, count "
			"%ju, heard %ju, lost %ju\n", i,
			play.listeners[i].fiber.done ? "done" : "alive",
			play.listeners[i].flags,
			(uintmax_t)play.listeners[i].c.cursor,
			(uintmax_t)play.listeners[i].c.count,
			(uintmax_t)play.listeners[i].heard,
			(uintmax_t)play.listeners[i].c.lost);
}

static void play_once(uint64_t seed, uint32_t kind, bool mortal)
{
	struct fiber *fibers[LISTENERS + PUBLISHERS + MENDERS];
	unsigned int n = 0, calm, ended = 0;
	uint64_t begun = steps_of_all;

	play_set(seed, kind, mortal);
	for (unsigned int i = 0; i < LISTENERS; i++)
		fibers[n++] = &play.listeners[i].fiber;
	for (unsigned int i = 0; i < PUBLISHERS; i++)
		fibers[n++] = &play.seats[i].fiber;
	for (unsigned int i = 0; i < MENDERS; i++)
		fibers[n++] = &play.menders[i].fiber;
	calm = 1 + dice(&play, 7);
	while (ended < n) {
		struct fiber *fiber = fibers[dice(&play, n)];

		if (steps_of_all - begun >= STEPS_MAX)
			play_show();
		PLAY(&play, steps_of_all - begun < STEPS_MAX, "stuck");
		for (unsigned int i = 0; i < MENDERS; i++)
			if (play.menders[i].fiber.dead)
				mender_start(&play.menders[i]);
		for (ended = 0; ended < n && fibers[ended]->done;)
			ended++;
		steps_of_all++;
		if (fiber->asleep_until > steps_of_all)
			continue;
		fiber_run(fiber, 1 + dice(&play, 1u << dice(&play, calm)));
		/* Now and then somebody is put off for long. */
		if (!dice(&play, 64))
			fiber->asleep_until = steps_of_all +
					      dice(&play, 1u << dice(&play, 14));
	}
	play_judge(seed % 4);
}

static void play_many(uint32_t kind, bool mortal)
{
	const char *seed = getenv("TORC_TEST_SEED");
	const char *runs = getenv("TORC_TEST_RUNS");
	uint64_t from = seed ? strtoull(seed, NULL, 10) : 1;
	uint64_t count = runs ? strtoull(runs, NULL, 10) : 300;

	for (uint64_t i = from; i < from + count; i++)
		play_once(i, kind, mortal);
}

Test(schedule, of_one_publisher_that_lives)
{
	play_many(TORC_KIND_SP, false);
}

Test(schedule, of_one_publisher_that_dies_again_and_again)
{
	play_many(TORC_KIND_SP, true);
}

Test(schedule, of_publishers_that_live)
{
	play_many(TORC_KIND_MP, false);
}

Test(schedule, of_publishers_and_menders_that_die)
{
	play_many(TORC_KIND_MP, true);
}
