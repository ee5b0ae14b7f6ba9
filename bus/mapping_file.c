/* SPDX-License-Identifier: MIT */
/*
 * file: a topic in a plain file on a disk, with its other parts beside it.  As
 * the mappings of files.c have it; and what a disk adds to that: writing out, and
 * what is left when the machine went down.
 *
 * Such a topic is opened for the first time after the machine was started, or
 * as a copy, by making it anew from the messages that are intact (salvage.c).
 * So nobody has to think of participants, locks or claims of an earlier boot.
 */
#include "address.h"
#include "check.h"
#include "disk.h"
#include "files.h"
#include "lock.h"
#include "salvage.h"
#include "topic.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYNC_INTERVAL_MS 100

/* ---- Whether it is of this boot ----------------------------------------- */

static int read_boot_id(unsigned char id[16])
{
	char text[40] = "", *c = text;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	for (int i = 0; i < 16; i++, c += 2) {
		c += *c == '-';
		if (n < 36 || sscanf(c, "%2hhx", &id[i]) != 1)
			return -EIO;
	}
	return 0;
}

int torc_disk_state_write(struct torc_topic *topic, int locks_fd, int ring_fd)
{
	struct torc_disk_state state = { .kept = topic->kept,
					 .dropped = topic->dropped };
	struct stat st;
	int r = read_boot_id(state.boot);

	if (r)
		return r;
	if (fsync(ring_fd) || fstat(ring_fd, &st))
		return -errno;
	state.inode = st.st_ino;
	if (pwrite(locks_fd, &state, sizeof(state), 0) != sizeof(state))
		return -EIO;
	return fsync(locks_fd) ? -errno : 0;
}

enum {
	COPY,		/* its parts are another file's, or gone */
	EARLIER,	/* the machine was started since */
	CURRENT,	/* who has no lock is dead */
};

static int judge(struct torc_topic *topic)
{
	struct torc_disk_state state;
	unsigned char boot[16];
	struct stat st;
	ssize_t n;
	int r, fd = torc_files_describe(topic, TORC_OBJECT_LOCKS, O_RDONLY);

	if (fd == -ENOENT)
		return COPY;
	/* Who may not publish has to believe that somebody saw to it. */
	if (fd < 0)
		return fd == -EACCES ? CURRENT : fd;
	n = pread(fd, &state, sizeof(state), 0);
	r = n < 0 ? -errno : 0;
	close(fd);
	if (!r)
		r = read_boot_id(boot);
	if (!r && fstat(topic->fd, &st))
		r = -errno;
	if (r)
		return r;
	if (n != sizeof(state) || state.inode != st.st_ino)
		return COPY;
	if (memcmp(state.boot, boot, sizeof(boot)))
		return EARLIER;
	topic->kept = state.kept;
	topic->dropped = state.dropped;
	return CURRENT;
}

bool torc_disk_is_current(struct torc_topic *topic)
{
	return judge(topic) == CURRENT;
}

/* ---- Making it anew ----------------------------------------------------- */

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
	if (r)
		return r;
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

