/* SPDX-License-Identifier: MIT */
/*
 * Making topics that are files (files.c): under hidden names, and the ring linked
 * into place last, so that nobody ever opens a half-made one.
 */
#include "files.h"
#include "lock.h"
#include "parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void torc_permissions_of(const struct torc_topic_options *options,
			 struct torc_permissions *ring,
			 struct torc_permissions *cursors)
{
	ring->mode = options->mode ? options->mode : 0600;
	ring->owner = options->flags & TORC_OWNER ? options->owner : (uid_t)-1;
	ring->group = options->flags & TORC_GROUP ? options->group : (gid_t)-1;
	*cursors = *ring;
	cursors->mode = options->cursors_mode ? options->cursors_mode
					      : ring->mode & 0600;
	if (options->flags & TORC_CURSORS_GROUP)
		cursors->group = options->cursors_group;
}

/* The mode last: nobody gets what only another owner or group may. */
int torc_permit(const struct torc_topic *topic, int fd,
		const struct torc_permissions *permissions)
{
	uid_t owner = permissions->owner;
	gid_t group = permissions->group;

	if ((owner != (uid_t)-1 || group != (gid_t)-1) &&
	    fchown(fd, owner, group)) {
		const int r = -errno;

		return torc_fail(r, "%s: cannot give it to user %d, group %d "
				 "(-1: as it is): %s; only root gives it to "
				 "another user, and others only to a group of "
				 "theirs", topic->name, (int)owner, (int)group,
				 strerrordesc_np(-r));
	}
	if (fchmod(fd, permissions->mode))
		return torc_fail(-errno, "%s: cannot set its mode: %s",
				 topic->name, strerrordesc_np(errno));
	return 0;
}

static int explain_making(const struct torc_topic *topic, int error)
{
	return torc_fail(error, "%s: cannot make it %s %s: %s", topic->name,
			 topic->place.bus->on, topic->place.bus->path,
			 strerrordesc_np(-error));
}

/* A new file of @size bytes that are there for certain, and its mapping. */
static int make_part(struct torc_topic *topic, const unsigned char id[16],
		     const char *part, uint64_t size,
		     const struct torc_permissions *permissions, void **ret)
{
	int r, fd = torc_part_open(topic->place.bus->fd, id, part,
				   O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0)
		return explain_making(topic, fd);
	r = torc_allocate(fd, size);
	if (r)
		r = torc_fail(r, "%s: cannot get %llu bytes for it in %s: %s; %s, "
			      "or use a smaller capacity", topic->name,
			      (unsigned long long)size, topic->place.bus->path,
			      strerrordesc_np(-r),
			      r == -EFBIG ? "raise RLIMIT_FSIZE (ulimit -f)"
					  : "free some");
	else
		r = torc_permit(topic, fd, permissions);
	if (!r)
		r = torc_map_part(topic, fd, 0, size, true, ret);
	close(fd);
	return r;
}

static int make_locks(struct torc_topic *topic, const unsigned char id[16],
		      const struct torc_permissions *permissions)
{
	struct stat st;
	int r, fd;

	torc_fork_hold();
	fd = torc_part_open(topic->place.bus->fd, id, "locks",
			    O_RDWR | O_CREAT | O_EXCL);
	topic->forkable.fds[0] = fd;
	torc_fork_allow();
	if (fd < 0)
		return explain_making(topic, fd);
	r = torc_lock_set(fd, F_RDLCK, TORC_LOCK_LIFETIME, 1);
	if (r)
		r = explain_making(topic, r);
	else
		r = torc_permit(topic, fd, permissions);
	/* Taken for left over, before it was locked. */
	if (!r && !fstat(fd, &st) && !st.st_nlink)
		r = -EAGAIN;
	if (r) {
		topic->forkable.fds[0] = -1;
		close(fd);
		torc_part_remove(topic->place.bus->fd, id, "locks");
	}
	return r;
}

int torc_files_make_locks(struct torc_topic *topic, const unsigned char id[16],
			  const struct torc_permissions *ring)
{
	struct torc_permissions locks = *ring;
	mode_t writers = ring->mode & 0222;
	int r;

	locks.mode = writers | writers << 1;
	do
		r = make_locks(topic, id, &locks);
	while (r == -EAGAIN);
	return r;
}

/* Give the ring @fd, which is whole, its name. */
static int link_ring(struct torc_topic *topic, int fd, bool replace)
{
	const struct torc_bus *bus = topic->place.bus;
	char part[TORC_PART_NAME];

	torc_part_name(topic->constants.id, "ring", part);
	if (renameat2(bus->fd, part, bus->fd, topic->place.file,
		      replace ? 0 : RENAME_NOREPLACE))
		return torc_fail(-errno, "%s: cannot link it %s %s: %s",
				 topic->name, bus->on, bus->path,
				 strerrordesc_np(errno));
	if (topic->mapping->disk)
		fsync(bus->fd);
	topic->fd = fd;
	return 0;
}

/* Its parts are there, and mapped. */
static int complete(struct torc_topic *topic, const struct torc_filling *filling,
		    void *ring, void *cursors)
{
	int r, fd = torc_part_open(topic->place.bus->fd, topic->constants.id,
				   "ring", O_RDONLY);

	if (fd < 0)
		return explain_making(topic, fd);
	torc_ring_format(&topic->constants, ring, cursors);
	r = filling->fill ? filling->fill(topic, fd, ring, cursors,
					  filling->context)
			  : 0;
	r = r ? explain_making(topic, r)
	      : link_ring(topic, fd, filling->replace);
	if (r)
		close(fd);
	return r;
}

int torc_files_make(struct torc_topic *topic,
		    const struct torc_constants_shm *constants,
		    const struct torc_filling *filling)
{
	const unsigned char *id = constants->id;
	int r, bus_fd = topic->place.bus->fd;
	void *ring = NULL, *cursors = NULL;

	r = torc_files_make_locks(topic, id, &filling->ring);
	if (r)
		return r;
	r = make_part(topic, id, "cursors", constants->cursors_size,
		      &filling->cursors, &cursors);
	if (!r)
		r = make_part(topic, id, "ring", constants->ring_size,
			      &filling->ring, &ring);
	if (!r) {
		topic->constants = *constants;
		r = complete(topic, filling, ring, cursors);
	}
	if (ring)
		munmap(ring, constants->ring_size);
	if (cursors)
		munmap(cursors, constants->cursors_size);
	if (r) {
		torc_part_remove(bus_fd, id, "ring");
		torc_part_remove(bus_fd, id, "cursors");
		torc_part_remove(bus_fd, id, "locks");
	}
	return r;
}

int torc_files_create(struct torc_topic *topic, const char *rest,
		      const struct torc_constants_shm *constants,
		      const struct torc_topic_options *options)
{
	struct torc_filling filling = { .replace = false };

	(void)rest;
	torc_permissions_of(options, &filling.ring, &filling.cursors);
	return torc_files_make(topic, constants, &filling);
}

void torc_files_forget(struct torc_topic *topic, const unsigned char id[16])
{
	torc_part_remove(topic->place.bus->fd, id, "cursors");
	torc_part_remove(topic->place.bus->fd, id, "locks");
}
