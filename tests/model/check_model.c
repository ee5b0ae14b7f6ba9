/* SPDX-License-Identifier: MIT */
/*
 * The ring in every schedule: small cases, each explored to the end with three
 * orders of stores (explore.h).  What is asked of each schedule is in judge().
 *
 *	check_model [-1] [-s STATES] [CASE ...]
 *
 * -1: end with the first that fails.
 */
#include <torc/ring.h>

#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The library's own waiting, with the explorer's system calls. */
#define syscall model_syscall
#include <wait.c>
#undef syscall

#define LONGEST 1016u
#define IDS 64u
#define ID(publisher, i) (16u * ((publisher) + 1) + (i))
#define LOST (1ull << 63)  /* a note of how many were lost */
#define BEGIN (1ull << 62) /* a note of where a subscriber began */

static const struct torc_mapping by_futex;
static const struct torc_topic topic = { .mapping = &by_futex };
static struct torc_ring ring;
static struct torc_sp sp;
static struct torc_mp mps[2];
static struct torc_consumer consumers[2];
static unsigned char bodies[IDS][LONGEST];
static struct torc_span spans[2];

/* Of the case that is explored. */
static struct {
	size_t length;	     /* of each message */
	uint32_t each;	     /* messages of each publisher */
	uint64_t before;     /* messages before the threads begin */
	uint64_t expected;   /* messages in the end; 0: as many as there are */
	uint32_t publishers; /* threads that publish: a mask */
	uint32_t join_flags;
	bool fences;
	bool evicts;	     /* a subscriber may be evicted */
} given;

/* ---- Messages ------------------------------------------------------------- */

static void make_bodies(void)
{
	for (uint32_t id = 0; id < IDS; id++)
		memset(bodies[id], (int)id, sizeof(bodies[id]));
}

/* What was received is one whole message; note it. */
static void heard(const struct torc_message *m, const unsigned char *data)
{
	uint32_t id = data[0];

	MODEL_CHECK(id < IDS && m->length == given.length &&
			    !memcmp(data, bodies[id], m->length),
		    "message %u of %zu bytes is garbled", id, m->length);
	model_note(m->sequence << 32 | id);
}

/* ---- Publishers ----------------------------------------------------------- */

static bool is_dead(void *context, uint32_t slot)
{
	(void)context;
	return slot >= 2 || model_dead(slot);
}

static const struct torc_death death = { is_dead, NULL };

/* Repair is one at a time, and the dead stay so: none is started again here. */
static void mend(uint64_t position)
{
	int r;

	if (!model_trylock(0))
		return;
	r = torc_claim_repair(&ring, position, &death);
	MODEL_CHECK(r >= 0, "repair: %d", r);
	model_unlock(0);
}

static void notify(void)
{
	if (torc_word_armed(&ring.cursors->data_word, given.fences))
		torc_wake(&topic, &ring.cursors->data_word);
}

static void mp_publish(uint32_t slot)
{
	struct torc_mp mp = mps[slot];
	int r;

	for (uint32_t i = 0; i < given.each; i++) {
		for (;;) {
			model_poll();
			r = torc_mp_publish(&mp, bodies[ID(slot, i)],
					    given.length);
			if (r != -EAGAIN)
				break;
			if (mp.blocked == TORC_MP_STUCK)
				mend(mp.stuck_at);
			model_await();
			model_forget((int)i, &mp, sizeof(mp));
		}
		MODEL_CHECK(!r, "publish: %d", r);
		notify();
		model_note(ID(slot, i));
		model_forget((int)i + 1, &mp, sizeof(mp));
	}
}

static void mp_first(void)
{
	mp_publish(0);
}

static void mp_second(void)
{
	mp_publish(1);
}

