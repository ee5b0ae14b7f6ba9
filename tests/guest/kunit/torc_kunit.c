// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Goal: the ring, compiled with the kernel's atomics, does what it does elsewhere:
 * messages, laps, room, claims, repair; also where an interrupt's publisher comes in
 * the midst of a task's, and where a hostile one wins each claim.
 * Method: a ring in memory of the kernel's own, in one thread, step by step.
 */
#include <kunit/test.h>
#include <linux/mm.h>
#include <linux/module.h>

#define TORC_ATOMIC_HEADER "hostile_atomic.h"
#include <torc/ring.h>

#define CAPACITY 8192u

struct world {
	struct torc_constants_shm constants;
	struct torc_ring ring;
	void *memory;
	u64 sent[64], got[64];
};

static void format(struct kunit *test, u32 kind)
{
	const struct torc_ring_config config = {
		.capacity = CAPACITY,
		.kind = kind,
		.publishers = kind == TORC_KIND_MP ? 4 : 1,
		.subscribers = 4,
		.first_position = -4096ull,
	};
	struct world *w = test->priv;
	void *cursors;

	KUNIT_ASSERT_EQ(test, torc_ring_layout(&config, &w->constants), 0);
	w->memory = kvzalloc(w->constants.ring_size + w->constants.cursors_size,
			     GFP_KERNEL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, w->memory);
	cursors = w->memory + w->constants.ring_size;
	torc_ring_format(&w->constants, w->memory, cursors);
	KUNIT_ASSERT_EQ(test, torc_ring_attach(&w->ring, w->memory,
					       w->constants.ring_size, cursors,
					       w->constants.cursors_size), 0);
}

static int world_init(struct kunit *test)
{
	hostile = NULL;
	test->priv = kunit_kzalloc(test, sizeof(struct world), GFP_KERNEL);
	return test->priv ? 0 : -ENOMEM;
}

static void world_exit(struct kunit *test)
{
	struct world *w = test->priv;

	kvfree(w->memory);
}

static void join(struct kunit *test, struct torc_consumer *c, u32 slot,
		 u32 flags)
{
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, torc_consumer_join(c, &w->ring, slot, flags), 0);
}

static void expect_number(struct kunit *test, struct torc_consumer *c,
			  u64 number, size_t length)
{
	struct world *w = test->priv;
	struct torc_message message;

	KUNIT_ASSERT_EQ(test, torc_consumer_receive(c, w->got, sizeof(w->got),
						    &message), 0);
	KUNIT_EXPECT_EQ(test, w->got[0], number);
	KUNIT_EXPECT_EQ(test, message.length, length);
}

static void expect_nothing(struct kunit *test, struct torc_consumer *c)
{
	struct torc_message message;

	KUNIT_EXPECT_EQ(test, torc_consumer_peek(c, &message), -EAGAIN);
}

/* Lengths from one word on, of all remainders. */
static size_t length_of(u64 number)
{
	return sizeof(number) + number * 7 % 400;
}

/* ---- One publisher ------------------------------------------------------- */

static void one_publisher_goes_round_and_round(struct kunit *test)
{
	struct world *w = test->priv;
	struct torc_consumer c;
	struct torc_sp sp;
	u64 n;

	format(test, TORC_KIND_SP);
	KUNIT_ASSERT_EQ(test, torc_sp_init(&sp, &w->ring), 0);
	join(test, &c, 0, TORC_LOSSLESS);
	for (n = 0; n < 1000; n++) {
		w->sent[0] = n;
		KUNIT_ASSERT_EQ(test, torc_sp_publish(&sp, w->sent,
						      length_of(n)), 0);
		expect_number(test, &c, n, length_of(n));
	}
	expect_nothing(test, &c);
}

