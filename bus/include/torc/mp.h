/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * A producer of a ring with many publishers, in one total order.  Included by
 * ring.h; start there.
 *
 * A compare-and-swap of the tail claims bytes [t, e).  Then, in this order:
 *
 *	1. the header at t is stored BUSY, with the slot and the whole length;
 *	2. [A(t) + W, A(e) + W) is zeroed, W being the window, half the capacity,
 *	   and A() rounding up to steps of G bytes, ring->ahead;
 *	3. the payload is written;
 *	4. the headers are committed, the one at t last.
 *
 * Why a fresh claim is zero without anybody cleaning up: a claim needs
 * e + G <= floor + W.  The floor moves over committed records only, so every
 * record below e + G - W was committed and its publisher had finished step 2;
 * together they zeroed all up to A(e + G - W) + W, which is e + G at least.  So
 * the header at e is zero, too.  Why step 2 hurts nobody: it touches what lay
 * below A(e) - W, and so below e + G - W, which is below the floor; and until
 * the record at t is committed, the floor stays at or below t, so that nobody
 * can claim beyond t + W.
 *
 * Before each compare-and-swap the claim is noted in the publisher's slot, so
 * that the others can settle it should the publisher die (repair.h).
 */
#ifndef TORC_MP_H
#define TORC_MP_H

#include <torc/batch.h>
#include <torc/layout.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why there was no room. */
enum torc_mp_blocked {
	TORC_MP_FULL,	/* a lossless subscriber, mp->blocker, holds the floor */
	TORC_MP_STUCK,	/* so does the uncommitted record at mp->stuck_at */
};

/* A power of two, more than there are marks from the floor to the tail. */
#define TORC_MP_KNOWN	16u

struct torc_mp {
	struct torc_ring ring;
	struct torc_publisher_slot_shm *slot;
	uint64_t plain;		/* torc_mp_set_plain() */
	uint64_t limit;		/* floor + window, as last seen */
	uint64_t noted;		/* length of the claim noted in the slot */
	uint64_t claim;		/* where the reserved claim begins */
	uint64_t start;		/* of its record */
	uint64_t end;		/* of the claim, or of the last one */
	struct torc_mark walk;	/* how far it has looked; the last mark's index */
	uint64_t walk_until;	/* the next mark lies there or behind */
	enum torc_mp_blocked blocked;
	uint64_t stuck_at;
	uint32_t blocker;
	uint32_t slot_index;
	struct torc_mark known[TORC_MP_KNOWN]; /* the last marks, by index */
};

/* Where the mark @index is kept, if it is known. */
static inline struct torc_mark *torc_mp_known(struct torc_mp *mp, uint64_t index)
{
	return &mp->known[index % TORC_MP_KNOWN];
}

/* @mark is the last one that is known: look for the next. */
static inline void torc_mp_know(struct torc_mp *mp,
				const struct torc_mark *mark)
{
	mp->walk = *torc_mp_known(mp, mark->index) = *mark;
	mp->walk_until = mark->position + mp->ring.mark_step;
	/* It was bounded by the mark before: nowhere, until it is set anew. */
	mp->plain = mp->end;
}

/*
 * Up to @plain there is nothing to do with a record but to claim and to write it:
 * there is room, it begins no step of zeroes, and this producer, should it have
 * walked up to there, comes to no mark.  Set behind each other claim, since nobody
 * claims below the end of that one any more; it is no further than the end of the
 * step in which that lies.
 */
static inline void torc_mp_set_plain(struct torc_mp *mp)
{
	uint64_t plain = torc_align(mp->end, mp->ring.ahead);
	uint64_t room = mp->limit - mp->ring.ahead;

	if (torc_distance(room, plain) < 0)
		plain = room;
	/* What it has not walked up to, it does not walk over by claiming. */
	if (torc_distance(mp->walk_until, mp->end) > 0 &&
	    torc_distance(mp->walk_until, plain) <= 0)
		plain = mp->walk_until - 1;
	mp->plain = plain;
}

/**
 * torc_mp_init() - become one of the producers of a ring
 * @mp:		the producer
 * @ring:	the ring; copied
 * @slot:	a publisher slot that is free, its last claim settled
 *		(torc_claim_settled())
 *
 * Context: Nobody else uses the slot, in any process.
 * Ordering: Acquire of the floor.
 * Progress: Wait-free.
 * Return: 0, -EINVAL if the ring takes only one or has no such slot, -EPROTO.
 */
