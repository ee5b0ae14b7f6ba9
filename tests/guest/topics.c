/* SPDX-License-Identifier: MIT */
#include "topics.h"

#include <stdio.h>
#include <unistd.h>

static const char *const kinds[] = { "", ",contig", ",fault", NULL };
static int kind;

static const char *this_kind(void)
{
	static char address[64];

	if (!kinds[kind])
		return NULL;
	snprintf(address, sizeof(address), "dev:test-%d%s", (int)getpid(),
		 kinds[kind]);
	return address;
}

const char *first_kind(void)
{
	kind = 0;
	return this_kind();
}

const char *next_kind(void)
{
	kind++;
	return this_kind();
}

struct torc_topic *topic_create(const char *address, unsigned int flags,
				uint64_t capacity)
{
	struct torc_topic_options options = {
		.flags = TORC_CREATE | TORC_EXCLUSIVE | flags,
		.capacity = capacity,
	};
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, address, &options, &topic));
	return topic;
}

struct torc_topic *topic_open(const char *address, unsigned int flags)
{
	struct torc_topic_options options = { .flags = flags };
	struct torc_topic *topic;

	MUST(torc_topic_open(NULL, address, &options, &topic));
	return topic;
}

void topic_destroy(struct torc_topic *topic, const char *address)
{
	torc_topic_close(topic);
	CHECK_EQ(torc_topic_open(NULL, address, NULL, &topic), -ENOENT);
}

struct torc_publisher *pub_open(struct torc_topic *topic, enum torc_full full)
{
	struct torc_pub_options options = { .full = full };
	struct torc_publisher *pub;

	MUST(torc_pub_open(topic, &options, &pub));
	return pub;
}

struct torc_subscriber *sub_open(struct torc_topic *topic, unsigned int flags)
{
	struct torc_sub_options options = { .flags = flags };
	struct torc_subscriber *sub;

	MUST(torc_sub_open(topic, &options, &sub));
	return sub;
}

void wait_for_participants(struct torc_topic *topic, enum torc_role role,
			   uint32_t count)
{
	struct torc_topic_info info;

	do {
		usleep(1000);
		MUST(torc_topic_get_info(topic, &info));
	} while ((role == TORC_PUBLISHER ? info.publishers
					 : info.subscribers) < count);
}
