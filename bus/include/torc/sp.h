/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The producer of a ring with one publisher.  Included by ring.h; start there.
 *
 * Publishing is: write the payload, see that the header which will follow is
 * zero, store this record's header with release.  Nothing else is shared with a
 * consumer, so there is no read-modify-write and, on x86-64, no fence.  The
 * header that follows the last record is zero at every moment, which is what
 * makes the one store a commit.
 *
 * Bytes from the tail to @zeroed are zero, two cache lines at least.  They are
 * zeroed after a commit, while the consumer is already at the message: before it,
 * the commit would wait until the consumer gives up the next line, which it polls.
 *
 * Everything else is looked at only when the private limit is reached: at the end
 * of the data, and a sixteenth of the capacity apart, where the producer notes a
 * mark and moves the floor (ring.h, "The floor").
 */
#ifndef TORC_SP_H
#define TORC_SP_H

#include <torc/batch.h>
#include <torc/layout.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How far records may reach before there is more to do than to write them, from
 * the nearest on:
 *
 *    tail        plain         brim          limit             bound
 *     |------------|------------|--------------|-----------------|
 *       only short:  and a line   of any length:  and a mark       and the floor
 *       nothing      is zeroed    lines zeroed    noted, or round  moved on
 *                    behind it    as needed       the data's end
 *
 * @plain and @brim follow from @zeroed and @limit (torc_sp_set_plain()), @limit
 * from @bound, the next mark and the end of the data (torc_sp_set_limit()).
 */
struct torc_sp {
	struct torc_ring ring;
	uint64_t tail;		/* where the next record begins */
	uint64_t limit;
	uint64_t plain;
	uint64_t brim;
	uint64_t zeroed;	/* all is zero from the tail to here */
	uint64_t count;		/* messages before the tail */
	uint64_t start;		/* of the reserved record, less its pad */
	uint64_t end;		/* of it */
	bool reserved;
	uint64_t bound;		/* bytes below it may be written */
	uint64_t mark_at;	/* position from which the next mark is due */
	uint64_t noted;		/* index of the newest mark */
	uint64_t floor;		/* index of the floor's mark */
	uint32_t blocker;	/* slot that held the floor when it was full */
};

/* Up to the bound, and so far past the next mark or the end of the data. */
static inline void torc_sp_set_limit(struct torc_sp *sp)
{
	uint64_t limit = sp->tail - (sp->tail & sp->ring.mask) +
			 sp->ring.capacity;

	if (torc_distance(sp->mark_at, limit) < 0)
		limit = sp->mark_at;
	limit += sp->ring.ahead;
	sp->limit = torc_distance(limit, sp->bound) < 0 ? limit : sp->bound;
}

/* Distance that the zeroed bytes keep from the line of the tail. */
#define TORC_SP_AHEAD	128u
#define TORC_SP_LINE	64u
/*
 * And after a record of several lines, but no longer than this, the length of
 * another.  Round trips of 256 and 1024 bytes took 3.3 and 4.9 times that of a
 * bare word without and 1.8 and 2.9 with it; a stream of 1024 bytes is 8 % slower.
 */
#define TORC_SP_ALIKE	2048u

/* After the zeroed bytes have changed, or the limit. */
static inline void torc_sp_set_plain(struct torc_sp *sp)
{
	uint64_t end = sp->limit - sp->ring.ahead;
	uint64_t plain = sp->zeroed - TORC_SP_AHEAD;
	uint64_t brim = plain + TORC_SP_LINE;

	sp->plain = torc_distance(plain, end) < 0 ? plain : end;
	sp->brim = torc_distance(brim, end) < 0 ? brim : end;
}

static __attribute__((__noinline__, __unused__)) void
torc_sp_zero(struct torc_sp *sp, uint64_t from, uint64_t to)
{
	torc_ring_zero(&sp->ring, from, to - from);
	sp->zeroed = to;
}

/* Keep the distance, the tail being at @end behind a record of @size bytes. */
static inline void torc_sp_zero_ahead(struct torc_sp *sp, uint64_t end,
				      uint64_t size)
{
	uint64_t to = torc_align(end, TORC_SP_LINE) + TORC_SP_AHEAD;

	if (size > TORC_SP_LINE && size <= TORC_SP_ALIKE &&
	    size + TORC_SP_LINE + TORC_SP_AHEAD <= sp->ring.ahead)
		to += torc_align(size, TORC_SP_LINE);
	if (torc_distance(to, sp->zeroed) > 0)
		torc_sp_zero(sp, sp->zeroed, to);
}

