/* SPDX-License-Identifier: MIT */
/*
 * file: a topic in a plain file on a disk, with its other parts beside it.  As
 * the mappings of files.c have it, but for what is left when the machine went
 * down: such a topic is opened for the first time after the machine was started,
 * or as a copy, by making it anew from the messages that are intact (renew.c).
 * So nobody has to think of participants, locks or claims of an earlier boot.
 */
#include "address.h"
#include "check.h"
#include "disk.h"
#include "files.h"
#include "lock.h"
#include "parts.h"
#include "renew.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYNC_INTERVAL_MS 100

static int file_locate(const char *path, struct torc_bus *bus,
		       struct torc_place *ret)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	char *directory;
	int r;

	(void)bus;
	if (!*file || *file == '.' || strlen(file) > TORC_FILE_MAX)
		return torc_fail(-EINVAL, "file:%s: not the path of a file, or its "
				 "name is too long or begins with a dot", path);
	strcpy(ret->file, file);
	if (!slash)
		return torc_directory_open(".", "in directory", &ret->bus);
	directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!directory)
		return torc_fail(-ENOMEM, "file:%s: out of memory", path);
	r = torc_directory_open(directory, "in directory", &ret->bus);
	free(directory);
	return r;
}

static int write_state(struct torc_topic *topic, int ring_fd, void *ring,
		       void *cursors, void *context)
{
	(void)ring;
	(void)cursors;
	(void)context;
	return torc_disk_state_write(topic, ring_fd);
}

static int file_create(struct torc_topic *topic, const char *rest,
		       const struct torc_constants_shm *constants,
		       const struct torc_topic_options *options)
{
	struct torc_filling filling = { .fill = write_state };
	struct torc_constants_shm c = *constants;
	uint64_t interval_ms = (options->sync_interval_ns + 999999) / 1000000;

	(void)rest;
	if (interval_ms > TORC_RING_INTERVAL_MAX)
		return torc_fail(-EINVAL, "%s: it can be synced each %u ms at "
				 "the longest", topic->name,
				 TORC_RING_INTERVAL_MAX);
	if (!interval_ms)
		interval_ms = SYNC_INTERVAL_MS;
	c.ring_size += torc_checks_size(c.capacity);
	c.flags |= TORC_RING_PERSISTENT | TORC_RING_CHECKED |
		   TORC_RING_SYNC(options->sync, interval_ms);
	torc_permissions_of(options, &filling.ring, &filling.cursors);
	return torc_files_make(topic, &c, &filling);
}

/* ---- Opening ------------------------------------------------------------- */

static int refuse(const struct torc_topic *topic, const struct stat *st)
{
	return torc_fail(-EPERM, "%s: the machine went down since it was used, "
			 "or it is a copy; user %u, whose it is, has to open it "
			 "first", topic->name, (unsigned int)st->st_uid);
}

/* Nobody else makes it anew. */
static int reopen_locked(struct torc_topic *topic)
{
	int ring_fd = torc_files_describe(topic, TORC_OBJECT_RING, O_RDONLY);
	unsigned char id[16];
	struct stat st;
	int state, r;

	if (ring_fd < 0)
		return ring_fd == -ENOENT ? -EAGAIN : ring_fd;
	close(ring_fd);
	state = torc_disk_judge(topic);
	if (state < 0 || state == TORC_DISK_CURRENT)
		return state < 0 ? state : 0;
	if (fstat(topic->fd, &st))
		return -errno;
	if (st.st_uid != geteuid())
		return refuse(topic, &st);
	memcpy(id, topic->constants.id, sizeof(id));
	r = torc_renew(topic, &st, topic->constants.capacity);
	/* Made, but not yet taken part in. */
	torc_fork_hold();
	if (topic->forkable.fds[0] >= 0)
		close(topic->forkable.fds[0]);
	topic->forkable.fds[0] = -1;
	torc_fork_allow();
	if (!r && state == TORC_DISK_EARLIER)
		torc_files_forget(topic, id);
	topic->reopened = !r;
	return r;
}

/* A copy has no locks yet. */
static int make_locks(struct torc_topic *topic)
{
	struct stat st;

	if (fstat(topic->fd, &st))
		return -errno;
	if (st.st_uid != geteuid())
		return refuse(topic, &st);
	return torc_files_describe(topic, TORC_OBJECT_LOCKS,
				   O_RDWR | O_CREAT | O_EXCL);
}

/* Who may only read the ring could lock that, but not its locks. */
static int reopen(struct torc_topic *topic)
{
	unsigned char id[16];
	struct torc_forkable held;
	bool made = false;
	int fd, r;

	memcpy(id, topic->constants.id, sizeof(id));
	torc_held_begin(&held);
	torc_fork_hold();
	fd = torc_files_describe(topic, TORC_OBJECT_LOCKS, O_RDWR);
	if (fd == -ENOENT) {
		fd = make_locks(topic);
		made = fd >= 0;
	}
	held.fds[0] = fd;
	torc_fork_allow();
	r = fd < 0 ? fd : torc_lock_set_patiently(fd, F_WRLCK,
						  TORC_LOCK_REPAIR);
	if (fd == -EEXIST)
		r = -EAGAIN;
	else if (fd < 0 && fd != -EPERM)
		r = torc_fail(fd, "%s: the machine went down since it was used, "
			      "or it is a copy, and you may not mend it: %s",
			      topic->name, strerrordesc_np(-fd));
	else if (fd >= 0 && r)
		r = torc_fail(r, "%s: another process is making it anew, or has "
			      "it locked; try again", topic->name);
	else if (fd >= 0)
		r = reopen_locked(topic);
	if (made)
		torc_part_remove(topic->place.bus->fd, id, "locks");
	torc_held_end(&held);
	return r;
}

static int file_open(struct torc_topic *topic, const char *rest)
{
	int r;

	do {
		if (topic->fd >= 0)
			close(topic->fd);
		topic->fd = -1;
		r = torc_files_open(topic, rest);
		if (r || topic->inspecting)
			return r;
		if (!(topic->constants.flags & TORC_RING_CHECKED))
			return torc_fail(-EPROTO, "%s: a ring that was not made "
					 "as a file on a disk; open it by the "
					 "name that it was made by",
					 topic->name);
		r = torc_disk_judge(topic);
		if (r < 0)
			return torc_fail(r, "%s: cannot tell whether it is of "
					 "this boot: %s", topic->name,
					 strerrordesc_np(-r));
		r = r == TORC_DISK_CURRENT ? 0 : reopen(topic);
	} while (r == -EAGAIN);
	return r;
}

const struct torc_mapping torc_mapping_file = {
	.name = "file",
	.prefix = "file:",
	.given = true,
	.parts_named = true,
	.locate = file_locate,
	.create = file_create,
	.open = file_open,
	.hold = torc_files_hold,
	.describe = torc_files_describe,
	.map = torc_files_map,
	.unmap = torc_unmap_parts,
	.release = torc_files_release,
	.remove = torc_files_remove,
	.disk = true,
};
