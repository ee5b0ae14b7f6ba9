/* SPDX-License-Identifier: MIT */
/*
 * Goal: whatever others write to shared memory, and whenever, no call is endless,
 * and none writes outside the ring.
 * Method: a participant makes one step after the other, and before each of them a
 * hostile one does what is worst for the loop in question; steps are counted.  What
 * lies next to the ring is compared.
 */
#include "ring_steps.h"

TestSuite(ring_hostile, .init = fill_bytes, .timeout = 60);

struct victim {
	struct memory m;
	struct fiber fiber;
	struct producer p;
	struct torc_consumer c;
	uint32_t word;
	void (*call)(struct victim *v);
	void (*attack)(struct victim *v);
	int result;
};

static void make_call(struct fiber *fiber)
{
	struct victim *v = fiber->argument;

	v->call(v);
}

/* How many steps the call takes, which may not be more than @most. */
static uint64_t steps_of_call(struct victim *v, uint64_t most)
{
	fiber_start(&v->fiber, make_call, v);
	while (!fiber_ended(&v->fiber)) {
		v->attack(v);
		fiber_run(&v->fiber, 1);
		CHECK(v->fiber.steps <= most, "%ju steps", (uintmax_t)most);
	}
	return v->fiber.steps;
}

/* ---- Arming a word ------------------------------------------------------ */

static void arm(struct victim *v)
{
	v->result = (int)torc_word_arm(&v->word);
}

static void flip(struct victim *v)
{
	v->word ^= TORC_WORD_ARMED;
}

Test(ring_hostile, who_flips_a_word_keeps_nobody_busy)
{
	struct victim v = { .call = arm, .attack = flip };

	/* A load and a compare-and-swap. */
	cr_assert_eq(steps_of_call(&v, 2 * TORC_WORD_TRIES),
		     2 * TORC_WORD_TRIES);
	/* Nobody sleeps on what was not armed. */
	cr_assert_neq((uint32_t)v.result, v.word);
}

/* ---- One publisher ------------------------------------------------------ */

static void say_something(struct victim *v)
{
	v->result = say(&v->p, 0, 100);
}

#define NOT_YET UINT64_MAX

/*
 * As long as it looks for a mark that is far enough none is, and when it has
 * proposed one the floor's own suffices: so it never moves the floor, and always
 * has room.
 */
static void misplace_marks(struct victim *v)
{
	struct torc_publishing_shm *shm = v->m.ring.shm;
	uint64_t at = v->p.sp.tail + TORC_RECORD_ALIGN;

	if (shm->proposed == NOT_YET)
		at -= 4 * v->m.ring.capacity;
	for (int i = 0; i < (int)TORC_MARKS; i++)
		shm->marks[i].position = at;
}

Test(ring_hostile, who_misplaces_marks_makes_publishing_no_longer)
{
	struct victim v = { .call = say_something, .attack = misplace_marks };

	small_ring(&v.m, TORC_KIND_SP, 0);
	begin(&v.p, &v.m.ring, 0);
	for (int i = 0; i < 10000; i++) {
		v.m.ring.shm->proposed = NOT_YET;
		steps_of_call(&v, 2 * TORC_MARKS + 2 * v.m.ring.subscribers);
		cr_assert_eq(v.result, 0);
	}
	/* The attack was what it was meant to be. */
	cr_assert_gt(v.p.sp.noted - v.p.sp.floor, 2 * TORC_MARKS);
}

/* ---- One of many -------------------------------------------------------- */

#define TRIES 128u

static void try_to_reserve(struct victim *v)
{
	void *payload;

	v->result = torc_mp_try_reserve(&v->p.mp, TRIES, 8, &payload);
}

static void win_each_claim(struct victim *v)
{
	v->m.ring.shm->tail += TORC_RECORD_ALIGN;
}

