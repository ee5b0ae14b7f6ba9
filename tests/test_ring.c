/* SPDX-License-Identifier: MIT */
/*
 * The ring alone, both kinds, in one thread: every size at every offset, room
 * and its end, positions that wrap, reserving, batches.
 *
 * Consumers are in test_ring_consumer.c, deaths in test_ring_repair.c, chosen
 * interleavings in test_ring_schedule.c; what needs several threads at once is
 * in stress_ring.c.
 */
#include "ring_fixture.h"

TestSuite(ring_sp, .init = fill_bytes, .timeout = 120);
TestSuite(ring_mp, .init = fill_bytes, .timeout = 120);

/* ---- Sizes and offsets -------------------------------------------------- */

static uint64_t naive_record_size(uint64_t length)
{
	uint64_t size = 16;

	while (size < length + 8)
		size += size < 64 ? size : 16;
	return size;
}

BOTH_KINDS(takes_every_size_at_every_offset)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message message;

	small_ring(&m, kind, 0);
	for (uint64_t offset = 0; offset < CAPACITY; offset += 16) {
		for (size_t n = 0; n + 8 <= m.ring.record_max; n++) {
			uint64_t size = naive_record_size(n), at = offset;

			if (at + size > CAPACITY)
				at = CAPACITY;
			memory_format(&m, offset);
			begin(&p, &m.ring, 0);
			join(&c, &m.ring, 0, TORC_LOSSLESS);
			CHECK(!say(&p, 0, n), "publish %zu", n);
			CHECK(!say(&p, 1, 5), "publish 5");
			CHECK(!say(&p, 2, n), "publish %zu", n);
			CHECK(!torc_consumer_peek(&c, &message), "peek");
			CHECK(message.position == at, "%zu bytes at %ju: %ju",
			      n, (uintmax_t)offset,
			      (uintmax_t)message.position);
			hear(&c, 0, n);
			CHECK(c.cursor == at + size, "%zu bytes take %ju", n,
			      (uintmax_t)(c.cursor - at));
			hear(&c, 1, 5);
			hear(&c, 2, n);
			hear_nothing(&c);
		}
	}
}

/* To and from every place in a line, and not a byte more. */
Test(ring_copy, copies_every_length_by_each_way, .timeout = 120)
{
	static unsigned char from[4096], to[4096], expected[4096];
	static const size_t lengths[][2] = { { 0, 300 }, { 2000, 2200 } };

	for (size_t i = 0; i < sizeof(from); i++)
		from[i] = (unsigned char)(i * 7 + i / 256 + 1);
	for (size_t k = 0; k < 2; k++) {
		for (size_t n = lengths[k][0]; n < lengths[k][1]; n++) {
			for (size_t place = 0; place < 64; place++) {
				size_t other = (place * 5 + n) % 64;

				memset(to, 0, 2400);
				memset(expected, 0, 2400);
				torc_copy_payload(to + place, from + other, n);
				memcpy(expected + place, from + other, n);
				CHECK(!memcmp(to, expected, 2400),
				      "%zu bytes to %zu", n, place);
			}
		}
	}
}

BOTH_KINDS(rejects_a_message_that_is_too_long)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_span span = { bytes, 0 };
	void *payload = &m;
	size_t most;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	most = (size_t)torc_message_max(&m.ring);
	cr_expect_eq(most, (kind == TORC_KIND_MP ? 512 : 1024) - 8);
	for (size_t more = 1; more < 40; more++) {
		cr_assert_eq(reserve(&p, most + more, &payload), -EMSGSIZE);
		cr_assert_eq(payload, (void *)&m);
		cr_assert_eq(say(&p, 0, most + more), -EMSGSIZE);
		span.length = most + more;
		cr_assert_eq(publish_batch(&p, &span, 1), -EMSGSIZE);
	}
	cr_assert_eq(reserve(&p, SIZE_MAX, &payload), -EMSGSIZE);
	cr_assert_eq(say(&p, 0, most), 0);
	hear(&c, 0, most);
	hear_nothing(&c);
}

