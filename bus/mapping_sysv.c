/* SPDX-License-Identifier: MIT */
/*
 * sysv: a System V shared memory segment under a key, which is a number or that
 * of a path (ftok(3), project 't'), for the ring, and one under a key that follows
 * from the ring's id for the cursors.
 *
 * A segment has no descriptor to lock.  So there are two files beside, named as
 * the parts of a ring of shm: (files.c), where POSIX objects are:
 *
 *	.<id>.locks	locked; struct torc_sysv_ring	who may write the ring
 *	.<id>.cursors	only locked			cursors_mode
 *
 * They are there before the segments are, and the locks say how to find those: what
 * is left of a topic whose maker or remover died can be cleaned away by them.  They
 * are a ring's only if its owner is theirs.
 */
#include "address.h"
#include "files.h"
#include "sysv_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PROJECT 't'
#define HALF_MADE_MS 1000

static int key_of(const char *rest, key_t *ret)
{
	unsigned long long number;
	char *end;

	number = strtoull(rest, &end, 0);
	if (*rest >= '0' && *rest <= '9' && !*end) {
		if (!number || number > UINT32_MAX)
			return torc_fail(-EINVAL, "sysv:%s: a key is from 1 to "
					 "2^32-1", rest);
		*ret = (key_t)(uint32_t)number;
		return 0;
	}
	*ret = ftok(rest, PROJECT);
	if (*ret == -1)
		return torc_fail(*rest ? -errno : -EINVAL, "sysv:%s: neither a "
				 "number nor a file that is there", rest);
	return 0;
}

static unsigned long long limit_of(const char *name)
{
	unsigned long long value = 0;
	char path[48];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/kernel/%s", name);
	file = fopen(path, "re");
	if (file && fscanf(file, "%llu", &value) != 1)
		value = 0;
	if (file)
		fclose(file);
	return value;
}

static int explain_limits(const struct torc_topic *topic, int error,
			  uint64_t size)
{
	return torc_fail(error, "%s: cannot get a segment of %llu bytes: %s; "
			 "kernel.shmmax is %llu bytes for one, kernel.shmall "
			 "%llu pages for all, kernel.shmmni %llu segments: "
			 "raise it (sysctl), use a smaller capacity, or remove "
			 "segments (ipcs -m, ipcrm)", topic->name,
			 (unsigned long long)size, strerrordesc_np(-error),
			 limit_of("shmmax"), limit_of("shmall"),
			 limit_of("shmmni"));
}

/* ---- Making ------------------------------------------------------------- */

/* In topic->huge pages, if they can be had. */
static int get_segment(struct torc_topic *topic, key_t key, uint64_t size,
		       mode_t mode)
{
	const int flags = IPC_CREAT | IPC_EXCL | (int)mode;
	int segment;

	if (topic->huge) {
		segment = shmget(key, size, flags | SHM_HUGETLB);
		if (segment >= 0 || errno == EEXIST)
			return segment;
		topic->huge = false;
	}
	return shmget(key, size, flags);
}

static int give_segment(int segment, const struct torc_permissions *permissions)
{
	struct shmid_ds ds;

	if (permissions->owner == (uid_t)-1 && permissions->group == (gid_t)-1)
		return 0;
	if (shmctl(segment, IPC_STAT, &ds))
		return -1;
	if (permissions->owner != (uid_t)-1)
		ds.shm_perm.uid = permissions->owner;
	if (permissions->group != (gid_t)-1)
		ds.shm_perm.gid = permissions->group;
	return shmctl(segment, IPC_SET, &ds);
}

static int new_segment(struct torc_topic *topic, key_t key, uint64_t size,
		       const struct torc_permissions *permissions,
		       int *ret_segment, void **ret_base)
{
	int segment = get_segment(topic, key, size, permissions->mode);
	void *base;

	if (segment < 0)
		return errno == EEXIST ? -EEXIST
				       : explain_limits(topic, -errno, size);
	base = shmat(segment, NULL, 0);
	if (base == (void *)-1 || give_segment(segment, permissions)) {
		int r = -errno;

		if (base != (void *)-1)
			shmdt(base);
		shmctl(segment, IPC_RMID, NULL);
		return torc_fail(r, "%s: cannot set up its segment: %s",
				 topic->name, strerrordesc_np(-r));
	}
	*ret_segment = segment;
	*ret_base = base;
	return 0;
}

static int make_cursors_file(struct torc_topic *topic,
			     const struct torc_permissions *permissions)
{
	int r, fd = torc_files_describe(topic, TORC_OBJECT_CURSORS,
					O_RDWR | O_CREAT | O_EXCL);

	if (fd < 0)
		return torc_fail(fd, "%s: cannot make its cursors: %s",
				 topic->name, strerrordesc_np(-fd));
	r = torc_permit(topic, fd, permissions);
	close(fd);
	return r;
}

