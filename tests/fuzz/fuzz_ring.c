/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: calls of the ring, its memory being changed between them and, by
 * loads that lie, during them.  The input is a script of both.
 *
 * No call may read or write outside of the ring, nor hand out a message or room
 * that does; none may go on for ever; and each returns one of its errors.
 *
 * Double fetches: in calls that the script chooses, every load of a word but the
 * first finds something else.  So a word that is checked when it is loaded once,
 * and loaded again to be used, is used unchecked.
 */
#include "hostile_atomic.h"
#include "script.h"

#include <errno.h>
#include <string.h>
#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <torc/ring.h>

#define CAPACITY	4096u
#define PAGE		4096u
#define PRODUCERS	2
#define CONSUMERS	3	/* in slots 0 and 1, and one without */
#define LOADS_MAX	2000000u	/* of one call */
#define MEMORY_MAX	(64 * PAGE)
#define CURSORS_MAX	(4 * PAGE)

static struct {
	struct torc_constants_shm constants;
	struct torc_ring ring;
	unsigned char *memory, *cursors;
	struct torc_sp sp;
	struct torc_mp mp[PRODUCERS];
	struct torc_consumer consumers[CONSUMERS];
	bool joined[CONSUMERS];
	struct script script;
	uint64_t loads;		/* in this call */
	uint64_t lie_at;	/* the next load that lies; 0: none */
	uint64_t garbage;	/* what second loads find; 0: the truth */
	uint32_t call;		/* which it is */
	uint32_t dead;		/* slots, a bit each */
} world;

void *aligned(const volatile void *word, size_t size)
{
	MUST((uintptr_t)word % size == 0);
	return (void *)(uintptr_t)word;
}

/* Has this call loaded @word before? */
static bool loaded_before(const volatile void *word)
{
	static uint32_t loaded_by[MEMORY_MAX / 4 + CURSORS_MAX / 4];
	uintptr_t at = (uintptr_t)word - (uintptr_t)world.memory;
	uint32_t last;

	if (at >= MEMORY_MAX)
		at = (uintptr_t)word - (uintptr_t)world.cursors + MEMORY_MAX;
	MUST(at < MEMORY_MAX + CURSORS_MAX);
	last = loaded_by[at / 4];
	loaded_by[at / 4] = world.call;
	return last == world.call;
}

/* Something else than @value: what passes for it, or nothing that does. */
static uint64_t other_than(uint64_t value)
{
	uint64_t x = world.garbage;

	x = (x ^ x >> 29) * 0x9fb21c651e98df25u + 1;
	world.garbage = x | 1;
	switch (x >> 60) {
	case 0:
	case 1:
		return value ^ x >> 20;
	case 2:
		return ~value;
	case 3:
		return value + 8;
	default:
		return value + (x >> 32) % 512 * 16;
	}
}

uint64_t hostile(const volatile void *word, uint64_t value)
{
	bool again = loaded_before(word);

	MUST(++world.loads < LOADS_MAX);
	if (again && world.garbage)
		return other_than(value);
	if (world.loads != world.lie_at)
		return value;
	world.lie_at += take(&world.script, 1);
	switch (take(&world.script, 1) % 4) {
	case 0:
		return value + (uint64_t)(int8_t)take(&world.script, 1) * 16;
	case 1:
		return value ^ 1ull << take(&world.script, 1) % 64;
	case 2:
		return take(&world.script, 8);
	default:
		return value + CAPACITY / 2 * take(&world.script, 1);
	}
}

bool hostile_failure(void)
{
	return ++world.loads == world.lie_at;
}

