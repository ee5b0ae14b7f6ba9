/* SPDX-License-Identifier: MIT */
/*
 * Topics of the driver, /dev/torc/NAME (driver.h).  An address is
 *
 *	dev:NAME[,MEMORY[,CACHE]]
 *
 * MEMORY (shmem, contig, fault) and CACHE (wb, wc, uc) being for making it.
 *
 * Publishers map the node, and lock bytes of it as on any other topic.  A
 * subscriber has a descriptor of its own from the driver, which gives it a slot and
 * the right to write that and the wait words, and takes the slot back however the
 * process ends.  Sleeping and waking is the driver's, since not all memory carries
 * futexes, and because it publishes and receives itself.
 */
#include "mapping.h"
#include "address.h"

#include <torc/driver.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATH_SIZE (sizeof(TORC_DRIVER_FOLDER) + TORC_NAME_MAX)

/* ---- Addresses ---------------------------------------------------------- */

/* The index of @word in @words, which NULL ends; -1: none. */
static int find(const char *const *words, const char *word)
{
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

/* Take @rest, "NAME[,MEMORY[,CACHE]]", to pieces. */
static int parse(const char *rest, struct torc_driver_create *ret)
{
	static const char *const memories[] = { "shmem", "contig", "fault",
						NULL };
	static const char *const caches[] = { "wb", "wc", "uc", NULL };
	char copy[TORC_NAME_MAX + 16], *name, *memory, *cache, *end = NULL;
	int m, c;

	if ((size_t)snprintf(copy, sizeof(copy), "%s", rest) >= sizeof(copy))
		return torc_fail(-EINVAL, "dev:%.40s...: too long", rest);
	name = strtok_r(copy, ",", &end);
	memory = strtok_r(NULL, ",", &end);
	cache = strtok_r(NULL, ",", &end);
	m = memory ? find(memories, memory) : 0;
	c = cache ? find(caches, cache) : 0;
	if (m < 0 || c < 0 || strtok_r(NULL, ",", &end))
		return torc_fail(-EINVAL, "dev:%s: memory is shmem, contig or "
				 "fault, its cache wb, wc or uc", rest);
	if (torc_name_check(name ? name : ""))
		return -EINVAL;
	memset(ret, 0, sizeof(*ret));
	memcpy(ret->name, name, strlen(name));
	ret->memory = (uint32_t)m;
	ret->cache = (uint32_t)c;
	return 0;
}

/* ---- Opening ------------------------------------------------------------ */

static int open_node(const char *name)
{
	char path[PATH_SIZE];
	int fd;

	snprintf(path, sizeof(path), TORC_DRIVER_FOLDER "%s", name);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == EACCES)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* The driver wrote the constants, and nobody else can. */
static int load_constants(struct torc_topic *topic)
{
	long page = sysconf(_SC_PAGESIZE);
	void *constants;
	int r;

	r = torc_map_part(topic, topic->fd, 0, (uint64_t)page, false,
			  &constants);
	if (r)
		return r;
	r = torc_constants_check(constants, UINT64_MAX, &topic->constants);
	munmap(constants, (size_t)page);
	if (r)
		return torc_fail(r, "%s: not a topic of this version's driver",
				 topic->name);
	return 0;
}

static int dev_open(struct torc_topic *topic, const char *rest)
{
	struct torc_driver_create create;
	int r = parse(rest, &create);

	if (r)
		return r;
	r = open_node(create.name);
	if (r == -ENOENT || r == -ENXIO)
		return torc_fail(-ENOENT, "%s: there is no %s%s", topic->name,
				 TORC_DRIVER_FOLDER, create.name);
	if (r < 0)
		return torc_fail(r, "%s: cannot open %s%s: %s", topic->name,
				 TORC_DRIVER_FOLDER, create.name,
				 strerrordesc_np(-r));
	topic->fd = r;
	return load_constants(topic);
}

static int explain_create(const struct torc_topic *topic, int error)
{
	switch (error) {
	case -EEXIST:
		return error;
	case -ENOENT:
		return torc_fail(-ENODEV, "%s: there is no %s; load the module "
				 "torc", topic->name, TORC_DRIVER_CONTROL);
	case -ENOSPC:
		return torc_fail(error, "%s: the driver has as many topics as "
				 "it may (max_topics)", topic->name);
	case -E2BIG:
		return torc_fail(error, "%s: larger than the driver lets you "
				 "have (max_bytes)", topic->name);
	case -EDQUOT:
		return torc_fail(error, "%s: with your other topics larger than "
				 "the driver lets you have (max_user_bytes)",
				 topic->name);
	default:
		return torc_fail(error, "%s: cannot make it: %s", topic->name,
				 strerrordesc_np(-error));
	}
}

static int dev_create(struct torc_topic *topic, const char *rest,
		      const struct torc_constants_shm *constants,
		      const struct torc_topic_options *options)
{
	struct torc_driver_create create;
	int control, r = parse(rest, &create);

	if (r)
		return r;
	memcpy(create.type, constants->type, sizeof(create.type));
	create.capacity = constants->capacity;
	create.mode = options->mode ? options->mode : 0600;
	create.publishers = options->publishers;
	create.subscribers = options->subscribers;
	if (options->flags & TORC_MANY)
		create.flags |= TORC_DRIVER_MANY;
	if (options->flags & TORC_PERSISTENT)
		create.flags |= TORC_DRIVER_PERSISTENT;

	control = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC);
	if (control < 0)
		return explain_create(topic, -errno);
	if (ioctl(control, TORC_IOC_CREATE, &create))
		r = explain_create(topic, -errno);
	else
		r = dev_open(topic, rest);
	/* It kept the topic until we had it open. */
	close(control);
	return r;
}

