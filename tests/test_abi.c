/* SPDX-License-Identifier: MIT */
/*
 * The layout as numbers, so that no change of a structure goes unnoticed; what
 * attaching refuses; and memory that somebody damaged: an error, never a wrong
 * access or an endless loop.
 */
#include "ring_fixture.h"

/* ---- The layout --------------------------------------------------------- */

#define AT(type, field, offset, size)                                          \
	_Static_assert(offsetof(struct type, field) == (offset) &&             \
			       sizeof(((struct type *)NULL)->field) == (size), \
		       #type "." #field)

AT(torc_constants_shm, magic, 0, 8);
AT(torc_constants_shm, abi_version, 8, 4);
AT(torc_constants_shm, kind, 12, 4);
AT(torc_constants_shm, features_required, 16, 8);
AT(torc_constants_shm, features_optional, 24, 8);
AT(torc_constants_shm, ring_size, 32, 8);
AT(torc_constants_shm, cursors_size, 40, 8);
AT(torc_constants_shm, publishing_offset, 48, 8);
AT(torc_constants_shm, data_offset, 56, 8);
AT(torc_constants_shm, capacity, 64, 8);
AT(torc_constants_shm, window, 72, 8);
AT(torc_constants_shm, record_max, 80, 8);
AT(torc_constants_shm, mark_step, 88, 8);
AT(torc_constants_shm, first_position, 96, 8);
AT(torc_constants_shm, publishers, 104, 4);
AT(torc_constants_shm, subscribers, 108, 4);
AT(torc_constants_shm, subscriber_stride, 112, 4);
AT(torc_constants_shm, flags, 116, 4);
AT(torc_constants_shm, created_ns, 120, 8);
AT(torc_constants_shm, id, 128, 16);
AT(torc_constants_shm, type_hash, 144, 8);
AT(torc_constants_shm, type, 152, 128);
_Static_assert(sizeof(struct torc_constants_shm) == 280, "constants");

AT(torc_mark_shm, position, 0, 8);
AT(torc_mark_shm, count, 8, 8);
_Static_assert(sizeof(struct torc_mark_shm) == 16, "mark");

AT(torc_publisher_slot_shm, claim_position, 0, 8);
AT(torc_publisher_slot_shm, claim_length, 8, 8);
AT(torc_publisher_slot_shm, pid, 16, 4);
AT(torc_publisher_slot_shm, pad, 20, 4);
AT(torc_publisher_slot_shm, start_time, 24, 8);
AT(torc_publisher_slot_shm, pid_namespace, 32, 8);
AT(torc_publisher_slot_shm, blocked, 40, 8);
AT(torc_publisher_slot_shm, dropped, 48, 8);
_Static_assert(sizeof(struct torc_publisher_slot_shm) == 128, "publisher");

AT(torc_publishing_shm, tail, 0, 8);
AT(torc_publishing_shm, floor, 128, 8);
AT(torc_publishing_shm, proposed, 136, 8);
AT(torc_publishing_shm, joined, 144, 8);
AT(torc_publishing_shm, marks, 256, 1024);
_Static_assert(sizeof(struct torc_publishing_shm) == 1280, "publishing");

AT(torc_subscriber_slot_shm, cursor, 0, 8);
AT(torc_subscriber_slot_shm, state, 8, 4);
AT(torc_subscriber_slot_shm, pid, 12, 4);
AT(torc_subscriber_slot_shm, start_time, 16, 8);
AT(torc_subscriber_slot_shm, pid_namespace, 24, 8);
AT(torc_subscriber_slot_shm, lost, 32, 8);
AT(torc_subscriber_slot_shm, bell, 64, 8);
AT(torc_subscriber_slot_shm, bell_armed, 72, 4);
AT(torc_subscriber_slot_shm, bell_hint, 76, 4);
_Static_assert(sizeof(struct torc_subscriber_slot_shm) == 128, "subscriber");

AT(torc_cursors_shm, magic, 0, 8);
AT(torc_cursors_shm, id, 8, 16);
AT(torc_cursors_shm, data_word, 128, 4);
AT(torc_cursors_shm, bells, 132, 4);
AT(torc_cursors_shm, room_word, 256, 4);
_Static_assert(sizeof(struct torc_cursors_shm) == 384, "cursors");
_Static_assert(TORC_CURSORS_SLOTS == 384, "slots");

_Static_assert(TORC_ABI_VERSION == 1 && TORC_LINE == 128 && TORC_MARKS == 64 &&
		       TORC_HEADER_SIZE == 8 && TORC_RECORD_ALIGN == 16 &&
		       TORC_RECORD_NONE == 0 && TORC_RECORD_MESSAGE == 1 &&
		       TORC_RECORD_PAD == 2 && TORC_RECORD_BUSY == 3 &&
		       TORC_KIND_SP == 1 && TORC_KIND_MP == 2 &&
		       TORC_SUBSCRIBER_FREE == 0 &&
		       TORC_SUBSCRIBER_LOSSLESS == 1 &&
		       TORC_SUBSCRIBER_LOSSY == 2 &&
		       TORC_SUBSCRIBER_EVICTED == 3,
	       "constants");
_Static_assert(TORC_HEADER(1, 0x1234, 0xfedcba98) == 0x00123401fedcba98ull,
	       "header");
_Static_assert(TORC_LOCK_PUBLISHER == 0x1000000000000ull &&
		       TORC_LOCK_REPAIR == 0x1000000010000ull &&
		       TORC_LOCK_SUBSCRIBER == 0x1000000020000ull &&
		       TORC_LOCK_LIFETIME == 0x1000000030000ull,
	       "locks");

Test(abi, spells_the_magic_words)
{
	uint64_t magic = TORC_RING_MAGIC;

	cr_expect_eq(memcmp(&magic, "torcring", 8), 0);
	magic = TORC_CURSORS_MAGIC;
	cr_expect_eq(memcmp(&magic, "torccurs", 8), 0);
}

Test(abi, takes_a_header_apart)
{
	uint64_t header = TORC_HEADER(TORC_RECORD_BUSY, 1023, UINT32_MAX);

	cr_expect_eq(torc_header_kind(header), TORC_RECORD_BUSY);
	cr_expect_eq(torc_header_slot(header), 1023);
	cr_expect_eq(torc_header_length(header), UINT32_MAX);
	cr_expect_eq(torc_record_size(UINT32_MAX), (1ull << 32) + 16);
}

/* ---- Laying out --------------------------------------------------------- */

Test(abi, rounds_the_capacity_up)
{
	struct torc_constants_shm c;
	struct torc_ring_config config = { .kind = TORC_KIND_SP };

	cr_assert_eq(torc_ring_layout(&config, &c), 0);
	cr_expect_eq(c.capacity, 4096);
	config.capacity = 4097;
	cr_assert_eq(torc_ring_layout(&config, &c), 0);
	cr_expect_eq(c.capacity, 8192);
	config.page = 65536;
	cr_assert_eq(torc_ring_layout(&config, &c), 0);
	cr_expect_eq(c.capacity, 65536);
	cr_expect_eq(c.data_offset % 65536, 0);
	config.capacity = TORC_CAPACITY_MAX;
	cr_assert_eq(torc_ring_layout(&config, &c), 0);
	cr_expect_eq(c.capacity, TORC_CAPACITY_MAX);
	cr_expect_eq(c.record_max, 1ull << 31);
}

Test(abi, refuses_rings_that_make_no_sense)
{
	static char long_type[TORC_TYPE_MAX + 1];
	static const struct {
		struct torc_ring_config config;
		int error;
	} bad[] = {
		{ { .kind = 0 }, -EINVAL },
		{ { .kind = 3 }, -EINVAL },
		{ { .kind = 1, .page = 4097 }, -EINVAL },
		{ { .kind = 1, .page = 2048 }, -EINVAL },
		{ { .kind = 1, .first_position = 8 }, -EINVAL },
		{ { .kind = 1, .publishers = 2 }, -EINVAL },
		{ { .kind = 1, .type = long_type }, -EINVAL },
		{ { .kind = 1, .capacity = TORC_CAPACITY_MAX + 1 }, -E2BIG },
		{ { .kind = 2, .publishers = TORC_PUBLISHERS_MAX + 1 },
		  -E2BIG },
		{ { .kind = 1, .subscribers = TORC_SUBSCRIBERS_MAX + 1 },
		  -E2BIG },
	};
	struct torc_constants_shm c = { .magic = 7 };

	memset(long_type, 't', TORC_TYPE_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(torc_ring_layout(&bad[i].config, &c), bad[i].error,
			     "%zu", i);
	cr_expect_eq(c.magic, 7);
}

/* ---- Attaching ---------------------------------------------------------- */

#define DAMAGE(field, value, error)                                         \
	{                                                                   \
#field, offsetof(struct torc_constants_shm, field),         \
			sizeof(((struct torc_constants_shm *)NULL)->field), \
			(value), (error)                                    \
	}

static const struct damage {
	const char *name;
	size_t offset, size;
	uint64_t value;
	int error;
} damages[] = {
	DAMAGE(magic, 0, -EPROTO),
	DAMAGE(magic, TORC_CURSORS_MAGIC, -EPROTO),
	DAMAGE(abi_version, 0, -EPROTOTYPE),
	DAMAGE(abi_version, 2, -EPROTOTYPE),
	DAMAGE(features_required, 1ull << 63, -EPROTOTYPE),
	DAMAGE(kind, 0, -EPROTO),
	DAMAGE(kind, 3, -EPROTO),
	DAMAGE(ring_size, 4096, -EPROTO),
	DAMAGE(ring_size, UINT64_MAX - 4095, -EPROTO),
	DAMAGE(ring_size, 12289, -EPROTO),
	DAMAGE(ring_size, 1 << 20, -ENODATA),
	DAMAGE(cursors_size, 0, -EPROTO),
	DAMAGE(cursors_size, 4097, -EPROTO),
	DAMAGE(cursors_size, 1ull << 40, -EPROTO),
	DAMAGE(cursors_size, 1 << 20, -ENODATA),
	DAMAGE(publishing_offset, 0, -EPROTO),
	DAMAGE(publishing_offset, 4104, -EPROTO),
	DAMAGE(publishing_offset, 8192, -EPROTO),
	DAMAGE(publishing_offset, 0u - 4096ull, -EPROTO),
	DAMAGE(data_offset, 4096, -EPROTO),
	DAMAGE(data_offset, 8200, -EPROTO),
	DAMAGE(data_offset, 1ull << 30, -EPROTO),
	DAMAGE(data_offset, 12288, -EPROTO),
	DAMAGE(capacity, 0, -EPROTO),
	DAMAGE(capacity, 2048, -EPROTO),
	DAMAGE(capacity, 4095, -EPROTO),
	DAMAGE(capacity, 4097, -EPROTO),
	DAMAGE(capacity, 8192, -EPROTO),
	DAMAGE(capacity, 1ull << 41, -EPROTO),
	DAMAGE(window, 0, -EPROTO),
	DAMAGE(window, 8192, -EPROTO),
	DAMAGE(window, 1024, -EPROTO),
	DAMAGE(record_max, 0, -EPROTO),
	DAMAGE(record_max, 8, -EPROTO),
	DAMAGE(record_max, 24, -EPROTO),
	DAMAGE(record_max, 2048, -EPROTO),
	DAMAGE(record_max, UINT64_MAX, -EPROTO),
	DAMAGE(mark_step, 0, -EPROTO),
	DAMAGE(mark_step, 16, -EPROTO),
	DAMAGE(mark_step, 1 << 30, -EPROTO),
	DAMAGE(publishers, 0, -EPROTO),
	DAMAGE(publishers, 1025, -EPROTO),
	DAMAGE(publishers, 1000, -EPROTO),
	DAMAGE(subscribers, 0, -EPROTO),
	DAMAGE(subscribers, 1025, -EPROTO),
	DAMAGE(subscribers, 64, -EPROTO),
	DAMAGE(subscriber_stride, 0, -EPROTO),
	DAMAGE(subscriber_stride, 64, -EPROTO),
	DAMAGE(subscriber_stride, 192, -EPROTO),
	DAMAGE(subscriber_stride, 4096, -EPROTO),
	DAMAGE(subscriber_stride, 1 << 20, -EPROTO),
	DAMAGE(type_hash, 0, -EPROTO),
	DAMAGE(features_optional, UINT64_MAX, 0),
	DAMAGE(created_ns, 5, 0),
};

BOTH_KINDS(refuses_each_damaged_constant)
{
	struct memory m;
	unsigned char *c;

	small_ring(&m, kind, 0);
	c = m.base;
	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		const struct damage *d = &damages[i];
		unsigned char saved[8];
		struct torc_ring ring = { .capacity = 77 };
		int r;

		memcpy(saved, c + d->offset, d->size);
		memcpy(c + d->offset, &d->value, d->size);
		r = torc_ring_attach(&ring, m.base, m.constants.ring_size,
				     m.base + m.constants.ring_size,
				     m.constants.cursors_size);
		cr_expect_eq(r, d->error, "%s %jx: %d", d->name,
			     (uintmax_t)d->value, r);
		cr_expect(!r || ring.capacity == 77, "%s", d->name);
		memcpy(c + d->offset, saved, d->size);
	}
	c[offsetof(struct torc_constants_shm, type) + TORC_TYPE_MAX - 1] = 't';
	cr_expect_eq(memory_attach(&m), -EPROTO);
	c[offsetof(struct torc_constants_shm, type) + TORC_TYPE_MAX - 1] = 0;
	cr_expect_eq(memory_attach(&m), 0);
}

BOTH_KINDS(refuses_an_object_that_is_too_short)
{
	struct memory m;
	struct torc_ring ring;
	unsigned char *cursors;

	small_ring(&m, kind, 0);
	cursors = m.base + m.constants.ring_size;
	cr_expect_eq(torc_ring_attach(&ring, m.base, 0, NULL, 0), -EPROTO);
	cr_expect_eq(torc_ring_attach(&ring, m.base, 279, NULL, 0), -EPROTO);
	cr_expect_eq(torc_ring_attach(&ring, m.base, 280, NULL, 0), -ENODATA);
	cr_expect_eq(torc_ring_attach(&ring, m.base, m.constants.ring_size - 1,
				      NULL, 0),
		     -ENODATA);
	cr_expect_eq(torc_ring_attach(&ring, m.base, m.constants.ring_size,
				      cursors, m.constants.cursors_size - 1),
		     -ENODATA);
	cr_expect_eq(torc_ring_attach(&ring, m.base, m.constants.ring_size,
				      NULL, 0),
		     0);
}

BOTH_KINDS(refuses_the_cursors_of_another_ring)
{
	struct memory m;
	struct torc_cursors_shm *cursors;

	small_ring(&m, kind, 0);
	cursors = (void *)(m.base + m.constants.ring_size);
	cursors->id[15] ^= 1;
	cr_expect_eq(memory_attach(&m), -EPROTO);
	cursors->id[15] ^= 1;
	cr_expect_eq(memory_attach(&m), 0);
	cursors->magic ^= 1;
	cr_expect_eq(memory_attach(&m), -EPROTO);
}

BOTH_KINDS(reads_without_cursors_but_takes_no_slot)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;

	fill_bytes();
	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	m.ring.cursors = NULL;
	cr_expect_eq(torc_consumer_join(&c, &m.ring, 0, TORC_LOSSLESS),
		     -EINVAL);
	cr_expect_eq(torc_consumer_join(&c, &m.ring, 0, 0), -EINVAL);
	cr_expect_eq(torc_consumer_join(&c, &m.ring, TORC_NO_SLOT,
					TORC_LOSSLESS),
		     -EINVAL);
	join(&c, &m.ring, TORC_NO_SLOT, 0);
	cr_assert_eq(say(&p, 0, 10), 0);
	hear(&c, 0, 10);
	torc_consumer_leave(&c);
}

