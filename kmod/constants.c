// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a topic is to be: its name, and the constants of its ring.
 */
#include "internal.h"

#include <linux/ctype.h>
#include <linux/log2.h>
#include <linux/random.h>
#include <linux/timekeeping.h>

#define CAPACITY_DEFAULT	65536u
#define PUBLISHERS_DEFAULT	64u
#define SUBSCRIBERS_DEFAULT	16u

bool torc_name_in_the_way(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (!*a && (!*b || *b == '/')) || (!*b && *a == '/');
}

/* The kernel's isalnum() takes Latin-1 for letters. */
static bool is_name_character(char c)
{
	return isascii(c) && (isalnum(c) || c == '_' || c == '-');
}

bool torc_name_is_good(const char *name)
{
	bool begins = true;
	const char *c;

	if (!*name || strlen(name) >= TORC_DRIVER_NAME_MAX ||
	    torc_name_in_the_way(name, "control"))
		return false;
	for (c = name; *c; c++) {
		if (*c == '/' || *c == '.' ? begins || (*c == '/' && !c[1]) :
					     !is_name_character(*c))
			return false;
		begins = *c == '/';
	}
	return true;
}

static int plain_constants(const struct torc_topic_config *config,
			   struct torc_constants_shm *ret)
{
	bool many = config->flags & TORC_DRIVER_MANY;
	struct torc_ring_config ring = {
		.capacity = config->capacity ?: CAPACITY_DEFAULT,
		.kind = many ? TORC_KIND_MP : TORC_KIND_SP,
		.publishers = config->publishers,
		.subscribers = config->subscribers ?: SUBSCRIBERS_DEFAULT,
		.page = PAGE_SIZE,
		.flags = config->flags & TORC_DRIVER_PERSISTENT
				 ? TORC_RING_PERSISTENT : 0,
		.created_ns = ktime_get_real_ns(),
		.type = config->type,
	};
	int r;

	if (many && config->flags & TORC_DRIVER_PUBLISHES)
		return -EINVAL;
	/* And slots of the driver's own. */
	ring.subscribers += TORC_SLOT_FIRST;
	if (many)
		ring.publishers = (config->publishers ?: PUBLISHERS_DEFAULT) +
				  torc_own_publishers();
	get_random_bytes(ring.id, sizeof(ring.id));
	r = torc_ring_layout(&ring, ret);
	if (r)
		return r;
	/* A page for each slot, behind that of the wait words. */
	ret->subscriber_stride = PAGE_SIZE;
	ret->cursors_size = PAGE_ALIGN(TORC_CURSORS_SLOTS +
				       (u64)ret->subscribers * PAGE_SIZE);
	return 0;
}

/* For an area that is given, and perhaps for the capacity that fits into it. */
static int user_constants(const struct torc_topic_config *wanted,
			  const struct torc_maker *maker,
			  struct torc_constants_shm *ret)
{
	struct torc_topic_config config = *wanted;
	int r;

	if (config.flags != TORC_DRIVER_PUBLISHES ||
	    !IS_ALIGNED(maker->address, PAGE_SIZE) ||
	    !IS_ALIGNED(maker->size, PAGE_SIZE) ||
	    maker->size > ULONG_MAX - maker->address)
		return -EINVAL;
	if (!wanted->capacity)
		config.capacity = rounddown_pow_of_two(maker->size | 1);
	do {
		r = plain_constants(&config, ret);
		if (r || torc_topic_size(ret) <= maker->size)
			return r;
		config.capacity /= 2;
	} while (!wanted->capacity && config.capacity >= TORC_CAPACITY_MIN);
	return -ENOSPC;
}

int torc_topic_constants(const struct torc_topic_config *config,
			 const struct torc_maker *maker,
			 struct torc_constants_shm *ret)
{
	if (config->memory == TORC_PAGES_USER)
		return maker ? user_constants(config, maker, ret) : -EINVAL;
	return plain_constants(config, ret);
}
