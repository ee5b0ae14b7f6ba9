/* SPDX-License-Identifier: MIT */
/*
 * Publishers that die: at each step of everything that a publisher does, alone and
 * in a race.
 */
#include "ring_steps.h"

TestSuite(death, .init = fill_bytes, .timeout = 230);
TestSuite(ring_sp, .init = fill_bytes, .timeout = 230);
TestSuite(ring_mp, .init = fill_bytes, .timeout = 230);

/* ---- A publisher that dies at each step --------------------------------- */

enum deed { PUBLISH, ABORT, SHRINK, BATCH, DEEDS };

struct victim {
	struct producer p;
	enum deed deed;
	size_t length;
	int result;
	unsigned int count; /* messages that it makes */
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
	return v->deed == SHRINK  ? v->length / 3
	       : v->deed == BATCH ? v->length / 4
				  : v->length;
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
	CHECK(there == 0 || there == v->count, "%u of a batch of %zu", there,
	      v->length);
	CHECK(!must || there == v->count, "lost");
}

/* On from message @said, and round the end; the first time stuck, mend. */
static void go_round(struct producer *p, struct torc_consumer *c, uint64_t said,
		     const struct torc_death *death)
{
	struct torc_message message;

	for (uint64_t end = said + 100; said < end; said++) {
		int r = say(p, said, length_of(said));

		if (r && p->many && p->mp.blocked == TORC_MP_STUCK) {
			CHECK(torc_claim_repair(&c->ring, p->mp.stuck_at,
						death) == 1,
			      "repair");
			r = say(p, said, length_of(said));
		}
		CHECK(!r, "%ju: %d", (uintmax_t)said, r);
		r = peek_past(c, &message, death);
		CHECK(!r && message.length == length_of(said) &&
			      !memcmp(message.data, body_of(said),
				      message.length),
		      "message %ju: %d", (uintmax_t)said, r);
		CHECK(!torc_consumer_release(c), "release");
	}
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
		v->count = v->deed == ABORT   ? 0
			   : v->deed == BATCH ? (unsigned int)v->result
					      : 1;

	begin(&next, &m->ring, m->ring.kind == TORC_KIND_SP ? 0 : 1);
	for (; said < begun + 2; said++)
		CHECK(!say(&next, said, length_of(said)), "after");
	hear_after(&c, v, begun, said, lived, &death);
	go_round(&next, &c, said, &death);
	CHECK(m->ring.kind == TORC_KIND_SP ||
		      torc_claim_settled(&m->ring, 0, &position) == 1,
	      "not settled");
	return !lived;
}

static void die_at_each_step(uint32_t kind, enum deed deed)
{
	static const size_t lengths[] = { 16, 24, 50, 100, 300, 500 };
	static const uint64_t firsts[] = { 0,	       4096 - 16,  4096 - 64,
					   4096 - 128, 4096 - 256, 4096 - 400,
					   2048,       256 };
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

/* What a consumer hears of a race: two victims' messages and a third's. */
struct audience {
	struct torc_consumer c;
	uint64_t heard;			/* of the third's */
	unsigned int there[2];		/* times that each victim's came */
};

static void hear_race(struct audience *a, const struct victim v[2],
		      const struct torc_death *death)
{
	struct torc_message message;

	while (!peek_past(&a->c, &message, death)) {
		uint32_t k = message.publisher;
		uint64_t length, body = 1000;

		if (k == 2) {
			length = a->heard ? 40 : 200;
			body = a->heard++;
		} else {
			CHECK(k < 2 && !a->there[k]++, "twice");
			length = v[k].length;
		}
		CHECK(message.length == length &&
			      !memcmp(message.data, body_of(body), length),
		      "garbled");
		CHECK(!torc_consumer_release(&a->c), "release");
	}
}

/* What the consumer passed may still have to be mended. */
static void settle(const struct torc_ring *ring, uint32_t slot,
		   const struct torc_death *death)
{
	uint64_t position;

	if (!torc_claim_settled(ring, slot, &position))
		CHECK(torc_claim_repair(ring, position, death) == 1, "settle");
	CHECK(torc_claim_settled(ring, slot, &position) == 1, "not settled");
}

/* The third publishes, and mends what it is stuck at; how many messages. */
static uint64_t publish_past(struct producer *third, struct audience *a,
			     const struct victim v[2],
			     const struct torc_death *death)
{
	uint64_t said = 1;

	while (said <= 60) {
		if (!say(third, said, 40))
			said++;
		else if (third->mp.blocked == TORC_MP_STUCK)
			CHECK(torc_claim_repair(&third->mp.ring,
						third->mp.stuck_at, death) == 1,
			      "repair");
		hear_race(a, v, death);
	}
	return said;
}

/*
 * The loser goes @i steps, the victim @j and dies, the loser goes on, and dies or
 * not; a third publishes until it is stuck, mends, and must see it all go on.
 */
static void race_once(struct fiber fibers[2], struct victim v[2],
		      struct memory *m, uint64_t i, uint64_t j, bool both)
{
	uint32_t dead = both ? 3 : 2;
	struct torc_death death = { dead_mask, &dead };
	struct audience a = { .heard = 0 };
	struct torc_claim claim;
	struct producer third;
	uint64_t said;

	memory_format(m, 4096 - 128);
	join(&a.c, &m->ring, 0, TORC_LOSSLESS);
	begin(&third, &m->ring, 2);
	for (uint32_t k = 0; k < 2; k++) {
		begin(&v[k].p, &m->ring, k);
		fiber_start(&fibers[k], do_deed, &v[k]);
	}
	fiber_run(&fibers[0], i);
	fiber_run(&fibers[1], j);
	/* A record that ends where it may look like a boundary. */
	CHECK(!say(&third, 0, 200), "third");
	if (!both)
		fiber_run(&fibers[0], UINT64_MAX);
	said = publish_past(&third, &a, v, &death);
	CHECK(a.heard == said, "%ju of %ju heard", (uintmax_t)a.heard,
	      (uintmax_t)said);
	for (uint32_t k = 0; k < 2; k++) {
		CHECK(!fibers[k].done || a.there[k], "lost");
		if (dead >> k & 1)
			settle(&m->ring, k, &death);
	}
	CHECK(torc_claim_outcome(&m->ring, a.c.cursor, &death, &claim) == 0,
	      "something is left");
}

Test(death, of_the_winner_or_both_at_any_step_of_a_race)
{
	static const size_t lengths[][2] = {
		{ 8, 100 }, { 100, 8 }, { 40, 40 }, { 300, 120 }, { 24, 56 }
	};
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