static inline int torc_mp_init(struct torc_mp *mp, const struct torc_ring *ring,
			       uint32_t slot)
{
	struct torc_mark floor;
	int r;

	if (ring->kind != TORC_KIND_MP || slot >= ring->publishers)
		return -EINVAL;
	r = torc_mark_current(ring, &ring->shm->floor, &floor);
	if (r)
		return r;
	mp->ring = *ring;
	mp->slot = torc_publisher_slot(ring, slot);
	mp->slot_index = slot;
	mp->limit = floor.position + ring->window;
	for (unsigned int i = 0; i < TORC_MP_KNOWN; i++)
		mp->known[i] = floor;
	mp->end = floor.position;
	torc_mp_know(mp, &floor);
	mp->blocker = ring->subscribers;
	mp->noted = 0;
	torc_store_relaxed(&mp->slot->claim_length, 0);
	return 0;
}

/*
 * Install @next as the mark after @floor.  All who help compute the same words,
 * since they follow from the records alone; each word is moved by CAS from what
 * it was, so a helper that comes late changes nothing.
 */
static inline void torc_mark_help(const struct torc_ring *ring,
				  const struct torc_mark *floor,
				  const struct torc_mark *next)
{
	struct torc_mark_shm *mark =
		&ring->shm->marks[next->index % TORC_MARKS];
	uint64_t count = torc_load_relaxed(&mark->count);
	uint64_t position = torc_load_relaxed(&mark->position);

	/* The words just read are the old mark's or already the new one's, if
	 * the floor has not moved since; and otherwise there is no need. */
	torc_fence_acquire();
	if (torc_load_relaxed(&ring->shm->floor) != floor->index ||
	    position == next->position)
		return;
	/* MO(torc_mark_help:A), pairs with torc_mark_read:B */
	torc_cas(&mark->count, count, next->count);
	/* MO(torc_mark_help:B), pairs with torc_mark_read:A */
	torc_cas(&mark->position, position, next->position);
}

/* All records before mp->walk are committed; perhaps a mark is there. */
static inline void torc_mp_walked(struct torc_mp *mp)
{
	struct torc_mark mark = mp->walk;

	if (torc_likely(torc_distance(mark.position, mp->walk_until) < 0))
		return;
	mark.index++;
	torc_mp_know(mp, &mark);
}

/*
 * This producer committed a message from @claim to @end.  If it had walked up to
 * there, it need not read the header: alone, it hardly ever walks.
 */
static inline void torc_mp_pass(struct torc_mp *mp, uint64_t claim,
				uint64_t end)
{
	if (torc_unlikely(mp->walk.position != claim))
		return;
	mp->walk.position = end;
	mp->walk.count++;
}

/* Was the last claim this producer's, which may be alone then? */
static inline bool torc_mp_was_last(const struct torc_mp *mp, uint64_t tail)
{
	return mp->noted &&
	       torc_load_relaxed(&mp->slot->claim_position) + mp->noted == tail;
}

/*
 * See to it that the mark after @floor is known: 1, or 0 if the floor has moved.
 * Who may be alone walks two marks for each by which the floor moves, until it
 * comes to its own claims; from there on torc_mp_pass() does it.
 */
static inline int torc_mp_next_mark(struct torc_mp *mp,
				    const struct torc_mark *floor,
				    uint64_t tail)
{
	const struct torc_ring *ring = &mp->ring;
	unsigned int walks;
	int r = 1;

	/* Others moved the floor past what is known; or hostile ones, back. */
	if (mp->walk.index - floor->index >= TORC_MP_KNOWN)
		torc_mp_know(mp, floor);
	walks = torc_mp_was_last(mp, tail) ? 2 : mp->walk.index == floor->index;
	while (r > 0 && walks--) {
		struct torc_mark walk = mp->walk;

		r = torc_walk(ring, &walk.position, &walk.count, mp->walk_until,
			      true);
		/* If others moved the floor, this walk may have met records
		 * that were being overwritten. */
		torc_fence_acquire();
		if (torc_load_relaxed(&ring->shm->floor) != floor->index)
			return 0;
		mp->walk = walk;
		torc_mp_walked(mp);
	}
	if (mp->walk.index != floor->index)
		return 1;
	mp->blocked = TORC_MP_STUCK;
	mp->stuck_at = mp->walk.position;
	return r ? r : -EAGAIN;
}

