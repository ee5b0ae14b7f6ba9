/* SPDX-License-Identifier: MIT */
/*
 * A publisher to a topic on a disk: the check words of its messages, and when they
 * are written out.
 */
#include "publisher.h"

#include "check.h"
#include "disk.h"

void torc_pub_note_check(struct torc_publisher *pub, size_t length)
{
	uint32_t slot = pub->many ? pub->slot_index : 0;

	torc_check_note(&pub->view.ring,
			pub->many ? pub->mp.start : pub->sp.start,
			TORC_HEADER(TORC_RECORD_MESSAGE, slot, length));
}

int torc_pub_publish_checked(struct torc_publisher *pub,
			     const struct torc_span *messages, int count,
			     uint64_t *ret_bytes)
{
	const struct torc_ring *ring = &pub->view.ring;
	uint64_t begin, end = 0, header = 0;
	int n;

	if (pub->many) {
		n = torc_mp_write_batch(&pub->mp, messages, count, &header);
		begin = pub->mp.claim;
		end = pub->mp.end;
	} else {
		begin = pub->sp.tail;
		n = torc_sp_write_batch(&pub->sp, messages, count, &header,
					&end);
	}
	if (n < 0)
		return n;
	torc_check_note_batch(ring, begin, end, header);
	if (pub->many)
		torc_mp_commit_batch(&pub->mp, header);
	else
		torc_sp_advance(&pub->sp, header, end, (uint64_t)n);
	*ret_bytes = end - begin;
	return n;
}

int torc_pub_sync_committed(struct torc_publisher *pub, uint64_t bytes)
{
	uint64_t now;

	switch (pub->sync) {
	case TORC_SYNC_NONE:
		return 0;
	case TORC_SYNC_ASYNC:
		pub->unsynced += bytes;
		if (pub->unsynced < pub->view.ring.mark_step)
			return 0;
		pub->unsynced = 0;
		torc_disk_sync_begin(pub->topic);
		return 0;
	case TORC_SYNC_INTERVAL:
		now = torc_now_ns();
		pub->unsynced = 1;
		if (now < pub->sync_next)
			return 0;
		pub->sync_next = now + pub->sync_interval_ns;
		break;
	case TORC_SYNC_COMMIT:
		break;
	}
	return torc_pub_sync(pub);
}

int torc_pub_sync(struct torc_publisher *pub)
{
	int r = torc_pub_check(pub);

	if (r)
		return r;
	if (!pub->topic->mapping->disk)
		return 0;
	pub->unsynced = 0;
	return torc_disk_sync(pub->topic);
}

void torc_pub_open_on_disk(struct torc_publisher *pub)
{
	uint32_t flags = pub->topic->constants.flags;

	pub->checked = true;
	pub->forkable.unusual |= TORC_PUB_LONG;
	pub->sync = (enum torc_sync)TORC_RING_SYNC_POLICY(flags);
	pub->sync_interval_ns = TORC_RING_SYNC_INTERVAL(flags) * 1000000ull;
	pub->sync_next = torc_now_ns() + pub->sync_interval_ns;
}