/**
 * torc_sp_init() - become the producer of a ring
 * @sp:		the producer
 * @ring:	the ring; copied
 *
 * Goes on where the last producer ended, whatever it was doing when it did:
 * a record is there when its header is, and nothing else matters.
 *
 * Context: There is no other producer, in no process.
 * Ordering: Acquire of what the last producer committed.
 * Progress: Wait-free, bounded by a sixteenth of the capacity and a record.
 * Return: 0, -EINVAL if the ring takes many, -EPROTO if it is damaged.
 */
static inline int torc_sp_init(struct torc_sp *sp, const struct torc_ring *ring)
{
	struct torc_mark mark;
	int r;

	if (ring->kind != TORC_KIND_SP)
		return -EINVAL;
	sp->ring = *ring;
	r = torc_mark_current(ring, &ring->shm->floor, &mark);
	if (r)
		return r;
	sp->floor = mark.index;
	sp->bound = mark.position + ring->window;
	torc_mark_newest(ring, &mark);
	sp->noted = mark.index;
	sp->mark_at = mark.position + ring->mark_step;
	sp->tail = mark.position;
	sp->count = mark.count;
	r = torc_walk(ring, &sp->tail, &sp->count, sp->bound, false);
	if (r)
		return -EPROTO;
	sp->reserved = false;
	sp->blocker = ring->subscribers;
	torc_store_relaxed(&ring->shm->tail, sp->tail);
	/* The last producer left room for it. */
	sp->zeroed = sp->tail + TORC_RECORD_ALIGN;
	torc_sp_zero_ahead(sp, sp->tail, 0);
	torc_sp_set_limit(sp);
	torc_sp_set_plain(sp);
	return 0;
}

/* Note a mark at the tail. */
static inline void torc_mark_note(struct torc_sp *sp)
{
	struct torc_mark_shm *mark =
		&sp->ring.shm->marks[++sp->noted % TORC_MARKS];

	/* MO(torc_mark_note:A), pairs with torc_mark_read:B: the floor that
	 * freed this place in the table is seen before its new words. */
	torc_fence_release();
	torc_store_relaxed(&mark->count, sp->count);
	/* MO(torc_mark_note:B), pairs with torc_mark_read:A */
	torc_store_release(&mark->position, sp->tail);
	sp->mark_at = sp->tail + sp->ring.mark_step;
	/* For observers; nothing is read on the strength of it. */
	torc_store_relaxed(&sp->ring.shm->tail, sp->tail);
}

/*
 * Make room for bytes up to @end: note the mark that is due, then move the floor
 * to the first mark that is far enough, if no subscriber holds it.
 */
static __attribute__((__noinline__, __unused__)) int
torc_sp_make_room(struct torc_sp *sp, uint64_t end)
{
	struct torc_publishing_shm *shm = sp->ring.shm;
	const struct torc_mark_shm *marks = shm->marks;
	uint64_t needed = end - sp->ring.window;
	uint64_t target = sp->floor, floor, gate;

	if (torc_distance(sp->tail, sp->mark_at) >= 0)
		torc_mark_note(sp);
	if (torc_distance(end, sp->bound) <= 0) {
		torc_sp_set_limit(sp);
		return 0;
	}

	/* The producer wrote these marks itself: relaxed. */
	floor = torc_load_relaxed(&marks[target % TORC_MARKS].position);
	/* Where others may write the marks, there may be more than the table has. */
	while (target != sp->noted && target - sp->floor < TORC_MARKS &&
	       torc_distance(torc_load_relaxed(
				     &marks[target % TORC_MARKS].position),
			     needed) < 0)
		target++;
	/* MO(torc_sp_make_room:D), pairs with torc_mark_current:A: the mark is
	 * noted before it is proposed. */
	torc_store_release(&shm->proposed, target);
	/* MO(torc_sp_make_room:A), pairs with torc_consumer_hold:C.  Dekker:
	 * either the gate shows a joining consumer's cursor, or the consumer
	 * sees the proposal and joins behind it. */
	torc_fence_full();
	gate = torc_gate(&sp->ring, floor, sp->tail, &sp->blocker);
	while (sp->floor != target &&
	       torc_distance(
		       gate,
		       torc_load_relaxed(
			       &marks[(sp->floor + 1) % TORC_MARKS].position)) >=
		       0)
		sp->floor++;

	/* MO(torc_sp_make_room:B), pairs with torc_mark_current:A and
	 * torc_consumer_lapped:A */
	torc_store_release(&shm->floor, sp->floor);
	/* MO(torc_sp_make_room:C), pairs with torc_consumer_lapped:A: who reads
	 * a byte that is written from now on sees the floor. */
	torc_fence_release();
	sp->bound = torc_load_relaxed(&marks[sp->floor % TORC_MARKS].position) +
		    sp->ring.window;
	torc_sp_set_limit(sp);
	return torc_distance(end, sp->bound) <= 0 ? 0 : -EAGAIN;
}

