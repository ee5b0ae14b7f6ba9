/* SPDX-License-Identifier: MIT */
/*
 * What tests of the ring alone share: a ring in memory with guard pages at both
 * ends, a producer of either kind, and messages that follow from their number.
 * A test may define the operations of torc/atomic.h anew before it includes
 * this.
 */
#ifndef TORC_TESTS_RING_FIXTURE_H
#define TORC_TESTS_RING_FIXTURE_H

#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <torc/ring.h>

/* A check that costs nothing when it holds: millions of them are made. */
#define CHECK(condition, ...)                        \
	do {                                         \
		if (!(condition))                    \
			cr_assert_fail(__VA_ARGS__); \
	} while (0)

#define CAPACITY 4096u
#define LONGEST 1024u

/* A test that is run for either kind of ring. */
#define BOTH_KINDS(name)                 \
	static void name(uint32_t kind); \
	Test(ring_sp, name)              \
	{                                \
		name(TORC_KIND_SP);      \
	}                                \
	Test(ring_mp, name)              \
	{                                \
		name(TORC_KIND_MP);      \
	}                                \
	static void name(uint32_t kind)

/* ---- A ring in guarded memory ------------------------------------------- */

struct memory {
	struct torc_constants_shm constants;
	struct torc_ring ring;
	unsigned char *base;
	uint64_t size;
};

static inline unsigned char *guarded(uint64_t size)
{
	unsigned char *base = mmap(NULL, size + 8192, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq((void *)base, MAP_FAILED);
	cr_assert_eq(mprotect(base + 4096, size, PROT_READ | PROT_WRITE), 0);
	return base + 4096;
}

static inline int memory_attach(struct memory *m)
{
	return torc_ring_attach(&m->ring, m->base, m->constants.ring_size,
				m->base + m->constants.ring_size,
				m->constants.cursors_size);
}

/* Make the ring anew, beginning at @first. */
static inline void memory_format(struct memory *m, uint64_t first)
{
	m->constants.first_position = first;
	memset(m->base, 0, m->size);
	torc_ring_format(&m->constants, m->base,
			 m->base + m->constants.ring_size);
	CHECK(!memory_attach(m), "attach");
}

static inline void memory_make(struct memory *m,
			       const struct torc_ring_config *config)
{
	cr_assert_eq(torc_ring_layout(config, &m->constants), 0);
	m->size = m->constants.ring_size + m->constants.cursors_size;
	m->base = guarded(m->size);
	memory_format(m, config->first_position);
}

static inline void small_ring(struct memory *m, uint32_t kind, uint64_t first)
{
	const struct torc_ring_config config = {
		.capacity = CAPACITY,
		.kind = kind,
		.publishers = kind == TORC_KIND_MP ? 4 : 1,
		.subscribers = 16,
		.first_position = first
	};

	memory_make(m, &config);
}

/* ---- A producer of either kind ------------------------------------------ */

struct producer {
	bool many;
	struct torc_sp sp;
	struct torc_mp mp;
};

static inline void begin(struct producer *p, const struct torc_ring *ring,
			 uint32_t slot)
{
	p->many = ring->kind == TORC_KIND_MP;
	CHECK(!(p->many ? torc_mp_init(&p->mp, ring, slot)
			: torc_sp_init(&p->sp, ring)),
	      "init");
}

static inline int publish(struct producer *p, const void *data, size_t length)
{
	return p->many ? torc_mp_publish(&p->mp, data, length)
		       : torc_sp_publish(&p->sp, data, length);
}

static inline int reserve(struct producer *p, size_t length, void **ret_payload)
{
	return p->many ? torc_mp_reserve(&p->mp, length, ret_payload)
		       : torc_sp_reserve(&p->sp, length, ret_payload);
}

static inline void commit(struct producer *p, size_t length)
{
	if (p->many)
		torc_mp_commit(&p->mp, length);
	else
		torc_sp_commit(&p->sp, length);
}

static inline void give_up(struct producer *p)
{
	if (p->many)
		torc_mp_abort(&p->mp);
}

static inline int publish_batch(struct producer *p,
				const struct torc_span *spans, int count)
{
	return p->many ? torc_mp_publish_batch(&p->mp, spans, count)
		       : torc_sp_publish_batch(&p->sp, spans, count);
}

static inline uint32_t blocker(const struct producer *p)
{
	return p->many ? p->mp.blocker : p->sp.blocker;
}

/* ---- Messages that follow from their number ----------------------------- */

static unsigned char bytes[2 * LONGEST + 4096];

static inline void fill_bytes(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (unsigned char)(x >> 24 | 1);
	}
}

static inline const unsigned char *body_of(uint64_t number)
{
	return bytes + number * 7 % 1009;
}

static inline int say(struct producer *p, uint64_t number, size_t length)
{
	return publish(p, body_of(number), length);
}

static inline size_t length_of(uint64_t number)
{
	return (size_t)(number * 2654435761u >> 7) % 300;
}

static inline void check_message(const struct torc_ring *ring,
				 const struct torc_message *m, uint64_t number,
				 size_t length)
{
	const unsigned char *data = m->data;

	CHECK(m->sequence == number, "sequence %ju instead of %ju",
	      (uintmax_t)m->sequence, (uintmax_t)number);
	CHECK(m->length == length, "message %ju: length %zu instead of %zu",
	      (uintmax_t)number, m->length, length);
	CHECK((uintptr_t)data % 8 == 0, "message %ju is not aligned",
	      (uintmax_t)number);
	CHECK(data >= ring->data &&
		      data + length <= ring->data + ring->capacity,
	      "message %ju is not in the data", (uintmax_t)number);
	CHECK(!memcmp(data, body_of(number), length), "message %ju is garbled",
	      (uintmax_t)number);
}

/* The next message is @number, of @length bytes. */
static inline void hear(struct torc_consumer *c, uint64_t number, size_t length)
{
	struct torc_message m;
	int r = torc_consumer_peek(c, &m);

	CHECK(!r, "message %ju: %d", (uintmax_t)number, r);
	check_message(&c->ring, &m, number, length);
	r = torc_consumer_release(c);
	CHECK(!r, "message %ju: release: %d", (uintmax_t)number, r);
}

static inline void hear_nothing(struct torc_consumer *c)
{
	struct torc_message m;
	int r = torc_consumer_peek(c, &m);

	CHECK(r == -EAGAIN, "peek at the end: %d", r);
}

static inline void join(struct torc_consumer *c, const struct torc_ring *ring,
			uint32_t slot, uint32_t flags)
{
	CHECK(!torc_consumer_join(c, ring, slot, flags), "join");
}

/* Messages @from to @to through the ring, of many lengths. */
static inline void converse(struct producer *p, struct torc_consumer *c,
			    uint64_t from, uint64_t to)
{
	uint64_t heard = from;

	for (uint64_t i = from; i < to; i++) {
		while (say(p, i, length_of(i))) {
			CHECK(heard < i, "full when all has been read");
			hear(c, heard, length_of(heard));
			heard++;
		}
	}
	for (; heard < to; heard++)
		hear(c, heard, length_of(heard));
	hear_nothing(c);
}

#endif /* TORC_TESTS_RING_FIXTURE_H */
