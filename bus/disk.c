/* SPDX-License-Identifier: MIT */
/*
 * Topics on a disk: whether what says who is alive is of this boot, and writing
 * out.
 */
#include "disk.h"

#include "files.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Whether it is of this boot ------------------------------------------ */

/*
 * What the locks object of a topic on a disk says: when, and of which file, it is
 * true that who has no lock is dead.
 */
struct torc_disk_state {
	unsigned char boot[16];	/* the machine's boot ID */
	uint64_t inode;		/* of the ring: a copy is not what it is of */
	uint64_t kept, dropped;	/* when it was last reopened after a crash:
				   messages, and bytes */
};

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

int torc_disk_state_write(struct torc_topic *topic, int ring_fd)
{
	struct torc_disk_state state = { .kept = topic->kept,
					 .dropped = topic->dropped };
	int locks_fd = topic->forkable.fds[0];
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

int torc_disk_judge(struct torc_topic *topic)
{
	struct torc_disk_state state;
	unsigned char boot[16];
	struct stat st;
	ssize_t n;
	int r, fd = torc_files_describe(topic, TORC_OBJECT_LOCKS, O_RDONLY);

	if (fd == -ENOENT)
		return TORC_DISK_COPY;
	/* Who may not publish has to believe that somebody saw to it. */
	if (fd < 0)
		return fd == -EACCES ? TORC_DISK_CURRENT : fd;
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
		return TORC_DISK_COPY;
	if (memcmp(state.boot, boot, sizeof(boot)))
		return TORC_DISK_EARLIER;
	topic->kept = state.kept;
	topic->dropped = state.dropped;
	return TORC_DISK_CURRENT;
}

/* ---- Writing out --------------------------------------------------------- */

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
