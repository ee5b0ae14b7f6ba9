/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The consumer of a ring, of either kind.  Included by ring.h; start there.
 *
 * A consumer polls the header of the record at its cursor.  It keeps the cursor
 * and the number of messages before it privately, and stores the cursor to its
 * slot only for the publishers' sake.  Whether anything was overwritten is asked
 * of the floor alone, so neither a lossy consumer without a slot nor a lossless
 * one whose slot somebody has scribbled over ever takes wrong bytes for a
 * message unnoticed.
 */
#ifndef TORC_CONSUMER_H
#define TORC_CONSUMER_H

#include <torc/layout.h>
#include <torc/message.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TORC_NO_SLOT	0xffffffffu

#define TORC_LOSSLESS	1u	/* hold publishers back; needs a slot */
#define TORC_OLDEST	2u	/* begin with the oldest intact message */

struct torc_consumer {
	struct torc_ring ring;
	struct torc_subscriber_slot_shm *slot;	/* NULL: none */
	/*
	 * Position and count are apart, that a compiler may not load @next and
	 * @peeked by one move, which would wait for the two stores to get to the
	 * cache.
	 */
	uint64_t cursor;	/* of the next record to be released */
	uint64_t next;		/* cursor after what was peeked */
	uint64_t count;		/* messages before it */
	uint64_t peeked;	/* messages up to it */
	uint64_t lost;		/* messages overwritten unread since joining */
	struct torc_mark floor;	/* as last seen */
	bool lossless;
	bool evicted;		/* was lossless, and no longer holds the floor */
};

/*
 * Take a cursor that holds the floor: at the proposed floor, which is the
 * oldest place that no publisher may be about to give up.
 */
static inline int torc_consumer_hold(struct torc_consumer *c,
				     struct torc_mark *ret)
{
	const torc_u64 *proposed = &c->ring.shm->proposed;

	for (unsigned int tries = 0; tries < 1000; tries++) {
		int r = torc_mark_current(&c->ring, proposed, ret);

		if (r)
			return r;
		/* MO(torc_consumer_hold:A): before B, or the gate shows another
		 * consumer's cursor. */
		torc_store_relaxed(&c->slot->cursor, ret->position);
		/* MO(torc_consumer_hold:B), pairs with torc_gate:A */
		torc_store_release(&c->slot->state, TORC_SUBSCRIBER_LOSSLESS);
		/* MO(torc_consumer_hold:C), pairs with torc_sp_make_room:A and
		 * torc_floor_advance:A.  Dekker: if a publisher's gate did not
		 * show this cursor, its proposal shows here. */
		torc_fence_full();
		if (torc_load_relaxed(proposed) == ret->index)
			return 0;
	}
	return -EPROTO;
}

/* Move @mark to the end of the committed records. */
static inline int torc_consumer_skip_to_latest(const struct torc_ring *ring,
					       struct torc_mark *mark, bool racy)
{
	int r;

	torc_mark_newest(ring, mark);
	r = torc_walk(ring, &mark->position, &mark->count,
		      mark->position + ring->window, racy);
	return r > 0 ? 0 : r;
}

/*
 * Where a consumer begins that cannot hold the floor.  A walk that publishers
 * overtake starts again; if they do so each time, the floor has to do.
 */
static inline int torc_consumer_begin_unheld(struct torc_consumer *c,
					     uint32_t flags,
					     struct torc_mark *ret)
{
	const torc_u64 *floor = &c->ring.shm->floor;
	struct torc_mark begin;
	int r, walked;

	for (unsigned int tries = 0; tries < 100; tries++) {
		r = torc_mark_current(&c->ring, floor, &begin);
		if (r)
			return r;
		*ret = c->floor = begin;
		if (flags & TORC_OLDEST)
			return 0;
		torc_mark_newest(&c->ring, ret);
		begin = *ret;
		walked = torc_consumer_skip_to_latest(&c->ring, ret, true);
		/* MO(torc_consumer_begin_unheld:A), as torc_consumer_lapped:A */
		torc_fence_acquire();
		r = torc_mark_current(&c->ring, floor, &c->floor);
		if (r)
			return r;
		if (torc_distance(c->floor.position, begin.position) <= 0)
			return walked;
	}
	*ret = c->floor;
	return 0;
}