/*
 * Move the floor from @floor by one mark.  0 if it has moved, by whomever.
 */
static inline int torc_floor_advance(struct torc_mp *mp,
				     const struct torc_mark *floor)
{
	const struct torc_ring *ring = &mp->ring;
	struct torc_publishing_shm *shm = ring->shm;
	uint64_t tail = torc_load_acquire(&shm->tail);
	unsigned int tries = 1000;
	uint64_t proposed, gate;
	const struct torc_mark *next;
	int r;

	r = torc_mp_next_mark(mp, floor, tail);
	if (r <= 0)
		return r;
	next = torc_mp_known(mp, floor->index + 1);
	torc_mark_help(ring, floor, next);

	proposed = torc_load_relaxed(&shm->proposed);
	/* It only grows, so few are in the way, unless the memory is hostile. */
	while (torc_distance(proposed, next->index) < 0 && tries-- &&
	       !torc_cas(&shm->proposed, proposed, next->index))
		proposed = torc_load_relaxed(&shm->proposed);
	/* As torc_sp_make_room:A.  Dekker.  MO(torc_floor_advance:A), pairs
	 * with torc_consumer_hold:C. */
	torc_fence_full();
	gate = torc_gate(ring, floor->position, tail, &mp->blocker);
	if (torc_distance(next->position, gate) > 0) {
		/* As in torc_mp_next_mark(): who comes late knows nothing. */
		torc_fence_acquire();
		if (torc_load_relaxed(&shm->floor) != floor->index)
			return 0;
		mp->blocked = TORC_MP_FULL;
		return -EAGAIN;
	}
	/* MO(torc_floor_advance:B), pairs with torc_mark_current:A and
	 * torc_consumer_lapped:A */
	torc_cas(&shm->floor, floor->index, next->index);
	return 0;
}

/*
 * Moves of the floor that make room for any claim: one ends at most a quarter of
 * the capacity past the window, a step on, and a move is a sixteenth at least.
 */
#define TORC_MP_MOVES	8u

/* Move the floor until there is room for a claim whose end, a step on, is @end. */
static __attribute__((__noinline__, __unused__)) int
torc_mp_make_room(struct torc_mp *mp, uint64_t end)
{
	struct torc_mark floor;
	int r;

	for (unsigned int i = 0; i < TORC_MP_MOVES; i++) {
		/* Acquire: what others wrote below the floor, and their zeroing
		 * up to floor + window, came before. */
		r = torc_mark_current(&mp->ring, &mp->ring.shm->floor, &floor);
		if (r)
			return r;
		mp->limit = floor.position + mp->ring.window;
		/* MO(torc_mp_make_room:A), pairs with torc_consumer_lapped:A:
		 * who reads a byte that is written from now on sees the floor. */
		torc_fence_release();
		if (torc_distance(end, mp->limit) <= 0)
			return 0;
		r = torc_floor_advance(mp, &floor);
		if (r)
			return r;
	}
	return -EAGAIN;
}

/* Note in the slot what is about to be claimed. */
static inline void torc_claim_note(struct torc_mp *mp, uint64_t position,
				   uint64_t length)
{
	/* Never a length with another claim's position: 0 comes first. */
	if (torc_unlikely(length != mp->noted))
		torc_store_relaxed(&mp->slot->claim_length, 0);
	/* MO(torc_claim_note:A), pairs with torc_claim_read:B */
	torc_store_release(&mp->slot->claim_position, position);
	if (torc_likely(length == mp->noted))
		return;
	/* MO(torc_claim_note:B), pairs with torc_claim_read:A */
	torc_store_release(&mp->slot->claim_length, length);
	mp->noted = length;
}

/* Nothing was claimed after all. */
static inline void torc_claim_clear(struct torc_mp *mp)
{
	mp->noted = 0;
	torc_store_release(&mp->slot->claim_length, 0);
}

