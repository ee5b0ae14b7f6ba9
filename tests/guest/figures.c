/* SPDX-License-Identifier: MIT */
/*
 * Goal: what a message costs through the mapping, and copied by write() and read()
 * of the same topic, from one process to another.
 * Method: each for a second, in turns; messages that arrived.  Figures of an
 * emulator are worth nothing but as ratios, so none is asserted.
 */
#include "device.h"
#include "topics.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CAPACITY (16u << 20)
#define SECOND 1000000000ull

struct way {
	const char *address;
	const struct device *device;	/* NULL: through the mapping */
	size_t length;
};

static void send_for_ever(const void *context)
{
	const struct way *way = context;
	char *payload = calloc(1, way->length);

	CHECK(payload);
	if (way->device)
		for (;;)
			CHECK(write(way->device->fd, payload, way->length) > 0);
	for (struct torc_publisher *pub =
		     pub_open(topic_open(way->address, 0), TORC_FULL_WAIT);;)
		MUST(torc_pub_publish(pub, payload, way->length));
}

static uint64_t count_mapped(const struct way *way)
{
	struct torc_topic *topic = topic_open(way->address, 0);
	struct torc_subscriber *sub = sub_open(topic, 0);
	uint64_t count = 0, until = now_ns() + SECOND;
	struct torc_message messages[64];

	while (now_ns() < until) {
		int n = torc_sub_peek_batch(sub, messages, 64);

		if (n > 0) {
			count += (uint64_t)n;
			MUST(torc_sub_release(sub));
		} else {
			torc_sub_wait(sub, 1000000);
		}
	}
	torc_sub_close(sub);
	torc_topic_close(topic);
	return count;
}

static uint64_t count_copied(const struct way *way)
{
	int fd = device_open(way->device, O_RDONLY);
	uint64_t count = 0, until = now_ns() + SECOND;
	char *buffer = malloc(way->length);

	CHECK(fd >= 0 && buffer);
	while (now_ns() < until) {
		CHECK_EQ(read(fd, buffer, way->length), way->length);
		count++;
	}
	free(buffer);
	close(fd);
	return count;
}

static uint64_t rate(const struct way *way)
{
	pid_t pid = child_start(send_for_ever, way);
	uint64_t count;

	usleep(100000);
	count = way->device ? count_copied(way) : count_mapped(way);
	kill(pid, SIGKILL);
	child_end(pid);
	return count;
}

TEST(mapped_against_copied)
{
	static const size_t lengths[] = { 8, 4096, 1 << 20 };
	struct torc_driver_create request;

	for (int i = 0; i < 3; i++) {
		struct device d;
		struct way mapped = { first_kind(), NULL, lengths[i] };
		struct way copied = { NULL, &d, lengths[i] };
		struct torc_topic *topic = topic_create(mapped.address, 0,
							CAPACITY);
		uint64_t m[3], c[3];

		request = device_request(TORC_MEMORY_SHMEM,
					 TORC_DRIVER_PUBLISHES);
		request.capacity = CAPACITY;
		device_make_as(&d, &request);
		for (int round = 0; round < 3; round++) {
			m[round] = rate(&mapped);
			c[round] = rate(&copied);
			printf("# %zu bytes: %llu mapped, %llu copied, ratio %.1f\n",
			       lengths[i], (unsigned long long)m[round],
			       (unsigned long long)c[round],
			       (double)m[round] / (double)c[round]);
		}
		device_end(&d);
		topic_destroy(topic, mapped.address);
	}
}
