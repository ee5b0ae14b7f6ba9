/* SPDX-License-Identifier: MIT */
/*
 * The cases: how each begins, its threads and what is asked of them.
 */
#include "ring.h"

#include <stdlib.h>

struct torc_ring ring;
struct torc_sp sp;
struct torc_mp mps[2];
struct torc_consumer consumers[2];
unsigned char bodies[IDS][LONGEST];
struct torc_span spans[2];
struct given given;
struct torc_constants_shm constants;

static void make_bodies(void)
{
	for (uint32_t id = 0; id < IDS; id++)
		memset(bodies[id], (int)id, sizeof(bodies[id]));
}

/* ---- Setting up ----------------------------------------------------------- */

static void make_ring(uint32_t kind, uint64_t first)
{
	const struct torc_ring_config config = {
		.capacity = 4096,
		.kind = kind,
		.publishers = kind == TORC_KIND_MP ? DEAD_SLOT + 1 : 1,
		.subscribers = 2,
		.first_position = first
	};
	uint64_t size;

	memset(&given, 0, sizeof(given));
	memset(mps, 0, sizeof(mps));
	memset(&sp, 0, sizeof(sp));
	memset(consumers, 0, sizeof(consumers));
	membarrier_is_refused(false);
	make_bodies();
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
	expect(3, 504, 1);
	join(0, 0);
	prefill(3);
	expect_all(2);
}