/* So much that there has to be looked for room, which there is. */
static void win_and_make_room(struct victim *v)
{
	struct torc_publishing_shm *shm = v->m.ring.shm;

	shm->tail += v->m.ring.window;
	shm->floor++;
	shm->marks[shm->floor % TORC_MARKS].position = shm->tail;
}

/* Its walk always goes on, and never makes enough room. */
static void move_the_floor(struct victim *v)
{
	struct torc_publishing_shm *shm = v->m.ring.shm;
	uint64_t position = shm->tail - v->m.ring.window;

	shm->tail += TORC_RECORD_ALIGN;
	shm->floor++;
	shm->proposed -= 2;
	shm->marks[shm->floor % TORC_MARKS].position = position;
	*torc_header_at(&v->m.ring, v->p.mp.walk.position) =
		TORC_HEADER(TORC_RECORD_PAD, 0,
			    TORC_RECORD_ALIGN - TORC_HEADER_SIZE);
}

Test(ring_hostile, who_wins_each_claim_is_given_way_to)
{
	void (*const attacks[])(struct victim *) = {
		win_each_claim, win_and_make_room, move_the_floor,
	};

	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		struct victim v = { .call = try_to_reserve,
				    .attack = attacks[i] };

		small_ring(&v.m, TORC_KIND_MP, 0);
		begin(&v.p, &v.m.ring, 0);
		steps_of_call(&v, 300000);
		cr_assert(v.result == -EBUSY || v.result == -EPROTO ||
			  v.result == -EAGAIN, "%d", v.result);
	}
}

/* Behind the data are the cursors. */
static bool cursors_are(const struct memory *m, const unsigned char *before)
{
	return !memcmp(m->base + m->constants.ring_size, before,
		       (size_t)m->constants.cursors_size);
}

/* Publish a short message after somebody has moved the tail by @by. */
static void say_after_a_move(struct memory *m, uint64_t by)
{
	static unsigned char before[4096];
	struct producer p;

	memory_format(m, 3 * CAPACITY - 160);
	cr_assert_leq(m->constants.cursors_size, sizeof(before));
	memcpy(before, m->base + m->constants.ring_size,
	       (size_t)m->constants.cursors_size);
	begin(&p, &m->ring, 0);
	/* So that behind this a short one has nothing to look after. */
	CHECK(!say(&p, 0, 100), "publish");
	m->ring.shm->tail += by;
	say(&p, 1, 56);
	CHECK(cursors_are(m, before), "moved by %jd: outside", (intmax_t)by);
}

Test(ring_hostile, who_moves_the_tail_leads_nobody_out_of_the_ring)
{
	struct memory m;

	small_ring(&m, TORC_KIND_MP, 0);
	for (uint64_t by = 0; by < 2 * CAPACITY; by += TORC_RECORD_ALIGN) {
		say_after_a_move(&m, by);
		say_after_a_move(&m, 0 - by);
		say_after_a_move(&m, (1ull << 63) + by);
		say_after_a_move(&m, (1ull << 63) - by);
	}
}

/* ---- Subscribers -------------------------------------------------------- */

static void join_held(struct victim *v)
{
	v->result = torc_consumer_join(&v->c, &v->m.ring, 0,
				       TORC_LOSSLESS | TORC_OLDEST);
}

static void stand_by(struct victim *v)
{
	(void)v;
}

static void propose_another(struct victim *v)
{
	v->m.ring.shm->proposed++;
}

static void jump_with_the_floor(struct victim *v)
{
	v->m.ring.shm->floor += TORC_MARKS;
}

static void peek(struct victim *v)
{
	struct torc_message message;

	v->result = torc_consumer_peek(&v->c, &message);
}

Test(ring_hostile, no_subscriber_looks_for_its_beginning_for_ever)
{
	void (*const attacks[])(struct victim *) = {
		propose_another, jump_with_the_floor,
	};

	for (size_t i = 0; i < sizeof(attacks) / sizeof(attacks[0]); i++) {
		struct victim v = { .call = join_held, .attack = attacks[i] };

		small_ring(&v.m, TORC_KIND_SP, 0);
		steps_of_call(&v, 100000);
		cr_assert_eq(v.result, -EPROTO);
	}
}