static int note_ring(const struct torc_topic *topic, key_t key)
{
	const struct torc_sysv_ring ring = { .key = key };
	int r = torc_allocate(topic->forkable.fds[0], sizeof(ring));

	if (!r && pwrite(topic->forkable.fds[0], &ring, sizeof(ring), 0) !=
			  sizeof(ring))
		r = -EIO;
	return r ? torc_fail(r, "%s: cannot note its segments: %s", topic->name,
			     strerrordesc_np(-r))
		 : 0;
}

static int sysv_create(struct torc_topic *topic, const char *rest,
		       const struct torc_constants_shm *constants,
		       const struct torc_topic_options *options)
{
	struct torc_permissions ring_is, cursors_are;
	void *ring = NULL, *cursors = NULL;
	int r, cursors_segment = -1;
	key_t key;

	r = key_of(rest, &key);
	if (r)
		return r;
	torc_permissions_of(options, &ring_is, &cursors_are);
	topic->constants = *constants;
	topic->huge = options->memory & TORC_MEMORY_HUGE;
	r = torc_files_make_locks(topic, constants->id, &ring_is);
	if (r)
		return r;
	r = note_ring(topic, key);
	if (!r)
		r = make_cursors_file(topic, &cursors_are);
	if (!r)
		r = new_segment(topic, torc_sysv_cursors_key(constants->id),
				constants->cursors_size, &cursors_are,
				&cursors_segment, &cursors);
	if (!r)
		r = new_segment(topic, key, constants->ring_size, &ring_is,
				&topic->segment, &ring);
	if (!r)
		torc_ring_format(constants, ring, cursors);
	if (ring)
		shmdt(ring);
	if (cursors)
		shmdt(cursors);
	if (r) {
		if (cursors_segment >= 0)
			shmctl(cursors_segment, IPC_RMID, NULL);
		torc_files_forget(topic, constants->id);
	}
	return r;
}

/* ---- Opening ------------------------------------------------------------ */

/* Is it under its key still? */
static bool is_there(struct torc_topic *topic)
{
	struct shmid_ds ds;

	return !shmctl(topic->segment, IPC_STAT, &ds) &&
	       !(ds.shm_perm.mode & SHM_DEST);
}

/* True if it was removed: whoever made it died before it was done. */
static bool clean_half_made(const struct torc_topic *topic)
{
	struct shmid_ds ds;

	torc_bus_clean(topic->place.bus);
	return shmctl(topic->segment, IPC_STAT, &ds) && errno != EACCES;
}

/* Who makes it stores the magic last, soon. */
static void await_magic(const struct torc_constants_shm *shared)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int i = 0; i < HALF_MADE_MS; i++) {
		if (torc_load_acquire(&shared->magic))
			return;
		nanosleep(&pause, NULL);
	}
}

static int load_constants(struct torc_topic *topic)
{
	const struct torc_constants_shm *shared;
	struct shmid_ds ds;
	uint64_t magic;
	int r;

	if (shmctl(topic->segment, IPC_STAT, &ds))
		return errno == EACCES
			       ? torc_topic_refused(topic, TORC_ACCESS_LOOK)
			       : torc_fail(-ENOENT, "%s: was removed meanwhile",
					   topic->name);
	if (ds.shm_segsz < sizeof(*shared))
		return torc_fail(-EPROTO, "%s: the key is of somebody else's "
				 "segment, of %zu bytes, made by user %u, "
				 "process %d; use another", topic->name,
				 ds.shm_segsz, ds.shm_perm.cuid,
				 (int)ds.shm_cpid);
	shared = shmat(topic->segment, NULL, SHM_RDONLY);
	if (shared == (const void *)-1)
		return torc_fail(-errno, "%s: cannot attach its segment: %s",
				 topic->name, strerrordesc_np(errno));
	await_magic(shared);
	magic = torc_load_acquire(&shared->magic);
	if (magic != TORC_RING_MAGIC)
		r = torc_fail(-EPROTO, "%s: not a ring: the key is of somebody "
			      "else's segment, made by user %u, process %d; "
			      "use another", topic->name, ds.shm_perm.cuid,
			      (int)ds.shm_cpid);
	else
		r = torc_constants_take(topic, shared, ds.shm_segsz, 0);
	shmdt(shared);
	if (!magic && clean_half_made(topic))
		return torc_fail(-ENOENT, "%s: who made it died before it was "
				 "done; it is removed now", topic->name);
	return r;
}

static int sysv_open(struct torc_topic *topic, const char *rest)
{
	key_t key;
	int r = key_of(rest, &key);

	if (r)
		return r;
	topic->segment = shmget(key, 0, 0);
	if (topic->segment < 0)
		return torc_fail(-errno, "%s: %s", topic->name,
				 errno == ENOENT ? "no such topic (a publisher "
						   "creates it)"
						 : strerrordesc_np(errno));
	return load_constants(topic);
}

/* -EPERM if it is another's than the ring. */
static int sysv_describe(struct torc_topic *topic, enum torc_object object,
			 int flags)
{
	int fd = torc_files_describe(topic, object, flags);
	struct shmid_ds ring;
	struct stat st;
	int r = 0;

	if (fd < 0)
		return fd;
	if (shmctl(topic->segment, IPC_STAT, &ring))
		r = -ENOENT;
	else if (fstat(fd, &st) || st.st_uid != ring.shm_perm.uid)
		r = -EPERM;
	if (!r)
		return fd;
	close(fd);
	return r;
}

