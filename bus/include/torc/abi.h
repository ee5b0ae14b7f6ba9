/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * The layout of a torc ring in shared memory, ABI version 1.
 *
 * This file is compiled by every participant: 32- and 64-bit processes, C and
 * C++, and the kernel.  All words are little-endian and of fixed width; 64-bit
 * words are aligned to 8 bytes explicitly, because i386 would place them at 4.
 * It holds no code but the arithmetic that is part of the layout itself.
 *
 *	ring object                                  cursors object
 *	+--------------------------+ 0               +--------------------+ 0
 *	| constants                |                 | identity           |
 *	|   creator, once          |                 | data word          | sleep
 *	+--------------------------+ publishing      | room word          | sleep
 *	| tail | floor | marks     |   _offset       | subscriber slot 0  |
 *	| publisher slot 0 ..      |                 | subscriber slot 1  |
 *	|   publishers             |                 | ..                 |
 *	+--------------------------+ data_offset     |   subscribers      |
 *	| records                  |                 +--------------------+
 *	|   publishers             |                   cursors_size
 *	+--------------------------+ ring_size
 *
 * Write permission on the ring object is permission to publish, read permission
 * on it to receive, write permission on the cursors object to be lossless and
 * to be woken.  In one block of memory the cursors object follows the ring
 * object.
 */
#ifndef TORC_ABI_H
#define TORC_ABI_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#if !defined(__KERNEL__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the layout is little-endian"
#endif

#define TORC_ABI_VERSION	1u

/* "torcring" and "torccurs" as the bytes of a little-endian word. */
#define TORC_RING_MAGIC		0x676e697263726f74ull
#define TORC_CURSORS_MAGIC	0x7372756363726f74ull

/*
 * Words that different participants write lie this far apart: two cache lines,
 * because the adjacent-line prefetcher of x86 moves them in pairs.
 */
#define TORC_LINE		128u

#define TORC_CAPACITY_MIN	4096ull
#define TORC_CAPACITY_MAX	(1ull << 40)
#define TORC_PUBLISHERS_MAX	1024u
#define TORC_SUBSCRIBERS_MAX	1024u
#define TORC_TYPE_MAX		128u	/* bytes, the final NUL included */

/* How many publishers a ring takes at a time; see sp.h and mp.h. */
#define TORC_KIND_SP		1u
#define TORC_KIND_MP		2u

typedef uint64_t torc_u64 __attribute__((aligned(8)));

/* ---- Records ------------------------------------------------------------ */

/*
 * A record is an 8-byte header and its payload.  The header is zero until the
 * record is committed, and that one store commits it:
 *
 *	bits 0-31   length: a message's payload in bytes; else see below
 *	bits 32-39  kind
 *	bits 40-55  the publisher's slot
 *	bits 56-63  zero
 *
 * A record of up to a cache line takes 16, 32 or 64 bytes, so that a stream of
 * small messages of one size never straddles a line; a longer one takes a
 * multiple of 16.  A record never wraps round the end of the data.
 */
#define TORC_HEADER_SIZE	8u
#define TORC_RECORD_ALIGN	16u

#define TORC_RECORD_NONE	0u	/* not committed */
#define TORC_RECORD_MESSAGE	1u
#define TORC_RECORD_PAD		2u	/* nothing; length: record less 8 */
#define TORC_RECORD_BUSY	3u	/* claimed; length: claim less 8 */

#define TORC_HEADER(kind, slot, length)					\
	((uint64_t)(uint32_t)(length) | (uint64_t)(kind) << 32 |	\
	 (uint64_t)(slot) << 40)

static inline uint32_t torc_header_length(uint64_t header)
{
	return (uint32_t)header;
}

static inline uint32_t torc_header_kind(uint64_t header)
{
	return (uint32_t)(header >> 32) & 0xffu;
}

static inline uint32_t torc_header_slot(uint64_t header)
{
	return (uint32_t)(header >> 40) & 0xffffu;
}

/* Bytes that a record of @length bytes of payload takes in the ring. */
static inline uint64_t torc_record_size(uint64_t length)
{
	if (length <= 16 - TORC_HEADER_SIZE)
		return 16;
	if (length <= 32 - TORC_HEADER_SIZE)
		return 32;
	if (length <= 64 - TORC_HEADER_SIZE) {
		/* Let no compiler make a conditional move of it. */
		__asm__ __volatile__("");
		return 64;
	}
	return (length + TORC_HEADER_SIZE + TORC_RECORD_ALIGN - 1) &
	       ~(uint64_t)(TORC_RECORD_ALIGN - 1);
}

