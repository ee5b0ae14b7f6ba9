/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * What became of the claim of a publisher that died, and mending the ring.
 * Included by ring.h; start there.
 *
 * A ring with one publisher needs none of this: what it did not commit cannot
 * be seen.  With many, a death between winning a claim and committing it leaves
 * a gap at which everybody waits.  The header there tells two cases apart:
 *
 *   BUSY	the claim's length and its owner's slot stand in it.
 *   zero	somebody won the claim and has not got to step 1 (mp.h).  It was
 *		noted in the winner's slot; so may be the claims of those who
 *		lost the race.  The winner's is the shortest whose end is a
 *		record boundary: nothing was written in the winner's range, and
 *		no claim ever starts inside it, so no shorter one ends at a
 *		boundary.  An end is a boundary if it is the tail, or the start
 *		of a noted claim, or has a nonzero header; looked at in this
 *		order, because the tail moves on only after the next claim was
 *		noted, and a noted claim only after its header was stored.
 *
 * Whether an owner is dead is for the caller to say (struct torc_death).
 */
#ifndef TORC_REPAIR_H
#define TORC_REPAIR_H

#include <torc/layout.h>
#include <torc/mp.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Who is dead.  For torc_claim_repair() a slot that was once said to be dead
 * must stay so, and not be taken over, until it returns: hold its lock.
 */
struct torc_death {
	bool (*dead)(void *context, uint32_t slot);
	void *context;
};

struct torc_claim {
	uint64_t position;
	uint64_t length;	/* bytes; 0: none */
	uint32_t slot;
};

/* The claim that is noted in @slot. */
static inline struct torc_claim torc_claim_read(const struct torc_ring *ring,
						uint32_t slot)
{
	struct torc_publisher_slot_shm *shm = torc_publisher_slot(ring, slot);
	struct torc_claim claim;

	claim.slot = slot;
	/* MO(torc_claim_read:A), pairs with torc_claim_note:B */
	claim.length = torc_load_acquire(&shm->claim_length);
	/* MO(torc_claim_read:B), pairs with torc_claim_note:A: with a newer
	 * position comes a length that is zero or newer. */
	claim.position = torc_load_acquire(&shm->claim_position);
	if (claim.length != torc_load_relaxed(&shm->claim_length) ||
	    claim.length % TORC_RECORD_ALIGN ||
	    claim.length > ring->capacity / 2 ||
	    claim.position % TORC_RECORD_ALIGN)
		claim.length = 0;
	return claim;
}

static inline bool torc_claim_starts_at(const struct torc_ring *ring,
					uint64_t position)
{
	for (uint32_t i = 0; i < ring->publishers; i++) {
		struct torc_claim claim = torc_claim_read(ring, i);

		if (claim.length && claim.position == position)
			return true;
	}
	return false;
}

/*
 * The length of the claim that was won at @position, where the header is zero
 * and the tail has moved on; 0 if it cannot be told now.
 */
static inline uint64_t torc_claim_find(const struct torc_ring *ring,
				       uint64_t position)
{
	uint64_t shortest = 0;

	for (uint32_t i = 0; i < ring->publishers; i++) {
		struct torc_claim claim = torc_claim_read(ring, i);
		uint64_t end = position + claim.length, tail;

		if (!claim.length || claim.position != position ||
		    (shortest && claim.length >= shortest))
			continue;
		tail = torc_load_acquire(&ring->shm->tail);
		if (torc_distance(tail, end) < 0)
			continue;
		/* MO(torc_claim_find:A), pairs with torc_claim_busy:A, by the
		 * caller's second look at the header. */
		if (tail == end || torc_claim_starts_at(ring, end) ||
		    torc_racy_load(torc_header_at(ring, end)))
			shortest = claim.length;
	}
	return shortest;
}

/* Has the floor passed @position, so that what was read there was others'? */
static inline bool torc_claim_lapped(const struct torc_ring *ring,
				     uint64_t position)
{
	struct torc_mark floor;

	torc_fence_acquire();
	return !torc_mark_current(ring, &ring->shm->floor, &floor) &&
	       torc_distance(position, floor.position) < 0;
}

/*
 * The tail has passed @position, where the header is zero: false if no slot can
 * be the winner's.  Its note stays until its header is stored, so that is no
 * state which publishers leave, but damage, unless we were lapped.
 */
static inline bool torc_claim_is_noted(const struct torc_ring *ring,
				       uint64_t position)
{
	return torc_claim_starts_at(ring, position) ||
	       torc_racy_load(torc_header_at(ring, position));
}

/**
 * torc_claim_outcome() - is the claim at a position a dead publisher's?
 * @ring:	the ring, of many publishers; it is only read
 * @position:	where a committed record is awaited, or was until a lap ago
 * @death:	who is dead
 * @ret:	the claim, if so
 *
 * Context: Any participant.
 * Ordering: Acquire of the tail, and of what @death->dead() looks at.
 * Progress: Wait-free, bounded by the square of the number of slots.
 * Return: 1 if nobody living can commit or write to the claim any more; 0 if
 * somebody may; -EPROTO if the ring is damaged.
 */