static int sysv_hold(struct torc_topic *topic)
{
	return torc_files_hold_parts(topic, is_there);
}

/* ---- Mapping ------------------------------------------------------------ */

static int attach(int segment, bool writable, uint64_t size, void **ret_base)
{
	struct shmid_ds ds;
	void *base;

	if (shmctl(segment, IPC_STAT, &ds))
		return errno == EACCES ? -EACCES : -ENOENT;
	if (ds.shm_segsz < size)
		return -EPROTO;
	base = shmat(segment, NULL, writable ? 0 : SHM_RDONLY);
	if (base == (void *)-1)
		return -errno;
	*ret_base = base;
	return 0;
}

/* The segment of the cursors; or -errno: -EPERM if it is another's than the ring. */
static int cursors_segment(const struct torc_topic *topic)
{
	int segment = shmget(torc_sysv_cursors_key(topic->constants.id), 0, 0);
	struct shmid_ds ring, cursors;

	if (segment < 0 || shmctl(topic->segment, IPC_STAT, &ring) ||
	    shmctl(segment, IPC_STAT, &cursors))
		return -errno;
	return cursors.shm_perm.uid == ring.shm_perm.uid ? segment : -EPERM;
}

static int sysv_map(struct torc_topic *topic, enum torc_access access,
		    struct torc_view *view)
{
	int cursors, r;

	r = attach(topic->segment, access == TORC_ACCESS_PUBLISH,
		   topic->constants.ring_size, &view->ring_base);
	if (r)
		return r;
	view->ring_size = topic->constants.ring_size;
	view->cursors_size = topic->constants.cursors_size;
	cursors = cursors_segment(topic);
	r = cursors < 0 ? cursors
			: attach(cursors, access != TORC_ACCESS_LOOK,
				 view->cursors_size, &view->cursors_base);
	if (r == -EPERM)
		r = torc_fail(-EPROTO, "%s: its cursors are not its owner's; "
			      "remove it", topic->name);
	if (r == -EACCES && access != TORC_ACCESS_PUBLISH)
		return 0;
	if (r) {
		shmdt(view->ring_base);
		view->ring_base = NULL;
	}
	return r;
}

static void sysv_unmap(struct torc_topic *topic, struct torc_view *view)
{
	(void)topic;
	shmdt(view->ring_base);
	if (view->cursors_base)
		shmdt(view->cursors_base);
}

/* ---- Removing ----------------------------------------------------------- */

/* Whoever is attached stays so. */
static int remove_all(struct torc_topic *topic)
{
	int cursors = cursors_segment(topic);
	int locks = sysv_describe(topic, TORC_OBJECT_LOCKS, O_PATH);

	if (locks >= 0)
		close(locks);
	/* Nobody would find them afterwards. */
	if (cursors < 0 && cursors != -ENOENT && cursors != -EPERM)
		return cursors;
	if (shmctl(topic->segment, IPC_RMID, NULL))
		return -errno;
	if (cursors >= 0)
		shmctl(cursors, IPC_RMID, NULL);
	if (locks >= 0)
		torc_files_forget(topic, topic->constants.id);
	return 0;
}

static void sysv_release(struct torc_topic *topic)
{
	if (topic->forkable.fds[0] >= 0 && topic->segment >= 0 &&
	    !(topic->constants.flags & TORC_RING_PERSISTENT) &&
	    torc_files_left(topic) && is_there(topic))
		remove_all(topic);
}

static int sysv_locate(const char *rest, struct torc_bus *bus,
		       struct torc_place *ret)
{
	key_t key;
	int r = key_of(rest, &key);

	(void)bus;
	ret->file[0] = '\0';
	if (r)
		return r;
	return torc_directory_open(TORC_POSIX_DIRECTORY, "in directory",
				   &ret->bus);
}

static int sysv_remove(struct torc_topic *topic, const char *rest,
		       unsigned int flags)
{
	int r = sysv_open(topic, rest);

	/* Its cursors may be left. */
	if (r == -ENOENT && flags & TORC_REMOVE_STALE)
		torc_bus_clean(topic->place.bus);
	if (r)
		return r;
	if (flags & TORC_REMOVE_STALE &&
	    (torc_topic_hold(topic) || !torc_files_left(topic)))
		return -EBUSY;
	return remove_all(topic);
}

const struct torc_mapping torc_mapping_sysv = {
	.name = "sysv",
	.prefix = "sysv:",
	.given = true,
	.parts_named = true,
	.locate = sysv_locate,
	.create = sysv_create,
	.open = sysv_open,
	.hold = sysv_hold,
	.describe = sysv_describe,
	.map = sysv_map,
	.unmap = sysv_unmap,
	.release = sysv_release,
	.remove = sysv_remove,
};
