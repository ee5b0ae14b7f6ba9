/* SPDX-License-Identifier: MIT */
/*
 * What somebody else does behind a participant's back: damage the memory, evict
 * it while it joins, repair the ring and lap it while it was not looking.
 */
#include "topic.h"

#include "fixture.h"

#include <pthread.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

TestSuite(damage, .init = fixture_init, .fini = fixture_fini, .timeout = 60);

/* A ring of many publishers in private memory. */
static void *make_ring(struct torc_ring *ring)
{
	struct torc_ring_config config = {
		.capacity = 4096,
		.kind = TORC_KIND_MP,
		.publishers = 4,
		.subscribers = 4,
	};
	struct torc_constants_shm c;
	unsigned char *memory;

	cr_assert_eq(torc_ring_layout(&config, &c), 0);
	memory = aligned_alloc(4096, c.ring_size + c.cursors_size);
	memset(memory, 0, c.ring_size + c.cursors_size);
	torc_ring_format(&c, memory, memory + c.ring_size);
	cr_assert_eq(torc_ring_attach(ring, memory, c.ring_size,
				      memory + c.ring_size, c.cursors_size), 0);
	return memory;
}

static bool slot_2_is_dead(void *context, uint32_t slot)
{
	(void)context;
	return slot == 2;
}