Test(abi, has_one_producer_or_many)
{
	struct memory one, many;
	struct torc_sp sp;
	struct torc_mp mp;

	small_ring(&one, TORC_KIND_SP, 0);
	small_ring(&many, TORC_KIND_MP, 0);
	cr_expect_eq(torc_sp_init(&sp, &many.ring), -EINVAL);
	cr_expect_eq(torc_mp_init(&mp, &one.ring, 0), -EINVAL);
	cr_expect_eq(torc_mp_init(&mp, &many.ring, 4), -EINVAL);
	cr_expect_eq(torc_mp_init(&mp, &many.ring, 3), 0);
	cr_expect_eq(torc_sp_init(&sp, &one.ring), 0);
}

/* ---- Damaged while in use ----------------------------------------------- */

BOTH_KINDS(rejects_headers_that_no_publisher_writes)
{
	static const uint64_t bad[] = {
		TORC_HEADER(4, 0, 8),
		TORC_HEADER(255, 0, 8),
		TORC_HEADER(TORC_RECORD_MESSAGE, 0, UINT32_MAX),
		TORC_HEADER(TORC_RECORD_MESSAGE, 0, 1017),
		TORC_HEADER(TORC_RECORD_PAD, 0, 9),
		TORC_HEADER(TORC_RECORD_PAD, 0, UINT32_MAX - 7),
		TORC_HEADER(TORC_RECORD_PAD, 0, CAPACITY / 2 + 8),
	};
	struct memory m;
	struct torc_consumer c;
	struct torc_message message;
	unsigned char buffer[LONGEST];

	small_ring(&m, kind, 0);
	for (uint32_t flags = 0; flags < 2; flags++) {
		join(&c, &m.ring, 0, flags);
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			torc_store_relaxed(torc_header_at(&m.ring, 0), bad[i]);
			cr_expect_eq(torc_consumer_peek(&c, &message), -EPROTO,
				     "%zu", i);
			cr_expect_eq(torc_consumer_receive(&c, buffer, LONGEST,
							   &message),
				     -EPROTO);
		}
		torc_store_relaxed(torc_header_at(&m.ring, 0), 0);
	}
	/* One that would go over the end. */
	memory_format(&m, CAPACITY - 16);
	join(&c, &m.ring, 0, 0);
	torc_store_relaxed(torc_header_at(&m.ring, CAPACITY - 16),
			   TORC_HEADER(TORC_RECORD_MESSAGE, 0, 9));
	cr_expect_eq(torc_consumer_peek(&c, &message), -EPROTO);
}