/* Give a claim up, then use half of one. */
static void mp_abort_and_shrink(void)
{
	struct torc_mp mp = mps[0];
	void *payload;

	MODEL_CHECK(!torc_mp_reserve(&mp, 20, &payload), "reserve");
	model_copy(payload, bodies[63], 16);
	torc_mp_abort(&mp);
	model_forget(1, &mp, sizeof(mp));
	MODEL_CHECK(!torc_mp_reserve(&mp, 100, &payload), "reserve");
	model_copy(payload, bodies[ID(0, 0)], given.length);
	torc_mp_commit(&mp, given.length);
	model_note(ID(0, 0));
}

static void mp_batch(void)
{
	struct torc_mp mp = mps[1];

	MODEL_CHECK(torc_mp_publish_batch(&mp, spans, 2) == 2, "batch");
	model_note(ID(1, 0));
	model_note(ID(1, 1));
}

static void evict(uint32_t slot)
{
	if (slot < ring.subscribers)
		torc_cas(&torc_subscriber_slot(&ring, slot)->state,
			 TORC_SUBSCRIBER_LOSSLESS, TORC_SUBSCRIBER_EVICTED);
}

static void sp_publish_from(struct torc_sp *own, uint32_t first, bool evicts)
{
	int r;

	for (uint32_t i = first; i < given.each; i++) {
		for (;;) {
			model_poll();
			r = torc_sp_publish(own, bodies[ID(0, i)], given.length);
			if (r != -EAGAIN)
				break;
			if (evicts) {
				evict(own->blocker);
				continue;
			}
			model_await();
			model_forget((int)i, own, sizeof(*own));
		}
		MODEL_CHECK(!r, "publish: %d", r);
		notify();
		model_note(ID(0, i));
		model_forget((int)i + 1, own, sizeof(*own));
	}
}

static void sp_publish(void)
{
	struct torc_sp own = sp;

	sp_publish_from(&own, 0, false);
}

static void sp_publish_and_evict(void)
{
	struct torc_sp own = sp;

	sp_publish_from(&own, 0, true);
}

/* When the first publisher has ended, go on with a message of one's own. */
static void sp_take_over(void)
{
	struct torc_sp own;

	memset(&own, 0, sizeof(own));
	for (;;) {
		model_poll();
		if (model_ended(1))
			break;
		model_await();
		model_forget(0, NULL, 0);
	}
	MODEL_CHECK(!torc_sp_init(&own, &ring), "init");
	for (;;) {
		int r;

		model_poll();
		r = torc_sp_publish(&own, bodies[ID(1, 0)], given.length);
		if (!r)
			break;
		MODEL_CHECK(r == -EAGAIN, "publish: %d", r);
		model_await();
		model_forget(1, &own, sizeof(own));
	}
	model_note(ID(1, 0));
}

/* Sleep until there is room, as the library does. */
static bool has_room(void *context)
{
	struct torc_sp *own = context;
	void *payload;

	return !torc_sp_reserve(own, given.length, &payload);
}

static void sp_publish_asleep(void)
{
	struct torc_sp own = sp;
	uint32_t *word = &ring.cursors->room_word;

	for (uint32_t i = 0; i < given.each; i++) {
		void *payload;

		while (torc_sp_reserve(&own, given.length, &payload)) {
			torc_sleep(&topic, &word, 1, TORC_SLEEP_NS, has_room, &own);
			model_forget((int)i, &own, sizeof(own));
		}
		model_copy(payload, bodies[ID(0, i)], given.length);
		torc_sp_commit(&own, given.length);
		model_note(ID(0, i));
		model_forget((int)i + 1, &own, sizeof(own));
	}
}

/* ---- Menders -------------------------------------------------------------- */

static void mender(void)
{
	for (;;) {
		uint64_t position = 0;

		model_poll();
		if (model_dead(0)) {
			if (!torc_claim_settled(&ring, 0, &position))
				mend(position);
			return;
		}
		if (model_ended(1))
			return;
		model_await();
		model_forget(0, NULL, 0);
	}
}