/*
 * Lines that will be written next were zeroed half a capacity ago, and read by
 * others in the lap before.  Ask for a whole step of them at once, 64 bytes each:
 * else each message's compare-and-swap would wait for the line of the one before.
 */
static inline void torc_claim_prefetch(const struct torc_ring *ring,
				       uint64_t position)
{
	for (uint64_t i = 0; i < ring->ahead; i += 64)
		torc_prefetch_write(torc_header_at(ring, position + i));
}

/*
 * Step 2 for the claim [@claim, @end): zero what lies a window further, by whole
 * steps of ring->ahead, so that most claims have nothing to do.
 */
static inline void torc_claim_zero(const struct torc_ring *ring, uint64_t claim,
				   uint64_t end)
{
	uint64_t from = torc_align(claim, ring->ahead);
	uint64_t to = torc_align(end, ring->ahead);

	if (torc_likely(from == to))
		return;
	if (to - from == ring->ahead)
		torc_claim_prefetch(ring, from);
	torc_ring_zero(ring, from + ring->window, to - from);
}

/* Step 1 for the claim of @length bytes with @header, which was won. */
static inline void torc_claim_busy(const struct torc_mp *mp, uint64_t *header,
				   uint64_t length)
{
	torc_store_relaxed(header, TORC_HEADER(TORC_RECORD_BUSY, mp->slot_index,
					       length - TORC_HEADER_SIZE));
	/* MO(torc_claim_busy:A), pairs with torc_claim_find:A: whoever finds
	 * the header zero finds all of the claim zero. */
	torc_fence_release();
}

/* Steps 1 and 2 for the claim [mp->claim, mp->end), which was won. */
static inline void torc_claim_enter(struct torc_mp *mp)
{
	const struct torc_ring *ring = &mp->ring;

	torc_mp_set_plain(mp);
	torc_claim_busy(mp, torc_header_at(ring, mp->claim),
			mp->end - mp->claim);
	torc_claim_zero(ring, mp->claim, mp->end);
}

/* A look for room counts as so many claims that were lost. */
#define TORC_MP_ROOM_TRIES	16u

/**
 * torc_mp_try_reserve() - as torc_mp_reserve(), with an end
 * @mp:		the producer
 * @tries:	after so many claims that others won, give up
 * @length:	bytes of payload, at most torc_message_max()
 * @ret_payload: where to write it, 8-byte aligned; untouched on failure
 *
 * For a kernel, which may not go on for ever even where a hostile producer is
 * quicker each time.  A look for room counts as TORC_MP_ROOM_TRIES claims.
 *
 * Context, ordering: as torc_mp_reserve().
 * Progress: Wait-free; bounded by @tries, of which each TORC_MP_ROOM_TRIES walk
 * twice TORC_MP_MOVES sixteenths of the ring and look at all subscriber slots
 * TORC_MP_MOVES times.
 * Return: As torc_mp_reserve(), or -EBUSY: others won each time.
 */
static inline int torc_mp_try_reserve(struct torc_mp *mp, unsigned int tries,
				      size_t length, void **ret_payload)
{
	const struct torc_ring *ring = &mp->ring;
	torc_u64 *tail = &ring->shm->tail;
	uint64_t size, claim, start, end;
	unsigned int tried = 0;
	bool noted = false;
	int r = -EBUSY;

	if (torc_unlikely(length > torc_message_max(ring)))
		return -EMSGSIZE;
	size = torc_record_size(length);
	for (; tried < tries; tried++) {
		claim = torc_load_relaxed(tail);
		/* No publisher leaves it so: the memory is damaged. */
		if (torc_unlikely(claim % TORC_RECORD_ALIGN)) {
			r = -EPROTO;
			break;
		}
		start = torc_record_place(ring, claim, size);
		end = start + size;
		if (torc_unlikely(torc_distance(end + ring->ahead,
						mp->limit) > 0)) {
			r = torc_mp_make_room(mp, end + ring->ahead);
			if (r)
				break;
			r = -EBUSY;
			tried += TORC_MP_ROOM_TRIES - 1;
			continue;
		}
		torc_claim_note(mp, claim, end - claim);
		noted = true;
		/* MO(torc_mp_try_reserve:A): release, so that the claim is
		 * noted before it can be won. */
		if (torc_likely(torc_cas(tail, claim, end))) {
			mp->claim = claim;
			mp->start = start;
			mp->end = end;
			torc_claim_enter(mp);
			*ret_payload = torc_header_at(ring, start) + 1;
			return 0;
		}
		torc_pause();
	}
	if (noted)
		torc_claim_clear(mp);
	return r;
}

