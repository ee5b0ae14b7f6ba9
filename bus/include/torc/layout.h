/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * Laying a ring out in memory, attaching to one, and what producers and
 * consumers share: headers, marks, the floor.  Included by ring.h; start there.
 */
#ifndef TORC_LAYOUT_H
#define TORC_LAYOUT_H

#include <torc/abi.h>
#include <torc/atomic.h>

#ifndef __KERNEL__
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a new ring shall be; zero means the default, except for kind. */
struct torc_ring_config {
	uint64_t capacity;		/* bytes; rounded up to a power of two */
	uint32_t kind;			/* TORC_KIND_SP or TORC_KIND_MP */
	uint32_t publishers;		/* slots; default 1 (SP) or 64 (MP) */
	uint32_t subscribers;		/* slots; default 64 */
	uint32_t page;			/* alignment of regions; default 4096 */
	uint32_t flags;			/* TORC_RING_* */
	uint64_t first_position;	/* a multiple of 16 */
	uint64_t created_ns;		/* CLOCK_REALTIME */
	unsigned char id[16];		/* random */
	const char *type;		/* what the messages are; may be NULL */
};

/*
 * A participant's own view of a ring.  The constants are copied and checked at
 * attaching and never read from shared memory again.
 */
struct torc_ring {
	struct torc_publishing_shm *shm;
	unsigned char *data;
	struct torc_cursors_shm *cursors;	/* NULL: only lossy reading */
	uint64_t capacity;
	uint64_t mask;
	uint64_t window;
	uint64_t record_max;
	uint64_t mark_step;
	uint64_t ahead;		/* torc_zero_step(mark_step) */
	uint32_t kind;
	uint32_t publishers;
	uint32_t subscribers;
	uint32_t subscriber_stride;
};

/* Distance from position @b to position @a; positions may wrap. */
static inline int64_t torc_distance(uint64_t a, uint64_t b)
{
	return (int64_t)(a - b);
}

