/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/**
 * DOC: The ring
 *
 * A lock-free ring buffer of variable-length messages in memory that processes
 * (or a kernel and processes) share.  One publisher or many; any number of
 * subscribers up to the ring's limit, each with a cursor of its own; a message
 * is stored once however many read it.
 *
 * These headers are all of it: no library, nothing but <stdint.h> and
 * <string.h>.  They know of no file, name, process or system call.  Give them
 * any memory that is zero and page-aligned:
 *
 *	struct torc_ring_config config = {
 *		.capacity = 1 << 20, .kind = TORC_KIND_SP
 *	};
 *	struct torc_constants_shm constants;
 *	struct torc_ring ring;
 *
 *	torc_ring_layout(&config, &constants);
 *	... get constants.ring_size + constants.cursors_size bytes ...
 *	torc_ring_format(&constants, memory, memory + constants.ring_size);
 *	torc_ring_attach(&ring, memory, constants.ring_size,
 *			 memory + constants.ring_size, constants.cursors_size);
 *
 *	producer				consumer
 *	struct torc_sp sp;			struct torc_consumer c;
 *	torc_sp_init(&sp, &ring);		torc_consumer_join(&c, &ring, 0,
 *								TORC_LOSSLESS);
 *	torc_sp_publish(&sp, data, length);	torc_consumer_peek(&c, &message);
 *						torc_consumer_release(&c);
 *
 * Guarantees
 *
 * 1. A message is seen whole or not at all, and by its header alone: the header
 *    is zero until one release store commits it.
 * 2. All consumers see the same messages in the same order.  Those of one
 *    producer come in the order in which it committed (SP) or reserved (MP).
 * 3. A lossless consumer gets every message from its joining on.  The others
 *    learn exactly how many they lost.
 * 4. A payload is contiguous and 8-byte aligned.
 * 5. Neither publishing nor consuming waits for anybody: when there is no room,
 *    or no message, the caller is told so.
 * 6. Whatever stands in shared memory, no access leaves it and no loop is
 *    endless.
 *
 * The floor
 *
 *	   floor                   cursors            tail
 *	     |                        |                |
 *	-----+------------------------+----------------+------------- position
 *	 may | intact                 | not yet read   | zero
 *	 be overwritten               | by that one    |
 *	     +--------------- window or less ----------+
 *
 * Positions count bytes since the ring was made.  Only publishers move the
 * floor, in steps of about a sixteenth of the capacity, from mark to mark
 * (struct torc_mark_shm), when they need room.  Before, they announce the next
 * mark (proposed), and then look at the cursors of all lossless consumers; one
 * that joins announces its cursor, and then looks at the proposal.  With a full
 * fence on both sides, one of the two sees the other (Dekker), so the floor
 * never passes the cursor of a lossless consumer.  Everything else follows from
 * the floor alone: publishers write no byte at or above floor + window, and a
 * consumer that finds the floor beyond its cursor knows that it was lapped, and
 * by how many messages.
 *
 * Who may call what at the same time (X: the caller must exclude it):
 *
 *				same handle	another handle of the ring
 *	torc_sp_*		X		X (one producer in all)
 *	torc_mp_*		X		-
 *	torc_consumer_*		X		-
 *	torc_claim_repair	-		X (one repairer in all)
 *
 * Names end in _shm for what lies in shared memory.  Orderings carry labels,
 * MO(function:letter), that name their partner; docs/ordering.md has them all.
 *
 * Where to read on: abi.h (the layout), layout.h (marks, the gate), sp.h, mp.h
 * (producers), batch.h, consumer.h, repair.h (death of a publisher), word.h (who
 * has to be woken).
 *
 * Sources: the header as the commit flag is FastForward's (Giacomoni, Moseley,
 * Vachharajani, PPoPP 2008) and, with variable length and pads, that of Aeron's
 * term buffers; zeroing ahead of the claim, the floor as marks that all compute
 * alike, and the settling of dead claims are this project's own.
 */
#ifndef TORC_RING_H
#define TORC_RING_H

#include <torc/abi.h>
#include <torc/atomic.h>
#include <torc/layout.h>
#include <torc/message.h>
#include <torc/batch.h>
#include <torc/sp.h>
#include <torc/mp.h>
#include <torc/consumer.h>
#include <torc/repair.h>
#include <torc/word.h>

#endif /* TORC_RING_H */
