/* SPDX-License-Identifier: MIT */
/*
 * Consumers of the ring, in one thread: lossy ones that are lapped and learn
 * what they lost, lossless ones that hold the ring, joining, peeking, eviction.
 */
#include "ring_fixture.h"

TestSuite(ring_sp, .init = fill_bytes, .timeout = 120);
TestSuite(ring_mp, .init = fill_bytes, .timeout = 120);

/* ---- Lossy consumers ---------------------------------------------------- */

/* Read on and off; what was not got was lost, to the message. */
static void lap(uint32_t kind, uint32_t slot, uint32_t flags)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	unsigned char buffer[LONGEST];
	uint64_t said = 0, heard = 0, begun, next;
	unsigned int x = 1;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	for (; said < 777; said++)
		cr_assert_eq(say(&p, said, length_of(said)), 0);
	join(&c, &m.ring, slot, flags);
	begun = next = c.count;
	if (flags & TORC_OLDEST)
		cr_expect_lt(begun, said);
	else
		cr_expect_eq(begun, said);
	for (unsigned int round = 0; round < 3000; round++) {
		struct torc_message got;

		x = x * 1664525u + 1013904223u;
		for (unsigned int n = x >> 28 ? 3 : 500; n--; said++) {
			/* Some pads between, which are no messages. */
			void *payload;

			if (said % 5 == 0 && !reserve(&p, 40, &payload))
				give_up(&p);
			CHECK(!say(&p, said, length_of(said)),
			      "a lossy one "
			      "held the publisher");
		}
		for (unsigned int n = (x >> 8) % 6; n--;) {
			int r = torc_consumer_receive(&c, buffer,
						      sizeof(buffer), &got);

			if (r == -EAGAIN)
				break;
			CHECK(!r, "receive: %d", r);
			CHECK(got.sequence >= next, "message %ju twice",
			      (uintmax_t)got.sequence);
			next = got.sequence + 1;
			heard++;
			CHECK(heard + c.lost == next - begun, "%ju of %ju lost",
			      (uintmax_t)c.lost, (uintmax_t)(next - begun));
			CHECK(got.length == length_of(got.sequence) &&
				      !memcmp(buffer, body_of(got.sequence),
					      got.length),
			      "message %ju is garbled",
			      (uintmax_t)got.sequence);
		}
	}
	for (struct torc_message got;
	     !torc_consumer_receive(&c, buffer, sizeof(buffer), &got);)
		heard++;
	cr_expect_eq(heard + c.lost, said - begun);
	cr_expect_gt(c.lost, 100);
	if (c.slot)
		cr_expect_eq(torc_load_relaxed(&c.slot->lost), c.lost);
}

BOTH_KINDS(counts_losses_exactly_from_the_oldest)
{
	lap(kind, TORC_NO_SLOT, TORC_OLDEST);
}

BOTH_KINDS(counts_losses_exactly_from_the_latest)
{
	lap(kind, TORC_NO_SLOT, 0);
}

BOTH_KINDS(counts_losses_exactly_in_a_slot)
{
	lap(kind, 2, TORC_OLDEST);
	lap(kind, 2, 0);
}

BOTH_KINDS(tells_a_lossy_consumer_that_was_lapped_while_it_read)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message message;
	uint64_t said = 0;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, TORC_NO_SLOT, 0);
	while (said < 10)
		cr_assert_eq(say(&p, said++, 100), 0);
	cr_assert_eq(torc_consumer_peek(&c, &message), 0);
	cr_expect_eq(message.sequence, 0);
	while (said < 1000)
		cr_assert_eq(say(&p, said++, 100), 0);
	cr_assert_eq(torc_consumer_release(&c), -ESTALE);
	cr_expect_gt(c.lost, 900);
	for (uint64_t i = c.lost; i < said; i++)
		hear(&c, i, 100);
	hear_nothing(&c);
}