BOTH_KINDS(runs_through_positions_that_wrap)
{
	static const uint64_t starts[] = { 0, 1ull << 63, UINT64_MAX - 15,
					   0u - 4096ull, 1ull << 32 };
	struct memory m;
	struct producer p;
	struct torc_consumer c, lossy;
	struct torc_message message;

	small_ring(&m, kind, 0);
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		for (uint64_t back = 0; back < 40000; back += 3952) {
			uint64_t heard = 0;

			memory_format(&m, starts[i] - back);
			begin(&p, &m.ring, 0);
			join(&c, &m.ring, 0, TORC_LOSSLESS);
			join(&lossy, &m.ring, TORC_NO_SLOT, TORC_OLDEST);
			converse(&p, &c, 0, 1000);
			while (!torc_consumer_peek(&lossy, &message)) {
				if (!torc_consumer_release(&lossy))
					heard++;
			}
			cr_assert_eq(heard + lossy.lost, 1000);
		}
	}
}

/* How far is zeroed ahead depends on the capacity and on the lengths. */
BOTH_KINDS(runs_on_rings_of_all_sizes)
{
	uint64_t said, heard;

	for (uint64_t capacity = 4096; capacity <= 1 << 18; capacity *= 2) {
		const struct torc_ring_config config = { .capacity = capacity,
							 .kind = kind };
		struct memory m;
		struct producer p;
		struct torc_consumer c;

		memory_make(&m, &config);
		begin(&p, &m.ring, 0);
		join(&c, &m.ring, 0, TORC_LOSSLESS);
		said = heard = 0;
		for (unsigned int lap = 0; lap < 100; lap++) {
			/* To the brim with one length, and all out again. */
			size_t length = lap * 53 % 4500;

			if (length > torc_message_max(&m.ring))
				continue;
			while (!say(&p, said, length))
				said++;
			for (; heard < said; heard++)
				hear(&c, heard, length);
			hear_nothing(&c);
		}
		munmap(m.base - 4096, m.size + 8192);
	}
}

/* More marks than the table has places, many times. */
BOTH_KINDS(goes_round_the_table_of_marks)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c, late;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (uint64_t i = 0; i < 50000; i += 100) {
		converse(&p, &c, i, i + 100);
		join(&late, &m.ring, 1, TORC_LOSSLESS | TORC_OLDEST);
		for (uint64_t k = late.count; k < i + 100; k++)
			hear(&late, k, length_of(k));
		hear_nothing(&late);
		torc_consumer_leave(&late);
		join(&late, &m.ring, 1, TORC_LOSSLESS);
		cr_assert_eq(late.count, i + 100);
		torc_consumer_leave(&late);
	}
	cr_expect_gt(torc_load_relaxed(&m.ring.shm->floor), 20 * TORC_MARKS);
}

/* ---- Full and empty ----------------------------------------------------- */

BOTH_KINDS(is_empty_before_the_first_message)
{
	struct memory m;
	struct torc_consumer c;

	small_ring(&m, kind, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	hear_nothing(&c);
	cr_expect_eq(torc_consumer_release(&c), 0);
	hear_nothing(&c);
}

BOTH_KINDS(takes_exactly_what_fits_and_more_after_release)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	uint64_t said = 0, window;
	void *payload = &m;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 3, TORC_LOSSLESS);
	while (!say(&p, said, 8))
		said++;
	window = kind == TORC_KIND_MP ? CAPACITY / 2 : CAPACITY;
	/* All but what is kept zero ahead of the tail. */
	cr_assert_eq(said, (window - m.ring.ahead) / 16);
	cr_assert_eq(say(&p, said, 8), -EAGAIN);
	cr_assert_eq(reserve(&p, 8, &payload), -EAGAIN);
	cr_assert_eq(payload, (void *)&m);
	cr_expect_eq(blocker(&p), 3);
	for (uint64_t i = 0; i < said; i++)
		hear(&c, i, 8);
	hear_nothing(&c);
	/* The floor follows, but for a mark's step. */
	for (uint64_t more = 0; more < said - CAPACITY / 16 / 16 - 1; more++)
		cr_assert_eq(say(&p, said + more, 8), 0);
	hear(&c, said, 8);
}