/*
 * Where a consumer with a slot begins.  A publisher may evict it while it is
 * joining: then the floor passes what it held, and it starts again.
 */
static inline int torc_consumer_begin_held(struct torc_consumer *c,
					   uint32_t flags,
					   struct torc_mark *ret)
{
	const torc_u64 *floor = &c->ring.shm->floor;
	struct torc_mark held;
	int r, walked = 0;

	for (unsigned int tries = 0; tries < 100; tries++) {
		r = torc_consumer_hold(c, &held);
		if (r)
			return r;
		*ret = held;
		if (!(flags & TORC_OLDEST))
			walked = torc_consumer_skip_to_latest(&c->ring, ret,
							      true);
		/* MO(torc_consumer_begin_held:A), as torc_consumer_lapped:A */
		torc_fence_acquire();
		r = torc_mark_current(&c->ring, floor, &c->floor);
		if (r)
			return r;
		if (torc_distance(c->floor.position, held.position) <= 0)
			return walked;
	}
	*ret = c->floor;
	return 0;
}

/**
 * torc_consumer_join() - begin to consume
 * @c:		the consumer
 * @ring:	the ring; copied
 * @slot:	a free subscriber slot, or TORC_NO_SLOT for one that is lossy
 *		and leaves no trace
 * @flags:	TORC_LOSSLESS, TORC_OLDEST; without the latter the first message
 *		is the first that is committed from now on
 *
 * Context: Nobody else uses the slot, in any process.
 * Ordering: Full fence when there is a slot.
 * Progress: Lock-free; counts the messages that it skips, so bounded by their
 * number.
 * Return: 0, -EINVAL if there is no such slot or losslessness has none,
 * -EPROTO if the ring is damaged.
 */
static inline int torc_consumer_join(struct torc_consumer *c,
				     const struct torc_ring *ring,
				     uint32_t slot, uint32_t flags)
{
	struct torc_mark begin;
	int r;

	c->ring = *ring;
	c->slot = NULL;
	c->lossless = flags & TORC_LOSSLESS;
	c->evicted = false;
	c->lost = 0;
	if (slot == TORC_NO_SLOT) {
		if (c->lossless)
			return -EINVAL;
		r = torc_consumer_begin_unheld(c, flags, &begin);
	} else {
		if (!ring->cursors || slot >= ring->subscribers)
			return -EINVAL;
		c->slot = torc_subscriber_slot(ring, slot);
		torc_store_relaxed(&c->slot->lost, 0);
		r = torc_consumer_begin_held(c, flags, &begin);
	}
	if (r) {
		if (c->slot)
			torc_store_release(&c->slot->state,
					   TORC_SUBSCRIBER_FREE);
		return r;
	}
	c->cursor = c->next = begin.position;
	c->count = begin.count;
	c->peeked = 0;
	if (c->slot) {
		torc_store_release(&c->slot->cursor, c->cursor);
		if (!c->lossless)
			torc_store_release(&c->slot->state,
					   TORC_SUBSCRIBER_LOSSY);
	}
	return 0;
}

/**
 * torc_consumer_leave() - stop consuming; the slot is free
 * @c:	the consumer, which may not be used any more
 *
 * Context: As all calls of a consumer: one thread at a time.
 * Ordering: Release of what it has read.
 * Progress: Wait-free; one store.
 */
static inline void torc_consumer_leave(struct torc_consumer *c)
{
	/* MO(torc_consumer_leave:A), pairs with torc_gate:A */
	if (c->slot)
		torc_store_release(&c->slot->state, TORC_SUBSCRIBER_FREE);
}