Test(ring_hostile, no_subscriber_looks_for_a_message_for_ever)
{
	struct victim v = { .call = peek, .attack = jump_with_the_floor };

	small_ring(&v.m, TORC_KIND_SP, 0);
	join(&v.c, &v.m.ring, TORC_NO_SLOT, TORC_OLDEST);
	steps_of_call(&v, 100000);
	cr_assert_eq(v.result, -EPROTO);
}

/* ---- What no publisher writes -------------------------------------------- */

/* All that may stand in a header and be no record of this ring. */
static const uint64_t garbage[] = {
	TORC_HEADER(TORC_RECORD_MESSAGE, 0, 1024 - TORC_HEADER_SIZE + 1),
	TORC_HEADER(TORC_RECORD_MESSAGE, 0, UINT32_MAX),
	TORC_HEADER(TORC_RECORD_PAD, 0, 16),
	TORC_HEADER(TORC_RECORD_PAD, 0, CAPACITY / 2 + 8),
	TORC_HEADER(TORC_RECORD_PAD, 0, UINT32_MAX - 7),
	TORC_HEADER(TORC_RECORD_BUSY + 1, 0, 8),
	TORC_HEADER(0xff, 0, 8),
};

/* The first of all, or behind two messages. */
static void find(const struct torc_ring *ring, uint64_t header, uint32_t slot,
		 uint32_t flags, uint64_t messages)
{
	struct torc_message got[4];
	struct torc_consumer c;

	join(&c, ring, slot, flags);
	*torc_header_at(ring, 32 * messages) = header;
	if (messages)
		CHECK(torc_consumer_peek_batch(&c, got, 4) == (int)messages,
		      "what comes before %jx", (uintmax_t)header);
	torc_consumer_release(&c);
	CHECK(torc_consumer_peek_batch(&c, got, 4) == -EPROTO, "%jx",
	      (uintmax_t)header);
	CHECK(torc_consumer_peek(&c, got) == -EPROTO, "%jx", (uintmax_t)header);
	torc_consumer_leave(&c);
}

static void find_garbage(struct memory *m, uint64_t header)
{
	struct producer p;

	for (uint64_t messages = 0; messages <= 2; messages += 2) {
		memory_format(m, 0);
		begin(&p, &m->ring, 0);
		for (uint64_t i = 0; i < messages; i++)
			CHECK(!say(&p, i, 20), "publish");
		find(&m->ring, header, 0, TORC_LOSSLESS | TORC_OLDEST, messages);
		*torc_header_at(&m->ring, 32 * messages) = 0;
		find(&m->ring, header, TORC_NO_SLOT, TORC_OLDEST, messages);
	}
}

Test(ring_hostile, garbage_for_a_header_is_told)
{
	struct memory m;

	small_ring(&m, TORC_KIND_SP, 0);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
		find_garbage(&m, garbage[i]);
}

Test(ring_hostile, who_writes_pads_alone_sends_nobody_round_for_ever)
{
	const uint64_t pad = TORC_HEADER(TORC_RECORD_PAD, 0,
					 CAPACITY / 4 - TORC_HEADER_SIZE);
	struct victim v = { .call = peek, .attack = stand_by };
	const uint32_t flags[] = { TORC_LOSSLESS | TORC_OLDEST, TORC_OLDEST };

	small_ring(&v.m, TORC_KIND_SP, 0);
	for (uint64_t at = 0; at < CAPACITY; at += CAPACITY / 4)
		*torc_header_at(&v.m.ring, at) = pad;
	for (uint32_t slot = 0; slot < 2; slot++) {
		join(&v.c, &v.m.ring, slot, flags[slot]);
		steps_of_call(&v, 100);
		cr_assert_eq(v.result, -EPROTO);
	}
}