/* Pads all round must not be followed for ever. */
BOTH_KINDS(gives_up_on_endless_pads)
{
	struct memory m;
	struct torc_consumer c;
	struct torc_message message;
	struct producer p;

	small_ring(&m, kind, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (uint64_t at = 0; at < CAPACITY; at += 16)
		torc_store_relaxed(torc_header_at(&m.ring, at),
				   TORC_HEADER(TORC_RECORD_PAD, 0, 8));
	cr_expect_eq(torc_consumer_peek(&c, &message), -EPROTO);
	if (kind == TORC_KIND_SP)
		cr_expect_eq(torc_sp_init(&p.sp, &m.ring), -EPROTO);
}

BOTH_KINDS(rejects_a_floor_that_is_no_record)
{
	struct memory m;
	struct torc_consumer c;
	struct torc_sp sp;
	struct torc_mp mp;

	small_ring(&m, kind, 0);
	torc_store_relaxed(&m.ring.shm->marks[0].position, 8);
	cr_expect_eq(torc_consumer_join(&c, &m.ring, TORC_NO_SLOT, TORC_OLDEST),
		     -EPROTO);
	cr_expect_eq(torc_consumer_join(&c, &m.ring, 0, TORC_LOSSLESS),
		     -EPROTO);
	cr_expect_eq(
		torc_load_relaxed(&torc_subscriber_slot(&m.ring, 0)->state),
		TORC_SUBSCRIBER_FREE);
	cr_expect_eq(kind == TORC_KIND_SP ? torc_sp_init(&sp, &m.ring)
					  : torc_mp_init(&mp, &m.ring, 0),
		     -EPROTO);
}

/* It can hold the ring, or let go of its own messages, and that is all. */
BOTH_KINDS(believes_no_wild_cursor)
{
	static const uint64_t wild[] = { 0, 1, 1ull << 63, UINT64_MAX, 12345 };
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message message;
	uint64_t said = 0;
	int r;

	fill_bytes();
	small_ring(&m, kind, 0);
	begin(&p, &m.ring, 0);
	join(&c, &m.ring, 0, TORC_LOSSLESS);
	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		torc_store_release(&c.slot->cursor, wild[i]);
		for (unsigned int k = 0; k < 1000; k++) {
			r = say(&p, said, 30);
			cr_assert(!r || r == -EAGAIN);
			said += !r;
		}
	}
	torc_store_release(&c.slot->cursor, 1ull << 40);
	for (unsigned int k = 0; k < 1000; k++)
		cr_assert_eq(say(&p, said++, 30), 0);
	/* It was overtaken, and is told. */
	r = torc_consumer_peek(&c, &message);
	if (!r)
		r = torc_consumer_release(&c);
	cr_assert_eq(r, -ESTALE);
	cr_expect_eq(c.lost, c.floor.count);
	cr_expect_gt(c.lost, 1000);
}