/* Room comes back in steps of a sixteenth, no sooner and no later. */
BOTH_KINDS(gets_room_back_step_by_step)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	uint64_t said = 0, heard = 0;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	while (!say(&p, said, 24))
		said++;
	for (unsigned int step = 0; step < 100; step++) {
		uint64_t more = 0;

		while (say(&p, said, 24)) {
			hear(&c, heard, 24);
			heard++;
		}
		said++;
		while (!say(&p, said, 24)) {
			said++;
			more++;
		}
		cr_assert_leq(more, CAPACITY / 16 / 32 + 1);
	}
	cr_expect_geq(said - heard, (m.ring.window - m.ring.ahead) / 32 -
					    CAPACITY / 16 / 32 - 1);
}

BOTH_KINDS(keeps_the_last_messages_when_nobody_holds_them)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	for (uint64_t i = 0; i < 3000; i++) {
		uint64_t kept;

		cr_assert_eq(say(&p, i, length_of(i)), 0);
		join(&c, &m.ring, TORC_NO_SLOT, TORC_OLDEST);
		kept = (p.many ? torc_load_relaxed(&m.ring.shm->tail)
			       : p.sp.tail) -
		       c.cursor;
		CHECK(c.count == 0 ||
			      kept + m.ring.ahead + CAPACITY / 16 + 2 * 512 >=
				      m.ring.window,
		      "only %ju bytes are kept", (uintmax_t)kept);
		for (uint64_t k = c.count; k <= i; k++)
			hear(&c, k, length_of(k));
		hear_nothing(&c);
	}
}

/* ---- Reserving ---------------------------------------------------------- */

BOTH_KINDS(shrinks_a_message_at_commit)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	void *payload = NULL;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (uint64_t i = 0; i < 20000; i++) {
		size_t most = length_of(i) + i % 200;
		size_t length = most - length_of(i) % (most / 2 + 1);

		cr_assert_eq(reserve(&p, most, &payload), 0);
		memset(payload, 0x5a, most);
		memcpy(payload, body_of(i), length);
		/* Nothing is seen before. */
		hear_nothing(&c);
		commit(&p, length);
		hear(&c, i, length);
		hear_nothing(&c);
	}
}

BOTH_KINDS(forgets_what_was_reserved_and_given_up)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	void *payload = NULL;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (uint64_t i = 0; i < 5000; i++) {
		for (uint64_t n = i % 7; n--;) {
			size_t length = length_of(i * 7 + n);

			cr_assert_eq(reserve(&p, length, &payload), 0);
			memset(payload, 0xff, length);
			give_up(&p);
			hear_nothing(&c);
		}
		cr_assert_eq(say(&p, i, length_of(i)), 0);
		hear(&c, i, length_of(i));
	}
}

/* Nothing but pads: a consumer that finds no message must still let go. */
BOTH_KINDS(is_not_held_up_by_pads_alone)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	void *payload = NULL;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (unsigned int i = 0; i < 2000; i++) {
		if (reserve(&p, length_of(i), &payload)) {
			hear_nothing(&c);
			cr_assert_eq(reserve(&p, length_of(i), &payload), 0);
		}
		give_up(&p);
	}
	hear_nothing(&c);
	cr_assert_eq(say(&p, 0, 9), 0);
	hear(&c, 0, 9);
}

Test(ring_mp, waits_at_a_reservation_and_names_it)
{
	struct memory m;
	struct producer a, b;
	struct torc_consumer c;
	uint64_t said = 1;
	void *payload = NULL;

	small_ring(&m, TORC_KIND_MP, 0);
	begin(&a, &m.ring, 0);
	begin(&b, &m.ring, 1);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	cr_assert_eq(say(&a, 0, 8), 0);
	hear(&c, 0, 8);
	cr_assert_eq(reserve(&b, 60, &payload), 0);
	memcpy(payload, body_of(1), 60);
	while (!say(&a, said + 1, 20)) {
		said++;
		hear_nothing(&c);
	}
	cr_expect_eq(a.mp.blocked, TORC_MP_STUCK);
	cr_expect_eq(a.mp.stuck_at, 16);
	commit(&b, 60);
	hear(&c, 1, 60);
	for (uint64_t i = 2; i <= said; i++)
		hear(&c, i, 20);
	hear_nothing(&c);
	cr_assert_eq(say(&a, said + 1, 20), 0);
}