static unsigned char *between_guards(size_t size)
{
	unsigned char *base = mmap(NULL, size + 2 * PAGE, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(base != MAP_FAILED);
	MUST(!mprotect(base + PAGE, size, PROT_READ | PROT_WRITE));
	return base + PAGE;
}

static void forbid_behind(unsigned char *base, size_t size, size_t max)
{
	ASAN_UNPOISON_MEMORY_REGION(base, size);
	ASAN_POISON_MEMORY_REGION(base + size, max - size);
}

static bool dead(void *context, uint32_t slot)
{
	(void)context;
	MUST(slot < world.ring.publishers);
	return slot < 32 && world.dead >> slot & 1;
}

/* ---- What calls may return ---------------------------------------------- */

static void must_be_in_data(const void *data, size_t length)
{
	const unsigned char *d = data, *first = world.ring.data;

	MUST(length <= torc_message_max(&world.ring));
	MUST(d >= first && d + length <= first + world.ring.capacity);
}

static void must_be_error(int r)
{
	MUST(r == 0 || r == -EAGAIN || r == -EMSGSIZE || r == -ESTALE ||
	     r == -EPROTO);
}

/* ---- Calls -------------------------------------------------------------- */

static bool many(void)
{
	return world.ring.kind == TORC_KIND_MP;
}

static void publish(unsigned int who, size_t length)
{
	static const char data[CAPACITY];

	length %= CAPACITY / 2;
	must_be_error(many() ? torc_mp_publish(&world.mp[who], data, length)
			     : torc_sp_publish(&world.sp, data, length));
}

static void reserve(unsigned int who, size_t length, unsigned int then)
{
	void *payload;
	int r;

	length %= CAPACITY / 2;
	r = many() ? torc_mp_reserve(&world.mp[who], length, &payload)
		   : torc_sp_reserve(&world.sp, length, &payload);
	must_be_error(r);
	if (r)
		return;
	must_be_in_data(payload, length);
	memset(payload, 0x55, length);
	if (then == 0 && many())
		torc_mp_abort(&world.mp[who]);
	else if (then == 1)
		return; /* it stays so, as if it had died */
	else if (many())
		torc_mp_commit(&world.mp[who], length - length * then / 256);
	else
		torc_sp_commit(&world.sp, length - length * then / 256);
}

static void publish_batch(unsigned int who, int count)
{
	static const char data[256];
	struct torc_span spans[16];
	int r;

	for (int i = 0; i < count; i++)
		spans[i] = (struct torc_span){ data, take(&world.script, 1) };
	r = many() ? torc_mp_publish_batch(&world.mp[who], spans, count)
		   : torc_sp_publish_batch(&world.sp, spans, count);
	MUST(r <= count);
	if (r <= 0)
		must_be_error(r);
}

static void receive(struct torc_consumer *c, size_t size)
{
	static unsigned char buffer[CAPACITY];
	struct torc_message message;
	int r;

	size %= sizeof(buffer);
	r = torc_consumer_receive(c, buffer, size, &message);
	must_be_error(r);
	if (!r)
		MUST(message.length <= size &&
		     message.length <= torc_message_max(&world.ring));
}

static void peek(struct torc_consumer *c, int max)
{
	static volatile unsigned char sum;
	struct torc_message messages[16];
	int r = torc_consumer_peek_batch(c, messages, max);

	MUST(r <= max);
	if (r <= 0)
		must_be_error(r);
	for (int i = 0; i < r; i++) {
		const unsigned char *data = messages[i].data;

		must_be_in_data(data, messages[i].length);
		for (size_t k = 0; k < messages[i].length; k++)
			sum = (unsigned char)(sum + data[k]);
	}
	must_be_error(torc_consumer_release(c));
}

static void join(unsigned int which, unsigned int flags)
{
	int r;

	if (which == 2)
		flags &= TORC_OLDEST;
	r = torc_consumer_join(&world.consumers[which], &world.ring,
			       which == 2 ? TORC_NO_SLOT : which, flags & 3);
	must_be_error(r);
	world.joined[which] = !r;
}

/* What a consumer does that waits for a dead publisher's record. */
static void skip(struct torc_consumer *c)
{
	struct torc_death death = { .dead = dead };
	struct torc_claim claim;
	int r;

	if (!many())
		return;
	r = torc_claim_outcome(&world.ring, c->cursor, &death, &claim);
	MUST(r == 1 || r == 0 || r == -EPROTO);
	if (r == 1)
		torc_consumer_skip(c, claim.length);
}

static void repair(uint64_t position)
{
	struct torc_death death = { .dead = dead };
	uint64_t unsettled;
	int r;

	if (!many())
		return;
	r = torc_claim_repair(&world.ring, position & ~15ull, &death);
	MUST(r == 1 || r == 0 || r == -EPROTO);
	r = torc_claim_settled(&world.ring, position % PRODUCERS, &unsettled);
	MUST(r == 1 || r == 0 || r == -EPROTO);
}

/* Those that cannot begin anew go on as they were. */
static int begin_producers(void)
{
	struct torc_sp sp;
	struct torc_mp mp;
	int r = many() ? 0 : torc_sp_init(&sp, &world.ring);

	if (!r && !many())
		world.sp = sp;
	for (uint32_t i = 0; !r && many() && i < PRODUCERS; i++) {
		r = torc_mp_init(&mp, &world.ring, i);
		if (!r)
			world.mp[i] = mp;
	}
	/* There are fewer slots than that. */
	if (r != -EINVAL)
		must_be_error(r);
	return r;
}

/* ---- Memory ------------------------------------------------------------- */

/* Any word that others may write, or one of those that matter most. */
static uint64_t *some_word(void)
{
	struct torc_publishing_shm *shm = world.ring.shm;
	unsigned int where = (unsigned int)take(&world.script, 1);
	uint64_t at = take(&world.script, 1);
	struct torc_publisher_slot_shm *slot = torc_publisher_slot(
		&world.ring, (uint32_t)at % world.ring.publishers);
	uint64_t size = world.constants.ring_size -
			world.constants.publishing_offset;

	switch (where % 8) {
	case 0:
		return &shm->tail;
	case 1:
		return at & 1 ? &shm->floor : &shm->proposed;
	case 2:
		return at & 64 ? &shm->marks[at % TORC_MARKS].count
			       : &shm->marks[at % TORC_MARKS].position;
	case 3:
		return at & 64 ? &slot->claim_length : &slot->claim_position;
	case 4:
		return torc_header_at(&world.ring,
				      (shm->tail & ~15ull) - at / 8 * 16);
	case 5:
		return torc_header_at(&world.ring,
				      (world.consumers[at % 2].cursor & ~15ull) +
					      at / 8 * 16);
	case 6:
		at = (at << 8 | where) % world.constants.cursors_size;
		return (uint64_t *)(void *)(world.cursors + (at & ~7ull));
	default:
		at = (at << 8 | where) % size;
		return (uint64_t *)(void *)((unsigned char *)shm + (at & ~7ull));
	}
}

/* Any length, or one about as long as is allowed. */
static uint64_t some_length(uint64_t which)
{
	uint64_t any = take(&world.script, 2);

	switch (which % 4) {
	case 0:
		return any * 16 + 8;
	case 1:
		return world.ring.record_max - 24 + any % 4 * 16;
	case 2:
		return CAPACITY / 2 - 24 + any % 4 * 16;
	default:
		return any % CAPACITY;
	}
}

static void poke(void)
{
	uint64_t *word = some_word();
	uint64_t by = take(&world.script, 1);

	switch (take(&world.script, 1) % 6) {
	case 0:
		*word = by * 16;
		break;
	case 1:
		*word += (uint64_t)((int64_t)by - 128) * 16;
		break;
	case 2:
		*word ^= 1ull << by % 64;
		break;
	case 3:
		*word = world.ring.shm->tail - by * 16;
		break;
	case 4:
		*word = TORC_HEADER(by % 4, by / 4 % 4, some_length(by / 16));
		break;
	default:
		*word = take(&world.script, 8);
	}
}

/* Afterwards nobody reads the constants again. */
static int attach(void)
{
	int r = torc_ring_attach(&world.ring, world.memory,
				 world.constants.ring_size, world.cursors,
				 world.constants.cursors_size);

	ASAN_POISON_MEMORY_REGION(world.memory, sizeof(world.constants));
	return r;
}

static void begin(uint32_t kind)
{
	struct torc_ring_config config = {
		.capacity = CAPACITY, .kind = kind, .subscribers = 2,
		.publishers = kind == TORC_KIND_MP ? PRODUCERS : 1,
	};

	MUST(!torc_ring_layout(&config, &world.constants));
	if (!world.memory) {
		world.memory = between_guards(MEMORY_MAX);
		world.cursors = between_guards(CURSORS_MAX);
	}
	MUST(world.constants.ring_size <= MEMORY_MAX &&
	     world.constants.cursors_size <= CURSORS_MAX);
	forbid_behind(world.memory, world.constants.ring_size, MEMORY_MAX);
	forbid_behind(world.cursors, world.constants.cursors_size, CURSORS_MAX);
	memset(world.memory, 0, world.constants.ring_size);
	memset(world.cursors, 0, world.constants.cursors_size);
	torc_ring_format(&world.constants, world.memory, world.cursors);
	MUST(!attach());
	memset(world.joined, 0, sizeof(world.joined));
	world.dead = 0;
	begin_producers();
}

/* ---- The script --------------------------------------------------------- */

static void call(unsigned int what)
{
	struct script *s = &world.script;
	unsigned int who = what >> 4 & 1, which = (what >> 4) % CONSUMERS;
	struct torc_consumer *c = &world.consumers[which];

	world.loads = 0;
	world.call++;
	switch (what % 16) {
	case 0:
	case 1:
		poke();
		break;
	case 2:
		if (what & 16)
			world.garbage = 1 + take(s, 2);
		else
			world.lie_at = 1 + take(s, 1);
		return;
	case 3:
	case 4:
		publish(who, take(s, 1) * (what & 64 ? 8 : 1));
		break;
	case 5:
		reserve(who, take(s, 1) * 4, (unsigned int)take(s, 1));
		break;
	case 6:
		publish_batch(who, 1 + (int)(what >> 4));
		break;
	case 7:
		join(which, (unsigned int)take(s, 1));
		break;
	case 8:
		if (world.joined[which])
			torc_consumer_leave(c);
		world.joined[which] = false;
		break;
	case 9:
		world.dead = (uint32_t)take(s, 1);
		break;
	case 10:
		repair(many() ? world.mp[who].stuck_at : 0);
		break;
	case 11:
		repair(take(s, 8));
		break;
	case 12:
		begin_producers();
		break;
	case 13:
		if (world.joined[which])
			skip(c);
		break;
	case 14:
		if (world.joined[which])
			peek(c, 1 + (int)(what >> 4));
		break;
	case 15:
		if (world.joined[which])
			receive(c, take(s, 2));
		break;
	}
	world.lie_at = 0;
	world.garbage = 0;
}

/* Attach to what the input says is a ring, of which nothing is known. */
static void attach_to_anything(void)
{
	size_t size = (size_t)(world.script.end - world.script.next);
	struct torc_consumer c;
	unsigned int flags;

	if (size > world.constants.data_offset)
		size = world.constants.data_offset;
	ASAN_UNPOISON_MEMORY_REGION(world.memory, sizeof(world.constants));
	for (flags = (unsigned int)take(&world.script, 1);
	     world.script.next < world.script.end;) {
		uint64_t at = take(&world.script, 1);

		/* The constants are what attaching has to check. */
		world.memory[at % sizeof(world.constants)] =
			(unsigned char)take(&world.script, 1);
	}
	if (attach() || torc_consumer_join(&c, &world.ring, 0, flags & 3))
		return;
	world.consumers[0] = c;
	peek(&world.consumers[0], 16);
	if (!begin_producers())
		publish(0, 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int kind;

	world.script = (struct script){ data, data + size };
	world.loads = world.lie_at = world.garbage = 0;
	kind = (unsigned int)take(&world.script, 1);
	begin(kind & 1 ? TORC_KIND_MP : TORC_KIND_SP);
	if (kind & 2) {
		attach_to_anything();
		return 0;
	}
	while (world.script.next < world.script.end)
		call((unsigned int)take(&world.script, 1));
	return 0;
}
