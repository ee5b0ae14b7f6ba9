/* SPDX-License-Identifier: MIT */
/*
 * Putting the intact messages of a topic on a disk into a new ring of its name:
 * after a crash of the machine, or for a larger capacity.
 */
#include "renew.h"

#include "check.h"
#include "disk.h"
#include "files.h"
#include "salvage.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct old {
	struct torc_ring ring;
	struct torc_salvage found;
};

/* The new ring's publisher, the first and only one. */
struct copying {
	struct torc_ring ring;
	union {
		struct torc_sp sp;
		struct torc_mp mp;
	};
};

static int copy_message(const struct torc_message *message, void *context)
{
	struct copying *copying = context;
	bool many = copying->ring.kind == TORC_KIND_MP;
	uint32_t slot = many ? copying->mp.slot_index : 0;
	void *payload = NULL;
	int r;

	r = many ? torc_mp_reserve(&copying->mp, message->length, &payload)
		 : torc_sp_reserve(&copying->sp, message->length, &payload);
	/* It fits, unless somebody changes it meanwhile. */
	if (r)
		return r == -EAGAIN ? -EPROTO : r;
	memcpy(payload, message->data, message->length);
	torc_check_note(&copying->ring,
			many ? copying->mp.start : copying->sp.start,
			TORC_HEADER(TORC_RECORD_MESSAGE, slot,
				    message->length));
	if (many)
		torc_mp_commit(&copying->mp, message->length);
	else
		torc_sp_commit(&copying->sp, message->length);
	return 0;
}

static int copy_messages(struct torc_topic *topic, int ring_fd, void *ring,
			 void *cursors, void *context)
{
	const struct torc_constants_shm *constants = &topic->constants;
	const struct old *old = context;
	struct copying copying;
	int r;

	r = torc_ring_attach(&copying.ring, ring, constants->ring_size, cursors,
			     constants->cursors_size);
	if (r)
		return r;
	torc_store_relaxed(&copying.ring.shm->marks[0].count,
			   old->found.sequence);
	torc_store_relaxed(&copying.ring.shm->joined,
			   torc_load_relaxed(&old->ring.shm->joined));
	r = constants->kind == TORC_KIND_MP
		    ? torc_mp_init(&copying.mp, &copying.ring, 0)
		    : torc_sp_init(&copying.sp, &copying.ring);
	if (!r)
		r = torc_salvage_each(&old->ring, &old->found, copy_message,
				      &copying);
	return r ? r : torc_disk_state_write(topic, ring_fd);
}

static struct torc_permissions permissions_of(const struct stat *st)
{
	return (struct torc_permissions){ st->st_uid, st->st_gid,
					  st->st_mode & 0777 };
}

/* Those of the cursors, if they are there. */
static struct torc_permissions
cursors_permissions(struct torc_topic *topic, const struct torc_permissions *ring)
{
	int fd = torc_files_describe(topic, TORC_OBJECT_CURSORS, O_RDONLY);
	struct torc_permissions cursors = *ring;
	struct stat st;

	cursors.mode &= 0600;
	if (fd >= 0 && !fstat(fd, &st))
		cursors = permissions_of(&st);
	if (fd >= 0)
		close(fd);
	return cursors;
}

/* The constants of a ring as @topic's, but of another capacity and identity. */
static int new_constants(const struct torc_topic *topic, uint64_t capacity,
			 struct torc_constants_shm *ret)
{
	const struct torc_constants_shm *old = &topic->constants;
	struct torc_ring_config config = {
		.capacity = capacity,
		.kind = old->kind,
		.publishers = old->publishers,
		.subscribers = old->subscribers,
		.flags = old->flags,
		.created_ns = old->created_ns,
		.type = old->type,
	};
	int r;

	r = torc_constants_new(topic->name, &config, ret);
	if (!r)
		ret->ring_size += torc_checks_size(ret->capacity);
	return r;
}

int torc_renew(struct torc_topic *topic, const struct stat *st,
	       uint64_t capacity)
{
	const struct torc_constants_shm *was = &topic->constants;
	struct torc_constants_shm constants;
	struct old old;
	struct torc_filling filling = {
		.fill = copy_messages,
		.context = &old,
		.ring = permissions_of(st),
		.replace = true,
	};
	const size_t size = was->ring_size;
	void *base;
	int r;

	filling.cursors = cursors_permissions(topic, &filling.ring);
	r = torc_map_part(topic, topic->fd, 0, size, false, &base);
	if (r)
		return r;
	r = torc_ring_attach(&old.ring, base, size, NULL, 0);
	if (!r)
		r = new_constants(topic, capacity, &constants);
	if (!r) {
		torc_salvage_find(&old.ring, was->first_position, &old.found);
		constants.first_position = old.found.begin;
		topic->kept = old.found.messages;
		topic->dropped = old.found.dropped;
		close(topic->fd);
		topic->fd = -1;
		r = torc_files_make(topic, &constants, &filling);
	}
	munmap(base, size);
	return r;
}