/* Random bytes everywhere but in the constants. */
BOTH_KINDS(stays_in_its_memory_whatever_is_in_it)
{
	struct memory m;
	struct producer p;
	struct torc_consumer c;
	struct torc_message message;
	static unsigned char buffer[1 << 16];
	uint64_t x = 1;

	fill_bytes();
	small_ring(&m, kind, 0);
	for (unsigned int round = 0; round < 3000; round++) {
		memory_format(&m, 0);
		p.many = kind == TORC_KIND_MP;
		if (p.many ? torc_mp_init(&p.mp, &m.ring, 0)
			   : torc_sp_init(&p.sp, &m.ring))
			continue;
		if (torc_consumer_join(&c, &m.ring,
				       round & 1 ? 0 : TORC_NO_SLOT, round & 1))
			continue;
		for (unsigned int n = 0; n < 60; n++) {
			uint64_t at;

			x = x * 6364136223846793005u + 1442695040888963407u;
			at = 4096 + (x >> 33) % (m.size - 4096) / 8 * 8;
			memcpy(m.base + at, &x, x >> 20 & 7 ? 8 : 1);
			say(&p, n, length_of(n));
			if (torc_consumer_peek(&c, &message) == 0 &&
			    message.length < sizeof(buffer))
				memcpy(buffer, message.data, message.length);
			torc_consumer_release(&c);
			torc_consumer_receive(&c, buffer, sizeof(buffer),
					      &message);
			if (p.many)
				torc_claim_settled(&m.ring, n % 4, &at);
		}
	}
}
