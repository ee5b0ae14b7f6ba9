/* SPDX-License-Identifier: MIT */
/*
 * Making a topic on a disk larger.
 */
#include "files.h"
#include "lock.h"
#include "renew.h"

#include <string.h>
#include <sys/stat.h>

/* Nobody else takes part, nor can come. */
static int resize_alone(struct torc_topic *topic, uint64_t capacity)
{
	int *fds = topic->forkable.fds;
	struct torc_forkable held;
	unsigned char id[16];
	struct stat st;
	int r;

	if (fstat(topic->fd, &st))
		return -errno;
	memcpy(id, topic->constants.id, sizeof(id));
	torc_held_begin(&held);
	torc_fork_hold();
	for (int i = 0; i < 2; i++) {
		held.fds[i] = fds[i];
		fds[i] = -1;
	}
	torc_fork_allow();
	r = torc_renew(topic, &st, capacity);
	if (!r)
		torc_files_forget(topic, id);
	torc_held_end(&held);
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
