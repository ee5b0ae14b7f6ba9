/* SPDX-License-Identifier: MIT */
/*
 * Topics that are files in a directory, for the mappings shm:, posix: and file:,
 * and, but for the objects themselves, sysv:.
 *
 *	prices			the ring		mode, group
 *	.<id>.cursors		the cursors		cursors_mode, cursors_group
 *	.<id>.locks		only locked		who may write the ring
 *
 * A topic is made under hidden names, the ring last, and linked into place; so
 * nobody ever opens a half-made one.  Who takes part in it holds a read lock on
 * the lifetime byte of the locks (or of the cursors, if it may not open those),
 * and looks only then whether the ring is still linked.  Who removes it holds
 * both for writing.
 */
#include "files.h"
#include "lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME_MAX 64

static void part_name(const unsigned char id[16], const char *part,
		      char name[FILE_NAME_MAX])
{
	static const char digits[] = "0123456789abcdef";

	name[0] = '.';
	for (int i = 0; i < 16; i++) {
		name[1 + 2 * i] = digits[id[i] >> 4];
		name[2 + 2 * i] = digits[id[i] & 15];
	}
	snprintf(name + 33, FILE_NAME_MAX - 33, ".%s", part);
}

int torc_part_open(int bus_fd, const unsigned char id[16], const char *part,
		   int flags)
{
	char name[FILE_NAME_MAX];
	int fd;

	part_name(id, part, name);
	fd = openat(bus_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0600);
	return fd < 0 ? -errno : fd;
}

static void remove_part(int bus_fd, const unsigned char id[16],
			const char *part)
{
	char name[FILE_NAME_MAX];

	part_name(id, part, name);
	unlinkat(bus_fd, name, 0);
}

/*
 * Does the part @fd belong to the owner of @ring_fd?  Where others may make files
 * as well, a ring of theirs could bear the id of another's, and must not get at
 * its parts.  A System V ring has no file.
 */
static bool same_owner(int fd, int ring_fd)
{
	struct stat part, ring;

	return ring_fd < 0 || (!fstat(fd, &part) && !fstat(ring_fd, &ring) &&
			       part.st_uid == ring.st_uid);
}

/* -EPERM if it is another's. */
static int open_part_of(int ring_fd, int bus_fd, const unsigned char id[16],
			const char *part, int flags)
{
	int fd = torc_part_open(bus_fd, id, part, flags);

	if (fd < 0 || same_owner(fd, ring_fd))
		return fd;
	close(fd);
	return -EPERM;
}

static void remove_part_of(int ring_fd, int bus_fd, const unsigned char id[16],
			   const char *part)
{
	int fd = torc_part_open(bus_fd, id, part, O_PATH);

	if (fd < 0)
		return;
	if (same_owner(fd, ring_fd))
		remove_part(bus_fd, id, part);
	close(fd);
}

static bool same_file(int fd, int bus_fd, const char *file)
{
	struct stat ours, theirs;

	return !fstat(fd, &ours) &&
	       !fstatat(bus_fd, file, &theirs, AT_SYMLINK_NOFOLLOW) &&
	       ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/* ---- Making ------------------------------------------------------------- */

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

/* A new file of @size bytes that are there for certain, and its mapping. */
static int make_part(struct torc_topic *topic, const unsigned char id[16],
		     const char *part, uint64_t size,
		     const struct torc_permissions *permissions, void **ret)
{
	int r, fd = torc_part_open(topic->place.bus->fd, id, part,
			      O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0)
		return torc_fail(fd, "%s: cannot make it: %s", topic->name,
				 strerrordesc_np(-fd));
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

static int explain_making(const struct torc_topic *topic, int error)
{
	return torc_fail(error, "%s: cannot make it %s %s: %s", topic->name,
			 topic->place.bus->on, topic->place.bus->path, strerrordesc_np(-error));
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
		remove_part(topic->place.bus->fd, id, "locks");
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
	char part[FILE_NAME_MAX];

	part_name(topic->constants.id, "ring", part);
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
		remove_part(bus_fd, id, "ring");
		remove_part(bus_fd, id, "cursors");
		remove_part(bus_fd, id, "locks");
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
	remove_part(topic->place.bus->fd, id, "cursors");
	remove_part(topic->place.bus->fd, id, "locks");
}

/* ---- Opening ------------------------------------------------------------ */

/* Keep others from removing the topic, as far as we are allowed to. */
int torc_files_hold_parts(struct torc_topic *topic,
			  bool (*is_there)(struct torc_topic *topic))
{
	const unsigned char *id = topic->constants.id;
	int r = 0, bus_fd = topic->place.bus->fd;
	int fd = open_part_of(topic->fd, bus_fd, id, "locks", O_RDWR);

	if (fd == -EACCES || fd == -EROFS)
		fd = open_part_of(topic->fd, bus_fd, id, "cursors", O_RDONLY);
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
		return open_part_of(topic->fd, topic->place.bus->fd,
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
	remove_part_of(fd, bus_fd, id, "cursors");
	remove_part_of(fd, bus_fd, id, "locks");
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
		fds[0] = open_part_of(fd, bus_fd, constants.id, "locks",
				      O_RDWR);
		fds[1] = open_part_of(fd, bus_fd, constants.id, "cursors",
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
