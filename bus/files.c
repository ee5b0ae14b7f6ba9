/* SPDX-License-Identifier: MIT */
/*
 * Topics that are files in a directory, for the mappings shm:, posix: and file:,
 * and, but for the objects themselves, sysv:.
 *
 *	prices			the ring		mode, group
 *	.<id>.cursors		the cursors		cursors_mode, cursors_group
 *	.<id>.locks		only locked		who may write the ring
 *
 * How they are made is in files_make.c.  Who takes part in a topic holds a read
 * lock on the lifetime byte of the locks (or of the cursors, if it may not open
 * those), and looks only then whether the ring is still linked.  Who removes it
 * holds both for writing.
 */
#include "files.h"
#include "lock.h"
#include "parts.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool same_file(int fd, int bus_fd, const char *file)
{
	struct stat ours, theirs;

	return !fstat(fd, &ours) &&
	       !fstatat(bus_fd, file, &theirs, AT_SYMLINK_NOFOLLOW) &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* ---- Opening ------------------------------------------------------------ */

/* Keep others from removing the topic, as far as we are allowed to. */
int torc_files_hold_parts(struct torc_topic *topic,
			  bool (*is_there)(struct torc_topic *topic))
{
	int (*describe)(struct torc_topic *topic, enum torc_object object,
			int flags) = topic->mapping->describe;
	int r = 0, fd = describe(topic, TORC_OBJECT_LOCKS, O_RDWR);

	if (fd == -EACCES || fd == -EROFS)
		fd = describe(topic, TORC_OBJECT_CURSORS, O_RDONLY);
	if (fd >= 0)
		r = torc_lock_set_patiently(fd, F_RDLCK, TORC_LOCK_LIFETIME);
	/* Removed before the lock could keep it? */
	if (!is_there(topic))
		r = -ENOENT;
	else if (fd == -ENOENT)
		r = torc_fail(-EPROTO, "%s: its locks are gone; remove it",
			      topic->name);
	else if (fd == -EPERM)
		r = torc_fail(-EPROTO, "%s: its parts are not its owner's; "
			      "remove it", topic->name);
	else if (r || (fd < 0 && fd != -EACCES))
		r = torc_fail(r ? r : fd, "%s: cannot lock it: %s", topic->name,
			      strerrordesc_np(r ? -r : -fd));
	if (r && fd >= 0)
		close(fd);
	else
		topic->forkable.fds[0] = fd < 0 ? -1 : fd;
	return r;
}

static bool is_linked(struct torc_topic *topic)
{
	return same_file(topic->fd, topic->place.bus->fd, topic->place.file);
}

int torc_files_hold(struct torc_topic *topic)
{
	return torc_files_hold_parts(topic, is_linked);
}

int torc_files_open(struct torc_topic *topic, const char *rest)
{
	const struct torc_bus *bus = topic->place.bus;
	struct stat st;
	int fd, r;

	(void)rest;
	fd = openat(bus->fd, topic->place.file,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0) {
		r = -errno;
		if (r == -ENOENT)
			return torc_fail(r, "%s: no such topic %s %s (a "
					 "publisher creates it)", topic->name,
					 bus->on, bus->path);
		if (r == -EACCES)
			return torc_topic_refused(topic, TORC_ACCESS_LOOK);
		return torc_fail(r == -ELOOP ? -EPROTO : r,
				 "%s: cannot open it %s %s: %s",
				 topic->name, bus->on, bus->path,
				 r == -ELOOP ? "it is a symbolic link"
					     : strerrordesc_np(-r));
	}
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		r = torc_fail(-EPROTO, "%s: not a ring: not even a file",
			      topic->name);
	else
		r = torc_constants_load(topic, fd, (uint64_t)st.st_size, 0);
	if (r) {
		close(fd);
		return r;
	}
	topic->fd = fd;
	return 0;
}

int torc_files_describe(struct torc_topic *topic, enum torc_object object,
			int flags)
{
	int fd;

	if (object != TORC_OBJECT_RING)
		return torc_part_open_of(topic->fd, topic->place.bus->fd,
				    topic->constants.id,
				    object == TORC_OBJECT_LOCKS ? "locks"
								: "cursors",
				    flags);
	fd = openat(topic->place.bus->fd, topic->place.file,
		    flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (!same_file(topic->fd, topic->place.bus->fd, topic->place.file)) {
		close(fd);
		return -ENOENT;
	}
	return fd;
}

/* ---- Mapping ------------------------------------------------------------ */

/* But for what is nobody's fault, and the caller's to judge. */
static int explain_opening(const struct torc_topic *topic, const char *what,
			   int error)
{
	if (error == -EACCES || error == -EROFS || error == -ENOENT)
		return error;
	if (error == -EPERM)
		return torc_fail(-EPROTO, "%s: its %s are not its owner's; "
				 "remove it", topic->name, what);
	return torc_fail(error, "%s: cannot open its %s: %s", topic->name, what,
			 strerrordesc_np(-error));
}

static bool is_whole(int fd, uint64_t size)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	       (uint64_t)st.st_size >= size;
}

static int map_object(struct torc_topic *topic, enum torc_object object,
		      bool writable, void **ret, size_t *ret_size)
{
	uint64_t size = object == TORC_OBJECT_RING
				? topic->constants.ring_size
				: topic->constants.cursors_size;
	const char *what = object == TORC_OBJECT_RING ? "records" : "cursors";
	int r, fd = torc_files_describe(topic, object,
					writable ? O_RDWR : O_RDONLY);

	if (fd < 0)
		return explain_opening(topic, what, fd);
	/* Cursors that are cut off can be had anew, all zero: nobody's. */
	if (!is_whole(fd, size) &&
	    (object == TORC_OBJECT_RING || !writable ||
	     torc_allocate(fd, size) || !is_whole(fd, size)))
		r = torc_fail(-EPROTO, "%s: its %s are truncated; remove it "
			      "and make it anew", topic->name, what);
	else
		r = torc_map_part(topic, fd, 0, size, writable, ret);
	close(fd);
	if (!r)
		*ret_size = size;
	return r;
}

int torc_files_map(struct torc_topic *topic, enum torc_access access,
		   struct torc_view *view)
{
	int r;

	r = map_object(topic, TORC_OBJECT_RING, access == TORC_ACCESS_PUBLISH,
		       &view->ring_base, &view->ring_size);
	if (r)
		return r;
	r = map_object(topic, TORC_OBJECT_CURSORS, access != TORC_ACCESS_LOOK,
		       &view->cursors_base, &view->cursors_size);
	if ((r == -EACCES || r == -EROFS) && access != TORC_ACCESS_PUBLISH)
		return 0;
	/* Somebody's copy of a ring, without its other parts. */
	if (r == -ENOENT && topic->inspecting)
		return 0;
	/* Who removes a topic begins with the ring. */
	if (r == -ENOENT && is_linked(topic))
		r = torc_fail(-EPROTO, "%s: its cursors are gone; remove it",
			      topic->name);
	if (r) {
		munmap(view->ring_base, view->ring_size);
		view->ring_base = NULL;
	}
	return r;
}

/* ---- Removing ----------------------------------------------------------- */

/* Lock the topic's lifetime for writing: 0 if nobody is there. */
static int lock_out(int locks_fd, int cursors_fd)
{
	int r = torc_lock_set(locks_fd, F_WRLCK, TORC_LOCK_LIFETIME, 1);

	if (!r && cursors_fd >= 0)
		r = torc_lock_set(cursors_fd, F_WRLCK, TORC_LOCK_LIFETIME, 1);
	return r;
}

/* The ring first, and only if the name is still @fd's. */
static int unlink_all(int bus_fd, int fd, const char *file,
		      const unsigned char id[16])
{
	if (!same_file(fd, bus_fd, file))
		return -ENOENT;
	if (unlinkat(bus_fd, file, 0))
		return -errno;
	torc_part_remove_of(fd, bus_fd, id, "cursors");
	torc_part_remove_of(fd, bus_fd, id, "locks");
	return 0;
}

bool torc_files_left(struct torc_topic *topic)
{
	int *fds = topic->forkable.fds;

	/* Of two who leave at once, one finds the other gone. */
	torc_lock_set(fds[0], F_UNLCK, TORC_LOCK_LIFETIME, 1);
	if (fds[1] < 0)
		torc_topic_describe(topic, TORC_OBJECT_CURSORS,
				    &topic->forkable, 1);
	return !lock_out(fds[0], fds[1]);
}

void torc_files_release(struct torc_topic *topic)
{
	if (topic->fd >= 0 && topic->forkable.fds[0] >= 0 &&
	    !(topic->constants.flags & TORC_RING_PERSISTENT) &&
	    torc_files_left(topic))
		unlink_all(topic->place.bus->fd, topic->fd, topic->place.file,
			   topic->constants.id);
	if (topic->fd >= 0)
		close(topic->fd);
}

int torc_place_clear(const struct torc_place *place, unsigned int spared)
{
	const char *file = place->file;
	const int bus_fd = place->bus->fd;
	struct torc_constants_shm constants = { .magic = 0 };
	struct torc_forkable held;
	int *fds = held.fds, r;	/* locks, cursors */
	int fd = openat(bus_fd, file,
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	bool ring;

	if (fd < 0)
		return -errno;
	ring = pread(fd, &constants, sizeof(constants), 0) ==
		       sizeof(constants) &&
	       constants.magic == TORC_RING_MAGIC;
	torc_held_begin(&held);
	if (ring) {
		torc_fork_hold();
		fds[0] = torc_part_open_of(fd, bus_fd, constants.id, "locks",
				      O_RDWR);
		fds[1] = torc_part_open_of(fd, bus_fd, constants.id, "cursors",
				      O_RDWR);
		torc_fork_allow();
	}
	r = fds[0] >= 0 ? lock_out(fds[0], fds[1]) : 0;
	if (spared & TORC_SPARED_FOREIGN && !ring)
		r = -EPROTO;
	else if (spared & TORC_SPARED_USED &&
	    (!ring || r == -EAGAIN || fds[0] == -EACCES))
		r = -EBUSY;
	else if (spared & TORC_SPARED_PERSISTENT &&
		 constants.flags & TORC_RING_PERSISTENT)
		r = -EBUSY;
	else
		r = unlink_all(bus_fd, fd, file, constants.id);
	torc_held_end(&held);
	close(fd);
	return r;
}

int torc_files_remove(struct torc_topic *topic, const char *rest,
		      unsigned int flags)
{
	unsigned int spared = topic->mapping->on_bus ? 0 : TORC_SPARED_FOREIGN;

	(void)rest;
	if (flags & TORC_REMOVE_STALE)
		spared |= TORC_SPARED_USED;
	return torc_place_clear(&topic->place, spared);
}