static inline int torc_claim_outcome(const struct torc_ring *ring,
				     uint64_t position,
				     const struct torc_death *death,
				     struct torc_claim *ret)
{
	const uint64_t *at = torc_header_at(ring, position);
	uint64_t header = torc_racy_load(at);
	struct torc_claim found;

	found.position = position;
	if (header) {
		found.slot = torc_header_slot(header);
		found.length = (uint64_t)torc_header_length(header) +
			       TORC_HEADER_SIZE;
		if (torc_header_kind(header) != TORC_RECORD_BUSY)
			return 0;
		if (found.slot >= ring->publishers ||
		    found.length % TORC_RECORD_ALIGN ||
		    found.length > ring->capacity / 2)
			return torc_claim_lapped(ring, position) ? 0 : -EPROTO;
		/* It may have committed, and died afterwards. */
		if (!death->dead(death->context, found.slot) ||
		    torc_racy_load(at) != header)
			return 0;
		*ret = found;
		return 1;
	}

	if (torc_load_acquire(&ring->shm->tail) == position)
		return 0;
	found.length = torc_claim_find(ring, position);
	found.slot = ring->publishers;
	if (!found.length)
		return torc_claim_is_noted(ring, position) ||
		       torc_claim_lapped(ring, position) ? 0 : -EPROTO;
	/* The winner and who lost with the same length look alike. */
	for (uint32_t i = 0; i < ring->publishers; i++) {
		struct torc_claim claim = torc_claim_read(ring, i);

		if (claim.position != position || claim.length != found.length)
			continue;
		if (!death->dead(death->context, i))
			return 0;
		found.slot = i;
	}
	if (found.slot == ring->publishers || torc_racy_load(at))
		return 0;
	*ret = found;
	return 1;
}

/**
 * torc_claim_repair() - turn a dead publisher's claim into a pad
 * @ring:	the ring, writable
 * @position:	where a committed record is awaited, or was until a lap ago
 * @death:	who is dead, and stays so
 *
 * Each step can be done again, so a repairer may die too.
 *
 * Context: One at a time per ring.
 * Ordering: Release of the pad; who passes over it finds what lies in it zeroed.
 * Progress: Wait-free; as torc_claim_outcome(), and zeroes as much as was claimed.
 * Return: 1 if it was repaired, 0 if there is nothing to repair or somebody
 * living may still commit it, -EPROTO if the ring is damaged.
 */
static inline int torc_claim_repair(const struct torc_ring *ring,
				    uint64_t position,
				    const struct torc_death *death)
{
	uint64_t *header = torc_header_at(ring, position);
	struct torc_claim claim, again;
	struct torc_mark floor;
	int r;

	r = torc_claim_outcome(ring, position, death, &claim);
	if (r <= 0)
		return r;
	/* All who were dead are held now: what is read from here on stays. */
	r = torc_claim_outcome(ring, position, death, &again);
	if (r <= 0)
		return r;
	/*
	 * Others may have settled it, and lapped us, since the caller found it.
	 * If not by now, they cannot any more: its owner is dead, and held.
	 */
	torc_fence_acquire();
	r = torc_mark_current(ring, &ring->shm->floor, &floor);
	if (r)
		return r;
	if (torc_distance(position, floor.position) < 0)
		return 0;
	/* Not over the header of a winner that lived until a moment ago. */
	if (!torc_racy_load(header) &&
	    !torc_cas(header, (uint64_t)0,
		      TORC_HEADER(TORC_RECORD_BUSY, again.slot,
				  again.length - TORC_HEADER_SIZE)))
		return 0;
	torc_claim_zero(ring, position, position + again.length);
	/* MO(torc_claim_repair:A), pairs with torc_header_load:A */
	torc_store_release(header,
			   TORC_HEADER(TORC_RECORD_PAD, again.slot,
				       again.length - TORC_HEADER_SIZE));
	return 1;
}

/**
 * torc_claim_settled() - may a dead publisher's slot be taken over?
 * @ring:	the ring
 * @slot:	the slot; its lock is held, so that its owner is dead
 * @ret_position: where torc_claim_repair() is wanted if not
 *
 * A new owner's claim, and its slot number in a BUSY header, would hide the old
 * one's.
 *
 * Context: Nobody else takes the slot meanwhile, in any process.
 * Ordering: Acquire of the tail and of the floor.
 * Progress: Wait-free.
 * Return: 1 if so, 0 if its claim has to be repaired first, -EPROTO.
 */
static inline int torc_claim_settled(const struct torc_ring *ring, uint32_t slot,
				     uint64_t *ret_position)
{
	struct torc_claim claim = torc_claim_read(ring, slot);
	struct torc_mark floor;
	uint64_t header;
	int r;

	if (!claim.length ||
	    torc_load_acquire(&ring->shm->tail) == claim.position)
		return 1;
	header = torc_racy_load(torc_header_at(ring, claim.position));
	torc_fence_acquire();
	r = torc_mark_current(ring, &ring->shm->floor, &floor);
	if (r)
		return r;
	if (torc_distance(claim.position, floor.position) < 0)
		return 1;
	*ret_position = claim.position;
	if (!header)
		return 0;
	return torc_header_kind(header) != TORC_RECORD_BUSY ||
	       torc_header_slot(header) != slot;
}

#ifdef __cplusplus
}
#endif

#endif /* TORC_REPAIR_H */
