/* SPDX-License-Identifier: MIT */
/*
 * The files beside a ring, its parts, which bear its id:
 *
 *	.<id>.cursors		.<id>.locks
 *
 * and .<id>.ring, the ring itself until it is linked into place.
 */
#include "parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void torc_part_name(const unsigned char id[16], const char *part,
		    char name[TORC_PART_NAME])
{
	static const char digits[] = "0123456789abcdef";

	name[0] = '.';
	for (int i = 0; i < 16; i++) {
		name[1 + 2 * i] = digits[id[i] >> 4];
		name[2 + 2 * i] = digits[id[i] & 15];
	}
	snprintf(name + 33, TORC_PART_NAME - 33, ".%s", part);
}

bool torc_part_is(const char *file, unsigned char id[16])
{
	static const char *const parts[] = { "ring", "cursors", "locks" };

	if (file[0] != '.' || strlen(file) < 35 || file[33] != '.')
		return false;
	for (int i = 0; i < 16; i++)
		if (sscanf(file + 1 + 2 * i, "%2hhx", &id[i]) != 1)
			return false;
	for (size_t i = 0; i < 3; i++)
		if (!strcmp(file + 34, parts[i]))
			return true;
	return false;
}

int torc_part_open(int bus_fd, const unsigned char id[16], const char *part,
		   int flags)
{
	char name[TORC_PART_NAME];
	int fd;

	torc_part_name(id, part, name);
	fd = openat(bus_fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0600);
	return fd < 0 ? -errno : fd;
}

void torc_part_remove(int bus_fd, const unsigned char id[16], const char *part)
{
	char name[TORC_PART_NAME];

	torc_part_name(id, part, name);
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

int torc_part_open_of(int ring_fd, int bus_fd, const unsigned char id[16],
		      const char *part, int flags)
{
	int fd = torc_part_open(bus_fd, id, part, flags);

	if (fd < 0 || same_owner(fd, ring_fd))
		return fd;
	close(fd);
	return -EPERM;
}

void torc_part_remove_of(int ring_fd, int bus_fd, const unsigned char id[16],
			 const char *part)
{
	int fd = torc_part_open(bus_fd, id, part, O_PATH);

	if (fd < 0)
		return;
	if (same_owner(fd, ring_fd))
		torc_part_remove(bus_fd, id, part);
	close(fd);
}