static void who_is_lapped_is_told_what_it_lost(struct kunit *test)
{
	struct world *w = test->priv;
	struct torc_consumer c;
	struct torc_sp sp;
	struct torc_message message;
	u64 number, got, received = 0;

	format(test, TORC_KIND_SP);
	KUNIT_ASSERT_EQ(test, torc_sp_init(&sp, &w->ring), 0);
	join(test, &c, TORC_NO_SLOT, 0);
	for (number = 0; number < 5000; number++)
		KUNIT_ASSERT_EQ(test, torc_sp_publish(&sp, &number,
						      sizeof(number)), 0);
	while (!torc_consumer_receive(&c, &got, sizeof(got), &message))
		KUNIT_ASSERT_EQ(test, got, c.lost + received++);
	KUNIT_EXPECT_EQ(test, c.lost + received, number);
	KUNIT_EXPECT_GT(test, c.lost, 0);
	KUNIT_EXPECT_GT(test, received, 0);
}

static void the_lossless_hold_the_publisher(struct kunit *test)
{
	struct world *w = test->priv;
	struct torc_consumer c;
	struct torc_sp sp;
	u64 sent = 0, number;
	int r;

	format(test, TORC_KIND_SP);
	KUNIT_ASSERT_EQ(test, torc_sp_init(&sp, &w->ring), 0);
	join(test, &c, 2, TORC_LOSSLESS);
	while (!(r = torc_sp_publish(&sp, &sent, sizeof(sent))))
		sent++;
	KUNIT_EXPECT_EQ(test, r, -EAGAIN);
	KUNIT_EXPECT_EQ(test, sp.blocker, 2);
	for (number = 0; number < sent; number++)
		expect_number(test, &c, number, sizeof(number));
	KUNIT_EXPECT_EQ(test, torc_sp_publish(&sp, &sent, sizeof(sent)), 0);
}

/* ---- Many ---------------------------------------------------------------- */

static void publisher(struct kunit *test, struct torc_mp *mp, u32 slot)
{
	struct world *w = test->priv;

	KUNIT_ASSERT_EQ(test, torc_mp_init(mp, &w->ring, slot), 0);
}

static void publish(struct kunit *test, struct torc_mp *mp, u64 number)
{
	struct world *w = test->priv;

	w->sent[0] = number;
	KUNIT_ASSERT_EQ(test, torc_mp_publish(mp, w->sent, length_of(number)),
			0);
}

static void claims_nest_and_come_in_their_order(struct kunit *test)
{
	static struct torc_mp task, soft, hard; /* too large for the stack */
	struct torc_consumer c;
	u64 n;

	format(test, TORC_KIND_MP);
	publisher(test, &task, 0);
	publisher(test, &soft, 1);
	publisher(test, &hard, 2);
	join(test, &c, 0, TORC_LOSSLESS);
	for (n = 0; n < 900; n += 3) {
		u64 *in_task, *in_soft;

		KUNIT_ASSERT_EQ(test, torc_mp_try_reserve(&task, 100, 200,
							  (void **)&in_task), 0);
		KUNIT_ASSERT_EQ(test, torc_mp_try_reserve(&soft, 100, 100,
							  (void **)&in_soft), 0);
		publish(test, &hard, n + 2);
		expect_nothing(test, &c);
		*in_soft = n + 1;
		torc_mp_commit(&soft, 48);
		expect_nothing(test, &c);
		*in_task = n;
		torc_mp_commit(&task, 8);
		expect_number(test, &c, n, 8);
		expect_number(test, &c, n + 1, 48);
		expect_number(test, &c, n + 2, length_of(n + 2));
	}
}

static void an_open_claim_holds_the_floor_only(struct kunit *test)
{
	struct torc_mp task, hard;
	void *payload;
	u64 number = 0;
	int r;

	format(test, TORC_KIND_MP);
	publisher(test, &task, 0);
	publisher(test, &hard, 1);
	KUNIT_ASSERT_EQ(test, torc_mp_reserve(&task, 8, &payload), 0);
	while (!(r = torc_mp_publish(&hard, &number, sizeof(number))))
		number++;
	KUNIT_EXPECT_EQ(test, r, -EAGAIN);
	KUNIT_EXPECT_EQ(test, hard.blocked, TORC_MP_STUCK);
	KUNIT_EXPECT_EQ(test, hard.stuck_at, task.claim);
	KUNIT_EXPECT_GT(test, number, 100);
	torc_mp_abort(&task);
	KUNIT_EXPECT_EQ(test, torc_mp_publish(&hard, &number, sizeof(number)),
			0);
}