static void set_mp_lapped(int variant)
{
	make_ring(TORC_KIND_MP, variant ? 4096 - 1280 : 0);
	expect(1, 504, 2);
	join(0, 0);
	prefill(3);
	expect_all(2);
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

/*
 * The first claims room with a pad before it.  What it has to zero is where the
 * last message of the second comes, as soon as the floor has moved over the pad.
 */
static void set_mp_zero(int variant)
{
	make_ring(TORC_KIND_MP, 4096 - 320);
	expect(3, 472, 3);
	given.aborts = !variant;
	join(0, TORC_LOSSLESS);
	expect_all(given.aborts ? 3 : 4);
}

/* As set_mp_zero(), but the first died in the midst of it, long ago. */
static void set_mp_mend(int variant)
{
	struct torc_mp dead;
	void *payload;

	(void)variant;
	make_ring(TORC_KIND_MP, 4096 - 320);
	expect(2, 472, 3);
	join(0, TORC_LOSSLESS);
	expect_all(3);
	if (torc_mp_init(&dead, &ring, DEAD_SLOT) ||
	    torc_mp_reserve(&dead, given.length, &payload))
		abort();
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
	expect(3, 504, 1);
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
	make_ring(TORC_KIND_SP, 2048);
	expect(1, LONGEST, (uint32_t)variant + 2);
	join(0, TORC_LOSSLESS);
	join(1, 0);
	prefill(2);
	expect_all(given.each);
}

static void set_sp_lossy(int variant)
{
	make_ring(TORC_KIND_SP, variant ? 4096 - 512 : 0);
	expect(1, LONGEST, variant == 2 ? 4 : 2);
	join(0, 0);
	prefill(3);
	expect_all(given.each);
}

static void set_sp_join(int variant)
{
	make_ring(TORC_KIND_SP, 0);
	expect(1, LONGEST, 2);
	prefill(3);
	given.join_flags = (uint32_t)variant;
	expect_all(2);
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
	membarrier_is_refused(variant & 2);
}

static void set_sp_sleep(int variant)
{
	set_sleep(variant * 2);
}

static void set_mp_sleep(int variant)
{
	set_sleep(variant * 2 + 1);
}

static void set_sp_bell(int variant)
{
	set_sp_sleep(variant);
	given.bells = 1;
}

static void set_mp_bell(int variant)
{
	set_mp_sleep(variant);
	given.bells = 1;
}

/* Beside one that sleeps on the word itself. */
static void set_sp_both(int variant)
{
	set_sp_sleep(variant);
	join(1, TORC_LOSSLESS);
	given.bells = 2;
}

static void set_room_sleep(int variant)
{
	make_ring(TORC_KIND_SP, 0);
	expect(1, LONGEST, 2);
	join(0, TORC_LOSSLESS);
	prefill(3);
	expect_all(2);
	membarrier_is_refused(variant);
}

/* The memory of a ring that is still to be made. */
static void set_create(int variant)
{
	make_ring(variant ? TORC_KIND_MP : TORC_KIND_SP, 4096 - 256);
	expect(1, 0, 0);
	memset(model_memory, 0, sizeof(model_memory));
}

/* The small ones first: they find most. */
const struct model_case cases[] = {
	{ "sp_leave", set_sp_leave, { sp_publish, listen_and_leave },
	  judge_lossy, .variants = 1, .weak = 1 },
	{ "create", set_create, { create, attach }, judge_creation,
	  .variants = 2, .weak = 1 },
	{ "sp_sleep", set_sp_sleep, { sp_publish, listen_asleep },
	  judge_lossless, .variants = 2, .weak = 1 },
	{ "sp_bell", set_sp_bell, { sp_publish, listen_behind_bell },
	  judge_lossless, .variants = 2, .weak = 1 },
	{ "sp", set_sp, { sp_publish, listen_first, listen_second },
	  judge_lossless, .variants = 2 },
	{ "sp_death", set_sp_death, { sp_publish, sp_take_over, listen_first },
	  judge_lossless, .variants = 2, .mortal = 1 },
	{ "sp_join", set_sp_join, { sp_publish, join_and_listen },
	  judge_joiner, .variants = 4, .weak = 1 },
	{ "sp_evict", set_sp_leave, { sp_publish_and_evict, listen_first },
	  judge_lossy, .variants = 1 },
	{ "mp_lapped", set_mp_lapped, { mp_first, listen_first },
	  judge_lossy, .variants = 2, .weak = 1 },
	{ "mp_zero", set_mp_zero, { mp_once, mp_second, listen_first },
	  judge_lossless, .variants = 2, .large = 2 },
	{ "mp_mend", set_mp_mend, { mend_first, mp_second, listen_first },
	  judge_lossless, .variants = 1, .weak = 1 },
	{ "mp_join", set_mp_join, { mp_first, join_and_listen },
	  judge_joiner, .variants = 4, .weak = 2 },
	{ "mp_sleep", set_mp_sleep, { mp_first, mp_second, listen_asleep },
	  judge_lossless, .variants = 2, .weak = 1 },
	{ "mp_bell", set_mp_bell, { mp_first, mp_second, listen_behind_bell },
	  judge_lossless, .variants = 2, .large = 1 },
	{ "sp_both", set_sp_both,
	  { sp_publish, listen_asleep, listen_behind_bell },
	  judge_lossless, .variants = 2, .large = 2 },
	{ "room_sleep", set_room_sleep, { sp_publish_asleep, listen_and_wake },
	  judge_lossless, .variants = 2 },
	{ "mp_kinds", set_mp_kinds,
	  { mp_abort_and_shrink, mp_batch, listen_first },
	  judge_lossless, .variants = 2 },
	{ "mp", set_two, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 2, .weak = 1 },
	{ "mp_full", set_mp_full, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 2, .large = 1 },
	{ "sp_lossy", set_sp_lossy, { sp_publish, listen_first },
	  judge_lossy, .variants = 3, .large = 1 },
	{ "mp_lossy", set_mp_lossy, { mp_first, mp_second, listen_first },
	  judge_lossy, .variants = 1, .large = 1 },
	{ "mp_repair", set_repair, { mp_first, mender, mender, listen_first },
	  judge_lossless, .variants = 2, .mortal = 3 },
	{ "mp_death", set_mp_deaths, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 2, .large = 1, .mortal = 1 },
	{ "mp_death_full", set_mp_deaths_when_full,
	  { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 1, .large = 1, .mortal = 1 },
	{ "sp_full", set_sp_full, { sp_publish, listen_first, listen_second },
	  judge_lossless, .variants = 2, .large = 1 },
	{ "mp_deaths", set_mp_deaths, { mp_first, mp_second, listen_first },
	  judge_lossless, .variants = 1, .mortal = 3 },
};

const size_t case_count = sizeof(cases) / sizeof(cases[0]);