/* A repairer finds @word, which is in a message, where a lap ago the claim was. */
static void repair_a_lap_late(uint64_t word)
{
	const struct torc_death death = { slot_2_is_dead, NULL };
	struct torc_mp late, other, dead;
	struct torc_message message;
	struct torc_consumer c;
	struct torc_ring ring;
	void *memory = make_ring(&ring);
	uint64_t words[9], p;
	char data[56] = "";

	for (int i = 0; i < 9; i++)
		words[i] = word;
	cr_assert_eq(torc_mp_init(&late, &ring, 0), 0);
	cr_assert_eq(torc_mp_init(&other, &ring, 1), 0);
	cr_assert_eq(torc_mp_init(&dead, &ring, 2), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(torc_mp_publish(&late, data, 56), 0);
	/* Wins a claim, and dies. */
	p = ring.shm->tail;
	torc_claim_note(&dead, p, 64);
	cr_assert(torc_cas(&ring.shm->tail, p, p + 64));
	while (!torc_mp_publish(&late, data, 56))
		continue;
	cr_assert_eq(late.stuck_at, p);
	while (torc_mp_publish(&other, data, 56))
		cr_assert_eq(torc_claim_repair(&ring, p, &death), 1);
	while (ring.shm->tail < 4096 + 128)
		cr_assert_eq(torc_mp_publish(&other, data, 56), 0);
	cr_assert_eq(torc_mp_publish(&other, data, 24), 0);
	cr_assert_eq(torc_consumer_join(&c, &ring, 0, TORC_LOSSLESS), 0);
	cr_assert_eq(torc_mp_publish(&other, words, sizeof(words)), 0);
	cr_assert_eq(torc_mp_publish(&other, data, 40), 0);
	cr_assert_eq(*torc_header_at(&ring, p), word);

	cr_expect_eq(torc_claim_repair(&ring, late.stuck_at, &death), 0,
		     "%#" PRIx64, word);
	cr_assert_eq(torc_consumer_peek(&c, &message), 0);
	cr_expect_eq(message.length, sizeof(words));
	cr_expect_eq(memcmp(message.data, words, sizeof(words)), 0);
	free(memory);
}

Test(damage, a_repairer_that_comes_a_lap_late_touches_nothing)
{
	repair_a_lap_late(0);
	/* The dead one's, nobody's, and what no claim is. */
	repair_a_lap_late(TORC_HEADER(TORC_RECORD_BUSY, 2, 56));
	repair_a_lap_late(TORC_HEADER(TORC_RECORD_BUSY, 65535, 56));
	repair_a_lap_late(TORC_HEADER(TORC_RECORD_BUSY, 2, 55));
}

Test(damage, a_tail_that_is_no_boundary_is_an_error)
{
	const struct torc_span span = { "x", 1 };
	struct torc_ring ring;
	struct torc_mp mp;
	void *memory = make_ring(&ring);

	cr_assert_eq(torc_mp_init(&mp, &ring, 0), 0);
	ring.shm->tail = (uint64_t)-3;
	cr_expect_eq(torc_mp_publish(&mp, "x", 1), -EPROTO);
	cr_expect_eq(torc_mp_publish_batch(&mp, &span, 1), -EPROTO);
	free(memory);
}

Test(damage, nothing_but_dead_claims_is_no_endless_loop)
{
	struct torc_topic *topic = topic_open("memfd:", TORC_MANY, 4096);
	struct torc_subscriber *sub;
	struct torc_view view;
	int unusable = 0;

	torc_pub_close(pub_open(topic));
	sub = sub_open(topic, 0);
	MUST(torc_topic_map(topic, TORC_ACCESS_PUBLISH, &unusable,
			    &view));
	for (uint64_t i = 0; i < 4096; i += 16)
		*torc_header_at(&view.ring, i) =
			TORC_HEADER(TORC_RECORD_BUSY, 0, 8);
	view.ring.shm->tail = 1ull << 62;
	cr_expect_geq(torc_sub_ended(sub), 0);
	torc_topic_unmap(topic, &view);
	torc_sub_close(sub);
	torc_topic_close(topic);
}

Test(damage, waiting_changes_nothing_about_what_was_peeked)
{
	struct torc_topic *topic = topic_open("anon:", 0, 4096);
	struct torc_publisher *pub = pub_open(topic);
	struct torc_subscriber *sub = sub_open(topic, 0);
	struct torc_subscriber *lossy = sub_open(topic, TORC_SUB_LOSSY);
	struct torc_message messages[8];

	for (int i = 0; i < 8; i++)
		MUST(torc_pub_publish(pub, "x", 1));
	cr_expect_eq(torc_sub_peek_batch(sub, messages, 0), -EINVAL);
	cr_expect_eq(torc_sub_dispatch(sub, NULL, NULL, 0), -EINVAL);
	cr_assert_eq(torc_sub_peek_batch(sub, messages, 8), 8);
	MUST(torc_sub_wait(sub, 0));
	cr_expect_eq(torc_sub_ended(sub), 0);
	MUST(torc_sub_release(sub));
	cr_expect_eq(torc_sub_peek(sub, messages), -EAGAIN);

	MUST(torc_sub_peek(lossy, messages));
	torc_sub_close(sub);
	for (int i = 0; i < 1000; i++)
		MUST(torc_pub_publish(pub, "y", 1));
	MUST(torc_sub_wait(lossy, 0));
	cr_expect_eq(torc_sub_release(lossy), -ESTALE);
	MUST(torc_sub_peek(lossy, messages));
	cr_expect_eq(messages[0].sequence, torc_sub_lost(lossy));
	torc_sub_close(lossy);
	torc_pub_close(pub);
	torc_topic_close(topic);
}

static bool evicting;

/* Evicts whoever holds it up, at once. */
static void *evict_all(void *context)
{
	struct torc_pub_options options = { .full = TORC_FULL_EVICT };
	struct torc_publisher *pub;
	uint64_t i = 0;

	MUST(torc_pub_open(context, &options, &pub));
	while (__atomic_load_n(&evicting, __ATOMIC_RELAXED)) {
		/* Each says its own number, all over. */
		uint64_t data[20];

		for (size_t k = 0; k < 20; k++)
			data[k] = i;
		i++;
		MUST(torc_pub_publish(pub, data, 8 + i % 150));
	}
	torc_pub_close(pub);
	return NULL;
}

Test(damage, who_is_evicted_while_joining_neither_fails_nor_is_deceived)
{
	struct torc_topic *topic = topic_open("t", 0, 4096);
	pthread_t thread;
	uint64_t heard = 0;

	evicting = true;
	cr_assert_eq(pthread_create(&thread, NULL, evict_all, topic), 0);
	for (unsigned int i = 0; i < 4000; i++) {
		struct torc_subscriber *sub = sub_open(topic, i % 4);
		struct torc_message message;
		uint64_t data[20];
		int r = torc_sub_receive(sub, data, sizeof(data), &message);

		cr_assert(!r || r == -EAGAIN || r == -ESTALE, "%d", r);
		if (!r)
			cr_assert_eq(data[0], message.sequence);
		heard += !r;
		torc_sub_close(sub);
	}
	cr_expect_gt(heard, 0);
	__atomic_store_n(&evicting, false, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	torc_topic_close(topic);
}
