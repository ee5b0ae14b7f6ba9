/* SPDX-License-Identifier: MIT */
#include "topics.h"

#include <stdio.h>
#include <string.h>
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

void publish_stamped(struct torc_publisher *pub, uint32_t sender,
		     uint32_t number)
{
	unsigned char payload[STAMPED_MAX];

	stamp_fill(payload, sender, number);
	MUST(torc_pub_publish(pub, payload, stamped_length(sender, number)));
}

static struct stamp check_content(const struct torc_message *message)
{
	unsigned char want[STAMPED_MAX];
	struct stamp stamp;

	CHECK(message->length >= sizeof(stamp));
	memcpy(&stamp, message->data, sizeof(stamp));
	CHECK_EQ(message->length, stamped_length(stamp.sender, stamp.number));
	stamp_fill(want, stamp.sender, stamp.number);
	CHECK(!memcmp(want, message->data, message->length));
	return stamp;
}

bool receive_stamped_if_any(struct torc_subscriber *sub, struct stamp *ret)
{
	unsigned char buffer[STAMPED_MAX];
	struct torc_message message;
	int r = torc_sub_receive(sub, buffer, sizeof(buffer), &message);

	if (r == -EAGAIN)
		return false;
	MUST(r);
	*ret = check_content(&message);
	return true;
}

struct stamp receive_stamped(struct torc_subscriber *sub)
{
	struct stamp stamp;

	MUST(torc_sub_wait(sub, -1));
	CHECK(receive_stamped_if_any(sub, &stamp));
	return stamp;
}