/* The same, if they are no more than 64. */
static inline uint64_t torc_record_size_short(uint64_t length)
{
	return length <= 16 - TORC_HEADER_SIZE ? 16 :
	       length <= 32 - TORC_HEADER_SIZE ? 32 : 64;
}

/*
 * Publishers zero ahead of the tail.  Many do so in steps of this many bytes, so
 * that few messages have to, and all must agree on it; one publisher never goes
 * as far.  See mp.h.
 */
#define TORC_ZERO_STEP_MAX	4096u

static inline uint64_t torc_zero_step(uint64_t mark_step)
{
	return mark_step < TORC_ZERO_STEP_MAX ? mark_step : TORC_ZERO_STEP_MAX;
}

/* ---- Ring object: constants --------------------------------------------- */

/*
 * Written once by the creator, magic last.  Offsets and sizes are in bytes and
 * multiples of the creator's page, so that each region can be mapped with
 * permissions of its own.
 */
struct torc_constants_shm {
	torc_u64 magic;			/* TORC_RING_MAGIC */
	uint32_t abi_version;		/* TORC_ABI_VERSION */
	uint32_t kind;			/* TORC_KIND_* */
	torc_u64 features_required;	/* unknown bits: do not attach */
	torc_u64 features_optional;	/* unknown bits: ignore */
	torc_u64 ring_size;		/* of the ring object */
	torc_u64 cursors_size;		/* of the cursors object */
	torc_u64 publishing_offset;	/* of struct torc_publishing_shm */
	torc_u64 data_offset;		/* of the records */
	torc_u64 capacity;		/* of the records; a power of two */
	torc_u64 window;		/* most bytes from the floor to the tail */
	torc_u64 record_max;		/* longest record, header included */
	torc_u64 mark_step;		/* least distance of two marks */
	torc_u64 first_position;	/* where the ring began */
	uint32_t publishers;		/* publisher slots */
	uint32_t subscribers;		/* subscriber slots */
	uint32_t subscriber_stride;	/* distance of two subscriber slots */
	uint32_t flags;			/* TORC_RING_* */
	torc_u64 created_ns;		/* CLOCK_REALTIME */
	unsigned char id[16];		/* random; the cursors object has it too */
	torc_u64 type_hash;		/* FNV-1a of type */
	char type[TORC_TYPE_MAX];	/* what the messages are; NUL-terminated */
};

#define TORC_RING_PERSISTENT	1u	/* outlives its participants */
#define TORC_RING_ONE_BLOCK	2u	/* cursors follow the ring in one object */
#define TORC_RING_CHECKED	4u	/* check words follow the records */
/* When publishers write it out to a disk: enum torc_sync, and milliseconds. */
#define TORC_RING_SYNC(policy, interval_ms)				\
	((uint32_t)(policy) << 8 | (uint32_t)(interval_ms) << 16)
#define TORC_RING_SYNC_POLICY(flags)	((flags) >> 8 & 3u)
#define TORC_RING_SYNC_INTERVAL(flags)	((flags) >> 16)
#define TORC_RING_INTERVAL_MAX	65535u

/* ---- Ring object: publisher region -------------------------------------- */

/*
 * A mark is a record boundary with the number of messages before it.  The floor
 * is one of the last TORC_MARKS marks, so that position and count are read and
 * moved together.
 */
#define TORC_MARKS		64u

struct torc_mark_shm {
	torc_u64 position;
	torc_u64 count;
};

/* A publisher's slot; written by its publisher only, but for taking over. */
struct torc_publisher_slot_shm {
	torc_u64 claim_position;	/* MP: what it is trying to claim ... */
	torc_u64 claim_length;		/* ... in bytes; 0: nothing */
	uint32_t pid;			/* 0: free; in its own PID namespace */
	uint32_t pad;
	torc_u64 start_time;		/* of the process, clock ticks since boot */
	torc_u64 pid_namespace;		/* inode; 0: not known */
	torc_u64 blocked;		/* times that it found the ring full */
	torc_u64 dropped;		/* messages that it dropped when full */
	unsigned char reserved[TORC_LINE - 56];
};