static int dev_remove(struct torc_topic *topic, const char *rest,
		      unsigned int flags)
{
	struct torc_driver_create create;
	struct torc_driver_name name;
	int control, r = parse(rest, &create);

	(void)topic;
	if (r)
		return r;
	if (flags & TORC_REMOVE_STALE)
		return torc_fail(-ENOTSUP, "dev:%s: the driver removes what "
				 "nobody has open", rest);
	memcpy(name.name, create.name, sizeof(name.name));
	control = open(TORC_DRIVER_CONTROL, O_RDWR | O_CLOEXEC);
	if (control < 0)
		return torc_fail(-errno, "dev:%s: cannot remove it by %s: %s",
				 rest, TORC_DRIVER_CONTROL,
				 strerrordesc_np(errno));
	if (ioctl(control, TORC_IOC_REMOVE, &name))
		r = torc_fail(-errno, "dev:%s: cannot remove it: %s", rest,
			      strerrordesc_np(errno));
	close(control);
	return r;
}

static int dev_describe(struct torc_topic *topic, enum torc_object object,
			int flags)
{
	(void)object;
	return torc_open_again(topic->fd, flags | O_NONBLOCK);
}

static void dev_release(struct torc_topic *topic)
{
	if (topic->fd >= 0)
		close(topic->fd);
}

/* ---- Mapping ------------------------------------------------------------ */

/* Map a part of an object over what is mapped of it already at @base. */
static int map_over(const struct torc_topic *topic, int fd, void *base,
		    uint64_t object, uint64_t offset, uint64_t size)
{
	void *at = (unsigned char *)base + offset;

	if (mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)(object + offset)) != MAP_FAILED)
		return 0;
	return errno == EACCES ? -EACCES
			       : torc_fail(-errno, "%s: cannot map it: %s",
					   topic->name, strerrordesc_np(errno));
}

static int dev_map(struct torc_topic *topic, enum torc_access access,
		   struct torc_view *view)
{
	const struct torc_constants_shm *c = &topic->constants;
	uint64_t writable = c->publishing_offset;
	int r;

	view->ring_size = c->ring_size;
	view->cursors_size = c->cursors_size;
	r = torc_map_part(topic, topic->fd, 0, c->ring_size, false,
			  &view->ring_base);
	if (r)
		return r;
	r = torc_map_part(topic, topic->fd, c->ring_size, c->cursors_size,
			  false, &view->cursors_base);
	if (!r && access == TORC_ACCESS_PUBLISH)
		r = map_over(topic, topic->fd, view->ring_base, 0, writable,
			     c->ring_size - writable);
	if (!r && access == TORC_ACCESS_PUBLISH)
		r = map_over(topic, topic->fd, view->cursors_base, c->ring_size,
			     0, c->cursors_size);
	if (r) {
		torc_unmap_parts(topic, view);
		view->ring_base = NULL;
	}
	return r;
}

static int dev_subscribe(struct torc_topic *topic, struct torc_view *view,
			 uint32_t *ret_slot)
{
	const struct torc_constants_shm *c = &topic->constants;
	struct torc_driver_subscribe subscribe = { .slot = 0 };
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int r;

	if (ioctl(topic->fd, TORC_IOC_SUBSCRIBE, &subscribe))
		return -errno;
	r = map_over(topic, subscribe.fd, view->cursors_base, c->ring_size, 0,
		     page);
	if (!r)
		r = map_over(topic, subscribe.fd, view->cursors_base,
			     c->ring_size, subscribe.slot * page, page);
	if (r) {
		close(subscribe.fd);
		return r;
	}
	view->process = getpid();
	*ret_slot = subscribe.slot;
	return subscribe.fd;
}

static void dev_unmap(struct torc_topic *topic, struct torc_view *view)
{
	/*
	 * A forked child has not got the subscription's pages, and something else
	 * may be in their place.
	 */
	if (!view->process || view->process == getpid())
		torc_unmap_parts(topic, view);
}

/* ---- Sleeping and waking ------------------------------------------------ */

static uint32_t number_of(const uint32_t *word)
{
	uintptr_t offset = (uintptr_t)word % 4096;

	return offset == offsetof(struct torc_cursors_shm, data_word)
		       ? TORC_WORD_DATA : TORC_WORD_ROOM;
}

static int dev_sleep(const struct torc_topic *topic, const uint32_t *word,
		     uint32_t value, uint64_t ns)
{
	struct torc_driver_wait wait = { .word = number_of(word),
					 .value = value,
					 .timeout_ns = ns };

	return ioctl(topic->fd, TORC_IOC_WAIT, &wait) ? -errno : 0;
}

static void dev_wake(const struct torc_topic *topic, const uint32_t *word)
{
	ioctl(topic->fd, TORC_IOC_WAKE, number_of(word));
}

static int dev_ring(int subscription, int eventfd)
{
	return ioctl(subscription, TORC_IOC_EVENTFD, eventfd) ? -errno : 0;
}

const struct torc_mapping torc_mapping_dev = {
	.name = "dev",
	.prefix = "dev:",
	.create = dev_create,
	.open = dev_open,
	.remove = dev_remove,
	.describe = dev_describe,
	.map = dev_map,
	.unmap = dev_unmap,
	.release = dev_release,
	.subscribe = dev_subscribe,
	.sleep = dev_sleep,
	.wake = dev_wake,
	.ring = dev_ring,
};