/**
 * torc_mp_reserve() - claim room for a message, to be written in place
 * @mp:		the producer
 * @length:	bytes of payload, at most torc_message_max()
 * @ret_payload: where to write it, 8-byte aligned; untouched on failure
 *
 * Consumers wait at the claim until it is committed or aborted: be quick, and
 * do not reserve again before.
 *
 * Context: One thread at a time per producer.  No system call.
 * Ordering: Acquire of the floor and of the cursors.
 * Progress: Lock-free: a lost race is another producer's claim.
 * Return: 0, -EAGAIN if there is no room (why: mp->blocked), -EMSGSIZE if
 * @length is too large, -EPROTO if the ring is damaged.
 */
static inline int torc_mp_reserve(struct torc_mp *mp, size_t length,
				  void **ret_payload)
{
	int r;

	do
		r = torc_mp_try_reserve(mp, ~0u, length, ret_payload);
	while (torc_unlikely(r == -EBUSY));
	return r;
}

/**
 * torc_mp_commit() - make the reserved message visible
 * @mp:		the producer, after torc_mp_reserve()
 * @length:	bytes of payload, at most what was reserved
 *
 * Context: As torc_mp_reserve().
 * Ordering: Release: a consumer that gets the message sees all earlier writes.
 * Progress: Wait-free; one store, up to three with pads.
 */
static inline void torc_mp_commit(struct torc_mp *mp, size_t length)
{
	const struct torc_ring *ring = &mp->ring;
	uint64_t end = mp->start + torc_record_size(length);

	if (torc_unlikely(end != mp->end))
		/* MO(torc_mp_commit:A): ordered before B. */
		torc_store_relaxed(torc_header_at(ring, end),
				   TORC_HEADER(TORC_RECORD_PAD, mp->slot_index,
					       mp->end - end -
						       TORC_HEADER_SIZE));
	/* MO(torc_mp_commit:B), pairs with torc_header_load:A */
	torc_store_release(torc_header_at(ring, mp->start),
			   TORC_HEADER(TORC_RECORD_MESSAGE, mp->slot_index,
				       length));
	if (torc_likely(mp->start == mp->claim)) {
		torc_mp_pass(mp, mp->start, end);
		torc_mp_walked(mp);
		return;
	}
	/* MO(torc_mp_commit:C), pairs with torc_header_load:A */
	torc_store_release(torc_header_at(ring, mp->claim),
			   TORC_HEADER(TORC_RECORD_PAD, mp->slot_index,
				       mp->start - mp->claim -
					       TORC_HEADER_SIZE));
}

/**
 * torc_mp_abort() - give the reserved room up
 * @mp:		the producer, after torc_mp_reserve()
 *
 * The claim becomes a pad; the tail never moves back.
 *
 * Context: As torc_mp_reserve().
 * Ordering: Release: who passes over the pad finds what lies behind it zeroed.
 * Progress: Wait-free; one store.
 */
static inline void torc_mp_abort(struct torc_mp *mp)
{
	/* MO(torc_mp_abort:A), pairs with torc_header_load:A: step 2 is done
	 * before the floor can move over the pad. */
	torc_store_release(torc_header_at(&mp->ring, mp->claim),
			   TORC_HEADER(TORC_RECORD_PAD, mp->slot_index,
				       mp->end - mp->claim - TORC_HEADER_SIZE));
}

/*
 * Publish at most TORC_SHORT - TORC_HEADER_SIZE bytes, if there is nothing to
 * look after and nobody else claims; else false, and nothing was done.
 */