/* Publish in one of all ways; most are short. */
static void use_once(struct producer *p, uint64_t number)
{
	size_t length = number % 3 ? number % 50 : length_of(number);
	struct torc_span spans[2] = { { body_of(number), length },
				      { body_of(number), 20 } };
	void *payload;

	switch (number * 2654435761u >> 7 & 63) {
	case 0:
		CHECK(publish_batch(p, spans, 2) > 0, "batch");
		return;
	case 1:
	case 2:
		CHECK(!reserve(p, length + 60, &payload), "reserve");
		memset(payload, 1, length + 60);
		if (number % 2)
			give_up(p);
		else
			commit(p, length);
		return;
	default:
		CHECK(!publish(p, body_of(number), length), "publish");
	}
}

/*
 * What a producer knows of marks without walking, a walk over all agrees to; and
 * nobody claims so far that the ring's layout forbids it.
 */
Test(ring_mp, notes_the_marks_that_the_records_have)
{
	enum { TURNS = 40000 };
	struct memory m;
	struct producer p[2];
	struct torc_mark mark = { 0 }, end = { 0 };
	struct torc_mark expected[TORC_MARKS] = { { 0 } };
	unsigned int alone = 0, floors = 0;
	uint64_t checked = 0;

	small_ring(&m, TORC_KIND_MP, 0);
	begin(&p[0], &m.ring, 0);
	begin(&p[1], &m.ring, 1);
	for (uint64_t i = 0; i < TURNS; i++) {
		/* The first alone for a while, then both in turns. */
		uint64_t who = i % 400 < 250 ? 0 : i / 3 % 2;
		struct torc_mark floor;

		use_once(&p[who], i);
		/* One record after the other, while none is overwritten. */
		while (end.position != m.ring.shm->tail) {
			CHECK(torc_walk(&m.ring, &end.position, &end.count,
					end.position + 1, false) == 1,
			      "an uncommitted record");
			if (end.position - mark.position < m.ring.mark_step)
				continue;
			mark.position = end.position;
			mark.count = end.count;
			mark.index++;
			expected[mark.index % TORC_MARKS] = mark;
		}
		CHECK(!torc_mark_current(&m.ring, &m.ring.shm->floor, &floor),
		      "the floor is no mark");
		CHECK(end.position + m.ring.ahead <=
			      floor.position + m.ring.window,
		      "claimed without room");
		for (; checked < floor.index; checked++, floors++) {
			struct torc_mark is, *be = &expected[(checked + 1) %
							     TORC_MARKS];

			CHECK(torc_mark_read(&m.ring, checked + 1, &is) &&
				      is.position == be->position &&
				      is.count == be->count,
			      "mark %ju is wrong", (uintmax_t)checked + 1);
		}
		alone += i % 400 < 250 &&
			 p[0].mp.walk.position == m.ring.shm->tail;
	}
	cr_expect_gt(floors, TURNS / 10);
	cr_expect_gt(alone, TURNS / 4);
}

