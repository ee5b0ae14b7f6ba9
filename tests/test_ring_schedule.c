/* SPDX-License-Identifier: MIT */
/*
 * Random schedules of publishers, consumers, joiners and menders, some of whom
 * die, each the same again for the same seed:
 *
 *	TORC_TEST_SEED=n	begin with this one
 *	TORC_TEST_RUNS=n	and run so many
 */
#include "ring_steps.h"

#include <inttypes.h>
#include <stdio.h>

TestSuite(schedule, .init = fill_bytes, .timeout = 230);

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
	uint32_t messages; /* to be published yet */
	int held_by;	   /* a mender, or -1 */
};

struct listener {
	struct fiber fiber;
	struct torc_consumer c;
	struct play *play;
	uint32_t slot, flags;
	bool restless; /* joins and leaves all the time */
	uint64_t heard;
	uint32_t last[IDS_MAX]; /* id, by publisher's life */
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
	bool mortal;   /* deaths */
	int repairing; /* a mender, or -1 */
	uint32_t lives, ids;
	unsigned char state[IDS_MAX];
	uint32_t life_of[IDS_MAX];
	uint32_t seen[IDS_MAX]; /* id + 1, by sequence */
	uint64_t random;
};

static uint32_t dice(struct play *play, uint32_t sides)
{
	play->random =
		play->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(play->random >> 33) % sides;
}

#define PLAY(play, condition, ...)                                           \
	do {                                                                 \
		if (!(condition)) {                                          \
			fprintf(stderr, "seed %" PRIu64 ": ", (play)->seed); \
			fprintf(stderr, __VA_ARGS__);                        \
			fputc('\n', stderr);                                 \
			cr_assert_fail("seed %" PRIu64, (play)->seed);       \
		}                                                            \
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
	PLAY(play,
	     m->length >= sizeof(id) && id < play->ids &&
		     play->state[id] != NEVER,
	     "message %u was never sent", id);
	PLAY(play,
	     m->length == id_length(id) &&
		     !memcmp(data, id_body(id, buffer), m->length),
	     "message %u is garbled", id);
	life = play->life_of[id];
	PLAY(play, l->last[life] <= id, "message %u is out of order", id);
	l->last[life] = id + 1;
	PLAY(play,
	     m->sequence < IDS_MAX && (!play->seen[m->sequence] ||
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
		if (ends &&
		    (ring->kind == TORC_KIND_SP ||
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
		listen_for(l, begun,
			   l->restless && !ends ? dice(play, 30) : UINT32_MAX);
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
	uint64_t position = 0;
	int r;

	if (!seat->fiber.dead || !seize(mender, seat->slot))
		return;
	r = play->m.ring.kind == TORC_KIND_SP
		    ? 1
		    : torc_claim_settled(&play->m.ring, seat->slot, &position);
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

static void listener_set(struct listener *l, unsigned int i, uint32_t slot,
			 uint32_t flags)
{
	l->play = &play;
	l->heard = 0;
	memset(l->last, 0, sizeof(l->last));
	l->slot = i;
	l->restless = i != 0;
	join(&l->c, &play.m.ring, slot, flags);
	fiber_start(&l->fiber, listener_body, l);
}

/* Nobody has it yet. */
static void seat_set(struct seat *seat, uint32_t slot)
{
	seat->play = &play;
	seat->slot = slot;
	seat->held_by = -1;
	seat->messages = 30 + dice(&play, 100);
	seat->p.mp.blocked = TORC_MP_FULL;
	seat->fiber.done = true;
	seat->fiber.dead = false;
}

static void play_set(uint64_t seed, uint32_t kind, bool mortal)
{
	static const uint64_t firsts[] = { 0, 0u - 8192ull, 1ull << 63 };

	if (!play.m.base)
		small_ring(&play.m, kind, 0);
	play.random = seed * 0x9e3779b97f4a7c15u + 1;
	dice(&play, 2);
	play.seed = seed;
	play.mortal = mortal;
	play.publishers = kind == TORC_KIND_SP ? 1
					       : 1 + dice(&play, PUBLISHERS);
	play.repairing = -1;
	play.lives = play.ids = 0;
	memset(play.seen, 0, sizeof(play.seen));
	memory_format(&play.m, firsts[dice(&play, 3)] - dice(&play, 256) * 16);
	/* Few slots, for the gate is looked at in steps. */
	play.m.ring.subscribers = LISTENERS;
	play.m.ring.publishers = PUBLISHERS;
	for (unsigned int i = 0; i < LISTENERS; i++)
		/* The first hears all, or nothing holds the ring for long. */
		listener_set(&play.listeners[i], i, i ? TORC_NO_SLOT : 0,
			     seed % 4 && !i ? TORC_LOSSLESS : 0);
	for (unsigned int i = 0; i < PUBLISHERS; i++) {
		seat_set(&play.seats[i], i);
		if (i < play.publishers)
			seat_start(&play.seats[i]);
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
		PLAY(&play,
		     !all_heard || play.state[id] != COMMITTED || there[id],
		     "message %u is lost", id);
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
			play.seats[i].fiber.done   ? "done"
			: play.seats[i].fiber.dead ? "dead"
						   : "alive",
			play.seats[i].messages, play.seats[i].held_by);
	for (unsigned int i = 0; i < LISTENERS; i++)
		fprintf(stderr,
			"listener %u: %s, flags %u, cursor %ju, count "
			"%ju, heard %ju, lost %ju\n",
			i, play.listeners[i].fiber.done ? "done" : "alive",
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
			fiber->asleep_until =
				steps_of_all +
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