/*
 * Commit: @header goes to the tail, the next record begins at @end, @count
 * messages later.
 */
static inline void torc_sp_advance(struct torc_sp *sp, uint64_t header,
				   uint64_t end, uint64_t count)
{
	const struct torc_ring *ring = &sp->ring;
	uint64_t size = end - sp->tail;

	/* MO(torc_sp_advance:A): ordered before B; who gets this record finds
	 * the next header zero or committed, never what was there before. */
	if (torc_unlikely(torc_distance(end, sp->zeroed) >= 0))
		torc_sp_zero(sp, end, end + TORC_RECORD_ALIGN);
	/* MO(torc_sp_advance:B), pairs with torc_header_load:A */
	torc_store_release(torc_header_at(ring, sp->tail), header);
	sp->tail = end;
	sp->count += count;
	torc_sp_zero_ahead(sp, end, size);
	torc_sp_set_plain(sp);
}

/**
 * torc_sp_reserve() - get room for a message, to be written in place
 * @sp:		the producer
 * @length:	bytes of payload, at most torc_message_max()
 * @ret_payload: where to write it, 8-byte aligned; untouched on failure
 *
 * Reserving again, or never committing, forgets the reservation.
 *
 * Context: The producer, one thread at a time.  No system call.
 * Ordering: Acquire of the cursors when it has to look for room.
 * Progress: Wait-free; bounded by the number of subscriber slots.
 * Return: 0, -EAGAIN if a lossless subscriber has not read far enough (its slot
 * in sp->blocker), -EMSGSIZE if @length is too large.
 */
static inline int torc_sp_reserve(struct torc_sp *sp, size_t length,
				  void **ret_payload)
{
	uint64_t size, start, end;
	int r;

	if (torc_unlikely(length > torc_message_max(&sp->ring)))
		return -EMSGSIZE;
	size = torc_record_size(length);
	start = torc_record_place(&sp->ring, sp->tail, size);
	end = start + size;
	if (torc_unlikely(torc_distance(end + sp->ring.ahead, sp->limit) > 0)) {
		r = torc_sp_make_room(sp, end + sp->ring.ahead);
		if (r)
			return r;
	}
	/* Who forgot a reservation may have written to it. */
	if (torc_unlikely(sp->reserved))
		sp->zeroed = sp->tail;
	sp->start = start;
	sp->end = end;
	sp->reserved = true;
	sp->plain = sp->brim = sp->tail;
	*ret_payload = torc_header_at(&sp->ring, start) + 1;
	return 0;
}

/**
 * torc_sp_commit() - make the reserved message visible
 * @sp:		the producer, after torc_sp_reserve()
 * @length:	bytes of payload, at most what was reserved
 *
 * Context: As torc_sp_reserve().
 * Ordering: Release: a consumer that gets the message sees all earlier writes.
 * Progress: Wait-free; a few stores.
 */
static inline void torc_sp_commit(struct torc_sp *sp, size_t length)
{
	const struct torc_ring *ring = &sp->ring;
	uint64_t start = sp->start;
	uint64_t end = start + torc_record_size(length);
	uint64_t header = TORC_HEADER(TORC_RECORD_MESSAGE, 0, length);

	sp->reserved = false;
	/* What was reserved and is not needed may have been written to. */
	if (torc_unlikely(end != sp->end))
		sp->zeroed = end;
	if (torc_unlikely(start != sp->tail)) {
		/* MO(torc_sp_commit:A): ordered by torc_sp_advance:B. */
		torc_store_relaxed(torc_header_at(ring, start), header);
		header = TORC_HEADER(TORC_RECORD_PAD, 0,
				     start - sp->tail - TORC_HEADER_SIZE);
	}
	torc_sp_advance(sp, header, end, 1);
}