/* Look at the floor anew: 1 if it has passed the cursor, 0 if not. */
static __attribute__((__noinline__, __unused__)) int
torc_consumer_look(struct torc_consumer *c)
{
	struct torc_mark floor;
	int r = torc_mark_current(&c->ring, &c->ring.shm->floor, &floor);

	if (r)
		return r;
	if (torc_distance(floor.position, c->cursor) <= 0) {
		c->floor = floor;
		return 0;
	}
	/*
	 * Not noted: who asks again gets the same answer until it resumes.
	 * Publishers count messages as we do.
	 */
	return torc_distance(floor.count, c->count) < 0 ? -EPROTO : 1;
}

/**
 * torc_consumer_lapped() - may what was read from the cursor on be overwritten?
 * @c:	the consumer
 *
 * For who looks at the ring behind the cursor by other means than peeking.
 *
 * Context: As torc_consumer_peek_batch().
 * Ordering: Acquire: the floor is looked at after what was read.
 * Progress: Wait-free; ends after some tries if a hostile publisher moves the floor
 * each time.
 * Return: 1 if so, 0 if it certainly was not, -EPROTO.
 */
static inline int torc_consumer_lapped(struct torc_consumer *c)
{
	/* MO(torc_consumer_lapped:A), pairs with torc_sp_make_room:B and :C,
	 * torc_floor_advance:B and torc_mp_make_room:A: a floor is stored
	 * before what lies below it is overwritten, and looked at after that
	 * was read. */
	torc_fence_acquire();
	if (torc_likely(torc_load_relaxed(&c->ring.shm->floor) ==
			c->floor.index))
		return 0;
	return torc_consumer_look(c);
}

/* Go on at the floor, and count what was missed. */
static inline int torc_consumer_resume(struct torc_consumer *c)
{
	int r = torc_mark_current(&c->ring, &c->ring.shm->floor, &c->floor);

	if (r)
		return r;
	c->lost += c->floor.count - c->count;
	c->cursor = c->next = c->floor.position;
	c->count = c->floor.count;
	c->peeked = 0;
	if (c->slot)
		torc_store_relaxed(&c->slot->lost, c->lost);
	return 0;
}

/*
 * After torc_consumer_lapped() said @lapped: a lossy consumer goes on at the
 * floor, a lossless one was evicted and remains so.
 */
static inline int torc_consumer_overtaken(struct torc_consumer *c, int lapped)
{
	if (lapped > 0)
		lapped = torc_consumer_resume(c);
	if (lapped < 0)
		return lapped;
	if (c->lossless) {
		c->evicted = true;
		torc_store_release(&c->slot->state, TORC_SUBSCRIBER_EVICTED);
	}
	return -ESTALE;
}

/* Store the cursor for the publishers. */
static inline void torc_consumer_show(struct torc_consumer *c)
{
	/* MO(torc_consumer_show:A), pairs with torc_gate:B: all reading of
	 * what lies below the cursor came before. */
	if (c->slot)
		torc_store_release(&c->slot->cursor, c->cursor);
}

/*
 * Bytes of the message at @position with @header, which is described in @ret; 0 if
 * there is none.
 */
static inline uint64_t torc_consumer_describe(const struct torc_ring *ring,
					      uint64_t position, uint64_t header,
					      struct torc_message *ret)
{
	uint64_t size;

	if (torc_unlikely(torc_header_kind(header) != TORC_RECORD_MESSAGE))
		return 0;
	size = torc_record_extent(ring, position, header);
	if (torc_unlikely(!size))
		return 0;
	ret->data = torc_header_at(ring, position) + 1;
	ret->length = torc_header_length(header);
	ret->position = position;
	ret->publisher = torc_header_slot(header);
	ret->reserved = 0;
	return size;
}

/*
 * The message at *@position, skipping pads; moves *@position past it, or past
 * the pads alone.  0, -EAGAIN or -EPROTO, either of which may mean that this
 * consumer was lapped.
 */
