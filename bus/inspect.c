/* SPDX-License-Identifier: MIT */
/*
 * Looking into a ring without taking part, and without touching it: all messages
 * of one moment, and which lines of /proc/PID/maps are a topic's.
 *
 * A private mapping is no copy: pages of a file that were not yet touched show
 * what is written later.  So the moment is made otherwise.  What was committed
 * before copying began, up to @end, is complete in the copy; what lies at or above
 * the floor that is read after copying was not overwritten meanwhile.  Between the
 * two are the messages of the moment when copying began.
 */
#include "disk.h"
#include "owners.h"
#include "salvage.h"
#include "topic.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TRIES 1000

/* A dead publisher's claim, which holds no message. */
struct gap {
	uint64_t position, length;
};

struct inspection {
	struct torc_topic *topic;
	const struct torc_ring *ring;
	int locks_fd;
	bool all_dead;		/* whose locks are gone */
	struct gap *gaps;
	uint32_t gaps_count;
	struct torc_mark begin;
	uint64_t end;
	unsigned char *copy;	/* of the records */
};

static bool is_dead(void *context, uint32_t slot)
{
	const struct inspection *in = context;

	return in->all_dead ||
	       !torc_publisher_alive(in->ring, in->locks_fd, slot);
}

/* A claim at which nobody living can commit: note it and pass over it. */
static int pass_over(struct inspection *in)
{
	const struct torc_death death = { is_dead, in };
	struct torc_claim claim;
	int r;

	if (in->ring->kind != TORC_KIND_MP ||
	    in->gaps_count == in->ring->publishers)
		return 0;
	r = torc_claim_outcome(in->ring, in->end, &death, &claim);
	if (r <= 0 || in->end + claim.length - in->begin.position >
			      in->ring->window)
		return 0;
	in->gaps[in->gaps_count++] = (struct gap){ in->end, claim.length };
	in->end += claim.length;
	return 1;
}

/* From the floor to the first record that is not committed. */
static int find_end(struct inspection *in)
{
	const struct torc_ring *ring = in->ring;
	uint64_t count = 0;
	int r;

	in->gaps_count = 0;
	r = torc_mark_current(ring, &ring->shm->floor, &in->begin);
	if (r)
		return r;
	in->end = in->begin.position;
	do
		r = torc_walk(ring, &in->end, &count,
			      in->begin.position + ring->window, true);
	while (!r && pass_over(in));
	return r < 0 ? r : 0;
}

static void copy_records(struct inspection *in)
{
	const struct torc_ring *ring = in->ring;
	uint64_t size = in->end - in->begin.position;
	uint64_t offset = in->begin.position & ring->mask;
	uint64_t first = ring->capacity - offset;

	if (first > size)
		first = size;
	torc_racy_copy(in->copy + offset, ring->data + offset, first);
	torc_racy_copy(in->copy, ring->data, size - first);
}

/* Until a part of what was copied was not overwritten meanwhile. */
static int take_moment(struct inspection *in)
{
	struct torc_mark floor;
	int r, walked;

	for (int tries = 0; tries < TRIES; tries++) {
		walked = find_end(in);
		if (!walked)
			copy_records(in);
		/* As a lossy consumer does: see torc_consumer_lapped(). */
		torc_fence_acquire();
		r = torc_mark_current(in->ring, &in->ring->shm->floor, &floor);
		if (r)
			return r;
		if (walked < 0 && floor.index == in->begin.index)
			return walked;
		if (!walked && torc_distance(in->end, floor.position) >= 0) {
			in->begin = floor;
			return 0;
		}
	}
	return -EBUSY;
}

static uint64_t gap_at(const struct inspection *in, uint64_t position)
{
	for (uint32_t i = 0; i < in->gaps_count; i++)
		if (in->gaps[i].position == position)
			return in->gaps[i].length;
	return 0;
}

static int tell(const struct inspection *in, struct torc_dump *dump,
		int (*each)(const struct torc_message *message, void *context),
		void *context)
{
	struct torc_ring copy = *in->ring;
	struct torc_message message = { .sequence = in->begin.count };
	uint64_t size, header;
	int r = 0;

	copy.data = in->copy;
	for (uint64_t p = in->begin.position; p != in->end && !r; p += size) {
		size = gap_at(in, p);
		if (size) {
			dump->claims++;
			continue;
		}
		header = *torc_header_at(&copy, p);
		size = torc_record_extent(&copy, p, header);
		if (!size || size > in->end - p)
			return -EPROTO;
		if (torc_header_kind(header) != TORC_RECORD_MESSAGE)
			continue;
		message.data = torc_header_at(&copy, p) + 1;
		message.length = torc_header_length(header);
		message.position = p;
		message.publisher = torc_header_slot(header);
		r = each(&message, context);
		message.sequence++;
		dump->messages++;
	}
	return r;
}