static inline uint64_t torc_align(uint64_t value, uint64_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static inline uint64_t torc_type_hash(const char *type)
{
	uint64_t hash = 0xcbf29ce484222325ull;

	for (; *type; type++)
		hash = (hash ^ (unsigned char)*type) * 0x100000001b3ull;
	return hash;
}

/* Where things are in the two objects, which take whole pages. */
static inline void torc_layout_objects(struct torc_constants_shm *c,
				       uint64_t page)
{
	uint64_t publishers = (uint64_t)c->publishers *
			      sizeof(struct torc_publisher_slot_shm);
	uint64_t subscribers = (uint64_t)c->subscribers * c->subscriber_stride;

	c->publishing_offset = torc_align(sizeof(*c), page);
	c->data_offset = torc_align(c->publishing_offset +
					    sizeof(struct torc_publishing_shm) +
					    publishers,
				    page);
	c->ring_size = c->data_offset + c->capacity;
	c->cursors_size = torc_align(TORC_CURSORS_SLOTS + subscribers, page);
}

/**
 * torc_ring_layout() - compute the constants of a new ring
 * @config:	what is wanted
 * @ret:	the constants; ring_size and cursors_size say how much memory
 *
 * Context: Any.
 * Ordering: None; nothing is shared yet.
 * Progress: Wait-free.
 * Return: 0, -EINVAL if @config makes no sense, -E2BIG if it is too large.
 */
static inline int torc_ring_layout(const struct torc_ring_config *config,
				   struct torc_constants_shm *ret)
{
	struct torc_constants_shm c;
	uint64_t page = config->page ? config->page : 4096;
	bool mp = config->kind == TORC_KIND_MP;
	size_t i;

	if (config->capacity > TORC_CAPACITY_MAX ||
	    config->publishers > TORC_PUBLISHERS_MAX ||
	    config->subscribers > TORC_SUBSCRIBERS_MAX)
		return -E2BIG;
	if ((!mp && config->kind != TORC_KIND_SP) || page & (page - 1) ||
	    page < 4096 || config->first_position % TORC_RECORD_ALIGN ||
	    (!mp && config->publishers > 1))
		return -EINVAL;

	torc_zero(&c, sizeof(c));
	c.magic = TORC_RING_MAGIC;
	c.abi_version = TORC_ABI_VERSION;
	c.kind = config->kind;
	c.capacity = page;
	while (c.capacity < config->capacity)
		c.capacity *= 2;
	c.window = mp ? c.capacity / 2 : c.capacity;
	c.record_max = mp ? c.capacity / 8 : c.capacity / 4;
	if (c.record_max > 1ull << 31)
		c.record_max = 1ull << 31;
	c.mark_step = c.capacity / 16;
	c.first_position = config->first_position;
	c.publishers = config->publishers ? config->publishers : mp ? 64 : 1;
	c.subscribers = config->subscribers ? config->subscribers : 64;
	c.subscriber_stride = sizeof(struct torc_subscriber_slot_shm);
	c.flags = config->flags;
	c.created_ns = config->created_ns;
	torc_copy(c.id, config->id, sizeof(c.id));

	torc_layout_objects(&c, page);
	for (i = 0; config->type && config->type[i]; i++) {
		if (i == TORC_TYPE_MAX - 1)
			return -EINVAL;
		c.type[i] = config->type[i];
	}
	c.type_hash = torc_type_hash(c.type);
	*ret = c;
	return 0;
}

/**
 * torc_ring_format() - make a ring in memory that is all zero
 * @constants:	from torc_ring_layout()
 * @ring:	page-aligned, constants->ring_size bytes
 * @cursors:	page-aligned, constants->cursors_size bytes
 *
 * Context: Nobody else may use the memory yet, but others may be waiting to
 * attach: torc_ring_attach() fails until this is done.
 * Ordering: Release of the whole ring by its magic.
 * Progress: Wait-free.
 */
static inline void torc_ring_format(const struct torc_constants_shm *constants,
				    void *ring, void *cursors)
{
	struct torc_constants_shm *c = (struct torc_constants_shm *)ring;
	struct torc_cursors_shm *cur = (struct torc_cursors_shm *)cursors;
	void *publishing = (unsigned char *)ring + constants->publishing_offset;
	struct torc_publishing_shm *shm =
		(struct torc_publishing_shm *)publishing;

	torc_copy(cur->id, constants->id, sizeof(cur->id));
	torc_store_release(&cur->magic, TORC_CURSORS_MAGIC);
	torc_store_relaxed(&shm->tail, constants->first_position);
	torc_store_relaxed(&shm->marks[0].position, constants->first_position);
	/* A mark that was never noted lies behind all others. */
	for (unsigned int i = 1; i < TORC_MARKS; i++)
		torc_store_relaxed(&shm->marks[i].position,
				   constants->first_position -
					   TORC_RECORD_ALIGN);
	torc_copy((unsigned char *)c + sizeof(c->magic),
		  (const unsigned char *)constants + sizeof(c->magic),
		  sizeof(*c) - sizeof(c->magic));
	/* MO(torc_ring_format:A), pairs with torc_constants_check:A */
	torc_store_release(&c->magic, constants->magic);
}

/* What constants say of records, of slots, and of sizes. */
static inline bool torc_records_agree(const struct torc_constants_shm *c)
{
	bool mp = c->kind == TORC_KIND_MP;

	return (mp || c->kind == TORC_KIND_SP) &&
	       c->capacity >= TORC_CAPACITY_MIN &&
	       c->capacity <= TORC_CAPACITY_MAX &&
	       !(c->capacity & (c->capacity - 1)) &&
	       c->window == (mp ? c->capacity / 2 : c->capacity) &&
	       c->mark_step == c->capacity / 16 &&
	       c->record_max >= TORC_RECORD_ALIGN &&
	       c->record_max <= c->capacity / (mp ? 8 : 4) &&
	       c->record_max <= 1ull << 31 &&
	       !(c->record_max % TORC_RECORD_ALIGN);
}

static inline bool torc_slots_agree(const struct torc_constants_shm *c)
{
	const uint32_t stride = c->subscriber_stride;
	const uint32_t publishers_max =
		c->kind == TORC_KIND_MP ? TORC_PUBLISHERS_MAX : 1;

	return c->publishers && c->publishers <= publishers_max &&
	       c->subscribers && c->subscribers <= TORC_SUBSCRIBERS_MAX &&
	       stride >= sizeof(struct torc_subscriber_slot_shm) &&
	       stride <= 65536 &&
	       !(stride % sizeof(struct torc_subscriber_slot_shm));
}

/* With the bounds of the others, and of the offsets, no sum can overflow. */
static inline bool torc_sizes_agree(const struct torc_constants_shm *c)
{
	const uint64_t slots = (uint64_t)c->publishers *
			       sizeof(struct torc_publisher_slot_shm);

	return c->publishing_offset <= 1u << 24 &&
	       c->data_offset <= 1u << 24 &&
	       !(c->publishing_offset % 4096) && !(c->data_offset % 4096) &&
	       c->publishing_offset >= sizeof(*c) &&
	       c->data_offset >= c->publishing_offset +
				 sizeof(struct torc_publishing_shm) + slots &&
	       c->ring_size >= c->data_offset + c->capacity &&
	       c->ring_size <= TORC_CAPACITY_MAX * 2 &&
	       !(c->ring_size % 4096) && c->cursors_size <= 1u << 27 &&
	       !(c->cursors_size % 4096) &&
	       c->cursors_size >= TORC_CURSORS_SLOTS +
				  (uint64_t)c->subscribers *
					  c->subscriber_stride;
}

/**
 * torc_constants_check() - are these the constants of a ring?
 * @shared:	the first bytes of the object; may be changed by others meanwhile
 * @size:	of the object
 * @ret:	a copy, checked
 *
 * Context: Any.
 * Ordering: Acquire; pairs with torc_ring_format().
 * Progress: Wait-free.
 * Return: 0, or -EPROTO (not a ring, or sizes that do not agree), -EPROTOTYPE
 * (a ring of another ABI version or with features that must be understood),
 * -ENODATA (shorter than it says).
 */
static inline int
torc_constants_check(const struct torc_constants_shm *shared, uint64_t size,
		     struct torc_constants_shm *ret)
{
	struct torc_constants_shm c;

	if (size < sizeof(c))
		return -EPROTO;
	/* MO(torc_constants_check:A), pairs with torc_ring_format:A */
	if (torc_load_acquire(&shared->magic) != TORC_RING_MAGIC)
		return -EPROTO;
	torc_copy(&c, shared, sizeof(c));
	if (c.abi_version != TORC_ABI_VERSION || c.features_required)
		return -EPROTOTYPE;

	if (!torc_records_agree(&c) || !torc_slots_agree(&c) ||
	    !torc_sizes_agree(&c))
		return -EPROTO;
	if (c.type[TORC_TYPE_MAX - 1] || c.type_hash != torc_type_hash(c.type))
		return -EPROTO;
	if (size < c.ring_size)
		return -ENODATA;
	*ret = c;
	return 0;
}

/**
 * torc_ring_view() - make a view of a ring whose constants are one's own
 * @ring:	the view
 * @constants:	from torc_ring_layout() or torc_constants_check()
 * @base:	the ring object
 * @cursors:	the cursors object, or NULL
 *
 * For who made the ring, and does not trust what others may write.
 *
 * Context: Any.
 * Ordering: None; shared memory is not touched.
 * Progress: Wait-free.
 */
static inline void torc_ring_view(struct torc_ring *ring,
				  const struct torc_constants_shm *constants,
				  void *base, void *cursors)
{
	ring->shm = (struct torc_publishing_shm *)(void *)(
		(unsigned char *)base + constants->publishing_offset);
	ring->data = (unsigned char *)base + constants->data_offset;
	ring->cursors = (struct torc_cursors_shm *)cursors;
	ring->capacity = constants->capacity;
	ring->mask = constants->capacity - 1;
	ring->window = constants->window;
	ring->record_max = constants->record_max;
	ring->mark_step = constants->mark_step;
	ring->ahead = torc_zero_step(constants->mark_step);
	ring->kind = constants->kind;
	ring->publishers = constants->publishers;
	ring->subscribers = constants->subscribers;
	ring->subscriber_stride = constants->subscriber_stride;
}

/**
 * torc_ring_attach() - make a view of a ring
 * @ring:	the view
 * @base:	the ring object, page-aligned; a consumer needs to read it only
 * @size:	bytes that are mapped at @base
 * @cursors:	the cursors object, writable; NULL for lossy reading only
 * @cursors_size: bytes that are mapped at @cursors
 *
 * Context: Any.
 * Ordering: Acquire; pairs with torc_ring_format().
 * Progress: Wait-free.
 * Return: 0, or as torc_constants_check().
 */
static inline int torc_ring_attach(struct torc_ring *ring, void *base,
				   uint64_t size, void *cursors,
				   uint64_t cursors_size)
{
	struct torc_constants_shm c;
	struct torc_cursors_shm *cur = (struct torc_cursors_shm *)cursors;
	int r;

	r = torc_constants_check((const struct torc_constants_shm *)base, size,
				 &c);
	if (r)
		return r;
	if (cur) {
		unsigned char id[sizeof(c.id)];

		if (cursors_size < c.cursors_size)
			return -ENODATA;
		if (torc_load_acquire(&cur->magic) != TORC_CURSORS_MAGIC)
			return -EPROTO;
		torc_copy(id, cur->id, sizeof(id));
		if (memcmp(id, c.id, sizeof(id)))
			return -EPROTO;
	}

	torc_ring_view(ring, &c, base, cursors);
	return 0;
}

/* The longest message, in bytes, that the ring takes. */
static inline uint64_t torc_message_max(const struct torc_ring *ring)
{
	return ring->record_max - TORC_HEADER_SIZE;
}

static inline struct torc_publisher_slot_shm *
torc_publisher_slot(const struct torc_ring *ring, uint32_t slot)
{
	return (struct torc_publisher_slot_shm *)(ring->shm + 1) + slot;
}

static inline struct torc_subscriber_slot_shm *
torc_subscriber_slot(const struct torc_ring *ring, uint32_t slot)
{
	void *at = (unsigned char *)ring->cursors + TORC_CURSORS_SLOTS +
		   (uint64_t)slot * ring->subscriber_stride;

	return (struct torc_subscriber_slot_shm *)at;
}

static inline uint64_t *torc_header_at(const struct torc_ring *ring,
				       uint64_t position)
{
	return (uint64_t *)(void *)(ring->data + (position & ring->mask));
}

/*
 * The header at @position.  @racy: a publisher may be overwriting it with
 * something else, which the caller finds out afterwards.
 */
static inline uint64_t torc_header_load(const struct torc_ring *ring,
					uint64_t position, bool racy)
{
	const uint64_t *header = torc_header_at(ring, position);

	/* MO(torc_header_load:A), pairs with the commits torc_sp_advance:B,
	 * torc_sp_publish_short:A, torc_mp_publish_short:A, torc_mp_commit:B
	 * and :C, torc_mp_commit_batch:A, torc_mp_abort:A and
	 * torc_claim_repair:A: who sees the header sees the payload, and that
	 * the header which follows is zero or newer. */
	return racy ? torc_racy_load(header) : torc_load_acquire(header);
}

/*
 * Bytes of the committed record at @position with header @header; 0 if no such
 * record can be there (hostile memory, or a lossy reader that was lapped).
 */
static inline uint64_t torc_record_extent(const struct torc_ring *ring,
					  uint64_t position, uint64_t header)
{
	uint64_t length = torc_header_length(header);
	uint64_t size;

	if (torc_likely(torc_header_kind(header) == TORC_RECORD_MESSAGE)) {
		size = torc_record_size(length);
		if (torc_unlikely(size > ring->record_max ||
				  (position & ring->mask) + size >
					  ring->capacity))
			return 0;
		return size;
	}
	/* A pad may stand for a whole claim, and go round the end. */
	size = length + TORC_HEADER_SIZE;
	return size % TORC_RECORD_ALIGN || size > ring->capacity / 2 ? 0 : size;
}

static inline bool torc_header_committed(uint64_t header)
{
	uint32_t kind = torc_header_kind(header);

	return kind == TORC_RECORD_MESSAGE || kind == TORC_RECORD_PAD;
}

/*
 * Where a record of @size bytes goes if the next is to begin at @tail: there, or
 * at the start of the data if it would cross the end.
 */
static inline uint64_t torc_record_place(const struct torc_ring *ring,
					 uint64_t tail, uint64_t size)
{
	uint64_t room = ring->capacity - (tail & ring->mask);

	return torc_likely(size <= room) ? tail : tail + room;
}

/* Zero @size bytes from @position on, round the end of the data if need be. */
static inline void torc_ring_zero(const struct torc_ring *ring,
				  uint64_t position, uint64_t size)
{
	uint64_t offset = position & ring->mask;
	uint64_t first = ring->capacity - offset;

	if (torc_likely(size <= first)) {
		torc_zero(ring->data + offset, size);
	} else {
		torc_zero(ring->data + offset, first);
		torc_zero(ring->data, size - first);
	}
}

/* ---- Marks and the floor ------------------------------------------------ */

struct torc_mark {
	uint64_t index;
	uint64_t position;
	uint64_t count;
};

/*
 * Read the mark @index.  False if its place in the table may have been reused
 * meanwhile: half a table further no mark is noted that early, for there are at
 * most 18 from the floor to the tail.
 */
static inline bool torc_mark_read(const struct torc_ring *ring, uint64_t index,
				  struct torc_mark *ret)
{
	const struct torc_mark_shm *mark = &ring->shm->marks[index % TORC_MARKS];
	struct torc_mark m;

	m.index = index;
	/* MO(torc_mark_read:A), pairs with torc_mark_note:B and
	 * torc_mark_help:B: the count is the position's. */
	m.position = torc_load_acquire(&mark->position);
	m.count = torc_load_relaxed(&mark->count);
	/* MO(torc_mark_read:B), pairs with torc_mark_note:A and
	 * torc_mark_help:A: who sees a newer mark's words sees a newer floor. */
	torc_fence_acquire();
	if (torc_distance(torc_load_relaxed(&ring->shm->floor), index) >=
	    (int64_t)TORC_MARKS / 2)
		return false;
	*ret = m;
	return true;
}

/*
 * Read the mark that @word, the floor or the proposed floor, is the index of.
 * -EPROTO if it moves faster than any publisher can move it, or is no boundary.
 */
static inline int torc_mark_current(const struct torc_ring *ring,
				    const torc_u64 *word, struct torc_mark *ret)
{
	for (unsigned int tries = 0; tries < 1000; tries++) {
		/* MO(torc_mark_current:A), pairs with torc_sp_make_room:B and :D
		 * and torc_floor_advance:B: the mark is noted, and what lies before
		 * it was committed. */
		uint64_t index = torc_load_acquire(word);

		if (!torc_mark_read(ring, index, ret))
			continue;
		return ret->position % TORC_RECORD_ALIGN ? -EPROTO : 0;
	}
	return -EPROTO;
}

/* The newest mark that has been noted, from @mark on. */
static inline void torc_mark_newest(const struct torc_ring *ring,
				    struct torc_mark *mark)
{
	struct torc_mark next;

	for (unsigned int i = 0; i < TORC_MARKS / 2; i++) {
		if (!torc_mark_read(ring, mark->index + 1, &next) ||
		    torc_distance(next.position, mark->position) <= 0 ||
		    next.position % TORC_RECORD_ALIGN)
			return;
		*mark = next;
	}
}

/*
 * Walk from *@position over committed records, counting messages, until @end is
 * reached or passed (1), or a record is not committed (0).  -EPROTO for what no
 * publisher writes.
 *
 * Context: The floor must be known not to pass *@position meanwhile, or @racy
 * be set and the floor be looked at afterwards.
 */
static inline int torc_walk(const struct torc_ring *ring, uint64_t *position,
			    uint64_t *count, uint64_t end, bool racy)
{
	uint64_t from = *position;

	while (torc_distance(*position, end) < 0) {
		uint64_t header = torc_header_load(ring, *position, racy);
		uint64_t size;

		/* Where the next header is, only this one tells. */
		torc_prefetch(torc_header_at(ring, *position + 1024));
		if (!torc_header_committed(header))
			return 0;
		size = torc_record_extent(ring, *position, header);
		if (!size || *position + size - from > ring->capacity)
			return -EPROTO;
		*position += size;
		*count += torc_header_kind(header) == TORC_RECORD_MESSAGE;
	}
	return 1;
}

/*
 * The lowest cursor of a lossless subscriber, no lower than @floor and no
 * higher than @tail whatever the cursors object holds.  The slot that has it is
 * left in *@ret_slot, or ring->subscribers if there is none below @tail.
 */
static inline uint64_t torc_gate(const struct torc_ring *ring, uint64_t floor,
				 uint64_t tail, uint32_t *ret_slot)
{
	uint64_t gate = tail;

	*ret_slot = ring->subscribers;
	for (uint32_t i = 0; i < ring->subscribers; i++) {
		struct torc_subscriber_slot_shm *slot =
			torc_subscriber_slot(ring, i);
		uint64_t cursor;

		/* MO(torc_gate:A), pairs with torc_consumer_hold:B, and with
		 * torc_consumer_leave:A: it has read what it will. */
		if (torc_load_acquire(&slot->state) != TORC_SUBSCRIBER_LOSSLESS)
			continue;
		/* MO(torc_gate:B), pairs with torc_consumer_show:A: what is
		 * below the cursor has been read and may be overwritten. */
		cursor = torc_load_acquire(&slot->cursor);
		if (torc_distance(cursor, floor) < 0)
			cursor = floor;
		if (torc_distance(cursor, gate) < 0) {
			gate = cursor;
			*ret_slot = i;
		}
	}
	return gate;
}

#ifdef __cplusplus
}
#endif

#endif /* TORC_LAYOUT_H */
