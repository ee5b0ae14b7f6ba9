/* SPDX-License-Identifier: MIT */
/*
 * Somebody is put off at each step of what it does, while the others go on for a
 * few marks or for more than the table of marks has places, and then goes on.
 */
#include "ring_steps.h"

TestSuite(ring_sp, .init = fill_bytes, .timeout = 230);
TestSuite(ring_mp, .init = fill_bytes, .timeout = 230);

/* ---- Being put off at each step ----------------------------------------- */

#define HELPS 400u /* bytes */

/* Who is put off, while the others go on, for more than a table of marks. */
enum deeds_put_off { HELP, LISTEN, JOIN, MEND };

struct actor {
	enum deeds_put_off what;
	struct memory m;
	struct fiber fiber;
	struct producer other;	/* HELP, MEND: publisher 1 */
	struct torc_consumer c; /* LISTEN, JOIN */
	uint32_t slot, flags;
	uint64_t begun, heard;
	uint64_t position; /* MEND: what is to be mended */
	bool evicted;	   /* JOIN: is thrown out while it is put off */
	int result;
	/* The others. */
	struct producer p;
	struct torc_consumer reader;
	uint64_t said, read;
};

static size_t length_put_off(uint64_t number)
{
	return 150 + number * 37 % 80;
}

static void hear_put_off(struct actor *a, unsigned int few)
{
	unsigned char buffer[LONGEST];
	struct torc_message m;

	while (few--) {
		int r = torc_consumer_receive(&a->c, buffer, sizeof(buffer),
					      &m);

		if (r == -EAGAIN || (r == -ESTALE && a->evicted))
			break;
		CHECK(!r, "receive: %d", r);
		CHECK(m.length == length_put_off(m.sequence) &&
			      !memcmp(buffer, body_of(m.sequence), m.length),
		      "message %ju is garbled", (uintmax_t)m.sequence);
		a->heard++;
	}
	CHECK(a->heard + a->c.lost == a->c.count - a->begun,
	      "%ju heard, %ju lost, of %ju", (uintmax_t)a->heard,
	      (uintmax_t)a->c.lost, (uintmax_t)(a->c.count - a->begun));
}

static void act(struct fiber *fiber)
{
	struct actor *a = fiber->argument;
	uint32_t dead = 2;
	const struct torc_death death = { dead_mask, &dead };

	switch (a->what) {
	case HELP:
		a->result = say(&a->other, 1000, HELPS);
		break;
	case LISTEN:
		hear_put_off(a, 3);
		a->result = 0;
		break;
	case JOIN:
		a->result = torc_consumer_join(&a->c, &a->m.ring, a->slot,
					       a->flags);
		break;
	case MEND:
		a->result = torc_claim_repair(&a->m.ring, a->position, &death);
	}
}

static void read_others(struct actor *a)
{
	uint32_t dead = a->what == MEND ? 2 : 0;
	const struct torc_death death = { dead_mask, &dead };
	struct torc_message m;

	while (!peek_past(&a->reader, &m, &death)) {
		if (m.publisher) {
			CHECK(a->what == HELP && m.length == HELPS &&
				      !memcmp(m.data, body_of(1000), m.length),
			      "publisher %u", m.publisher);
		} else {
			CHECK(m.length == length_put_off(a->read) &&
				      !memcmp(m.data, body_of(a->read),
					      m.length),
			      "message %ju is garbled", (uintmax_t)a->read);
			a->read++;
		}
		CHECK(!torc_consumer_release(&a->reader), "release");
	}
}

/* Until the floor has moved @marks marks, or it is held; then fill the ring. */
static void go_on(struct actor *a, uint64_t marks)
{
	const uint64_t floor = torc_load_relaxed(&a->m.ring.shm->floor);
	int r = 0;

	while (torc_load_relaxed(&a->m.ring.shm->floor) - floor < marks && !r) {
		read_others(a);
		r = say(&a->p, a->said, length_put_off(a->said));
		a->said += !r;
	}
	if (marks)
		while (!say(&a->p, a->said, length_put_off(a->said)))
			a->said++;
}