static inline bool torc_mp_publish_short(struct torc_mp *mp, const void *data,
					 size_t length)
{
	const struct torc_ring *ring = &mp->ring;
	torc_u64 *tail = &ring->shm->tail;
	uint64_t claim = torc_load_relaxed(tail);
	uint64_t end = claim + torc_record_size_short(length);
	uint64_t *header;

	/*
	 * A step ends at the end of the data, so that is not here either; wherever
	 * the tail is, for it may lie in another step only if the memory is hostile.
	 */
	if (torc_unlikely(torc_distance(end, mp->plain) > 0 ||
			  (claim ^ mp->end) & ~(ring->ahead - TORC_RECORD_ALIGN)))
		return false;
	torc_claim_note(mp, claim, end - claim);
	/* As torc_mp_try_reserve:A. */
	if (torc_unlikely(!torc_cas(tail, claim, end))) {
		torc_claim_clear(mp);
		return false;
	}
	header = torc_header_at(ring, claim);
	torc_claim_busy(mp, header, end - claim);
	torc_copy_short(header + 1, data, length);
	/* MO(torc_mp_publish_short:A), pairs with torc_header_load:A */
	torc_store_release(header, TORC_HEADER(TORC_RECORD_MESSAGE,
					       mp->slot_index, length));
	torc_mp_pass(mp, claim, end);
	return true;
}

/**
 * torc_mp_publish() - append one message and make it visible
 * @mp:		the producer
 * @data:	payload, copied; may be NULL if @length is 0
 * @length:	bytes of payload
 *
 * Context, ordering, progress: as torc_mp_reserve() and torc_mp_commit().
 * Return: As torc_mp_reserve().
 */
static inline int torc_mp_publish(struct torc_mp *mp, const void *data,
				  size_t length)
{
	void *payload;
	int r;

	if (torc_likely(length <= TORC_SHORT - TORC_HEADER_SIZE) &&
	    torc_likely(torc_mp_publish_short(mp, data, length)))
		return 0;
	r = torc_mp_reserve(mp, length, &payload);
	if (torc_unlikely(r))
		return r;
	torc_copy_payload(payload, data, length);
	torc_mp_commit(mp, length);
	return 0;
}

/*
 * torc_mp_publish_batch() up to its commit: torc_mp_commit_batch() with the header
 * returned.  The claim is from mp->claim to mp->end.
 */
static inline int torc_mp_write_batch(struct torc_mp *mp,
				      const struct torc_span *spans, int count,
				      uint64_t *ret_header)
{
	const struct torc_ring *ring = &mp->ring;
	torc_u64 *tail = &ring->shm->tail;
	bool noted = false;
	uint64_t claim, end;
	int fits, r;

	for (;;) {
		claim = torc_load_relaxed(tail);
		if (torc_unlikely(claim % TORC_RECORD_ALIGN)) {
			r = -EPROTO;
			break;
		}
		r = fits = torc_batch_measure(ring, claim, spans, count, &end);
		if (fits < 0)
			break;
		if (torc_distance(end + ring->ahead, mp->limit) > 0) {
			r = torc_mp_make_room(mp, end + ring->ahead);
			if (r)
				break;
			continue;
		}
		torc_claim_note(mp, claim, end - claim);
		noted = true;
		/* As torc_mp_try_reserve:A. */
		if (torc_cas(tail, claim, end)) {
			mp->claim = claim;
			mp->end = end;
			torc_claim_enter(mp);
			*ret_header = torc_batch_write(ring, claim, spans, fits,
						       mp->slot_index);
			return fits;
		}
		torc_pause();
	}
	if (noted)
		torc_claim_clear(mp);
	return r;
}

static inline void torc_mp_commit_batch(struct torc_mp *mp, uint64_t header)
{
	/* MO(torc_mp_commit_batch:A), pairs with torc_header_load:A */
	torc_store_release(torc_header_at(&mp->ring, mp->claim), header);
}

/**
 * torc_mp_publish_batch() - append several messages, visible all at once
 * @mp:		the producer
 * @spans:	the messages; copied
 * @count:	how many, at least 1
 *
 * Takes as many from the front as fit into the longest record that the ring
 * takes; no other producer's message comes between them.
 *
 * Context, ordering, progress: as torc_mp_publish().
 * Return: How many were published, at least 1; else as torc_mp_reserve().
 */
static inline int torc_mp_publish_batch(struct torc_mp *mp,
					const struct torc_span *spans, int count)
{
	uint64_t header = 0;

	count = torc_mp_write_batch(mp, spans, count, &header);
	if (count > 0)
		torc_mp_commit_batch(mp, header);
	return count;
}

#ifdef __cplusplus
}
#endif

#endif /* TORC_MP_H */