/*
 * Publish at most TORC_SHORT - TORC_HEADER_SIZE bytes, if there is nothing to
 * look after; else false, and nothing was done.
 */
static inline bool torc_sp_publish_short(struct torc_sp *sp, const void *data,
					 size_t length)
{
	uint64_t *header = torc_header_at(&sp->ring, sp->tail);
	uint64_t end = sp->tail + torc_record_size_short(length);
	bool plain = torc_distance(end, sp->plain) <= 0;

	if (!plain && torc_unlikely(torc_distance(end, sp->brim) > 0))
		return false;
	torc_copy_short(header + 1, data, length);
	/* MO(torc_sp_publish_short:A), pairs with torc_header_load:A.  The next
	 * header is in the lines that were zeroed before. */
	torc_store_release(header, TORC_HEADER(TORC_RECORD_MESSAGE, 0, length));
	sp->tail = end;
	sp->count++;
	if (!plain) {
		/* As torc_sp_zero_ahead(), but nothing here needs a call. */
		torc_zero(torc_header_at(&sp->ring, sp->zeroed), TORC_SP_LINE);
		sp->zeroed += TORC_SP_LINE;
		torc_sp_set_plain(sp);
	}
	return true;
}

/**
 * torc_sp_publish() - append one message and make it visible
 * @sp:		the producer
 * @data:	payload, copied; may be NULL if @length is 0
 * @length:	bytes of payload
 *
 * Context, ordering, progress: as torc_sp_reserve() and torc_sp_commit().
 * Return: As torc_sp_reserve().
 */
static inline int torc_sp_publish(struct torc_sp *sp, const void *data,
				  size_t length)
{
	void *payload;
	int r;

	if (torc_likely(length <= TORC_SHORT - TORC_HEADER_SIZE) &&
	    torc_likely(torc_sp_publish_short(sp, data, length)))
		return 0;
	r = torc_sp_reserve(sp, length, &payload);
	if (torc_unlikely(r))
		return r;
	torc_copy_payload(payload, data, length);
	torc_sp_commit(sp, length);
	return 0;
}

/*
 * torc_sp_publish_batch() up to its commit, which is torc_sp_advance() with the
 * header and the end returned, and the count.
 */
static inline int torc_sp_write_batch(struct torc_sp *sp,
				      const struct torc_span *spans, int count,
				      uint64_t *ret_header, uint64_t *ret_end)
{
	const struct torc_ring *ring = &sp->ring;
	int r;

	count = torc_batch_measure(ring, sp->tail, spans, count, ret_end);
	if (count < 0)
		return count;
	if (torc_distance(*ret_end + ring->ahead, sp->limit) > 0) {
		r = torc_sp_make_room(sp, *ret_end + ring->ahead);
		if (r)
			return r;
	}
	if (torc_unlikely(sp->reserved))
		sp->zeroed = sp->tail;
	sp->reserved = false;
	*ret_header = torc_batch_write(ring, sp->tail, spans, count, 0);
	return count;
}

/**
 * torc_sp_publish_batch() - append several messages, visible all at once
 * @sp:		the producer
 * @spans:	the messages; copied
 * @count:	how many, at least 1
 *
 * Takes as many from the front as fit into the longest record that the ring
 * takes.
 *
 * Context, ordering, progress: as torc_sp_publish().
 * Return: How many were published, at least 1; -EAGAIN as torc_sp_reserve();
 * -EMSGSIZE if the first is too large.
 */
static inline int torc_sp_publish_batch(struct torc_sp *sp,
					const struct torc_span *spans, int count)
{
	uint64_t header = 0, end = 0;

	count = torc_sp_write_batch(sp, spans, count, &header, &end);
	if (count > 0)
		torc_sp_advance(sp, header, end, (uint64_t)count);
	return count;
}

#ifdef __cplusplus
}
#endif

#endif /* TORC_SP_H */