struct torc_publishing_shm {
	/* SP: stored with each mark.  MP: moved by CAS to claim. */
	torc_u64 tail __attribute__((aligned(TORC_LINE)));
	/* Index of the mark below which bytes may be overwritten. */
	torc_u64 floor __attribute__((aligned(TORC_LINE)));
	/* Index of the mark to which a publisher may be moving the floor. */
	torc_u64 proposed;
	/* Publishers that ever joined: tells a beginning from an end. */
	torc_u64 joined;
	struct torc_mark_shm marks[TORC_MARKS]
		__attribute__((aligned(TORC_LINE)));
	/* struct torc_publisher_slot_shm [publishers] follows. */
};

/* ---- Cursors object ----------------------------------------------------- */

#define TORC_SUBSCRIBER_FREE		0u
#define TORC_SUBSCRIBER_LOSSLESS	1u	/* its cursor holds the floor */
#define TORC_SUBSCRIBER_LOSSY		2u
#define TORC_SUBSCRIBER_EVICTED		3u	/* was lossless */

struct torc_subscriber_slot_shm {
	torc_u64 cursor;	/* position of the next record it reads */
	uint32_t state;		/* TORC_SUBSCRIBER_* */
	uint32_t pid;		/* in its own PID namespace */
	torc_u64 start_time;	/* of the process, clock ticks since boot */
	torc_u64 pid_namespace;	/* inode; 0: not known */
	torc_u64 lost;		/* messages lost since it joined */
	unsigned char reserved0[24];
	/*
	 * Its doorbell: a datagram socket whose address follows from this number,
	 * and what to tell it.  A publisher that disarms the data word disarms
	 * and rings those that are armed.
	 */
	torc_u64 bell;		/* 0: none */
	uint32_t bell_armed;	/* 1: ring */
	uint32_t bell_hint;
	unsigned char reserved[TORC_LINE - 80];
};

/*
 * A wait word is a sequence number and, in bit 0, whether somebody may sleep on
 * it.  Arming it changes the sequence, so that a waker that clears the word it
 * saw cannot clear a later sleeper's.
 */
#define TORC_WORD_ARMED		1u

struct torc_cursors_shm {
	torc_u64 magic;		/* TORC_CURSORS_MAGIC */
	unsigned char id[16];	/* of the ring it belongs to */
	/* Subscribers sleep on it until there is a message. */
	uint32_t data_word __attribute__((aligned(TORC_LINE)));
	/* Slots below this one may have a doorbell; only grows. */
	uint32_t bells;
	/* Publishers sleep on it until there is room. */
	uint32_t room_word __attribute__((aligned(TORC_LINE)));
	/* Slots follow, subscriber_stride apart, from TORC_CURSORS_SLOTS on. */
	unsigned char reserved[TORC_LINE - 4];
};

#define TORC_CURSORS_SLOTS	(3u * TORC_LINE)

/* ---- Locks -------------------------------------------------------------- */

/*
 * Bytes on which participants hold open-file-description locks.  Nothing is
 * stored there; in one object they lie beyond its end.
 */
#define TORC_LOCK_BASE		(1ull << 48)
#define TORC_LOCK_PUBLISHER	(TORC_LOCK_BASE + 0x00000)	/* + slot */
#define TORC_LOCK_REPAIR	(TORC_LOCK_BASE + 0x10000)
#define TORC_LOCK_SUBSCRIBER	(TORC_LOCK_BASE + 0x20000)	/* + slot */
#define TORC_LOCK_LIFETIME	(TORC_LOCK_BASE + 0x30000)	/* of the topic */

/* ---- The layout is what it is said to be -------------------------------- */

#ifdef __cplusplus
#define TORC_STATIC_ASSERT(e) static_assert(e, #e)
#else
#define TORC_STATIC_ASSERT(e) _Static_assert(e, #e)
#endif

TORC_STATIC_ASSERT(sizeof(struct torc_constants_shm) == 280);
TORC_STATIC_ASSERT(sizeof(struct torc_mark_shm) == 16);
TORC_STATIC_ASSERT(sizeof(struct torc_publisher_slot_shm) == TORC_LINE);
TORC_STATIC_ASSERT(sizeof(struct torc_subscriber_slot_shm) == TORC_LINE);
TORC_STATIC_ASSERT(sizeof(struct torc_publishing_shm) ==
		   2 * TORC_LINE + TORC_MARKS * 16);
TORC_STATIC_ASSERT(sizeof(struct torc_cursors_shm) == TORC_CURSORS_SLOTS);

#endif /* TORC_ABI_H */