/* ---- Subscribers ---------------------------------------------------------- */

static bool skip_dead(struct torc_consumer *c)
{
	struct torc_claim claim;

	if (ring.kind != TORC_KIND_MP ||
	    torc_load_relaxed(&ring.shm->tail) == c->cursor ||
	    torc_claim_outcome(&ring, c->cursor, &death, &claim) <= 0 ||
	    torc_consumer_lapped(c))
		return false;
	torc_consumer_skip(c, claim.length);
	return true;
}

static void wake_publishers(void)
{
	if (torc_word_armed(&ring.cursors->room_word, given.fences))
		torc_wake(&topic, &ring.cursors->room_word);
}

/* Receive until all has been said. */
static void listen_to_all(struct torc_consumer *c, bool wakes)
{
	unsigned char buffer[LONGEST];
	struct torc_message m;

	while (!given.expected || c->count < given.expected) {
		bool over;
		int r;

		model_forget(0, c, sizeof(*c));
		model_poll();
		over = !given.expected && model_ended(given.publishers);
		r = torc_consumer_receive(c, buffer, sizeof(buffer), &m);
		if (r == -ESTALE) {
			MODEL_CHECK(given.evicts && c->evicted,
				    "stale, and nobody evicted it");
			return;
		}
		MODEL_CHECK(!r || r == -EAGAIN, "receive: %d", r);
		if (!r)
			heard(&m, buffer);
		if (wakes)
			wake_publishers();
		if (!r || (!given.expected && skip_dead(c)))
			continue;
		if (over && (ring.kind == TORC_KIND_SP ||
			     torc_load_relaxed(&ring.shm->tail) == c->cursor))
			break;
		model_await();
	}
	model_note(LOST | c->lost);
}

static void listen_first(void)
{
	struct torc_consumer c = consumers[0];

	model_note(BEGIN | c.count);
	listen_to_all(&c, false);
}

static void listen_second(void)
{
	struct torc_consumer c = consumers[1];

	model_note(BEGIN | c.count);
	listen_to_all(&c, false);
}

static void listen_and_wake(void)
{
	struct torc_consumer c = consumers[0];

	model_note(BEGIN | c.count);
	listen_to_all(&c, true);
}

static void join_and_listen(void)
{
	struct torc_consumer c;

	memset(&c, 0, sizeof(c));
	MODEL_CHECK(!torc_consumer_join(&c, &ring, 0, given.join_flags), "join");
	model_note(BEGIN | c.count);
	listen_to_all(&c, false);
}

static void listen_and_leave(void)
{
	struct torc_consumer c = consumers[0];
	unsigned char buffer[LONGEST];
	struct torc_message m;

	model_note(BEGIN | c.count);
	if (!torc_consumer_receive(&c, buffer, sizeof(buffer), &m))
		heard(&m, buffer);
	torc_consumer_leave(&c);
}

static bool has_message(void *context)
{
	struct torc_message m;

	return torc_consumer_peek(context, &m) != -EAGAIN;
}

/* Sleep until there is a message, as the library does. */
static void listen_asleep(void)
{
	struct torc_consumer c = consumers[0];
	uint32_t *word = &ring.cursors->data_word;
	unsigned char buffer[LONGEST];
	struct torc_message m;

	model_note(BEGIN | c.count);
	while (c.count < given.expected) {
		model_forget(0, &c, sizeof(c));
		if (torc_consumer_receive(&c, buffer, sizeof(buffer), &m))
			torc_sleep(&topic, &word, 1, TORC_SLEEP_NS, has_message, &c);
		else
			heard(&m, buffer);
	}
	model_note(LOST | c.lost);
}

/* ---- What must hold ------------------------------------------------------- */

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

static void judge_lossless(void)
{
	judge_with(true, true);
}

static void judge_lossy(void)
{
	judge_with(false, false);
}