Test(ring_mp, numbers_messages_by_their_publisher)
{
	struct memory m;
	struct producer p[4];
	struct torc_consumer c;
	struct torc_message message;

	small_ring(&m, TORC_KIND_MP, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (uint32_t i = 0; i < 4; i++)
		begin(&p[i], &m.ring, i);
	for (unsigned int i = 0; i < 1000; i++) {
		uint32_t slot = i * 5 / 3 % 4;

		cr_assert_eq(say(&p[slot], i, 12), 0);
		cr_assert_eq(torc_consumer_peek(&c, &message), 0);
		cr_assert_eq(message.publisher, slot);
		hear(&c, i, 12);
	}
}

/* ---- Batches ------------------------------------------------------------ */

BOTH_KINDS(publishes_and_receives_batches_across_the_end)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_span spans[8];
	struct torc_message got[16];
	uint64_t said = 0, heard = 0;
	unsigned int crossed = 0;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (unsigned int round = 0; round < 20000; round++) {
		uint64_t from = c.cursor;
		int count = 1 + (int)(round * 5 % 8), n, took;

		for (int i = 0; i < count; i++) {
			spans[i].data = body_of(said + (uint64_t)i);
			spans[i].length = length_of(said + (uint64_t)i) /
					  (round % 3 ? 8 : 2);
		}
		took = publish_batch(&p, spans, count);
		CHECK(took >= 1 && took <= count, "batch: %d", took);
		n = torc_consumer_peek_batch(&c, got, 16);
		CHECK(n == took, "%d of %d", n, took);
		for (int i = 0; i < n; i++)
			check_message(&m.ring, &got[i], heard + (uint64_t)i,
				      spans[i].length);
		cr_assert_eq(torc_consumer_release(&c), 0);
		crossed += from / CAPACITY != c.cursor / CAPACITY && took > 1;
		heard += (uint64_t)n;
		said += (uint64_t)took;
	}
	hear_nothing(&c);
	cr_expect_gt(crossed, 100);
}

/* At every offset, so that the end falls into each place of it. */
BOTH_KINDS(puts_a_batch_at_every_offset)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_span spans[5];

	small_ring(&m, kind, 0);
	for (uint64_t offset = 0; offset < CAPACITY; offset += 16) {
		for (size_t n = 0; n < 100; n += 9) {
			memory_format(&m, offset);
			memset(m.ring.data, 0, CAPACITY);
			begin(&p, &m.ring, 0);
			join(&c, &m.ring, 0, TORC_LOSSLESS);
			for (unsigned int i = 0; i < 5; i++)
				spans[i] = (struct torc_span){
					body_of(i), n * (i % 2 + 1) / 2
				};
			CHECK(publish_batch(&p, spans, 5) == 5, "batch");
			for (unsigned int i = 0; i < 5; i++)
				hear(&c, i, spans[i].length);
			hear_nothing(&c);
			CHECK(!say(&p, 5, n), "publish");
			hear(&c, 5, n);
		}
	}
}

BOTH_KINDS(takes_as_much_of_a_batch_as_the_longest_record)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_span spans[200];
	int fits;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (unsigned int i = 0; i < 200; i++)
		spans[i] = (struct torc_span){ body_of(i), 24 };
	fits = (int)(m.ring.record_max / 32);
	cr_assert_eq(publish_batch(&p, spans, 200), fits);
	cr_assert_eq(publish_batch(&p, spans + fits, fits - 1), fits - 1);
	for (int i = 0; i < 2 * fits - 1; i++)
		hear(&c, (uint64_t)i, 24);
	hear_nothing(&c);
	/* One that is too long ends the batch before it. */
	spans[2].length = (size_t)m.ring.record_max;
	for (int i = 0; i < 2; i++)
		spans[i].data = body_of((uint64_t)(2 * fits - 1 + i));
	cr_assert_eq(publish_batch(&p, spans, 5), 2);
	hear(&c, (uint64_t)(2 * fits - 1), 24);
	hear(&c, (uint64_t)(2 * fits), 24);
	cr_assert_eq(publish_batch(&p, spans + 2, 5), -EMSGSIZE);
}

BOTH_KINDS(rejects_a_batch_when_full)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_span spans[4];
	uint64_t said = 0;
	int r;

	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (;; said += 4) {
		for (unsigned int i = 0; i < 4; i++)
			spans[i] = (struct torc_span){ body_of(said + i), 50 };
		r = publish_batch(&p, spans, 4);
		if (r < 0)
			break;
		cr_assert_eq(r, 4);
	}
	cr_assert_eq(r, -EAGAIN);
	for (uint64_t i = 0; i < said; i++)
		hear(&c, i, 50);
	hear_nothing(&c);
	cr_assert_eq(publish_batch(&p, spans, 4), 4);
	hear(&c, said, 50);
}