static void put_off_set(struct actor *a)
{
	struct memory *m = &a->m;

	memory_format(m, 0u - 4096ull);
	m->ring.subscribers = m->ring.publishers = 3;
	begin(&a->p, &m->ring, 0);
	join(&a->reader, &m->ring, 0, TORC_LOSSLESS);
	a->said = a->read = a->heard = 0;
	a->result = 1;
	join(&a->c, &m->ring, TORC_NO_SLOT, TORC_OLDEST);
	a->begun = a->c.count;
	go_on(a, 40);
	read_others(a);
	if (a->what == LISTEN)
		hear_put_off(a, 2);
	if (m->ring.kind == TORC_KIND_MP)
		begin(&a->other, &m->ring, 1);
	if (a->what == MEND)
		a->position = win(&m->ring, &a->other, 512);
	go_on(a, a->what == LISTEN ? 7 : 1);
	if (a->what == MEND)
		return;
	read_others(a);
	/* Who tried in vain did note a mark: have the next be the first. */
	do {
		CHECK(!say(&a->p, a->said, length_put_off(a->said)), "full");
		a->said++;
		read_others(a);
	} while (a->p.many &&
		 torc_distance(a->reader.cursor + 256 + m->ring.ahead,
			       a->p.mp.limit) <= 0);
}

/* As a publisher does that has had enough. */
static void evict(struct actor *a)
{
	uint32_t *state = &torc_subscriber_slot(&a->m.ring, a->slot)->state;

	if (torc_load_relaxed(state) != TORC_SUBSCRIBER_LOSSLESS)
		return;
	torc_store_release(state, TORC_SUBSCRIBER_EVICTED);
}

/* False if the actor was done before step @at. */
static bool put_off_once(struct actor *a, uint64_t at, uint64_t marks)
{
	bool early;

	put_off_set(a);
	fiber_start(&a->fiber, act, a);
	fiber_run(&a->fiber, at);
	early = a->fiber.done;
	if (a->evicted)
		evict(a);
	go_on(a, marks);
	if (a->what == HELP)
		read_others(a);
	fiber_run(&a->fiber, UINT64_MAX);
	CHECK(a->fiber.done, "not done");
	read_others(a);
	CHECK(a->result == (a->what == MEND), "step %ju, %ju marks: %d",
	      (uintmax_t)at, (uintmax_t)marks, a->result);
	if (a->what == JOIN)
		a->begun = a->c.count;
	/* It was no message, and nothing is where it should not be. */
	for (unsigned int i = 0; i < 5; i++) {
		if (a->what == LISTEN || a->what == JOIN)
			hear_put_off(a, UINT32_MAX);
		go_on(a, i * i);
		read_others(a);
	}
	if (a->what == LISTEN || a->what == JOIN) {
		hear_put_off(a, UINT32_MAX);
		CHECK(a->c.count == a->said || a->c.evicted, "%ju of %ju",
		      (uintmax_t)a->c.count, (uintmax_t)a->said);
		torc_consumer_leave(&a->c);
	}
	/* Nothing holds the ring any more. */
	for (unsigned int i = 0; i < 40; i++) {
		CHECK(!say(&a->p, a->said, length_put_off(a->said)),
		      "step %ju, %ju marks: no room", (uintmax_t)at,
		      (uintmax_t)marks);
		a->said++;
		read_others(a);
	}
	CHECK(a->read == a->said, "%ju of %ju", (uintmax_t)a->read,
	      (uintmax_t)a->said);
	return !early;
}

static void put_off(uint32_t kind, enum deeds_put_off what, uint32_t slot,
		    uint32_t flags, bool evicted)
{
	struct actor a = {
		.what = what, .slot = slot, .flags = flags, .evicted = evicted
	};

	small_ring(&a.m, kind, 0);
	/* Few, or about as many as the table has places. */
	for (uint64_t marks = 0; marks < 68; marks += marks == 8 ? 36 : 1)
		for (uint64_t at = 0; put_off_once(&a, at, marks);)
			at++;
	free(a.fiber.stack);
}

Test(ring_mp, publishes_after_being_put_off_at_any_step)
{
	put_off(TORC_KIND_MP, HELP, 0, 0, false);
}

Test(ring_mp, is_mended_by_one_who_is_put_off_at_any_step)
{
	put_off(TORC_KIND_MP, MEND, 0, 0, false);
}

BOTH_KINDS(counts_losses_after_being_put_off_at_any_step)
{
	put_off(kind, LISTEN, TORC_NO_SLOT, 0, false);
}

BOTH_KINDS(joins_unheld_after_being_put_off_at_any_step)
{
	put_off(kind, JOIN, TORC_NO_SLOT, 0, false);
	put_off(kind, JOIN, TORC_NO_SLOT, TORC_OLDEST, false);
}

BOTH_KINDS(joins_after_being_put_off_at_any_step)
{
	for (uint32_t flags = 0; flags < 4; flags++)
		put_off(kind, JOIN, 1, flags, false);
}

BOTH_KINDS(joins_anew_when_it_is_evicted_at_any_step)
{
	for (uint32_t flags = 0; flags < 4; flags++)
		put_off(kind, JOIN, 1, flags, true);
}