static void judge_joiner(void)
{
	judge_with(given.join_flags & TORC_LOSSLESS, false);
}

/* ---- Setting up ----------------------------------------------------------- */

static void make_ring(uint32_t kind, uint64_t first)
{
	const struct torc_ring_config config = {
		.capacity = 4096,
		.kind = kind,
		.publishers = kind == TORC_KIND_MP ? 2 : 1,
		.subscribers = 2,
		.first_position = first
	};
	struct torc_constants_shm constants;
	uint64_t size;

	memset(&given, 0, sizeof(given));
	memset(mps, 0, sizeof(mps));
	memset(&sp, 0, sizeof(sp));
	memset(consumers, 0, sizeof(consumers));
	model_membarrier_refused = false;
	if (torc_ring_layout(&config, &constants))
		abort();
	size = constants.ring_size + constants.cursors_size;
	if (size > MODEL_MEMORY)
		abort();
	torc_ring_format(&constants, model_memory,
			 model_memory + constants.ring_size);
	if (torc_ring_attach(&ring, model_memory, constants.ring_size,
			     model_memory + constants.ring_size,
			     constants.cursors_size))
		abort();
	if (kind == TORC_KIND_SP)
		torc_sp_init(&sp, &ring);
	else
		for (uint32_t i = 0; i < 2; i++)
			torc_mp_init(&mps[i], &ring, i);
}

static void join(uint32_t slot, uint32_t flags)
{
	if (torc_consumer_join(&consumers[slot], &ring, slot, flags))
		abort();
}

/* @count messages come before all. */
static void prefill(uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const unsigned char *body = bodies[ID(2, i)];

		if (ring.kind == TORC_KIND_SP
			    ? torc_sp_publish(&sp, body, given.length)
			    : torc_mp_publish(&mps[0], body, given.length))
			abort();
	}
	given.before = count;
}

static void expect(uint32_t publishers, size_t length, uint32_t each)
{
	given.publishers = publishers;
	given.length = length;
	given.each = each;
}

static void expect_all(uint32_t messages)
{
	given.expected = given.before + messages;
}

/* ---- Cases ---------------------------------------------------------------- */

static void set_two(int variant)
{
	make_ring(TORC_KIND_MP, variant ? 4096 - 64 : 0);
	expect(3, variant ? 40 : 8, 2);
	join(0, TORC_LOSSLESS);
	expect_all(4);
}

/* The third message does not fit before the end of the data. */
static void set_mp_full(int variant)
{
	make_ring(TORC_KIND_MP, 4096 - 1280);
	expect(3, 504, (uint32_t)variant + 1);
	join(0, TORC_LOSSLESS);
	prefill(2);
	expect_all(2 * given.each);
}

static void set_mp_lossy(int variant)
{
	(void)variant;
	make_ring(TORC_KIND_MP, 4096 - 1280);
	expect(3, 504, 2);
	join(0, 0);
	prefill(3);
	expect_all(4);
}

static void set_mp_kinds(int variant)
{
	make_ring(TORC_KIND_MP, variant ? 4096 - 32 : 0);
	expect(3, 40, 0);
	join(0, TORC_LOSSLESS);
	for (uint32_t i = 0; i < 2; i++)
		spans[i] = (struct torc_span){ bodies[ID(1, i)], given.length };
	expect_all(3);
}

static void set_mp_join(int variant)
{
	make_ring(TORC_KIND_MP, 4096 - 1280);
	expect(1, 504, 2);
	prefill(3);
	given.join_flags = (uint32_t)variant;
	expect_all(2);
}

static void set_mp_deaths(int variant)
{
	make_ring(TORC_KIND_MP, 0);
	expect(3, 40, (uint32_t)variant + 1);
	join(0, TORC_LOSSLESS);
}