static inline int torc_consumer_step(const struct torc_consumer *c,
				     uint64_t *position,
				     struct torc_message *ret)
{
	const struct torc_ring *ring = &c->ring;
	uint64_t from = *position;

	do {
		uint64_t header =
			torc_header_load(ring, *position, !c->lossless);
		uint32_t kind = torc_header_kind(header);
		uint64_t size =
			torc_consumer_describe(ring, *position, header, ret);

		if (size) {
			*position += size;
			return 0;
		}
		if (kind == TORC_RECORD_NONE || kind == TORC_RECORD_BUSY)
			return -EAGAIN;
		size = kind == TORC_RECORD_PAD ?
			       torc_record_extent(ring, *position, header) : 0;
		if (!size)
			return -EPROTO;
		*position += size;
	} while (*position - from <= ring->capacity);
	return -EPROTO;
}

/* Is nothing overwritten from the cursor on, unless it is just being evicted? */
static inline bool torc_consumer_holds(const struct torc_consumer *c)
{
	return c->lossless && !c->evicted;
}

/* torc_consumer_peek_batch() where anything may be, or nothing. */
static __attribute__((__noinline__, __unused__)) int
torc_consumer_peek_any(struct torc_consumer *c, struct torc_message *ret, int max)
{
	uint64_t position;
	int n, r, lapped;

	if (torc_unlikely(c->evicted))
		return -ESTALE;
	for (unsigned int tries = 0; tries < 16; tries++) {
		position = c->cursor;
		for (n = 0, r = 0; n < max; n++) {
			r = torc_consumer_step(c, &position, &ret[n]);
			if (r)
				break;
			ret[n].sequence = c->count + (uint64_t)n;
		}
		/* A lossless consumer that got something is told at release. */
		lapped = n && c->lossless ? 0 : torc_consumer_lapped(c);
		if (torc_likely(!lapped)) {
			if (n) {
				c->next = position;
				c->peeked = (uint64_t)n;
				return n;
			}
			/* Pads alone must not hold the publishers. */
			if (r == -EAGAIN && position != c->cursor) {
				c->cursor = c->next = position;
				c->peeked = 0;
				torc_consumer_show(c);
			}
			return r;
		}
		r = torc_consumer_overtaken(c, lapped);
		if (r != -ESTALE || c->lossless)
			return r;
	}
	/* Overtaken again and again: there is something, but not to be had. */
	return -EAGAIN;
}

/**
 * torc_consumer_peek_batch() - look at the next messages, in place
 * @c:		the consumer
 * @ret:	the messages
 * @max:	how many at most
 *
 * The messages are the same at each call until torc_consumer_release() gives
 * all of them up that the last call returned.  A lossless consumer may read
 * them until then, unless a publisher evicts it.  Under a lossy one they may
 * change at any time.  torc_consumer_release() says whether they may have.
 *
 * Context: One thread at a time.  No system call.
 * Ordering: Acquire; pairs with the publishers' commit.
 * Progress: Wait-free, bounded by @max and the pads between.
 * Return: How many, at least 1; -EAGAIN if there is none; -ESTALE if a lossless
 * consumer was evicted (c->lost says what it missed); -EPROTO if the ring is
 * damaged.
 */
static inline int torc_consumer_peek_batch(struct torc_consumer *c,
					   struct torc_message *ret, int max)
{
	const struct torc_ring ring = c->ring;	/* not looked at for each */
	uint64_t position = c->cursor;
	int n = 0;