/* It may read on until the very floor passes its cursor. */
BOTH_KINDS(releases_what_the_floor_has_not_passed)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message message;
	uint64_t floor, said = 0;
	int r;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	while (said < 1000)
		cr_assert_eq(say(&p, said++, 40), 0);
	for (unsigned int i = 0; i < 200; i++) {
		join(&c, &m.ring, TORC_NO_SLOT, TORC_OLDEST);
		floor = torc_load_relaxed(&m.ring.shm->floor);
		cr_assert_eq(torc_consumer_peek(&c, &message), 0);
		cr_assert_eq(say(&p, said++, 40), 0);
		r = torc_consumer_release(&c);
		cr_assert_eq(r, torc_load_relaxed(&m.ring.shm->floor) == floor
					? 0
					: -ESTALE);
	}
}

/* ---- Lossless consumers ------------------------------------------------- */

BOTH_KINDS(serves_64_lossless_consumers_and_no_65th)
{
	const struct torc_ring_config config = { .capacity = 16384,
						 .kind = kind };
	static struct torc_consumer c[64];
	struct torc_consumer more;
	struct memory m;
	struct producer p;
	uint64_t said = 0, heard[64] = { 0 };
	unsigned int x = 1;

	memory_make(&m, &config);
	begin(&p, &m.ring, 0);
	for (uint32_t i = 0; i < 64; i++)
		join(&c[i], &m.ring, i, TORC_LOSSLESS);
	cr_assert_eq(torc_consumer_join(&more, &m.ring, 64, TORC_LOSSLESS),
		     -EINVAL);
	cr_assert_eq(torc_consumer_join(&more, &m.ring, 64, 0), -EINVAL);
	while (said < 5000) {
		uint32_t i = (x = x * 1664525u + 1013904223u) >> 26;

		while (!say(&p, said, length_of(said)))
			said++;
		/* Whoever holds the ring must be the slowest. */
		for (uint32_t k = 0; k < 64; k++)
			CHECK(heard[blocker(&p)] <= heard[k], "blocker");
		for (uint64_t n = said - heard[i]; n--; heard[i]++)
			hear(&c[i], heard[i], length_of(heard[i]));
		hear_nothing(&c[i]);
	}
	for (uint32_t i = 0; i < 64; i++) {
		for (; heard[i] < said; heard[i]++)
			hear(&c[i], heard[i], length_of(heard[i]));
		hear_nothing(&c[i]);
		torc_consumer_leave(&c[i]);
	}
	/* Nobody holds it any more. */
	for (unsigned int i = 0; i < 1000; i++)
		cr_assert_eq(say(&p, said + i, 100), 0);
}

BOTH_KINDS(holds_the_ring_for_each_slot_until_it_leaves)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	uint64_t said = 0;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	for (uint32_t slot = 0; slot < 16; slot++) {
		join(&c, &m.ring, slot, TORC_LOSSLESS);
		for (uint64_t i = said; !say(&p, said, 50); said++)
			cr_assert_lt(said - i, CAPACITY / 64);
		cr_assert_eq(blocker(&p), slot);
		torc_consumer_leave(&c);
		cr_assert_eq(say(&p, said++, 50), 0);
	}
}

BOTH_KINDS(joins_at_the_latest_and_at_the_oldest)
{
	struct memory m;
	struct producer p;
	struct torc_consumer oldest, latest, held;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	for (uint64_t i = 0; i < 500; i++) {
		cr_assert_eq(say(&p, i, length_of(i)), 0);
		join(&latest, &m.ring, 0, TORC_LOSSLESS);
		CHECK(latest.count == i + 1, "latest is %ju of %ju",
		      (uintmax_t)latest.count, (uintmax_t)i + 1);
		torc_consumer_leave(&latest);
		join(&latest, &m.ring, TORC_NO_SLOT, 0);
		CHECK(latest.count == i + 1, "latest is %ju of %ju",
		      (uintmax_t)latest.count, (uintmax_t)i + 1);
		join(&oldest, &m.ring, TORC_NO_SLOT, TORC_OLDEST);
		join(&held, &m.ring, 1, TORC_LOSSLESS | TORC_OLDEST);
		CHECK(held.cursor == oldest.cursor, "the oldest is not old");
		for (uint64_t k = held.count; k <= i; k++)
			hear(&held, k, length_of(k));
		hear_nothing(&held);
		torc_consumer_leave(&held);
	}
}