/* There is room only behind what the dead may leave. */
static void set_mp_deaths_when_full(int variant)
{
	(void)variant;
	make_ring(TORC_KIND_MP, 4096 - 1280);
	expect(3, 504, 2);
	join(0, TORC_LOSSLESS);
	prefill(2);
}

static void set_repair(int variant)
{
	make_ring(TORC_KIND_MP, variant ? 4096 - 256 : 0);
	expect(1, 504, 1);
	join(0, TORC_LOSSLESS);
}

static void set_sp(int variant)
{
	make_ring(TORC_KIND_SP, variant ? 4096 - 64 : 0);
	expect(1, variant ? 100 : 8, 3);
	join(0, TORC_LOSSLESS);
	join(1, 0);
	expect_all(3);
}

static void set_sp_full(int variant)
{
	(void)variant;
	make_ring(TORC_KIND_SP, 2048);
	expect(1, LONGEST, 3);
	join(0, TORC_LOSSLESS);
	join(1, 0);
	prefill(2);
	expect_all(3);
}

static void set_sp_lossy(int variant)
{
	make_ring(TORC_KIND_SP, variant ? 4096 - 512 : 0);
	expect(1, LONGEST, 4);
	join(0, 0);
	prefill(3);
	expect_all(4);
}

static void set_sp_join(int variant)
{
	make_ring(TORC_KIND_SP, 0);
	expect(1, LONGEST, 3);
	prefill(3);
	given.join_flags = (uint32_t)variant;
	expect_all(3);
}

static void set_sp_leave(int variant)
{
	(void)variant;
	make_ring(TORC_KIND_SP, 0);
	expect(1, LONGEST, 2);
	join(0, TORC_LOSSLESS);
	prefill(3);
	expect_all(2);
	given.evicts = true;
}

static void set_sp_death(int variant)
{
	make_ring(TORC_KIND_SP, 4096 - 128);
	expect(3, variant ? LONGEST : 40, 2);
	join(0, TORC_LOSSLESS);
}

static void set_sleep(int variant)
{
	make_ring(variant & 1 ? TORC_KIND_MP : TORC_KIND_SP, 0);
	expect(variant & 1 ? 3 : 1, 8, variant & 1 ? 1 : 2);
	join(0, TORC_LOSSLESS);
	expect_all(2);
	model_membarrier_refused = variant & 2;
	torc_wake_register();
	given.fences = refused = variant & 2;
}

static void set_sp_sleep(int variant)
{
	set_sleep(variant * 2);
}

static void set_mp_sleep(int variant)
{
	set_sleep(variant * 2 + 1);
}

static void set_room_sleep(int variant)
{
	make_ring(TORC_KIND_SP, 0);
	expect(1, LONGEST, 2);
	join(0, TORC_LOSSLESS);
	prefill(3);
	expect_all(2);
	given.fences = refused = model_membarrier_refused = variant;
}