static bool is_slot_0(void *context, u32 slot)
{
	return slot == 0;
}

/* A claim of slot 0, with its header or before it, becomes a pad. */
static void mends(struct kunit *test, bool header)
{
	const struct torc_death death = { is_slot_0, NULL };
	struct world *w = test->priv;
	struct torc_mp dead, living;
	struct torc_consumer c;
	u64 position, at;
	void *payload;

	format(test, TORC_KIND_MP);
	publisher(test, &dead, 0);
	publisher(test, &living, 1);
	join(test, &c, 0, TORC_LOSSLESS);
	at = w->ring.shm->tail;
	if (header) {
		KUNIT_ASSERT_EQ(test, torc_mp_reserve(&dead, 300, &payload), 0);
	} else {
		torc_claim_note(&dead, at, 320);
		KUNIT_ASSERT_TRUE(test, torc_cas(&w->ring.shm->tail, at,
						 at + 320));
	}
	publish(test, &living, 1);
	expect_nothing(test, &c);
	KUNIT_ASSERT_EQ(test, torc_claim_settled(&w->ring, 0, &position), 0);
	KUNIT_ASSERT_EQ(test, position, at);
	KUNIT_ASSERT_EQ(test, torc_claim_repair(&w->ring, at, &death), 1);
	KUNIT_EXPECT_EQ(test, torc_claim_settled(&w->ring, 0, &position), 1);
	expect_number(test, &c, 1, length_of(1));
}

static void a_dead_ones_claim_is_mended(struct kunit *test)
{
	mends(test, true);
}

static void a_dead_ones_claim_without_header_is_mended(struct kunit *test)
{
	mends(test, false);
}

/* ---- Hostile publishers -------------------------------------------------- */

static struct torc_ring *attacked;
static u64 attacks;

static void move_the_tail(void)
{
	attacks++;
	attacked->shm->tail += TORC_RECORD_ALIGN;
}

/* So far that it has to look for room, of which there is as much as it likes. */
static void move_tail_and_floor(void)
{
	struct torc_publishing_shm *shm = attacked->shm;

	attacks++;
	shm->tail += attacked->window;
	shm->floor++;
	shm->marks[shm->floor % TORC_MARKS].position = shm->tail;
}

static u64 tries_against(struct kunit *test, void (*attack)(void))
{
	struct world *w = test->priv;
	struct torc_mp mp;
	void *payload = NULL;

	format(test, TORC_KIND_MP);
	publisher(test, &mp, 0);
	attacked = &w->ring;
	attacks = 0;
	hostile = attack;
	KUNIT_EXPECT_EQ(test, torc_mp_try_reserve(&mp, 128, 8, &payload),
			-EBUSY);
	hostile = NULL;
	KUNIT_EXPECT_PTR_EQ(test, payload, NULL);
	KUNIT_EXPECT_EQ(test, mp.slot->claim_length, 0);
	return attacks;
}

static void who_wins_each_claim_is_tried_so_often(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, tries_against(test, move_the_tail), 128);
}

static void a_look_for_room_counts_as_many_tries(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, tries_against(test, move_tail_and_floor), 8);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(one_publisher_goes_round_and_round),
	KUNIT_CASE(who_is_lapped_is_told_what_it_lost),
	KUNIT_CASE(the_lossless_hold_the_publisher),
	KUNIT_CASE(claims_nest_and_come_in_their_order),
	KUNIT_CASE(an_open_claim_holds_the_floor_only),
	KUNIT_CASE(a_dead_ones_claim_is_mended),
	KUNIT_CASE(a_dead_ones_claim_without_header_is_mended),
	KUNIT_CASE(who_wins_each_claim_is_tried_so_often),
	KUNIT_CASE(a_look_for_room_counts_as_many_tries),
	{}
};

static struct kunit_suite suite = {
	.name = "torc_ring",
	.init = world_init,
	.exit = world_exit,
	.test_cases = cases,
};
kunit_test_suite(suite);

MODULE_DESCRIPTION("torc test: the ring in the kernel");
MODULE_LICENSE("Dual MIT/GPL");