/* Behind the proposed floor, not behind the floor. */
BOTH_KINDS(joins_behind_a_proposal)
{
	struct memory m;
	struct producer p;
	struct torc_consumer slow, c;
	uint64_t said = 0;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&slow, &m.ring, 0, TORC_LOSSLESS);
	while (!say(&p, said, 24))
		said++;
	cr_assert_eq(torc_load_relaxed(&m.ring.shm->floor), 0);
	cr_assert_neq(torc_load_relaxed(&m.ring.shm->proposed), 0);
	join(&c, &m.ring, 1, TORC_LOSSLESS | TORC_OLDEST);
	cr_expect_eq(c.count, CAPACITY / 16 / 32);
	for (uint64_t i = c.count; i < said; i++)
		hear(&c, i, 24);
	hear_nothing(&c);
}

BOTH_KINDS(peeks_the_same_until_release)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message a, b, many[8];

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (uint64_t i = 0; i < 6; i++)
		cr_assert_eq(say(&p, i, 30), 0);
	for (unsigned int i = 0; i < 5; i++) {
		cr_assert_eq(torc_consumer_peek(&c, &a), 0);
		cr_assert_eq(torc_consumer_peek(&c, &b), 0);
		cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0);
		check_message(&m.ring, &a, 0, 30);
	}
	cr_assert_eq(torc_consumer_peek_batch(&c, many, 4), 4);
	cr_assert_eq(torc_consumer_peek_batch(&c, many, 2), 2);
	cr_assert_eq(torc_consumer_release(&c), 0);
	/* The last call's two, not the four before. */
	hear(&c, 2, 30);
	cr_assert_eq(torc_consumer_release(&c), 0);
	cr_assert_eq(torc_consumer_peek_batch(&c, many, 8), 3);
	for (unsigned int i = 0; i < 3; i++)
		check_message(&m.ring, &many[i], 3 + i, 30);
	cr_assert_eq(torc_consumer_release(&c), 0);
	hear_nothing(&c);
}

BOTH_KINDS(leaves_a_message_that_the_buffer_is_too_small_for)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message got;
	unsigned char buffer[64] = { 0 };

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	cr_assert_eq(say(&p, 0, 50), 0);
	cr_assert_eq(torc_consumer_receive(&c, buffer, 49, &got), -EMSGSIZE);
	cr_assert_eq(got.length, 50);
	cr_assert_eq(buffer[0], 0);
	cr_assert_eq(torc_consumer_receive(&c, buffer, 50, &got), 0);
	cr_assert_eq(got.data, (const void *)buffer);
	cr_assert_eq(memcmp(buffer, body_of(0), 50), 0);
	cr_assert_eq(torc_consumer_receive(&c, buffer, 50, &got), -EAGAIN);
}

BOTH_KINDS(tells_an_evicted_consumer_what_it_lost)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message message;
	uint64_t said = 0;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	while (!say(&p, said, 70))
		said++;
	for (uint64_t i = 0; i < 3; i++)
		hear(&c, i, 70);
	cr_assert_eq(torc_consumer_peek(&c, &message), 0);
	torc_store_release(&torc_subscriber_slot(&m.ring, 0)->state,
			   TORC_SUBSCRIBER_EVICTED);
	for (unsigned int i = 0; i < 200; i++)
		cr_assert_eq(say(&p, said++, 70), 0);
	cr_assert_eq(torc_consumer_release(&c), -ESTALE);
	cr_expect(c.evicted);
	/* Three heard, the rest up to the floor lost. */
	cr_expect_eq(c.lost, c.floor.count - 3);
	cr_expect_gt(c.lost, 100);
	cr_expect_eq(torc_load_relaxed(&c.slot->lost), c.lost);
	cr_assert_eq(torc_consumer_peek(&c, &message), -ESTALE);
	cr_assert_eq(torc_consumer_peek(&c, &message), -ESTALE);
	torc_consumer_leave(&c);
	join(&c, &m.ring, 0, TORC_LOSSLESS | TORC_OLDEST);
	hear(&c, c.count, 70);
}
