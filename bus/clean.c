/* SPDX-License-Identifier: MIT */
/*
 * Removing what crashes left on a bus.
 */
#include "bell.h"
#include "bus.h"
#include "lock.h"
#include "parts.h"
#include "sysv_parts.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct search {
	int bus_fd;
	const unsigned char *id;
};

static int has_id(const char *name, void *context)
{
	const struct search *search = context;
	struct torc_constants_shm constants;
	char file[TORC_FILE_MAX + 1];
	bool found;
	int fd;

	torc_name_to_file(name, file);
	fd = openat(search->bus_fd, file,
		    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return 0;
	found = pread(fd, &constants, sizeof(constants), 0) ==
			sizeof(constants) &&
		!memcmp(constants.id, search->id, sizeof(constants.id));
	close(fd);
	return found;
}

/* Remove @file if it is a part of no ring; 1 if so. */
static int clean_part(struct torc_bus *bus, const char *file)
{
	unsigned char id[16];
	struct search search = { bus->fd, id };
	struct torc_forkable held;
	int locks_fd, r;

	if (!torc_part_is(file, id))
		return 0;
	torc_held_begin(&held);
	torc_fork_hold();
	held.fds[0] = locks_fd = torc_part_open(bus->fd, id, "locks", O_RDWR);
	torc_fork_allow();
	/* The lock first: a ring that is being made is linked under it. */
	r = locks_fd >= 0 ? torc_lock_set(locks_fd, F_WRLCK, TORC_LOCK_LIFETIME,
					  1) :
	    locks_fd == -ENOENT ? 0 : locks_fd;
	/* The parts of a topic in System V segments have no ring beside them. */
	if (!r && !torc_bus_list(bus, has_id, &search) &&
	    !(locks_fd >= 0 && torc_sysv_stays(locks_fd, id)))
		r = !unlinkat(bus->fd, file, 0);
	else
		r = 0;
	torc_held_end(&held);
	return r;
}

struct cleaning {
	struct torc_bus *bus;
	int removed;
};

static int clean_file(const char *file, void *context)
{
	struct cleaning *cleaning = context;

	cleaning->removed += clean_part(cleaning->bus, file) +
			     torc_bell_clean(cleaning->bus, file);
	return 0;
}

int torc_bus_clean(struct torc_bus *bus)
{
	struct cleaning cleaning = { NULL, 0 };
	int r = torc_bus_get(bus, &cleaning.bus);

	if (r)
		return r;
	r = torc_bus_each_file(cleaning.bus, clean_file, &cleaning);
	torc_bus_close(cleaning.bus);
	return r ? r : cleaning.removed;
}