	if (torc_unlikely(!torc_consumer_holds(c) || max < 1))
		return torc_consumer_peek_any(c, ret, max);
	while (n < max) {
		uint64_t header = torc_header_load(&ring, position, false);
		uint64_t size =
			torc_consumer_describe(&ring, position, header, &ret[n]);

		if (torc_unlikely(!size)) {
			uint32_t kind = torc_header_kind(header);

			/* Behind a pad there may be more. */
			if (n && kind != TORC_RECORD_PAD)
				break;
			if (kind == TORC_RECORD_NONE &&
			    !torc_consumer_lapped(c))
				return -EAGAIN;
			return torc_consumer_peek_any(c, ret, max);
		}
		ret[n].sequence = c->count + (uint64_t)n;
		position += size;
		n++;
	}
	c->next = position;
	c->peeked = (uint64_t)n;
	return n;
}

/**
 * torc_consumer_peek() - look at the next message, in place
 * @c:		the consumer
 * @ret:	the message; untouched unless there is one
 *
 * As torc_consumer_peek_batch() of one message.
 *
 * Context, ordering, progress: as torc_consumer_peek_batch().
 * Return: 0, or an error as there.
 */
static inline int torc_consumer_peek(struct torc_consumer *c,
				     struct torc_message *ret)
{
	int r = torc_consumer_peek_batch(c, ret, 1);

	return r < 0 ? r : 0;
}

/**
 * torc_consumer_release() - be done with what was last peeked
 * @c:	the consumer
 *
 * Context: As torc_consumer_peek_batch().
 * Ordering: Release: the bytes may be overwritten from now on.
 * Progress: Wait-free.
 * Return: 0; -ESTALE if some of what was peeked may have been overwritten before
 * this call: discard all of it, what is intact of it comes again; -EPROTO.
 */
static inline int torc_consumer_release(struct torc_consumer *c)
{
	int lapped = torc_consumer_lapped(c);

	if (torc_unlikely(lapped))
		return torc_consumer_overtaken(c, lapped);
	c->cursor = c->next;
	c->count += c->peeked;
	c->peeked = 0;
	torc_consumer_show(c);
	return 0;
}

/**
 * torc_consumer_receive() - copy the next message out
 * @c:		the consumer
 * @buffer:	for the payload
 * @size:	bytes of @buffer
 * @ret:	the message; its data is @buffer
 *
 * A lossy consumer that was lapped gets the next message that is intact; the
 * sequence numbers show the gap, and c->lost counts it.
 *
 * Context, ordering: as torc_consumer_peek_batch().
 * Progress: Lock-free: it starts again only if publishers lapped it.
 * Return: 0; -EMSGSIZE if @buffer is too small for the message, whose length is
 * in ret->length and which remains; else as torc_consumer_peek_batch().
 */
static inline int torc_consumer_receive(struct torc_consumer *c, void *buffer,
					size_t size, struct torc_message *ret)
{
	struct torc_message message;
	int r;

	for (unsigned int tries = 0; tries < 16; tries++) {
		r = torc_consumer_peek(c, &message);
		if (torc_unlikely(r))
			return r;
		if (torc_unlikely(message.length > size)) {
			*ret = message;
			return -EMSGSIZE;
		}
		if (c->lossless)
			torc_copy_payload(buffer, message.data,
					  message.length);
		else
			torc_racy_copy(buffer, message.data, message.length);
		r = torc_consumer_release(c);
		if (torc_likely(!r)) {
			*ret = message;
			ret->data = buffer;
			return 0;
		}
		if (r != -ESTALE || c->lossless)
			return r;
	}
	return -EAGAIN;
}

/**
 * torc_consumer_skip() - pass over a dead publisher's claim at the cursor
 * @c:		the consumer
 * @length:	bytes of the claim, from torc_claim_outcome(), after which
 *		torc_consumer_lapped() was 0
 *
 * Context: As torc_consumer_peek_batch().
 * Ordering: Release, as torc_consumer_release().
 * Progress: Wait-free; one store.
 */
static inline void torc_consumer_skip(struct torc_consumer *c, uint64_t length)
{
	c->cursor += length;
	c->next = c->cursor;
	c->peeked = 0;
	torc_consumer_show(c);
}

#ifdef __cplusplus
}
#endif

#endif /* TORC_CONSUMER_H */
