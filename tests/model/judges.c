/* SPDX-License-Identifier: MIT */
/*
 * What must hold when all threads have ended.
 */
#include "ring.h"

static uint32_t by_sequence[IDS];

static bool is_publisher(uint32_t thread)
{
	return given.publishers >> thread & 1;
}

/* What one subscriber has heard: in order, and what all others heard. */
static void judge_subscriber(uint32_t thread, bool lossless)
{
	uint32_t count, last[4] = { 0 }, n = 0;
	const uint64_t *notes = model_notes(thread, &count);
	uint64_t next = 0, begin = 0, lost = 0;
	bool ended = false;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t sequence = notes[i] >> 32;
		uint32_t id = (uint32_t)notes[i];

		if (notes[i] & LOST) {
			lost = notes[i] & ~LOST;
			ended = true;
			continue;
		}
		if (notes[i] & BEGIN) {
			begin = next = notes[i] & ~BEGIN;
			continue;
		}
		n++;
		MODEL_CHECK(lossless ? sequence == next : sequence >= next,
			    "subscriber %u: message %u is number %ju, not %ju",
			    thread, id, (uintmax_t)sequence, (uintmax_t)next);
		next = sequence + 1;
		MODEL_CHECK(id > last[id / 16], "message %u is out of order", id);
		last[id / 16] = id;
		MODEL_CHECK(sequence < IDS && (!by_sequence[sequence] ||
					       by_sequence[sequence] == id),
			    "messages %u and %u have one number", id,
			    by_sequence[sequence]);
		by_sequence[sequence] = id;
	}
	if (!ended)
		return;
	MODEL_CHECK(!lossless || !lost, "subscriber %u lost %ju", thread,
		    (uintmax_t)lost);
	MODEL_CHECK(!given.expected || begin + n + lost == given.expected,
		    "subscriber %u: from %ju on %u heard, %ju lost", thread,
		    (uintmax_t)begin, n, (uintmax_t)lost);
}

/* Whatever was committed was heard by who was there from the beginning. */
static void judge_publisher(uint32_t thread)
{
	uint32_t count;
	const uint64_t *notes = model_notes(thread, &count);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t times = 0;

		for (uint32_t j = 0; j < IDS; j++)
			times += by_sequence[j] == notes[i];
		MODEL_CHECK(times == 1, "message %u came %u times",
			    (uint32_t)notes[i], times);
	}
	/* At most one more than it knows of. */
	for (uint32_t j = 0; j < IDS; j++)
		MODEL_CHECK(by_sequence[j] / 16 != thread + 1 ||
				    by_sequence[j] <= ID(thread, count),
			    "message %u was not sent", by_sequence[j]);
}

/* The floor, the proposal and the marks agree, whoever died. */
static void judge_marks(void)
{
	struct torc_mark floor, next;

	MODEL_CHECK(!torc_mark_current(&ring, &ring.shm->floor, &floor),
		    "the floor is no mark");
	MODEL_CHECK(torc_distance(ring.shm->proposed, floor.index) >= 0,
		    "the floor is not proposed");
	for (next = floor; next.index != ring.shm->proposed;) {
		uint64_t position = next.position, count = next.count;

		MODEL_CHECK(torc_mark_read(&ring, next.index + 1, &next),
			    "a mark is missing");
		MODEL_CHECK(torc_walk(&ring, &position, &count, next.position,
				      false) == 1 &&
				    position == next.position &&
				    count == next.count,
			    "mark %ju is wrong", (uintmax_t)next.index);
	}
}

static void judge_with(bool first_lossless, bool all_heard)
{
	memset(by_sequence, 0, sizeof(by_sequence));
	for (uint32_t i = 0; i < given.before; i++)
		by_sequence[i] = ID(2, i);
	for (uint32_t i = 0, n = 0; i < MODEL_THREADS; i++)
		if (!is_publisher(i))
			judge_subscriber(i, n++ ? false : first_lossless);
	for (uint32_t i = 0; all_heard && i < MODEL_THREADS; i++)
		if (is_publisher(i))
			judge_publisher(i);
	judge_marks();
}

void judge_lossless(void)
{
	judge_with(true, true);
}

void judge_lossy(void)
{
	judge_with(false, false);
}

void judge_creation(void)
{
	judge_marks();
}

void judge_joiner(void)
{
	judge_with(given.join_flags & TORC_LOSSLESS, false);
}