static int dump_moment(struct inspection *in, struct torc_dump *dump,
		       int (*each)(const struct torc_message *message,
				   void *context),
		       void *context)
{
	uint64_t tail;
	int r;

	r = take_moment(in);
	tail = torc_load_relaxed(&in->ring->shm->tail);
	if (!r)
		r = tell(in, dump, each, context);
	dump->begin = in->begin.position;
	dump->end = in->end;
	if (torc_distance(tail, in->end) > 0 &&
	    torc_header_kind(torc_racy_load(
		    torc_header_at(in->ring, in->end))) == TORC_RECORD_BUSY)
		dump->undetermined = tail - in->end;
	return r;
}

static int dump_copy(struct inspection *in, struct torc_dump *dump,
		     int (*each)(const struct torc_message *message,
				 void *context),
		     void *context)
{
	uint64_t capacity = in->ring->capacity;
	void *copy = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int r;

	in->gaps = calloc(in->ring->publishers, sizeof(*in->gaps));
	in->copy = copy;
	r = in->gaps && copy != MAP_FAILED
		    ? dump_moment(in, dump, each, context)
		    : torc_fail(-ENOMEM, "%s: out of memory for a copy",
				in->topic->name);
	if (copy != MAP_FAILED)
		munmap(copy, capacity);
	free(in->gaps);
	return r;
}

/* A file that the machine left, or a copy of one: nobody takes part. */
static int dump_rest(struct inspection *in, struct torc_dump *dump,
		     int (*each)(const struct torc_message *message,
				 void *context),
		     void *context)
{
	struct torc_salvage found;

	torc_salvage_find(in->ring, in->topic->constants.first_position, &found);
	dump->begin = found.begin;
	dump->end = found.end;
	dump->messages = found.messages;
	dump->dropped = found.dropped;
	return torc_salvage_each(in->ring, &found, each, context);
}

int torc_topic_dump(struct torc_topic *topic,
		    int (*each)(const struct torc_message *message,
				void *context),
		    void *context, struct torc_dump *ret)
{
	struct inspection in = { .topic = topic };
	struct torc_dump dump = { .messages = 0 };
	struct torc_view view;
	int unusable = 0, r;

	r = torc_topic_map(topic, TORC_ACCESS_LOOK, &unusable, &view);
	if (r)
		return r;
	in.ring = &view.ring;
	in.locks_fd = topic->mapping->describe(topic, TORC_OBJECT_LOCKS,
					       O_RDWR);
	in.all_dead = in.locks_fd == -ENOENT;
	if (topic->constants.flags & TORC_RING_CHECKED &&
	    torc_disk_judge(topic) != TORC_DISK_CURRENT)
		r = dump_rest(&in, &dump, each, context);
	else
		r = dump_copy(&in, &dump, each, context);
	if (in.locks_fd >= 0)
		close(in.locks_fd);
	torc_topic_unmap(topic, &view);
	/* What was read of it then was made up. */
	if (unusable)
		r = -EPROTO;
	if (r == -EPROTO)
		return torc_ring_error(topic, r);
	if (r == -EBUSY)
		return torc_fail(r, "%s: its publishers overwrite it faster "
				 "than it can be copied", topic->name);
	*ret = dump;
	return r;
}

/* ---- /proc/PID/maps ----------------------------------------------------- */

/* What stands in our own maps where the object is that was mapped at @base. */
static int object_at(const void *base, struct torc_mapped *ret)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	uintptr_t start;
	int r = -ENOENT;

	while (file && r && fgets(line, sizeof(line), file))
		if (sscanf(line, "%" SCNxPTR "-%*x %*s %*x %x:%x %" SCNu64,
			   &start, &ret->major, &ret->minor,
			   &ret->inode) == 4 &&
		    start == (uintptr_t)base)
			r = 0;
	if (file)
		fclose(file);
	return r;
}

int torc_topic_mapped(struct torc_topic *topic, struct torc_mapped ret[2])
{
	struct torc_view view;
	int unusable = 0, n = 0, r;

	r = torc_topic_map(topic, TORC_ACCESS_LOOK, &unusable, &view);
	if (r)
		return r;
	if (!object_at(view.ring_base, &ret[n]))
		n++;
	if (view.cursors_base && !object_at(view.cursors_base, &ret[n]))
		n++;
	torc_topic_unmap(topic, &view);
	return n;
}
