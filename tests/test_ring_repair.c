/* SPDX-License-Identifier: MIT */
/*
 * The settling of dead publishers' claims, by hand and step by step: what is
 * evidence for whom, and that it is believed only while it lasts.
 */
#include "ring_steps.h"

TestSuite(repair, .init = fill_bytes, .timeout = 230);
TestSuite(death, .init = fill_bytes, .timeout = 230);

/* ---- Settling claims, by hand ------------------------------------------- */

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

Test(repair, tells_a_tail_that_nobody_moved)
{
	struct bench b;

	bench_make(&b);
	b.m.ring.shm->tail += 64;
	cr_expect_eq(outcome(&b, 0), -EPROTO);
	cr_expect_eq(repair(&b, 0), -EPROTO);
	/* Somebody may have won it, who lives. */
	torc_claim_note(&b.p[1].mp, 0, 64);
	cr_expect_eq(outcome(&b, 0), 0);
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
						&b->claim),
			     0, "busy %u", busy);
		late.asked = 0;
		torc_store_relaxed(torc_header_at(&b->m.ring, 0), 0);
		cr_expect_eq(torc_claim_repair(&b->m.ring, 0, &death), 0);
		cr_expect_eq(late.asked, 1);
	}
}

/* Who found it needed mending may come after another, and a lap too late. */
Test(repair, leaves_alone_what_the_floor_has_passed)
{
	struct bench b;
	uint64_t position, read = 0;

	bench_make(&b);
	position = win(&b.m.ring, &b.p[1], 512);
	b.dead = 2;
	cr_assert_eq(say(&b.p[0], 0, 8), 0);
	cr_assert_eq(repair(&b, position), 1);
	for (uint64_t i = 1; i < 600; i++) {
		cr_assert_eq(repair(&b, position), 0, "message %ju",
			     (uintmax_t)i);
		if (!say(&b.p[0], i, length_of(i)))
			continue;
		for (; read < i; read++)
			hear(&b.c, read, read ? length_of(read) : 8);
		cr_assert_eq(say(&b.p[0], i, length_of(i)), 0);
	}
	for (; read < 600; read++)
		hear(&b.c, read, length_of(read));
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

/* ---- The evidence while it changes -------------------------------------- */

struct loser {
	struct producer p;
	int result;
};

static void lose(struct fiber *fiber)
{
	struct loser *loser = fiber->argument;

	loser->result = say(&loser->p, 1000, 56);
}

/*
 * A loser that found no room any more, and lives on without publishing, is not
 * to be waited for.
 */
Test(death, is_not_hidden_by_a_claim_that_was_given_up)
{
	struct fiber fiber = { .stack = NULL };
	struct loser loser;
	unsigned int given_up = 0;
	struct bench b;

	bench_make(&b);
	for (uint64_t steps = 0; steps < 12; steps++) {
		memory_format(&b.m, 0);
		join(&b.c, &b.m.ring, 0, TORC_LOSSLESS);
		for (uint32_t i = 0; i < 4; i++)
			begin(&b.p[i], &b.m.ring, i);
		loser.p = b.p[2];
		/* Room for one more. */
		while (torc_load_relaxed(&b.m.ring.shm->tail) + 128 +
			       b.m.ring.ahead <=
		       b.m.ring.window)
			cr_assert_eq(say(&b.p[0], 0, 56), 0);
		fiber_start(&fiber, lose, &loser);
		fiber_run(&fiber, steps);
		if (torc_load_relaxed(&b.m.ring.shm->tail) % 128 !=
		    (b.m.ring.window - b.m.ring.ahead - 64) % 128)
			break;
		win(&b.m.ring, &b.p[1], 64);
		fiber_run(&fiber, UINT64_MAX);
		cr_assert_eq(loser.result, -EAGAIN);
		b.dead = 2;
		cr_assert_eq(outcome(&b, b.p[1].mp.claim), 1, "step %ju",
			     (uintmax_t)steps);
		given_up++;
	}
	cr_expect_gt(given_up, 3);
	free(fiber.stack);
}

struct witness {
	struct bench b;
	int result;
};

static void look_on(struct fiber *fiber)
{
	struct witness *w = fiber->argument;

	w->result = outcome(&w->b, 0);
}

static void say_three(struct fiber *fiber)
{
	struct bench *b = fiber->argument;

	for (unsigned int i = 0; i < 3; i++)
		say(&b->p[3], i, 56);
}

/*
 * The winner's claim is [0, 64); a loser's ends at 128, where the next but one
 * will begin.  Whoever looks while others publish there may see the evidence
 * for the winner go, and that for the loser come.
 */
Test(death, is_told_by_evidence_that_others_change_meanwhile)
{
	static struct witness w;
	struct fiber looker = { .stack = NULL }, other = { .stack = NULL };

	bench_make(&w.b);
	for (uint64_t i = 0; i < 50; i++) {
		for (uint64_t k = 0; k < 50; k++) {
			struct bench *b = &w.b;

			memory_format(&b->m, 0);
			b->m.ring.publishers = 4;
			for (uint32_t n = 0; n < 4; n++)
				begin(&b->p[n], &b->m.ring, n);
			torc_claim_note(&b->p[0].mp, 0, 128);
			torc_claim_note(&b->p[2].mp, 0, 128);
			win(&b->m.ring, &b->p[1], 64);
			b->dead = 7;
			fiber_start(&looker, look_on, &w);
			fiber_start(&other, say_three, b);
			fiber_run(&looker, i);
			fiber_run(&other, k);
			fiber_run(&looker, UINT64_MAX);
			CHECK(w.result == 0 ||
				      (w.result == 1 && b->claim.length == 64),
			      "steps %ju and %ju: %d, %ju bytes", (uintmax_t)i,
			      (uintmax_t)k, w.result,
			      (uintmax_t)b->claim.length);
			fiber_run(&other, UINT64_MAX);
			CHECK(outcome(b, 0) == 1 && b->claim.length == 64,
			      "afterwards");
		}
	}
	free(looker.stack);
	free(other.stack);
}