static const struct model_case cases[] = {
	{ "mp", set_two, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 2 },
	{ "mp_full", set_mp_full, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 2, .bound = 1 },
	{ "mp_lossy", set_mp_lossy, { mp_first, mp_second, listen_first },
	  judge_lossy, .variants = 1, .bound = 1 },
	{ "mp_kinds", set_mp_kinds,
	  { mp_abort_and_shrink, mp_batch, listen_first },
	  judge_lossless, .variants = 2 },
	{ "mp_join", set_mp_join, { mp_first, join_and_listen },
	  judge_joiner, .variants = 4 },
	{ "mp_death", set_mp_deaths, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 2, .bound = 1, .mortal = 1, .deaths = 1 },
	{ "mp_deaths", set_mp_deaths, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 1, .bound = 1, .mortal = 3, .deaths = 2 },
	{ "mp_death_full", set_mp_deaths_when_full,
	  { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 1, .bound = 1, .mortal = 1, .deaths = 1 },
	{ "mp_repair", set_repair, { mp_first, mender, mender, listen_first },
	  judge_lossless, .variants = 2, .bound = 1, .mortal = 3, .deaths = 2 },
	{ "sp", set_sp, { sp_publish, listen_first, listen_second },
	  judge_lossless, .variants = 2, .bound = 1 },
	{ "sp_full", set_sp_full, { sp_publish, listen_first, listen_second },
	  judge_lossless, .variants = 1, .bound = 1 },
	{ "sp_lossy", set_sp_lossy, { sp_publish, listen_first },
	  judge_lossy, .variants = 2, .bound = 1 },
	{ "sp_join", set_sp_join, { sp_publish, join_and_listen },
	  judge_joiner, .variants = 4, .bound = 1 },
	{ "sp_leave", set_sp_leave, { sp_publish, listen_and_leave },
	  judge_lossy, .variants = 1 },
	{ "sp_evict", set_sp_leave, { sp_publish_and_evict, listen_first },
	  judge_lossy, .variants = 1 },
	{ "sp_death", set_sp_death, { sp_publish, sp_take_over, listen_first },
	  judge_lossless, .variants = 2, .mortal = 1, .deaths = 1 },
	{ "sp_sleep", set_sp_sleep, { sp_publish, listen_asleep },
	  judge_lossless, .variants = 2 },
	{ "mp_sleep", set_mp_sleep, { mp_first, mp_second, listen_asleep },
	  judge_lossless, .variants = 2 },
	{ "room_sleep", set_room_sleep, { sp_publish_asleep, listen_and_wake },
	  judge_lossless, .variants = 2 },
};

/* ---- Running -------------------------------------------------------------- */

#define STATES_SHORT 150000u
#define STATES_LONG 150000000u /* four gigabytes */

static const char *const orders[] = { "sc", "tso", "release" };
static uint32_t passed, failures;
static uint64_t most_states;
static bool in_short, first_only;

static double seconds(void)
{
	return (double)torc_now_ns() / 1e9;
}

static void run(const struct model_case *c)
{
	for (int variant = 0; variant < c->variants; variant++)
		for (int i = MODEL_SC; i <= MODEL_RELEASE; i++) {
			double begun = seconds();
			uint32_t bound = in_short && c->bound && i != MODEL_SC
						 ? c->bound
						 : MODEL_UNBOUND;
			struct model_result r = model_explore(
				c, variant, (enum model_order)i, bound, most_states);

			printf("%s - %s/%d %s: ", r.failed ? "not ok" : "ok",
			       c->name, variant, orders[i]);
			if (r.complete)
				printf("%.3g executions, ", r.executions);
			printf("%ju states, ", (uintmax_t)r.states);
			if (bound != MODEL_UNBOUND)
				printf("all with up to %u preemptions, ", bound);
			printf("%scomplete, %.1f s\n", r.complete ? "" : "not ",
			       seconds() - begun);
			fflush(stdout);
			if (r.failed)
				failures++;
			else
				passed++;
		}
}

static bool named(const char *name, int argc, char **argv)
{
	for (int i = optind; i < argc; i++)
		if (!strcmp(name, argv[i]))
			return true;
	return optind == argc;
}

int main(int argc, char **argv)
{
	int option;

	in_short = !getenv("TORC_LONG");
	most_states = in_short ? STATES_SHORT : STATES_LONG;
	while ((option = getopt(argc, argv, "1s:")) != -1) {
		if (option == '1') {
			first_only = true;
		} else if (option == 's') {
			most_states = strtoull(optarg, NULL, 10);
		} else {
			fprintf(stderr, "usage: check_model [-1] [-s STATES] "
					"[CASE ...]\n");
			return 2;
		}
	}
	if (in_short)
		puts("A share of the states; TORC_LONG=1: all.");
	make_bodies();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (named(cases[i].name, argc, argv) &&
		    !(first_only && failures))
			run(&cases[i]);
	printf("%u passed, %u failed\n", passed, failures);
	return failures != 0;
}