static int copy_messages(const struct torc_constants_shm *constants, void *ring,
			 void *cursors, void *context)
{
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
	return r;
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

/*
 * Put the intact messages of @topic, whose file is @st, into a new ring of its
 * name, owner, group and mode, of @capacity bytes, no less than before.
 */
static int make_anew(struct torc_topic *topic, const struct stat *st,
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

/* @ring_fd is locked: nobody else makes it anew. */
static int reopen_locked(struct torc_topic *topic, int ring_fd)
{
	unsigned char id[16];
	struct stat st;
	int state, r;

	if (fstat(ring_fd, &st))
		return -errno;
	if (!st.st_nlink)
		return -EAGAIN;
	state = judge(topic);
	if (state < 0 || state == CURRENT)
		return state < 0 ? state : 0;
	if (st.st_uid != geteuid())
		return torc_fail(-EPERM, "%s: the machine went down since it "
				 "was used, or it is a copy; user %u, whose it "
				 "is, has to open it first", topic->name,
				 (unsigned int)st.st_uid);
	memcpy(id, topic->constants.id, sizeof(id));
	r = make_anew(topic, &st, topic->constants.capacity);
	/* Made, but not yet taken part in. */
	torc_fork_hold();
	if (topic->forkable.fds[0] >= 0)
		close(topic->forkable.fds[0]);
	topic->forkable.fds[0] = -1;
	torc_fork_allow();
	if (!r && state == EARLIER)
		torc_files_forget(topic, id);
	topic->reopened = !r;
	return r;
}

static int reopen(struct torc_topic *topic)
{
	int r, fd = torc_files_describe(topic, TORC_OBJECT_RING, O_RDWR);

	if (fd == -ENOENT)
		return -EAGAIN;
	if (fd < 0)
		return torc_fail(fd, "%s: the machine went down since it was "
				 "used, or it is a copy, and you may not mend "
				 "it: %s", topic->name, strerrordesc_np(-fd));
	r = torc_lock_set_patiently(fd, F_WRLCK, TORC_LOCK_LIFETIME);
	if (r)
		r = torc_fail(r, "%s: another process is making it anew, or has "
			      "it locked; try again", topic->name);
	else
		r = reopen_locked(topic, fd);
	torc_lock_close(fd);
	return r;
}

/* ---- Making it larger --------------------------------------------------- */

/* Nobody else takes part, nor can come. */
static int resize_alone(struct torc_topic *topic, uint64_t capacity)
{
	int *fds = topic->forkable.fds;
	const int held[2] = { fds[0], fds[1] };
	unsigned char id[16];
	struct stat st;
	int r;

	if (fstat(topic->fd, &st))
		return -errno;
	memcpy(id, topic->constants.id, sizeof(id));
	torc_fork_hold();
	fds[0] = fds[1] = -1;
	torc_fork_allow();
	r = make_anew(topic, &st, capacity);
	if (!r)
		torc_files_forget(topic, id);
	for (int i = 0; i < 2; i++)
		torc_lock_close(held[i]);
	return r;
}

static int resize(struct torc_topic *topic, uint64_t capacity)
{
	int r;

	if (!topic->mapping->disk)
		return torc_fail(-ENOTSUP, "%s: only a topic of file:PATH can "
				 "be made larger; remove it, and make it anew",
				 topic->name);
	if (capacity < topic->constants.capacity)
		return torc_fail(-EINVAL, "%s: holds %llu bytes already, and "
				 "cannot be made smaller", topic->name,
				 (unsigned long long)topic->constants.capacity);
	r = torc_topic_hold(topic);
	if (r)
		return r;
	if (!torc_files_left(topic))
		return torc_fail(-EBUSY, "%s: others take part in it, or you "
				 "may not publish to it; end them first",
				 topic->name);
	return resize_alone(topic, capacity);
}

int torc_topic_resize(struct torc_bus *bus, const char *address,
		      uint64_t capacity)
{
	struct torc_topic *topic;
	int r = torc_topic_open(bus, address, NULL, &topic);

	if (r)
		return r;
	r = resize(topic, capacity);
	torc_topic_close(topic);
	return r;
}

/* ---- The mapping -------------------------------------------------------- */

static int file_locate(const char *path, struct torc_bus *bus,
		       struct torc_place *ret)
{
	const char *slash = strrchr(path, '/');
	const char *file = slash ? slash + 1 : path;
	char *directory;
	int r;

	(void)bus;
	if (!*file || *file == '.' || strlen(file) > TORC_FILE_MAX)
		return torc_fail(-EINVAL, "file:%s: not the name of a file, or "
				 "of one that is hidden", path);
	strcpy(ret->file, file);
	if (!slash)
		return torc_directory_open(".", &ret->bus);
	directory = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!directory)
		return torc_fail(-ENOMEM, "file:%s: out of memory", path);
	r = torc_directory_open(directory, &ret->bus);
	free(directory);
	return r;
}

static int file_create(struct torc_topic *topic, const char *rest,
		       const struct torc_constants_shm *constants,
		       const struct torc_topic_options *options)
{
	struct torc_constants_shm c = *constants;
	uint64_t interval_ms = (options->sync_interval_ns + 999999) / 1000000;

	if (interval_ms > TORC_RING_INTERVAL_MAX)
		return torc_fail(-EINVAL, "%s: it can be synced each %u ms at "
				 "the longest", topic->name,
				 TORC_RING_INTERVAL_MAX);
	if (!interval_ms)
		interval_ms = SYNC_INTERVAL_MS;
	c.ring_size += torc_checks_size(c.capacity);
	c.flags |= TORC_RING_PERSISTENT | TORC_RING_CHECKED |
		   TORC_RING_SYNC(options->sync, interval_ms);
	return torc_files_create(topic, rest, &c, options);
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
		r = judge(topic);
		if (r < 0)
			return torc_fail(r, "%s: cannot tell whether it is of "
					 "this boot: %s", topic->name,
					 strerrordesc_np(-r));
		r = r == CURRENT ? 0 : reopen(topic);
	} while (r == -EAGAIN);
	return r;
}

int torc_disk_sync(const struct torc_topic *topic)
{
	if (!fdatasync(topic->fd))
		return 0;
	return torc_fail(-errno, "%s: published, but cannot be written to the "
			 "disk: %s", topic->name, strerrordesc_np(errno));
}

void torc_disk_sync_begin(const struct torc_topic *topic)
{
	/* Only a wish: msync(MS_ASYNC) does nothing on Linux. */
	sync_file_range(topic->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

const struct torc_mapping torc_mapping_file = {
	.name = "file",
	.prefix = "file:",
	.given = true,
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
